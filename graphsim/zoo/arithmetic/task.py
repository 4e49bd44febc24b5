"""The single module task: does a module learn t = x_a op x_b, and does what it learnt hold beyond its training range?

All ranges and seeds of one module and operation are trained as one program, side by side: weights have axes (ranges,
seeds, ...), Adam works on them element by element, and XLA compiles a thousand steps into one loop. Ranges share the
random numbers that their inputs are made of, seed by seed; a seed's numbers depend on how many seeds there are.

The task, its ranges, its settings and the threshold of success are those of Mistry, Farrahi and Hare (2022), after
Madsen and Johansen (2020).
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from graphsim.datasets.operations import OPERATIONS, SOLVED, operation_named
from graphsim.datasets.ranges import RANGES, Part, Range
from graphsim.errors import UsageError
from graphsim.zoo import adam
from graphsim.zoo.arithmetic.modules import Module, length, penalty, sparsity_error, tf

FloatArray = npt.NDArray[np.float64]

#: Steps between two looks at the validation error, and samples that are looked at.
LOGGED, JUDGED = 1000, 10_000
#: The generator of random numbers: in XLA's code for a CPU it takes a twentieth of the default's time.
_STREAM = "threefry"
_PARTS: tuple[Part, Part] = ("train", "test")


@dataclass(frozen=True)
class Recipe:
    """How modules are trained.

    Attributes:
        inputs: I, the number of inputs, of which the first two count.
        steps: of Adam, each on ``batch`` fresh samples.
        rate: learning rate.
        pull: greatest weight of the penalty for matrices that are not whole; it grows from step ``start`` to ``end``.
        shrink: weight of the penalty for large weights, where a module has it, at first; it grows tenfold twice, every
            ``growth`` steps.
    """

    inputs: int
    steps: int
    batch: int
    rate: float
    pull: float
    start: int
    end: int
    shrink: float = 1e-9
    growth: int = 10_000

    def pulled(self, step: Any) -> Any:
        """The weight of the penalty for matrices that are not whole, at a step."""
        along = (tf.cast(step, tf.float32) - self.start) / max(1, self.end - self.start)
        return self.pull * tf.clip_by_value(along, 0.0, 1.0)

    def shrunk(self, step: Any) -> Any:
        """The weight of the penalty for large weights, at a step."""
        return self.shrink * tf.pow(10.0, tf.cast(tf.minimum(step // self.growth, 2), tf.float32))


def recipe(module: Module, inputs: int = 2, steps: int | None = None) -> Recipe:
    """The published settings for a module and a number of inputs; with other ``steps`` the schedule is stretched."""
    full = 50_000 if inputs == 2 else 100_000
    rates = {"NMRU": 1e-2, "NPU": 5e-3, "RealNPU": 5e-3, "RealNPUModified": 5e-3, "NRU": 1.0 if inputs == 2 else 1e-3}
    pull = {"NAU": 0.01, "RealNPUModified": 1.0}.get(module.name, 10.0)
    start, end = (20_000, 35_000) if inputs == 2 else (50_000, 75_000)
    if inputs == 2 and module.name == "RealNPUModified":
        start, end = 40_000, 50_000
    taken = full if steps is None else steps
    share = taken / full
    return Recipe(
        inputs,
        taken,
        128,
        rates.get(module.name, 1e-3),
        pull,
        int(start * share),
        int(end * share),
        growth=max(1, int(10_000 * share)),
    )


@dataclass(frozen=True)
class Learnt:
    """What came of training one module on one operation, R ranges times S seeds.

    Attributes:
        module, operation: names. recipe: the settings. ranges: R of them. seeds: S of them.
        logged: int64 (L,), steps at which was looked.
        validation, test: float64 (L, R, S): mean squared errors on the training and the test range.
        sparsity: float64 (L, R, S): distance from whole numbers.
        best: float32 by weight, (R, S, ...): weights at the step of least validation error, the first of equals.
        final: those at the end.
    """

    module: str
    operation: str
    recipe: Recipe
    ranges: tuple[Range, ...]
    seeds: tuple[int, ...]
    logged: npt.NDArray[np.int64]
    validation: FloatArray
    test: FloatArray
    sparsity: FloatArray
    best: Mapping[str, npt.NDArray[np.float32]]
    final: Mapping[str, npt.NDArray[np.float32]]

    @property
    def best_at(self) -> npt.NDArray[np.int64]:
        """Which look was best, int64 (R, S)."""
        found: npt.NDArray[np.int64] = np.where(np.isnan(self.validation), np.inf, self.validation).argmin(axis=0)
        return found

    def rows(self) -> list[dict[str, Any]]:
        """A row per model: errors, whether and when solved, distance from whole numbers; best look and last."""
        best, rows = self.best_at, []
        for r, one in enumerate(self.ranges):
            for s, seed in enumerate(self.seeds):
                solved = np.flatnonzero(self.test[:, r, s] < SOLVED)
                at = int(best[r, s])
                rows.append(
                    {
                        "module": self.module,
                        "op": self.operation,
                        "inputs": self.recipe.inputs,
                        "range": one.name,
                        "seed": seed,
                        "steps": self.recipe.steps,
                        "best_step": int(self.logged[at]),
                        "best_validation": float(self.validation[at, r, s]),
                        "best_test": float(self.test[at, r, s]),
                        "best_sparsity_error": float(self.sparsity[at, r, s]),
                        "solved": bool(self.test[at, r, s] < SOLVED),
                        "final_test": float(self.test[-1, r, s]),
                        "final_sparsity_error": float(self.sparsity[-1, r, s]),
                        "solved_at_the_end": bool(self.test[-1, r, s] < SOLVED),
                        "first_solved_at": int(self.logged[solved[0]]) if len(solved) else None,
                    }
                )
        return rows


def _units(shape: tuple[int, ...], key: int, step: Any) -> Any:
    """Uniform numbers between 0 and 1, both left out, so that a range from -2 to 2 has no 0 to divide by."""
    return tf.random.stateless_uniform(shape, [key, step], alg=_STREAM) + 2.0**-24


def _drawn(unit: Any, ranges: Sequence[Range], part: Part) -> Any:
    """Uniform numbers in 0..1 of shape (S, ..., I) as numbers in each of R ranges, (R, S, ..., I)."""
    found = _even(unit, [getattr(one, part) for one in ranges])
    if all(one.law.kind == "even" for one in ranges):
        return found
    evenly = zip(ranges, tf.unstack(found), strict=True)
    return tf.stack([even if one.law.kind == "even" else _spread(unit, one, part) for one, even in evenly])


def _spread(unit: Any, one: Range, part: Part) -> Any:
    """Uniform numbers as numbers that are spread over a range by its law."""
    (low, high), *others = getattr(one, part)
    if one.law.kind == "apart":
        ((least, most),) = others
        return tf.concat([low + unit[..., :1] * (high - low), least + unit[..., 1:] * (most - least)], axis=-1)
    if one.law.kind == "benford":
        return low * tf.pow(high / low, unit)
    mean, deviation = getattr(one.law, part)
    below, above = (NormalDist().cdf((end - mean) / deviation) for end in (low, high))
    return tf.clip_by_value(mean + deviation * tf.math.ndtri(below + unit * (above - below)), low, high)


def _even(unit: Any, intervals: Sequence[Sequence[tuple[float, float]]]) -> Any:
    """Uniform numbers in 0..1 of shape (S, ...) as numbers spread evenly over each of R ranges, (R, S, ...)."""
    most = max(len(parts) for parts in intervals)
    size = np.array([[high - low for low, high in parts] + [0.0] * (most - len(parts)) for parts in intervals])
    low = np.array([[part[0] for part in parts] + [0.0] * (most - len(parts)) for parts in intervals])
    before = np.cumsum(size, axis=1) - size
    total = size.sum(axis=1)
    shape = (len(intervals), *[1] * len(unit.shape))
    along = unit[tf.newaxis] * tf.constant(total.reshape(shape), tf.float32)
    found = tf.constant(low[:, 0].reshape(shape), tf.float32) + along
    for k in range(1, most):
        there = tf.constant((low[:, k] - before[:, k]).reshape(shape), tf.float32) + along
        beyond = along >= tf.constant(np.where(size[:, k] > 0, before[:, k], np.inf).reshape(shape), tf.float32)
        found = tf.where(beyond, there, found)
    return found


def _target(x: Any, operation: str) -> Any:
    return OPERATIONS[operation](x[..., 0:1], x[..., 1:2])


def _start(module: Module, settings: Recipe, ranges: int, seeds: Sequence[int]) -> dict[str, npt.NDArray[np.float32]]:
    """Weights at the start, (R, S, ...): a seed starts the same in every range."""
    found = {}
    for number, (name, weight) in enumerate(module.weights.items()):
        low, high = weight.numbers(settings.inputs, 1)
        shape = weight.shape(settings.inputs, 1)
        parts = []
        for seed in seeds:
            rng = np.random.default_rng([seed, number])
            parts.append(rng.uniform(low, high, shape) if weight.start == "uniform" else rng.normal(low, high, shape))
        one = np.stack(parts).astype(np.float32)
        found[name] = np.broadcast_to(one, (ranges, *one.shape)).copy()
    return found


def train(
    module: Module,
    operation: str,
    settings: Recipe,
    *,
    ranges: Sequence[Range] = RANGES,
    seeds: Sequence[int] = tuple(range(25)),
    threads: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Learnt:
    """Train one module on one operation, over ranges and seeds.

    Args:
        threads: how many parts the ranges are split into, each in a thread of its own; results do not depend on it.
        progress: called with the number of steps done by the slowest part.

    Raises:
        UsageError: there is no such operation; or nothing to train.
    """
    operation_named(operation)
    if not ranges or not seeds or settings.steps < 1 or settings.inputs < 2:
        raise UsageError("arithmetic: it takes a range, a seed, a step and two inputs at least")
    parts = min(len(ranges), threads or os.cpu_count() or 1)
    shares = [tuple(ranges[at::parts]) for at in range(parts)]
    done = [0] * parts

    def run(part: int) -> Learnt:
        def told(steps: int) -> None:
            done[part] = steps
            if progress is not None:
                progress(min(done))

        return _train(module, operation, settings, shares[part], tuple(seeds), told)

    with ThreadPoolExecutor(parts) as pool:
        found = list(pool.map(run, range(parts)))
    order = np.argsort([i for part in range(parts) for i in range(part, len(ranges), parts)])

    def joined(arrays: list[Any], axis: int) -> Any:
        return np.concatenate(arrays, axis=axis).take(order, axis=axis)

    return Learnt(
        module.name,
        operation,
        settings,
        tuple(ranges),
        tuple(seeds),
        found[0].logged,
        *(joined([getattr(one, name) for one in found], 1) for name in ("validation", "test", "sparsity")),
        *(
            {key: joined([getattr(one, name)[key] for one in found], 0) for key in found[0].final}
            for name in ("best", "final")
        ),
    )


def _train(
    module: Module,
    operation: str,
    settings: Recipe,
    ranges: tuple[Range, ...],
    seeds: tuple[int, ...],
    told: Callable[[int], None],
) -> Learnt:
    count = len(seeds)
    state = adam.start(_start(module, settings, len(ranges), seeds))
    key = int(np.random.SeedSequence(list(seeds)).generate_state(1)[0] >> 1)

    def loss(w: Mapping[str, Any], x: Any, noise: Any, step: Any) -> Any:
        error = module.forward(w, x, True, noise) - _target(x, operation)
        total = tf.reduce_sum(tf.reduce_mean(tf.square(error), axis=(-2, -1)))
        if module.pull is not None:
            total += settings.pulled(step) * tf.reduce_sum(penalty(module, w))
        if module.shrinks:
            total += settings.shrunk(step) * tf.reduce_sum(length(module, w))
        return total

    def advance(step: Any, state: Any) -> Any:
        w = state.weights
        unit = _units((count, settings.batch, settings.inputs), key, step)
        x = _drawn(unit, ranges, "train")
        noise = None
        if module.noise:
            noise = tf.random.stateless_uniform(
                (count, settings.batch, settings.inputs), [key + 1, step], 1.0, 5.0, alg=_STREAM
            )
        with tf.GradientTape() as tape:
            tape.watch(w)
            total = loss(w, x, noise, step)
        gradients = _clipped(module, tape.gradient(total, w))
        moved = adam.step(state, gradients, step, settings.rate)
        return moved._replace(weights={k: _held(module, k, v) for k, v in moved.weights.items()})

    def steps_plain(first: Any, last: Any, state: Any) -> Any:
        return tf.while_loop(
            lambda step, state: step < last,
            lambda step, state: (step + 1, advance(step, state)),
            (first, state),
        )[1]

    def look_plain(w: Any) -> Any:
        unit = _units((count, JUDGED, settings.inputs), key + 2, 0)
        errors = []
        for part in _PARTS:
            x = _drawn(unit, ranges, part)
            error = tf.square(module.forward(w, x, False) - _target(x, operation))
            errors.append(tf.reduce_mean(error, axis=(-2, -1)))
        matrices = [
            sparsity_error(m, 1 if name in module.weights and module.weights[name].kind != "matrix" else 2)
            for name, m in module.matrices(w).items()
        ]
        return errors[0], errors[1], tf.reduce_max(tf.stack(matrices), axis=0)

    steps, look = (tf.function(part, jit_compile=True) for part in (steps_plain, look_plain))
    logged, looks = [], []
    best: dict[str, npt.NDArray[np.float32]] = {}
    least = np.full((len(ranges), count), np.inf)
    for first in range(0, settings.steps, LOGGED):
        last = min(first + LOGGED, settings.steps)
        state = steps(tf.constant(first), tf.constant(last), state)
        looked = [np.asarray(part, np.float64) for part in look(state.weights)]
        held = {k: v.numpy() for k, v in state.weights.items()}
        better = looked[0] < least
        for k, v in held.items():
            if k not in best:
                best[k] = v.copy()
            best[k][better] = v[better]
        least = np.where(better, looked[0], least)
        logged.append(last)
        looks.append(looked)
        told(last)
    validation, test, sparsity = (np.stack(part) for part in zip(*looks, strict=True))
    final = {k: v.numpy() for k, v in state.weights.items()}
    return Learnt(
        module.name, operation, settings, ranges, seeds, np.array(logged), validation, test, sparsity, best, final
    )


def _clipped(module: Module, gradients: dict[str, Any]) -> dict[str, Any]:
    """Gradients clipped as the module's authors do; the norm is each model's own."""
    if module.value_clip is not None:
        return {k: tf.clip_by_value(g, -module.value_clip, module.value_clip) for k, g in gradients.items()}
    if module.norm_clip is None:
        return gradients
    squares = [tf.reduce_sum(g * g, axis=list(range(2, len(g.shape)))) for g in gradients.values()]
    share = tf.minimum(1.0, module.norm_clip / tf.maximum(tf.sqrt(tf.add_n(squares)), 1e-30))
    return {k: g * tf.reshape(share, [*share.shape, *[1] * (len(g.shape) - 2)]) for k, g in gradients.items()}


def _held(module: Module, name: str, value: Any) -> Any:
    clip = module.weights[name].clip
    return value if clip is None else tf.clip_by_value(value, *clip)


def wilson(successes: int, tries: int) -> tuple[float, float]:
    """The 95 % interval of a rate of success (Wilson, 1927)."""
    if not tries:
        return 0.0, 1.0
    z, share = 1.959963984540054, successes / tries
    centre = (share + z * z / (2 * tries)) / (1 + z * z / tries)
    half = z / (1 + z * z / tries) * math.sqrt(share * (1 - share) / tries + z * z / (4 * tries * tries))
    return max(0.0, centre - half), min(1.0, centre + half)
