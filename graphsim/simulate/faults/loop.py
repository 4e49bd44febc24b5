"""The machine's inner loop where things go wrong: the events of :class:`~graphsim.simulate.machine.program.Program`
with a third state beside right and wrong values.

A token that is missing is one whose tag is not in its cells: what reads it is missing as well. In transit, a value has
nothing in the upper half of its word; what is missing is ``EMPTY``. The interpreter of runs without faults knows
nothing of this, so that it pays nothing.

Importing this module compiles the loop, or loads it from disk where it was compiled before.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from graphsim.native import entry, jit, jit_call
from graphsim.simulate.faults.draws import GOLDEN, MIX_1, MIX_2
from graphsim.simulate.faults.file import MOST_BITS
from graphsim.simulate.faults.plan import NAN_BITS
from graphsim.simulate.machine.interpreter import _LINEAR, _MEAN, _SUM, _activate, _fire, _gather, _moved, _row, _turn
from graphsim.simulate.machine.memory import EMPTY, TOKEN
from graphsim.simulate.machine.program import (
    ACTIVATION,
    CHECK,
    CLAIM,
    END,
    FIRE,
    HAS_BIAS,
    HAS_DIVISOR,
    KIND,
    LENGTH,
    MOVED,
    OP,
    OUT,
    OUT_STRIDE,
    PASS,
    READ,
    SOURCE_END,
    STAGE,
    WHO,
    WRITE,
)

#: Columns of the hop table. A late hop has ``copies`` of its parcel and of the states of its frames in the history, and
#: the iteration of each in ``stamps``; ``lane_row`` is the row of its first frame in the table of lanes. ``passes``: 1
#: of those to and from switches. ``rate``: frames that it sends per cycle.
(
    LINK, FRAMES, LATE, TOKENS, FIRST, BITS, FRAME_BITS, RATE, STRIDE_OF, CYCLES, START, FLIGHT, PASSES, COPIES,
    HISTORY, STATES, STAMP, LANE_ROW, HOP_COLUMNS,
) = range(19)  # fmt: skip
#: Columns of the table of late links: from when on, ticks of flight from then on, rows of lanes.
SINCE, LATER, LANES, LANES_END, LATE_COLUMNS = range(5)
#: Columns of the table of lanes, one row per frame of a period on a late link, sorted by tick and lane.
RESIDUE, LANE, LANE_HOP, LANE_FRAME, LANE_TICK, LANE_COLUMNS = range(6)
#: Bits of what is said of the rows of events: the first and the last one of a parcel.
FIRST_ROW, LAST_ROW = np.uint8(1), np.uint8(2)
#: What is counted, in frames: valid ones sent; of these hit, those noticed and those where only padding changed; lost
#: on links that were down or too late; taken for others; not sent as valid, because a token in them was missing.
SENT, HIT, NOTICED, HARMLESS, LOST, MISPLACED, WITHHELD, COUNTS = range(8)

_EMPTY, _VALUE_BITS, _HALF = np.uint64(EMPTY), np.uint64(2**32 - 1), np.uint64(32)
_NEXT_TAG, _FLOAT_ONE = np.uint64(2**32), np.uint64(0x3F800000)
_ONE, _TWO = np.uint64(1), np.uint64(2)
#: Hardware and libraries differ in the bits of what is no number; on links all are alike, so that the same flips show.
_MAGNITUDE, _INFINITY, _NAN = np.uint64(0x7FFFFFFF), np.uint64(0x7F800000), np.uint64(NAN_BITS)
_VALUE = np.uint64(0 if sys.byteorder == "little" else 1)
_GOLDEN, _MIX_1, _MIX_2 = np.uint64(GOLDEN), np.uint64(MIX_1), np.uint64(MIX_2)
_S30, _S27, _S31, _S11 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(11)


@jit_call
def _mix(z: Any) -> Any:
    z = (z ^ (z >> _S30)) * _MIX_1
    z = (z ^ (z >> _S27)) * _MIX_2
    return z ^ (z >> _S31)


@jit_call
def _draw(key: Any, i: Any) -> Any:
    """Number i of a stream; see :mod:`.draws`."""
    return _mix(key + (np.uint64(i) + _ONE) * _GOLDEN)


@jit
def _is_hit(key: Any, frames: Any, limit: Any) -> Any:
    """Whether any of the first frames of a hop is hit; ``key`` is that of its stream in this iteration."""
    hit = False
    for j in range(frames):
        hit |= np.int64(_draw(key, 2 * j) >> _S11) < limit
    return hit


@entry("void(int64, int64, uint64[::1], int64[::1], int64[::1])")
def find_least(first: Any, end: Any, keys: Any, frames: Any, least: Any) -> None:
    """Fill in ``least[first:end]``: the least of the numbers that decide which frames are hit, by iteration.

    An iteration in which any frame would be hit at some rate has one below that rate's threshold.
    """
    for n in range(first, end):
        found = np.int64(1) << 53
        for h in range(len(keys)):
            key = _draw(keys[h], n)
            for j in range(frames[h]):
                found = min(found, np.int64(_draw(key, 2 * j) >> _S11))
        least[n] = found


@jit_call
def _holder(offsets: Any, first: Any, tokens: Any, bit: Any) -> Any:
    """Which token of a parcel begins last at or before a bit."""
    low, high = np.int64(0), np.int64(tokens)
    while high - low > 1:
        middle = (low + high) // 2
        if offsets[first + middle] <= bit:
            low = middle
        else:
            high = middle
    return low


@jit_call
def _place(width: Any, k: Any) -> Any:
    """Which bit of the float32 bit k of a token of that width is, -1 for padding; tokens of one bit are no case."""
    if width <= 32:
        return 32 - width + k
    return k if k < 32 else -1


@jit_call
def _flip(words: Any, at: Any, hop: Any, offsets: Any, widths: Any, bit: Any) -> Any:
    """Flip a bit of a parcel that lies in ``words`` from ``at`` on. Returns whether a value has changed."""
    if bit >= hop[BITS]:
        return False
    i = _holder(offsets, hop[FIRST], hop[TOKENS], bit)
    word, width = words[at + i], widths[hop[FIRST] + i]
    if width == 1:
        words[at + i] = np.uint64(0) if word << np.uint64(33) != 0 else _FLOAT_ONE
        return True
    place = _place(width, bit - offsets[hop[FIRST] + i])
    if place < 0:
        return False
    words[at + i] = word ^ (_ONE << np.uint64(place))
    return True


@jit_call
def _bit(words: Any, at: Any, hop: Any, offsets: Any, widths: Any, bit: Any) -> Any:
    """A bit of a parcel, 0 or 1; padding is 0."""
    if bit >= hop[BITS]:
        return np.uint64(0)
    i = _holder(offsets, hop[FIRST], hop[TOKENS], bit)
    word, width = words[at + i], widths[hop[FIRST] + i]
    if width == 1:
        return np.uint64(word << np.uint64(33) != 0)
    place = _place(width, bit - offsets[hop[FIRST] + i])
    return (word >> np.uint64(place)) & _ONE if place >= 0 else np.uint64(0)


@jit_call
def _mark(
    words: Any, at: Any, hop: Any, offsets: Any, widths: Any, states: Any, first_state: Any, from_frames: Any
) -> Any:
    """Carry loss over between tokens and frames.

    ``from_frames``: tokens of which a frame is lost are missing. Otherwise: frames are lost in which a token is
    missing.
    """
    for i in range(hop[TOKENS]):
        offset, width = offsets[hop[FIRST] + i], widths[hop[FIRST] + i]
        if width > 0 and (from_frames or words[at + i] == _EMPTY):
            for j in range(offset // hop[FRAME_BITS], (offset + width - 1) // hop[FRAME_BITS] + 1):
                if not from_frames:
                    states[first_state + j] = 1
                elif states[first_state + j] != 0:
                    words[at + i] = _EMPTY


@jit_call
def _send(
    number: Any, n: Any, words: Any, at: Any, states: Any, first_state: Any, hop: Any, late: Any, period: Any,
    offsets: Any, widths: Any, down_from: Any, down: Any, keys: Any, limit: Any, bits: Any, check: Any, pads: Any,
    counts: Any,
) -> Any:  # fmt: skip
    """A parcel, in ``words`` from ``at`` on, goes over a link: bits flip, and ``states`` says which frames are lost.

    On late links, ``pads`` has the flipped bits of each frame's padding, which may be taken for those of tokens, or -1.
    Returns whether any frame is lost.
    """
    size, lost = hop[FRAME_BITS], False
    for j in range(hop[FRAMES]):
        states[first_state + j] = 0
        if hop[LATE] >= 0:
            pads[first_state + j] = -1
    _mark(words, at, hop, offsets, widths, states, first_state, False)
    key = _draw(keys[number], n)
    for j in range(hop[FRAMES]):
        if states[first_state + j] != 0:
            counts[WITHHELD] += 1
            lost = True
            continue
        counts[SENT] += 1
        if down_from[hop[LINK]] < down_from[hop[LINK] + 1]:
            tick = n * period + hop[START] + j // hop[RATE] * hop[STRIDE_OF]
            arrival = tick + hop[FLIGHT]
            if hop[LATE] >= 0 and tick >= late[hop[LATE], SINCE]:
                arrival = tick + late[hop[LATE], LATER]
            for d in range(down_from[hop[LINK]], down_from[hop[LINK] + 1]):
                if tick < down[d, 1] and arrival > down[d, 0]:
                    states[first_state + j] = 1
            if states[first_state + j] != 0:
                counts[LOST] += 1
                lost = True
                continue
        if limit > 0 and np.int64(_draw(key, 2 * j) >> _S11) < limit:
            counts[HIT] += 1
            inner, chosen = _draw(key, 2 * j + 1), np.empty(MOST_BITS, np.int64)
            total, found, i = np.uint64(0), 0, 0
            while found < min(bits, size):
                bit = np.int64(_draw(inner, i) % np.uint64(size))
                i += 1
                is_new = True
                for other in range(found):
                    is_new = is_new and chosen[other] != bit
                if is_new:
                    chosen[found] = bit
                    found += 1
                    total ^= check[bit]
            if total != 0:
                counts[NOTICED] += 1
                states[first_state + j] = 1
                lost = True
                continue
            changed = False
            for i in range(found):
                if _flip(words, at, hop, offsets, widths, j * size + chosen[i]):
                    changed = True
                elif hop[LATE] >= 0:
                    pads[first_state + j, i] = chosen[i]
            if not changed:
                counts[HARMLESS] += 1
    return lost


@jit_call
def _arrive(
    number: Any, n: Any, samples: Any, words: Any, at: Any, states: Any, origins: Any, hops: Any, late: Any, lanes: Any,
    frame_lane: Any, period: Any, offsets: Any, widths: Any, history: Any, history_states: Any, pads: Any, stamps: Any,
    counts: Any,
) -> Any:  # fmt: skip
    """What comes off a late link in the ticks in which the calendar expects a parcel, into ``words`` from ``at`` on.

    ``origins[j]`` is where the parcel that frame j has come from lies in the history: ``[hop, frame, first word, row of
    pads]``.
    """
    hop = hops[number]
    line, size = late[hop[LATE]], hop[FRAME_BITS]
    for j in range(hop[FRAMES]):
        states[j] = 1
        sent = n * period + hop[START] + j // hop[RATE] * hop[STRIDE_OF]
        tick = sent + hop[FLIGHT] - line[LATER]
        if tick < line[SINCE]:
            tick = sent
            if sent >= line[SINCE]:
                counts[LOST] += 1
                continue
        residue, lane = tick % period, frame_lane[hop[LANE_ROW] + j]
        low, high = line[LANES], line[LANES_END]
        while low < high:
            middle = (low + high) // 2
            if lanes[middle, RESIDUE] < residue or (lanes[middle, RESIDUE] == residue and lanes[middle, LANE] < lane):
                low = middle + 1
            else:
                high = middle
        if low < line[LANES_END] and lanes[low, RESIDUE] == residue and lanes[low, LANE] == lane:
            whose, frame = lanes[low, LANE_HOP], lanes[low, LANE_FRAME]
            iteration, other = (tick - lanes[low, LANE_TICK]) // period, hops[whose]
            copy = iteration % other[COPIES]
            if 0 <= iteration < samples and stamps[other[STAMP] + copy] == iteration:
                origins[j, 0], origins[j, 1] = whose, frame
                origins[j, 2] = other[HISTORY] + copy * other[TOKENS]
                origins[j, 3] = other[STATES] + copy * other[FRAMES] + frame
                states[j] = history_states[origins[j, 3]]
                if states[j] == 0 and (whose != number or iteration != n or frame != j):
                    counts[MISPLACED] += 1
                continue
        counts[LOST] += 1
    for i in range(hop[TOKENS]):
        offset, width = offsets[hop[FIRST] + i], widths[hop[FIRST] + i]
        value = np.uint64(0)
        for k in range(width):
            j = (offset + k) // size
            if states[j] != 0:
                value = _EMPTY
                break
            bit = origins[j, 1] * size + (offset + k) % size
            found = _bit(history, origins[j, 2], hops[origins[j, 0]], offsets, widths, bit)
            for flipped in range(pads.shape[1]):
                if pads[origins[j, 3], flipped] == (offset + k) % size:
                    found = _ONE
            if width == 1:
                value = _FLOAT_ONE if found != 0 else np.uint64(0)
            elif _place(width, k) >= 0:
                value |= found << np.uint64(_place(width, k))
        words[at + i] = value


@jit_call
def _fire_in_full(
    number: Any, actor: Any, bias: Any, divisor: Any, arguments: Any, segments: Any, runs: Any, rings: Any, row: Any,
    words: Any, values: Any, weights: Any, scratch: Any, results: Any, at: Any, status: Any,
) -> Any:  # fmt: skip
    """A firing of a weighted sum one of whose weights may not be finite: no term is left out."""
    k = _gather(number, actor, segments, runs, rings, row, words, values, weights, scratch, status)
    if k < 0:
        return 1
    acc = np.float32(0)
    for i in range(k):
        acc += scratch[i]
    if actor[OP] == _MEAN:
        acc = acc / np.float32(k)
    if actor[HAS_BIAS]:
        acc = acc + bias
    if actor[HAS_DIVISOR]:
        acc = acc / divisor
    results[at * _TWO + _VALUE] = np.float32(_activate(actor[ACTIVATION], np.float64(acc), arguments))
    return 0


@entry(
    "int64(int64, int64, int64, int64, int64, uint64, int64, int64,"
    " uint32[:, ::1], int64[::1], int64[::1], int64[::1], uint64[::1], uint32[:, ::1], int64[:, ::1], float32[::1],"
    " int64[:, ::1], float64[:, ::1], float32[::1], float32[::1],"
    " uint64[::1], float32[::1], uint64[::1], float32[::1], float32[::1],"
    " float32[:, ::1], float32[::1], uint8[::1], int64[::1],"
    " int64[::1], uint8[::1],"
    " int64[:, ::1], int64[::1], int64[::1], int64[::1], int64[:, ::1], int64[::1], int64[::1], int64[::1], int64[::1],"
    " uint8[::1], int64[:, ::1], int64[:, ::1], int64[::1], uint64[::1], uint8[::1], int32[:, ::1],"
    " int64[::1], uint8[::1], int64[:, ::1], uint64[::1], int64, int64, uint64[::1], int64[:, ::1], int64[::1])"
)
def advance(
    first_period: Any, end_period: Any, samples: Any, period: Any, stages: Any, tokens: Any, first_element: Any,
    first_row: Any,
    events: Any, event_tick: Any, depths: Any, delays: Any, rings: Any, runs: Any, segments: Any, weights: Any,
    actors: Any, arguments: Any, bias: Any, divisor: Any,
    words: Any, values: Any, transit: Any, results: Any, scratch: Any,
    inputs: Any, outputs: Any, missing: Any, status: Any,
    iterations: Any, ends: Any,
    hops: Any, offsets: Any, widths: Any, down_from: Any, down: Any, node: Any, dead: Any, dropped_from: Any,
    dropped: Any,
    in_full: Any, late: Any, lanes: Any, frame_lane: Any, history: Any, history_states: Any, pads: Any, stamps: Any,
    states: Any, origins: Any, keys: Any, limit: Any, bits: Any, check: Any, counts: Any, noticed: Any,
) -> Any:  # fmt: skip
    """Execute periods ``first_period`` .. ``end_period - 1``; see the interpreter's ``advance``.

    The ``samples`` follow each other in memory as iterations do; which ones they are is in ``iterations``, ascending:
    all from 0 on where samples depend on each other, any where they do not. ``ends`` says of each event whether it is
    the first or the last row of a parcel. ``missing`` says of each of ``outputs`` whether it is. ``node`` and
    ``in_full`` are per actor: where it is, and whether no term of its sum may be left out. ``counts`` (samples, COUNTS)
    and ``noticed`` go on from call to call: frames, and for each node the first tick in which it finds a token missing.
    """
    kinds = len(depths)
    part: Any = np.int64(0)
    lacking = False
    for k in range(first_period, end_period):
        newest = _turn(k, stages, depths, delays, rings)
        for e in range(len(events)):
            stage = np.int64(events[e, STAGE])
            m = k - stage
            if m < 0 or m >= samples:
                continue
            n = iterations[m]
            row, number = _row(newest, stage, stages, kinds), np.uint64(m) * tokens
            kind, who = events[e, KIND], np.int64(events[e, WHO])
            count, size, cell, tag, at = _moved(events, e, rings, row, number)
            tick = (n + stage) * period + event_tick[e]
            hop = who - first_element
            # What has several rows is one parcel: sent when the last one is read, come when the first one is written.
            if ends[e] & FIRST_ROW:
                part = 0
                lacking = False
            if kind == READ and hop >= 0 and size == _ONE and hops[hop, LATE] < 0:
                for i in range(count):
                    word = words[cell + i]
                    found = word & _VALUE_BITS
                    if found & _MAGNITUDE > _INFINITY:
                        found = _NAN
                    if word ^ (tag + i * _NEXT_TAG) > _VALUE_BITS:
                        found = _EMPTY
                        lacking = True
                    transit[at + i] = found
                if ends[e] & LAST_ROW:
                    link, frames = hops[hop, LINK], hops[hop, FRAMES]
                    if (
                        not lacking
                        and down_from[link] == down_from[link + 1]
                        and (limit == 0 or not _is_hit(_draw(keys[hop], n), frames, limit))
                    ):
                        counts[m, SENT] += frames
                    else:
                        begin = np.int64(at) + np.int64(count) - hops[hop, TOKENS]
                        if _send(
                            hop, n, transit, begin, states, 0, hops[hop], late, period, offsets, widths, down_from,
                            down, keys, limit, bits, check, pads, counts[m],
                        ):  # fmt: skip
                            _mark(transit, begin, hops[hop], offsets, widths, states, 0, True)
            elif kind in (READ, CHECK, PASS):
                is_late = hop >= 0 and hops[hop, LATE] >= 0
                if kind == (READ if is_late and hops[hop, CYCLES] > 1 and not hops[hop, PASSES] else CHECK):
                    continue
                base = np.int64(at)
                if is_late:
                    copy = n % hops[hop, COPIES]
                    base = hops[hop, HISTORY] + copy * hops[hop, TOKENS] + part
                for i in range(count):
                    if kind == PASS:
                        found = transit[cell]
                    else:
                        found = words[cell] & _VALUE_BITS
                        for j in range(size):
                            if words[cell + j] ^ tag > _VALUE_BITS:
                                found = _EMPTY
                    if hop < 0 and dead[node[who]] <= tick:
                        found = _EMPTY
                    elif hop < 0 and found == _EMPTY:
                        noticed[node[who]] = min(noticed[node[who]], tick)
                    elif hop >= 0 and found != _EMPTY and found & _MAGNITUDE > _INFINITY:
                        found = _NAN
                    if is_late:
                        history[base + np.int64(i)] = found
                    else:
                        transit[base + np.int64(i)] = found
                    cell += size
                    tag += _NEXT_TAG
                part += np.int64(count)
                is_last = ends[e] & LAST_ROW != 0
                if hop >= 0 and is_last and is_late:
                    stamps[hops[hop, STAMP] + copy] = n
                    _send(
                        hop, n, history, hops[hop, HISTORY] + copy * hops[hop, TOKENS], history_states,
                        hops[hop, STATES] + copy * hops[hop, FRAMES], hops[hop], late, period, offsets, widths,
                        down_from, down, keys, limit, bits, check, pads, counts[m],
                    )  # fmt: skip
                elif hop >= 0 and is_last:
                    begin = np.int64(at) + np.int64(count) - hops[hop, TOKENS]
                    if _send(
                        hop, n, transit, begin, states, 0, hops[hop], late, period, offsets, widths, down_from, down,
                        keys, limit, bits, check, pads, counts[m],
                    ):  # fmt: skip
                        _mark(transit, begin, hops[hop], offsets, widths, states, 0, True)
            elif kind in (WRITE, END):
                if kind == WRITE and hop >= 0 and hops[hop, LATE] >= 0 and part == 0:
                    _arrive(
                        hop, n, samples, transit, np.int64(at), states, origins, hops, late, lanes, frame_lane, period,
                        offsets, widths, history, history_states, pads, stamps, counts[m],
                    )  # fmt: skip
                part = 1
                if kind == END:
                    gone = dead[node[who]] <= tick
                    low, high = dropped_from[who], dropped_from[who + 1]
                    for i in range(low, high):
                        gone = gone or dropped[i] == n
                    if gone:
                        transit[at] = _EMPTY
                for i in range(count):
                    word = transit[at + i]
                    if word != _EMPTY:
                        word = word & _VALUE_BITS | tag
                    words[cell] = word
                    for j in range(_ONE, size):
                        words[cell + j] = word
                    cell += size
                    tag += _NEXT_TAG
                if kind == END and actors[who, OUT] >= 0:
                    out = actors[who, OUT] + m * actors[who, OUT_STRIDE]
                    lacks = transit[at] == _EMPTY
                    for i in range(events[e, LENGTH]):
                        missing[out + i] = lacks
                        outputs[out + i] = np.nan if lacks else results[(at + i) * _TWO + _VALUE]
            elif kind == FIRE:
                if dead[node[who]] <= tick:
                    transit[at] = _EMPTY
                    continue
                if in_full[who] and actors[who, OP] in (_LINEAR, _SUM, _MEAN):
                    failed = _fire_in_full(
                        number, actors[who], bias[who], divisor[who], arguments[who], segments, runs, rings, row,
                        words, values, weights, scratch, results, at, status,
                    )  # fmt: skip
                else:
                    failed = _fire(
                        number, actors[who], bias[who], divisor[who], arguments[who], segments, runs, rings, row,
                        words, values, weights, scratch, results, at, status,
                    )  # fmt: skip
                if failed:
                    transit[at] = _EMPTY
                    noticed[node[who]] = min(noticed[node[who]], tick)
                else:
                    transit[at] &= _VALUE_BITS
            elif kind == CLAIM:
                for _ in range(count):
                    for j in range(size):
                        words[cell + j] = _EMPTY
                    cell += size
            elif kind == SOURCE_END:
                element = events[e, MOVED + TOKEN] - first_element
                for i in range(count):
                    values[cell * _TWO + _VALUE] = inputs[m - first_row, element + np.int64(i)]
                    word = words[cell] & _VALUE_BITS | tag
                    if dead[node[who]] <= tick:
                        word = _EMPTY
                    for j in range(size):
                        words[cell + j] = word
                    cell += size
                    tag += _NEXT_TAG
    return 0
