"""ONNX files, read with the ``onnx`` package.

::

    reader.py      the file as data: nodes, constants, inputs; checked and bounded
    folding.py     constants computed while lowering: shapes, weights
    operators.py   one short rule per operator; recurrent.py those of recurrent ones
    lower.py       all of it in order
"""

from graphsim.frontends.onnx.lower import lower

__all__ = ["lower"]
