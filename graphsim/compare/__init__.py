"""Compare runs with TensorFlow, or with recorded outputs, neuron by neuron. Start with ``compare``."""

from graphsim.compare.compare import Identity, compare, compare_with_reference, reference_of, wanted_tensors
from graphsim.compare.recorded import Recorded, compare_recorded, load_recorded
from graphsim.compare.reference import TensorFlowReference
from graphsim.compare.result import Comparison, Divergence, LayerAgreement, Noise, OutputAgreement

__all__ = [
    "Comparison",
    "Divergence",
    "Identity",
    "LayerAgreement",
    "Noise",
    "OutputAgreement",
    "Recorded",
    "TensorFlowReference",
    "compare",
    "compare_recorded",
    "compare_with_reference",
    "load_recorded",
    "reference_of",
    "wanted_tensors",
]
