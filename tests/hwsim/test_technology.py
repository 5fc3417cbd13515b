"""Technologies: where their libraries come from, their rows, and the first measurement of the same functions."""

from __future__ import annotations

import json
import pkgutil
from pathlib import Path
from types import ModuleType

import pytest

import hwsim as hw
from hwsim.characterise import fit
from hwsim.technology.tables import GateRow, gate_rows, load

# NAND2 equivalents and delay in ns of int8 x int8 + 32 bits by another, earlier RTL in the same flow.
FIRST_INT8 = {"sky130hd": (991.7, 7.43), "ihp130": (912.1, 4.63), "gt2n": (1075.9, 0.454)}

ROW = load("gt2n.json")["rows"]["mac_int4_int4_fixed16"]
TABLE = {"rows": {}, "library": "l", "sha256": "s", "nand2_um2": 1.0, "voltage_v": 1.0}


@pytest.mark.parametrize("name", hw.technologies())
def test_a_table_is_of_the_library_that_the_technology_names(name: str) -> None:
    table, tech = load(f"{name}.json"), hw.get_technology(name)
    assert table["sha256"] == tech.library_sha256
    assert table["nand2_um2"] == tech.nand2_um2
    assert table["voltage_v"] == tech.voltage_v
    for row in tech.rows.values():
        assert row.gate_equivalents == pytest.approx(row.area_um2 / tech.nand2_um2, rel=1e-4)
        assert row.sequential_um2 < row.area_um2


@pytest.mark.parametrize("name", FIRST_INT8)
def test_the_int8_pe_is_as_first_measured(name: str) -> None:
    row, (gates, delay) = hw.get_technology(name).rows["mac_int8_int8_fixed32"], FIRST_INT8[name]
    assert row.gate_equivalents == pytest.approx(gates, rel=0.10)
    assert row.delay_ps * 1e-3 == pytest.approx(delay, rel=0.20)


def test_gates_without_a_library() -> None:
    row = gate_rows()["mac_int8_int8_fixed32"]
    assert isinstance(row, GateRow)
    assert (row.gate_equivalents, row.flip_flops, row.status) == (846.0, 32, "proved")


def test_errors_name_what_there_is() -> None:
    with pytest.raises(ValueError, match="unknown technology 'asap7'; use one of sky130hd, ihp130, gt2n"):
        hw.get_technology("asap7")
    with pytest.raises(TypeError, match=r"needs a name or a Technology, got \['gt2n'\]; use one of sky130hd"):
        hw.get_technology(["gt2n"])  # type: ignore[arg-type]
    assert hw.get_technology(hw.get_technology("gt2n")) is hw.get_technology("gt2n")


def test_no_public_name_hides_a_module() -> None:
    """`import hwsim.technology as t` takes the attribute of the package before the module."""
    for found in pkgutil.iter_modules(hw.__path__):
        held = getattr(hw, found.name, None)
        assert held is None or isinstance(held, ModuleType), found.name
    import hwsim.technology as module

    assert module.technology("gt2n") is hw.get_technology("gt2n")


def test_a_library_of_ones_own_is_a_technology(tmp_path: Path) -> None:
    """A table under another name, fitted, prices as the one it was copied from; sorted keys do not matter."""
    table = load("gt2n.json") | {"coefficients": load("coefficients.json")["nodes"]["gt2n"]}
    (tmp_path / "mine.json").write_text(json.dumps(table, sort_keys=True))
    mine = hw.add_technology(tmp_path / "mine.json")
    assert (mine.name, mine.voltage_v, mine.nand2_um2) == ("mine", 0.7, 0.018144)
    assert hw.get_technology("mine") == mine
    pe = hw.MacPE("int7", "e3m2fn")
    for ours, theirs in (
        (pe.area_um2(mine), pe.area_um2("gt2n")),
        (pe.delay_ns(mine), pe.delay_ns("gt2n")),
        (pe.energy_pj("mine"), pe.energy_pj("gt2n")),
        (pe.leakage_mw(mine), pe.leakage_mw("gt2n")),
    ):
        assert (ours.value, ours.low, ours.high) == pytest.approx((theirs.value, theirs.low, theirs.high))
        assert ours.node == "mine"
    grid = hw.SystolicArray(pe, 4, 4)
    assert hw.estimate(hw.Gemm(8, 8, 8), grid, technology="mine").area_um2.value > 0
    assert hw.MacPE("int8", "int8").area_um2("mine").status == "proved"


