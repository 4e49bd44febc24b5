"""What is known of a timed dataflow graph before it runs: rates, deadlock, throughput, latency, buffers."""
