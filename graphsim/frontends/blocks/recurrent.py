"""Recurrent layers: cells of gates whose actors fire once for each step of a sequence, and what carries their state.

A sequence of T steps is read by a ``serial``, one token per step; every group of a cell fires T times per sample. The
state of the step before is what a channel with one initial token holds: +0 at the first step of a sample. A state
that starts from another tensor is selected at the first step; a state that a mask holds is selected at every step.

R sequences that do not know of each other, such as those of a layer that is repeated for every index of an axis, are
rows: every group of the cell has R rows of actors, which share their parameters and fire T times each.

With U units, and F features at each step, a cell's groups and the formulas they compute (all of shape (U,), or (R, U)):

============= ======================= =======================================================================
simple        ""                      activation(x K + h R + b)
lstm          i, f, o                 recurrent_activation(x K + h R + b)
              c                       activation(x K + h R + b)
              keep, write, state      f c(t-1); i c; their sum, which is the cell's state c(t)
              squash, ""              activation(state), unless that is linear; o squash
gru           z, r                    recurrent_activation(x K + h R + b)
              reset, h                r h(t-1); activation(x K + reset R + b)
              or recurrent, reset, h  h R + recurrent_b; r recurrent; activation(x K + b + reset)
              keep, open, write, ""   z h(t-1); 1 - z; open h; keep + write
============= ======================= =======================================================================

Hochreiter and Schmidhuber, "Long short-term memory", 1997, with the forget gate of Gers, Schmidhuber and Cummins, 2000;
Cho et al., "Learning phrase representations using RNN encoder-decoder", 2014 (arXiv 1406.1078, v1 and v3: reset before
and after the product).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import repeat
from typing import Literal, NamedTuple, Protocol

import numpy as np

from graphsim.frontends.builder import LINEAR, Builder, RefusedError, Stored, Tensor, Unary, Weight
from graphsim.graph import Channel, Dense, OneToOne, Ref
from graphsim.graph.graph import Observed

#: An activation: of each element by itself, or what builds it on the values of one step.
Function = Unary | Callable[[Builder, Tensor], Tensor]
#: What is put out at a step that is masked: the output before (zeros at first), zeros, or the state.
Masked = Literal["repeat", "zero", "state"]


class State:
    """What one of a cell's states was a step before: read by the cell first, known when the step has been built."""

    def __init__(self, to: Builder, shape: Sequence[int]) -> None:
        self.to, self.shape = to, tuple(shape)
        self._waiting: list[Channel] = []
        self._from: Tensor | None = None

    def starts_from(self, initial: Tensor, first: Tensor, name: str) -> None:
        """Be ``initial`` at the step that ``first`` marks."""
        steps = first.steps
        given = self.to.repeated(initial, steps, suffix=_joined(name, "initial"))
        before = self.to.group("select", self.shape, suffix=_joined(name, "before"))
        self.to.dense(first, before, 0)
        self.to.one_to_one(given, before, 1)
        self.one_to_one(before, 2)
        self._from = before

    def dense(self, dst: Tensor, port: int, weight: Stored | Weight) -> None:
        """All of a row of it to all of the same row of ``dst``."""
        blocks = math.prod(self.shape[:-1])
        self.read(Dense(src=dst.group, dst=dst.group, port=port, weight=Ref(weight.param), blocks=blocks))

    def one_to_one(self, dst: Tensor, port: int) -> None:
        """Element i to element i."""
        self.read(OneToOne(src=dst.group, dst=dst.group, port=port))

    def read(self, channel: Channel) -> None:
        """By a bundle into ``channel.dst``; where it comes from is known later."""
        if self._from is None:
            self._waiting.append(channel)
        else:
            self.to.join(replace(channel, src=self._from.group))

    def becomes(self, new: Tensor, carries: bool) -> None:
        """Take the state of a step from ``new``. Where it ``carries``, a sample starts where the one before ended."""
        for channel in self._waiting:
            self.to.join(replace(channel, src=new.group, initial_tokens=1, reset=not carries))


