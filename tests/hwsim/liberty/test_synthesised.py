"""Netlists that yosys maps to the tiny library: our timing against abc's, our simulation against the arithmetic."""

from pathlib import Path

import numpy as np
import pytest

from hwsim.liberty.cells import read_library
from hwsim.liberty.energy import energy_per_cycle
from hwsim.liberty.timing import Conditions, static_timing
from hwsim.rtl.yosys import Liberty, Synthesis, synthesise
from tests.hwsim.liberty import tiny
from tests.hwsim.rtl.designs import needs_yosys

pytestmark = needs_yosys

ADDER = "module adder(input [7:0] a, input [7:0] b, output [8:0] y); assign y = a + b; endmodule"
LOGIC = (
    "module logic_(input [5:0] a, input [5:0] b, output [5:0] y); assign y = (a & b) | (~a & {b[0], b[5:1]}); endmodule"
)
MAC = """module mac(input clk, input signed [3:0] a, input signed [3:0] b, output reg signed [11:0] acc);
wire signed [7:0] p = a * b; always @(posedge clk) acc <= acc + p; endmodule"""
# A library without XOR: abc keeps one timing group a pin, and XOR has two.
UNATE = tiny.PLAIN_TEXT.replace(tiny.XOR_PLAIN, "")


def mapped(tmp_path: Path, text: str, verilog: str, top: str) -> tuple[Path, Synthesis]:
    path = tmp_path / "tiny.lib"
    path.write_text(text, encoding="utf-8")
    target = Liberty(path=path, period_ps=100.0, driving_cell="BUF", load_ff=2.0, dont_use=("LATCH",))
    return path, synthesise(verilog, top, target)


@pytest.mark.parametrize(("verilog", "top"), [(ADDER, "adder"), (LOGIC, "logic_")])
def test_delay_is_that_of_abc_where_abc_sees_the_same_tables(tmp_path: Path, verilog: str, top: str) -> None:
    """Tables are planes, so interpolation cannot differ; abc computes in float32 and prints 0.01 ps: 0.02 %."""
    path, synthesis = mapped(tmp_path, UNATE, verilog, top)
    timing = static_timing(synthesis.netlist, read_library(path), Conditions(driving_cell="BUF", output_load_ff=2.0))
    assert timing.delay_ps == pytest.approx(synthesis.statistics["abc_delay_ps"], rel=2e-4)
    other = static_timing(synthesis.netlist, read_library(path), Conditions(driving_cell="BUF", output_load_ff=3.0))
    assert other.delay_ps != pytest.approx(synthesis.statistics["abc_delay_ps"], rel=2e-4)  # the check can fail


def test_a_mapped_multiply_accumulate_counts_and_costs(tmp_path: Path) -> None:
    path, synthesis = mapped(tmp_path, tiny.TEXT, MAC, "mac")
    library = read_library(path)
    rng = np.random.default_rng(0)
    a, b = rng.integers(-8, 8, (2, 200))
    found = energy_per_cycle(synthesis.netlist, library, {"a": a, "b": b}, Conditions(driving_cell="BUF"))
    value = (found.outputs["acc"].astype(np.int64) << np.arange(12)).sum(axis=1)
    expected = np.concatenate([[0], np.cumsum(a[:-1] * b[:-1])]) & 0xFFF
    assert (value == expected).all()
    still = energy_per_cycle(synthesis.netlist, library, {"a": a, "b": b}, Conditions(driving_cell="BUF"), timed=False)
    assert still.total_fj < found.total_fj  # glitches
    assert found.timing.groups.keys() >= {"register_to_register", "input_to_register"}
    assert library.nand2.name == "NAND"
