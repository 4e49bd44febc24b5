"""Clocks that agree: the elastic buffers and frequency controllers by which a machine of many oscillators gets one
logical time.

No node of a bittide machine has another's clock. Each sends one frame per tick of its own oscillator on every link, and
takes one frame per tick out of the elastic buffer of every link that arrives; how full these buffers are is all that a
node knows of the others, and it speeds up when they fill and slows down when they drain (Lall, Cascaval, Izzard and
Spalink, *Modeling and Control of bittide Synchronization*, 2022). While no buffer runs over or empty, the frame that is
sent in tick k is taken out in tick ``k + lambda`` of its receiver, whatever the oscillators do: that constant is the
logical latency for which schedules are made.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from graphsim.errors import MachineError, SimulationError
from graphsim.machine import Machine

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

#: Phases kept for delayed reading, nodes times control periods; each is 8 bytes.
MOST_PHASES = 1 << 27
#: Nodes for which the closed form is worked out; it takes the cube of them.
MOST_RESISTORS = 2048


@dataclass(frozen=True)
class Control:
    """The controllers' numbers, the same on every node.

    Attributes:
        kp: proportional gain, ticks per second per frame.
        ki: integral gain, ticks per second per frame and second.
        period: seconds between two corrections.
        depth: frames that an elastic buffer holds; it starts, and is held, half full.
        delay: seconds that a frame is on its way between sender and buffer.
    """

    kp: float = 20.0
    ki: float = 0.0
    period: float = 1e-4
    depth: int = 256
    delay: float = 50e-9

    def __post_init__(self) -> None:
        numbers = (self.kp, self.ki, self.delay, self.period)
        if not (all(map(math.isfinite, numbers)) and min(numbers) >= 0 and self.period > 0 and self.depth >= 2):
            raise SimulationError(
                f"{self}: gains and delay are finite and not negative, the control period is more than 0 seconds, and "
                f"buffers hold at least 2 frames"
            )


@dataclass(frozen=True)
class Clocks:
    """A run of the clocks of a machine.

    Attributes:
        time: float64 (steps + 1,), seconds; what is measured at ``time[i]`` steers until ``time[i + 1]``.
        frequency: float64 (steps, nodes), ticks per second from ``time[i]`` on.
        occupancy: int64 (steps + 1, links), frames in each link's buffer at ``time[i]``.
        latency: int64 (links,), lambda: ticks of the receiver from the sending of a frame to its use.
        uncontrolled: float64 (nodes,), ticks per second of each oscillator when left alone.
        nominal: ticks per second that oscillators should make.
        control: what steered them.
        error: the sum over nodes of the integral over time of (frequency - mean frequency)^2, ticks^2 per second.
        predicted: the same in closed form, for proportional control with no delays and no rounding to whole frames:
            ``e' L^+ e / (2 kp)``, e the uncontrolled frequencies less their mean, L the Laplacian of the links. For
            two nodes that are off by +alpha and -alpha it is ``alpha^2 R / (2 kp)``, R being the resistance
            between them (Lall, Cascaval, Izzard and Spalink, *Resistance Distance and Control Performance for bittide
            Synchronization*, 2022). None where there is integral control, a link has no link back, or nodes are many.
    """

    time: FloatArray
    frequency: FloatArray
    occupancy: IntArray
    latency: IntArray
    uncontrolled: FloatArray
    nominal: float
    control: Control
    error: float
    predicted: float | None

    def parts_per_million(self) -> FloatArray:
        """Frequencies as their distance from the nominal one, float64 (steps, nodes), parts per million."""
        return (self.frequency / self.nominal - 1) * 1e6

    def settled(self, within: float) -> float | None:
        """Seconds after which all frequencies stay within so many parts per million of each other; None: never here."""
        apart = np.ptp(self.parts_per_million(), axis=1) > within
        if apart[-1]:
            return None
        last = np.flatnonzero(apart)
        return float(self.time[last[-1] + 1]) if len(last) else 0.0


def run_clocks(
    machine: Machine,
    errors: FloatArray,
    control: Control,
    seconds: float,
    progress: Callable[[int], None] | None = None,
) -> Clocks:
    """Let the clocks of a machine run from tick 0, when all start together with buffers half full.

    Node i makes ``w_i = u_i + c_i`` ticks per second: u_i its oscillator's own, c_i its correction. Its phase theta_i
    is the integral of w_i. Before time 0 nodes run uncorrected. The buffer of link j -> i holds
    ``beta = lambda + floor(theta_j(t - delay)) - floor(theta_i(t))`` frames; every control period node i sums
    ``beta - depth / 2`` over the links that arrive to r_i and sets ``c_i = kp * r_i + ki * xi_i``, xi_i being the
    integral of r_i. Phases are exact between corrections, as frequencies are constant there.

    Args:
        machine: its nodes, its links and its clock; several frames per tick make no difference.
        errors: float64 (nodes,), parts per million by which each oscillator is off.
        control: gains, depth of buffers, delay.
        seconds: how long, rounded up to control periods.
        progress: called with control periods done so far.

    Raises:
        SimulationError: a buffer ran over or empty: names the link, the time and what can be done; or the run is too
            long to be held in memory.
    """
    if not 0 < seconds < math.inf or not np.isfinite(errors).all():
        raise SimulationError("clocks: seconds must be more than 0, and every oscillator's error a finite number")
    nodes, steps = len(machine.nodes), max(1, math.ceil(seconds / control.period * (1 - 1e-12)))
    back = math.ceil(control.delay / control.period)
    if (steps + back + 1) * (nodes + len(machine.links)) > MOST_PHASES:
        raise SimulationError(
            f"{steps:,} control periods of {nodes:,} nodes and {len(machine.links):,} links are more than this keeps; "
            f"take fewer seconds or a longer control period"
        )
    nominal = machine.clock_mhz * 1e6
    own: FloatArray = nominal * (1 + np.asarray(errors, np.float64) * 1e-6)
    src = np.array([link.src for link in machine.links], np.int64)
    dst = np.array([link.dst for link in machine.links], np.int64)
    half = control.depth // 2
    # Row k of the phases is time (k - back) * period; delayed phases lie between two rows.
    phase = np.empty((steps + back + 1, nodes))
    phase[: back + 1] = own * (np.arange(-back, 1) * control.period)[:, None]
    whole = int(control.delay // control.period)
    part = control.delay / control.period - whole
    latency = half + np.floor(phase[back]).astype(np.int64)[dst] - np.floor(own * -control.delay).astype(np.int64)[src]
    frequency = np.empty((steps, nodes))
    occupancy = np.empty((steps + 1, len(src)), np.int64)
    total = np.zeros(nodes)
    for step in range(steps + 1):
        now = back + step
        sent = phase[now - whole][src]
        if part:
            sent = sent - part * (sent - phase[now - whole - 1][src])
        beta = latency + np.floor(sent).astype(np.int64) - np.floor(phase[now]).astype(np.int64)[dst]
        occupancy[step] = beta
        if beta.size and (beta.min() < 0 or beta.max() > control.depth):
            raise SimulationError(_broken(machine, control, beta, step * control.period))
        if step == steps:
            break
        r = np.bincount(dst, beta - half, nodes).astype(np.float64)
        frequency[step] = own + control.kp * r + control.ki * total
        total += r * control.period
        phase[now + 1] = phase[now] + frequency[step] * control.period
        if progress is not None and step % 256 == 0:
            progress(step)
    time: FloatArray = np.arange(steps + 1, dtype=np.float64) * control.period
    apart = frequency - frequency.mean(axis=1, keepdims=True)
    error = float((apart**2).sum() * control.period)
    predicted = _closed_form(own, src, dst, control)
    return Clocks(time, frequency, occupancy, latency, own, nominal, control, error, predicted)


def timed_machine(machine: Machine, clocks: Clocks) -> Machine:
    """The machine whose links have the logical latencies that its clocks gave them.

    A frame of tick d is used in tick d + lambda, and a link's latency counts what is beyond the tick of sending: it is
    lambda - 1.

    Raises:
        MachineError: a link has a lambda below 1.
    """
    if len(clocks.latency) and clocks.latency.min() < 1:
        link = int(clocks.latency.argmin())
        raise MachineError(
            f"link {machine.link_name(link)} would have a logical latency of {clocks.latency[link]} ticks"
        )
    links = tuple(
        replace(link, latency=int(ticks) - 1) for link, ticks in zip(machine.links, clocks.latency, strict=True)
    )
    return replace(machine, name=f"{machine.name}, clocks settled", links=links, topology="")


def _closed_form(own: FloatArray, src: IntArray, dst: IntArray, control: Control) -> float | None:
    if len(own) > MOST_RESISTORS:
        return None
    there = np.zeros((len(own), len(own)))
    there[dst, src] = 1
    if control.ki or control.kp <= 0 or not np.array_equal(there, there.T):
        return None
    laplacian = np.diag(there.sum(axis=1)) - there
    apart = own - own.mean()
    # With the mean added, which ``apart`` does not have, the Laplacian of connected nodes can be inverted.
    return float(apart @ np.linalg.solve(laplacian + 1 / len(own), apart)) / (2 * control.kp)


def _broken(machine: Machine, control: Control, beta: IntArray, time: float) -> str:
    link = int(np.argmax(np.maximum(-beta, beta - control.depth)))
    over = beta[link] > control.depth
    what = f"runs over: {beta[link]:,} frames in {control.depth:,} places" if over else "runs empty"
    return (
        f"at {time * 1e3:.3f} ms the buffer of link {machine.link_name(link)} {what}; deeper buffers, another kp, a "
        f"shorter control period, or oscillators nearer to each other may hold"
    )
