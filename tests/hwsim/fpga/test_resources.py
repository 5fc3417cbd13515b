"""LUTs of PEs: the committed table and its provenance, the fit made again, estimates of what was never synthesised."""

from __future__ import annotations

import importlib.util
import json
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import formats as nf
from hwsim.circuit import Build
from hwsim.circuit.network import network
from hwsim.fpga import characterise, fit
from hwsim.fpga.resources import COEFFICIENTS, TABLE, Count, FpgaResources, estimate, json_of, resources
from hwsim.pe.catalogue import catalogue
from hwsim.pe.circuit import Mac, mac
from hwsim.rtl.proof import Proof
from hwsim.rtl.writer import verilog

HELD = json.loads(TABLE.read_text(encoding="utf-8"))
ROWS = HELD["rows"]
FITTED = json_of(COEFFICIENTS)
TODAYS, OTHERS = fit.todays()
AGAIN = f"python -m hwsim.fpga.characterise {' '.join(f'--pe {name}' for name in OTHERS)}; python -m hwsim.fpga.fit"


def test_the_table_says_where_it_is_from() -> None:
    assert HELD["tool"].startswith("yosys 0.")
    assert set(HELD["script"]) == {"logic", "xc7", "xcup"}
    assert len(ROWS) >= 40
    assert len({row["family"] for row in ROWS.values()}) >= 9
    assert len(OTHERS) < 0.1 * len(ROWS), f"rows are not of today's Verilog; run {AGAIN}"


@pytest.mark.parametrize("name", ROWS)
def test_rows(name: str) -> None:
    """Of today's Verilog, proved or tested, flip-flops as counted, every cell in one of the sums."""
    if name in OTHERS:
        pytest.skip(f"the row is not of today's Verilog; run {AGAIN}")
    module, row = catalogue()[name].module(), ROWS[name]
    assert tuple(sorted(row["builds"])) == tuple(sorted(characterise.builds(catalogue()[name])))
    for build in row["builds"].values():
        assert build["status"] in ("proved", "tested")
        assert re.fullmatch("[0-9a-f]{64}", build["certificate"])
        luts = sum(count for kind, count in build["cells"].items() if re.fullmatch("LUT[1-6]|INV|SRL.*", kind))
        assert build["luts"] == luts
    logic = row["builds"]["logic"]
    assert (logic["flip_flops"], logic["dsps"]) == (len(network(module).states), 0)
    if "xcup" in row["builds"]:
        assert row["builds"]["xcup"]["luts"] < logic["luts"]
        assert row["builds"]["xcup"]["dsps"] == sum(characterise.slice_multipliers(module).values())


def test_the_fit_is_of_this_table() -> None:
    if OTHERS:
        pytest.skip(f"rows are not of today's Verilog; run {AGAIN}")
    assert fit.fit() == FITTED
    assert FITTED["median"] < 0.1
    assert FITTED["interval"] < 0.2
    assert FITTED["carries"]["exact"] >= 0.5 * FITTED["carries"]["rows"]


def test_a_wrong_row_moves_the_fit() -> None:
    seen = fit.sample()
    off = replace(seen, luts=np.where(np.array(seen.families) == "int", 2 * seen.luts, seen.luts))
    every = np.ones(len(seen.luts), bool)
    assert not np.allclose(fit.solve(off, every), fit.solve(seen, every), rtol=0.05)


def test_a_listed_pe_is_looked_up() -> None:
    listed = catalogue()["mac_int8_int8_fixed32"]
    found = resources(listed)
    assert (found.luts.value, found.luts.low, found.luts.status) == (166, 166, "proved")
    assert (found.carries.value, found.flip_flops, found.dsps) == (12, 32, 0)
    assert resources(listed.module()) == found
    assert resources(listed, "xc7", dsp=True).dsps == 1
    assert resources(listed, "xc7", dsp=True).flip_flops == 0  # the sum and its register are in the slice
    inside = resources(listed, dsp=True)
    assert (inside.luts.value, inside.flip_flops, inside.dsps) == (32, 32, 1)
    assert str(found) == "xcup: 166 (166..166, proved) LUTs, 12 (12..12, proved) carries, 32 flip-flops, 0 DSPs"


def test_what_was_never_synthesised_is_estimated() -> None:
    module = mac(Mac(a=nf.get("int7"), b=nf.get("int9"), accumulator=nf.Integer(27)))
    found = resources(module)
    assert found.luts.status == "estimated"
    assert found.luts.low < found.luts.value < found.luts.high
    assert "with their family left out" in found.luts.source
    assert (found.flip_flops, found.dsps) == (27, 0)
    inside = resources(module, dsp=True)
    assert (inside.flip_flops, inside.dsps) == (27, 1)
    assert inside.luts.value < 0.5 * found.luts.value


