"""Training nets that calculate: fresh random calculations first, then the hardest ones."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from graphsim.datasets.arithmetic import (
    OPERATIONS,
    Calculations,
    domain_size,
    draw,
    every,
    operation_codes,
    sample,
)
from graphsim.zoo.card import Words
from graphsim.zoo.nets import fresh, is_vector
from graphsim.zoo.recipes import RECIPES, AluRecipe, alu_recipe
from graphsim.zoo.watch import Watch, unwatched

EXHAUSTIVE = 1 << 21
"""Domains up to this size are judged calculation by calculation; larger ones by sample."""

JUDGED = 100_000
"""Calculations per operation that a model with a larger domain is judged by."""

_WATCHED = 1000
_EVALUATED = 8192

Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]


class AluCourse:
    """See :class:`graphsim.zoo.train.Course`.

    Scores of the first epochs: ``training_loss`` (binary cross-entropy per output bit) over the batches while the
    weights changed, ``validation_accuracy`` and that of each operation afterwards, over 1000 fixed calculations of
    each: the share with every bit right. Scores of tuning: ``wrong``, how many of the candidates the net had wrong
    before the epoch, ``margin``, the smallest there, and the ``training_loss`` over the batches.
    """

    def __init__(self, plan: AluRecipe) -> None:
        self.plan, self.epochs, self.stride = plan, plan.epochs + plan.tuning_epochs, 1
        self.watched = sample(plan.bits, _WATCHED * len(plan.valid_ops), plan.seed, plan.valid_ops)
        self._tf: Any = None
        self._model: Any = None
        self._step: Any = None
        self._domain: tuple[Bytes, Bytes] | None = None
        self.watch: Watch = unwatched
        self.skip = 0

    # -- training ---------------------------------------------------------------------------------------------------

    def prepare(self, tf: Any, keras: Any, model: Any, done: int) -> None:
        """Compile a fresh model, or go on with the optimizer of the phase that a checkpoint is in."""
        self._tf, self._keras, self._model = tf, keras, model
        if done == 0 and not self.skip:
            schedule = keras.optimizers.schedules.CosineDecay(
                self.plan.learning_rate, self.plan.epochs * self.plan.steps
            )
            self._compile(schedule)
        elif done != self.plan.epochs:
            self._step = self._training_step(model.optimizer)

    def epoch(self, number: int) -> Mapping[str, float]:
        """``steps`` steps on fresh calculations, or ``tuning_steps`` on hard ones."""
        stream = np.random.PCG64(np.random.SeedSequence((self.plan.seed, number)))
        if number <= self.plan.epochs:
            return self._learn(stream)
        if number == self.plan.epochs + 1:
            for layer in self._model.layers:
                if isinstance(layer, self._keras.layers.BatchNormalization):
                    layer.trainable = False
            self._compile(self.plan.tuning_rate)
        self._model.optimizer.learning_rate = self._tuning_rate(number - self.plan.epochs - 1)
        return self._tune(stream)

    def may_break(self, number: int) -> bool:
        """Only before tuning, whose epochs begin with a look at what the model has wrong."""
        return number <= self.plan.epochs

    def finished(self, scores: Mapping[str, float]) -> bool:
        """Whether the whole domain is right, and by how much was asked for."""
        return self.plan.candidates == 0 and scores.get("margin", -1.0) >= self.plan.margin

    def _tuning_rate(self, epoch: int) -> float:
        """Learning rate of an epoch of tuning, from 0."""
        falling, flat = self.plan.tuning_epochs - self.plan.tuning_flat, self.plan.tuning_flat
        if epoch < flat or falling <= 0:
            return self.plan.tuning_rate
        return self.plan.tuning_rate * 0.5 * (1 + math.cos(math.pi * (epoch - flat) / falling))

    def _compile(self, rate: Any) -> None:
        optimizer = self._keras.optimizers.Adam(rate)
        optimizer.build(self._model.trainable_variables)
        self._model.compile(optimizer, loss="binary_crossentropy")
        self._step = self._training_step(optimizer)

    def _training_step(self, optimizer: Any) -> Any:
        tf, logits, variables = self._tf, _logits(self._tf, self._keras, self._model), self._model.trainable_variables

        def step(inputs: Any, targets: Any) -> Any:
            with tf.GradientTape() as tape:
                found = logits(inputs, True)
                losses = tf.nn.sigmoid_cross_entropy_with_logits(tf.cast(targets, tf.float32), found)
                loss = tf.reduce_mean(losses)
            optimizer.apply(tape.gradient(loss, variables), variables)
            return loss

        return tf.function(step)

    def _steps(self, inputs: Bytes, targets: Bytes) -> float:
        """Train on the rows in order, batch by batch, and return the mean loss."""
        losses, starts = [], range(0, len(inputs), self.plan.batch)
        for done, start in islice(enumerate(starts, 1), self.skip, None):
            losses.append(self._step(inputs[start : start + self.plan.batch], targets[start : start + self.plan.batch]))
            if self.watch(done, len(starts)):
                break
        return float(np.mean([loss.numpy() for loss in losses]))

    def _learn(self, stream: np.random.BitGenerator) -> dict[str, float]:
        fresh = self._fresh(self.plan.steps * self.plan.batch, stream)
        loss = self._steps(_fed(self.plan, fresh), fresh.targets())
        right = self._margins(_fed(self.plan, self.watched), self.watched.targets()) > 0
        scores = {name: float(np.mean(right[of])) for name, of in by_operation(self.watched).items()}
        return {"training_loss": loss, "validation_accuracy": float(np.mean(right)), **scores}

    def _tune(self, stream: np.random.BitGenerator) -> dict[str, float]:
        inputs, targets = self._candidates(stream)
        margins = self._margins(inputs, targets)
        scores = {"wrong": int(np.count_nonzero(margins <= 0)), "margin": float(margins.min())}
        if self.finished(scores):
            return scores
        hardest = np.argsort(margins, kind="stable")[: self.plan.hardest]
        generator = np.random.Generator(stream)
        shape = (self.plan.tuning_steps, self.plan.batch)
        chosen = hardest[generator.integers(0, len(hardest), shape)]
        quarter = self.plan.batch // 4
        chosen[:, :quarter] = generator.integers(0, len(margins), (self.plan.tuning_steps, quarter))
        order = chosen.ravel()
        return {**scores, "training_loss": self._steps(inputs[order], targets[order])}

    def _candidates(self, stream: np.random.BitGenerator) -> tuple[Bytes, Bytes]:
        if self.plan.candidates:
            fresh = self._fresh(self.plan.candidates, stream)
            return _fed(self.plan, fresh), fresh.targets()
        if self._domain is None:
            whole = every(self.plan.bits, self.plan.valid_ops)
            self._domain = _fed(self.plan, whole), whole.targets()
        return self._domain

    def _fresh(self, count: int, stream: np.random.BitGenerator) -> Calculations:
        """Random calculations: operations by their shares; some comparisons between operands that differ little."""
        plan, generator = self.plan, np.random.Generator(stream)
        shares = np.array(plan.shares)
        operation = generator.choice(len(OPERATIONS), count, p=shares / shares.sum()).astype(np.int64)
        found = draw(plan.bits, operation, stream)
        near = np.isin(operation, operation_codes(["<", ">", "=", "!="])) & (generator.random(count) < plan.near)
        flipped = generator.integers(0, 2, count) << generator.integers(0, plan.bits, count)
        return Calculations(plan.bits, found.a, operation, np.where(near, found.a ^ flipped, found.b))

    # -- judging ----------------------------------------------------------------------------------------------------

    def _margins(self, inputs: Bytes, targets: Bytes) -> Floats:
        return margins(self._tf, self._keras, self._model, inputs, targets)

    def kept(self, model: Any) -> Any:
        """The net itself."""
        return fresh(self._keras, self.plan, model)

    def judge(self, model: Any) -> tuple[Mapping[str, float], Words]:
        """Accuracy of each operation: over the whole domain where it is small, else over a sample of it."""
        plan = self.plan
        domain = domain_size(plan.bits, plan.valid_ops)
        exhaustive = domain <= EXHAUSTIVE
        test = (
            every(plan.bits, plan.valid_ops)
            if exhaustive
            else sample(plan.bits, JUDGED * len(plan.valid_ops), 0, plan.valid_ops)
        )
        found = margins(self._tf, self._keras, model, _fed(plan, test), test.targets())
        right = found > 0
        counts = {name: (int(np.count_nonzero(right[of])), int(of.sum())) for name, of in by_operation(test).items()}
        wrong = int(np.count_nonzero(~right))
        extent = "all valid calculations" if exhaustive else f"{JUDGED:,} random calculations of each operation, seed 0"
        facts = {
            "wrong": f"{wrong:,} of {len(test):,} ({extent})",
            "test accuracy": f"{1 - wrong / len(test):.6f}",
            **{f"accuracy of {name}": f"{n / of:.6f} ({n:,} of {of:,})" for name, (n, of) in counts.items()},
            "smallest margin": f"{found.min():.4f} (distance of an output's logit from 0, negative where wrong)",
        }
        if "=" in plan.valid_ops:
            code = operation_codes(["="])[0]
            a = np.arange(1 << min(plan.bits, 16), dtype=np.int64) % (1 << plan.bits)
            equal = Calculations(plan.bits, a, np.full(len(a), code, np.int64), a)
            right = margins(self._tf, self._keras, model, _fed(plan, equal), equal.targets()) > 0
            facts["accuracy of = on equal operands"] = f"{right.mean():.6f} ({right.sum():,} of {len(a):,})"
        facts |= {
            "operations": " ".join(plan.valid_ops),
            "operands": f"unsigned, {plan.bits} bits",
            "data": "random calculations, generated from the seed as training went",
            "shares of the operations": ", ".join(
                f"{name} {share:g}" for name, share in zip(OPERATIONS, plan.shares, strict=True) if share
            ),
            "optimizer": (
                f"Adam, batch {plan.batch}; {plan.epochs} epochs of {plan.steps} steps, learning rate"
                f" {plan.learning_rate:g} falling to 0 along half a cosine; then up to {plan.tuning_epochs} epochs of"
                f" {plan.tuning_steps} steps on the hardest calculations, learning rate {plan.tuning_rate:g} for"
                f" {plan.tuning_flat} epochs, then falling to 0 likewise, normalisation frozen"
            ),
            "loss": "binary cross-entropy",
        }
        words = Words(about=_about(plan, exhaustive, domain), facts=facts, data={}, command=_command(plan))
        return {"test_accuracy": 1 - wrong / len(test), "wrong": int(wrong)}, words

    def more(self, target: Path) -> Mapping[str, Path]:
        """Nothing."""
        return {}


def _about(plan: AluRecipe, exhaustive: bool, domain: int) -> str:
    net = (
        f"A net that calculates ({plan.variant}, {plan.depth} blocks of {plan.units}): two unsigned integers of"
        f" {plan.bits} bits and one of {len(plan.valid_ops)} operations in, the bits of the result out."
    )
    if exhaustive:
        return (
            f"{net}\nIt was trained on, and is judged by, all {domain:,} valid calculations there are: a fit over the"
            " whole domain, not generalisation to calculations that it has not seen."
        )
    return (
        f"{net}\nIt was trained on random calculations out of {domain:,} and is judged by others; few of them"
        " occurred in training."
    )


def _command(plan: AluRecipe) -> str:
    end = f"--seed {plan.seed} --epochs {plan.epochs}"
    if plan.name in RECIPES:
        return f"graphsim train {plan.name} {end}"
    ops = "" if len(plan.valid_ops) == len(OPERATIONS) else f" --ops '{','.join(plan.valid_ops)}'"
    usual = alu_recipe(plan.bits, plan.variant, plan.valid_ops)
    given = {"units": plan.units, "depth": plan.depth, "tuning": plan.tuning_epochs}
    stated = {"units": usual.units, "depth": usual.depth, "tuning": usual.tuning_epochs}
    more = "".join(f" --{name} {value}" for name, value in given.items() if value != stated[name])
    return f"graphsim train alu --bits {plan.bits} --variant {plan.variant}{ops}{more} {end}"


def by_operation(calculations: Calculations) -> dict[str, npt.NDArray[np.bool_]]:
    """Which calculations are of which operation, for those that occur, in the order of the codes."""
    codes = np.unique(calculations.operation).tolist()
    return {OPERATIONS[code]: calculations.operation == code for code in codes}


def margins(tf: Any, keras: Any, model: Any, inputs: Bytes, targets: Bytes) -> Floats:
    """float32 (N,): the smallest distance of an output's logit from 0, negative where the bit is wrong."""
    logits = _logits(tf, keras, model)

    def batch(some: Any, bits: Any) -> Any:
        found = logits(some, False)
        return tf.reduce_min(tf.where(bits > 0, found, -found), axis=1)

    compiled = tf.function(batch, reduce_retracing=True)
    starts = range(0, len(inputs), _EVALUATED)
    parts = [compiled(inputs[s : s + _EVALUATED], targets[s : s + _EVALUATED]).numpy() for s in starts]
    return np.concatenate(parts)


def _logits(tf: Any, keras: Any, model: Any) -> Any:
    """A function (inputs uint8, whether training) -> what the last layer feeds into its sigmoid."""
    result = model.layers[-1]
    features = keras.Model(model.input, result.input)

    def logits(inputs: Any, training: bool) -> Any:
        hidden = features(tf.cast(inputs, tf.float32), training=training)
        return tf.matmul(hidden, result.kernel) + result.bias

    return logits


def _fed(plan: AluRecipe, calculations: Calculations) -> Bytes:
    """The inputs in the form that the variant takes."""
    return calculations.vectors() if is_vector(plan.variant) else calculations.inputs()
