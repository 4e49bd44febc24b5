"""Every rule of graphsim.graph.verify is broken once, in a graph that is otherwise valid."""

from __future__ import annotations

import dataclasses
import math
import tracemalloc
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from graphs import mlp
from hypothesis import given, settings
from strategies import graphs

from graphsim.errors import GraphError
from graphsim.graph import Channel, Csr, Dense, Graph, Group, OneToOne, Ref, Table
from graphsim.graph.text import dump, parse
from graphsim.graph.verify import unconsumed, verify

F32 = npt.NDArray[np.float32]


def small() -> Graph:
    """source -> x[6] -> {a[4] by table, b[4] by csr} -> d[4] = a - b -> r[2] by dense blocks -> sink."""
    rng = np.random.default_rng(5)
    params: dict[str, npt.NDArray[np.generic]] = {
        "table": rng.integers(0, 6, (4, 2)).astype(np.int32),
        "table_w": rng.normal(size=(4, 2)).astype(np.float32),
        "ptr": np.array([0, 1, 3, 3, 5], np.int64),
        "csr": rng.integers(0, 6, 5).astype(np.int32),
        "csr_w": rng.normal(size=5).astype(np.float32),
        "wide": rng.normal(size=(6, 4)).astype(np.float32),
        "bias": rng.normal(size=2).astype(np.float32),
        "slope": np.array([0.1, 0.2, 0.3, 0.4], np.float32),
    }
    groups = [
        Group(name="source", op="source"),
        Group(name="x", op="input", shape=(6,), layer="in", observes="output"),
        Group(name="a", op="linear", shape=(2, 2), params={"bias": Ref("bias", 2)}),
        Group(name="b", op="linear", shape=(4,), activation="leaky_relu", params={"alpha": Ref("slope")}),
        Group(name="d", op="subtract", shape=(4,), activation="elu", activation_args=(1.0,)),
        Group(name="r", op="max", shape=(2,)),
        Group(name="sink", op="argmax"),
    ]
    channels: list[Channel] = [
        Dense(src=0, dst=1),
        Table(src=1, dst=2, index="table", weight=Ref("table_w")),
        Csr(src=1, dst=3, indptr="ptr", index="csr", weight=Ref("csr_w")),
        Dense(src=1, dst=3, port=1, weight=Ref("wide")),
        OneToOne(src=2, dst=4),
        OneToOne(src=3, dst=4, port=1),
        Dense(src=4, dst=5, blocks=2),
        Dense(src=5, dst=6),
    ]
    return Graph("small", groups, channels, params)


def changed(
    groups: Mapping[str, Mapping[str, Any]] | None = None,
    channels: Mapping[int, Mapping[str, Any]] | None = None,
    params: Mapping[str, npt.NDArray[np.generic]] | None = None,
    extra: tuple[Channel, ...] = (),
    without: tuple[int, ...] = (),
) -> Graph:
    """``small()`` with fields of some groups and channels replaced, channels added or left out, params replaced."""
    base = small()
    new_groups = [dataclasses.replace(g, **(groups or {}).get(g.name, {})) for g in base.groups]
    new_channels = [
        dataclasses.replace(c, **(channels or {}).get(i, {})) for i, c in enumerate(base.channels) if i not in without
    ]
    return Graph(base.name, new_groups, [*new_channels, *extra], {**base.params, **(params or {})})


def test_the_small_graph_and_the_classifier_are_valid() -> None:
    verify(small())
    verify(mlp())


@settings(deadline=None, max_examples=100)
@given(graphs(rates=True))
def test_random_graphs_are_valid(graph: Graph) -> None:
    verify(graph)


def _nan_at(shape: tuple[int, ...], at: tuple[int, ...], value: float) -> F32:
    array = np.zeros(shape, np.float32)
    array[at] = value
    return array


def _chain(*ops: str) -> Graph:
    """Groups of one actor in a row."""
    groups = [Group(name=f"{op}{i}", op=op) for i, op in enumerate(ops)]
    return Graph("chain", groups, [Dense(src=i, dst=i + 1) for i in range(len(ops) - 1)], {})


