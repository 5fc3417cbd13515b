"""Cost of a processing element for any pair of formats: estimates beside synthesis, and beside what papers say.

Tables: pe_cost.csv, all pairs of 40 formats estimated for every library; pe_cost_speed.csv, how long that takes;
pe_cost_synthesised.csv, every synthesised PE beside its estimate; pe_cost_left_out.csv, errors of estimates with their
family left out; pe_cost_periods.csv, area and delay for several clock periods; pe_cost_claims.csv, published claims.

All but the periods come from the tables of hwsim/technology alone. The periods are synthesised anew under --liberty
(a library's file; needs pyosys), else taken from the committed table.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from hwsim import price
from hwsim.circuit.paths import slowest
from hwsim.pe.catalogue import catalogue
from hwsim.pe.mac import MacPE
from hwsim.technology import Row as Synthesised
from hwsim.technology import technologies, technology
from hwsim.technology.coefficients import fitted
from hwsim.technology.tables import load
from studies import pe_cost_claims, pe_cost_figures, pe_cost_periods
from studies.common import Cell, Progress, Provenance, Row, read_csv, write_csv

QUESTION = "What does a MAC of any two formats cost, how good is the estimate, and do published costs hold?"

RESULTS = Path(__file__).with_name("results")
INTEGERS = tuple(f"int{bits}" for bits in range(2, 17))
FLOATS = (
    "e2m0:none", "e2m1fn", "e1m2fn", "e3m0fn", "e2m2:none", "e2m3fn", "e3m2fn", "e3m3:none", "e2m5:none", "e4m3fn",
    "e4m3", "e5m2", "e3m4", "e4m3fnuz", "e5m2fnuz", "e4m3b11fnuz", "bfloat16", "float16", "tf32", "float32",
)  # fmt: skip
CODEBOOKS = ("nf4", "sf4", "af4", "flint4", "apot4")  # looked up in bfloat16
FORMATS = INTEGERS + FLOATS + CODEBOOKS
BAR_MS = 1.0
INTERVALS = ("interval_clocked", "interval_combinational")  # of modules with registers, and without
QUANTITIES = {"area": "um2", "delay": "ns", "energy": "pJ"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this study."""
    parser.add_argument("--liberty", metavar="PATH", help="a .lib or .lib.gz: synthesise the PEs for several periods")
    parser.add_argument("--formats", nargs="+", default=FORMATS, metavar="NAME", help="of the pairs (default: all 40)")


class Clock:
    """CPU seconds of this process by what they were spent on."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.calls: dict[str, int] = {}

    def __call__(self, what: str, of: Callable[[], Any]) -> Any:
        """What `of` returns."""
        start = time.process_time()
        found = of()
        self.seconds[what] = self.seconds.get(what, 0.0) + time.process_time() - start
        self.calls[what] = self.calls.get(what, 0) + 1
        return found

    def rows(self) -> list[Row]:
        """A row each, against the bar."""
        found: list[Row] = []
        for what, seconds in self.seconds.items():
            each_ms = 1e3 * seconds / self.calls[what]
            found.append({
                "what": what, "calls": self.calls[what], "ms_each": each_ms, "per_second": 1e3 / each_ms,
                "bar_ms": BAR_MS, "met": each_ms < BAR_MS,
            })  # fmt: skip
        return found


def pair_row(a: str, b: str, clock: Clock) -> Row:
    """One pair with the default register, in every library. Five digits are kept: figures are good for two."""
    first, *others = technologies()

    def new() -> Any:
        pe = MacPE(a, b)
        return pe, pe.area_um2(first)

    pe, area = clock("area of a new PE: description, wires, gates", new)
    row: Row = {"a": a, "b": b, "pe": pe.name, "register": f"{'float' if pe.float_register else 'fixed'}",
                "register_bits": pe.accumulator_bits}  # fmt: skip
    areas = {first: area} | {node: clock("its area in another library", partial(pe.area_um2, node)) for node in others}
    for node in technologies():
        delay = clock("its delay", partial(pe.delay_ns, node))
        what = "its energy" if node == first else "its energy in another library"
        energy = clock(what, partial(pe.energy_pj, node))
        row |= {
            f"{node}_area_um2": _short(areas[node].value), f"{node}_area_low": _short(areas[node].low),
            f"{node}_area_high": _short(areas[node].high), f"{node}_delay_ns": _short(delay.value),
            f"{node}_energy_pj": _short(energy.value), f"{node}_status": areas[node].status,
        }  # fmt: skip
    clock("any figure asked for again", partial(pe.area_um2, first))
    return row


def pair_rows(formats: Sequence[str], clock: Clock) -> list[Row]:
    """Every ordered pair: what is decoded for either side is not the same wires."""
    warm = MacPE("int3", "e5m2")  # a first call loads tables and compiles
    for node in technologies():
        warm.area_um2(node), warm.delay_ns(node), warm.energy_pj(node)
    return [pair_row(a, b, clock) for a in formats for b in formats]


def synthesised_rows(names: Sequence[str] | None = None) -> Iterator[Row]:
    """Every tabled PE of every library (those named) with what is estimated for it, operands normal."""
    for node in technologies():
        for name, held in technology(node).rows.items():
            if name in catalogue() and (names is None or name in names):
                yield _beside(node, name, held)


def _beside(node: str, name: str, held: Synthesised) -> Row:
    listed = catalogue()[name]
    module = listed.module()
    weights = fitted(node, "delay").coefficients
    series = listed.stimulus("normal", price.SERIES_CYCLES - 1)
    estimates = {
        "area": float(price.estimated_um2(module, node).sum()),
        "delay": float(slowest(module, weights[:-1]) @ weights) * 1e-3,
        "energy": float(price.estimated_fj(module, node, series).sum()) * 1e-3,
    }
    truths = {"area": held.area_um2, "delay": held.delay_ps * 1e-3, "energy": held.energy_fj["normal"] * 1e-3}
    row: Row = {"technology": node, "pe": name, "family": held.family, "status": held.status}
    for quantity, unit in QUANTITIES.items():
        column = f"{quantity}_{unit.lower()}"
        row |= {column: _short(truths[quantity]), f"estimated_{column}": _short(estimates[quantity])}
    return row


def left_out_rows() -> list[Row]:
    """Relative errors of estimates whose PE's family was not in the fit, by library, quantity and family."""
    rows: list[Row] = []
    for node, quantities in load("coefficients.json")["nodes"].items():
        for quantity, entry in quantities.items():
            if not isinstance(entry, dict) or "left_out" not in entry:
                continue
            every = {"count": sum(family["count"] for family in entry["left_out"].values())}
            every |= {key: entry[key] for key in ("median", "worst")}
            for family, errors in {"all": every, **entry["left_out"]}.items():
                rows.append({
                    "technology": node, "quantity": quantity, "family": family, **errors,
                    **{key: entry[key] if family == "all" else None for key in INTERVALS},
                })  # fmt: skip
    return rows


