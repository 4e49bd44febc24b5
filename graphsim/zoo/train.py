"""Training a recipe: seeded, logged for TensorBoard, checkpointed after every epoch, and resumable.

A run is a function of (recipe, seed, epochs): weights start from the seed, and the order and shifts of epoch ``e``
come from a generator seeded with ``(seed, e)``. A run that was stopped and resumed therefore ends with exactly the
weights of one that was not.

The log folder holds::

    run.json            recipe, seed and epochs; a resumed run must match it
    epoch-0007.keras    net and optimizer after epoch 7, written atomically; only the newest is kept
    tensorboard/        loss and accuracy on training and held-out samples, per epoch
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from graphsim import files
from graphsim.datasets import Dataset, load
from graphsim.errors import UsageError
from graphsim.zoo.card import Card
from graphsim.zoo.quiet import import_tensorflow
from graphsim.zoo.recipes import RECIPES, Recipe

THREADS = 2
"""Threads per operation in training. Another number splits the sums otherwise and so changes the last bits."""


@dataclass(frozen=True)
class Epoch:
    """How one epoch went, for a progress display. Losses are mean cross-entropies; accuracies are in 0..1.

    ``loss`` and ``accuracy`` are over the (shifted) training samples while the weights moved; ``held_out_loss`` and
    ``held_out_accuracy`` are over the held-out samples afterwards.
    """

    number: int
    of: int
    loss: float
    accuracy: float
    held_out_loss: float
    held_out_accuracy: float


@dataclass(frozen=True)
class TrainResult:
    """The files a run wrote, and the accuracies (in 0..1) of what is in them."""

    h5: Path
    keras: Path
    card: Path
    held_out_accuracy: float
    test_accuracy: float
    weights_sha256: str


def train(
    recipe: str,
    out: Path | str | None = None,
    *,
    seed: int | None = None,
    epochs: int | None = None,
    log_dir: Path | str | None = None,
    resume: bool = False,
    progress: Callable[[Epoch], None] | None = None,
) -> TrainResult:
    """Train a recipe and write ``<model>.h5``, ``<model>.keras`` and the card ``<model>.md``, each atomically.

    TensorFlow's deterministic operations are switched on for the rest of the process, and its threads are fixed to
    :data:`THREADS`. The same versions on the same kind of processor then give the same weights, unless TensorFlow had
    run something with another number of threads before.

    Args:
        recipe: a key of :data:`graphsim.zoo.recipes.RECIPES`.
        out: folder for the three files; ``out/train/<recipe>`` when None, so that shipped models stay as they are.
        seed: 0 to 2^32 - 1; the recipe's when None.
        epochs: 1 to 9999; the recipe's when None.
        log_dir: folder for logs and checkpoints; ``log`` in ``out`` when None.
        resume: go on after the newest checkpoint in ``log_dir``, if there is one. Without it, checkpoints of an
            earlier run in that folder are deleted.
        progress: called after every epoch, when its checkpoint is on disk.

    Raises:
        UsageError: no such recipe, seed or epochs out of range, a folder that cannot be written, or checkpoints of
            another run.
        DatasetError: the data is missing; the message says how to get it.
        ReferenceUnavailableError: TensorFlow is not installed.
    """
    if recipe not in RECIPES:
        raise UsageError(f"no recipe is called {recipe!r}; choose one of: {', '.join(RECIPES)}")
    plan = RECIPES[recipe]
    seed = plan.seed if seed is None else seed
    epochs = plan.epochs if epochs is None else epochs
    if not 0 <= seed < 2**32:
        raise UsageError(f"the seed must be between 0 and {2**32 - 1}, not {seed}")
    if not 1 <= epochs <= 9999:
        raise UsageError(f"training takes 1 to 9999 epochs, not {epochs}")
    target = Path(out) if out is not None else Path("out", "train", recipe)
    log = Path(log_dir) if log_dir is not None else target / "log"

    samples = load(recipe, "train")
    held_out = len(samples) - plan.validation
    start = _prepare_log(log, plan, seed, epochs, resume)

    tf, keras = import_tensorflow()
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()
    with suppress(RuntimeError):  # the number of threads is settled once TensorFlow has run anything
        tf.config.threading.set_intra_op_parallelism_threads(THREADS)
    steps = -(-held_out // plan.batch)
    if start:
        model = keras.models.load_model(_checkpoint(log, start))
    else:
        model = build(keras, plan, samples.shape)
        schedule = keras.optimizers.schedules.CosineDecay(plan.learning_rate, steps * epochs)
        model.compile(keras.optimizers.Adam(schedule), loss="sparse_categorical_crossentropy", metrics=["accuracy"])

    writer = tf.summary.create_file_writer(str(log / "tensorboard"))
    with writer.as_default():
        for number in range(start + 1, epochs + 1):
            images, labels = _shuffled(samples, held_out, plan, seed, number)
            history = model.fit(images, labels, batch_size=plan.batch, shuffle=False, verbose=0).history
            loss, accuracy = _evaluate(model, samples.images[held_out:], samples.labels[held_out:])
            done = Epoch(number, epochs, history["loss"][0], history["accuracy"][0], loss, accuracy)
            for name in ("loss", "accuracy", "held_out_loss", "held_out_accuracy"):
                tf.summary.scalar(name, getattr(done, name), step=number)
            writer.flush()
            _save(model, _checkpoint(log, number))
            _checkpoint(log, number - 1).unlink(missing_ok=True)
            if progress is not None:
                progress(done)

    _, held_out_accuracy = _evaluate(model, samples.images[held_out:], samples.labels[held_out:])
    return _write(keras, model, plan, samples, target, seed=seed, epochs=epochs, held_out_accuracy=held_out_accuracy)


def build(keras: Any, recipe: Recipe, shape: tuple[int, ...]) -> Any:
    """A fresh, uncompiled Keras model of a recipe for images of ``shape``; weights from Keras's global seed."""
    hidden = [
        keras.layers.Dense(units, activation="relu", name="dense" if index == 0 else f"dense_{index}")
        for index, units in enumerate(recipe.widths[:-1])
    ]
    output = keras.layers.Dense(recipe.widths[-1], activation="softmax", name=f"dense_{len(hidden)}")
    pixels = keras.Input(shape, name="pixels")
    return keras.Sequential([pixels, keras.layers.Flatten(name="flatten"), *hidden, output], name=recipe.model)


