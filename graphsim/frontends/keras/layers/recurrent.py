"""Recurrent layers: SimpleRNN, LSTM, GRU, their CuDNN twins, RNN with cells, and Bidirectional.

What differs between versions of Keras:

* Keras 1 stores a kernel, a recurrent kernel and a bias for every gate (``W_i``, ``U_i``, ``b_i`` ...), except where
  ``consume_less`` is "gpu"; later versions store them side by side, the gates of an LSTM in the order i, f, c, o and
  those of a GRU in the order z, r, h.
* ``reset_after`` of a GRU gives it a bias of shape (2, 3 units); without the key it is false.
* CuDNNLSTM and CuDNNGRU of Keras 2 store each gate's kernels transposed, and two biases, one behind the other (Keras's
  own conversion: ``_convert_rnn_weights`` in keras/saving/hdf5_format.py of Keras 2.4). A CuDNNGRU resets after.
* At a masked step Keras 1 and 2 up to 2.3 put out the state; TensorFlow's and Keras 3 repeat the output before, which
  is zeros at first, and inside Bidirectional, where sequences are returned, put out zeros.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from graphsim.frontends.blocks.recurrent import (
    Cell,
    DenseGate,
    Function,
    GruCell,
    LstmCell,
    Masked,
    SimpleCell,
    StackedCell,
    State,
    Step,
    in_rows,
    recur,
)
from graphsim.frontends.builder import Builder, FloatArray, RefusedError, Stored, Tensor, Unary, Weight
from graphsim.frontends.keras import activations
from graphsim.frontends.keras.fields import Fields, shown
from graphsim.frontends.keras.layers import whole
from graphsim.frontends.keras.layers.registry import Calling, Given, Lowering, calls
from graphsim.frontends.keras.semantics import Semantics
from graphsim.frontends.keras.weights import snake_case
from graphsim.graph import Axis, Ref, Window
from graphsim.graph.graph import Observed

#: Makes a cell for steps of a shape, of so many sequences side by side (0: of one), with its weights in a part of the
#: layer.
CellRule = Callable[[Builder, Sequence[int], int, str], Cell]
#: A gate's array among those of all gates, from a weight as the file has it.
Cut = Callable[[FloatArray], FloatArray]


@dataclass(frozen=True)
class Recurrent:
    """A recurrent layer as its config describes it; ``part`` is where its weights lie within the layer.

    Its steps have ``rank`` axes and features.
    """

    cell: CellRule
    part: str
    backwards: bool
    sequences: bool
    states: bool
    carries: bool
    masked: Masked
    rank: int = 0

    def build(
        self, to: Builder, x: Tensor, mask: Tensor | None, initial: Sequence[Tensor], part: str = "", rows: int = 0
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The output, one or all steps, and the last states. ``part`` is where the layer lies in the current one.

        ``rows``: 0; or of how many sequences side by side, whose number is the first axis of all tensors.
        """
        outer, inner = x.shape[: int(rows > 0)], x.shape[int(rows > 0) :]
        if len(inner) != 2 + self.rank:
            kind = f"of {self.rank} axes and channels" if self.rank else "of features"
            raise to.error(f"takes steps {kind}; its input has shape {inner}")
        cell = self.cell(to, inner[1:], rows, "/".join(filter(None, (part, self.part))))
        if initial and [tensor.shape for tensor in initial] != [(*outer, *shape) for shape in cell.shapes]:
            given, wanted = ([x.shape[len(outer) :] for x in initial], cell.shapes)
            shapes = [", ".join(map(str, found)) for found in (wanted, given)]
            raise to.error(f"has states of shapes {shapes[0]}; it is called with ones of {shapes[1]}")
        if mask is not None and mask.shape != (*outer, inner[0]):
            found = mask.shape[len(outer) :]
            raise RefusedError(f"its mask has shape {found}, not one value for each of {inner[0]} steps")
        if self.carries and rows:
            raise RefusedError("it carries states, and a layer around it repeats it: from one time to the next")
        if self.carries:
            to.notes["stateful"] = "states are carried from sample to sample, as Keras does with batches of one sample"
        output, states = recur(
            to,
            x,
            cell,
            backwards=self.backwards,
            initial=initial or None,
            mask=mask,
            masked=self.masked,
            carries=self.carries,
            sequences=self.sequences,
            rows=rows,
        )
        output = replace(output, mask=mask) if self.sequences else to.last(output, "output")
        return output, tuple(map(to.last, states)) if self.states else ()


