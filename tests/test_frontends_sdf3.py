"""SDF3 files: read, written, refused; and the known throughputs and buffers of the classic graphs."""

from __future__ import annotations

import json
import os
import random
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from dataflow import consistent
from hypothesis import given, settings
from typer.testing import CliRunner

from graphsim.analysis.sdf.buffers import tradeoff
from graphsim.analysis.sdf.throughput import throughput
from graphsim.cli import main
from graphsim.cli.app import app
from graphsim.errors import ModelError
from graphsim.frontends.sdf3 import read, write
from graphsim.graph.sdf import Flow, TimedGraph, timed_graph

XINCLUDE = "http://www.w3.org/2001/XInclude"

SDF3 = Path(__file__).parents[2] / "shared" / "sdf3"
#: Ticks per iteration, by two tools of others'.
PERIODS = {
    "h263decoder": 332046,
    "h263encoder": 211425,
    "modem": 16,
    "mp3decoder_block_parallelism": 278650,
    "mp3decoder_granule_parallelism": 278650,
    "mp3playback": 120000,
    "samplerate": 960,
    "satellite": 1056,
}
#: Least total capacity that lives, least that is fastest, and Pareto points between where they are published.
BUFFERS = {
    "modem": (38, 40, None),
    "samplerate": (32, 34, None),
    "satellite": (1542, 1544, None),
    "h263encoder": (299, 397, 19),
    "h263decoder": (1189, 1224, 36),
}


def classic(name: str) -> Path:
    path = SDF3 / f"{name}.xml"
    if not path.exists() and not os.environ.get("CI"):
        pytest.skip("the classic graphs are not here")
    return path


@pytest.mark.parametrize(("name", "period"), PERIODS.items())
def test_throughput_of_the_classic_graphs(name: str, period: int) -> None:
    assert throughput(read(classic(name))).period == period


@pytest.mark.parametrize(("name", "expected"), BUFFERS.items())
def test_buffers_of_the_classic_graphs(name: str, expected: tuple[int, int, int | None]) -> None:
    found = tradeoff(read(classic(name)))
    assert found.complete
    assert (found.points[0].total, found.points[-1].total) == expected[:2]
    assert found.points[-1].period == PERIODS[name]
    if expected[2] is not None:
        assert len(found.points) == expected[2]


def same(one: TimedGraph, other: TimedGraph) -> bool:
    return all(
        np.array_equal(value, getattr(other, key)) if isinstance(value, np.ndarray) else value == getattr(other, key)
        for key, value in vars(one).items()
        if key in TimedGraph.__dataclass_fields__
    )


