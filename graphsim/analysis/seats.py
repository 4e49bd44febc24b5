"""Seats: whether there are a node and a tick for every firing of all loops at a period, decided by SAT.

What is asked is less than a schedule: every firing gets a node and a tick, no node fires two at once (ticks modulo the
period), and every token comes in time if it is alone on its way (:mod:`graphsim.analysis.transport`). Where even that
is impossible no schedule has the period, whatever else there is to do; where it is possible the answer says how.

The encoding: a node is one of several, a tick is in order (a literal for each "not before t"). Firings whose circles
leave no time to be apart are on one node, and have one choice between them; so have those that may be apart, but not
as far as they please, only nodes as near as that. Machines are symmetric: of nodes between which distances cannot tell
the first is enough for one firing, then for the next, what is left being symmetric with that one fixed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations, pairwise, product
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from graphsim.analysis.transport import there_and_back

if TYPE_CHECKING:
    from graphsim.analysis.loops import Loops

IntArray = npt.NDArray[np.int64]

#: Actors on all loops, at most, and where many machines are looked at.
MOST, FEW = 250, 40
#: Actors times nodes, at most; and about how many literals and clauses a question has at most.
MOST_PAIRS = 4_000
_LITERALS = 400_000
_CLAUSES = 2_000_000
#: Conflicts of the solver in one question, at most.
_CONFLICTS = 200_000
#: Answers that are remembered.
_REMEMBERED = 1_000
#: Firings that symmetry is taken from.
_FIXED = 4
#: Ticks that a token waits before it is sent, at most, where links count.
_WAIT = 3
#: Farther than anything.
_FAR = 1 << 40


@dataclass(frozen=True)
class Seats:
    """A node and a tick for every firing.

    Attributes:
        node: places in the list of nodes, int64 (actors of loops,).
        time: in an iteration of the first loop's own, from anywhere on; int64 (actors of loops,).
        sent: when the token of an actor that is read so many iterations later is sent, if that was asked for.
    """

    node: IntArray
    time: IntArray
    sent: dict[tuple[int, int], int] = field(default_factory=dict)


class UndecidedError(Exception):
    """The question is too large, or the limit of conflicts was met."""


_UNDECIDED = Seats(np.empty(0, np.int64), np.empty(0, np.int64))


#: For each of some nodes the way to each of them: (link, ticks from the sending of a token until the link takes it).
Trees = Sequence[Sequence[Sequence[tuple[int, int]]]]


def seats(loops: Loops, way: IntArray, period: int, trees: Trees | None = None) -> Seats | None:
    """Nodes and ticks of all firings on loops at a period; None: there are none.

    Args:
        way: ticks from node to node, of nodes that are alike; int64 (nodes, nodes).
        trees: where given, tokens are sent over these, without a stop and soon after they are made, and links take one
            at a time. Then there is less than there might be.

    An answer is remembered: bounds and placements ask alike.

    Raises:
        UndecidedError: it was not found out.
    """
    count = len(loops.actor)
    if not 0 < count <= MOST or count * len(way) > MOST_PAIRS or loops.ticks.max() > period:
        raise UndecidedError
    asked = hashlib.sha256(repr((period, way.shape, trees)).encode())
    for array in (way, loops.ptr, loops.src, loops.dst, loops.tokens, loops.ticks):
        asked.update(np.append(len(array), array).astype(np.int64).tobytes())
    key = asked.digest()
    if key not in _answers:
        if len(_answers) >= _REMEMBERED:
            _answers.clear()
        try:
            _answers[key] = _solved(loops, way, period, trees)
        except UndecidedError:
            _answers[key] = _UNDECIDED
    if (answer := _answers[key]) is _UNDECIDED:
        raise UndecidedError
    return answer


#: What was answered to a question, by its digest.
_answers: dict[bytes, Seats | None] = {}


def _solved(loops: Loops, way: IntArray, period: int, trees: Trees | None) -> Seats | None:
    count = len(loops.actor)
    slack = np.full((count, count), _FAR)
    for part, (a, b) in enumerate(pairwise(loops.ptr.tolist())):
        slack[a:b, a:b] = loops.slack(part, period)
    if np.diag(slack).min() < 0:
        return None
    question = _Question(loops, way, period, slack)
    if trees is not None:
        question.send(trees)
    return question.answer()


def first_possible(loops: Loops, way: IntArray, least: int, enough: int | None = None) -> int:
    """The first period from ``least`` on that is not known to have no seats; or ``enough``, if all before have none."""
    period = least
    try:
        while (enough is None or period < enough) and seats(loops, way, period) is None:
            period += 1
    except UndecidedError:
        pass
    return period


class _Question:
    """Clauses that can be fulfilled if and only if there are seats."""

    def __init__(self, loops: Loops, way: IntArray, period: int, slack: IntArray) -> None:
        self.loops, self.way, self.period = loops, way, period
        self.clauses: list[list[int]] = []
        self.top = 1
        self.sent: dict[tuple[int, int], int] = {}
        self.clauses.append([1])  # a literal that is true
        both = slack + slack.T
        self._group(both)
        self._windows(slack, both)
        literals = int(np.sum(self.high - self.low)) + len(self.low) * len(way) * min(period, _LITERALS)
        if literals > _LITERALS or len(self.spare) ** 2 * len(way) > _CLAUSES:
            raise UndecidedError
        self._nodes()
        self._symmetry()
        self.after = [self._event(low, high) for low, high in zip(self.low.tolist(), self.high.tolist(), strict=True)]
        self.begin, self.end = self.low.tolist(), self.high.tolist()
        self._edges()
        self._clashes()

    def _new(self) -> int:
        self.top += 1
        return self.top

    def _group(self, both: IntArray) -> None:
        """Firings that must be on one node, and between groups of them the ticks that there are there and back."""
        from scipy.sparse import csr_array
        from scipy.sparse.csgraph import connected_components

        count, group = connected_components(csr_array(both < there_and_back(self.way)), directed=False)
        self.group = group.astype(np.int64)
        self.spare = np.full((count, count), 1 << 60)
        np.minimum.at(self.spare, (self.group[:, None], self.group[None, :]), both)

    def _windows(self, slack: IntArray, both: IntArray) -> None:
        """The first and the last tick of each firing; one of the largest loop's is at 0."""
        ptr, period = self.loops.ptr, self.period
        self.low, self.high = np.zeros((2, len(slack)), np.int64)
        largest = int(np.diff(ptr).argmax())
        for part, (a, b) in enumerate(pairwise(ptr.tolist())):
            r = a + int(both[a:b, a:b].sum(axis=1).argmin())
            self.low[a:b], self.high[a:b] = -slack[r, a:b], slack[a:b, r] + (0 if part == largest else period - 1)
            if part == largest:
                self.first = r

    def _nodes(self) -> None:
        """On which node each group is; and no two farther apart than there is time to go there and back."""
        nodes, back = len(self.way), self.way + self.way.T
        self.at = np.array([[self._new() for _ in range(nodes)] for _ in self.spare], np.int64)
        for row in self.at.tolist():
            self.clauses.append(row)
            self.clauses += [[-a, -b] for a, b in combinations(row, 2)]
        for g, h in combinations(range(len(self.spare)), 2):
            near = back <= self.spare[g, h]
            if near.all():
                continue
            for k in range(nodes):
                self.clauses.append([-int(self.at[g, k]), *self.at[h, near[k]].tolist()])
                self.clauses.append([-int(self.at[h, k]), *self.at[g, near[k]].tolist()])

    def _symmetry(self) -> None:
        """Of nodes that distances do not tell apart the first, for one group, then another, far from those before."""
        left = self.spare[self.group[self.first]].copy()
        chosen = [int(self.group[self.first])]
        apart = np.argsort(left, kind="stable")
        chosen += [g for g in apart.tolist() if g != chosen[0]][: _FIXED - 1]
        self._break(chosen, [])

    def _break(self, chosen: list[int], fixed: list[int]) -> None:
        if len(fixed) == len(chosen):
            return
        orbit = orbits(self.way, fixed)
        group, given = chosen[len(fixed)], [-int(self.at[g, k]) for g, k in zip(chosen, fixed, strict=False)]
        for k in np.flatnonzero(orbit != np.arange(len(orbit))).tolist():
            self.clauses.append([*given, -int(self.at[group, k])])
        if len(np.unique(orbit)) == len(orbit):
            return
        for k in np.unique(orbit).tolist():
            self._break(chosen, [*fixed, k])

    def _event(self, low: int, high: int) -> list[int]:
        """Literals "not before t", for a tick from ``low`` to ``high``."""
        row = [self._new() for _ in range(low, high)]
        self.clauses += [[-b, a] for a, b in pairwise(row)]
        return row

    def _not_before(self, v: int, tick: int) -> int:
        at = tick - self.begin[v]
        if at <= 0:
            return 1
        return self.after[v][at - 1] if at <= len(self.after[v]) else -1

    def _add(self, *literals: int) -> None:
        if 1 not in literals:
            self.clauses.append([x for x in literals if x != -1])

    def _edges(self) -> None:
        """Every token comes in time: for each length of a way "at least so far"."""
        far: dict[tuple[int, int], dict[int, int]] = {}
        loops = self.loops
        for u, v, tokens in zip(loops.src.tolist(), loops.dst.tolist(), loops.tokens.tolist(), strict=True):
            g, h = int(self.group[u]), int(self.group[v])
            if g != h and (g, h) not in far:
                far[g, h] = self._distance(g, h)
            for ticks, literal in [(0, 1), *(far[g, h].items() if g != h else ())]:
                self._follows(u, v, int(loops.ticks[u]) + ticks - tokens * self.period, literal)
        self.far = far

    def _follows(self, u: int, v: int, late: int, literal: int = 1) -> None:
        """One event is so many ticks after another at the earliest, if a literal is true."""
        for t in range(self.begin[u], self.end[u] + 1):
            self._add(-self._not_before(u, t), -literal, self._not_before(v, t + late))

    def _distance(self, g: int, h: int) -> dict[int, int]:
        found: dict[int, int] = {}
        before = 1
        for ticks in np.unique(self.way[(self.way > 0) & (self.way + self.way.T <= self.spare[g, h])]).tolist():
            found[ticks] = self._new()
            self._add(-found[ticks], before)
            before, near = found[ticks], self.way < ticks
            for k in range(len(self.way)):
                self.clauses.append([-int(self.at[g, k]), found[ticks], *self.at[h, near[k]].tolist()])
                self.clauses.append([-int(self.at[h, k]), found[ticks], *self.at[g, near[:, k]].tolist()])
        return found

    def _phases(self, v: int) -> dict[int, int]:
        """For every tick of a period that an event may have, a literal that is true if it has."""
        found: dict[int, int] = {}
        for t in range(self.begin[v], self.end[v] + 1):
            if t % self.period not in found:
                found[t % self.period] = self._new()
            self._add(-self._not_before(v, t), self._not_before(v, t + 1), found[t % self.period])
        return found

    def _clashes(self) -> None:
        """No node fires twice in one tick of the period."""
        period = self.period
        busy: dict[tuple[int, int], int] = {}
        for v, ticks in enumerate(self.loops.ticks.tolist()):
            begins = self._phases(v)
            for phase, literal in begins.items():
                for i in range(ticks):
                    if ((phase + i) % period, v) not in busy:
                        busy[(phase + i) % period, v] = literal if ticks == 1 else self._new()
                    if ticks > 1:
                        self.clauses.append([-literal, busy[(phase + i) % period, v]])
        who: list[list[int]] = [[] for _ in range(period)]
        for phase, v in sorted(busy):
            who[phase].append(v)
        for phase in range(period):
            for k in range(len(self.way)):
                there = []
                for v in who[phase]:
                    there.append(self._new())
                    self.clauses.append([-int(self.at[self.group[v], k]), -busy[phase, v], there[-1]])
                self._one_of(there)

    def _one_of(self, literals: list[int]) -> None:
        """At most one is true."""
        from pysat.card import CardEnc, EncType

        if len(literals) > 1:
            found = CardEnc.atmost(literals, 1, top_id=self.top, encoding=EncType.seqcounter)
            self.clauses += found.clauses
            self.top = max(self.top, found.nv)

    def send(self, trees: Trees) -> None:
        """Tokens are sent soon after they are made, and links take one at a time."""
        loops, nodes, back = self.loops, len(self.way), self.way + self.way.T
        readers: dict[tuple[int, int], list[int]] = {}
        for u, v, tokens in zip(loops.src.tolist(), loops.dst.tolist(), loops.tokens.tolist(), strict=True):
            if self.group[u] != self.group[v]:  # what is read an iteration later is a token of its own
                readers.setdefault((u, tokens), []).append(v)
        taken: dict[tuple[int, int], list[int]] = {}
        for (u, tokens), read in sorted(readers.items()):
            g, ticks, used = int(self.group[u]), int(loops.ticks[u]), dict[tuple[int, int], int]()
            event = self.sent[u, tokens] = len(self.after)
            self.begin.append(self.begin[u] + ticks)
            self.end.append(self.end[u] + ticks + _WAIT)
            self.after.append(self._event(self.begin[event], self.end[event]))
            self._follows(u, event, ticks)
            for v in read:
                for way, literal in self.far[g, int(self.group[v])].items():
                    self._follows(event, v, way - tokens * self.period, literal)
            for h, k in product(sorted({int(self.group[v]) for v in read}), range(nodes)):
                for j in np.flatnonzero(back[k] <= self.spare[g, h]).tolist():
                    for link, offset in trees[k][j]:
                        if (link, offset) not in used:
                            used[link, offset] = self._new()
                        self.clauses.append([-int(self.at[g, k]), -int(self.at[h, j]), used[link, offset]])
            if len(self.clauses) > _CLAUSES:
                raise UndecidedError
            on: dict[tuple[int, int], int] = {}
            phases = self._phases(event)
            for (link, offset), literal in used.items():
                for phase, begins in phases.items():
                    key = link, (phase + offset) % self.period
                    if key not in on:
                        on[key] = self._new()
                        taken.setdefault(key, []).append(on[key])
                    self.clauses.append([-literal, -begins, on[key]])
        for literals in taken.values():
            self._one_of(literals)

    def answer(self) -> Seats | None:
        from pysat.solvers import Solver

        with Solver("cadical195", bootstrap_with=self.clauses) as solver:
            solver.conf_budget(_CONFLICTS)
            found = solver.solve_limited()
            if found is None:
                raise UndecidedError
            if not found:
                return None
            true = np.zeros(self.top + 1, np.bool_)
            model = np.array(solver.get_model(), np.int64)
            true[model[model > 0]] = True
        node = true[self.at].argmax(axis=1)[self.group].astype(np.int64)
        time = np.array([low + int(true[row].sum()) for low, row in zip(self.begin, self.after, strict=True)], np.int64)
        sent = {token: int(time[event]) for token, event in self.sent.items()}
        return Seats(node, time[: len(self.group)], sent)


