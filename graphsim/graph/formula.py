"""What a graph computes, as formulas: ``y[0] = x0 + x3 - x7``, ``y = x0 * 1/x1``.

From the outputs back to the inputs. Actors that only hand on what they get are left out; an actor whose value is used
twice is written twice, as far as there is room.
"""

from __future__ import annotations

from collections.abc import Callable

from graphsim.graph.graph import Actor, Graph, InputEdge
from graphsim.graph.ops import SINKS

#: Characters of a formula, beyond which it is cut.
LIMIT = 400
#: Actors on the way from an output to an input, beyond which nothing is written.
DEEPEST = 100
_CUT = "..."
#: How tightly a text holds together: sums, products, and what needs no brackets anywhere.
_SUM, _PRODUCT, _ATOM = range(3)
_Text = tuple[str, int]

_FUNCTIONS: dict[str, Callable[[str], str]] = {
    "abs": lambda x: f"|{x}|",
    "exp": lambda x: f"exp({x})",
    "positive": lambda x: f"[{x} > 0]",
    "nonnegative": lambda x: f"[{x} >= 0]",
}


def formulas(graph: Graph, limit: int = LIMIT) -> list[str]:
    """A line for every value that an output of the graph has, in order; before them, one for every state.

    Inputs are x0, x1 and so on, of a graph with several inputs after their groups; outputs y, or y[0] and so on. What
    is read with initial tokens in between is a state: of ``rnn[0](t) = rnn[0](t-1) + ...`` outputs take ``rnn[0]``.
    A line of more than ``limit`` characters ends in three dots.
    """
    inputs = [number for number, group in enumerate(graph.groups) if group.op == "input"]
    writer = _Writer(graph, limit)
    for number in inputs:
        prefix = "x" if len(inputs) == 1 else f"{graph.groups[number].name}."
        first = int(graph.first[number])
        writer.written |= {first + i: (f"{prefix}{i}", _ATOM) for i in range(graph.groups[number].size)}
    lines = []
    for number in sorted({src for _, _, src in writer.delayed}):
        actors = range(int(graph.first[number]), int(graph.first[number]) + graph.groups[number].size)
        lines += [f"{graph.actor(actor).name}(t) = {writer.of(actor)}" for actor in actors]
        writer.written |= {actor: (graph.actor(actor).name, _ATOM) for actor in actors}
    sinks = [number for number, group in enumerate(graph.groups) if group.op in SINKS]
    for number in sinks:
        edges = graph.actor(int(graph.first[number])).inputs
        name = "y" if len(sinks) == 1 else graph.groups[number].name
        for i, edge in enumerate(edges):
            lines.append(f"{name if len(edges) == 1 else f'{name}[{i}]'} = {writer.of(edge.producer)}")
    return [line if len(line) <= limit else line[: limit - len(_CUT)] + _CUT for line in lines]


class _Writer:
    """Texts of actors. ``delayed``: group and port that read a state, and the group that has it."""

    def __init__(self, graph: Graph, limit: int) -> None:
        self.graph, self.limit = graph, limit
        self.written: dict[int, _Text] = {}
        self.delayed = {(c.dst, c.port, c.src) for c in graph.channels if c.initial_tokens}

    def of(self, actor: int) -> str:
        """The text of an actor; all that it needs is written before it, without recursion."""
        waiting = [actor]
        while waiting:
            found = self.graph.actor(waiting[-1])
            states = [self._is_delayed(found, edge) for edge in found.inputs]
            needed = [edge.producer for edge, state in zip(found.inputs, states, strict=True) if not state]
            missing = [producer for producer in needed if producer not in self.written]
            if waiting[-1] in self.written or not missing or len(waiting) > DEEPEST:
                at = waiting.pop()
                terms = [
                    (self._before(edge) if state else self.written.get(edge.producer, (_CUT, _ATOM)), edge.weight)
                    for edge, state in zip(found.inputs, states, strict=True)
                ]
                text, tightness = _text(found, terms)
                cut = (text[: self.limit] + _CUT, _ATOM)
                self.written.setdefault(at, (text, tightness) if len(text) <= self.limit else cut)
            else:
                waiting.append(missing[0])
        return self.written[actor][0]

    def _is_delayed(self, reader: Actor, edge: InputEdge) -> bool:
        producer = self.graph.actor(edge.producer)
        return (reader.group_number, edge.port, producer.group_number) in self.delayed

    def _before(self, edge: InputEdge) -> _Text:
        return f"{self.graph.actor(edge.producer).name}(t-1)", _ATOM


def _text(actor: Actor, terms: list[tuple[_Text, float | None]]) -> _Text:
    """An actor's value, in terms of what it is made from."""
    op, bias, divisor = actor.group.op, actor.param("bias"), actor.param("divisor")
    weighted = [_times(text, weight) for text, weight in terms]
    if op in ("linear", "sum"):
        found = _sum([*weighted, *([(_number(bias), _ATOM)] if bias else [])])
    elif op == "subtract":
        found = _sum([weighted[0], (f"-{_within(weighted[1], _PRODUCT)}", _PRODUCT)])
    elif op == "product":
        found = weighted[0] if len(weighted) == 1 else (" * ".join(_within(t, _PRODUCT) for t in weighted), _PRODUCT)
    elif op == "divide":
        found = f"{_within(weighted[0], _PRODUCT)} / {_within(weighted[1], _ATOM)}", _PRODUCT
    else:
        found = f"{op}({', '.join(text for text, _ in weighted)})", _ATOM
        if bias:
            found = _sum([found, (_number(bias), _ATOM)])
    if divisor is not None:
        found = f"{_within(found, _PRODUCT)} / {_number(divisor)}", _PRODUCT
    return _activated(actor, found)


def _activated(actor: Actor, inner: _Text) -> _Text:
    activation = actor.group.activation
    if activation == "linear":
        return inner
    if activation == "reciprocal":
        return f"1/{_within(inner, _ATOM)}", _PRODUCT
    if activation == "negative":
        return f"-{_within(inner, _PRODUCT)}", _PRODUCT
    if activation in _FUNCTIONS:
        return _FUNCTIONS[activation](inner[0]), _ATOM
    alpha = actor.param("alpha")
    args = [*([] if alpha is None else [alpha]), *actor.group.activation_args]
    return f"{activation}({', '.join([inner[0], *map(_number, args)])})", _ATOM


def _times(text: _Text, weight: float | None) -> _Text:
    if weight is None or weight == 1:
        return text
    if weight == -1:
        return f"-{_within(text, _PRODUCT)}", _PRODUCT
    return f"{_number(weight)} {_within(text, _PRODUCT)}", _PRODUCT


def _sum(terms: list[_Text]) -> _Text:
    """Terms with their signs between them."""
    if not terms:
        return "0", _ATOM
    if len(terms) == 1:
        return terms[0]
    text = terms[0][0]
    for term, _ in terms[1:]:
        text += f" - {term[1:]}" if term.startswith("-") else f" + {term}"
    return text, _SUM


def _within(text: _Text, tightness: int) -> str:
    """In brackets where it would come apart; a sign in front comes apart too."""
    is_loose = text[1] < tightness or (text[0].startswith("-") and tightness > _SUM)
    return f"({text[0]})" if is_loose else text[0]


def _number(value: float) -> str:
    return f"{value:.6g}"
