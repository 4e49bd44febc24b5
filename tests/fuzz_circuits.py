"""Damaged circuit files: what is read or refused, and never anything else."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path

from graphsim.errors import CircuitError
from graphsim.frontends.circuits import read
from graphsim.graph.circuit import Circuit, to_graph

#: Words that mean something in one format or another.
_WORDS = (
    b".names .latch .model .end .subckt .inputs .outputs .exdc .i .o .type fr 0 1 - 2 -1 4294967296 99999999999 "
    b"2000000000 aag aig AND LUT 0xff DFF ( ) = , re NIL \\ # \x00 \xff \xc3\x28"
).split(b" ")


def damaged(data: bytes, seed: int, known: Sequence[bytes] = _WORDS) -> bytes:
    """The bytes, changed in one to four places: bits, bytes, lines, words (to ones that are known), ends."""
    dice = random.Random(seed)
    changed = bytearray(data)
    for _ in range(dice.randint(1, 4)):
        if not changed:
            break
        at = dice.randrange(len(changed))
        match dice.randrange(8):
            case 0:
                changed[at] ^= 1 << dice.randrange(8)
            case 1:
                changed[at] = dice.randrange(256)
            case 2:
                del changed[at : at + dice.randint(1, 40)]
            case 3:
                changed[at:at] = changed[at : at + dice.randint(1, 200)]
            case 4:
                del changed[at:]
            case 5:
                lines = bytes(changed).split(b"\n")
                dice.shuffle(lines)
                changed[:] = b"\n".join(lines)
            case 6:
                lines = bytes(changed).split(b"\n")
                del lines[dice.randrange(len(lines))]
                changed[:] = b"\n".join(lines)
            case 7:
                words = bytes(changed).split(b" ")
                words[dice.randrange(len(words))] = dice.choice(known)
                changed[:] = b" ".join(words)
    return bytes(changed)


def judge(path: Path, data: bytes, reader: Callable[[Path], Circuit] = read) -> str:
    """``read`` or ``refused``; whatever else happens is raised."""
    path.write_bytes(data)
    try:
        circuit = reader(path)
    except CircuitError as error:
        assert str(error).startswith(str(path))
        return "refused"
    circuit.check()
    to_graph(circuit)
    return "read"
