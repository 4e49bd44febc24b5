"""torchlogix's circuits (``Circuit.write_json``): gates of two inputs by number, outputs or sums of them.

What the format is: class ``Circuit`` of torchlogix. Inputs are numbers 0 .. ``n_inputs`` - 1, a gate has a number of
its own, and -1 is the constant 0. Inputs are called ``in[i]``, outputs ``out[j]``. A sum (``sum_reductions``, or in
older files ``output_reduction`` over groups of outputs) becomes adders: port ``sumJ``, as many bits as the number of
its terms takes. Its score is (sum + beta) / tau, which is not worked out by gates; a note says tau and beta.
"""

from __future__ import annotations

import re
from pathlib import Path

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from graphsim.errors import CircuitError
from graphsim.frontends.circuits.netlist import Net, Netlist
from graphsim.graph.circuit import VARIABLES, Circuit

#: Inputs of the widest circuit.
_WIDEST = 1 << 20
_A, _B = VARIABLES[0] & 0b1111, VARIABLES[1] & 0b1111
#: What each operation reads (of in0 and in1), and its table over in0 and in1.
_OPERATIONS: dict[str, tuple[tuple[int, ...], int]] = {
    "CONST_FALSE": ((), 0),
    "CONST_TRUE": ((), 0b1111),
    "WIRE": ((0,), _A),
    "NOT": ((0,), ~_A),
    "NOT_A": ((0,), ~_A),
    "NOT_B": ((1,), ~_B),
    "AND": ((0, 1), _A & _B),
    "OR": ((0, 1), _A | _B),
    "XOR": ((0, 1), _A ^ _B),
    "NAND": ((0, 1), ~(_A & _B)),
    "NOR": ((0, 1), ~(_A | _B)),
    "XNOR": ((0, 1), ~(_A ^ _B)),
    "AND_NOT_B": ((0, 1), _A & ~_B),
    "AND_NOT_A": ((0, 1), ~_A & _B),
    "OR_NOT_B": ((0, 1), _A | ~_B),
    "OR_NOT_A": ((0, 1), ~_A | _B),
}
_SYNTAX = re.compile(r"Invalid JSON: (.*) at line ([0-9]+) column [0-9]+", re.DOTALL)


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)


class _Gate(_Part):
    gate_id: int
    op: str
    in0: int = -1
    in1: int = -1


class _Sum(_Part):
    input_ids: list[int]
    tau: FiniteFloat = 1.0
    beta: FiniteFloat = 0.0


class _Groups(_Part):
    k: int = Field(ge=1, le=_WIDEST)
    group_size: int = Field(ge=1, le=_WIDEST)
    tau: FiniteFloat = 1.0
    beta: FiniteFloat = 0.0


class _File(_Part):
    n_inputs: int = Field(ge=0, le=_WIDEST)
    gates: list[_Gate] = []
    output_ids: list[int] = Field(default=[], validation_alias=AliasChoices("output_ids", "outputs"))
    sum_reductions: list[_Sum] = []
    output_reduction: _Groups | None = None

    def sums(self) -> list[_Sum]:
        """The sums that are the outputs; none if the outputs are bits."""
        groups = self.output_reduction
        if self.sum_reductions or groups is None:
            return self.sum_reductions
        size = groups.group_size
        return [
            _Sum(input_ids=self.output_ids[at * size : (at + 1) * size], tau=groups.tau, beta=groups.beta)
            for at in range(groups.k)
        ]


def read(path: Path, top: str | None = None) -> Circuit:
    """The circuit in a file of torchlogix's; ``top`` means nothing here, as a file holds one.

    Raises:
        CircuitError: the file is not what torchlogix writes, or its gates do not make a circuit.
    """
    try:
        file = _File.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        if found := _SYNTAX.fullmatch(first["msg"]):
            raise CircuitError(str(path), int(found[2]), f"is not JSON: {found[1]}") from None
        where = ".".join(str(step) for step in first["loc"][:4])
        raise CircuitError(str(path), None, f"{where or 'the file'}: {first['msg']}") from None
    return _Reader(path, file).circuit()


class _Reader:
    def __init__(self, path: Path, file: _File) -> None:
        self.file, self.n = file, Netlist(str(path), path.stem)
        self.zero: Net | None = None

    def circuit(self) -> Circuit:
        n, file = self.n, self.file
        for at in range(file.n_inputs):
            n.input(self._net(at))
        for gate in file.gates:
            if gate.op not in _OPERATIONS:
                raise n.fail(f"gate {gate.gate_id} is a {gate.op!r}; operations are {', '.join(_OPERATIONS)}")
            read, truth = _OPERATIONS[gate.op]
            net, pins = self._net(gate.gate_id), (gate.in0, gate.in1)
            if gate.gate_id < 0 or n.is_driven(net):
                raise n.fail(f"gate {gate.gate_id} has the number of an input or of another gate")
            # A table over both inputs, of which one is read, is the same over that one alone.
            table = truth if len(read) == 2 else (truth & 1) | ((truth >> 3 & 1) << 1)
            n.gate(net, [self._net(pins[i]) for i in read], table)
        sums = file.sums()
        for j, bits in enumerate(sums):
            terms = [self._net(number) for number in bits.input_ids or [-1]]
            for i, net in enumerate(n.count(terms)):
                n.output(f"sum{j}[{i}]", net)
        if not sums:
            for j, number in enumerate(file.output_ids):
                n.output(f"out[{j}]", self._net(number))
        self._note(sums)
        return n.circuit()

    def _note(self, sums: list[_Sum]) -> None:
        for j, bits in enumerate(sums):
            if bits.tau == 0:
                raise self.n.fail(f"sum {j} is divided by tau = 0")
        scales = {(bits.beta, bits.tau) for bits in sums}
        if len(scales) == 1:
            beta, tau = scales.pop()
            self.n.note("torchlogix.scores", f"the score of a sum is (sum + {beta:g}) / {tau:g}")
        elif scales:
            each = ", ".join(f"(sum{j} + {bits.beta:g}) / {bits.tau:g}" for j, bits in enumerate(sums))
            self.n.note("torchlogix.scores", f"the scores are {each}")

    def _net(self, number: int) -> Net:
        if number >= 0:
            return self.n.net(f"in[{number}]" if number < self.file.n_inputs else f"g{number}")
        if number != -1:
            raise self.n.fail(f"there is no gate {number}; -1 is the constant 0")
        if self.zero is None:
            self.zero = self.n.constant(self.n.new(), False)
        return self.zero
