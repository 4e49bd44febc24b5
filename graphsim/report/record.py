"""Results as plain JSON types. ``run_record`` is the document that ``run --json`` and report.json hold.

Schema version 1. Times are in ticks of the simulated machine unless a key says ``seconds``; ``throughput`` is simulated
(ticks at the machine's clock), every ``wall_seconds`` is measured on the machine that ran graphsim, and
``lower_bound_ticks`` is proved. A value that does not apply is null. NaN and infinity do not occur.
"""

from __future__ import annotations

import math
from dataclasses import asdict
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from graphsim import __version__
from graphsim.errors import MachineError
from graphsim.graph import Actor, Graph
from graphsim.graph.circuit import NAMES, is_circuit, of_graph
from graphsim.report.circuits import CircuitResult, circuit_record, circuit_run_record

if TYPE_CHECKING:
    from graphsim.analysis.equivalence import Equivalence
    from graphsim.compare.result import Comparison
    from graphsim.machine import Machine
    from graphsim.passes.logic import Step
    from graphsim.report.result import Result
    from graphsim.schedule.schedule import Bound, Schedule
    from graphsim.schedule.verify import Verdict

SCHEMA_VERSION = 1


def graph_record(graph: Graph) -> dict[str, Any]:
    """Sizes, groups and notes of a graph; of a circuit its ports and gates as well."""
    record = {
        "name": graph.name,
        "actors": graph.actor_count,
        "edges": graph.edge_count,
        "firings": graph.firing_count,
        "digest": graph.digest,
        "groups": [
            {
                "name": group.name,
                "op": group.op,
                "activation": group.activation,
                "shape": list(group.shape),
                "actors": group.size,
                "firings": group.firings,
                "edges_in": sum(graph.edges_of(c) for c in graph.channels_into(number)),
                "layer": group.layer or None,
            }
            for number, group in enumerate(graph.groups)
        ],
        "notes": {key: note for key, note in graph.notes.items() if key != NAMES},
    }
    return record | {"circuit": circuit_record(of_graph(graph))} if is_circuit(graph) else record


def step_record(step: Step) -> dict[str, Any]:
    """One pass over a circuit: counts before and after."""
    return {
        "pass": step.label,
        "before": asdict(step.before),
        "after": asdict(step.after),
        "wall_seconds": step.seconds,
    }


def equivalence_record(found: Equivalence) -> dict[str, Any]:
    """What comparing two circuits said: verdict ``equal``, ``different`` or ``undecided``."""
    shown = found.counterexample
    return {
        "verdict": found.verdict,
        "how": found.how,
        "message": found.message,
        "counterexample": None
        if shown is None
        else {
            "inputs": list(shown.inputs),
            "output": shown.output,
            "gate": shown.gate,
            "before": shown.before,
            "after": shown.after,
        },
    }


def actor_record(actor: Actor) -> dict[str, Any]:
    """One actor with its inputs, parameters and work."""
    graph = actor.graph
    into = graph.channels_into(actor.group_number)
    return {
        "id": actor.id,
        "name": actor.name,
        "op": actor.group.op,
        "activation": actor.group.activation,
        "firings": actor.group.firings,
        "work": actor.work,
        "params": {role: actor.param(role) for role in actor.group.params},
        "inputs": [
            {
                "actor": graph.actor(e.producer).name,
                "port": e.port,
                "weight": e.weight,
                "produce": into[e.port].produce,
                "consume": into[e.port].consume,
                "initial_tokens": into[e.port].initial_tokens,
            }
            for e in actor.inputs
        ],
        "consumers": [graph.actor(int(c)).name for c in actor.consumers],
    }


