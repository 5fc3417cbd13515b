"""Every format of the catalogue on two pictures: where its values lie, and its error against the bits it stores.

The atlas has a row for each scalar format of up to 16 bits. The error is that of `quantize` with the default cast on
independent normal and Student-t numbers, relative to the data's power; bits are those `encode` stores, scales included,
of an array of 128 rows of 1024. formats.csv holds what formats are measured against, formats_error.csv the errors,
formats_atlas.csv the values.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import formats as nf
from formats.describe import real_text
from studies.common import Progress, Provenance, Row, read_csv, write_csv
from studies.formats_bounds import DENSITIES, ENTROPY_CODED_DB, Density, lloyd_max
from studies.formats_figures import DENSE_TICKS, draw_atlas, draw_error, finding
from studies.plots import pareto_front

QUESTION = "Where do the values of every format lie, and how near does each come to the rate-distortion bound?"
SEED = 20_261_121
SHAPE = (128, 1024)  # of a batch: scales of rows and of tensors are shared by so many
BATCHES = (8, 16, 32, 64, 128)  # more until the standard error is below TARGET; each batch has its own seed
TARGET = 0.005  # standard error of the relative rms error, as a part of it
LLOYD_MAX_BITS = range(1, 10)
INTEGERS = tuple(f"int{bits}" for bits in range(2, 9))
ASYMMETRIC = tuple(f"uint{bits}:g128:asym" for bits in range(2, 9))
SCALES = {"integers": (":g32", ":g128", ":channel"), "floats": (":g32", ":g128", ":channel"), "codebooks": (":b64",)}
# Names the grammar may know beside the catalogue's; those it does not know are left out.
REPRESENTATIVES = ("uint4", "binary8p3se", "binary8p4se", "posit8es0", "posit8es2", "posit16es1", "posit16es2")
WIDEST_BITS = 16
MOST_TICKS = 4096


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this study."""
    parser.add_argument("--quick", action="store_true", help="two batches of each kind of data, whatever their spread")


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """A format to measure; left_out says why it is not, where it is not. kind: the legend's entry."""

    name: str
    kind: str
    left_out: str | None = None


def subjects() -> list[Subject]:
    """The integers, every format of the catalogue, and a few names it spells out; with scales where they need them."""
    found = [Subject(name=f"{name}{scale}", kind="integers") for name in INTEGERS for scale in SCALES["integers"]]
    found += [Subject(name=name, kind="integers") for name in ASYMMETRIC]
    halves = {_outlier_of(entry.format) for entry in nf.entries()}
    for name, fmt in named_formats().items():
        if fmt in halves:
            why = "the outliers' half of another format: nothing by itself"
            found.append(Subject(name=name, kind=kind_of(fmt), left_out=why))
        elif name not in INTEGERS:
            found += _as_used(name, fmt)
    return found


def named_formats() -> dict[str, nf.Format]:
    """Every format the study knows by a name of its own."""
    found = {name: nf.get(name) for name in INTEGERS}
    for name in REPRESENTATIVES:
        try:
            found[name] = nf.get(name)
        except ValueError:
            continue  # a name this grammar does not know
    return found | {entry.name: entry.format for entry in nf.entries()}


def _outlier_of(fmt: nf.Format) -> nf.Scalar | None:
    element = fmt.element if isinstance(fmt, nf.Scaled) else None
    return element.outlier if isinstance(element, nf.Pair) else None


