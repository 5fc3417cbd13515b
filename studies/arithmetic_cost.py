"""What emulated arithmetic costs at real sizes: seconds and fidelity of MiniLM, peak memory of a product.

arithmetic_cost.csv: MiniLM embeds 300 sentences of up to 40 tokens with every matrix product of the traced graph,
attention's too, made by one multiplier and one accumulator on two threads; agreement is with float32's embeddings of
the same run. Seconds are those of the run alone, after a batch that compiles; others_s are CPU seconds that other
processes took from the machine meanwhile. arithmetic_cost_memory.csv: peak resident memory of one product beyond
operands and result, each in a process of its own. Without MiniLM's weights only the second table is made.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

import formats as nf
import mappers as mp
from studies import product_memory
from studies.common import Progress, Provenance, Row, read_csv, require, write_csv
from studies.plots import new_figure, save, style

QUESTION = "What does emulated arithmetic cost on a real model (seconds, fidelity), and how much memory does it take?"
SEED = product_memory.SEED  # of the products whose memory is measured; nothing else draws at random
LENGTH = 40  # tokens a sentence is cut or padded to
BATCH = 50
REPEATS = 3
THREADS = 2
TWO_THREADS = {
    name: str(THREADS) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
}
SHAPE = (3072, 6144, 3072)  # M, K, N of the products whose memory is measured
MEMORY_BAR_MIB = 256.0


@dataclass(frozen=True, kw_only=True)
class Case:
    """One arithmetic for all products. bar_s: the most wall seconds this project holds itself to; such a case is run
    several times and its best run kept, the others once."""

    label: str
    operands: str
    how: dict[str, Any] = field(default_factory=dict)
    bar_s: float | None = None


INTEGER_ADD = nf.LMul("integer_add", policy="flush_and_saturate")
CASES = (
    Case(label="exact", operands="e4m3fn", how={"accumulator": nf.Exact()}),
    Case(label="hopper_fp8", operands="e4m3fn", how={"accumulator": "hopper_fp8"}),
    Case(label="float16 chain", operands="e4m3fn", how={"accumulator": nf.FloatChain("float16")}),
    Case(label="bfloat16 chain", operands="e4m3fn", how={"accumulator": nf.FloatChain("bfloat16")}, bar_s=30.0),
    Case(
        label="lmul_formula",
        operands="e4m3fn",
        how={"multiplier": "lmul_formula", "accumulator": nf.FloatChain("float32")},
    ),
    Case(
        label="lmul_integer_add",
        operands="e4m3fn",
        how={"multiplier": INTEGER_ADD, "accumulator": nf.FloatChain("float32")},
    ),
    Case(
        label="lmul_integer_add",
        operands="bfloat16",
        how={"multiplier": INTEGER_ADD, "accumulator": nf.FloatChain("float32")},
    ),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this study."""
    parser.add_argument("--texts", type=int, help="sentences embedded (default: all 300)")
    parser.add_argument("--repeats", type=int, default=REPEATS, help="runs of a case with a bar, best kept (default 3)")
    parser.add_argument(
        "--patience", type=float, default=0.0, help="seconds a run with a bar waits for other processes to rest"
    )
    parser.add_argument("--shape", type=int, nargs=3, default=SHAPE, metavar=("M", "K", "N"), help="product for memory")


