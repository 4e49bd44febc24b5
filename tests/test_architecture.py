"""Imports point one way, and the command line starts light."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import networkx as nx
import pytest

import graphsim

PACKAGE = Path(graphsim.__file__).parent

#: Every room, and the rooms it may import at module level or inside functions. Rooms not named import nothing of ours.
ALLOWED = {
    "errors": set(),
    "files": {"errors"},
    "graph": {"errors", "files"},
    "machine": {"errors", "files", "graph"},
    "native": {"errors"},
    "frontends": {"errors", "files", "graph"},
    "passes": {"errors", "graph", "native"},
    "analysis": {"errors", "graph", "machine", "native", "passes"},
    "schedule": {"errors", "files", "graph", "machine", "passes", "analysis", "native"},
    "calendars": {"errors", "graph", "machine", "passes", "analysis", "schedule"},
    "simulate": {"errors", "files", "graph", "machine", "passes", "analysis", "native", "schedule", "calendars"},
    "trace": {"errors", "files", "graph", "machine", "passes", "analysis", "schedule"},
    "datasets": {"errors", "files"},
    # What is learnt as gates is simplified and written as a circuit.
    "zoo": {"errors", "files", "graph", "frontends", "passes", "datasets"},
    "compare": {"errors", "graph", "passes", "analysis", "simulate", "datasets", "zoo"},
    "report": {
        "errors",
        "files",
        "graph",
        "frontends",
        "machine",
        "passes",
        "analysis",
        "schedule",
        "simulate",
        "trace",
        "datasets",
        "compare",
    },
    # From here on, what calls the rooms in turn.
    "pipeline": {
        "errors",
        "graph",
        "machine",
        "passes",
        "frontends",
        "schedule",
        "simulate",
        "datasets",
        "compare",
        "report",
    },
    "explore": {
        "errors",
        "files",
        "graph",
        "machine",
        "passes",
        "analysis",
        "schedule",
        "simulate",
        "datasets",
        "compare",
        "report",
        "pipeline",
    },
    "view": {
        "errors",
        "graph",
        "machine",
        "passes",
        "analysis",
        "schedule",
        "trace",
        "report",
        "explore",
    },
}
FRONT_DOOR = {"api", "calculator", "life", "cli", "__main__", "__init__"}


def rooms() -> list[str]:
    return sorted(p.stem for p in PACKAGE.iterdir() if p.suffix == ".py" or (p / "__init__.py").exists())


def imported_rooms(room: str) -> dict[str, str]:
    """Rooms of graphsim that a room imports, each with a place where it does."""
    path = PACKAGE / room
    files = sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]
    found: dict[str, str] = {}
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
                names = [node.module] if node.module != "graphsim" else [f"graphsim.{a.name}" for a in node.names]
            for name in names:
                parts = name.split(".")
                if parts[0] == "graphsim" and len(parts) > 1 and parts[1] in rooms() and parts[1] != room:
                    found[parts[1]] = f"{file.relative_to(PACKAGE)}:{node.lineno}"
    return found


def test_every_room_has_a_place_in_the_order() -> None:
    assert set(rooms()) == set(ALLOWED) | FRONT_DOOR


@pytest.mark.parametrize("room", sorted(ALLOWED))
def test_imports_point_one_way(room: str) -> None:
    wrong = {name: where for name, where in imported_rooms(room).items() if name not in ALLOWED[room]}
    assert not wrong


def test_the_order_has_no_cycle() -> None:
    order = list(ALLOWED)
    assert all(order.index(used) < order.index(room) for room, allowed in ALLOWED.items() for used in allowed)


@pytest.mark.parametrize(
    "heavy",
    ["tensorflow", "keras", "numba", "plotly", "sklearn", "networkx", "simpy", "scipy", "pyarrow", "distributed"],
)
def test_the_command_line_starts_without(heavy: str) -> None:
    code = f"import sys, graphsim.cli.app; sys.exit({heavy!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_tensorflow_is_named_only_where_it_may_be() -> None:
    users = {
        file.relative_to(PACKAGE).parts[0]
        for file in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if (isinstance(node, ast.Import) and any(a.name.split(".")[0] in ("tensorflow", "keras") for a in node.names))
        or (isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in ("tensorflow", "keras"))
    }
    assert users <= {"compare", "zoo"}


def imported_first(module: str, tree: ast.Module) -> set[str]:
    """Modules of ours that run before a module has run: those that it imports, and packages on the way to them."""
    found: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            parts = name.split(".")
            on_the_way = [".".join(parts[:i]) for i in range(1, len(parts) + 1)]
            # Packages that the module itself lies in are running already.
            found |= {one for one in on_the_way if not module.startswith(f"{one}.")}
    return found


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Whichever is imported first would find the other half done."""
    graph = nx.DiGraph()
    trees = {
        ".".join(("graphsim", *file.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__"): ast.parse(
            file.read_text(encoding="utf-8")
        )
        for file in PACKAGE.rglob("*.py")
    }
    for module, tree in trees.items():
        graph.add_edges_from((module, other) for other in imported_first(module, tree) if other in trees)
    assert [sorted(part) for part in nx.strongly_connected_components(graph) if len(part) > 1] == []
