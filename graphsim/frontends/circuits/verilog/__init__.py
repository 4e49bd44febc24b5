"""Structural Verilog: gates, instances, assignments, flip-flops; parsed by slang, never elaborated by it."""
