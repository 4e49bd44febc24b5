"""AIGER, BLIF, .bench, PLA and CSV: what each construct means, and what is refused and how."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from circuits import evaluate
from hypothesis import given
from hypothesis import strategies as st

from graphsim.errors import CircuitError
from graphsim.frontends.circuits import read
from graphsim.frontends.circuits.cover import drive
from graphsim.frontends.circuits.netlist import Netlist
from graphsim.graph.circuit import Circuit


def circuit_of(tmp_path: Path, name: str, text: str | bytes, top: str | None = None) -> Circuit:
    data = text.encode() if isinstance(text, str) else text
    (tmp_path / name).write_bytes(data)
    return read(tmp_path / name, top)


def table(circuit: Circuit) -> list[str]:
    """The outputs for every input, the first input the fastest, as digits."""
    patterns = (bits[::-1] for bits in itertools.product((0, 1), repeat=circuit.input_count))
    return ["".join(map(str, evaluate(circuit, [bits])[0])) for bits in patterns]


def stream(circuit: Circuit, *cycles: str) -> str:
    """The first output, cycle by cycle."""
    return "".join(str(row[0]) for row in evaluate(circuit, [[int(bit) for bit in bits] for bits in cycles]))


def blif(body: str) -> str:
    return f".model m\n{body}\n.end\n"


# --- AIGER


def test_aiger_latches_start_as_the_file_says(tmp_path: Path) -> None:
    found = circuit_of(tmp_path, "x.aag", "aag 4 1 3 3 0\n2\n4 2\n6 4 1\n8 6 8\n4\n6\n8\nl1 q\n")
    assert found.register_names == ("l0", "q", "l2")
    assert found.initial.tolist() == [False, True, False]
    assert evaluate(found, [[1], [0], [0]]) == [[0, 1, 0], [1, 0, 1], [0, 1, 0]]
    assert found.notes["aiger.first_values"] == "1 latches have none; they start at 0"


def test_aiger_properties_are_noted(tmp_path: Path) -> None:
    found = circuit_of(
        tmp_path, "x.aag", "aag 2 2 0 1 0 1 1 1 1\n2\n4\n2\n4\n3\n2\n2\n4\n5\nb0 bad\nc0 fair\nj0 live\n"
    )
    assert found.output_names == ("o0",)
    assert {key for key in found.notes if key.startswith("aiger")} == {
        "aiger.bad-state",
        "aiger.constraints",
        "aiger.justice",
        "aiger.fairness",
    }


def test_aiger_outputs_may_be_constants_inputs_and_inverted(tmp_path: Path) -> None:
    found = circuit_of(tmp_path, "x.aag", "aag 2 1 0 5 1\n2\n0\n1\n2\n3\n5\n4 3 1\n")
    assert table(found) == ["01010", "01101"]


def test_binary_and_ascii_say_the_same(tmp_path: Path) -> None:
    ascii_file = circuit_of(tmp_path, "x.aag", "aag 5 2 0 1 3\n2\n4\n11\n6 5 2\n8 4 3\n10 9 7\n")
    # 10 = 9 & 7, 8 = 4 & 3, 6 = 5 & 2: deltas 1 2, 4 1, 1 3
    binary = circuit_of(tmp_path, "x.aig", b"aig 5 2 0 1 3\n11\n" + bytes([1, 3, 4, 1, 1, 2]) + b"i0 a\nc\nhello\n")
    assert table(ascii_file) == table(binary) == ["0", "1", "1", "0"]
    assert binary.input_names == ("a", "i1")
    assert binary.notes["aiger.comment"] == "hello"


def test_aiger_deltas_of_several_bytes(tmp_path: Path) -> None:
    # 602 = 300 & 3: deltas 302 and 297, the lowest seven bits first
    data = b"aig 301 300 0 1 1\n602\n" + bytes([0x80 | 302 & 127, 302 >> 7, 0x80 | 297 & 127, 297 >> 7])
    found = circuit_of(tmp_path, "x.aig", data)
    assert found.fanins(0) == (0, 149)
    assert int(found.truth[0]) == 0b0100


def test_aiger_names_that_are_there_twice_are_told_apart(tmp_path: Path) -> None:
    found = circuit_of(tmp_path, "x.aag", "aag 2 2 0 2 0\n2\n4\n2\n4\ni0 i1\no0 y\no1 y\n")
    assert found.input_names == ("i1", "i1_2")
    assert found.output_names == ("y", "y_2")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("aag 2000000000 0 0 0 2000000000\n", ":1: the header promises .* the file has 32 bytes"),
        ("aag 2000000000 2000000000 0 0 0\n", ":1: the header promises"),
        ("aag 2000000000 0 0 1 0\n1\n", None),
        ("aig 2000000000 2000000000 0 0 0\n", ":1: the header promises"),
        ("aag 1 1 0 0 0 2000000000\n2\n", ":1: the header promises"),
        ("aag 1 0 0 0 0 0 0 1\n2000000000\n", ":3: the file ends where the literal of a justice property"),
        ("aig 5 1 0 0 1\n", "variables go to 5; I . L . A are 2, and M is exactly that"),
        ("aag 1 1 1 0 0\n2\n4 2\n", "M is at least that"),
        ("aag 1 1 0 1\n", "is not a header"),
        ("aag -1 0 0 0 0\n", "is not a header"),
        ("", "the file ends where the header"),
        ("aag 1 1 0 1 0\n2\n", ":1: the header promises"),
        ("aag 1 1 0 1 0\n2\n\n\n", ":3: '' is not the literal of an output"),
        ("aag 1 1 0 1 0\n3\n2\n", ":2: literal 3 cannot be defined"),
        ("aag 2 1 0 1 1\n2\n2\n2 0 0\n", ":4: literal 2 is defined a second time"),
        ("aag 2 1 0 1 0\n2\n4\n", ":3: literal 4 is read by an output and defined nowhere"),
        ("aag 3 0 0 1 3\n2\n2 4 1\n4 6 1\n6 2 2\n", ":3: combinational loop: literals 2 <- 4 <- 6 <- 2"),
        ("aag 1 0 1 0 0\n2 2 4\n", ":2: latch 2 starts at 4"),
        ("aag 1 1 0 0 0\n2\ni1 x\n", ":3: symbol i1 names nothing: there are 1"),
        ("aag 1 1 0 0 0\n2\ni0 x\ni0 y\n", ":4: symbol i0 is there twice"),
        ("aag 1 1 0 0 0\n2\nwhat\n", ":3: 'what' is not a symbol"),
        ("aig 2 1 0 1 1\n4\n\x00\x00", "out of order"),
        ("aig 2 1 0 1 1\n4\n\x02", "damaged from number 1 of 1"),
    ],
)
def test_bad_aiger_is_refused(tmp_path: Path, text: str, message: str | None) -> None:
    if message is None:
        assert circuit_of(tmp_path, "x.aag", text).gate_count == 1
        return
    with pytest.raises(CircuitError, match=message):
        circuit_of(tmp_path, "x.aag", text)


# --- BLIF


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (".inputs a b\n.outputs y\n.names a b y\n1- 1\n-1 1", ["0", "1", "1", "1"]),
        (".inputs a b\n.outputs y\n.names a b y\n11 0", ["1", "1", "1", "0"]),
        (".inputs a b\n.outputs y # one\n.names a \\\nb y\n0- 0\n-0 0", ["0", "0", "0", "1"]),
        (".inputs a\n.outputs a y z o\n.names y\n.names z\n1\n.names o\n0", ["0010", "1010"]),
        (".inputs a\n.outputs y\n.names a y", ["0", "0"]),
        (".inputs a b\n.outputs y\n.names a a b y\n011 1\n101 1\n110 1", ["0", "1", "0", "0"]),
        (".names a y\n0 1", ["1", "0"]),
    ],
)
def test_blif_covers(tmp_path: Path, body: str, expected: list[str]) -> None:
    assert table(circuit_of(tmp_path, "x.blif", blif(body))) == expected


@given(
    st.integers(7, 9).flatmap(
        lambda k: st.tuples(st.lists(st.text("01-", min_size=k, max_size=k), max_size=12), st.booleans(), st.just(k))
    )
)
def test_wide_covers_say_what_their_rows_say(cover: tuple[list[str], bool, int]) -> None:
    rows, value, width = cover
    n = Netlist("x.blif", "x")
    nets = [n.net(f"i{i}") for i in range(width)]
    for net in nets:
        n.input(net)
    drive(n, n.net("y"), nets, rows, value)
    n.output("y", n.net("y"))
    circuit = n.circuit()
    for m in (*range(0, 1 << width, 37), (1 << width) - 1):
        bits = [m >> i & 1 for i in range(width)]
        matches = any(all(c == "-" or int(c) == bit for c, bit in zip(row, bits, strict=True)) for row in rows)
        assert evaluate(circuit, [bits])[0] == [int(matches == value) if rows else 0]


def test_blif_latches(tmp_path: Path) -> None:
    body = ".inputs d\n.outputs q r s t\n.latch d q 1\n.latch d r re NIL 0\n.latch d s 2\n.latch d t"
    found = circuit_of(tmp_path, "x.blif", blif(body))
    assert found.initial.tolist() == [True, False, False, False]
    assert found.notes["blif.first_values"] == "2 latches have none; they start at 0"
    assert stream(found, "0", "1", "0") == "101"


def test_a_clock_is_no_input(tmp_path: Path) -> None:
    body = ".inputs c d\n.outputs q\n.latch d q re c 0"
    assert circuit_of(tmp_path, "x.blif", blif(body)).input_names == ("d",)
    assert circuit_of(tmp_path, "x.blif", blif(f".clock c\n{body}".replace("c d", "d"))).input_names == ("d",)
    undeclared = circuit_of(tmp_path, "x.blif", blif(body.replace("c d", "d", 1)))
    assert undeclared.input_names == ("d",)
    assert undeclared.notes["blif.clock"] == "c is no port, and controls latches: it is the clock"
    assert "falling" in circuit_of(tmp_path, "x.blif", blif(body.replace("re", "fe"))).notes["clock"]
    level = circuit_of(tmp_path, "x.blif", blif(body.replace("re", "ah")))
    assert level.notes["blif.latches"] == "of type ah are registers of one clock"


HIERARCHY = """
.model top
.inputs a b c
.outputs s o
.subckt half x=a y=b s=t c=k
.subckt half y=c x=t s=s c=l
.names k l o
1- 1
-1 1
.end
.model half
.inputs x y
.outputs s c
.subckt xor a=x b=y y=s
.gate and2 A=x B=y O=c
.end
.model xor
.inputs a b
.outputs y
.names a b y
10 1
01 1
.end
.model and2
.inputs A B
.outputs O
.names A B O
11 1
.end
"""


def test_models_are_put_together(tmp_path: Path) -> None:
    found = circuit_of(tmp_path, "x.blif", HIERARCHY)
    assert found.name == "top"
    assert table(found) == ["00", "10", "10", "01", "10", "01", "01", "11"]
    assert found.gate_count == 5
    assert table(circuit_of(tmp_path, "x.blif", HIERARCHY, top="xor")) == ["0", "1", "1", "0"]
    with pytest.raises(CircuitError, match="has no model 'nor'; it has top, half, xor, and2"):
        circuit_of(tmp_path, "x.blif", HIERARCHY, top="nor")


def test_instances_have_registers_of_their_own(tmp_path: Path) -> None:
    text = (
        ".model t\n.inputs d\n.outputs y\n.subckt ff d=d q=m\n.subckt ff d=m q=y\n.end\n"
        ".model ff\n.inputs d\n.outputs q\n.latch d q 1\n.end\n"
    )
    found = circuit_of(tmp_path, "x.blif", text)
    assert found.register_names == ("m", "y")
    assert stream(found, "0", "0", "1", "1") == "1100"


def test_cells_of_yosys_are_instances_without_a_model(tmp_path: Path) -> None:
    """As Yosys writes flip-flops with enables and resets; ``-gates`` writes gates so, too."""
    text = (
        ".model t\n.inputs clk d e r\n.outputs q\n.subckt $_SDFFE_PP1P_ C=clk D=n E=e Q=q R=r\n"
        ".gate $_XOR_ A=d B=q Y=n\n.end\n"
    )
    found = circuit_of(tmp_path, "x.blif", text)
    assert found.input_names == ("d", "e", "r")
    assert stream(found, "110", "010", "110", "100", "001", "000") == "011001"
    assert found.notes["blif.first_values"].startswith("1 latches")
    with pytest.raises(CircuitError, match=r":4: cell '\$_SDFFE_PP1P_' has no pin 'X'"):
        circuit_of(tmp_path, "x.blif", text.replace("D=n", "X=n"))
    with pytest.raises(CircuitError, match=r":5: pin B of cell '\$_XOR__1', of type \$_XOR_, is not connected"):
        circuit_of(tmp_path, "x.blif", text.replace(" B=q", ""))


def test_gateinit_is_the_first_value_of_a_cell(tmp_path: Path) -> None:
    """As Yosys writes it (``write_blif -gatesi``), behind the cells."""
    text = (
        ".model t\n.inputs clk d e\n.outputs p q r\n"
        + "".join(f".subckt $_DFFE_PP_ C=clk D=d E=e Q={net}\n" for net in "pqr")
        + ".gateinit q=1\n.gateinit p=0\n.end\n"
    )
    found = circuit_of(tmp_path, "x.blif", text)
    assert dict(zip(found.register_names, found.initial.tolist(), strict=True)) == {"p": False, "q": True, "r": False}
    assert found.notes["blif.first_values"].startswith("1 latches")
    with pytest.raises(CircuitError, match=r":7: .gateinit 'q=x' is not net=0 or net=1"):
        circuit_of(tmp_path, "x.blif", text.replace("q=1", "q=x"))


def test_names_of_nets_that_were_optimised_away_are_left_out(tmp_path: Path) -> None:
    """As Yosys writes them: copies of nets that nothing drives, which nothing reads."""
    body = ".inputs a\n.outputs y\n.names a y\n1 1\n.names gone name\n1 1\n.names name other\n1 1"
    found = circuit_of(tmp_path, "x.blif", blif(body))
    assert (found.gate_count, table(found)) == (1, ["0", "1"])
    assert found.notes["netlist.names"] == "2 nets that are named, but neither driven nor read, are left out"
    for reader in (".names a other z\n11 1", ".latch other q 0", ".names other z\n0 1"):
        with pytest.raises(CircuitError, match=r":6: net 'gone' has no driver; 'name' reads it"):
            circuit_of(tmp_path, "x.blif", blif(f"{body}\n{reader}"))
    with pytest.raises(CircuitError, match="net 'gone' has no driver"):
        circuit_of(tmp_path, "x.blif", blif(body.replace("outputs y", "outputs y other")))


def test_models_may_be_as_deep_as_they_like(tmp_path: Path) -> None:
    deep = 20_000
    models = [f".model m{i}\n.inputs a\n.outputs y\n.subckt m{i + 1} a=a y=y\n.end\n" for i in range(deep)]
    models.append(f".model m{deep}\n.inputs a\n.outputs y\n.names a y\n0 1\n.end\n")
    assert table(circuit_of(tmp_path, "x.blif", "".join(models))) == ["1", "0"]


def test_models_that_double_sixty_times_are_refused(tmp_path: Path) -> None:
    models = [
        f".model m{i}\n.inputs a\n.outputs y\n.subckt m{i + 1} a=a y=b\n.subckt m{i + 1} a=b y=y\n" for i in range(60)
    ]
    with pytest.raises(CircuitError, match=r"has [0-9,]+ parts, put together; 1,048,576 can be"):
        circuit_of(tmp_path, "x.blif", "".join(models) + ".model m60\n.inputs a\n.outputs y\n.names a y\n1 1\n")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (".inputs a\n.outputs y\n.names a y\n11 1", ":5: row '11 1' of .names 'y' is not 1 of 0, 1 and -"),
        (".inputs a\n.outputs y\n.names a y\n2 1", ":5: row"),
        (".inputs a\n.outputs y\n.names a y\n1 1\n0 0", ":6: .names 'y' has rows for 1 and for 0"),
        (".outputs y\n1 1", ":3: '1 1' is not a statement"),
        (".inputs a\n.outputs y\n.gate nand2 a=a O=y", ":4: gate 'nand2' is not in this file; map it"),
        (".inputs a\n.outputs y\n.subckt other a=a", ":4: model 'other' is not in this file"),
        (".inputs a\n.outputs y\n.subckt m a=a y=y", ":4: model 'm' is within itself: m -> m"),
        (".inputs a\n.outputs y\n.mlatch x", ":4: .mlatch is a latch of a library"),
        (".inputs a\n.outputs y\n.search x.blif", ":4: .search refers to another file"),
        (".inputs a\n.outputs y\n.nonsense", ":4: '.nonsense' is no statement of BLIF"),
        (".inputs a\n.outputs y\n.latch a y zz c 0", ":4: .latch 'a y': does not read"),
        (".inputs a\n.outputs y\n.latch a y 7", ":4: .latch"),
        (
            ".inputs a c e\n.outputs y z\n.latch a y re c 0\n.latch a z re e 0",
            ":5: registers are clocked by 'c' and by",
        ),
        (".inputs a c\n.outputs y z\n.latch a y re c 0\n.latch a z fe c 0", "both edges of 'c'"),
        (".inputs a c\n.outputs y z\n.latch a y re c 0\n.names c a z\n11 1", "clock 'c' is read as data, by 'z'"),
        (".inputs a\n.outputs y", ":3: net 'y' has no driver"),
        (".inputs a\n.outputs y\n.names a y\n1 1\n.names a y\n0 1", ":6: net 'y' is driven a second time"),
        (".inputs a\n.outputs y\n.names y a b\n11 1\n.names b y\n1 1", ":6: combinational loop: y <- b <- y"),
        (".inputs a a\n.outputs a", ":2: net 'a' is driven a second time"),
        (".inputs a\n.outputs a a", ":3: output 'a' is there twice"),
    ],
)
def test_bad_blif_is_refused(tmp_path: Path, body: str, message: str) -> None:
    with pytest.raises(CircuitError, match=message):
        circuit_of(tmp_path, "x.blif", blif(body))


def test_instances_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    for wrong, message in (
        ("x=a y=b s=t q=k", ":5: model 'half' has no port 'q'; it has x, y, s, c"),
        ("x=a s=t c=k", ":5: input 'y' of an instance of 'half' is connected to nothing"),
        ("x=a x=b s=t c=k", ":5: 'x=b' of an instance of 'half' is there twice"),
        ("x y=b s=t c=k", ":5: 'x' of an instance of 'half' is not formal=actual"),
    ):
        with pytest.raises(CircuitError, match=message):
            circuit_of(tmp_path, "x.blif", HIERARCHY.replace("x=a y=b s=t c=k", wrong))
    with pytest.raises(CircuitError, match="model 'half' is within itself: half -> xor -> half"):
        circuit_of(tmp_path, "x.blif", HIERARCHY.replace(".names a b y", ".subckt half x=a y=b s=y\n.names a b q"))


# --- .bench


def test_bench_gates(tmp_path: Path) -> None:
    gates = {
        "AND": "0001", "nand": "1110", "OR": "0111", "NOR": "1000", "XOR": "0110", "XNOR": "1001"
    }  # fmt: skip
    for gate, expected in gates.items():
        found = circuit_of(tmp_path, "x.bench", f"INPUT(1GAT(0))\nINPUT([33])\nOUTPUT(y)\ny = {gate}(1GAT(0), [33])\n")
        assert found.input_names == ("1GAT(0)", "[33]")
        assert "".join(table(found)) == expected
    for gate, expected in {"NOT": "10", "INV": "10", "BUFF": "01", "BUF": "01", "XOR": "01", "NOR": "10"}.items():
        assert "".join(table(circuit_of(tmp_path, "x.bench", f"input(a)\noutput(y)\ny={gate} ( a )"))) == expected


def test_bench_constants_tables_and_registers(tmp_path: Path) -> None:
    text = "INPUT(a)\nINPUT(b)\nOUTPUT(y)\nOUTPUT(one)\nOUTPUT(q)\none = vdd\ny = LUT 0x2 ( a, b )\nq = DFF(y)\n"
    found = circuit_of(tmp_path, "x.bench", text)
    assert [row[:2] for row in evaluate(found, [[0, 0], [1, 0], [0, 1], [1, 1]])] == [[0, 1], [1, 1], [0, 1], [0, 1]]
    assert found.notes["bench.first_values"] == "the format has none; registers start at 0"
    wide = "".join(f"INPUT(i{i})\n" for i in range(7)) + "OUTPUT(y)\n"
    word = sum(1 << m for m in range(128) if m.bit_count() % 3 == 1)
    inputs = ", ".join(f"i{i}" for i in range(7))
    found = circuit_of(tmp_path, "x.bench", f"{wide}y = LUT {word:#x} ({inputs})\n")
    assert "".join(table(found)) == "".join(str(word >> m & 1) for m in range(128))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("y = MAJ(a, a, a)", ":3: there is no gate MAJ .net 'y'.; known: AND"),
        ("y = NOT(a, a)", ":3: NOT of net 'y' has 2 inputs; it takes 1"),
        ("y = AND(a, )", ":3: gate 'y' has an input without a name"),
        ("y = LUT 0x11 (a)", ":3: table of net 'y' does not fit its 1 inputs"),
        (f"y = LUT 0x{'f' * 100_000} (a)", "does not fit"),
        ("y = AND 0x1 (a)", "a table is written LUT 0x8"),
        ("y AND a", ":3: 'y AND a' is not INPUT"),
        ("y = AND(a, b)", ":3: net 'b' has no driver; 'y' reads it"),
        ("y = AND(a, y)", ":3: combinational loop: y <- y"),
        ("a = NOT(a)", ":3: net 'a' is driven a second time"),
    ],
)
def test_bad_bench_is_refused(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(CircuitError, match=message):
        circuit_of(tmp_path, "x.bench", f"INPUT(a)\nOUTPUT(y)\n{line}\n")


# --- PLA and CSV


@pytest.mark.parametrize("kind", ["f", "fd", "fr", "fdr"])
def test_pla_types(tmp_path: Path, kind: str) -> None:
    rows = "0- 1-\n10 01\n11 0~\n"
    found = circuit_of(tmp_path, "x.pla", f".i 2\n.o 2\n.ilb a b\n.ob y z\n.type {kind}\n.p 3\n{rows}.e\n")
    assert found.input_names == ("a", "b")
    assert table(found) == ["10", "01", "10", "00"]


def test_pla_without_names_spaces_or_rows(tmp_path: Path) -> None:
    found = circuit_of(tmp_path, "x.pla", ".i 2\n.o 1\n2|11\n")
    assert (found.input_names, found.output_names, table(found)) == (("i0", "i1"), ("o0",), ["0", "0", "1", "1"])
    assert table(circuit_of(tmp_path, "x.pla", ".i 1\n.o 1\n")) == ["0", "0"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (".i 1000000000\n.o 1\n", ":1: '.i 1000000000': a number of columns that the file has room for"),
        (".i 1\n.o 99999999999\n", ":2: '.o"),
        (".i 2\n.o 1\n111 11\n", ":3: row '111 11' is not 2 inputs"),
        ("11 1\n", ":1: '11 1' comes before .i and .o"),
        (".i 2\n", "has no .o: how many outputs"),
        (".i 2\n.o 1\n.ilb a\n", ":3: names 1 inputs; .i says 2"),
        (".i 1\n.o 2\n.ob y y\n", ":3: output 'y' is there twice"),
        (".i 2\n.o 1\n.mv 3\n", ":3: '.mv' is not known"),
        (".i 2\n.o 1\n.type xx\n", ":3: '.type xx': the types are f, fd, fr, fdr"),
        (".i 2\n.o 1\n.type fr\n1- 1\n-1 0\n", ":5: lines 4 and 5 say 1 and 0 of output 'o0'"),
        (".i 1\n.o 2\n.phase 10\n1 11\n", ":3: '.phase 10' turns outputs into their complements"),
        (".i 2\n.o 1\n.ilb a a\n", ":3: net 'a' is driven a second time"),
    ],
)
def test_bad_pla_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(CircuitError, match=message):
        circuit_of(tmp_path, "x.pla", text)


def test_a_mark_of_the_order_of_bytes_is_no_part_of_a_name(tmp_path: Path) -> None:
    """As spreadsheets write it."""
    assert circuit_of(tmp_path, "x.csv", "\ufeffa,y\n0,1\n1,0\n").input_names == ("a",)


def test_csv_tables(tmp_path: Path) -> None:
    whole = circuit_of(tmp_path, "x.csv", "a, b, sum, carry\n0,0,0,0\n1,0,1,0\n0,1,1,0\n1,1,0,1\n")
    assert (whole.input_names, whole.output_names) == (("a", "b"), ("sum", "carry"))
    assert table(whole) == ["00", "10", "10", "01"]
    assert whole.notes == {}
    parted = circuit_of(tmp_path, "x.csv", "a,b,->,y\n1,-,,1\n0,1,,x\n")
    assert table(parted) == ["0", "1", "0", "1"]
    assert parted.notes == {"table.unknown": "outputs are 0 where no row says what they are"}
    wide = circuit_of(tmp_path, "x.csv", f"{','.join(f'i{i}' for i in range(20))},,y\n{','.join('1' * 20)},,1\n")
    assert (wide.input_count, evaluate(wide, [[1] * 20, [1] * 19 + [0]])) == (20, [[1], [0]])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("a,y\n", ":1: cannot tell inputs from outputs"),
        ("a,b,y\n0,0,1\n1,1,1\n0,1,1\n", ":1: cannot tell inputs from outputs"),
        ("a,,y\n0,,1\n0,,0\n", ":3: lines 2 and 3 say 1 and 0 of output 'y'"),
        ("a,,y\n0,,2\n", ":2: '2' is not 0, 1, - or x"),
        ("a,,y\n0,1,1\n", ":2: the column without a name, between inputs and outputs, stays empty"),
        ("a,,y,\n", ":1: several columns have no name"),
        ("a,,y\n0,1\n", ":2: has 2 columns; the first line names 3"),
        ('a,"b\n', "is not CSV"),
    ],
)
def test_bad_csv_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(CircuitError, match=message):
        circuit_of(tmp_path, "x.csv", text)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.blif", ".model m\n.inputs a\x1b[31m\n.outputs y\n.names a\x1b[31m y\n1 1\n.end\n"),
        ("a.aag", "aag 1 1 0 1 0\n2\n2\ni0 a\x1b[31m\no0 y\n"),
    ],
)
def test_control_characters_in_names_become_codes(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert read(tmp_path / name).input_names == ("a\\x1b[31m",)
