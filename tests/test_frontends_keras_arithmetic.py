"""Layers of arithmetic modules as actors: every value within its bound of TensorFlow's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from oracle import judged_by_tensorflow

from graphsim.errors import UnsupportedLayerError
from graphsim.frontends.keras import lower
from graphsim.zoo.arithmetic.layers import LAYERS
from graphsim.zoo.arithmetic.modules import MODULES, keras

INPUTS, UNITS = 4, 3


def saved(name: str, folder: Path, seed: int = 0, whole: bool = False, suffix: str = "keras") -> Path:
    """A model of one module with weights anywhere it may have them, or with whole ones."""
    layer = LAYERS[name](UNITS, name="unit")
    model = keras.Sequential([keras.Input((INPUTS,)), layer])
    rng = np.random.default_rng(seed)
    for key, weight in MODULES[name].weights.items():
        low, high = weight.clip or (-2.0, 2.0)
        values = rng.uniform(low, high, weight.shape(INPUTS, UNITS))
        layer.held[key].assign(np.rint(values) if whole else values)
    path = folder / f"{name}.{suffix}"
    model.save(path)
    return path


def inputs(seed: int = 0) -> npt.NDArray[np.float32]:
    """Numbers of either sign and many sizes, zero among them where modules take it."""
    rng = np.random.default_rng(seed)
    size = 2.0 ** rng.uniform(-6, 4, (40, INPUTS))
    return (size * rng.choice([-1, 1], size.shape)).astype(np.float32)


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("name", MODULES)
def test_a_module_is_lowered_within_its_bounds(name: str, whole: bool, tmp_path: Path) -> None:
    path = saved(name, tmp_path, whole=whole)
    comparison = judged_by_tensorflow(path, lower(path), inputs())
    assert comparison.ok
    assert comparison.neurons_checked >= 40 * UNITS


@pytest.mark.parametrize("name", ["NALU", "NMU", "NMRU"])
def test_zeros_and_h5_files(name: str, tmp_path: Path) -> None:
    given = inputs(1)
    given[::3, 1] = 0
    path = saved(name, tmp_path, seed=2, suffix="h5")
    assert judged_by_tensorflow(path, lower(path), given).ok


def test_a_module_on_more_than_a_vector_is_refused(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((5, 2)), LAYERS["NAU"](1, name="unit")])
    model.save(tmp_path / "m.keras")
    with pytest.raises(UnsupportedLayerError, match="unit: it takes a vector per sample"):
        lower(tmp_path / "m.keras")
