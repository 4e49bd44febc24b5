"""The tasks, one row each: what is trained, how it is judged, what was published, and what should come of it.

The only source of what the command line, the documents and the tests say of them. Imports no TensorFlow.

Published numbers are those of the tables of Trask et al., *Neural Arithmetic Logic Units* (NeurIPS 2018), written down
from memory and not looked up. Where the paper has a picture and no number, or another model, nothing is stated here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from graphsim.errors import UsageError

#: Scores by model and name.
Scores = Mapping[str, Mapping[str, float]]

SOURCE = "Trask et al. 2018, written down from memory"

#: Seeds that are trained side by side at most; each takes memory and time.
MOST_SEEDS = 1000


class Size(NamedTuple):
    """How much is trained: each model from so many seeds, of which the one with the least loss on unseen samples of the
    training range is kept; so many steps of so many fresh samples; the learning rate at the first step.
    """

    seeds: int
    steps: int
    batch: int
    rate: float


class Claim(NamedTuple):
    """Something that should come of a task, and whether scores say that it did."""

    text: str
    holds: Callable[[Scores], bool]


@dataclass(frozen=True)
class Task:
    """A row of the table.

    Attributes:
        name: ``graphsim train nalu-NAME``.
        about: what is learnt, in a sentence.
        family: the module of :mod:`graphsim.zoo.nalu` that trains it.
        models: what is trained, in order.
        scores: name to meaning, in the order shown.
        size, full: by default, and with --full.
        claims: what the paper shows and this should.
        differs: how this is not what the paper did.
        published: (model, score) to the number of the paper's table.
        beside: what the paper's numbers are, where that is not what the scores are.
        paces: of a kind of model, the first word of its name: how many times the steps and the learning rate it takes.
    """

    name: str
    about: str
    family: str
    models: tuple[str, ...]
    scores: Mapping[str, str]
    size: Size
    full: Size
    claims: tuple[Claim, ...]
    differs: tuple[str, ...]
    published: Mapping[tuple[str, str], float] = field(default_factory=dict)
    beside: str = ""
    paces: Mapping[str, tuple[int, float]] = field(default_factory=dict)

    def size_of(self, model: str, size: Size) -> Size:
        """How much a model is trained in a run of some size."""
        longer, faster = self.paces.get(model.split()[0], (1, 1.0))
        return size._replace(steps=longer * size.steps, rate=faster * size.rate)


#: Those that learn the identity: every one of Keras, but for the one with a weight of its own.
ACTIVATIONS = (
    "hard_tanh",
    "sigmoid",
    "relu6",
    "tanh",
    "tanh_shrink",
    "hard_shrink",
    "leaky_relu",
    "soft_shrink",
    "softsign",
    "relu",
    "prelu",
    "softplus",
    "elu",
    "selu",
    "linear",
)
_BOUNDED = ("hard_tanh", "sigmoid", "relu6", "tanh", "softsign")

_IDENTITY = Task(
    name="identity",
    about="Autoencoders of one number, 1-8-8-8-1, learn x = x on [-5, 5] with 15 activations.",
    family="scalars",
    models=ACTIVATIONS,
    scores={
        "inside": "mean absolute error on [-5, 5]",
        "outside": "mean absolute error on the rest of [-20, 20]",
        "worst": "greatest error on [-20, 20]",
    },
    size=Size(seeds=10, steps=4000, batch=64, rate=0.01),
    full=Size(seeds=100, steps=10_000, batch=64, rate=0.01),
    claims=(
        Claim(
            "every activation learns the identity where it is trained: the mean error there is below 0.1",
            lambda scores: all(one["inside"] < 0.1 for one in scores.values()),
        ),
        Claim(
            "bounded activations fail outside: the mean error there is above 1",
            lambda scores: all(scores[name]["outside"] > 1 for name in _BOUNDED),
        ),
        Claim(
            "without an activation it holds outside: the mean error there is below 0.01",
            lambda scores: scores["linear"]["outside"] < 0.01,
        ),
    ),
    differs=("scores are means over the seeds; the paper has a picture of them, and no numbers",),
)

#: Operations of the static task: on a and b, sums of four of ten inputs each.
STATIC = ("a+b", "a-b", "a*b", "a/b", "sqrt(a)")
_STATIC_KINDS = ("ReLU6", "None", "NAC", "NALU")


def _by_kind(score: str, kinds: tuple[str, ...], rows: Mapping[str, tuple[float, ...]]) -> dict[tuple[str, str], float]:
    """Published numbers of one score: a row per operation, a number per kind of network."""
    return {
        (f"{kind} {op}", score): value for op, values in rows.items() for kind, value in zip(kinds, values, strict=True)
    }


def _by_score(scores: tuple[str, ...], rows: Mapping[str, tuple[float, ...]]) -> dict[tuple[str, str], float]:
    """Published numbers: a row per model, a number per score."""
    return {
        (model, score): value for model, values in rows.items() for score, value in zip(scores, values, strict=True)
    }


_STATIC = Task(
    name="static",
    about="Two stacked layers learn an operation on two sums, of four of ten numbers from [0, 10) each.",
    family="scalars",
    models=tuple(f"{kind} {op}" for op in STATIC for kind in _STATIC_KINDS),
    scores={
        "inside": "error on [0, 10), in percent of an untrained network's",
        "outside": "error on [0, 100), in percent of an untrained network's",
        "test_loss": "mean squared error on [0, 100)",
    },
    size=Size(seeds=10, steps=50_000, batch=128, rate=0.05),
    full=Size(seeds=50, steps=100_000, batch=128, rate=0.05),
    claims=(
        *(
            Claim(
                f"{kind} learns {op}: the test loss is below 0.001",
                lambda scores, model=f"{kind} {op}": scores[model]["test_loss"] < 1e-3,  # type: ignore[misc]
            )
            for kind, ops in (("NAC", ("a+b", "a-b")), ("NALU", STATIC))
            for op in ops
        ),
        Claim(
            "NALU holds beyond its range: at most 1 % of an untrained network's error, whatever the operation",
            lambda scores: all(scores[f"NALU {op}"]["outside"] <= 1 for op in STATIC),
        ),
        Claim(
            "ReLU6 fails beyond its range: more than 10 % of an untrained network's error, whatever the operation",
            lambda scores: all(scores[f"ReLU6 {op}"]["outside"] > 10 for op in STATIC),
        ),
    ),
    differs=("ten inputs, of which a and b are four each; the paper has a hundred, and sums of random stretches",),
    published=_by_kind(
        "outside",
        _STATIC_KINDS,
        {
            "a+b": (42.6, 0.0, 0.0, 0.0),
            "a-b": (29.0, 0.0, 0.0, 0.0),
            "a*b": (10.1, 29.5, 33.3, 0.0),
            "a/b": (37.2, 52.3, 61.3, 0.7),
            "sqrt(a)": (10.3, 20.0, 16.4, 0.0),
        },
    ),
    beside="percent of an untrained network's error, on a larger range than trained on",
)

#: Kinds of networks of the recurrent task that the paper has too.
_RECURRENT_KINDS = ("LSTM", "ReLU", "NAC")

_RECURRENT = Task(
    name="recurrent",
    about="A recurrent layer learns a + b and a - b, where a and b are sums along 10 steps, and is tested at 1,000.",
    family="sequences",
    models=tuple(f"{kind} {sign}" for sign in ("a+b", "a-b") for kind in (*_RECURRENT_KINDS, "NAU")),
    scores={
        "short": "error at 10 steps, in percent of an untrained network's",
        "short_error": "mean absolute error at 10 steps",
        "long": "error at 1,000 steps, in percent of an untrained network's",
        "long_error": "mean absolute error at 1,000 steps",
    },
    size=Size(seeds=5, steps=5000, batch=64, rate=0.05),
    full=Size(seeds=25, steps=50_000, batch=128, rate=0.05),
    claims=(
        *(
            Claim(
                f"{kind} is exact on {sign} at 1,000 steps: below 0.01 % of an untrained network's error",
                lambda scores, model=f"{kind} {sign}": scores[model]["long"] < 0.01,  # type: ignore[misc]
            )
            for kind in ("NAC", "NAU")
            for sign in ("a+b", "a-b")
        ),
        Claim(
            "LSTM and ReLU are not: more than 1 % of an untrained network's error at 1,000 steps",
            lambda scores: all(scores[f"{k} {s}"]["long"] > 1 for k in ("LSTM", "ReLU") for s in ("a+b", "a-b")),
        ),
    ),
    differs=(
        "two numbers a step and two operations; the paper has more of both, and finds that the NALU learns those that"
        " multiply, but not to divide",
    ),
    published=_by_kind("long", _RECURRENT_KINDS, {"a+b": (96.1, 85.5, 0.0), "a-b": (97.0, 70.9, 0.0)}),
    beside="percent of an untrained network's error, on sequences of 1,000 steps",
    # What is left of a weight of 1 that tanh and sigmoid make is multiplied a thousand times: they go far out.
    paces={"NAC": (10, 4.0)},
)

_PROGRAM = Task(
    name="program",
    about="An LSTM reads a+b character by character, learns the sum of numbers of two digits, and is tested on more.",
    family="sequences",
    models=("Linear", "NAC", "NALU"),
    scores={
        "digits_2": "percent of digits that match, numbers of up to two digits",
        "digits_3": "the same of three digits",
        "digits_4": "the same of four digits",
        "error_2": "mean absolute error, numbers of up to two digits",
        "error_3": "the same of three digits",
        "error_4": "the same of four digits",
    },
    size=Size(seeds=2, steps=6000, batch=128, rate=0.01),
    full=Size(seeds=10, steps=50_000, batch=128, rate=0.01),
    claims=(
        Claim(
            "the NALU learns what it is trained on: at least 90 % of the digits match",
            lambda scores: scores["NALU"]["digits_2"] >= 90,
        ),
        Claim(
            "the NALU does so beyond: at least 90 % of the digits match with three digits and with four",
            lambda scores: scores["NALU"]["digits_3"] >= 90 and scores["NALU"]["digits_4"] >= 90,
        ),
    ),
    differs=(
        "characters go into an LSTM whose last layer is the module; the paper feeds whole numbers to a gated recurrent"
        " cell that holds it, which is an easier thing to go beyond, and has pictures, no numbers",
    ),
)

_LANGUAGE = Task(
    name="language",
    about='Number words such as "five hundred and fifteen" become numbers: 169 phrases of 1,001 are trained on.',
    family="language",
    models=("Linear", "NAC", "NALU"),
    scores={
        "train": "mean absolute error on the 169 phrases trained on",
        "validation": "the same on the 200 by which the seed is chosen",
        "test": "the same on the 632 others",
    },
    size=Size(seeds=3, steps=6000, batch=64, rate=0.02),
    full=Size(seeds=10, steps=100_000, batch=128, rate=0.02),
    claims=(
        Claim(
            "the NALU errs least on unseen phrases",
            lambda scores: all(scores["NALU"]["test"] < scores[other]["test"] for other in ("Linear", "NAC")),
        ),
        Claim(
            "the NALU's error on unseen phrases is below 1",
            lambda scores: scores["NALU"]["test"] < 1,
        ),
        Claim(
            "the NAC, whose weights are at most 1, cannot reach large numbers: its training error is above 10",
            lambda scores: scores["NAC"]["train"] > 10,
        ),
    ),
    differs=("another split into phrases, which the paper does not list; sizes of layers are ours",),
    published=_by_score(
        ("train", "validation", "test"),
        {"Linear": (0.003, 29.9, 29.4), "NAC": (80.0, 114.1, 114.3), "NALU": (0.12, 0.39, 0.41)},
    ),
    beside="mean absolute error; its LSTM alone stands beside Linear",
)

_TRACK_TIME = Task(
    name="track-time",
    about="An agent in a 5x5 grid reaches a cell at exactly the step T: up to 12 in training, 13 to 25 at test.",
    family="grid",
    models=("MLP", "NAC"),
    scores={
        "trained": "percent of episodes that succeed, T from 1 to 12",
        "near": "the same of T from 13 to 19",
        "far": "the same of T from 20 to 25",
    },
    size=Size(seeds=2, steps=3000, batch=64, rate=0.01),
    full=Size(seeds=10, steps=50_000, batch=128, rate=0.01),
    claims=(
        Claim(
            "both learn what they are trained on: at least 90 % of the episodes succeed",
            lambda scores: all(one["trained"] >= 90 for one in scores.values()),
        ),
        Claim(
            "the NAC tracks time longer than it was trained to, and longer than the other: T from 13 to 19",
            lambda scores: scores["NAC"]["near"] >= 75 and scores["NAC"]["near"] > scores["MLP"]["near"],
        ),
        Claim(
            "the NAC fails too where T is larger still: fewer episodes succeed than of T from 13 to 19",
            lambda scores: scores["NAC"]["far"] < scores["NAC"]["near"],
        ),
    ),
    differs=(
        "agents learn to do what a planner may do, and not by rewards; they see cells by number, and no pictures",
        "MLP is an LSTM, NAC a recurrent NAC, on what is seen; two dense layers on both say what to do",
    ),
)

_LENGTHS = {f"error_{n}": f"mean absolute error at {n:,} digit{'s' * (n > 1)}" for n in (1, 10, 100, 1000)}


def _of_digits(name: str, about: str, published: Mapping[str, tuple[float, ...]], near: float) -> Task:
    """A task of sequences of digits, and what was published at 10, 100 and 1,000 of them."""
    return Task(
        name=name,
        about=about,
        family="digits",
        models=("NAU", "NAC", "LSTM"),
        scores=_LENGTHS,
        size=Size(seeds=1, steps=4000, batch=16, rate=0.01),
        full=Size(seeds=1, steps=20_000, batch=64, rate=0.005),
        claims=(
            Claim(
                f"the NAC learns what it is trained on: the mean error at 10 digits is below {near:g}",
                lambda scores: scores["NAC"]["error_10"] < near,
            ),
            Claim(
                "the NAC errs less than the LSTM at 100 digits and at 1,000",
                lambda scores: all(scores["NAC"][e] < scores["LSTM"][e] for e in ("error_100", "error_1000")),
            ),
            Claim(
                "the NAU, which the paper does not have, errs less than both at 1,000 digits",
                lambda scores: all(scores["NAU"]["error_1000"] < scores[k]["error_1000"] for k in ("NAC", "LSTM")),
            ),
        ),
        differs=(
            "the loss is on the running answer after every digit, not on the last alone, and training is far shorter",
            "the paper states the share of right classes for one digit; here it is the mean error",
            "weights of the NAU are pulled to whole numbers by a penalty, as its authors do",
        ),
        published=_by_score(("error_10", "error_100", "error_1000"), published),
        beside="mean absolute error, at 10, 100 and 1,000 digits",
    )


_ADDITION = _of_digits(
    "mnist-addition",
    "A convolutional network and a recurrent layer add up handwritten digits, ten in training.",
    {"NAC": (1.42, 7.88, 57.3), "LSTM": (14.8, 800.8, 8811.6)},
    2.0,
)
_COUNTING = _of_digits(
    "mnist-counting",
    "A convolutional network and a recurrent layer count handwritten digits of each kind, ten in training.",
    {"NAC": (0.12, 0.76, 3.32), "LSTM": (0.79, 18.2, 198.5)},
    0.2,
)
_PARITY = Task(
    name="mnist-parity",
    about="A convolutional network and one last layer tell how many of ten handwritten digits are odd.",
    family="digits",
    models=("Wx+b", "Wx", "sigma(W)x", "tanh(W)x", "NAC"),
    scores={
        "accuracy": "percent of sequences whose answer, rounded, is right",
        "error": "mean absolute error",
    },
    size=Size(seeds=1, steps=2000, batch=16, rate=0.005),
    full=Size(seeds=1, steps=20_000, batch=64, rate=0.005),
    claims=(
        Claim(
            "the NAC is right more often than any other last layer",
            lambda scores: all(scores["NAC"]["accuracy"] > one["accuracy"] for k, one in scores.items() if k != "NAC"),
        ),
        Claim(
            "sigma(W)x, which cannot subtract, is right less often than Wx",
            lambda scores: scores["sigma(W)x"]["accuracy"] < scores["Wx"]["accuracy"],
        ),
    ),
    differs=(
        "the network looks at the digits one by one, and the last layer is on the features of all; training is far"
        " shorter",
        "sigma(W) and tanh(W) are kept as the kernels of dense layers, which compute the same",
    ),
    published=_by_score(("accuracy",), {"Wx+b": (88.1,), "Wx": (91.4,), "NAC": (97.6,)}),
    beside="percent of test samples that are right",
)

TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        _IDENTITY,
        _STATIC,
        _RECURRENT,
        _ADDITION,
        _COUNTING,
        _PARITY,
        _LANGUAGE,
        _PROGRAM,
        _TRACK_TIME,
    )
}
"""Every task, by name."""


def task_named(name: str) -> Task:
    """The task of a recipe's name, ``nalu-NAME``, or of a name.

    Raises:
        UsageError: there is none.
    """
    wanted = name.removeprefix("nalu-")
    if wanted not in TASKS:
        raise UsageError(f"there is no NALU task {wanted[:40]!r}; there are {', '.join(TASKS)}")
    return TASKS[wanted]
