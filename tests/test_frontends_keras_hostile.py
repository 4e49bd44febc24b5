"""Damaged and hostile model files: one ModelError that names the file and the place, in bounded memory and time."""

from __future__ import annotations

import io
import json
import pickle
import resource
import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from keras_files import (
    KERNEL,
    SMALL,
    SMALL_LEGACY,
    SMALL_V3,
    Array,
    functional,
    layer,
    node,
    sequential,
    weights_file,
    write_keras,
    write_legacy,
)

from graphsim.errors import ModelError, UnsupportedLayerError
from graphsim.frontends.keras import lower


def refusal(path: Path, weights: Path | None = None) -> str:
    """The message with which a file is refused; it must name the file, or that of the weights."""
    with pytest.raises(ModelError) as caught:
        lower(path, weights)
    message = str(caught.value)
    assert str(path) in message or (weights is not None and str(weights) in message)
    return message


def altered(**replaced: Array) -> dict[str, dict[str, Array]]:
    """The small net's weights with arrays replaced: ``hidden_kernel=...``."""
    found = {name: dict(arrays) for name, arrays in SMALL_LEGACY.items()}
    for key, array in replaced.items():
        name, weight = key.split("_")
        found[name][f"{name}/{weight}:0"] = array
    return found


# -- no model at all ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"not a model", "neither HDF5"),
        (pickle.dumps({"weights": [1.0]}), "pickles are never loaded"),
        (b"\x89HDF\r\n\x1a\n", "damaged"),
        (b"PK\x03\x04", "zip archive is damaged"),
        (b"{", "not valid JSON"),
        (b"{}", "'class_name' is missing"),
        (b'{"class_name": "Sequential", "config": {"layers": [NaN]}}', "holds NaN"),
        (b'{"class_name": "Sequential", "config": {"layers": [-Infinity]}}', "holds -Infinity"),
        (b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nests deeper"),
        (b'{"a": ' + b"[" * 250 + b"]" * 250 + b"}", "nests deeper"),
        (b'{"a": ' + b"9" * 5000 + b"}", "not valid JSON"),
        (b'{"a": "\xff"}', "not UTF-8"),
    ],
)
def test_what_is_no_model(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(content)
    assert reason in refusal(path)


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    assert "cannot be read" in refusal(tmp_path / "none.h5")
    assert "SavedModel folder" in refusal(tmp_path)


def test_numpy_archives_of_weights_are_named_and_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.keras"
    with zipfile.ZipFile(path, "w") as zf:
        zf.writestr("config.json", json.dumps(SMALL))
        zf.writestr("model.weights.npz", b"")
    assert "has no model.weights.h5; it holds 'config.json', 'model.weights.npz'" in refusal(path)


# -- weights --------------------------------------------------------------------------------------------------------


def test_weights_of_the_wrong_shape(tmp_path: Path) -> None:
    path = write_legacy(tmp_path / "m.h5", SMALL, altered(hidden_kernel=KERNEL.T))
    assert "layer 'hidden': weight 'kernel' has shape (2, 3) in the file; the architecture needs (3, 2)" in refusal(
        path
    )
    path = write_keras(tmp_path / "m.keras", SMALL, SMALL_V3 | {"layers/dense/vars/0": KERNEL.T})
    assert "layer 'hidden': weight 'kernel' has shape (2, 3)" in refusal(path)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite(tmp_path: Path, value: float) -> None:
    bad = KERNEL.copy()
    bad[1, 1] = value
    message = refusal(write_legacy(tmp_path / "m.h5", SMALL, altered(hidden_kernel=bad)))
    assert "layer 'hidden': weight 'kernel'" in message
    assert f"holds {value} at element 3 (of 6)" in message


def test_weights_beyond_float32(tmp_path: Path) -> None:
    bad = np.full((3, 2), 1e39)
    message = refusal(write_legacy(tmp_path / "m.h5", SMALL, altered(hidden_kernel=bad)))
    assert "holds 1e+39 at element 0" in message


def test_missing_layers_are_all_named(tmp_path: Path) -> None:
    weights = {"pixels": {}, "hidden": {}, "answer": {}}
    message = refusal(write_legacy(tmp_path / "m.h5", SMALL, weights))
    assert "weights of 2 layers are missing: 'hidden', 'answer'" in message


def test_missing_and_superfluous_weights(tmp_path: Path) -> None:
    fewer = altered()
    del fewer["hidden"]["hidden/bias:0"]
    assert "layer 'hidden' has 1 weights in the file" in refusal(write_legacy(tmp_path / "a.h5", SMALL, fewer))
    more = altered()
    more["hidden"]["hidden/extra:0"] = KERNEL
    assert "layer 'hidden' has 3 weights in the file" in refusal(write_legacy(tmp_path / "b.h5", SMALL, more))
    short = {key: value for key, value in SMALL_V3.items() if key != "layers/dense_1/vars/1"}
    assert "layer 'answer' has 1 weights" in refusal(write_keras(tmp_path / "c.keras", SMALL, short))
    assert "has no weights" in refusal(write_keras(tmp_path / "d.keras", SMALL, {}))


def test_a_dataset_that_is_listed_but_not_there(tmp_path: Path) -> None:
    path = write_legacy(tmp_path / "m.h5", SMALL, SMALL_LEGACY)
    with h5py.File(path, "a") as file:
        del file["model_weights/hidden/hidden/bias:0"]
    assert "layer 'hidden': weight 'bias' is missing" in refusal(path)


@pytest.mark.parametrize("dtype", ["int32", "S4", "complex64", "bool", "uint16"])
def test_weights_of_another_type(tmp_path: Path, dtype: str) -> None:
    path = write_legacy(tmp_path / "m.h5", SMALL, altered(hidden_kernel=np.zeros((3, 2), dtype)))
    assert "not of type float16, float32 or float64" in refusal(path)


def with_dataset(path: Path, make: Callable[[h5py.Group], None]) -> Path:
    """The small net's file, with the hidden kernel made anew by ``make`` in its group."""
    write_legacy(path, SMALL, SMALL_LEGACY)
    with h5py.File(path, "a") as file:
        group = file["model_weights/hidden/hidden"]
        del group["kernel:0"]
        make(group)
    return path


def test_hdf5_links_are_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret.h5"
    with h5py.File(secret, "w") as file:
        file["kernel"] = KERNEL

    def external(group: h5py.Group) -> None:
        group["kernel:0"] = h5py.ExternalLink(str(secret), "kernel")

    def soft(group: h5py.Group) -> None:
        group.file["kernel"] = KERNEL
        group["kernel:0"] = h5py.SoftLink("/kernel")

    assert "an external link; links are not followed" in refusal(with_dataset(tmp_path / "a.h5", external))
    assert "a soft link; links are not followed" in refusal(with_dataset(tmp_path / "b.h5", soft))


def test_a_group_may_not_be_a_link_either(tmp_path: Path) -> None:
    path = write_legacy(tmp_path / "m.h5", SMALL, SMALL_LEGACY)
    with h5py.File(path, "a") as file:
        file.move("model_weights", "elsewhere")
        file["model_weights"] = h5py.SoftLink("/model_weights")
    assert "a soft link" in refusal(path)


def test_hdf5_data_in_other_files_is_not_read(tmp_path: Path) -> None:
    raw = tmp_path / "raw.bin"
    raw.write_bytes(KERNEL.tobytes())
    source = tmp_path / "source.h5"
    with h5py.File(source, "w") as file:
        file["kernel"] = KERNEL

    def external(group: h5py.Group) -> None:
        group.create_dataset("kernel:0", (3, 2), "f4", external=[(str(raw), 0, 24)])

    def virtual(group: h5py.Group) -> None:
        layout = h5py.VirtualLayout((3, 2), "f4")
        layout[:] = h5py.VirtualSource(str(source), "kernel", (3, 2))
        group.create_virtual_dataset("kernel:0", layout)

    for number, make in enumerate((external, virtual)):
        assert "keeps its data in other files" in refusal(with_dataset(tmp_path / f"{number}.h5", make))


def huge(units: int) -> dict[str, Any]:
    return sequential(
        layer("InputLayer", "pixels", batch_input_shape=[None, 1]),
        layer("Dense", "hidden", units=units, use_bias=False),
    )


def test_a_declared_shape_of_2_to_the_40(tmp_path: Path) -> None:
    def declare(group: h5py.Group) -> None:
        group.create_dataset("kernel:0", (1, 2**40), "f4", chunks=(1, 2**20))

    path = with_dataset(tmp_path / "a.h5", declare)
    assert "weight 'kernel' has shape (1, 1099511627776) in the file; the architecture needs (3, 2)" in refusal(path)
    with h5py.File(path, "a") as file:
        file.attrs["model_config"] = json.dumps(huge(2**40))
    assert "layer 'hidden': with it the model has more than" in refusal(path)


@pytest.mark.parametrize("compression", [None, "gzip"])
def test_data_that_the_file_does_not_hold(tmp_path: Path, compression: str | None) -> None:
    units = 2**26
    path = write_legacy(tmp_path / "m.h5", huge(units), {"hidden": {}})
    with h5py.File(path, "a") as file:
        group = file["model_weights/hidden"]
        group.attrs["weight_names"] = [b"kernel:0"]
        group.create_dataset("kernel:0", (1, units), "f4", chunks=(1, 2**20), compression=compression)
    message = refusal(path)
    assert ("the file holds 0 of them" if compression is None else "too many for a file of this size") in message


def test_compressed_weights_are_read_where_they_are_honest(tmp_path: Path) -> None:
    def compress(group: h5py.Group) -> None:
        group.create_dataset("kernel:0", data=KERNEL, compression="gzip", shuffle=True, fletcher32=True)

    graph = lower(with_dataset(tmp_path / "m.h5", compress))
    np.testing.assert_array_equal(graph.params["hidden/kernel"], KERNEL)


def test_big_endian_weights_are_read(tmp_path: Path) -> None:
    graph = lower(write_legacy(tmp_path / "m.h5", SMALL, altered(hidden_kernel=KERNEL.astype(">f4"))))
    np.testing.assert_array_equal(graph.params["hidden/kernel"], KERNEL)
    assert graph.params["hidden/kernel"].dtype == np.dtype("float32")


def test_hdf5_filters_from_outside_are_refused(tmp_path: Path) -> None:
    def scale(group: h5py.Group) -> None:
        group.create_dataset("kernel:0", data=KERNEL, chunks=(3, 2), scaleoffset=3)

    assert "packed by filter" in refusal(with_dataset(tmp_path / "m.h5", scale))


def test_attributes_that_are_not_text(tmp_path: Path) -> None:
    path = write_legacy(tmp_path / "m.h5", SMALL, SMALL_LEGACY)
    with h5py.File(path, "a") as file:
        file["model_weights"].attrs["layer_names"] = np.arange(3)
    assert "attribute 'layer_names' of '/model_weights' is not text" in refusal(path)
    with h5py.File(path, "a") as file:
        file["model_weights"].attrs["layer_names"] = [b"\xff\xfe"]
    assert "not UTF-8 text" in refusal(path)


def test_a_heap_that_never_ends_is_refused_before_hdf5_loops_in_it(tmp_path: Path) -> None:
    path = write_legacy(tmp_path / "m.h5", SMALL, SMALL_LEGACY)
    with h5py.File(path, "a") as file:
        file.attrs["model_config"] = json.dumps(SMALL)  # of variable length, which lies in a heap
    data = bytearray(path.read_bytes())
    heap = data.find(b"GCOL\x01")
    data[heap + 16 : heap + 32] = bytes(16)
    path.write_bytes(data)
    assert f"the heap at byte {heap:,} is damaged: it never ends" in refusal(path)


def test_a_table_that_claims_gigabytes_is_not_allocated(tmp_path: Path) -> None:
    path = write_legacy(tmp_path / "m.h5", SMALL, SMALL_LEGACY)
    data = bytearray(path.read_bytes())
    at = data.find(b"HEAP") + 8  # length of the names of the root group
    assert 0 < struct.unpack("<Q", data[at : at + 8])[0] < 1000
    data[at : at + 8] = struct.pack("<Q", 3 << 30)
    path.write_bytes(data)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert "damaged" in refusal(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 512 << 10


def test_numbers_of_other_sizes_in_the_superblock(tmp_path: Path) -> None:
    path = write_legacy(tmp_path / "m.h5", SMALL, SMALL_LEGACY)
    data = bytearray(path.read_bytes())
    assert data[13:15] == b"\x08\x08"
    data[14] = 4
    path.write_bytes(data)
    assert "numbers take [8, 4] bytes" in refusal(path)


def test_layer_names_that_climb_are_only_names(tmp_path: Path) -> None:
    path = write_legacy(tmp_path / "m.h5", SMALL, SMALL_LEGACY)
    with h5py.File(path, "a") as file:
        file["model_weights"].attrs["layer_names"] = [b"../../etc/passwd", b"hidden"]
    assert "'/model_weights/../../etc/passwd' is missing" in refusal(path)


def test_a_batch_normalisation_whose_variance_is_negative(tmp_path: Path) -> None:
    config = sequential(layer("BatchNormalization", "norm", batch_input_shape=[None, 2], scale=False, center=False))
    weights = {"norm": {"moving_mean": np.zeros(2, "f4"), "moving_variance": np.array([1, -2], "f4")}}
    message = refusal(write_legacy(tmp_path / "m.h5", config, weights))
    assert "layer 'norm': its moving_variance has an element of -2.0" in message


def test_derived_parameters_that_overflow(tmp_path: Path) -> None:
    config = sequential(layer("BatchNormalization", "norm", batch_input_shape=[None, 2], center=False, epsilon=0.0))
    big, small = np.full(2, 1e30, "f4"), np.full(2, 1e-30, "f4")
    weights = {"norm": {"gamma": big, "moving_mean": small, "moving_variance": small}}
    assert "layer 'norm': norm/scale" in refusal(write_legacy(tmp_path / "m.h5", config, weights))


# -- zip ------------------------------------------------------------------------------------------------------------


def keras_zip(path: Path, *extra: tuple[zipfile.ZipInfo | str, bytes], method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", method) as zf:
        zf.writestr("config.json", json.dumps(SMALL))
        zf.writestr("model.weights.h5", weights_file(SMALL_V3))
        for name, data in extra:
            zf.writestr(name, data)
    return path


@pytest.mark.parametrize("name", ["../evil.py", "/etc/passwd", "assets/../../evil", "..\\evil"])
def test_members_that_point_outside(tmp_path: Path, name: str) -> None:
    assert "points outside the archive" in refusal(keras_zip(tmp_path / "m.keras", (name, b"x")))
    assert [p.name for p in tmp_path.iterdir()] == ["m.keras"]


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_member_that_is_there_twice(tmp_path: Path) -> None:
    assert "'config.json' is there twice" in refusal(keras_zip(tmp_path / "m.keras", ("config.json", b"{}")))


def test_a_symbolic_link(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("assets")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    assert "'assets' is a symbolic link" in refusal(keras_zip(tmp_path / "m.keras", (link, b"/etc")))


def test_an_encrypted_member(tmp_path: Path) -> None:
    path = keras_zip(tmp_path / "m.keras")
    data = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = data.find(signature) + offset
        data[at] |= 1
    path.write_bytes(data)
    assert "'config.json' is encrypted" in refusal(path)


def test_a_method_that_is_not_deflate(tmp_path: Path) -> None:
    assert "only deflate is read" in refusal(keras_zip(tmp_path / "m.keras", method=zipfile.ZIP_LZMA))


def test_zip_bombs_are_refused_by_what_they_declare(tmp_path: Path) -> None:
    path = tmp_path / "m.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as zf:
        zf.writestr("config.json", json.dumps(SMALL))
        with zf.open("model.weights.h5", "w", force_zip64=True) as stream:
            for _ in range(100):
                stream.write(bytes(1 << 20))
    assert path.stat().st_size < 200_000
    assert "model.weights.h5 unpacks to more than" in refusal(path)


def test_zip_bombs_that_lie_about_their_size_are_unpacked_no_further(tmp_path: Path) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as zf:
        zf.writestr("config.json", b"{" + b" " * (8 << 20))
    data = bytearray(stream.getvalue())
    for signature, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        at = data.find(signature) + offset
        data[at : at + 4] = struct.pack("<I", 100)
    path = tmp_path / "m.keras"
    path.write_bytes(data)
    assert "the zip archive is damaged" in refusal(path)


def test_weights_in_a_zip_that_are_no_hdf5(tmp_path: Path) -> None:
    path = write_keras(tmp_path / "m.keras", SMALL, pickle.dumps([1, 2]))
    assert "model.weights.h5 is not an HDF5 file" in refusal(path)


# -- architectures --------------------------------------------------------------------------------------------------


def test_an_absurd_enlargement_is_refused_before_it_is_made(tmp_path: Path) -> None:
    config = sequential(
        layer("InputLayer", "x", batch_shape=[None, 4, 4, 1]),
        layer("UpSampling2D", "up", size=[1, 1 << 40], interpolation="bilinear"),
    )
    with pytest.raises(ModelError, match="more than 134,217,728 neurons"):
        lower(write_keras(tmp_path / "m.keras", config, {}))


def test_a_cycle_is_named(tmp_path: Path) -> None:
    config = functional(
        [["x", 0, 0]],
        [["b", 0, 0]],
        node("InputLayer", "x", [], batch_input_shape=[None, 3]),
        node("Add", "a", [[["x", 0, 0], ["b", 0, 0]]]),
        node("ReLU", "b", [[["a", 0, 0]]]),
    )
    assert "layer 'a' takes part in a cycle" in refusal(write_legacy(tmp_path / "m.h5", config, {}))


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        ([[["nobody", 0, 0]]], "takes from 'nobody', which is not a layer"),
        ([[["x", 1, 0]]], "takes from call 1 of 'x', which is never made"),
        ([[["x", 0, 1]]], "layer 'x' has no output 1"),
        ([[["x", -1, 0]]], "should be [layer, node, tensor]"),
        ([[[["x"], 0, 0]]], "should be [layer, node, tensor]"),
        ([3], "should be a list of [layer, node, tensor]"),
        ({}, "should be a list"),
        ([{"args": 1}], "'args' is 1"),
        ([{"args": [{"class_name": "__keras_tensor__", "config": {"keras_history": ["x"]}}]}], "[layer, node, tensor]"),
    ],
)
def test_calls_that_lead_nowhere(tmp_path: Path, call: Any, reason: str) -> None:
    layers = [
        node("InputLayer", "x", [], batch_input_shape=[None, 3]),
        {**node("ReLU", "r", []), "inbound_nodes": call},
    ]
    config = functional([["x", 0, 0]], [["r", 0, 0]], *layers)
    assert reason in refusal(write_legacy(tmp_path / "m.h5", config, {}))


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (sequential(), "has no layers"),
        (sequential({"class_name": "Dense"}), "'config' is missing"),
        (sequential(layer("Dense", "d", batch_input_shape=[None, 3])), "'units' or 'output_dim' is missing"),
        (sequential(layer("Dense", "d", units=True, batch_input_shape=[None, 3])), "'units' is True"),
        (sequential(layer("Dense", "d", units=-4, batch_input_shape=[None, 3])), "'units' is -4"),
        (sequential(layer("Dense", "d", units=2.5, batch_input_shape=[None, 3])), "'units' is 2.5"),
        (sequential(layer("Dense", "d", units=2, batch_input_shape="3")), "shape is '3'"),
        (sequential(layer("Dense", "d", units=2, batch_input_shape=[None, 0])), "sizes should be null or at least 1"),
        (sequential(layer("Dense", "d", units=2, use_bias="no", batch_input_shape=[None, 3])), "'use_bias' is 'no'"),
        (sequential(layer("Dense", "d", units=2, activation=7, batch_input_shape=[None, 3])), "'activation' is 7"),
        (sequential(layer("ReLU", "r", batch_input_shape=[None, 3]), layer("ReLU", "r")), "two layers are called 'r'"),
        (sequential(layer("LeakyReLU", "r", alpha=1e400, batch_input_shape=[None, 3])), "holds Infinity"),
        (sequential(layer("LeakyReLU", "r", alpha=1e300, batch_input_shape=[None, 3])), "should be a finite float32"),
        (sequential(layer("ReLU", "r", max_value=-1.0, batch_input_shape=[None, 3])), "should not be negative"),
        (
            sequential(layer("Reshape", "r", target_shape=[2, 2], batch_input_shape=[None, 3])),
            "reshapes (3,) to (2, 2)",
        ),
        (sequential(layer("Reshape", "r", target_shape=[-1, -1], batch_input_shape=[None, 3])), "one may be -1"),
        (sequential(layer("Rescaling", "r", scale=[1, 2], batch_input_shape=[None, 3])), "scale of shape (2,)"),
        (sequential(layer("Rescaling", "r", scale=[[1], [2, 3]], batch_input_shape=[None, 3])), "one length"),
        (functional([["x", 0, 0]], [["x", 0, 0]], node("ReLU", "x", [])), "is not an InputLayer"),
    ],
)
def test_architectures_that_contradict_themselves(tmp_path: Path, config: dict[str, Any], reason: str) -> None:
    assert reason in refusal(write_legacy(tmp_path / "m.h5", config, {}))