def test_a_table_of_few_pes_prices_a_chip_with_memories(tmp_path: Path) -> None:
    table = load("gt2n.json") | {"coefficients": load("coefficients.json")["nodes"]["gt2n"]}
    few = table | {"rows": {"mac_int4_int4_fixed32": table["rows"]["mac_int4_int4_fixed32"]}}
    (tmp_path / "some.json").write_text(json.dumps(few))
    hw.add_technology(tmp_path / "some.json")
    area, shipped = hw.sram(512, "some").area_um2, hw.sram(512, "gt2n").area_um2
    assert area is not None
    assert shipped is not None
    assert area.value == pytest.approx(shipped.value, rel=0.15), "an estimate stands for the row that is left out"


def test_tables_that_are_none_are_refused(tmp_path: Path) -> None:
    (tmp_path / "gt2n.json").write_text("{}")
    with pytest.raises(ValueError, match="'gt2n' is a shipped technology; give the file another name"):
        hw.add_technology(tmp_path / "gt2n.json")
    (tmp_path / "other.json").write_text('{"rows": {}}')
    with pytest.raises(ValueError, match=r"other\.json has no library, nand2_um2, sha256, voltage_v; write it with"):
        hw.add_technology(tmp_path / "other.json")
    bare = {key: value for key, value in load("gt2n.json").items() if key != "coefficients"}
    (tmp_path / "bare.json").write_text(json.dumps(bare))
    hw.add_technology(tmp_path / "bare.json")
    assert hw.MacPE("int8", "int8").area_um2("bare").status == "proved"
    with pytest.raises(ValueError, match=r"'bare' has no coefficients .* hwsim.characterise.fit --table TABLE"):
        hw.MacPE("int7", "int8").area_um2("bare")
    (tmp_path / "few.json").write_text(json.dumps(bare | {"rows": dict(list(bare["rows"].items())[:5])}))
    with pytest.raises(ValueError, match="has 5 PEs of 2 families; coefficients take at least 20 of 3"):
        fit.own_table(tmp_path / "few.json")
    terms = {"and": 1.0, "xor": 2.5, "mux": 2.4, "chain": 9.0, "tree": 9.5}
    older = load("coefficients.json")["nodes"]["gt2n"]
    older = older | {"area": older["area"] | {"coefficients": terms}}
    (tmp_path / "older.json").write_text(json.dumps(bare | {"coefficients": older}))
    hw.add_technology(tmp_path / "older.json")
    with pytest.raises(ValueError, match=r"'older': coefficients of area are for and, xor, .* nested_and, .*--table"):
        hw.MacPE("int5", "int7").area_um2("older")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "add_technology: there is no file"),
        ("library(x) { }", "is no JSON: Expecting value"),
        ("[]", "has no library, nand2_um2, rows, sha256, voltage_v; write it with"),
    ],
)
def test_the_fit_of_a_file_that_is_no_table_is_an_error_of_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str | None, said: str
) -> None:
    file = tmp_path / "unread.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(SystemExit) as ended:
        fit.main(["--table", str(file)])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("path", [None, 5, b"table.json"])
def test_a_technology_is_added_by_its_path(path: object) -> None:
    with pytest.raises(TypeError, match=r"add_technology: needs the path of a table, got .*; write it with python -m"):
        hw.add_technology(path)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "there is no file .*broken.json; write it with python -m hwsim.characterise"),
        ("{", "is no JSON: Expecting property name"),
        ("library(x) { }", "is no JSON"),
        ("3", "has no library, nand2_um2, rows, sha256, voltage_v; write it"),
        ("{}", "has no library, nand2_um2, rows, sha256, voltage_v; write it"),
        (json.dumps(TABLE | {"rows": [1]}), "has no rows by name"),
        (json.dumps(TABLE | {"rows": {"mac": {"area_um2": 1.0}}}), "has no delay_ps, energy_error_fj, .* of mac"),
        (
            json.dumps(TABLE | {"rows": {"mac": ROW | {"area_um2": "9"}}}),
            "broken.json: area_um2 of mac must be a number above 0, got '9'; write it with",
        ),
        (
            json.dumps(TABLE | {"rows": {"mac": ROW | {"delay_ps": 0}}}),
            "delay_ps of mac must be .* above 0, got 0",
        ),
        (
            json.dumps(TABLE | {"rows": {"mac": ROW | {"flip_flops": -1}}}),
            "flip_flops of mac must be a number of at least 0, got -1",
        ),
        (
            json.dumps(TABLE | {"rows": {"mac": ROW | {"energy_fj": {"uniform": 1.0}}}}),
            "energy_fj by normal operands of mac must be a number above 0, got None",
        ),
        (
            json.dumps(TABLE | {"coefficients": {"area": {}}}),
            "has no coefficients of between_operands, coeff",
        ),
    ],
)
def test_a_broken_table_is_refused_and_not_remembered(tmp_path: Path, text: str | None, message: str) -> None:
    file = tmp_path / "broken.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(ValueError, match=message):
        hw.add_technology(file)
    with pytest.raises(ValueError, match="unknown technology 'broken'"):
        hw.get_technology("broken")
