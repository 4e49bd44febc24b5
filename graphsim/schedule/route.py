"""Routing: tokens are packed into parcels, and every parcel gets a tree of links from its maker to all its readers.

Tokens made on one node by one wave of a layer (:mod:`graphsim.analysis.waves`) and read on the same set of other nodes
travel together: none of them waits for another. With tiles, each tile is a wave, and its tokens are not parted. A token
crosses a link at most once, however many consumers lie behind it.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from graphsim.analysis.tokens import Readers, token_bits, token_makers
from graphsim.errors import InfeasibleError
from graphsim.graph import Graph
from graphsim.machine import Machine
from graphsim.schedule.passage import Passages, passages
from graphsim.schedule.tiles import Tiles

IntArray = npt.NDArray[np.int64]
Int32Array = npt.NDArray[np.int32]

#: Trees over which the parcels of one burst are spread, at most.
MOST_TREES = 64
#: Trees that are led around a loaded link by way of trial, at most.
_RELIEFS = 200
#: Nodes that trees are led through by way of trial, at most, beyond those.
_RELIEF_NODES = 400_000
#: Ticks that no way around a loaded link takes.
_DETOUR = 1 << 40
#: Ticks that a link counts for whose calendar is too small.
_FULL = 1 << 30
#: Parcels are filled with tokens until at most this part of their frames is padding.
PADDING = 1 / 64
#: With more (token, other node that reads it) pairs than this, parcels are so many times larger that there are fewer.
FINE_PAIRS = 1 << 17


@dataclass(frozen=True)
class Routes:
    """Parcels and their trees. Parcels are sorted by the wave that makes their tokens, hops by parcel, parents first.

    Attributes:
        parcel_node: int32 (parcels,). parcel_ptr: int64 (parcels + 1,). parcel_token: int32. See ``Schedule``.
        parcel_group: int64 (parcels,): the group that makes the tokens.
        hop_ptr: int64 (parcels + 1,): hops of each parcel.
        hop_parcel, hop_link: int32 (hops,).
        hop_parent: int64 (hops,): the hop that brings the parcel to where this hop starts; -1 at the parcel's node.
        hop_frames, hop_cycles: int64 (hops,): frames, and the cycles of the link that they take.
        hop_ticks: int64 (hops,): the same in ticks.
        passages: how hops hang together through switches.
    """

    parcel_node: Int32Array
    parcel_ptr: IntArray
    parcel_token: Int32Array
    parcel_group: IntArray
    hop_ptr: IntArray
    hop_parcel: Int32Array
    hop_link: Int32Array
    hop_parent: IntArray
    hop_frames: IntArray
    hop_cycles: IntArray
    hop_ticks: IntArray
    passages: Passages


@dataclass
class _Class:
    """Parcels that go from one node to the same other nodes; ``plain``: by the tree of :func:`plain_trees`."""

    group: int
    wave: int
    root: int
    targets: tuple[int, ...]
    parcels: list[Sequence[int]]
    bits: int
    trees: list[list[int]]
    plain: bool


@dataclass(frozen=True)
class Style:
    """How to route.

    Attributes:
        spread: balance the links under all parcels, not only under bursts.
        idle_free: measure ways as if nodes that fire nothing were not there, so that a placement on few nodes of a ring
            is routed as on a ring of so many.
    """

    spread: bool = False
    idle_free: bool = False


#: Styles in the order in which they are tried; the first keeps latency low.
STYLES = (Style(), Style(spread=True), Style(idle_free=True))


def plain_trees(machine: Machine, nodes: Sequence[int]) -> list[list[list[tuple[int, int]]]]:
    """The fastest way from each of some nodes to each, by a tree for each, as (link, ticks until it is taken)."""
    router = _Router(machine, set(range(len(machine.nodes))), 1)
    found = []
    for root in nodes:
        _, into = router.tree_of_fastest(root, set(nodes), plain=True)
        paths = []
        for v in nodes:
            path = []
            while v != root:
                path.append(into[v])
                v = router.src[into[v]]
            path.reverse()
            ticks = np.cumsum([0, *(router.delay[link] for link in path)]).tolist()
            paths.append(list(zip(path, ticks, strict=False)))
        found.append(paths)
    return found


class Packed:
    """Every token that is read elsewhere, packed into parcels; and what each class of them loads links with.

    Args:
        plain: the actors whose tokens go by the trees of :func:`plain_trees`, bool (actors,); none without it.
    """

    def __init__(
        self,
        graph: Graph,
        machine: Machine,
        node: Int32Array,
        read: Readers,
        wave: IntArray,
        tiles: Tiles | None = None,
        plain: npt.NDArray[np.bool_] | None = None,
    ) -> None:
        self.machine, self.busy = machine, set(np.unique(node).tolist())
        self.classes = _classes(graph, machine, node, read, wave, tiles, plain)
        #: Frames of each class on a link out of its node, and of all that are ready at the same time.
        self.frames: list[int] = []
        together: dict[tuple[int, int], int] = {}
        widest = [
            min((machine.links[link].frame_bits for link in machine.out_links(v)), default=1)
            for v in range(len(machine.nodes))
        ]
        for c in self.classes:
            self.frames.append(len(c.parcels) * -(-c.bits // widest[c.root]))
            together[c.group, c.root] = together.get((c.group, c.root), 0) + self.frames[-1]
        idle = {number for number, group in enumerate(graph.groups) if group.op in ("source", "input")}
        self.at_once = [
            together[c.group, c.root] if c.group in idle else own
            for c, own in zip(self.classes, self.frames, strict=True)
        ]
        #: Nodes that send so much that the calendars of their links are half full even if every frame takes but one.
        sent = np.zeros(len(machine.nodes), np.int64)
        np.add.at(sent, [c.root for c in self.classes], self.frames)
        self.crowded = {
            v
            for v in np.flatnonzero(sent).tolist()
            if 2 * sent[v] > sum(machine.links[link].calendar_entries for link in machine.out_links(v))
        }


def route(packed: Packed, enough: int, style: Style = STYLES[0]) -> Routes:
    """Find a tree for every parcel.

    Bursts (many parcels that are ready at once: of one class, or all of a layer that does no work) are spread over
    several trees, so that the load of the links out of their node is balanced, and so is all that a crowded node sends;
    other parcels take the fastest way, the less loaded of equals. In the end trees are led around the links that are
    loaded most, while one is loaded for more than ``enough`` ticks, or beyond its calendar.
    """
    machine = packed.machine
    classes = [replace(c, trees=[]) for c in packed.classes]
    router = _Router(machine, packed.busy if style.idle_free else set(range(len(machine.nodes))), enough)
    frames, at_once = packed.frames, packed.at_once
    spread = set(range(len(machine.nodes))) if style.spread else packed.crowded
    targets: dict[int, set[int]] = {}
    for c in classes:
        targets.setdefault(c.root, set()).update(c.targets)
    bursts = [
        i
        for i, c in enumerate(classes)
        if not c.plain and (c.root in spread or at_once[i] > router.patience(c.root, targets[c.root]))
    ]
    for c in classes:
        if c.plain:
            router.fastest(c.root, [c], plain=True)
    for i in sorted(bursts, key=lambda i: (-frames[i], classes[i].wave, classes[i].root)):
        router.balanced(classes[i], frames[i] / at_once[i])
    by_root: dict[int, list[_Class]] = {}
    for c in classes:
        if not c.trees:
            by_root.setdefault(c.root, []).append(c)
    for root in sorted(by_root):
        router.fastest(root, by_root[root])
    router.relieve([c for c in classes if not c.plain])
    return _assemble(machine, classes)


def _classes(
    graph: Graph,
    machine: Machine,
    node: Int32Array,
    read: Readers,
    wave: IntArray,
    tiles: Tiles | None,
    plain: npt.NDArray[np.bool_] | None,
) -> list[_Class]:
    """Classes sorted by wave, then by their first token; ``wave``: of each actor."""
    bits, makers = token_bits(graph), token_makers(graph)
    tiled = np.zeros(graph.actor_count, np.bool_)
    if tiles is not None:
        tiled = tiles.tiled
        # Waves of tiles, and all that is in none, in the order of the waves before.
        wave = wave * (graph.actor_count + 1) + np.where(tiled, 1 + tiles.leader, 0)
        wave = np.unique(wave, return_inverse=True)[1].astype(np.int64)
    group_of = np.searchsorted(graph.first, makers, side="right") - 1
    wave_of = wave[makers]
    home = node[makers]
    away = read.node != np.repeat(home, np.diff(read.ptr))
    ptr = np.concatenate([[0], np.cumsum(away)])[read.ptr]
    targets = read.node[away]
    found: dict[tuple[int, int, bytes], list[int]] = {}
    for token in np.flatnonzero(np.diff(ptr)).tolist():
        key = (int(wave_of[token]), int(home[token]), targets[ptr[token] : ptr[token + 1]].tobytes())
        found.setdefault(key, []).append(token)
    widths = sorted({link.frame_bits for link in machine.links})
    coarse = max(1, len(targets) // FINE_PAIRS)
    classes = []
    for (number, root, names), tokens in sorted(found.items(), key=lambda item: (item[0][0], item[1][0])):
        each = int(bits[tokens[0]])
        size = len(tokens) if tiled[makers[tokens[0]]] else coarse * _parcel_size(each, widths, len(tokens))
        parcels: list[Sequence[int]] = [tokens[i : i + size] for i in range(0, len(tokens), size)]
        reached = tuple(np.frombuffer(names, np.int32).tolist())
        bound = plain is not None and bool(plain[makers[tokens[0]]])
        payload = each * len(parcels[0])
        classes.append(_Class(int(group_of[tokens[0]]), number, root, reached, parcels, payload, [], bound))
    return classes


def _parcel_size(bits: int, widths: Sequence[int], most: int) -> int:
    """How many tokens make a parcel: the fewest that leave little padding in frames of all these widths."""
    best, least = 1, float("inf")
    for count in range(1, min(most, 4096) + 1):
        payload = count * bits
        waste = max(-(-payload // width) * width / payload for width in widths)
        if waste < least:
            best, least = count, waste
        if least <= 1 + PADDING or payload > 64 * widths[-1]:
            break
    return best


class _Router:
    """Finds trees and remembers how many frames every link carries."""

    def __init__(self, machine: Machine, busy: set[int], enough: int) -> None:
        self.links, self.enough = machine.links, enough
        self.names = [node.name for node in machine.nodes]
        self.out = [machine.out_links(v) for v in range(len(machine.nodes))]
        self.dst = [link.dst for link in machine.links]
        self.src = [link.src for link in machine.links]
        self.rate = [link.frames_per_tick for link in machine.links]
        self.stride = machine.link_strides
        self.most = [
            min(link.calendar_entries, enough // stride * link.frames_per_tick)
            for link, stride in zip(machine.links, self.stride, strict=True)
        ]
        self.delay = [
            way + machine.crossings[link.dst] if link.dst in busy else 0
            for link, way in zip(machine.links, machine.ways, strict=True)
        ]
        self.load = [0] * len(machine.links)
        self._reach: dict[int, int] = {}

    def patience(self, root: int, targets: set[int]) -> int:
        """Ticks to the farthest target: a burst longer than that gains by being spread."""
        if root not in self._reach:
            self._reach[root] = self.tree_of_fastest(root, targets)[0]
        return 2 + self._reach[root]

    def balanced(self, c: _Class, share: float) -> None:
        """Trees that together load the links evenly; parcel i of the class takes tree i modulo their number.

        ``share``: of the class in what is sent at once; the fewer other classes there are, the more trees it gets.
        """
        count = max(1, min(len(c.parcels), MOST_TREES, round(4 * len(self.out[c.root]) * share)))
        for number in range(count):
            parcels = len(range(number, len(c.parcels), count))
            tree = self._grow(c, parcels)
            c.trees.append(tree)
            self._add(c, tree, parcels)

    def fastest(self, root: int, classes: Sequence[_Class], *, plain: bool = False) -> None:
        """One tree for all classes of a node, each pruned to its targets: fastest paths, the less loaded of equals."""
        _, into = self.tree_of_fastest(root, {v for c in classes for v in c.targets}, plain=plain)
        for c in classes:
            c.trees.append(self._pruned(root, c.targets, into))
            self._add(c, c.trees[0], len(c.parcels))

    def tree_of_fastest(self, root: int, targets: set[int], *, plain: bool = False) -> tuple[int, dict[int, int]]:
        """Ticks to the farthest target, and the link by which each node on the way is reached, by Dijkstra.

        ``plain``: whatever is on the links; otherwise of equals the less loaded.
        """
        found, into = {root: (0, 0)}, dict[int, int]()
        missing, ticks = set(targets), 0
        heap = [(0, 0, root)]
        while missing:
            if not heap:
                raise self._no_way(root, missing)
            ticks, load, v = heapq.heappop(heap)
            if (ticks, load) > found[v]:
                continue
            missing.discard(v)
            for link in self.out[v]:
                there = (ticks + self.delay[link], 0 if plain else max(load, self._spent(link)))
                u = self.dst[link]
                if u not in found or there < found[u]:
                    found[u] = there
                    into[u] = link
                    heapq.heappush(heap, (*there, u))
        return ticks, into

    def _no_way(self, root: int, missing: set[int]) -> InfeasibleError:
        names = self.names[root], self.names[min(missing)]
        return InfeasibleError(
            f"no path of links leads from node {names[0]} to node {names[1]}, where a token of its actors is read; add "
            "one, or place them elsewhere"
        )

    def _pruned(self, root: int, targets: Sequence[int], into: dict[int, int]) -> list[int]:
        """The links of a tree that lead to the targets, parents first."""
        seen = {root}
        tree: list[int] = []
        for target in targets:
            path = []
            v = target
            while v not in seen:
                seen.add(v)
                path.append(into[v])
                v = self.src[into[v]]
            tree += reversed(path)
        return tree

    def relieve(self, classes: Sequence[_Class]) -> None:
        """Lead trees around the links that are loaded too much, one after the other, and keep the best found.

        A step that only moves the greatest load elsewhere is taken too: it may open a way. Trees take turns.
        """
        users = [(c, number) for c in classes for number in range(len(c.trees))]
        best, turn = self._pressure(), 0
        changed: list[tuple[_Class, int, list[int]]] = []  # since the best, and what was there before
        tries = _RELIEFS + _RELIEF_NODES // len(self.out)
        for _ in range(_RELIEFS):
            top = self._pressure()
            if top[0] <= self.enough:
                break
            for count in range(len(users)):
                c, number = users[(turn + count) % len(users)]
                if top[2] not in c.trees[number]:
                    continue
                before = c.trees[number]
                tries -= 1
                if self._redirect(c, number, top):
                    changed.append((c, number, before))
                    turn += count + 1
                    break
                if tries <= 0:
                    break
            else:
                break
            if tries <= 0:
                break
            now = self._pressure()
            if now[:2] < best[:2]:
                best, changed = now, []
        for c, number, before in reversed(changed):
            c.trees[number] = before

    def _spent(self, link: int, more: int = 0) -> int:
        """Ticks for which a link is loaded, with so many frames more; of a cycle that is not full, only a part."""
        return (self.load[link] + more) * self.stride[link] // self.rate[link]

    def _ticks(self, link: int, load: int) -> int:
        """Ticks for which so many frames load a link; frames beyond its calendar weigh more than all ticks."""
        cycles = -(-load // self.rate[link])
        return cycles * self.stride[link] + (_FULL if load > self.links[link].calendar_entries else 0)

    def _pressure(self) -> tuple[int, int, int]:
        """Ticks of the most loaded link, how many links have as many, and the first of them."""
        full = [link for link, load in enumerate(self.load) if load > self.most[link]]
        ticks = [self._ticks(link, self.load[link]) for link in full or range(len(self.load))]
        top = max(ticks, default=0)
        first = ticks.index(top) if ticks else -1
        return top, ticks.count(top), full[first] if full else first

    def _redirect(self, c: _Class, number: int, pressure: tuple[int, int, int]) -> bool:
        """Lead one tree around the most loaded link, if that makes nothing worse."""
        old, parcels = c.trees[number], len(range(number, len(c.parcels), len(c.trees)))
        self._add(c, old, -parcels)
        tree = self._grow(c, parcels, pressure[0])
        self._add(c, tree, parcels)
        if pressure[2] not in tree and self._pressure()[:2] <= pressure[:2]:
            c.trees[number] = tree
            return True
        self._add(c, tree, -parcels)
        self._add(c, old, parcels)
        return False

    def _add(self, c: _Class, tree: Sequence[int], parcels: int) -> None:
        for link in tree:
            self.load[link] += parcels * -(-c.bits // self.links[link].frame_bits)

    def _grow(self, c: _Class, parcels: int, top: int | None = None) -> list[int]:
        """A tree grown target by target, the cheapest to reach first (Takahashi and Matsuyama 1980).

        A link costs the ticks for which it is loaded already; the links out of the root, over which every tree must
        go, as if one more tree went over them; a path starts at the depth, in ticks, of where it leaves the tree. With
        ``top``, a link that these parcels would load for so many ticks costs more than any way around it.
        """
        root, missing = c.root, set(c.targets)
        ticks = [0] * len(self.out)
        cost: dict[int, int] = {root: 0}
        into: dict[int, int] = {}
        depth: dict[int, int] = {root: 0}
        heap = [(0, 0, root)]
        while missing:
            if not heap:
                raise self._no_way(root, missing)
            so_far, _, v = heapq.heappop(heap)
            if so_far > cost[v]:
                continue
            if v in missing:
                path = []
                u = v
                while u not in depth:
                    path.append(u)
                    u = self.src[into[u]]
                for u in reversed(path):
                    depth[u] = depth[self.src[into[u]]] + self.delay[into[u]]
                    cost[u] = depth[u]
                    heapq.heappush(heap, (cost[u], depth[u], u))
                    missing.discard(u)
                continue
            for link in self.out[v]:
                u = self.dst[link]
                if u in depth:
                    continue
                more = parcels * -(-c.bits // self.links[link].frame_bits)
                price = so_far + self._spent(link, more if v == root and top is None else 0) + self.delay[link]
                if top is not None and self._ticks(link, self.load[link] + more) >= top:
                    price += _DETOUR
                if price < cost.get(u, 1 << 62):
                    cost[u], into[u], ticks[u] = price, link, ticks[v] + self.delay[link]
                    heapq.heappush(heap, (price, ticks[u], u))
        return self._pruned(root, c.targets, into)


def _assemble(machine: Machine, classes: Sequence[_Class]) -> Routes:
    frame_bits = np.array([link.frame_bits for link in machine.links], np.int64)
    src = [link.src for link in machine.links]
    dst = [link.dst for link in machine.links]
    parcel_node: list[int] = []
    parcel_group: list[int] = []
    tokens: list[int] = []
    sizes: list[int] = []
    bits: list[int] = []
    hop_link: list[int] = []
    hop_parent: list[int] = []
    hop_count: list[int] = []
    for c in classes:
        shapes = []
        for tree in c.trees:
            at = {dst[link]: i for i, link in enumerate(tree)}
            shapes.append([at.get(src[link], -1) for link in tree])
        for i, parcel in enumerate(c.parcels):
            which = i % len(c.trees)
            begin = len(hop_link)
            hop_link += c.trees[which]
            hop_parent += [-1 if p < 0 else begin + p for p in shapes[which]]
            hop_count.append(len(c.trees[which]))
            parcel_node.append(c.root)
            parcel_group.append(c.group)
            tokens += parcel
            sizes.append(len(parcel))
            bits.append(c.bits * len(parcel) // len(c.parcels[0]))
    links = np.array(hop_link, np.int32)
    parcels = np.repeat(np.arange(len(hop_count)), hop_count)
    payload = np.array(bits, np.int64)[parcels] if len(parcels) else np.empty(0, np.int64)
    frames = -(-payload // frame_bits[links])
    parent = np.array(hop_parent, np.int64)
    found = passages(machine, links.astype(np.int64), parent)
    cycles = -(-frames // found.pace)
    return Routes(
        np.array(parcel_node, np.int32),
        np.concatenate([[0], np.cumsum(np.array(sizes, np.int64))]).astype(np.int64),
        np.array(tokens, np.int32),
        np.array(parcel_group, np.int64),
        np.concatenate([[0], np.cumsum(np.array(hop_count, np.int64))]).astype(np.int64),
        parcels.astype(np.int32),
        links,
        parent,
        frames,
        cycles,
        cycles * np.array(machine.link_strides, np.int64)[links],
        found,
    )
