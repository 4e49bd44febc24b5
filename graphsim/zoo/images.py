"""Training classifiers of images: passes over the training samples in a new order each, moved a little."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from graphsim.datasets.images import load_images
from graphsim.zoo.card import Words
from graphsim.zoo.nets import fresh
from graphsim.zoo.recipes import ImageRecipe
from graphsim.zoo.watch import Watch, unwatched


class ImageCourse:
    """See :class:`graphsim.zoo.train.Course`. Scores: loss (mean cross-entropy) and accuracy (0..1).

    ``training_loss`` and ``training_accuracy`` are over the moved training samples while the weights changed;
    ``held_out_loss`` and ``held_out_accuracy`` over the held-out samples afterwards.
    """

    def __init__(self, plan: ImageRecipe) -> None:
        self.plan, self.epochs, self.stride = plan, plan.epochs, 1
        self.samples = load_images(plan.dataset, "train")
        self.held_out = len(self.samples) - plan.validation
        self._model: Any = None
        self._keras: Any = None
        self.watch: Watch = unwatched
        self.skip = 0

    def prepare(self, tf: Any, keras: Any, model: Any, done: int) -> None:
        """Compile a fresh model."""
        self._model, self._keras = model, keras
        if done == 0 and not self.skip:
            steps = -(-self.held_out // self.plan.batch)
            schedule = keras.optimizers.schedules.CosineDecay(self.plan.learning_rate, steps * self.epochs)
            model.compile(keras.optimizers.Adam(schedule), loss="sparse_categorical_crossentropy", metrics=["accuracy"])

    def epoch(self, number: int) -> Mapping[str, float]:
        """One pass over the training samples, or what is left of it."""
        generator = np.random.default_rng((self.plan.seed, number))
        order = generator.permutation(self.held_out)
        images = self.samples.images[order]
        if self.plan.shift:
            images = shifted(images, self.plan.shift, generator)
        model, watch, steps = self._model, self.watch, -(-self.held_out // self.plan.batch)
        skipped, left = self.skip, slice(self.skip * self.plan.batch, None)

        def look(batch: int, logs: Any = None) -> None:
            model.stop_training = watch(skipped + batch + 1, steps)

        history = model.fit(
            self._fed(self._model, images[left]),
            self.samples.labels[order[left]],
            batch_size=self.plan.batch,
            shuffle=False,
            verbose=0,
            callbacks=[self._keras.callbacks.LambdaCallback(on_train_batch_end=look)],
        ).history
        loss, accuracy = self._held_out(self._model)
        return {
            "training_loss": history["loss"][0],
            "training_accuracy": history["accuracy"][0],
            "held_out_loss": loss,
            "held_out_accuracy": accuracy,
        }

    def may_break(self, number: int) -> bool:
        """Always: what an epoch goes through is settled when it begins."""
        return True

    def finished(self, scores: Mapping[str, float]) -> bool:
        """Every epoch is run."""
        return False

    def kept(self, model: Any) -> Any:
        """The net itself."""
        return fresh(self._keras, self.plan, model)

    def judge(self, model: Any) -> tuple[Mapping[str, float], Words]:
        """Accuracies on held-out and test samples."""
        plan, samples, test = self.plan, self.samples, load_images(self.plan.dataset, "test")
        predicted = np.argmax(model.predict(self._fed(model, test.images), batch_size=1000, verbose=0), axis=1)
        correct = int(np.count_nonzero(predicted == test.labels))
        held_out = self._fed(model, samples.images[self.held_out :])
        predicted = np.argmax(model.predict(held_out, batch_size=1000, verbose=0), axis=1)
        held_out_accuracy = float(np.mean(predicted == samples.labels[self.held_out :]))
        shift = f"each image moved by up to {plan.shift} pixel(s) along each axis, anew per epoch"
        words = Words(
            about=(
                f"{self._net()} for {plan.dataset}: images of {samples.shape[0]}x{samples.shape[1]},"
                f" each pixel divided by {samples.scale} as float32.\nEvery number of the recipe was chosen by the"
                " accuracy on the held-out training samples, never by the test accuracy."
            ),
            facts={
                "test accuracy": f"{correct / len(test):.4f} ({correct} of {len(test)})",
                "held-out accuracy": f"{held_out_accuracy:.4f} ({plan.validation} samples)",
                "samples": f"{self.held_out} to train, {plan.validation} held out, {len(test)} to test",
                "augmentation": shift if plan.shift else "none",
                "optimizer": (
                    f"Adam, learning rate {plan.learning_rate:g} falling to 0 along half a cosine, batch {plan.batch}"
                ),
                "loss": "cross-entropy",
            },
            data={**samples.sha256, **test.sha256},
            command=f"graphsim train {plan.name} --seed {plan.seed} --epochs {plan.epochs}",
        )
        return {"held_out_accuracy": held_out_accuracy, "test_accuracy": correct / len(test)}, words

    def more(self, target: Path) -> Mapping[str, Path]:
        """Nothing."""
        return {}

    def _net(self) -> str:
        widths = self.plan.widths
        if not self.plan.convolutions:
            net = "-".join(str(width) for width in (math.prod(self.samples.shape), *widths))
            return f"A {net} multilayer perceptron (ReLU on the hidden layer, softmax over the {widths[-1]} classes)"
        parts = [f"{size}x{size} convolution to {n} (ReLU), 2x2 max pooling" for n, size in self.plan.convolutions]
        parts += [f"dense layer of {n} (ReLU)" for n in widths[:-1]]
        return f"A convolutional net ({', '.join(parts)}, softmax over the {widths[-1]} classes)"

    def _held_out(self, model: Any) -> tuple[float, float]:
        images, labels = self.samples.images[self.held_out :], self.samples.labels[self.held_out :]
        loss, accuracy = model.evaluate(self._fed(model, images), labels, batch_size=1000, verbose=0)
        return float(loss), float(accuracy)

    @staticmethod
    def _fed(model: Any, images: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """The images in the shape that the model's input has."""
        return images.reshape(-1, *model.input_shape[1:])


def shifted(images: npt.NDArray[np.float32], distance: int, generator: np.random.Generator) -> npt.NDArray[np.float32]:
    """Move each image by a random whole number of pixels in -distance..distance along each axis, filling with 0.

    ``images`` has shape ``(N, rows, columns)``; the result is a new array of the same shape.
    """
    rows, columns = images.shape[1:]
    padded = np.pad(images, ((0, 0), (distance, distance), (distance, distance)))
    window = np.lib.stride_tricks.sliding_window_view(padded, (rows, columns), axis=(1, 2))
    down, right = generator.integers(0, 2 * distance + 1, size=(2, len(images)))
    moved: npt.NDArray[np.float32] = window[np.arange(len(images)), down, right]
    return moved
