"""Mutated model files for test_frontends_keras_fuzz.py, which runs this file in processes of their own.

``python fuzz_keras.py FOLDER FIRST COUNT`` lowers cases FIRST .. FIRST + COUNT - 1, each a file made from its number
alone, and prints one line per case: ``CASE KIND ok``, ``CASE KIND refused``, or what went wrong, such as a traceback.
Memory is limited, so that a file that makes the reader ask for gigabytes is seen; a crash or a hang is seen by the
parent, which knows from the last line which case it was.
"""

from __future__ import annotations

import copy
import faulthandler
import io
import json
import random
import resource
import sys
import traceback
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from keras_files import SMALL_LEGACY, SMALL_V3, functional, layer, node, sequential, weights_file, write_legacy

from graphsim.errors import GraphsimError
from graphsim.frontends.keras import lower

MEMORY = 1 << 30
SECONDS_PER_CASE = 20
#: A message is for people: however long the names in a file are.
LONGEST = 20_000


def tensor(name: str, call: int = 0, output: int = 0) -> dict[str, Any]:
    config = {"shape": [None, 4], "dtype": "float32", "keras_history": [name, call, output]}
    return {"class_name": "__keras_tensor__", "config": config}


def call(*names: str) -> dict[str, Any]:
    args = [[tensor(name) for name in names]] if len(names) > 1 else [tensor(names[0])]
    return {"args": args, "kwargs": {"mask": None}}


def wide() -> dict[str, Any]:
    """An architecture with something of everything, in the spelling of Keras 3."""
    inner = sequential(
        layer("InputLayer", "i", batch_shape=[None, 4]),
        layer("Dense", "d", units=4, activation={"class_name": "ReLU", "config": {"max_value": 2.0}}),
        layer("BatchNormalization", "n", axis=-1, epsilon=0.001),
        name="inner",
    )
    return functional(
        [["a", 0, 0], ["b", 0, 0]],
        [["answer", 0, 0], ["joined", 0, 0], ["soft", 0, 0]],
        node("InputLayer", "a", [], batch_shape=[None, 4], dtype="float32"),
        node("InputLayer", "b", [], batch_shape=[None, 2, 2]),
        node("Flatten", "flat", [call("b")], data_format="channels_first"),
        {**inner, "name": "inner", "inbound_nodes": [call("a"), call("flat")]},
        node("PReLU", "p", [call("inner")], shared_axes=None),
        node("Add", "plus", [call("p", "flat")]),
        node("Maximum", "most", [call("plus", "a")]),
        node("Reshape", "square", [call("most")], target_shape=[2, -1]),
        node("Softmax", "soft", [call("square")], axis=1),
        node("Rescaling", "scaled", [call("most")], scale=[1.0, 2.0, 3.0, 4.0], offset=0.5),
        node("Normalization", "norm", [call("scaled")], axis=[-1], mean=[0.0, 1.0, 2.0, 3.0], variance=1.0),
        node("Concatenate", "joined", [call("norm", "a")], axis=-1),
        node("Dense", "answer", [call("joined")], units=3, activation="softmax"),
    )


def wide_weights() -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    rng = np.random.default_rng(0)

    def values(*shape: int) -> Any:
        return np.abs(rng.normal(0, 1, shape)).astype(np.float32)

    norm = {name: values(4) for name in ("gamma", "beta", "moving_mean", "moving_variance")}
    kernel, bias, alpha, last, offset = values(4, 4), values(4), values(4), values(8, 3), values(3)
    legacy = {
        "inner": {"inner/d/kernel": kernel, "inner/d/bias": bias} | {f"inner/n/{k}": v for k, v in norm.items()},
        "p": {"p/alpha": alpha},
        "answer": {"answer/kernel": last, "answer/bias": offset},
    }
    inner = "layers/sequential/layers"
    v3 = {f"{inner}/dense/vars/0": kernel, f"{inner}/dense/vars/1": bias, "layers/p_re_lu/vars/0": alpha}
    v3 |= {f"{inner}/batch_normalization/vars/{i}": v for i, v in enumerate(norm.values())}
    v3 |= {"layers/dense/vars/0": last, "layers/dense/vars/1": offset}
    return legacy, v3


SMALL_JSON = sequential(
    layer("InputLayer", "pixels", batch_input_shape=[None, 3]),
    layer("Dense", "hidden", units=2, activation="relu"),
    layer("Dense", "answer", units=2, activation="softmax"),
)
WIDE_LEGACY, WIDE_V3 = wide_weights()
ARCHITECTURES = ((SMALL_JSON, SMALL_LEGACY, SMALL_V3), (wide(), WIDE_LEGACY, WIDE_V3))


