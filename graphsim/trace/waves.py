"""Waveforms (VCD, IEEE 1364), by the package pyvcd: calendars, frames, buffer levels and tokens over time."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from vcd import VCDWriter

from graphsim.errors import UsageError
from graphsim.files import write_text
from graphsim.passes import unroll
from graphsim.trace.timeline import Timeline, check_size, levels

#: What VCD allows for the length of a tick.
TIMESCALE = re.compile(r"(1|10|100) ?(s|ms|us|ns|ps|fs)", re.ASCII)

Values = Mapping[str, npt.NDArray[np.float32]]
Number = int | float | str


class _Signal(NamedTuple):
    """A variable, and (tick, value) in ascending order; before the first it is unknown."""

    scope: str
    name: str
    kind: str
    size: int | None
    changes: list[tuple[int, Number]]


def write_waves(
    path: Path,
    line: Timeline,
    iterations: int,
    *,
    timescale: str = "1 ns",
    only: str | None = None,
    values: Values | None = None,
) -> int:
    """Write waveforms of iterations 0 .. iterations - 1; how many signals they have.

    ``nodes.NODE.actor`` (text; empty when idle) and ``nodes.NODE.iteration``; ``links.SRC_to_DST.parcel`` (number of
    the parcel that is being sent; unknown when idle), ``.iteration`` and ``.frames`` (sent in the tick);
    ``memory.NODE`` (bytes of tokens). With values, ``tokens.ACTOR``: a real, of tokens of one bit a wire, from the end
    of its firing on. Names are written with ``_`` for what VCD does not allow.

    Args:
        timescale: what a tick is written as, ``1``, ``10`` or ``100`` and a unit.
        only: a regular expression; signals whose whole name (``nodes.n0.actor``) has no match are left out.
        values: what groups computed, as :class:`graphsim.simulate.engine.Run` has them; at least so many iterations.

    Raises:
        UsageError: the timescale, the expression, or no signal that matches it.
        ScheduleError: the waveforms would be too large.
    """
    if TIMESCALE.fullmatch(timescale) is None:
        raise UsageError(
            f"--timescale {timescale[:20]!r}: write 1, 10 or 100 and one of s, ms, us, ns, ps, fs, as '10 ns'"
        )
    try:
        wanted = re.compile(only or "")
    except re.error as error:
        raise UsageError(f"--signals {only!r}: is no regular expression ({error})") from error
    check_size(line, iterations)
    signals = [s for s in _signals(line, iterations, values) if wanted.search(f"{s.scope}.{s.name}")]
    if not signals:
        raise UsageError(f"--signals {only!r}: no signal has a name like that; names are as nodes.n0.actor")
    file = io.StringIO()
    with VCDWriter(file, timescale=timescale, date="", version="graphsim") as writer:
        changes: list[tuple[int, int, Any, Number]] = []
        for number, signal in enumerate(signals):
            first = "" if signal.kind == "string" else 0.0 if signal.kind == "real" else "x"
            variable = writer.register_var(signal.scope, signal.name, signal.kind, size=signal.size, init=first)
            before: Number = first
            for tick, value in signal.changes:
                if value != before:
                    changes.append((tick, number, variable, value))
                before = value
        for tick, _, variable, value in sorted(changes, key=lambda change: change[:2]):
            writer.change(variable, tick, value)
        writer.close(line.last + (iterations - 1) * line.schedule.period)
    write_text(path, file.getvalue())
    return len(signals)


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_\[\]@:-]", "_", name)


def _signals(line: Timeline, iterations: int, values: Values | None) -> Iterator[_Signal]:
    s, machine, period = line.schedule, line.schedule.machine, line.schedule.period
    busy = np.flatnonzero(line.end > line.start)
    for v, node in enumerate(machine.nodes):
        here = busy[s.node[busy] == v]
        here = here[np.argsort(line.start[here], kind="stable")]
        names = {a: line.graph.actor(a).name for a in here.tolist()}
        slices = [
            (int(line.start[a]) + n * period, int(line.end[a]) + n * period, names[a], n)
            for n in range(iterations)
            for a in here.tolist()
        ]
        if slices:
            slices.sort()
            name = _plain(node.name)
            yield _Signal(f"nodes.{name}", "actor", "string", None, _levels([(a, b, x) for a, b, x, _ in slices], ""))
            yield _Signal(
                f"nodes.{name}", "iteration", "integer", 32, _levels([(a, b, n) for a, b, _, n in slices], "x")
            )
    for link in np.unique(s.hop_link).tolist():
        hops = np.flatnonzero(s.hop_link == link).tolist()
        spans = sorted(
            (int(line.hop_start[h]) + n * period, int(line.hop_sent[h]) + n * period, int(s.hop_parcel[h]), n)
            for n in range(iterations)
            for h in hops
        )
        ends = machine.links[link]
        scope = f"links.{_plain(machine.nodes[ends.src].name)}_to_{_plain(machine.nodes[ends.dst].name)}"
        yield _Signal(scope, "parcel", "integer", 32, _levels([(a, b, p) for a, b, p, _ in spans], "x"))
        yield _Signal(scope, "iteration", "integer", 32, _levels([(a, b, n) for a, b, _, n in spans], "x"))
        yield _Signal(scope, "frames", "integer", 32, _frames(line, hops, iterations))
    where, tick, level = levels(line, iterations)
    for v in sorted(set(where.tolist())):
        at = where == v
        changes: list[tuple[int, Number]] = [(0, 0), *zip(tick[at].tolist(), level[at].tolist(), strict=True)]
        yield _Signal("memory", _plain(machine.nodes[v].name), "integer", 64, changes)
    if values is not None:
        yield from _tokens(line, iterations, values)


def _levels(spans: list[tuple[int, int, Any]], idle: Number) -> list[tuple[int, Number]]:
    """Changes of a signal that has a value in each span and is idle between them; a later span covers an earlier."""
    changes: list[tuple[int, Number]] = []
    for number, (start, end, value) in enumerate(spans):
        if changes and changes[-1][0] >= start:
            changes.pop()
        changes.append((start, value))
        if number + 1 == len(spans) or spans[number + 1][0] > end:
            changes.append((end, idle))
    return changes


def _frames(line: Timeline, hops: list[int], iterations: int) -> list[tuple[int, Number]]:
    """Frames that a link sends in the cycle of each tick; a hop's cycles are full but for its last."""
    change: dict[int, int] = {}
    for h in hops:
        start, frames, pace = int(line.hop_start[h]), int(line.hop_frames[h]), int(line.hop_pace[h])
        whole, rest = divmod(frames, pace)
        stride = int(line.hop_stride[h])
        for n in range(iterations):
            at = start + n * line.schedule.period
            full = at + whole * stride
            for tick, more in ((at, pace), (full, -pace), (full, rest), (full + stride, -rest)):
                change[tick] = change.get(tick, 0) + more
    found: list[tuple[int, Number]] = [(0, 0)]
    total = 0
    for tick in sorted(change):
        total += change[tick]
        found.append((tick, total))
    return found


def _tokens(line: Timeline, iterations: int, values: Values) -> Iterator[_Signal]:
    graph, flat = line.original, line.graph
    unrolled = unroll(graph)
    for number, group in enumerate(flat.groups):
        of = int(unrolled.group[number])
        if of < 0 or graph.groups[of].name not in values or group.op == "source":
            continue
        kept = values[graph.groups[of].name]
        if kept.size != len(kept) * graph.tokens(of) * group.size:
            continue  # a sink's token has several elements
        rows = kept.reshape(len(kept), graph.tokens(of), group.size)[:iterations, int(unrolled.token[number])]
        bits = max((c.token_bits for c in flat.channels_from(number)), default=32)
        first = int(flat.first[number])
        for local in range(group.size):
            ends = (line.end[first + local] + np.arange(len(rows)) * line.schedule.period).tolist()
            made = rows[:, local].tolist()
            changes: list[tuple[int, Number]] = list(zip(ends, map(int, made) if bits == 1 else made, strict=True))
            name = _plain(flat.actor(first + local).name)
            yield _Signal("tokens", name, *(("wire", 1) if bits == 1 else ("real", 64)), changes)
