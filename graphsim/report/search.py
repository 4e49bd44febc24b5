"""A search through a family of machines, for people at a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape

from graphsim.report.terminal import new_table

#: Machines that are listed.
SHOWN = 12


def print_search(console: Console, record: Mapping[str, Any]) -> None:
    """What became of the machines; ``record``: of :class:`graphsim.explore.autofold.Search`."""
    tried = record["tried"]
    counts = Counter(one["outcome"] for one in tried)
    counts["left out, as they cannot be cheaper"] = record["machines"] - len(tried)
    said = ", ".join(f"{count:,} {outcome}" for outcome, count in counts.items() if count)
    wanted = f"{record['target_samples_per_second']:,.10g} samples/s with the least {record['minimize']}"
    console.print(f"[bold]{wanted}[/], of {record['machines']:,} machines: {said}", soft_wrap=True)
    reached = [one for one in tried if one["outcome"] == "reaches"]
    others = [one for one in tried if one["outcome"] == "misses"][-SHOWN:]
    numbers = ("nodes", "links", "wanted", "period", "bound", "latency", "memory")
    table = new_table("machine", *numbers, "", right=numbers)
    best = [one for one in reached[:-SHOWN] if one["machine"] == record["chosen"]]
    for one in [*others, *best, *reached[-SHOWN:]]:
        keys = ("nodes", "links", "needed_period_ticks", "period_ticks", "lower_bound_ticks", "latency_ticks")
        cells = [f"{one[key]:,}" for key in (*keys, "memory_bytes")]
        chosen = "[green]chosen[/]" if one["machine"] == record["chosen"] else one["outcome"]
        table.add_row(escape(one["machine"]), *cells, chosen)
    if others or reached:
        console.print(table)
