"""machine.toml and settings after a built-in name: what is read, what is written, and what is refused how."""

from __future__ import annotations

import random
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from graphsim.errors import MachineError
from graphsim.machine import SETTINGS, Link, Machine, NodeSpec, builtin_topologies, load_machine, parse_machine
from graphsim.machine.reader import machine_from_toml

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = sorted((ROOT / "examples" / "machines").glob("*.toml"))
BUILTINS = [example for _, _, example in builtin_topologies()]


# What is read


def test_examples_load() -> None:
    assert [path.name for path in EXAMPLES] == ["board.toml", "mesh.toml"]
    for path in EXAMPLES:
        assert parse_machine(load_machine(str(path)).to_toml()) == load_machine(str(path))


def test_topology_with_defaults_and_overrides() -> None:
    mesh = load_machine(str(ROOT / "examples/machines/mesh.toml"))
    plain = load_machine("mesh:4x4")
    assert [node.name for node in mesh.nodes] == [node.name for node in plain.nodes]
    assert [node.macs_per_tick for node in mesh.nodes] == [8] + [2] * 15
    assert {node.op_ticks["special"] for node in mesh.nodes} == {12}
    assert {node.op_ticks["divide"] for node in mesh.nodes} == {8}
    slow = {mesh.link_name(i) for i, link in enumerate(mesh.links) if link.latency == 40}
    assert slow == {"n0_3->n1_3", "n1_3->n0_3"}
    assert {link.latency for link in mesh.links} == {2, 40}


def test_listed_nodes_and_links() -> None:
    board = load_machine(str(ROOT / "examples/machines/board.toml"))
    assert [node.name for node in board.nodes] == ["front", "left", "right", "s0"]
    assert [node.macs_per_tick for node in board.nodes] == [4, 4, 1, 1]
    assert [node.memory_bytes for node in board.nodes] == [4 * 2**20] * 3 + [0]
    assert [node.crossbar_latency for node in board.nodes] == [0, 0, 0, 1]
    assert board.nodes[2].op_ticks["divide"] == 24
    assert [board.link_name(i) for i in range(4)] == ["front->s0", "s0->front", "left->s0", "s0->left"]
    assert board.clock_mhz == 125.0


def test_empty_but_for_the_topology_is_the_built_in() -> None:
    assert parse_machine('topology = "torus:4x4"') == load_machine("torus:4x4")


def test_name_defaults_to_the_file_name(tmp_path: Path) -> None:
    path = tmp_path / "lonely.toml"
    path.write_text("nodes = [{name = 'a'}]", encoding="utf-8")
    assert load_machine(str(path)).name == "lonely"


def test_byte_order_mark_and_windows_line_ends_are_fine(tmp_path: Path) -> None:
    path = tmp_path / "machine.toml"
    path.write_bytes(b'\xef\xbb\xbftopology = "ring:4"\r\n[link]\r\nlatency = 3\r\n')
    assert {link.latency for link in load_machine(str(path)).links} == {3}


def test_default_host_is_the_first_compute_node() -> None:
    text = """
        nodes = [{name = "s", kind = "switch"}, {name = "a"}, {name = "b"}]
        links = [{from = "a", to = "s", both_ways = true}, {from = "b", to = "s", both_ways = true}]
    """
    assert parse_machine(text).host == 1


def test_later_override_wins_and_fat_tree_overrides_are_not_multiplied() -> None:
    text = """
        topology = "fat_tree:2"
        [link]
        frames_per_tick = 3
        [[link_override]]
        from = "s1_0"
        to = "s2_0"
        frames_per_tick = 9
        latency = 7
        [[link_override]]
        from = "s1_0"
        to = "s2_0"
        latency = 8
    """
    machine = parse_machine(text)
    up, down = (machine.link_between(*ends) for ends in [(4, 6), (6, 4)])
    assert up is not None
    assert down is not None
    assert machine.links[up] == Link(4, 6, latency=8, frames_per_tick=9, calendar_entries=8192)
    assert machine.links[down].frames_per_tick == 6