def orbits(way: IntArray, fixed: list[int]) -> IntArray:
    """Of each node the first that it could be exchanged for, all ways and ``fixed`` staying as they are; int64."""
    found = np.arange(len(way))
    alike = np.sort(way, axis=1)
    for k in range(len(way)):
        for first in np.unique(found[:k]).tolist():
            able = k not in fixed and first not in fixed and np.array_equal(alike[first], alike[k])
            if able and _exchanged(way, [*fixed, first], [*fixed, k]):
                found[k] = first
                break
    return found


#: Steps of a search for a symmetry; without an answer there is none.
_STEPS = 2_000


def _exchanged(way: IntArray, here: list[int], there: list[int]) -> bool:
    """Whether nodes can be exchanged so that those ``here`` are ``there``, and all ways stay."""
    order = [*here, *(k for k in range(len(way)) if k not in here)]
    steps = 0

    def extend(image: list[int]) -> bool:
        nonlocal steps
        at = len(image)
        if at == len(order):
            return True
        if steps > _STEPS:
            return False
        steps += 1
        before = order[:at]
        fits = (way[:, image] == way[order[at], before]).all(axis=1)
        fits &= (way[image] == way[before, order[at]][:, None]).all(axis=0)
        fits[image] = False
        return any(extend([*image, k]) for k in np.flatnonzero(fits).tolist())

    if not (way[np.ix_(here, here)] == way[np.ix_(there, there)]).all():
        return False
    return extend(there)
