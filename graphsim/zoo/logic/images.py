"""Training classifiers of images that are made of gates, and the circuits that they become."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from graphsim.datasets.images import ImageDataset, load_images
from graphsim.errors import CheckFailed
from graphsim.frontends import circuits
from graphsim.graph.circuit import Circuit
from graphsim.passes.logic import passes_of
from graphsim.zoo.card import Words
from graphsim.zoo.images import shifted
from graphsim.zoo.logic import history
from graphsim.zoo.logic.learnt import Bits, Learnt, run
from graphsim.zoo.logic.pictures import Counts
from graphsim.zoo.logic.voting import voting
from graphsim.zoo.nets import CLASSES, fresh
from graphsim.zoo.recipes import GateImageRecipe
from graphsim.zoo.watch import Watch, unwatched

_EVALUATED = 1000


class GateImageCourse:
    """See :class:`graphsim.zoo.train.Course`. Scores: loss (mean cross-entropy) and accuracies (0..1).

    ``training_loss`` is over the moved training samples while the gates were mixtures and changed;
    ``held_out_soft_accuracy`` and ``held_out_hard_accuracy`` are over the held-out samples afterwards, of the mixtures
    and of the gates chosen. The log folder also holds ``choices.npz``: how many gates of each layer were which after
    every epoch; and, drawn anew after each, ``choices.png`` and ``choices.txt``.
    """

    def __init__(self, plan: GateImageRecipe, log: Path) -> None:
        self._log = log
        #: Gates of each layer that are which, (layers, 16), after every epoch.
        self._history: list[Counts] = []
        self.plan, self.epochs, self.stride = plan, plan.epochs, 1
        self.samples = load_images(plan.dataset, "train")
        self.held_out = len(self.samples) - plan.validation
        self.watch: Watch = unwatched
        self.skip = 0

    def prepare(self, tf: Any, keras: Any, model: Any, done: int) -> None:
        """Compile a fresh model."""
        plan, self._keras, self._model = self.plan, keras, model
        self._steps = self.held_out // plan.batch
        if done == 0 and not self.skip:
            schedule = keras.optimizers.schedules.CosineDecay(plan.learning_rate, self._steps * self.epochs)
            optimizer = keras.optimizers.Adam(schedule, beta_1=plan.betas[0], beta_2=plan.betas[1])
            optimizer.build(model.trainable_variables)
            model.compile(optimizer)
        elif done:
            self._history = history.kept(self._log, done)
        optimizer, variables = model.optimizer, model.trainable_variables

        def step(images: Any, labels: Any) -> Any:
            with tf.GradientTape() as tape:
                logits = model(images, training=True)
                loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
            optimizer.apply(tape.gradient(loss, variables), variables)
            return loss

        self._step = tf.function(step, jit_compile=True)

    def epoch(self, number: int) -> Mapping[str, float]:
        """One pass over the training samples, but for those that fill no batch, or what is left of it."""
        generator = np.random.default_rng((self.plan.seed, number))
        order = generator.permutation(self.held_out)[: self._steps * self.plan.batch]
        images, labels = self.samples.images[order], self.samples.labels[order]
        if self.plan.shift:
            images = shifted(images, self.plan.shift, generator)
        batches = zip(np.split(images, self._steps), np.split(labels, self._steps), strict=True)
        losses = []
        for done, batch in islice(enumerate(batches, 1), self.skip, None):
            losses.append(self._step(*batch))
            if self.watch(done, self._steps):
                break
        self._history.append(Learnt.of_model(self._model).counts())
        shown = [(f"epoch {at:,}", counts) for at, counts in enumerate(self._history, 1)]
        history.keep(self._log, self._history, shown)
        rest = slice(self.held_out, None)
        images, labels = self.samples.images[rest], self.samples.labels[rest]
        return {
            "training_loss": float(np.mean([loss.numpy() for loss in losses])),
            "held_out_soft_accuracy": float(np.mean(_predicted(self._model, images, soft=True) == labels)),
            "held_out_hard_accuracy": float(np.mean(_predicted(self._model, images) == labels)),
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
        """Accuracies of the chosen gates, and of the circuit, which gives the same answers image by image.

        Raises:
            CheckFailed: it does not.
        """
        plan, samples, test = self.plan, self.samples, load_images(self.plan.dataset, "test")
        net = Learnt.of_model(model)
        names = [f"pixel[{at}]" for at in range(net.inputs)]
        votes = [f"vote{at}" for at in range(len(net.layers[-1].gates))]
        circuit = passes_of("default").rewrite(voting(net.circuit(plan.model, names, votes), CLASSES))
        self._circuit = circuit
        predicted = _predicted(model, test.images)
        differing = int(np.count_nonzero(answers(circuit, bits_of(test, plan.levels)) != predicted))
        if differing:
            raise CheckFailed(f"the circuit gives another answer than the chosen gates for {differing} test images")
        correct = int(np.count_nonzero(predicted == test.labels))
        soft = float(np.mean(_predicted(model, test.images, soft=True) == test.labels))
        held_out = _predicted(model, samples.images[self.held_out :]) == samples.labels[self.held_out :]
        shift = f"each image moved by up to {plan.shift} pixel(s) along each axis, anew per epoch"
        widths = "-".join(map(str, (net.inputs, *plan.widths)))
        words = Words(
            about=(
                f"A classifier for {plan.dataset} made of gates: {widths} gates of two inputs each, over pixels that"
                f" exceed {' or '.join(f'{level:g}' for level in plan.levels)};\nthe greatest of {CLASSES} counts of"
                " ones wins. Every number of the recipe was chosen by the accuracy on the held-out training samples,"
                " never by the test accuracy."
            ),
            facts={
                "test accuracy": f"{correct / len(test):.4f} ({correct} of {len(test)}), of the gates chosen",
                "test accuracy of the mixtures": f"{soft:.4f}",
                "held-out accuracy": f"{held_out.mean():.4f} ({plan.validation} samples)",
                "samples": f"{self.held_out} to train, {plan.validation} held out, {len(test)} to test",
                "augmentation": shift if plan.shift else "none",
                "learnt gates": str(net.gate_count),
                "circuit": (
                    f"{circuit.gate_count} gates, depth {circuit.depth}: the learnt gates that matter, adder trees and"
                    f" comparisons; the same answer as the net for each of the {len(test)} test images"
                ),
                "optimizer": (
                    f"Adam, betas {plan.betas[0]:g} and {plan.betas[1]:g}, learning rate {plan.learning_rate:g}"
                    f" falling to 0 along half a cosine, batch {plan.batch}"
                ),
                "loss": f"cross-entropy of the counts divided by {plan.temperature:g}",
            },
            data={**samples.sha256, **test.sha256},
            command=f"graphsim train {plan.name} --seed {plan.seed} --epochs {plan.epochs}",
        )
        scores = {
            "held_out_accuracy": float(held_out.mean()),
            "test_accuracy": correct / len(test),
            "gates": circuit.gate_count,
        }
        return scores, words

    def more(self, target: Path) -> Mapping[str, Path]:
        """The circuit, gate by gate; and the same as ANDs and inverters, for other tools."""
        stem = self.plan.model
        written = {"circuit": target / f"{stem}.blif", "circuit as ANDs": target / f"{stem}.aig"}
        for path in written.values():
            circuits.write(self._circuit, path)
        return written


def bits_of(images: ImageDataset, levels: tuple[float, ...]) -> Bits:
    """What the circuit is fed with: bool (N, pixels * levels), all pixels for the first level, then for the next."""
    flat = images.images.reshape(len(images), -1)
    return np.concatenate([flat > np.float32(level) for level in levels], axis=1)


def answers(circuit: Circuit, inputs: Bits) -> npt.NDArray[np.int64]:
    """The number at a circuit's outputs, least significant bit first, for each row of inputs, int64 (N,)."""
    found = np.unpackbits(run(circuit, np.packbits(inputs.T, axis=1)), axis=1, count=len(inputs))
    number: npt.NDArray[np.int64] = (found.astype(np.int64) << np.arange(len(found))[:, None]).sum(axis=0)
    return number


def _predicted(model: Any, images: npt.NDArray[np.float32], soft: bool = False) -> npt.NDArray[np.int64]:
    """The class of each image; the first of several with the greatest logit."""
    parts = [np.asarray(model(images[at : at + _EVALUATED], training=soft)) for at in range(0, len(images), _EVALUATED)]
    number: npt.NDArray[np.int64] = np.concatenate(parts).argmax(axis=1)
    return number
