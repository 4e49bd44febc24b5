"""What a graph computes, as formulas: ``y[0] = x0 + x3 - x7``, ``y = x0 * 1/x1``.

From the outputs back to the inputs. Actors that only hand on what they get are left out; an actor whose value is used
twice is written twice, as far as there is room.
"""

from __future__ import annotations

from collections.abc import Callable

from graphsim.graph.graph import Actor, Graph
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
    """A line for every value that an output of the graph has, in order.

    Inputs are x0, x1 and so on, of a graph with several inputs after their groups; outputs y, or y[0] and so on. A line
    of more than ``limit`` characters ends in three dots.
    """
    inputs = [number for number, group in enumerate(graph.groups) if group.op == "input"]
    written: dict[int, _Text] = {}
    for number in inputs:
        prefix = "x" if len(inputs) == 1 else f"{graph.groups[number].name}."
        first = int(graph.first[number])
        written |= {first + i: (f"{prefix}{i}", _ATOM) for i in range(graph.groups[number].size)}
    lines = []
    sinks = [number for number, group in enumerate(graph.groups) if group.op in SINKS]
    for number in sinks:
        edges = graph.actor(int(graph.first[number])).inputs
        name = "y" if len(sinks) == 1 else graph.groups[number].name
        for i, edge in enumerate(edges):
            line = f"{name if len(edges) == 1 else f'{name}[{i}]'} = {_written(graph, edge.producer, written, limit)}"
            lines.append(line if len(line) <= limit else line[: limit - len(_CUT)] + _CUT)
    return lines


def _written(graph: Graph, actor: int, written: dict[int, _Text], limit: int) -> str:
    """The text of an actor; all that it needs is written before it, without recursion."""
    waiting = [actor]
    while waiting:
        found = graph.actor(waiting[-1])
        missing = [edge.producer for edge in found.inputs if edge.producer not in written]
        if waiting[-1] in written or not missing or len(waiting) > DEEPEST:
            at = waiting.pop()
            terms = [(written.get(edge.producer, (_CUT, _ATOM)), edge.weight) for edge in found.inputs]
            text, tightness = _text(found, terms)
            written.setdefault(at, (text, tightness) if len(text) <= limit else (text[:limit] + _CUT, _ATOM))
        else:
            waiting.append(missing[0])
    return written[actor][0]


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
