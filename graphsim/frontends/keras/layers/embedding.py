"""Embeddings, and masks made from values."""

from __future__ import annotations

import string
from dataclasses import replace

import numpy as np

from graphsim.frontends.blocks.arith import Equation, elementwise, unary, weighted
from graphsim.frontends.blocks.reduce import Over
from graphsim.frontends.builder import Builder, RefusedError, Stored, Tensor, Unary
from graphsim.frontends.keras.fields import Fields, shown
from graphsim.frontends.keras.layers.distributed import only_tensor
from graphsim.frontends.keras.layers.registry import Calling, Given, Lowering, calls, lowers
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


@calls("ReversibleEmbedding")
def reversible(fields: Fields, semantics: Semantics) -> Calling:
    """An Embedding; called with ``reverse``, a sum of products with its table, or with one of its own."""
    rows, width = fields.size("input_dim"), fields.size("output_dim")
    is_tied = fields.flag("tie_weights", default=True)
    forwards = embedding(fields, semantics)
    cap = None if fields.find("logit_soft_cap") is None else fields.number("logit_soft_cap")
    if cap == 0:
        raise fields.error("'logit_soft_cap' is 0")
    if fields.find("reverse_dtype") not in (None, "float32"):
        raise RefusedError(f"it computes in {shown(fields.find('reverse_dtype'))}; graphs compute in float32")

    def build(to: Builder, given: Given) -> Tensor:
        kwargs = dict(given.kwargs)
        is_reversed = kwargs.pop("reverse", False)
        x = only_tensor(replace(given, kwargs=kwargs))
        table = to.weight("embeddings", [rows, width])
        own = None if is_tied else to.weight("reverse_embeddings", [width, rows])
        if not is_reversed:
            return forwards(to, x)
        if x.shape[-1:] != (width,):
            raise to.error(f"multiplies rows of {width} elements in reverse; its input has shape {x.shape}")
        free = string.ascii_lowercase[: len(x.shape) - 1]
        kernel = Stored(to.derive("embeddings.transposed", lambda of: of(table).T.copy()), (width, rows))
        equation = Equation(f"{free}X", "XY", f"{free}Y")
        if cap is None:
            return weighted(to, equation, x, own or kernel)
        with to.within(shows=False):
            logits = weighted(to, equation, x, own or kernel, suffix="logits")
            capped = elementwise(
                to, "divide", [logits, np.full((), cap, np.float32)], activation=Unary("tanh"), suffix="capped"
            )
        return elementwise(to, "product", [capped, np.full((), cap, np.float32)])

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