def test_settings_after_a_name_do_what_the_file_does() -> None:
    inline = load_machine(
        "star:4, macs_per_tick=4,op_ticks.special=16,latency=2,switch.crossbar_latency=3,clock_mhz=1.5,"
        "node.frequency=2,link.frequency=3,switch.frequency=3"
    )
    text = """
        topology = "star:4"
        clock_mhz = 1.5
        node.macs_per_tick = 4
        node.op_ticks.special = 16
        node.frequency = 2
        switch.frequency = 3
        switch.crossbar_latency = 3
        link.frequency = 3
        link.latency = 2
    """
    assert replace(inline, name="star:4") == parse_machine(text)
    assert inline.name.startswith("star:4, macs_per_tick=4")
    assert load_machine("mesh:2x2,host=n1_1").host == 3
    assert load_machine("ring:3,link.latency=5,node.ticks_per_firing=1").nodes[0].ticks_per_firing == 1


def test_settings_after_a_file_hold_whatever_it_says(tmp_path: Path) -> None:
    """On all nodes and links, of topologies and of lists, with the keys and the meaning that they have after a name."""
    path = tmp_path / "box.toml"
    path.write_text(
        'name = "box"\ntopology = "fat_tree:2"\nlink.frames_per_tick = 2\nnode_override = '
        '[{nodes = ["n0"], macs_per_tick = 3, memory_bytes = 9}]\n'
        'link_override = [{from = "n0", to = "s1_0", latency = 9, frames_per_tick = 9}]\n'
    )
    changed = load_machine(f"{path}, macs_per_tick=4,frames_per_tick=3,latency=2,host=n1")
    plain = load_machine("fat_tree:2,macs_per_tick=4,frames_per_tick=3,latency=2,host=n1")
    assert (changed.links, changed.host) == (plain.links, plain.host)
    assert changed.name == "box,macs_per_tick=4,frames_per_tick=3,latency=2,host=n1"
    assert [(node.macs_per_tick, node.memory_bytes) for node in changed.nodes[:2]] == [(4, 9), (4, 4_194_304)]

    path.write_text((ROOT / "examples/machines/board.toml").read_text())
    board = load_machine(f"{path},macs_per_tick=2,switch.crossbar_latency=7,frame_bits=16,clock_mhz=50")
    assert [node.macs_per_tick for node in board.nodes if node.kind == "compute"] == [2, 2, 2]
    assert [node.crossbar_latency for node in board.nodes if node.kind == "switch"] == [7]
    assert ({link.frame_bits for link in board.links}, board.clock_mhz) == ({16}, 50.0)
    for inline, what in [
        ("latency=-1", "link.latency: must be at least 0, not -1"),
        ("host=s0", "host: s0 is a switch; source and sink need a compute node"),
        ("speed=1", "no setting 'speed'"),
    ]:
        with pytest.raises(MachineError) as caught:
            load_machine(f"{path},{inline}")
        assert str(caught.value).startswith(f"{path},{inline}: {what}")
    path.write_text('topology = "ring:3"\nlink.latency = -1\n')
    with pytest.raises(MachineError, match=r"box\.toml:2: link\.latency: must be at least 0, not -1"):
        load_machine(f"{path},clock_mhz=50")


# What is written


@pytest.mark.parametrize("name", [*BUILTINS, "full:1", "fat_tree:0", "torus:4x4,ticks_per_firing=1,frame_bits=128"])
def test_built_ins_round_trip_briefly(name: str) -> None:
    machine = load_machine(name)
    text = machine.to_toml()
    assert parse_machine(text) == machine
    assert parse_machine(text).digest() == machine.digest()
    assert "nodes = [" not in text
    assert "override" not in text


def test_topology_that_no_longer_fits_is_written_as_lists() -> None:
    torus = load_machine("torus:2x2")
    cut = replace(torus, links=tuple(link for link in torus.links if (link.src, link.dst) not in {(0, 1), (1, 0)}))
    assert parse_machine(cut.to_toml()) == cut
    assert "topology" not in cut.to_toml()


ops = st.fixed_dictionaries({}, optional={unit: st.integers(0, 99) for unit in ("add", "mul", "compare", "divide")})
compute = st.fixed_dictionaries(
    {},
    optional={
        "macs_per_tick": st.integers(1, 3) | st.just(2**31 - 1),
        "op_ticks": ops,
        "memory_bytes": st.integers(0, 2) | st.just(2**50),
        "ticks_per_firing": st.none() | st.integers(1, 3),
        "frequency": st.integers(1, 4),
    },
)
link_settings = st.fixed_dictionaries(
    {},
    optional={
        "frame_bits": st.integers(1, 3) | st.just(2**20),
        "latency": st.integers(0, 3) | st.just(2**31 - 1),
        "frequency": st.integers(1, 4),
        "frames_per_tick": st.integers(1, 4) | st.just(2**31 - 1),
        "calendar_entries": st.integers(1, 4) | st.just(2**31 - 1),
        "memory_frames": st.integers(1, 2),
        "calendar_rows": st.integers(1, 2),
    },
)
node_names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_.\-]{0,12}", fullmatch=True)
machine_names = st.text(min_size=1, max_size=20).filter(str.isprintable) | st.sampled_from(
    ['"', "\\", "a\"\\'", "日本"]
)
clocks = st.floats(1e-6, 1e6)


