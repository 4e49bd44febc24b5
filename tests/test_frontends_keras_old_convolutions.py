"""Convolutions as Keras 1 stored them, on TensorFlow and on Theano, against SciPy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from keras_files import layer, sequential, write_legacy
from scipy import signal

from graphsim.errors import UnsupportedLayerError
from graphsim.frontends.keras import lower
from graphsim.simulate.reference import ReferenceEngine

Array = npt.NDArray[Any]
RNG = np.random.default_rng(5)
X = RNG.normal(0, 1, (2, 6, 5, 3)).astype(np.float32)
KERNEL = RNG.normal(0, 1, (3, 2, 3, 4)).astype(np.float32)
BIAS = RNG.normal(0, 1, 4).astype(np.float32)


def write(path: Path, conv: dict[str, Any], kernel: Array, backend: str | None, shape: tuple[int, ...]) -> Path:
    """A file of Keras 1.2 of one layer."""
    import h5py

    conv["config"]["batch_input_shape"] = [None, *shape]
    name = conv["config"]["name"]
    weights = {name: {f"{name}_W": kernel, f"{name}_b": BIAS}}
    write_legacy(path, {"class_name": "Sequential", "config": [conv]}, weights, version="1.2.2")
    if backend is not None:
        with h5py.File(path, "a") as file:
            file["model_weights"].attrs["backend"] = backend.encode()
    return path


def values(path: Path, x: Array) -> Array:
    graph = lower(path)
    return ReferenceEngine(graph).run(x).values["c"].astype(np.float64)


def correlated(x: Array, kernel: Array, mode: str, turned: bool = False) -> Array:
    """Over all channels, plus the bias: what a convolution computes, with the channels last."""
    operation = signal.convolve if turned else signal.correlate
    out = [
        [sum(operation(image[..., c], kernel[..., c, f], mode=mode) for c in range(3)) + BIAS[f] for f in range(4)]
        for image in x.astype(np.float64)
    ]
    return np.moveaxis(np.array(out), 1, -1)


def config(**more: Any) -> dict[str, Any]:
    return layer("Convolution2D", "c", nb_filter=4, nb_row=3, nb_col=2, border_mode="valid", **more)


@pytest.mark.parametrize("backend", ["tensorflow", "theano", None])
def test_kernels_with_the_channels_last(tmp_path: Path, backend: str | None) -> None:
    path = write(tmp_path / "m.h5", config(dim_ordering="tf"), KERNEL, backend, X.shape[1:])
    want = correlated(X, KERNEL, "valid", turned=backend == "theano")
    np.testing.assert_allclose(values(path, X), want, rtol=1e-5, atol=1e-5)
    assert ("kernels" in lower(path).notes) == (backend is None)


@pytest.mark.parametrize("backend", ["tensorflow", "theano"])
def test_kernels_with_the_filters_first(tmp_path: Path, backend: str) -> None:
    stored, x = np.transpose(KERNEL, (3, 2, 0, 1)), np.moveaxis(X, -1, 1)
    path = write(tmp_path / "m.h5", config(dim_ordering="th"), stored, backend, x.shape[1:])
    want = np.moveaxis(correlated(X, KERNEL, "valid", turned=backend == "theano"), -1, 1)
    np.testing.assert_allclose(values(path, x), want, rtol=1e-5, atol=1e-5)


def test_whether_a_kernel_is_turned_round_is_not_guessed(tmp_path: Path) -> None:
    stored = np.transpose(KERNEL, (3, 2, 0, 1))
    path = write(tmp_path / "m.h5", config(dim_ordering="th"), stored, None, (3, 6, 5))
    with pytest.raises(UnsupportedLayerError, match="attribute 'backend'"):
        lower(path)


def test_theano_pads_the_same_kernel_on_the_other_side(tmp_path: Path) -> None:
    conv = layer("Convolution2D", "c", nb_filter=4, nb_row=3, nb_col=2, border_mode="same", dim_ordering="tf")
    path = write(tmp_path / "m.h5", conv, KERNEL, "theano", X.shape[1:])
    padded = np.pad(X, ((0, 0), (1, 1), (1, 0), (0, 0)))  # half a kernel of 3 and of 2, and what is left behind
    want = correlated(padded, KERNEL, "valid", turned=True)
    np.testing.assert_allclose(values(path, X), want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("backend", ["tensorflow", "theano"])
def test_a_convolution_along_one_axis_is_stored_with_another_axis(tmp_path: Path, backend: str) -> None:
    conv = layer("Convolution1D", "c", nb_filter=4, filter_length=3, subsample_length=2, border_mode="valid")
    kernel = KERNEL[:, :1]
    path = write(tmp_path / "m.h5", conv, kernel, backend, (6, 3))
    x = X[:, :, 0]
    want = correlated(x[:, :, None], kernel, "valid", turned=backend == "theano")[:, ::2, 0]
    np.testing.assert_allclose(values(path, x), want, rtol=1e-5, atol=1e-5)


def test_a_transposed_convolution_states_its_output(tmp_path: Path) -> None:
    conv = layer(
        "Deconvolution2D", "c", nb_filter=4, nb_row=3, nb_col=2, border_mode="valid", subsample=[2, 1],
        dim_ordering="tf", output_shape=[None, 14, 6, 4],
    )  # fmt: skip
    path = write(tmp_path / "m.h5", conv, KERNEL, "tensorflow", X.shape[1:])
    want = np.zeros((2, 14, 6, 4)) + BIAS
    for i in range(6):
        for j in range(5):
            patch = np.einsum("nc,klcf->nklf", X[:, i, j].astype(np.float64), KERNEL.astype(np.float64))
            want[:, 2 * i : 2 * i + 3, j : j + 2] += patch
    np.testing.assert_allclose(values(path, X), want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("rank", [1, 2])
def test_locally_connected_layers_have_a_kernel_at_every_place(tmp_path: Path, rank: int) -> None:
    """Of Keras 2, implementation 1: at every place, the window's elements, channels last, times a matrix of its own."""
    taps = (3, 2) if rank == 2 else (2, 1)
    x = X if rank == 2 else X[:, :4, :1]
    places = [x.shape[1] - taps[0] + 1, x.shape[2] - taps[1] + 1]
    kernel = RNG.normal(0, 1, (places[0] * places[1], taps[0] * taps[1] * 3, 4)).astype(np.float32)
    bias = RNG.normal(0, 1, (*places[:rank], 4)).astype(np.float32)
    conv = layer(
        f"LocallyConnected{rank}D", "c", filters=4, kernel_size=list(taps[:rank]), strides=[1] * rank,
        padding="valid", data_format="channels_last", use_bias=True, implementation=1,
        batch_input_shape=[None, *(x.shape[1:] if rank == 2 else (x.shape[1], 3))],
    )  # fmt: skip
    weights = {"c": {"c/kernel:0": kernel, "c/bias:0": bias}}
    path = write_legacy(tmp_path / "m.h5", sequential(conv), weights, version="2.2.4")
    want = np.zeros((2, *places, 4))
    for i in range(places[0]):
        for j in range(places[1]):
            window = x[:, i : i + taps[0], j : j + taps[1]].reshape(2, -1).astype(np.float64)
            want[:, i, j] = window @ kernel[i * places[1] + j] + (bias[i, j] if rank == 2 else bias[i])
    given = x if rank == 2 else x[:, :, 0]
    np.testing.assert_allclose(values(path, given), want.reshape(2, *places[:rank], 4), rtol=1e-5, atol=1e-5)


