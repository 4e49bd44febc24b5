"""Operations that functional models record: of Keras 3 against TensorFlow, of Keras 2 against tf-keras."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from keras_files import node, write_legacy
from keras_models import assert_both_formats_agree, lowered, samples
from needed import needed

from graphsim.errors import UnsupportedLayerError
from graphsim.frontends.keras import lower
from graphsim.frontends.keras.layers.operations import OPERATIONS
from graphsim.frontends.keras.layers.tensorflow import FUNCTIONS
from graphsim.simulate.reference import ReferenceEngine
from graphsim.zoo.quiet import import_tensorflow

slow = pytest.mark.slow


@pytest.fixture(scope="module")
def keras() -> Any:
    _, module = import_tensorflow()
    module.utils.set_random_seed(7)
    return module


def unary(ops: Any, x: Any, y: Any) -> list[Any]:
    positive = ops.abs(x) + 0.5
    return [
        ops.cos(x), ops.sin(x),
        ops.abs(x), ops.ceil(x), ops.erf(x), ops.exp(x), ops.expm1(x), ops.floor(x), ops.hard_sigmoid(x),
        ops.hard_silu(x), ops.hard_tanh(x), ops.log(positive), ops.log1p(positive), ops.log_sigmoid(x),
        ops.logical_not(x > 0), ops.negative(x), -x, ops.reciprocal(positive), ops.relu(x), ops.relu6(x),
        ops.rsqrt(positive), ops.selu(x), ops.sigmoid(x), ops.sign(x), ops.silu(x), ops.softplus(x), ops.softsign(x),
        ops.sparse_plus(x), ops.sparse_sigmoid(x), ops.sqrt(positive), ops.square(x), ops.tanh(x), ops.tanh_shrink(x),
        ops.celu(x, 0.7), ops.elu(x, 0.5), ops.elu(x), ops.hard_shrink(x, 0.3), ops.leaky_relu(x, 0.1),
        ops.leaky_relu(x), ops.soft_shrink(x, 0.4), ops.squareplus(x, 2.0), ops.threshold(x, 0.5, -1.0), ops.gelu(x),
        ops.gelu(x, approximate=False), ops.clip(x, -1, 0.5), positive**2.5, x**2, ops.power(x, 3.0),
        ops.cast(x, "float32") + 1, ops.cast(ops.cast(x > 0, "bool"), "float32"), ops.stop_gradient(x) + 1,
        ops.round(x), ops.round(ops.floor(x * 2.0) / 2.0), ops.trunc(x * 2.0),
        ops.softmax(x), ops.softmax(x, axis=1), ops.log_softmax(x), ops.glu(ops.concatenate([x, y], axis=2)),
    ]  # fmt: skip


def binary(ops: Any, x: Any, y: Any) -> list[Any]:
    row = np.array([1.0, -2.0, 0.5], np.float32)
    full = np.arange(12, dtype=np.float32).reshape(1, 4, 3)
    column = np.array([[1.0], [2.0], [3.0], [-4.0]], np.float32)
    return [
        x + y, x - y, x * y, x / y, ops.maximum(x, y), ops.minimum(x, y), ops.divide(x, y), x + 2.0, 2.0 + x, x - 2,
        2 - x, x * 0.1, 0.1 * x, x / 3.0, 3.0 / x, x + row, ops.multiply(row, x), x * column, x - full, x / row,
        ops.subtract(full, x), ops.maximum(x, 0.5), ops.minimum(row, x), x[:, :1] + y, x[:, :, :1] * row,
        x[:, :1] * column, ops.power(ops.abs(x) + 0.25, y), ops.power(x, ops.round(y)), ops.power(2.0, x),
        ops.power(ops.abs(y), row), ops.where(ops.logical_xor(x > 0.0, y > 0.0), x, y), ops.floor_divide(x, y),
        ops.divide_no_nan(x, ops.relu(y)), ops.divide_no_nan(ops.relu(x), ops.relu(x)), ops.full_like(x, 0.75) + y,
        ops.where(x > y, x, y), ops.where(x < 0.0, 0.0, x), ops.where(ops.equal(x, x), y, 1.0),
        ops.where(ops.logical_and(x >= 0.0, y <= 0.0), x, y), ops.where(ops.logical_or(x > 1.0, y > 1.0), x, y),
        ops.where(ops.not_equal(x, y), x, y), ops.all(x > -1.0, axis=1), ops.any(x > 1.0, axis=-1, keepdims=True),
    ]  # fmt: skip


def products(ops: Any, x: Any, y: Any) -> list[Any]:
    turned = ops.transpose(y, (0, 2, 1))
    matrix = np.arange(6, dtype=np.float32).reshape(3, 2) - 2
    deep = ops.stack([x, y], axis=1)
    return [
        ops.tensordot(x, matrix, axes=1), ops.tensordot(x, matrix, axes=[[2], [0]]),
        ops.matmul(x, turned), x @ matrix, ops.dot(x, matrix), ops.matmul(deep, ops.swapaxes(deep, 2, 3)),
        ops.matmul(deep, turned[:, None]), ops.einsum("bij,bkj->bik", x, y), ops.einsum("bij,bij->bj", x, y),
        ops.einsum("bij,bik->bkj", x, y), ops.einsum("...j,jk->...k", x, matrix), ops.einsum("bij,bkl->bikjl", x, y),
    ]  # fmt: skip


def folds(ops: Any, x: Any, y: Any) -> list[Any]:
    return [
        ops.sum(x, axis=1), ops.sum(x, axis=(1, 2)), ops.mean(x, axis=-1), ops.mean(x, axis=1, keepdims=True),
        ops.max(x, axis=2), ops.min(x, axis=[1]), ops.prod(x, axis=-1), ops.amax(x, axis=1), ops.amin(x, axis=1),
        ops.cumsum(x, axis=1), ops.cumsum(x, axis=-1), ops.sum(ops.ones_like(x) + ops.zeros_like(y) + x, axis=1),
        ops.sum(y, axis=2), ops.var(x, axis=1), ops.std(x, axis=(1, 2), keepdims=True), ops.diff(x, axis=1),
        ops.cast(ops.count_nonzero(ops.relu(x), axis=1), "float32"), ops.cast(ops.argmax(x, axis=-1), "float32") + 0.5,
        ops.cast(ops.argmin(ops.relu(x), axis=1, keepdims=True), "float32"),
        ops.cast(ops.argmax(ops.relu(x), axis=1), "float32"), ops.one_hot(ops.argmin(x, axis=1), 4),
    ]  # fmt: skip


def shapes(ops: Any, x: Any, y: Any) -> list[Any]:
    deep = ops.reshape(x, (-1, 2, 2, 3))
    return [
        ops.reshape(x, (-1, 12)), ops.reshape(x, (-1, 3, 4)) + 1, ops.transpose(x, (0, 2, 1)),
        ops.swapaxes(deep, 1, -1), ops.moveaxis(deep, 1, 3), ops.moveaxis(deep, (1, 2), (3, 1)),
        ops.expand_dims(x, 1) + 1, ops.expand_dims(x, -1) * 2, ops.squeeze(x[:, :1], 1), ops.squeeze(x[:, :, :1]) + 1,
        ops.concatenate([x, y], axis=-1), ops.concatenate([x, y, x], axis=1), ops.stack([x, y], axis=1),
        ops.stack([x, y], axis=-1), *ops.split(x, 2, axis=1), *ops.split(x, [1, 2], axis=-1), x[:, 1:3], x[:, 0],
        x[:, -1], x[:, ::2], x[:, ::-1], x[..., 1], x[:, None] + 0, x[:, 1, None, ::2], x[:, 1:, ..., -1:],
        ops.take(x, [2, 0, 0], axis=1), ops.take(x, 1, axis=-1), ops.flip(x, axis=1), ops.flip(x, axis=(1, 2)),
        ops.roll(x, 1, axis=1), ops.roll(x, -2, axis=-1), ops.roll(x, 9, axis=1), ops.roll(x, 4, axis=1),
        ops.tile(x, (1, 2, 3)), ops.tile(x, 2), ops.pad(x, ((0, 0), (1, 2), (0, 1))), *ops.unstack(x, axis=1),
        ops.pad(x, [[0, 0], [2, 1], [1, 0]], mode="reflect"), ops.pad(x, [[0, 0], [2, 1], [1, 3]], mode="symmetric"),
        ops.repeat(x, 3, axis=1), ops.copy(x) + 1, ops.convert_to_tensor(x) + 1,
    ]  # fmt: skip


def made_of_others(ops: Any, x: Any, y: Any) -> list[Any]:
    positive, whole = ops.abs(x) + 0.5, ops.round(y)
    return [
        ops.tan(x), ops.sinh(x), ops.cosh(x), ops.log2(positive), ops.log10(positive), ops.exp2(x), ops.mod(x, y),
        x % 2.5, ops.mod(2.5, positive), ops.mod(whole, 2.0), ops.logaddexp(x, y), ops.hypot(x, y),
        ops.heaviside(whole, x), ops.fmax(x, y), ops.fmin(x, y), ops.hypot(ops.relu(x), ops.relu(y)), ops.fabs(x),
        ops.logsumexp(x, axis=1), ops.logsumexp(x, axis=(1, 2), keepdims=True), ops.norm(x, axis=-1),
        ops.norm(x, axis=(1, 2)), ops.norm(x, ord="fro", axis=(1, 2), keepdims=True), ops.norm(x, ord=1, axis=1),
        ops.norm(x, ord=3, axis=2), ops.normalize(x), ops.normalize(x, axis=1, epsilon=3.0), ops.normalize(x, order=1),
        ops.average(x, axis=1), ops.cumprod(x, axis=1), *ops.moments(x, axes=(1,)),
        *ops.moments(y, (1, 2), keepdims=True),
    ]  # fmt: skip


def orders(ops: Any, x: Any, y: Any) -> list[Any]:
    equals = ops.round(x)
    numbers = np.array([[[0, 1], [2, -1], [1, 1], [0, 0]]])
    return [
        ops.sort(x), ops.sort(equals, axis=1), ops.argsort(x, axis=1), ops.argsort(equals), *ops.top_k(x, 2),
        *ops.top_k(equals, 3), ops.median(x, axis=1), ops.median(y, axis=2, keepdims=True), ops.ptp(x, axis=1),
        ops.take_along_axis(x, ops.argsort(y, axis=1), axis=1), ops.take_along_axis(x, ops.top_k(y, 2)[1] - 3, axis=-1),
        ops.take_along_axis(x, numbers, axis=2), ops.sort(x[:, :1], axis=1), ops.sort(ops.reshape(x, (-1, 2, 2, 3)), 2),
    ]  # fmt: skip


def places(ops: Any, x: Any, y: Any) -> list[Any]:
    image = ops.reshape(ops.concatenate([x, y], axis=2), (-1, 2, 2, 6))[..., :4]
    first = ops.transpose(image, (0, 3, 1, 2))
    return [
        ops.hstack([x, y]), ops.dstack([x, y]), ops.dstack([x[:, :, 0], y[:, :, 1]]), ops.append(x, y, axis=1),
        *ops.array_split(x, 3, axis=1), *ops.hsplit(x, 2), *ops.dsplit(x, 3), *ops.hsplit(x, [1, 3]), ops.fliplr(x),
        ops.rot90(x, axes=(1, 2)), ops.rot90(x, 3, axes=(2, 1)), ops.rot90(image, -1, axes=(1, 3)), ops.tril(x),
        ops.tril(x, -2), ops.triu(x, 1), ops.triu(x, -1), ops.diagonal(x, axis1=1, axis2=2),
        ops.diagonal(image, 1, axis1=2, axis2=3), ops.trace(x, axis1=1, axis2=2), ops.nn.depth_to_space(image, 2),
        ops.nn.space_to_depth(image, 2), ops.nn.depth_to_space(first, 2, data_format="channels_first"),
        ops.nn.space_to_depth(first, 2, data_format="channels_first"), x[:, ::-1, ::-2], x[:, 3:0:-2], x[:, -3:-1],
    ]  # fmt: skip


def windows(ops: Any, x: Any, y: Any) -> list[Any]:
    rng = np.random.default_rng(5)
    image = ops.reshape(ops.concatenate([x, y], axis=2), (-1, 3, 4, 2))
    first = ops.transpose(image, (0, 3, 1, 2))
    sizes = (2, 3, 2), (2, 3, 2, 4), (1, 1, 4, 3)
    kernel, wide, points = (rng.normal(size=size).astype(np.float32) for size in sizes)
    return [
        ops.conv(x, kernel, padding="same"), ops.conv(x, kernel, 2, "valid"), ops.conv(image, wide, (1, 2), "same"),
        ops.conv(image, wide[:, :2], dilation_rate=2, padding="same"),
        ops.depthwise_conv(image, wide[..., :2], padding="same"), ops.depthwise_conv(x, kernel, padding="valid"),
        ops.max_pool(x, 2), ops.max_pool(image, (2, 1), 1, "same"), ops.average_pool(image, 2, 1, "same"),
        ops.max_pool(first, 2, data_format="channels_first"), ops.average_pool(x, 3, 2, "valid"),
        ops.image.resize(image, (5, 3)), ops.image.resize(image, (2, 7), interpolation="nearest"),
        ops.separable_conv(image, wide[..., :2], points, padding="same"), ops.image.extract_patches(image, 2),
        ops.image.extract_patches(image, (2, 3), (1, 2), padding="same"),
        ops.image.extract_patches(first, (1, 2), 1, 2, data_format="channels_first"),
        ops.image.pad_images(image, 1, 2, 0, 1), ops.image.pad_images(image, top_padding=1, left_padding=0,
        target_height=6, target_width=7), ops.image.crop_images(image, 1, 0, 1, 2), ops.image.crop_images(first,
        bottom_cropping=1, right_cropping=1, target_height=1, target_width=2, data_format="channels_first"),
        ops.image.rgb_to_grayscale(ops.reshape(x, (-1, 2, 2, 3))), ops.image.rgb_to_grayscale(image[..., :1]) + 1.0,
    ]  # fmt: skip


def norms(ops: Any, x: Any, y: Any) -> list[Any]:
    rng = np.random.default_rng(6)
    a, b, c, d = (rng.normal(size=3).astype(np.float32) for _ in range(4))
    four = rng.normal(size=4).astype(np.float32)
    query, key = ops.reshape(x, (-1, 2, 2, 3)), ops.reshape(y, (-1, 2, 2, 3))
    chosen = ops.greater(ops.reshape(x, (-1, 3, 2, 2))[:, :2], 0.0)
    return [
        ops.batch_normalization(x, a, np.abs(b), -1, c, d), ops.batch_normalization(x, four, np.abs(four), 1),
        ops.layer_normalization(x), ops.layer_normalization(x, a, b, epsilon=1e-3), ops.layer_normalization(x, axis=1),
        ops.rms_normalization(x), ops.rms_normalization(x, a), ops.dot_product_attention(query, key, query),
        ops.dot_product_attention(query, key, key, is_causal=True, scale=0.5),
        ops.dot_product_attention(query, key, key, mask=chosen),
    ]  # fmt: skip


FAMILIES = [unary, binary, products, folds, shapes, made_of_others, orders, places, windows, norms]


@slow
@pytest.mark.parametrize("family", FAMILIES, ids=[f.__name__ for f in FAMILIES])
def test_operations_of_keras_3(keras: Any, tmp_path: Path, family: Callable[[Any, Any, Any], list[Any]]) -> None:
    x, y = keras.Input((4, 3), name="x"), keras.Input((4, 3), name="y")
    model = keras.Model([x, y], family(keras.ops, x, y))
    assert_both_formats_agree(model, tmp_path, samples(4, 3, seed=1), samples(4, 3, seed=2))


@slow
def test_every_operation_in_the_table_is_tested(keras: Any) -> None:
    x, y = keras.Input((4, 3), name="x"), keras.Input((4, 3), name="y")
    model = keras.Model([x, y], [made for family in FAMILIES for made in family(keras.ops, x, y)])
    tested = {type(operation).__name__ for operation in model.operations}
    # Sparsemax of Keras is wrong, see the tests of activations. The others are TensorFlow's alone, see below.
    others = {"AddN", "BandPart", "BroadcastTo", "Crelu", "Gather", "Identity", "L2Normalize", "LocalResponse", "Mish"}
    others |= {"SquaredDifference", "ConvTranspose"}
    assert set(OPERATIONS) - tested == others | {"Sparsemax"}


@slow
@pytest.mark.parametrize(("padding", "more"), [("same", None), ("valid", None), ("valid", 1)])
def test_transposed_convolutions(keras: Any, tmp_path: Path, padding: str, more: int | None) -> None:
    """Keras up to 3.15.1 takes padding for output_padding in models, and so cannot run them; it can by itself."""
    kernel = np.random.default_rng(6).normal(size=(2, 3, 4, 3)).astype(np.float32)
    arguments = kernel, 2, padding, more, "channels_last"
    x, inputs = keras.Input((4, 5, 3), name="x"), samples(4, 5, 3, seed=1)
    graph = lowered(keras.Model(x, keras.ops.conv_transpose(x, *arguments)), tmp_path, ".keras")
    wanted = np.asarray(keras.ops.conv_transpose(inputs, *arguments)).reshape(len(inputs), -1)
    found = ReferenceEngine(graph).run(inputs).values["sink"].reshape(wanted.shape)
    np.testing.assert_allclose(found, wanted, rtol=4e-6, atol=2e-6)


@slow
def test_operations_in_nested_and_shared_models(keras: Any, tmp_path: Path) -> None:
    u = keras.Input((3,), name="u")
    inner = keras.Model(u, [u * 2.0 + 1.0, keras.ops.relu(u)], name="inner")
    x, y = keras.Input((3,), name="x"), keras.Input((3,), name="y")
    one, two = inner(x), inner(y)
    model = keras.Model([x, y], [one[0] * two[1], keras.layers.Dense(2)(one[1] + two[0])])
    assert_both_formats_agree(model, tmp_path, samples(3, seed=1), samples(3, seed=2))


def by_keras_2(tf: Any, x: Any, y: Any) -> list[Any]:
    positive = tf.abs(x) + 0.5
    row = tf.constant([1.0, -2.0, 0.5])
    matrix = tf.constant([[1.0, 2.0], [0.5, -1.0], [3.0, 0.0]])
    return [
        x + y, x - y, x * y, x / y, 2.0 * x, x + 1.0, 1.0 - x, 3.0 / positive, -x, abs(x), x**2, x @ matrix,
        x * row, tf.maximum(x, y), tf.minimum(x, 0.5), tf.pow(positive, 1.5), tf.exp(x), tf.math.log(positive),
        tf.math.log1p(positive), tf.math.expm1(x), tf.sqrt(positive), tf.math.rsqrt(positive), tf.square(x),
        tf.math.reciprocal(positive), tf.sign(x), tf.floor(x), tf.math.ceil(x), tf.math.erf(x), tf.tanh(x),
        tf.sin(x), tf.cos(x),
        tf.sigmoid(x), tf.nn.relu(x), tf.nn.relu6(x), tf.nn.elu(x), tf.nn.selu(x), tf.nn.leaky_relu(x),
        tf.nn.leaky_relu(x, alpha=0.3), tf.nn.softplus(x), tf.nn.softsign(x), tf.nn.silu(x), tf.nn.gelu(x),
        tf.nn.gelu(x, approximate=True), tf.math.log_sigmoid(x), tf.nn.softmax(x), tf.nn.softmax(x, axis=1),
        tf.nn.log_softmax(x), tf.clip_by_value(x, -1.0, 0.5), tf.reduce_sum(x, axis=1), tf.reduce_mean(x, axis=[1, 2]),
        tf.reduce_max(x, axis=-1, keepdims=True), tf.reduce_min(x, axis=1), tf.reduce_prod(x, axis=2),
        tf.cumsum(x, axis=1), tf.concat([x, y], axis=-1), tf.stack([x, y], axis=1), *tf.split(x, 2, axis=1),
        *tf.split(x, [1, 2], axis=2), tf.reshape(x, [-1, 12]), tf.reshape(x, (-1, 3, 4)), tf.transpose(x, [0, 2, 1]),
        tf.expand_dims(x, 1), tf.squeeze(x[:, :1], axis=1), x[:, 1:3], x[:, 0], x[..., -1], x[:, None], x[:, ::2, 1],
        tf.matmul(x, tf.transpose(y, perm=[0, 2, 1])), tf.where(x > y, x, y), tf.where(x <= 0.0, x, 1.0),
        tf.where(tf.logical_and(x >= 0.0, tf.logical_not(y < 0.0)), x, y), tf.cast(tf.equal(x, y), tf.float32),
        tf.cast(tf.logical_or(x > 1.0, tf.not_equal(y, y)), tf.float32), tf.repeat(x, 2, axis=1),
        tf.reverse(x, axis=[1]), tf.stop_gradient(x) + 1.0, tf.identity(x) + 1.0, tf.gather(x, [2, 0], axis=1),
        tf.tan(x), tf.sinh(x), tf.cosh(x), tf.round(x),
        tf.math.cumprod(x, axis=1), tf.sort(x, axis=1), tf.cast(tf.argsort(x), tf.float32),
        tf.math.reduce_std(x, axis=1), tf.math.reduce_variance(x, axis=2), tf.reduce_logsumexp(x, axis=1),
        tf.norm(x, axis=-1), tf.tile(x, [1, 2, 1]),
        tf.norm(x, ord=1, axis=-1, keepdims=True), tf.math.top_k(x, 2)[0], *tf.unstack(x, axis=1), x // 2.0,
        x // y,
        x % 2.5, tf.math.floormod(x, y), tf.math.divide_no_nan(x, tf.nn.relu(y)), tf.math.l2_normalize(x, axis=1),
        tf.math.squared_difference(x, y), tf.cast(tf.reduce_any(x > y, axis=1), tf.float32), tf.math.add_n([x, y, x]),
        tf.cast(tf.reduce_all(x > y - 2.0, axis=1), tf.float32), tf.nn.bias_add(x, [1.0, 2.0, 3.0]),
        tf.zeros_like(x) + x,
        tf.ones_like(x) + y, tf.pad(x, [[0, 0], [1, 1], [0, 2]]), tf.cast(tf.argmax(x, axis=1), tf.float32),
        tf.cast(tf.argmin(x, axis=2), tf.float32), tf.roll(x, 1, axis=1), tf.one_hot(tf.argmax(x, axis=1), 4),
        tf.matmul(x, y, transpose_b=True), tf.matmul(x, y, transpose_a=True), tf.matmul(x, matrix, transpose_b=False),
        tf.add(x, y), tf.subtract(x, y), tf.multiply(x, y), tf.divide(x, y), tf.greater(x, y), tf.less(x, y),
    ]  # fmt: skip


@slow
def test_functions_of_tensorflow_in_files_of_keras_2(tmp_path: Path) -> None:
    """As TFOpLambda and SlicingOpLambda, which Keras 3 cannot open: tf-keras, which wrote the file, is the oracle."""
    tf_keras = needed("tf_keras")
    tf, _ = import_tensorflow()
    x, y = tf_keras.Input((4, 3), name="x"), tf_keras.Input((4, 3), name="y")
    model = tf_keras.Model([x, y], by_keras_2(tf, x, y))
    inputs = samples(4, 3, seed=1), samples(4, 3, seed=2)
    expected = model(list(inputs))
    graph = lowered(model, tmp_path, ".h5")
    values = ReferenceEngine(graph).run(inputs).values
    for number, tensor in enumerate(expected):
        wanted = np.asarray(tensor, np.float32).reshape(len(inputs[0]), -1)
        feeder = graph.groups[graph.channels_into(graph.sinks[number])[0].src].name
        found = values[feeder].reshape(wanted.shape)
        np.testing.assert_allclose(found, wanted, rtol=4e-6, atol=2e-6, err_msg=feeder)


#: Tested with what they are mostly called on, in test_frontends_keras_known.py.
_ELSEWHERE = """
avg_pool avg_pool1d avg_pool2d avg_pool3d band_part batch_flatten broadcast_to conv1d conv1d_transpose conv2d
conv2d_transpose conv3d conv3d_transpose convolution crelu crop_to_bounding_box depth_to_space depthwise_conv2d
diag_part embedding_lookup ensure_shape extract_patches flip_left_right flip_up_down local_response_normalization
matrix_transpose max_pool max_pool1d max_pool2d max_pool3d pad_to_bounding_box pool reduce_euclidean_norm resize
rgb_to_grayscale scalar_mul separable_conv2d slice space_to_depth strided_slice tensordot trace
"""
WITH_SHAPES_AND_WINDOWS = frozenset(_ELSEWHERE.split())


@slow
def test_every_function_of_tensorflow_in_the_table_is_tested() -> None:
    tf_keras = needed("tf_keras")
    tf, _ = import_tensorflow()
    x, y = tf_keras.Input((4, 3), name="x"), tf_keras.Input((4, 3), name="y")
    model = tf_keras.Model([x, y], by_keras_2(tf, x, y))
    named = {layer.get_config().get("function", "").rsplit(".", 1)[-1] for layer in model.layers}
    spellings = {"softmax_v2", "log_softmax_v2", "softmax", "log_softmax", "mish", "einsum", "truediv", "divide"}
    spellings |= {"swish", "silu", "identity"}
    assert set(FUNCTIONS) - named <= spellings | WITH_SHAPES_AND_WINDOWS


def of_keras_2(folder: Path, *layers: Any) -> Path:
    """A file by Keras 2 whose input has shape (2, 3), and whose last layer is its output."""
    inside = {
        "name": "m",
        "layers": [node("InputLayer", "x", [], batch_input_shape=[None, 2, 3]), *layers],
        "input_layers": [["x", 0, 0]],
        "output_layers": [[layers[-1]["name"], 0, 0]],
    }
    return write_legacy(folder / "m.h5", {"class_name": "Functional", "config": inside}, {}, version="2.4.0")


X = samples(2, 3, seed=1)
GRAPH_NODES: dict[str, tuple[dict[str, Any], dict[str, Any], Any]] = {
    "added": ({"op": "AddV2"}, {"1": 2.0}, X + 2),
    "taken from": ({"op": "Sub"}, {"0": 1.0}, 1 - X),
    "scaled": ({"op": "Mul"}, {"1": [1.0, 2.0, 3.0]}, X * [1, 2, 3]),
    "negative": ({"op": "Neg"}, {}, -X),
    "mean": ({"op": "Mean", "attr": {"keep_dims": {"b": True}}}, {"1": 2}, X.mean(2, keepdims=True)),
    "sum": ({"op": "Sum"}, {"1": [1, 2]}, X.sum((1, 2))),
    "reshaped": ({"op": "Reshape"}, {"1": [-1, 6]}, X),
    "transposed": ({"op": "Transpose"}, {"1": [0, 2, 1]}, X.transpose(0, 2, 1)),
    "power": ({"op": "Pow"}, {"1": 2.0}, X**2),
}


@pytest.mark.parametrize("name", GRAPH_NODES)
def test_nodes_of_tensorflow_graphs(tmp_path: Path, name: str) -> None:
    """As TensorFlow 2.0 to 2.3 wrote them, the node as JSON in text."""
    described, constants, expected = GRAPH_NODES[name]
    made = node(
        "TensorFlowOpLayer",
        "y",
        [[["x", 0, 0, {}]]],
        node_def=json.dumps({"name": "y"} | described),
        constants=constants,
    )
    graph = lower(of_keras_2(tmp_path, made))
    found = ReferenceEngine(graph).run(X).values["sink"].reshape(len(X), -1)
    np.testing.assert_allclose(found, np.asarray(expected).reshape(len(X), -1), rtol=1e-6)


def test_what_is_not_lowered_is_named_with_all_its_fellows(tmp_path: Path) -> None:
    path = of_keras_2(
        tmp_path,
        node("TFOpLambda", "sorted", [["x", 0, 0, {"axis": 1}]], function="linalg.qr"),
        node("TFOpLambda", "all", [["x", 0, 0, {"axis": None}]], function="math.reduce_sum"),
        node("TFOpLambda", "batch", [["x", 0, 0, {"shape": [2, -1]}]], function="reshape"),
        node("SlicingOpLambda", "first", [["x", 0, 0, {"slice_spec": [0]}]], function="__operators__.getitem"),
        node("TensorFlowOpLayer", "node", [[["x", 0, 0, {}]]], node_def={"op": "Cholesky"}, constants={}),
        node("Add", "y", [[[n, 0, 0, {}] for n in ("sorted", "all", "batch", "first", "node")]]),
    )
    with pytest.raises(UnsupportedLayerError) as caught:
        lower(path)
    reasons = dict(caught.value.layers)
    assert list(reasons) == ["sorted", "all", "batch", "first", "node"]
    assert "TensorFlow's function 'linalg.qr'" in reasons["sorted"]
    assert "all axes, the batch among them" in reasons["all"]
    assert "between samples" in reasons["batch"]
    assert "some of the samples" in reasons["first"]
    assert "'Cholesky'" in reasons["node"]


@slow
def test_operations_of_keras_3_that_are_not_there_are_all_named(keras: Any, tmp_path: Path) -> None:
    ops = keras.ops
    x = keras.Input((4, 3), name="x")
    y = ops.isnan(x) + ops.nextafter(x, x) + ops.roll(x, 1) + 2.0 * ops.sum(x)
    for suffix in (".h5", ".keras"):
        with pytest.raises(UnsupportedLayerError) as caught:
            lowered(keras.Model(x, y), tmp_path, suffix)
        assert [name.split("_")[0] for name, _ in caught.value.layers] == ["isnan", "nextafter", "roll", "sum"]


@slow
def test_layers_of_any_kind_after_operations_keep_their_weights(keras: Any, tmp_path: Path) -> None:
    x = keras.Input((3,), name="x")
    model = keras.Model(x, keras.layers.Dense(2, name="d")(x * 2.0 + x))
    assert_both_formats_agree(model, tmp_path, samples(3))


@slow
def test_the_batch_is_not_touched(keras: Any, tmp_path: Path) -> None:
    o, x = keras.ops, keras.Input((4, 6))
    for made in (o.sum(x, axis=0, keepdims=True) + x, o.reshape(x, (-1, 4)), x[:2, :] * 1.0):
        with pytest.raises(UnsupportedLayerError, match=r"batch|samples"):
            lowered(keras.Model(x, made), tmp_path, ".keras")
