"""Compare a run with the outside authority, neuron by neuron."""