class Step(NamedTuple):
    """What a cell makes of one step: its new states, and which of them it puts out."""

    states: tuple[Tensor, ...]
    put: int = 0

    @property
    def output(self) -> Tensor:
        """What it puts out."""
        return self.states[self.put]


class Cell(Protocol):
    """What is done at every step."""

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Of its states, in each row."""

    @property
    def names(self) -> tuple[str, ...]:
        """Of its states: parts of the names of groups, "" for the output."""

    def step(self, to: Builder, x: Tensor, before: Sequence[State], observes: Observed, mark: str) -> Step:
        """Build a step on ``x``; its output observes what is said, and names of new states end in ``mark``."""


class Gate(Protocol):
    """Weighted sums of a step and of a state, a bias, and an activation."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of what it makes, in each row."""

    def build(
        self,
        to: Builder,
        x: Tensor,
        state: State | Callable[[Tensor], None],
        function: Function,
        *,
        name: str = "",
        observes: Observed = "",
    ) -> Tensor:
        """The gate on a step and a state; or on a step and what ``state`` adds as port 1."""

    def read(self, to: Builder, x: Tensor, y: Tensor, port: int) -> None:
        """The weighted sums of a state that is known at this step."""

    def recall(self, to: Builder, state: State, y: Tensor, port: int) -> None:
        """The weighted sums of a state of the step before."""


@dataclass(frozen=True)
class DenseGate:
    """Parameters of the sums of U units: a kernel for the step (F, U), one for the state (U, U), a bias (U,).

    ``magnitude`` is there where the bias is the sum of two that the source adds one after the other: the sum of their
    absolute values.
    """

    kernel: Stored | Weight
    recurrent: Stored | Weight
    bias: Ref | None = None
    magnitude: Ref | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.kernel.shape[1],)

    def build(
        self,
        to: Builder,
        x: Tensor,
        state: State | Callable[[Tensor], None],
        function: Function,
        *,
        name: str = "",
        observes: Observed = "",
    ) -> Tensor:
        y = to.group(
            "linear",
            [*x.shape[:-1], *self.shape],
            suffix=name,
            activation=function if isinstance(function, Unary) else LINEAR,
            params={"bias": self.bias, "magnitude": self.magnitude},
            # The second bias, the sum of the two sums, and the stored bias, which was rounded.
            extra_roundings=0 if self.magnitude is None else 3,
            observes=observes if isinstance(function, Unary) else "",
        )
        to.dense(x, y, 0, weight=self.kernel, blocks=math.prod(x.shape[:-1]))
        if isinstance(state, State):
            self.recall(to, state, y, 1)
        else:
            state(y)
        return y if isinstance(function, Unary) else along(to, y, function, name)

    def read(self, to: Builder, x: Tensor, y: Tensor, port: int) -> None:
        to.dense(x, y, port, weight=self.recurrent, blocks=math.prod(x.shape[:-1]))

    def recall(self, to: Builder, state: State, y: Tensor, port: int) -> None:
        state.dense(y, port, self.recurrent)


@dataclass(frozen=True)
class SimpleCell:
    """h = activation(x K + h R + b)."""

    gate: Gate
    activation: Function

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        return (self.gate.shape,)

    @property
    def names(self) -> tuple[str, ...]:
        return ("",)

    def step(self, to: Builder, x: Tensor, before: Sequence[State], observes: Observed, mark: str) -> Step:
        return Step((self.gate.build(to, x, before[0], self.activation, name=mark, observes=observes),))


