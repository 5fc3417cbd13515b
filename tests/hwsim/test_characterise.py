"""Tables of a library: one PE by a library of a page, its figures put together from the parts that made them."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pytest

import formats as nf
import hwsim as hw
from hwsim.characterise.__main__ import main
from hwsim.characterise.libraries import LIBRARIES, Constraints
from hwsim.characterise.mapped import operands_digest, table
from hwsim.liberty.cells import parse_library
from hwsim.pe.catalogue import catalogue
from hwsim.pe.circuit import Mac
from hwsim.pe.stimulus import OPERANDS, stimulus
from hwsim.rtl.writer import verilog
from tests.hwsim.liberty.tiny import TEXT
from tests.hwsim.rtl.designs import needs_yosys

pytestmark = needs_yosys

NAME = "mac_int4_int4_fixed16"


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("library") / "tiny.lib"
    path.write_text(TEXT, encoding="utf-8")
    return path


def test_a_row_holds_what_its_netlist_is_made_of(library: Path) -> None:
    cells = parse_library(TEXT)
    made = table(str(library), Constraints(table="tiny", period_ps=1000, driving_cell="BUF", load_ff=1.0), [NAME])
    row = made["rows"][NAME]
    assert made["library"] == cells.name
    assert row["status"] in ("proved", "tested")
    assert row["flip_flops"] == 16
    assert row["area_um2"] == pytest.approx(sum(cells[kind].area_um2 * n for kind, n in row["cells"].items()), rel=1e-5)
    assert row["gate_equivalents"] == pytest.approx(row["area_um2"] / cells.nand2.area_um2, rel=1e-5)
    for operands in OPERANDS:
        assert 0 < row["zero_delay_fj"][operands] <= row["energy_fj"][operands] * 1.001
    assert row["energy_fj"]["weight_held"] < row["energy_fj"]["normal"]
    # A second run takes the row over, but one of other Verilog or of other operands.
    for change, taken in (({}, True), ({"source": "another"}, False), ({"operands": "others"}, False)):
        again = table(
            str(library), Constraints(table="tiny", period_ps=1000, driving_cell="BUF", load_ff=1.0), [NAME],
            held={**made, "rows": {NAME: {**row, **change, "area_um2": 1.0}}},
        )  # fmt: skip
        assert (again["rows"][NAME]["area_um2"] == 1.0) is taken


def test_the_command_writes_and_checks(library: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "tiny.json"
    how = ["--liberty", str(library), "--driving-cell", "BUF", "--load-ff", "1", "--period-ps", "1000",
           "--output", str(output), "--pe", "mac_int2_int8_fixed16"]  # fmt: skip
    assert main(how) == 0
    assert main([*how, "--check"]) == 0
    held = json.loads(output.read_text(encoding="utf-8"))
    held["rows"]["mac_int2_int8_fixed16"]["area_um2"] += 1
    output.write_text(json.dumps(held), encoding="utf-8")
    assert main([*how, "--check"]) == 1
    assert "area_um2" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--pe", "mac"], "no PE is called mac; there are mac_int8"),
        (["--liberty", "/nowhere.lib"], "no Liberty file at /nowhere.lib"),
        (["--load-ff", "3"], "go together, with one --liberty"),
    ],
)
def test_the_command_says_what_it_lacks(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(arguments)
    assert said in capsys.readouterr().err


FLIP_FLOP = TEXT[TEXT.index("cell (DFF)") : TEXT.index("cell (LATCH)")]


@pytest.mark.parametrize(
    ("text", "asked", "said"),
    [
        (TEXT[:-40], {}, "line 24: no attribute, group or closing brace at"),
        ("", {}, "holds nothing; a Liberty file holds one library group"),
        (TEXT.replace(FLIP_FLOP, ""), {}, "has no usable flip-flop; give a library with rising-edge D flip-flops"),
        (TEXT, {"--driving-cell": "BUFF"}, "driving_cell 'BUFF' is not in"),
        (TEXT, {"--driving-cell": "DFF"}, "DFF cannot drive inputs; name a buffer or an inverter"),
        (TEXT, {"--period-ps": "0"}, "give a positive period and a load >= 0"),
        (TEXT, {"--output": "nowhere/own.json"}, "there is no folder .*nowhere; make it first"),
    ],
)
def test_a_library_or_option_that_does_not_do_is_an_error_of_the_command_line(
    text: str, asked: dict[str, str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "own.lib"
    file.write_text(text, encoding="utf-8")
    usual = {"--driving-cell": "BUF", "--load-ff": "1", "--period-ps": "1000", "--output": "own.json"} | asked
    usual["--output"] = str(tmp_path / usual["--output"])
    with pytest.raises(SystemExit) as ended:
        main(["--liberty", str(file), "--pe", NAME, *(word for pair in usual.items() for word in pair)])
    assert ended.value.code == 2
    assert re.search(said, capsys.readouterr().err)
    assert not Path(usual["--output"]).exists()


@pytest.mark.parametrize(
    ("text", "said"), [("{", "is no JSON: Expecting"), ("3", "it is no table"), ("{}", "no table")]
)
def test_an_output_that_is_no_table_is_not_written_over(
    text: str, said: str, library: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "own.json"
    output.write_text(text, encoding="utf-8")
    with pytest.raises(SystemExit, match="2"):
        main(["--liberty", str(library), "--driving-cell", "BUF", "--load-ff", "1", "--period-ps", "1000",
              "--output", str(output), "--pe", NAME])  # fmt: skip
    assert said in capsys.readouterr().err
    assert output.read_text(encoding="utf-8") == text


def test_an_unknown_library_needs_its_constraints(library: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--liberty", str(library)])
    assert "say --driving-cell, --load-ff, --period-ps, --output" in capsys.readouterr().err


@pytest.mark.parametrize("operands", OPERANDS)
def test_operands_are_codes_of_finite_values(operands: str) -> None:
    what = Mac(a=nf.get("e4m3fn"), b=nf.get("uint4"), accumulator=nf.Exact(max_terms=256), lanes=2)  # type: ignore[arg-type]
    drawn = stimulus(what, operands, 500)  # type: ignore[arg-type]
    lanes = [np.array([int(word) >> (8 * lane) & 255 for word in drawn["a"]]) for lane in (0, 1)]
    assert all(np.isfinite(nf.decode_codes("e4m3fn", codes, np.float64)).all() for codes in lanes)
    assert (lanes[0] != lanes[1]).any()
    changes = int((np.diff(drawn["b"].astype(np.int64)) != 0).sum())
    assert changes <= 8 if operands == "weight_held" else changes > 300
    assert drawn["clear"].sum() == 2


def test_every_listed_pe_has_operands() -> None:
    """Of every port, within its width, in each of 21 cycles."""
    for listed in catalogue().values():
        for operands in OPERANDS:
            drawn = listed.stimulus(operands, 20)
            assert set(drawn) == {wire.name for wire in listed.module().inputs}, listed.name
            for wire in listed.module().inputs:
                assert len(drawn[wire.name]) == 21
                assert all(0 <= int(word) < 1 << wire.width for word in drawn[wire.name]), (listed.name, wire.name)
    with pytest.raises(ValueError, match="operands must be one of uniform, normal"):
        listed.stimulus("gaussian", 3)  # type: ignore[arg-type]


TABLES = sorted(
    path
    for path in (Path(hw.__file__).parent / "technology").glob("*.json")
    if "sha256" in json.loads(path.read_text(encoding="utf-8"))
)


@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.stem)
def test_committed_tables_are_of_the_verilog_and_operands_of_today(path: Path) -> None:
    held = json.loads(path.read_text(encoding="utf-8"))
    assert set(held["rows"]) == set(catalogue())
    assert held["library"] in LIBRARIES
    for name, row in held["rows"].items():
        assert row["status"] in ("proved", "tested")
        assert row["source"] == hashlib.sha256(verilog(catalogue()[name].module()).encode()).hexdigest(), name
        assert row["operands"] == operands_digest(catalogue()[name]), name


@pytest.mark.parametrize("table_name", ["sky130hd", "ihp130", "gt2n"])
def test_the_first_measurements_agree(table_name: str) -> None:
    """Areas of other Verilog for the same functions, its netlists checked too: the first ones this project had."""
    text = (Path(__file__).parent / "data" / "first_measured.json").read_text(encoding="utf-8")
    first = json.loads(text)["area_um2"][table_name]
    now = json.loads((TABLES[0].parent / f"{table_name}.json").read_text(encoding="utf-8"))["rows"]
    same = {"mac_i8i8": "mac_int8_int8_fixed32", "mac_i4i8": "mac_int4_int8_fixed32",
            "mac_i2i8": "mac_int2_int8_fixed32", "mac_i4i4": "mac_int4_int4_fixed32",
            "mac_i4i4a16": "mac_int4_int4_fixed16", "mac_i8i8a24": "mac_int8_int8_fixed24",
            "dot4_i8i8": "mac_int8_int8_fixed32_4lanes", "dot4_i4i4": "mac_int4_int4_fixed32_4lanes",
            "mac_e4m3_fp32": "mac_e4m3fn_e4m3fn_float32", "mac_bf16_fp32": "mac_bfloat16_bfloat16_float32",
            "mac_fp16_fp32": "mac_float16_float16_float32"}  # fmt: skip
    for old, new in same.items():
        assert 0.9 < now[new]["area_um2"] / first[old] < 1.1, new
