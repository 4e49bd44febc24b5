"""Damaged files of Verilog, Yosys JSON, C and torchlogix: a circuit or a refusal that names the file, nothing else."""

from __future__ import annotations

import json
import resource
from collections import Counter
from pathlib import Path

import pytest
from fuzz_circuits import damaged, judge
from test_frontends_circuits_torchlogix import gate

from graphsim.frontends.circuits import c_code, c_out, rtl, torchlogix, verilog_out, yosys
from graphsim.frontends.circuits.verilog import reader as verilog
from graphsim.graph.circuit import Circuit

VERILOG = r"""// a counter and what is around it
`timescale 1ns / 1ps
module half(input a, b, output s, c);
  xor #1 g1 (s, a, b); and g2(c, a, b);
endmodule
module dff (CK,Q,D);
  input CK, D; output Q; reg Q = 1'b1;
  always @ (posedge CK) Q <= D;
endmodule
module top(clk, rst, \in[0] , v, y, z);
  input clk, rst, \in[0] ; input [3:0] v; output [3:0] y; output z;
  wire [3:0] n, c; reg [3:0] q; wire w = ~|v[2:1];
  half h0(.a(q[0]), .b(1'b1), .s(n[0]), .c(c[0])), h1(q[1], c[0], n[1], c[1]);
  half h2(q[2], c[1], n[2], c[2]); half h3(q[3], c[2], n[3], );
  always @(posedge clk or posedge rst)
    if (rst) q <= 4'h5; else begin if (v[0]) q[3:2] <= {n[2], n[3]}; q[1:0] <= n[1:0]; end
  assign y = (q ^ v) | {4{w}} & 4'b1x01, z = v == q ? 8'hca >> {q[1:0], \in[0] } : &{v, w};
  dff d(clk, unused, w); \$_DFFE_PP_ e(.C(clk), .D(w), .E(z), .Q());
endmodule
"""
C = """#include <stdint.h>
/* two functions */
typedef uint64_t cell;
static cell maj(cell a, cell b, const cell c) { cell x = a & b; return x | (a & c) | (b & c); }
static void part0(const cell *in, cell *w) { const cell n1 = in[0] ^ ~in[1]; w[0] = n1; w[1] = maj(n1, in[2], in[3]); }
void top(const cell in[4], cell *out) {
    cell w[2], t = 0x1f;
    (void)in;
    part0(in, w);
    t &= w[0]; out[0] = t ^ w[1]; out[1] = (cell)0 | ~(t & (w[1] ^ -1));
}
"""
LEARNT = {
    "n_inputs": 4,
    "input_shape": [4],
    "gates": [gate(4, "AND", 0, 1), gate(5, "XOR", 4, 2), gate(6, "NOT_B", 5, 3), gate(7, "CONST_TRUE")],
    "output_ids": [4, 5, 6, 7],
    "sum_reductions": [{"input_ids": [4, 5, 6], "tau": 2.0, "beta": 0.0}, {"input_ids": [7, 0], "tau": 2.0}],
}
CELLS = {
    "modules": {
        "part": {
            "ports": {"a": {"direction": "input", "bits": [2]}, "y": {"direction": "output", "bits": [3]}},
            "cells": {"n": {"type": "$_NOT_", "connections": {"A": [2], "Y": [3]}}},
        },
        "top": {
            "attributes": {"top": "00000000000000000000000000000001"},
            "ports": {
                "clk": {"direction": "input", "bits": [2]},
                "d": {"direction": "input", "bits": [3, 4, 5]},
                "y": {"direction": "output", "bits": [6, 7, "0", "x"]},
            },
            "cells": {
                "ff": {"type": "$_DFFE_PN0P_", "connections": {"C": [2], "R": [3], "E": [4], "D": [8], "Q": [6]}},
                "lut": {
                    "type": "$lut",
                    "parameters": {"LUT": "10010110", "WIDTH": 3},
                    "connections": {"A": [3, 4, 5], "Y": [8]},
                },
                "mux": {"type": "$_MUX_", "connections": {"A": [8], "B": [9], "S": [5], "Y": [7]}},
                "u": {"type": "part", "connections": {"a": [6], "y": [9]}},
            },
            "netnames": {"q": {"bits": [6], "attributes": {"init": "1"}}, "n": {"hide_name": 1, "bits": [8, 9]}},
        },
    }
}
#: Words that mean something in a language.
WORDS = {
    "v": (
        b"module endmodule input [3:0] assign ~ ( ) { } begin end ; posedge always 999999999999 1'b1 \\ `define ? if , "
        b"inout parameter \x00 \xff /* \" 4'b q clk half [99999999:0] #( .a( v[ >> + = <= $_AND_ {9{ 99999'h1"
    ).split(b" "),
    "c": (
        b"cell ( ) { } ; & ~ [ ] 99999999999 in w * if return /* \" ' \x00 \xff #define static = part0(in,w); "
        b"top(in,out); 0x 1.5f in[9999999] bool struct typedef -"
    ).split(b" "),
    "json": (
        b'{ } [ ] , " -1 1e999 null true 99999999999999999999 "x" [], {} \\ \x00 \xff "$_AND_", "part", '
        b'"top": "$add" NaN 2 3, 0.5'
    ).split(b" "),
}


def example(kind: str, tmp_path: Path) -> list[bytes]:
    """Good files of a format."""
    base = tmp_path / "base.json"
    base.write_text(json.dumps(CELLS, indent=1), encoding="utf-8")
    circuit: Circuit = yosys.read(base)
    learnt = tmp_path / "learnt.json"
    learnt.write_text(json.dumps(LEARNT), encoding="utf-8")
    return {
        "verilog": [VERILOG.encode(), verilog_out.write(circuit, ".v")],
        "yosys": [base.read_bytes(), json.dumps(CELLS).encode()],
        "c": [C.encode(), c_out.write(torchlogix.read(learnt), ".c")],
        "torchlogix": [json.dumps(LEARNT, indent=1).encode()],
    }[kind]


READERS = {
    "verilog": (verilog.read, "v"),
    "yosys": (yosys.read, "json"),
    "c": (c_code.read, "c"),
    "torchlogix": (torchlogix.read, "json"),
}


@pytest.mark.parametrize(("kind", "count"), [("verilog", 900), ("yosys", 600), ("c", 700), ("torchlogix", 300)])
def test_damaged_files_are_circuits_or_refused(
    tmp_path: Path, kind: str, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Yosys is a program of its own, and slow to start.
    monkeypatch.setattr(rtl, "available", lambda: False)
    reader, suffix = READERS[kind]
    path = tmp_path / f"x.{suffix}"
    examples = example(kind, tmp_path)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = Counter(
        judge(path, damaged(examples[seed % len(examples)], seed, WORDS[suffix]), reader) for seed in range(count)
    )
    assert set(found) == {"read", "refused"}
    # In KiB: the stack for deep nesting is addresses, not memory.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000


def test_the_good_files_are_read(tmp_path: Path) -> None:
    for kind, (reader, suffix) in READERS.items():
        path = tmp_path / f"x.{suffix}"
        path.write_bytes(example(kind, tmp_path)[0])
        assert reader(path).gate_count
