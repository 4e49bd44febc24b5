"""CP-SAT in a process of its own: OR-Tools and TensorFlow bring libraries of one name, which do not get on in one."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from graphsim.errors import ScheduleError

if TYPE_CHECKING:
    from ortools.sat.python.cp_model import CpModel

#: Reads a model, solves it, and prints what came of it as JSON.
_CHILD = """
import json, sys
from ortools.sat.python import cp_model
model = cp_model.CpModel()
with open(sys.argv[1], encoding="utf-8") as file:
    if not model.proto.parse_text_format(file.read()):
        sys.exit("the model cannot be read")
solver = cp_model.CpSolver()
solver.parameters.num_workers = 1
solver.parameters.random_seed = 0
solver.parameters.max_deterministic_time = float(sys.argv[2])
status = solver.status_name(solver.solve(model))
found = status in ("OPTIMAL", "FEASIBLE")
bound = solver.best_objective_bound if model.proto.has_objective() else None
value = solver.objective_value if found and model.proto.has_objective() else None
solution = list(solver.response_proto.solution) if found else []
print(json.dumps({"status": status, "solution": solution, "objective": value, "bound": bound}))
"""


class Solved(NamedTuple):
    """What the solver says.

    Attributes:
        status: ``OPTIMAL``, ``FEASIBLE``, ``INFEASIBLE`` or ``UNKNOWN``.
        solution: the value of every variable, by index; empty where none was found.
        objective_value, best_objective_bound: of the objective, 0 where there is none.
    """

    status: str
    solution: list[int]
    objective_value: float
    best_objective_bound: float

    def value(self, variable: Any) -> int:
        """The value of a variable, a literal or its negation, or a constant."""
        if isinstance(variable, (int, bool)):
            return int(variable)
        index = variable.index
        found: int = self.solution[index] if index >= 0 else 1 - self.solution[-index - 1]
        return found


def solve(model: CpModel, effort: float) -> Solved:
    """Solve a model on one thread, with a fixed seed, within so many units of deterministic work.

    Raises:
        ScheduleError: the solver came to an end of its own making.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.txt"
        if not model.export_to_file(str(path)):
            raise ScheduleError(f"{path}: the model for the solver cannot be written")
        done = subprocess.run(
            [sys.executable, "-c", _CHILD, str(path), repr(effort)], capture_output=True, text=True, check=False
        )
    if done.returncode:
        said = " ".join(done.stderr.split())[-300:] or f"status {done.returncode}"
        raise ScheduleError(f"the solver (OR-Tools) failed: {said}; take a smaller --effort, or fold without --exact")
    found = json.loads(done.stdout)
    return Solved(found["status"], found["solution"], found["objective"] or 0.0, found["bound"] or 0.0)
