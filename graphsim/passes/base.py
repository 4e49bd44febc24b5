"""What a pass is: from one verified graph to another."""

from __future__ import annotations

from dataclasses import dataclass

from graphsim.graph import Graph
from graphsim.graph.verify import verify


@dataclass(frozen=True)
class Pass:
    """A transformation of graphs. Its fields are its options; applied to equal graphs it makes equal graphs."""

    def __call__(self, graph: Graph) -> Graph:
        """The transformed graph; the given one is left as it is.

        Raises:
            GraphError: the graph breaks its rules, or this pass does not take it.
        """
        verify(graph)
        made = self.apply(graph)
        verify(made)
        return made

    def apply(self, graph: Graph) -> Graph:
        """The transformed graph, unverified."""
        raise NotImplementedError