def work(graph: mp.Graph, texts: int) -> Row:
    """Products of one pass and multiply-accumulates of all batches, padding included: what is computed."""
    items = graph.bind(**{symbol.name: {"B": BATCH, "S": LENGTH}[symbol.name] for symbol in graph.symbols}).products
    linear = np.asarray([label == "linear" for label in items["label"]])
    batches = -(-texts // BATCH)
    return {
        "linear_products": int(linear.sum()),
        "attention_products": int((~linear).sum()),
        "linear_mmac": float(items["macs"][linear].sum()) * batches / 1e6,
        "attention_mmac": float(items["macs"][~linear].sum()) * batches / 1e6,
    }


def machine_seconds() -> float:
    """CPU seconds that all processes of this machine have used; NaN where the system does not say."""
    try:
        user, nice, system, _, _, interrupts, soft = (
            Path("/proc/stat").read_text(encoding="ascii").split(maxsplit=8)[1:8]
        )
    except (OSError, ValueError):
        return float("nan")
    return sum(map(int, (user, nice, system, interrupts, soft))) / float(os.sysconf("SC_CLK_TCK"))


def wait_for_rest(patience_s: float, glance_s: float = 3.0) -> None:
    """Return when other processes take less than a tenth of a CPU, looked at for glance_s, or after patience_s."""
    end = time.monotonic() + patience_s
    while time.monotonic() + glance_s <= end:
        before = machine_seconds()
        time.sleep(glance_s)
        if not machine_seconds() - before >= 0.1 * glance_s:
            return


def fidelity_rows(
    cases: Iterable[Case], texts: int | None, repeats: int, progress: Progress, patience_s: float = 0.0
) -> list[Row]:
    """A row a case, float32 (no emulation) first. patience_s: before each run of a case with a bar."""
    torch = require("torch", "torch")
    from studies.workloads import minilm
    from studies.workloads.fidelity import texts as sentences
    from studies.workloads.scores import agreement

    model = minilm.load()
    example = torch.zeros((BATCH, LENGTH), dtype=torch.int64)
    graph, weights = mp.trace(model, (example, torch.ones_like(example))), dict(model.state_dict())
    ids, mask = minilm.tokenizer().batch(sentences()[:texts], LENGTH)
    done = work(graph, len(ids))
    mmac = float(str(done["linear_mmac"])) + float(str(done["attention_mmac"]))
    reference = None
    rows: list[Row] = []
    for case in (Case(label="float32", operands="float32"), *cases):
        progress(f"{case.label}, {case.operands}")
        formats = mp.Formats(case.operands, case.operands, **case.how)
        run = mp.prepare(mp.assign(graph, {"*": formats}) if case.how else graph, weights)
        count = repeats if case.bar_s is not None else 1

        def forward(ids: Any, mask: Any, run: Any = run) -> Any:
            return run((ids, mask))

        minilm.embed(forward, ids[:BATCH], mask[:BATCH], batch=BATCH)
        seconds = []
        for _ in range(count):
            if case.bar_s is not None:
                wait_for_rest(patience_s)
            before = np.asarray([time.perf_counter(), time.process_time(), machine_seconds()])
            vectors = minilm.embed(forward, ids, mask, batch=BATCH)
            after = np.asarray([time.perf_counter(), time.process_time(), machine_seconds()])
            seconds.append((after - before).tolist())
        wall_s, process_s, machine_s = min(seconds)
        reference = vectors if reference is None else reference
        score = agreement(vectors, reference)
        rows.append(
            {
                "label": case.label,
                "operands": case.operands,
                "how": ", ".join(f"{key}={value}" for key, value in case.how.items()) or "torch",
                "wall_s": wall_s,
                "process_s": process_s,
                "others_s": None if np.isnan(machine_s) else max(0.0, machine_s - process_s),
                "runs": count,
                "bar_s": case.bar_s,
                "met": None if case.bar_s is None else wall_s < case.bar_s,
                "texts": len(ids),
                "tokens": int(mask.sum()),
                **done,
                "gmacs": mmac / wall_s / 1e3,
                "cosine_mean": score.cosine_mean,
                "cosine_standard_error": score.cosine_standard_error,
                "cosine_p1": score.cosine_p1,
                "top10_overlap": score.top10_overlap,
                "top10_standard_error": score.top10_standard_error,
            }
        )
    return rows


def memory_rows(shape: tuple[int, int, int], progress: Progress) -> list[Row]:
    """A row a way of summing or multiplying."""
    rows = []
    for case in product_memory.CASES:
        progress(f"memory, {case}")
        row = product_memory.in_own_process(case, shape)
        rows.append(row | {"bar_mib": MEMORY_BAR_MIB, "met": float(str(row["beyond_mib"])) <= MEMORY_BAR_MIB})
    return rows


def minilm_absence() -> str | None:
    """Why MiniLM cannot be run here, and what to install; None where it can."""
    try:
        from studies.workloads import minilm
    except ImportError as error:
        return str(error)
    return minilm.available()


def hold_two_cpus() -> str:
    """Keep this process on two CPUs where the system allows it; says what was done."""
    if not hasattr(os, "sched_setaffinity"):
        return "CPUs not limited: this system cannot"
    cpus = sorted(os.sched_getaffinity(0))[:THREADS]
    os.sched_setaffinity(0, cpus)
    return f"{len(cpus)} CPUs"


def run(out: Path, args: argparse.Namespace) -> None:
    """Measure in a process of two threads, write the tables, draw, and print both."""
    if any(os.environ.get(name) != value for name, value in TWO_THREADS.items()):
        command = [sys.executable, "-m", "studies", "arithmetic_cost", "--out", str(out)]
        command += ["--repeats", str(args.repeats), "--shape", *map(str, args.shape)]
        command += ["--patience", str(args.patience)]
        command += ["--texts", str(args.texts)] if args.texts is not None else []
        subprocess.run(command, check=True, env=os.environ | TWO_THREADS)
        return
    absent, memory_absent = minilm_absence(), product_memory.unavailable()
    provenance = Provenance.now(study="arithmetic_cost", seed=SEED)
    conditions = f"{hold_two_cpus()}, {THREADS} threads; case with a bar: best of {args.repeats} runs, others one run"
    steps = (0 if memory_absent else len(product_memory.CASES)) + (0 if absent else 1 + len(CASES))
    progress = Progress("arithmetic_cost", steps)
    if memory_absent:
        print(f"memory is left out: {memory_absent}")
    else:
        held = memory_rows(tuple(args.shape), progress)
        write_csv(held, out / "arithmetic_cost_memory.csv", _stamp(provenance, conditions))
        print(memory_text(held))
    if absent:
        print(f"MiniLM is left out: {absent}")
        return
    rows = fidelity_rows(CASES, args.texts, args.repeats, progress, args.patience)
    write_csv(rows, out / "arithmetic_cost.csv", _stamp(provenance, conditions))
    print(fidelity_text(rows))
    draw(out / "arithmetic_cost.csv", out)


def _stamp(provenance: Provenance, conditions: str) -> Provenance:
    """With what the run depends on."""
    versions = ", ".join(f"{name} {_version(name)}" for name in ("numpy", "numba", "torch"))
    return replace(provenance, notes=(("conditions", conditions), ("libraries", versions)))


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"


def fidelity_text(rows: list[Row]) -> str:
    """The first table as text."""
    head = (
        f"{'products':<18}{'operands':<10}{'wall s':>8}{'CPU s':>8}{'others':>8}{'GMAC/s':>8}{'cosine':>9}{'top-10':>8}"
    )
    lines = [head]
    for row in rows:
        bar = "" if row["bar_s"] is None else f"   bar {row['bar_s']:g} s {'met' if row['met'] else 'MISSED'}"
        lines.append(
            f"{row['label']:<18}{row['operands']:<10}{row['wall_s']:>8.1f}{row['process_s']:>8.1f}"
            f"{'' if row['others_s'] is None else round(float(str(row['others_s'])), 1):>8}{row['gmacs']:>8.2f}"
            f"{row['cosine_mean']:>9.4f}{row['top10_overlap']:>8.3f}{bar}"
        )
    return "\n".join(lines)


def memory_text(rows: list[Row]) -> str:
    """The second table as text."""
    lines = [f"{'product':<18}{'beyond operands and result':>28}{'bar':>10}{'loaded by the first':>22}"]
    for row in rows:
        met = "met" if row["met"] else "MISSED"
        lines.append(
            f"{row['case']:<18}{row['beyond_mib']:>24.0f} MiB{row['bar_mib']:>6.0f} {met:<6}"
            f"{row['first_small_product_mib']:>15.0f} MiB"
        )
    return "\n".join(lines)


@style()
def draw(csv_path: Path, out: Path) -> None:
    """What each arithmetic loses of MiniLM, from the first table alone; speeds depend on the machine and stay there."""
    rows = [row for row in read_csv(csv_path).rows if row["label"] != "float32"]
    figure, (axes,) = new_figure(size_inches=(7.0, 0.35 * len(rows) + 1.4))
    places = np.arange(len(rows))[::-1]
    lost = [1 - float(str(row["cosine_mean"])) for row in rows]
    for place, value, row in zip(places, lost, rows, strict=True):
        error = float(str(row["cosine_standard_error"]))
        axes.errorbar(value, place, xerr=error, fmt="o", color="C0", capsize=2)
        text = f"{float(str(row['top10_overlap'])):.0%} of the nearest ten kept"
        right = value > 0.03
        axes.annotate(
            text, (value, place), xytext=(-8 if right else 8, 0), textcoords="offset points", fontsize=7,
            ha="right" if right else "left", va="center",
        )  # fmt: skip
    axes.set_yticks(places, [f"{row['label']}, {row['operands']}" for row in rows])
    axes.set_ylim(-0.7, len(rows) - 0.3)
    axes.set_xscale("log")
    chain, exact = (next(v for v, r in zip(lost, rows, strict=True) if r["label"] == name)
                    for name in ("bfloat16 chain", "exact"))  # fmt: skip
    axes.set(
        xlabel="1 - mean cosine to float32's embeddings (MiniLM)",
        ylabel="products",
        title=f"A bfloat16 chain loses {chain / exact:.1f} times what exact sums of e4m3fn lose",
    )
    save(figure, out, "arithmetic_cost")
