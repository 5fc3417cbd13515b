"""Small Verilog of our own for the tests of the tools, and integers to check it with."""

from __future__ import annotations

import importlib.util

import pytest

WITHOUT_YOSYS = "needs yosys: pip install bitcost[rtl]"
needs_yosys = pytest.mark.skipif(importlib.util.find_spec("pyosys") is None, reason=WITHOUT_YOSYS)


def skip_without_yosys() -> None:
    """Skip a test, or a module of tests. Not by importing pyosys: that changes how later libraries are loaded."""
    if importlib.util.find_spec("pyosys") is None:
        pytest.skip(WITHOUT_YOSYS, allow_module_level=True)


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


# A product of two E4M3 codes (NaN as a number) on a grid of 2**-18, two's complement, added to 46 bits.
KULISCH_MAC = """
module fixed (input [7:0] a, input [7:0] b, output signed [36:0] term);
    wire [3:0] m = {|a[6:3], a[2:0]};
    wire [3:0] n = {|b[6:3], b[2:0]};
    wire [3:0] d = a[6:3] - (|a[6:3]);
    wire [3:0] e = b[6:3] - (|b[6:3]);
    wire [4:0] shift = d + e;
    wire [35:0] magnitude = (m * n) << shift;
    wire negative = a[7] ^ b[7];
    assign term = negative ? -{1'b0, magnitude} : {1'b0, magnitude};
endmodule
module mac (input clk, input restart, input [7:0] a, input [7:0] b, output reg signed [45:0] acc);
    wire signed [36:0] term;
    fixed product (.a(a), .b(b), .term(term));
    wire signed [45:0] start = restart ? 46'sd0 : acc;
    always @(posedge clk) acc <= start + term;
endmodule
"""

# acc + a * b in a binary float of E exponent and M fraction bits; rounding toward zero, no subnormals, no specials.
FLOAT_MAC = """
module mac (input clk, input [7:0] a, input [7:0] b, output reg [{E}+{M}:0] acc);
    localparam E = {E}, M = {M}, W = M + 4;
    wire [7:0] p = {{|a[6:3], a[2:0]}} * {{|b[6:3], b[2:0]}};
    wire [E-1:0] pe = a[6:3] + b[6:3] + ((1 << (E - 1)) - 8);
    wire [W-1:0] x = {{2'b00, p, {{(W-10){{1'b0}}}}}};
    wire [W-1:0] y = {{2'b00, |acc[E+M-1:M], acc[M-1:0], 1'b0}};
    wire [E-1:0] ye = acc[E+M-1:M];
    wire first = pe > ye;
    wire [E-1:0] top = first ? pe : ye;
    wire [W-1:0] xs = first ? x : x >> (ye - pe);
    wire [W-1:0] ys = first ? y >> (pe - ye) : y;
    wire sx = a[7] ^ b[7], sy = acc[E+M];
    wire signed [W:0] sum = (sx ? -{{1'b0, xs}} : {{1'b0, xs}}) + (sy ? -{{1'b0, ys}} : {{1'b0, ys}});
    wire [W-1:0] size = sum[W] ? -sum : sum;
    reg [E-1:0] shift;
    integer i;
    always @* begin
        shift = W - 1;
        for (i = 0; i < W; i = i + 1) if (size[i]) shift = W - 1 - i;
    end
    wire [W-1:0] normal = size << shift;
    always @(posedge clk) acc <= {{sum[W], top + 1'b1 - shift + 1'b1, normal[W-2:W-M-1]}};
endmodule
"""
