"""The dataflow graph: groups of actors, channel bundles between them, and parameters by reference."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from graphsim.errors import GraphError
from graphsim.graph.channels import Channel, IntArray, Ref
from graphsim.graph.ops import ACTIVATIONS, OPS, SINKS, add_work

#: Roles that a group's params may have; each is a float32 vector, of which an actor reads one element through its Ref;
#: but a ``table`` is (entries, columns), of which an actor reads its column, ``pick`` and
#: ``element`` are int32, and ``truth`` is int64.
ROLES = ("bias", "divisor", "alpha", "magnitude", "table", "pick", "element", "truth")


#: Which tensor of a layer a group's values are: before its activation ("pre"); its output, or its second, third ...
#: ("output:1", "output:2"); or, of a recurrent layer's cell at each of its steps, the output ("step"), the state c of
#: an LSTM and its activation ("step.state", "step.squash"), and the gates ("step.i" ...).
Observed = str
OBSERVED = re.compile(r"pre|output(:[1-9][0-9]{0,3})?|step(\.(state|squash|[ifcozrh]))?")


#: An actor's name: the group's, and unless that is a single actor, the index within its shape.
_NAME = re.compile(r"\s*([^\[\]]+?)\s*(?:\[\s*([0-9]{1,18}(?:\s*,\s*[0-9]{1,18})*)\s*\])?\s*")


@dataclass(frozen=True, kw_only=True)
class Group:
    """Actors with one op and contiguous ids, in a shape (C order). An empty shape is a single actor.

    Attributes:
        name: unique in the graph, e.g. ``dense_1``; actor 17 of it is ``dense_1[17]``.
        op: row of :data:`graphsim.graph.ops.OPS`.
        shape: of the group; its product is the number of actors.
        activation, activation_args: row of :data:`graphsim.graph.ops.ACTIVATIONS` and its arguments.
        firings: of each actor per iteration: its repetition. Step t of a sequence is firing t.
        params: role to Ref: ``bias``, ``divisor``, ``alpha`` (of the activation), ``magnitude``, ``table``, ``pick``,
            ``truth`` (a gate's truth table in the bits of a word), and ``element``: which element of the observed
            tensor each actor is, where the group has only some of them.
        extra_roundings, and the param ``magnitude``: for parameters that were derived in float32 (batch normalisation):
            how many more roundings the reference makes, and relative to what besides the terms. For comparison only.
        layer, call, observes: which tensor of the source model this group's values are: the ``call``-th call of
            ``layer``, and which of its tensors (:data:`Observed`); "" when the model shows no such tensor.
    """

    name: str
    op: str
    shape: tuple[int, ...] = ()
    firings: int = 1
    activation: str = "linear"
    activation_args: tuple[float, ...] = ()
    params: Mapping[str, Ref] = field(default_factory=dict)
    extra_roundings: int = 0
    layer: str = ""
    call: int = 0
    observes: Observed = ""

    @cached_property
    def size(self) -> int:
        """Number of actors."""
        size = 1
        for extent in self.shape:
            size *= extent
        return size


class Param(NamedTuple):
    """What a param is, without its elements: dtype name, shape, SHA-256 (hex) of its little-endian bytes in C order."""

    dtype: str
    shape: tuple[int, ...]
    sha256: str


class _Params(dict[str, npt.NDArray[np.generic]]):
    """Arrays by name; asking for one that is not there is a GraphError, never an invented value."""

    def __missing__(self, name: str) -> npt.NDArray[np.generic]:
        raise GraphError(
            f"param {name!r} is not here; a graph read from text alone has no params, a .gsim file has them"
        )


class InputEdge(NamedTuple):
    """One edge into an actor: its producer's id, the port, and the weight (None where the bundle has none)."""

    producer: int
    port: int
    weight: float | None


@dataclass(frozen=True)
class Actor:
    """A view of one actor: ``graph["dense_1", 17]``. Holds the graph and an id; everything else is looked up."""

    graph: Graph
    id: int

    @cached_property
    def group_number(self) -> int:
        """Number of its group in the graph."""
        return int(np.searchsorted(self.graph.first, self.id, side="right")) - 1

    @property
    def group(self) -> Group:
        """Its group."""
        return self.graph.groups[self.group_number]

    @property
    def local(self) -> int:
        """Its number within the group."""
        return self.id - int(self.graph.first[self.group_number])

    @property
    def name(self) -> str:
        """For example ``dense_1[17]``, ``conv2d[3,4,0]`` or ``sink``."""
        group = self.group
        if not group.shape:
            return group.name
        return f"{group.name}[{','.join(str(i) for i in np.unravel_index(self.local, group.shape))}]"

    @cached_property
    def inputs(self) -> tuple[InputEdge, ...]:
        """Its input edges, port by port, in channel order: the order in which a weighted sum accumulates."""
        graph, found = self.graph, []
        for channel in graph.channels_into(self.group_number):
            sizes = graph.groups[channel.src].size, self.group.size
            edges = channel.inputs(self.local, *sizes, graph.params)
            first = int(graph.first[channel.src])
            weights: Sequence[float | None] = [None] * len(edges.src)
            if edges.weight is not None and channel.weight is not None:
                weights = graph.params[channel.weight.name].reshape(-1)[edges.weight].tolist()
            found += [InputEdge(first + int(s), channel.port, w) for s, w in zip(edges.src, weights, strict=True)]
        return tuple(found)

    @property
    def consumers(self) -> IntArray:
        """Ids of the actors that get its token, once per edge, int64, group by group."""
        graph = self.graph
        parts = [
            graph.first[c.dst] + c.consumers(self.local, self.group.size, graph.groups[c.dst].size, graph.params)
            for c in graph.channels_from(self.group_number)
        ]
        return np.concatenate(parts) if parts else np.empty(0, np.int64)

    @property
    def pick(self) -> int | None:
        """Number of the token that an actor of op ``take`` takes; None for other ops."""
        number = self.param("pick")
        return None if number is None else int(number)

    def param(self, role: str) -> float | None:
        """Its own value of a group param (bias, divisor, alpha, pick), or None."""
        ref = self.group.params.get(role)
        if ref is None:
            return None
        array = self.graph.params[ref.name]
        return float(array[(self.local // ref.inner) % len(array)])

    @property
    def truth(self) -> int | None:
        """The truth table of an actor of op ``lut``, a word of 64 bits; None for other ops."""
        ref = self.group.params.get("truth")
        if ref is None:
            return None
        array = self.graph.params[ref.name]
        return int(array[(self.local // ref.inner) % len(array)]) & (1 << 64) - 1

    @property
    def table(self) -> npt.NDArray[np.float32] | None:
        """The entries that an actor of op ``lookup`` chooses from, float32 (entries,); None for other ops."""
        ref = self.group.params.get("table")
        if ref is None:
            return None
        array: npt.NDArray[np.float32] = self.graph.params[ref.name]  # type: ignore[assignment]
        return array[:, (self.local // ref.inner) % array.shape[1]]

    @property
    def work(self) -> dict[str, int]:
        """Units of work of one firing (see :mod:`graphsim.graph.ops`)."""
        return self.graph.work(self.group_number, self.local)


class Graph:
    """A dataflow graph of one actor per neuron or gate.

    A graph is synchronous dataflow: every actor of a group fires ``firings`` times per iteration, an iteration is one
    sample, and channels carry tokens at fixed rates, with initial tokens where there is feedback. A graph whose groups
    all fire once and whose channels have no initial tokens is *homogeneous*.

    Encoding: ``groups`` are listed so that every channel without initial tokens leads from an earlier group to a
    later one, or, between gates, within one group from actors to others of higher number; actor ids run through the
    groups in that order, ``first[g]`` is the id of group g's first actor (int64, one more entry than
    groups, the last is the number of actors). ``channels`` are sorted by (dst, port), one bundle per port. ``params``
    maps names to read-only arrays (weights and group params float32, indices int32/int64); groups and channels refer
    to them by name, so that nothing is stored twice. A Graph is never changed after it is made.

    Attributes:
        name: of the model.
        notes: what the frontend recorded (source file's Keras version, semantics applied ...), sorted by key.
        missing: names of params that are declared but not here: a graph parsed from text alone has structure only, and
            reading such a param raises GraphError.
    """

    def __init__(
        self,
        name: str,
        groups: Sequence[Group],
        channels: Sequence[Channel],
        params: Mapping[str, npt.NDArray[np.generic]],
        notes: Mapping[str, str] | None = None,
        *,
        declared: Mapping[str, Param] | None = None,
    ) -> None:
        self.name = name
        self.groups = tuple(groups)
        self.channels = tuple(sorted(channels, key=lambda c: (c.dst, c.port)))
        self.params: dict[str, npt.NDArray[np.generic]] = _Params()
        for key in sorted(params):
            array = np.ascontiguousarray(params[key]).view()
            array.flags.writeable = False
            self.params[key] = array
        self.notes = dict(sorted((notes or {}).items()))
        self._declared = dict(sorted((declared or {}).items()))
        self.missing = tuple(key for key in self._declared if key not in self.params)
        if sum(abs(g.size) for g in self.groups) >= 2**63:
            raise GraphError(f"{name}: more actors than 64 bits can number")
        self.first: IntArray = np.zeros(len(self.groups) + 1, np.int64)
        np.cumsum([g.size for g in self.groups], out=self.first[1:])
        self.number = {g.name: i for i, g in enumerate(self.groups)}
        self._into: list[list[Channel]] = [[] for _ in self.groups]
        self._from: list[list[Channel]] = [[] for _ in self.groups]
        for channel in self.channels:
            if not (0 <= channel.src < len(self.groups) and 0 <= channel.dst < len(self.groups)):
                raise GraphError(f"channel {channel.src} -> {channel.dst}: there are {len(self.groups)} groups")
            self._into[channel.dst].append(channel)
            self._from[channel.src].append(channel)

    def __repr__(self) -> str:
        return (
            f"<Graph {self.name}: {self.actor_count:,} actors in {len(self.groups)} groups, {self.edge_count:,} edges>"
        )

    @property
    def actor_count(self) -> int:
        """Number of actors."""
        return int(self.first[-1])

    @cached_property
    def homogeneous(self) -> bool:
        """Whether every actor fires once per iteration, all rates are one and no channel has initial tokens."""
        return all(g.firings == 1 for g in self.groups) and all(
            (c.produce, c.consume, c.initial_tokens) == (1, 1, 0) for c in self.channels
        )

    @cached_property
    def firing_count(self) -> int:
        """Number of firings per iteration, over all actors."""
        return sum(g.size * g.firings for g in self.groups)

    @cached_property
    def edge_count(self) -> int:
        """Number of edges, over all bundles."""
        return sum(self.edges_of(c) for c in self.channels)

    @cached_property
    def sources(self) -> tuple[int, ...]:
        """Numbers of the source groups."""
        return tuple(i for i, g in enumerate(self.groups) if g.op == "source")

    @cached_property
    def sinks(self) -> tuple[int, ...]:
        """Numbers of the sink groups."""
        return tuple(i for i, g in enumerate(self.groups) if g.op in SINKS)

    def edges_of(self, channel: Channel) -> int:
        """Number of edges of one bundle."""
        return channel.edge_count(self.groups[channel.src].size, self.groups[channel.dst].size, self.params)

    def channels_into(self, group: int) -> list[Channel]:
        """The bundles into a group, by port."""
        return self._into[group]

    def channels_from(self, group: int) -> list[Channel]:
        """The bundles out of a group."""
        return self._from[group]

    def tokens(self, group: int) -> int:
        """Tokens that an actor of a group makes per iteration, on each of its edges."""
        return self.groups[group].firings * max((c.produce for c in self._from[group]), default=1)

    def fan_in(self, group: int) -> IntArray:
        """Input edges of each actor of a group over all ports, int64 (size,)."""
        total = np.zeros(self.groups[group].size, np.int64)
        for c in self._into[group]:
            total += c.fan_in(self.groups[c.src].size, self.groups[c.dst].size, self.params)
        return total

    def work(self, group: int, local: int = 0) -> dict[str, int]:
        """Units of work of one firing of one actor."""
        return self.work_of(group, int(self.fan_in(group)[local]))

    def work_of(self, group: int, fan_in: int) -> dict[str, int]:
        """Units of work of a firing with ``fan_in`` input edges."""
        g = self.groups[group]
        extra = {"mac": int("bias" in g.params and g.op == "linear"), "divide": int("divisor" in g.params)}
        if "bias" in g.params and g.op != "linear" and fan_in:  # a constant is there without work
            extra["add"] = 1
        return add_work(OPS[g.op].work(fan_in), extra, ACTIVATIONS[g.activation].work)

    def actor(self, key: int | str) -> Actor:
        """An actor by id or by name (``dense_1[17]``, ``sink``).

        Raises:
            GraphError: there is no such actor; the message says what there is.
        """
        if isinstance(key, str):
            match = _NAME.fullmatch(key)
            if match is None:
                raise GraphError(f"{key[:80]!r} is not an actor's name; write GROUP[INDEX], for example dense[17]")
            return self[(match[1], *(int(i) for i in (match[2] or "").split(",") if i))]
        if not 0 <= key < self.actor_count:
            raise GraphError(f"there is no actor {key}; ids run from 0 to {self.actor_count - 1}")
        return Actor(self, key)

    def __getitem__(self, key: tuple[str | int | tuple[int, ...], ...]) -> Actor:
        """``graph["dense_1", 17]``, ``graph["conv2d", 3, 4, 0]`` or ``graph["conv2d", (3, 4, 0)]``."""
        name, *rest = key if isinstance(key, tuple) else (key,)
        if name not in self.number:
            raise GraphError(f"{self.name} has no group {name!r}; it has: {', '.join(self.number)}")
        number = self.number[str(name)]
        shape = self.groups[number].shape
        index: tuple[int, ...] = ()
        for part in rest:
            index += part if isinstance(part, tuple) else (int(part),)
        if not index and shape:
            example = f"{name}[{','.join('0' * len(shape))}]"
            raise GraphError(f"{name} is a group of shape {shape}; its actors are called {example} and so on")
        if len(index) == 1 and len(shape) != 1 and 0 <= index[0] < self.groups[number].size:
            local = index[0]
        elif len(index) == len(shape) and all(0 <= i < n for i, n in zip(index, shape, strict=True)):
            local = int(np.ravel_multi_index(index, shape)) if shape else 0
        else:
            raise GraphError(f"{name}{list(index)} is outside the group's shape {shape}")
        return Actor(self, int(self.first[number]) + local)

    def __iter__(self) -> Iterator[Actor]:
        return (Actor(self, i) for i in range(self.actor_count))

    def __len__(self) -> int:
        return self.actor_count

    @cached_property
    def declared(self) -> dict[str, Param]:
        """Every param's dtype, shape and SHA-256, sorted by name; computed from the arrays where they are here."""
        found = {key: self._declared[key] for key in self.missing}
        for key, array in self.params.items():
            little = array.astype(array.dtype.newbyteorder("<"), copy=False)
            found[key] = Param(array.dtype.name, array.shape, hashlib.sha256(little.data).hexdigest())
        return dict(sorted(found.items()))

    def check_params(self) -> None:
        """Raise GraphError unless the params are exactly the ones declared when the graph was made."""
        if self.missing:
            raise GraphError(f"{self.name}: the params {', '.join(self.missing)} are missing")
        for key, param in self.declared.items():
            if key not in self._declared:
                raise GraphError(f"{self.name}: there is a param {key!r} that is not declared")
            want = self._declared[key]
            if param != want:
                raise GraphError(
                    f"{self.name}: param {key!r} is {param.dtype} {param.shape} with SHA-256 {param.sha256}; "
                    f"declared is {want.dtype} {want.shape} with {want.sha256}"
                )

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) of everything that decides structure and values: the text dump, which digests the params."""
        from graphsim.graph.text import dump  # the dump knows the graph; here only its bytes matter

        return hashlib.sha256(dump(self).encode()).hexdigest()
