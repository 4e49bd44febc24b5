"""Results for people at a terminal, with Rich. Every number says whether it is simulated, measured or proved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from graphsim.graph import Actor, Channel, Graph
from graphsim.graph.circuit import is_circuit
from graphsim.graph.ops import ACTIVATIONS, OPS
from graphsim.graph.words import in_ticks
from graphsim.report.circuits import print_circuit

if TYPE_CHECKING:
    from graphsim.analysis.equivalence import Equivalence
    from graphsim.compare.answers import Answers
    from graphsim.compare.result import Comparison
    from graphsim.datasets import Dataset
    from graphsim.machine import Machine
    from graphsim.passes.logic import Step
    from graphsim.report.pipelining import Pipelining
    from graphsim.report.result import Result
    from graphsim.schedule.schedule import Schedule
    from graphsim.schedule.verify import Verdict


def new_table(*columns: str, title: str | None = None, right: Sequence[str] = ()) -> Table:
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", title_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    return table


def print_graph(console: Console, graph: Graph) -> None:
    """Groups with their ops, sizes and input edges; of a circuit its ports, registers and gates."""
    if is_circuit(graph):
        print_circuit(console, graph)
        return
    often = any(group.firings > 1 for group in graph.groups)
    last = ("actors", *(["firings"] if often else []), "edges in")
    table = new_table("group", "op", "activation", "shape", *last, right=last)
    for number, group in enumerate(graph.groups):
        edges = sum(graph.edges_of(c) for c in graph.channels_into(number))
        shape = "x".join(str(n) for n in group.shape) or "-"
        activation = group.activation if group.activation != "linear" else "-"
        counts = (f"{group.size:,}", *([f"{group.firings:,}"] if often else []), f"{edges:,}" if edges else "-")
        table.add_row(escape(group.name), group.op, activation, shape, *counts)
    firings = f", {graph.firing_count:,} firings per sample" if often else ""
    console.print(f"[bold]{escape(graph.name)}[/]: {graph.actor_count:,} actors, {graph.edge_count:,} edges{firings}")
    console.print(table)
    for key, value in graph.notes.items():
        console.print(f"[dim]{escape(key)}: {escape(value)}[/]", soft_wrap=True)


def print_steps(console: Console, steps: Sequence[Step]) -> None:
    """Passes over a circuit, with counts after each; the first line is what they began with."""
    numbers = ("gates", "two_input", "registers", "depth", "literals")
    titles = [number.replace("_", "-") for number in numbers]
    table = new_table("pass", *titles, "ms", right=(*titles, "ms"))
    for at, step in enumerate(steps):
        if at == 0:
            table.add_row("-", *(f"{getattr(step.before, number):,}" for number in numbers), "")
        after = (f"{getattr(step.after, number):,}" for number in numbers)
        table.add_row(escape(step.label), *after, f"{step.seconds * 1e3:,.1f}")
    console.print(table)


def print_equivalence(console: Console, found: Equivalence) -> None:
    """What comparing two circuits said."""
    colour = {"equal": "green", "different": "red", "undecided": "yellow"}[found.verdict]
    console.print(f"[{colour}]{found.verdict}[/]: {escape(found.message)}", soft_wrap=True)


def print_actor(console: Console, actor: Actor, limit: int = 16) -> None:
    """One actor: what it computes, from what, for whom; the first ``limit`` inputs and consumers."""
    graph, group = actor.graph, actor.group
    console.print(f"[bold]{escape(actor.name)}[/]: actor {actor.id} of {graph.actor_count:,}")
    console.print(f"  computes   {OPS[group.op].doc}")
    if group.activation != "linear":
        args = ", ".join(
            f"{n} = {v:g}" for n, v in zip(ACTIVATIONS[group.activation].args, group.activation_args, strict=False)
        )
        formula = ACTIVATIONS[group.activation].doc
        console.print(f"  then       {group.activation}: {escape(formula)}{' with ' + args if args else ''}")
    for role in group.params:
        console.print(f"  {role:10} {actor.param(role):.9g}")
    if group.firings > 1:
        console.print(f"  fires      {group.firings:,} times per sample, once per step")
    console.print(f"  work       {', '.join(f'{n:,} {unit}' for unit, n in actor.work.items()) or 'none'} per firing")
    console.print(f"  inputs     {len(actor.inputs):,}, in the order in which they accumulate")
    for edge in actor.inputs[:limit]:
        weight = "" if edge.weight is None else f"  weight {edge.weight:.9g}"
        how = _rates(graph.channels_into(actor.group_number)[edge.port])
        console.print(f"    port {edge.port}  {escape(graph.actor(edge.producer).name)}{weight}{how}")
    if len(actor.inputs) > limit:
        console.print(f"    ... and {len(actor.inputs) - limit:,} more (--json FILE lists all)")
    consumers = actor.consumers
    names = ", ".join(escape(graph.actor(int(c)).name) for c in consumers[:limit])
    more = f" ... and {len(consumers) - limit:,} more" if len(consumers) > limit else ""
    console.print(f"  consumers  {len(consumers):,}{': ' + names if names else ''}{more}")


def _rates(channel: Channel) -> str:
    """Rates and initial tokens of a channel, as far as there is something to say."""
    parts = []
    if (channel.produce, channel.consume) != (1, 1):
        parts.append(f"{channel.produce} made and {channel.consume} taken per firing")
    if channel.initial_tokens:
        tokens = "1 initial token" if channel.initial_tokens == 1 else f"{channel.initial_tokens} initial tokens"
        parts.append(f"{tokens} {'in every sample' if channel.reset else 'before the first sample'}")
    return f"  ({'; '.join(parts)})" if parts else ""


def print_firing(console: Console, actor: Actor, schedule: Schedule) -> None:
    """Where and when an actor fires."""
    from graphsim.report.record import firing_record

    firing = firing_record(actor, schedule)
    often = f" in {len(firing['firings']):,} firings," if len(firing["firings"]) > 1 else ""
    when = f"ticks {firing['start_tick']:,} to {firing['end_tick']:,} for sample 0"
    later = f"{firing['period_ticks']:,} ticks later for each next one (simulated)"
    console.print(f"  fires      on node {firing['node']},{often} {when}, {later}", soft_wrap=True)


def print_machines(console: Console, topologies: Sequence[tuple[str, str, str]]) -> None:
    """The built-in machines."""
    table = new_table("pattern", "what it is", "for example")
    table.columns[1].max_width = 100
    for pattern, description, example in topologies:
        table.add_row(escape(pattern), escape(description), escape(example))
    console.print(table)
    console.print("'graphsim machines torus:4x4' describes one; --toml prints it as a file to change.", soft_wrap=True)


def print_formats(
    console: Console,
    files: Sequence[tuple[str, str]],
    circuits: Sequence[tuple[str, str, str, str]],
    sections: Mapping[str, Sequence[tuple[str, str, tuple[str, ...]]]],
) -> None:
    """What can be lowered: (suffix, what) of files, (suffixes, name, read or written, what) of circuits, and by section
    (family, what it is, names).
    """
    table = new_table("file", "what")
    for suffix, about in files:
        table.add_row(escape(suffix), escape(about))
    console.print(table)
    table = new_table("circuit", "format", "", "what")
    for row in circuits:
        table.add_row(*(escape(cell) for cell in row))
    console.print(table)
    for title, rows in sections.items():
        table = new_table("family", "names", title=title)
        table.columns[1].max_width = 100  # many names, wrapped between them even where nothing else is
        for family, about, names in rows:
            table.add_row(escape(family), f"{escape(about)}\n{escape(', '.join(names))}" if about else ", ".join(names))
        console.print(table)


def print_machine(console: Console, machine: Machine) -> None:
    """One machine: nodes, links, defaults."""
    console.print(escape(machine.describe()))


def print_schedule(console: Console, graph: Graph, schedule: Schedule) -> None:
    """Period, bound, latency, what binds, and how full nodes, links and memories are."""
    from graphsim.report.binding import WORDS, bindings, hint, in_words, why_nothing
    from graphsim.report.pipelining import pipelining
    from graphsim.report.utilisation import folding, utilisation
    from graphsim.schedule.schedule import latency

    machine, load = schedule.machine, utilisation(graph, schedule)
    used = np.unique(schedule.node)
    share = load.node_ticks[used] / max(1, schedule.period)
    actors, nodes = folding(graph, schedule)
    per_node = f"{actors / nodes:.1f} computing actors per node" if nodes else "no actor that computes"
    console.print(
        f"[bold]{escape(machine.name)}[/]: {len(used)} of {len(machine.compute_nodes)} nodes used, "
        f"{per_node} (inputs and sinks apart), placed {schedule.strategy}"
        + (f", in tiles of {schedule.tile:,}" if schedule.tile > 1 else "")
    )
    gap = schedule.period / schedule.bound.ticks - 1 if schedule.bound.ticks else 0.0
    proof = WORDS[schedule.bound.kind]
    each = "clock cycle" if is_circuit(graph) else "sample"
    console.print(f"  period     {in_ticks(schedule.period)} per {each} (simulated)")
    reason = f"(proved, by {proof}: {escape(schedule.bound.reason)})"
    console.print(f"  bound      {in_ticks(schedule.bound.ticks)} {reason}; gap {gap:.2%}", soft_wrap=True)
    if (placed := schedule.placement_bound).ticks > schedule.bound.ticks:
        reason = f"(proved, by {WORDS[placed.kind]}: {escape(placed.reason)})"
        gap = schedule.period / placed.ticks - 1
        console.print(f"  placed so  {in_ticks(placed.ticks)} {reason}; gap {gap:.2%}", soft_wrap=True)
    found = bindings(schedule, load)
    said = in_words(found) if found else f"nothing: {why_nothing(schedule, load)}"
    console.print(f"  binds      {escape(said)}", soft_wrap=True)
    if more := hint(graph, found):
        console.print(f"  hint       {more}", soft_wrap=True)
    if schedule.remark:
        console.print(f"  remark     {escape(schedule.remark)}", soft_wrap=True)
    console.print(f"  latency    {in_ticks(latency(graph, schedule))} from source to sink (simulated)")
    console.print(f"  nodes      {share.mean():.1%} busy on average, busiest {share.max():.1%}")
    if machine.links:
        link_share = load.link_frames / np.maximum(1, load.link_capacity)
        top = int(link_share.argmax())
        console.print(
            f"  links      {link_share.mean():.1%} busy on average, busiest {machine.link_name(top)} "
            f"{link_share[top]:.1%} ({load.link_frames[top]:,} frames)"
        )
    fullest = int(load.node_bytes.argmax())
    console.print(
        f"  memory     fullest {machine.nodes[fullest].name}: {load.node_bytes[fullest]:,} of "
        f"{machine.nodes[fullest].memory_bytes:,} bytes"
    )
    print_pipelining(console, pipelining(graph, schedule), each)


def print_pipelining(console: Console, found: Pipelining, each: str) -> None:
    """Period and throughput with one sample in flight, with one in each layer, and as scheduled; ``each``: a sample."""
    least = "" if found.exact else " (at most)"
    numbers = (f"ticks per {each}{least}", f"{each}s/s", "gain")
    table = new_table("pipelining", *numbers, "what", right=numbers)
    for name, ticks, what in found.ways(each):
        rate = f"{found.samples_per_second(ticks):,.0f}"
        table.add_row(name, f"{ticks:,}", rate, f"{found.unpipelined / ticks:.2f}x", escape(what))
    console.print(table)


def print_verdict(console: Console, verdict: Verdict, *, full: bool = False) -> None:
    """What the verifier found; ``full`` lists what it checked, with counts."""
    if full:
        table = new_table("count", "checked", right=("count",))
        for name, count in verdict.checks:
            table.add_row(f"{count:,}", escape(name))
        console.print(table)
    facts = f"{len(verdict.checks)} kinds of check, {sum(count for _, count in verdict.checks):,} facts"
    if verdict.ok:
        console.print(f"  [green]verified[/]   {facts}")
        return
    console.print(f"  [red]rejected[/]   {verdict.violation_count:,} violations in {facts}")
    for violation in verdict.violations:
        console.print(f"    {violation.kind}: {escape(violation.message)}", soft_wrap=True)


def print_run(console: Console, result: Result) -> None:
    """The run: throughput, values, agreement, accuracy."""
    run, machine = result.run, result.schedule.machine
    how = "measured from the outputs' spacing" if result.measured else "from the schedule"
    period = float(result.period_ticks)
    console.print(f"[bold]{run.engine}[/] engine: {run.samples:,} samples of {escape(result.dataset.name)}")
    print_inputs(console, result.graph, result.dataset)
    console.print(f"  period     {period:,.10g} ticks per sample, {how}")
    console.print(f"  latency    {in_ticks(result.latency_ticks)}, {result.latency_ticks / period:.2f} periods")
    console.print(
        f"  throughput {result.samples_per_second:,.0f} samples/s (simulated, at {machine.clock_mhz:g} MHz)",
        soft_wrap=True,
    )
    rate = f" = {run.samples / run.wall_seconds:,.0f} samples/s" if run.wall_seconds else ""
    console.print(f"  wall time  {seconds(run.wall_seconds)}{rate} (measured here, for simulating alone)")
    if result.comparison is not None:
        print_comparison(console, result.comparison)
    elif result.accuracy is not None:
        console.print(f"  accuracy   {result.accuracy:.2%} of {run.samples:,} labels")
    if result.squared_errors is not None:
        theirs = result.squared_errors["reference"]
        beside = "" if theirs is None else f" here, {theirs:.3g} reference"
        console.print(
            f"  error      {result.squared_errors['graphsim']:.3g}{beside} (mean squared, of {run.samples:,})"
        )
    stages = ", ".join(f"{stage} {seconds(value)}" for stage, value in result.seconds.items())
    console.print(
        f"  stages     {stages}; in all {seconds(sum(result.seconds.values()))} (measured here)", soft_wrap=True
    )


def print_warning(console: Console, warning: str) -> None:
    """Something that the user should look at before believing the numbers."""
    console.print(f"[yellow]warning[/]   {escape(warning)}", soft_wrap=True)


def print_inputs(console: Console, graph: Graph, dataset: Dataset) -> None:
    """How samples were prepared, and what values the graph's notes say that the model expects."""
    expected = "the model states no range of its own"
    for key, note in graph.notes.items():
        if key.startswith("input.") and key.endswith(".range"):
            ends, _, why = note.partition(" by ")
            expected = f"the model expects {ends.replace('..', ' to ')} (by its {why})"
    console.print(f"  inputs     {escape(f'{dataset.prepared}; {expected}')}", soft_wrap=True)


