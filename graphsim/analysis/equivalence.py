"""Whether two circuits compute the same: every output in every cycle, from any inputs.

Registers of one name and one initial value in both are cut points: the circuits are the same if, for all inputs and all
values of these registers, all outputs are equal and so is what the registers follow. A register that only one circuit
has is taken for a constant or for the register that it equals in a random run, if it is, and that is proved by
induction along with the rest.

The proof runs over all patterns where the outputs depend on at most 20 inputs and registers; beyond, gates that are
equal under random patterns are proved equal one by one in a SAT solver (CaDiCaL), inputs first: what is alike in both
circuits makes the rest easy (SAT sweeping: Kuehlmann, "Dynamic transition relation simplification for bounded
property checking", 2004; Mishchenko et al., "FRAIGs", 2005). No code is shared with the passes that this judges.

Where a difference shows from a state, it counts if a run from the initial state gets there. If none is found within the
limits, nothing is claimed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from graphsim.analysis.patterns import bit, counting, evaluate, first_set
from graphsim.analysis.sweeping import Sweeper
from graphsim.errors import UsageError
from graphsim.graph.channels import BoolArray, IntArray
from graphsim.graph.circuit import Circuit, Words

#: Inputs and registers up to which all patterns are tried.
EXHAUSTIVE = 20
#: Conflicts that the SAT solver may have in all.
CONFLICTS = 1_000_000
#: Bytes of values that are held at a time.
_ROOM = 1 << 26
#: Runs side by side, in words, and cycles of each, that look for a difference and for registers that are alike.
_RUNS, _CYCLES = 4, 64
#: Registers for each of which a register that only one circuit has is taken, until one proves to be right.
_GUESSES = 8
_MIX = 0x9E37_79B9_7F4A_7C15


@dataclass(frozen=True)
class Counterexample:
    """Inputs that show a difference.

    Attributes:
        inputs: by cycle, the value of each input by name; the difference shows in the last cycle.
        output: the first output that differs. gate: the first gate of a name that both circuits have that differs.
        before, after: the output's value in either circuit.
    """

    inputs: tuple[dict[str, int], ...]
    output: str
    gate: str | None
    before: int
    after: int

    def __str__(self) -> str:
        lines = []
        for cycle, values in enumerate(self.inputs):
            bits = " ".join(f"{name}={value}" for name, value in values.items()) or "(no inputs)"
            lines.append(f"cycle {cycle}: {bits}" if len(self.inputs) > 1 else bits)
        gate = f"; first gate that differs: {self.gate}" if self.gate else ""
        return "; ".join(lines) + f": output {self.output} was {self.before} and is {self.after}{gate}"


@dataclass(frozen=True)
class Equivalence:
    """What was found.

    Attributes:
        equal: True, False, or None: not decided.
        how: by what means, or why not, for people.
        counterexample: where ``equal`` is False.
    """

    equal: bool | None
    how: str
    counterexample: Counterexample | None = None

    @property
    def verdict(self) -> str:
        """``equal``, ``different`` or ``undecided``."""
        return {True: "equal", False: "different", None: "undecided"}[self.equal]

    @property
    def message(self) -> str:
        """One line that says how it was found, with the counterexample where there is one."""
        return self.how if self.counterexample is None else f"{self.how}: {self.counterexample}"


class _Pair(NamedTuple):
    """Two signals of the joint circuit that must be equal; ``register``: which register that is to show, or -1."""

    left: int
    right: int
    register: int


class _Joint:
    """Both circuits side by side, over shared variables: inputs, registers, then the gates of both.

    Attributes:
        variables: how many; registers are numbered as ``names``, ``variables - len(names)`` behind the inputs.
        stands: by register, what it is taken for: a register, itself or another, or -1 or -2 for 0 or 1.
        guesses: of registers that only one circuit has, what else each may be taken for.
    """

    def __init__(self, before: Circuit, after: Circuit) -> None:
        self.before, self.after = before, after
        self.inputs = before.input_count
        known = {
            (name, bool(value)): r
            for r, (name, value) in enumerate(zip(before.register_names, before.initial, strict=True))
        }
        self.own_before = np.arange(before.register_count)
        self.own_after = np.zeros(after.register_count, np.int64)
        self.initial = before.initial.tolist()
        for r, key in enumerate(zip(after.register_names, after.initial.tolist(), strict=True)):
            self.own_after[r] = known.get(key, len(self.initial))
            if key not in known:
                self.initial.append(key[1])
        self.variables = self.inputs + len(self.initial)
        matched = set(self.own_after.tolist())
        self.guesses: dict[int, list[int]] = {
            r: [] for r in range(len(self.initial)) if r not in matched or r >= before.register_count
        }
        self.stands = list(range(len(self.initial)))

    def build(self) -> list[_Pair]:
        """The gates, and what is to be shown."""
        first = self.variables + 2
        count = self.before.gate_count
        place = {name: i for i, name in enumerate(self.before.input_names)}
        register = np.array([self._signal(r) for r in range(len(self.stands))], np.int64)
        inputs = np.array([place[name] for name in self.after.input_names], np.int64)
        self.of_before = np.concatenate(
            [np.arange(self.inputs), register[self.own_before], first + np.arange(count)]
        ).astype(np.int32)
        self.of_after = np.concatenate(
            [inputs, register[self.own_after], first + count + np.arange(self.after.gate_count)]
        ).astype(np.int32)
        one, other = self.before, self.after
        self.indptr = np.concatenate([[0, 0], one.indptr, one.indptr[-1] + other.indptr[1:]]).astype(np.int64)
        self.index = np.concatenate([self.of_before[one.index], self.of_after[other.index]])
        self.truth = np.concatenate([np.array([0, 1], np.uint64), one.truth, other.truth])
        position = {name: j for j, name in enumerate(other.output_names)}
        pairs = [
            _Pair(int(self.of_before[signal]), int(self.of_after[other.outputs[position[name]]]), -1)
            for name, signal in zip(one.output_names, one.outputs, strict=True)
        ]
        follows: dict[int, list[int]] = {}
        for own, circuit, of in (
            (self.own_before, one, self.of_before),
            (self.own_after, other, self.of_after),
        ):
            for r, signal in zip(own.tolist(), circuit.following.tolist(), strict=True):
                follows.setdefault(r, []).append(int(of[signal]))
        for r, signals in sorted(follows.items()):
            pairs += [_Pair(signals[0], signal, r) for signal in signals[1:]]
            stands = self.stands[r]
            if stands != r:
                like = self.variables + (-1 - stands) if stands < 0 else follows[stands][0]
                pairs.append(_Pair(like, signals[0], r))
        return pairs

    def _signal(self, register: int) -> int:
        stands = self.stands[register]
        while stands >= 0 and self.stands[stands] != stands:
            stands = self.stands[stands]
        return self.inputs + stands if stands >= 0 else self.variables + (-1 - stands)

    @property
    def signals(self) -> int:
        return self.variables + len(self.truth)

    def cone(self, pairs: list[_Pair]) -> BoolArray:
        """Which variables the pairs depend on."""
        live = np.zeros(self.signals, np.bool_)
        live[[signal for pair in pairs for signal in pair[:2]]] = True
        index, indptr = self.index.tolist(), self.indptr.tolist()
        for gate in range(len(self.truth) - 1, -1, -1):
            if live[self.variables + gate]:
                live[index[indptr[gate] : indptr[gate + 1]]] = True
        return live[: self.variables]

    def values(self, variables: Words) -> Words:
        """Values of all signals from those of the variables, uint64 (signals, words)."""
        value = np.zeros((self.signals, variables.shape[1]), np.uint64)
        value[: self.variables] = variables
        evaluate(self.variables, self.indptr, self.index, self.truth, value)
        return value


#: By number of a pair that is not equal, values of inputs and registers that show it, or None where it is not decided.
_Answer = dict[int, "list[int] | None"]


def compare(before: Circuit, after: Circuit, *, conflicts: int = CONFLICTS, seed: int = 0) -> Equivalence:
    """Whether two circuits of the same inputs and outputs, by name, are the same.

    Args:
        conflicts: limit of the SAT solver, over all its questions; beyond, what is left is not decided.
        seed: of the random patterns.

    Raises:
        UsageError: inputs or outputs differ.
    """
    for what, one, other in (
        ("inputs", before.input_names, after.input_names),
        ("outputs", before.output_names, after.output_names),
    ):
        if sorted(one) != sorted(other):
            odd = sorted(set(one) ^ set(other))[:4]
            raise UsageError(f"{before.name} and {after.name} have different {what}: {', '.join(odd)}")
    found = _random_run(before, after, seed)
    if found is not None:
        return Equivalence(False, "a random run", found)
    joint = _Joint(before, after)
    answer, how, budget = _inductive(joint, conflicts, seed)
    if answer and len(joint.guesses) < len(joint.stands):
        # A state that no run gets to may show a difference: registers that both have may be equal, or constant, too.
        joint.guesses = {r: [] for r in range(len(joint.stands))}
        answer, how, budget = _inductive(joint, budget, seed)
    if not answer:
        return Equivalence(True, how)
    pattern = next((found for _, found in sorted(answer.items()) if found is not None), None)
    if pattern is None:
        return Equivalence(None, f"not decided within {conflicts:,} conflicts of the SAT solver")
    if not before.register_count and not after.register_count:
        inputs = dict(zip(before.input_names, pattern, strict=True))
        return Equivalence(False, how, _explained(before, after, (inputs,)))
    return _from_reset(before, after)


def _inductive(joint: _Joint, budget: int, seed: int) -> tuple[_Answer, str, int]:
    """As :func:`_decide`, with registers taken for others as far as that is proved along with the rest."""
    _guess(joint, seed)
    while True:
        pairs = joint.build()
        answer, how, budget = _decide(joint, pairs, budget, seed)
        loose = {pairs[at].register for at in answer} - {-1}
        loose = {r for r in loose if joint.stands[r] != r}
        if not loose:
            return answer, how, budget
        for r in loose:
            joint.stands[r] = joint.guesses[r].pop(0) if joint.guesses[r] else r


def _explained(before: Circuit, after: Circuit, inputs: tuple[dict[str, int], ...]) -> Counterexample | None:
    """The counterexample that a run shows in its first differing cycle, if it does."""
    state = [before.initial.copy(), after.initial.copy()]
    for cycle, given in enumerate(inputs):
        value = []
        for at, circuit in enumerate((before, after)):
            bits = np.array([given[name] for name in circuit.input_names] + state[at].tolist(), np.uint64)
            whole = np.zeros((circuit.signal_count, 1), np.uint64)
            whole[: circuit.first_gate, 0] = bits
            evaluate(circuit.first_gate, circuit.indptr.copy(), circuit.index.copy(), circuit.truth.copy(), whole)
            whole &= np.uint64(1)
            value.append(whole[:, 0].astype(np.int64))
            state[at] = whole[circuit.following, 0].astype(np.bool_)
        shown = dict(zip(after.output_names, value[1][after.outputs].tolist(), strict=True))
        for name, bit_before in zip(before.output_names, value[0][before.outputs].tolist(), strict=True):
            if shown[name] != bit_before:
                gate = _first_gate(before, after, value)
                return Counterexample(inputs[: cycle + 1], name, gate, bit_before, shown[name])
    return None


def _first_gate(before: Circuit, after: Circuit, value: list[IntArray]) -> str | None:
    """The first named gate of both that differs."""
    if not before.gate_names or not after.gate_names:
        return None
    there = {name: after.first_gate + g for g, name in enumerate(after.gate_names) if name}
    for g, name in enumerate(before.gate_names):
        if name in there and value[0][before.first_gate + g] != value[1][there[name]]:
            return name
    return None


class _Run:
    """A circuit run from its initial state, many runs side by side; inputs in the order of the other's names."""

    def __init__(self, circuit: Circuit, words: int, names: tuple[str, ...]) -> None:
        place = {name: i for i, name in enumerate(names)}
        self.circuit = circuit
        self.inputs = np.array([place[name] for name in circuit.input_names], np.int64)
        self.arrays = (circuit.indptr.copy(), circuit.index.copy(), circuit.truth.copy())
        self.value = np.zeros((circuit.signal_count, words), np.uint64)
        self.state = np.repeat(np.where(circuit.initial, ~np.uint64(0), np.uint64(0))[:, None], words, axis=1)

    def step(self, inputs: Words) -> Words:
        """Outputs of one cycle, uint64 (outputs, words)."""
        circuit = self.circuit
        self.value[: circuit.input_count] = inputs[self.inputs]
        self.value[circuit.input_count : circuit.first_gate] = self.state
        evaluate(circuit.first_gate, *self.arrays, self.value)
        self.state = self.value[circuit.following]
        return self.value[circuit.outputs]


