"""Others' Verilog beside ours: hand-written units whose function, differences and curves are known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import formats as nf
from formats.exact import Special
from hwsim.characterise.compare import Foreign, Point, area_at, compare, differences, main, ratios, wrapped
from hwsim.characterise.counterparts import names, unit
from hwsim.circuit import evaluate
from hwsim.rtl.writer import verilog
from hwsim.rtl.yosys import CmosGates, Liberty, YosysError, synthesise
from tests.hwsim.liberty.tiny import TEXT
from tests.hwsim.rtl.designs import needs_yosys

pytestmark = needs_yosys

OPEN_RTL = Path(__file__).parents[2] / "studies" / "results" / "pe_cost" / "open_rtl.json"
MULTIPLY_ADD = """
module mac #(parameter W = 8, parameter S = 0) (input clk, input [W-1:0] x, y, input [15:0] t, output [15:0] z,
                                                output spare);
  wire signed [15:0] p = $signed(x) * $signed(y);
  wire [15:0] q = x * y;
  assign z = t + (S ? {{16{p[15]}}, p} : {16'b0, q});
  assign spare = ^z;
endmodule
"""
PIPELINE = """
module mac (input clk, input rst_n, input go, input signed [7:0] x, y, input [31:0] t, output reg [31:0] z);
  reg signed [15:0] p; reg [31:0] held;
  always @(posedge clk or negedge rst_n) if (!rst_n) p <= 0; else if (go) p <= x * y;
  always @(posedge clk) held <= t;
  always @(posedge clk) if (!rst_n) z <= 0; else z <= held + {{16{p[15]}}, p};
endmodule
"""
# e5m2 to e4m3fn, subnormals made zero.
FLUSHING = """
module narrow (input [7:0] c, output [7:0] z);
  wire [5:0] field = c[6:2] - 6'd8;
  wire nan = &c[6:2] & |c[1:0];
  wire over = !field[5] & field[4];
  wire normal = !field[5] & |field;
  assign z = nan ? 8'h7f : {c[7], over ? 7'h7f : normal ? {field[3:0], c[1:0], 1'b0} : 7'h0};
endmodule
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("library") / "tiny.lib"
    path.write_text(TEXT, encoding="utf-8")
    return str(path)


def _file(folder: Path, text: str, name: str = "theirs.v") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def _how(library: str) -> Liberty:
    return Liberty(library, 1000, "BUF", 1.0)


@pytest.mark.parametrize("name", [name for name in names() if not name.startswith(("dot16", "dot32"))])
def test_our_units_are_what_the_formats_say(name: str) -> None:
    what = unit(name)
    drawn = what.vectors(200, seed=3)
    module = what.build()
    (found,) = evaluate(module, {port: np.array(codes, dtype=object) for port, codes in drawn.items()}).values()
    assert differences(what, drawn, [int(code) for code in found]) == {}
    wrong = [int(code) ^ 1 for code in found]
    assert sum(differences(what, drawn, wrong).values()) == len(wrong)
    if isinstance(what.result, nf.Minifloat) and what.result.has_nan and len(what.ports) > 1:
        results = {what.result.value(int(code)) for code in found}
        assert Special.NAN in results
        assert len(results) > 30


@pytest.mark.parametrize("name", ["add_e3m2fn", "add_e2m3fn", "multiply_e3m2fn", "multiply_e3m2fn_e2m3fn_e4m3fn"])
def test_narrow_units_for_every_pair(name: str) -> None:
    what = unit(name)
    drawn = what.vectors(4096)
    (found,) = evaluate(what.build(), {port: np.array(codes) for port, codes in drawn.items()}).values()
    assert len(found) == 4096
    assert differences(what, drawn, [int(code) for code in found]) == {}


def test_a_unit_that_widens_has_verilog() -> None:
    """Nothing is rounded there: no leaf of zero width."""
    module = unit("convert_e2m1fn_bfloat16").build()
    assert synthesise(verilog(module), module.name, CmosGates()).statistics["cells"] > 0


def test_the_same_function_in_other_words(tmp_path: Path, library: str) -> None:
    foreign = Foreign(
        files=(_file(tmp_path, MULTIPLY_ADD.replace("15:0", "31:0")),), top="mac", parameters={"S": "1"},
        connect={"a": "x", "b": "y", "c": "t", "sum": "z"}, tie={"clk": "1'b0"},
    )  # fmt: skip
    found = compare(foreign, "multiply_add_int8_int8_int32", library, _how(library), points=2, vectors=500)
    assert found["differences"] == {}
    assert 0.9 < found["ratio_worst"] < 1.1
    assert {len(found[side]) for side in ("ours", "theirs")} == {2}
    unsigned = Foreign(files=foreign.files, top="mac", connect=foreign.connect, tie=foreign.tie)
    assert compare(unsigned, found["unit"], library, _how(library), points=2, vectors=500)["differences"][
        "another integer"
    ] > 200  # fmt: skip


def test_registers_become_wires(tmp_path: Path, library: str) -> None:
    foreign = Foreign(
        files=(_file(tmp_path, PIPELINE),), top="mac", strip=True,
        connect={"a": "x", "b": "y", "c": "t", "sum": "z"}, tie={"clk": "1'b0", "rst_n": "1'b1", "go": "1'b1"},
    )  # fmt: skip
    found = compare(foreign, "multiply_add_int8_int8_int32", library, _how(library), points=2, vectors=500)
    assert found["differences"] == {}


def test_what_is_special_about_differences(tmp_path: Path, library: str) -> None:
    """Above half of e4m3fn's least value, 2**-10, and below its least normal one, 2**-6, e5m2 has 3 + 3 * 4 values."""
    foreign = Foreign(files=(_file(tmp_path, FLUSHING),), top="narrow", connect={"code": "c", "converted": "z"})
    found = compare(foreign, "convert_e5m2_e4m3fn", library, _how(library), points=2)
    assert (found["vectors"], found["differences"]) == (256, {"subnormal": 30})
    text = FLUSHING.replace("nan ? 8'h7f", "nan ? 8'hff")
    other = Foreign(files=(_file(tmp_path, text),), top="narrow", connect=foreign.connect)
    found = compare(other, found["unit"], library, _how(library), points=2)
    assert found["differences"] == {"another code of NaN": 6, "subnormal": 30}


def test_areas_at_equal_delay() -> None:
    """Two curves of three points; a point above the line of others does not count."""
    ours = [Point(1, 20.0, 100.0), Point(2, 10.0, 200.0), Point(3, 30.0, 150.0)]
    theirs = [Point(1, 40.0, 50.0), Point(2, 10.0, 150.0)]
    assert area_at(ours, 99.9) is None
    assert [area_at(ours, delay) for delay in (100.0, 150.0, 200.0, 999.0)] == [20.0, 15.0, 10.0, 10.0]
    found = ratios(ours, theirs)
    assert [(row["delay_ps"], row["ratio"]) for row in found] == [(100.0, 20 / 25), (150.0, 1.5), (200.0, 1.0)]


def test_the_command_prints_both(tmp_path: Path, library: str, capsys: pytest.CaptureFixture[str]) -> None:
    how = ["--verilog", str(_file(tmp_path, FLUSHING)), "--top", "narrow", "--unit", "convert_e5m2_e4m3fn",
           "--liberty", library, "--driving-cell", "BUF", "--load-ff", "1", "--points", "2",
           "--connect", "code=c", "--connect", "converted=z"]  # fmt: skip
    assert main(how) == 0
    text = capsys.readouterr().out
    assert "30 subnormal" in text
    assert " ps, x " in text or " um2, x " in text
    assert main([*how, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["vectors"] == 256


def test_bad_input_says_what_to_do(tmp_path: Path, library: str, capsys: pytest.CaptureFixture[str]) -> None:
    file = _file(tmp_path, MULTIPLY_ADD)
    with pytest.raises(ValueError, match=r"no unit is called add_flaot16: .*near names: float16"):
        unit("add_flaot16")
    with pytest.raises(ValueError, match="no unit is called divide_float16; near it are"):
        unit("divide_float16")
    with pytest.raises(ValueError, match=r"there is no file .*absent\.v"):
        Foreign(files=(tmp_path / "absent.v",), top="mac")
    (tmp_path / "more").mkdir()
    with pytest.raises(ValueError, match=r"files of one name, theirs\.v"):
        Foreign(files=(file, _file(tmp_path / "more", MULTIPLY_ADD)), top="mac")
    module = unit("multiply_add_int8_int8_int32").build()
    connect = {"a": "x", "b": "y", "c": "t", "sum": "z"}
    with pytest.raises(ValueError, match="port t of mac is an input of 16 bits; our c is an input of 32"):
        wrapped(Foreign(files=(file,), top="mac", connect=connect, tie={"clk": "0"}), module)
    wide = _file(tmp_path, MULTIPLY_ADD.replace("15:0", "31:0"), "wide.v")
    with pytest.raises(ValueError, match="inputs clk of mac are open; --connect or --tie them"):
        wrapped(Foreign(files=(wide,), top="mac", connect=connect), module)
    with pytest.raises(ValueError, match="our unit has no port d; it has a, b, c, sum"):
        wrapped(Foreign(files=(wide,), top="mac", connect={**connect, "d": "x"}), module)
    with pytest.raises(YosysError, match="nothing"):
        wrapped(Foreign(files=(wide,), top="nothing", connect=connect), module)
    with pytest.raises(ValueError, match="library tiny is not one of"):
        compare(Foreign(files=(wide,), top="mac", connect=connect), "multiply_int8_int8", library)
    with pytest.raises(SystemExit):
        main(["--verilog", str(file), "--top", "mac", "--unit", "add_float16", "--liberty", library, "--tie", "clk"])
    assert "--tie clk: give NAME=VALUE" in capsys.readouterr().err


def test_the_kept_comparisons_follow_from_their_points() -> None:
    """At least four units of public RTL do what the reference says; ours is at most 1.1 times as large as theirs."""
    kept = json.loads(OPEN_RTL.read_text(encoding="utf-8"))
    small = 0
    for row in kept["rows"]:
        curves = [[Point(**point) for point in row[f"{side}_points"]] for side in ("ours", "theirs")]
        worst = max(found["ratio"] for found in ratios(*curves))
        assert worst == pytest.approx(row["ratio_at_equal_delay"]["worst"], abs=2e-4)
        assert row["same_function"] == (not row["differences"])
        small += row["same_function"] and worst <= 1.1
        assert set(unit(row["ours"]).ports) <= {"a", "b", "c", "code"}
        assert {"repository", "commit", "licence", "file", "function"} <= set(row)
    assert small == kept["within_1_1"] >= 4