@given(graph=consistent())
@settings(max_examples=50, deadline=None)
def test_what_is_written_is_read_again(graph: TimedGraph, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("sdf") / "g.xml"
    path.write_bytes(write(graph))
    assert same(read(path), graph)


def test_phases_are_written_and_read_again(tmp_path: Path) -> None:
    flows = [Flow("a", "b", [1, 0, 2], [1, 1], 3, "c", token_bits=8), Flow("b", "b", tokens=1)]
    graph = timed_graph("g", {"a": [1, 2, 3], "b": [4, 4]}, flows, concurrency=0)
    path = tmp_path / "g.xml"
    path.write_bytes(write(graph))
    assert b'type="csdf"' in path.read_bytes()
    assert same(read(path), graph)


@pytest.mark.parametrize("limit", [0, 1, 2])
def test_limits_of_overlap_are_written_and_read_again(tmp_path: Path, limit: int) -> None:
    graph = timed_graph("g", {"a": 3, "b": 4}, [Flow("a", "b"), Flow("b", "a", tokens=2)], concurrency=limit)
    path = tmp_path / "g.xml"
    path.write_bytes(write(graph))
    assert same(read(path), graph)


def test_actors_overlap_themselves_only_in_files_that_say_which_do_not(tmp_path: Path) -> None:
    silent = file(tmp_path)
    assert read(silent).concurrency.tolist() == [1, 1]
    loop = """<actor name="a" type="a"><port name="i" type="in" rate="1"/><port name="o" type="out" rate="1"/>"""
    channel = '<channel name="l" srcActor="a" srcPort="o" dstActor="a" dstPort="i" initialTokens="1"/><channel name="c"'
    text = silent.read_text().replace('<actor name="a" type="a">', loop).replace('<channel name="c"', channel)
    silent.write_text(text)
    assert read(silent).concurrency.tolist() == [0, 0]


def test_runs_of_equal_phases_may_be_counted(tmp_path: Path) -> None:
    path = file(tmp_path, rate="2*3,1")
    assert read(path).produced(0) == (3, 3, 1)


def file(folder: Path, **changes: str) -> Path:
    """A file of two actors, with something changed."""
    v = {
        "kind": "csdf",
        "rate": "1",
        "time": "5",
        "src": "a",
        "port": "out",
        "direction": "out",
        "tokens": "0",
        "head": "",
        "name": "b",
    } | changes
    text = f"""<?xml version="1.0"?>{v["head"]}
<sdf3 type="{v["kind"]}"><applicationGraph name="g"><{v["kind"]} name="g" type="g">
<actor name="a" type="a"><port name="out" type="{v["direction"]}" rate="{v["rate"]}"/></actor>
<actor name="{v["name"]}" type="b"><port name="in" type="in" rate="1"/></actor>
<channel name="c" srcActor="{v["src"]}" srcPort="{v["port"]}" dstActor="b" dstPort="in" initialTokens="{v["tokens"]}"/>
</{v["kind"]}><{v["kind"]}Properties>
<actorProperties actor="a"><processor default="true"><executionTime time="1"/></processor></actorProperties>
<actorProperties actor="b"><processor default="true"><executionTime time="{v["time"]}"/></processor></actorProperties>
</{v["kind"]}Properties></applicationGraph></sdf3>"""
    path = folder / "g.xml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rate": "-1"}, "actor 'a': port 'out': rate is '-1'"),
        ({"rate": "0"}, "rates are 0 in all phases"),
        ({"rate": "99999999*1"}, "more than 16,777,216 phases"),
        ({"time": "x"}, "actor 'b': executionTime: time is 'x'"),
        ({"time": "9999999999999"}, "must be from 0 to 2"),
        ({"src": "z"}, "there is no port 'out' of actor 'z'"),
        ({"port": "in"}, "there is no port 'in' of actor 'a'"),
        ({"direction": "in"}, "port 'out' of actor 'a' leads in, not out"),
        ({"tokens": "1.5"}, "initialTokens is '1.5'"),
        (
            {"tokens": "9" * 20},
            "initialTokens is '99999999999999999999'; expected a whole number from 0 to 1,099,511,627",
        ),
        ({"rate": "9" * 20}, "rate is '99999999999999999999'; expected whole numbers from 0 to 1,099,511,627,776"),
        ({"name": 'b" concurrency="1'}, "actor 'b': concurrency is not of <actor>"),
        ({"name": "a"}, "actor 'a' is there twice"),
        ({"kind": "fsmsadf"}, "expected sdf or csdf"),
        ({"head": '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>'}, "declares entities"),
        ({"head": '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>'}, "declares entities"),
        ({"tokens": f'1"/><x:include xmlns:x="{XINCLUDE}" href="graph.xml'}, "or includes"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path: Path, changes: dict[str, str], message: str) -> None:
    path = file(tmp_path, **changes)
    with pytest.raises(ModelError) as caught:
        read(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


def test_damaged_files_are_refused_or_read(tmp_path: Path) -> None:
    whole = bytearray(file(tmp_path, rate="1,2", time="3,4").read_bytes())
    rng = random.Random(5)
    refused = 0
    for _ in range(600):
        data = bytearray(whole)
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(len(data))
            kind = rng.randrange(3)
            if kind == 0:
                data[at] = rng.randrange(256)
            elif kind == 1:
                del data[at : at + rng.randint(1, 30)]
            else:
                data[at:at] = whole[at : at + rng.randint(1, 60)]
        path = tmp_path / "damaged.xml"
        path.write_bytes(data)
        try:
            read(path)
        except ModelError:
            refused += 1
    assert refused > 400


def test_analyze_says_what_is_known(tmp_path: Path) -> None:
    path, out = file(tmp_path, rate="2", time="3"), tmp_path / "a.json"
    ran = CliRunner().invoke(app, ["analyze", str(path), "--concurrency", "1", "--processors", "1", "--json", str(out)])
    assert ran.exit_code == 0, ran.output
    found = json.loads(out.read_text())
    assert found["consistent"] is True
    assert found["deadlock_free"] is True
    assert found["repetition_vector"] == {"a": 1, "b": 2}
    assert (found["throughput"], found["period"], found["latency"]) == ("1/6", 6, 7)
    assert found["critical_cycle"] == [{"actor": "b", "firings": 2}]
    assert found["schedule"]["period"] == 7
    assert "1/6" in ran.output


def test_analyze_writes_fractions_exactly(tmp_path: Path) -> None:
    graph = timed_graph("g", {"a": 3, "b": 4}, [Flow("a", "b"), Flow("b", "a", tokens=2)], concurrency=0)
    (tmp_path / "g.xml").write_bytes(write(graph))
    ran = CliRunner().invoke(app, ["analyze", str(tmp_path / "g.xml"), "--json", str(tmp_path / "o.json")])
    assert ran.exit_code == 0
    found = json.loads((tmp_path / "o.json").read_text())
    assert (found["throughput"], found["period"]) == ("2/7", "7/2")
    assert Fraction(found["period"]) * Fraction(found["throughput"]) == 1


def test_analyze_exits_with_2_where_a_graph_cannot_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    graph = timed_graph("g", {"a": 3, "b": 4}, [Flow("a", "b"), Flow("b", "a")])
    (tmp_path / "g.xml").write_bytes(write(graph))
    assert main(["analyze", str(tmp_path / "g.xml")]) == 2
    assert "deadlock: a waits for b waits for a" in capsys.readouterr().err.replace("\n", " ")


def test_analyze_takes_networks() -> None:
    model = Path(__file__).parents[1] / "models" / "digits_mlp.h5"
    ran = CliRunner().invoke(app, ["analyze", str(model), "--json", "-"])
    assert ran.exit_code == 0, ran.output
    assert json.loads(ran.stdout)["deadlock_free"] is True


def test_an_expansion_is_written_and_has_the_same_period(tmp_path: Path) -> None:
    path, out = file(tmp_path, rate="2", time="3"), tmp_path / "h.xml"
    ran = CliRunner().invoke(app, ["analyze", str(path), "--concurrency", "1", "--expand", str(out)])
    assert ran.exit_code == 0, ran.output
    found = read(out)
    assert found.actor_names == ("a@0", "b@0", "b@1")
    assert throughput(found).period == 6


def test_phases_of_a_file_are_bounded_in_all(tmp_path: Path) -> None:
    ports = "".join(f'<port name="p{i}" type="in" rate="1000000*1"/>' for i in range(20))
    path = tmp_path / "many.xml"
    path.write_text(
        f'<sdf3><applicationGraph name="g"><csdf><actor name="a">{ports}</actor></csdf></applicationGraph></sdf3>'
    )
    with pytest.raises(ModelError, match=r"port 'p16'.* more than 16,777,216 phases in all"):
        read(path)


def test_names_that_xml_cannot_say_are_written_as_codes(tmp_path: Path) -> None:
    path = tmp_path / "g.xml"
    path.write_bytes(write(timed_graph("\x1b[31m", {"<a>\n": 1, "b\x00\ud800": 2}, [Flow("<a>\n", "b\x00\ud800")])))
    found = read(path)
    assert (found.name, found.actor_names) == ("\\x1b[31m", ("<a>\n", "b\\x00\\xd800"))
    assert found.dst.tolist() == [1]
