"""The first path: one table of number formats, in model quality and in hardware cost of the same models.

Fidelity is measured on two real models: a byte-level language model of 0.9 M parameters (bits/byte above the
unquantised model, on held-out standard-library files) and all-MiniLM-L6-v2 (cosine to float32 embeddings of real
sentences). Cost is estimated for the same models on a 64 x 64 weight-stationary array of the pair's own PE, and beside
them for Llama-3-8B. Every pair is priced from one table, at two nodes, each at its own clock and at the slowest's.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import formats as nf
import hwsim as hw
import mappers as mp
from hwsim.technology.coefficients import between_libraries
from studies.common import Progress, Provenance, Row, read_csv, write_csv
from studies.quickstart_figures import draw_llama, draw_pareto
from studies.workloads.fidelity import BETWEEN, BYTE_LM_BATCH, Pair, Task, measure_all, traced
from studies.workloads.scores import agreement, paired

QUESTION = "Which number formats keep a model's quality, and what does each cost in hardware?"
SEED = 20_261_121  # nothing here draws at random; it names the run
TECHNOLOGIES = ("ihp130", "gt2n")
ROWS = COLUMNS = 64
BASELINE = "bf16/bf16"

# Weight / activation. Scalars get the scales their users give them: one per output channel and per token.
PAIRS = (
    Pair(label="int8/int8", weight="int8:channel", activation="int8:token"),
    Pair(label="e4m3fn/e4m3fn", weight="e4m3fn:channel", activation="e4m3fn:token"),
    Pair(label="e5m2/e5m2", weight="e5m2:channel", activation="e5m2:token"),
    Pair(label="mxfp6_e2m3/mxfp6_e2m3", weight="mxfp6_e2m3", activation="mxfp6_e2m3"),
    Pair(label="int6/int8", weight="int6:channel", activation="int8:token"),
    Pair(label="mxfp4/mxfp4", weight="mxfp4", activation="mxfp4"),
    Pair(label="nvfp4/nvfp4", weight="nvfp4", activation="nvfp4"),
    Pair(label="int4:g128/int8", weight="int4:g128", activation="int8:token"),
    Pair(label="nf4/bf16", weight="nf4:g64", activation="bfloat16"),
    Pair(label="int3:g32/int8", weight="int3:g32", activation="int8:token"),
    Pair(label=BASELINE, weight="bfloat16", activation="bfloat16"),
)


def _wide(pair: Pair) -> Pair:
    """The pair with keys and values in the activation's format: what the weight format alone costs in quality."""
    return replace(pair, label=f"{pair.label}, kv {pair.activation}", kv=pair.activation)


