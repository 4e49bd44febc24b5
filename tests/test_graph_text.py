from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from graphs import mlp
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import graphs

from graphsim.errors import GraphError
from graphsim.graph import Dense, Graph, Group, Ref
from graphsim.graph.text import dump, parse


def mnist_mlp() -> Graph:
    """The MNIST classifier with params that no random generator makes, so that their digests are for ever."""
    shaped = mlp()
    params = {
        k: ((np.arange(v.size) % 97 - 48) / 64).astype(np.float32).reshape(v.shape) for k, v in shaped.params.items()
    }
    return Graph(
        "mnist_mlp", shaped.groups, shaped.channels, params, {"keras_version": "3.15.1", "semantics": "keras 3"}
    )


def test_the_mnist_classifier_reads_as_one_page(golden: Callable[[str, str], None]) -> None:
    golden("mnist_mlp.txt", dump(mnist_mlp()))


@settings(deadline=None, max_examples=60)
@given(graphs(rates=True))
def test_text_parses_back_to_the_same_graph(graph: Graph) -> None:
    text = dump(graph)
    back = parse(text, graph.params)
    assert (back.name, back.groups, back.channels, back.notes) == (
        graph.name,
        graph.groups,
        graph.channels,
        graph.notes,
    )
    assert {k: v.tobytes() for k, v in back.params.items()} == {k: v.tobytes() for k, v in graph.params.items()}
    assert dump(back) == text


@settings(deadline=None)
@given(st.lists(st.floats(allow_nan=False), max_size=4), st.text(), st.text(), st.text())
def test_floats_and_any_text_round_trip_exactly(args: list[float], name: str, layer: str, note: str) -> None:
    group = Group(name=name, op=layer, activation="elu", activation_args=tuple(args), layer=layer)
    graph = Graph(note, [group], [], {}, {name: note})
    back = parse(dump(graph))
    assert [math.copysign(1, x) for x in back.groups[0].activation_args] == [math.copysign(1, x) for x in args]
    assert (back.groups, back.notes, back.name) == (graph.groups, graph.notes, graph.name)


def test_text_is_ascii_with_one_statement_per_line() -> None:
    text = dump(Graph("naïve\n\x85\ud800", [Group(name="größe", op="source")], [], {}, {"a b": "line\nbreak"}))
    assert text.isascii()
    assert len(text.splitlines()) == 4


def test_order_of_params_and_roles_does_not_change_the_text() -> None:
    graph = mlp(4, 3, 2)
    turned = Graph(graph.name, graph.groups, graph.channels[::-1], dict(reversed(graph.params.items())))
    assert dump(turned) == dump(graph)


def test_param_digest_is_sha256_of_little_endian_bytes_in_c_order() -> None:
    values = np.array([[1.5, -0.0], [2.25, 3.0]], np.float32)
    params: dict[str, npt.NDArray[np.generic]] = {"w": np.asfortranarray(values)}
    expected = hashlib.sha256(b"".join(np.array(v, "<f4").tobytes() for v in values.ravel())).hexdigest()
    assert f"param w float32 [2,2] sha256={expected}\n" in dump(Graph("g", [], [], params))


def test_digest_depends_on_every_bit_of_a_param() -> None:
    graph = mlp(4, 3, 2)
    params = {k: v.copy() for k, v in graph.params.items()}
    params["dense/bias"].view(np.uint32)[1] ^= 1
    assert Graph(graph.name, graph.groups, graph.channels, params).digest != graph.digest


def test_without_params_the_graph_has_structure_and_says_what_is_missing() -> None:
    graph = mlp(4, 3, 2)
    bare = parse(dump(graph))
    assert bare.missing == tuple(graph.params)
    assert bare.declared["dense/kernel"].shape == (4, 3)
    assert bare.actor("dense[2]").name == "dense[2]"
    assert bare.digest == graph.digest
    with pytest.raises(GraphError, match="param 'dense/kernel' is not here"):
        bare.params["dense/kernel"]
    with pytest.raises(GraphError, match="is not here"):
        _ = bare.actor("dense[2]").inputs


def test_given_params_must_be_the_declared_ones() -> None:
    graph = mlp(4, 3, 2)
    text, good = dump(graph), dict(graph.params)
    with pytest.raises(GraphError, match="params dense/bias are missing"):
        parse(text, {k: v for k, v in good.items() if k != "dense/bias"})
    with pytest.raises(GraphError, match="'more' that is not declared"):
        parse(text, {**good, "more": np.zeros(1, np.float32)})
    with pytest.raises(GraphError, match=r"'dense/bias' is float32 \(2,\).*declared is float32 \(3,\)"):
        parse(text, {**good, "dense/bias": np.zeros(2, np.float32)})
    with pytest.raises(GraphError, match="with SHA-256"):
        parse(text, {**good, "dense/bias": np.zeros(3, np.float32)})


