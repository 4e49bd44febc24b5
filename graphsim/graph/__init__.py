"""The dataflow graph and its encodings. Start with :mod:`graphsim.graph.graph`, then ``channels`` and ``ops``."""

from graphsim.graph.channels import Channel, Csr, Dense, Edges, OneToOne, Ref, Table
from graphsim.graph.graph import Actor, Graph, Group, InputEdge
from graphsim.graph.window import Axis, Window

__all__ = [
    "Actor",
    "Axis",
    "Channel",
    "Csr",
    "Dense",
    "Edges",
    "Graph",
    "Group",
    "InputEdge",
    "OneToOne",
    "Ref",
    "Table",
    "Window",
]
