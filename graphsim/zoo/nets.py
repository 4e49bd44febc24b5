"""The nets of the recipes, as uncompiled Keras models; weights come from Keras's global seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from graphsim.datasets.arithmetic import Encoding
from graphsim.zoo.recipes import (
    AluRecipe,
    CheckerboardRecipe,
    GateImageRecipe,
    GateRecipe,
    ImageRecipe,
    LifeRecipe,
    Recipe,
)


def build(keras: Any, recipe: Recipe) -> Any:
    """A fresh, uncompiled model of a recipe."""
    if isinstance(recipe, ImageRecipe):
        return _classifier(keras, recipe)
    if isinstance(recipe, LifeRecipe):
        return life(keras, recipe, range(recipe.seed, recipe.seed + recipe.nets))
    if isinstance(recipe, GateImageRecipe):
        return _gates(keras, recipe)
    if isinstance(recipe, CheckerboardRecipe):
        return _checkerboard(keras, recipe)
    return _alu(keras, recipe)


def load(keras: Any, recipe: Recipe, path: Path) -> Any:
    """A saved model of a recipe, with its optimizer."""
    if isinstance(recipe, GateRecipe):
        import graphsim.zoo.logic.cells  # noqa: F401 - for Keras to know the layers of gates
    return keras.models.load_model(path)


def fresh(keras: Any, recipe: Recipe, trained: Any) -> Any:
    """A copy of a trained model of a recipe that has no optimizer and nothing frozen: the net and nothing else."""
    bare = build(keras, recipe)
    for layer, source in zip(bare.layers, trained.layers, strict=True):
        layer.set_weights(source.get_weights())
    return bare


def _gates(keras: Any, recipe: GateImageRecipe) -> Any:
    from graphsim.zoo.logic.layers import Gates, GroupSum, Levels

    net = [keras.Input(SHAPES[recipe.dataset], name="pixels"), Levels(recipe.levels, name="levels")]
    for at, units in enumerate(recipe.widths):
        name = "gates" if at == 0 else f"gates_{at}"
        net.append(Gates(units, [(recipe.seed, at)], start=recipe.start, name=name))
    return keras.Sequential([*net, GroupSum(CLASSES, recipe.temperature, name="sums")], name=recipe.model)


def _checkerboard(keras: Any, recipe: CheckerboardRecipe) -> Any:
    from graphsim.zoo.logic.cells import CellStep

    shape = (recipe.rows, recipe.columns, recipe.channels)
    step = CellStep(recipe.kernels, recipe.perceive, recipe.update, recipe.seed, name="step")
    return keras.Sequential([keras.Input(shape, name="board"), step], name=recipe.model)


def life(keras: Any, recipe: LifeRecipe, seeds: Sequence[int]) -> Any:
    """Nets of gates side by side, all of them over the same nine cells; each has one output."""
    from graphsim.zoo.logic.layers import Gates

    net = [keras.Input((9,), name="cells")]
    for at, units in enumerate(recipe.widths):
        wired = [(seed, at) for seed in seeds]
        net.append(Gates(units, wired, shared=at == 0, name="gates" if at == 0 else f"gates_{at}"))
    return keras.Sequential(net, name=recipe.model)


#: Classes of every dataset of images.
CLASSES = 10
#: Shape of one image, by dataset.
SHAPES: dict[str, tuple[int, ...]] = {"mnist": (28, 28), "digits": (8, 8)}


def _classifier(keras: Any, recipe: ImageRecipe) -> Any:
    layers = keras.layers
    shape = SHAPES[recipe.dataset] + ((1,) if recipe.convolutions else ())
    net = [keras.Input(shape, name="pixels")]
    for index, (filters, size) in enumerate(recipe.convolutions):
        number = "" if index == 0 else f"_{index}"
        net.append(layers.Conv2D(filters, size, activation="relu", name=f"conv2d{number}"))
        net.append(layers.MaxPooling2D(name=f"max_pooling2d{number}"))
    net.append(layers.Flatten(name="flatten"))
    for index, units in enumerate(recipe.widths):
        activation = "relu" if index < len(recipe.widths) - 1 else "softmax"
        net.append(layers.Dense(units, activation=activation, name="dense" if index == 0 else f"dense_{index}"))
    return keras.Sequential(net, name=recipe.model)


def is_vector(variant: str) -> bool:
    """Whether a variant takes the vector form of a calculation, not the flat one."""
    return variant == "attention"


def _alu(keras: Any, recipe: AluRecipe) -> Any:
    encoding = Encoding(recipe.bits)
    shape = encoding.vectors if is_vector(recipe.variant) else (encoding.inputs,)
    calculation = keras.Input(shape, name="calculation")
    hidden = ALU[recipe.variant](keras.layers, calculation, recipe.units, recipe.depth)
    result = keras.layers.Dense(encoding.outputs, activation="sigmoid", name="result")(hidden)
    return keras.Model(calculation, result, name=recipe.model)


def _minimal(layers: Any, x: Any, units: int, depth: int) -> Any:
    """Dense, then blocks x + BN(Dense(relu(x)))."""
    x = layers.Dense(units, name="dense")(x)
    for block in range(1, depth + 1):
        y = layers.ReLU(name=f"relu_{block}")(x)
        y = layers.Dense(units, name=f"dense_{block}")(y)
        x = layers.Add(name=f"add_{block}")([x, layers.BatchNormalization(name=f"norm_{block}")(y)])
    return x


def _medium(layers: Any, x: Any, units: int, depth: int) -> Any:
    """An LSTM over the inputs one by one, then dense layers."""
    x = layers.Reshape((x.shape[1], 1), name="bits")(x)
    x = layers.LSTM(units, name="lstm")(x)
    for block in range(1, depth + 1):
        x = layers.Dense(units, activation="relu", name=f"dense_{block}")(x)
    return x


def _large(layers: Any, x: Any, units: int, depth: int) -> Any:
    """Residual convolutions of three neighbours along the inputs, then a dense layer."""
    x = layers.Reshape((x.shape[1], 1), name="bits")(x)
    x = layers.Conv1D(units, 3, padding="same", name="conv")(x)
    for block in range(1, depth + 1):
        y = layers.Conv1D(units, 3, padding="same", activation="relu", name=f"conv_{block}")(x)
        x = layers.Add(name=f"add_{block}")([x, layers.BatchNormalization(name=f"norm_{block}")(y)])
    return layers.Dense(4 * units, activation="relu", name="dense")(layers.Flatten(name="flatten")(x))


def _stack(layers: Any, x: Any, units: int, depth: int, name: str) -> Any:
    for block in range(1, depth + 1):
        y = layers.Dense(units, activation="relu", name=f"{name}dense_{block}")(x)
        x = layers.Add(name=f"{name}add_{block}")([x, layers.BatchNormalization(name=f"{name}norm_{block}")(y)])
    return x


def _residual(layers: Any, x: Any, units: int, depth: int) -> Any:
    """Dense, then blocks x + BN(relu(Dense(x)))."""
    return _stack(layers, layers.Dense(units, name="dense")(x), units, depth, "")


def _residual_wide(layers: Any, x: Any, units: int, depth: int) -> Any:
    """Dense, then four such stacks side by side, summed."""
    x = layers.Dense(units, name="dense")(x)
    return layers.Add(name="sum")([_stack(layers, x, units, depth, f"{side}_") for side in "abcd"])


def _attention(layers: Any, x: Any, units: int, depth: int) -> Any:
    """The three words embedded, then blocks of attention among them and a dense layer on each, both residual."""
    x = layers.Dense(units, name="embedding")(x)
    for block in range(1, depth + 1):
        y = layers.LayerNormalization(name=f"attention_norm_{block}")(x)
        y = layers.MultiHeadAttention(4, units // 4, name=f"attention_{block}")(y, y)
        x = layers.Add(name=f"attention_add_{block}")([x, y])
        y = layers.LayerNormalization(name=f"norm_{block}")(x)
        y = layers.Dense(2 * units, activation="relu", name=f"expand_{block}")(y)
        x = layers.Add(name=f"add_{block}")([x, layers.Dense(units, name=f"dense_{block}")(y)])
    return layers.Dense(2 * units, activation="relu", name="dense")(layers.Flatten(name="flatten")(x))


ALU: dict[str, Callable[[Any, Any, int, int], Any]] = {
    "minimal": _minimal,
    "medium": _medium,
    "large": _large,
    "residual": _residual,
    "residual-wide": _residual_wide,
    "attention": _attention,
}
"""From input to the last hidden tensor, by variant: (keras.layers, input, units, depth)."""
