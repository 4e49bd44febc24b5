"""The register of lowering rules, and how a rule is written.

A rule reads the layer's config, refuses what it cannot lower by raising ``RefusedError`` with the reason, and returns a
function that builds the layer for given input tensors. The first half runs for all layers before the second half of
any, so that everything that cannot be lowered is known at once. A weight is asked for by its name and shape; what the
graph stores of it may be derived from it. For example::

    @lowers("Scale")
    def scale(fields: Fields, semantics: Semantics) -> Lowering:
        factor = fields.number("factor")

        def build(to: Builder, x: Tensor) -> Tensor:
            y = to.group("linear", x.shape, observes="output")
            to.one_to_one(x, y, weight=Ref(to.derive("factor", lambda _: np.array([factor], np.float32))))
            return y

        return build

A tensor may carry a *mask* (see :class:`~graphsim.frontends.builder.Tensor`). What becomes of it is up to the rule's
``mask``: "drop" (the layer knows no masks: the output has none), "pass" (the output has the input's mask), or "own"
(the function that builds sets it).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

import numpy.typing as npt

from graphsim.frontends.builder import Builder, RefusedError, Tensor
from graphsim.frontends.keras.fields import Fields, shown
from graphsim.frontends.keras.semantics import Semantics

Mask = Literal["drop", "pass", "own"]


@dataclass(frozen=True)
class Given:
    """What a layer is called with: JSON values, lists and objects, with a Tensor for every tensor.

    Keyword arguments that are null or False are left out.
    """

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Known:
    """Numbers between layers that are the same for all samples (:mod:`graphsim.frontends.keras.layers.known`).

    Attributes:
        value: int32, float32 or bool; of objects where it has the number of samples, which is None.
    """

    value: npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Merged:
    """A tensor whose rows lie along the batch axis, those of all samples one after the other.

    ``tf.reshape(x, [-1, n])`` makes it, in ``K.dot`` of Keras 2, and another reshape parts the samples again.

    Attributes:
        tensor: of shape (rows, n) for each sample.
    """

    tensor: Tensor


#: Builds a layer on one tensor.
Lowering = Callable[[Builder, Tensor], Tensor]
#: Builds a layer on a list of tensors.
Merging = Callable[[Builder, Sequence[Tensor]], Tensor]
#: Builds a call with any arguments; several outputs as a list.
Calling = Callable[[Builder, Given], "Tensor | Sequence[Tensor]"]
#: The same for layers that may make numbers, or merged rows.
Knowing = Callable[[Builder, Given], "Tensor | Known | Merged | Sequence[Tensor | Known]"]


@dataclass(frozen=True)
class Rule:
    """How a class of layers is lowered: on one tensor (``single``), on a list (``many``), or on any call (``call``).

    ``steps``: whether it knows what to do with tensors of steps (see :class:`~graphsim.frontends.builder.Tensor`);
    others get ordinary ones. ``trains``: whether calls may say that they are for training, as some layers do by
    default; a model that is asked for its outputs overrides it. ``knows``: whether its calls take numbers that no
    sample changes (:class:`Known`), and rows of all samples (:class:`Merged`).
    """

    single: Callable[[Fields, Semantics], Lowering] | None = None
    many: Callable[[Fields, Semantics], Merging] | None = None
    call: Callable[[Fields, Semantics], Calling] | None = None
    mask: Mask = "drop"
    steps: bool = False
    trains: bool = False
    knows: bool = False


RULES: dict[str, Rule] = {}
"""Every rule of a layer of Keras's, by class name."""

OWN: dict[str, Rule] = {}
"""Rules of layers that are not Keras's, by class name or by ``package>Class``, which plugins register."""

_registering_own: ContextVar[bool] = ContextVar("registering_own", default=False)


@contextmanager
def registering_own() -> Iterator[None]:
    """Rules that are registered inside are of layers that are not Keras's."""
    token = _registering_own.set(True)
    try:
        yield
    finally:
        _registering_own.reset(token)


_R = TypeVar("_R", bound=Callable[..., Any])


def lowers(*names: str, mask: Mask = "drop", steps: bool = False, trains: bool = False) -> Callable[[_R], _R]:
    """Register a rule for layers that are called on one tensor: (Fields, Semantics) -> Lowering."""
    return _register(names, lambda rule: Rule(single=rule, mask=mask, steps=steps, trains=trains))