def _read(class_name: str, fields: Fields, semantics: Semantics, *, wrapped: bool = False) -> Recurrent:
    """A recurrent layer of this class; ``wrapped`` in a Bidirectional one.

    Raises:
        RefusedError: the class is no such layer, or it cannot be lowered.
    """
    if class_name not in LAYERS:
        raise RefusedError(f"it wraps a layer of class {shown(class_name)}, which is not lowered there")
    if fields.flag("time_major", default=False):
        raise RefusedError("time is its first axis, before the samples; graphs see one sample at a time")
    sequences = fields.flag("return_sequences", default=False)
    return Recurrent(
        cell=LAYERS[class_name].cell(fields, semantics),
        part="" if class_name.startswith("CuDNN") else "cell",
        backwards=fields.flag("go_backwards", default=False),
        sequences=sequences,
        states=fields.flag("return_state", default=False),
        carries=fields.flag("stateful", default=False),
        masked=masked_of(fields, semantics, zeros=sequences if wrapped else None),
        rank=LAYERS[class_name].rank,
    )


def masked_of(fields: Fields, semantics: Semantics, zeros: bool | None = None) -> Masked:
    """What is put out at a masked step; ``zeros`` where the config does not say whether zeros are."""
    if _puts_out_states(semantics):
        return "state"
    return "zero" if (fields.flag("zero_output_for_mask", default=False) if zeros is None else zeros) else "repeat"


def _puts_out_states(semantics: Semantics) -> bool:
    """Whether the file is by Keras 1, or by a Keras 2 before 2.4 that is not TensorFlow's."""
    if semantics.major != 2:
        return semantics.major == 1
    minor = semantics.version.split(".")[1:2]
    return minor in (["0"], ["1"], ["2"], ["3"]) and not semantics.version.endswith("-tf")


# -- cells ----------------------------------------------------------------------------------------------------------


def function_of(fields: Fields, semantics: Semantics, *keys: str) -> Function:
    """The activation under the first of ``keys`` that is there; where none is, Keras's default, if there is one."""
    key = next((key for key in keys if key in fields.data), None)
    if key is None and keys[0] == "activation":
        return activations.UNARY["tanh"]
    if key is None and semantics.major == 3:
        return activations.UNARY["sigmoid"]
    if key is None:  # hard_sigmoid or sigmoid, by the version of Keras 2
        raise fields.error(f"{keys[0]!r} is missing; it should be an activation, or null")
    activation = activations.read(fields, semantics, key)
    if isinstance(activation, Unary):
        return activation
    return lambda to, x: activations.along(to, x, activation)


