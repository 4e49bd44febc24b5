"""Recurrent layers: cells of gates whose actors fire once for each step of a sequence, and what carries their state.

A sequence of T steps is read by a ``serial``, one token per step; every group of a cell fires T times per sample. The
state of the step before is what a channel with one initial token holds: +0 at the first step of a sample. A state
that starts from another tensor is selected at the first step; a state that a mask holds is selected at every step.

With U units, and F features at each step, a cell's groups and the formulas they compute (all of shape (U,)):

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

    def __init__(self, to: Builder, size: int) -> None:
        self.to, self.size = to, size
        self._waiting: list[Channel] = []
        self._from: Tensor | None = None

    def starts_from(self, initial: Tensor, first: Tensor, name: str) -> None:
        """Be ``initial`` at the step that ``first`` marks."""
        steps = first.steps
        given = self.to.repeated(initial, steps, suffix=_joined(name, "initial"))
        before = self.to.group("select", [self.size], suffix=_joined(name, "before"))
        self.to.dense(first, before, 0)
        self.to.one_to_one(given, before, 1)
        self.one_to_one(before, 2)
        self._from = before

    def dense(self, dst: Tensor, port: int, weight: Stored | Weight) -> None:
        """All of it to all of ``dst``."""
        self._read(Dense(src=dst.group, dst=dst.group, port=port, weight=Ref(weight.param)))

    def one_to_one(self, dst: Tensor, port: int) -> None:
        """Element i to element i."""
        self._read(OneToOne(src=dst.group, dst=dst.group, port=port))

    def _read(self, channel: Channel) -> None:
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
    def sizes(self) -> tuple[int, ...]:
        """Of its states."""

    @property
    def names(self) -> tuple[str, ...]:
        """Of its states: parts of the names of groups, "" for the output."""

    def step(self, to: Builder, x: Tensor, before: Sequence[State], observes: Observed, mark: str) -> Step:
        """Build a step on ``x``; its output observes what is said, and names of new states end in ``mark``."""


@dataclass(frozen=True)
class Gate:
    """Parameters of the sums of U units: a kernel for the step (F, U), one for the state (U, U), a bias (U,).

    ``magnitude`` is there where the bias is the sum of two that the source adds one after the other: the sum of their
    absolute values.
    """

    kernel: Stored | Weight
    recurrent: Stored | Weight
    bias: Ref | None = None
    magnitude: Ref | None = None

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
        y = to.group(
            "linear",
            [self.kernel.shape[1]],
            suffix=name,
            activation=function if isinstance(function, Unary) else LINEAR,
            params={"bias": self.bias, "magnitude": self.magnitude},
            # The second bias, the sum of the two sums, and the stored bias, which was rounded.
            extra_roundings=0 if self.magnitude is None else 3,
            observes=observes if isinstance(function, Unary) else "",
        )
        to.dense(x, y, 0, weight=self.kernel)
        if isinstance(state, State):
            state.dense(y, 1, self.recurrent)
        else:
            state(y)
        return y if isinstance(function, Unary) else _along(to, y, function, name)


@dataclass(frozen=True)
class SimpleCell:
    """h = activation(x K + h R + b)."""

    gate: Gate
    activation: Function

    @property
    def sizes(self) -> tuple[int, ...]:
        return (self.gate.kernel.shape[1],)

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
    def sizes(self) -> tuple[int, ...]:
        units = self.i.kernel.shape[1]
        return units, units

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
            return _along(to, state, self.activation, "squash")
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
    def sizes(self) -> tuple[int, ...]:
        return (self.z.kernel.shape[1],)

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
            h.dense(inner, 0, self.h.recurrent)
            reset = _product(to, r, inner, "reset")
            return self.h.build(
                to, x, lambda y: to.one_to_one(reset, y, 1), self.activation, name="h", observes="step.h"
            )
        reset = to.group("product", r.shape, suffix="reset")
        to.one_to_one(r, reset, 0)
        h.one_to_one(reset, 1)
        recurrent = self.h.recurrent
        return self.h.build(
            to, x, lambda y: to.dense(reset, y, 1, weight=recurrent), self.activation, name="h", observes="step.h"
        )


@dataclass(frozen=True)
class StackedCell:
    """Cells one on the other, each on what the one below puts out at the same step."""

    cells: tuple[Cell, ...]

    @property
    def sizes(self) -> tuple[int, ...]:
        return tuple(size for cell in self.cells for size in cell.sizes)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(_joined(str(i), name) for i, cell in enumerate(self.cells) for name in cell.names)

    def step(self, to: Builder, x: Tensor, before: Sequence[State], observes: Observed, mark: str) -> Step:
        states: tuple[Tensor, ...] = ()
        put = 0
        for number, cell in enumerate(self.cells):
            with to.within(str(number)):
                made = cell.step(to, x, before[len(states) : len(states) + len(cell.sizes)], "step", mark)
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
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """A cell on every step of ``x`` (T, F): its outputs and its states, tensors of T steps.

    Args:
        backwards: from the last step to the first; the outputs are in the order in which they are made.
        initial: tensors that the states start from, each (size,); zeros without.
        mask: (T,): where it is 0, the states are held and the output is what ``masked`` says.
        carries: whether states are carried from sample to sample.
        sequences: whether the outputs of all steps are the layer's output, or that of the last alone.
    """
    if to.firings != 1:
        raise RefusedError("it is a recurrent layer on every step of another, which is not lowered")
    steps = x.shape[0]
    token = to.serial(x, backwards=backwards)
    chosen = None if mask is None else to.serial(mask, backwards=backwards, suffix="mask")
    whole: Observed = "output" if sequences else ""
    with to.within(firings=steps):
        before = [State(to, size) for size in cell.sizes]
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


def _along(to: Builder, y: Tensor, function: Callable[[Builder, Tensor], Tensor], name: str) -> Tensor:
    """``y`` after an activation that no neuron can compute alone."""
    with to.within(name, shows=False):
        return function(to, y)


def _first(to: Builder, steps: int) -> Tensor:
    """Constants: 1 for the first step, 0 for the others."""
    marks = to.constant(f"first{steps}", np.eye(1, steps, dtype=np.float32)[0])
    with to.within(firings=1):
        return to.group("sum", [steps], suffix="first", params={"bias": Ref(marks.param)})


def _held(to: Builder, chosen: Tensor, new: Tensor, state: State, name: str, observes: Observed) -> Tensor:
    """A state: ``new`` where the step is chosen, else as it was."""
    y = to.group("select", new.shape, suffix=name, observes=observes)
    to.dense(chosen, y, 0)
    to.one_to_one(new, y, 1)
    state.one_to_one(y, 2)
    return y


def _masked(to: Builder, chosen: Tensor, new: Tensor, masked: Masked, observes: Observed) -> Tensor:
    """The output: ``new`` where the step is chosen, else the output before, or zeros."""
    if masked == "repeat":
        last = State(to, new.size)
        y = _held(to, chosen, new, last, "output", observes)
        last.becomes(y, carries=False)
        return y
    zero = to.group("sum", new.shape, suffix="zero")
    y = to.group("select", new.shape, suffix="output", observes=observes)
    to.dense(chosen, y, 0)
    to.one_to_one(new, y, 1)
    to.one_to_one(zero, y, 2)
    return y


def for_every_step(to: Builder, x: Tensor, inner: Callable[[Tensor], Tensor]) -> Tensor:
    """What ``inner`` builds on one index of the first axis of ``x``, by actors that fire for each: a tensor of steps.

    The source model shows what comes out, and nothing inside.
    """
    if to.firings != 1:
        raise RefusedError("it repeats a layer for every step of another, which is not lowered")
    token = to.serial(x)
    since = len(to.groups)
    with to.within(shows=False, firings=x.shape[0]):
        y = inner(Tensor(token.group, x.shape[1:]))
    return replace(to.observe(_steps(y, x.shape[0]), since), mask=x.mask)