def merges(*names: str, mask: Mask = "drop") -> Callable[[_R], _R]:
    """Register a rule for layers that are called on a list of tensors: (Fields, Semantics) -> Merging."""
    return _register(names, lambda rule: Rule(many=rule, mask=mask))


def calls(*names: str, mask: Mask = "own", steps: bool = False, knows: bool = False) -> Callable[[_R], _R]:
    """Register a rule for layers that are called with any arguments: (Fields, Semantics) -> Calling."""
    return _register(names, lambda rule: Rule(call=rule, mask=mask, steps=steps, knows=knows))


def calling(class_name: str, fields: Fields, semantics: Semantics, rule: Rule | None = None) -> Calling:
    """What builds calls of a layer: by Keras's rule of that class, or by another.

    Raises:
        RefusedError: it cannot be lowered; the message says why.
    """
    rule = rule or RULES.get(class_name)
    if rule is None:
        raise RefusedError(reason_without_rule(class_name))
    if rule.call is not None:
        return rule.call(fields, semantics)
    single = None if rule.single is None else rule.single(fields, semantics)
    many = None if rule.many is None else rule.many(fields, semantics)

    def build(to: Builder, given: Given) -> Tensor:
        mask = given.kwargs.get("mask")
        extra = [f"argument {i} = {shown(value)}" for i, value in enumerate(given.args[1:], 1) if value is not None]
        known = {"training"} if rule.trains else set()
        known |= {"mask"} if isinstance(mask, Tensor) else set()
        extra += [shown(key) for key in given.kwargs if key not in known]
        x: Any = given.args[0] if given.args else None
        if single is None and not isinstance(x, list):
            found = "one tensor" if isinstance(x, Tensor) else shown(x)
            raise RefusedError(f"it is called on {found}; a {class_name} layer takes a list of tensors")
        if extra:
            raise RefusedError(f"it is called with {', '.join(extra)}, which is not lowered")
        xs = x if isinstance(x, list) else [x]
        wrong = next((value for value in xs if not isinstance(value, Tensor)), None)
        if wrong is not None or not xs or None in xs:
            raise RefusedError(f"it is called on {shown(wrong)}, which is not a tensor")
        if single is None:
            assert many is not None
            return many(to, xs)
        if len(xs) != 1:
            raise RefusedError(f"it is called on {len(xs)} tensors; a {class_name} layer takes one")
        if isinstance(mask, Tensor):
            if mask.shape != xs[0].shape[: len(mask.shape)]:
                raise RefusedError(f"its mask of shape {mask.shape} does not fit its input of shape {xs[0].shape}")
            xs = [replace(xs[0], mask=mask)]
        y = single(to, xs[0])
        return replace(y, mask=xs[0].mask) if rule.mask == "pass" else y

    return build


def _register(names: Sequence[str], made: Callable[[Any], Rule]) -> Callable[[_R], _R]:
    if not names or not all(isinstance(name, str) and name for name in names):
        raise TypeError(f"a rule is registered under the names of classes, not {names}")

    def register(rule: _R) -> _R:
        if not callable(rule):
            raise TypeError(f"the rule of {', '.join(names)} is {rule!r}, not a function")
        (OWN if _registering_own.get() else RULES).update(dict.fromkeys(names, made(rule)))
        return rule

    return register


_KNOWN_TEXT = """
AutoContrast ContrastLimitedAdaptiveHistogramEqualization Equalization FlaxLayer GRUCell HashedCrossing Hashing Highway
JaxLayer LSTMCell MaxNumBoundingBoxes MaxoutDense MelSpectrogram RandomCrop RandomHeight RandomWidth STFTSpectrogram
SimpleRNNCell StackedRNNCells StringLookup TextVectorization TFSMLayer TorchModuleWrapper
"""
#: Layers of Keras that have no rule yet, so that a refusal can tell them from classes that Keras does not have.
KNOWN = frozenset(_KNOWN_TEXT.split())


def reason_without_rule(class_name: str) -> str:
    """Why a class of layers that has no rule cannot be lowered."""
    if class_name == "Lambda":
        return "Lambda holds Python code, and code from a model file is never run; write it with Keras's own layers"
    if class_name in KNOWN:
        return f"{class_name} layers are not lowered yet"
    return (
        f"class {shown(class_name)} is not a layer of Keras's that graphsim knows; code of one's own cannot be lowered"
    )
