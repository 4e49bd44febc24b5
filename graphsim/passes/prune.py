"""Leave out what adds nothing: edges whose weight is zero, edges from actors that are always zero, dead actors.

Only sums (ops ``linear`` and ``sum``) lose edges. They start as +0, so that a term of either zero leaves every bit of
them as it was: **for finite tokens, all values keep all bits**. (A token that is infinite or NaN times a weight of zero
is NaN; without the edge it is not.)

An actor is *always zero* if it is a sum without terms that count, its bias is zero, and its activation of zero is. It
is *dead* if none of its edges that are left leads, over any way, to a sink. Dead actors are left out of groups whose
bundles are all of the kinds dense (of one block), one-to-one, table or csr; such a group has the shape (actors,)
afterwards, and its param ``element`` says which of the actors that were there each is. Other groups, inputs and sinks
keep their actors.

A dense bundle becomes a csr bundle where that takes less memory: a weight that is there costs 8 bytes in place of 4.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from graphsim.graph import Channel, Csr, Dense, Graph, Group, OneToOne, Ref, Table
from graphsim.graph.channels import BoolArray, IntArray
from graphsim.graph.ops import ACTIVATIONS, SINKS
from graphsim.passes.base import Pass

#: Ops that start as +0 and add.
SUMS = ("linear", "sum")
_ROLES = ("bias", "divisor", "alpha", "magnitude", "element")


@dataclass(frozen=True)
class PruneZeros(Pass):
    """Leave out edges and actors that add nothing; see the module's docstring. The notes say how many there were."""

    def apply(self, graph: Graph) -> Graph:
        return _Pruner(graph).pruned()


