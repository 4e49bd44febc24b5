"""Preprocessing layers and adaptive pooling: saved by Keras, against TensorFlow within the bounds; what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from keras_files import Json, layer, sequential, write_legacy
from keras_models import FloatArray, assert_within_bounds, samples, saved, stirred

from graphsim.errors import UnsupportedLayerError
from graphsim.frontends.keras import lower
from graphsim.graph import Graph
from graphsim.zoo.quiet import import_tensorflow


@pytest.fixture(scope="module")
def keras() -> Any:
    _, module = import_tensorflow()
    module.utils.set_random_seed(7)
    return module


def agree(keras: Any, folder: Path, inputs: Any, outputs: list[Any], *arrays: FloatArray) -> Graph:
    return assert_within_bounds(saved(stirred(keras.Model(inputs, outputs)), folder, ".keras"), *arrays)


def test_images_in_other_sizes(keras: Any, tmp_path: Path) -> None:
    layers, x = keras.layers, keras.Input((7, 10, 2), name="x")
    sizes = [(3, 4), (14, 5), (7, 10), (7, 13), (9, 10), (1, 1), (11, 23)]
    outputs = [layers.Resizing(*size, interpolation=how)(x) for size in sizes for how in ("bilinear", "nearest")]
    outputs += [layers.CenterCrop(4, 5)(x), layers.CenterCrop(7, 3)(x)]
    outputs.append(layers.Pipeline([layers.Resizing(5, 4), layers.RandomFlip(), layers.Rescaling(1 / 255)])(x))
    agree(keras, tmp_path, x, outputs, samples(7, 10, 2, count=2))


def test_images_in_other_sizes_by_weights_of_more_neighbours(keras: Any, tmp_path: Path) -> None:
    layers, x = keras.layers, keras.Input((7, 10, 2), name="x")
    sizes = [(3, 4), (14, 5), (7, 10), (7, 13), (1, 1), (11, 23)]
    kernels = ("bicubic", "lanczos3", "lanczos5", "bilinear")
    outputs = [
        layers.Resizing(*size, interpolation=how, antialias=smooths)(x)
        for size in sizes
        for how in kernels
        for smooths in (False, True)
    ]
    outputs += [layers.UpSampling2D(n, interpolation=how)(x) for n in (2, (1, 3), (1, 1)) for how in kernels[:3]]
    agree(keras, tmp_path, x, outputs, samples(7, 10, 2, count=2))


def test_images_with_channels_first_in_other_sizes(keras: Any, tmp_path: Path) -> None:
    layers, x = keras.layers, keras.Input((2, 7, 10), name="x")
    options = {"data_format": "channels_first"}
    outputs = [layers.Resizing(3, 4, **options)(x), layers.CenterCrop(4, 5, **options)(x)]
    outputs += [layers.Resizing(3, 4, interpolation="bicubic", **options)(x)]
    outputs += [layers.UpSampling2D((2, 3), interpolation="lanczos3", **options)(x)]
    agree(keras, tmp_path, x, outputs, samples(2, 7, 10, count=2))


#: Layers that change images in training, and their arguments.
RANDOM: dict[str, tuple[Any, ...]] = {
    "AugMix": (),
    "CutMix": (),
    "MixUp": (),
    "RandAugment": (),
    "RandomBrightness": (0.2,),
    "RandomColorDegeneration": (0.2,),
    "RandomColorJitter": (),
    "RandomContrast": (0.2,),
    "RandomElasticTransform": (),
    "RandomErasing": (),
    "RandomFlip": (),
    "RandomGaussianBlur": (),
    "RandomGrayscale": (),
    "RandomHue": (0.2,),
    "RandomInvert": (),
    "RandomPerspective": (),
    "RandomPosterization": (4,),
    "RandomRotation": (0.1,),
    "RandomSaturation": (0.2,),
    "RandomSharpness": (0.2,),
    "RandomShear": ([0.0, 0.1], [0.0, 0.1]),
    "RandomTranslation": (0.1, 0.1),
    "RandomZoom": (0.1,),
    "Solarization": (),
}


def test_images_are_changed_at_random_in_training_only(keras: Any, tmp_path: Path) -> None:
    x = y = keras.Input((6, 6, 3), name="x")
    for name, arguments in RANDOM.items():
        y = getattr(keras.layers, name)(*arguments)(y)
    graph = agree(keras, tmp_path, x, [keras.layers.Dense(2)(y)], samples(6, 6, 3) * np.float32(100))
    assert [g.op for g in graph.groups] == ["source", "input", "linear", "collect"]


def test_numbers_become_classes(keras: Any, tmp_path: Path) -> None:
    layers = keras.layers
    words, one = keras.Input((5,), name="words"), keras.Input((1,), name="one")
    values = keras.Input((2, 3), name="values")
    bounds = [-1.5, 0.0, 0.25, 2.0]
    outputs = [
        *(layers.CategoryEncoding(6, output_mode=mode)(words) for mode in ("multi_hot", "one_hot", "count")),
        layers.CategoryEncoding(4, output_mode="one_hot")(one),
        keras.ops.cast(layers.Discretization(bounds)(values), "float32") * 2.0,
        layers.Discretization(bounds, output_mode="one_hot")(values),
        layers.Discretization(bounds, output_mode="one_hot")(one),
        *(layers.Discretization(bounds, output_mode=mode)(words) for mode in ("multi_hot", "count")),
        layers.Embedding(5, 3)(layers.Discretization(bounds)(values)),
        keras.ops.cast(layers.IntegerLookup(vocabulary=[3, 9, 1])(words), "float32") + 0.5,
        keras.ops.cast(layers.IntegerLookup(vocabulary=[3, 2], mask_token=0)(words), "float32") + 0.5,
    ]
    given = np.random.default_rng(1).integers(0, 4, (8, 5)).astype(np.float32)
    real = samples(2, 3, count=8)
    real[:2, 0] = [-1.5, 0.25, 2.0]
    agree(keras, tmp_path, [words, one, values], outputs, given, given[:, :1], real)


def test_adaptive_pooling_that_divides_its_input(keras: Any, tmp_path: Path) -> None:
    layers = keras.layers
    line, image, cube = keras.Input((12, 2), name="line"), keras.Input((6, 8, 3)), keras.Input((4, 6, 2, 2))
    outputs = [
        layers.AdaptiveAveragePooling1D(4)(line),
        layers.AdaptiveMaxPooling1D(12)(line),
        layers.AdaptiveAveragePooling2D((3, 2))(image),
        layers.AdaptiveMaxPooling2D(2)(image),
        layers.AdaptiveAveragePooling3D((2, 3, 1))(cube),
        layers.AdaptiveMaxPooling3D((2, 3, 2))(cube),
    ]
    agree(keras, tmp_path, [line, image, cube], outputs, samples(12, 2), samples(6, 8, 3), samples(4, 6, 2, 2))


def test_adaptive_pooling_whose_windows_overlap(keras: Any, tmp_path: Path) -> None:
    layers = keras.layers
    line, image, cube = keras.Input((7, 2), name="line"), keras.Input((5, 8, 3)), keras.Input((4, 5, 2, 2))
    outputs = [
        *(layers.AdaptiveAveragePooling1D(n)(line) for n in (2, 5, 9)),
        *(layers.AdaptiveMaxPooling1D(n)(line) for n in (3, 6, 9)),
        layers.AdaptiveAveragePooling2D((3, 2))(image),
        layers.AdaptiveMaxPooling2D((2, 5))(image),
        layers.AdaptiveAveragePooling3D((3, 2, 2))(cube),
        layers.AdaptiveMaxPooling3D((2, 3, 2))(cube),
    ]
    agree(keras, tmp_path, [line, image, cube], outputs, samples(7, 2), samples(5, 8, 3), samples(4, 5, 2, 2))


def test_an_embedding_and_its_reverse(keras: Any, tmp_path: Path) -> None:
    layers, words = keras.layers, keras.Input((4,), name="words")
    outputs = []
    for options in ({}, {"tie_weights": False}, {"logit_soft_cap": 2.0}, {"mask_zero": True}):
        embedding = layers.ReversibleEmbedding(6, 3, **options)
        hidden = layers.Dense(3, activation="tanh")(embedding(words))
        outputs.append(embedding(hidden, reverse=True))
    given = np.random.default_rng(1).integers(0, 6, (5, 4)).astype(np.float32)
    agree(keras, tmp_path, words, outputs, given)


@pytest.mark.parametrize(
    ("entry", "shape", "reason"),
    [
        (layer("CenterCrop", "r", height=9, width=2), [8, 8, 3], "makes 9 elements of 8"),
        (layer("Resizing", "r", height=9, width=2, interpolation="area"), [8, 8, 3], "'area' is not lowered"),
        (
            layer("Resizing", "r", height=1 << 40, width=2, interpolation="bicubic"),
            [8, 8, 3],
            "more than graphsim lists",
        ),
        (layer("AdaptiveMaxPooling1D", "r", output_size=[1 << 40]), [8, 2], "more than graphsim lists"),
        (layer("IntegerLookup", "r", vocabulary=None), [8], "vocabulary is not in its config"),
        (layer("CategoryEncoding", "r", num_tokens=3, output_mode="count"), [4, 2], "takes a list of numbers"),
        (layer("RandomCrop", "r", height=3, width=3), [8, 8, 3], "RandomCrop layers are not lowered"),
        (layer("Hashing", "r", num_bins=3), [4], "Hashing layers are not lowered"),
    ],
)
def test_what_is_refused(tmp_path: Path, entry: Json, shape: list[int], reason: str) -> None:
    config = sequential(layer("InputLayer", "x", batch_input_shape=[None, *shape]), entry)
    with pytest.raises(UnsupportedLayerError, match=reason):
        lower(write_legacy(tmp_path / "model.h5", config, {"x": {}}))
