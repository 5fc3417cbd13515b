"""Listed PEs: rows of every family made again from nothing and checked, and checks that see one wrong gate."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import hwsim as hw
from hwsim.pe.catalogue import catalogue
from hwsim.rtl.netlist import Cell, Netlist
from hwsim.rtl.writer import verilog
from tests.hwsim.rtl.designs import skip_without_yosys

TABLE = json.loads((Path(hw.__file__).parent / "technology" / "cmos_gates.json").read_text(encoding="utf-8"))
NEW = ("lmul", "bit-serial", "lut", "block", "converter")
# Quick ones of all families, two of each new one.
SLICE = [
    "mac_int8_int2_fixed32_4lanes",
    "mixpe_activations_int8_uint4_group128",
    "mac_e2m1fn_int4_fixed16",
    "mac_e2m1fn_e2m1fn_bfloat16",
    "ant_pe_flint4_flint4_4i3e_acc32",
    "olive_decode_flint4_olive_flint4_outlier_4i3e",
    "mac_e3m2fn_e3m2fn_lmul_integer_add_wrap_fixed22",
    "mac_e4m3fn_e4m3fn_lmul_integer_add_wrap_fixed36",
    "serial_int8_by8_1lanes_acc32",
    "serial_int4_by4_16lanes_acc24",
    "lookup_int8_group2_2entries9b_acc32",
    "edge_int8_group3_4entries10b",
    "convert_bfloat16_to_e2m1fn",
    "prealign_e4m3fn_2lanes_kept0",
]


def test_the_catalogue_has_ten_families() -> None:
    counts = Counter(listed.family for listed in catalogue().values())
    assert len(counts) == 10
    assert len(catalogue()) >= 160
    assert all(counts[family] >= 6 for family in NEW)
    assert all(listed.name == name for name, listed in catalogue().items())


def test_every_row_has_its_terms() -> None:
    from hwsim.characterise.cmos import about

    for name, row in TABLE["rows"].items():
        assert about(catalogue()[name]).items() <= row.items(), name


@pytest.fixture(scope="module")
def _yosys() -> None:
    skip_without_yosys()


@pytest.mark.usefixtures("_yosys")
def test_rows_of_every_family_are_made_again(capsys: pytest.CaptureFixture[str]) -> None:
    """Synthesised, checked by simulation of the netlist, and equal to the table to the gate."""
    from hwsim.characterise.__main__ import main
    from hwsim.characterise.cmos import table

    assert {catalogue()[name].family for name in SLICE} == {listed.family for listed in catalogue().values()} - {
        "block"
    }
    if table([SLICE[1]], leaves=False)["tool"] != TABLE["tool"]:
        pytest.skip(f"the table is of {TABLE['tool']}")
    assert main(["--check", *(word for name in SLICE for word in ("--pe", name))]) == 0, capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.usefixtures("_yosys")
def test_all_rows_are_made_again(capsys: pytest.CaptureFixture[str]) -> None:
    from hwsim.characterise.__main__ import main

    assert main(["--check"]) == 0, capsys.readouterr().out


SWAP = {"$_AND_": "$_OR_", "$_NAND_": "$_NOR_", "$_XOR_": "$_XNOR_", "$_XNOR_": "$_XOR_", "$_NOR_": "$_NAND_",
        "$_OR_": "$_AND_", "$_NOT_": "$_BUF_", "$_AOI3_": "$_OAI3_", "$_OAI3_": "$_AOI3_"}  # fmt: skip


@pytest.mark.usefixtures("_yosys")
@pytest.mark.parametrize(
    "name",
    [
        "serial_int8_by8_4lanes_acc32",
        "lookup_int8_group4_8entries10b_acc32",
        "edge_int8_group4_8entries10b",
        "row_int8_group4_8entries10b_2columns",
        "powers_int4_pot4_1terms_acc32",
        "bitmod_decode_int6",
        "convert_float32_to_e4m3fn",
        "convert_e4m3fn_to_bfloat16",
        "prealign_e4m3fn_2lanes_kept0",
    ],
)
def test_one_wrong_gate_is_found(name: str) -> None:
    from hwsim.rtl.yosys import CmosGates, synthesise

    listed = catalogue()[name]
    module = listed.module()
    made = synthesise(verilog(module), module.name, CmosGates())
    rng = np.random.default_rng(7)
    for _ in range(2):
        place = int(rng.choice([i for i, cell in enumerate(made.netlist.cells) if cell.kind in SWAP]))
        cells = list(made.netlist.cells)
        cells[place] = Cell(cells[place].name, SWAP[cells[place].kind], cells[place].pins)
        wrong = replace(
            made, netlist=Netlist(made.netlist.name, made.netlist.inputs, made.netlist.outputs, tuple(cells))
        )
        assert listed.check(wrong).status == "refuted"