@dataclass(frozen=True)
class _Arrays:
    """Where the arrays of a cell's gates come from.

    Attributes:
        gates: their names, in the order in which they are stored.
        apart: whether each gate has arrays of its own (Keras 1).
        cudnn: whether they are stored as cuDNN has them.
        biases: 0, 1, or 2: how many each gate has.
    """

    gates: str
    apart: bool
    cudnn: bool
    biases: int

    def make(self, to: Builder, width: int, units: int, part: str) -> Mapping[str, DenseGate]:
        """The gates, for steps of ``width`` features."""
        if self.apart:
            return {
                gate: DenseGate(
                    to.weight(f"W_{gate}", [width, units], part=part),
                    to.weight(f"U_{gate}", [units, units], part=part),
                    Ref(to.weight(f"b_{gate}", [units], part=part).param),
                )
                for gate in self.gates
            }
        count = len(self.gates)
        kernel = to.weight("kernel", [width, count * units], part=part)
        recurrent = to.weight("recurrent_kernel", [units, count * units], part=part)
        bias_shape = [self.biases * count * units] if self.cudnn or self.biases == 1 else [self.biases, count * units]
        bias = to.weight("bias", bias_shape, part=part) if self.biases else None
        found = {}
        for number, gate in enumerate(self.gates):
            columns = slice(number * units, (number + 1) * units)

            def input_part(array: FloatArray, columns: slice = columns) -> FloatArray:
                mine = array[:, columns]
                return mine.reshape(units, width).T if self.cudnn else mine

            def state_part(array: FloatArray, columns: slice = columns) -> FloatArray:
                return array[:, columns].T if self.cudnn else array[:, columns]

            biases = {} if bias is None else self._biases(to, bias, gate, columns)
            found[gate] = DenseGate(
                _cut(to, kernel, gate, input_part, (width, units)),
                _cut(to, recurrent, gate, state_part, (units, units)),
                **biases,
            )
        return found

    def _biases(self, to: Builder, bias: Weight, gate: str, columns: slice) -> dict[str, Ref]:
        """A gate's bias; where it has two, their sum and the sum of their absolute values."""

        def rows(array: FloatArray) -> FloatArray:
            return array.reshape(self.biases, -1)[:, columns]

        def both(array: FloatArray) -> FloatArray:
            total: FloatArray = rows(array).sum(axis=0, dtype=np.float32)
            return total

        def magnitude(array: FloatArray) -> FloatArray:
            total: FloatArray = np.abs(rows(array)).sum(axis=0, dtype=np.float64).astype(np.float32)
            return np.nextafter(total, np.float32(np.inf))

        made = {"bias": Ref(_cut(to, bias, gate, both, ()).param)}
        if self.biases == 2:
            made["magnitude"] = Ref(_cut(to, bias, f"{gate}.magnitude", magnitude, ()).param)
        return made

    def bias(self, to: Builder, units: int, part: str, gate: str, which: int) -> Ref | None:
        """One of two biases of a gate."""
        if not self.biases:
            return None
        count = len(self.gates)
        shape = [self.biases * count * units] if self.cudnn else [self.biases, count * units]
        bias = to.weight("bias", shape, part=part)
        start = self.gates.index(gate) * units

        def cut(array: FloatArray) -> FloatArray:
            return array.reshape(self.biases, -1)[which, start : start + units]

        return Ref(_cut(to, bias, f"{gate}.{which}", cut, ()).param)


def _cut(to: Builder, weight: Weight, gate: str, cut: Cut, shape: tuple[int, ...]) -> Stored:
    """A param that is cut out of a weight."""
    name = "/".join(filter(None, (weight.part, f"{weight.name}.{gate}")))
    return Stored(to.derive(name, lambda of: np.ascontiguousarray(cut(of(weight)))), shape)


def _is_apart(fields: Fields, semantics: Semantics) -> bool:
    """Whether a file of Keras 1 has every gate's arrays by themselves."""
    return semantics.major == 1 and fields.text("consume_less", default="cpu") != "gpu"


def _simple(fields: Fields, semantics: Semantics) -> CellRule:
    units, activation = fields.size("units", "output_dim"), function_of(fields, semantics, "activation")
    has_bias = fields.flag("use_bias", default=True)

    def make(to: Builder, step: Sequence[int], rows: int, part: str) -> Cell:
        kernel = to.weight("kernel", [*step, units], part=part)
        recurrent = to.weight("recurrent_kernel", [units, units], part=part)
        bias = Ref(to.weight("bias", [units], part=part).param) if has_bias else None
        return SimpleCell(DenseGate(kernel, recurrent, bias), activation)

    return make


def _lstm(fields: Fields, semantics: Semantics) -> CellRule:
    units = fields.size("units", "output_dim")
    apart = _is_apart(fields, semantics)
    arrays = _Arrays("icfo" if apart else "ifco", apart, False, int(fields.flag("use_bias", default=True)))
    inner = function_of(fields, semantics, "recurrent_activation", "inner_activation")
    return _lstm_of(units, arrays, function_of(fields, semantics, "activation"), inner)