def test_shapes_that_do_not_fit_each_other(tmp_path: Path) -> None:
    inputs = [node("InputLayer", name, [], batch_input_shape=[None, size]) for name, size in (("x", 3), ("y", 2))]
    call = [[["x", 0, 0], ["y", 0, 0]]]
    for class_name, reason in (("Add", "do not fit"), ("Multiply", "do not fit")):
        config = functional([["x", 0, 0], ["y", 0, 0]], [["m", 0, 0]], *inputs, node(class_name, "m", call))
        message = refusal(write_legacy(tmp_path / "m.h5", config, {}))
        assert f"m: its inputs of shapes (3,), (2,) {reason}" in message


def test_an_input_that_nothing_needs_stays_and_is_noted(tmp_path: Path) -> None:
    inputs = [node("InputLayer", name, [], batch_input_shape=[None, 3]) for name in ("x", "y")]
    config = functional([["x", 0, 0], ["y", 0, 0]], [["x", 0, 0]], *inputs)
    graph = lower(write_legacy(tmp_path / "m.h5", config, {}))
    assert [group.name for group in graph.groups] == ["source_x", "x", "source_y", "y", "sink"]
    assert [key for key in graph.notes if key.endswith(".unused")] == ["input.y.unused"]


def test_two_layers_at_one_path(tmp_path: Path) -> None:
    inner = sequential(layer("ReLU", "r", batch_input_shape=[None, 3]), name="inner")
    config = sequential({**inner, "name": "inner"}, layer("ReLU", "inner/r"))
    assert "two layers are at 'inner/r'" in refusal(write_legacy(tmp_path / "m.h5", config, {}))