# Where the weight's format is narrow enough for keys and values to matter: at most 4 bits beside wider activations.
WIDE_KV = tuple(
    _wide(pair)
    for pair in PAIRS
    if nf.element_of(nf.get(pair.weight)).bits <= 4 < nf.element_of(nf.get(pair.activation)).bits
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Workload:
    """One model at one size. units: what energy and latency are divided by, and its name."""

    name: str
    graph: mp.Graph
    sizes: Mapping[str, int]
    units: int
    unit: str


def workloads(minilm: bool) -> list[Workload]:
    """The two models that are run, and Llama-3-8B, which is only priced."""
    found = [_own("byte_lm", {"S": 256}, 256, "byte")]
    if minilm:
        found.append(_own("minilm", {}, 1, "text"))
    prefill, decode = mp.load("llama-3-8b-prefill"), mp.load("llama-3-8b-decode")
    found.append(Workload(name="llama-3-8b-prefill", graph=prefill, sizes={"B": 1, "S": 512}, units=512, unit="token"))
    found.append(Workload(name="llama-3-8b-decode", graph=decode, sizes={"B": 1, "P": 512}, units=1, unit="token"))
    return found


def _own(name: Any, sizes: dict[str, int], units: int, unit: str) -> Workload:
    """A traced model at one sequence; sizes the trace fixed are dropped."""
    graph, _ = traced(name)
    open_sizes = {symbol.name for symbol in graph.symbols}
    bound = {key: value for key, value in {"B": 1, **sizes}.items() if key in open_sizes}
    missing = open_sizes - set(bound)
    bound |= dict.fromkeys(missing, 64 if name == "minilm" else 256)
    batch = 1 if "B" in open_sizes else BYTE_LM_BATCH
    return Workload(name=name, graph=graph, sizes=bound, units=units * batch, unit=unit)


@cache
def accelerator(pair: Pair, technology: str, clock_hz: float | None = None) -> hw.Accelerator:
    """64 x 64 PEs of the pair, activations streaming past held weights; SRAM and DRAM as bitcost's defaults."""
    pe = hw.MacPE(pair.activation, pair.weight)
    array = hw.SystolicArray(pe, rows=ROWS, columns=COLUMNS)
    return hw.Accelerator(array=array, technology=technology, clock_hz=clock_hz)


def costs(minilm: bool) -> list[Row]:
    """One row per workload, pair, node and clock."""
    rows = []
    for technology in TECHNOLOGIES:
        own = {pair.label: accelerator(pair, technology).clock for pair in PAIRS}
        slowest = min(own.values())
        for workload in workloads(minilm):
            for clock, hz in (("own", None), ("common", slowest)):
                rows += _cost_rows(workload, technology, clock, hz)
    return rows


def _cost_rows(workload: Workload, technology: str, clock: str, hz: float | None) -> list[Row]:
    reports = {}
    for pair in PAIRS:
        graph = mp.assign(workload.graph, {"*": pair.formats}, default=BETWEEN)
        reports[pair.label] = mp.evaluate(graph, accelerator(pair, technology, hz), **workload.sizes)
    base = reports[BASELINE]
    rows = [_cost_row(workload, technology, clock, pair, reports[pair.label], base) for pair in PAIRS]
    for row in rows:
        others = _undecided(str(row["label"]), reports) if clock == "own" else []
        row["undecided_against"] = "; ".join(others) or None
    return rows


def _undecided(label: str, reports: Mapping[str, hw.Report]) -> list[str]:
    """The pairs whose energy is neither surely above nor surely below this one's: the paired interval holds 1."""
    ratios = {other: hw.energy_ratio(reports[label], reports[other]) for other in reports if other != label}
    return [other for other, ratio in ratios.items() if ratio.low <= 1 <= ratio.high]


def _cost_row(workload: Workload, technology: str, clock: str, pair: Pair, report: hw.Report, base: hw.Report) -> Row:
    energy, area = report.energy_pj, report.area_um2
    relative, relative_area = hw.energy_ratio(report, base), _area_ratio(report, base)
    parts = _energy_parts(report)
    null = report.null_models
    return {
        "workload": workload.name,
        "label": pair.label,
        "weight": pair.weight,
        "activation": pair.activation,
        "technology": technology,
        "clock": clock,
        "clock_mhz": (report.clock_hz or 0.0) / 1e6,
        "unit": workload.unit,
        "latency_us": report.latency_s * 1e6 / workload.units,
        "energy_uj": energy.value / 1e6 / workload.units,
        "energy_low_uj": energy.low / 1e6 / workload.units,
        "energy_high_uj": energy.high / 1e6 / workload.units,
        "energy_ratio": relative.value,
        "energy_ratio_low": relative.low,
        "energy_ratio_high": relative.high,
        **{f"energy_{name}_uj": value / 1e6 / workload.units for name, value in parts.items()},
        "pe_energy_share": report.pe_energy_share,
        "area_mm2": area.value / 1e6,
        "area_low_mm2": area.low / 1e6,
        "area_high_mm2": area.high / 1e6,
        "array_area_ratio": relative_area.value,
        "array_area_ratio_low": relative_area.low,
        "array_area_ratio_high": relative_area.high,
        "pe_area_status": report.area["PEs"].status,
        "energy_status": energy.status,
        "utilization": report.macs / (float(report.cycles) * report.peak_macs_per_cycle),
        "bound": next(iter(report.bound)),
        "unpriced_share": report.unpriced_share,
        "bytes_only_energy_uj": null["bytes_only_energy_pj"] / 1e6 / workload.units,
        "bytes_only_latency_us": null["bytes_only_cycles"] / (report.clock_hz or 1.0) * 1e6 / workload.units,
        "bits_x_bits": null["bits_x_bits"] / workload.units,
    }


def _area_ratio(report: hw.Report, base: hw.Report) -> hw.Cost:
    """Of the arrays; the interval has room for what other libraries say of a ratio."""
    ratio = _array_area(report).ratio(_array_area(base))
    if report.accelerator == base.accelerator:
        return ratio
    return ratio.widened(between_libraries("area"), ratio.source)


def _array_area(report: hw.Report) -> hw.Cost:
    """PEs and everything else in the array (registers, scale units, adders); no SRAM, no vector unit."""
    parts = [cost for name, cost in report.area.items() if name not in ("SRAM", "vector unit")]
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


def _energy_parts(report: hw.Report) -> dict[str, float]:
    """Energy in pJ: PEs, the rest of the array, the vector unit, SRAM, DRAM."""
    parts = dict.fromkeys(("pe", "array", "vector", "sram", "dram"), 0.0)
    for name, cost in report.energy.items():
        key = name.removeprefix("leakage ").split(" ")[0].lower().removesuffix("s")
        parts[key if key in parts else "array"] += cost.value
    return parts


def fidelity(progress: Progress, minilm: bool) -> list[Row]:
    """Both models under every pair, in this run, against the same run without quantisation."""
    models: list[Any] = ["byte_lm"] + ["minilm"] * minilm
    # The longest first: the workers then end together.
    tasks = [Task(workload="byte_lm", pair=pair) for pair in (None, *WIDE_KV)]
    tasks += [Task(workload=model, pair=pair) for model in models for pair in (None, *PAIRS)[model == "byte_lm" :]]
    done: dict[tuple[str, str], NDArray[Any]] = {}
    for task, result in measure_all(tasks):
        label = task.pair.label if task.pair else "reference"
        progress(f"{task.workload} {label}")
        done[task.workload, label] = result
    rows = [_byte_lm_row(pair, done["byte_lm", pair.label], done["byte_lm", "reference"]) for pair in PAIRS]
    for row, pair in zip(rows, PAIRS, strict=True):
        wide = done.get(("byte_lm", _wide(pair).label))
        row["loss_kv_activation"] = None if wide is None else float(np.mean(wide - done["byte_lm", "reference"]))
    if minilm:
        rows += [_minilm_row(pair, done["minilm", pair.label], done["minilm", "reference"]) for pair in PAIRS]
    return rows


def _byte_lm_row(pair: Pair, losses: NDArray[Any], reference: NDArray[Any]) -> Row:
    from studies.workloads import corpus

    text = corpus.load()
    score = paired(losses, reference, text.file_index)
    return _quality(pair, "byte_lm", score.difference, score.standard_error, text.n_bytes, reference=score.reference)


def _minilm_row(pair: Pair, vectors: NDArray[Any], reference: NDArray[Any]) -> Row:
    score = agreement(vectors, reference)
    row = _quality(pair, "minilm", 1 - score.cosine_mean, score.cosine_standard_error, score.samples)
    return row | {"cosine_mean": score.cosine_mean, "cosine_p1": score.cosine_p1, "top10_overlap": score.top10_overlap}


def _quality(pair: Pair, workload: str, loss: float, error: float, samples: int, reference: float | None = None) -> Row:
    """loss: bits/byte above the unquantised model, or 1 - mean cosine; error: its standard error."""
    return {
        "workload": workload,
        "label": pair.label,
        "weight": pair.weight,
        "activation": pair.activation,
        "loss": loss,
        "loss_standard_error": error,
        "samples": samples,
        "reference_bits_per_byte": reference,
        "cosine_mean": None,
        "cosine_p1": None,
        "top10_overlap": None,
        "loss_kv_activation": None,
    }


def minilm_absence() -> str | None:
    """Why MiniLM cannot be run here, or None. Where BITCOST_REQUIRE_MINILM=1 its absence is an error."""
    from studies.workloads import minilm

    reason = minilm.available()
    if reason is not None and os.environ.get("BITCOST_REQUIRE_MINILM") == "1":
        raise RuntimeError(f"quickstart: MiniLM is required here (BITCOST_REQUIRE_MINILM=1), but {reason}")
    return reason


def run(out: Path, args: argparse.Namespace) -> None:
    """Measure, price, write the tables, draw."""
    del args
    absent = minilm_absence()
    count = 2 + (1 + len(PAIRS)) * (1 if absent else 2) + len(WIDE_KV)
    progress = Progress("quickstart", count)
    if absent:
        print(f"MiniLM is left out: {absent}")
    progress("costs")
    priced = costs(minilm=absent is None)
    measured = fidelity(progress, minilm=absent is None)
    provenance = Provenance.now(study="quickstart", seed=SEED, notes=_notes(absent))
    write_csv(priced, out / "quickstart_costs.csv", provenance)
    write_csv(measured, out / "quickstart.csv", provenance)
    progress("figures")
    draw(out / "quickstart.csv", out)
    print(table_text(measured, priced))


def _notes(absent: str | None) -> dict[str, object]:
    from studies.workloads import corpus

    text = corpus.load()
    return {
        "evaluation_text": f"{text.n_bytes} bytes, {len(text.paths)} files, sha256 {text.digest[:16]}",
        "minilm": "left out: " + absent if absent else "all-MiniLM-L6-v2, 300 texts of up to 64 tokens",
        "array": f"{ROWS}x{COLUMNS} weight stationary; keys and values of attention are in the weight's format",
        "products": "summed in float32, BLAS order",
    }


def draw(csv_path: Path, out: Path) -> None:
    """Both figures from the two tables alone."""
    measured = read_csv(csv_path)
    priced = read_csv(csv_path.with_name("quickstart_costs.csv"))
    draw_pareto(measured.rows, priced.rows, out)
    draw_llama(priced.rows, out)


def table_text(measured: list[Row], priced: list[Row]) -> str:
    """The result as text: a line a pair."""
    quality = {(str(row["workload"]), str(row["label"])): row for row in measured}
    cost = {
        (str(row["workload"]), str(row["label"])): row
        for row in priced
        if row["technology"] == TECHNOLOGIES[0] and row["clock"] == "own"
    }
    head = f"{'weight/activation':<24}{'bits/byte lost':>18}{'kv as act.':>11}{'MiniLM cosine':>15}{'top-10':>8}"
    head += f"{'energy / bf16':>22}{'array area / bf16':>22}{'unpriced':>10}"
    lines = [f"\n{TECHNOLOGIES[0]}, byte model, own clock; interval in brackets", head]
    for pair in PAIRS:
        loss, price = quality["byte_lm", pair.label], cost["byte_lm", pair.label]
        text = quality.get(("minilm", pair.label))
        lines.append(
            f"{pair.label:<24}{_number(loss['loss']):>10.4f} +-{_number(loss['loss_standard_error']):.4f}"
            + (f"{'':>11}" if loss["loss_kv_activation"] is None else f"{_number(loss['loss_kv_activation']):>11.4f}")
            + (
                f"{_number(text['cosine_mean']):>15.4f}{_number(text['top10_overlap']):>8.3f}"
                if text
                else f"{'-':>15}{'-':>8}"
            )
            + f"{_interval(price, 'energy_ratio'):>22}{_interval(price, 'array_area_ratio'):>22}"
            + f"{_number(price['unpriced_share']):>10.0%}"
        )
    lines.append(
        "kv as act.: with attention's keys and values in the activation's format; they are in the weight's elsewhere"
    )
    return "\n".join(lines)


def _agreement(row: Row) -> str:
    return f"{_number(row['cosine_mean']):>15.4f}{_number(row['top10_overlap']):>8.3f}"


def _number(cell: object) -> float:
    return float(str(cell))


def _interval(row: Row, name: str) -> str:
    value, low, high = (_number(row[key]) for key in (name, f"{name}_low", f"{name}_high"))
    return f"{value:.2f} ({low:.2f}..{high:.2f})"