def _lstm_of(units: int, arrays: _Arrays, activation: Function, inner: Function) -> CellRule:
    def make(to: Builder, step: Sequence[int], rows: int, part: str) -> Cell:
        gates = arrays.make(to, step[0], units, part)
        i, f, c, o = (gates[gate] for gate in "ifco")
        return LstmCell(i, f, c, o, activation, inner)

    return make


def _gru(fields: Fields, semantics: Semantics) -> CellRule:
    after = fields.flag("reset_after", default=semantics.major == 3)
    biases = (2 if after else 1) if fields.flag("use_bias", default=True) else 0
    arrays = _Arrays("zrh", _is_apart(fields, semantics), False, biases)
    inner = function_of(fields, semantics, "recurrent_activation", "inner_activation")
    return _gru_of(
        fields.size("units", "output_dim"), arrays, after, function_of(fields, semantics, "activation"), inner
    )


def _gru_of(units: int, arrays: _Arrays, after: bool, activation: Function, inner: Function) -> CellRule:
    def make(to: Builder, step: Sequence[int], rows: int, part: str) -> Cell:
        gates = arrays.make(to, step[0], units, part)
        z, r, h = (gates[gate] for gate in "zrh")
        recurrent_bias = None
        if after:  # the candidate's two biases are added to different sums
            h = replace(h, bias=arrays.bias(to, units, part, "h", 0), magnitude=None)
            recurrent_bias = arrays.bias(to, units, part, "h", 1)
        return GruCell(z, r, h, after, recurrent_bias, activation, inner)

    return make


def _cudnn_lstm(fields: Fields, semantics: Semantics) -> CellRule:
    arrays = _Arrays("ifco", False, True, 2)
    return _lstm_of(fields.size("units"), arrays, activations.UNARY["tanh"], activations.UNARY["sigmoid"])


def _cudnn_gru(fields: Fields, semantics: Semantics) -> CellRule:
    arrays = _Arrays("zrh", False, True, 2)
    return _gru_of(fields.size("units"), arrays, True, activations.UNARY["tanh"], activations.UNARY["sigmoid"])


def _wrapper(fields: Fields, semantics: Semantics) -> CellRule:
    """The cell of a layer of class RNN."""
    if fields.find("num_constants"):
        raise RefusedError("its cell takes constants, which is not lowered")
    cell = fields.child("cell")
    return _cell(cell, semantics)


def _cell(described: Fields, semantics: Semantics) -> CellRule:
    class_name, config = described.text("class_name"), described.child("config")
    if class_name in _CELLS:
        return _CELLS[class_name](config, semantics)
    if class_name != "StackedRNNCells":
        raise RefusedError(f"its cell is of class {shown(class_name)}, which is not lowered")
    if config.flag("reverse_state_order", default=False):
        raise RefusedError("its cells list their states in reverse order, which is not lowered")
    entries = [config.element(value, f"cell {i}") for i, value in enumerate(config.items("cells"))]
    if not entries:
        raise config.error("'cells' is empty")
    rules = [_cell(entry, semantics) for entry in entries]
    used: dict[str, int] = {}
    names = []
    for entry in entries:
        name = snake_case(entry.text("class_name"))
        used[name] = used.get(name, -1) + 1
        names.append(f"cells/{name}_{used[name]}" if used[name] else f"cells/{name}")

    def make(to: Builder, step: Sequence[int], rows: int, part: str) -> Cell:
        cells: list[Cell] = []
        for rule, name in zip(rules, names, strict=True):
            cells.append(rule(to, step, rows, f"{part}/{name}"))
            step = (_output_size(cells[-1]),)
        return StackedCell(tuple(cells))

    return make


