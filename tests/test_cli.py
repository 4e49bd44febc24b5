"""The command line as users meet it: what it prints, what it writes, how it ends."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from graphs import rnn

from graphsim.cli import main
from graphsim.cli.app import app
from graphsim.compare.faults import inject
from graphsim.graph import store
from graphsim.zoo import shipped

COMMANDS = [
    "run",
    "lower",
    "show",
    "formats",
    "fold",
    "verify",
    "together",
    "calendars",
    "trace",
    "compare",
    "equal",
    "analyze",
    "machines",
    "clocks",
    "sweep",
    "pareto",
    "view",
    "fetch",
    "train",
    "alu",
    "life",
]
REQUIRED = """
    graph.actors graph.edges machine.name machine.nodes schedule.period_ticks schedule.lower_bound_ticks
    schedule.binding_resource schedule.latency_ticks schedule.verified throughput.samples_per_second_simulated
    throughput.pipelining_speedup simulation.engine simulation.samples simulation.wall_seconds reference.name
    reference.version reference.wall_seconds agreement.argmax agreement.neurons_checked
    agreement.neurons_outside_bound agreement.max_error_over_bound agreement.reference_noise_floor
    agreement.first_divergence accuracy.graphsim accuracy.reference accuracy.samples
""".split()  # noqa: SIM905
DIGITS = str(shipped("digits"))
ALU8 = str(shipped("alu8"))


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The document of a run with the reference."""
    path = tmp_path_factory.mktemp("cli") / "run.json"
    assert main(["run", "--samples", "40", "--engine", "machine", "--machine", "ring:3", "--json", str(path)]) == 0
    document: dict[str, Any] = json.loads(path.read_text())
    return document


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("key", REQUIRED)
def test_a_run_writes_every_promised_key(compared: dict[str, Any], key: str) -> None:
    value: Any = compared
    for part in key.split("."):
        assert part in value
        value = value[part]
    assert value is not None or key == "agreement.first_divergence"


def test_a_run_says_what_it_found(compared: dict[str, Any]) -> None:
    assert compared["schema_version"] == 1
    assert compared["schedule"]["verified"] is True
    assert compared["agreement"]["neurons_checked"] == 40 * (32 + 10 + 10)
    assert compared["agreement"]["neurons_outside_bound"] == 0
    assert compared["accuracy"]["graphsim"] == compared["accuracy"]["reference"]
    assert compared["throughput"]["measured_from_outputs"] is True
    assert compared["throughput"]["period_ticks"] == compared["schedule"]["period_ticks"]
    ratio = compared["throughput"]["latency_ticks"] / compared["throughput"]["period_ticks"]
    assert compared["throughput"]["pipelining_speedup"] == pytest.approx(ratio)


def test_a_faulty_neuron_ends_with_status_1_and_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from graphsim.pipeline import network

    sound = network.load_graph(Path(DIGITS))
    broken = inject(sound.actor("dense[7]"), "bias dropped", np.random.default_rng(0)).graph
    monkeypatch.setattr(network, "load_graph", lambda *_, **options: broken)
    assert main(["compare", DIGITS, "--samples", "20"]) == 1
    captured = capsys.readouterr()
    assert "first      dense[7], sample" in captured.out
    assert "lie outside their rounding bounds" in captured.err


