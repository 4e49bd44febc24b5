"""Smaller machines inside a machine: the members of its family that have at most as many nodes in every direction.

``ring:6`` holds ``ring:1`` to ``ring:5``, ``torus:4x4`` holds ``torus:3x2``. So it holds ``mesh:3x2``, and ``ring:6``
holds ``line:4``, which are left open where the ring closes. A member's nodes are nodes of the machine,
the host among them. A link of a member is a link of the machine, or, where a smaller ring closes, all links of the
machine on the way round, one after the other: nodes that the member does not have pass frames on. No link of the
machine stands for two.

    family                             nodes of a member                                links
    line, full, hypercube              those of the same number                         the same
    star                               those of the same number, and the switch         the same
    mesh                               those with the same coordinates                  the same
    tree                               the first children of each, level by level       the same
    fat_tree                           what is below the first switch of its height     the same
    ring, torus                        those with the same coordinates                  from the last back to the first
                                                                                        through all nodes between
    line of a ring, mesh of a torus    those with the same coordinates                  the same
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from graphsim.machine.model import LINK_KEYS, Link, Machine
from graphsim.machine.topologies import TOPOLOGIES, numbers_of, shape_of, topology_shape

Numbers = tuple[int, ...]


@dataclass(frozen=True)
class Member:
    """A smaller machine of one family inside a larger one.

    Attributes:
        machine: the smaller one; its nodes have the names of those that they are in the larger one.
        node: for each of its nodes, the id of that one, ascending.
        path: for each of its links, the ids of those that stand for it, in the order in which frames take them.
    """

    machine: Machine
    node: tuple[int, ...]
    path: tuple[tuple[int, ...], ...]

    @property
    def direct(self) -> bool:
        """Whether every link is a link of the larger machine."""
        return all(len(links) == 1 for links in self.path)


#: What a ring or torus is where it is left open.
_OPEN = {"ring": "line", "torus": "mesh"}


def smaller(machine: Machine, *, left_open: bool = False) -> list[tuple[int, str]]:
    """(compute nodes, name) of all members but the machine itself, ascending; none if it is no built-in.

    A tree of no level is listed once, whatever its arity; and a line or mesh, with ``left_open``, if it is no ring or
    torus anyhow.
    """
    if shape_of(machine) is None:
        return []
    family, whole = numbers_of(machine.topology)
    least = {"tree": (0, 1), "fat_tree": (0,), "hypercube": (0,)}.get(family, (1,) * len(whole))
    found = []
    for numbers in itertools.product(*(range(a, b + 1) for a, b in zip(least, whole, strict=True))):
        if left_open and family in _OPEN and max(numbers) > 2:
            found.append((math.prod(numbers), numbers, _OPEN[family]))
        if numbers == whole or (family == "tree" and numbers[0] == 0 and numbers != least):
            continue
        nodes, _ = TOPOLOGIES[family].size(numbers)
        switches = {"star": 1, "fat_tree": nodes // 2}.get(family, 0)
        found.append((nodes - switches, numbers, family))
    return [(nodes, f"{kind}:{'x'.join(map(str, numbers))}") for nodes, numbers, kind in sorted(found)]


def member(machine: Machine, name: str) -> Member | None:
    """The member of this name, with the settings that its nodes and links have in the machine.

    None where there is none like it: the host of sources or sinks is outside, links on a way round differ from each
    other, or ticks would be longer, as only nodes and links outside have a frequency that asks for so short ones.
    """
    (family, numbers), whole = numbers_of(name), numbers_of(machine.topology)[1]
    shape = topology_shape(name)
    node = _nodes(family, numbers, whole)
    inside = {v: i for i, v in enumerate(node)}
    if machine.host not in inside or machine.sink_host not in inside:
        return None
    links, path = [], []
    for src, dst, _ in shape.links:
        way = _way(family, numbers, whole, src, dst)
        path.append(tuple(_link(machine, a, b) for a, b in itertools.pairwise(way)))
        settings = {tuple(getattr(machine.links[link], key) for key in LINK_KEYS) for link in path[-1]}
        if len(settings) > 1:
            return None
        links.append(Link(src, dst, *settings.pop()))
    small = replace(
        machine,
        name=name,
        nodes=tuple(machine.nodes[v] for v in node),
        links=tuple(links),
        host=inside[machine.host],
        sinks=inside[machine.sink_host],
        topology="",
    )
    return Member(small, node, tuple(path)) if small.cycle == machine.cycle else None


def _link(machine: Machine, src: int, dst: int) -> int:
    found = machine.link_between(src, dst)
    assert found is not None
    return found


def _nodes(family: str, numbers: Numbers, whole: Numbers) -> tuple[int, ...]:
    """The node of the whole machine that each node of a member is."""
    if family in ("line", "mesh", "ring", "torus"):
        return tuple(_number(cell, whole) for cell in itertools.product(*map(range, numbers)))
    if family == "star":
        return (*range(numbers[0]), whole[0])
    if family == "tree":
        level, found = [0], [0]
        for _ in range(numbers[0]):
            level = [v * whole[1] + 1 + child for v in level for child in range(numbers[1])]
            found += level
        return tuple(found)
    if family == "fat_tree":
        found, below = [], 0
        for height in range(numbers[0] + 1):
            found += range(below, below + 2 ** (numbers[0] - height))
            below += 2 ** (whole[0] - height)
        return tuple(found)
    return tuple(range(TOPOLOGIES[family].size(numbers)[0]))


def _number(cell: Sequence[int], sizes: Numbers) -> int:
    """The id of a node of a grid, the last coordinate counting fastest."""
    found = 0
    for at, size in zip(cell, sizes, strict=True):
        found = found * size + at
    return found


def _way(family: str, numbers: Numbers, whole: Numbers, src: int, dst: int) -> list[int]:
    """The nodes of the whole machine on the way that a link of a member is, both ends included."""
    if family not in ("ring", "torus"):
        node = _nodes(family, numbers, whole)
        return [node[src], node[dst]]
    a, b = _cell(src, numbers), _cell(dst, numbers)
    axis = next(i for i in range(len(a)) if a[i] != b[i])
    if abs(a[axis] - b[axis]) == 1:
        along = [a[axis], b[axis]]
    else:  # from the last to the first, or back
        along = [*range(numbers[axis] - 1, whole[axis]), 0]
        along = along if b[axis] == 0 else along[::-1]
    return [_number([*a[:axis], at, *a[axis + 1 :]], whole) for at in along]


def _cell(number: int, sizes: Numbers) -> list[int]:
    """The coordinates of a node of a grid."""
    cell = []
    for size in reversed(sizes):
        number, at = divmod(number, size)
        cell.append(at)
    return cell[::-1]
