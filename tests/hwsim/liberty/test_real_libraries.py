"""Real libraries, where BITCOST_LIBERTY names a folder of .lib or .lib.gz files; the package ships none."""

import importlib.util
import os
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from hwsim.liberty.cells import Library, read_library
from hwsim.liberty.energy import energy_per_cycle
from hwsim.liberty.models import functions
from hwsim.liberty.timing import Conditions, static_timing

FOLDER = os.environ.get("BITCOST_LIBERTY", "")
FILES = sorted(p for p in Path(FOLDER).glob("*") if p.name.endswith((".lib", ".lib.gz"))) if FOLDER else []
needs_yosys = pytest.mark.skipif(
    importlib.util.find_spec("pyosys") is None, reason="needs yosys: pip install bitcost[rtl]"
)
pytestmark = pytest.mark.skipif(not FILES, reason="set BITCOST_LIBERTY to a folder of Liberty files")

# What a reader of the files finds, by the sha256 of the decompressed file.
KNOWN = {
    "64301c8a4845": ("gt2_6t_nand2_x1_w31_lvt", 0.018144, 0.7, 72),
    "968b0cfdcefc": ("sg13g2_nand2_1", 7.2576, 1.2, 84),
    "e66aab4e0a3e": ("sky130_fd_sc_hd__nand2_1", 3.7536, 1.8, 428),
}
MAC = """module mac(input clk, input signed [7:0] a, input signed [7:0] b, output reg signed [31:0] acc);
wire signed [15:0] p = a * b; always @(posedge clk) acc <= acc + p; endmodule"""
UNWANTED = ("sky130_fd_sc_hd__probe*", "sky130_fd_sc_hd__lpflow*", "sg13g2_lgcp_1", "sg13g2_slgcp_1", "sg13g2_sighold")


@cache
def library_at(path: Path) -> Library:
    return read_library(path)


def each_file(function):  # type: ignore[no-untyped-def]
    return pytest.mark.parametrize("path", FILES or [Path()], ids=lambda p: p.name.split(".")[0])(function)


@each_file
def test_every_cell_converts(path: Path) -> None:
    library = library_at(path)
    if library.sha256[:12] in KNOWN:
        nand, area, voltage, cells = KNOWN[library.sha256[:12]]
        assert (library.nand2.name, library.voltage_v, len(library)) == (nand, voltage, cells)
        assert library.nand2.area_um2 == pytest.approx(area)
    assert library.flip_flops
    for kind in library:
        cell = library[kind]
        for pin in cell.pins.values():
            if pin.direction == "input" and not library.unusable(kind):
                assert 0.0 <= pin.capacitance_ff < 500.0, (kind, pin.name)
            for arc in pin.arcs:
                assert all(t is None or t.at(t.first[0], t.second[0]) < 1e5 for t in (*arc.delay, *arc.slew)), kind
    assert set(functions(library)) <= set(library)


@each_file
@needs_yosys
def test_an_int8_multiply_accumulate(path: Path) -> None:
    from hwsim.rtl.yosys import Liberty, synthesise

    library = library_at(path)
    buffers = [
        (cell.area_um2, kind)
        for kind, model in functions(library).items()
        if model.flip_flop is None
        and "lpflow" not in kind
        and len((cell := library[kind]).outputs) == 1
        and (f := cell.pins[cell.outputs[0]].function) is not None
        and (len(f.pins), f.table) == (1, 0b10)
    ]
    driver = min(buffers)[1]
    tight = {"64301c8a4845": 250.0, "968b0cfdcefc": 2500.0, "e66aab4e0a3e": 3000.0}.get(library.sha256[:12], 1000.0)
    target = Liberty(path=path, period_ps=tight, driving_cell=driver, load_ff=2.0, dont_use=UNWANTED)
    synthesis = synthesise(MAC, "mac", target)
    conditions = Conditions(driving_cell=driver, output_load_ff=2.0)
    timing = static_timing(synthesis.netlist, library, conditions)
    # abc merges the timing groups of a pin into one, starts registers as inputs and knows no setup: within 6 %.
    assert timing.delay_ps == pytest.approx(synthesis.statistics["abc_delay_ps"], rel=0.06)
    rng = np.random.default_rng(0)
    a, b = rng.integers(-128, 128, (2, 301))
    fast = energy_per_cycle(synthesis.netlist, library, {"a": a, "b": b}, conditions)
    still = energy_per_cycle(synthesis.netlist, library, {"a": a, "b": b}, conditions, timed=False)
    value = (fast.outputs["acc"].astype(np.int64) << np.arange(32)).sum(axis=1)
    assert (value == (np.concatenate([[0], np.cumsum(a[:-1] * b[:-1])]) & 0xFFFFFFFF)).all()
    assert (fast.outputs["acc"] == still.outputs["acc"]).all()
    assert 1.3 * still.total_fj < fast.total_fj < 4 * still.total_fj
    assert fast.leakage_nw > 0