BROKEN: dict[str, tuple[Callable[[], Graph], str]] = {
    # the graph
    "no source": (lambda: changed({"source": {"op": "linear"}}), "no group has the op source"),
    "no sink": (lambda: changed({"sink": {"op": "max"}}), "no group has one of the ops argmax, collect"),
    "too many actors": (lambda: changed({"x": {"shape": (2**20, 2**11)}}), "at most 2,147,483,647 can be numbered"),
    "params missing": (lambda: parse(dump(small())), "the params bias, csr, .* are missing"),
    "float64 param": (lambda: changed(params={"bias": np.zeros(2)}), "param bias: is float64; params are float32"),
    "swapped bytes": (lambda: changed(params={"bias": np.zeros(2, ">f4")}), "param bias: is >f4"),
    "object param": (lambda: changed(params={"more": np.array([None])}), "param more: is object"),
    "NaN": (
        lambda: changed(params={"wide": _nan_at((6, 4), (3, 2), math.nan)}),
        r"param wide: element \(3, 2\) is nan",
    ),
    "infinity": (
        lambda: changed(params={"more": _nan_at((2**20 + 9,), (2**20 + 5,), -math.inf)}),
        r"param more: element \(1048581,\) is -inf",
    ),
    # groups
    "empty name": (lambda: changed({"a": {"name": ""}}), "group '': a name is not empty"),
    "name with a space": (lambda: changed({"a": {"name": "a b"}}), "group 'a b': a name"),
    "name with a bracket": (lambda: changed({"a": {"name": "a[0]"}}), r"group 'a\[0\]': a name"),
    "name with a control character": (lambda: changed({"a": {"name": "a\x1b"}}), r"group 'a\\x1b': a name"),
    "same name twice": (lambda: changed({"a": {"name": "b"}}), "group b: a second group has this name"),
    "extent of zero": (lambda: changed({"r": {"shape": (2, 0)}}), r"group r: shape \(2, 0\); every extent"),
    "negative extent": (lambda: changed({"r": {"shape": (-2, -1)}}), r"group r: shape \(-2, -1\); every extent"),
    "too many axes": (lambda: changed({"r": {"shape": (1,) * 33}}), "group r: a shape of 33 axes"),
    "unknown op": (lambda: changed({"r": {"op": "conv"}}), "group r: unknown op 'conv'; there are: source, input"),
    "unknown activation": (lambda: changed({"r": {"activation": "spline"}}), "group r: unknown activation 'spline'"),
    "argument missing": (
        lambda: changed({"d": {"activation_args": ()}}),
        "group d: activation elu takes alpha; 0 were given",
    ),
    "argument too many": (
        lambda: changed({"r": {"activation_args": (1.0,)}}),
        "group r: activation linear takes no arguments; 1 were given",
    ),
    "argument is NaN": (lambda: changed({"d": {"activation_args": (math.nan,)}}), "group d: an argument of elu is NaN"),
    "celu with an alpha of 0": (
        lambda: changed({"d": {"activation": "celu", "activation_args": (0.0,)}}),
        "group d: celu divides by alpha",
    ),
    "squareplus of a negative b": (
        lambda: changed({"b": {"activation": "squareplus"}}, params={"slope": np.array([1, 0, 1, -1], np.float32)}),
        "group b: squareplus takes the root of b",
    ),
    "alpha of integers": (
        lambda: changed({"b": {"params": {"alpha": Ref("csr")}}}),
        "group b: alpha: param csr is int32; must be float32",
    ),
    "alpha and an argument": (
        lambda: changed({"b": {"activation_args": (0.5,)}}),
        "group b: alpha is the one argument of an activation; leaky_relu",
    ),
    "alpha without use": (lambda: changed({"b": {"activation": "relu"}}), "group b: alpha is the one argument"),
    "activation of a sink": (
        lambda: changed({"sink": {"activation": "relu"}}),
        "group sink: op argmax takes no relu; put an op linear",
    ),
    "bias of an input": (lambda: changed({"x": {"params": {"bias": Ref("bias")}}}), "group x: op input takes no bias"),
    "unknown role": (lambda: changed({"a": {"params": {"scale": Ref("bias")}}}), "group a: unknown role 'scale'"),
    "role without param": (
        lambda: changed({"a": {"params": {"bias": Ref("nowhere")}}}),
        "group a: bias: there is no param 'nowhere'",
    ),
    "role of integers": (
        lambda: changed({"a": {"params": {"bias": Ref("csr")}}}),
        "group a: bias: param csr is int32; must be float32",
    ),
    "bias that does not repeat evenly": (
        lambda: changed({"a": {"params": {"bias": Ref("bias", 3)}}}),
        r"group a: bias: param bias \(2,\) with inner 3 does not repeat evenly over 4 actors",
    ),
    "bias with inner 0": (lambda: changed({"a": {"params": {"bias": Ref("bias", 0)}}}), "group a: bias: .*inner 0"),
    "bias of two axes": (lambda: changed({"a": {"params": {"bias": Ref("table_w")}}}), "group a: bias: .*table_w"),
    "empty bias": (lambda: changed(params={"bias": np.zeros(0, np.float32)}), "group a: bias: param bias"),
    "negative magnitude": (
        lambda: changed({"a": {"params": {"magnitude": Ref("bias")}}}, params={"bias": _nan_at((2,), (1,), -1)}),
        "group a: magnitude bias has negative elements",
    ),
    "negative extra roundings": (lambda: changed({"a": {"extra_roundings": -1}}), "group a: extra_roundings is -1"),
    "observes something else": (lambda: changed({"x": {"observes": "weights"}}), "group x: observes is 'weights'"),
    "observes no layer": (lambda: changed({"x": {"layer": ""}}), "group x: observes 'output' of no layer"),
    "negative call": (lambda: changed({"x": {"call": -1}}), "group x: call is -1"),
    # channels
    "no production": (lambda: changed(channels={4: {"produce": 0}}), r"channel a -> d \(port 0\): rates 0:1"),
    "negative consumption": (lambda: changed(channels={4: {"consume": -2}}), r"channel a -> d \(port 0\): rates 1:-2"),
    "tokens without bits": (lambda: changed(channels={4: {"token_bits": 0}}), r"channel a -> d .*tokens of 0 bits"),
    "negative tokens": (lambda: changed(channels={4: {"initial_tokens": -1}}), "channel a -> d .*-1 initial tokens"),
    "leads back": (
        lambda: changed(extra=(OneToOne(src=4, dst=3, port=2),)),
        r"channel d -> b \(port 2\): leads back",
    ),
    "feeds itself": (
        lambda: changed(extra=(OneToOne(src=3, dst=3, port=2),)),
        r"channel b -> b \(port 2\): leads back",
    ),
    "index without param": (
        lambda: changed(channels={1: {"index": "nil"}}),
        "channel x -> a .*: there is no param 'nil'",
    ),
    "weight without param": (
        lambda: changed(channels={1: {"weight": Ref("nil")}}),
        "channel x -> a .*: there is no param 'nil'",
    ),
    "weight of integers": (
        lambda: changed(params={"table_w": np.zeros((4, 2), np.int32)}),
        "channel x -> a .*: weight: param table_w is int32; must be float32",
    ),
    "weights into a sink": (
        lambda: changed(channels={7: {"weight": Ref("w")}}, params={"w": np.zeros((2, 1), np.float32)}),
        "channel r -> sink .*: op argmax takes no weights",
    ),
    "blocks do not divide": (
        lambda: changed(channels={6: {"blocks": 3}}),
        "channel d -> r .*: 3 blocks do not divide 4",
    ),
    "no blocks": (lambda: changed(channels={6: {"blocks": 0}}), "channel d -> r .*: 0 blocks do not divide 4"),
    "dense weight of another shape": (
        lambda: changed(params={"wide": np.zeros((4, 6), np.float32)}),
        r"channel x -> b \(port 1\): weight wide has shape \(4, 6\); this dense bundle needs \(6, 4\)",
    ),
    "one to one of different sizes": (
        lambda: changed({"d": {"shape": (6,)}}),
        "channel a -> d .*: one-to-one between 4 producers and 6 consumers",
    ),
    "one-to-one weight that does not repeat evenly": (
        lambda: changed(channels={4: {"weight": Ref("w")}}, params={"w": np.zeros(3, np.float32)}),
        r"channel a -> d .*: param w \(3,\) with inner 1 does not repeat evenly",
    ),
    "table of int64": (
        lambda: changed(params={"table": np.zeros((4, 2), np.int64)}),
        r"channel x -> a .*: index table is int64 \(4, 2\); a table needs int32 \(4, k\)",
    ),
    "table of one axis": (lambda: changed(params={"table": np.zeros(4, np.int32)}), "channel x -> a .*: index table"),
    "table of other length": (
        lambda: changed(params={"table": np.zeros((3, 2), np.int32)}),
        "channel x -> a .*: index table",
    ),
    "table without columns": (
        lambda: changed(params={"table": np.zeros((4, 0), np.int32), "table_w": np.zeros((4, 0), np.float32)}),
        "channel x -> a .*: index table .*with k at least 1",
    ),
    "table names a producer too far": (
        lambda: changed(params={"table": np.full((4, 2), 6, np.int32)}),
        "channel x -> a .*: index table names producers outside 0..5",
    ),
    "table names a negative producer": (
        lambda: changed(params={"table": np.full((4, 2), -1, np.int32)}),
        "channel x -> a .*: index table names producers outside 0..5",
    ),
    "table weight of another shape": (
        lambda: changed(params={"table_w": np.zeros((4, 3), np.float32)}),
        "channel x -> a .*: weight table_w has shape",
    ),
    "csr pointers of int32": (
        lambda: changed(params={"ptr": np.array([0, 1, 3, 3, 5], np.int32)}),
        "channel x -> b .*: indptr ptr is int32",
    ),
    "csr pointers too few": (
        lambda: changed(params={"ptr": np.array([0, 1, 5], np.int64)}),
        "channel x -> b .*: indptr ptr is int64",
    ),
    "csr pointers do not start at 0": (
        lambda: changed(params={"ptr": np.array([1, 1, 3, 3, 5], np.int64)}),
        "channel x -> b .*: indptr ptr does not ascend from 0 to 5",
    ),
    "csr pointers do not end at the last edge": (
        lambda: changed(params={"ptr": np.array([0, 1, 3, 3, 4], np.int64)}),
        "channel x -> b .*: indptr ptr does not ascend from 0 to 5",
    ),
    "csr pointers descend": (
        lambda: changed(params={"ptr": np.array([0, 4, 3, 3, 5], np.int64)}),
        "channel x -> b .*: indptr ptr does not ascend from 0 to 5",
    ),
    "csr pointers whose differences wrap around": (
        lambda: changed(params={"ptr": np.array([0, 2**63 - 1, -(2**63), -1, 5], np.int64)}),
        "channel x -> b .*: indptr ptr does not ascend from 0 to 5",
    ),
    "csr index of int64": (
        lambda: changed(params={"csr": np.zeros(5, np.int64)}),
        "channel x -> b .*: index csr is int64",
    ),
    "csr names a producer too far": (
        lambda: changed(params={"csr": np.array([0, 1, 2, 3, 6], np.int32)}),
        "channel x -> b .*: index csr names producers outside 0..5",
    ),
    "csr weight of another shape": (
        lambda: changed(params={"csr_w": np.zeros(4, np.float32)}),
        "channel x -> b .*: weight csr_w has shape",
    ),
    # ports
    "two bundles on one port": (lambda: changed(channels={5: {"port": 0}}), r"group d: ports \[0, 0\]"),
    "a gap between ports": (lambda: changed(channels={5: {"port": 2}}), r"group d: ports \[0, 2\]"),
    "negative port": (lambda: changed(channels={4: {"port": -1}}), r"group d: ports \[-1, 1\]"),
    "too few ports": (
        lambda: changed(without=(5,), extra=(Dense(src=3, dst=5, port=1),)),
        "group d: 1 ports; op subtract takes 2",
    ),
    "too many ports": (
        lambda: changed(extra=(OneToOne(src=2, dst=4, port=2),)),
        "group d: 3 ports; op subtract takes 2",
    ),
    "no ports": (lambda: changed(without=(1,)), "group a: 0 ports; op linear takes 1 or more"),
    "two edges into a difference": (
        lambda: changed(
            params={"t": np.zeros((4, 2), np.int32)}, without=(5,), extra=(Table(src=3, dst=4, port=1, index="t"),)
        ),
        r"channel b -> d \(port 1\): 2 edges per actor; op subtract takes exactly one",
    ),
    "none to two edges into a difference": (
        lambda: changed(
            without=(5,),
            extra=(Csr(src=3, dst=4, port=1, indptr="ptr", index="few"),),
            params={"few": np.zeros(5, np.int32)},
        ),
        r"channel b -> d \(port 1\): 0 to 2 edges per actor; op subtract",
    ),
    "a bundle without edges": (
        lambda: changed(
            channels={2: {"weight": None}},
            params={"ptr": np.zeros(5, np.int64), "csr": np.zeros(0, np.int32)},
        ),
        r"channel x -> b \(port 0\): has no edges; leave it out",
    ),
    "an actor without edges": (
        lambda: changed({"b": {"op": "max"}}, without=(3,)),
        "group b: actor 2 has no input edges; op max needs at least one",
    ),
    # sources and sinks
    "a sink that feeds": (
        lambda: changed({"r": {"op": "argmax", "activation": "linear"}}),
        r"channel r -> sink \(port 0\): r is a sink; it feeds nobody",
    ),
    "a group that feeds nobody": (
        lambda: changed(
            {"r": {"op": "collect"}, "sink": {"op": "collect"}},
            without=(5, 4),
            extra=(OneToOne(src=2, dst=4), OneToOne(src=2, dst=4, port=1)),
        ),
        "group b: feeds no other group",
    ),
    "a source of several actors": (
        lambda: changed({"source": {"shape": (2,)}}),
        "group source: a source is one actor with one bundle; this has 2 and 1",
    ),
    "a source with two bundles": (
        lambda: changed(extra=(Dense(src=0, dst=5, port=1),)),
        "group source: a source is one actor with one bundle; this has 1 and 2",
    ),
    "a source into another op": (lambda: _chain("source", "linear", "argmax"), "a source feeds a group of op input"),
    "a source by another kind": (
        lambda: changed(
            without=(0,), extra=(Table(src=0, dst=1, index="t"),), params={"t": np.zeros((6, 1), np.int32)}
        ),
        "a source feeds a group of op input by a dense bundle",
    ),
    "a source that is fed": (
        lambda: changed(extra=(Dense(src=5, dst=0, initial_tokens=1),)),
        "group source: 1 ports; op source takes 0",
    ),
    "an input from elsewhere": (
        lambda: Graph(
            "g",
            [*_chain("source", "input", "input", "argmax").groups],
            _chain("source", "input", "input", "argmax").channels,
            {},
        ),
        "a group of op input takes the sample from a source",
    ),
}


