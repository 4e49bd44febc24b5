"""Samples of the user's own, and samples that are drawn."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from keras_files import functional, node, write_legacy
from typer.testing import CliRunner

from graphsim.cli.app import app
from graphsim.datasets import load, own
from graphsim.errors import DatasetError, UsageError
from graphsim.pipeline.loading import lower
from graphsim.pipeline.samples import remark_on_labels

DIGITS = "models/digits_mlp.h5"


def npz(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


def run(*arguments: Any) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_what_numpy_saved_is_what_is_read(tmp_path: Path) -> None:
    x = np.arange(24, dtype=np.float64).reshape(4, 3, 2)
    found = load(str(npz(tmp_path / "a.npz", x=np.asfortranarray(x), y=np.array([3, 0, 1, 2]))), limit=3)
    assert not isinstance(found.inputs, tuple)
    assert found.labels is not None
    assert found.inputs.dtype == np.float32
    assert np.array_equal(found.inputs, x[:3])
    assert found.labels.tolist() == [3, 0, 1]
    assert len(found) == 3


def test_a_file_of_inputs_alone_has_no_labels(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.ones((2, 5), np.uint8))
    found = load(str(tmp_path / "x.npy"))
    assert found.labels is None
    assert np.array_equal(found.inputs, np.ones((2, 5)))


def test_several_inputs_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    arrays = {f"x{number}": np.full((2, number + 1), number) for number in reversed(range(11))}
    found = load(str(npz(tmp_path / "a.npz", **arrays)))
    assert [array[0, 0] for array in found.inputs] == list(range(11))


@pytest.mark.parametrize("form", [lambda y: y, lambda y: y[:, None], lambda y: np.eye(5)[y]])
def test_classes_may_be_a_column_or_one_hot(tmp_path: Path, form: Any) -> None:
    y = np.array([4, 0, 2])
    found = load(str(npz(tmp_path / "a.npz", x=np.zeros((3, 1)), y=form(y))))
    assert found.labels is not None
    assert found.labels.tolist() == y.tolist()


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({}, "has no arrays"),
        ({"y": [1]}, "has y; expected x"),
        ({"x": [[1.0]], "x1": [[1.0]]}, "has x, x1; expected"),
        ({"x0": [[1.0]], "x2": [[1.0]]}, "has x0, x2; expected"),
        ({"images": [[1.0]]}, "has an array 'images'; expected"),
        ({"x": [[1.0], [np.nan]]}, "x[1, 0] is nan"),
        ({"x": [[1e300]]}, "no finite float32"),
        ({"x": 3.0}, "x is a single number"),
        ({"x": [["a"]]}, "x is of <U1; expected numbers"),
        ({"x": [[1j]]}, "x is of complex128; expected numbers"),
        ({"x": [[1.0]], "y": [1, 2]}, "y has 2 samples, the first input has 1"),
        ({"x": [[1.0]], "y": [0.5]}, "leave y out where samples have no classes"),
        ({"x": [[1.0]], "y": [-1]}, "no list of classes"),
        ({"x": [[1.0]], "y": np.array([2**63], np.uint64)}, "no list of classes"),
        ({"x": [[1.0]], "y": [np.nan]}, "no list of classes"),
        ({"x": np.zeros((0, 3))}, "has no samples"),
    ],
)
def test_arrays_that_are_no_samples_are_refused(tmp_path: Path, arrays: Any, said: str) -> None:
    with pytest.raises(DatasetError) as caught:
        load(str(npz(tmp_path / "a.npz", **arrays)))
    assert said in str(caught.value)
    assert "a.npz" in str(caught.value)


def test_more_samples_than_there_are_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds 2 samples; 3 were asked for"):
        load(str(npz(tmp_path / "a.npz", x=np.zeros((2, 2)))), limit=3)


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "ran",)

    np.save(tmp_path / "a.npy", np.array([Trap()], object), allow_pickle=True)
    with pytest.raises(DatasetError, match="expected numbers"):
        load(str(tmp_path / "a.npy"))
    assert not (tmp_path / "ran").exists()


def test_a_header_that_claims_more_than_there_is_allocates_nothing(tmp_path: Path) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (1 << 40, 1 << 20)})
    (tmp_path / "a.npy").write_bytes(header.getvalue() + b"\0" * 64)
    with pytest.raises(DatasetError, match="damaged: it has 64 of"):
        load(str(tmp_path / "a.npy"))


def test_a_header_with_a_length_below_zero_is_damage(tmp_path: Path) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (-1, 64)})
    (tmp_path / "a.npy").write_bytes(header.getvalue() + b"\0" * 256)
    with pytest.raises(DatasetError, match=r"x is damaged: its header says shape \(-1, 64\), with a length below 0"):
        load(str(tmp_path / "a.npy"))


def test_samples_print_what_they_are_not_what_is_in_them(tmp_path: Path) -> None:
    two = load(str(npz(tmp_path / "a.npz", x0=np.zeros((3, 4)), x1=np.zeros((3, 2, 2)), y=np.zeros(3))))
    assert repr(two) == "<a.npz, own: 3 samples of shape (4,), (2, 2), with classes>"
    assert str(load("alu", limit=5)) == "<alu, random: 5 samples of shape (44,)>"


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_more_bytes_than_are_read_are_refused(tmp_path: Path, save: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own, "MOST_BYTES", 10_000)
    save(tmp_path / "a.npz", x=np.zeros((100, 10)), x1=np.zeros((100, 10)))
    with pytest.raises(DatasetError, match=r"a\.npz: has 16,256 bytes of arrays; at most 10,000 are read"):
        load(str(tmp_path / "a.npz"))


def test_only_samples_that_are_asked_for_are_widened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = npz(tmp_path / "a.npz", x=np.zeros((900, 10), np.uint8))
    monkeypatch.setattr(own, "MOST_BYTES", 10_000)
    assert len(load(str(file), limit=250)) == 250
    with pytest.raises(DatasetError, match=r"a\.npz: has 36,000 bytes of inputs as float32; at most 10,000"):
        load(str(file))


@pytest.mark.parametrize(
    "header",
    [b"((((", b"{1:2,'a':3}", b"{[]:2}", b"-" * 9000, b"{'descr':'<f4','fortran_order':False,'shape':(True,64)}"],
)
def test_headers_that_numpy_stumbles_over_are_damage(tmp_path: Path, header: bytes) -> None:
    (tmp_path / "a.npy").write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + b"\0" * 256)
    with pytest.raises(DatasetError, match=r"a\.npy: (cannot be read|.* damaged)"):
        load(str(tmp_path / "a.npy"))


def test_a_stream_that_does_not_unpack_is_damage(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", x=np.random.default_rng(0).random((40, 40)))
    data = bytearray((tmp_path / "a.npz").read_bytes())
    data[200:300] = b"\xff" * 100
    (tmp_path / "a.npz").write_bytes(data)
    with pytest.raises(DatasetError, match=r"a\.npz: cannot be read"):
        load(str(tmp_path / "a.npz"))


def test_what_is_no_file_is_refused_unopened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.npz")
    (tmp_path / "zero.npy").symlink_to("/dev/zero")
    for name, said in (("pipe.npz", "is no file"), ("zero.npy", "is no file"), ("none.npz", "there is no such file")):
        with pytest.raises(DatasetError, match=said):
            load(str(tmp_path / name))


@pytest.mark.parametrize("seed", range(20))
def test_damaged_files_are_refused_or_read_and_nothing_else(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    whole = npz(tmp_path / "a.npz", x=rng.random((5, 4), np.float32), y=np.arange(5)).read_bytes()
    for _ in range(20):
        data = bytearray(whole[: rng.integers(1, len(whole) + 1)])
        for place in rng.integers(0, len(data), 3):
            data[place] = rng.integers(256)
        (tmp_path / "b.npz").write_bytes(data)
        try:
            found = load(str(tmp_path / "b.npz"))
        except DatasetError as error:
            assert "b.npz" in str(error)
        else:
            assert len(found) == 5


def test_a_model_runs_on_a_file_and_its_labels_are_counted(tmp_path: Path) -> None:
    digits = load("digits", limit=20)
    file = npz(tmp_path / "mine.npz", x=digits.inputs, y=digits.labels)
    done = run("run", DIGITS, "--dataset", file, "--no-reference", "--json", tmp_path / "a.json", "--report", tmp_path)
    assert done.exit_code == 0, done.output
    mine = json.loads((tmp_path / "a.json").read_text())
    again = run("run", DIGITS, "--samples", "20", "--no-reference", "--json", tmp_path / "b.json")
    assert again.exit_code == 0, again.output
    assert mine["accuracy"] == json.loads((tmp_path / "b.json").read_text())["accuracy"]
    assert mine["dataset"]["name"] == "mine.npz"
    assert "mine.npz" in (tmp_path / "report.html").read_text()


def test_samples_are_drawn_for_any_model_and_compared(tmp_path: Path) -> None:
    done = run("compare", DIGITS, "--dataset", "random", "--samples", "7", "--json", tmp_path / "a.json")
    assert done.exit_code == 0, done.output
    assert "7 samples of random" in done.output
    assert json.loads((tmp_path / "a.json").read_text())["agreement"]["neurons_outside_bound"] == 0


@pytest.fixture
def two_inputs(tmp_path: Path) -> Path:
    inputs = [node("InputLayer", name, [], batch_input_shape=[None, 3], dtype="float32") for name in ("a", "b")]
    difference = node("Subtract", "minus", [[["a", 0, 0, {}], ["b", 0, 0, {}]]])
    return write_legacy(
        tmp_path / "m.h5", functional([["a", 0, 0], ["b", 0, 0]], [["minus", 0, 0]], *inputs, difference), {}
    )


def test_a_model_of_two_inputs_runs_on_a_file(tmp_path: Path, two_inputs: Path) -> None:
    file = npz(tmp_path / "two.npz", x0=np.ones((4, 3)), x1=np.zeros((4, 3)))
    done = run("compare", two_inputs, "--dataset", file, "--json", tmp_path / "a.json")
    assert done.exit_code == 0, done.output
    assert json.loads((tmp_path / "a.json").read_text())["agreement"]["neurons_outside_bound"] == 0


def test_a_model_of_two_inputs_says_what_a_file_of_one_lacks(tmp_path: Path, two_inputs: Path) -> None:
    done = run("run", two_inputs, "--dataset", npz(tmp_path / "one.npz", x=np.ones((4, 3))))
    assert isinstance(done.exception, DatasetError)
    assert "takes 2 inputs; dataset one.npz has one" in str(done.exception)


def test_a_file_for_another_model_is_refused(tmp_path: Path) -> None:
    file = npz(tmp_path / "mine.npz", x=np.zeros((2, 9)))
    done = run("run", DIGITS, "--dataset", file)
    assert isinstance(done.exception, DatasetError)
    assert "takes samples of shape (8, 8); dataset mine.npz has (9,)" in str(done.exception)


@pytest.mark.parametrize("name", ["random", "mine.npz"])
def test_without_a_model_there_is_nothing_to_run(name: str) -> None:
    done = run("run", "--dataset", name)
    assert isinstance(done.exception, UsageError)
    assert "name a model" in str(done.exception)


def test_labels_that_are_no_classes_are_remarked_on(tmp_path: Path) -> None:
    graph = lower(Path(DIGITS))
    data = load(str(npz(tmp_path / "a.npz", x=np.zeros((3, 64)), y=[9, 10, 12])))
    said = remark_on_labels(graph, data)
    assert said is not None
    assert "2 labels of a.npz are no classes of digits_mlp, which has 10, 0 to 9: the first is 10, of sample 1" in said
    assert remark_on_labels(graph, load("digits", limit=20)) is None
