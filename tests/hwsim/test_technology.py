"""The tables are the measurement, figure for figure; the coefficients are what the committed fit gives."""

from __future__ import annotations

import hashlib
import json
from importlib.resources import files
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hwsim as hw
from hwsim.pe.measured import designs, families, trees
from hwsim.technology import fit
from hwsim.technology.tables import UNCHECKED, load

# sha256 of the measurement as it was handed over.
MEASURED_SHA256 = "e29021969931d4e71836b795f335a981848e590f9c94723aa342e3c931ab4d48"
FOLDER = Path(str(files("hwsim.technology")))


def is_the_measurement(data: bytes) -> bool:
    return hashlib.sha256(data).hexdigest() == MEASURED_SHA256


def test_the_shipped_measurement_is_the_measurement() -> None:
    data = FOLDER.joinpath("measured.json").read_bytes()
    assert is_the_measurement(data)
    assert not is_the_measurement(data.replace(b"3722.32", b"3722.33", 1)), "the checker must see one digit"


@pytest.mark.parametrize("name", hw.technologies())
def test_every_figure_of_a_technology_is_the_measured_one(name: str) -> None:
    tech, measured = hw.technology(name), load("measured.json")
    assert set(tech.rows) == set(measured["area"][name])
    for row, figures in measured["area"][name].items():
        assert tech.area_um2(row).value == figures["area_um2"]
        assert tech.delay_ns(row).value == figures["delay_ps"] * 1e-3
        assert tech.area_um2(row).status == ("tested" if figures["proved"] else "estimated")
    energies = measured["energy_timed_fJ"].get(name, {})
    assert {row for row in tech.rows if tech.rows[row].energy_fj is not None} == set(energies)
    for row, femtojoules in energies.items():
        assert tech.energy_pj(row).value == femtojoules * 1e-3


def test_figures_typed_from_the_written_record() -> None:
    # Absolute int8 MAC areas, gate equivalents and energy ratios as printed in the record of the measurement.
    areas = {"sky130hd": (3722, 992), "ihp130": (6620, 912), "gt2n": (19.5, 1076)}
    for name, (area, gates) in areas.items():
        row = hw.technology(name).row("mac_i8i8")
        assert row.area_um2 == pytest.approx(area, rel=2e-3)
        assert row.gate_equivalents == pytest.approx(gates, abs=0.5)
        assert row.area_um2 / hw.technology(name).nand2_um2 == pytest.approx(row.gate_equivalents, abs=0.06)
    printed = {"mac_e4m3_kul": (0.74, 0.80), "mac_bf16_fp32": (2.73, 3.24), "dot4_i8i8": (3.11, 3.26)}
    for row_name, ratios in printed.items():
        for name, ratio in zip(("ihp130", "gt2n"), ratios, strict=True):
            tech = hw.technology(name)
            assert tech.energy_pj(row_name).ratio(tech.energy_pj("mac_i8i8")).value == pytest.approx(ratio, abs=0.006)


def test_intervals_are_the_stated_ones() -> None:
    tech = hw.technology("ihp130")
    area, energy = tech.area_um2("mac_i8i8"), tech.energy_pj("mac_i8i8")
    assert (area.low / area.value, area.high / area.value) == pytest.approx((0.85, 1.15))
    assert (energy.low / energy.value, energy.high / energy.value) == pytest.approx((0.5, 2.0))
    # Ratios within one flow: area 15 %, energy 30 %.
    other = tech.area_um2("mac_i4i4")
    ratio = area.ratio(other)
    assert (ratio.low / ratio.value, ratio.high / ratio.value) == pytest.approx((0.85, 1.15 / 0.85 / 1.15))
    ratio = energy.ratio(tech.energy_pj("mac_i4i4"))
    assert (ratio.low / ratio.value, ratio.high / ratio.value) == pytest.approx((1 / 1.3, 1.3))


def test_an_unchecked_netlist_is_estimated_says_so_and_is_wider() -> None:
    tech = hw.technology("sky130hd")
    checked, unchecked = tech.area_um2("mac_e4m3_fp32"), tech.area_um2("mac_e4m3_fp16")
    assert "6400 vectors" in checked.source
    assert "synthesised; function not checked" in unchecked.source
    assert "vectors" not in unchecked.source
    assert unchecked.high / unchecked.value == pytest.approx(1.15 * UNCHECKED)
    assert unchecked.low / unchecked.value == pytest.approx(0.85 / UNCHECKED)


