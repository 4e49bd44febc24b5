"""The circuit engine: gates run bit-parallel, the bits of the reference.

From the outside in: ``engine`` (samples, groups), ``packed`` (a circuit on words; which way is the faster),
``ternary``, ``apart`` and ``cover`` (a circuit as operations of three inputs), ``order`` (in which order, in which
registers), ``code`` (LLVM), ``interpreter``, ``drive`` (blocks of lanes in and out), ``kept`` (compiled code on disk).
Beside it, ``cells``: boards of cells that a circuit drives, with ``stencil`` (what rows share).
"""

from graphsim.simulate.circuit.cells import CellularAutomaton
from graphsim.simulate.circuit.engine import CircuitEngine
from graphsim.simulate.circuit.packed import PackedCircuit, Way

__all__ = ["CellularAutomaton", "CircuitEngine", "PackedCircuit", "Way"]
