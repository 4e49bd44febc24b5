"""The outside authority for ONNX files: the reference implementation of the ``onnx`` package, in NumPy.

It computes every operator as the specification says and keeps what every one made, so that each tensor that the graph
observes can be shown under its name in the file. One sample at a time, as the file was lowered.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from graphsim.compare.reference import WITHOUT, Progress, Tensor
from graphsim.errors import ReferenceUnavailableError

FloatArray = npt.NDArray[np.float32]


class OnnxReference:
    """An ONNX file, computed by ``onnx.reference``.

    Attributes:
        name, version: what computes, for the report.
        in_batches: it computes one sample at a time, so that it has no other batch to differ from itself in.

    Raises:
        ReferenceUnavailableError: the package is missing, or cannot compute the file.
    """

    name = "ONNX reference implementation"
    notes: tuple[str, ...] = ("computed one sample at a time",)
    in_batches = False

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        try:
            import onnx
            from onnx.reference import ReferenceEvaluator
        except ImportError as error:
            raise ReferenceUnavailableError(
                f"comparing ONNX needs the onnx package: pip install '.[onnx]' in the checkout. {WITHOUT}"
            ) from error
        self.version = onnx.__version__
        try:
            proto = onnx.load(str(self.path), load_external_data=False)
            self._evaluator: Any = ReferenceEvaluator(proto)
            initial = {tensor.name for tensor in proto.graph.initializer}
            inputs = [value for value in proto.graph.input if value.name not in initial]
            self._inputs = [(v.name, [d.dim_value for d in v.type.tensor_type.shape.dim][1:]) for v in inputs]
        except Exception as error:  # operators that it does not have, and whatever files may hold
            raise ReferenceUnavailableError(
                f"{self.path}: onnx cannot compute this model: {error}. {WITHOUT}"
            ) from error

    def run(
        self,
        samples: FloatArray | tuple[FloatArray, ...],
        batch: int,
        wanted: Collection[Tensor] | None = None,
        progress: Progress | None = None,
        *,
        resume: bool = False,
    ) -> dict[Tensor, FloatArray]:
        """The tensors ``wanted`` (or the outputs), float32 (N, ...), their batch axis merged into N.

        Args:
            samples: float32 (N, *shape), or a tuple for several inputs, in the file's order.
            batch, resume: not used: samples are computed one at a time, and know nothing of each other.
        """
        arrays = samples if isinstance(samples, tuple) else (samples,)
        names = sorted({layer for layer, _, _ in wanted}) if wanted else list(self._evaluator.output_names)
        found: dict[str, list[FloatArray]] = {name: [] for name in names}
        for number in range(len(arrays[0])):
            given = {
                name: array[number].reshape(1, *shape)
                for (name, shape), array in zip(self._inputs, arrays, strict=True)
            }
            try:
                values = self._evaluator.run(names, given)
            except Exception as error:
                raise ReferenceUnavailableError(
                    f"{self.path}: onnx cannot compute this model: {error}. {WITHOUT}"
                ) from error
            for name, value in zip(names, values, strict=True):
                found[name].append(np.asarray(value, np.float32).reshape(1, -1))
            if progress is not None:
                progress(number + 1)
        return {(name, 0, "output"): np.concatenate(parts) for name, parts in found.items()}

    def seconds(self, samples: FloatArray | tuple[FloatArray, ...], batch: int) -> float:
        """Measured wall seconds over all samples, one at a time."""
        began = time.perf_counter()
        self.run(samples, 1)
        return time.perf_counter() - began
