"""Every number a machine is made of: its default, its bounds, its unit, and the reason for the default.

This table is the only place that holds them. The data classes take their defaults and bounds from it, the reader of
``machine.toml`` validates against it, and ``docs/machines.md`` prints it (a test holds the two equal).

Keys are those of ``machine.toml``. On the command line (``torus:4x4,macs_per_tick=4``) the section may be left out of
``node.`` and ``link.`` keys.
"""

from __future__ import annotations

from dataclasses import dataclass

MAX_NODES = 65_536
"""Nodes a machine may have. The largest hypercube within it is ``hypercube:16``."""

MAX_LINKS = 1_048_576
"""Directed links a machine may have: exactly those of ``hypercube:16``; ``full:N`` ends at N = 1024."""

MAX_FILE_BYTES = 2**20
"""Size above which a machine file is refused unread, and :meth:`Machine.to_toml` refuses to write one."""

MAX_TEXT_BYTES = 2**23
"""Size above which the text of a machine whose links stand beside it is refused: the most nodes, with long names."""

_MAX_INT32 = 2**31 - 1

MAX_CYCLE = 2**31
"""Ticks that a cycle may take at most: the least common multiple of all frequencies of a machine."""


@dataclass(frozen=True)
class Setting:
    """One number of a machine description.

    ``default`` is None where leaving it out has a meaning of its own. ``low`` and ``high`` are inclusive.
    """

    default: int | float | None
    low: int | float
    high: int | float
    unit: str
    reason: str

    @property
    def whole(self) -> int:
        """The default as an integer, for the settings that are integers."""
        if type(self.default) is not int:
            raise TypeError("this setting has no integer default")
        return self.default


SETTINGS: dict[str, Setting] = {
    "clock_mhz": Setting(200.0, 1e-6, 1e6, "MHz", "bittide hardware on FPGAs runs near 200 MHz"),
    "node.frequency": Setting(
        1, 1, _MAX_INT32, "cycles", "all nodes alike; where all frequencies are equal, a cycle is a tick"
    ),
    "node.macs_per_tick": Setting(
        1, 1, _MAX_INT32, "multiply-accumulates/cycle", "one multiplier per node: the smallest machine that computes"
    ),
    "node.op_ticks.add": Setting(1, 0, _MAX_INT32, "cycles", "a pipelined adder takes one operation per cycle"),
    "node.op_ticks.mul": Setting(1, 0, _MAX_INT32, "cycles", "a pipelined multiplier takes one operation per cycle"),
    "node.op_ticks.compare": Setting(1, 0, _MAX_INT32, "cycles", "a comparison is a subtraction without its result"),
    "node.op_ticks.divide": Setting(
        8,
        0,
        _MAX_INT32,
        "cycles",
        "24 significand bits at 4 bits a cycle (radix 16) are 6, plus 2 to normalise and round",
    ),
    "node.op_ticks.special": Setting(
        8, 0, _MAX_INT32, "cycles", "exp, log, tanh, sqrt, erf: range reduction, table, polynomial of degree about 5"
    ),
    "node.op_ticks.gate": Setting(1, 0, _MAX_INT32, "cycles", "a lookup table settles within one cycle"),
    "node.ticks_per_firing": Setting(
        None, 1, _MAX_INT32, "cycles", "left out: cycles follow from the work; 1: machines of one cycle per neuron"
    ),
    "node.memory_bytes": Setting(
        4 * 2**20, 0, 2**50, "bytes", "4 MiB, the block RAM of a mid-size FPGA; all of the 784-128-10 net needs 0.4 MiB"
    ),
    "switch.frequency": Setting(1, 1, _MAX_INT32, "cycles", "as fast as nodes and links"),
    "switch.crossbar_latency": Setting(
        0, 0, _MAX_INT32, "cycles", "a register where frames come in and one where they go out, nothing between"
    ),
    "link.frequency": Setting(1, 1, _MAX_INT32, "cycles", "as fast as the nodes"),
    "link.frame_bits": Setting(
        64, 1, 2**20, "bits", "bittide frames carry 64 bits: two float32 tokens or 64 gate values"
    ),
    "link.latency": Setting(
        1, 0, _MAX_INT32, "cycles", "one register at the receiver, as between neighbours on one board; cables take tens"
    ),
    "link.frames_per_tick": Setting(1, 1, _MAX_INT32, "frames/cycle", "a bittide link moves one frame per cycle"),
    "link.calendar_entries": Setting(
        4096, 1, _MAX_INT32, "frames/period", "ten times the 392 frames of 64 bits that carry one 784-pixel image"
    ),
    "link.memory_frames": Setting(
        2**20, 1, _MAX_INT32, "frames", "8 MiB of 64-bit frames: 256 iterations in flight of 4,096 frames each"
    ),
    "link.calendar_rows": Setting(
        65_536, 1, _MAX_INT32, "entries", "eight times a busy and an idle stretch for each of 4,096 frames"
    ),
}
