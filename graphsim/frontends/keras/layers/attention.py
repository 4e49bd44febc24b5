"""Attention, and Dense layers that a sum of products describes.

What counts, and how scores that do not count are kept out, is as Keras has it: ``Attention`` takes 1e9 off them;
``MultiHeadAttention`` of Keras 3 writes a least value in their place, that of Keras 2 takes 1e9 off. Of queries none of
whose keys count, Keras 3 makes the mean of all values where TensorFlow's fused attention computes (three-dimensional
inputs, no dropout, no scores returned), else 0. Sources: keras/src/layers/attention of Keras 3.15, and
``_dot_product_attention_xla`` in its backend for TensorFlow.
"""

from __future__ import annotations

import math
import string
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from graphsim.frontends.blocks.arith import Equation, Value, contraction, elementwise, unary, weighted
from graphsim.frontends.blocks.attention import (
    LEAST,
    PENALTY,
    causal,
    counted,
    mixed,
    penalised,
    replaced,
    scaled,
    sliding,
    weights_of,
)
from graphsim.frontends.blocks.reduce import Over
from graphsim.frontends.blocks.shape import moved, repeated
from graphsim.frontends.builder import LINEAR, Builder, RefusedError, Tensor, Unary, positive_axis
from graphsim.frontends.keras import activations
from graphsim.frontends.keras.fields import Fields, shown
from graphsim.frontends.keras.layers.registry import Calling, Given, Lowering, calls, lowers
from graphsim.frontends.keras.semantics import Semantics
from graphsim.graph import Axis, Ref
from graphsim.graph.graph import Observed

Made = Tensor | Sequence[Tensor]


def _options(given: Given, names: Sequence[str], tensors: Sequence[str]) -> tuple[dict[str, Any], set[str]]:
    """Arguments by name; and which of the keywords ``return_attention_scores`` and ``use_causal_mask`` are set.

    Raises:
        RefusedError: others are given, or what should be a tensor is none.
    """
    found = {name: value for name, value in zip(names, given.args, strict=False) if value is not None}
    if len(given.args) > len(names):
        raise RefusedError(f"it is called with {len(given.args)} arguments; {len(names)} are known")
    found |= given.kwargs
    set_ = {key for key in ("return_attention_scores", "use_causal_mask") if found.pop(key, False) is True}
    found.pop("training", None)
    if unknown := sorted(set(found) - set(names)):
        raise RefusedError(f"it is called with {', '.join(map(shown, unknown))}, which is not lowered")
    for name in tensors:
        if name in found and not isinstance(found[name], Tensor):
            raise RefusedError(f"it is called with {name} = {shown(found[name])}, which is not a tensor")
    return found, set_


# -- Attention and AdditiveAttention --------------------------------------------------------------------------------


def _attention(additive: bool, fields: Fields) -> Calling:
    """Scores of queries and keys; values weighted by their softmax."""
    mode = "additive" if additive else fields.text("score_mode", default="dot")
    if mode not in ("additive", "dot", "concat"):
        raise fields.error(f"'score_mode' is {shown(mode)}; it should be dot or concat")
    has_scale = fields.flag("use_scale", default=additive)
    is_causal = fields.flag("causal", default=False)  # an option of the layer before Keras 2.10

    def build(to: Builder, given: Given) -> Made:
        found, options = _options(given, ["inputs", "mask"], [])
        xs = found.get("inputs")
        if not isinstance(xs, list) or len(xs) not in (2, 3) or not all(isinstance(x, Tensor) for x in xs):
            raise RefusedError("it is not called on a list of query, value and perhaps key")
        query, value, key = xs[0], xs[1], xs[-1] if len(xs) == 3 else xs[1]
        masks = found.get("mask", [x.mask for x in xs])
        if not isinstance(masks, list) or not all(m is None or isinstance(m, Tensor) for m in masks):
            raise RefusedError(f"it is called with mask {shown(masks)}, which is not a list of tensors")
        if any(len(x.shape) != 2 for x in xs) or query.shape[1] != key.shape[1] or key.shape[0] != value.shape[0]:
            raise RefusedError(
                f"its inputs have shapes {', '.join(str(x.shape) for x in xs)}; it takes steps and features that fit"
            )
        scores = _scores(to, mode, has_scale, query, key)
        static = causal(*scores.shape) if is_causal or "use_causal_mask" in options else None
        counts = [m.reshaped((1, m.size)) for m in masks[1:2] if m is not None]
        returned = "return_attention_scores" in options
        scores = penalised(to, scores, counted(to, counts, static))
        weights = weights_of(to, scores, [1], observes="output:1" if returned else "")
        y = mixed(to, weights, value, Equation("qk", "kv", "qv"), observes="" if masks[0] is not None else "output")
        if masks[0] is not None:
            y = elementwise(to, "product", [y, masks[0].reshaped((query.shape[0], 1))])
        y = replace(y, mask=masks[0])
        return [y, weights] if returned else y

    return build


