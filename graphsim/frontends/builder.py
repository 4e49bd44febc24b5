"""What a lowering rule builds with: tensors, groups, channels and parameters of the graph under construction.

A tensor is a group and a shape: element i of the tensor, in C order, is the value of actor i of the group. Reshaping
therefore makes no actors. Parameters are declared here and computed later: a rule says which weights it needs and how
what it stores follows from them, so that nothing is read before every layer is known to be lowered.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from graphsim.errors import ModelError
from graphsim.graph import Axis, Channel, Csr, Dense, Group, OneToOne, Ref, Table, Window
from graphsim.graph.graph import Observed
from graphsim.graph.ops import SINKS

#: More actors than this are refused; ResNet-50 has 11 million.
MAX_ACTORS = 1 << 27
#: More edges and per-actor parameters than this are not listed in tables; each takes 4 bytes, and 8 while it is made.
MAX_LISTED = 1 << 25

Array = npt.NDArray[np.generic]
FloatArray = npt.NDArray[np.float32]


class RefusedError(Exception):
    """A rule cannot lower this layer; the message says why, without naming the layer. Never leaves the frontend."""


@dataclass(frozen=True)
class Weight:
    """A weight of a layer: its Keras name (``kernel``), shape, and whether training changes it.

    ``part`` is where in the layer it belongs, as Keras names the attributes that lead there: "" for the layer's own,
    ``cell`` in an LSTM, ``forward_layer/cell`` in a Bidirectional one.
    """

    layer: str
    name: str
    shape: tuple[int, ...]
    trainable: bool = True
    part: str = ""

    @property
    def param(self) -> str:
        """Its name among the graph's params."""
        return "/".join(filter(None, (self.layer, self.part, self.name)))


class Stored(NamedTuple):
    """A param of the graph as blocks take it: its name, and its shape. A Weight will do in its place."""

    param: str
    shape: tuple[int, ...]


#: Computes a stored param from weights.
Derivation = Callable[[Callable[[Weight], FloatArray]], Array]


@dataclass(frozen=True)
class Tensor:
    """A tensor of the model, without the batch axis: the values of ``group`` in ``shape``.

    Attributes:
        classes: a softmax over all its elements, so that its argmax is the model's answer.
        mask: which time steps count, 1 or 0 for each index of the first axis (or first axes): a tensor of the leading
            part of ``shape``; None where all do.
        steps: 0; or the number T of tokens that ``group`` makes per sample: then the first axis of ``shape`` is time,
            of size T, and index t along it is token t; the group has the shape of the other axes.
    """

    group: int
    shape: tuple[int, ...]
    classes: bool = False
    mask: Tensor | None = None
    steps: int = 0

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    def reshaped(self, shape: Sequence[int]) -> Tensor:
        """The same values in another shape, which no mask fits any more."""
        return replace(self, shape=tuple(shape), mask=None)


@dataclass(frozen=True)
class Unary:
    """An activation of each element by itself: a row of the graph's activation table and its arguments (float32)."""

    row: str
    args: tuple[float, ...] = ()


LINEAR = Unary("linear")


@dataclass(frozen=True)
class Memory:
    """What lowering may take, in bytes; None is any number.

    Attributes:
        most: beyond it nothing is built: a ModelError says what would be needed.
        usual: beyond it ``warn`` is told what will be needed, before it is built.
    """

    most: int | None = None
    usual: int | None = None
    warn: Callable[[str], None] = lambda warning: None


ANY_MEMORY = Memory()


class Learnt(NamedTuple):
    """What has been learnt, for rules that build by it: ``of`` reads a weight. Weights that converge to whole numbers
    are taken for those, and refused where one is farther than ``distance`` from the nearest.
    """

    of: Callable[[Weight], FloatArray]
    distance: float


