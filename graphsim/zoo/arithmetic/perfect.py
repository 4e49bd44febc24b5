"""Perfect weights that divide by small numbers: how far off the module is nevertheless.

The task of Mistry, Farrahi and Hare (2022), as their script has it: 10,000 samples from U[0, b), drawn by NumPy's
``RandomState(8689336)`` in float64; what is right for them in float64, rounded to float32; the module on the inputs
rounded to float32. It is off by the roundings of inputs and of its equation, and by what it adds to its inputs.

The square of 1 / x has no mean over U[0, b), and neither has such an error: the smallest number of a draw decides, and
draws differ by decades. That is why other draws are looked at, too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from graphsim.zoo.arithmetic.modules import MODULES, tf

#: The seed of the published draw, samples of a draw, and where they are drawn from: U[0, b) of each b.
SEED, SAMPLES, BELOW = 8689336, 10_000, (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
#: Draws that are computed at a time.
_TOGETHER = 20

FloatArray = npt.NDArray[np.float64]


class Division(NamedTuple):
    """What is computed: of so many inputs, and the perfect weights of each module."""

    inputs: int
    of: Callable[[FloatArray], FloatArray]
    weights: dict[str, dict[str, Any]]


def _inverse(x: FloatArray) -> FloatArray:
    return 1 / x[:, 0]


#: By name. The weights are those of the authors: a RealNPU leaves out its second input by its gate.
DIVISIONS = {
    "1/a of [a]": Division(1, _inverse, {"NMRU": {"w": [[0.0], [1.0]]}, "RealNPU": {"wr": [[-1.0]], "gate": [1.0]}}),
    "1/a of [a, b]": Division(
        2,
        _inverse,
        {"NMRU": {"w": [[0.0], [0.0], [1.0], [0.0]]}, "RealNPU": {"wr": [[-1.0], [1.0]], "gate": [1.0, 0.0]}},
    ),
    "a/b of [a, b]": Division(
        2,
        lambda x: x[:, 0] / x[:, 1],
        {"NMRU": {"w": [[1.0], [0.0], [0.0], [1.0]]}, "RealNPU": {"wr": [[1.0], [-1.0]], "gate": [1.0, 1.0]}},
    ),
}

#: Mean squared errors of the authors' own table, by division, module and b (``divBy0_test_errors.csv`` of their code).
PUBLISHED = {
    ("1/a of [a]", "NMRU"): (3.6691e-3, 4.1852e-5, 2.4432e-7, 1.4383e-9, 4.5320e-11),
    ("1/a of [a]", "RealNPU"): (1.1527e12, 2.0463e9, 4.9100e5, 55.245, 5.5899e-3),
    ("1/a of [a, b]", "NMRU"): (2.8079e-3, 9.1489e-6, 5.6766e-8, 7.0893e-9, 3.3651e-11),
    ("1/a of [a, b]", "RealNPU"): (1.3103e12, 3.4634e9, 1.1150e6, 132.19, 1.3450e-2),
    ("a/b of [a, b]", "NMRU"): (3.2729e-2, 8.9558e-5, 4.3995e-7, 1.8147e-8, 1.8490e-11),
    ("a/b of [a, b]", "RealNPU"): (2531.4, 401.33, 8.6851, 9.6941e-2, 9.8135e-4),
}


def error(division: str, module: str, draws: Sequence[FloatArray], dtype: Any = np.float32) -> FloatArray:
    """The mean squared error of a module with perfect weights on each of some draws, (N, inputs) in float64.

    Args:
        dtype: float32, or float64: what inputs, right answers and the module are computed in.
    """
    task = DIVISIONS[division]
    weights = {name: np.array(value, dtype) for name, value in task.weights[module].items()}
    with np.errstate(divide="ignore"):
        wanted = np.concatenate([task.of(x).astype(dtype) for x in draws])
    found = MODULES[module].forward(weights, tf.constant(np.concatenate(draws).astype(dtype)), False).numpy()[:, 0]
    off = (found - wanted).astype(np.float64) ** 2
    return np.array([part.mean() for part in np.split(off, np.cumsum([len(x) for x in draws])[:-1])])


def draw(division: str, below: float, rng: np.random.RandomState | np.random.Generator) -> FloatArray:
    """Samples of a division: (SAMPLES, inputs), each from U[0, below)."""
    return np.asarray(rng.uniform(0, below, (SAMPLES, DIVISIONS[division].inputs)))


def errors(draws: int, told: Callable[[int], None] | None = None) -> list[dict[str, Any]]:
    """A record for each division, module and b: the published error; that of the published draw, in float32 and in
    float64; and quantiles of those of so many other draws in float32.

    Args:
        told: called with how many records there are.
    """
    found: list[dict[str, Any]] = []
    for (division, module), published in PUBLISHED.items():
        for below, value in zip(BELOW, published, strict=True):
            theirs = [draw(division, below, np.random.RandomState(SEED))]
            others = np.concatenate(
                [
                    error(
                        division,
                        module,
                        [
                            draw(division, below, np.random.default_rng(seed))
                            for seed in range(first, min(first + _TOGETHER, draws))
                        ],
                    )
                    for first in range(0, draws, _TOGETHER)
                ]
            )
            found.append(
                {
                    "division": division,
                    "module": module,
                    "below": below,
                    "published": value,
                    "error": float(error(division, module, theirs)[0]),
                    "error_float64": float(error(division, module, theirs, np.float64)[0]),
                    "draws": draws,
                    "quantiles": dict(
                        zip(("5", "50", "95"), np.quantile(others, (0.05, 0.5, 0.95)).tolist(), strict=True)
                    ),
                    "share_below_published": float((others < value).mean()),
                }
            )
            if told is not None:
                told(len(found))
    return found
