"""The life of a token, as JSON and for people at a terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.markup import escape

from graphsim.machine import Machine
from graphsim.trace.life import Life

#: Operands, companions and readers that are printed by name.
SHOWN = 8


def life_record(machine: Machine, life: Life) -> dict[str, Any]:
    """Everything, in ticks from the start of the run."""
    return {
        "actor": life.token,
        "iteration": life.iteration,
        "node": machine.nodes[life.node].name,
        "fires": {"from": life.fired[0], "until": life.fired[1]},
        "operands": [{"actor": o.actor, "iteration": o.iteration, "there_from": o.there} for o in life.operands],
        "parcel": {"tokens": list(life.parcel), "frames": life.frames} if life.parcel else None,
        "hops": [{"link": machine.link_name(h.link), "sent_from": h.start, "there_from": h.arrival} for h in life.hops],
        "memory": [
            {
                "node": machine.nodes[s.node].name,
                "address": s.address,
                "copies": s.copies,
                "from": s.start,
                "until": s.end,
            }
            for s in life.stays
        ],
        "readers": [
            {
                "actor": u.actor,
                "node": machine.nodes[u.node].name,
                "iteration": u.iteration,
                "from": u.start,
                "until": u.end,
            }
            for u in life.uses
        ],
    }


def print_life(console: Console, machine: Machine, life: Life) -> None:
    """A line per event, in the order of time; in one tick, what causes before what follows."""

    events: list[tuple[int, str]] = []

    def say(tick: int, what: str) -> None:
        events.append((tick, what))

    nodes = machine.nodes
    console.print(f"the token of [bold]{escape(life.token)}[/], iteration {life.iteration:,}; ticks from the start")
    if life.operands:
        waited = max(life.operands, key=lambda operand: operand.there)
        say(waited.there, f"the last of its {len(life.operands):,} operands is there, of {escape(waited.actor)}")
    say(life.fired[0], f"fires on {nodes[life.node].name}")
    say(life.fired[1], f"its token is in memory of {nodes[life.node].name}")
    if life.parcel:
        others = [escape(name) for name in life.parcel if name != life.token]
        more = f" with {_listed(others)}" if others else " alone"
        say(life.hops[0].start, f"leaves{more}, {life.frames:,} frame{'s' * (life.frames != 1)} on the first link")
    for hop in life.hops:
        say(hop.arrival, f"is there over {machine.link_name(hop.link)}, sent from tick {hop.start:,}")
    by_node: dict[int, list[str]] = {}
    first: dict[int, int] = {}
    for use in life.uses:
        later = f" (iteration {use.iteration:,})" if use.iteration != life.iteration else ""
        by_node.setdefault(use.node, []).append(escape(use.actor) + later)
        first.setdefault(use.node, use.start)
    for node, readers in by_node.items():
        say(first[node], f"is read on {nodes[node].name} by {_listed(readers)}")
    for stay in life.stays:
        copies = f", one of {stay.copies:,} copies" if stay.copies > 1 else ""
        place = f"byte {stay.address:,} of {nodes[stay.node].name}{copies}"
        say(stay.end, f"is forgotten in {place}, kept from tick {stay.start:,}")
    for tick, what in sorted(events, key=lambda event: event[0]):
        console.print(f"[bold]{tick:>10,}[/]  {what}", soft_wrap=True)


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