def test_lower_fold_verify_show(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lower", DIGITS]) == 0
    assert main(["fold", "digits_mlp.gsim", "--machine", "star:4"]) == 0
    assert main(["verify", "digits_mlp.gsim", "digits_mlp.fold"]) == 0
    capsys.readouterr()
    assert main(["show", "digits_mlp.gsim", "--actor", "dense_1[3]", "--json", "actor.json"]) == 0
    assert "32, in the order in which they accumulate" in capsys.readouterr().out
    actor = json.loads((here / "actor.json").read_text())["actor"]
    assert len(actor["inputs"]) == 32
    assert actor["consumers"] == ["dense_1.max[0]", "dense_1.exp[3]"]
    assert sorted(p.name for p in here.iterdir()) == ["actor.json", "digits_mlp.fold", "digits_mlp.gsim"]


def test_a_recurrent_actor_is_shown_once_and_unrolled_on_demand(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from graphsim import pipeline

    monkeypatch.setattr(pipeline, "lower", lambda *_: rnn(3, 2, 2))
    assert main(["lower", DIGITS, "-o", "rnn.gsim"]) == 0
    assert "rnn: 14 actors, 24 edges, 18 firings per sample" in capsys.readouterr().out
    assert main(["show", "rnn.gsim", "--actor", "rnn[1]", "--json", "actor.json"]) == 0
    shown = capsys.readouterr().out
    assert "fires      3 times per sample, once per step" in shown
    assert "(3 made and 1 taken per firing)" in shown
    assert "(1 initial token in every sample)" in shown
    actor = json.loads((here / "actor.json").read_text())["actor"]
    assert actor["firings"] == 3
    assert [edge["initial_tokens"] for edge in actor["inputs"]] == [0, 0, 1, 1]
    assert main(["show", "rnn.gsim", "--actor", "states[1]"]) == 0
    assert "pick       2" in capsys.readouterr().out
    assert main(["lower", DIGITS, "-o", "unrolled.gsim", "--unroll"]) == 0
    assert main(["show", "unrolled.gsim", "--actor", "rnn@2[1]"]) == 0
    assert "rnn@1[0]" in capsys.readouterr().out


def test_the_same_input_gives_the_same_bytes(here: Path) -> None:
    for n in ("1", "2"):
        assert main(["lower", DIGITS, "-o", f"{n}.gsim"]) == 0
        assert main(["fold", f"{n}.gsim", "--machine", "torus:3x3", "-o", f"{n}.fold"]) == 0
    assert (here / "1.gsim").read_bytes() == (here / "2.gsim").read_bytes()
    assert (here / "1.fold").read_bytes() == (here / "2.fold").read_bytes()


def test_a_rejected_schedule_ends_with_status_1(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import dataclasses

    from graphsim.schedule.store import load, save

    main(["lower", DIGITS, "-o", "g.gsim"])
    main(["fold", "g.gsim", "--machine", "line:2", "-o", "good.fold"])
    schedule = load(here / "good.fold", store.load(here / "g.gsim"))
    late = schedule.start.copy()
    late[-1] = 0
    save(dataclasses.replace(schedule, start=late), here / "bad.fold")
    capsys.readouterr()
    assert main(["verify", "g.gsim", "bad.fold"]) == 1
    captured = capsys.readouterr()
    assert "sink" in captured.out
    assert captured.err.startswith("check failed: bad.fold: the schedule breaks")


def test_a_schedule_of_another_graph_is_unusable(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["lower", DIGITS, "-o", "a.gsim"])
    main(["lower", str(shipped("mnist")), "-o", "b.gsim"])
    main(["fold", "a.gsim", "-o", "a.fold"])
    capsys.readouterr()
    assert main(["verify", "b.gsim", "a.fold"]) == 2
    assert "a.fold" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["lower", "nowhere.h5"], "nowhere.h5: there is no such file"),
        (["lower", "."], "is a folder"),
        (["run", "--engine", "warp"], "there is no engine 'warp'"),
        (["run", "--dataset", "imagenet"], "imagenet"),
        (["run", "--machine", "moebius:4"], "moebius"),
        (["run", "--samples", "0"], "--samples"),
        (["run", "--samples", "1000000"], "360 samples"),
        (["run", DIGITS, "--dataset", "mnist"], "takes samples of shape (8, 8)"),
        (["run", "--place", "alphabetical"], "alphabetical"),
        (["run", "--frobnicate"], "--frobnicate"),
        (["show", DIGITS, "--actor", "dense[99]"], "dense"),
        (["show", DIGITS, "--actor", "penguin"], "penguin"),
        (["fetch", "imagenet"], "imagenet"),
        (["train", "imagenet"], "imagenet"),
        (["train", "digits", "--bits", "8"], "--bits: only for `graphsim train alu`"),
        (["train", "alu", "--variant", "huge"], "there is no variant 'huge'"),
        (["train", "alu", "--ops", "+,**"], "no operation '**'"),
        (["train", "alu", "--units", "99999999"], "weights; up to 268,435,456 are trained"),
        (["train", "alu", "--depth", "1000"], "nets of at most 256 blocks"),
        (["train", "alu", "--variant", "attention", "--units", "3"], "at least 4 units"),
        (["train", "alu", "--export-weights", "w.h5"], "to end in .weights.h5"),
        (["run", "--bits", "8"], "--bits: only for --dataset alu, not for digits"),
        (["run", "--exhaustive"], "digits has none"),
        (["run", "--dataset", "alu", "--bits", "15", "--exhaustive"], "are too many to go through"),
        (["run", "--dataset", "alu", "--bits", "9"], "the shipped nets calculate with 8"),
        (["run", ALU8, "--dataset", "alu", "--bits", "15"], "choose other --bits"),
        (["run", DIGITS, "--dataset", "alu", "--bits", "25"], "an output of 10 bits"),
        (["alu", "22 x 33"], "'22 x 33' is not a calculation"),
        (["alu", "5 - 6"], "5 - 6 is negative"),
        (["alu", "-3 + 4"], "-3 is not an unsigned integer"),
        (["alu", "-3+4", "--bits", "8"], "-3 is not an unsigned integer of 8 bits"),
        (["alu", "4 + -3"], "-3 is not an unsigned integer"),
        (["alu", "--bit", "8"], "No such option: --bit"),
        (["show", DIGITS, "--text", "--actor", "sink"], "--text prints the whole graph and --actor one of its actors"),
        (["show", DIGITS, "--fold", "x.fold"], "name the actor with --actor"),
        (["alu", "5 / 0"], "undefined"),
        (["alu", "--bits", "8", "256 + 1"], "256 is not an unsigned integer of 8 bits"),
        (["alu", "--model", DIGITS, "1 + 1"], "is no net that calculates"),
        (["fold", DIGITS, "--machine", "line:2,memory_bytes=100"], "memory"),
        (["teleport"], "teleport"),
    ],
)
def test_bad_usage_ends_with_status_2_and_one_message(
    here: Path, mnist: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert said in re.sub(r"\s+", " ", captured.err)
    assert "Traceback" not in captured.err
    assert captured.err.count("error:") <= 1
    assert list(here.iterdir()) == []


def test_json_on_standard_output_is_all_that_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--samples", "2", "--no-reference", "--json", "-"]) == 0
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    assert document["agreement"] is None
    assert document["reference"] is None
    assert "samples of digits" in captured.err


@pytest.mark.parametrize("engine", ["lanes", "machine", "events", "reference"])
def test_every_engine_gives_the_same_answers(here: Path, engine: str) -> None:
    arguments = ["run", "--samples", "4", "--machine", "line:3", "--no-reference"]
    assert main([*arguments, "--engine", engine, "--json", "out.json"]) == 0
    document = json.loads((here / "out.json").read_text())
    assert document["simulation"]["engine"] == engine
    assert document["accuracy"]["graphsim"] == 1.0


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0
    assert f"graphsim {command}" in capsys.readouterr().out


def test_every_command_is_listed() -> None:
    assert {c.callback.__name__ for c in app.registered_commands if c.callback} == set(COMMANDS)


@pytest.mark.parametrize("arguments", [["formats"], ["--version"]])
def test_a_reader_that_went_away_is_told_apart_from_a_check_that_failed(arguments: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "graphsim", *arguments]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize("delay", [0.05, 0.6, 1.5])
def test_ctrl_c_leaves_no_half_file(here: Path, delay: float) -> None:
    report = here / "report"
    code = "import sys; from graphsim.cli import main; print('ready', flush=True); sys.exit(main(sys.argv[1:]))"
    arguments = ["run", "--engine", "events", "--no-reference", "--report", "report", "--json", "out.json"]
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(delay)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "stopped" in said
    assert "Traceback" not in said
    assert not report.exists()
    assert list(here.iterdir()) == []


def test_the_exported_dot_names_every_actor(here: Path) -> None:
    assert main(["show", DIGITS, "--dot", "d.dot"]) == 0
    text = (here / "d.dot").read_text()
    assert text.startswith("digraph")
    assert all(f"dense_1[{i}]" in text for i in range(10))


def test_a_placement_file_goes_round(here: Path) -> None:
    main(["lower", DIGITS, "-o", "g.gsim"])
    assert main(["fold", "g.gsim", "-m", "line:3", "-o", "a.fold", "--write-placement", "place.json"]) == 0
    assert main(["fold", "g.gsim", "-m", "line:3", "-o", "b.fold", "--placement", "place.json"]) == 0
    graph = store.load(here / "g.gsim")
    from graphsim.schedule.store import load

    assert np.array_equal(load(here / "a.fold", graph).node, load(here / "b.fold", graph).node)


@pytest.mark.parametrize("name", ["[bold]x[/bold]", "[/]", "a\nb", "ü☃"])
def test_names_are_shown_as_they_are(here: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    (here / "folder").mkdir()
    model = here / "folder" / f"{name.replace('/', '')}.h5"
    model.write_bytes(Path(DIGITS).read_bytes())
    graph = model.with_suffix(".gsim")
    assert main(["lower", str(model), "-o", str(graph)]) == 0
    assert main(["show", str(graph), "--dot", str(graph.with_suffix(".dot"))]) == 0
    shown = str(graph) if str(graph).isprintable() else ascii(str(graph))
    assert f"wrote {shown} (" in capsys.readouterr().out.replace("\n", "")


def test_a_terminal_without_letters_gets_codes(here: Path) -> None:
    command = [sys.executable, "-m", "graphsim", "lower", DIGITS, "-o", "☃.gsim"]
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0
    assert r"wrote \u2603.gsim" in done.stdout


@pytest.mark.parametrize("command", ["lower", "show", "fold", "run"])
def test_a_pipe_is_no_file(here: Path, capsys: pytest.CaptureFixture[str], command: str) -> None:
    os.mkfifo(here / "pipe.h5")
    assert main([command, "pipe.h5"]) == 2
    assert "is not a file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["lower", DIGITS, "-o", "missing/x.gsim"], "there is no folder missing"),
        (["show", DIGITS, "--json", "."], "is a folder"),
        (["run", "--report", "file"], "is not a folder"),
        (["run", "g.gsim"], "cannot be compared"),
        (["fold", "x.fold"], "is a schedule"),
        (["fetch", "mnist", "--mirror", "~nobody-of-that-name/x", "--force"], "nobody-of-that-name"),
        (["fold", DIGITS, "--seed", "99999999999999999999"], "seed"),
    ],
)
def test_what_cannot_be_is_said_before_any_work(
    here: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    for name in ("file", "g.gsim", "x.fold"):
        (here / name).touch()
    assert main(arguments) == 2
    assert said in re.sub(r"\s+", " ", capsys.readouterr().err)


def test_an_actor_is_shown_in_its_schedule(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["lower", DIGITS, "-o", "g.gsim"])
    main(["fold", "g.gsim", "-m", "line:2", "-o", "g.fold"])
    assert main(["show", "g.gsim", "--actor", "sink", "--fold", "g.fold", "--json", "a.json"]) == 0
    from graphsim.schedule.store import load

    graph = store.load(here / "g.gsim")
    schedule = load(here / "g.fold", graph)
    firing = json.loads((here / "a.json").read_text())["firing"]
    assert firing["node"] == "n0"
    assert firing["start_tick"] == int(schedule.start[-1])
    assert firing["end_tick"] - firing["start_tick"] == 9  # an argmax over ten classes compares nine times
    assert "fires      on node n0" in capsys.readouterr().out


def test_why_nodes_stay_idle_is_said(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fold", DIGITS, "-m", "torus:4x4,calendar_entries=2", "-o", "x.fold"]) == 0
    assert "a placement on more failed: link" in capsys.readouterr().out


def test_an_interrupt_that_a_library_disguises_is_still_one(monkeypatch: pytest.MonkeyPatch) -> None:
    from graphsim import cli

    def disguise(_: list[str] | None) -> int:
        try:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(5)
        except KeyboardInterrupt as interrupt:
            raise ImportError("a module stopped half-way") from interrupt
        return 0

    monkeypatch.setattr(cli, "_run", disguise)
    before = signal.getsignal(signal.SIGINT)
    assert main([]) == 130
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize("setting", ["NUMBA_NUM_THREADS=0", "NUMBA_DISABLE_JIT=1"])
@pytest.mark.parametrize("engine", ["lanes", "machine"])
def test_wrong_settings_of_numba_are_named(here: Path, setting: str, engine: str) -> None:
    name, value = setting.split("=")
    command = [sys.executable, "-m", "graphsim", "run", "-n", "2", "--no-reference", "--engine", engine]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {name: value}, check=False)
    assert done.returncode == 2
    assert "NUMBA_" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_run_of_calculations_counts_each_operation(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["run", "--dataset", "alu", "--bits", "8", "--ops", "*,and", "--samples", "40"]
    assert main([*arguments, "--report", "out", "--json", "alu.json"]) == 0
    shown = capsys.readouterr().out
    assert "OP*: Ok: 20, Error: 0 -> 100.0%   reference: Ok: 20, Error: 0 -> 100.0%" in shown
    assert len(re.findall(r"^ +\d+ (?:\*|AND) \d+ = (\d+) == \1: OK$", shown, re.MULTILINE)) == 12
    accuracy = json.loads((here / "alu.json").read_text())["accuracy"]
    assert (accuracy["graphsim"], accuracy["reference"], accuracy["samples"]) == (1.0, 1.0, 40)
    assert set(accuracy["per_operation"]) == {"*", "AND"}
    page = (here / "out" / "report.html").read_text()
    assert 'id="answers"' in page
    assert 'id="classes"' not in page


def test_all_calculations_of_a_small_net_are_counted(here: Path) -> None:
    arguments = ["run", "--dataset", "alu", "--bits", "8", "--ops", "-", "--samples", "5", "--no-reference"]
    assert main([*arguments, "--exhaustive", "--json", "alu.json"]) == 0
    accuracy = json.loads((here / "alu.json").read_text())["accuracy"]
    assert accuracy["per_operation"]["-"] == {
        "graphsim": 1.0,
        "reference": None,
        "samples": 256 * 257 // 2,
        "ok": 256 * 257 // 2,
        "error": 0,
    }
    assert accuracy["exhaustive"] is True


def test_one_calculation_is_answered(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["alu", "22 * 33", "--json", "sum.json"]) == 0
    assert capsys.readouterr().out == "22 * 33 = 726 == 726: OK\n"
    document = json.loads((here / "sum.json").read_text())
    assert (document["result"], document["expected"], document["ok"], document["bits"]) == (726, 726, True, 8)


@pytest.mark.parametrize("spelling", ["5 and 12", "5AND12", " 5 & 12 "])
def test_a_calculation_may_be_spelt_in_several_ways(spelling: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["alu", spelling]) == 0
    assert capsys.readouterr().out == "5 AND 12 = 4 == 4: OK\n"


def test_the_prompt_answers_until_it_is_told_to_quit() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "graphsim", "alu"],
        input="3 + 4\n\nnonsense\n7 / 0\n200 > 3\nquit\n1 + 1\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0
    assert done.stdout == "3 + 4 = 7 == 7: OK\n200 > 3 = 255 == 255: OK\n"
    assert [line.split(":")[0] for line in done.stderr.splitlines()] == ["error", "error"]


def test_a_tiny_net_that_calculates_is_trained(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = "train alu --bits 2 --variant minimal --units 8 --depth 1 --ops +,AND --epochs 1 --tuning 0 -o made"
    assert main([*arguments.split(), "--json", "train.json"]) == 0
    assert "epoch   1 of 1: training loss" in capsys.readouterr().out
    document = json.loads((here / "train.json").read_text())
    assert document["recipe"] == "alu2-minimal"
    assert main(["run", document["h5"], "--dataset", "alu", "--bits", "2", "--ops", "+,AND", "--no-reference"]) == 0


def test_a_model_beyond_the_memory_allowed_is_refused_before_its_weights_are_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "d.gsim"
    assert main(["lower", DIGITS, "-o", str(target), "--max-memory", "1K"]) == 2
    assert re.search(
        r"takes some [0-9,]+ bytes \(weights [0-9,]+, .* and 1,024 are allowed; nothing was built. Raise --max-memory",
        " ".join(capsys.readouterr().err.split()),
    )
    assert not target.exists()
    assert main(["lower", DIGITS, "-o", str(target), "--max-memory", "64MiB"]) == 0
    assert main(["lower", DIGITS, "-o", str(target), "--max-memory", "much"]) == 2
    assert "512M or 4G" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(("pages", "code", "said"), [(4, 0, "warning"), (2, 2, "error"), (1 << 20, 0, "")])
def test_without_a_limit_much_memory_is_warned_of_and_more_than_all_refused(
    here: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    pages: int,
    code: int,
    said: str,
) -> None:
    monkeypatch.setattr("os.sysconf", lambda name: {"SC_PAGE_SIZE": 8192, "SC_PHYS_PAGES": pages}[name])
    assert main(["lower", DIGITS, "-o", "d.gsim"]) == code
    captured = capsys.readouterr()
    found = " ".join((captured.out + captured.err).split())
    assert ("takes some" in found) == bool(said)
    assert said in found
    assert (here / "d.gsim").exists() == (code == 0)


def test_a_pipe_gets_names_whole(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from graphsim.graph import Graph

    graph = rnn(3, 2, 2)
    name = "encoder/" + "a_long_name_of_a_layer/" * 8 + "rnn"
    groups = [dataclasses.replace(g, name=name) if g.name == "rnn" else g for g in graph.groups]
    store.save(Graph("long", groups, graph.channels, graph.params), here / "long.gsim")
    assert main(["show", "long.gsim"]) == 0
    assert name in capsys.readouterr().out


def test_readme_shows_as_many_kinds_of_check_as_there_are() -> None:
    from graphsim.machine import load_machine
    from graphsim.pipeline import load_graph
    from graphsim.schedule import fold
    from graphsim.schedule.verify import verify

    graph = load_graph(Path(DIGITS))
    verdict = verify(graph, fold(graph, load_machine("ring:3")))
    readme = (Path(__file__).resolve().parents[1] / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"verified +([0-9]+) kinds of check", readme) == [str(len(verdict.checks))]


def test_a_ctrl_c_that_the_interpreter_forgets_is_repeated() -> None:
    code = """
import os, signal, sys, time, weakref
import graphsim.cli as cli

class Thing:
    pass

def busy(arguments):
    thing = Thing()
    keep = weakref.ref(thing, lambda _: os.kill(os.getpid(), signal.SIGINT))
    del thing  # what the callback raises is printed, and forgotten
    time.sleep(20)
    return 0

cli._run = busy
sys.exit(cli.main([]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=15, check=False)
    assert "Exception ignored" in done.stderr
    assert done.returncode == 130
