"""Convolutions, pooling and what moves elements: every option, saved by Keras, against TensorFlow within the bounds."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from keras_models import FORMATS, assert_within_bounds, lowered, samples, saved, stirred

from graphsim.frontends.builder import Builder
from graphsim.frontends.keras.fields import Fields
from graphsim.frontends.keras.layers import RULES
from graphsim.frontends.keras.semantics import Semantics
from graphsim.graph import Graph, Window
from graphsim.simulate.reference import ReferenceEngine
from graphsim.zoo.quiet import import_tensorflow

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def keras() -> Any:
    _, module = import_tensorflow()
    module.utils.set_random_seed(7)
    return module


def side_by_side(keras: Any, shape: tuple[int, ...], chains: Sequence[Any]) -> Any:
    """A model of one input that every layer, or chain of layers, takes by itself."""
    x = keras.Input(shape, name="x")
    outputs = []
    for chain in chains:
        y = x
        for layer in chain if isinstance(chain, list) else [chain]:
            y = layer(y)
        outputs.append(y)
    return stirred(keras.Model(x, outputs))


def agree(keras: Any, folder: Path, shape: tuple[int, ...], chains: Sequence[Any], suffix: str) -> Graph:
    model = side_by_side(keras, shape, chains)
    return assert_within_bounds(saved(model, folder, suffix), samples(*shape, count=2))


@pytest.mark.parametrize("suffix", FORMATS)
def test_convolutions_along_one_axis(keras: Any, tmp_path: Path, suffix: str) -> None:
    layers = keras.layers
    convolutions = [
        layers.Conv1D(3, 3),
        layers.Conv1D(2, 4, padding="same", activation="relu"),
        layers.Conv1D(2, 4, padding="same", strides=3, use_bias=False),
        layers.Conv1D(2, 3, padding="causal", dilation_rate=2),
        layers.Conv1D(2, 3, padding="causal", strides=2, activation="softmax"),
        layers.Conv1D(2, 2, dilation_rate=3, activation="tanh"),
        layers.Conv1D(4, 3, groups=2, padding="same"),
        layers.DepthwiseConv1D(3, depth_multiplier=2, padding="same"),
        layers.DepthwiseConv1D(2, strides=2, activation="elu"),
        layers.DepthwiseConv1D(2, dilation_rate=3),
        layers.SeparableConv1D(3, 3, depth_multiplier=2, activation="relu"),
        layers.SeparableConv1D(3, 3, padding="same", dilation_rate=2, use_bias=False),
    ]
    agree(keras, tmp_path, (9, 4), convolutions, suffix)


@pytest.mark.parametrize("suffix", FORMATS)
def test_convolutions_along_two_axes(keras: Any, tmp_path: Path, suffix: str) -> None:
    layers = keras.layers
    convolutions = [
        layers.Conv2D(3, 3),
        layers.Conv2D(2, (3, 2), padding="same", activation="relu"),
        layers.Conv2D(2, (2, 4), padding="same", strides=(3, 2), use_bias=False),
        layers.Conv2D(2, (2, 3), dilation_rate=(2, 1), activation="softmax"),
        layers.Conv2D(2, 3, dilation_rate=2, padding="same"),
        layers.Conv2D(6, (2, 3), groups=2, padding="same", activation="relu6"),
        layers.Conv2D(4, 1, groups=4),
        layers.DepthwiseConv2D(3, depth_multiplier=3, padding="same", activation="relu"),
        layers.DepthwiseConv2D((2, 3), strides=2),
        layers.DepthwiseConv2D(2, dilation_rate=(2, 3), use_bias=False),
        layers.SeparableConv2D(3, (3, 2), depth_multiplier=2, activation="tanh"),
        layers.SeparableConv2D(2, 3, strides=2, padding="same", activation="softmax"),
        layers.SeparableConv2D(2, 2, dilation_rate=2, use_bias=False),
    ]
    agree(keras, tmp_path, (7, 6, 4), convolutions, suffix)


def test_convolutions_along_three_axes(keras: Any, tmp_path: Path) -> None:
    layers = keras.layers
    convolutions = [
        layers.Conv3D(3, 2),
        layers.Conv3D(2, (3, 2, 1), padding="same", strides=(1, 2, 2), activation="relu"),
        layers.Conv3D(2, 2, dilation_rate=(1, 2, 1), use_bias=False),
        layers.Conv3D(2, 2, groups=2, padding="same"),
    ]
    agree(keras, tmp_path, (4, 5, 3, 2), convolutions, ".keras")


@pytest.mark.parametrize("suffix", FORMATS)
def test_transposed_convolutions(keras: Any, tmp_path: Path, suffix: str) -> None:
    layers = keras.layers
    convolutions = [
        layers.Conv1DTranspose(3, 3),
        layers.Conv1DTranspose(2, 4, strides=2, padding="same", activation="relu"),
        layers.Conv1DTranspose(2, 2, strides=4),
        layers.Conv1DTranspose(2, 4, strides=3, padding="same", use_bias=False),
        layers.Conv1DTranspose(2, 3, strides=3, output_padding=1),
        layers.Conv1DTranspose(2, 3, strides=2, padding="same", output_padding=0),
    ]
    agree(keras, tmp_path, (5, 4), convolutions, suffix)
    convolutions = [
        layers.Conv2DTranspose(3, 3, activation="softmax"),
        layers.Conv2DTranspose(2, (3, 2), strides=2, padding="same", activation="relu"),
        layers.Conv2DTranspose(2, (2, 3), strides=(3, 2), use_bias=False),
        layers.Conv2DTranspose(2, 4, strides=(2, 3), padding="same", output_padding=(1, 2)),
        layers.Conv2DTranspose(2, (3, 4), strides=2, output_padding=(0, 1)),
        layers.Conv2DTranspose(2, 3, dilation_rate=2),
        layers.Conv2DTranspose(2, 2, dilation_rate=(1, 3), padding="same"),
    ]
    agree(keras, tmp_path, (4, 3, 2), convolutions, suffix)
    convolutions = [layers.Conv3DTranspose(2, 2, strides=(1, 2, 2), padding="same"), layers.Conv3DTranspose(1, 3)]
    agree(keras, tmp_path, (2, 3, 2, 2), convolutions, suffix)


@pytest.mark.parametrize("suffix", FORMATS)
def test_spectral_normalisation_is_in_the_kernel(keras: Any, tmp_path: Path, suffix: str) -> None:
    layers = keras.layers
    inner = [layers.Dense(3, "tanh"), layers.Conv1D(2, 3, padding="same"), layers.Conv1DTranspose(2, 2, strides=2)]
    chains = [layers.SpectralNormalization(layer, power_iterations=2) for layer in inner]
    agree(keras, tmp_path, (4, 3), [*chains, [chains[0], layers.Dense(2)]], suffix)


@pytest.mark.parametrize("suffix", FORMATS)
def test_repeating_and_transposing(keras: Any, tmp_path: Path, suffix: str) -> None:
    layers = keras.layers
    agree(keras, tmp_path, (4,), [layers.RepeatVector(3)], suffix)
    agree(keras, tmp_path, (3, 2), [layers.UpSampling1D(3), layers.Permute((2, 1))], suffix)
    chains = [layers.UpSampling2D(), layers.UpSampling2D((3, 1)), layers.Permute((3, 1, 2)), layers.Permute((1, 3, 2))]
    agree(keras, tmp_path, (2, 3, 4), chains, suffix)
    sizes = (2, (4, 3), (1, 5), (8, 1), (1, 1))
    lines = [layers.UpSampling2D(size, interpolation="bilinear") for size in sizes]
    lines.append(layers.UpSampling2D(2, interpolation="bilinear", data_format="channels_first"))
    agree(keras, tmp_path, (4, 3, 2), lines, suffix)
    agree(keras, tmp_path, (1, 2, 1), lines[:2], suffix)
    agree(keras, tmp_path, (2, 3, 1, 2), [layers.UpSampling3D((1, 2, 3)), layers.Permute((4, 2, 1, 3))], suffix)


@pytest.mark.parametrize("suffix", FORMATS)
def test_pooling(keras: Any, tmp_path: Path, suffix: str) -> None:
    layers = keras.layers
    for rank, shape in ((1, (7, 3)), (2, (5, 6, 2)), (3, (4, 5, 3, 2))):
        chains = []
        for kind in ("Max", "Average"):
            make = getattr(layers, f"{kind}Pooling{rank}D")
            chains += [make(2), make(3, strides=1), make(2, strides=3, padding="same"), make(3, 2, padding="same")]
            make = getattr(layers, f"Global{kind}Pooling{rank}D")
            chains += [make(), make(keepdims=True)]
        agree(keras, tmp_path, shape, chains, suffix)


def test_an_average_over_steps_leaves_out_masked_ones() -> None:
    to = Builder("model")
    x, mask = to.input("x", (5, 3), only=False), to.input("mask", (5,), only=False)
    to.layer = "average"
    build = RULES["GlobalAveragePooling1D"].single
    assert build is not None
    fields = Fields({"data_format": "channels_last"}, "model", "average")
    y = build(fields, Semantics("", 3, ""))(to, dataclasses.replace(x, mask=mask))
    to.finish([("average", y)])
    graph = Graph("model", to.groups, to.channels, to.compute(lambda weight: np.zeros(weight.shape, np.float32)))
    given, counts = samples(5, 3, count=3), np.array([[1, 0, 1, 1, 1], [1, 1, 1, 0, 0], [0, 0, 1, 0, 0]], np.float32)
    found = ReferenceEngine(graph).run((given, counts)).values[graph.groups[y.group].name]
    want = [given[n][counts[n] > 0].mean(0, dtype=np.float64) for n in range(3)]
    np.testing.assert_allclose(found, want, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("suffix", FORMATS)
def test_padding_and_cropping(keras: Any, tmp_path: Path, suffix: str) -> None:
    layers = keras.layers
    agree(
        keras,
        tmp_path,
        (5, 2),
        [layers.ZeroPadding1D(2), layers.ZeroPadding1D((0, 3)), layers.Cropping1D(1), layers.Cropping1D((3, 0))],
        suffix,
    )
    agree(
        keras,
        tmp_path,
        (5, 6, 2),
        [
            layers.ZeroPadding2D(),
            layers.ZeroPadding2D((2, 1)),
            [layers.ZeroPadding2D(((0, 1), (2, 3))), layers.Conv2D(2, 3)],
            layers.Cropping2D(2),
            layers.Cropping2D(((1, 0), (2, 3))),
        ],
        suffix,
    )
    agree(keras, tmp_path, (3, 4, 3, 1), [layers.ZeroPadding3D((1, 0, 2)), layers.Cropping3D(1)], suffix)


@pytest.mark.parametrize("suffix", FORMATS)
def test_normalisation_by_a_samples_own_statistics(keras: Any, tmp_path: Path, suffix: str) -> None:
    layers = keras.layers
    chains = [
        layers.LayerNormalization(),
        layers.LayerNormalization(axis=1, epsilon=1e-5),
        layers.LayerNormalization(axis=2, center=False),
        layers.LayerNormalization(scale=False, center=False),
        layers.LayerNormalization(rms_scaling=True),
        layers.RMSNormalization(),
        layers.GroupNormalization(2),
        layers.GroupNormalization(1, center=False),
        layers.GroupNormalization(-1, scale=False),
        layers.GroupNormalization(4, epsilon=1e-5),
        layers.GroupNormalization(3, axis=1),
        layers.UnitNormalization(),
        layers.UnitNormalization(axis=2),
        [layers.Dense(5), layers.LayerNormalization()],
    ]
    agree(keras, tmp_path, (3, 2, 4), chains, suffix)
    agree(keras, tmp_path, (6,), [layers.LayerNormalization(), layers.RMSNormalization()], suffix)
    # Keras multiplies by the scale along the last axis, whichever axes it normalises.
    agree(keras, tmp_path, (4, 3, 4), [layers.RMSNormalization(axis=1)], suffix)


def test_normalisation_along_several_axes(keras: Any, tmp_path: Path) -> None:
    """Keras 3.15 forgets the axes when it reads ``.h5``, so that there the graph is held against that of ``.keras``."""
    layers = keras.layers
    chains = [
        layers.LayerNormalization(axis=[1, 3], center=False),
        layers.LayerNormalization(axis=(1, 2, 3), scale=False),
        layers.LayerNormalization(axis=[-1, 2], rms_scaling=True),
        layers.RMSNormalization(axis=[2, 3]),
        layers.UnitNormalization(axis=[1, 2]),
    ]
    model = side_by_side(keras, (3, 2, 4), chains)
    graph = assert_within_bounds(saved(model, tmp_path, ".keras"), samples(3, 2, 4, count=2))
    assert lowered(model, tmp_path, ".h5").digest == graph.digest


def test_a_vector_of_zeros_stays_one_when_it_is_scaled_to_a_unit(keras: Any, tmp_path: Path) -> None:
    graph = lowered(side_by_side(keras, (3,), [keras.layers.UnitNormalization(name="unit")]), tmp_path, ".keras")
    run = ReferenceEngine(graph).run(np.array([[0, 0, 0], [3, 0, -4]], np.float32))
    np.testing.assert_allclose(run.values["unit"], [[0, 0, 0], [0.6, 0, -0.8]], rtol=1e-6)


def test_a_lenet_stores_each_kernel_once_and_lists_no_edges(keras: Any, tmp_path: Path) -> None:
    layers = keras.layers
    model = stirred(
        keras.Sequential(
            [
                keras.Input((16, 16, 1)),
                layers.Conv2D(4, 5, activation="relu", padding="same", name="c1"),
                layers.AveragePooling2D(2),
                layers.Conv2D(6, 5, name="c2"),
                layers.BatchNormalization(),
                layers.ReLU(),
                layers.MaxPooling2D(),
                layers.Flatten(),
                layers.Dense(10, activation="softmax"),
            ]
        )
    )
    path = saved(model, tmp_path, ".h5")
    graph = assert_within_bounds(path, samples(16, 16, 1, count=2))
    windows = [c for c in graph.channels if isinstance(c, Window)]
    assert [graph.params[c.weight.name].shape for c in windows if c.weight] == [(5, 5, 1, 4), (5, 5, 4, 6)]
    assert all(array.dtype == np.float32 for array in graph.params.values())


def channels_first_cases(layers: Any) -> list[tuple[tuple[int, ...], Any]]:
    """Shapes with the channels first, and what makes a layer with a given data_format."""
    return [
        ((3, 8), lambda f: layers.Conv1D(2, 3, strides=2, padding="same", data_format=f)),
        ((4, 5, 6), lambda f: layers.Conv2D(3, (3, 2), padding="same", activation="relu", data_format=f)),
        ((4, 5, 6), lambda f: layers.Conv2D(6, 2, groups=2, data_format=f)),
        ((4, 5, 6), lambda f: layers.DepthwiseConv2D(2, depth_multiplier=2, data_format=f)),
        ((4, 5, 6), lambda f: layers.SeparableConv2D(3, 2, data_format=f)),
        ((2, 4, 3, 3), lambda f: layers.Conv3D(2, 2, data_format=f)),
        ((4, 5, 6), lambda f: layers.Conv2DTranspose(3, 3, strides=2, padding="same", data_format=f)),
        ((4, 3, 2), lambda f: layers.UpSampling2D((2, 3), data_format=f)),
        ((4, 5, 6), lambda f: layers.MaxPooling2D((2, 3), padding="same", data_format=f)),
        ((4, 8), lambda f: layers.AveragePooling1D(3, padding="same", data_format=f)),
        ((4, 5, 6), lambda f: layers.GlobalAveragePooling2D(data_format=f)),
        ((4, 5, 6), lambda f: layers.GlobalMaxPooling2D(keepdims=True, data_format=f)),
        ((4, 5, 6), lambda f: layers.ZeroPadding2D((1, 2), data_format=f)),
        ((4, 5, 6), lambda f: layers.Cropping2D(((1, 2), (0, 1)), data_format=f)),
    ]


def test_channels_first_computes_what_channels_last_computes(keras: Any, tmp_path: Path) -> None:
    """On a CPU TensorFlow has no channels_first convolutions; the same layer with the channels last is the oracle."""
    for number, (shape, make) in enumerate(channels_first_cases(keras.layers)):
        first = side_by_side(keras, shape, [make("channels_first")])
        last = side_by_side(keras, (*shape[1:], shape[0]), [make("channels_last")])
        folder = tmp_path / str(number)
        folder.mkdir()
        graph = lowered(first, folder, ".keras")
        x = samples(*shape, count=2)
        group = graph.groups[graph.channels_into(graph.sinks[0])[0].src]
        mine = ReferenceEngine(graph).run(x).values[group.name].reshape(2, *group.shape)
        wanted = last(np.moveaxis(x, 1, -1)).numpy()
        assert tuple(first.output_shape[1:]) == mine.shape[1:]
        np.testing.assert_allclose(mine, np.moveaxis(wanted, -1, 1), rtol=2e-6, atol=2e-6, err_msg=group.name)