@pytest.mark.parametrize("rule", BROKEN)
def test_broken_rule_is_named(rule: str) -> None:
    make, message = BROKEN[rule]
    with pytest.raises(GraphError, match=message):
        verify(make())


def test_channel_between_groups_that_do_not_exist_cannot_be_made() -> None:
    with pytest.raises(GraphError, match="channel 0 -> 9: there are 1 groups"):
        Graph("g", [Group(name="a", op="source")], [Dense(src=0, dst=9)], {})


def test_a_back_channel_with_initial_tokens_is_allowed() -> None:
    verify(changed(extra=(OneToOne(src=4, dst=3, port=2, initial_tokens=1),)))


def test_an_unbounded_activation_argument_is_allowed() -> None:
    args = {"activation": "clipped_relu", "activation_args": (0.0, math.inf, 0.0)}
    verify(changed({"d": args}))


def test_unconsumed_counts_actors_that_nobody_reads() -> None:
    assert unconsumed(mlp(5, 4, 3)) == {}
    graph = changed(
        without=(3,),
        params={
            "table": np.array([[0, 1], [0, 0], [1, 1], [0, 1]], np.int32),
            "ptr": np.array([0, 1, 3, 4, 5], np.int64),
            "csr": np.array([1, 1, 4, 0, 1], np.int32),
        },
    )
    verify(graph)
    assert unconsumed(graph) == {"x": 3}


def test_absurd_sizes_are_verified_in_little_memory() -> None:
    size = 2**30
    groups = [
        Group(name="source", op="source"),
        Group(name="x", op="input", shape=(size,)),
        Group(name="y", op="linear", shape=(size - 10,)),
        Group(name="sink", op="collect"),
    ]
    channels = [Dense(src=0, dst=1), OneToOne(src=1, dst=2), Dense(src=2, dst=3)]
    graph = Graph("giant", groups, channels, {})
    tracemalloc.start()
    try:
        with pytest.raises(GraphError, match="one-to-one between"):
            verify(graph)
        verify(
            Graph("giant", [groups[0], dataclasses.replace(groups[1], shape=(size - 10,)), *groups[2:]], channels, {})
        )
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