@dataclass(frozen=True)
class LstmCell:
    """Gates i, f, c and o; see the module docstring."""

    i: Gate
    f: Gate
    c: Gate
    o: Gate
    activation: Function
    recurrent_activation: Function

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        return self.i.shape, self.i.shape

    @property
    def names(self) -> tuple[str, ...]:
        return "", "state"

    def step(self, to: Builder, x: Tensor, before: Sequence[State], observes: Observed, mark: str) -> Step:
        h, c = before
        i = self.i.build(to, x, h, self.recurrent_activation, name="i", observes="step.i")
        f = self.f.build(to, x, h, self.recurrent_activation, name="f", observes="step.f")
        candidate = self.c.build(to, x, h, self.activation, name="c", observes="step.c")
        o = self.o.build(to, x, h, self.recurrent_activation, name="o", observes="step.o")
        keep = to.group("product", f.shape, suffix="keep")
        to.one_to_one(f, keep, 0)
        c.one_to_one(keep, 1)
        write = _product(to, i, candidate, "write")
        state = _sum(to, keep, write, _joined("state", mark), "step.state")
        return Step((_product(to, o, self._squash(to, state), mark, observes), state))

    def _squash(self, to: Builder, state: Tensor) -> Tensor:
        if not isinstance(self.activation, Unary):
            return along(to, state, self.activation, "squash")
        if self.activation == LINEAR:
            return state
        y = to.group("sum", state.shape, suffix="squash", activation=self.activation, observes="step.squash")
        to.one_to_one(state, y)
        return y


@dataclass(frozen=True)
class GruCell:
    """Gates z, r and h; see the module docstring.

    ``after`` is there where the reset gate acts after the product: it computes h R + recurrent_b.
    """

    z: Gate
    r: Gate
    h: Gate
    after: bool
    recurrent_bias: Ref | None
    activation: Function
    recurrent_activation: Function

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        return (self.z.shape,)

    @property
    def names(self) -> tuple[str, ...]:
        return ("",)

    def step(self, to: Builder, x: Tensor, before: Sequence[State], observes: Observed, mark: str) -> Step:
        (h,) = before
        z = self.z.build(to, x, h, self.recurrent_activation, name="z", observes="step.z")
        r = self.r.build(to, x, h, self.recurrent_activation, name="r", observes="step.r")
        candidate = self._candidate(to, x, h, r)
        keep = to.group("product", z.shape, suffix="keep")
        to.one_to_one(z, keep, 0)
        h.one_to_one(keep, 1)
        one, minus = (to.constant(name, np.array([value], np.float32)) for name, value in (("one", 1), ("minus", -1)))
        rest = to.group("linear", z.shape, suffix="open", params={"bias": Ref(one.param)})
        to.one_to_one(z, rest, weight=Ref(minus.param))
        return Step((_sum(to, keep, _product(to, rest, candidate, "write"), mark, observes),))

    def _candidate(self, to: Builder, x: Tensor, h: State, r: Tensor) -> Tensor:
        if self.after:
            inner = to.group("linear", r.shape, suffix="recurrent", params={"bias": self.recurrent_bias})
            self.h.recall(to, h, inner, 0)
            reset = _product(to, r, inner, "reset")
            return self.h.build(
                to, x, lambda y: to.one_to_one(reset, y, 1), self.activation, name="h", observes="step.h"
            )
        reset = to.group("product", r.shape, suffix="reset")
        to.one_to_one(r, reset, 0)
        h.one_to_one(reset, 1)
        return self.h.build(to, x, lambda y: self.h.read(to, reset, y, 1), self.activation, name="h", observes="step.h")


@dataclass(frozen=True)
class StackedCell:
    """Cells one on the other, each on what the one below puts out at the same step."""

    cells: tuple[Cell, ...]

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        return tuple(shape for cell in self.cells for shape in cell.shapes)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(_joined(str(i), name) for i, cell in enumerate(self.cells) for name in cell.names)

    def step(self, to: Builder, x: Tensor, before: Sequence[State], observes: Observed, mark: str) -> Step:
        states: tuple[Tensor, ...] = ()
        put = 0
        for number, cell in enumerate(self.cells):
            with to.within(str(number)):
                made = cell.step(to, x, before[len(states) : len(states) + len(cell.shapes)], "step", mark)
            x, put = made.output, len(states) + made.put
            states += made.states
        return Step(states, put)