def _scores(to: Builder, mode: str, has_scale: bool, query: Tensor, key: Tensor) -> Tensor:
    """Scores (queries, keys), in the order in which Keras multiplies and adds."""
    if mode == "dot":
        scores = contraction(to, Equation("qd", "kd", "qk"), query, key, suffix="scores", observes="")
        if has_scale:
            scale = to.weight("scale", [])
            scores = _times(to, scores, Ref(to.derive("scales", lambda of: of(scale).reshape(1))), "scaled")
        return scores
    steps, keys, features = query.shape[0], *key.shape
    pair = (steps, keys, features)
    of_pairs = to.weight("scale", [features] if mode == "additive" else []) if has_scale else None
    added = to.group(
        "sum",
        pair,
        suffix="added",
        activation=Unary("tanh") if mode == "additive" or of_pairs is None else LINEAR,
    )
    to.elements(query.reshaped((steps, 1, features)), added, 0)
    to.elements(key.reshaped((1, keys, features)), added, 1)
    if mode == "concat" and of_pairs is not None:
        scales = Ref(to.derive("scales", lambda of: of(of_pairs).reshape(1)))
        added = _times(to, added, scales, "scaled", Unary("tanh"))
    if mode == "additive" and of_pairs is not None:
        added = _times(to, added, Ref(of_pairs.param), "scaled")
    over = Over(pair, frozenset([2]))
    scores = to.group("sum", over.kept, suffix="scores")
    over.down(to, added, scores)
    scores = scores.reshaped(pair[:2])
    if mode == "concat":
        factor = to.weight("concat_score_weight", [])
        scores = _times(to, scores, Ref(to.derive("score_weights", lambda of: of(factor).reshape(1))), "weighted")
    return scores


def _times(to: Builder, x: Tensor, weight: Ref, suffix: str, activation: Unary = LINEAR) -> Tensor:
    y = to.group("linear", x.shape, suffix=suffix, activation=activation)
    to.one_to_one(x, y, weight=weight)
    return y


@calls("Attention")
def attention(fields: Fields, semantics: Semantics) -> Calling:
    """Scores are products of queries and keys, or a tanh of their sum; values weighted by their softmax."""
    return _attention(False, fields)


@calls("AdditiveAttention")
def additive_attention(fields: Fields, semantics: Semantics) -> Calling:
    """Scores are a tanh of the sum of query and key, weighted; values weighted by their softmax."""
    return _attention(True, fields)


# -- MultiHeadAttention and GroupQueryAttention ---------------------------------------------------------------------

_ARGUMENTS = ("query", "value", "key", "query_mask", "value_mask", "key_mask", "attention_mask")


