"""What can be lowered, as a table made from the rules themselves: for ``graphsim formats`` and the documents."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

#: Files that are read, and by which versions they may have been written.
FILES = (
    (".h5, .hdf5", "full models of Keras 1, 2 and 3; a Sequential config may be a bare list (Keras <= 2.2.2)"),
    (".keras", "full models of Keras 3, and of TensorFlow 2.12 and later"),
    (".json and .h5", "an architecture with weights beside it, of Keras 1, 2 and 3 (--weights)"),
    (".onnx", "ONNX models of one file, of the standard operator set, for one sample at a time; needs the onnx extra"),
    (".gsim", "graphs that graphsim wrote"),
)


class Row(NamedTuple):
    """One line of the table: a family, what it is, and the names in it, sorted."""

    family: str
    about: str
    names: tuple[str, ...]


def layers() -> list[Row]:
    """Keras layers by family, in the order of the families' names."""
    from graphsim.frontends.keras.layers import RULES

    makers = {name: rule.single or rule.many or rule.call for name, rule in RULES.items()}
    return _by_module({"InputLayer": layers, **makers}, {__name__: "inputs"})


def operations() -> list[Row]:
    """Operations that functional models record (``keras.ops``)."""
    from graphsim.frontends.keras.layers import OPERATIONS

    return [Row("keras.ops", "operations between layers", tuple(sorted(OPERATIONS)))]


def activations() -> list[Row]:
    """Activations by the names that Keras gives them."""
    from graphsim.frontends.keras.activations import ALONG, UNARY

    return [
        Row("elementwise", "of each element by itself", tuple(sorted(UNARY))),
        Row("along an axis", "which no neuron can compute alone", tuple(sorted(ALONG))),
    ]


def operators() -> list[Row]:
    """ONNX operators."""
    from graphsim.frontends.onnx.folding import OPERATORS
    from graphsim.frontends.onnx.operators import RULES

    constant = tuple(sorted(set(OPERATORS) - set(RULES)))
    return [
        Row("ONNX", "operators that become actors, or none", tuple(sorted(RULES))),
        Row("ONNX graphs", "operators with graphs inside, where a constant says which and how often", ("If", "Loop")),
        Row("ONNX constants", "further operators, on what is known while lowering", constant),
    ]


SECTIONS: dict[str, Callable[[], list[Row]]] = {
    "Keras layers": layers,
    "Keras operations": operations,
    "Keras activations": activations,
    "ONNX operators": operators,
}


def circuits() -> list[tuple[str, str, str, str]]:
    """Formats of circuits: suffixes, name, whether they are read and written, and what of them."""
    from graphsim.frontends.circuits import FORMATS

    done = {(True, True): "read, written", (True, False): "read", (False, True): "written"}
    return [
        (", ".join(kind.suffixes), kind.name, done[bool(kind.reader), bool(kind.writer)], kind.about)
        for kind in FORMATS
    ]


def circuits_markdown() -> str:
    """Formats of circuits as a Markdown table."""
    lines = ["| file | format | | what |", "|---|---|---|---|"]
    rows = ([cell.replace("|", "\\|") for cell in row] for row in circuits())
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows), ""])


def _by_module(makers: dict[str, Any], families: dict[str, str]) -> list[Row]:
    found: dict[str, list[str]] = {}
    for name, maker in makers.items():
        found.setdefault(maker.__module__, []).append(name)
    rows = []
    for module, names in found.items():
        family = families.get(module, module.rpartition(".")[2])
        about = (sys.modules[module].__doc__ or "").splitlines()[0].rstrip(".") if module not in families else ""
        rows.append(Row(family, about, tuple(sorted(names))))
    return sorted(rows)


def markdown(page: str) -> str:
    """The part of the table that a page of the documents shows, as Markdown: that on Keras has the files as well."""
    lines = [] if page == "ONNX" else ["| file | what |", "|---|---|", *(f"| {n} | {what} |" for n, what in FILES), ""]
    for title, section in SECTIONS.items():
        if title.startswith(page):
            lines += [f"| {title} | | |", "|---|---|---|"]
            lines += [f"| {row.family} | {row.about} | {_joined(row.names)} |" for row in section()]
            lines.append("")
    return "\n".join(lines)


def _joined(names: Iterable[str]) -> str:
    return ", ".join(names)


def record() -> dict[str, Any]:
    """The table as plain JSON types."""
    return {
        "files": [{"suffix": name, "about": about} for name, about in FILES],
        "circuits": [
            {"suffixes": suffixes.split(", "), "name": name, "read": "read" in done, "written": "written" in done}
            | {"about": about}
            for suffixes, name, done, about in circuits()
        ],
        **{
            title.lower().replace(" ", "_"): [
                {"family": row.family, "about": row.about, "names": list(row.names)} for row in section()
            ]
            for title, section in SECTIONS.items()
        },
    }
