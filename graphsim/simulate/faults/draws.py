"""Chance that depends on seed, hop, iteration and frame alone, and so neither on chunks nor on the order of events.

A stream is SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014), whose
number i is ``mix(key + (i + 1) * GOLDEN)``: a function of key and counter. Every hop of every iteration has a key of
its own. Of its stream, number 2j decides whether frame j is hit, and number 2j + 1 is the key of the stream that says
which of its bits. A frame that is hit at some rate is hit at every greater one, at the same bits.

These are Python's integers; :mod:`.loop` has the same compiled, and a test holds them equal.
"""

from __future__ import annotations

import math

MASK = 2**64 - 1
GOLDEN = 0x9E3779B97F4A7C15
MIX_1, MIX_2 = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


def mix(z: int) -> int:
    """SplitMix64's finalizer: a bijection of 64 bits."""
    z = (z ^ z >> 30) * MIX_1 & MASK
    z = (z ^ z >> 27) * MIX_2 & MASK
    return z ^ z >> 31


def draw(key: int, i: int) -> int:
    """Number i of a stream, 64 bits."""
    return mix(key + (i + 1) * GOLDEN & MASK)


def hop_key(seed: int, hop: int, iteration: int) -> int:
    """The key of a hop's stream in an iteration."""
    return draw(draw(mix(seed & MASK), hop), iteration)


def threshold(rate: float) -> int:
    """What the upper 53 bits of a number must be less than with this probability."""
    return math.ceil(rate * 2**53)


def is_hit(key: int, frame: int, limit: int) -> bool:
    """Whether a frame is hit; ``limit`` is the rate's :func:`threshold`."""
    return draw(key, 2 * frame) >> 11 < limit


def hit_bits(key: int, frame: int, bits: int, frame_bits: int) -> list[int]:
    """Which bits of a frame that is hit flip: so many different ones, or all where it has no more."""
    inner, found, i = draw(key, 2 * frame + 1), list[int](), 0
    while len(found) < min(bits, frame_bits):
        bit = draw(inner, i) % frame_bits
        i += 1
        if bit not in found:
            found.append(bit)
    return found
