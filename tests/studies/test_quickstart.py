"""The quickstart: both models are in it, costs and fidelity meet in one table, figures come from the tables alone."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="the models are torch models")
pytest.importorskip("matplotlib", reason="studies draw with matplotlib")

from studies import quickstart
from studies.common import Provenance, read_csv, write_csv
from studies.workloads import minilm

RESULTS = Path(quickstart.__file__).parent / "results"
LABELS = [pair.label for pair in quickstart.PAIRS]


def test_the_pairs_are_the_eleven_asked_for() -> None:
    assert LABELS == [
        "int8/int8",
        "e4m3fn/e4m3fn",
        "e5m2/e5m2",
        "mxfp6_e2m3/mxfp6_e2m3",
        "int6/int8",
        "mxfp4/mxfp4",
        "nvfp4/nvfp4",
        "int4:g128/int8",
        "nf4/bf16",
        "int3:g32/int8",
        "bf16/bf16",
    ]


def test_minilm_is_in_the_table_wherever_it_is_required(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minilm, "available", lambda: "package is not installed")
    monkeypatch.delenv("BITCOST_REQUIRE_MINILM", raising=False)
    assert quickstart.minilm_absence() == "package is not installed"
    monkeypatch.setenv("BITCOST_REQUIRE_MINILM", "1")
    with pytest.raises(RuntimeError, match="MiniLM is required here"):
        quickstart.minilm_absence()


@pytest.mark.skipif(minilm.available() is not None, reason=str(minilm.available()))
def test_every_model_is_priced_under_every_pair() -> None:
    rows = quickstart.costs(minilm=True)
    models = {"byte_lm", "minilm", "llama-3-8b-prefill", "llama-3-8b-decode"}
    keys = {(row["workload"], row["label"], row["technology"], row["clock"]) for row in rows}
    assert len(keys) == len(rows) == len(models) * len(LABELS) * 2 * 2
    assert {row["workload"] for row in rows} == models
    for row in rows:
        parts = sum(float(str(row[f"energy_{part}_uj"])) for part in ("pe", "array", "vector", "sram", "dram"))
        assert parts == pytest.approx(row["energy_uj"])
        assert row["energy_low_uj"] <= row["energy_uj"] <= row["energy_high_uj"]
        assert 0 < row["pe_energy_share"] < 1
        if row["label"] == quickstart.BASELINE:
            assert row["energy_ratio"] == row["energy_ratio_low"] == row["energy_ratio_high"] == 1.0


def test_undecided_is_mutual_and_never_about_itself() -> None:
    rows = [row for row in quickstart.costs(minilm=False) if row["clock"] == "own"]
    held = {
        (row["workload"], row["technology"], row["label"]): set(str(row["undecided_against"] or "").split("; ")) - {""}
        for row in rows
    }
    assert any(held.values())
    for (workload, node, label), others in held.items():
        assert label not in others
        assert all(label in held[workload, node, other] for other in others)


def test_clocks_are_own_or_common_per_node() -> None:
    rows = [row for row in quickstart.costs(minilm=False) if row["workload"] == "llama-3-8b-decode"]
    for node in quickstart.TECHNOLOGIES:
        own = {row["label"]: row["clock_mhz"] for row in rows if (row["technology"], row["clock"]) == (node, "own")}
        common = {row["clock_mhz"] for row in rows if (row["technology"], row["clock"]) == (node, "common")}
        assert common == {min(own.values())}


def test_committed_results_hold_both_models_and_redraw(tmp_path: Path) -> None:
    table = read_csv(RESULTS / "quickstart.csv")
    assert {(row["workload"], row["label"]) for row in table.rows} == {
        (model, label) for model in ("byte_lm", "minilm") for label in LABELS
    }
    assert all(row["samples"] == 262_144 for row in table.rows if row["workload"] == "byte_lm")
    quickstart.draw(RESULTS / "quickstart.csv", tmp_path)
    for name in ("quickstart", "quickstart_llama"):
        assert (tmp_path / f"{name}.png").stat().st_size > 10_000
        assert (tmp_path / f"{name}.svg").is_file()


def test_committed_costs_are_what_the_code_computes() -> None:
    committed = {
        (row["workload"], row["label"], row["technology"], row["clock"]): row
        for row in read_csv(RESULTS / "quickstart_costs.csv").rows
    }
    for row in quickstart.costs(minilm=False):
        held = committed[row["workload"], row["label"], row["technology"], row["clock"]]
        for name in ("energy_uj", "latency_us", "area_mm2", "energy_ratio"):
            assert row[name] == pytest.approx(held[name], rel=1e-9), (row["workload"], row["label"], name)


@pytest.mark.slow
def test_a_run_with_two_pairs_from_end_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = tuple(pair for pair in quickstart.PAIRS if pair.label in ("mxfp4/mxfp4", quickstart.BASELINE))
    monkeypatch.setattr(quickstart, "PAIRS", pairs)
    quickstart.run(tmp_path, argparse.Namespace())
    rows = {(row["workload"], row["label"]): row for row in read_csv(tmp_path / "quickstart.csv").rows}
    held = {(row["workload"], row["label"]): row for row in read_csv(RESULTS / "quickstart.csv").rows}
    for key, row in rows.items():
        # BLAS may order sums differently elsewhere; a code may flip, the mean hardly moves.
        assert row["loss"] == pytest.approx(held[key]["loss"], abs=5e-3)


def test_a_point_without_its_cost_row_is_an_error(tmp_path: Path) -> None:
    measured = read_csv(RESULTS / "quickstart.csv").rows
    priced = [row for row in read_csv(RESULTS / "quickstart_costs.csv").rows if row["label"] != "mxfp4/mxfp4"]
    write_csv(measured, tmp_path / "quickstart.csv", Provenance.now(study="quickstart"))
    write_csv(priced, tmp_path / "quickstart_costs.csv", Provenance.now(study="quickstart"))
    with pytest.raises(KeyError, match="mxfp4/mxfp4"):
        quickstart.draw(tmp_path / "quickstart.csv", tmp_path)
