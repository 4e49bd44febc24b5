"""Layers that merge several tensors.

Masks: Keras 3 keeps one where every input has one, and a step counts where it does in any of them; Keras 1 and 2 keep
one where any input has one, and a step counts where it does in all that have. Multiply, Maximum and Minimum of Keras 3
leave out what is masked. Source: keras/src/layers/merging of Keras 3.15, and keras/layers/merging of Keras 2.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from graphsim.frontends.blocks.arith import Equation, Operation, constant, contraction, elementwise, select
from graphsim.frontends.blocks.norm import unit
from graphsim.frontends.blocks.reduce import Over
from graphsim.frontends.blocks.shape import joined
from graphsim.frontends.builder import Builder, RefusedError, Tensor, Unary, positive_axis
from graphsim.frontends.keras.fields import Fields, shown
from graphsim.frontends.keras.layers.registry import RULES, Merging, merges
from graphsim.frontends.keras.semantics import Semantics

_ELEMENTWISE: dict[str, Operation] = {
    "Add": "sum",
    "Subtract": "subtract",
    "Multiply": "product",
    "Average": "mean",
    "Maximum": "max",
    "Minimum": "min",
}


def _elementwise(op: Operation) -> Callable[[Fields, Semantics], Merging]:
    """One actor per element, one port per input, inputs broadcast as NumPy does."""

    def rule(fields: Fields, semantics: Semantics) -> Merging:
        def build(to: Builder, xs: Sequence[Tensor]) -> Tensor:
            if op == "subtract" and len(xs) != 2:
                raise RefusedError(f"it subtracts {len(xs)} tensors; it takes two")
            leaves_out = semantics.major == 3 and any(x.mask is not None for x in xs)
            if op == "product" and leaves_out:
                return _masked_product(to, xs, _mask(to, xs, semantics))
            if op in ("max", "min") and leaves_out:
                return _masked_extreme(to, op, xs, _mask(to, xs, semantics))
            return replace(elementwise(to, op, xs), mask=_mask(to, xs, semantics))

        return build

    return rule


for _name, _op in _ELEMENTWISE.items():
    merges(_name, mask="own")(_elementwise(_op))


def _along_features(mask: Tensor, x: Tensor) -> Tensor:
    """A mask of steps as a tensor that broadcasts to ``x``."""
    if mask.shape != x.shape[:-1]:
        raise RefusedError(f"it leaves out what a mask of shape {mask.shape} masks, in an input of shape {x.shape}")
    return mask.reshaped((*mask.shape, 1))


def _masked_product(to: Builder, xs: Sequence[Tensor], mask: Tensor | None) -> Tensor:
    """1 in place of what is masked, and 0 where all of it is."""
    one = np.ones((), np.float32)
    factors = [
        x if x.mask is None else select(to, _along_features(x.mask, x), x, one, suffix=f"factor{number}", observes="")
        for number, x in enumerate(xs)
    ]
    ends = [] if mask is None else [_along_features(mask, xs[0])]
    return replace(elementwise(to, "product", [*factors, *ends]), mask=mask)


def _masked_extreme(to: Builder, op: Operation, xs: Sequence[Tensor], mask: Tensor | None) -> Tensor:
    """In place of what is masked, what it is compared with; one tensor after the other."""
    first, *others = xs
    y, counts = first, None if first.mask is None else _along_features(first.mask, first)
    for number, x in enumerate(others, 1):
        own = None if x.mask is None else _along_features(x.mask, x)
        if own is not None:
            x = select(to, own, x, y, suffix=f"second{number}", observes="")
        if counts is not None:
            y = select(to, counts, y, x, suffix=f"first{number}", observes="")
        is_last = number == len(others)
        if counts is not None and own is not None:
            counts = own if is_last else elementwise(to, "max", [counts, own], suffix=f"counts{number}", observes="")
        else:
            counts = None
        suffix = "" if is_last else f"step{number}"
        y = elementwise(to, op, [y, x], suffix=suffix, observes="output" if is_last else "")
    return replace(y, mask=mask)


def _mask(to: Builder, xs: Sequence[Tensor], semantics: Semantics) -> Tensor | None:
    """Which steps count when tensors of the same steps are merged; see the module docstring."""
    masks = [x.mask for x in xs if x.mask is not None]
    if not masks or (semantics.major == 3 and len(masks) < len(xs)):
        return None
    different = list({mask.group: mask for mask in masks}.values())
    if len(different) == 1:
        return different[0]
    return elementwise(to, "max" if semantics.major == 3 else "product", different, suffix="mask", observes="")


@merges("Concatenate", mask="own")
def concatenate(fields: Fields, semantics: Semantics) -> Merging:
    """Actors that pass their one input on; each input tensor is a port that feeds some of them."""
    axis = fields.integer("axis", "concat_axis", default=-1)

    def build(to: Builder, xs: Sequence[Tensor]) -> Tensor:
        rank = len(xs[0].shape)
        at = positive_axis(axis, rank)
        y = joined(to, xs, at)
        if all(x.mask is None for x in xs):
            return y
        if rank != 2 or any(x.mask is not None and x.mask.shape != x.shape[:1] for x in xs):
            raise RefusedError("it concatenates masked tensors that are not of steps and features")
        if at == 1:
            return replace(y, mask=_mask(to, xs, semantics))
        # Of an input without a mask, every step counts.
        masks = [constant(to, np.ones((), np.float32), x.shape[:1], suffix=f"ones{i}") if x.mask is None else x.mask
                 for i, x in enumerate(xs)]  # fmt: skip
        return replace(y, mask=joined(to, masks, 0, suffix="mask", observes=""))

    return build


@merges("Dot", mask="own")
def dot(fields: Fields, semantics: Semantics) -> Merging:
    """Sums of products along an axis of each of two tensors, which may be brought to length 1 first."""
    axes = fields.find("axes", "dot_axes")
    axes = -1 if axes is None else axes
    is_normalised = fields.flag("normalize", default=False)

    def build(to: Builder, xs: Sequence[Tensor]) -> Tensor:
        left, right = _two(xs)
        along = _dot_axes(axes, left, right)
        if is_normalised:
            # Keras 2 bounds the sum of squares from below, Keras 3 the inverse of its root from above.
            unite = partial(unit, to, least=0.0, most=1e7)
            if semantics.major < 3:
                unite = partial(unit, to, least=float(np.float32(1e-12)))
            over = [Over(x.shape, frozenset([axis])) for x, axis in zip(xs, along, strict=True)]
            left = unite(left, over[0], part="left", observes="")
            right = unite(right, over[1], part="right", observes="")
        return _dot(to, left, right, along)

    return build


def _two(xs: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    if len(xs) != 2 or any(not x.shape for x in xs):
        raise RefusedError(f"it multiplies {len(xs)} tensors; it takes two, with an axis beside the batch")
    return xs[0], xs[1]


def _dot_axes(axes: object, left: Tensor, right: Tensor) -> tuple[int, int]:
    pair = axes if isinstance(axes, list) else [axes, axes]
    if len(pair) != 2:
        raise RefusedError(f"its axes are {shown(axes)}; they should be one number or two")
    first, second = (positive_axis(axis, len(x.shape)) for axis, x in zip(pair, (left, right), strict=True))
    if left.shape[first] != right.shape[second]:
        raise RefusedError(f"its inputs of shapes {left.shape} and {right.shape} do not fit along axes {shown(axes)}")
    return first, second


def _dot(
    to: Builder, left: Tensor, right: Tensor, along: tuple[int, int], *, suffix: str = "", observed: bool = True
) -> Tensor:
    first = string.ascii_lowercase[: len(left.shape)]
    second = string.ascii_uppercase[: len(right.shape)]
    second = second.replace(second[along[1]], first[along[0]])
    result = "".join(letter for letter in first + second if letter != first[along[0]])
    equation = Equation(first, second, result)
    shape = None if result else (1,)
    return contraction(to, equation, left, right, shape=shape, suffix=suffix, observes="output" if observed else "")


@merges("Merge", mask="own")
def merge(fields: Fields, semantics: Semantics) -> Merging:
    """Keras 1's Merge in a functional model: the layer that its mode names, or the cosine of two vectors."""
    mode = fields.text("mode", default="sum")
    if mode == "cos":
        return _cosine(fields)
    classes = {"sum": "Add", "mul": "Multiply", "ave": "Average", "max": "Maximum", "concat": "Concatenate"}
    rule = RULES[(classes | {"dot": "Dot"})[mode]].many if mode in classes or mode == "dot" else None
    if rule is None:
        raise RefusedError(f"mode {shown(mode)} of Keras 1's Merge is not lowered")
    return rule(fields, semantics)


def _cosine(fields: Fields) -> Merging:
    """l . r / max(sqrt((l . l) (r . r)), 1e-7)."""
    axes = fields.data.get("dot_axes", -1)

    def build(to: Builder, xs: Sequence[Tensor]) -> Tensor:
        left, right = _two(xs)
        along = _dot_axes(axes, left, right)
        if len(left.shape) != 1 or len(right.shape) != 1:
            raise RefusedError("mode 'cos' of Keras 1's Merge is lowered for vectors only")
        squares = [
            _dot(to, x, x, (0, 0), suffix=f"square{number}", observed=False) for number, x in enumerate((left, right))
        ]
        least = float(np.float32(1e-7))
        length = elementwise(to, "product", squares, activation=Unary("sqrt"), suffix="length", observes="")
        bounded = to.group("sum", length.shape, suffix="bounded", activation=Unary("threshold", (least, least)))
        to.one_to_one(length, bounded)
        return elementwise(to, "divide", [_dot(to, left, right, along, suffix="dot", observed=False), bounded])

    return build
