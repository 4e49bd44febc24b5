"""Learning the rule of Conway's Game of Life from its 512 neighbourhoods."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from graphsim import files
from graphsim.errors import CheckFailed
from graphsim.frontends import circuits
from graphsim.graph.circuit import Circuit
from graphsim.passes.logic import passes_of
from graphsim.zoo.card import Words
from graphsim.zoo.logic import history
from graphsim.zoo.logic.gates import NAMES, TRUTHS
from graphsim.zoo.logic.learnt import Bits, Layer, Learnt, run
from graphsim.zoo.logic.optimizer import compile_with_adamw
from graphsim.zoo.logic.pictures import Counts, drawn, learning_gif
from graphsim.zoo.nets import life as build
from graphsim.zoo.recipes import LifeRecipe
from graphsim.zoo.watch import Watch, unwatched

#: Names of the nine cells of a neighbourhood, row by row: north-west to south-east, the cell itself in the middle.
CELLS = ("nw", "n", "ne", "w", "c", "e", "sw", "s", "se")
#: The name of the cell in the next generation.
NEXT = "next"


#: What leaves out gates that do nothing; and what finds fewer that do the same.
PRUNING, OPTIMISING = passes_of("default"), passes_of("default,strong")
#: The board that is played while learning: rows and columns, its seed, and generations from it.
_BOARD, _SOUP, _GENERATIONS = (48, 64), 5, 5


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
    have none. The log folder also holds ``choices.npz``: the gates chosen after every stride; and, drawn anew after
    each, ``choices.png`` and ``choices.txt``: what the best net has chosen so far.
    """

    def __init__(self, plan: LifeRecipe, log: Path) -> None:
        self.plan, self.epochs, self.stride = plan, plan.epochs, plan.stride
        self._log = log
        self._cells, self._next = neighbourhoods()
        #: Gates chosen, uint8 (strides, nets, gates of all layers).
        self._history: list[npt.NDArray[np.uint8]] = []
        self._done = 0
        self.watch: Watch = unwatched
        self.skip = 0

    def prepare(self, tf: Any, keras: Any, model: Any, done: int) -> None:
        """Compile a fresh model."""
        plan, self._keras, self._model, self._done = self.plan, keras, model, done + self.skip
        if self._done == 0:
            compile_with_adamw(keras, model, plan)
        else:
            self._history = history.kept(self._log, -(-done // self.stride))
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
        before = self._done - self.skip
        while self._done < number:
            soft = self._step().numpy()
            self._done += 1
            if self.watch(self._done - before, number - before):
                break
        hard = self._judged().numpy().round().astype(np.int64)
        best = int(np.lexsort((soft, hard))[0])
        chosen = [np.asarray(layer.logits).argmax(axis=1) for layer in self._model.layers]
        shape = (self.plan.nets, -1)
        self._history.append(np.concatenate([c.reshape(shape) for c in chosen], axis=1).astype(np.uint8))
        history.keep(self._log, self._history, self._counts(best))
        return {
            "soft_loss": float(soft[best]),
            "hard_loss": int(hard[best]),
            "solved": int(np.count_nonzero(hard == 0)),
        }

    def _epoch_of(self, at: int) -> int:
        """How many epochs were done at a moment of the history."""
        return min((at + 1) * self.stride, self._done)

    def _counts(self, net: int) -> list[tuple[str, Counts]]:
        """How many gates of each layer of a net were which, at every moment of the history."""
        ends = np.cumsum(self.plan.widths)[:-1]
        return [
            (
                f"epoch {self._epoch_of(at):,}",
                np.stack([np.bincount(gates, minlength=len(NAMES)) for gates in np.split(chosen[net], ends)]),
            )
            for at, chosen in enumerate(self._history)
        ]

    def may_break(self, number: int) -> bool:
        """Always: every step is the same."""
        return True

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
            more = "go on with --resume" if self._done < self.epochs else "give more epochs (--epochs)"
            raise CheckFailed(
                f"none of the {plan.nets} nets has learnt the rule in {self._done} epoch{'s' * (self._done > 1)};"
                f" {more}, or another seed (--seed)"
            )
        found = {at: self._single(model, at) for at in solved}
        self._solved = solved
        self._chosen = min(solved, key=lambda at: (self._size(found[at]), at))
        self._wires = [layer.wires for layer in found[self._chosen].layers]
        return found[self._chosen]

    @staticmethod
    def _size(model: Any) -> int:
        """Gates of a net after pruning."""
        return PRUNING.rewrite(Learnt.of_model(model).circuit("life", CELLS, [NEXT])).gate_count

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
        kinds = ", ".join(
            f"{count} {name.replace('|', ' or ')}" for name, count in zip(NAMES, used.tolist(), strict=True) if count
        )
        learnt = net.circuit("life", CELLS, [NEXT])
        self._circuits = {"pruned": PRUNING.rewrite(learnt), "optimised": OPTIMISING.rewrite(learnt)}
        for name, circuit in self._circuits.items():
            self._prove(name, circuit)
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
                "learnt gates": f"{net.gate_count} ({kinds})",
                **{f"{name} gates": _counted(circuit) for name, circuit in self._circuits.items()},
                "passes": f"to prune {PRUNING.label()}; to optimise {OPTIMISING.label()}",
                "optimizer": (
                    f"AdamW, learning rate {plan.learning_rate:g}, betas {plan.betas[0]:g} and {plan.betas[1]:g},"
                    f" weight decay {plan.weight_decay:g}, gradients clipped at {plan.clip:g}; every step over all"
                    " 512 neighbourhoods"
                ),
                "loss": "sum of squared errors",
            },
            data={},
            command=f"graphsim train {plan.name} --seed {plan.seed} --epochs {self._done}",
            starts_alike=True,
        )
        return {"test_accuracy": 1 - wrong / 512, "wrong": wrong, "solved": len(self._solved)}, words

    def _prove(self, name: str, circuit: Circuit) -> None:
        """Check a circuit against the rule, on all neighbourhoods.

        Raises:
            CheckFailed: it has some wrong.
        """
        found = np.unpackbits(run(circuit, np.packbits(self._cells.T, axis=1)), axis=1, count=512)
        if wrong := int(np.count_nonzero(found[0] != self._next)):
            raise CheckFailed(f"the {name} circuit of {circuit.gate_count} gates has {wrong} neighbourhoods wrong")

    def more(self, target: Path) -> Mapping[str, Path]:
        """The circuit, optimised and as it was pruned, and pictures of how it was learnt."""
        stem = self.plan.model
        written = {
            "circuit": target / f"{stem}.blif",
            "pruned circuit": target / f"{stem}_pruned.blif",
            "choices": target / f"{stem}_choices.png",
            "choices as text": target / f"{stem}_choices.txt",
            "animation": target / f"{stem}_learning.gif",
        }
        circuits.write(self._circuits["optimised"], written["circuit"])
        circuits.write(self._circuits["pruned"], written["pruned circuit"])
        nets = [(f"epoch {epoch:,}", net) for epoch, net in self._learning()]
        picture, text = drawn([(when, net.counts()) for when, net in nets])
        files.write_bytes(written["choices"], picture)
        files.write_text(written["choices as text"], text)
        files.write_bytes(written["animation"], learning_gif([frame for net in nets for frame in _played(*net)]))
        return written

    def _learning(self) -> list[tuple[int, Learnt]]:
        """The chosen net after every stride of training, and the epoch then."""
        wires = self._wires
        ends = np.cumsum([len(some) for some in wires])[:-1]
        return [
            (
                self._epoch_of(at),
                Learnt(len(CELLS), tuple(map(Layer, wires, np.split(chosen[self._chosen], ends)))),
            )
            for at, chosen in enumerate(self._history)
        ]


