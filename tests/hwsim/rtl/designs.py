"""Small Verilog of our own for the tests of the tools, and integers to check it with."""

from __future__ import annotations

import importlib.util

import pytest

needs_yosys = pytest.mark.skipif(
    importlib.util.find_spec("pyosys") is None, reason="needs yosys: pip install bitcost[rtl]"
)

MAC = """
module mac (input clk, input signed [{a}-1:0] a, input signed [{b}-1:0] b, output reg signed [{acc}-1:0] acc);
    wire signed [{a}+{b}-1:0] p = a * b;
    always @(posedge clk) acc <= acc + p;
endmodule
"""

CLEARED_MAC = """
module mac (input clk, input clear, input hold,
            input signed [3:0] a, input signed [3:0] b, output reg signed [11:0] acc);
    wire signed [7:0] p = a * b;
    always @(posedge clk)
        if (clear) acc <= 0;
        else if (!hold) acc <= acc + p;
endmodule
"""

MULTIPLIER = """
module mul (input signed [{a}-1:0] a, input signed [{b}-1:0] b, output signed [{a}+{b}-1:0] p);
    assign p = a * b;
endmodule
"""

ADDER = """
module add (input [{n}-1:0] a, input [{n}-1:0] b, output [{n}:0] s);
    assign s = a + b;
endmodule
"""


def mac(a: int = 8, b: int = 8, acc: int = 32) -> str:
    return MAC.format(a=a, b=b, acc=acc)


def multiplier(a: int = 8, b: int = 8) -> str:
    return MULTIPLIER.format(a=a, b=b)


def adder(n: int = 32) -> str:
    return ADDER.format(n=n)
