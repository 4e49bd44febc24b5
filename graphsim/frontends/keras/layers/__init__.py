"""The lowering rules, one file per family of layers. Start with ``registry``: what a rule is, and how one is written.

Importing this package registers every rule.
"""

from graphsim.frontends.keras.layers import conv, core, distributed, norm, operations, pool, recurrent, shape
from graphsim.frontends.keras.layers.operations import OPERATIONS
from graphsim.frontends.keras.layers.registry import (
    RULES,
    Calling,
    Given,
    Lowering,
    Merging,
    Rule,
    calling,
    calls,
    lowers,
    merges,
    reason_without_rule,
)

__all__ = [
    "OPERATIONS",
    "RULES",
    "Calling",
    "Given",
    "Lowering",
    "Merging",
    "Rule",
    "calling",
    "calls",
    "conv",
    "core",
    "distributed",
    "lowers",
    "merges",
    "norm",
    "operations",
    "pool",
    "reason_without_rule",
    "recurrent",
    "shape",
]
