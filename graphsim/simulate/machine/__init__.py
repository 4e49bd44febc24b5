"""The machine engine: calendars executed tick by tick, tokens in addressed node memory, times measured.

::

    program.py       compile a schedule: memory cells, operand lists, events of a period in the order they happen
    interpreter.py   execute the events of consecutive periods, native
    engine.py        MachineEngine: runs, outputs, and what a failure says
"""

from graphsim.simulate.machine.engine import MachineEngine

__all__ = ["MachineEngine"]