def alike(nodes: list[NodeSpec], links: list[Link]) -> tuple[list[NodeSpec], list[Link]]:
    """If there are switches, all of them and all links get one frequency, and one width of frames."""
    first = next((node for node in nodes if node.kind == "switch"), None)
    if first is None or not links:
        return nodes, links
    frequency, bits = first.frequency, links[0].frame_bits
    switches = [replace(node, frequency=frequency) if node.kind == "switch" else node for node in nodes]
    return switches, [replace(link, frequency=frequency, frame_bits=bits) for link in links]


@st.composite
def listed(draw: st.DrawFn) -> Machine:
    """Any machine: connected through a star around node 0, plus any other links, in any order."""
    names = draw(st.lists(node_names, min_size=1, max_size=6, unique=True))
    nodes = [NodeSpec(names[0], **draw(compute))]
    for name in names[1:]:
        if draw(st.booleans()):
            nodes.append(NodeSpec(name, **draw(compute)))
        else:
            frequency, crossbar = draw(st.integers(1, 4)), draw(st.integers(0, 5))
            nodes.append(NodeSpec(name, "switch", frequency=frequency, crossbar_latency=crossbar))
    every = [(a, b) for a in range(len(names)) for b in range(len(names)) if a != b]
    more = draw(st.lists(st.sampled_from(every), unique=True)) if every else []
    ends = draw(st.permutations(sorted({end for end in every if 0 in end} | set(more))))
    links = [Link(src, dst, **draw(link_settings)) for src, dst in ends]
    nodes, links = alike(nodes, links)
    return Machine(draw(machine_names), draw(clocks), tuple(nodes), tuple(links), 0)


@st.composite
def from_topology(draw: st.DrawFn) -> Machine:
    """A built-in with some nodes and links changed, its topology kept."""
    machine = load_machine(draw(st.sampled_from([*BUILTINS, "line:1", "fat_tree:2", "ring:2"])))
    nodes, links = list(machine.nodes), list(machine.links)
    for i in draw(st.sets(st.sampled_from(machine.compute_nodes), max_size=4)):
        nodes[i] = replace(nodes[i], **draw(compute))
    for i in draw(st.sets(st.integers(0, len(links) - 1), max_size=4)) if links else ():
        links[i] = replace(links[i], **draw(link_settings))
    host = draw(st.sampled_from(machine.compute_nodes))
    nodes, links = alike(nodes, links)
    return replace(machine, nodes=tuple(nodes), links=tuple(links), host=host, clock_mhz=draw(clocks))


@settings(max_examples=150, deadline=None)
@given(machine=listed() | from_topology())
def test_what_is_written_reads_back_equal(machine: Machine) -> None:
    again = parse_machine(machine.to_toml())
    assert again == machine
    assert again.digest() == machine.digest()
    assert again.to_toml() == machine.to_toml()


def test_fat_tree_with_large_capacities_still_reads_back() -> None:
    fat = load_machine("fat_tree:3")
    wide = replace(fat, links=tuple(replace(link, frames_per_tick=2**31 - 1) for link in fat.links))
    assert parse_machine(wide.to_toml()) == wide


def test_fat_tree_with_thin_links_at_the_root_still_reads_back() -> None:
    """Most of its links have less than their share of any whole number of frames."""
    fat = load_machine("fat_tree:3")
    leaf = set(fat.compute_nodes)
    frames = [i + 2 if {link.src, link.dst} & leaf else 1 for i, link in enumerate(fat.links)]
    links = tuple(replace(link, frames_per_tick=count) for link, count in zip(fat.links, frames, strict=True))
    assert parse_machine(replace(fat, links=links).to_toml()) == replace(fat, links=links)


