"""BLIF, the Berkeley Logic Interchange Format, with its hierarchy.

What the format is: "Berkeley Logic Interchange Format (BLIF)", Berkeley, 1992. The first model is the circuit, or the
one that ``top`` names; instances of others are put in their places, their nets named ``model_1/net``. A ``.gate`` is an
instance of a model of the file, or of one of Yosys's cells (``$_DFFE_PP_``), for which BLIF has no words; cells of a
library elsewhere are refused. ``.gateinit net=value`` is Yosys's word for the first value of such a cell.

Level-sensitive and asynchronous latches are registers all the same, as in ABC, which is noted. First values 2 (does not
matter) and 3 (unknown, also where none is given) are 0, which is noted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from graphsim.errors import CircuitError
from graphsim.frontends.circuits import cells
from graphsim.frontends.circuits.cover import drive
from graphsim.frontends.circuits.names import within
from graphsim.frontends.circuits.netlist import Net, Netlist
from graphsim.frontends.circuits.text import lines, quoted
from graphsim.graph.circuit import Circuit

#: Statements about area, delay and the like, and those of other tools that say nothing of the function.
_IGNORED = {
    ".area",
    ".attr",
    ".clock_event",
    ".cname",
    ".cycle",
    ".default_input_arrival",
    ".default_input_drive",
    ".default_input_required",
    ".default_max_input_load",
    ".default_output_arrival",
    ".default_output_load",
    ".default_output_required",
    ".delay",
    ".input_arrival",
    ".input_drive",
    ".max_input_load",
    ".no_merge",
    ".output_load",
    ".output_required",
    ".param",
    ".spec",
    ".true_delay",
    ".wd",
    ".wire",
    ".wire_load_slope",
}
_REFUSED = {
    ".search": "refers to another file; put its models into this one",
    ".start_kiss": "begins a state table; encode its states first",
    ".mlatch": "is a latch of a library; write it as .latch",
}
_TYPES = ("fe", "re", "ah", "al", "as")
#: Gates, latches and instances that models may have, put together: so many, or so many times those of the file.
_MOST, _TIMES = 1 << 20, 16
_SHOWN = 12


class _Cover(NamedTuple):
    line: int
    fanins: tuple[str, ...]
    net: str
    rows: list[str]
    values: list[str]


class _Latch(NamedTuple):
    line: int
    following: str
    net: str
    kind: str
    control: str
    initial: str


class _Instance(NamedTuple):
    line: int
    model: str
    actuals: dict[str, str]
    is_gate: bool


@dataclass
class _Model:
    """A model as it stands in the file; None for ports that it does not declare."""

    name: str
    line: int
    inputs: list[tuple[str, int]] | None = None
    outputs: list[tuple[str, int]] | None = None
    clocks: list[tuple[str, int]] = field(default_factory=list)
    covers: list[_Cover] = field(default_factory=list)
    latches: list[_Latch] = field(default_factory=list)
    instances: list[_Instance] = field(default_factory=list)
    same: list[tuple[str, str, int]] = field(default_factory=list)
    first_values: dict[str, str] = field(default_factory=dict)
    black_box: bool = False

    @property
    def ports_in(self) -> list[str]:
        """Names of inputs and clocks."""
        return [name for name, _ in (*(self.inputs or ()), *self.clocks)]

    @property
    def ports_out(self) -> list[str]:
        return [name for name, _ in self.outputs or ()]

    @property
    def own_size(self) -> int:
        return 1 + len(self.covers) + len(self.latches) + len(self.instances) + len(self.same)


def read(path: Path, top: str | None = None) -> Circuit:
    """The circuit in a BLIF file.

    Raises:
        CircuitError: the file is not BLIF, or its nets do not make a circuit.
    """
    parser = _Parser(path)
    models = parser.models
    if top is not None and top not in models:
        raise CircuitError(str(path), None, f"has no model {top!r}; it has {_listed(models)}")
    main = models[top] if top is not None else next(iter(models.values()))
    name = path.stem if main.name in ("", "(null)") else main.name
    netlist = Netlist(str(path), name)
    for key, note in parser.notes.items():
        netlist.note(key, note)
    return _Flattened(netlist, models, main).circuit()


def _listed(names: Iterable[str]) -> str:
    known = list(names)
    return ", ".join(known[:_SHOWN]) + (f" and {len(known) - _SHOWN:,} more" if len(known) > _SHOWN else "")


class _Parser:
    """The models of a file by name, in order, and what there is to note."""

    def __init__(self, path: Path) -> None:
        self._path, self._line = str(path), 0
        self.models: dict[str, _Model] = {}
        self.notes: dict[str, str] = {}
        self._model: _Model | None = None
        self._cover: _Cover | None = None
        self._skipping = False
        for self._line, words in _statements(path):
            if words[0].startswith("."):
                self._cover = None
                self._directive(words)
            elif not self._skipping:
                self._row(words)
        if not self.models:
            raise CircuitError(self._path, None, "holds no .model")

    def _fail(self, message: str) -> CircuitError:
        return CircuitError(self._path, self._line, message)

    def _row(self, words: list[str]) -> None:
        """One row of a cover: a product, and the value there."""
        cover = self._cover
        said = quoted(" ".join(words))
        if cover is None:
            raise self._fail(f"{said} is not a statement, and it does not follow .names")
        width = len(cover.fanins)
        plane, value = ("", *words)[-2:] if len(words) == (2 if width else 1) else ("", "")
        if len(plane) != width or plane.strip("01-") or value not in ("0", "1"):
            shape = f"{width} of 0, 1 and -, then 0 or 1" if width else "0 or 1"
            raise self._fail(f"row {said} of .names {quoted(cover.net)} is not {shape}")
        if cover.values and value != cover.values[0]:
            raise self._fail(f".names {quoted(cover.net)} has rows for 1 and for 0; a cover has rows for one of them")
        cover.rows.append(plane)
        cover.values.append(value)

    def _directive(self, words: list[str]) -> None:
        what = words[0]
        if what == ".model":
            self._skipping = False
            self._begin(" ".join(words[1:]))
        elif what == ".end":
            self._model, self._skipping = None, False
        elif what == ".exdc":
            self.notes["blif.exdc"] = "external don't-cares are left out"
            self._skipping = True
        elif what in _REFUSED:
            raise self._fail(f"{what} {_REFUSED[what]}")
        elif not self._skipping and what not in _IGNORED:
            if self._model is None:  # a file may leave out .model, if it has only one
                if self.models:
                    raise self._fail(f"{what} is outside of any model, behind .end")
                self._begin("")
            assert self._model is not None
            self._statement(self._model, what, words[1:])

    def _begin(self, name: str) -> None:
        if name in self.models:
            raise self._fail(f"model {name!r} is there a second time")
        self._model = self.models[name] = _Model(name, self._line)

    def _statement(self, model: _Model, what: str, words: list[str]) -> None:
        line = self._line
        if what == ".inputs":
            model.inputs = (model.inputs or []) + [(name, line) for name in words]
        elif what == ".outputs":
            model.outputs = (model.outputs or []) + [(name, line) for name in words]
        elif what == ".clock":
            model.clocks += [(name, line) for name in words]
        elif what == ".names":
            if not words:
                raise self._fail(".names names no net")
            self._cover = _Cover(line, tuple(words[:-1]), words[-1], [], [])
            model.covers.append(self._cover)
        elif what == ".latch":
            model.latches.append(self._latch(words))
        elif what in (".subckt", ".gate"):
            model.instances.append(self._instance(words, is_gate=what == ".gate"))
        elif what in (".conn", ".barbuf"):
            if len(words) != 2:
                raise self._fail(f"{what} joins two nets; {len(words)} are here")
            model.same.append((words[1], words[0], line))
        elif what == ".gateinit":
            net, equals, value = "".join(words).rpartition("=")
            if len(words) != 1 or not net or not equals or value not in ("0", "1"):
                raise self._fail(f".gateinit {quoted(' '.join(words))} is not net=0 or net=1")
            model.first_values[net] = value
        elif what == ".blackbox":
            model.black_box = True
        else:
            raise self._fail(f"{quoted(what)} is no statement of BLIF that is known")

    def _latch(self, words: list[str]) -> _Latch:
        """``.latch input output [type control] [first value]``"""
        initial = words.pop() if len(words) in (3, 5) else "3"
        kind, control = words[2:] if len(words) == 4 else ("", "NIL")
        if len(words) not in (2, 4) or initial not in ("0", "1", "2", "3") or (kind and kind not in _TYPES):
            shape = f"input output [{'|'.join(_TYPES)} control] [0|1|2|3]"
            raise self._fail(f".latch {quoted(' '.join(words[:2]))}: does not read {shape}")
        return _Latch(self._line, words[0], words[1], kind, control, initial)

    def _instance(self, words: list[str], *, is_gate: bool) -> _Instance:
        """``.subckt model formal=actual ...``"""
        actuals: dict[str, str] = {}
        for word in words[1:]:
            formal, equals, actual = word.partition("=")
            if not (formal and equals and actual) or formal in actuals:
                why = "is there twice" if formal in actuals else "is not formal=actual"
                raise self._fail(f"{quoted(word)} of an instance of {quoted(words[0])} {why}")
            actuals[formal] = actual
        if not words:
            raise self._fail("an instance names no model")
        return _Instance(self._line, words[0], actuals, is_gate)


def _statements(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Words of each statement or row, of all lines that a backslash joins, with the number of the first."""
    words: list[str] = []
    first = 0
    for number, line in lines(path):
        first = first or number
        words += line.removesuffix("\\").split()
        if line.endswith("\\"):
            continue
        if words:
            yield first, words
        words, first = [], 0
    if words:
        yield first, words