def test_models_nested_without_end(tmp_path: Path) -> None:
    config = sequential(layer("ReLU", "r", batch_input_shape=[None, 3]))
    for _ in range(30):
        config = sequential({**config, "name": "inner"})
    assert "nest more than 20 deep" in refusal(write_legacy(tmp_path / "m.h5", config, {}))


def test_nested_models_that_multiply_are_bounded(tmp_path: Path) -> None:
    """Each level calls the one below twice: 2^18 calls from a few kilobytes."""
    inner = sequential(layer("ReLU", "r", batch_input_shape=[None, 512]))
    for _ in range(18):
        inner = functional(
            [["x", 0, 0]],
            [["inner", 2, 0]],
            node("InputLayer", "x", [], batch_input_shape=[None, 512]),
            {**inner, "name": "inner", "inbound_nodes": [[["x", 0, 0]], [["inner", 1, 0]]]},
        )
    assert "calls layers more than 20,000 times" in refusal(write_legacy(tmp_path / "m.h5", inner, {}))


def test_all_layers_that_cannot_be_lowered_are_listed_before_any_weight_is_read(tmp_path: Path) -> None:
    config = sequential(
        layer("InputLayer", "pixels", batch_input_shape=[None, 3]),
        layer("MelSpectrogram", "sound"),
        layer("Lambda", "code", function=["print('never')"]),
        layer("MyLayer", "mine"),
        layer("Dense", "named", units=2, activation="my_function"),
        layer("Activation", "bare", activation="threshold"),
        layer("BatchNormalization", "norm", mode=2),
        layer("Dense", "packed", units=2, activation={"class_name": "PReLU", "config": {}}),
        layer("Dense", "fine", units=2),
    )
    with pytest.raises(UnsupportedLayerError) as caught:
        lower(write_legacy(tmp_path / "m.h5", config, {}))
    reasons = dict(caught.value.layers)
    assert list(reasons) == ["sound", "code", "mine", "named", "bare", "norm", "packed"]
    assert reasons["sound"] == "MelSpectrogram layers are not lowered yet"
    assert "never run" in reasons["code"]
    assert "class 'MyLayer' is not a layer of Keras's" in reasons["mine"]
    assert "activation 'my_function' is not one of Keras's" in reasons["named"]
    assert "arguments that the file does not record" in reasons["bare"]
    assert "class 'PReLU'" in reasons["packed"]


def test_sizes_that_are_not_known_are_refused(tmp_path: Path) -> None:
    config = sequential(layer("Dense", "d", units=2, batch_input_shape=[None, None, 3]))
    with pytest.raises(UnsupportedLayerError, match=r"d_input: its shape \(None, 3\) has sizes that are not known"):
        lower(write_legacy(tmp_path / "m.h5", config, {}))


def test_models_of_a_class_of_their_own_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedLayerError, match="MyModel: is a model of a class of its own"):
        lower(write_legacy(tmp_path / "m.h5", {"class_name": "MyModel", "config": {}}, {}))


def test_no_code_in_a_file_is_run(tmp_path: Path) -> None:
    witness = tmp_path / "witness"
    code = f"__import__('pathlib').Path({str(witness)!r}).touch()"
    for config in (
        layer("Lambda", "l", function=code, batch_input_shape=[None, 3]),
        layer("Activation", "a", activation=code, batch_input_shape=[None, 3]),
        {"class_name": code, "config": {"name": "c"}},
    ):
        with pytest.raises(ModelError):
            lower(write_legacy(tmp_path / "m.h5", sequential(config), {}))
    assert not witness.exists()