def test_too_large_to_be_read_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graphsim.machine.writer.MAX_FILE_BYTES", 100)
    with pytest.raises(MachineError, match="torus:4x4: its description is larger than"):
        load_machine("torus:4x4").to_toml()


# What is refused, and how

KNOWN_TOP = "name clock_mhz host sink_host topology nodes links node switch link node_override link_override"
KNOWN_TOPOLOGIES = " ".join(pattern for pattern, _, _ in builtin_topologies())
KNOWN_NODE = "frequency macs_per_tick op_ticks ticks_per_firing memory_bytes"
KNOWN_LINK = "frequency frame_bits latency frames_per_tick calendar_entries memory_frames calendar_rows"

GOLDEN = [
    (
        'topology = "ring:4"\nclok_mhz = 1',
        f"m.toml:2: clok_mhz: unknown key (did you mean 'clock_mhz'?); there are {KNOWN_TOP}",
    ),
    (
        'topology = "ring:4"\n\n[node]\nmacs = 1',
        f"m.toml:4: node.macs: unknown key; there are {KNOWN_NODE}",
    ),
    (
        'topology = "ring:4"\n[link]\n# why\nlatncy = 1',
        f"m.toml:4: link.latncy: unknown key (did you mean 'latency'?); there are {KNOWN_LINK}",
    ),
    (
        'topology = "ring:4"\n[node.op_ticks]\nadd = 1\ndivid = 2',
        "m.toml:4: node.op_ticks.divid: unknown key (did you mean 'divide'?); there are add mul compare divide special "
        "gate",
    ),
    (
        'topology = "ring:4"\n[node]\nmacs_per_tick = "4"',
        "m.toml:3: node.macs_per_tick: must be a whole number, not the text '4'",
    ),
    (
        'topology = "ring:4"\n[node]\nmacs_per_tick = true',
        "m.toml:3: node.macs_per_tick: must be a whole number, not true",
    ),
    (
        'topology = "ring:4"\n[node]\nmacs_per_tick = 1.0',
        "m.toml:3: node.macs_per_tick: must be a whole number, not 1.0",
    ),
    ('topology = "ring:4"\n[node]\nmacs_per_tick = 0', "m.toml:3: node.macs_per_tick: must be at least 1, not 0"),
    ('topology = "ring:4"\nlink.latency = -1', "m.toml:2: link.latency: must be at least 0, not -1"),
    (
        'topology = "ring:4"\nlink.frame_bits = 1048577',
        "m.toml:2: link.frame_bits: must be at most 1,048,576, not 1048577",
    ),
    (
        f'topology = "ring:4"\nlink.frame_bits = 0x{"f" * 1000}',
        "m.toml:2: link.frame_bits: must be at most 1,048,576, not a number of 4,000 bits",
    ),
    ('topology = "ring:4"\nclock_mhz = nan', "m.toml:2: clock_mhz: must be a finite number, not nan"),
    ('topology = "ring:4"\nclock_mhz = -inf', "m.toml:2: clock_mhz: must be a finite number, not -inf"),
    ('topology = "ring:4"\nclock_mhz = 1e400', "m.toml:2: clock_mhz: must be a finite number, not inf"),
    ('topology = "ring:4"\nclock_mhz = true', "m.toml:2: clock_mhz: must be a number, not true"),
    ('topology = "ring:4"\nclock_mhz = "200"', "m.toml:2: clock_mhz: must be a number, not the text '200'"),
    ('topology = "ring:4"\nclock_mhz = 0', "m.toml:2: clock_mhz: must be at least 1e-06, not 0"),
    ('topology = "ring:4"\nclock_mhz = 1979-05-27', "m.toml:2: clock_mhz: must be a number, not the date 1979-05-27"),
    ('topology = "ring:4"\nlink = 3', "m.toml:2: link: must be a table, not 3"),
    (
        'topology = "ring:4"\n[[node_override]]\nnodes = []',
        "m.toml:3: node_override[0].nodes: must be an array of at least one entry, not an empty array",
    ),
    ('topology = "ring:4"\nnode_override = {}', "m.toml:2: node_override: must be an array, not a table"),
    ("topology = 4", "m.toml:1: topology: must be text, not 4"),
    ('topology = "ring:4"\nname = ""', "m.toml:2: name: must be at least one character, not the text ''"),
    ('topology = "ring:4"\nname = "a\\u0007"', "m.toml:2: name: a machine's name is 1 to 200 printable characters"),
    (
        'topology = "rng:4"',
        f"m.toml:1: topology: no topology 'rng' (did you mean 'ring'?); there are {KNOWN_TOPOLOGIES}",
    ),
    (
        '\ntopology = "ring"',
        "m.toml:2: topology: 'ring' does not fit ring:N, whose letters stand for whole numbers; for example ring:8",
    ),
    (
        '\ntopology = "ring:99999"',
        "m.toml:2: topology: ring:99999 has more than 65,536 nodes, the most a machine may have; make it smaller",
    ),
    ('topology = "ring:4"\nhost = "n4"', "m.toml:2: host: no node is called 'n4'; there are n0, n1, n2, ..."),
    ('topology = "star:4"\nhost = "s0"', "m.toml:2: host: s0 is a switch; source and sink need a compute node"),
    (
        'topology = "ring:4"\n[[nodes]]\nname = "a"',
        "m.toml:2: nodes: cannot stand beside topology; use node_override to change some nodes",
    ),
    (
        'topology = "ring:4"\nlinks = []',
        "m.toml:2: links: cannot stand beside topology; use link_override to change some links",
    ),
    ('name = "x"', 'm.toml: neither topology nor nodes; write topology = "torus:4x4", or list [[nodes]] and [[links]]'),
    ("nodes = []", "m.toml:1: nodes: every node is a switch; at least one must compute"),
    ('[[nodes]]\nname = "a"\n[[nodes]]\nkind = "switch"', "m.toml:3: nodes[1].name: this key is missing; add it"),
    (
        '[[nodes]]\nname = "a"\nkind = "gpu"',
        "m.toml:3: nodes[0].kind: must be 'compute' or 'switch', not the text 'gpu'",
    ),
    (
        '[[nodes]]\nname = "a b"',
        "m.toml:2: nodes[0].name: must be a letter or _, then letters, digits, _ . - (64 at most), not 'a b'",
    ),
    (
        '[[nodes]]\nname = "a"\n[[nodes]]\n\nname = "a"',
        "m.toml:5: nodes[1].name: two nodes are called a; give each its own name",
    ),
    (
        '[[nodes]]\nname = "a"\n[[nodes]]\nname = "s"\nkind = "switch"\nop_ticks.add = 3',
        "m.toml:6: nodes[1].op_ticks: s is a switch, without work or memory; only frequency and crossbar_latency "
        "fit it",
    ),
    (
        'topology = "star:2"\n[[node_override]]\nnodes = [\n  "n0",\n  "s0",\n]\nmacs_per_tick = 2',
        "m.toml:7: node_override[0].macs_per_tick: s0 is a switch, without work or memory; only frequency and "
        "crossbar_latency fit it",
    ),
    (
        'topology = "star:2"\n[[node_override]]\nnodes = ["n0"]\ncrossbar_latency = 2',
        "m.toml:4: node_override[0].crossbar_latency: n0 computes; only a switch has a crossbar",
    ),
    (
        'topology = "star:2"\nlink.frequency = 2',
        "m.toml:1: topology: switch s0 has frequency 1, its link n0->s0 has 2; a switch passes on a frame in every "
        "cycle: give it and its links one frequency",
    ),
    (
        'topology = "star:2"\n[[link_override]]\nfrom = "n1"\nto = "s0"\nframe_bits = 8',
        "m.toml:1: topology: link n1->s0 has frames of 8 bits, n0->s0 of 64; switch s0 passes frames on as they are: "
        "give all its links one frame_bits",
    ),
    (
        'topology = "star:2"\n[[node_override]]\nnodes = [\n  "n0",\n  "n9",\n]\nmacs_per_tick = 2',
        "m.toml:5: node_override[0].nodes[1]: no node is called 'n9'; there are n0, n1, s0",
    ),
    (
        'nodes = [{name = "a"}, {name = "b"}]\nlinks = [\n  {from = "a", to = "b", both_ways = true},\n'
        '  {from = "b", to = "a"},\n]',
        "m.toml:4: links[1]: a second link from b to a, after links[0]; give that one more frames_per_tick instead",
    ),
    (
        'nodes = [{name = "a"}, {name = "b"}]\n[[links]]\nfrom = "a"\nto = "c"',
        "m.toml:4: links[0].to: no node is called 'c'; there are a, b",
    ),
    (
        'nodes = [{name = "a"}, {name = "b"}]\n[[links]]\nfrom = "a"\nto = "a"',
        "m.toml:4: links[0].to: a link joins two different nodes, and both ends are a",
    ),
    (
        'nodes = [{name = "a"}, {name = "b"}]\n[[links]]\nfrom = "a"\nto = "b"\nboth_ways = 1',
        "m.toml:5: links[0].both_ways: must be true or false, not 1",
    ),
    (
        'nodes = [{name = "a"}, {name = "b"}]\n[[links]]\nfrom = "a"\nto = "b"',
        "m.toml:2: links: no path of links from b to host a; add one",
    ),
    ('nodes = [{name = "a"}, {name = "b"}]', "m.toml:1: nodes: no path of links from host a to b; add one"),
    (
        'topology = "ring:4"\n[[link_override]]\nfrom = "n0"\nto = "n2"\nlatency = 4',
        "m.toml:2: link_override[0]: there is no link from n0 to n2",
    ),
    (
        'topology = "fat_tree:4"\n[link]\nframes_per_tick = 1000000000',
        "m.toml:3: link.frames_per_tick: links at the root of fat_tree:4 have 8 times this; 2,147,483,647 is the most",
    ),
    (
        'topology = "ring:4"\n[link]\nlatency = "a"\nframe_bits = 0\n[node]\nmemory_bytes = -1',
        "m.toml:6: node.memory_bytes: must be at least 0, not -1\n"
        "m.toml:4: link.frame_bits: must be at least 1, not 0\n"
        "m.toml:3: link.latency: must be a whole number, not the text 'a'",
    ),
]


