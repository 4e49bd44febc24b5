"""Numbers that no sample changes, in files of Keras 2: shapes, and what is computed from them; calls with objects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from keras_files import node
from keras_models import lowered, samples
from needed import needed
from test_frontends_keras_operations import WITH_SHAPES_AND_WINDOWS, of_keras_2

from graphsim.errors import ModelError, UnsupportedLayerError
from graphsim.frontends.keras import lower
from graphsim.frontends.keras.layers.known import FUNCTIONS
from graphsim.graph import Graph
from graphsim.simulate.reference import ReferenceEngine
from graphsim.zoo.quiet import import_tensorflow

slow = pytest.mark.slow
FloatArray = np.ndarray[Any, np.dtype[np.float32]]


def made_with_shapes(tf: Any, backend: Any, x: Any, y: Any) -> list[Any]:
    """Of x and y (batch, 4, 6): every function of the table at least once."""
    batch, rows, columns = tf.shape(x)[0], tf.shape(x)[1], tf.shape(x)[2]
    table = tf.constant(np.arange(12, dtype=np.float32).reshape(6, 2) / 7)
    ids = tf.argmax(x, axis=-1)
    ones = tf.ones([batch, 1, 6])
    four = tf.cast(rows, tf.float32)
    numbers = [
        tf.exp(four), tf.abs(-four), tf.math.log(four), tf.math.rsqrt(four), tf.square(four), tf.pow(four, 2.0),
        tf.divide(four, 3.0), tf.maximum(four, 5.0), tf.minimum(four, 5.0), tf.math.floormod(four, 3.0),
        tf.math.floordiv(four, 3.0), tf.identity(four), tf.sqrt(four), four - 1.0, four // 3.0,
        tf.cast(tf.reduce_prod(tf.shape(x)[1:]), tf.float32), tf.cast(tf.reduce_max(tf.shape(x)[1:]), tf.float32),
        tf.cast(tf.reduce_min(tf.shape(x)[1:]), tf.float32), tf.cast(tf.reduce_sum(tf.shape(x)[1:]), tf.float32),
        tf.cast(tf.gather(tf.shape(x)[1:], 0), tf.float32), tf.cast(tf.unstack(tf.shape(x))[2], tf.float32),
        tf.cast(tf.strided_slice(tf.shape(x), [1], [2], shrink_axis_mask=1), tf.float32),
        tf.where(tf.equal(rows, 4), 2.0, 3.0), tf.where(tf.greater(rows, 4), 2.0, 3.0),
        tf.where(tf.less(rows, 4), 2.0, 3.0), tf.where(tf.not_equal(rows, 4), 2.0, 3.0),
        tf.cast(tf.reshape(tf.transpose(tf.reshape(tf.range(rows), [2, 2])), [4])[1], tf.float32),
        tf.cast(tf.squeeze(tf.expand_dims(rows, 0)), tf.float32), tf.cast(tf.shape(tf.shape(x))[0], tf.float32),
        tf.cast(tf.tile(tf.shape(x)[1:2], [2])[1], tf.float32), tf.cast(tf.zeros([2])[0], tf.float32) + four,
    ]  # fmt: skip
    return [
        *[x * number for number in numbers],
        tf.reshape(x, [batch, 24]), tf.reshape(x, (batch, -1)), tf.reshape(x, tf.stack([batch, 12, 2])),
        tf.reshape(x, tf.concat([tf.shape(x)[:1], [24]], 0)), tf.reshape(x, [-1, rows * columns]),
        tf.reshape(x, tf.shape(y)), tf.concat([x, ones], 1), tf.concat([tf.zeros((batch, 2, 6)), x], 1),
        tf.concat([tf.fill([batch, 1, 6], 2.5), x], 1), tf.broadcast_to(x[:, :1], tf.shape(y)) + y,
        tf.concat([tf.broadcast_to(np.ones((1, 1, 6), np.float32), [batch, 1, 6]), x], 1),
        tf.concat([tf.tile(tf.constant(np.arange(6, dtype=np.float32)[None, None]), [batch, 1, 1]), x], 1),
        x + tf.cast(tf.range(columns), tf.float32), x[:, : rows - 1], backend.switch(x > 0, x, y),
        tf.matmul(tf.nn.softmax(tf.matmul(x, y, transpose_b=True) / tf.sqrt(tf.cast(columns, tf.float32))), y),
        tf.slice(x, [0, 1, 2], [-1, 2, 3]), tf.strided_slice(x, [0, 1, 0], [0, 3, 6], [1, 1, 2], 1, 1),
        x * tf.cast(tf.ones_like(tf.shape(x))[0], tf.float32),
        x + tf.cast(tf.zeros_like(tf.shape(x))[0], tf.float32), tf.add(x, tf.cast(tf.add(rows, 1), tf.float32)),
        tf.nn.embedding_lookup(table, ids), tf.gather(table, ids), tf.tensordot(x, table, axes=1),
        tf.tensordot(x, np.ones((6, 4, 2), np.float32), [[2, 1], [0, 1]]), tf.cast(tf.cast(x, tf.int32), tf.float32),
    ]  # fmt: skip


def made_with_windows(tf: Any, backend: Any, x: Any, y: Any) -> list[Any]:
    """Convolutions and pooling between layers, and images, of x and y (batch, 4, 6)."""
    rng = np.random.default_rng(1)
    image, two = tf.reshape(x, [-1, 4, 3, 2]), tf.reshape(y, [-1, 2, 3, 4])
    wide = rng.normal(size=(2, 3, 2, 3)).astype(np.float32)
    cube = tf.reshape(x, [-1, 2, 3, 2, 2])
    return [
        tf.nn.conv1d(x, rng.normal(size=(3, 6, 2)).astype(np.float32), 2, "SAME"), tf.nn.conv2d(image, wide, 1, "SAME"),
        tf.nn.conv2d(image, wide, [1, 2, 1, 1], "VALID"), tf.nn.depthwise_conv2d(image, wide, [1, 1, 1, 1], "SAME"),
        tf.nn.max_pool1d(x, 2, 2, "SAME"), tf.nn.max_pool2d(image, 2, 1, "VALID"),
        tf.nn.max_pool(image, [1, 2, 2, 1], [1, 2, 2, 1], "SAME"), tf.nn.avg_pool2d(image, 2, 1, "SAME"),
        tf.nn.avg_pool1d(x, 2, 1, "VALID"), tf.nn.avg_pool(image, 2, 2, "VALID"),
        tf.nn.depth_to_space(two, 2), tf.nn.space_to_depth(tf.reshape(x, [-1, 4, 6, 1]), 2),
        tf.image.resize(image, (5, 4)), tf.image.resize(image, tf.shape(image)[1:3] * 2, method="nearest"),
        backend.batch_flatten(x), tf.linalg.matrix_transpose(x), tf.linalg.diag_part(x), tf.nn.crelu(x),
        tf.math.scalar_mul(2.0, x), tf.ensure_shape(x, (None, 4, 6)) + 1.0, tf.broadcast_to(y[:, :, :1], tf.shape(y)),
        tf.nn.convolution(image, wide, [1, 2], "SAME"), backend.conv2d(image, wide), backend.bias_add(x, tf.ones(6)),
        backend.separable_conv2d(image, wide[..., :2], wide[:1, :1, :1].repeat(4, 2)),
        backend.conv2d_transpose(image, wide.transpose(0, 1, 3, 2), (None, 8, 6, 3), strides=(2, 2), padding="same"),
        tf.nn.conv2d_transpose(image, wide.transpose(0, 1, 3, 2), tf.stack([tf.shape(x)[0], 5, 5, 3]), 1, "VALID"),
        tf.nn.conv1d_transpose(x, wide.reshape(2, 3, 6), tf.stack([tf.shape(x)[0], 8, 3]), 2),
        tf.nn.conv3d(cube, wide.reshape(2, 3, 1, 2, 3), [1, 1, 1, 1, 1], "SAME"),
        tf.nn.conv3d_transpose(cube, wide.reshape(1, 3, 2, 3, 2), tf.stack([tf.shape(x)[0], 2, 6, 2, 3]), [1, 2, 1]),
        tf.nn.max_pool3d(cube, 2, 1, "SAME"), tf.nn.avg_pool3d(cube, [1, 2, 2], 1, "VALID"),
        tf.nn.pool(image, [2, 3], "MAX", strides=[2, 1], padding="SAME"), tf.nn.pool(x, [2], "AVG"),
        tf.image.flip_left_right(image), tf.image.flip_up_down(image), tf.linalg.band_part(x, 1, 2),
        tf.linalg.band_part(x, -1, 0), tf.image.crop_to_bounding_box(image, 1, 0, 2, 3), tf.linalg.trace(x),
        tf.image.pad_to_bounding_box(image, 1, 2, 6, 5), tf.image.rgb_to_grayscale(tf.reshape(x, [-1, 2, 4, 3])),
        tf.image.extract_patches(two, [1, 2, 2, 1], [1, 1, 2, 1], [1, 1, 1, 1], "SAME"), tf.norm(x, axis=1),
        tf.nn.lrn(two, depth_radius=1, alpha=0.1, beta=0.75), tf.nn.lrn(two, depth_radius=9, beta=1.0),
        tf.nn.lrn(two, depth_radius=2, bias=2.0, beta=0.5), tf.math.reduce_euclidean_norm(x, 2),
        tf.gather(x, tf.argmax(x, axis=2), axis=2, batch_dims=2),
        tf.gather(x, tf.argmax(x, axis=1), axis=1, batch_dims=1),
        tf.gather(two, tf.argmax(two, axis=2), batch_dims=-2), tf.pad(x, [[0, 0], [1, 0], [0, 2]], constant_values=1.5),
        tf.sort(x, axis=1, direction="DESCENDING"), tf.cast(tf.argsort(x, direction="DESCENDING"), tf.float32),
        *[tf.cumsum(x, axis=1, exclusive=e, reverse=r) for e, r in ((True, False), (False, True), (True, True))],
        backend.dot(x, tf.constant(wide.reshape(6, 6))),
        tf.reshape(tf.nn.relu(tf.reshape(image, [-1, 2]) * [1.0, -2.0] + 0.5), [-1, 4, 3, 2]),
    ]  # fmt: skip


@slow
@pytest.mark.parametrize("family", [made_with_shapes, made_with_windows], ids=lambda f: f.__name__)
def test_functions_of_tensorflow(family: Any, tmp_path: Path) -> None:
    """tf-keras, which wrote the file, is the oracle."""
    tf_keras = needed("tf_keras")
    tf, _ = import_tensorflow()
    x, y = tf_keras.Input((4, 6), name="x"), tf_keras.Input((4, 6), name="y")
    model = tf_keras.Model([x, y], [*family(tf, tf_keras.backend, x, y), x + y])
    inputs = samples(4, 6, seed=1, count=3), samples(4, 6, seed=2, count=3)
    assert_agrees(lowered(model, tmp_path, ".h5"), model(list(inputs)), *inputs)
    named = {layer.get_config().get("function", "").rsplit(".", 1)[-1] for layer in model.layers}
    table = set(FUNCTIONS) if family is made_with_shapes else WITH_SHAPES_AND_WINDOWS
    spellings = {"divide", "truediv", "floor_div", "floordiv", "multiply"}
    other = {"slice", "strided_slice", "tensordot", "embedding_lookup", "max_pool"}  # in the other family
    assert table - named <= (spellings if family is made_with_shapes else other)


def assert_agrees(graph: Graph, expected: Any, *inputs: FloatArray) -> None:
    values = ReferenceEngine(graph).run(inputs).values
    for number, tensor in enumerate(expected):
        wanted = np.asarray(tensor, np.float32).reshape(len(inputs[0]), -1)
        feeder = graph.groups[graph.channels_into(graph.sinks[number])[0].src].name
        found = values[feeder].reshape(wanted.shape)
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=4e-6, err_msg=feeder)


@slow
def test_models_called_with_objects(tmp_path: Path) -> None:
    """By the keys of their inputs, or by the names of these; outputs by their keys in order."""
    tf_keras = needed("tf_keras")
    layers = tf_keras.layers
    a, b = tf_keras.Input((3,), name="a"), tf_keras.Input((3,), name="b")
    by_key = tf_keras.Model({"second": a, "first": b}, {"z": a - b, "q": layers.Dense(2)(a)}, name="by_key")
    by_name = tf_keras.Model([b, a], a - 2.0 * b, name="by_name")
    x, y = tf_keras.Input((3,), name="x"), tf_keras.Input((3,), name="y")
    made = by_key({"second": x, "first": y})
    model = tf_keras.Model([x, y], [made["z"], made["q"], by_name({"a": x, "b": y})])
    inputs = samples(3, seed=1), samples(3, seed=2)
    for suffix in (".h5", ".keras"):
        assert_agrees(lowered(model, tmp_path, suffix), model(list(inputs)), *inputs)


def function(name: str, called: Any, of: str, **kwargs: Any) -> dict[str, Any]:
    """A call of a function of TensorFlow's, on a tensor or on a constant."""
    first = called if isinstance(called, list) else [called, 0, 0]
    return node("TFOpLambda", name, [[*first, kwargs]], function=of)