def recur(
    to: Builder,
    x: Tensor,
    cell: Cell,
    *,
    backwards: bool = False,
    initial: Sequence[Tensor] | None = None,
    mask: Tensor | None = None,
    masked: Masked = "repeat",
    carries: bool = False,
    sequences: bool = False,
    rows: int = 0,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """A cell on every step of ``x`` (T, F): its outputs and its states, tensors of T steps.

    Args:
        backwards: from the last step to the first; the outputs are in the order in which they are made.
        initial: tensors that the states start from, each (size,); zeros without.
        mask: (T,): where it is 0, the states are held and the output is what ``masked`` says.
        carries: whether states are carried from sample to sample.
        sequences: whether the outputs of all steps are the layer's output, or that of the last alone.
        rows: 0; or how many sequences there are: then ``x`` is (rows, T, F), ``mask`` (rows, T), states (rows, size).
    """
    stream = to.serial(x, backwards=backwards, along=int(rows > 0))
    steps, token = stream.steps, Tensor(stream.group, stream.shape[1:])
    chosen = None
    if mask is not None:
        chosen = to.serial(mask, backwards=backwards, along=int(rows > 0), suffix="mask")
    whole: Observed = "output" if sequences else ""
    with to.within(firings=steps):
        before = [State(to, (*token.shape[: int(rows > 0)], *shape)) for shape in cell.shapes]
        if initial is not None:
            first = to.serial(_first(to, steps), suffix="start")
            for state, tensor, name in zip(before, initial, cell.names, strict=True):
                state.starts_from(tensor, first, name)
        made = cell.step(to, token, before, whole if whole and mask is None else "step", "" if mask is None else "new")
        put, states = made.output, made.states
        if chosen is not None:
            # Outputs that repeat are a state that starts from zeros.
            is_state = masked == "state" or (masked == "repeat" and initial is None and not carries)
            shown: list[Observed] = [whole if is_state and n == made.put else "" for n in range(len(states))]
            states = tuple(map(_held, repeat(to), repeat(chosen), states, before, cell.names, shown))
            put = states[made.put] if is_state else _masked(to, chosen, put, masked, whole)
        for state, new in zip(before, states, strict=True):
            state.becomes(new, carries)
    return _steps(put, steps), tuple(_steps(state, steps) for state in states)


def _steps(x: Tensor, steps: int) -> Tensor:
    return Tensor(x.group, (steps, *x.shape), steps=steps)


def _joined(*parts: str) -> str:
    return ".".join(filter(None, parts))


def _product(to: Builder, one: Tensor, other: Tensor, name: str, observes: Observed = "") -> Tensor:
    y = to.group("product", one.shape, suffix=name, observes=observes)
    to.one_to_one(one, y, 0)
    to.one_to_one(other, y, 1)
    return y


def _sum(to: Builder, one: Tensor, other: Tensor, name: str, observes: Observed) -> Tensor:
    y = to.group("sum", one.shape, suffix=name, observes=observes)
    to.one_to_one(one, y, 0)
    to.one_to_one(other, y, 1)
    return y


def along(to: Builder, y: Tensor, function: Callable[[Builder, Tensor], Tensor], name: str) -> Tensor:
    """``y`` after an activation that no neuron can compute alone."""
    with to.within(name, shows=False):
        return function(to, y)


def _first(to: Builder, steps: int) -> Tensor:
    """Constants: 1 for the first step, 0 for the others."""
    marks = to.constant(f"first{steps}", np.eye(1, steps, dtype=np.float32)[0])
    with to.within(firings=1):
        return to.group("sum", [steps], suffix="first", params={"bias": Ref(marks.param)})


def _chosen(to: Builder, chosen: Tensor, new: Tensor, name: str, observes: Observed) -> Tensor:
    """``new`` where the step is chosen, or the step of the row, else what port 2 will say."""
    y = to.group("select", new.shape, suffix=name, observes=observes)
    to.dense(chosen, y, 0, blocks=math.prod(chosen.shape[1:]))
    to.one_to_one(new, y, 1)
    return y


def _held(to: Builder, chosen: Tensor, new: Tensor, state: State, name: str, observes: Observed) -> Tensor:
    """A state: ``new`` where the step is chosen, else as it was."""
    y = _chosen(to, chosen, new, name, observes)
    state.one_to_one(y, 2)
    return y


def _masked(to: Builder, chosen: Tensor, new: Tensor, masked: Masked, observes: Observed) -> Tensor:
    """The output: ``new`` where the step is chosen, else the output before, or zeros."""
    if masked == "repeat":
        last = State(to, new.shape)
        y = _held(to, chosen, new, last, "output", observes)
        last.becomes(y, carries=False)
        return y
    zero = to.group("sum", new.shape, suffix="zero")
    y = _chosen(to, chosen, new, "output", observes)
    to.one_to_one(zero, y, 2)
    return y


def for_every_step(to: Builder, x: Tensor, inner: Callable[[Tensor], Tensor]) -> Tensor:
    """What ``inner`` builds on one index of the first axis of ``x``, by actors that fire for each: a tensor of steps,
    or an ordinary one.

    A mask of the steps stays with them; one that says more is handed to ``inner``, its part of each step. The source
    model shows what comes out, and nothing inside.
    """
    if to.firings != 1:
        return _flattened(to, x, inner)
    token = to.serial(x)
    since = len(to.groups)
    mask = None
    if x.mask is not None and len(x.mask.shape) > 1:
        mask = Tensor(to.serial(x.mask, suffix="mask").group, x.mask.shape[1:])
    with to.within(shows=False, firings=x.shape[0]):
        y = to.settled(inner(Tensor(token.group, x.shape[1:], mask=mask)))
    return replace(to.observe(to.settled_if_known(_steps(y, x.shape[0])), since), mask=x.mask)


def _flattened(to: Builder, x: Tensor, inner: Callable[[Tensor], Tensor]) -> Tensor:
    """The same inside of what fires for every step already: by actors that fire for all steps of all steps."""

    def together(xs: Sequence[Tensor | None], rows: int) -> Sequence[Tensor]:
        (whole,) = xs
        assert whole is not None
        outer, steps, *shape = whole.shape
        y = to.settled(for_every_step(to, whole.reshaped((outer * steps, *shape)), inner))
        return [y.reshaped((outer, steps, *y.shape[1:]))]

    if x.mask is not None:
        raise RefusedError("it repeats a layer for every step of another, and its input is masked")
    (y,) = in_rows(to, [x], together)
    return y


#: Builds on tensors; of so many rows where that is not 0.
OnRows = Callable[[Sequence[Tensor | None], int], Sequence[Tensor]]


def in_rows(to: Builder, xs: Sequence[Tensor | None], made: OnRows) -> Sequence[Tensor]:
    """What ``made`` builds on tensors; inside of what fires R times, on those of all firings at once, as R rows.

    Inside, ``made`` takes and returns ordinary tensors whose first axis is that of the rows.
    """
    if to.firings == 1:
        return made(xs, 0)
    rows = to.firings

    def all_of(x: Tensor) -> Tensor:
        return to.settled(Tensor(x.group, (rows, *x.shape), steps=rows))

    def each_of(x: Tensor) -> Tensor:
        mask = None if x.mask is None else each_of(x.mask)
        return Tensor(to.serial(x).group, x.shape[1:], mask=mask)

    with to.within(firings=1):
        return [each_of(y) for y in made([None if x is None else all_of(x) for x in xs], rows)]
