"""What a comparison found, as frozen data that turns into plain JSON types."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Judged = Literal["reference", "graphsim"]

#: Bins of the ULP histogram: how many float32 numbers lie between the two values, as labels, in order.
ULP_BINS = ("0", "1", "2", *(f"{2**i + 1}-{2 ** (i + 1)}" for i in range(1, 12)), ">4096")
#: Upper edges of the bins of \\|error\\|/bound. The first bin holds exact values only, the last what is outside.
RATIO_EDGES = (0.0, *(2.0**-i for i in range(12, -1, -1)), math.inf)


@dataclass(frozen=True)
class Divergence:
    """A neuron outside its bound.

    Attributes:
        actor: its name, e.g. ``dense_1[3]``. layer: the model's layer that shows it; "" where none does.
        sample: number of the sample, from 0.
        judged: whose value is outside: the reference's (judged on the reference's own inputs), or graphsim's (on its).
        graphsim, reference: the two values; None where the reference shows no such tensor.
        exact: the graph's function of the inputs of the one that is judged, in float64.
        bound: the greatest distance from ``exact`` that rounding explains.
        ratio: \\|value - exact\\| / bound; infinite where the bound is 0 or a value is not a number.
    """

    actor: str
    layer: str
    sample: int
    judged: Judged
    graphsim: float
    reference: float | None
    exact: float
    bound: float
    ratio: float

    def __str__(self) -> str:
        other = "no tensor" if self.reference is None else f"{self.reference:.9g}"
        return (
            f"{self.actor}, sample {self.sample}: graphsim {self.graphsim:.9g}, reference {other}; exact on"
            f" {self.judged}'s inputs {self.exact:.9g}, bound {self.bound:.3g}; {self.judged} is off by"
            f" {self.ratio:.3g} times the bound"
        )


@dataclass(frozen=True)
class LayerAgreement:
    """How one group of neurons agrees, over all samples.

    Attributes:
        name: of the group. layer, observes: the model's tensor that it is; "" where the model shows none.
        actors: neurons in the group.
        checked: values of the reference that were judged (actors times samples; 0 where it shows no tensor).
        checked_own: values of graphsim that were judged.
        outside: neuron values outside their bound, the reference's or graphsim's; each counted once.
        max_difference: greatest \\|graphsim - reference\\|; None where the reference shows no tensor.
        reference_error_over_bound, graphsim_error_over_bound: greatest \\|error\\|/bound of each; None if none judged.
        ulps: how many values differ by how many ULPs, by label (``ULP_BINS``); empty where there is no reference.
        ratios: how many of the reference's values have an \\|error\\|/bound in each bin of ``RATIO_EDGES``.
    """

    name: str
    layer: str
    observes: str
    actors: int
    checked: int
    checked_own: int
    outside: int
    max_difference: float | None
    reference_error_over_bound: float | None
    graphsim_error_over_bound: float | None
    ulps: Mapping[str, int]
    ratios: tuple[int, ...]

    @property
    def max_error_over_bound(self) -> float:
        """The greater of the two; 0 where nothing was judged."""
        return max(self.reference_error_over_bound or 0.0, self.graphsim_error_over_bound or 0.0)


@dataclass(frozen=True)
class OutputAgreement:
    """How the classes of one output agree; int64 arrays.

    Attributes:
        name: of the group whose greatest value is the class.
        classes: how many there are.
        argmax: share of samples with the same class; None where the reference shows no such tensor.
        differing: samples with different classes.
        accuracy, reference_accuracy: shares of samples whose class is the label; None without labels (or reference).
        confusion, reference_confusion: (classes, classes): how many samples of label i got class j.
        wrong: samples to which graphsim gives another class than the label. predicted: graphsim's class of each sample.
    """

    name: str
    classes: int
    argmax: float | None
    differing: tuple[int, ...]
    accuracy: float | None
    reference_accuracy: float | None
    confusion: npt.NDArray[np.int64] | None
    reference_confusion: npt.NDArray[np.int64] | None
    wrong: tuple[int, ...]
    predicted: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Noise:
    """How far the reference differs from itself: one sample at a time against ``batch`` at a time.

    Attributes:
        samples: the first so many were computed alone.
        batch: how many were in the batch that they were also in.
        tensors: how many of the model's tensors were looked at: all that neurons are compared with.
        max_difference: over all elements of these tensors and samples.
        bit_identical: whether every bit was the same.
    """

    samples: int
    batch: int
    tensors: int
    max_difference: float
    bit_identical: bool


@dataclass(frozen=True)
class Comparison:
    """Every neuron of a run against a reference, each judged by its own proved rounding bound.

    Attributes:
        reference_name, reference_version, reference_notes: what computed the reference, and what was special about it.
        reference_seconds: measured wall time of the reference over the samples; None where it was not measured.
        samples: how many were compared.
        layers: one entry per group, in graph order.
        outputs: one entry per output that is a classifier.
        first_divergence: the first neuron, by layer, then sample, outside its bound; None when all are within.
        noise: the reference against itself; None where it was not measured, or computes one sample at a time anyhow.
        reference_outputs: float32 (N, actors): the reference's values of groups that feed sinks, where it shows them.
    """

    reference_name: str
    reference_version: str
    reference_notes: tuple[str, ...]
    reference_seconds: float | None
    samples: int
    layers: tuple[LayerAgreement, ...]
    outputs: tuple[OutputAgreement, ...]
    first_divergence: Divergence | None
    noise: Noise | None
    reference_outputs: Mapping[str, npt.NDArray[np.float32]]

    @property
    def ok(self) -> bool:
        """Whether every neuron is within its bound."""
        return self.neurons_outside_bound == 0

    @property
    def neurons_checked(self) -> int:
        """Neuron values of the reference that were judged: actors times samples."""
        return sum(layer.checked for layer in self.layers)

    @property
    def neurons_outside_bound(self) -> int:
        """Neuron values outside their bound."""
        return sum(layer.outside for layer in self.layers)

    @property
    def max_error_over_bound(self) -> float:
        """The greatest \\|error\\|/bound: at most 1 when every neuron is within."""
        return max((layer.max_error_over_bound for layer in self.layers), default=0.0)

    @property
    def noise_floor(self) -> float | None:
        """Greatest difference of the reference from itself."""
        return None if self.noise is None else self.noise.max_difference

    @property
    def argmax_agreement(self) -> float | None:
        """Of the first output that is a classifier."""
        return self.outputs[0].argmax if self.outputs else None

    @property
    def accuracy(self) -> float | None:
        """graphsim's, of the first output that is a classifier."""
        return self.outputs[0].accuracy if self.outputs else None

    @property
    def reference_accuracy(self) -> float | None:
        """The reference's, of the first output that is a classifier."""
        return self.outputs[0].reference_accuracy if self.outputs else None

    def reference_record(self) -> dict[str, Any]:
        """What the reference is, as plain JSON types."""
        return {
            "name": self.reference_name,
            "version": self.reference_version,
            "notes": list(self.reference_notes),
            "wall_seconds": self.reference_seconds,
        }

    def agreement_record(self) -> dict[str, Any]:
        """What was found, as plain JSON types; numbers that JSON cannot hold are strings ("inf", "nan")."""
        record = {
            "argmax": self.argmax_agreement,
            "neurons_checked": self.neurons_checked,
            "neurons_outside_bound": self.neurons_outside_bound,
            "max_error_over_bound": self.max_error_over_bound,
            "reference_noise_floor": self.noise_floor,
            "first_divergence": None if self.first_divergence is None else asdict(self.first_divergence),
            "noise": None if self.noise is None else asdict(self.noise),
            "ratio_edges": list(RATIO_EDGES),
            "layers": [asdict(layer) | {"max_error_over_bound": layer.max_error_over_bound} for layer in self.layers],
            "outputs": [
                {key: value for key, value in asdict(output).items() if key != "predicted"} for output in self.outputs
            ],
        }
        plain: dict[str, Any] = _plain(record)
        return plain


def _plain(value: Any) -> Any:
    """Lists, dicts, str, bool, int, finite float and None."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
