"""What TensorFlow's recurrent layers hold at every step: listened to while the layers compute.

Keras runs the steps of a recurrent layer one after the other, in eager mode as ordinary Python, and calls the layer's
cell for each. The call of the cell and its activation functions are replaced by ones that do the same and keep the
results; the layer computes what it would have computed. An LSTM cell calls its functions for the gates i, f and o,
and for c and then the state; a GRU cell calls them for z, r and h. Keras calls cells once or twice before the first
step, to learn the shapes: only the last calls count, one for each step.

Parts of layers are named as in graphs: ``layer/forward`` and ``layer/backward`` in Bidirectional, ``layer/0``,
``layer/1`` for the cells of StackedRNNCells.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

from graphsim.graph.graph import Observed

#: Replaces an activation function of a part of a layer.
Replace = Callable[[str, Any], Any]
#: What the functions of a cell are called for, in order: activation, recurrent activation.
_CALLS: dict[str, tuple[tuple[Observed, ...], tuple[Observed, ...]]] = {
    "SimpleRNNCell": ((), ()),
    "ArithmeticCell": ((), ()),
    "LSTMCell": (("step.c", "step.squash"), ("step.i", "step.f", "step.o")),
    "ConvLSTMCell": (("step.c", "step.squash"), ("step.i", "step.f", "step.o")),
    "GRUCell": (("step.h",), ("step.z", "step.r")),
}


def cells_of(keras: Any, layer: Any, path: str) -> Iterator[tuple[str, Any]]:
    """The cells of a recurrent layer, by path; none for other layers."""
    for part, recurrent in _layers_of(keras, layer, path):
        if hasattr(recurrent, "cell"):
            yield from _cells(recurrent.cell, part)


def _layers_of(keras: Any, layer: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(layer, keras.layers.Bidirectional):
        yield path, layer
        yield from _layers_of(keras, layer.forward_layer, f"{path}/forward")
        yield from _layers_of(keras, layer.backward_layer, f"{path}/backward")
    elif isinstance(layer, keras.layers.RNN):
        yield path, layer


def _cells(cell: Any, path: str) -> Iterator[tuple[str, Any]]:
    if hasattr(cell, "cells"):
        for number, inner in enumerate(cell.cells):
            yield from _cells(inner, f"{path}/{number}")
    elif type(cell).__name__ in _CALLS:
        yield path, cell


@contextmanager
def listening(
    keras: Any, layer: Any, path: str, replaced: Replace = lambda path, function: function
) -> Iterator[Callable[[Any], Mapping[tuple[str, Observed], Any]]]:
    """Listen to a layer. What is yielded tells, once the layer has computed, what was heard, from the layer's input.

    That is, by path of a part and what it is: outputs of the layer and of layers within it, the first where there are
    several, (N, units) or (N, T, units), and tensors of the cells at all steps, (N, T, units).
    """
    heard: dict[tuple[str, Observed], list[Any]] = {}
    outputs: dict[tuple[str, Observed], Any] = {}

    def note_output(part: str, value: Any) -> None:
        outputs[part, "output"] = value[0] if isinstance(value, (list, tuple)) else value

    with ExitStack() as stack:
        for part, recurrent in _layers_of(keras, layer, path):
            stack.enter_context(_observed(recurrent, "call", partial(note_output, part)))
        for part, cell in cells_of(keras, layer, path):
            stack.enter_context(_cell(part, cell, heard, replaced))

        def tell(x: Any) -> Mapping[tuple[str, Observed], Any]:
            first = keras.tree.flatten(x)[0]
            steps = {key: keras.ops.stack(values[-first.shape[1] :], axis=1) for key, values in heard.items()}
            return {**steps, **outputs}

        yield tell


@contextmanager
def _cell(part: str, cell: Any, heard: dict[tuple[str, Observed], list[Any]], replaced: Replace) -> Iterator[None]:
    of_activation, of_recurrent = _CALLS[type(cell).__name__]
    names = {"activation": of_activation, "recurrent_activation": of_recurrent}
    results: dict[str, list[Any]] = {name: [] for name in names}

    def note(value: Any) -> None:
        output, states = value
        heard.setdefault((part, "step"), []).append(output)
        if type(cell).__name__ in ("LSTMCell", "ConvLSTMCell"):
            heard.setdefault((part, "step.state"), []).append(states[1])
        for name, kinds in names.items():
            for kind, result in zip(kinds, results[name], strict=len(kinds) > 0):
                heard.setdefault((part, kind), []).append(result)
            results[name].clear()

    with ExitStack() as stack:
        for name in names:
            function = getattr(cell, name, None)
            if function is None:
                continue
            stack.callback(setattr, cell, name, function)
            setattr(cell, name, _keeping(replaced(part, function), results[name].append))
        stack.enter_context(_observed(cell, "call", note))
        yield


@contextmanager
def _observed(owner: Any, method: str, note: Callable[[Any], None]) -> Iterator[None]:
    """Hear what a method of an object returns."""
    setattr(owner, method, _keeping(getattr(owner, method), note))
    try:
        yield
    finally:
        delattr(owner, method)


def _keeping(function: Callable[..., Any], note: Callable[[Any], None]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        value = function(*args, **kwargs)
        note(value)
        return value

    return call