@dataclass
class Builder:
    """The graph under construction, and the layer call whose rule runs.

    ``memory`` says how much may be taken by what it makes and by what the frontend ``held`` before. ``learnt``: build
    what whole weights leave, and note the layers of which that was done in ``discretized``; None: build by structure.
    """

    file: str
    memory: Memory = ANY_MEMORY
    held: int = 0
    learnt: Learnt | None = None
    discretized: list[str] = field(default_factory=list)
    groups: list[Group] = field(default_factory=list)
    channels: list[Channel] = field(default_factory=list)
    weights: dict[str, list[Weight]] = field(default_factory=dict)
    derived: dict[str, tuple[str, Derivation]] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    layer: str = ""
    call: int = 0
    #: Where in the layer groups are made: names of its parts, whether the source model shows what is in there, how
    #: often actors fire per sample there, and which part of the layer holds the weights. See :meth:`within`.
    parts: tuple[str, ...] = ()
    shows: bool = True
    firings: int = 1
    holder: str = ""
    _tokens: dict[int, int] = field(default_factory=dict)  # of serials, per sample
    _settled: dict[tuple[int, bytes, int], Tensor] = field(default_factory=dict)
    _whole: dict[int, Tensor] = field(default_factory=dict)  # what a serial goes along, by its group
    _streams: dict[int, Tensor] = field(default_factory=dict)  # the steps that were settled behind rows, by group
    _names: set[str] = field(default_factory=set)
    _actors: int = 0
    _edges: int = 0

    def error(self, message: str) -> ModelError:
        """A ModelError that names the file and the layer."""
        return ModelError(f"{self.file}: layer {self.layer!r}: {message}")

    @contextmanager
    def within(self, *parts: str, shows: bool = True, firings: int | None = None, holder: str = "") -> Iterator[None]:
        """Groups made inside are named after parts of the layer, and fire so often per sample (None: as outside).

        Where not ``shows``, they observe nothing: the source model does not show the tensors in there. Weights are in
        the part ``holder`` of the layer.
        """
        before = self.parts, self.shows, self.firings, self.holder
        self.parts = (*self.parts, *filter(None, parts))
        self.shows = self.shows and shows
        self.firings = self.firings if firings is None else firings
        self.holder = "/".join(filter(None, (self.holder, holder)))
        try:
            yield
        finally:
            self.parts, self.shows, self.firings, self.holder = before

    # -- groups -----------------------------------------------------------------------------------------------------

    def name(self, wanted: str) -> str:
        """A group name that is not taken yet, of letters, digits and ``_./:-`` only."""
        name = base = re.sub(r"[^A-Za-z0-9_./:-]", "_", wanted, flags=re.ASCII) or "_"
        if base[0] in "0123456789:-/":
            name = base = f"_{base}"
        number = 2
        while name in self._names:
            name, number = f"{base}_{number}", number + 1
        self._names.add(name)
        return name

    def add(self, group: Group) -> int:
        """Append a group whose name is already given; its number."""
        self._actors += group.size
        if self._actors > MAX_ACTORS:
            raise self.error(f"with it the model has more than {MAX_ACTORS:,} neurons, more than graphsim lowers")
        self.groups.append(group)
        return len(self.groups) - 1

    def group(
        self,
        op: str,
        shape: Sequence[int],
        *,
        suffix: str = "",
        activation: Unary = LINEAR,
        params: Mapping[str, Ref | None] | None = None,
        extra_roundings: int = 0,
        observes: Observed = "",
    ) -> Tensor:
        """A new group of the current call, named after its layer: ``dense``, ``dense.max``, ``dense:1`` (call 1)."""
        call = f":{self.call}" if self.call else ""
        observes = observes if self.shows else ""
        group = Group(
            name=self.name(".".join(filter(None, (f"{self.layer}{call}", *self.parts, suffix)))),
            op=op,
            shape=tuple(shape),
            firings=self.firings,
            activation=activation.row,
            activation_args=activation.args,
            params={role: ref for role, ref in (params or {}).items() if ref is not None},
            extra_roundings=extra_roundings,
            layer="/".join((self.layer, *self.parts)) if observes else "",
            call=self.call if observes else 0,
            observes=observes,
        )
        return Tensor(self.add(group), group.shape)

    def input(self, layer: str, shape: Sequence[int], *, only: bool, dtype: str = "float32") -> Tensor:
        """A source and the actors that it feeds; a note says what it takes. ``only``: the model has no other input."""
        self.notes[f"input.{layer}"] = f"{dtype} {list(shape)}"
        if dtype in ("uint8", "int8", "bool"):
            least, greatest = {"uint8": (0, 255), "int8": (-128, 127), "bool": (0, 1)}[dtype]
            self.notes[f"input.{layer}.range"] = f"{least}..{greatest} by {dtype}"
        self.layer, self.call = layer, 0
        source = self.add(Group(name=self.name("source" if only else f"source_{layer}"), op="source"))
        x = self.group("input", shape, observes="output")
        self.channels.append(Dense(src=source, dst=x.group))
        return x

    def expects(self, x: Tensor) -> Callable[[float, float, str], None]:
        """Notes that ``x`` should be in a range, for a reason (one word), where it is an input of the model."""
        group = self.groups[x.group]

        def say(least: float, greatest: float, why: str) -> None:
            if group.op == "input":
                self.notes.setdefault(f"input.{group.layer}.range", f"{least:.6g}..{greatest:.6g} by {why}")

        return say

    def finish(self, outputs: Sequence[tuple[str, Tensor]]) -> None:
        """A sink for every output, by name: the answer of a classifier, or all values. Drop what leads to no sink.

        Inputs stay, as samples have them; a note names those that no output depends on.
        """
        for output, x in outputs:
            name = self.name("sink" if len(outputs) == 1 else f"sink_{output}")
            x = self.settled(x)
            sink = self.add(Group(name=name, op="argmax" if x.classes else "collect"))
            self.channels.append(Dense(src=x.group, dst=sink))
        self.prune()
        read = {channel.src for channel in self.channels}
        for number, group in enumerate(self.groups):
            if group.op == "input" and number not in read:
                self.notes[f"input.{group.layer}.unused"] = "no output depends on it"

    def observe(self, x: Tensor, since: int) -> Tensor:
        """``x``; its group is the current call's output, if it is number ``since`` or later and observes nothing."""
        group = self.groups[x.group]
        if x.group >= since and self.shows and not group.observes:
            layer = "/".join((self.layer, *self.parts))
            self.groups[x.group] = replace(group, layer=layer, call=self.call, observes="output")
        return x

    # -- sequences --------------------------------------------------------------------------------------------------

    def serial(self, x: Tensor, *, backwards: bool = False, along: int = 0, suffix: str = "steps") -> Tensor:
        """One token for each index of an axis of ``x``, the first or the second, from index 0 or from the last on.

        ``x`` itself, or what was settled to make it, where that is the same.
        """
        if x.steps and not along and not backwards:
            return x
        if along and not backwards and x.group in self._streams:
            return self._streams[x.group]
        x = self.settled(x)
        steps, kept = x.shape[along], [n for axis, n in enumerate(x.shape) if axis != along]
        over = Axis(steps, 1, taps=steps, dilation=-1, pad=1 - steps) if backwards else Axis(steps, 1, taps=steps)
        order = [1, 0, *range(2, len(x.shape))] if along else ()
        y = self._serial(x, [over, *(Axis(size, size) for size in kept)], kept, suffix, order)
        if not along and not backwards:
            self._whole[y.group] = x
        return Tensor(y.group, (steps, *kept), steps=steps)

    def repeated(self, x: Tensor, steps: int, *, suffix: str) -> Tensor:
        """The same token ``steps`` times, for as many firings."""
        along = Axis(1, 1, taps=steps, dilation=0) if steps > 1 else Axis(1, 1)
        y = self._serial(self.settled(x), [along, *(Axis(size, size) for size in x.shape)], x.shape, suffix)
        return Tensor(y.group, (steps, *x.shape), steps=steps)

    def _serial(
        self, x: Tensor, axes: Sequence[Axis], shape: Sequence[int], suffix: str, order: Sequence[int] = ()
    ) -> Tensor:
        with self.within(firings=1):
            y = self.group("serial", shape, suffix=suffix)
        self._tokens[y.group] = axes[0].taps
        self.window(x, y, axes, order=order)
        return y

    def settled(self, x: Tensor, *, backwards: bool = False, at: int = 0) -> Tensor:
        """A tensor of steps as an ordinary one, with time as axis ``at``, 0 or 1, forwards or backwards."""
        if not x.steps:
            return x
        if x.group in self._whole and not backwards and not at:
            return replace(self._whole[x.group].reshaped(x.shape), mask=x.mask)
        picks = np.arange(x.steps, dtype=np.int32)
        y = self._taken(x, picks[::-1] if backwards else picks, "backwards" if backwards else "sequence", at=at)
        if at and not backwards:
            self._streams[y.group] = x
        time, *others = x.shape
        return replace(y, shape=(*others[:at], time, *others[at:]), mask=x.mask)

    def settled_if_known(self, x: Tensor) -> Tensor:
        """A tensor of steps as the ordinary one that its serial goes along, if it is a serial's; else as it is."""
        return self.settled(x) if x.group in self._whole else x

    def last(self, x: Tensor, observes: Observed = "") -> Tensor:
        """Of a tensor of steps the last one."""
        y = self._taken(x, np.array([x.steps - 1], np.int32), "last", observes)
        return y.reshaped(x.shape[1:])

    def _taken(
        self, x: Tensor, picks: npt.NDArray[np.int32], suffix: str, observes: Observed = "", *, at: int = 0
    ) -> Tensor:
        """Those tokens of a tensor of steps, along axis ``at``; asking again gives the same group."""
        observes = observes if self.shows else ""
        key = x.group, picks.tobytes(), at
        if key not in self._settled:
            before, behind = x.shape[1 : 1 + at], x.shape[1 + at :]
            name = self.name(f"{self.groups[x.group].name}.{suffix}")
            self.derived[f"{name}/pick"] = (self.layer, lambda _: picks)
            group = Group(
                name=name,
                op="take",
                shape=x.shape[1:] if len(picks) == 1 else (*before, len(picks), *behind),
                params={"pick": Ref(f"{name}/pick", math.prod(behind))},
                layer="/".join((self.layer, *self.parts)) if observes else "",
                call=self.call if observes else 0,
                observes=observes,
            )
            y = self._settled[key] = Tensor(self.add(group), group.shape)
            kept = [Axis(size, size) for size in x.shape[1:]]
            self.window(x, y, [*kept[:at], Axis(1, len(picks), stride=0), *kept[at:]])
        return self._settled[key]

    # -- channels ---------------------------------------------------------------------------------------------------

    def join(self, channel: Channel) -> None:
        """Add a bundle between groups that are there, at the rates that they ask for."""
        dst = self.groups[channel.dst]
        produce = self._tokens.get(channel.src, 1)
        consume = produce * self.groups[channel.src].firings if dst.op == "take" else 1
        self.channels.append(replace(channel, produce=produce, consume=consume))

    def dense(
        self, src: Tensor, dst: Tensor, port: int = 0, *, weight: Weight | Stored | None = None, blocks: int = 1
    ) -> None:
        """All of each block of ``src`` to all of the same block of ``dst``."""
        ref = Ref(weight.param) if weight else None
        self.join(Dense(src=src.group, dst=dst.group, port=port, weight=ref, blocks=blocks))

    def one_to_one(self, src: Tensor, dst: Tensor, port: int = 0, *, weight: Ref | None = None) -> None:
        """Element i to element i."""
        self.join(OneToOne(src=src.group, dst=dst.group, port=port, weight=weight))

    def window(
        self,
        src: Tensor,
        dst: Tensor,
        axes: Sequence[Axis],
        port: int = 0,
        *,
        order: Sequence[int] = (),
        weight: Weight | Stored | None = None,
        weight_offset: int = 0,
    ) -> None:
        """Edges by an affine rule along each axis; see :mod:`graphsim.graph.window`."""
        self.join(
            Window(
                src=src.group,
                dst=dst.group,
                port=port,
                axes=tuple(axes),
                order=tuple(order),
                weight=Ref(weight.param) if weight else None,
                weight_offset=weight_offset,
            )
        )

    def table(
        self,
        src: Tensor,
        dst: Tensor,
        fan_in: int,
        index: Callable[[], npt.NDArray[np.intp]],
        port: int = 0,
        *,
        weights: Callable[[], FloatArray] | None = None,
    ) -> None:
        """To each element of ``dst`` the ``fan_in`` elements of ``src`` that ``index()`` lists, (dst.size, fan_in).

        Weights, if any, are of the same shape.
        """
        self._count_edges(dst.size * fan_in)
        name = f"{self.groups[dst.group].name}/index{port}"
        self.derived[name] = (self.layer, lambda _: index().reshape(dst.size, fan_in).astype(np.int32))
        weight = None
        if weights is not None:
            listed = weights
            weight = Ref(f"{self.groups[dst.group].name}/weight{port}")
            self.derived[weight.name] = (self.layer, lambda _: listed().astype(np.float32).reshape(dst.size, fan_in))
        self.join(Table(src=src.group, dst=dst.group, port=port, index=name, weight=weight))

    def chosen(
        self,
        src: Tensor,
        dst: Tensor,
        which: npt.NDArray[np.bool_],
        port: int = 0,
        *,
        weights: npt.NDArray[np.float32] | None = None,
    ) -> None:
        """To each element of ``dst`` those of ``src`` that ``which`` says, (src.size, dst.size), if there are any.

        Weights, if any, are of the same shape.
        """
        consumers, producers = np.nonzero(which.T)
        if not len(producers):
            return
        self._count_edges(len(producers))
        ends = np.concatenate([[0], np.cumsum(which.sum(axis=0))]).astype(np.int64)
        lists: dict[str, Array] = {"ends": ends, "index": producers.astype(np.int32)}
        if weights is not None:
            lists["weight"] = weights.T[consumers, producers].astype(np.float32)
        names = {key: f"{self.groups[dst.group].name}/{key}{port}" for key in lists}
        for key, array in lists.items():
            self.derived[names[key]] = (self.layer, _always(array))
        weight = Ref(names["weight"]) if weights is not None else None
        self.join(
            Csr(src=src.group, dst=dst.group, port=port, indptr=names["ends"], index=names["index"], weight=weight)
        )

    def elements(self, src: Tensor, dst: Tensor, port: int = 0) -> None:
        """To each element of ``dst`` the element of ``src`` that NumPy's broadcasting gives it."""
        if src.size == dst.size:
            self.one_to_one(src, dst, port)
            return
        shape = (1,) * (len(dst.shape) - len(src.shape)) + src.shape
        axes = [Axis(n, m, stride=0 if n == 1 else 1) for n, m in zip(shape, dst.shape, strict=True)]
        self.window(src, dst, axes, port)

    def _count_edges(self, edges: int) -> None:
        self._edges += edges
        if self._edges > MAX_LISTED:
            raise self.error(f"with it the model has more than {MAX_LISTED:,} listed edges, more than graphsim lowers")

    def prune(self) -> None:
        """Drop the groups that lead to no sink, but for inputs: outputs of nested models that nobody takes."""
        live = {number for number, group in enumerate(self.groups) if group.op in ("source", "input", *SINKS)}
        feeders: dict[int, list[int]] = {}
        for channel in self.channels:
            feeders.setdefault(channel.dst, []).append(channel.src)
        found = sorted(live)
        while found:
            new = set(feeders.get(found.pop(), ())) - live
            live |= new
            found += new
        kept = {old: new for new, old in enumerate(sorted(live))}
        self.groups = [self.groups[number] for number in kept]
        self.channels = [replace(c, src=kept[c.src], dst=kept[c.dst]) for c in self.channels if c.dst in live]

    # -- parameters -------------------------------------------------------------------------------------------------

    def weight(self, name: str, shape: Sequence[int], *, trainable: bool = True, part: str = "") -> Weight:
        """A weight of the current layer, in the order in which Keras makes them. Asking again gives the same one."""
        part = "/".join(filter(None, (self.holder, part)))
        weight = Weight(self.layer, name, tuple(shape), trainable, part)
        known = self.weights.setdefault(self.layer, [])
        for other in known:
            if (other.part, other.name) == (part, name):
                if other.shape != weight.shape:
                    raise self.error(
                        f"its calls need weight {name!r} in shapes {other.shape} and {weight.shape}; it can have one"
                    )
                return other
        known.append(weight)
        return weight

    def derive(self, name: str, derivation: Derivation) -> str:
        """A param of the current layer that is computed from its weights; its name in the graph."""
        full = "/".join((self.layer, *self.parts, name))
        self.derived.setdefault(full, (self.layer, derivation))
        return full

    def compute(self, of: Callable[[Weight], FloatArray]) -> dict[str, Array]:
        """Every param that groups and channels refer to, by name. ``of`` reads a weight.

        Raises:
            ModelError: a derived param leaves the range of float32, or all take more than ``memory`` allows.
        """
        self._check_memory()
        wanted = {ref.name for group in self.groups for ref in group.params.values()}
        wanted |= {name for channel in self.channels for name in channel.references()}
        declared = {weight.param: weight for weights in self.weights.values() for weight in weights}
        params: dict[str, Array] = {}
        for param in sorted(wanted):
            if param not in self.derived:
                params[param] = of(declared[param])
                continue
            layer, derivation = self.derived[param]
            with np.errstate(over="ignore", invalid="ignore"):
                params[param] = derivation(of)
            if not np.isfinite(params[param]).all():
                raise ModelError(
                    f"{self.file}: layer {layer!r}: {param}, derived from its weights, leaves the range of float32"
                )
        return params

    def _check_memory(self) -> None:
        """Refuse, or warn, where the graph would take much memory; groups and rules take next to none of it."""
        sizes = [4 * math.prod(weight.shape) for weights in self.weights.values() for weight in weights]
        # Lists take 4 bytes per entry, and 8 while they are made; the largest weight is converted from what was read.
        weights, lists, passing = sum(sizes) + self.held, 8 * self._edges, 2 * max(sizes, default=0)
        needed = weights + lists + passing
        takes = (
            f"{self.file}: lowering it takes some {needed:,} bytes (weights {weights:,}, lists of edges {lists:,}, the"
            f" largest weight while it is read {passing:,})"
        )
        memory = self.memory
        if memory.most is not None and needed > memory.most:
            raise ModelError(
                f"{takes}, and {memory.most:,} are allowed; nothing was built. Raise --max-memory, or lower it on a"
                " machine with more"
            )
        if memory.usual is not None and needed > memory.usual:
            memory.warn(f"{takes}, more than half of this machine's memory; --max-memory would set a limit")

    def constant(self, name: str, array: Array) -> Stored:
        """A param of the current layer that is known already, float32 or int32."""
        return Stored(self.derive(name, lambda _: array), array.shape)

    def spread(self, name: str, derivation: Derivation, over: Sequence[int], shape: Sequence[int]) -> Ref:
        """A per-element param of shape ``over`` that is broadcast to ``shape`` (of as many axes), stored once.

        Where the axes it varies along are next to each other it is stored as it is; else for every element.
        """
        varying = [axis for axis, size in enumerate(over) if size != 1]
        first, last = (varying[0], varying[-1]) if varying else (0, -1)
        if tuple(over[first : last + 1]) == tuple(shape[first : last + 1]):
            inner = math.prod(shape[last + 1 :]) if varying else 1
            return Ref(self.derive(name, lambda weights: derivation(weights).reshape(-1)), inner)
        full = self._own_name(name)
        self._count_edges(math.prod(shape))
        self.derived[full] = (
            self.layer,
            lambda weights: np.broadcast_to(derivation(weights).reshape(over), shape).reshape(-1),
        )
        return Ref(full)

    def _own_name(self, name: str) -> str:
        layer = f"{self.layer}:{self.call}" if self.call else self.layer
        return "/".join((layer, *self.parts, name))


def _always(array: Array) -> Derivation:
    return lambda _: array


def positive_axis(axis: Any, rank: int) -> int:
    """An axis of a tensor with batch axis, negative from the end, as an axis of ``rank`` without it.

    Raises:
        RefusedError: it is no axis of such a tensor, or the batch axis.
    """
    if isinstance(axis, bool) or not isinstance(axis, int) or not -rank - 1 <= axis <= rank:
        raise RefusedError(f"axis {axis!r} is not an axis of a tensor with {rank} axes beside the batch")
    positive: int = axis % (rank + 1)
    if positive == 0:
        raise RefusedError("it works along the batch axis, and a graph sees one sample at a time")
    return positive - 1
