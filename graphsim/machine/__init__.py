"""The hardware that graphs are folded onto: nodes, links, topologies, and the ``machine.toml`` file.

::

    settings.py     every number: default, bounds, unit, reason
    model.py        NodeSpec, Link, Machine: plain data, checked on construction
    topologies.py   line, ring, mesh, torus, full, star, tree, fat_tree, hypercube
    members.py      smaller machines of the same family inside a machine
    one_to_one.py   the machine that is made for a graph
    family.py       torus:{2..8}x{2..8}
    load.py         load_machine("torus:4x4") or load_machine("machine.toml")
    reader.py       machine.toml and settings after a name, validated with pydantic
    tables.py       TOML files with a strict schema, and what is wrong with them
    positions.py    the line on which a key of a TOML file stands
    writer.py       Machine.to_toml
"""

from graphsim.machine.load import load_machine, needs_graph, parse_machine
from graphsim.machine.model import WORK_UNITS, Link, Machine, NodeSpec, OpTicks
from graphsim.machine.settings import MAX_LINKS, MAX_NODES, SETTINGS, Setting
from graphsim.machine.topologies import MADE, builtin_topologies

__all__ = [
    "MADE",
    "MAX_LINKS",
    "MAX_NODES",
    "SETTINGS",
    "WORK_UNITS",
    "Link",
    "Machine",
    "NodeSpec",
    "OpTicks",
    "Setting",
    "builtin_topologies",
    "load_machine",
    "needs_graph",
    "parse_machine",
]
