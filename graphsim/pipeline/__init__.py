"""One way through the house: model -> graph -> schedule -> verify -> simulate -> compare -> Result."""

from graphsim.pipeline.circuit import run_circuit
from graphsim.pipeline.engines import ENGINES, TIMED, default_engine, make_engine
from graphsim.pipeline.loading import (
    existing,
    is_circuit_file,
    load_graph,
    lower,
    own_classes,
    save_graph,
    split_neurons,
)
from graphsim.pipeline.network import check_comparable, compare, run
from graphsim.pipeline.samples import (
    Data,
    check_dataset,
    draw,
    inputs_of,
    remark_on_range,
    remark_on_rows,
    samples_for,
)
from graphsim.pipeline.several import together
from graphsim.pipeline.stages import Bar, Hardware, Warn, buffering_named, machine_for

__all__ = [
    "ENGINES",
    "TIMED",
    "Bar",
    "Data",
    "Hardware",
    "Warn",
    "buffering_named",
    "check_comparable",
    "check_dataset",
    "compare",
    "default_engine",
    "draw",
    "existing",
    "inputs_of",
    "is_circuit_file",
    "load_graph",
    "lower",
    "machine_for",
    "make_engine",
    "own_classes",
    "remark_on_range",
    "remark_on_rows",
    "run",
    "run_circuit",
    "samples_for",
    "save_graph",
    "split_neurons",
    "together",
]
