"""What graphs note of their inputs, and data that do not look like it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from keras_files import layer, sequential, write_keras, write_legacy
from typer.testing import CliRunner

import graphsim as gs
from graphsim.cli import main
from graphsim.cli.app import app
from graphsim.errors import DatasetError
from graphsim.frontends.keras import lower
from graphsim.graph import Graph
from graphsim.pipeline import check_dataset, draw, remark_on_range, remark_on_rows
from graphsim.zoo.quiet import import_tensorflow


@dataclass
class Samples:
    inputs: npt.NDArray[np.float32]
    name: str = "images"
    prepared: str = "as they are"


def samples(least: float, greatest: float) -> Any:
    return Samples(np.linspace(least, greatest, 8, dtype=np.float32).reshape(2, 4))


def graph(folder: Path, *layers: Any, dtype: str = "float32", weights: Any = None) -> Graph:
    first = layer("InputLayer", "pixels", batch_shape=[None, 4], dtype=dtype)
    return lower(write_keras(folder / "m.keras", sequential(first, *layers), weights or {}))


FLAT = layer("Flatten", "flat")


@pytest.mark.parametrize(
    ("layers", "dtype", "note"),
    [
        ([FLAT], "float32", None),
        ([FLAT], "uint8", "0..255 by uint8"),
        ([layer("Rescaling", "r", scale=1 / 255, offset=0.0)], "float32", "0..255 by Rescaling"),
        ([layer("Rescaling", "r", scale=1 / 127.5, offset=-1.0)], "float32", "0..255 by Rescaling"),
        ([layer("Rescaling", "r", scale=2.0, offset=3.0)], "float32", None),
        ([layer("Dropout", "d"), layer("Rescaling", "r", scale=0.5)], "float32", "0..2 by Rescaling"),
        ([layer("Normalization", "n", axis=None, mean=10.0, variance=4.0)], "float32", "2..18 by Normalization"),
    ],
)
def test_what_the_file_says_of_its_input_is_noted(tmp_path: Path, layers: Any, dtype: str, note: str | None) -> None:
    notes = graph(tmp_path, *layers, dtype=dtype).notes
    assert notes["input.pixels"] == f"{dtype} [4]"
    assert notes.get("input.pixels.range") == note


def test_the_classes_of_an_embedding_are_noted(tmp_path: Path) -> None:
    weights = {"layers/embedding/vars/0": np.zeros((5, 2), np.float32)}
    made = graph(tmp_path, layer("Embedding", "e", input_dim=5, output_dim=2), weights=weights)
    assert made.notes["input.pixels.range"] == "0..4 by Embedding"


def test_learnt_statistics_are_noted(tmp_path: Path) -> None:
    arrays = [np.array([1, 2, 3, 4], np.float32), np.array([1, 1, 1, 4], np.float32), np.array(7)]
    weights = {f"layers/normalization/vars/{i}": array for i, array in enumerate(arrays)}
    made = graph(tmp_path, layer("Normalization", "n", axis=-1), weights=weights)
    assert made.notes["input.pixels.range"] == "-4..12 by Normalization"


@pytest.mark.parametrize(
    ("ends", "remarked"),
    [
        ((0, 255), False),
        ((10, 200), False),
        ((-200, 400), False),
        ((0, 1), True),
        ((0, 65535), True),
        ((-900, 9), True),
    ],
)
def test_data_that_do_not_look_like_it_are_remarked_on(
    tmp_path: Path, ends: tuple[float, float], remarked: bool
) -> None:
    found = remark_on_range(graph(tmp_path, layer("Rescaling", "r", scale=1 / 255)), samples(*ends))
    assert (found is not None) == remarked
    if found is not None:
        values = f"images has values from {ends[0]:.4g} to {ends[1]:.4g}"
        expected = f"{values} (as they are), and pixels expects 0 to 255"
        assert expected in found


def test_few_classes_of_many_are_no_matter(tmp_path: Path) -> None:
    weights = {"layers/embedding/vars/0": np.zeros((1000, 2), np.float32)}
    made = graph(tmp_path, layer("Embedding", "e", input_dim=1000, output_dim=2), weights=weights)
    assert remark_on_range(made, samples(0, 3)) is None
    assert remark_on_range(made, samples(0, 3000)) is not None


EMBEDDING = layer("Embedding", "e", input_dim=7, output_dim=2)
TABLE = {"layers/embedding/vars/0": np.zeros((7, 2), np.float32)}


@pytest.mark.parametrize(("value", "count"), [(-8.0, 5), (7.0, 1), (9.0, 1), (-1e9, 1)])
def test_rows_that_a_table_does_not_have_are_refused(
    tmp_path: Path, value: float, count: int, capsys: pytest.CaptureFixture[str]
) -> None:
    x = np.ones((3, 4), np.float32)
    x.reshape(-1)[6 : 6 + count] = value
    np.savez(tmp_path / "own.npz", x=x)
    graph(tmp_path, EMBEDDING, FLAT, weights=TABLE)
    assert main(["run", str(tmp_path / "m.keras"), "--dataset", str(tmp_path / "own.npz"), "--no-reference"]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert f"input pixels, sample 1, has the value {value:g}; e looks up 7 rows, -7 to 6; {count} of 12 values" in said


def test_rows_from_the_end_are_those_of_keras_3_and_told(tmp_path: Path) -> None:
    table = np.arange(14, dtype=np.float32).reshape(7, 2)
    made = graph(tmp_path, EMBEDDING, FLAT, weights={"layers/embedding/vars/0": table})
    given = np.array([[-1, -7, -7.5, 6]], np.float32)
    check_dataset(made, Samples(given))
    expected = "images: 3 values of input pixels are negative; e counts them from its last row"
    assert remark_on_rows(made, Samples(given)) == expected
    assert remark_on_rows(made, Samples(np.abs(given) % 7)) is None
    keras = import_tensorflow()[1]
    theirs = np.asarray(keras.layers.Embedding(7, 2, weights=[table])(given)).reshape(-1)
    for engine in ("reference", "lanes"):
        assert gs.run(made, None, given, engine=engine).values["e"].reshape(-1).tolist() == theirs.tolist()


def test_rows_from_the_end_are_refused_where_keras_2_refuses_them(tmp_path: Path) -> None:
    first = layer("InputLayer", "pixels", batch_input_shape=[None, 4])
    path = write_legacy(
        tmp_path / "m.h5", sequential(first, EMBEDDING, FLAT), {"e": {"e/embeddings:0": np.zeros((7, 2), "f")}}
    )
    with pytest.raises(DatasetError, match="e looks up 7 rows, 0 to 6"):
        check_dataset(lower(path), samples(-1, 6))


def test_rows_that_it_has_are_not(tmp_path: Path) -> None:
    made = graph(tmp_path, EMBEDDING, FLAT, weights=TABLE)
    check_dataset(made, samples(0, 6))
    check_dataset(made, samples(-0.9, 6.9))  # fractions are cut off


def test_rows_are_drawn_of_those_that_it_has_whatever_the_dtype(tmp_path: Path) -> None:
    made = graph(tmp_path, EMBEDDING, FLAT, dtype="uint8", weights=TABLE)
    assert made.notes["input.pixels.range"] == "0..255 by uint8"
    drawn = draw(made, 100)
    check_dataset(made, drawn)
    assert np.unique(drawn.inputs).tolist() == list(range(7))


@pytest.mark.slow
@pytest.mark.parametrize("command", ["run", "compare"])
def test_run_and_compare_warn(tmp_path: Path, command: str) -> None:
    keras = import_tensorflow()[1]
    layers = keras.layers
    net = [keras.Input((8, 8), name="pixels"), layers.Rescaling(1 / 255), layers.Flatten(), layers.Dense(2)]
    path = tmp_path / "m.keras"
    keras.Sequential(net).save(path)
    done = CliRunner().invoke(app, [command, str(path), "-n", "2"])
    assert done.exit_code == 0, done.output
    said = " ".join(done.output.split())
    values = "digits has values from 0 to 1 (each pixel divided by 16, which gives 0 to 1)"
    assert f"warning {values}, and pixels expects 0 to 255 (by its Rescaling)" in said
    assert "inputs each pixel divided by 16, which gives 0 to 1; the model expects 0 to 255 (by its Rescaling)" in said
