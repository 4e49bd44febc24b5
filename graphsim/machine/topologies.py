"""The built-in topologies: shapes of nodes and links, without any numbers on them.

Every cable is two links, one each way. Nodes are numbered as each entry of :data:`TOPOLOGIES` says, compute nodes
before switches; links are sorted by (sender, receiver). The host is node 0.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from graphsim.errors import MachineError
from graphsim.machine.model import Link, Machine, hint
from graphsim.machine.settings import MAX_LINKS, MAX_NODES

Cable = tuple[int, int, int]
"""(one end, other end, capacity): in each direction this is ``capacity`` links side by side, in one. Capacity
multiplies :data:`SCALED_KEYS`."""

SCALED_KEYS = ("frames_per_tick", "calendar_entries")
"""The settings of a link that grow with its capacity."""


@dataclass(frozen=True)
class Shape:
    """What a topology is before numbers are put on it.

    ``names[i]`` names node ``i``; the nodes from ``first_switch`` on are switches. ``links`` holds
    ``(src, dst, capacity)``, sorted. ``sinks`` is the node where sinks sit, None for the host.
    """

    names: tuple[str, ...]
    first_switch: int
    links: tuple[tuple[int, int, int], ...]
    sinks: int | None = None


@dataclass(frozen=True)
class Topology:
    """One family of built-in machines.

    Attributes:
        pattern: how it is written, as shown to users.
        description: one sentence on nodes, links and numbering.
        example: a name that works.
        arguments: regular expression of the text after the colon, one group per number.
        size: numbers to (nodes, links), computed without building; counts above the limits may be cut off there.
        build: numbers to shape.
    """

    pattern: str
    description: str
    example: str
    arguments: re.Pattern[str]
    size: Callable[[tuple[int, ...]], tuple[int, int]]
    build: Callable[[tuple[int, ...]], Shape]


def _shape(names: Iterable[str], cables: Iterable[Cable], switches: int = 0) -> Shape:
    all_names = tuple(names)
    both = {(a, b, capacity) for a, b, capacity in cables} | {(b, a, capacity) for a, b, capacity in cables}
    return Shape(all_names, len(all_names) - switches, tuple(sorted(both)))


def _numbered(count: int) -> list[str]:
    return [f"n{i}" for i in range(count)]


def _power(base: int, exponent: int) -> int:
    """``base ** exponent``, cut off where it is beyond every limit anyway."""
    return base ** min(exponent, 40) if base > 1 else base


def _line(numbers: tuple[int, ...]) -> Shape:
    return _shape(_numbered(numbers[0]), [(i, i + 1, 1) for i in range(numbers[0] - 1)])


def _ring(numbers: tuple[int, ...]) -> Shape:
    return _shape(_numbered(numbers[0]), _wrapped_row(numbers[0]))


def _wrapped_cables(count: int) -> int:
    """How many cables close ``count`` nodes into a ring: two nodes share one cable, a single node has none."""
    return count if count > 2 else count - 1


def _wrapped_row(count: int) -> list[Cable]:
    return [(i, (i + 1) % count, 1) for i in range(_wrapped_cables(count))]


def _grid(sizes: tuple[int, ...], wrapped: bool) -> Shape:
    cells = list(itertools.product(*(range(size) for size in sizes)))
    cables: list[Cable] = []
    for axis, size in enumerate(sizes):
        stride = math.prod(sizes[axis + 1 :])
        row = _wrapped_row(size) if wrapped else [(i, i + 1, 1) for i in range(size - 1)]
        starts = [i for i, cell in enumerate(cells) if cell[axis] == 0]
        cables += [(start + a * stride, start + b * stride, 1) for start in starts for a, b, _ in row]
    return _shape(("n" + "_".join(map(str, cell)) for cell in cells), cables)


def _grid_size(sizes: tuple[int, ...], wrapped: bool) -> tuple[int, int]:
    nodes = math.prod(sizes)
    cables = sum(nodes // size * (_wrapped_cables(size) if wrapped else size - 1) for size in sizes)
    return nodes, 2 * cables


def _full(numbers: tuple[int, ...]) -> Shape:
    return _shape(_numbered(numbers[0]), [(a, b, 1) for a, b in itertools.combinations(range(numbers[0]), 2)])


def _star(numbers: tuple[int, ...]) -> Shape:
    count = numbers[0]
    return _shape([*_numbered(count), "s0"], [(i, count, 1) for i in range(count)], switches=1)


def _tree_nodes(depth: int, arity: int) -> int:
    nodes, level = 1, 1
    for _ in range(depth):
        level *= arity
        nodes += level
        if nodes > MAX_NODES:
            break
    return nodes


def _tree(numbers: tuple[int, ...]) -> Shape:
    count = _tree_nodes(*numbers)
    return _shape(_numbered(count), [((i - 1) // numbers[1], i, 1) for i in range(1, count)])


def _fat_tree(numbers: tuple[int, ...]) -> Shape:
    height = numbers[0]
    names = _numbered(2**height)
    cables: list[Cable] = []
    below, width = 0, 2**height
    for level in range(1, height + 1):
        here, capacity = below + width, 2 ** (level - 1)
        cables += [(below + i, here + i // 2, capacity) for i in range(width)]
        width //= 2
        below = here
        names += [f"s{level}_{i}" for i in range(width)]
    return _shape(names, cables, switches=2**height - 1)


def _hypercube(numbers: tuple[int, ...]) -> Shape:
    dimensions = numbers[0]
    cables = [(i, i ^ 1 << bit, 1) for i in range(2**dimensions) for bit in range(dimensions) if not i >> bit & 1]
    return _shape(_numbered(2**dimensions), cables)


_COUNT = r"([1-9][0-9]{0,8})"
_COUNT_OR_0 = r"(0|[1-9][0-9]{0,8})"
_ONE = re.compile(_COUNT, re.ASCII)
_GRID = re.compile(rf"{_COUNT}x{_COUNT}(?:x{_COUNT})?", re.ASCII)
_LEVELS = re.compile(_COUNT_OR_0, re.ASCII)
_TREE = re.compile(rf"{_COUNT_OR_0}x{_COUNT}", re.ASCII)

TOPOLOGIES: dict[str, Topology] = {
    "line": Topology(
        "line:N",
        "N nodes in a row, each linked with the next",
        "line:4",
        _ONE,
        lambda n: (n[0], 2 * (n[0] - 1)),
        _line,
    ),
    "ring": Topology(
        "ring:N",
        "N nodes in a circle (with N = 2 one cable, not two)",
        "ring:8",
        _ONE,
        lambda n: (n[0], 2 * _wrapped_cables(n[0])),
        _ring,
    ),
    "mesh": Topology(
        "mesh:AxB[xC]",
        "a grid of 2 or 3 dimensions; node n1_2 is row 1, column 2, the last coordinate counting fastest",
        "mesh:4x4",
        _GRID,
        lambda n: _grid_size(n, wrapped=False),
        lambda n: _grid(n, wrapped=False),
    ),
    "torus": Topology(
        "torus:AxB[xC]",
        "a mesh whose rows and columns close into rings (a dimension of 2 has one cable, not two)",
        "torus:4x4",
        _GRID,
        lambda n: _grid_size(n, wrapped=True),
        lambda n: _grid(n, wrapped=True),
    ),
    "full": Topology(
        "full:N",
        "N nodes, each linked with every other",
        "full:8",
        _ONE,
        lambda n: (n[0], n[0] * (n[0] - 1)),
        _full,
    ),
    "star": Topology(
        "star:N",
        "N compute nodes around one switch s0",
        "star:8",
        _ONE,
        lambda n: (n[0] + 1, 2 * n[0]),
        _star,
    ),
    "tree": Topology(
        "tree:DEPTHxARITY",
        "a tree in which every vertex computes: DEPTH levels of links, ARITY children each, numbered from the root, "
        "which is the host",
        "tree:3x2",
        _TREE,
        lambda n: (_tree_nodes(*n), 2 * (_tree_nodes(*n) - 1)),
        _tree,
    ),
    "fat_tree": Topology(
        "fat_tree:H",
        "2^H compute leaves below a binary tree of switches (s1_0 is the first above the leaves); frames_per_tick and "
        "calendar_entries double at every level towards the root (Leiserson 1985)",
        "fat_tree:4",
        _LEVELS,
        lambda n: (2 * _power(2, n[0]) - 1, 4 * (_power(2, n[0]) - 1)),
        _fat_tree,
    ),
    "hypercube": Topology(
        "hypercube:D",
        "2^D nodes, linked where their ids differ in one bit",
        "hypercube:4",
        _LEVELS,
        lambda n: (_power(2, n[0]), n[0] * _power(2, n[0])),
        _hypercube,
    ),
}


#: The machines that are made for a graph: (name as written, what it is, an example).
MADE = (
    (
        "one-to-one[:multicast]",
        "made for the graph that is folded: the source and its inputs on one node, every actor that computes on a node "
        "of its own, the final softmax and the sink on one; a direct link from node to node where tokens go. With "
        "multicast the host sends over one link, and a switch hands its frames to all that read them",
        "one-to-one",
    ),
)


def builtin_topologies() -> list[tuple[str, str, str]]:
    """(pattern, description, example) of every built-in topology that needs no graph, in the order to show them."""
    return [(one.pattern, one.description, one.example) for one in TOPOLOGIES.values()]


def is_topology(text: str) -> bool:
    """Whether ``text`` starts like a built-in name: one of the families, then a colon."""
    family, colon, _ = text.partition(":")
    return bool(colon) and family in TOPOLOGIES


def is_made(text: str) -> bool:
    """Whether ``text`` starts like the name of a machine that is made for a graph."""
    return re.match(r"one-to-one(?![A-Za-z0-9_.\-])", text.strip()) is not None


def numbers_of(text: str) -> tuple[str, tuple[int, ...]]:
    """Family and numbers of a built-in name: ``torus:4x3`` is torus, (4, 3).

    Raises:
        MachineError: no such family, or arguments that do not fit it.
    """
    family, _, arguments = text.partition(":")
    if family not in TOPOLOGIES:
        known = " ".join(one.pattern for one in TOPOLOGIES.values())
        raise MachineError(f"no topology {family[:64]!r}{hint(family, TOPOLOGIES)}; there are {known}")
    topology = TOPOLOGIES[family]
    match = topology.arguments.fullmatch(arguments)
    if match is None:
        raise MachineError(
            f"{text[:64]!r} does not fit {topology.pattern}, whose letters stand for whole numbers; "
            f"for example {topology.example}"
        )
    return family, tuple(int(group) for group in match.groups() if group is not None)


def topology_shape(text: str) -> Shape:
    """The shape that a built-in name such as ``torus:4x4`` stands for.

    Raises:
        MachineError: no such family, arguments that do not fit it, or more nodes or links than a machine may have;
            the size is found before anything is built.
    """
    family, numbers = numbers_of(text)
    topology = TOPOLOGIES[family]
    nodes, links = topology.size(numbers)
    if nodes > MAX_NODES:
        raise MachineError(f"{text} has more than {MAX_NODES:,} nodes, the most a machine may have; make it smaller")
    if links > MAX_LINKS:
        raise MachineError(f"{text} has more than {MAX_LINKS:,} links, the most a machine may have; make it smaller")
    return topology.build(numbers)


def shape_of(machine: Machine) -> Shape | None:
    """The shape of the machine's topology, if nodes and links really are its."""
    if not machine.topology:
        return None
    try:
        shape = topology_shape(machine.topology)
    except MachineError:
        return None
    kinds = ["compute" if i < shape.first_switch else "switch" for i in range(len(shape.names))]
    same_nodes = [(node.name, node.kind) for node in machine.nodes] == list(zip(shape.names, kinds, strict=True))
    same_links = [(link.src, link.dst) for link in machine.links] == [(src, dst) for src, dst, _ in shape.links]
    return shape if same_nodes and same_links else None


def scaled_links(link: Link, shape: Shape) -> list[Link]:
    """The links of ``shape`` with the settings of ``link``, :data:`SCALED_KEYS` multiplied by each one's capacity.

    Raises:
        MachineError: a product is above what the setting allows.
    """
    frames, entries, ports = link.frames_per_tick, link.calendar_entries, (link.memory_frames, link.calendar_rows)
    return [
        Link(src, dst, link.frame_bits, link.latency, frames * capacity, entries * capacity, *ports, link.frequency)
        for src, dst, capacity in shape.links
    ]