def test_old_pooling_and_padding_keys(tmp_path: Path) -> None:
    model = sequential(
        layer("ZeroPadding1D", "z", padding=2, batch_input_shape=[None, 6, 3]),
        layer("MaxPooling1D", "p", pool_length=3, stride=2, border_mode="valid"),
        layer("UpSampling1D", "c", length=2),
    )
    path = write_legacy(tmp_path / "m.h5", model, {"z": {}, "p": {}, "c": {}}, version="1.2.2")
    x = np.pad(X[:, :, 0], ((0, 0), (2, 2), (0, 0)))
    want = np.repeat([[x[n, i : i + 3].max(0) for i in (0, 2, 4, 6)] for n in range(2)], 2, axis=1)
    np.testing.assert_array_equal(values(path, X[:, :, 0]), want)


def test_what_theano_did_otherwise_is_refused(tmp_path: Path) -> None:
    conv = layer("SeparableConvolution2D", "c", nb_filter=4, nb_row=3, nb_col=2, dim_ordering="tf")
    with pytest.raises(UnsupportedLayerError, match="Theano"):
        lower(write(tmp_path / "m.h5", conv, KERNEL, "theano", X.shape[1:]))


def test_convolutions_with_holes(tmp_path: Path) -> None:
    conv = layer("AtrousConvolution2D", "c", nb_filter=4, nb_row=3, nb_col=2, atrous_rate=[2, 3], dim_ordering="tf")
    wide = np.zeros((5, 4, 3, 4))
    wide[::2, ::3] = KERNEL
    path = write(tmp_path / "m.h5", conv, KERNEL, "tensorflow", X.shape[1:])
    np.testing.assert_allclose(values(path, X), correlated(X, wide, "valid"), rtol=1e-5, atol=1e-5)


def test_convolutions_with_holes_along_one_axis(tmp_path: Path) -> None:
    x, kernel = X[:, :, 0], RNG.normal(0, 1, (2, 3, 4)).astype(np.float32)
    conv = layer("AtrousConvolution1D", "c", nb_filter=4, filter_length=2, atrous_rate=3, border_mode="valid")
    path = write(tmp_path / "m.h5", conv, kernel[:, None], "tensorflow", x.shape[1:])
    want = x[:, :-3] @ kernel[0].astype(np.float64) + x[:, 3:] @ kernel[1] + BIAS
    np.testing.assert_allclose(values(path, x), want, rtol=1e-5, atol=1e-5)


def test_a_dense_layer_at_every_step(tmp_path: Path) -> None:
    x, kernel = X[:, :, 0], RNG.normal(0, 1, (3, 4)).astype(np.float32)
    path = write(tmp_path / "m.h5", layer("TimeDistributedDense", "c", output_dim=4), kernel, None, x.shape[1:])
    np.testing.assert_allclose(values(path, x), x @ kernel.astype(np.float64) + BIAS, rtol=1e-5, atol=1e-5)