def test_two_groups_of_one_name_cannot_be_written() -> None:
    with pytest.raises(GraphError, match="two groups are called 'a'"):
        dump(Graph("g", [Group(name="a", op="source"), Group(name="a", op="argmax")], [], {}))


def test_comments_blank_lines_and_crlf_are_skipped() -> None:
    graph = mlp(2, 2, 2)
    lines = dump(graph).splitlines()
    assert parse("\r\n".join(["", *lines[:3], "# a remark", "   ", *lines[3:], ""])).digest == graph.digest


HEAD = "graphsim text 1\ngraph g\n"
GROUPS = HEAD + "group s source []\ngroup i input [2]\n"
CHANNEL = "channel s -> i port=0 kind=dense rates=1:1 tokens=0 bits=32"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: not a graph as text"),
        ("hello", "line 1: not a graph as text"),
        ("graphsim text 2\n", "line 1: text version 2; this graphsim reads version 1"),
        ("graphsim text 1 2\n", "line 1: nothing expected at column 16"),
        ("graphsim text 1\n", "line 2: there is no graph line"),
        (HEAD + "graph h\n", "line 3: a second graph"),
        (HEAD + "nonsense\n", "line 3: 'nonsense' is none of graph, note"),
        (HEAD + "note a=b\nnote a=c\n", "line 4: a second note 'a'"),
        (HEAD + 'note a="\\x"\n', "line 3: .* is not a JSON string"),
        (HEAD + "param w float32 [2] sha256=12\n", "line 3: expected 64 hexadecimal digits"),
        (HEAD + f"param w float32 [2,] sha256={'0' * 64}\n", "line 3: expected an extent"),
        (
            HEAD + f"param w float32 [{'9' * 30}] sha256={'0' * 64}\n",
            "line 3: expected an extent .an integer of at most",
        ),
        (HEAD + f"param w float32 [1.5] sha256={'0' * 64}\n", "line 3: expected an extent"),
        (HEAD + f"group s source []\nparam w float32 [2] sha256={'0' * 64}\n", "line 4: a param line after the group"),
        (HEAD + "group s source\n", "line 3: expected ' '"),
        (HEAD + "group s source [] colour=red\n", "line 3: a group has no 'colour'"),
        (HEAD + "group s source [] call=1 call=2\n", "line 3: a second value of 'call'"),
        (HEAD + "group s source [] activation=elu\n", r"line 3: expected '\(' at column 33"),
        (HEAD + "group s source [] activation=elu(one)\n", "line 3: expected a number"),
        (HEAD + "group s source [] bias=$b@\n", "line 3: expected the number of actors per element"),
        (HEAD + "group s source []\ngroup s source []\n", "line 4: a second group 's'"),
        (HEAD + "group s source [4611686018427387904,8]\n", "expected an extent"),
        (HEAD + "group s source [461168601842738790,99]\n", "more actors than 64 bits can number"),
        (GROUPS + CHANNEL.replace("s ->", "t ->"), "line 5: there is no group 't'"),
        (GROUPS + CHANNEL.replace("kind=dense", "kind=magic"), "line 5: no channel kind 'magic'; there are: dense"),
        (GROUPS + CHANNEL.replace("kind=dense", "kind=table"), "line 5: a table channel needs index"),
        (GROUPS + CHANNEL + " index=$x", "line 5: a dense channel has no 'index'"),
        (GROUPS + CHANNEL + " blocks=1 blocks=1", "line 5: a second value of 'blocks'"),
        (GROUPS + CHANNEL + " weight=w", r"line 5: expected '\$'"),
        (GROUPS + CHANNEL.replace(" tokens=0", ""), "line 5: expected ' tokens='"),
        (GROUPS + CHANNEL + " blocks=1 and more", "line 5: expected '='"),
    ],
)
def test_every_complaint_names_the_line(text: str, message: str) -> None:
    with pytest.raises(GraphError, match=message):
        parse(text)


def test_damaged_text_is_refused_or_read_but_never_breaks() -> None:
    rng, text = random.Random(0), dump(mlp(3, 2, 2))
    refused = 0
    for _ in range(2000):
        at, length = rng.randrange(len(text)), rng.choice([0, 1, 1, 2, 8])
        damaged = (
            text[:at] + "".join(rng.choices('abz019 $@"\\[](),:=->\n\x00é', k=rng.randrange(3))) + text[at + length :]
        )
        try:
            parse(damaged)
        except GraphError:
            refused += 1
    assert refused > 1000


def test_a_channel_without_weight_or_with_blocks_keeps_them() -> None:
    groups = [Group(name="a", op="source"), Group(name="b", op="linear", shape=(4,))]
    dense = Dense(src=0, dst=1, blocks=3, weight=Ref("w", 5), produce=2, consume=3, initial_tokens=4, token_bits=1)
    assert parse(dump(Graph("g", groups, [dense], {}))).channels == (dense,)
