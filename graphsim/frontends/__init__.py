"""Readers of model files; each lowers to a Graph."""