class _Flattened:
    """A model and all that it is made of, as one netlist."""

    def __init__(self, netlist: Netlist, models: dict[str, _Model], top: _Model) -> None:
        self._netlist, self._models, self._top = netlist, models, top
        self._check_sizes()
        self._clocks: set[Net] = set()
        self._read: set[Net] = set()
        self._kinds: set[str] = set()
        self._unknown = self._instances = 0
        nets: dict[str, Net] = {}
        for name, line in (*(top.inputs or ()), *top.clocks, *(top.outputs or ())):
            nets[name] = netlist.new(name, line)
        # Not recursive: a file may nest models as deep as it likes.
        waiting: list[tuple[_Model, dict[str, Net], str]] = [(top, nets, "")]
        while waiting:
            waiting += reversed(self._place(*waiting.pop()))
        self._nets = nets

    def _check_sizes(self) -> None:
        """Refuse unknown models, models within themselves, and more than can be put together."""
        most = max(_MOST, _TIMES * sum(model.own_size for model in self._models.values()))
        size: dict[str, int] = {}
        begun: dict[str, None] = {}  # models that are open, the outermost first
        stack = [self._top]
        while stack:
            model = stack[-1]
            if model.name in size:
                stack.pop()
            elif model.name not in begun:
                begun[model.name] = None
                for instance in model.instances:
                    if self._is_cell(instance):
                        continue
                    if (inner := self._model_of(instance).name) in begun:
                        outer = list(begun)
                        path = " -> ".join([*outer[outer.index(inner) :][:_SHOWN], inner])
                        raise self._netlist.fail(f"model {inner!r} is within itself: {path}", instance.line)
                stack += (
                    self._models[i.model] for i in model.instances if i.model not in size and not self._is_cell(i)
                )
            else:
                size[model.name] = model.own_size + sum(size.get(i.model, 0) for i in model.instances)
                if size[model.name] > most:
                    message = f"model {model.name!r} has {size[model.name]:,} parts, put together; {most:,} can be"
                    raise self._netlist.fail(message, model.line)
                del begun[model.name]
                stack.pop()

    def _is_cell(self, instance: _Instance) -> bool:
        return instance.model not in self._models and cells.known(instance.model)

    def _model_of(self, instance: _Instance) -> _Model:
        model = self._models.get(instance.model)
        if model is None:
            what = "gate" if instance.is_gate else "model"
            how = "map it to .names, or add it as a .model" if instance.is_gate else "add it to the file"
            message = f"{what} {quoted(instance.model)} is not in this file; {how}"
            raise self._netlist.fail(message, instance.line)
        if model.black_box:
            raise self._netlist.fail(f"model {model.name!r} is a black box; add what is in it", instance.line)
        return model

    def _place(self, model: _Model, nets: dict[str, Net], prefix: str) -> list[tuple[_Model, dict[str, Net], str]]:
        """Put what a model says into the netlist; its ports have their nets. Returns the models within it."""
        netlist = self._netlist

        def net(name: str, line: int) -> Net:
            found = nets.get(name)
            if found is None:
                found = nets[name] = netlist.new(prefix + name, line)
            return found

        for cover in model.covers:
            fanins = [net(name, cover.line) for name in cover.fanins]
            self._read.update(fanins)
            value = cover.values[:1] != ["0"]
            drive(netlist, net(cover.net, cover.line), fanins, cover.rows, value, cover.line)
        for latch in model.latches:
            self._latch(latch, net)
        for one, other, line in model.same:
            self._read.add(net(other, line))
            netlist.alias(net(one, line), net(other, line), line)
        parts = []
        taken = {name.partition("/")[0] for name in nets if "/" in name}
        number: dict[str, int] = {}
        for instance in model.instances:
            count = number.get(instance.model, 0) + 1
            while (label := f"{instance.model}_{count}") in taken:
                count += 1
            number[instance.model] = count
            if self._is_cell(instance):
                self._cell(instance, f"{prefix}{label}", net, model.first_values)
                continue
            inner = self._models[instance.model]
            self._instances += 1
            parts.append((inner, self._bound(inner, instance, net), within(prefix + label, self._instances, "/")))
        return parts

    def _cell(
        self, instance: _Instance, name: str, net: Callable[[str, int], Net], first_values: Mapping[str, str]
    ) -> None:
        """One of Yosys's cells; what a flip-flop starts with is said by its net, if at all."""
        kind, line = instance.model, instance.line
        known = (*cells.inputs(kind), cells.output(kind))
        for formal in instance.actuals:
            if formal not in known and cells.inputs(kind):
                message = f"cell {kind!r} has no pin {formal!r}; it has {_listed(known)}"
                raise self._netlist.fail(message, line)
        pins = {formal: net(actual, line) for formal, actual in instance.actuals.items()}
        self._read.update(pin for formal, pin in pins.items() if formal != cells.output(kind))
        first = first_values.get(instance.actuals.get(cells.output(kind), ""))
        cells.build(self._netlist, kind, name, pins, first == "1", line)
        if kind in cells.FLIP_FLOPS:
            self._unknown += first is None
            if "C" in pins:
                self._clocks.add(pins["C"])

    def _bound(self, inner: _Model, instance: _Instance, net: Callable[[str, int], Net]) -> dict[str, Net]:
        """Nets of the ports of an instance."""
        ports_in, ports_out = set(inner.ports_in), set(inner.ports_out)
        bound: dict[str, Net] = {}
        for formal, actual in instance.actuals.items():
            if formal not in ports_in and formal not in ports_out:
                ports = _listed([*inner.ports_in, *inner.ports_out])
                message = f"model {inner.name!r} has no port {formal!r}; it has {ports}"
                raise self._netlist.fail(message, instance.line)
            if formal in ports_in and formal in ports_out:  # a wire through the model: its input is what drives it
                raise self._netlist.fail(f"port {formal!r} of model {inner.name!r} is in and out", instance.line)
            bound[formal] = net(actual, instance.line)
        if missing := [name for name in inner.ports_in if name not in bound]:
            message = f"input {missing[0]!r} of an instance of {inner.name!r} is connected to nothing"
            raise self._netlist.fail(message, instance.line)
        return bound

    def _latch(self, latch: _Latch, net: Callable[[str, int], Net]) -> None:
        following = net(latch.following, latch.line)
        self._read.add(following)
        self._netlist.register(net(latch.net, latch.line), following, latch.initial == "1", latch.line)
        self._unknown += latch.initial in ("2", "3")
        if latch.kind in ("ah", "al", "as"):
            self._kinds.add(latch.kind)
        if latch.control != "NIL":
            clock = net(latch.control, latch.line)
            self._clocks.add(clock)
            self._netlist.clock(clock, latch.kind not in ("fe", "al"), latch.line)

    def circuit(self) -> Circuit:
        """The circuit, with the ports of its model."""
        netlist, top, nets = self._netlist, self._top, self._nets
        declared = {nets[name] for name, _ in (*(top.inputs or ()), *top.clocks)}
        for name, line in top.clocks:
            netlist.input(nets[name], line)
            if nets[name] not in self._clocks:
                netlist.clock(nets[name], line=line)
        for latch in top.latches:
            clock = nets.get(latch.control)
            if clock is not None and not netlist.is_driven(clock) and clock not in declared:
                netlist.input(clock, latch.line)
                netlist.note("blif.clock", f"{latch.control} is no port, and controls latches: it is the clock")
        for name, line in top.inputs if top.inputs is not None else self._deduced():
            netlist.input(nets[name], line)
        if self._unknown:
            netlist.note("blif.first_values", f"{self._unknown:,} latches have none; they start at 0")
        if self._kinds:
            netlist.note("blif.latches", f"of type {', '.join(sorted(self._kinds))} are registers of one clock")
        outputs = top.outputs
        if outputs is None:
            outputs = [(name, 0) for name, net in nets.items() if netlist.is_driven(net) and net not in self._read]
            netlist.note("blif.outputs", "are what nothing reads, as there is no .outputs")
        for name, line in outputs:
            netlist.output(name, nets[name], line or None)
        return netlist.circuit()

    def _deduced(self) -> list[tuple[str, int]]:
        """Inputs of a model that declares none: what nothing drives, as the format says."""
        netlist = self._netlist
        free = [name for name, net in self._nets.items() if not netlist.is_driven(net)]
        if free:
            netlist.note("blif.inputs", "are what nothing drives, as there is no .inputs")
        return [(name, 0) for name in free]