@pytest.mark.parametrize(
    ("of", "kwargs", "reason"),
    [
        ("zeros", {"value": 0}, "numbers"),
        ("tile", {"multiples": [1 << 30]}, "numbers at most"),
        ("broadcast_to", {"shape": [1 << 30, 2]}, "numbers at most"),
        ("range", {"limit": 1e9}, "ends are not numbers"),
        ("linalg.inv", {}, "not lowered"),
        ("math.multiply", {"y": [1, 2, 3, 4, 5]}, "cannot be computed"),
        ("math.multiply", {"y": "x"}, "not an array"),
        ("math.add", {"y": 2**40}, "not an array"),
        ("fill", {"value": "none"}, "not an array"),
        ("stack", {"axis": 7}, "cannot be computed"),
        ("unstack", {"axis": 3}, "cannot be computed"),
    ],
)
def test_what_cannot_be_computed_is_refused(of: str, kwargs: dict[str, Any], reason: str, tmp_path: Path) -> None:
    constant = ["_CONSTANT_VALUE", -1, [1 << 20, 1 << 20] if of == "zeros" else [3, 4]]
    last = node("TFOpLambda", "y", [["x", 0, 0, {"y": ["made", 0, 0]}]], function="math.add")
    with pytest.raises(UnsupportedLayerError, match=reason):
        lower(of_keras_2(tmp_path, function("made", constant, of, **kwargs), last))


