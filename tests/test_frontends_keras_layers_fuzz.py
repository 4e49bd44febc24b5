"""Configs of real models with values that no layer should have: each file is lowered or refused, in one message.

What Keras writes for every family of layers is changed in one to three places: sizes of zero, negative and huge ones,
values of other types, missing keys, other names. The weights stay as they are.
"""

from __future__ import annotations

import copy
import io
import json
import random
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from graphsim.errors import ModelError
from graphsim.frontends.keras import lower
from graphsim.zoo.quiet import import_tensorflow

CASES = 200
SECONDS = 10.0
ODD: tuple[Any, ...] = (
    0,
    -1,
    1,
    2,
    3,
    7,
    1 << 20,
    1 << 40,
    2**63,
    -(2**63),
    0.5,
    -1.5,
    1e300,
    True,
    False,
    None,
    "",
    "x",
)
ODD += ("same", "valid", "relu", "channels_first", [], {}, [0], [1, 1], [-1, 2], [1 << 40], [[1, 2], [3, 4]], [None])


def _models(keras: Any) -> dict[str, Any]:
    """A few models that together have layers of every family."""
    layers = keras.layers

    def net(shape: tuple[int, ...], *parts: Any) -> Any:
        return keras.Sequential([keras.Input(shape), *parts])

    image = (8, 8, 3)
    return {
        "conv": net(
            image,
            layers.ZeroPadding2D(1),
            layers.Conv2D(4, 3, strides=2, padding="same", activation="relu"),
            layers.BatchNormalization(),
            layers.DepthwiseConv2D(3, padding="same"),
            layers.MaxPooling2D(2),
            layers.SeparableConv2D(3, 2, padding="same"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(2, activation="softmax"),
        ),
        "grow": net(
            (4, 4, 2),
            layers.Conv2DTranspose(2, 3, strides=2, padding="same"),
            layers.UpSampling2D(2),
            layers.Cropping2D(((1, 1), (2, 0))),
            layers.AveragePooling2D(3, padding="same"),
            layers.Permute((2, 1, 3)),
            layers.LayerNormalization(),
            layers.GroupNormalization(2),
            layers.Flatten(),
            layers.RepeatVector(3),
            layers.Reshape((-1, 3)),
            layers.UnitNormalization(),
        ),
        "text": net(
            (6, 3),
            layers.Bidirectional(layers.LSTM(2, return_sequences=True)),
            layers.GRU(3, return_sequences=True),
            layers.TimeDistributed(layers.Dense(2)),
            layers.SimpleRNN(2),
        ),
    }


@pytest.fixture(scope="module")
def archives(keras: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The models as ``.keras`` files."""
    folder = tmp_path_factory.mktemp("models")
    found = {}
    for name, model in _models(keras).items():
        model.save(folder / f"{name}.keras")
        found[name] = (folder / f"{name}.keras").read_bytes()
    return found


@pytest.fixture(scope="module")
def keras() -> Any:
    return import_tensorflow()[1]


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every (container, key) in nested JSON."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in list(items):
        yield value, key
        if isinstance(item, (dict, list)):
            yield from _places(item)


def _mutated(config: Any, rng: random.Random) -> Any:
    changed = copy.deepcopy(config)
    for _ in range(rng.choice((1, 1, 2, 3))):
        layer = rng.choice(changed["config"]["layers"])
        places = list(_places(layer))
        container, key = rng.choice(places)
        if isinstance(container, dict) and rng.random() < 0.15:
            del container[key]
        else:
            container[key] = copy.deepcopy(rng.choice(ODD))
    return changed


@pytest.mark.parametrize("name", ["conv", "grow", "text"])
def test_odd_configs_are_lowered_or_refused(name: str, archives: dict[str, bytes], tmp_path: Path) -> None:
    path = tmp_path / f"{name}.keras"
    path.write_bytes(archives[name])
    lower(path)
    with zipfile.ZipFile(io.BytesIO(archives[name])) as zf:
        members = {member: zf.read(member) for member in zf.namelist()}
    config = json.loads(members["config.json"])
    rng = random.Random(name)
    verdicts = {"lowered": 0, "refused": 0}
    for case in range(CASES):
        mutated = json.dumps(_mutated(config, rng)).encode()
        with zipfile.ZipFile(path, "w") as zf:
            for member, data in members.items():
                zf.writestr(member, mutated if member == "config.json" else data)
        began = time.monotonic()
        try:
            lower(path)
            verdicts["lowered"] += 1
        except ModelError as error:
            verdicts["refused"] += 1
            assert str(path) in str(error), f"case {case}: {error}"
        except Exception as error:
            raise AssertionError(f"case {case}: {mutated.decode()}") from error
        assert time.monotonic() - began < SECONDS, f"case {case} takes too long: {mutated.decode()}"
    assert min(verdicts.values()) > 0, verdicts
