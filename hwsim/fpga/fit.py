"""The coefficients of the LUT estimate, fitted on amd.json, and how far off it is on families unseen.

`python -m hwsim.fpga.fit` writes amd_coefficients.json. Carry blocks have no coefficients: they are counted, and
the file says how far off that is.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.fpga.resources import COEFFICIENTS, TABLE, TERMS, carry_blocks, json_of, lut_terms
from hwsim.pe.catalogue import catalogue
from hwsim.rtl.writer import verilog

Vector = NDArray[np.float64]
_FIRST = (0.75, 1.0, 1.0)  # where the search starts
_ROUNDS, _SMALLEST_ERROR = 60, 0.01


@dataclass(frozen=True, slots=True)
class Sample:
    """Rows without DSPs: names, families, terms [n, 3], LUTs [n], carries counted [n] and synthesised [n]."""

    names: tuple[str, ...]
    families: tuple[str, ...]
    terms: Vector
    luts: Vector
    counted: Vector
    carries: Vector


def todays() -> tuple[dict[str, Any], list[str]]:
    """The table's rows that are of the catalogue's Verilog, and the names of those that are not."""
    rows, other = {}, []
    for name, row in json_of(TABLE)["rows"].items():
        text = verilog(catalogue()[name].module()) if name in catalogue() else ""
        if hashlib.sha256(text.encode()).hexdigest() == row["source"]:
            rows[name] = row
        else:
            other.append(name)
    return rows, other


def sample() -> Sample:
    """The rows of today's Verilog that have LUTs."""
    rows = {name: row for name, row in todays()[0].items() if row["builds"]["logic"]["luts"]}
    modules = [catalogue()[name].module() for name in rows]
    logic = [row["builds"]["logic"] for row in rows.values()]
    return Sample(
        tuple(rows),
        tuple(row["family"] for row in rows.values()),
        np.array([lut_terms(module) for module in modules]),
        np.array([build["luts"] for build in logic], np.float64),
        np.array([carry_blocks(module) for module in modules], np.float64),
        np.array([build["carries"] for build in logic], np.float64),
    )


def solve(seen: Sample, kept: NDArray[np.bool_]) -> Vector:
    """Coefficients of least absolute error, relative to the estimate, on the kept rows; none below 0.

    Absolute, and relative to the estimate, since a row is now and then far off: synthesis sees that a converter's
    shifter never shifts.
    """
    terms, wanted = seen.terms[kept], seen.luts[kept]
    found, used = np.array(_FIRST), np.ones(len(_FIRST), bool)
    for _ in range(_ROUNDS):  # least squares again and again, each row weighed by one over its error
        guess = terms @ found
        weights = 1 / np.sqrt(np.maximum(np.abs(guess - wanted) / guess, _SMALLEST_ERROR)) / guess
        part = np.linalg.lstsq(terms[:, used] * weights[:, None], wanted * weights, rcond=None)[0]
        found = np.zeros(len(_FIRST))
        found[used] = part
        if (found < 0).any():
            used &= found > 0
            found = np.where(used, found, 0)
    return np.asarray(found)


def left_out(seen: Sample) -> Vector:
    """LUTs of each row, predicted without its family."""
    found = np.zeros(len(seen.luts))
    families = np.array(seen.families)
    for family in sorted(set(seen.families)):
        out = families == family
        found[out] = seen.terms[out] @ solve(seen, ~out)
    return found


def fit() -> dict[str, Any]:
    """What amd_coefficients.json holds: errors relative to the synthesised figure, intervals to the estimate."""
    seen = sample()
    guess, families = left_out(seen), np.array(seen.families)
    errors = np.abs(guess / seen.luts - 1)
    chained = seen.carries > 0
    off = np.abs(seen.counted[chained] / seen.carries[chained] - 1)
    found = solve(seen, np.ones(len(seen.luts), bool))
    return {
        "coefficients": {term: round(float(x), 4) for term, x in zip(TERMS, found, strict=True)},
        "rows": len(seen.luts),
        "interval": round(float(np.quantile(np.abs(seen.luts / guess - 1), 0.9)), 4),
        "median": round(float(np.median(errors)), 4),
        "worst": round(float(errors.max()), 4),
        "left_out": {
            family: {
                "count": int((families == family).sum()),
                "median": round(float(np.median(errors[families == family])), 4),
                "worst": round(float(errors[families == family].max()), 4),
            }
            for family in sorted(set(seen.families))
        },
        "carries": {
            "exact": int((off == 0).sum()),
            "rows": int(chained.sum()),
            "interval": round(float(np.quantile(off, 0.9)), 4),
            "worst": round(float(off.max()), 4),
        },
    }


def main() -> None:
    """Write the coefficients."""
    for name in todays()[1]:
        print(f"left out: {name}, whose row is not of today's Verilog")
    found = fit()
    COEFFICIENTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
