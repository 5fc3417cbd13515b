"""Closed-form cycles: against SCALE-Sim, against the definition of a fold, at the edges of int64, and their speed."""

from __future__ import annotations

import csv
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.array import Gemm
from hwsim.cycles import DATAFLOWS, Dataflow, gemm_cycles

DATA = Path(__file__).parent / "data" / "scalesim_gemm.csv"
size = st.integers(1, 300)


def scalesim_rows() -> list[dict[str, str]]:
    with DATA.open(newline="") as file:
        return list(csv.DictReader(line for line in file if not line.startswith("#")))


def scalesim_mismatches(rows: list[dict[str, str]]) -> list[str]:
    """One line for every figure of SCALE-Sim's that ours does not equal, once its two known quirks are taken away."""
    found = []
    for dataflow in DATAFLOWS:
        chosen = [row for row in rows if row["dataflow"] == dataflow]
        sizes = {name: np.array([int(row[name]) for row in chosen]) for name in ("m", "k", "n", "rows", "columns")}
        ours = gemm_cycles(**sizes, dataflow=dataflow, drain=False)
        theirs = {
            name: np.array([float(row[name]) for row in chosen]) for name in chosen[0] if name != "dataflow"
        }  # every count is far below 2**53
        quirk = (sizes["rows"] + sizes["columns"]) * ours["folds"] if dataflow == "output_stationary" else 0
        last_cycle = ours["cycles"] - 1 + theirs["stall_cycles"]  # the tool prints the index of its last cycle
        for name, expected in {
            "total_cycles": last_cycle,
            "folds": ours["folds"],
            "sram_ifmap_reads": ours["a_read_words"],
            "sram_filter_reads": ours["b_read_words"],
            "sram_ofmap_writes": ours["output_write_words"] + ours["partial_write_words"] + quirk,
            "mapping_eff_pct": 100 * ours["mapping_efficiency"],
            "overall_util_pct": 100 * ours["utilization"] * ours["cycles"] / last_cycle,
        }.items():
            # percentages: both sides are a few float64 operations on exact integers, hence 4 ulp
            equal = np.isclose(theirs[name], expected, rtol=1e-15 if "pct" in name else 0, atol=0)
            found += [f"{dataflow} {name}: {chosen[i]}" for i in np.flatnonzero(~equal)]
    return found


def test_all_rows_of_scalesim_match() -> None:
    rows = scalesim_rows()
    assert len(rows) == 630
    assert scalesim_mismatches(rows) == []


@pytest.mark.parametrize("column", ["total_cycles", "folds", "sram_ofmap_writes", "mapping_eff_pct"])
def test_the_scalesim_check_sees_one_wrong_figure(column: str) -> None:
    rows = scalesim_rows()
    rows[77][column] = str(float(rows[77][column]) * (1 + 1e-12) if "pct" in column else int(rows[77][column]) + 1)
    assert len(scalesim_mismatches(rows)) == 1


@pytest.mark.parametrize(
    ("dataflow", "drain", "expected"),
    [
        ("weight_stationary", True, 2 * 16 + 16 + 256 - 2),  # 302, which a Verilog simulation of this array also took
        ("weight_stationary", False, 2 * 16 + 16 + 256 - 2),
        ("input_stationary", True, 16 * (2 * 16 + 16 + 16 - 2)),
        ("output_stationary", True, 16 * (2 * 16 + 16 + 16 - 2)),
        ("output_stationary", False, 16 * (16 + 16 + 16 - 2)),
    ],
)
def test_256x16x16_on_a_16x16_array(dataflow: Dataflow, drain: bool, expected: int) -> None:
    assert gemm_cycles(256, 16, 16, rows=16, columns=16, dataflow=dataflow, drain=drain)["cycles"] == expected


def walk(gemm: Gemm, rows: int, columns: int, lanes: int, dataflow: str) -> dict[str, int]:
    """Folds and words one fold at a time, from the sizes of the tiles themselves."""
    m, n = (gemm.n, gemm.m) if dataflow == "input_stationary" else (gemm.m, gemm.n)  # a @ b = (b.T @ a.T).T
    counts = dict.fromkeys(("folds", "macs", "moving", "still", "written", "read_back"), 0)
    outer, step = (m, rows) if dataflow == "output_stationary" else (gemm.k, rows * lanes)
    for _ in range(gemm.batch):
        for first in range(0, outer, step):
            tile = min(step, outer - first)
            for column in range(0, n, columns):
                used = min(columns, n - column)
                counts["folds"] += 1
                if dataflow == "output_stationary":
                    counts["macs"] += tile * used * gemm.k
                    counts["moving"] += tile * gemm.k
                    counts["still"] += used * gemm.k  # B, which streams too
                    counts["written"] += tile * used
                else:
                    counts["macs"] += tile * used * m
                    counts["moving"] += tile * m
                    counts["still"] += tile * used
                    counts["written"] += m * used
                    counts["read_back"] += m * used if first else 0
    return counts