@pytest.mark.parametrize(("text", "message"), GOLDEN)
def test_message_names_file_line_key_and_what_to_do(text: str, message: str) -> None:
    with pytest.raises(MachineError) as caught:
        machine_from_toml(text, "m.toml")
    assert str(caught.value) == message


def test_many_faults_are_cut_off() -> None:
    text = 'topology = "ring:4"\n' + "\n".join(f"wrong{i} = 1" for i in range(15))
    with pytest.raises(MachineError) as caught:
        machine_from_toml(text, "m.toml")
    lines = str(caught.value).splitlines()
    assert len(lines) == 11
    assert lines[-1] == "and 5 more faults"


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ('topology = "ring:4"\n[link\n', "m.toml:2: not TOML: "),
        ("a = 1\na = 2", "m.toml:2: not TOML: "),
        ("a = [[", "m.toml"),
        ("x = " + "[" * 1900, "m.toml"),
        ("a.b = 1\n" + "a = " + "9" * 2000, "m.toml:2: a line of 2,004 characters; break it (2,000 at most)"),
        (".".join("a" * 900) + " = 1", "m.toml:1: a"),
        ("a.b.c.d.e = 1\n" * 30_000, "m.toml: more than 100,000 dots"),
    ],
)
def test_broken_toml(text: str, start: str) -> None:
    with pytest.raises(MachineError, match="^" + re.escape(start)):
        machine_from_toml(text, "m.toml")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("", "no machine ''"),
        ("torus", "no machine 'torus': write torus:AxB[xC], for example torus:4x4"),
        ("torus-4x4", "write torus:AxB[xC]"),
        ("tours:4x4", "(did you mean 'torus'?); built-ins are line:N ring:N"),
        ("nowhere/machine.toml", "no machine 'nowhere/machine.toml': there is no such file"),
        ("a\0b", "no machine"),
        ("x" * 900, "no machine"),
        ("x" * 5000, "a machine of 5,000 characters"),
        ("torus:4x4?latency=2&macs_per_tick=4", "settings follow after commas: torus:4x4,latency=2,macs_per_tick=4"),
        ("torus:4x4,", "'' is not a setting; write key=value"),
        ("torus:4x4,latency", "'latency' is not a setting; write key=value"),
        ("torus:4x4,latency=", "'latency=' is not a setting"),
        ("torus:4x4,latncy=2", "no setting 'latncy' (did you mean 'latency'?); there are host sink_host clock_mhz"),
        ("torus:4x4,latency=2,link.latency=3", "link.latency is set twice; keep one"),
        ("torus:4x4,frequency=2", "no setting 'frequency' (did you mean 'node.frequency'?)"),
        ("ring:4,node.frequency=65537,link.frequency=65539", "topology: the least common multiple of all frequencies"),
        ("torus:4x4,latency=-1", "torus:4x4,latency=-1: link.latency: must be at least 0, not -1"),
        ("torus:4x4,latency=1.5", "link.latency: must be a whole number, not 1.5"),
        ("torus:4x4,latency=two", "link.latency: must be a whole number, not the text 'two'"),
        ("torus:4x4,clock_mhz=nan", "clock_mhz: must be a finite number, not nan"),
        ("torus:4x4,host=n9_9", "host: no node is called 'n9_9'"),
        ("torus:4x4,host=3", "host: must be text, not 3"),
        ("torus:0x4,latency=1", "topology: 'torus:0x4' does not fit"),
    ],
)
def test_specs_that_name_no_machine(spec: str, message: str) -> None:
    with pytest.raises(MachineError, match=re.escape(message)):
        load_machine(spec)