def period_rows(path: str, progress: Progress) -> Iterator[Row]:
    """The PEs of pe_cost_periods by a library."""
    for row in pe_cost_periods.rows(path):
        progress(f"{row['pe']}, {row['stages']} ranks, {row['period_ps']:g} ps: {row['area_um2']:g} um2")
        yield row


def run(out: Path, args: argparse.Namespace) -> None:
    """Write the six tables and the figures into `out`, and print what they say."""
    if args.liberty:
        try:
            pe_cost_periods.known(args.liberty)
        except (OSError, ValueError) as error:
            raise SystemExit(f"pe_cost: --liberty {args.liberty}: {error}") from None
    progress = Progress("pe_cost")
    stamp = Provenance.now(study="pe_cost", notes={"tables": table_counts()})
    periods = out / "pe_cost_periods.csv"
    if args.liberty:
        write_csv(period_rows(args.liberty, progress), periods, stamp)
    elif periods.resolve() != (RESULTS / periods.name).resolve():
        shutil.copyfile(RESULTS / periods.name, periods)
    clock = Clock()
    progress(f"{len(args.formats) ** 2} pairs of {len(args.formats)} formats")
    write_csv(pair_rows(args.formats, clock), out / "pe_cost.csv", stamp)
    write_csv(clock.rows(), out / "pe_cost_speed.csv", stamp)
    progress("synthesised PEs")
    write_csv(synthesised_rows(), out / "pe_cost_synthesised.csv", stamp)
    write_csv(left_out_rows(), out / "pe_cost_left_out.csv", stamp)
    progress("published claims")
    claims = pe_cost_claims.claim_rows()
    write_csv(claims, out / "pe_cost_claims.csv", stamp)
    progress("figures")
    draw(out / "pe_cost.csv", out)
    print(pe_cost_claims.claims_text(claims))
    print(speed_text(clock.rows()))
    print(left_out_text(left_out_rows()))


def table_counts() -> str:
    """How many synthesised PEs these results rest on, and a mark of the coefficients."""
    counts = ", ".join(f"{node} {len(technology(node).rows)}" for node in technologies())
    fits = json.dumps({node: fitted(node, "area").clocked for node in technologies()})
    return f"{counts} rows; area intervals {fits}"


def draw(csv_path: Path, out: Path) -> None:
    """pe_cost, pe_cost_synthesised and pe_cost_periods (.png, .svg), from the tables beside csv_path."""
    pe_cost_figures.draw_pairs(read_csv(csv_path).rows, out)
    beside = read_csv(csv_path.with_name("pe_cost_synthesised.csv")).rows
    pe_cost_figures.draw_synthesised(beside, read_csv(csv_path.with_name("pe_cost_left_out.csv")).rows, out)
    pe_cost_figures.draw_periods(read_csv(csv_path.with_name("pe_cost_periods.csv")).rows, out)


def speed_text(rows: Sequence[Row]) -> str:
    """CPU milliseconds an estimate."""
    return "\n".join(
        f"{row['ms_each']:8.2f} ms CPU, {row['per_second']:6.0f}/s  {row['what']} "
        f"({row['calls']} calls; bar {row['bar_ms']:g} ms {'met' if row['met'] else 'MISSED'})"
        for row in rows
    )


def left_out_text(rows: Sequence[Row]) -> str:
    """Errors over all families."""
    return "\n".join(
        f"{row['technology']:<11}{row['quantity']:<11}{row['count']:>4} figures, family left out: "
        f"median {row['median']:.1%}, worst {row['worst']:.1%}, nine of ten within {_percent(row['interval_clocked'])} "
        f"({_percent(row['interval_combinational'])} without registers)"
        for row in rows
        if row["family"] == "all"
    )


def _percent(x: Cell) -> str:
    return "-" if x is None else f"{float(str(x)):.1%}"


def _short(x: float) -> float:
    return float(f"{float(np.float64(x)):.5g}")