def _counted(circuit: Circuit) -> str:
    """How many gates there are of each kind, and how deep."""
    names = {truth: name.replace("|", " or ") for truth, name in zip(TRUTHS, NAMES, strict=True)}
    kinds = Counter(
        names[truth] if inputs == 2 else f"of {inputs} inputs"
        for inputs, truth in zip(circuit.fan_in.tolist(), circuit.truth.tolist(), strict=True)
    )
    shown = ", ".join(f"{many} {kind}" for kind, many in sorted(kinds.items(), key=lambda row: (-row[1], row[0])))
    return f"{circuit.gate_count} ({shown}), depth {circuit.depth}, equal to the rule on all 512 neighbourhoods"


def _played(when: str, net: Learnt) -> Iterator[tuple[str, Bits, Bits]]:
    """Some generations by a net, from a board that is always the same, each beside the rule's answer."""
    played = right = np.random.default_rng(_SOUP).random(_BOARD) < 0.35
    _, following = neighbourhoods()
    for generation in range(_GENERATIONS + 1):
        yield f"{when}, generation {generation}", played, right
        cells = _around(played)
        played = net(cells.reshape(-1, len(CELLS))).reshape(_BOARD)
        right = following[cells @ (1 << np.arange(len(CELLS)))]


def _around(board: Bits) -> Bits:
    """The neighbourhood of each cell of a torus, bool (rows, columns, 9)."""
    places = [(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1)]
    return np.stack([np.roll(board, (-down, -right), (0, 1)) for down, right in places], axis=-1)
