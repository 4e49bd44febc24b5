"""C as it is written: bit-parallel, 64 lanes in a word, in functions of at most 500 gates.

Bit k of every word belongs to lane k; lanes have nothing to do with each other. A circuit ``NAME`` without registers is
``void NAME(const cell *in, cell *out)``. One with registers has a struct ``NAME_state``, ``NAME_reset``, which sets the
first values in all lanes, and ``NAME_step``, which is one cycle. Gates that no output depends on are left out.
"""

from __future__ import annotations

import re

from graphsim.frontends.circuits.formula import Dialect, formula, variables, written
from graphsim.graph.circuit import Circuit

#: Gates of a function; compilers take long over longer ones.
GATES = 500
_C = Dialect("(cell)0", "~(cell)0")
_WRONG = re.compile(r"[^A-Za-z0-9_]+")
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
#: Words of C and its library that a function may not be called.
_WORDS = frozenset(
    word
    for line in (
        "alignas alignof asm auto bool break case cell char complex const constexpr continue default do double else",
        "enum extern false float for goto if imaginary inline int long main nullptr register restrict return short",
        "signed sizeof static struct switch thread_local true typedef typeof union unsigned void volatile while",
    )
    for word in line.split()
)


def write(circuit: Circuit, suffix: str) -> bytes:
    """The bytes of a file."""
    circuit = circuit.leading_to_outputs()
    name = _WRONG.sub("_", circuit.name)
    if not _PLAIN.fullmatch(name) or name in _WORDS or name.endswith("_t"):
        name = f"circuit_{name}"
    return _Source(circuit, name).text().encode("ascii", "backslashreplace")


class _Source:
    """A circuit on its way into C.

    Attributes:
        part: which function each gate is in.
        slot: of signals that other functions read, or outputs and registers: where they are kept in ``w``.
    """

    def __init__(self, circuit: Circuit, name: str) -> None:
        self.circuit, self.name = circuit, name
        self.index: list[int] = circuit.index.tolist()
        self.indptr: list[int] = circuit.indptr.tolist()
        self.truth: list[int] = circuit.truth.tolist()
        self.parts = [range(at, min(at + GATES, circuit.gate_count)) for at in range(0, circuit.gate_count, GATES)]
        self.slot: dict[int, int] = {}
        self.slots = self._slots()

    def _fanins(self, gate: int) -> list[int]:
        return self.index[self.indptr[gate] : self.indptr[gate + 1]]

    def _slots(self) -> int:
        """Give slots; one whose last reader is done is given again. Returns how many there are."""
        circuit, first = self.circuit, self.circuit.first_gate
        last: dict[int, int] = {}
        for at, part in enumerate(self.parts):
            for gate in part:
                for signal in self._fanins(gate):
                    if signal >= first and signal - first < part.start:
                        last[signal] = at
        end = len(self.parts)
        for signal in (*circuit.outputs.tolist(), *circuit.following.tolist()):
            if signal >= first:
                last[signal] = end
        free: list[int] = []
        done: list[list[int]] = [[] for _ in range(end + 1)]
        count = 0
        for at, part in enumerate(self.parts):
            if at:
                free += done[at - 1]
            for gate in part:
                signal = first + gate
                if signal in last:
                    if not free:
                        free.append(count)
                        count += 1
                    self.slot[signal] = free.pop()
                    done[last[signal]].append(self.slot[signal])
        return count

    def _value(self, signal: int, state: str = "r") -> str:
        """A signal where it is not a variable of the function at hand."""
        circuit = self.circuit
        if signal < circuit.input_count:
            return f"in[{signal}]"
        if signal < circuit.first_gate:
            return f"{state}[{signal - circuit.input_count}]"
        return f"w[{self.slot[signal]}]"

    def text(self) -> str:
        circuit, name = self.circuit, self.name
        out = [*self._about(), "#include <stdint.h>", "", "typedef uint64_t cell;", ""]
        if circuit.register_count:
            out += [f"typedef struct {{ cell r[{circuit.register_count}]; }} {name}_state;", ""]
        calls = []
        for at, part in enumerate(self.parts):
            if any(circuit.first_gate + gate in self.slot for gate in part):
                lines, call = self._function(at, part)
                out += lines
                calls.append(f"    {call};")
        stores = [f"    out[{j}] = {self._value(s, 's->r')};" for j, s in enumerate(circuit.outputs.tolist())]
        work = [f"    cell w[{self.slots}];"] if self.slots else []
        unused = ["    (void)in;"]
        if not circuit.register_count:
            out += [f"void {name}(const cell *in, cell *out);", f"void {name}(const cell *in, cell *out)", "{"]
            return "\n".join([*out, *work, *unused, *calls, *stores, "}", ""])
        first = [f"    s->r[{r}] = {'~(cell)0' if b else '(cell)0'};" for r, b in enumerate(circuit.initial.tolist())]
        reset, step = (
            f"void {name}_reset({name}_state *s)",
            f"void {name}_step({name}_state *s, const cell *in, cell *out)",
        )
        follows = [f"    next[{r}] = {self._value(s, 's->r')};" for r, s in enumerate(circuit.following.tolist())]
        follows += [f"    s->r[{r}] = next[{r}];" for r in range(circuit.register_count)]
        work.append(f"    cell next[{circuit.register_count}];")
        out += [f"{reset};", f"{step};", "", reset, "{", *first, "}", "", step, "{"]
        return "\n".join([*out, *work, *unused, *calls, *stores, *follows, "}", ""])

    def _function(self, at: int, part: range) -> tuple[list[str], str]:
        """A function of some gates, and the call of it."""
        circuit, first = self.circuit, self.circuit.first_gate
        needed = {first + gate for gate in part if first + gate in self.slot}
        formulas = {}
        for gate in reversed(part):
            if first + gate in needed:
                of = formulas[gate] = formula(self.truth[gate], len(self._fanins(gate)))
                needed.update(self._fanins(gate)[i] for i in variables(of))
        lines, reads = [], set()
        for gate, of in reversed(formulas.items()):
            names = []
            for signal in self._fanins(gate):
                inner = signal - first in part
                names.append(f"n{signal}" if inner else self._value(signal))
                if not inner and signal in needed:
                    reads.add("in" if signal < circuit.input_count else "r" if signal < first else "w")
            lines.append(f"    const cell n{first + gate} = {written(of, names, _C)};")
        lines += [f"    w[{self.slot[first + gate]}] = n{first + gate};" for gate in part if first + gate in self.slot]
        arguments = [("in", "const cell *in", "in"), ("r", "const cell *r", "s->r"), ("w", "cell *w", "w")]
        used = [argument for argument in arguments if argument[0] in reads | {"w"}]
        head = f"static void part{at}({', '.join(text for _, text, _ in used)})"
        return [head, "{", *lines, "}", ""], f"part{at}({', '.join(value for _, _, value in used)})"

    def _about(self) -> list[str]:
        circuit = self.circuit
        what = f"{circuit.input_count} inputs, {circuit.register_count} registers, {circuit.gate_count} gates, "
        out = [f"/* {_comment(circuit.name)}: {what}{len(circuit.outputs)} outputs. Bit k of every word is lane k."]
        for kind, names in (("in", circuit.input_names), ("r", circuit.register_names), ("out", circuit.output_names)):
            out += [f" * {kind}[{at}] {_comment(name)}" for at, name in enumerate(names)]
        return [*out, " */"]


def _comment(text: str) -> str:
    """Text that ends no comment and begins none."""
    return " ".join(text.replace("*/", "* /").replace("/*", "/ *").split())
