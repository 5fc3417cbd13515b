"""Yosys as a quiet, repeatable function, and what it says to input it refuses."""

from __future__ import annotations

import gzip
import importlib.util
from pathlib import Path

import pytest

import hwsim.rtl.session as session_module
from hwsim.rtl.models import CellModel, FlipFlop
from hwsim.rtl.yosys import CmosGates, Liberty, YosysError, elaborate, synthesise
from tests.hwsim.rtl.designs import CLEARED_MAC, mac, multiplier, needs_yosys

CELL = (
    '    cell ({name}) {{ area : {area}; {pins} pin (Y) {{ direction : output; function : "{function}"; {arcs} }} }}\n'
)
PIN = "pin ({pin}) {{ direction : input; capacitance : 1.0; }}"
ARC = (
    'timing () {{ related_pin : "{pin}"; timing_sense : {sense}; '
    + " ".join(
        f'{table} (t) {{{{ values ("0.01, 0.02", "0.02, 0.03"); }}}}'
        for table in ("cell_rise", "cell_fall", "rise_transition", "fall_transition")
    )
    + " }}"
)
FLIP_FLOP = """    cell (FF) { area : 6; ff (IQ, IQN) { clocked_on : "CK"; next_state : "D"; }
      pin (CK) { direction : input; capacitance : 1.0; clock : true; } pin (D) { direction : input; capacitance : 1.0; }
      pin (Q) { direction : output; function : "IQ"; } }
"""
HEAD = """library (tiny) {
  time_unit : "1ns"; capacitive_load_unit (1, ff); voltage_unit : "1V";
  lu_table_template (t) { variable_1 : input_net_transition; variable_2 : total_output_net_capacitance;
    index_1 ("0.01, 0.1"); index_2 ("1.0, 10.0"); }
"""


def gate(name: str, area: int, pins: str, function: str) -> str:
    return CELL.format(
        name=name,
        area=area,
        pins=" ".join(PIN.format(pin=pin) for pin in pins),
        function=function,
        arcs=" ".join(ARC.format(pin=pin, sense="negative_unate") for pin in pins),
    )


GATES = (
    gate("INV", 1, "A", "!A")
    + gate("BUF", 2, "A", "A")
    + gate("NAND", 2, "AB", "!(A & B)")
    + gate("NOR", 2, "AB", "!(A | B)")
)
LIBRARY = HEAD + GATES + FLIP_FLOP + "}\n"
MODELS = {
    "INV": CellModel(outputs={"Y": "!A"}),
    "BUF": CellModel(outputs={"Y": "A"}),
    "NAND": CellModel(outputs={"Y": "!(A & B)"}),
    "NOR": CellModel(outputs={"Y": "!(A | B)"}),
    "FF": CellModel(outputs={"Q": "IQ"}, flip_flop=FlipFlop(clocked_on="CK", next_state="D")),
}


def library(folder: Path, text: str = LIBRARY, name: str = "tiny.lib", **changes: object) -> Liberty:
    path = folder / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return Liberty(path, **{"period_ps": 100, "driving_cell": "INV", "load_ff": 1.0} | changes)  # type: ignore[arg-type]


pytestmark = needs_yosys


def test_statistics_of_cmos_gates(capfd: pytest.CaptureFixture[str]) -> None:
    synthesis = synthesise(mac(4, 4, 12), "mac", CmosGates())
    histogram = synthesis.netlist.histogram()
    # Transistors of static CMOS gates, by counting: 2 an input, and 2 more for an inverter that a gate contains.
    price = {"$_NOT_": 2, "$_NAND_": 4, "$_NOR_": 4, "$_AOI3_": 6, "$_OAI3_": 6, "$_AOI4_": 8, "$_OAI4_": 8,
             "$_NMUX_": 10, "$_MUX_": 12, "$_XOR_": 12, "$_XNOR_": 12, "$_DFF_P_": 0}  # fmt: skip
    transistors = sum(price[kind] * count for kind, count in histogram.items())
    assert synthesis.statistics == {
        "transistors": transistors,
        "gate_equivalents": transistors / 4,
        "cells": len(synthesis.netlist.cells),
        "flip_flops": 12,
    }
    assert synthesis.yosys_version[0].isdigit()
    assert "acc[11]" in {cell.name for cell in synthesis.netlist.cells}
    assert capfd.readouterr() == ("", "")


def test_a_netlist_does_not_depend_on_what_came_before() -> None:
    first = synthesise(mac(4, 4, 12), "mac", CmosGates())
    synthesise(multiplier(5, 3), "mul", CmosGates())
    again = synthesise(mac(4, 4, 12), "mac", CmosGates())
    assert (again.netlist, again.script_digest) == (first.netlist, first.script_digest)
    assert again.log_digest == first.log_digest


def test_booth_can_be_left_out() -> None:
    booth, plain = (synthesise(multiplier(), "mul", CmosGates(), booth=use) for use in (True, False))
    assert booth.statistics["gate_equivalents"] < plain.statistics["gate_equivalents"]
    assert booth.script_digest != plain.script_digest


