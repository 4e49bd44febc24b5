"""Compare runs with TensorFlow, or with recorded outputs, neuron by neuron. Start with ``compare``."""

from graphsim.compare.compare import Identity, compare, compare_with_tensorflow, wanted_tensors
from graphsim.compare.reference import TensorFlowReference
from graphsim.compare.result import Comparison, Divergence, LayerAgreement, Noise, OutputAgreement

__all__ = [
    "Comparison",
    "Divergence",
    "Identity",
    "LayerAgreement",
    "Noise",
    "OutputAgreement",
    "TensorFlowReference",
    "compare",
    "compare_with_tensorflow",
    "wanted_tensors",
]