@given(m=size, k=size, n=size, batch=st.integers(1, 3), rows=size, columns=size, lanes=st.integers(1, 8))
@pytest.mark.parametrize("dataflow", DATAFLOWS)
def test_counts_equal_a_walk_over_the_folds(
    m: int, k: int, n: int, batch: int, rows: int, columns: int, lanes: int, dataflow: Dataflow
) -> None:
    counts = gemm_cycles(m, k, n, batch, rows, columns, lanes, dataflow)
    walked = walk(Gemm(m, k, n, batch), rows, columns, lanes, dataflow)
    moving, still = ("b", "a") if dataflow == "input_stationary" else ("a", "b")
    assert counts["folds"] == walked["folds"]
    assert counts["macs"] == walked["macs"] == m * k * n * batch
    assert counts[f"{moving}_read_words"] == walked["moving"]
    assert counts[f"{still}_read_words"] == walked["still"]
    assert counts["partial_read_words"] == counts["partial_write_words"] == walked["read_back"]
    assert counts["output_write_words"] + counts["partial_write_words"] == walked["written"]


@given(m=size, k=size, n=size, rows=size, columns=size, lanes=st.integers(1, 8), drain=st.booleans())
@pytest.mark.parametrize("dataflow", DATAFLOWS)
def test_parts_sum_and_utilization_stays_within_peak(
    m: int, k: int, n: int, rows: int, columns: int, lanes: int, drain: bool, dataflow: Dataflow
) -> None:
    counts = gemm_cycles(m, k, n, 1, rows, columns, lanes, dataflow, drain)
    parts = [counts[f"{part}_cycles"] for part in ("load", "skew", "stream", "drain")]
    assert sum(parts) == counts["cycles"]
    assert min(parts) >= 0
    assert counts["cycles"] * rows * columns * lanes >= counts["macs"]
    assert 0 < counts["utilization"] <= counts["mapping_efficiency"] <= 1
    peak = counts["cycles"] * rows * columns * lanes
    assert counts["utilization"] == pytest.approx(counts["macs"] / peak, rel=1e-15)  # four float64 roundings at most


def test_a_sweep_equals_its_entries_and_broadcasts() -> None:
    rng = np.random.default_rng(7)
    m, k, n = rng.integers(1, 5000, (3, 4, 5))
    swept = gemm_cycles(m, k, n, rows=np.array([8, 16, 32, 64, 128]), columns=32, dataflow="output_stationary")
    for i, j in np.ndindex(4, 5):
        one = gemm_cycles(m[i, j], k[i, j], n[i, j], rows=8 << j, columns=32, dataflow="output_stationary")
        assert {name: column[i, j] for name, column in swept.items()} == {name: one[name] for name in one}
    assert all(column.shape == (3, 4) for column in gemm_cycles([1, 2, 3, 4], [[5], [6], [7]], 2).values())
    assert gemm_cycles(np.zeros(0, np.int32), 1, 1)["cycles"].shape == (0,)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"m": 0}, ValueError, "m must be at least 1, got 0"),
        ({"k": [[4, 4], [4, -2]]}, ValueError, r"k must be at least 1, got -2 at index \(1, 1\)"),
        ({"n": 2.0}, TypeError, "n must be an integer or an array of integers, got float64 2.0"),
        ({"rows": True}, TypeError, "rows must be an integer"),
        ({"m": [1, 2], "n": [1, 2, 3]}, ValueError, r"shapes must broadcast together, got m \(2,\), n \(3,\)"),
        ({"dataflow": "ws"}, ValueError, "weight_stationary, output_stationary, input_stationary, got 'ws'"),
        ({"m": 2**40, "k": 2**20, "n": 2**20}, OverflowError, "m=1099511627776, k=1048576, n=1048576"),
        ({"m": np.uint64(2**63)}, OverflowError, "m reaches 9223372036854775808, beyond int64"),
    ],
)
def test_bad_arguments(arguments: dict[str, object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        gemm_cycles(**{"m": 4, "k": 4, "n": 4, **arguments})


def test_overflow_is_judged_entry_by_entry() -> None:
    big = np.array([2**40, 1, 1])  # the product of the three maxima leaves int64, no entry does
    counts = gemm_cycles(big, np.roll(big, 1), np.roll(big, 2), rows=8, columns=8)
    assert counts["cycles"].tolist() == [2**40 + 22, 2**37 * 23, 2**37 * 23]


@given(st.tuples(*[st.integers(1, 2**22)] * 3), st.sampled_from(DATAFLOWS), st.integers(1, 300), st.integers(1, 300))
def test_no_count_wraps_silently(shape: tuple[int, int, int], dataflow: Dataflow, rows: int, columns: int) -> None:
    m, k, n = shape
    try:
        counts = gemm_cycles(m, k, n, rows=rows, columns=columns, dataflow=dataflow)
    except OverflowError:
        assert 2 * 4 * (m + 600) * (k + 600) * (n + 600) > 2**63 - 1
        return
    assert counts["macs"] == m * k * n
    spatial_rows, spatial_columns, steps = {
        "weight_stationary": (k, n, m),
        "input_stationary": (k, m, n),
        "output_stationary": (m, n, k),
    }[dataflow]
    folds = -(-spatial_rows // rows) * -(-spatial_columns // columns)  # Python integers
    assert counts["cycles"] == folds * (2 * rows + columns + steps - 2)


def test_speed_is_at_least_100_000_shapes_a_second() -> None:
    rng = np.random.default_rng(1)
    m, k, n = rng.integers(1, 8192, (3, 200_000))
    best = min(_seconds(m, k, n) for _ in range(5))
    assert len(m) / best >= 100_000


def _seconds(m: np.ndarray, k: np.ndarray, n: np.ndarray) -> float:
    start = time.process_time()
    gemm_cycles(m, k, n, rows=32, columns=32)
    return time.process_time() - start
