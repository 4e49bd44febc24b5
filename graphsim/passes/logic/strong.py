"""The strongest way to few two-input gates: seeded search with whole truth tables, over the circuit if it has few
inputs, else over windows of it.

Of a circuit of few inputs nothing is left to chance by how it was written: the search begins from its gates and from
its truth tables (as shared multiplexers: a decision diagram), goes on from what came out smaller, now and then allows a
gate more, and returns to the best when it has strayed too far.

A *window* is a set of gates with few inputs, all of which come before its gates, so that whatever replaces it closes
no loop. What its outputs are from its inputs is kept; windows of one round share no gate.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import numpy.typing as npt

from graphsim.graph.circuit import VARIABLES, Circuit, Words, pack
from graphsim.passes.logic.base import LogicPass, Working
from graphsim.passes.logic.sweep import EVERYTHING, swept
from graphsim.passes.logic.tables import Tables
from graphsim.passes.logic.two import Builder, Two

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Inputs and registers of a circuit that is searched as a whole, and its gates.
_WHOLE, _GATES = 12, 400
#: Gates of a window; fewer are left as they are.
_LEAST = 5
#: Steps of search of a circuit of 40 gates and 8 words; they get fewer as a step takes longer.
_STEPS, _STEPS_OF_WINDOW = 200_000, 3_000
#: Steps at a time; how many gates more than the best are allowed; one step in how many may add a gate.
_STRIDE, _ASTRAY, _RISE = 2_000, 6, 3
#: Rounds in turn: inputs and gates of a window. The search ends when each in turn has changed nothing, or after so many
#: rounds: fewer than the most where rounds times gates would be more than that.
_ROUNDS = ((10, 48), (8, 20), (10, 32))
_MOST_ROUNDS, _ROUNDS_OF = 9, 40_000


@dataclass
class _Two:
    """Two-input gates as the search takes them: gate g is signal inputs + g; outputs are literals."""

    inputs: int
    a: npt.NDArray[np.int64]
    b: npt.NDArray[np.int64]
    op: npt.NDArray[np.int64]
    outputs: npt.NDArray[np.int64]

    @property
    def gates(self) -> int:
        return len(self.op)


@dataclass(frozen=True)
class Strong(LogicPass):
    """As few two-input gates as a seeded search finds, never more than there were, or than taking wider gates apart
    makes. How long it takes at most is settled by the number of gates; minutes for thousands.

    Attributes:
        seed: of the search.
        effort: multiplies how long it searches.
    """

    name: ClassVar[str] = "strong"
    natives: ClassVar[tuple[str, ...]] = (
        *LogicPass.natives,
        "graphsim.passes.logic.covering",
        "graphsim.passes.logic.resubstitution",
    )
    seed: int = 1
    effort: float = 1.0

    def rewrite(self, circuit: Circuit) -> Circuit:
        return self.worked(circuit, lambda done, of: None)

    def worked(self, circuit: Circuit, working: Working) -> Circuit:
        circuit = min((Tables(2).rewrite(circuit), Two().rewrite(circuit)), key=lambda one: one.gate_count)
        if circuit.gate_count == 0 or circuit.first_gate == 0:
            return circuit
        few = circuit.first_gate <= _WHOLE
        if not few or circuit.gate_count > _GATES:
            if few:  # its tables may be a better beginning
                drawn = _circuit_of(circuit, _of_tables(_two_of(circuit)))
                circuit = min(circuit, drawn, key=lambda one: one.gate_count)
            idle = 0
            gates = circuit.gate_count
            rounds = max(1, min(_MOST_ROUNDS, _ROUNDS_OF // gates))
            for at in range(rounds):
                smaller = self._windows(circuit, at, partial(_in_round, working, at * gates, rounds * gates, gates))
                idle = idle + 1 if smaller.gate_count >= circuit.gate_count else 0
                circuit = circuit if idle else smaller
                if idle == len(_ROUNDS):
                    break
        return self._whole(circuit) if few and 0 < circuit.gate_count <= _GATES else circuit

    def _whole(self, circuit: Circuit) -> Circuit:
        """Search over all of the circuit, registers being inputs and what they follow outputs."""
        given = _two_of(circuit)
        steps = int(_STEPS * self.effort)
        found = min(
            (
                _searched(start, steps // 4, self.seed + at)
                for at, start in enumerate((given, _of_tables(given)))
                if start.gates <= _GATES
            ),
            key=lambda two: two.gates,
        )
        found = _searched(found, steps, self.seed + 2)
        smaller = _circuit_of(circuit, found)
        return smaller if smaller.gate_count < circuit.gate_count else circuit

    def _windows(self, circuit: Circuit, round_: int, working: Working) -> Circuit:
        """One round: windows that together hold most gates, each replaced by what is smaller."""
        first = circuit.first_gate
        two = _two_of(circuit)
        a, b, op = two.a.tolist(), two.b.tolist(), two.op.tolist()
        readers: list[list[int]] = [[] for _ in range(circuit.signal_count)]
        for g in range(two.gates):
            readers[a[g]].append(first + g)
            if b[g] != a[g]:
                readers[b[g]].append(first + g)
        shown = set(circuit.outputs.tolist()) | set(circuit.following.tolist())
        same: dict[int, int] = {}  # by signal, the literal that stands for it now
        taken = np.zeros(circuit.signal_count, np.bool_)
        # Every round begins elsewhere, so that what was a border is within a window.
        for pivot in range(circuit.signal_count - 1 - 7 * round_, first - 1, -1):
            if taken[pivot]:
                continue
            gates, leaves = _window(pivot, first, a, b, readers, taken, *_ROUNDS[round_ % len(_ROUNDS)])
            if len(gates) < _LEAST:
                continue
            taken[gates] = True
            working(int(taken.sum()), circuit.gate_count)
            inside = set(gates)
            ends = [g for g in gates if g in shown or any(r not in inside for r in readers[g])]
            number = {s: i for i, s in enumerate([*leaves, *gates])}
            part = _Two(
                len(leaves),
                np.array([number[a[g - first]] for g in gates]),
                np.array([number[b[g - first]] for g in gates]),
                np.array([op[g - first] for g in gates]),
                np.array([2 * number[g] for g in ends]),
            )
            found = _searched(part, int(_STEPS_OF_WINDOW * self.effort), self.seed + round_)
            if found.gates >= len(gates):
                continue
            base = len(op)
            signal = [*leaves, *(first + base + g for g in range(found.gates))]
            a += [signal[s] for s in found.a.tolist()]
            b += [signal[s] for s in found.b.tolist()]
            op += found.op.tolist()
            for g, literal in zip(ends, found.outputs.tolist(), strict=True):
                same[g] = 2 * signal[literal >> 1] | (literal & 1)
        return _rebuilt(circuit, a, b, op, same)


def _in_round(working: Working, before: int, whole: int, share: int, done: int, of: int) -> None:
    """Tell how far all rounds are, of which one with a ``share`` of the whole has done so much of its own."""
    working(before + share * done // of, whole)


def _window(
    pivot: int,
    first: int,
    a: list[int],
    b: list[int],
    readers: list[list[int]],
    taken: npt.NDArray[np.bool_],
    inputs: int,
    most: int,
) -> tuple[list[int], list[int]]:
    """Gates, ascending, and inputs of a window around a gate. The latest of its inputs is always taken in next."""
    gates, leaves = [pivot], {a[pivot - first], b[pivot - first]}
    while len(gates) < most:
        latest = max(leaves)
        if latest < first or taken[latest]:
            break
        more = (leaves - {latest}) | {a[latest - first], b[latest - first]}
        if len(more) > inputs:
            break
        leaves = more
        gates.append(latest)
    # Gates beside it that read nothing else; they come after all inputs too.
    inside = set(gates)
    waiting = [r for s in (*gates, *sorted(leaves)) for r in readers[s]]
    known, after = inside | leaves, max(leaves)
    while waiting and len(inside) < most:
        gate = waiting.pop()
        if gate in inside or taken[gate] or gate <= after:
            continue
        if a[gate - first] in known and b[gate - first] in known:
            inside.add(gate)
            known.add(gate)
            waiting += readers[gate]
    return sorted(inside), sorted(leaves)


def _searched(two: _Two, steps: int, seed: int) -> _Two:
    """What the search makes of it; not more gates."""
    from graphsim.passes.logic.resubstitution import search  # takes a while to compile, once

    value = _counting(two.inputs)
    room = two.inputs + two.gates + _ASTRAY + 4
    arrays = [np.zeros(room, np.int64) for _ in range(3)]
    for array, given in zip(arrays, (two.a, two.b, two.op), strict=True):
        array[two.inputs : two.inputs + two.gates] = given
    outputs = two.outputs.copy()
    values = np.zeros((room, value.shape[1]), np.uint64)
    values[: two.inputs] = value
    chance = np.array([(2 * seed + 1) * 0x9E37_79B9_7F4A_7C15 % (1 << 64)], np.uint64)
    best = (two.gates, [array.copy() for array in arrays], outputs.copy())
    count = two.inputs + two.gates
    left = float(steps)
    while left > 0:
        price = max(0.25, (count - two.inputs) ** 2 * value.shape[1] / (40**2 * 8))
        stride = max(1, int(min(_STRIDE, left) / price))
        left -= stride * price
        a, b, op = arrays
        count = search(two.inputs, count, a, b, op, outputs, values, stride, _RISE, chance)
        gates = count - two.inputs
        if gates <= best[0]:
            best = (gates, [array.copy() for array in arrays], outputs.copy())
        elif gates > best[0] + _ASTRAY:
            arrays, outputs = [array.copy() for array in best[1]], best[2].copy()
            count = two.inputs + best[0]
    found = slice(two.inputs, two.inputs + best[0])
    return _Two(two.inputs, best[1][0][found], best[1][1][found], best[1][2][found], best[2])


def _counting(inputs: int) -> Words:
    """All patterns of so many inputs, uint64 (inputs, words), at least one word."""
    number = np.arange(max(1, (1 << inputs) >> 6))
    rows = [
        np.full(len(number), VARIABLES[i], np.uint64)
        if i < 6
        else np.where(number >> (i - 6) & 1, ~np.uint64(0), np.uint64(0))
        for i in range(inputs)
    ]
    return np.array(rows, np.uint64).reshape(inputs, len(number))


def _two_of(circuit: Circuit) -> _Two:
    """Gates of at most two inputs; one that has fewer reads a signal twice."""
    count, index = circuit.fan_in, circuit.index
    start = circuit.indptr[:-1]
    a, b = np.zeros(circuit.gate_count, np.int64), np.zeros(circuit.gate_count, np.int64)
    a[count > 0] = index[start[count > 0]]
    b[:] = a
    b[count == 2] = index[start[count == 2] + 1]
    op = circuit.truth.astype(np.int64)
    # Read twice, only the rows in which both are alike count: bit 0, and bit 3.
    op[count == 1] = (op[count == 1] & 1) | (op[count == 1] & 2) << 2
    op[count == 0] *= 15
    ends = np.concatenate([circuit.following, circuit.outputs]).astype(np.int64)
    return _Two(circuit.first_gate, a, b, op, 2 * ends)


def _of_tables(two: _Two) -> _Two:
    """The same functions as multiplexers, shared where the functions are the same: reduced decision diagrams."""
    table = _tables_of(two)
    made = Builder(two.inputs)
    width = 1 << two.inputs
    known: dict[tuple[int, int], int] = {}

    def literal(word: int, variables: int) -> int:
        full = (1 << (1 << variables)) - 1
        if word in (0, full):
            return -1 if word else -2
        key = (word, variables)
        if key not in known:
            half = 1 << (variables - 1)
            low, high = word & ((1 << half) - 1), word >> half
            zero, x = literal(low, variables - 1), 2 * (variables - 1)
            one = literal(high, variables - 1)
            known[key] = (
                zero
                if zero == one
                else made.differ(x, zero)
                if zero == one ^ 1
                else made.any(made.all(x ^ 1, zero), made.all(x, one))
            )
        return known[key]

    outputs = []
    for word in table:
        found = literal(word & ((1 << width) - 1), two.inputs)
        outputs.append(2 * made.signal(found) if found < 0 else found)
    rows = [row if len(row) == 2 else (0, 0) for row in made.rows]
    truth = [word if len(row) == 2 else 15 * word for row, word in zip(made.rows, made.truth, strict=True)]
    a, b = (np.array([row[i] for row in rows], np.int64) for i in (0, 1))
    return _Two(two.inputs, a, b, np.array(truth, np.int64), np.array(outputs, np.int64))


def _tables_of(two: _Two) -> list[int]:
    """Truth tables of the outputs, as integers."""
    rows = [*_counting(two.inputs)]
    for x, y, op in zip(two.a.tolist(), two.b.tolist(), two.op.tolist(), strict=True):
        p, q = rows[x], rows[y]
        parts = [part for m, part in enumerate((~p & ~q, p & ~q, ~p & q, p & q)) if op >> m & 1]
        rows.append(np.bitwise_or.reduce(parts) if parts else np.zeros_like(p))
    return [
        int.from_bytes((~rows[o >> 1] if o & 1 else rows[o >> 1]).astype("<u8").tobytes(), "little")
        for o in two.outputs.tolist()
    ]


def _circuit_of(circuit: Circuit, two: _Two) -> Circuit:
    """The circuit with these gates in place of its own."""
    same = {-1 - at: literal for at, literal in enumerate(two.outputs.tolist())}
    ends = [-1 - at for at in range(len(two.outputs))]
    return _built(circuit, two.a.tolist(), two.b.tolist(), two.op.tolist(), same, ends)


def _rebuilt(circuit: Circuit, a: list[int], b: list[int], op: list[int], same: dict[int, int]) -> Circuit:
    """The circuit with more gates, in no order, and literals that stand for some."""
    ends = circuit.following.tolist() + circuit.outputs.tolist()
    return _built(circuit, a, b, op, same, ends)


def _built(
    circuit: Circuit, a: list[int], b: list[int], op: list[int], same: dict[int, int], ends: Sequence[int]
) -> Circuit:
    """A circuit of the gates that ``ends`` depend on (its registers' and its outputs'), in order."""
    first = circuit.first_gate
    made = Builder(first)
    literal: dict[int, int] = {s: 2 * s for s in range(first)}

    def final(signal: int) -> int:
        """The literal that stands for a signal in the end."""
        turned = 0
        while signal in same:
            turned ^= same[signal] & 1
            signal = same[signal] >> 1
        return 2 * signal | turned

    found = []
    for end in ends:
        root = final(end)
        stack = [root >> 1]
        while stack:
            signal = stack[-1]
            if signal in literal:
                stack.pop()
                continue
            reads = [final(s) for s in (a[signal - first], b[signal - first])]
            missing = [read >> 1 for read in reads if read >> 1 not in literal]
            if missing:
                stack += missing
                continue
            stack.pop()
            p, q = (literal[read >> 1] ^ (read & 1) for read in reads)
            literal[signal] = made.table2(op[signal - first], p, q)
        found.append(made.signal(literal[root >> 1] ^ (root & 1)))
    indptr, index = pack(made.rows)
    return swept(
        replace(
            circuit,
            gate_names=(),
            indptr=indptr,
            index=index,
            truth=np.array(made.truth, np.uint64),
            following=np.array(found[: circuit.register_count], np.int32),
            outputs=np.array(found[circuit.register_count :], np.int32),
        ),
        EVERYTHING,
    ).leading_to_outputs()
