"""The oracle: every actor fires by itself, in id order, as :mod:`graphsim.graph.ops` says, in plain Python and NumPy.

Written to be believed, not to be fast: a sample of the MNIST net takes about 5 ms. All other engines are tested to
give the same bits. The only shortcut is ``numpy.add.accumulate`` for weighted sums, which adds from left to right, one
rounding per term (a test holds it equal to the loop).
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from graphsim.graph import Actor, Graph
from graphsim.graph.ops import ACTIVATIONS, OPS, argmax, dot, lookup, select, sparsemax
from graphsim.simulate.engine import (
    FloatArray,
    Keep,
    Progress,
    Run,
    as_inputs,
    check_runnable,
    kept_groups,
    token_shape,
)

_IGNORE = {"over": "ignore", "under": "ignore", "invalid": "ignore", "divide": "ignore"}


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
    """One firing: from its terms, float32 (k,), to its token, float32 (width,)."""
    if actor.op == "collect":
        return terms
    if actor.op == "argmax":
        best = argmax(terms)
        return np.array([best, terms[best]], np.float32)
    if actor.table is not None:
        return np.array([lookup(actor.table, terms[0])], np.float32)
    acc = fold(actor.op, terms)
    if actor.bias is not None:
        acc = acc + actor.bias
    if actor.divisor is not None:
        acc = acc / actor.divisor
    rule = ACTIVATIONS[actor.actor.group.activation].rule
    return np.array([np.float32(rule(float(acc), *actor.arguments))], np.float32)


class ReferenceEngine:
    """Fires one actor at a time.

    Raises:
        SimulationError: the graph has rates other than one or initial tokens.
    """

    name = "reference"

    def __init__(self, graph: Graph) -> None:
        check_runnable(graph, self.name)
        self.graph = graph
        self._actors = [prepare(actor) for actor in graph if actor.group.op != "source"]

    def run(
        self,
        samples: FloatArray | tuple[FloatArray, ...],
        *,
        keep: Keep = "all",
        progress: Progress | None = None,
    ) -> Run:
        """Run samples, float32 (N, *input shape); see :class:`graphsim.simulate.engine.Engine`."""
        graph = self.graph
        inputs = as_inputs(graph, samples)
        kept = kept_groups(graph, keep)
        began = time.perf_counter()
        n = len(inputs[0])
        values = {g: np.empty((n, *graph.groups[g].shape, *token_shape(graph, g)), np.float32) for g in kept}
        with np.errstate(**_IGNORE):  # type: ignore[arg-type]
            for i in range(n):
                tokens = self._iterate([flat[i] for flat in inputs])
                for g, array in values.items():
                    array[i] = np.concatenate(tokens[graph.first[g] : graph.first[g + 1]]).reshape(array.shape[1:])
                if progress is not None:
                    progress(i + 1)
        named = {graph.groups[g].name: array for g, array in values.items()}
        return Run(self.name, n, named, None, time.perf_counter() - began)

    def _iterate(self, sample: list[FloatArray]) -> list[FloatArray]:
        """One iteration: the token of every actor, by id (a source's is its whole sample)."""
        graph = self.graph
        tokens: list[FloatArray] = [np.empty(0, np.float32)] * graph.actor_count
        scalars = np.zeros(graph.actor_count, np.float32)
        for source, elements in zip(graph.sources, sample, strict=True):
            tokens[int(graph.first[source])] = elements
        for prepared in self._actors:
            actor = prepared.actor
            if prepared.op == "input":
                terms = tokens[prepared.producers[0]][actor.local : actor.local + 1]
            else:
                terms = prepared.weights * scalars[prepared.producers]
            token = fire(prepared, terms)
            tokens[actor.id] = token
            scalars[actor.id] = token[0]
        return tokens