def _as_used(name: str, fmt: nf.Format) -> list[Subject]:
    kind = kind_of(fmt)
    element = fmt.element if isinstance(fmt, nf.Scaled) and fmt.offset is None and fmt.shift is None else fmt
    if not isinstance(element, nf.Scaled | nf.Sum) and element.min_finite >= 0:
        return [Subject(name=name, kind=kind, left_out="has no negative values: the data do")]
    if isinstance(fmt, nf.Scaled | nf.Sum):
        return [Subject(name=name, kind=kind)]
    if fmt.bits > WIDEST_BITS:
        return [Subject(name=name, kind=kind, left_out=f"wider than {WIDEST_BITS} bits")]
    # Posits and others put their finest values around 1, where the data lie; a scale to the largest would spoil that.
    scales = SCALES.get(kind, ("",)) if fmt.bits <= 8 else ("",)
    return [Subject(name=f"{name}{scale}", kind=kind) for scale in scales]


def kind_of(fmt: nf.Format) -> str:
    """What a format is, for grouping."""
    if isinstance(fmt, nf.Scaled | nf.Sum):
        return "block formats"
    named = {"FixedPoint": "integers", "Minifloat": "floats", "Codebook": "codebooks"}
    return named.get(type(fmt).__name__, "posits and others")


class Samples:
    """Batches of one density, drawn when first asked for: batch i has the seed (SEED, density, i)."""

    def __init__(self, density: Density) -> None:
        self.density = density
        self._drawn: list[NDArray[np.float32]] = []

    def __getitem__(self, index: int) -> NDArray[np.float32]:
        """Batch `index`: float32, SHAPE."""
        while len(self._drawn) <= index:
            key = [SEED, *self.density.name.encode(), len(self._drawn)]
            self._drawn.append(self.density.draw(np.random.default_rng(key), SHAPE).astype(np.float32))
        return self._drawn[index]


def error_rows(chosen: list[Subject], quick: bool = False, progress: Progress | None = None) -> list[Row]:
    """A row for each subject and density; those on the Pareto front of error and bits say so."""
    rows: list[Row] = []
    for density in DENSITIES:
        if progress:
            progress(f"errors, {density.label}")
        samples = Samples(density)
        rows += _with_front([_error_row(subject, samples, (2,) if quick else BATCHES) for subject in chosen])
    return rows


def _with_front(rows: list[Row]) -> list[Row]:
    known = [row for row in rows if row["relative_mse"] is not None]
    bits, errors = ([_number(row[name]) for row in known] for name in ("bits_per_element", "relative_mse"))
    for row, on_front in zip(known, pareto_front(bits, errors), strict=True):
        row["on_front"] = bool(on_front)
    return rows


def _error_row(subject: Subject, samples: Samples, batches: tuple[int, ...]) -> Row:
    row: Row = {"data": samples.density.name, "format": subject.name, "kind": subject.kind}
    row |= dict.fromkeys(
        ("bits_per_element", "relative_mse", "relative_mse_standard_error", "relative_rms_error", "sqnr_db")
    )
    row |= dict.fromkeys(("below_bound_db", "on_front", "samples", "batches"))
    row["left_out"] = subject.left_out
    if subject.left_out is not None:
        return row
    try:
        encoded = nf.encode(samples[0], subject.name)
        measured = _measure(subject.name, samples, batches)
    except (ValueError, TypeError, OverflowError, NotImplementedError) as refusal:
        row["left_out"] = " ".join(f"{type(refusal).__name__}: {refusal}".split())
        return row
    mse, standard_error, count = measured
    bits = encoded.nbytes * 8 / samples[0].size
    row["bits_per_element"] = bits
    row |= {"samples": count * samples[0].size, "batches": count}
    if not math.isfinite(mse) or mse == 0:
        row["left_out"] = "no error on float32 data" if mse == 0 else "gives infinities or NaN on these data"
        return row
    sqnr_db = -10 * math.log10(mse)
    row |= {"relative_mse": mse, "relative_mse_standard_error": standard_error, "relative_rms_error": math.sqrt(mse)}
    return row | {"sqnr_db": sqnr_db, "below_bound_db": samples.density.bound_db(bits) - sqnr_db}


