"""The lanes engine: native speed, many neurons and samples side by side, the bits of the reference.

From the outside in: ``engine`` (threads, memory), ``program`` and ``windows`` (a graph as records), ``execute`` (the
interpreter of those records), ``loops`` (one per op), ``walk`` (windows), ``sums`` (weighted sums), ``tiles`` (their
innermost loops). The last five import Numba; they are imported when the first engine is made.
"""

from graphsim.simulate.lanes.engine import LanesEngine, Way, Ways

__all__ = ["LanesEngine", "Way", "Ways"]
