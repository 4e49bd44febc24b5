"""Lowering rules of one's own: the example of the documents, errors, and what plugins cannot do."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from keras_files import layer, sequential, write_keras, write_legacy
from keras_models import samples, stirred
from typer.testing import CliRunner

from graphsim.cli.app import app
from graphsim.errors import ModelError, UnsupportedLayerError, UsageError
from graphsim.frontends.keras import lower, plugins
from graphsim.frontends.keras.layers import OWN
from graphsim.simulate.reference import ReferenceEngine
from graphsim.zoo.quiet import import_tensorflow

DOCUMENT = Path(__file__).parents[1] / "docs" / "keras.md"
FACTOR = np.array([2, -1, 0.5], np.float32)
X = samples(3)


#: Rules of the layers that graphsim brings itself.
SHIPPED = dict(OWN)


def forget() -> None:
    OWN.clear()
    OWN.update(SHIPPED)
    plugins._objects.clear()
    plugins.load_installed.cache_clear()


@pytest.fixture(autouse=True)
def _nothing_registered() -> Iterator[None]:
    forget()
    yield
    forget()


def plugin(folder: Path, code: str) -> Path:
    path = folder / "own.py"
    path.write_text(code, encoding="utf-8")
    return path


def example(folder: Path, name: str = "Scale") -> Path:
    """The plugin that the document shows, for a layer of this name."""
    code = re.search(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    assert code is not None
    return plugin(folder, code[1].replace('@lowers("Scale"', f'@lowers("{name}"'))


def model(folder: Path, class_name: str = "Scale", registered: str = "my_package>Scale") -> Path:
    own = {**layer(class_name, "scale", offset=0.25), "module": "my_layers", "registered_name": registered}
    config = sequential(layer("InputLayer", "x", batch_shape=[None, 3], dtype="float32"), own)
    return write_keras(folder / "m.keras", config, {"layers/scale/vars/0": FACTOR})


def test_the_example_of_the_documents_lowers_its_layer(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedLayerError, match="a plugin can say how"):
        lower(model(tmp_path))
    plugins.load(example(tmp_path))
    values = ReferenceEngine(lower(model(tmp_path))).run(X).values
    np.testing.assert_array_equal(values["scale"], X * FACTOR + np.float32(0.25))


def test_rules_are_found_by_the_registered_name_in_either_format(tmp_path: Path) -> None:
    plugins.load(example(tmp_path, "my_package>Scale"))
    graph = lower(model(tmp_path))
    own = layer("my_package>Scale", "scale", offset=0.25)
    config = sequential(layer("InputLayer", "x", batch_input_shape=[None, 3]), own)
    weights = {"x": {}, "scale": {"scale/factor:0": FACTOR}}
    older = lower(write_legacy(tmp_path / "m.h5", config, weights, version="2.4.0"))
    assert older.channels == graph.channels


@pytest.mark.slow
def test_the_example_is_compared_with_tensorflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, keras = import_tensorflow()

    class Scale(keras.layers.Layer):  # type: ignore[misc, name-defined]
        def __init__(self, offset: float = 0.0, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.offset = offset

        def build(self, shape: Any) -> None:
            self.factor = self.add_weight(name="factor", shape=shape[-1:])

        def call(self, x: Any) -> Any:
            return x * self.factor + self.offset

        def get_config(self) -> dict[str, Any]:
            return {**super().get_config(), "offset": self.offset}

    made = type(sys)("my_layers")
    made.Scale = Scale  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "my_layers", made)
    Scale.__module__ = "my_layers"
    net = stirred(keras.Sequential([keras.Input((8, 8)), Scale(0.5, name="scale"), keras.layers.Dense(2)]))
    net.save(tmp_path / "net.keras")
    done = CliRunner().invoke(app, ["run", str(tmp_path / "net.keras"), "-n", "3", "--plugin", str(example(tmp_path))])
    assert done.exit_code == 0, done.output
    assert "scale" in done.output


def test_keras_layers_cannot_be_replaced(tmp_path: Path) -> None:
    plugins.load(example(tmp_path, "Activation"))
    config = sequential(layer("InputLayer", "x", batch_shape=[None, 3]), layer("Activation", "a", activation="relu"))
    values = ReferenceEngine(lower(write_keras(tmp_path / "m.keras", config, {}))).run(X).values
    np.testing.assert_array_equal(values["a"], np.maximum(X, 0))


def test_custom_layers_under_a_name_of_keras_need_a_rule_of_their_own(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedLayerError, match="not Keras's own"):
        lower(model(tmp_path, "Dense", "my_package>Dense"))


def test_layers_that_learn_gates_are_refused_for_their_circuit(tmp_path: Path) -> None:
    with pytest.raises(
        UnsupportedLayerError, match=r"lower the circuit that training writes beside the model \(\.blif\)"
    ):
        lower(model(tmp_path, "Gates", "graphsim>Gates"))


def test_installed_plugins_are_found_by_their_entry_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    example(tmp_path).rename(tmp_path / "installed_scale.py")
    monkeypatch.syspath_prepend(tmp_path)
    points = [EntryPoint("scale", "installed_scale", plugins.GROUP)]
    monkeypatch.setattr(plugins, "entry_points", lambda group: points if group == plugins.GROUP else [])
    assert "scale" in lower(model(tmp_path)).number


#: The body of a rule whose weight is derived so.
DERIVED = """
    def build(to, x):
        y = to.group("sum", x.shape, params={{"bias": Ref(to.derive("b", lambda of: {}))}})
        to.one_to_one(x, y)
        return y
    return build
