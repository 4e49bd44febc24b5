"""``graphsim analyze`` on SDF3 files against a plain simulation, tick by tick, that shares nothing with the analysis.

Rational periods, back-pressured graphs, actors that overlap themselves as often as a self-loop lets them.
"""

from __future__ import annotations

import json
from fractions import Fraction
from math import gcd
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from graphsim.cli import main

#: (producer, consumer, tokens made, tokens taken, initial tokens)
Channel = tuple[str, str, int, int, int]


def xml(times: dict[str, int], channels: list[Channel]) -> str:
    """The graph as an SDF3 file."""
    ports: dict[str, list[str]] = {name: [] for name in times}
    lines = []
    for c, (src, dst, made, taken, tokens) in enumerate(channels):
        ports[src].append(f'<port type="out" name="o{c}" rate="{made}"/>')
        ports[dst].append(f'<port type="in" name="i{c}" rate="{taken}"/>')
        lines.append(
            f'<channel name="c{c}" srcActor="{src}" srcPort="o{c}" dstActor="{dst}" dstPort="i{c}" '
            f'initialTokens="{tokens}"/>'
        )
    actors = [f'<actor name="{a}" type="{a}">{"".join(found)}</actor>' for a, found in ports.items()]
    properties = [
        f'<actorProperties actor="{a}"><processor type="p" default="true"><executionTime time="{ticks}"/></processor>'
        "</actorProperties>"
        for a, ticks in times.items()
    ]
    return (
        '<sdf3 type="sdf" version="1.0"><applicationGraph name="g"><sdf name="g" type="G">'
        f"{''.join(actors)}{''.join(lines)}</sdf><sdfProperties>{''.join(properties)}</sdfProperties>"
        "</applicationGraph></sdf3>"
    )


