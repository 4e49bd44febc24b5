"""The table of what can be lowered: the documents show it, and every name in it is in a test of values."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from typer.testing import CliRunner

from graphsim.cli.app import app
from graphsim.frontends.formats import circuits_markdown, markdown, record
from graphsim.frontends.keras.layers import RULES

ROOT = Path(__file__).resolve().parents[1]
BEGIN = "<!-- formats: written by graphsim.frontends.formats.markdown() -->\n"
END = "<!-- end of formats -->"
BEGIN_CIRCUITS = "<!-- circuits: written by graphsim.frontends.formats.circuits_markdown() -->\n"
#: Classes that Keras exports under another name.
EXPORTED = {"GroupedQueryAttention": "GroupQueryAttention"}


@pytest.mark.parametrize(
    ("page", "begin", "table"),
    [
        ("keras.md", BEGIN, partial(markdown, "Keras")),
        ("onnx.md", BEGIN, partial(markdown, "ONNX")),
        ("formats.md", BEGIN_CIRCUITS, circuits_markdown),
    ],
)
def test_the_documents_show_the_tables(
    page: str, begin: str, table: Callable[[], str], request: pytest.FixtureRequest
) -> None:
    path = ROOT / "docs" / page
    text = path.read_text(encoding="utf-8")
    before, _, rest = text.partition(begin)
    shown, _, after = rest.partition(END)
    if request.config.getoption("--update-golden"):
        path.write_text(f"{before}{begin}{table()}{END}{after}", encoding="utf-8")
        return
    assert shown == table(), "run pytest --update-golden tests/test_frontends_formats.py"


def test_every_layer_of_the_table_is_in_a_test_of_lowering() -> None:
    tests = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").glob("test_frontends_keras_*.py"))
    words = set(re.findall(r"\w+", tests))
    untested = {
        name for name in RULES if EXPORTED.get(name, name) not in words and re.sub(r"[123]D", "", name) not in tests
    }
    assert untested == set(), untested


def test_the_command_prints_what_the_record_says(tmp_path: Path) -> None:
    out = tmp_path / "formats.json"
    done = CliRunner().invoke(app, ["formats", "--json", str(out)])
    assert done.exit_code == 0
    found = json.loads(out.read_text())
    assert found == {"schema_version": 1, **record()}
    for word in ("Conv2D", "LSTM", "GetItem", ".onnx", ".bench", "AIGER"):
        assert word in done.output