def _stimulus(circuit: Circuit, seed: int) -> Iterator[Words]:
    """Random inputs, cycle by cycle; one cycle where there is no state."""
    rng = np.random.default_rng(seed)
    for _ in range(_CYCLES if circuit.register_count else 1):
        yield rng.integers(0, 1 << 64, (circuit.input_count, _RUNS), np.uint64)


def _random_run(before: Circuit, after: Circuit, seed: int) -> Counterexample | None:
    runs = [_Run(circuit, _RUNS, before.input_names) for circuit in (before, after)]
    order = [after.output_names.index(name) for name in before.output_names]
    given: list[Words] = []
    for inputs in _stimulus(before if before.register_count else after, seed):
        given.append(inputs)
        differs = runs[0].step(inputs) ^ runs[1].step(inputs)[order]
        if differs.any():
            run = first_set(np.bitwise_or.reduce(differs, axis=0))
            trace = tuple(
                {name: bit(row, run) for name, row in zip(before.input_names, words, strict=True)} for words in given
            )
            return _explained(before, after, trace)
    return None


def _guess(joint: _Joint, seed: int) -> None:
    """What registers that only one circuit has are taken for: what they are in a random run."""
    if not joint.guesses:
        return
    seen = np.zeros(len(joint.initial), np.uint64)
    still = np.ones(len(joint.initial), np.bool_)
    first = np.array(joint.initial, np.bool_)
    # A number for all that a register was: two that were not alike may share it, but not what is then proved of them.
    factors = np.arange(1, 2 * _RUNS, 2, dtype=np.uint64) * np.uint64(_MIX)
    runs = [_Run(circuit, _RUNS, joint.before.input_names) for circuit in (joint.before, joint.after)]
    for inputs in _stimulus(joint.before if joint.before.register_count else joint.after, seed):
        seen *= np.uint64(_MIX)
        for run, own in zip(runs, (joint.own_before, joint.own_after), strict=True):
            new = own >= joint.before.register_count if run is runs[1] else np.ones(len(own), np.bool_)
            rows, at = run.state[new], own[new]
            seen[at] += (rows * factors).sum(axis=1, dtype=np.uint64)
            seen[at] ^= seen[at] >> np.uint64(31)
            still[at] &= (rows == np.where(first[at], ~np.uint64(0), np.uint64(0))[:, None]).all(axis=1)
            run.step(inputs)
    follows = dict(zip(joint.own_after.tolist(), joint.after.following.tolist(), strict=True))
    follows |= dict(zip(joint.own_before.tolist(), joint.before.following.tolist(), strict=True))
    numbers: list[int] = seen.tolist()
    alike: dict[int, list[int]] = {}
    twins: dict[tuple[int, int], int] = {}

    def know(r: int) -> None:
        others = alike.setdefault(numbers[r], [])
        if len(others) < _GUESSES:
            others.append(r)
        twins.setdefault((numbers[r], follows[r]), r)

    for r in range(len(joint.initial)):
        if r not in joint.guesses:
            know(r)
    for r, guesses in joint.guesses.items():
        twin = twins.get((numbers[r], follows[r]))
        guesses += [] if twin is None else [twin]
        guesses += [-2 if first[r] else -1] if still[r] else []
        guesses += [other for other in alike.get(numbers[r], ()) if other != twin]
        know(r)
        joint.stands[r] = guesses.pop(0) if guesses else r


