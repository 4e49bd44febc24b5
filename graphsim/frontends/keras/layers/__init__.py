"""The lowering rules, one file per family of layers. Start with ``registry``: what a rule is, and how one is written.

Importing this package registers every rule.
"""

from graphsim.frontends.keras.layers import (
    arithmetic,
    attention,
    conv,
    conv_recurrent,
    core,
    distributed,
    embedding,
    merge,
    norm,
    pool,
    preprocessing,
    rearranging,
    recurrent,
    shape,
    tensorflow,
)
from graphsim.frontends.keras.layers.operations import OPERATIONS, operation_calling
from graphsim.frontends.keras.layers.registry import (
    OWN,
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
    "OWN",
    "RULES",
    "Calling",
    "Given",
    "Lowering",
    "Merging",
    "Rule",
    "arithmetic",
    "attention",
    "calling",
    "calls",
    "conv",
    "conv_recurrent",
    "core",
    "distributed",
    "embedding",
    "lowers",
    "merge",
    "merges",
    "norm",
    "operation_calling",
    "pool",
    "preprocessing",
    "rearranging",
    "reason_without_rule",
    "recurrent",
    "shape",
    "tensorflow",
]