@pytest.mark.parametrize(
    ("of", "kwargs", "reason"),
    [
        ("image.pad_to_bounding_box", {"offset_height": "x", "target_height": -5}, "padding of an axis of 2 is"),
        ("image.crop_to_bounding_box", {"offset_height": 1, "target_height": [2]}, "cropping of an axis of 2 is"),
        ("compat.v1.pad", {"paddings": [[0, 0], *[[0, 1 << 40]] * 3], "constant_values": 1.0}, "elements"),
    ],
)
def test_odd_boxes_are_refused(of: str, kwargs: dict[str, Any], reason: str, tmp_path: Path) -> None:
    image = function("image", ["x", 0, 0], "reshape", shape=[-1, 2, 3, 1])
    with pytest.raises(UnsupportedLayerError, match=reason):
        lower(of_keras_2(tmp_path, image, function("y", "image", of, **kwargs)))


def test_the_number_of_samples_is_no_value(tmp_path: Path) -> None:
    shape = function("shape", "x", "compat.v1.shape")
    for last in (
        function("y", "x", "math.multiply", y=["shape", 0, 0]),
        function("y", "x", "reshape", shape=["twice", 0, 0]),
    ):
        twice = function("twice", "shape", "math.multiply", y=2)
        with pytest.raises(ModelError, match=r"samples|number"):
            lower(of_keras_2(tmp_path, shape, twice, last))


def test_numbers_are_no_output_and_no_input_of_a_layer(tmp_path: Path) -> None:
    shape = function("shape", "x", "compat.v1.shape")
    with pytest.raises(ModelError, match="no sample changes"):
        lower(of_keras_2(tmp_path, shape))
    with pytest.raises(UnsupportedLayerError, match="no sample changes"):
        lower(of_keras_2(tmp_path, shape, node("Activation", "y", [["shape", 0, 0, {}]], activation="relu")))