def _decide(joint: _Joint, pairs: list[_Pair], budget: int, seed: int) -> tuple[_Answer, str, int]:
    """Which pairs are not equal for all values of the variables, how that was found, and what is left of the budget."""
    live = np.flatnonzero(joint.cone(pairs))
    if len(live) <= EXHAUSTIVE:
        of = f"{len(live)} inputs and registers" if joint.variables > joint.inputs else f"{len(live)} inputs"
        return _try_all(joint, pairs, live), f"all {1 << len(live):,} patterns of {of}", budget
    sweeper = Sweeper(joint.variables, joint.indptr, joint.index, joint.truth, joint.values, budget, seed)
    answer = sweeper.decide([(pair.left, pair.right) for pair in pairs])
    how = f"SAT, {sweeper.questions:,} questions, {budget - sweeper.budget:,} conflicts"
    return answer, how, sweeper.budget


def _try_all(joint: _Joint, pairs: list[_Pair], live: IntArray) -> _Answer:
    total = max(1, (1 << len(live)) >> 6)
    block = max(1, min(total, _ROOM // (8 * joint.signals)))
    left = np.array([pair.left for pair in pairs], np.int64)
    right = np.array([pair.right for pair in pairs], np.int64)
    answer: _Answer = {}
    for start in range(0, total, block):
        variables = np.zeros((joint.variables, min(block, total - start)), np.uint64)
        variables[live] = counting(len(live), start, variables.shape[1])
        value = joint.values(variables)
        differs = value[left] ^ value[right]
        for at in np.flatnonzero(differs.any(axis=1)).tolist():
            if at not in answer:
                pattern = first_set(differs[at])
                answer[at] = [bit(row, pattern) for row in variables]
    return answer


#: Values of the registers of both circuits.
_State = tuple[tuple[bool, ...], ...]


def _from_reset(before: Circuit, after: Circuit) -> Equivalence:
    """What runs from the initial state show, where from some state the circuits differ: all runs, if they are few."""
    free = before.input_count
    bits = before.register_count + after.register_count
    reason = "the circuits differ from a state of which it is not known whether a run gets there"
    if free + bits > EXHAUSTIVE:
        return Equivalence(None, reason)
    width = max(1, (1 << free) >> 6)
    count = 1 << free
    runs = [_Run(circuit, width, before.input_names) for circuit in (before, after)]
    inputs = counting(free, 0, width)
    order = [after.output_names.index(name) for name in before.output_names]
    start: _State = (tuple(before.initial.tolist()), tuple(after.initial.tolist()))
    came: dict[_State, tuple[_State, int] | None] = {start: None}
    waiting = [start]
    for state in waiting:
        shown = []
        for run, values in zip(runs, state, strict=True):
            ones = np.array(values, np.bool_)
            run.state = np.repeat(np.where(ones, ~np.uint64(0), np.uint64(0))[:, None], width, axis=1)
            shown.append(run.step(inputs))
        differs = np.bitwise_or.reduce(shown[0] ^ shown[1][order], axis=0)
        where = first_set(differs)
        if where >= 0:
            numbers = [where]
            back = state
            while (link := came[back]) is not None:
                back, number = link
                numbers.append(number)
            trace = tuple(
                {name: number >> i & 1 for i, name in enumerate(before.input_names)} for number in reversed(numbers)
            )
            return Equivalence(False, "all runs from the initial state", _explained(before, after, trace))
        following = [_columns(run.state, count) for run in runs]
        for number, pair in enumerate(zip(*following, strict=True)):
            if pair not in came:
                came[pair] = (state, number)
                waiting.append(pair)
    return Equivalence(True, f"all runs from the initial state, over {len(waiting):,} states")


def _columns(rows: Words, count: int) -> list[tuple[bool, ...]]:
    """Rows of words as one tuple of bits per pattern."""
    if not len(rows):
        return [()] * count
    bits = np.unpackbits(rows.view(np.uint8), axis=1, bitorder="little")[:, :count]
    return [tuple(column) for column in bits.T.astype(np.bool_).tolist()]
