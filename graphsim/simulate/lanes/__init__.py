"""The lanes engine: native speed, many neurons and samples side by side, the bits of the reference.

From the outside in: ``engine`` (threads, memory), ``program`` (a graph as records), ``execute`` (the interpreter of
those records), ``sums`` (weighted sums over dense bundles), ``tiles`` (their innermost loops). The last three import
Numba; they are imported when the first engine is made.
"""

from graphsim.simulate.lanes.engine import LanesEngine, Way, Ways

__all__ = ["LanesEngine", "Way", "Ways"]
