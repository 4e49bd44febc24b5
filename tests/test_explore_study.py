"""Studies: what they say, which points they have, and what is said of bad ones."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphsim.errors import StudyError
from graphsim.explore import points as points_module
from graphsim.explore.conditions import condition, hold, may_hold
from graphsim.explore.points import Point, points_of
from graphsim.explore.study import build_machine, read_study, study_from_toml
from graphsim.machine import load_machine
from graphsim.zoo import shipped

ROOT = Path(__file__).resolve().parents[1]
MODEL = f'models = ["{shipped("digits")}"]\n'
LINES = MODEL + 'machines = ["line:{1..4}"]\n'


def points(text: str) -> list[Point]:
    return points_of(study_from_toml(text))


def test_a_grid_has_every_combination_in_order() -> None:
    found = points(LINES + "link_latency = [2, 3]\nseeds = [0, 1]\nconstraints = ['nodes > 1']")
    assert [(p.machine, p.seed) for p in found] == [
        (f"line:{n},latency={latency}", seed) for n in (2, 3, 4) for latency in (2, 3) for seed in (0, 1)
    ]
    assert len({p.key for p in found}) == 12


def test_ranges_expand_the_last_fastest() -> None:
    found = points(MODEL + 'machines = ["torus:{2..4..2}x{2,5}", "ring:3"]')
    assert [p.machine for p in found] == ["torus:2x2", "torus:2x5", "torus:4x2", "torus:4x5", "ring:3"]
    assert [p.nodes for p in found] == [4, 10, 8, 20, 3]


def test_a_point_is_known_by_its_content_not_by_names(tmp_path: Path) -> None:
    (tmp_path / "copy.h5").write_bytes(shipped("digits").read_bytes())
    (tmp_path / "two.toml").write_text(load_machine("line:2").to_toml())
    original = points(MODEL + 'machines = ["line:2"]')
    elsewhere = points_of(study_from_toml('models = ["copy.h5"]\nmachines = ["two.toml"]', folder=tmp_path))
    assert [p.key for p in original] == [p.key for p in elsewhere]


@pytest.mark.parametrize(
    "change",
    [
        "seeds = [1]",
        'buffering = ["double"]',
        'place = ["greedy"]',
        "link_latency = [7]",
        "memory_bytes = [9999999]",
        'datasets = ["digits"]',
        'datasets = ["digits"]\nsamples = 5',
        'datasets = ["digits"]\nsamples = 5\nengine = "machine"',
        'datasets = ["digits"]\nsamples = 5\ncompare = true',
    ],
)
def test_every_setting_is_part_of_the_key(change: str) -> None:
    assert (
        not {p.key for p in points(LINES)} & {p.key for p in points(LINES + change)} or change == "link_latency = [7]"
    )
    assert points(LINES)[3].key != points(LINES + change)[3].key


def test_a_setting_is_that_of_the_command_line() -> None:
    settings = (("link_latency", 3), ("frame_bits", 32), ("macs_per_tick", 4), ("memory_bytes", 5000))
    written = load_machine("torus:2x3,latency=3,frame_bits=32,macs_per_tick=4,memory_bytes=5000")
    assert build_machine("torus:2x3", settings).digest() == written.digest()


def test_the_machine_of_a_point_is_one_as_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a file too, with what the study changes of it and what follows its name."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "box.toml").write_text(load_machine("ring:3,latency=4,memory_bytes=9999").to_toml())
    text = (
        f"models = ['{ROOT / 'models/digits_mlp.h5'}']\nmachines = ['box.toml,macs_per_tick=2']\nlink_latency = [0, 7]"
    )
    found = points_of(study_from_toml(text, folder=tmp_path))
    assert [point.machine for point in found] == [
        "box.toml,macs_per_tick=2,latency=0",
        "box.toml,macs_per_tick=2,latency=7",
    ]
    assert [load_machine(point.machine).digest() for point in found] == [point.machine_digest for point in found]


def test_messages_stay_on_a_line_whatever_a_folder_is_called(tmp_path: Path) -> None:
    folder = tmp_path / "two\nlines"
    folder.mkdir()
    (folder / "study.toml").write_text(LINES + "sed = 3")
    for name, what in (("study.toml", ":3: sed: unknown key"), ("none.toml", ": cannot read it")):
        with pytest.raises(StudyError) as caught:
            read_study(folder / name)
        (line,) = str(caught.value).splitlines()
        assert f"two\\nlines/{name}'{what}" in line


def test_machines_that_constraints_rule_out_are_not_built_with_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    study = study_from_toml(
        LINES + "link_latency = [1, 2, 3]\nseeds = [0, 1]\nconstraints = ['nodes == 2', 'seed < 1']"
    )
    built: list[str] = []

    def counted(spec: str, settings: Any) -> Any:
        built.append(spec)
        return build_machine(spec, settings)

    monkeypatch.setattr(points_module, "build_machine", counted)
    points_module._described.cache_clear()
    assert [point.machine for point in points_of(study)] == [f"line:2,latency={n}" for n in (1, 2, 3)]
    assert built == ["line:2"] * 3


def test_chance_takes_as_many_as_asked_of_those_allowed() -> None:
    text = LINES + "seeds = [0, 1, 2, 3, 4]\nmode = 'random'\ncount = 7\nseed = 3\nconstraints = ['nodes >= 2']"
    found = points(text)
    assert len(found) == len({p.key for p in found}) == 7
    assert all(p.nodes is not None and p.nodes >= 2 for p in found)
    assert found == points(text)
    assert found != points(text.replace("seed = 3", "seed = 4"))


def test_chance_takes_all_where_there_are_no_more() -> None:
    assert points(LINES + "mode = 'random'\ncount = 99") == points(LINES)


def test_a_latin_hypercube_has_every_value_equally_often() -> None:
    found = points(LINES + "seeds = [0, 1, 2, 3]\nlink_latency = [1, 2, 3, 4]\nmode = 'latin'\ncount = 4\nseed = 1")
    assert sorted(p.nodes or 0 for p in found) == [1, 2, 3, 4]
    assert sorted(p.seed for p in found) == [0, 1, 2, 3]
    assert sorted(dict(p.settings)["link_latency"] for p in found) == [1, 2, 3, 4]


def test_a_grid_too_large_is_refused_before_it_is_made() -> None:
    seeds = ",\n".join(str(i) for i in range(2000))
    study = study_from_toml(MODEL + f'machines = ["line:{{1..600}}"]\nseeds = [{seeds}]')
    with pytest.raises(StudyError, match="1,200,000 points"):
        points_of(study)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", ["study.toml: models: this key is missing", "study.toml: machines: this key is missing"]),
        (LINES + "sed = 3", ["study.toml:3: sed: unknown key (did you mean 'seed'?)"]),
        (LINES + "seeds = [0,\n1,\n-1]", ["study.toml:5: seeds[2]: must be at least 0"]),
        (LINES + "link_latency = [1,\n'2']", ["study.toml:4: link_latency[1]: must be a whole number"]),
        (
            LINES + "frame_bits = []",
            ["study.toml:3: frame_bits: must be an array of at least one entry, not an empty array"],
        ),
        (LINES + "mode = 'gird'", ["study.toml:3: mode: must be 'grid', 'random' or 'latin'"]),
        (LINES + "mode = 'latin'", ["study.toml:3: mode: latin takes a number of points; add count"]),
        (LINES + "count = 3", ["study.toml:3: count: a grid has all its points"]),
        (LINES + "place = ['greedi']", ["study.toml:3: place[0]: there is no 'greedi' (did you mean 'greedy'?)"]),
        (LINES + "buffering = ['triple']", ["study.toml:3: buffering[0]: there is no 'triple'"]),
        (LINES + "datasets = ['gone.npz']", ["study.toml:3: datasets[0]: cannot read the samples 'gone.npz' (No such"]),
        (LINES + "datasets = ['mnits']", ["study.toml:3: datasets[0]: there is no 'mnits' (did you mean 'mnist'?)"]),
        (LINES + "datasets = ['digits']\nengine = 'lines'", ["study.toml:4: engine: there is no 'lines'"]),
        (LINES + "samples = 3", ["study.toml:3: samples: nothing is simulated without datasets"]),
        (
            LINES + "constraints = ['nodes < 3',\n'nodes <']",
            ["study.toml:4: constraints[1]: 'nodes <' is no constraint"],
        ),
        (LINES + "constraints = ['notes < 3']", ["constraints[0]: nothing called 'notes'", "did you mean 'nodes'?"]),
        (MODEL + "machines = ['line:2',\n'lime:3']", ["study.toml:3: machines[1]: no machine 'lime:3'"]),
        (MODEL + "machines = ['line:{4..2}']", ["study.toml:2: machines[0]: {4..2} is an empty range"]),
        (MODEL + "machines = ['line:{a..2}']", ["study.toml:2: machines[0]: {a..2} is no range"]),
        (
            MODEL + "machines = ['line:{1..2']",
            ["study.toml:2: machines[0]: 'line:{1..2' has a brace without its other"],
        ),
        (MODEL + "machines = ['torus:{1..999}x{1..999}']", ["stands for 998,001 machines; 65,536 are the most"]),
        (MODEL + "machines = ['line:2,latency=3']\nlink_latency = [2]", ["study.toml:2: machines[0]:", "keep one"]),
        ("models = ['none.h5']\nmachines = ['line:2']", ["study.toml:1: models[0]: cannot read the model 'none.h5'"]),
        (LINES + "seeds = [", ["study.toml:3: not TOML"]),
    ],
)
def test_a_bad_study_names_key_and_line(text: str, said: list[str]) -> None:
    with pytest.raises(StudyError) as caught:
        points(text)
    for part in said:
        assert part in str(caught.value)


@given(st.text(max_size=40) | st.from_regex(r"(nodes|latency) ?(<|>=|==) ?[0-9_,.e+-]{0,6}( ticks)?", fullmatch=True))
def test_any_text_is_a_constraint_or_an_error_of_ours(text: str) -> None:
    try:
        found = condition(text)
    except StudyError:
        return
    assert found.holds({found.name: found.number}) is (found.sign in ("<=", ">=", "=="))


@pytest.mark.parametrize(
    ("text", "value", "holds"),
    [
        ("latency < 5,000 ticks", 4999, True),
        ("latency < 5_000", 5000, False),
        ("latency<=5e3", 5000, True),
        ("accuracy > 0.95", 0.96, True),
        ("nodes != 4", 4, False),
        ("link_load == 0.5", 0.5, True),
        ("memory >= -1 bytes", 0, True),
    ],
)
def test_constraints_compare(text: str, value: float, holds: bool) -> None:
    one = condition(text)
    assert one.holds({one.name: value}) is holds
    assert hold([one], {one.name: value}) is holds


def test_what_is_not_known_may_hold_but_does_not() -> None:
    one = condition("latency < 10")
    assert may_hold([one], {"nodes": 3})
    assert not hold([one], {"nodes": 3})


@pytest.mark.parametrize("name", ["digits", "mnist_torus"])
def test_the_examples_are_studies(name: str) -> None:
    file = ROOT / "examples" / "studies" / f"{name}.toml"
    found = points_of(study_from_toml(file.read_text(), str(file), file.parent))
    assert 20 <= len(found) <= 60


def test_granularity_is_an_axis() -> None:
    text = f'models = ["{shipped("digits")}"]\nmachines = ["line:2"]\nmax_fan_in = [8, 16]\n'
    points = points_of(study_from_toml(text))
    assert [point.max_fan_in for point in points] == [8, 16]
    assert len({point.key for point in points}) == 2
    (whole,) = points_of(study_from_toml(text.replace("max_fan_in = [8, 16]\n", "")))
    assert whole.max_fan_in is None
    with pytest.raises(StudyError, match=r"study.toml:3: max_fan_in\[0\]"):
        study_from_toml(text.replace("8", "1"))


def test_tiles_are_an_axis() -> None:
    text = f'models = ["{shipped("digits")}"]\nmachines = ["line:2"]\ntile = [1, 4]\n'
    points = points_of(study_from_toml(text))
    assert [point.tile for point in points] == [1, 4]
    (plain,) = points_of(study_from_toml(text.replace("tile = [1, 4]\n", "")))
    assert (plain.key == points[0].key, plain.key == points[1].key) == (True, False)
    with pytest.raises(StudyError, match=r"study.toml:3: tile\[0\]"):
        study_from_toml(text.replace("1, 4", "0"))


def test_faults_are_an_axis_of_rates_and_checksums(tmp_path: Path) -> None:
    (tmp_path / "f.toml").write_text('checksums = ["none", "crc8"]\n[corruption]\nrates = [0.0, 0.01]\n')
    text = f'models = ["{shipped("digits")}"]\nmachines = ["line:2"]\ndatasets = ["digits"]\nfaults = ["f.toml"]\n'
    points = points_of(study_from_toml(text, folder=tmp_path))
    found = [(point.faults, point.corruption_rate, point.checksum) for point in points]
    assert found == [("f.toml", rate, checksum) for rate in (0.0, 0.01) for checksum in ("none", "crc8")]
    assert len({point.key for point in points}) == 4
    only = points_of(study_from_toml(text + 'constraints = ["corruption_rate > 0"]\n', folder=tmp_path))
    assert [point.corruption_rate for point in only] == [0.01, 0.01]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (('"f.toml"', '"gone.toml"'), r"study.toml:4: faults\[0\]: cannot read the faults file"),
        (('"f.toml"', '"pipe"'), r"study.toml:4: faults\[0\]: cannot read the faults file 'pipe' \(it is not a file\)"),
        (('datasets = ["digits"]\n', "\n"), r"study.toml:4: faults: nothing is simulated without datasets"),
        (("faults", 'engine = "lanes"\nfaults'), r"study.toml:4: engine: faults are those of a machine"),
        (('"f.toml"', '"bad.toml"'), r"study.toml:4: faults\[0\]: .*bad.toml:1: "),
    ],
)
def test_what_is_wrong_with_faults_is_told(tmp_path: Path, change: tuple[str, str], said: str) -> None:
    (tmp_path / "f.toml").write_text("[corruption]\nrates = [0.0]\n")
    (tmp_path / "bad.toml").write_text("rates = 3\n")
    os.mkfifo(tmp_path / "pipe")
    text = f'models = ["{shipped("digits")}"]\nmachines = ["line:2"]\ndatasets = ["digits"]\nfaults = ["f.toml"]\n'
    with pytest.raises(StudyError, match=said):
        study_from_toml(text.replace(*change), folder=tmp_path)
