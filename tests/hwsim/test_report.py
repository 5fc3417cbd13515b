"""Report: energy is counts times prices; + and parallel add what they should; text and frame show it."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import hwsim as hw
from hwsim.cost import about
from hwsim.report import Report, Unpriced
from hwsim.report_join import parallel
from hwsim.report_text import engineering


def report(cycles: list[int], stall: list[int], macs: list[int], label: str = "chip", **changes: Any) -> Report:
    size = len(cycles)
    counts = np.array(macs)
    base = Report(
        accelerator=label,
        clock_hz=1e9,
        rows=tuple(f"op{i}" for i in range(size)),
        columns={
            "cycles": np.array(cycles) + np.array(stall),
            "compute_cycles": np.array(cycles),
            "stall_cycles": np.array(stall),
            "macs": counts,
            "bytes": np.array([8 * count for count in macs]),
            "tensor_bytes": np.array([4 * count for count in macs]),
            "bits_x_bits": 64.0 * counts,
            "bytes_only_cycles": counts // 2,
            "bound": np.where(np.array(stall) > 0, "dram", "compute"),
        },
        counts={"pe": counts, "DRAM reads": 64.0 * counts},
        prices={
            "pe": about(0.5, 2.0, unit="pJ", source="table", node="n"),
            "DRAM reads": about(4.0, 1.5, unit="pJ/bit", source="assumed"),
        },
        area={"PEs": about(100.0, 1.15, unit="um2", source="table", node="n")},
        peak_macs_per_cycle=4,
        dram_pj_per_byte=32.0,
        assumptions=("assumed: nothing",),
    )
    return replace(base, **changes)


AREA = about(1.0, 2.0, unit="um2", source="x")
rows = st.lists(st.tuples(*[st.integers(1, 2**20)] * 3), min_size=1, max_size=4)
reports = rows.map(lambda drawn: report(*[list(column) for column in zip(*drawn, strict=True)]))


def totals(item: Report) -> tuple[float, ...]:
    """What + and parallel are about. Costs are multiples of powers of two here: sums are exact."""
    energy = item.energy_pj
    return (
        item.macs,
        item.bytes,
        energy.value,
        item.null_models["bits_x_bits"],
        item.null_models["bytes_only_energy_pj"],
    )


@given(reports, reports, reports)
def test_in_sequence_cycles_and_energies_add_and_area_stays(a: Report, b: Report, c: Report) -> None:
    both = a + b
    assert both.cycles == a.cycles + b.cycles
    assert both.rows == a.rows + b.rows
    assert totals(both) == tuple(x + y for x, y in zip(totals(a), totals(b), strict=True))
    assert both.area_um2 == a.area_um2
    assert both.energy_pj.low == pytest.approx(a.energy_pj.low + b.energy_pj.low)
    assert totals((a + b) + c) == totals(a + (b + c)) == totals(sum([a, b, c]))  # type: ignore[arg-type]


@given(reports, reports, reports)
def test_in_parallel_the_longer_time_counts_and_energies_and_areas_add(a: Report, b: Report, c: Report) -> None:
    both = parallel(a, b)
    assert both.cycles == max(a.cycles, b.cycles)
    assert both.columns["compute_cycles"] + both.columns["stall_cycles"] == both.cycles
    assert totals(both) == pytest.approx([x + y for x, y in zip(totals(a), totals(b), strict=True)])
    assert both.area_um2.value == pytest.approx(a.area_um2.value + b.area_um2.value)
    assert both.peak_macs_per_cycle == 8
    mirrored = parallel(b, a)
    assert totals(mirrored) == pytest.approx(totals(both))
    assert mirrored.cycles == both.cycles
    nested, other = parallel(parallel(a, b), c), parallel(a, parallel(b, c))
    assert nested.cycles == other.cycles
    assert totals(nested) == pytest.approx(totals(other))


def test_the_algebra_check_sees_a_lost_row() -> None:
    a, b = report([3], [0], [5]), report([4], [1], [6])
    assert totals(a) != totals(a + b)
    assert (a + b).cycles != a.cycles


def test_different_accelerators_and_clocks_do_not_add() -> None:
    a, b = report([3], [0], [5]), report([3], [0], [5], label="other")
    with pytest.raises(ValueError, match=r"\+ needs one accelerator and clock, got 'chip' .* parallel\(\)"):
        a + b
    with pytest.raises(ValueError, match=r"parallel: needs one clock, got 1000000000.0 Hz and 2000000000.0 Hz"):
        parallel(a, replace(a, clock_hz=2e9))
    dearer = replace(a, prices={**a.prices, "pe": about(1.0, 2.0, unit="pJ", source="table", node="n")})
    with pytest.raises(ValueError, match="two prices of 'pe'"):
        a + dearer


def test_parallel_reports_of_two_nodes_have_no_common_area() -> None:
    a = report([3], [0], [5])
    b = replace(a, area={"PEs": about(1.0, 1.15, unit="um2", source="table", node="other")})
    with pytest.raises(ValueError, match="apply a Scaling"):
        _ = parallel(a, b).area_um2


def test_energy_by_hand() -> None:
    item = report([10, 10], [0, 5], [6, 2])
    # 8 MACs at 0.5 pJ; 512 bits at 4 pJ.
    assert item.energy["pe"].value == 4.0
    assert item.energy["DRAM reads"].value == 2048.0
    assert (item.energy["DRAM reads"].low, item.energy["DRAM reads"].high) == (2048 / 1.5, 2048 * 1.5)
    assert item.energy_pj.value == 2052.0
    assert item.pe_energy_share == 4 / 2052
    assert item.energy_rows()["pe"]["value"].tolist() == [3.0, 1.0]
    assert item.latency_s == 25e-9
    assert item.utilization.tolist() == [6 / 40, 2 / 60]
    assert item.bound == {"dram": 0.6, "compute": 0.4}


def test_null_models_by_hand() -> None:
    null = report([10, 10], [0, 5], [6, 2]).null_models
    assert null == {"bytes_only_cycles": 4.0, "bytes_only_energy_pj": 8 * 4 * 32.0, "bits_x_bits": 8 * 64.0}


def test_leakage_costs_energy_over_the_latency() -> None:
    leaky = report([10**6], [0], [1], leakage={"SRAM": about(3.0, 2.0, unit="mW", source="table", node="n")})
    # 3 mW over 1 ms is 3 uJ.
    assert leaky.energy["leakage SRAM"].value == pytest.approx(3e6)
    assert (leaky + leaky).energy["leakage SRAM"].value == pytest.approx(6e6)


def test_unpriced_things_are_listed_with_their_share_of_the_bytes() -> None:
    item = report([10], [0], [5], unpriced=(Unpriced(name="softmax", reason="no figure", bytes=10.0),))
    assert item.unpriced_share == 10 / 40
    assert (item + item).unpriced == (Unpriced(name="softmax", reason="no figure", bytes=20.0),)
    assert "softmax: no figure" in str(item)


def test_a_total_is_of_what_has_a_price_and_the_rest_is_named() -> None:
    whole = report([10], [0], [5])
    prices = {"DRAM reads": whole.prices["DRAM reads"]}
    item = replace(whole, prices=prices, unpriced=(Unpriced(name="pe", reason="someone else's", bytes=40.0),))
    assert item.energy_pj == whole.energy["DRAM reads"]
    assert item.unpriced_share == 1.0
    assert "pe: someone else's" in str(item)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"counts": {"mystery": np.ones(1)}}, "mystery counted, but neither priced nor named in unpriced"),
        ({"rows": ("a", "b")}, r"column 'cycles' needs shape \(2,\), got \(1,\)"),
        ({"columns": {}}, "columns lack cycles, compute_cycles"),
        ({"feasible": False}, "an infeasible report says why"),
        ({"prices": dict.fromkeys(("pe", "DRAM reads"), AREA)}, "prices are in pJ or pJ/bit; pe, DRAM reads are not"),
    ],
)
def test_inconsistent_reports_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        report([10], [0], [5], **change)


def test_cycles_must_be_their_parts() -> None:
    good = report([10], [2], [5])
    with pytest.raises(ValueError, match="cycles must be compute_cycles \\+ stall_cycles; row 'op0' has 13 != 12"):
        replace(good, columns={**good.columns, "cycles": np.array([13])})


def test_without_clock_or_prices_the_report_says_so() -> None:
    with pytest.raises(ValueError, match="no clock_hz, so cycles are no seconds"):
        _ = report([10], [0], [5], clock_hz=None).latency_s
    bare = report([10], [0], [5], counts={}, prices={}, unpriced=(Unpriced(name="pe", reason="no figures"),))
    with pytest.raises(ValueError, match="no action has a price; unpriced: pe"):
        _ = bare.energy_pj
    assert np.isnan(bare.pe_energy_share)


def test_the_text_shows_totals_parts_intervals_and_assumptions() -> None:
    text = str(report([10, 10], [0, 5], [6, 2], feasible=False, reason="too small"))
    for expected in (
        "25 cycles = 25 ns at 1 GHz; stall 20.0%",
        "NOT FEASIBLE: too small",
        "2.05 nJ (1.37 nJ .. 3.08 nJ, estimated)",
        "0.0001 mm2",
        "null models: bytes only 4 cycles, 1.02 nJ; bits x bits 512",
        "assumption: assumed: nothing",
        "op1",
    ):
        assert expected in text, expected


def test_the_frame_has_a_row_per_operation_and_its_energies() -> None:
    pandas = pytest.importorskip("pandas")
    frame = report([10, 10], [0, 5], [6, 2]).to_frame()
    assert isinstance(frame, pandas.DataFrame)
    assert list(frame.index) == ["op0", "op1"]
    assert frame["energy_pj pe"].tolist() == [3.0, 1.0]
    assert frame["energy_pj pe high"].tolist() == [6.0, 2.0]
    assert frame["count pe"].tolist() == [6, 2]


def test_a_missing_pandas_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"pip install 'bitcost\[studies\]'"):
        report([10], [0], [5]).to_frame()


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.0042, "s", "4.2 ms"),
        (1234567.0, "J", "1.23 MJ"),
        (0.0, "s", "0 s"),
        (999.7, "B", "1 kB"),
        (3e-14, "J", "0.03 pJ"),
    ],
)
def test_engineering_units(value: float, unit: str, text: str) -> None:
    assert engineering(value, unit) == text


def test_reports_of_one_accelerator_add_over_its_arrays() -> None:
    int8, mixed = (hw.SystolicArray(hw.MacPE(a, "int8"), 16, 16) for a in ("int8", "int4"))
    chip = hw.Accelerator(array=int8, others=(mixed,), technology="gt2n")
    first = hw.gemm_report(["a"], [64], [64], [64], hw.setting(chip, array=int8))
    second = hw.gemm_report(["b"], [64], [64], [64], hw.setting(chip, array=mixed))
    both = first + second
    assert both.energy["pe 1"] == second.energy["pe 1"]
    assert both.energy["pe"] == first.energy["pe"]
    assert both.pe_energy_share == pytest.approx(
        (both.energy["pe"].value + both.energy["pe 1"].value) / both.energy_pj.value
    )
