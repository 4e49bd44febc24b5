"""graphsim: trained networks as dataflow graphs of one actor per neuron, folded onto simulated hardware."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("graphsim")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"
