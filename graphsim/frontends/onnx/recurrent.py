"""LSTM, GRU and RNN of ONNX: weights of all gates in one array, gates in an order of their own.

Source: the operators' specification at https://onnx.ai/onnx/operators. What the reference shows of them is their
outputs only, so that those are judged by bounds that span all steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from graphsim.frontends.blocks.recurrent import Cell, DenseGate, GruCell, LstmCell, SimpleCell, recur
from graphsim.frontends.blocks.shape import joined
from graphsim.frontends.builder import Builder, RefusedError, Tensor, Unary
from graphsim.frontends.onnx.operators import Call, Value, operator
from graphsim.graph import Ref

_ACTIVATIONS = {
    "sigmoid": Unary("sigmoid"),
    "tanh": Unary("tanh"),
    "relu": Unary("relu"),
    "softsign": Unary("softsign"),
    "softplus": Unary("softplus"),
    "hardsigmoid": Unary("hard_sigmoid_v2"),
}
#: Gates in the order of the file, and the usual activations of a direction.
_GATES = {"LSTM": ("iofc", ("Sigmoid", "Tanh", "Tanh")), "GRU": ("zrh", ("Sigmoid", "Tanh")), "RNN": ("h", ("Tanh",))}


@operator("LSTM", "GRU", "RNN")
def recurrent(to: Builder, call: Call) -> Sequence[Value]:
    """Along the first axis, the batch is the second; forwards, backwards, or both side by side."""
    op, attributes = call.node.op, call.node.attributes
    x = call.tensor(0)
    if call.integer("layout", 0) or len(x.shape) != 3 or x.shape[1] != 1:
        raise RefusedError(f"its input of shape {x.shape} is not (steps, batch, features)")
    if "clip" in attributes or call.integer("input_forget", 0) or call.given(7):
        raise RefusedError("it clips, couples gates, or has peepholes")
    if call.given(4) and (call.constant(4) != x.shape[0]).any():
        raise RefusedError("its sequences have lengths of their own")
    if any(call.given(i) and call.constant(i).any() for i in ((5, 6) if op == "LSTM" else (5,))):
        raise RefusedError("its states do not start from zeros")
    directions = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}
    backwards = directions.get(attributes.get("direction", "forward"))
    if backwards is None or call.constant(1).shape[:1] != (len(backwards),):
        raise RefusedError("its direction and its weights do not fit")
    steps = x.reshaped((x.shape[0], x.shape[2]))
    outputs: list[Tensor] = []
    last: list[list[Tensor]] = []
    for number, back in enumerate(backwards):
        mark = "backward" if back and len(backwards) > 1 else ""
        with to.within(mark, shows=False):
            made, states = recur(to, steps, _cell(to, call, number), backwards=back)
        whole = to.settled(made, backwards=back)
        outputs.append(replace(whole, shape=(x.shape[0], 1, 1, made.shape[1]), mask=None))
        last.append([replace(to.last(state), shape=(1, 1, state.shape[1])) for state in states])
    if len(backwards) == 1:
        return [_shown(to, outputs[0]), *(_shown(to, state) for state in last[0])]
    return [joined(to, outputs, 1), *(joined(to, both, 0) for both in zip(*last, strict=True))]


def _shown(to: Builder, x: Tensor) -> Tensor:
    """The tensor, whose group is one that the reference shows."""
    group = to.groups[x.group]
    to.groups[x.group] = replace(group, layer=to.layer, call=0, observes="output")
    return x


def _cell(to: Builder, call: Call, direction: int) -> Cell:
    """The cell of one direction."""
    op = call.node.op
    gates, usual = _GATES[op]
    whole = [call.floats(i) for i in (1, 2, 3) if i < 3 or call.given(3)]
    directions, units = len(whole[0]), (0, *whole[1].shape)[-1]
    rows, features = len(gates) * units, call.tensor(0).shape[2]
    wanted = [(directions, rows, features), (directions, rows, units), (directions, 2 * rows)]
    if not units or [array.shape for array in whole] != wanted[: len(whole)]:
        raise RefusedError(f"its weights have shapes {', '.join(str(array.shape) for array in whole)}")
    kernel, recurrent = whole[0][direction], whole[1][direction]
    biases = whole[2][direction] if len(whole) > 2 else np.zeros(2 * rows, np.float32)
    parts = dict(zip(gates, zip(*(_parts(a, len(gates)) for a in (kernel, recurrent)), strict=True), strict=True))
    inner, outer = (dict(zip(gates, half.reshape(len(gates), units), strict=True)) for half in np.split(biases, 2))
    after = op == "GRU" and bool(call.integer("linear_before_reset", 0))

    def param(name: str, array: npt.NDArray[np.float32]) -> Ref:
        return Ref(to.constant(f"{'/'.join((*to.parts, name))}", np.ascontiguousarray(array)).param)

    def gate(name: str) -> DenseGate:
        stored = [
            to.constant("/".join((*to.parts, f"{what}_{name}")), np.ascontiguousarray(array.T))
            for what, array in zip(("kernel", "recurrent"), parts[name], strict=True)
        ]
        second = np.zeros_like(outer[name]) if after and name == "h" else outer[name]
        size = np.nextafter(np.abs(inner[name]) + np.abs(second), np.float32(np.inf))
        return DenseGate(
            stored[0],
            stored[1],
            param(f"bias_{name}", inner[name] + second),
            param(f"magnitude_{name}", size) if second.any() else None,
        )

    functions = [_function(name) for name in _listed(call, len(usual), direction) or usual]
    if op == "LSTM":
        if functions[1] != functions[2]:
            raise RefusedError("its activations of candidate and state differ")
        return LstmCell(gate("i"), gate("f"), gate("c"), gate("o"), functions[1], functions[0])
    if op == "GRU":
        later = param("recurrent_bias_h", outer["h"]) if after else None
        return GruCell(gate("z"), gate("r"), gate("h"), after, later, functions[1], functions[0])
    return SimpleCell(gate("h"), functions[0])


def _parts(array: npt.NDArray[np.float32], count: int) -> list[npt.NDArray[np.float32]]:
    return np.split(array, count)


def _listed(call: Call, count: int, direction: int) -> list[str]:
    listed = call.node.attributes.get("activations", [])
    names = [name.decode() if isinstance(name, bytes) else str(name) for name in listed]
    return names[direction * count : (direction + 1) * count]


def _function(name: str) -> Unary:
    row = _ACTIVATIONS.get(name.lower())
    if row is None:
        raise RefusedError(f"its activation {name!r} is not lowered there")
    return row
