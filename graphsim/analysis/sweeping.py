"""SAT sweeping: which pairs of signals of a circuit are equal, from equal signals within it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from pysat.solvers import Solver

from graphsim.analysis.cover import clauses
from graphsim.analysis.patterns import bit
from graphsim.graph.channels import IntArray
from graphsim.graph.circuit import Int32Array, Words

#: Words of random patterns; and counterexamples that are gathered before signals are looked at anew.
_WORDS, _GATHERED = 32, 64
#: Conflicts for two signals within; what is to be shown gets all that is left.
_WITHIN = 500
#: Of how many earlier signals, all alike so far, it is asked whether one is equal.
_TRIED = 4
#: A solver is begun anew when it holds so many variables: each answer gives a value to all of them.
_HELD = 20_000


class Sweeper:
    """Decides pairs of signals; what it learns of signals within stays.

    Args:
        variables: signals that are free: 0 .. variables - 1. The others are gates.
        values: evaluates all signals from words of the variables.
        budget: conflicts in all.
    """

    def __init__(
        self,
        variables: int,
        indptr: IntArray,
        index: Int32Array,
        truth: Words,
        values: Callable[[Words], Words],
        budget: int,
        seed: int,
    ) -> None:
        self.variables, self.values, self.budget = variables, values, budget
        self.questions = 0
        flat, ends = index.tolist(), indptr.tolist()
        self._fanins = [flat[ends[g] : ends[g + 1]] for g in range(len(truth))]
        self._truth: list[int] = truth.tolist()
        self._rng = np.random.default_rng(seed)
        #: By signal, the literal (2 * signal + complement) of the first signal that it is known to equal.
        self._same = [2 * signal for signal in range(variables + len(truth))]
        self._solver = Solver("cadical195")
        self._held: dict[int, int] = {}
        self._last = 0
        self._spent = 0
        self._seen: list[list[int]] = []

    def decide(self, pairs: list[tuple[int, int]]) -> dict[int, list[int] | None]:
        """By number of a pair that is not equal, values of the variables that show it; None where it is not decided."""
        self._merge_within(pairs)
        answer: dict[int, list[int] | None] = {}
        for at, (left, right) in enumerate(pairs):
            equal, pattern = self._ask(self._root(2 * left), self._root(2 * right), self.budget)
            if equal is not True:
                answer[at] = pattern
        self._solver.delete()
        return answer

    def _root(self, literal: int) -> int:
        return self._same[literal >> 1] ^ (literal & 1)

    def _merge_within(self, pairs: list[tuple[int, int]]) -> None:
        """Take signals in order; where one has the patterns of an earlier one, or their complement, ask."""
        cone = self._cone(pairs)
        by_rows: dict[tuple[object, ...], int] = {}
        value = self._signatures()
        first: dict[bytes, list[int]] = {}
        done: list[int] = []
        for signal in cone:
            if signal >= self.variables:
                key, complement = self._key(signal)
                known = by_rows.setdefault(key, 2 * signal | complement)
                if known >> 1 != signal:
                    self._same[signal] = self._root(known) ^ complement
                    continue
            done.append(signal)
            name, turned = _signature(value[signal])
            for other in first.setdefault(name, [])[:_TRIED]:
                literal = other ^ turned
                equal, pattern = self._ask(2 * signal, literal, min(_WITHIN, self.budget))
                if equal:
                    self._same[signal] = literal
                    done.pop()
                    break
                if pattern is not None:
                    self._seen.append(pattern)
            else:
                first[name].append(2 * signal | turned)
            if len(self._seen) >= _GATHERED:
                value = self._signatures(value)
                first = {}
                for earlier in done:
                    name, turned = _signature(value[earlier])
                    first.setdefault(name, []).append(2 * earlier | turned)

    def _signatures(self, before: Words | None = None) -> Words:
        """Values under random patterns, or under those before and the counterexamples since."""
        if before is None:
            return self.values(self._rng.integers(0, 1 << 64, (self.variables, _WORDS), np.uint64))
        bits = np.array(self._seen[:_GATHERED], np.uint8).T.copy()
        self._seen = self._seen[_GATHERED:]
        packed = np.packbits(bits, axis=1, bitorder="little")
        return np.concatenate([before, self.values(np.ascontiguousarray(packed).view(np.uint64))], axis=1)

    def _cone(self, pairs: list[tuple[int, int]]) -> list[int]:
        live = np.zeros(self.variables + len(self._fanins), np.bool_)
        live[[signal for pair in pairs for signal in pair]] = True
        for gate in range(len(self._fanins) - 1, -1, -1):
            if live[self.variables + gate]:
                live[self._fanins[gate]] = True
        found: list[int] = np.flatnonzero(live).tolist()
        return found

    def _key(self, signal: int) -> tuple[tuple[object, ...], int]:
        """What a gate computes of which signals, up to its complement, which is second."""
        gate = signal - self.variables
        rows = clauses(self._truth[gate], len(self._fanins[gate]))
        read = [self._root(2 * fanin) for fanin in self._fanins[gate]]
        written = [(tuple(sorted(read[abs(v) - 1] ^ (v < 0) for v in cube)), value) for cube, value in rows]
        # The smallest row tells which of a function and its complement this is.
        smallest = min(written)[1]
        return tuple(sorted((cube, value ^ smallest) for cube, value in written)), int(smallest)

    def _ask(self, left: int, right: int, conflicts: int) -> tuple[bool | None, list[int] | None]:
        """Whether two literals are equal; values of the variables that show that they are not."""
        if left == right:
            return True, None
        if left == right ^ 1:
            return False, [0] * self.variables
        if conflicts <= 0:
            return None, None
        if len(self._held) > _HELD:
            self._solver.delete()
            self._solver, self._held, self._last, self._spent = Solver("cadical195"), {}, 0, 0
        self._load(left >> 1)
        self._load(right >> 1)
        a, b = self._literal(left), self._literal(right)
        self._last += 1
        differ = self._last
        self._solver.append_formula([[-differ, a, b], [-differ, -a, -b]])
        self._solver.conf_budget(conflicts)
        self.questions += 1
        found = self._solver.solve_limited(assumptions=[differ])
        spent = self._solver.accum_stats()["conflicts"]
        self.budget -= spent - self._spent
        self._spent = spent
        if found is None:
            self._solver.add_clause([-differ])
            return None, None
        if not found:
            self._solver.append_formula([[-differ], [-a, b], [a, -b]])
            return True, None
        model = self._solver.get_model()
        pattern = [0] * self.variables
        for signal, variable in self._held.items():
            if signal < self.variables:
                pattern[signal] = int(model[variable - 1] > 0)
        self._solver.add_clause([-differ])
        return False, pattern

    def _literal(self, literal: int) -> int:
        variable = self._held[literal >> 1]
        return -variable if literal & 1 else variable

    def _load(self, signal: int) -> None:
        """Clauses of the gates that a signal depends on, as far as the solver does not have them."""
        stack = [signal]
        while stack:
            signal = stack[-1]
            if signal in self._held:
                stack.pop()
                continue
            gate = signal - self.variables
            read = [self._root(2 * fanin) for fanin in self._fanins[gate]] if gate >= 0 else []
            missing = [literal >> 1 for literal in read if literal >> 1 not in self._held]
            if missing:
                stack += missing
                continue
            stack.pop()
            self._last += 1
            own = self._held[signal] = self._last
            if gate < 0:
                continue
            fanins = [self._literal(literal) for literal in read]
            for cube, value in clauses(self._truth[gate], len(read)):
                row = [-fanins[v - 1] if v > 0 else fanins[-v - 1] for v in cube]
                self._solver.add_clause([*row, own if value else -own])


def _signature(row: npt.NDArray[np.uint64]) -> tuple[bytes, int]:
    """A row of patterns, or its complement: that of which pattern 0 is 0; and whether it was complemented."""
    turned = bit(row, 0)
    return (~row if turned else row).tobytes(), turned