def firing_record(actor: Actor, schedule: Schedule) -> dict[str, Any]:
    """Where and when an actor fires in iteration 0, in ticks; iteration n fires n periods later."""
    from graphsim.passes import unroll
    from graphsim.schedule.schedule import durations

    unrolled = unroll(actor.graph)
    first = unrolled.graph.first[unrolled.firings(actor.group_number)] + actor.local
    start = schedule.start[first]
    end = start + durations(actor.graph, schedule.machine, schedule.node)[first]
    return {
        "node": schedule.machine.nodes[int(schedule.node[first[0]])].name,
        "start_tick": int(start.min()),
        "end_tick": int(end.max()),
        "firings": [{"start_tick": int(s), "end_tick": int(e)} for s, e in zip(start, end, strict=True)],
        "period_ticks": schedule.period,
    }


def machine_record(machine: Machine) -> dict[str, Any]:
    """Name and sizes of a machine."""
    return {
        "name": machine.name,
        "nodes": len(machine.compute_nodes),
        "switches": len(machine.switches),
        "links": len(machine.links),
        "clock_mhz": machine.clock_mhz,
        "host": machine.nodes[machine.host].name,
        "digest": machine.digest(),
        "toml": _toml(machine),
    }


def _toml(machine: Machine) -> str | None:
    """The machine as text; None where that is longer than a machine file may be."""
    try:
        return machine.to_toml()
    except MachineError:
        return None


def bound_record(bound: Bound) -> dict[str, Any]:
    """A proved bound and what proves it."""
    return {"ticks": bound.ticks, "kind": bound.kind, "resource": bound.resource, "reason": bound.reason}


def schedule_record(graph: Graph, schedule: Schedule) -> dict[str, Any]:
    """The keys ``machine`` and ``schedule`` of a document."""
    from graphsim.report.binding import bindings
    from graphsim.report.pipelining import pipelining
    from graphsim.report.utilisation import folding, utilisation
    from graphsim.schedule.schedule import latency

    machine = schedule.machine
    load = utilisation(graph, schedule)
    bound_by, (actors, nodes) = bindings(schedule, load), folding(graph, schedule)
    busiest_link = int(np.argmax(load.link_frames / np.maximum(1, load.link_capacity))) if machine.links else None
    return {
        "machine": machine_record(machine),
        "schedule": {
            "strategy": schedule.strategy,
            "buffering": schedule.buffering,
            "tile": schedule.tile,
            "period_ticks": schedule.period,
            "lower_bound_ticks": schedule.bound.ticks,
            "gap": schedule.period / schedule.bound.ticks - 1 if schedule.bound.ticks else 0.0,
            "binding_resource": bound_by[0].resource if bound_by else None,
            "binding_kind": bound_by[0].kind if bound_by else None,
            "binding": [{"kind": b.kind, "resource": b.resource} for b in bound_by],
            "bound": bound_record(schedule.bound),
            "placement_bound": bound_record(schedule.placement_bound),
            "latency_ticks": latency(graph, schedule),
            "pipelining": pipelining(graph, schedule).record(),
            "remark": schedule.remark or None,
            "folding_factor": actors / nodes if nodes else 0.0,
            "nodes_used": len(np.unique(schedule.node)),
            "parcels": len(schedule.parcel_node),
            "hops": len(schedule.hop_parcel),
            "peak_memory_bytes": int(load.node_bytes.max()),
            "nodes": [
                {
                    "name": machine.nodes[v].name,
                    "actors": int(load.node_actors[v]),
                    "busy_ticks": int(load.node_ticks[v]),
                    "utilisation": float(load.node_ticks[v] / schedule.period) if schedule.period else 0.0,
                    "memory_bytes": int(load.node_bytes[v]),
                }
                for v in range(len(machine.nodes))
            ],
            "busiest_link": None
            if busiest_link is None
            else {
                "name": machine.link_name(busiest_link),
                "frames": int(load.link_frames[busiest_link]),
                "utilisation": float(load.link_frames[busiest_link] / max(1, load.link_capacity[busiest_link])),
            },
        },
    }


