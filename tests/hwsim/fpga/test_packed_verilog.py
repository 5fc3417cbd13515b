"""Packing schemes as Verilog: every operand through gates, beside the slice's model; LUTs beside the published ones."""

from __future__ import annotations

import importlib.util
from itertools import islice

import numpy as np
import pytest

from hwsim.fpga.packed_verilog import module_name, packed_verilog
from hwsim.fpga.packing import multiply
from hwsim.fpga.packing_errors import every_operand
from hwsim.fpga.schemes import PACKINGS
from hwsim.fpga.synthesis import synth_xilinx
from hwsim.published import dsp_packing
from hwsim.rtl.gates import GateSimulator
from hwsim.rtl.netlist import Netlist
from hwsim.rtl.yosys import elaborate

pytestmark = pytest.mark.skipif(importlib.util.find_spec("pyosys") is None, reason="needs pip install bitcost[rtl]")

# What the instance's configuration computes, for the simulator of gates; every parameter and pin it sets is here.
STAND_IN = """
module DSP48E2 #(parameter AREG = 1, BREG = 1, CREG = 1, DREG = 1, ADREG = 1, MREG = 1, PREG = 1, OPMODEREG = 1,
  CARRYINSELREG = 1, ALUMODEREG = 1, INMODEREG = 1, CARRYINREG = 1, ACASCREG = 1, BCASCREG = 1, AMULTSEL = "A",
  BMULTSEL = "B", PREADDINSEL = "A", A_INPUT = "DIRECT", B_INPUT = "DIRECT", USE_MULT = "MULTIPLY", USE_SIMD = "ONE48",
  SEL_MASK = "MASK", SEL_PATTERN = "PATTERN", USE_PATTERN_DETECT = "NO_PATDET", PATTERN = 0, MASK = 0, RND = 0)
 (input signed [29:0] A, input signed [17:0] B, input [47:0] C, input signed [26:0] D, output [47:0] P,
  input [8:0] OPMODE, input [4:0] INMODE, input [3:0] ALUMODE, input [2:0] CARRYINSEL, input CARRYIN, input CLK);
  wire signed [26:0] sum = A[26:0] + D;
  wire signed [47:0] product = sum * B;
  assign P = product + C;
endmodule
"""


def differs(name: str, pieces: int | None = None) -> bool:
    """Whether the Verilog and the model of the slice differ on any operands of the first pieces of 65,536."""
    scheme = PACKINGS[name]
    netlist = elaborate(packed_verilog(scheme) + STAND_IN, module_name(scheme)).netlist
    cells = tuple(cell for cell in netlist.cells if cell.kind != "$scopeinfo")  # a note of yosys', no gate
    simulator = GateSimulator(Netlist(netlist.name, netlist.inputs, netlist.outputs, cells))
    signed = [f"r{k}" for k, product in enumerate(scheme.products) if product.signed]
    for wide, narrow in islice(every_operand(scheme), pieces):
        given = {f"w{i}": wide[:, i] for i in range(wide.shape[1])}
        found = simulator.evaluate(given | {f"a{j}": narrow[:, j] for j in range(narrow.shape[1])}, signed=signed)
        ours = np.stack([found[f"r{k}"] for k in range(len(scheme.products))], -1)
        if not np.array_equal(ours, multiply(scheme, wide, narrow)):
            return True
    return False


@pytest.mark.parametrize("name", [n for n in PACKINGS if "int8" not in n and not n.endswith("6")])
def test_verilog_is_the_model(name: str) -> None:
    """All 65,536 combinations of four INT4 (two of three and four bits likewise)."""
    assert not differs(name)


@pytest.mark.parametrize("name", ["int8x2", "intn_6", "restored-2_6", "restored-2_int6"])
def test_verilog_is_the_model_in_part(name: str) -> None:
    """Of the millions of combinations of the larger schemes the first 131,072."""
    assert not differs(name, 2)


def test_wrong_verilog_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    right = packed_verilog(PACKINGS["int4x4_full"])
    for old, new in (("p[10]", "p[6]"), ("{22{w1[3]}}", "{22{1'b0}}"), (" + {7'd0, p[21]}", "")):
        assert old in right
        wrong = right.replace(old, new)
        monkeypatch.setitem(globals(), "packed_verilog", lambda scheme, text=wrong: text)
        assert differs("int4x4_full"), old


@pytest.mark.slow
def test_luts_of_the_corrections() -> None:
    """Ours by yosys, combinational, never above the published 27, 4, 6 and 17.

    A carry block's four positions take a LUT each on a device even where yosys leaves it to pass a wire through: the
    full correction's three and its six blocks are the 27 published.
    """
    schemes = [PACKINGS[row.name] for row in dsp_packing.TABLE]
    ours = {scheme.name: synth_xilinx(packed_verilog(scheme), module_name(scheme)) for scheme in schemes}
    assert all(found.dsps == 1 and found.flip_flops == 0 for found in ours.values())
    corrected = {name: (found.luts, found.carries) for name, found in ours.items() if found.luts}
    expected = {"int4x4_full": (3, 6), "restored-1": (3, 0), "restored-2": (6, 0), "restored-3": (15, 3)}
    assert corrected == expected
    for row in dsp_packing.TABLE:
        assert ours[row.name].luts <= row.luts
