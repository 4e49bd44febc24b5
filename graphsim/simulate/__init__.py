"""Execute graphs: reference, lanes, machine and events, with bit-identical values."""