def verified_record(graph: Graph, schedule: Schedule, verdict: Verdict) -> dict[str, Any]:
    """:func:`schedule_record`, with what the verifier said of the schedule."""
    record = schedule_record(graph, schedule)
    record["schedule"] |= {"verified": verdict.ok, "verdict": verdict_record(verdict)}
    return record


def verdict_record(verdict: Verdict) -> dict[str, Any]:
    """What the verifier checked, with counts, and what it found."""
    return {
        "ok": verdict.ok,
        "checks": dict(verdict.checks),
        "violations": verdict.violation_count,
        "first_violations": [{"kind": v.kind, "message": v.message} for v in verdict.violations],
    }


def comparison_record(comparison: Comparison) -> dict[str, Any]:
    """The keys ``reference``, ``agreement`` and ``accuracy`` of a document."""
    return {
        "reference": comparison.reference_record(),
        "agreement": comparison.agreement_record(),
        "accuracy": {
            "graphsim": comparison.accuracy,
            "reference": comparison.reference_accuracy,
            "samples": comparison.samples,
        },
    }


def ticks(value: Fraction) -> int | float:
    """A number of ticks as JSON has it: an integer where it is one."""
    return int(value) if value.denominator == 1 else float(value)


def run_record(result: Result) -> dict[str, Any]:
    """The whole document of a run. ``reference`` and ``agreement`` are null where there was no comparison."""
    scheduled = verified_record(result.graph, result.schedule, result.verdict)
    if result.comparison is not None:
        compared = comparison_record(result.comparison)
    else:
        own = {"graphsim": result.accuracy, "reference": None, "samples": result.run.samples}
        compared = {"reference": None, "agreement": None, "accuracy": own}
    if result.answers is not None:
        compared["accuracy"] = result.answers.record()
    if result.squared_errors is not None:
        compared["accuracy"]["mean_squared_error"] = result.squared_errors
    if result.faults is not None:
        compared["faults"] = result.faults.record()
    record: dict[str, Any] = clean(
        {
            "schema_version": SCHEMA_VERSION,
            "graphsim_version": __version__,
            "command": result.command,
            "model": result.model.name,
            "dataset": {
                "name": result.dataset.name,
                "split": result.dataset.split,
                "source": result.dataset.source,
                "prepared": result.dataset.prepared,
            },
            "graph": graph_record(result.graph),
            **scheduled,
            "granularity": dict(result.granularity),
            "throughput": {
                "measured_from_outputs": result.measured,
                "period_ticks": ticks(result.period_ticks),
                "latency_ticks": result.latency_ticks,
                "samples_per_second_simulated": result.samples_per_second,
                "pipelining_speedup": result.latency_ticks / float(result.period_ticks),
            },
            "simulation": {
                "engine": result.run.engine,
                "samples": result.run.samples,
                "wall_seconds": result.run.wall_seconds,
                "samples_per_second_measured": result.run.samples / result.run.wall_seconds
                if result.run.wall_seconds
                else None,
                "stage_wall_seconds": result.seconds,
            },
            **compared,
        }
    )
    return record


def circuit_document(result: CircuitResult) -> dict[str, Any]:
    """The whole document of a circuit's run; the keys ``machine`` and ``schedule`` only where it was folded,
    ``faults`` only where it was run with some."""
    record = {
        "schema_version": SCHEMA_VERSION,
        "graphsim_version": __version__,
        "graph": graph_record(result.graph),
        **circuit_run_record(result),
    }
    if result.schedule is not None and result.verdict is not None:
        record |= verified_record(result.graph, result.schedule, result.verdict)
    if result.faults is not None:
        record["faults"] = result.faults.record()
    found: dict[str, Any] = clean(record)
    return found


def clean(value: Any) -> Any:
    """The value with NumPy numbers as Python's, and with numbers that JSON cannot hold as None."""
    if isinstance(value, dict):
        return {str(k): clean(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [clean(v) for v in value]
    if isinstance(value, np.generic):
        return clean(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