def weights_sha256(weights: list[npt.NDArray[np.float32]]) -> str:
    """Digest of the weights alone: little-endian float32 bytes, C order, kernel then bias, layer by layer."""
    digest = hashlib.sha256()
    for array in weights:
        digest.update(np.ascontiguousarray(array, dtype="<f4").tobytes())
    return digest.hexdigest()


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


def _prepare_log(log: Path, plan: Recipe, seed: int, epochs: int, resume: bool) -> int:
    """Make the log folder ready and return the number of epochs already done (0 to start afresh)."""
    run = json.dumps({"recipe": dataclasses.asdict(plan), "seed": seed, "epochs": epochs}, indent=2) + "\n"
    record = log / "run.json"
    checkpoints = sorted(log.glob("epoch-[0-9]*.keras"))
    if resume and checkpoints:
        if not record.is_file() or record.read_text(encoding="utf-8") != run:
            raise UsageError(
                f"{record}: the checkpoints here are of a run with another recipe, seed or number of epochs."
                " Give the same ones, or another log folder, or start afresh without resuming."
            )
        return int(checkpoints[-1].stem.removeprefix("epoch-"))
    for stale in checkpoints:
        stale.unlink()
    files.write_text(record, run)
    return 0


def _checkpoint(log: Path, number: int) -> Path:
    return log / f"epoch-{number:04d}.keras"


def _shuffled(
    samples: Dataset, held_out: int, plan: Recipe, seed: int, number: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    generator = np.random.default_rng((seed, number))
    order = generator.permutation(held_out)
    images = samples.images[order]
    return shifted(images, plan.shift, generator) if plan.shift else images, samples.labels[order]


def _evaluate(model: Any, images: npt.NDArray[np.float32], labels: npt.NDArray[np.int64]) -> tuple[float, float]:
    loss, accuracy = model.evaluate(images, labels, batch_size=1000, verbose=0)
    return float(loss), float(accuracy)


def _save(model: Any, path: Path) -> None:
    """Write a Keras file atomically. Keras goes by the suffix, so it writes elsewhere under that name first."""
    with tempfile.TemporaryDirectory(prefix="graphsim-") as folder:
        draft = Path(folder, path.name)
        model.save(draft)
        files.write_bytes(path, draft.read_bytes())


def _write(
    keras: Any,
    model: Any,
    plan: Recipe,
    samples: Dataset,
    target: Path,
    *,
    seed: int,
    epochs: int,
    held_out_accuracy: float,
) -> TrainResult:
    # A fresh copy has no optimizer, so that the files hold the net and nothing else.
    bare = build(keras, plan, samples.shape)
    bare.set_weights(model.get_weights())
    test = load(plan.name, "test")
    predicted = np.argmax(bare.predict(test.images, batch_size=1000, verbose=0), axis=1)
    correct = int(np.count_nonzero(predicted == test.labels))
    h5, keras_file, card = (target / f"{plan.model}{suffix}" for suffix in (".h5", ".keras", ".md"))
    _save(bare, h5)
    _save(bare, keras_file)
    digest = weights_sha256(bare.get_weights())
    files.write_text(
        card,
        Card.of(
            plan,
            samples=samples,
            test=test,
            seed=seed,
            epochs=epochs,
            parameters=int(bare.count_params()),
            held_out_accuracy=held_out_accuracy,
            test_correct=correct,
            weights_sha256=digest,
            written=(h5, keras_file),
        ).markdown(),
    )
    return TrainResult(h5, keras_file, card, held_out_accuracy, correct / len(test), digest)