def test_errors_name_what_there_is() -> None:
    with pytest.raises(ValueError, match="unknown technology 'asap7'; use one of sky130hd, ihp130, gt2n"):
        hw.technology("asap7")
    with pytest.raises(ValueError, match=r"has no row 'mac_i9i9'; rows: mac_i8i8, "):
        hw.technology("gt2n").row("mac_i9i9")
    with pytest.raises(ValueError, match="'sky130hd' has area and delay only; technologies with energy: ihp130, gt2n"):
        hw.technology("sky130hd").energy_pj("mac_i8i8")
    with pytest.raises(ValueError, match=r"row 'mac_i8i8a24' has no energy; rows that have: mac_i8i8, "):
        hw.technology("ihp130").energy_pj("mac_i8i8a24")


def test_the_committed_coefficients_are_the_fit() -> None:
    committed = json.loads(FOLDER.joinpath("coefficients.json").read_text(encoding="utf-8"))
    assert same_table(committed, json.loads(json.dumps(fit.fit())))
    broken = json.loads(json.dumps(committed))
    broken["technologies"]["gt2n"]["area"]["per_family"]["add"] *= 1.01
    assert not same_table(broken, committed), "the checker must see a changed coefficient"


def same_table(first: Any, second: Any) -> bool:
    """Equal, numbers within what another linear algebra library may round differently."""
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same_table(first[key], second[key]) for key in first)
    if isinstance(first, float):
        return bool(abs(first - second) <= 1e-4 * abs(first))
    return bool(first == second)


def test_residuals_are_reported_and_small_enough_to_use() -> None:
    """Printed with -s: the errors of designs left out of the fit. Bounds are what this fit measures, rounded up."""
    bounds = {"area": (0.12, 1.25), "energy": (0.27, 1.40), "delay": (0.20, 1.35)}
    for name, quantities in load("coefficients.json")["technologies"].items():
        for quantity, entry in quantities.items():
            error = entry["errors"]["structural"]
            print(
                f"{name} {quantity}: family left out, rms {error['rms']}, largest x{error['factor']} ({error['worst']})"
            )
            rms, largest = bounds[quantity]
            assert error["rms"] < rms
            assert error["factor"] < largest


def test_left_out_predictions_do_not_know_the_row() -> None:
    """Doubling one row's figure moves its own left-out prediction not at all, and its fitted one a little."""
    data = fit.problem(hw.technology("ihp130"), "area")
    row = "mac_i4i4"
    at = data.rows.index(row)
    doubled = data.measured.copy()
    doubled[at] *= 2
    changed = fit.Problem(
        rows=data.rows, features=data.features, measured=doubled, fixed=data.fixed, weights=data.weights
    )
    np.testing.assert_array_equal(fit.solve(data, [row]), fit.solve(changed, [row]))
    assert not np.array_equal(fit.solve(data), fit.solve(changed))


def test_every_row_of_the_fit_has_a_family_and_a_tree() -> None:
    assert set(families()) == set(trees()) >= set(designs())
    assert set(trees()) <= set(hw.technology("ihp130").rows)


@pytest.mark.parametrize("seed", range(20))
def test_nonnegative_least_squares_finds_the_best_active_set(seed: int) -> None:
    """Against every choice of which coefficients are free, tried one by one."""
    rng = np.random.default_rng(seed)
    matrix, right = rng.normal(size=(12, 4)), rng.normal(size=12)
    found = fit.nonnegative_least_squares(matrix, right)
    best = np.inf
    for free in product([False, True], repeat=4):
        columns = np.flatnonzero(free)
        x = np.zeros(4)
        x[columns] = np.linalg.lstsq(matrix[:, columns], right, rcond=None)[0] if columns.size else []
        if (x >= 0).all():
            best = min(best, float(np.linalg.norm(matrix @ x - right)))
    assert (found >= 0).all()
    assert np.linalg.norm(matrix @ found - right) == pytest.approx(best, rel=1e-9)
