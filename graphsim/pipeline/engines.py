"""Engines by name."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from graphsim.errors import UsageError

if TYPE_CHECKING:
    from graphsim.graph import Graph
    from graphsim.schedule.schedule import Schedule
    from graphsim.simulate.engine import Engine

#: Engines by name, with what ``--help`` says of them.
ENGINES = {
    "lanes": "native speed, many samples side by side (default)",
    "circuit": "gates, 64 lanes in a word (default for circuits)",
    "machine": "executes the calendars tick by tick and measures period and latency",
    "events": "SimPy discrete events; slow, the timing oracle",
    "frames": "works off the calendars bit by bit; very slow, the hardware oracle",
    "reference": "one actor at a time in plain Python; slow, the value oracle",
}

#: Engines that execute calendars.
TIMED = ("machine", "events", "frames")


def default_engine(graph: Graph) -> str:
    """The engine that runs such a graph fastest."""
    from graphsim.graph.circuit import is_circuit

    return "circuit" if is_circuit(graph) else "lanes"


def make_engine(name: str, graph: Graph, schedule: Schedule | None, threads: int | None = None) -> Engine:
    """The engine of that name, ready to run; those that execute calendars need a schedule.

    Raises:
        UsageError: there is no such engine, or it needs a schedule and has none.
    """
    if name == "lanes":
        from graphsim.simulate.lanes import LanesEngine

        return LanesEngine(graph, threads=threads)
    if name == "circuit":
        from graphsim.simulate.circuit import CircuitEngine

        return CircuitEngine(graph, threads=threads)
    if name in TIMED:
        if schedule is None:
            raise UsageError(f"the {name} engine executes a schedule; name a machine with --machine")
        if name == "machine":
            from graphsim.simulate.machine import MachineEngine

            return MachineEngine(graph, schedule)
        if name == "frames":
            from graphsim.simulate.frames import FramesEngine

            return FramesEngine(graph, schedule)
        from graphsim.simulate.events import EventsEngine

        return EventsEngine(graph, schedule)
    if name == "reference":
        from graphsim.simulate.reference import ReferenceEngine

        return ReferenceEngine(graph)
    raise UsageError(f"there is no engine {name!r}; choose one of {', '.join(ENGINES)}")


#: Firings of gates a second, roughly, of engines that are there to be believed and not to be fast; and seconds from
#: which on it is said.
_RATES = {"events": 3_000, "frames": 6_000, "reference": 60_000}
_LONG = 100


def takes_long(engine: str, firings: int) -> str | None:
    """What to say of an engine that will take long for so many firings of gates; None: it will not."""
    rate = _RATES.get(engine, math.inf)
    seconds = firings / rate
    if seconds < _LONG:
        return None
    took = f"{seconds / 60:,.0f} minutes" if seconds < 2 * 3600 else f"{seconds / 3600:,.0f} hours"
    faster = "circuit" if engine == "reference" else "machine"
    return (
        f"the {engine} engine fires about {rate:,} gates a second, and has {firings:,} to fire: about {took};"
        f" --engine {faster} gives the same values much sooner, --samples runs fewer cycles"
    )
