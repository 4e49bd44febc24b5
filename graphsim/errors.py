"""The exception tree: every error a user can cause is one of these, and nothing else reaches them.

::

    GraphsimError                  exit status 2: unusable input or usage
    ├── ModelError                 a model file that cannot be read, or is not what it claims
    │   ├── UnsupportedLayerError  readable, but with layers that cannot be lowered (lists all of them)
    │   └── CircuitError           a circuit file: names line and net
    ├── GraphError                 a graph that breaks its own rules, or a file that holds no graph
    │   ├── InconsistentError      rates that no number of firings balances
    │   └── DeadlockError          an iteration that cannot be completed: names the cycle of waiting actors
    ├── MachineError               a machine description that is wrong (key and line named)
    ├── PlacementError             a placement file or strategy that does not fit graph and machine
    ├── ScheduleError              a schedule file that cannot be read, or is for another graph or machine
    │   ├── InfeasibleError        no schedule exists: names the node or link, the resource and the shortfall
    │   └── CalendarError          calendars that the hardware cannot load: names table, memory and row
    │       ├── OutOfMemoryError     a TX or RX memory has too few frames
    │       ├── InvalidAddressError  a row or an operand lies outside its memory
    │       └── OutOfCalendarError   a calendar has too few rows for its table, or its rows do not make up a period
    ├── SimulationError            an engine cannot run, or a run broke
    │   └── TokenError             a token late, stale, lost or overwritten: tick, node and actor
    ├── FaultsError                a file of faults that is wrong, or names what is not there (key and line named)
    ├── StudyError                 a study that is wrong (key and line named), or whose points cannot be computed
    ├── DatasetError               data missing, damaged, or of the wrong shape
    │   └── DownloadError          no mirror delivered a verified file
    ├── ReferenceUnavailableError  the reference (TensorFlow) is missing or cannot read the model
    └── UsageError                 options that contradict each other
    CheckFailed                    exit status 1: everything ran, and a check said no

Every message says what is wrong, where, and what to do about it.
"""

from __future__ import annotations


class GraphsimError(Exception):
    """Base of all errors that stem from input or usage. The command line prints the message and exits with 2."""


class ModelError(GraphsimError):
    """A model file that cannot be read, or whose contents contradict each other. Names file and place."""


class UnsupportedLayerError(ModelError):
    """A model with layers that cannot be lowered.

    ``layers`` holds ``(layer name, reason)`` for *all* of them, in model order.
    """

    def __init__(self, path: str, layers: list[tuple[str, str]]) -> None:
        self.path = path
        self.layers = layers
        lines = "\n".join(f"  {name}: {reason}" for name, reason in layers)
        count = "1 layer" if len(layers) == 1 else f"{len(layers)} layers"
        super().__init__(f"{path}: cannot lower {count}:\n{lines}")


class CircuitError(ModelError):
    """A circuit file that cannot be read, or a net in it that cannot be. Names file, line and net."""

    def __init__(self, path: str, line: int | None, message: str) -> None:
        self.line = line
        super().__init__(f"{path}:{line}: {message}" if line is not None else f"{path}: {message}")


class GraphError(GraphsimError):
    """A graph that breaks its own rules, or a ``.gsim`` or text file that does not hold a graph."""


class InconsistentError(GraphError):
    """No number of firings of every actor leaves all channels as they were."""


class DeadlockError(GraphError):
    """An iteration cannot be completed. ``cycle``: names of actors, each waiting for tokens of the next."""

    def __init__(self, message: str, cycle: tuple[str, ...]) -> None:
        super().__init__(message)
        self.cycle = cycle


class MachineError(GraphsimError):
    """A machine description that is malformed or impossible. Names the file, key and line."""


class PlacementError(GraphsimError):
    """A placement that does not fit the graph and the machine."""


class ScheduleError(GraphsimError):
    """A schedule that cannot be read, or that belongs to another graph or machine."""


class InfeasibleError(ScheduleError):
    """No schedule exists. Names the node or link, the resource, and how much is missing."""


class CalendarError(ScheduleError):
    """Calendars that the hardware cannot load. Names the table, the memory and the row."""


class OutOfMemoryError(CalendarError):
    """A TX or RX memory has fewer frames than its calendars need."""


class InvalidAddressError(CalendarError):
    """A row of a calendar, or an operand of an actor, lies outside of its memory."""


class OutOfCalendarError(CalendarError):
    """A table has more rows than its calendar holds, or its rows do not make up a period."""


class SimulationError(GraphsimError):
    """An engine cannot run this graph, or a run broke."""


class TokenError(SimulationError):
    """A token was late, stale, lost or overwritten. Names tick, node and actor."""


class FaultsError(GraphsimError):
    """A file of faults that is malformed, or that names what is not there. Names the file, key and line."""


class StudyError(GraphsimError):
    """A study that is malformed (names the file, key and line), or that cannot be gone on with for now (says why)."""


class DatasetError(GraphsimError):
    """A dataset is missing, damaged, or does not fit the model."""


class DownloadError(DatasetError):
    """No mirror delivered a file with the right SHA-256."""


class ReferenceUnavailableError(GraphsimError):
    """The outside reference is not installed, or cannot read the model."""


class UsageError(GraphsimError):
    """Options that contradict each other, or an argument that names nothing."""


class CheckFailed(Exception):  # noqa: N818 - it is a verdict, not an error
    """A check said no: values outside their bounds, or a schedule rejected. Exit status 1."""
