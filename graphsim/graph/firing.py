"""One firing of one actor, as :mod:`graphsim.graph.ops` says, in plain Python and NumPy.

The only shortcut is ``numpy.add.accumulate`` for weighted sums, which adds from left to right, one rounding per term (a
test holds it equal to the loop).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from graphsim.graph.graph import Actor
from graphsim.graph.ops import ACTIVATIONS, OPS, argmax, dot, lookup, lut, select, sparsemax

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Prepared:
    """One actor, looked up once.

    Attributes:
        producers: ids of the actors it takes its terms from, int64 (k,), port by port in channel order.
        weights: float32 (k,); 1 where a bundle has no weight, which leaves a term as it is.
    """

    actor: Actor
    op: str
    producers: npt.NDArray[np.int64]
    weights: FloatArray
    bias: np.float32 | None
    divisor: np.float32 | None
    table: FloatArray | None
    pick: int | None
    truth: int | None
    arguments: tuple[float, ...]


def prepare(actor: Actor) -> Prepared:
    """Look up what a firing of this actor reads and computes."""
    edges = actor.inputs
    group = actor.group
    bias, divisor, alpha = (actor.param(role) for role in ("bias", "divisor", "alpha"))
    return Prepared(
        actor,
        group.op,
        np.array([e.producer for e in edges], np.int64),
        np.array([1.0 if e.weight is None else e.weight for e in edges], np.float32),
        None if bias is None else np.float32(bias),
        None if divisor is None else np.float32(divisor),
        actor.table,
        actor.pick,
        actor.truth,
        group.activation_args if alpha is None else (alpha, *group.activation_args),
    )


def fold(op: str, terms: FloatArray) -> np.float32:
    """An op's value before bias, divisor and activation: its float32 terms (k,), folded from left to right."""
    if op == "input":
        return np.float32(terms[0])
    if op == "sparsemax":
        return sparsemax(terms)
    if op == "dot":
        return dot(terms[: len(terms) // 2], terms[len(terms) // 2 :])
    if op == "select":
        return np.float32(select(*terms))
    step, zero = OPS[op].step, OPS[op].start == "zero"
    assert step is not None
    if op in ("linear", "sum", "mean"):
        total = np.add.accumulate(np.concatenate([np.zeros(1, np.float32), terms]), dtype=np.float32)[-1]
        return np.float32(total / np.float32(len(terms)) if op == "mean" else total)
    acc = np.float32(0) if zero else terms[0]
    for term in terms if zero else terms[1:]:
        acc = step(acc, term)
    return np.float32(acc)


def fire(actor: Prepared, terms: FloatArray) -> FloatArray:
    """One firing: from its terms, float32 (k,), to its token, float32 (width,); of a serial, to its tokens in order."""
    if actor.op in ("collect", "serial"):
        return terms
    if actor.op == "argmax":
        best = argmax(terms)
        return np.array([best, terms[best]], np.float32)
    if actor.table is not None:
        return np.array([lookup(actor.table, terms[0])], np.float32)
    if actor.pick is not None:
        return terms[actor.pick : actor.pick + 1]
    if actor.truth is not None:
        return np.array([lut(actor.truth, terms)], np.float32)
    acc = fold(actor.op, terms)
    if actor.bias is not None:
        acc = acc + actor.bias
    if actor.divisor is not None:
        acc = acc / actor.divisor
    rule = ACTIVATIONS[actor.actor.group.activation].rule
    return np.array([np.float32(rule(float(acc), *actor.arguments))], np.float32)
