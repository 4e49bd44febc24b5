"""Built-in topologies against networkx's generators, which are written independently."""

from __future__ import annotations

import math

import networkx as nx
import pytest

from graphsim.errors import MachineError
from graphsim.machine import MAX_LINKS, MAX_NODES, Machine, builtin_topologies, load_machine
from graphsim.machine.topologies import TOPOLOGIES, topology_shape


def undirected(machine: Machine) -> nx.Graph:
    """The machine's cables; fails if a link has no twin in the other direction."""
    ends = {(link.src, link.dst) for link in machine.links}
    assert ends == {(dst, src) for src, dst in ends}
    graph = nx.Graph()
    graph.add_nodes_from(range(len(machine.nodes)))
    graph.add_edges_from(ends)
    return graph


def grid(sizes: list[int], periodic: bool) -> nx.Graph:
    """networkx's grid with nodes numbered row by row; networkx gives a periodic dimension of 1 self-loops."""
    graph = nx.grid_graph(dim=sizes[::-1], periodic=periodic)
    graph.remove_edges_from(list(nx.selfloop_edges(graph)))
    return graph


def as_cells(machine: Machine, sizes: list[int]) -> nx.Graph:
    def cell(node: int) -> tuple[int, ...]:
        return tuple(int(part) for part in machine.nodes[node].name[1:].split("_"))

    assert len(machine.nodes) == math.prod(sizes)
    return nx.relabel_nodes(undirected(machine), {i: cell(i) for i in range(len(machine.nodes))})


@pytest.mark.parametrize("n", [1, 2, 3, 8])
def test_line_is_a_path(n: int) -> None:
    assert nx.utils.graphs_equal(undirected(load_machine(f"line:{n}")), nx.path_graph(n))


@pytest.mark.parametrize("n", [3, 4, 9])
def test_ring_is_a_cycle(n: int) -> None:
    assert nx.utils.graphs_equal(undirected(load_machine(f"ring:{n}")), nx.cycle_graph(n))


@pytest.mark.parametrize(("n", "links"), [(1, 0), (2, 2)])
def test_small_rings_have_no_double_links_or_loops(n: int, links: int) -> None:
    assert len(load_machine(f"ring:{n}").links) == links


@pytest.mark.parametrize("sizes", [[1, 1], [1, 5], [2, 3], [4, 4], [2, 3, 4], [3, 1, 2]])
@pytest.mark.parametrize("family", ["mesh", "torus"])
def test_grids(family: str, sizes: list[int]) -> None:
    machine = load_machine(f"{family}:{'x'.join(map(str, sizes))}")
    assert nx.utils.graphs_equal(as_cells(machine, sizes), grid(sizes, periodic=family == "torus"))


@pytest.mark.parametrize("n", [1, 2, 7])
def test_full_is_complete(n: int) -> None:
    assert nx.utils.graphs_equal(undirected(load_machine(f"full:{n}")), nx.complete_graph(n))


@pytest.mark.parametrize("n", [1, 2, 7])
def test_star_has_one_switch_in_the_middle(n: int) -> None:
    machine = load_machine(f"star:{n}")
    assert machine.switches == (n,)
    assert machine.compute_nodes == tuple(range(n))
    assert nx.utils.graphs_equal(undirected(machine), nx.star_graph([n, *range(n)]))


@pytest.mark.parametrize(("depth", "arity"), [(0, 3), (1, 1), (3, 2), (2, 5), (4, 1)])
def test_tree_is_balanced_and_computes_everywhere(depth: int, arity: int) -> None:
    machine = load_machine(f"tree:{depth}x{arity}")
    oracle = nx.balanced_tree(arity, depth) if arity > 1 else nx.path_graph(depth + 1)
    assert nx.utils.graphs_equal(undirected(machine), oracle)
    assert not machine.switches
    assert machine.host == 0


@pytest.mark.parametrize("height", [0, 1, 2, 4])
def test_fat_tree_is_a_binary_tree_with_computing_leaves(height: int) -> None:
    machine = load_machine(f"fat_tree:{height}")
    graph = undirected(machine)
    assert nx.is_isomorphic(graph, nx.balanced_tree(2, height))
    assert machine.compute_nodes == tuple(range(2**height))
    if height:
        assert all(graph.degree(leaf) == 1 for leaf in machine.compute_nodes)