"""


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import nowhere_at_all", "ModuleNotFoundError"),
        ("1 / 0", "ZeroDivisionError"),
        ("def", "SyntaxError"),
        ("raise SystemExit(0)", "SystemExit"),
        ("from graphsim.frontends.keras import lowers\nlowers(3)(len)", "TypeError: a rule is registered under"),
        (
            "from graphsim.frontends.keras import lowers\nlowers('A')(3)",
            "TypeError: the rule of A is 3, not a function",
        ),
    ],
)
def test_plugins_that_fail_are_named(tmp_path: Path, code: str, reason: str) -> None:
    with pytest.raises(UsageError, match=f"own.py: the plugin cannot be loaded: {reason}"):
        plugins.load(plugin(tmp_path, code))


@pytest.mark.parametrize("name", ["missing.py", "folder", "text.txt"])
def test_what_is_no_plugin(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "text.txt").write_text("no Python")
    done = CliRunner().invoke(app, ["lower", str(model(tmp_path)), "--plugin", str(tmp_path / name)])
    assert isinstance(done.exception, UsageError)
    assert "is not a plugin" in str(done.exception)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("return fields.data['no such key']", "KeyError"),
        ("return lambda to, x: 1 / 0", "ZeroDivisionError"),
        ("raise SystemExit(1)", "SystemExit"),
        ("return lambda to, x: None", "TypeError: it returns None"),
        ("return lambda to, x: [x, 3]", "TypeError: it returns 3"),
        ("return lambda to, x: x.reshaped((7,))", "TypeError: it returns Tensor"),
        (DERIVED.format("1 / 0"), "ZeroDivisionError"),
        (DERIVED.format("None"), "TypeError: it derives None"),
    ],
)
def test_rules_that_fail_name_the_layer(tmp_path: Path, body: str, reason: str) -> None:
    head = "from graphsim.frontends.keras import lowers\nfrom graphsim.graph import Ref\n"
    head += "@lowers('Scale')\ndef scale(fields, semantics):\n    "
    plugins.load(plugin(tmp_path, f"{head}{body}\n"))
    with pytest.raises(ModelError, match=f"layer 'scale': the rule of a plugin fails: {reason}"):
        lower(model(tmp_path))


def test_a_plugin_imports_what_lies_beside_it(tmp_path: Path) -> None:
    (tmp_path / "beside_plugin.py").write_text("FACTOR = 2\n", encoding="utf-8")
    path = plugin(
        tmp_path, "def keras_objects():\n    import beside_plugin\n\n    return {'x': beside_plugin.FACTOR}\n"
    )
    plugins.load(path)
    assert plugins.keras_objects() == {"x": 2}
