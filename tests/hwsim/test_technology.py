"""Technologies: where their libraries come from, their rows, and the first measurement of the same functions."""

from __future__ import annotations

import pytest

import hwsim as hw
from hwsim.technology.tables import GateRow, gate_rows, load

# NAND2 equivalents and delay in ns of int8 x int8 + 32 bits by another, earlier RTL in the same flow.
FIRST_INT8 = {"sky130hd": (991.7, 7.43), "ihp130": (912.1, 4.63), "gt2n": (1075.9, 0.454)}


@pytest.mark.parametrize("name", hw.technologies())
def test_a_table_is_of_the_library_that_the_technology_names(name: str) -> None:
    table, tech = load(f"{name}.json"), hw.technology(name)
    assert table["sha256"] == tech.library_sha256
    assert table["nand2_um2"] == tech.nand2_um2
    assert table["voltage_v"] == tech.voltage_v
    for row in tech.rows.values():
        assert row.gate_equivalents == pytest.approx(row.area_um2 / tech.nand2_um2, rel=1e-4)
        assert row.sequential_um2 < row.area_um2


@pytest.mark.parametrize("name", FIRST_INT8)
def test_the_int8_pe_is_as_first_measured(name: str) -> None:
    row, (gates, delay) = hw.technology(name).rows["mac_int8_int8_fixed32"], FIRST_INT8[name]
    assert row.gate_equivalents == pytest.approx(gates, rel=0.10)
    assert row.delay_ps * 1e-3 == pytest.approx(delay, rel=0.20)


def test_gates_without_a_library() -> None:
    row = gate_rows()["mac_int8_int8_fixed32"]
    assert isinstance(row, GateRow)
    assert (row.gate_equivalents, row.flip_flops, row.status) == (846.0, 32, "proved")


def test_errors_name_what_there_is() -> None:
    with pytest.raises(ValueError, match="unknown technology 'asap7'; use one of sky130hd, ihp130, gt2n"):
        hw.technology("asap7")
    assert hw.technology(hw.technology("gt2n")) is hw.technology("gt2n")