@dataclass(frozen=True)
class _Heads:
    """A layer of several heads.

    Attributes:
        queries, keys: how many heads there are of each; every head of keys serves as many of queries.
        width, depth: features of queries and keys, and of values.
        axes: of the samples, counted with the batch, along which is attended; None for all but the last.
        shape: of the output's features; None for those of the query.
        window: how near keys must be to count; None where all are near enough.
        drops: whether it drops scores in training, and so computes without TensorFlow's fused attention.
    """

    queries: int
    keys: int
    width: int
    depth: int
    has_bias: bool
    has_gate: bool
    drops: bool
    window: int | None
    axes: tuple[Any, ...] | None
    shape: tuple[Any, ...] | None
    semantics: Semantics

    def build(self, to: Builder, given: Given) -> Made:
        """A call."""
        found, options = _options(given, _ARGUMENTS, _ARGUMENTS)
        if "query" not in found or "value" not in found:
            raise RefusedError("it is not called on query and value")
        query, value, key = found["query"], found["value"], found.get("key", found["value"])
        rank = len(query.shape)
        if rank < 2 or value.shape[:-1] != key.shape[:-1] or len(value.shape) != rank:
            raise RefusedError(f"its inputs of shapes {query.shape}, {value.shape} and {key.shape} do not fit")
        axes = range(rank - 1) if self.axes is None else [positive_axis(axis, rank) for axis in self.axes]
        returned = "return_attention_scores" in options
        mask = self._mask(to, found, "use_causal_mask" in options)
        if mask is not None and (rank != 2 or list(axes) != [0]):
            raise RefusedError("it is masked, and its samples have more axes than steps and features")
        q = self._projected(to, query, "query", self.queries, self.width)
        k = self._shared(to, self._projected(to, key, "key", self.keys, self.width), "key")
        gate = self._projected(to, query, "gate", self.queries, self.depth) if self.has_gate else None
        v = self._shared(to, self._projected(to, value, "value", self.keys, self.depth), "value")
        fused = self.semantics.major == 3 and rank == 2 and not (self.drops or returned)
        weights = self._weights(to, q, k, axes, mask, fused, "output:1" if returned else "")
        y = mixed(to, weights, v, _spelled(rank + 1, axes)[1])
        if gate is not None:
            y = elementwise(to, "product", [y, gate], suffix="gated", observes="")
        y = replace(self._output(to, y, query.shape[-1:]), mask=query.mask)
        return [y, weights] if returned else y

    def _mask(self, to: Builder, found: dict[str, Any], is_causal: bool) -> Value | None:
        """Which keys count for which queries, (queries, keys)."""
        query, value = found["query"], found["value"]
        steps = query.shape[0], value.shape[0]
        key_mask = found["key"].mask if "key" in found else None
        counts = [
            mask.reshaped(shape)
            for mask, shape in (
                (query.mask, (steps[0], 1)),
                (found.get("value_mask", value.mask), (1, steps[1])),
                (found.get("key_mask", key_mask), (1, steps[1])),
            )
            if mask is not None
        ]
        counts = list({(mask.group, mask.shape): mask for mask in counts}.values())
        given = found.get("attention_mask")
        if given is not None:
            if len(given.shape) != 2 or any(n not in (1, m) for n, m in zip(given.shape, steps, strict=True)):
                raise RefusedError(f"its attention_mask has shape {given.shape}; one of {steps} is lowered")
            counts.append(unary(to, given, Unary("nonzero"), suffix="given", observes=""))
        static = causal(*steps) if is_causal else None
        if self.window is not None:
            near = sliding(*steps, self.window)
            static = near if static is None else static & near
        return counted(to, counts, static)

    def _projected(self, to: Builder, x: Tensor, part: str, heads: int, width: int) -> Tensor:
        """(steps ..., heads, width) from (steps ..., features)."""
        free = string.ascii_lowercase[: len(x.shape) - 1]
        return weighted(
            to,
            Equation(f"{free}X", "XYZ", f"{free}YZ"),
            x,
            to.weight("kernel", [x.shape[-1], heads, width], part=f"{part}_dense"),
            bias=self._bias(to, part, [heads, width]),
            activation=Unary("sigmoid") if part == "gate" else LINEAR,
            suffix=part,
            observes="",
        )

    def _bias(self, to: Builder, part: str, shape: Sequence[int]) -> Ref | None:
        if not self.has_bias:
            return None
        bias = to.weight("bias", shape, part=f"{part}_dense")
        return Ref(to.derive(f"{part}_bias", lambda of: of(bias).reshape(-1)))

    def _shared(self, to: Builder, x: Tensor, part: str) -> Tensor:
        """Every head for as many as there are heads of queries."""
        if self.keys == self.queries:
            return x
        *steps, heads, width = x.shape
        axes = [*(Axis(n, n) for n in steps), repeated(heads, self.queries // heads), Axis(width, width)]
        return moved(to, x, axes, suffix=f"{part}.shared", observes="")

    def _weights(
        self,
        to: Builder,
        q: Tensor,
        k: Tensor,
        axes: Sequence[int],
        mask: Value | None,
        fused: bool,
        observes: Observed,
    ) -> Tensor:
        """The softmax of the scores: (other axes ..., heads, queries ..., keys ...)."""
        scale = 1.0 / math.sqrt(self.width)
        if not fused:
            q = scaled(to, q, scale, "scaled")
        scores = contraction(to, _spelled(len(q.shape), axes)[0], k, q, suffix="scores", observes="")
        if fused:
            scores = scaled(to, scores, scale, "scaled")
        over = range(len(scores.shape) - len(axes), len(scores.shape))
        if self.semantics.major < 3:
            return weights_of(to, penalised(to, scores, mask), over, observes=observes)
        scores = replaced(to, scores, mask, LEAST if fused else -PENALTY)
        if mask is None or fused:
            return weights_of(to, scores, over, observes=observes)
        weights = weights_of(to, scores, over)
        return elementwise(to, "product", [weights, mask], suffix="counted", observes=observes)

    def _output(self, to: Builder, y: Tensor, features: tuple[int, ...]) -> Tensor:
        shape = features if self.shape is None else self.shape
        if any(isinstance(n, bool) or not isinstance(n, int) or n < 1 for n in shape):
            raise RefusedError(f"its output_shape is {shown(shape)}; it should be sizes")
        free, given = string.ascii_lowercase[: len(y.shape) - 2], string.ascii_uppercase[: len(shape)]
        kernel = to.weight("kernel", [*y.shape[-2:], *shape], part="output_dense")
        bias = self._bias(to, "output", shape)
        return weighted(to, Equation(f"{free}yz", f"yz{given}", f"{free}{given}"), y, kernel, bias=bias)


def _spelled(rank: int, along: Sequence[int]) -> tuple[Equation, Equation]:
    """Scores of keys and queries, and their mixture, for tensors of ``rank`` axes of which ``along`` are attended to.

    The scores have the axes that are not attended to first.
    """
    target = string.ascii_lowercase[:rank]
    source = "".join(letter.upper() if i in along else letter for i, letter in enumerate(target))
    kept = "".join(letter for i, letter in enumerate(target[:-1]) if i not in along)
    scores = kept + "".join(target[i] for i in along) + "".join(source[i] for i in along)
    return Equation(source, target, scores), Equation(scores, source, target)


def _heads(fields: Fields, semantics: Semantics, queries: int, keys: int, width: int, depth: int) -> _Heads:
    axes, shape = (fields.find(key) for key in ("attention_axes", "output_shape"))
    return _Heads(
        queries,
        keys,
        width,
        depth,
        has_bias=fields.flag("use_bias", default=True),
        has_gate=fields.flag("use_gate", default=False),
        drops=fields.number("dropout", default=0.0) > 0,
        window=None if fields.find("sliding_window") is None else fields.size("sliding_window"),
        axes=axes if axes is None else tuple(axes) if isinstance(axes, list) else (axes,),
        shape=shape if shape is None else tuple(shape) if isinstance(shape, list) else (shape,),
        semantics=semantics,
    )


@calls("MultiHeadAttention")
def multi_head_attention(fields: Fields, semantics: Semantics) -> Calling:
    """Queries, keys and values of several heads, each attended to by itself, then one projection of all."""
    heads, width = fields.size("num_heads"), fields.size("key_dim")
    depth = width if fields.find("value_dim") is None else fields.size("value_dim")
    return _heads(fields, semantics, heads, heads, width, depth).build


@calls("GroupQueryAttention", "GroupedQueryAttention")
def grouped_query_attention(fields: Fields, semantics: Semantics) -> Calling:
    """Attention of several heads, of which some share keys and values."""
    queries, keys, width = fields.size("num_query_heads"), fields.size("num_key_value_heads"), fields.size("head_dim")
    if queries % keys:
        raise fields.error(f"'num_query_heads' is {queries}; it should be a multiple of 'num_key_value_heads', {keys}")
    return _heads(fields, semantics, queries, keys, width, width).build


# -- EinsumDense ----------------------------------------------------------------------------------------------------


@lowers("EinsumDense")
def einsum_dense(fields: Fields, semantics: Semantics) -> Lowering:
    """A Dense layer whose sum of products is spelled out."""
    equation = fields.text("equation").replace(" ", "")
    axes = fields.text("bias_axes", default="")
    activation = activations.read(fields, semantics)
    stated = fields.find("output_shape")
    stated = stated if isinstance(stated, list) else [stated]
    if fields.find("lora_rank") is not None:
        raise RefusedError("it has weights of low rank (lora) beside its kernel")

    def build(to: Builder, x: Tensor) -> Tensor:
        of = spelled(equation, len(x.shape))
        sizes = dict(zip(of.left, x.shape, strict=True))
        for letter, size in zip(reversed(of.result), reversed(stated), strict=False):
            known = isinstance(size, int) and not isinstance(size, bool) and size > 0
            if known and sizes.setdefault(letter, size) != size:
                raise RefusedError(f"its output_shape {shown(stated)} does not fit an input of shape {x.shape}")
        if missing := set(of.right + of.result) - set(sizes):
            raise RefusedError(f"it does not say how large {', '.join(sorted(missing))} of {shown(equation)} is")
        kernel = to.weight("kernel", [sizes[letter] for letter in of.right])
        shape = [sizes[letter] for letter in of.result]
        ref = None
        if axes:
            places = [of.result.find(letter) for letter in axes]
            if min(places) < 0:
                raise RefusedError(f"its bias_axes {shown(axes)} are not axes of its output")
            over = [n if i in places else 1 for i, n in enumerate(shape)]
            bias = to.weight("bias", over[min(places) :])
            ref = to.spread("biases", lambda read: read(bias), over, shape)
        if isinstance(activation, Unary):
            return weighted(to, of, x, kernel, bias=ref, activation=activation)
        return activations.along(to, weighted(to, of, x, kernel, bias=ref, observes="pre"), activation)

    return build


def spelled(text: str, rank: int, second: int | None = None) -> Equation:
    """An equation of Keras, with the batch axis in front (or three dots for some axes), without it.

    Args:
        rank: axes of the left operand beside the batch; ``second``: those of the right one, where it has a batch too.

    Raises:
        RefusedError: it is no equation of two operands, or works along the batch.
    """
    operands, arrow, result = text.partition("->")
    left, comma, right = operands.partition(",")
    spare = [letter for letter in string.ascii_letters if letter not in text]

    def full(letters: str, axes: int | None) -> str:
        if "..." not in letters:
            return letters
        if axes is None:
            raise RefusedError(f"its equation {shown(text)} has dots in its kernel")
        count = axes + 1 - len(letters.replace("...", ""))
        return letters.replace("...", "".join(spare[: max(count, 0)]))

    result = full(result, rank)
    left, right = full(left, rank), full(right, second)
    letters = left + right + result
    if not arrow or not comma or not letters.isascii() or not letters.isalpha() or len(left) != rank + 1:
        raise RefusedError(f"its equation {shown(text)} is not one of two operands that is lowered")
    if second is not None and (right[:1] != left[0] or len(right) != second + 1):
        raise RefusedError(f"its equation {shown(text)} works along the batch axis")
    right = right if second is None else right[1:]
    if result[:1] != left[0] or left[0] in left[1:] + right + result[1:]:
        raise RefusedError(f"its equation {shown(text)} works along the batch axis")
    return Equation(left[1:], right, result[1:])
