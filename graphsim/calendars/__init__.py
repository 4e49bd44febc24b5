"""The room between schedule and simulation: what the hardware loads, compiled from a schedule.

::

    calendars.py   the encoding
    compile.py     schedule -> Calendars
    check.py       whether they fit the machine
    text.py        as text, JSON and CSV
"""

from __future__ import annotations

from graphsim.calendars.calendars import IDLE, Calendars, Table
from graphsim.calendars.check import check
from graphsim.calendars.compile import compile_calendars

__all__ = ["IDLE", "Calendars", "Table", "check", "compile_calendars"]
