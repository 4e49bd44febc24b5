"""Learning a cellular automaton of gates that draws a checkerboard, and the clocked circuit that it becomes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from graphsim.errors import CheckFailed
from graphsim.frontends import circuits
from graphsim.frontends.circuits.netlist import Netlist
from graphsim.graph.circuit import Circuit
from graphsim.passes.logic import passes_of
from graphsim.zoo.card import Words
from graphsim.zoo.logic.learnt import Bits, Learnt, run
from graphsim.zoo.logic.optimizer import compile_with_adamw
from graphsim.zoo.logic.parts import placed
from graphsim.zoo.nets import fresh
from graphsim.zoo.recipes import CheckerboardRecipe
from graphsim.zoo.watch import Watch, unwatched

_PASSES = "default"
#: Steps of the circuit in which the board is looked at, counted in steps of training.
_LOOKED_AT = (1, 2, 10)


def checkerboard(rows: int, columns: int) -> Bits:
    """What the first channel shall be, bool (rows, columns): 1 in the first cell, and every second one from there."""
    shown: Bits = np.indices((rows, columns)).sum(axis=0) % 2 == 0
    return shown


class CheckerboardCourse:
    """See :class:`graphsim.zoo.train.Course`. An epoch is one training step on one board, run from its beginning.

    Scores: ``soft_loss``, the sum of squared errors of the mixtures' first channel after the last step; ``hard_loss``,
    how many cells the chosen gates have wrong then.
    """

    def __init__(self, plan: CheckerboardRecipe) -> None:
        self.plan, self.epochs, self.stride = plan, plan.epochs, plan.stride
        self._target = checkerboard(plan.rows, plan.columns)
        self._done = 0
        self.watch: Watch = unwatched
        self.skip = 0

    def prepare(self, tf: Any, keras: Any, model: Any, done: int) -> None:
        """Compile a fresh model."""
        plan, self._tf, self._keras, self._model, self._done = self.plan, tf, keras, model, done + self.skip
        if self._done == 0:
            compile_with_adamw(keras, model, plan)
        optimizer, variables = model.optimizer, model.trainable_variables

        def back(state: Any, gradient: Any) -> Any:
            with tf.GradientTape() as tape:
                tape.watch(state)
                following = model(state, training=True)
            return tape.gradient(following, [state, *variables], output_gradients=gradient)

        self._forth = tf.function(lambda state: model(state, training=True), jit_compile=True)
        self._back = tf.function(back, jit_compile=True)
        self._apply = tf.function(lambda gradients: optimizer.apply(gradients, variables), jit_compile=True)

    def epoch(self, number: int) -> Mapping[str, float]:
        """Training steps up to number ``number``."""
        before = self._done - self.skip
        while self._done < number:
            soft = self._train()
            self._done += 1
            if self.watch(self._done - before, number - before):
                break
        shown = _evolved(cell(self._model.layers[-1]), self.plan, self.plan.rows, self.plan.columns, self.plan.steps)
        return {"soft_loss": soft, "hard_loss": int(np.count_nonzero(shown != self._target))}

    def _train(self) -> float:
        """One training step; returns the loss of the last step of the board.

        Steps are done one after another, and gradients led back through them in turn, so that one step is compiled and
        not all of them.
        """
        plan = self.plan
        states = [self._tf.ones((1, plan.rows, plan.columns, plan.channels))]
        for _ in range(plan.steps):
            states.append(self._forth(states[-1]))
        wrong = [np.asarray(state)[0, :, :, 0] - self._target for state in states]
        gradient = self._tf.zeros_like(states[0])
        total: list[Any] | None = None
        for step in range(plan.steps, 0, -1):
            if step > plan.steps - plan.judged:
                own = np.zeros(states[0].shape, np.float32)
                own[0, :, :, 0] = 2 * wrong[step]
                gradient = gradient + own
            gradient, *of = self._back(states[step - 1], gradient)
            total = of if total is None else [a + b for a, b in zip(total, of, strict=True)]
        self._apply(total)
        return float(np.sum(np.square(wrong[-1])))

    def may_break(self, number: int) -> bool:
        """Always: every step is the same."""
        return True

    def finished(self, scores: Mapping[str, float]) -> bool:
        """Every epoch is run."""
        return False

    def kept(self, model: Any) -> Any:
        """The net itself."""
        return fresh(self._keras, self.plan, model)

    def judge(self, model: Any) -> tuple[Mapping[str, float], Words]:
        """The circuit of chosen gates, on the board that it learnt on and on a larger one.

        Raises:
            CheckFailed: it does not draw the checkerboard that it learnt.
        """
        plan = self.plan
        learnt = cell(model.layers[-1])
        rule = passes_of(_PASSES).rewrite(learnt)
        for some in (learnt, rule):
            for times in _LOOKED_AT:
                shown = _evolved(some, plan, plan.rows, plan.columns, times * plan.steps)
                if wrong := int(np.count_nonzero(shown != self._target)):
                    more = "go on with --resume" if self._done < self.epochs else "give more epochs (--epochs)"
                    raise CheckFailed(
                        f"the chosen gates have {wrong} of {self._target.size} cells wrong after"
                        f" {times * plan.steps} steps; {more}, or another seed (--seed)"
                    )
        rows, columns = 2 * plan.rows, 2 * plan.columns
        larger = _evolved(rule, plan, rows, columns, 2 * plan.steps) != checkerboard(rows, columns)
        whole = board(plan.model, rule, plan.rows, plan.columns)
        self._circuit = passes_of(_PASSES).rewrite(whole)
        words = Words(
            about=(
                f"A cellular automaton of gates that draws a checkerboard on {plan.rows}x{plan.columns} cells, from"
                f" cells that are all alike;\nafter Miotti, Niklasson, Randazzo and Mordvintsev: Differentiable Logic"
                " Cellular Automata, 2025."
            ),
            facts={
                "wrong": f"0 of {self._target.size} cells after {_listed([n * plan.steps for n in _LOOKED_AT])} steps",
                "on a larger board": (
                    f"{np.count_nonzero(larger)} of {larger.size} cells wrong, {rows}x{columns} after"
                    f" {2 * plan.steps} steps"
                ),
                "channels": f"{plan.channels}, all 1 at first, 0 beyond the border; the first is shown",
                "gates of a cell": f"{learnt.gate_count} learnt, {rule.gate_count} pruned ({_PASSES})",
                "circuit": (
                    f"{self._circuit.gate_count} gates, {self._circuit.register_count} registers, depth"
                    f" {self._circuit.depth}; one clock cycle is one step"
                ),
                "optimizer": (
                    f"AdamW, learning rate {plan.learning_rate:g}, betas {plan.betas[0]:g} and {plan.betas[1]:g},"
                    f" weight decay {plan.weight_decay:g}, gradients clipped at {plan.clip:g}"
                ),
                "loss": f"sum of squared errors after each of the last {plan.judged} of {plan.steps} steps",
            },
            data={},
            command=f"graphsim train {plan.name} --seed {plan.seed} --epochs {plan.epochs}",
        )
        return {"test_accuracy": 1.0, "wrong": 0, "gates": rule.gate_count}, words

    def more(self, target: Path) -> Mapping[str, Path]:
        """The clocked circuit."""
        written = {"circuit": target / f"{self.plan.model}.blif"}
        circuits.write(self._circuit, written["circuit"])
        return written


def cell(layer: Any) -> Circuit:
    """One cell's step, of the chosen gates of a :class:`graphsim.zoo.logic.cells.CellStep`.

    Inputs are the neighbourhood's channels, ``n0_4`` being channel 0 of its middle; outputs the cell's channels.
    """
    channels, kernels = layer.update[-1], layer.kernels
    seen = [f"k{kernel}" for kernel in range(kernels)]
    perceive = Learnt.of_layers(layer.perceiving).circuit("perceive", [f"n{at}" for at in range(9)], seen)
    known = [f"i{at}" for at in range(channels * (kernels + 1))]
    update = Learnt.of_layers(layer.updating).circuit("update", known, [f"c{at}" for at in range(channels)])
    net = Netlist("cell", "cell")
    around = [[net.net(f"n{channel}_{at}") for at in range(9)] for channel in range(channels)]
    for some in around:
        for wire in some:
            net.input(wire)
    perceived = [wire for some in around for wire in placed(net, perceive, some)]
    for channel, wire in enumerate(placed(net, update, [*perceived, *(some[4] for some in around)])):
        net.output(f"c{channel}", wire)
    return net.circuit()


def board(name: str, rule: Circuit, rows: int, columns: int) -> Circuit:
    """The clocked circuit of a board: registers ``s[...]`` hold every cell's channels, 1 at first; outputs
    ``cell[...]``, row by row, are the first channels.
    """
    channels = len(rule.outputs)
    net = Netlist(name, name)
    beyond = net.constant(net.new(), False)
    places = [(row, column) for row in range(rows) for column in range(columns)]
    state = {
        place: [net.net(f"s[{at * channels + channel}]") for channel in range(channels)]
        for at, place in enumerate(places)
    }
    for row, column in places:
        near = [(row + down, column + right) for down in (-1, 0, 1) for right in (-1, 0, 1)]
        seen = [state[place][channel] if place in state else beyond for channel in range(channels) for place in near]
        following = placed(net, rule, seen)
        for wire, becomes in zip(state[row, column], following, strict=True):
            net.register(wire, becomes, True)
    for at, place in enumerate(places):
        net.output(f"cell[{at}]", state[place][0])
    return net.circuit()


def _evolved(rule: Circuit, plan: CheckerboardRecipe, rows: int, columns: int, steps: int) -> Bits:
    """The first channel of a board after so many steps of a cell's circuit, bool (rows, columns)."""
    state: npt.NDArray[np.bool_] = np.ones((plan.channels, rows, columns), np.bool_)
    for _ in range(steps):
        padded = np.pad(state, ((0, 0), (1, 1), (1, 1)))
        seen = [padded[:, down : down + rows, right : right + columns] for down in range(3) for right in range(3)]
        inputs = np.stack(seen, axis=1).reshape(9 * plan.channels, -1)
        found = np.unpackbits(run(rule, np.packbits(inputs, axis=1)), axis=1, count=rows * columns)
        state = found.reshape(state.shape).astype(np.bool_)
    shown: Bits = state[0]
    return shown


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers[:-1])) + f" and {numbers[-1]}"
