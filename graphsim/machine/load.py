"""One way in for every machine: a built-in name or the path of a ``machine.toml``, with or without settings."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from graphsim.errors import MachineError
from graphsim.machine.model import Link, Machine, NodeSpec, hint, show
from graphsim.machine.settings import MAX_FILE_BYTES, SETTINGS
from graphsim.machine.topologies import MADE, TOPOLOGIES, is_made, is_topology, scaled_links, topology_shape

if TYPE_CHECKING:
    from graphsim.graph import Graph

_MAX_SPEC = 1_000


def load_machine(spec: str, graph: Graph | None = None, frame_bits: int | None = None) -> Machine:
    """The machine that ``spec`` names.

    Args:
        spec: a built-in name (``torus:4x4``); one with settings after commas, keys as in ``machine.toml``
            (``torus:4x4,macs_per_tick=4,latency=2,op_ticks.special=16``); or the path of a ``machine.toml``, which
            settings may follow, too.
        graph: for which the machine is made, if it is ``one-to-one``.
        frame_bits: payload of a frame, on all links; None: as ``spec`` says.

    Raises:
        MachineError: there is no such built-in or file, or what it says is wrong; with key and line. Or it is made for
            a graph, and ``graph`` is None.
    """
    if frame_bits is not None:
        return _with_frames(spec.strip(), graph, frame_bits)
    if len(spec) > _MAX_SPEC:
        raise MachineError(f"a machine of {len(spec):,} characters ({show(spec)}); put it in a machine.toml")
    spec = spec.strip()
    if is_topology(spec) or is_made(spec):
        topology, *settings = (part.strip() for part in spec.split(","))
        if re.search(r"[?&]", spec):
            raise MachineError(f"{spec}: settings follow after commas: {re.sub(r'[?&]', ',', spec)}")
        if not settings and not is_made(spec):
            return _plain(topology)
        # Reading settings takes pydantic, which takes longer to import than a plain machine takes to build.
        from graphsim.machine.reader import machine_with_settings

        return machine_with_settings(topology, settings, spec, graph)
    path, settings = file_and_settings(spec)
    if not _exists(path):
        raise MachineError(_no_such_machine(path))
    from graphsim.machine.reader import read_machine

    return read_machine(Path(path), graph, settings)


def file_and_settings(spec: str) -> tuple[str, list[str]]:
    """The path in ``FILE.toml,latency=2``, and the settings; a file whose name has commas is a path as it stands."""
    if _exists(spec):
        return spec, []
    path, *settings = (part.strip() for part in spec.split(","))
    return path, settings


def needs_graph(spec: str) -> bool:
    """Whether ``spec`` names a machine that is made for a graph, or a file that does."""
    path, _ = file_and_settings(spec)
    if is_made(spec) or is_topology(spec) or not _exists(path) or not Path(path).is_file():
        return is_made(spec)
    with Path(path).open("rb") as stream:
        text = stream.read(MAX_FILE_BYTES)
    return re.search(rb"(?m)^\s*topology\s*=\s*[\"']one-to-one", text) is not None


def _with_frames(spec: str, graph: Graph | None, frame_bits: int) -> Machine:
    if is_topology(spec) or is_made(spec):
        return load_machine(f"{spec},frame_bits={frame_bits}", graph)
    machine = load_machine(spec, graph)
    return replace(machine, links=tuple(replace(link, frame_bits=frame_bits) for link in machine.links))


def parse_machine(text: str, source: str = "machine.toml", links: Sequence[tuple[int, int]] = ()) -> Machine:
    """The machine that the text of a ``machine.toml`` describes, as :meth:`Machine.to_toml` writes it.

    Args:
        text: the TOML.
        source: what messages call the text.
        links: (sender, receiver) of links that the text does not list, as ``machine_parts`` gives them.

    Raises:
        MachineError: the text is not TOML or breaks the format; with key and line.
    """
    from graphsim.machine.reader import machine_from_toml

    return machine_from_toml(text, source, links=links)


def _plain(topology: str) -> Machine:
    """A built-in with every default."""
    shape = topology_shape(topology)
    nodes = [NodeSpec(name, "compute" if i < shape.first_switch else "switch") for i, name in enumerate(shape.names)]
    links = scaled_links(Link(0, 1), shape)
    clock = SETTINGS["clock_mhz"].default
    assert clock is not None
    return Machine(topology, clock, tuple(nodes), tuple(links), 0, topology)


def _exists(spec: str) -> bool:
    try:
        return bool(spec) and Path(spec).exists()
    except (OSError, ValueError):
        return False


def _no_such_machine(spec: str) -> str:
    name = show(spec, 200)
    family = re.match(r"[A-Za-z_]*", spec)
    word = family.group() if family else ""
    looks_like_file = spec.endswith(".toml") or "/" in spec or "\\" in spec
    if word in TOPOLOGIES and not looks_like_file:
        one = TOPOLOGIES[word]
        return f"no machine {name}: write {one.pattern}, for example {one.example}"
    known = " ".join([*(one.pattern for one in TOPOLOGIES.values()), *(pattern for pattern, _, _ in MADE)])
    near = "" if looks_like_file else hint(word, TOPOLOGIES)
    return f"no machine {name}: there is no such file, and no built-in of this name{near}; built-ins are {known}"