class _Pruner:
    """What counts in a graph, and the graph of that.

    Attributes:
        zero: by group, which actors are always zero, bool (actors,).
        kept: by group, which actors stay, bool (actors,).
        whole: bundles into sums that keep all their edges, because otherwise their group would have none.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.params: dict[str, npt.NDArray[np.generic]] = dict(graph.params)
        self.zero: list[BoolArray] = []
        self.whole: set[tuple[int, int]] = set()
        summed: list[BoolArray] = []
        for number, group in enumerate(graph.groups):
            terms = self._has_terms(number)
            summed.append(terms)
            self.zero.append(~terms & self._maps_zero_to_zero(group))
        self.kept = [np.zeros(group.size, np.bool_) for group in graph.groups]
        for number in reversed(range(len(graph.groups))):
            self._keep(number, summed[number])

    # -- what counts ------------------------------------------------------------------------------------------------

    def _has_terms(self, number: int) -> BoolArray:
        """Which actors of a group have a term that may not be zero; all of a group that is no sum."""
        graph, group = self.graph, self.graph.groups[number]
        into = graph.channels_into(number)
        if group.op not in SUMS or group.firings != 1 or any(c.initial_tokens for c in into):
            return np.ones(group.size, np.bool_)
        found = np.zeros(group.size, np.bool_)
        for channel in into:
            found |= self._fed(channel, ~self.zero[channel.src])
        return found

    def _fed(self, channel: Channel, chosen: BoolArray) -> BoolArray:
        """Which consumers of a bundle have an edge that counts from a producer that is ``chosen``."""
        graph = self.graph
        n_dst = graph.groups[channel.dst].size
        if isinstance(channel, Dense):
            rows = chosen.reshape(channel.blocks, -1)
            if channel.weight is None:
                return np.repeat(rows.any(axis=1), n_dst // channel.blocks)
            weights = graph.params[channel.weight.name]
            if rows.all():  # the usual case, for all blocks at once
                return np.tile((weights != 0).any(axis=0), channel.blocks)
            return np.concatenate([(weights[row] != 0).any(axis=0) for row in rows])
        if not isinstance(channel, (OneToOne, Table, Csr)):
            return np.ones(n_dst, np.bool_)
        src, dst = self._edges(channel)[:2]
        found = np.zeros(n_dst, np.bool_)
        found[dst[chosen[src]]] = True
        return found

    def _edges(self, channel: Channel) -> tuple[IntArray, IntArray, npt.NDArray[np.float32] | None]:
        """Producers, consumers and weights of the edges of a bundle that count, where it ends in a sum; else of all."""
        graph = self.graph
        edges = channel.expand(graph.groups[channel.src].size, graph.groups[channel.dst].size, graph.params)
        if channel.weight is None or edges.weight is None:
            weights = None
            counts = np.ones(len(edges.src), np.bool_)
        else:
            array: npt.NDArray[np.float32] = graph.params[channel.weight.name].reshape(-1)  # type: ignore[assignment]
            weights = array[edges.weight]
            counts = weights != 0
        if self._is_fixed(channel):
            return edges.src, edges.dst, weights
        if channel.src < len(self.zero):
            counts = counts & ~self.zero[channel.src][edges.src]
        return edges.src[counts], edges.dst[counts], None if weights is None else weights[counts]

    def _is_fixed(self, channel: Channel) -> bool:
        """Whether a bundle keeps every edge between actors that stay."""
        group = self.graph.groups[channel.dst]
        steps = group.firings != 1 or channel.initial_tokens or (channel.produce, channel.consume) != (1, 1)
        return bool(steps) or group.op not in SUMS or (channel.dst, channel.port) in self.whole

    def _maps_zero_to_zero(self, group: Group) -> BoolArray:
        """Which actors of a group make zero of a sum of zero."""
        rule, args = ACTIVATIONS[group.activation].rule, group.activation_args
        if "alpha" in group.params:
            values, inverse = np.unique(self._per_actor(group, "alpha"), return_inverse=True)
            found = np.array([rule(0.0, float(alpha), *args) == 0 for alpha in values])[inverse]
        else:
            found = np.full(group.size, rule(0.0, *args) == 0)
        if "bias" in group.params:
            found &= self._per_actor(group, "bias") == 0
        return found

    def _per_actor(self, group: Group, role: str) -> npt.NDArray[np.generic]:
        """A param as each actor reads it."""
        ref = group.params[role]
        array = self.graph.params[ref.name]
        return array[(np.arange(group.size) // ref.inner) % len(array)]

    def _keep(self, number: int, summed: BoolArray) -> None:
        """Decide which actors of a group stay, when that is known of all groups after it."""
        graph, group, kept = self.graph, self.graph.groups[number], self.kept[number]
        for channel in graph.channels_from(number):
            kept |= self._feeding(channel)
        if group.op in SINKS or group.op in ("source", "input") or (kept.any() and not self._may_shrink(number)):
            kept[:] = True
        if kept.any() and group.op in SUMS and not (summed & kept).any():
            self.whole.add((number, 0))

    def _feeding(self, channel: Channel) -> BoolArray:
        """Which producers of a bundle have an edge that stays to a consumer that stays."""
        graph, kept = self.graph, self.kept[channel.dst]
        n_src = graph.groups[channel.src].size
        if channel.initial_tokens or graph.groups[channel.src].firings != 1:
            return np.ones(n_src, np.bool_)
        if not kept.any():
            return np.zeros(n_src, np.bool_)
        fixed = self._is_fixed(channel)
        if isinstance(channel, Dense):
            columns = kept.reshape(channel.blocks, -1)
            if channel.weight is None or fixed:
                found = np.repeat(columns.any(axis=1), n_src // channel.blocks)
            else:
                counts = graph.params[channel.weight.name] != 0
                found = np.concatenate([counts[:, column].any(axis=1) for column in columns])
            return found if fixed else found & ~self.zero[channel.src]
        if not isinstance(channel, (OneToOne, Table, Csr)):
            return channel.consumed(n_src, len(kept), graph.params)
        src, dst = self._edges(channel)[:2]
        found = np.zeros(n_src, np.bool_)
        found[src[kept[dst]]] = True
        return found

    def _may_shrink(self, number: int) -> bool:
        """Whether actors of a group may be left out one by one."""
        graph, group = self.graph, self.graph.groups[number]
        around = [*graph.channels_into(number), *graph.channels_from(number)]
        return (
            group.firings == 1
            and set(group.params) <= set(_ROLES)
            and not any(c.initial_tokens or (c.produce, c.consume) != (1, 1) for c in around)
            and all(isinstance(c, (OneToOne, Table, Csr)) or (isinstance(c, Dense) and c.blocks == 1) for c in around)
        )

    # -- what is left -----------------------------------------------------------------------------------------------

    def pruned(self) -> Graph:
        """The graph of what stays."""
        graph = self.graph
        numbers = {old: new for new, old in enumerate(i for i, kept in enumerate(self.kept) if kept.any())}
        groups = [self._group(old) for old in numbers]
        channels: list[Channel] = []
        for old, new in numbers.items():
            made = [c for channel in graph.channels_into(old) if (c := self._channel(channel)) is not None]
            channels += [
                replace(c, src=numbers[c.src], dst=new, port=port) for port, c in enumerate(made)
            ]  # ports of sums without edges are gone, and the others move up
        used = {ref.name for group in groups for ref in group.params.values()}
        used |= {name for channel in channels for name in channel.references()}
        params = {name: array for name, array in self.params.items() if name in used}
        small = Graph(graph.name, groups, channels, params)
        note = (
            f"{graph.actor_count:,} actors became {small.actor_count:,}, {graph.edge_count:,} edges"
            f" {small.edge_count:,}; weights of zero and what they lead from are left out"
        )
        return Graph(graph.name, groups, channels, params, {**graph.notes, "pruned": note})

    def _group(self, number: int) -> Group:
        group, kept = self.graph.groups[number], self.kept[number]
        if kept.all():
            return group
        params = {}
        for role in group.params:
            params[role] = self._store(f"{group.name}/pruned/{role}", self._per_actor(group, role)[kept])
        if "element" not in params:
            params["element"] = self._store(f"{group.name}/pruned/element", np.flatnonzero(kept).astype(np.int32))
        return replace(group, shape=(int(np.count_nonzero(kept)),), params=params)

    def _store(self, name: str, array: npt.NDArray[np.generic]) -> Ref:
        self.params[name] = array
        return Ref(name)

    def _channel(self, channel: Channel) -> Channel | None:
        """A bundle between the actors that stay, still with the numbers of the old groups; None without edges."""
        from_, to = self.kept[channel.src], self.kept[channel.dst]
        if not from_.any():
            return None
        fixed, same = self._is_fixed(channel), bool(from_.all() and to.all())
        if isinstance(channel, Dense):
            return self._dense(channel, fixed, same)
        if not isinstance(channel, (OneToOne, Table, Csr)) or (same and fixed):
            return channel
        src, dst, weights = self._edges(channel)
        stays = from_[src] & to[dst]
        if same and stays.all() and len(src) == self.graph.edges_of(channel):
            return channel
        if not stays.any():
            return None
        return self._csr(channel, src[stays], dst[stays], None if weights is None else weights[stays])

    def _dense(self, channel: Dense, fixed: bool, same: bool) -> Channel | None:
        from_, to = self.kept[channel.src], self.kept[channel.dst]
        if channel.weight is None:
            return channel
        weights: npt.NDArray[np.float32] = self.graph.params[channel.weight.name]  # type: ignore[assignment]
        part = weights if same else weights[np.ix_(from_, to)]
        if not fixed:
            counts = part != 0
            zero = self.zero[channel.src][from_]
            if channel.blocks == 1:
                counts[zero] = False
            edges = int(np.count_nonzero(counts)) * channel.blocks
            if not edges:
                return None
            if 8 * edges + 8 * (int(np.count_nonzero(to)) + 1) < 4 * part.size:
                column, row = np.nonzero(counts.T)
                dst = np.concatenate([column + block * counts.shape[1] for block in range(channel.blocks)])
                src = np.concatenate([row + block * counts.shape[0] for block in range(channel.blocks)])
                values = np.tile(part[row, column], channel.blocks)
                return self._csr(channel, src, dst, values, renumbered=True)
        if same:
            return channel
        where = self.graph.groups[channel.dst].name
        return replace(channel, weight=self._store(f"{where}/pruned/weight{channel.port}", part))

    def _csr(
        self,
        channel: Channel,
        src: IntArray,
        dst: IntArray,
        weights: npt.NDArray[np.float32] | None,
        *,
        renumbered: bool = False,
    ) -> Channel:
        """A csr bundle of edges that are sorted by consumer."""
        from_, to = self.kept[channel.src], self.kept[channel.dst]
        if not renumbered:
            src, dst = (np.cumsum(from_) - 1)[src], (np.cumsum(to) - 1)[dst]
        n_src, n_dst = int(np.count_nonzero(from_)), int(np.count_nonzero(to))
        name = f"{self.graph.groups[channel.dst].name}/pruned/"
        weight = None if weights is None else self._store(f"{name}weight{channel.port}", weights)
        common: dict[str, Any] = {"src": channel.src, "dst": channel.dst, "port": channel.port}
        common["token_bits"] = channel.token_bits
        if n_src == n_dst == len(src) and np.array_equal(src, dst):
            return OneToOne(weight=weight, **common)
        ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.bincount(dst, minlength=n_dst), dtype=np.int64)])
        self._store(f"{name}ends{channel.port}", ends)
        self._store(f"{name}index{channel.port}", src.astype(np.int32))
        return Csr(weight=weight, indptr=f"{name}ends{channel.port}", index=f"{name}index{channel.port}", **common)