@dataclass(frozen=True)
class _ArithmeticCell:
    """h(t) = module([x(t); h(t-1)]): the layer of an arithmetic module on a step and the state before it, joined."""

    lowering: Lowering
    units: int
    part: str

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        return ((self.units,),)

    @property
    def names(self) -> tuple[str, ...]:
        return ("",)

    def step(self, to: Builder, x: Tensor, before: Sequence[State], observes: Observed, mark: str) -> Step:
        if len(x.shape) != 1:
            raise RefusedError("its cell is of an arithmetic module, and a layer around it repeats it")
        joined = to.group("sum", [x.size + self.units], suffix="joined")
        to.window(x, joined, [Axis(x.size, joined.size)], 0)
        state = Window(src=joined.group, dst=joined.group, port=1, axes=(Axis(self.units, joined.size, pad=x.size),))
        before[0].read(state)
        with to.within(holder=self.part):
            y = self.lowering(to, joined)
        group = to.groups[y.group]
        to.groups[y.group] = replace(group, observes=observes, layer="/".join((to.layer, *to.parts)), call=to.call)
        return Step((y,))


def _arithmetic(fields: Fields, semantics: Semantics) -> CellRule:
    module = fields.text("module")
    if module not in whole.RULES:
        raise RefusedError(f"its cell is of an arithmetic module {shown(module)}, which there is not")
    lowering, units = whole.RULES[module](fields, semantics), fields.size("units")

    def make(to: Builder, step: Sequence[int], rows: int, part: str) -> Cell:
        return _ArithmeticCell(lowering, units, part)

    return make


def _output_size(cell: Cell) -> int:
    return _output_size(cell.cells[-1]) if isinstance(cell, StackedCell) else cell.shapes[0][0]


_CELLS: dict[str, Callable[[Fields, Semantics], CellRule]] = {
    "SimpleRNNCell": _simple,
    "LSTMCell": _lstm,
    "GRUCell": _gru,
    "ArithmeticCell": _arithmetic,
}


class Kind(NamedTuple):
    """A class of recurrent layers: its cells, and how many axes its steps have beside features."""

    cell: Callable[[Fields, Semantics], CellRule]
    rank: int = 0


LAYERS: dict[str, Kind] = {}
"""Recurrent layers by class name; :mod:`graphsim.frontends.keras.layers.conv_recurrent` adds its own."""


# -- layers ---------------------------------------------------------------------------------------------------------


def _layer(class_name: str) -> Callable[[Fields, Semantics], Calling]:
    def rule(fields: Fields, semantics: Semantics) -> Calling:
        layer = _read(class_name, fields, semantics)

        def build(to: Builder, given: Given) -> Sequence[Tensor]:
            x, mask, initial = arguments(given)

            def on_rows(xs: Sequence[Tensor | None], rows: int) -> Sequence[Tensor]:
                output, states = layer.build(to, *_together(xs), rows=rows)
                return [to.settled(output, at=1) if rows else output, *states]

            return in_rows(to, [x, mask, *initial], on_rows)

        return build

    return rule


def recurrent(class_name: str, kind: Kind) -> None:
    """Register a class of recurrent layers, which Bidirectional may hold as well."""
    LAYERS[class_name] = kind
    rule = _layer(class_name)
    rule.__module__ = kind.cell.__module__
    calls(class_name, steps=True)(rule)


recurrent("SimpleRNN", Kind(_simple))
recurrent("LSTM", Kind(_lstm))
recurrent("GRU", Kind(_gru))
recurrent("CuDNNLSTM", Kind(_cudnn_lstm))
recurrent("CuDNNGRU", Kind(_cudnn_gru))
recurrent("RNN", Kind(_wrapper))


def arguments(given: Given) -> tuple[Tensor, Tensor | None, list[Tensor]]:
    """Input, mask and initial states of a call: (x), (x, states), ([x, *states]), or by keyword."""
    args, kwargs = list(given.args), dict(given.kwargs)
    first = args.pop(0) if args else kwargs.pop("sequences", kwargs.pop("inputs", None))
    found = _tensors(first)
    if not found:
        raise RefusedError("it is called on no tensor")
    x, *initial = found
    initial += _tensors([args.pop(0) if args else None, kwargs.pop("initial_state", None)])
    mask = args.pop(0) if args else kwargs.pop("mask", None)
    if any(value is not None for value in args) or kwargs:
        named = ", ".join([*map(shown, args), *map(shown, kwargs)])
        raise RefusedError(f"it is called with {named}, which is not lowered")
    if mask is not None and not isinstance(mask, Tensor):
        raise RefusedError(f"it is called with mask {shown(mask)}, which is not lowered")
    return x, x.mask if mask is None else mask, initial