def test_elaboration_keeps_names() -> None:
    plain = elaborate(CLEARED_MAC, "mac")
    assert {name: len(nets) for name, nets in plain.signals.items()} == {
        "a": 4, "acc": 12, "b": 4, "clear": 1, "clk": 1, "hold": 1, "p": 8,
    }  # fmt: skip
    registers = {cell.name: cell.pins["Q"][0] for cell in plain.netlist.cells if "DFF" in cell.kind}
    assert registers == {f"acc[{bit}]": net for bit, net in enumerate(plain.signals["acc"])}


@pytest.mark.parametrize("name", ["tiny.lib", "tiny.lib.gz"])
def test_library(tmp_path: Path, name: str) -> None:
    target = library(tmp_path, name=name)
    synthesis = synthesise(mac(4, 4, 12), "mac", target)
    histogram = synthesis.netlist.histogram()
    assert set(histogram) <= set(MODELS)
    area = sum({"INV": 1, "BUF": 2, "NAND": 2, "NOR": 2, "FF": 6}[kind] * count for kind, count in histogram.items())
    assert synthesis.statistics["area_um2"] == area
    assert synthesis.statistics["sequential_area_um2"] == 6 * 12
    assert synthesis.statistics["flip_flops"] == 12
    assert synthesis.statistics["abc_delay_ps"] > 0


def test_dont_use(tmp_path: Path) -> None:
    synthesis = synthesise(mac(4, 4, 12), "mac", library(tmp_path, dont_use=("NO*",)))
    assert set(synthesis.netlist.histogram()) <= {"INV", "BUF", "NAND", "FF"}


@pytest.mark.parametrize(
    ("verilog", "message"),
    [
        ("module x(input a; endmodule", "design.v:1: ERROR: syntax error"),
        ("module y(input a); endmodule", "yosys refused module 'x': ERROR: Module `x' not found"),
        ("module x(input a, output reg y); always @* if (a) y = 1; endmodule", "ERROR: Latch inferred for signal"),
        (
            "module x(input a, output y); assign y = a; assign y = 0; endmodule",
            "yosys warns of module 'x': Warning: Drivers conflicting",
        ),
        (
            "module x(input a, output y); assign y = b & a; endmodule",
            "warns of module 'x': design.v:1.*implicitly declared",
        ),
        ("module x(input a, output y); other u(a, y); endmodule", "ERROR: Module `.other' referenced in module `.x'"),
        (
            "module x(input c, r, d, output reg q); always @(posedge c or posedge r) if (r) q<=0; else q<=d; endmodule",
            "synchronous resets only: leave the reset out of the sensitivity list",
        ),
    ],
)
def test_verilog_that_yosys_refuses(verilog: str, message: str) -> None:
    with pytest.raises(YosysError, match=message) as raised:
        synthesise(verilog, "x", CmosGates())
    assert "\n" not in str(raised.value)
    assert synthesise(multiplier(2, 2), "mul", CmosGates()).statistics["cells"] > 0  # and the session goes on


@pytest.mark.parametrize(
    ("text", "changes", "message"),
    [
        ("hello", {}, r"tiny.lib is no liberty file with cells: it needs a library \(...\) group"),
        (LIBRARY[:-400], {}, "with library .*tiny.lib: ERROR: Syntax error in liberty file"),
        (LIBRARY, {"driving_cell": "DRV"}, "driving_cell 'DRV' is not in .*tiny.lib; near it are"),
        (HEAD + GATES + "}\n", {}, "tiny.lib has no usable flip-flop; give a library with rising-edge D flip-flops"),
        (LIBRARY, {"dont_use": ("FF",)}, "no usable flip-flop; .* or fewer dont_use"),
        (HEAD + gate("NOR", 2, "AB", "!(A | B)") + FLIP_FLOP + "}", {"driving_cell": "NOR"}, "ABC: Error: "),
    ],
)
def test_libraries_that_do_not_serve(tmp_path: Path, text: str, changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message) as raised:
        synthesise(mac(2, 2, 5), "mac", library(tmp_path, text, **changes))
    assert "\n" not in str(raised.value)


def test_a_library_that_is_not_there_or_does_not_decompress(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"there is no liberty file .*none.lib; give the path"):
        synthesise(mac(), "mac", Liberty(tmp_path / "none.lib", 100, "INV", 1.0))
    (tmp_path / "cut.lib.gz").write_bytes(gzip.compress(LIBRARY.encode())[:-20])
    with pytest.raises(ValueError, match=r"cut.lib.gz does not decompress .*; fetch it again"):
        synthesise(mac(), "mac", Liberty(tmp_path / "cut.lib.gz", 100, "INV", 1.0))


def test_a_limit_of_time() -> None:
    with pytest.raises(TimeoutError, match="did not finish module 'mul' in 1 s"):
        synthesise(multiplier(64, 64), "mul", CmosGates(), seconds=1)


def test_without_pyosys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    session_module.session.cache_clear()
    with pytest.raises(ImportError, match=r"pip install bitcost\[rtl\]"):
        synthesise(mac(), "mac", CmosGates())
