"""Keras model files, read without Keras.

::

    archive.py      opens .h5, .keras and .json: which format, where the JSON and the weights are
    hdf5.py         HDF5 of unknown origin, and fields.py JSON of unknown origin: typed, bounded, refused where hostile
    limits.py       a bound on the memory that the HDF5 library may take
    semantics.py    which Keras wrote the file, and what its names therefore mean
    config.py       JSON of Keras 1, 2 and 3 -> layers, and their calls in topological order
    activations.py  activations by name
    layers/         one short lowering rule per class of layers, and per operation
    plugins.py      lowering rules of one's own
    weights.py      which array of the file is which weight
    lower.py        all of it in order: check every layer, build, read the weights
"""

from graphsim.frontends.builder import LINEAR, Builder, RefusedError, Tensor, Unary
from graphsim.frontends.keras.fields import Fields
from graphsim.frontends.keras.layers.registry import Calling, Given, Lowering, Merging, calls, lowers, merges
from graphsim.frontends.keras.lower import lower
from graphsim.frontends.keras.semantics import Semantics

__all__ = [
    "LINEAR",
    "Builder",
    "Calling",
    "Fields",
    "Given",
    "Lowering",
    "Merging",
    "RefusedError",
    "Semantics",
    "Tensor",
    "Unary",
    "calls",
    "lower",
    "lowers",
    "merges",
]
