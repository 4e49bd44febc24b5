"""Transformations of graphs: one pass per file, a frozen dataclass whose fields are its options."""

from graphsim.passes.base import Pass
from graphsim.passes.fan_in import SplitFanIn
from graphsim.passes.prune import PruneZeros
from graphsim.passes.unroll import Unroll, Unrolled, unroll

__all__ = ["Pass", "PruneZeros", "SplitFanIn", "Unroll", "Unrolled", "unroll"]