def test_folders_binary_files_and_huge_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="not a file"):
        load_machine(str(tmp_path))
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"a = 1\nb = '\xff'")
    with pytest.raises(MachineError, match=r"binary\.toml:2: not UTF-8 text"):
        load_machine(str(binary))
    huge = tmp_path / "huge.toml"
    with huge.open("wb") as stream:
        stream.truncate(2**40)
    with pytest.raises(MachineError, match="larger than 1 MiB"):
        load_machine(str(huge))


# Anything at all gives a machine or a MachineError

SEEDS = [path.read_text(encoding="utf-8") for path in EXAMPLES] + [load_machine("fat_tree:2").to_toml()]
TOKENS = [
    "[",
    "]",
    "[[",
    "]]",
    "{",
    "}",
    "=",
    ",",
    ".",
    '"',
    '"""',
    "'",
    "#",
    "\n",
    "\\",
    "\r",
    "\0",
    "nan",
    "true",
    "-1",
]
TOKENS += [
    "1e999",
    "0x" + "f" * 40,
    "1979-05-27T07:32:00Z",
    "torus:9999x9999",
    "topology",
    "nodes",
    "kind",
    "\ufeff",
    "é",
]


@pytest.mark.parametrize("seed", range(4))
def test_mutated_files(seed: int) -> None:
    dice = random.Random(seed)
    refused = 0
    for _ in range(250):
        text = dice.choice(SEEDS)
        for _ in range(dice.randint(1, 4)):
            a, b = sorted(dice.randrange(len(text) + 1) for _ in range(2))
            b = min(b, a + dice.choice([0, 1, 5, 40]))
            text = text[:a] + dice.choice([*TOKENS, text[b : b + 30], ""]) + text[b:]
        try:
            parse_machine(text)
        except MachineError as error:
            refused += 1
            assert str(error).startswith("machine.toml")
    assert refused > 100