@pytest.mark.parametrize("name", [name for name, row in TODAYS.items() if "xcup" in row["builds"]])
def test_estimates_with_slices(name: str) -> None:
    """A product and its sum are exactly a slice and an adder; what else there is is refused."""
    row, module = ROWS[name]["builds"]["xcup"], catalogue()[name].module()
    if {leaf.kind for leaf in module.leaves()} & {"compressor", "multiplexer"}:
        with pytest.raises(ValueError, match="beside a slice is not modelled"):
            estimate(module, dsp=True)
        return
    found = estimate(module, dsp=True)
    assert (found.dsps, found.luts.value, found.carries.value) == (row["dsps"], row["luts"], row["carries"])
    assert (found.luts.status, found.flip_flops) == ("estimated", row["flip_flops"])


def test_most_are_inside_their_interval() -> None:
    inside = []
    for name, row in TODAYS.items():
        luts = estimate(catalogue()[name].module()).luts
        inside.append(luts.low <= row["builds"]["logic"]["luts"] <= luts.high)
    assert sum(inside) >= 0.85 * len(inside)


def test_bad_input(capsys: pytest.CaptureFixture[str]) -> None:
    module = mac(Mac(a=nf.get("int7"), b=nf.get("int9"), accumulator=nf.Integer(27)))
    with pytest.raises(ValueError, match=re.escape("family must be one of xc7, xcup; got 'virtex'")):
        resources(module, "virtex")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"not in the table for xc7 with DSPs, and which.*dsp=False, look at SliceMac"):
        resources(module, "xc7", dsp=True)
    m = Build("wide")
    m.output("product", m.leaf("multiply", "multiplier", m=24, n=20, a=m.input("a", 24), b=m.input("b", 20)))
    with pytest.raises(ValueError, match=re.escape("21 x 25 signed bits takes more than the 18 x 27 of a slice")):
        resources(m.done(), dsp=True)
    with pytest.raises(TypeError, match=re.escape("takes a Module or a PE that has one (pe.module()), got 'int8'")):
        resources("int8")  # type: ignore[arg-type]
    with pytest.raises(SystemExit):
        characterise.main(["--pe", "mac_x"])
    assert "no PE is called mac_x; there are mac_int8" in capsys.readouterr().err


def test_a_wrong_netlist_enters_no_table(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "mac_int4_int4_fixed16"
    refuted = Proof(status="refuted", method="", vectors=1, mismatches=1, digest="", counterexample={"a": 3})
    monkeypatch.setattr(type(catalogue()[name]), "check", lambda self, made: refuted)
    monkeypatch.setattr(characterise, "mapped", lambda *_, **__: [type("Made", (), {"synthesis": None})()])
    with pytest.raises(ArithmeticError, match=re.escape(f"{name} built as logic is refuted: {{'a': 3}}")):
        characterise.row(name, catalogue()[name])


def test_differences_are_said() -> None:
    name = "mac_int4_int4_fixed16"
    changed: dict[str, Any] = json.loads(json.dumps(HELD))
    changed["rows"][name]["builds"]["logic"]["luts"] += 1
    assert characterise.differences(HELD, HELD) == []
    (line,) = characterise.differences(HELD, changed)
    assert line.startswith(f"{name}: ")
    assert characterise.differences({"rows": {}}, {"rows": {name: ROWS[name]}}) == [f"{name}: not in the table"]


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("pyosys") is None, reason="needs pip install bitcost[rtl]")
@pytest.mark.parametrize("name", ["mac_int4_int4_fixed16", "mac_int2_int8_fixed24", "mac_e2m1fn_e2m1fn_fixed17"])
def test_a_row_made_again(name: str) -> None:
    if not HELD["tool"].startswith(f"yosys {characterise.yosys_version()}"):
        pytest.skip(f"the table is of {HELD['tool']}, this is yosys {characterise.yosys_version()}")
    assert characterise.main(["--pe", name, "--check"]) == 0


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("pyosys") is None, reason="needs pip install bitcost[rtl]")
@pytest.mark.parametrize("name", ["mac_int4_int4_fixed16", "mac_e2m1fn_e2m1fn_float16"])
def test_both_families_have_the_same_logic(name: str) -> None:
    """Why the table has one build without DSPs."""
    from hwsim.fpga.synthesis import synth_xilinx

    module = catalogue()[name].module()
    found = [synth_xilinx(verilog(module), module.name, family=family, dsp=False).cells for family in ("xc7", "xcup")]
    assert found[0] == found[1]
    assert dict(found[1]) == ROWS[name]["builds"]["logic"]["cells"]


def test_results_rebuild() -> None:
    found = resources(catalogue()["mac_int8_int8_fixed32"])
    assert eval(repr(found), {"FpgaResources": FpgaResources, "Count": Count}) == found
