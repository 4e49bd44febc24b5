"""Where the numbers are from that arithmetic modules learn on, and those that they are tested on.

The nine ranges, those of mixed signs and the harder distributions are those of Mistry, Farrahi and Hare, *Exploring the
Learning Mechanisms of Neural Division Modules* (2022), as their scripts have them.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from graphsim.errors import UsageError

Intervals = tuple[tuple[float, float], ...]
Part = Literal["train", "test"]


class Law(NamedTuple):
    """How numbers are spread over intervals.

    Attributes:
        kind: "even": each interval as likely as it is long. "apart": the first input evenly from the first interval,
            the others from the second. "benford": as 1 / x, so that leading digits follow Benford's law. "normal": a
            normal distribution, cut off at the ends. The last two have one interval.
        train, test: mean and deviation of "normal".
    """

    kind: Literal["even", "apart", "benford", "normal"] = "even"
    train: tuple[float, float] = (0.0, 1.0)
    test: tuple[float, float] = (0.0, 1.0)


EVEN = Law()


class Range(NamedTuple):
    """Where inputs come from: intervals (low, high), and how numbers are spread over them."""

    train: Intervals
    test: Intervals
    law: Law = EVEN

    @property
    def name(self) -> str:
        """The training range as people write it: ``[-2,-1]``, ``[-2,-1];[1,2]``, ``benford[10,100]``."""
        return self._named("train")

    def spread(self, part: Part) -> str:
        """How numbers are drawn, in words."""
        return f"evenly from {self._named(part)}" if self.law.kind == "even" else f"from {self._named(part)}"

    def _named(self, part: Part) -> str:
        between = ";" if self.law.kind == "apart" else "u"
        text = between.join(f"[{low:g},{high:g}]" for low, high in getattr(self, part))
        if self.law.kind == "normal":
            mean, deviation = getattr(self.law, part)
            return f"normal({mean:g},{deviation:g}){text}"
        return f"benford{text}" if self.law.kind == "benford" else text

    def drawn(self, shape: tuple[int, int], rng: np.random.Generator) -> npt.NDArray[np.float64]:
        """Vectors (N, I) from the test range."""
        if self.law.kind == "even":
            sizes = np.array([high - low for low, high in self.test])
            chosen = rng.choice(len(sizes), shape, p=sizes / sizes.sum())
            low, high = (np.array([part[end] for part in self.test])[chosen] for end in (0, 1))
            return np.asarray(rng.uniform(low, high))
        unit = rng.random(shape)
        if self.law.kind == "apart":
            low, high = (np.array([part[end] for part in self.test])[np.minimum(range(shape[1]), 1)] for end in (0, 1))
            return np.asarray(low + unit * (high - low))
        ((first, last),) = self.test
        if self.law.kind == "benford":
            return np.asarray(first * (last / first) ** unit)
        from scipy.special import ndtr, ndtri

        mean, deviation = self.law.test
        below, above = (ndtr((end - mean) / deviation) for end in (first, last))
        return np.asarray(np.clip(mean + deviation * ndtri(below + unit * (above - below)), first, last))


#: The nine ranges of the division paper.
RANGES = (
    Range(((-20, -10),), ((-40, -20),)),
    Range(((-2, -1),), ((-6, -2),)),
    Range(((-1.2, -1.1),), ((-6.1, -1.2),)),
    Range(((-0.2, -0.1),), ((-2, -0.2),)),
    Range(((-2, 2),), ((-6, -2), (2, 6))),
    Range(((0.1, 0.2),), ((0.2, 2),)),
    Range(((1, 2),), ((2, 6),)),
    Range(((1.1, 1.2),), ((1.2, 6),)),
    Range(((10, 20),), ((20, 40),)),
)
_APART = Law("apart")
#: One sign for the first input, and the other for the others.
SIGNS = (
    Range(((-2, -0.1), (0.1, 2)), ((-6, -2), (2, 6)), _APART),
    Range(((0.1, 2), (-2, -0.1)), ((2, 6), (-6, -2)), _APART),
    Range(((-2, -1), (1, 2)), ((-6, -2), (2, 6)), _APART),
    Range(((1, 2), (-2, -1)), ((2, 6), (-6, -2)), _APART),
)
#: Other distributions, and large numbers of either sign.
HARDER = (
    Range(((10, 100),), ((100, 1000),), Law("benford")),
    Range(((-5, 10),), ((-15, -5),), Law("normal", (-1, 3), (-10, 3))),
    Range(((-10, 5),), ((5, 15),), Law("normal", (1, 3), (10, 3))),
    Range(((-5, 5),), ((5, 15),), Law("normal", (0, 1), (10, 1))),
    Range(((-50, 50),), ((-100, -50), (50, 100))),
    Range(((-100, 100),), ((-200, -100), (100, 200))),
)
#: Ranges by the name of what they are studied for.
DISTRIBUTIONS = {"published": RANGES, "signs": SIGNS, "harder": HARDER}


def distribution_named(text: str) -> tuple[Range, ...]:
    """The ranges of a distribution.

    Raises:
        UsageError: there is none of that name.
    """
    if text not in DISTRIBUTIONS:
        raise UsageError(f"--distribution {text[:40]!r}: there is {', '.join(DISTRIBUTIONS)}")
    return DISTRIBUTIONS[text]


def distribution_of(name: str) -> str:
    """The name of the distribution that a range of this name belongs to."""
    return next(kind for kind, ranges in DISTRIBUTIONS.items() if name in [one.name for one in ranges])


def range_named(text: str, among: tuple[Range, ...] = (*RANGES, *SIGNS, *HARDER)) -> Range:
    """The range of a name, as ``[1,2]``; blanks and how numbers are written do not matter.

    Raises:
        UsageError: there is none.
    """
    for one in among:
        if one.name in (_plain(text), f"[{_plain(text)}]"):
            return one
    raise UsageError(f"--range {text[:40]!r}: there is {', '.join(one.name for one in among)}")


def _plain(text: str) -> str:
    """Without blanks, and numbers as names have them."""
    return re.sub(r"[0-9]*\.?[0-9]+", lambda found: f"{float(found[0]):g}", "".join(text.split()))