def print_answers(console: Console, answers: Answers, limit: int = 12) -> None:
    """Calculations with their results, the first ones and some wrong ones, then the counts of each operation."""
    console.print(
        f"[bold]{'all' if answers.is_exhaustive else 'random'} calculations[/], {len(answers.found):,} of them"
    )
    for line in answers.shown(limit):
        console.print(f"  {line}".replace("\n", "\n  "), markup=False)
    console.print()
    for tally in answers.tallies:
        console.print(f"  {tally}", markup=False, soft_wrap=True)
    wrong = int(np.count_nonzero(~answers.right))
    console.print(f"  in all: {wrong:,} wrong of {len(answers.found):,}", markup=False)


def seconds(value: float) -> str:
    """A measured time with three digits and a fitting unit."""
    for scale, unit in ((1.0, "s"), (1e-3, "ms")):
        if value >= scale:
            return f"{value / scale:.3g} {unit}"
    return f"{value / 1e-6:.3g} us"


def print_comparison(console: Console, comparison: Comparison) -> None:
    """Agreement with the reference, per layer and in sum."""
    reference = f"{comparison.reference_name} {comparison.reference_version}"
    console.print(f"[bold]against {escape(reference)}[/], each neuron judged by its own rounding bound", soft_wrap=True)
    numbers = ("reference", "own", "outside", "max |diff|", "error/bound")
    table = new_table("group", *numbers, right=numbers)
    for layer in comparison.layers:
        difference = "-" if layer.max_difference is None else f"{layer.max_difference:.3g}"
        table.add_row(
            escape(layer.name),
            f"{layer.checked:,}" if layer.checked else "-",
            f"{layer.checked_own:,}",
            f"{layer.outside:,}",
            difference,
            f"{layer.max_error_over_bound:.3f}",
        )
    console.print(table)
    for note in comparison.reference_notes:
        console.print(f"  note       {escape(note)}", soft_wrap=True)
    colour = "green" if comparison.ok else "red"
    checked, outside = comparison.neurons_checked, comparison.neurons_outside_bound
    console.print(f"  [{colour}]{checked:,} neuron values checked, {outside:,} outside their bounds[/]")
    if comparison.first_divergence is not None:
        console.print(f"  first      {escape(str(comparison.first_divergence))}", soft_wrap=True)
    if comparison.noise is not None:
        noise = comparison.noise
        tensors = "the 1 tensor" if noise.tensors == 1 else f"the {noise.tensors:,} tensors"
        console.print(
            f"  noise      {comparison.reference_name} differs from itself by up to {noise.max_difference:.3g}:"
            f" {noise.samples:,} samples computed alone against the same in a batch of {noise.batch:,}, over {tensors}"
            " compared",
            soft_wrap=True,
        )
    if comparison.argmax_agreement is not None:
        console.print(f"  classes    {comparison.argmax_agreement:.2%} the same")
    if comparison.accuracy is not None and comparison.reference_accuracy is not None:
        console.print(
            f"  accuracy   {comparison.accuracy:.2%} here, {comparison.reference_accuracy:.2%} reference, "
            f"of {comparison.samples:,} labels"
        )