def _together(xs: Sequence[Tensor | None]) -> tuple[Tensor, Tensor | None, list[Tensor]]:
    """Input, mask and initial states of a call, out of one list."""
    x, mask, *initial = xs
    assert x is not None
    return x, mask, [tensor for tensor in initial if tensor is not None]


def _tensors(value: Any) -> list[Tensor]:
    """All tensors in nested lists, in order."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, (list, tuple)):
        return [tensor for item in value for tensor in _tensors(item)]
    if value is not None:
        raise RefusedError(f"it is called with {shown(value)} where a tensor should be")
    return []


_MERGES = {"sum": "sum", "mul": "product", "ave": "mean"}


@calls("Bidirectional", steps=True)
def bidirectional(fields: Fields, semantics: Semantics) -> Calling:
    """A layer from the first step on and one from the last step on, and their outputs merged, step by step."""
    described = fields.child("layer")
    forward = _read(described.text("class_name"), described.child("config"), semantics, wrapped=True)
    if fields.find("backward_layer") is None:
        backward = replace(forward, backwards=not forward.backwards)
    else:
        described = fields.child("backward_layer")
        backward = _read(described.text("class_name"), described.child("config"), semantics, wrapped=True)
    mode = fields.data.get("merge_mode", "concat")
    if mode is not None and (not isinstance(mode, str) or mode not in ("concat", *_MERGES)):
        raise fields.error(f"'merge_mode' is {shown(mode)}; it should be concat, sum, mul, ave or null")
    for what in ("sequences", "states", "carries"):
        if getattr(forward, what) != getattr(backward, what):
            raise fields.error("its layers differ in 'return_sequences', 'return_state' or 'stateful'")
    if forward.backwards == backward.backwards:
        raise fields.error("both of its layers go in the same direction")

    def build(to: Builder, given: Given) -> Sequence[Tensor]:
        x, mask, initial = arguments(given)
        return in_rows(to, [x, mask, *initial], lambda xs, rows: on_rows(to, xs, rows))

    def on_rows(to: Builder, xs: Sequence[Tensor | None], rows: int) -> Sequence[Tensor]:
        x, mask, initial = _together(xs)
        half = len(initial) // 2
        at = int(rows > 0)
        made = []
        for layer, name, states in ((forward, "forward", initial[:half]), (backward, "backward", initial[half:])):
            with to.within(name):
                made.append(layer.build(to, x, mask, states, f"{name}_layer", rows))
        one, other = (output for output, _ in made)
        states = [state for _, found in made for state in found]
        if forward.sequences:
            other = to.settled(other, backwards=True, at=at)
        if mode is None:
            return [to.settled(one, at=at) if rows else one, other, *states]
        y = _merged(to, mode, to.settled(one, at=at), other)
        return [replace(y, mask=mask if forward.sequences else None), *states]

    return build


def _merged(to: Builder, mode: str, one: Tensor, other: Tensor) -> Tensor:
    if mode == "concat":
        *rows, left, right = (*one.shape, other.shape[-1])
        y = to.group("sum", [*rows, left + right], observes="output")
        kept = [Axis(size, size) for size in rows]
        to.window(one, y, [*kept, Axis(left, left + right)], 0)
        to.window(other, y, [*kept, Axis(right, left + right, pad=left)], 1)
        return y
    if one.shape != other.shape:
        raise to.error(f"its layers' outputs of shapes {one.shape} and {other.shape} cannot be merged by {mode!r}")
    y = to.group(_MERGES[mode], one.shape, observes="output")
    to.one_to_one(one, y, 0)
    to.one_to_one(other, y, 1)
    return y