def _measure(name: str, samples: Samples, batches: tuple[int, ...]) -> tuple[float, float, int]:
    """Squared error over squared data, its standard error, and how many batches that took."""
    noise: list[float] = []
    power: list[float] = []
    ratio = error = math.nan
    for count in batches:
        for index in range(len(noise), count):
            x = samples[index]
            difference = np.subtract(nf.quantize(x, name), x, dtype=np.float64).ravel()
            noise.append(float(difference @ difference))
            power.append(float(np.sum(np.square(x, dtype=np.float64))))
        ratio, error = ratio_of_sums(noise, power)
        if not error > 2 * TARGET * ratio:  # of the square: twice that of the root
            break
    return ratio, error, len(noise)


def ratio_of_sums(tops: list[float], bottoms: list[float]) -> tuple[float, float]:
    """sum(tops) / sum(bottoms) and its standard error from the spread between batches (to first order)."""
    above, below = np.array(tops), np.array(bottoms)
    ratio = float(above.sum() / below.sum())
    spread = above - ratio * below
    count = above.size
    return ratio, math.sqrt(count / (count - 1) * float(spread @ spread)) / float(below.sum())


def yardstick_rows() -> list[Row]:
    """Signal-to-noise ratios of Shannon's bound, of entropy-coded uniform quantisers, and of Lloyd-Max quantisers."""
    rows: list[Row] = []
    for density in DENSITIES:
        for bits in range(WIDEST_BITS + 1):
            bound_db = density.bound_db(bits)
            rows.append(_yardstick(density, "bound", bits, bound_db))
            rows.append(_yardstick(density, "entropy-coded scalar, high rate", bits, bound_db - ENTROPY_CODED_DB))
        for bits in LLOYD_MAX_BITS:
            error, _ = lloyd_max(density, bits)
            rows.append(_yardstick(density, "Lloyd-Max", bits, -10 * math.log10(error)))
    return rows


def _yardstick(density: Density, kind: str, bits: int, sqnr_db: float) -> Row:
    row: Row = {"data": density.name, "label": density.label, "bound_exact": density.bound_exact}
    return row | {"kind": kind, "bits_per_element": bits, "sqnr_db": sqnr_db}


def atlas_formats() -> dict[nf.Scalar, str]:
    """Every scalar format of up to 16 bits that has a name here, and its names; equal formats share a row."""
    found: dict[nf.Scalar, list[str]] = {}
    for name, fmt in named_formats().items():
        if not isinstance(fmt, nf.Scaled | nf.Sum) and fmt.bits <= WIDEST_BITS:
            found.setdefault(fmt, []).append(name)
    return {fmt: " = ".join(names) for fmt, names in found.items()}


def atlas_rows() -> list[Row]:
    """A row for each format: what its codes are, and the base-2 logarithms of its positive values."""
    rows = [_atlas_row(fmt, name) for fmt, name in atlas_formats().items()]
    kinds = ("integers", "floats", "posits and others", "codebooks")
    return sorted(rows, key=lambda row: (kinds.index(str(row["kind"])), row["bits"], not row["signed"], row["format"]))


def _atlas_row(fmt: nf.Scalar, name: str) -> Row:
    values = fmt.values()
    finite = {abs(value.fraction) for value in values if isinstance(value, nf.Dyadic)}
    magnitudes = sorted(finite - {Fraction(0)})
    logs = [log2(value) for value in magnitudes]
    smallest_normal = smallest_normal_of(fmt)
    return {
        "format": name,
        "kind": kind_of(fmt),
        "bits": fmt.bits,
        "signed": fmt.min_finite < 0,
        "codes": len(values),
        "magnitudes": len(magnitudes),
        "zero": Fraction(0) in finite,
        "infinity": fmt.has_infinity,
        "nan": fmt.has_nan,
        "range": f"{real_text(magnitudes[0])} to {real_text(magnitudes[-1])}",
        "log2_smallest": logs[0],
        "log2_largest": logs[-1],
        "log2_smallest_normal": None if smallest_normal is None else log2(smallest_normal),
        "log2_magnitudes": json.dumps(ticks(logs, fmt.bits)),
    }


