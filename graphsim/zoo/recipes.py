"""How each shipped model is made: the net, the data and every number that training needs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """A multilayer perceptron for one dataset and how it is trained.

    The net is ``pixels`` (the images, 0..1), ``flatten``, then one dense layer per width: ReLU on the hidden ones,
    softmax on the last. Layers are named ``dense``, ``dense_1`` and so on, as Keras would name them.

    Training is Adam on the cross-entropy, with a learning rate that falls from ``learning_rate`` to 0 along half a
    cosine. The last ``validation`` training samples are held out, never trained on; every number here was chosen by
    the accuracy on them, and the test split was looked at once, afterwards.

    Attributes:
        name: of the recipe and of its dataset.
        model: stem of the files that training writes.
        widths: units of each dense layer.
        epochs: default number of passes over the training samples.
        batch: samples per step.
        learning_rate: of the first step.
        validation: how many training samples are held out.
        shift: each training image is moved by up to so many pixels along each axis, anew in every epoch; the border
            is filled with 0.
        seed: default seed of weights, order and shifts.
    """

    name: str
    model: str
    widths: tuple[int, ...]
    epochs: int
    batch: int
    learning_rate: float
    validation: int
    shift: int
    seed: int


RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            name="mnist",
            model="mnist_mlp",
            widths=(128, 10),
            epochs=40,
            batch=256,
            learning_rate=4e-3,
            validation=5000,
            shift=1,
            seed=1,
        ),
        Recipe(
            name="digits",
            model="digits_mlp",
            widths=(32, 10),
            epochs=100,
            batch=32,
            learning_rate=5e-3,
            validation=237,
            shift=0,
            seed=1,
        ),
    )
}
"""Every recipe, by name."""