values = st.recursive(
    st.integers(-(2**70), 2**70)
    | st.floats()
    | st.booleans()
    | st.dates()
    | st.sampled_from(["a", "n0", "ring:4", "", "switch", "compute", "n1"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["name", "from", "to", "nodes", "add"]), inner, max_size=3)
    ),
    max_leaves=6,
)
TOP_KEYS = KNOWN_TOP.split()


def toml_value(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "[" + ", ".join(map(toml_value, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {toml_value(one)}" for key, one in value.items()) + "}"
    return f'"{value}"' if isinstance(value, str) else str(value)


@settings(max_examples=300, deadline=None)
@given(data=st.dictionaries(st.sampled_from(TOP_KEYS), values, max_size=4))
@example(data={"topology": "ring:4", "host": [], "link_override": [{"from": "n0", "to": "n1"}]})
def test_any_value_at_any_key(data: dict[str, object]) -> None:
    text = "\n".join(f"{key} = {toml_value(value)}" for key, value in data.items())
    try:
        parse_machine(text)
    except MachineError as error:
        lines = str(error).splitlines()
        assert all(re.match(r"machine\.toml(:\d+: |: |$)", line) or line.startswith("and ") for line in lines)


# The page that users read


def test_documentation_lists_every_default_and_built_in() -> None:
    def number(value: float | None) -> str:
        return "none" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:g}"

    page = (ROOT / "docs" / "machines.md").read_text(encoding="utf-8")
    for key, one in SETTINGS.items():
        bounds = f"{number(one.default)} | {number(one.low)} | {number(one.high)}"
        assert f"| `{key}` | {bounds} | {one.unit} | {one.reason} |\n" in page
    for pattern, description, name in builtin_topologies():
        assert f"| `{pattern}` | {description} | `{name}` |\n" in page
