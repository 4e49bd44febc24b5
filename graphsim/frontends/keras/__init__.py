"""Keras model files, read without Keras.

::

    archive.py      opens .h5, .keras and .json: which format, where the JSON and the weights are
    hdf5.py         HDF5 of unknown origin, and fields.py JSON of unknown origin: typed, bounded, refused where hostile
    limits.py       a bound on the memory that the HDF5 library may take
    semantics.py    which Keras wrote the file, and what its names therefore mean
    config.py       JSON of Keras 1, 2 and 3 -> layers, and their calls in topological order
    builder.py      what rules build with: tensors, groups, channels, params to be computed later
    activations.py  activations by name
    layers.py       one short lowering rule per layer class
    weights.py      which array of the file is which weight
    lower.py        all of it in order: check every layer, build, read the weights
"""

from graphsim.frontends.keras.lower import lower

__all__ = ["lower"]