@pytest.mark.parametrize("cut", [1, 2, 3, 4])
def test_fat_tree_carries_as_many_frames_across_every_level(cut: int) -> None:
    """Doubling towards the root keeps the sum over a level of links constant: the definition of full bisection."""
    height = 4
    machine = load_machine(f"fat_tree:{height}")
    prefix = f"s{cut}_"
    upwards = [
        link
        for link in machine.links
        if machine.nodes[link.dst].name.startswith(prefix)
        and not machine.nodes[link.src].name.startswith(f"s{cut + 1}_")
    ]
    assert sum(link.frames_per_tick for link in upwards) == 2**height
    assert sum(link.calendar_entries for link in upwards) == 2**height * 4096
    assert len(upwards) == 2 ** (height - cut + 1)


@pytest.mark.parametrize(("dimensions", "oracle"), [(0, nx.path_graph(1)), (1, nx.path_graph(2))])
def test_smallest_hypercubes(dimensions: int, oracle: nx.Graph) -> None:
    assert nx.utils.graphs_equal(undirected(load_machine(f"hypercube:{dimensions}")), oracle)


@pytest.mark.parametrize("dimensions", [2, 3, 5])
def test_hypercube(dimensions: int) -> None:
    graph = undirected(load_machine(f"hypercube:{dimensions}"))
    oracle = nx.hypercube_graph(dimensions)
    bits = {cell: int("".join(map(str, cell)), 2) for cell in oracle}
    assert nx.utils.graphs_equal(graph, nx.relabel_nodes(oracle, bits))


@pytest.mark.parametrize(
    ("name", "degrees"),
    [("torus:4x4", {4}), ("torus:4x4x4", {6}), ("torus:2x5", {3}), ("torus:1x5", {2}), ("hypercube:6", {6})],
)
def test_degrees(name: str, degrees: set[int]) -> None:
    machine = load_machine(name)
    every = range(len(machine.nodes))
    assert {len(machine.out_links(node)) for node in every} == degrees
    assert {len(machine.in_links(node)) for node in every} == degrees


@pytest.mark.parametrize(
    "name", [example for _, _, example in builtin_topologies()] + ["ring:2", "torus:2x1", "full:1"]
)
def test_announced_size_is_the_built_size(name: str) -> None:
    """The size check before building is only worth something if it predicts what is built."""
    family, _, arguments = name.partition(":")
    topology = TOPOLOGIES[family]
    match = topology.arguments.fullmatch(arguments)
    assert match is not None
    nodes, links = topology.size(tuple(int(group) for group in match.groups() if group is not None))
    shape = topology_shape(name)
    assert (nodes, links) == (len(shape.names), len(shape.links))


@pytest.mark.parametrize("name", [example for _, _, example in builtin_topologies()])
def test_links_are_sorted_and_compute_nodes_come_first(name: str) -> None:
    machine = load_machine(name)
    ends = [(link.src, link.dst) for link in machine.links]
    assert ends == sorted(set(ends))
    assert machine.compute_nodes == tuple(range(len(machine.compute_nodes)))


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("line:65537", "nodes"),
        ("ring:999999999", "nodes"),
        ("mesh:999999999x999999999x999999999", "nodes"),
        ("torus:257x256", "nodes"),
        ("star:65536", "nodes"),
        ("tree:999999999x1", "nodes"),
        ("tree:999999999x999999999", "nodes"),
        ("fat_tree:16", "nodes"),
        ("fat_tree:999999999", "nodes"),
        ("hypercube:17", "nodes"),
        ("hypercube:999999999", "nodes"),
        ("full:1025", "links"),
        ("full:65536", "links"),
    ],
)
def test_too_large_is_refused_before_building(name: str, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graphsim.machine.topologies._shape", lambda *_: pytest.fail("it was built"))
    limit = MAX_NODES if what == "nodes" else MAX_LINKS
    with pytest.raises(MachineError, match=f"^{name} has more than {limit:,} {what}"):
        load_machine(name)


@pytest.mark.parametrize("name", ["hypercube:16", "full:1024", "line:65536"])
def test_announced_size_of_the_largest_is_within_limits(name: str) -> None:
    family, _, arguments = name.partition(":")
    nodes, links = TOPOLOGIES[family].size((int(arguments),))
    assert nodes <= MAX_NODES
    assert links <= MAX_LINKS


@pytest.mark.parametrize(
    "name",
    [
        *(
            "line:0",
            "line:-1",
            "line:",
            "line:4x4",
            "line:9999999999",
            "mesh:4",
            "mesh:4x",
            "mesh:2x2x2x2",
            "torus:0x4",
        ),
        *("torus:04x4", "tree:3", "tree:2x0", "fat_tree:-1", "hypercube:1.5", "hypercube: 3", "full:1e3", "star:٣"),
    ],
)
def test_arguments_that_do_not_fit_are_refused_with_an_example(name: str) -> None:
    with pytest.raises(MachineError, match="for example"):
        load_machine(name)