def smallest_normal_of(fmt: nf.Scalar) -> Fraction | None:
    """Where the subnormals of a float end; None for formats that have none."""
    if not isinstance(fmt, nf.Minifloat) or not fmt.subnormals or not fmt.trailing_significand_bits:
        return None
    return Fraction(2) ** fmt.trailing_significand_bits * fmt.min_positive


def log2(x: Fraction) -> float:
    """The base-2 logarithm of a positive rational, of any size; for drawing."""
    return math.log2(x.numerator) - math.log2(x.denominator)


def ticks(logs: list[float], bits: int) -> list[float]:
    """Logarithms to four decimals; of wide formats only as many as a figure can show."""
    if bits <= 8:
        return [round(value, 4) for value in logs]
    step = max(1 / DENSE_TICKS, (logs[-1] - logs[0]) / MOST_TICKS)
    kept = {round(value / step): value for value in logs}
    return [round(value, 4) for value in kept.values()]


def run(out: Path, args: argparse.Namespace) -> None:
    """Measure, write the three tables, draw both figures, print the Pareto fronts."""
    progress = Progress("formats", 2 + len(DENSITIES))
    until = "two batches" if args.quick else f"batches until {TARGET:.1%} of the rms error, at most {BATCHES[-1]}"
    notes = {
        "data": f"float32, {SHAPE[0]} x {SHAPE[1]} a batch, batch i seeded (seed, bytes of its name, i)",
        "standard_error": f"of the ratio of sums, between batches; {until}",
        "cast": "default",
    }
    provenance = Provenance.now(study="formats", seed=SEED, notes=notes)
    progress("values and yardsticks")
    write_csv(atlas_rows(), out / "formats_atlas.csv", provenance)
    write_csv(yardstick_rows(), out / "formats.csv", provenance)
    rows = error_rows(subjects(), args.quick, progress)
    write_csv(rows, out / "formats_error.csv", provenance)
    progress("figures")
    draw(out / "formats.csv", out)
    print("\n".join(front_text(rows)))


def draw(csv_path: Path, out: Path) -> None:
    """Both figures, from the three tables alone."""
    errors = read_csv(csv_path.with_name("formats_error.csv")).rows
    draw_error(errors, read_csv(csv_path).rows, out)
    draw_atlas(read_csv(csv_path.with_name("formats_atlas.csv")).rows, out)


def front_text(rows: list[Row]) -> Iterator[str]:
    """For each density the formats on the front, then what was left out."""
    for density in DENSITIES:
        own = [row for row in rows if row["data"] == density.name]
        yield f"\n{density.label}: {finding(own)}"
        yield f"{'on the front':<28}{'bits':>9}{'SQNR dB':>10}{'dB below the bound':>20}{'standard error':>16}"
        for row in sorted((row for row in own if row["on_front"]), key=lambda row: _number(row["bits_per_element"])):
            part = _number(row["relative_mse_standard_error"]) / _number(row["relative_mse"]) / 2
            figures = [_number(row[name]) for name in ("bits_per_element", "sqnr_db", "below_bound_db")]
            yield f"{row['format']:<28}{figures[0]:>9.4f}{figures[1]:>10.2f}{figures[2]:>20.2f}{part:>16.2%}"
    for row in rows:
        if row["relative_mse"] is not None:
            part = _number(row["relative_mse_standard_error"]) / _number(row["relative_mse"]) / 2
            if part > TARGET and row["batches"] == BATCHES[-1]:
                yield f"standard error above {TARGET:.1%}: {row['format']} on {row['data']}, {part:.1%}"
        elif row["left_out"] is not None and row["data"] == DENSITIES[0].name:
            yield f"left out: {row['format']}: {row['left_out']}"


def _number(cell: Any) -> float:
    return float(cell)