def simulated(times: dict[str, int], channels: list[Channel], turns: dict[str, int]) -> Fraction | None:
    """Ticks per iteration, from the first state that comes back; None if nothing can fire any more.

    In every tick firings end, then all that can start do. Times are at least 1.
    """
    tokens = [c[4] for c in channels]
    running: list[tuple[str, int]] = []
    ended = dict.fromkeys(times, 0)
    seen: dict[object, tuple[int, int]] = {}
    for now in range(100_000):
        for name, end in running:
            if end == now:
                ended[name] += 1
                for c, channel in enumerate(channels):
                    tokens[c] += channel[2] * (channel[0] == name)
        running = [one for one in running if one[1] > now]
        for name, ticks in times.items():
            while all(tokens[c] >= channel[3] for c, channel in enumerate(channels) if channel[1] == name):
                for c, channel in enumerate(channels):
                    tokens[c] -= channel[3] * (channel[1] == name)
                running.append((name, now + ticks))
        if not running:
            return None
        anchor = next(iter(times))
        state = tuple(tokens), tuple(sorted((a, end - now) for a, end in running)), ended[anchor] % turns[anchor]
        if state in seen:
            before, then = seen[state]
            return Fraction(now - then, ended[anchor] // turns[anchor] - before)
        seen[state] = ended[anchor] // turns[anchor], now
    raise AssertionError("no state came back")


def analyzed(folder: Path, text: str, *options: str) -> tuple[int, dict[str, object]]:
    (folder / "g.xml").write_text(text, encoding="utf-8")
    status = main(["analyze", str(folder / "g.xml"), "--json", str(folder / "g.json"), *options])
    return status, json.loads((folder / "g.json").read_text(encoding="utf-8")) if status == 0 else {}


KNOWN = [
    # Two tokens around a and b, which may overlap themselves: 7 ticks for two iterations.
    ("7/2", {"a": 3, "b": 4}, [("a", "b", 1, 1, 0), ("b", "a", 1, 1, 2)]),
    # As many tokens as keep b busy all the time.
    ("4", {"a": 3, "b": 4}, [("a", "b", 1, 1, 0), ("b", "a", 1, 1, 2), ("b", "b", 1, 1, 1)]),
    # Three firings of b for two of a, 5 tokens of space: a starts in ticks 0, 8 and 16, each time when b has ended.
    ("16", {"a": 5, "b": 3}, [("a", "b", 3, 2, 0), ("b", "a", 2, 3, 5), ("a", "a", 1, 1, 1), ("b", "b", 1, 1, 1)]),
    # Three tokens of a circle of five actors of 1, 2, 3, 4 and 7 ticks.
    (
        "17/3",
        dict(zip("abcde", (1, 2, 3, 4, 7), strict=True)),
        [*((x, y, 1, 1, 0) for x, y in ("ab", "bc", "cd", "de")), ("e", "a", 1, 1, 3)],
    ),
    # A self-loop with two tokens lets two firings overlap.
    ("9/2", {"a": 9}, [("a", "a", 1, 1, 2)]),
]


@pytest.mark.parametrize(("period", "times", "channels"), KNOWN)
def test_known_periods(tmp_path: Path, period: str, times: dict[str, int], channels: list[Channel]) -> None:
    status, found = analyzed(tmp_path, xml(times, channels), "--concurrency", "0")
    turns = found["repetition_vector"]
    assert status == 0
    assert isinstance(turns, dict)
    assert simulated(times, channels, turns) == Fraction(period)
    assert str(found["period"]) == period
    exact = Fraction(period)
    assert found["throughput"] == f"{exact.denominator}/{exact.numerator}"
    assert (found["consistent"], found["deadlock_free"]) == (True, True)


RING = [*((x, y, 1, 1, 0) for x, y in ("ab", "bc", "cd", "de"))]
TIMES = dict(zip("abcde", (1, 2, 3, 4, 7), strict=True))


@pytest.mark.parametrize(
    ("period", "times", "channels"),
    [
        ("4", {"a": 3, "b": 4}, [("a", "b", 1, 1, 0), ("b", "a", 1, 1, 2)]),
        ("7", TIMES, [*RING, ("e", "a", 1, 1, 3)]),
        ("17/2", TIMES, [*RING, ("e", "a", 1, 1, 2)]),
    ],
)
def test_where_no_self_loop_says_otherwise_no_actor_overlaps_itself(
    tmp_path: Path, period: str, times: dict[str, int], channels: list[Channel]
) -> None:
    alone = [(name, name, 1, 1, 1) for name in times]
    assert simulated(times, [*channels, *alone], dict.fromkeys(times, 1)) == Fraction(period)
    assert str(analyzed(tmp_path, xml(times, channels))[1]["period"]) == period


@st.composite
def pressed(draw: st.DrawFn) -> tuple[dict[str, int], list[Channel], dict[str, int]]:
    """Chains and meshes of actors with bounded buffers everywhere, and self-loops of one to three tokens on some."""
    count = draw(st.integers(1, 4))
    names = [f"a{i}" for i in range(count)]
    raw = [draw(st.integers(1, 4)) for _ in names]
    turns = {name: one // gcd(*raw) for name, one in zip(names, raw, strict=True)}
    times = {name: draw(st.integers(1, 9)) for name in names}
    pairs = [(draw(st.integers(0, i - 1)), i) for i in range(1, count)]
    pairs += draw(st.lists(st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)), max_size=2))
    channels: list[Channel] = []
    for one, other in pairs:
        a, b = names[one], names[other]
        g = gcd(turns[a], turns[b])
        made, taken, tokens = turns[b] // g, turns[a] // g, draw(st.integers(0, 3))
        channels.append((a, b, made, taken, tokens))
        channels.append((b, a, taken, made, draw(st.integers(1, made + taken + 4))))
    looped = [name for name in names if count == 1 or draw(st.booleans())]
    channels += [(name, name, 1, 1, draw(st.integers(1, 3))) for name in looped]
    return times, channels, turns


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pressed())
def test_any_graph_with_bounded_buffers(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    graph: tuple[dict[str, int], list[Channel], dict[str, int]],
) -> None:
    times, channels, turns = graph
    expected = simulated(times, channels, turns)
    status, found = analyzed(tmp_path, xml(times, channels), "--concurrency", "0")
    said = capsys.readouterr()
    if expected is None:
        assert status == 2
        assert "deadlock: " in said.err
        assert "since tick " in said.err
        return
    assert status == 0
    assert found["repetition_vector"] == turns
    assert found["throughput"] == f"{expected.denominator}/{expected.numerator}"
    assert Fraction(str(found["period"])) == expected


def test_what_cannot_run_is_in_the_json_too(tmp_path: Path) -> None:
    """Inconsistent rates, and two actors that wait for each other; the exit status is 2 all the same."""
    uneven = [("a", "b", 1, 2, 0), ("a", "b", 1, 1, 0)]
    waiting = [("a", "b", 1, 1, 0), ("b", "a", 1, 1, 0)]
    for channels, consistent, alive, blocked in ((uneven, False, None, []), (waiting, True, False, ["a", "b"])):
        status, _ = analyzed(tmp_path, xml({"a": 1, "b": 1}, channels))
        found = json.loads((tmp_path / "g.json").read_text(encoding="utf-8"))
        assert (status, found["consistent"], found["deadlock_free"]) == (2, consistent, alive)
        assert (found["throughput"], found["period"], sorted(found["blocked"])) == (None, None, blocked)


def test_actors_with_equal_numbers_share_a_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    times = {"x": 9, **dict.fromkeys("abcde", 4), "y": 4}
    channels = [(name, name, 1, 1, 1) for name in times] + [("y", "x", 1, 2, 0)]
    (tmp_path / "g.xml").write_text(xml(times, channels), encoding="utf-8")
    assert main(["analyze", str(tmp_path / "g.xml")]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines() if line.endswith("% ")]
    assert [row[-3:] for row in rows] == [["1", "9", "100.0%"], ["2", "4", "88.9%"], ["1", "4", "44.4%"]]
    assert [" ".join(row[:-3]) for row in rows] == ["x", "y", "a, b, c and 2 more"]
