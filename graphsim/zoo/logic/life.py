"""Learning the rule of Conway's Game of Life from its 512 neighbourhoods."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from graphsim import files
from graphsim.errors import CheckFailed
from graphsim.graph.circuit import Circuit
from graphsim.zoo.card import Words
from graphsim.zoo.logic.gates import NAMES
from graphsim.zoo.logic.learnt import Bits, Learnt
from graphsim.zoo.nets import life as build
from graphsim.zoo.recipes import LifeRecipe

#: Names of the nine cells of a neighbourhood, row by row: north-west to south-east, the cell itself in the middle.
CELLS = ("nw", "n", "ne", "w", "c", "e", "sw", "s", "se")
#: The name of the cell in the next generation.
NEXT = "next"


def neighbourhoods() -> tuple[Bits, Bits]:
    """All 512 neighbourhoods, bool (512, 9), cell k of neighbourhood n being bit k of n; and what the cell in the
    middle is in the next generation, bool (512,).
    """
    cells = (np.arange(512)[:, None] >> np.arange(9) & 1).astype(np.bool_)
    alive = cells.sum(axis=1) - cells[:, 4]
    return cells, (alive == 3) | (cells[:, 4] & (alive == 2))


class LifeCourse:
    """See :class:`graphsim.zoo.train.Course`.

    Scores are those of the best net so far: ``soft_loss``, its sum of squared errors over the 512 neighbourhoods, and
    ``hard_loss``, the same of its chosen gates: how many neighbourhoods they have wrong; and ``solved``, how many nets
    have none. The log folder also holds ``choices.npz``: the gates chosen after every stride, for pictures.
    """

    def __init__(self, plan: LifeRecipe, log: Path) -> None:
        self.plan, self.epochs, self.stride = plan, plan.epochs, plan.stride
        self._history_file = log / "choices.npz"
        self._cells, self._next = neighbourhoods()
        self._hard: npt.NDArray[np.int64] = np.zeros(plan.nets, np.int64)
        self._best = 0
        #: Gates chosen, uint8 (strides, nets, gates of all layers).
        self._history: list[npt.NDArray[np.uint8]] = []
        self._done = 0

    def prepare(self, tf: Any, keras: Any, model: Any, done: int) -> None:
        """Compile a fresh model."""
        plan, self._keras, self._model, self._done = self.plan, keras, model, done
        if done == 0:
            optimizer = keras.optimizers.AdamW(
                plan.learning_rate,
                weight_decay=plan.weight_decay,
                beta_1=plan.betas[0],
                beta_2=plan.betas[1],
                clipvalue=plan.clip,
                epsilon=1e-8,
            )
            optimizer.build(model.trainable_variables)
            model.compile(optimizer)
        else:
            with np.load(self._history_file) as kept:
                self._history = list(kept["choices"][: -(-done // self.stride)])
        optimizer, variables = model.optimizer, model.trainable_variables
        cells = tf.constant(self._cells, tf.float32)
        target = tf.constant(self._next[:, None], tf.float32)

        def losses(training: bool) -> Any:
            return tf.reduce_sum(tf.square(model(cells, training=training) - target), axis=0)

        def step() -> Any:
            with tf.GradientTape() as tape:
                found = losses(True)
                total = tf.reduce_sum(found)
            optimizer.apply(tape.gradient(total, variables), variables)
            return found

        self._step = tf.function(step, jit_compile=True)
        self._judged = tf.function(lambda: losses(False), jit_compile=True)

    def epoch(self, number: int) -> Mapping[str, float]:
        """Steps up to number ``number``."""
        for _ in range(number - self._done):
            soft = self._step().numpy()
        self._done = number
        self._hard = self._judged().numpy().round().astype(np.int64)
        self._best = int(np.lexsort((soft, self._hard))[0])
        chosen = [np.asarray(layer.logits).argmax(axis=1) for layer in self._model.layers]
        shape = (self.plan.nets, -1)
        self._history.append(np.concatenate([c.reshape(shape) for c in chosen], axis=1).astype(np.uint8))
        buffer = io.BytesIO()
        np.savez_compressed(buffer, choices=np.stack(self._history))
        files.write_bytes(self._history_file, buffer.getvalue())
        return {
            "soft_loss": float(soft[self._best]),
            "hard_loss": float(self._hard[self._best]),
            "solved": float(np.count_nonzero(self._hard == 0)),
        }

    def finished(self, scores: Mapping[str, float]) -> bool:
        """Every epoch is run: nets go on getting simpler after they have found the rule."""
        return False

    def kept(self, model: Any) -> Any:
        """Of the nets that found the rule, the one with the fewest gates that its output depends on.

        Raises:
            CheckFailed: none did.
        """
        plan = self.plan
        solved = np.flatnonzero(self._judged().numpy().round() == 0).tolist()
        if not solved:
            raise CheckFailed(
                f"none of the {plan.nets} nets has learnt the rule in {self._done} epochs; give more epochs (--epochs),"
                " or another seed (--seed)"
            )
        found = {at: self._single(model, at) for at in solved}
        self._solved = solved
        self._chosen = min(solved, key=lambda at: (simplified(Learnt.of_model(found[at])).gate_count, at))
        return found[self._chosen]

    def _single(self, model: Any, at: int) -> Any:
        """Net number ``at`` alone."""
        single = build(self._keras, self.plan, [self.plan.seed + at])
        for alone, beside in zip(single.layers, model.layers, strict=True):
            alone.set_weights([np.split(np.asarray(beside.logits), self.plan.nets)[at]])
        return single

    def judge(self, model: Any) -> tuple[Mapping[str, float], Words]:
        """The chosen gates, on all neighbourhoods."""
        plan, net = self.plan, Learnt.of_model(model)
        wrong = int(np.count_nonzero(net(self._cells)[:, 0] != self._next))
        used = net.counts().sum(axis=0)
        gates = ", ".join(f"{count} {name}" for name, count in zip(NAMES, used.tolist(), strict=True) if count)
        widths = "-".join(map(str, (len(CELLS), *plan.widths)))
        seeds = f"{plan.seed} to {plan.seed + plan.nets - 1}"
        words = Words(
            about=(
                f"Conway's Game of Life, learnt as a circuit: {widths} gates of two inputs each.\nIt was trained on,"
                " and is judged by, all 512 neighbourhoods there are: it is the rule, not an approximation of it."
            ),
            facts={
                "wrong": f"{wrong} of 512 neighbourhoods",
                "nets side by side": f"{plan.nets} (wiring seeds {seeds}), of which {len(self._solved)} found the rule",
                "wiring seed": f"{plan.seed + self._chosen}: of the nets that found the rule the simplest",
                "learnt gates": f"{net.gate_count} ({gates})",
                "optimizer": (
                    f"AdamW, learning rate {plan.learning_rate:g}, betas {plan.betas[0]:g} and {plan.betas[1]:g},"
                    f" weight decay {plan.weight_decay:g}, gradients clipped at {plan.clip:g}; every step over all"
                    " 512 neighbourhoods"
                ),
                "loss": "sum of squared errors",
            },
            data={},
            command=f"graphsim train {plan.name} --seed {plan.seed} --epochs {plan.epochs}",
        )
        return {"test_accuracy": 1 - wrong / 512, "wrong": float(wrong), "solved": float(len(self._solved))}, words

    def more(self, target: Path) -> Mapping[str, Path]:
        """The circuit."""
        return {}


def simplified(net: Learnt) -> Circuit:
    """The circuit of a net without what its output does not depend on."""
    return net.circuit("life", CELLS, [NEXT]).leading_to_outputs()
