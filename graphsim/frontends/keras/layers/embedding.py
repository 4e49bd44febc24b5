"""Embeddings, and masks made from values."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from graphsim.frontends.blocks.arith import elementwise, unary
from graphsim.frontends.blocks.reduce import Over
from graphsim.frontends.builder import Builder, RefusedError, Tensor, Unary
from graphsim.frontends.keras.fields import Fields
from graphsim.frontends.keras.layers.registry import Lowering, lowers
from graphsim.frontends.keras.semantics import Semantics
from graphsim.graph import Ref

_NONZERO = Unary("nonzero")


@lowers("Embedding", mask="own")
def embedding(fields: Fields, semantics: Semantics) -> Lowering:
    """One actor per element of a row of the table, each with its column; with ``mask_zero``, class 0 is masked."""
    rows, width = fields.size("input_dim"), fields.size("output_dim")
    has_mask = fields.flag("mask_zero", default=False)
    if fields.find("lora_rank") is not None:
        raise RefusedError("it has weights of low rank (lora) beside its table")

    def build(to: Builder, x: Tensor) -> Tensor:
        to.expects(x)(0, rows - 1, "Embedding")
        table = to.weight("embeddings", [rows, width])
        y = to.group("lookup", [*x.shape, width], params={"table": Ref(table.param)}, observes="output")
        to.elements(x.reshaped([*x.shape, 1]), y)
        mask = unary(to, x.reshaped(x.shape), _NONZERO, suffix="mask", observes="") if has_mask else None
        return replace(y, mask=mask)

    return build


@lowers("Masking", mask="own")
def masking(fields: Fields, semantics: Semantics) -> Lowering:
    """Steps whose every feature is ``mask_value`` are masked, and become 0."""
    value = np.full((), fields.number("mask_value", default=0.0), np.float32)

    def build(to: Builder, x: Tensor) -> Tensor:
        if not x.shape:
            raise RefusedError("its input has no axis beside the batch")
        differs = elementwise(to, "subtract", [x, value], activation=_NONZERO, suffix="differs", observes="")
        over = Over(x.shape, frozenset([len(x.shape) - 1]))
        mask = to.group("max", over.kept, suffix="mask")
        over.down(to, differs, mask)
        y = elementwise(to, "product", [x, mask])
        return replace(y, mask=mask.reshaped(x.shape[:-1]))

    return build