def zipped(config: bytes, weights: bytes, method: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as zf:
        zf.writestr("metadata.json", '{"keras_version": "3.15.1"}')
        zf.writestr("config.json", config)
        zf.writestr("model.weights.h5", weights)
    return stream.getvalue()


# -- mutations ------------------------------------------------------------------------------------------------------


def flip(rng: random.Random, data: bytes, other: bytes) -> bytes:
    found = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        found[rng.randrange(len(found))] ^= 1 << rng.randrange(8)
    return bytes(found)


def overwrite(rng: random.Random, data: bytes, other: bytes) -> bytes:
    found = bytearray(data)
    at, length = rng.randrange(len(found)), rng.choice((1, 2, 4, 8, 64))
    found[at : at + length] = bytes([rng.choice((0, 1, 0x7F, 0x80, 0xFF))]) * len(found[at : at + length])
    return bytes(found)


def truncate(rng: random.Random, data: bytes, other: bytes) -> bytes:
    return data[: rng.randrange(len(data))]


def splice(rng: random.Random, data: bytes, other: bytes) -> bytes:
    length = rng.choice((4, 16, 64, 256, 1024))
    source, target = rng.randrange(len(other)), rng.randrange(len(data))
    chunk = other[source : source + length]
    return data[:target] + chunk + data[target + (len(chunk) if rng.random() < 0.7 else 0) :]


def redirect(rng: random.Random, data: bytes, other: bytes) -> bytes:
    """Exchange words that may be addresses: structures that point at themselves, or at each other."""
    found = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4))):
        target, source = (8 * rng.randrange(len(found) // 8) for _ in range(2))
        for _ in range(100):  # words that are zero throughout are padding
            if any(found[target : target + 8]) and any(found[source : source + 8]):
                break
            target, source = (8 * rng.randrange(len(found) // 8) for _ in range(2))
        found[target : target + 8] = found[source : source + 8]
    return bytes(found)


def cut(rng: random.Random, data: bytes, other: bytes) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + data[at + rng.choice((1, 2, 8, 100)) :]


BYTES: tuple[Callable[[random.Random, bytes, bytes], bytes], ...] = (
    flip,
    overwrite,
    truncate,
    splice,
    cut,
    redirect,
    redirect,
)
VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, 2, -1, 3.5, -0.0, 1e39, 1e308, 2**31, 2**40, 2**63, 10**400, "", "relu", "softmax",
    "Lambda", "Dense", "x" * 5000, "\ud800", "a/../b", [], [[]], [None], [None, 4], [0], [-1, -1], [2**40], {},
    {"class_name": 3}, {"class_name": "Dense", "config": {}}, {"class_name": "__keras_tensor__"}, [["a", 0, 0]],
    ["a", 0, 0], ["plus", 0, 0],
)  # fmt: skip


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) in nested JSON."""
    found, stack = [], [value]
    while stack:
        here = stack.pop()
        keys = list(here) if isinstance(here, dict) else range(len(here)) if isinstance(here, list) else ()
        found += [(here, key) for key in keys]
        stack += [here[key] for key in keys]
    return found


def mutate_json(rng: random.Random, config: dict[str, Any]) -> bytes:
    """An architecture with some values replaced, removed, or swapped."""
    config = copy.deepcopy(config)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        where = places(config)
        if not where:
            break
        container, key = rng.choice(where)
        other, other_key = rng.choice(where)
        match rng.randrange(5):
            case 0 if isinstance(container, dict):
                del container[key]
            case 1:
                container[key] = copy.deepcopy(other[other_key])
            case 2 if isinstance(container, list):
                container.append(copy.deepcopy(container[key]))
            case _:
                container[key] = copy.deepcopy(rng.choice(VALUES))
    return json.dumps(config).encode()


def make(case: int, folder: Path) -> tuple[str, Path, Path | None]:
    """Kind and path of a case, and of its weights where it is a pair."""
    rng = random.Random(case)
    kind = ("h5", "h5 json", "keras", "keras json", "keras weights", "json", "pair")[case % 7]
    config, legacy, v3 = rng.choice(ARCHITECTURES)
    mutation = rng.choice(BYTES)
    text = json.dumps(config).encode()
    plain = write_legacy(folder / "plain.h5", config, legacy, version="3.15.1").read_bytes()
    weights = weights_file(v3)
    path = folder / f"case.{kind.split()[0]}"
    match kind:
        case "h5":
            path.write_bytes(mutation(rng, plain, plain))
        case "h5 json":
            write_legacy(path, mutate_json(rng, config).decode(), legacy, version="3.15.1")
        case "keras":
            method = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
            data = zipped(text, weights, method)
            path.write_bytes(mutation(rng, data, plain))
        case "keras json":
            path.write_bytes(zipped(mutate_json(rng, config), weights, zipfile.ZIP_DEFLATED))
        case "keras weights":
            path.write_bytes(zipped(text, mutation(rng, weights, plain), zipfile.ZIP_DEFLATED))
        case _:
            data = mutate_json(rng, config) if rng.random() < 0.5 else mutation(rng, text, plain)
            path = folder / "case.json"
            path.write_bytes(data if kind == "json" else text)
    if kind not in ("json", "pair"):
        return kind, path, None
    second = folder / "weights.h5"
    second.write_bytes(mutation(rng, weights, plain) if kind == "pair" else weights)
    return kind, path, second


def main() -> None:
    folder, first, count = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    faulthandler.enable()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    for case in range(first, first + count):
        kind, path, weights = make(case, folder)
        say(f"{case} {kind} ")
        faulthandler.dump_traceback_later(SECONDS_PER_CASE, exit=True)
        try:
            lower(path, weights)
            say("ok\n")
        except GraphsimError as error:
            message = str(error)
            is_named = str(path) in message or (weights is not None and str(weights) in message)
            say("refused\n" if is_named and len(message) < LONGEST else f"unclear: {message}\n")
        except BaseException:
            say(f"traceback {traceback.format_exc()}\n")
        faulthandler.cancel_dump_traceback_later()


def say(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


if __name__ == "__main__":
    main()
