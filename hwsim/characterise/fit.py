"""The five coefficients of the gate estimate, fitted on the table of gates, and how far off it is on families unseen.

`python -m hwsim.characterise.fit` writes technology/gate_coefficients.json. Leaves are in the fit beside the PEs: they
belong to no family, and tell the coefficients apart that a family alone would not.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.characterise.cmos import alone
from hwsim.pe.catalogue import catalogue
from hwsim.primitives import primitive
from hwsim.technology.gate_model import HERE, TERMS, terms

LEAF_WEIGHT = 0.4  # of a leaf's relative error beside a PE's: leaves are many, and simpler than what they stand in
SMALLEST_LEAF = 30  # GE


@dataclass(frozen=True, slots=True)
class Sample:
    """Terms [n, 5] and gates [n] of PEs, their families, and the same of leaves."""

    names: tuple[str, ...]
    families: tuple[str, ...]
    terms: NDArray[np.float64]
    gates: NDArray[np.float64]
    leaf_terms: NDArray[np.float64]
    leaf_gates: NDArray[np.float64]


def sample() -> Sample:
    """The table, with the terms of each of its rows."""
    table = json.loads((HERE / "cmos_gates.json").read_text(encoding="utf-8"))
    rows = {name: row for name, row in table["rows"].items() if name in catalogue()}
    leaves = [row for row in table["leaves"].values() if row["gate_equivalents"] >= SMALLEST_LEAF]
    built = [
        primitive(row["kind"], {k: int(v, 16) if isinstance(v, str) else v for k, v in row["parameters"].items()})
        for row in leaves
    ]
    return Sample(
        tuple(rows),
        tuple(row["family"] for row in rows.values()),
        np.array([terms(catalogue()[name].module()) for name in rows]),
        np.array([row["gate_equivalents"] for row in rows.values()]),
        np.array([terms(alone(leaf)) for leaf in built]),
        np.array([row["gate_equivalents"] for row in leaves]),
    )


def solve(seen: Sample, kept: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Coefficients of least relative error on the kept PEs and all leaves."""
    left = seen.terms[kept] / seen.gates[kept, None]
    right = LEAF_WEIGHT * seen.leaf_terms / seen.leaf_gates[:, None]
    wanted = np.concatenate([np.ones(len(left)), np.full(len(right), LEAF_WEIGHT)])
    found: NDArray[np.float64] = np.linalg.lstsq(np.vstack([left, right]), wanted, rcond=None)[0]
    return found


def left_out(seen: Sample) -> NDArray[np.float64]:
    """Relative error of each PE, predicted without its family."""
    errors = np.zeros(len(seen.gates))
    families = np.array(seen.families)
    for family in sorted(set(seen.families)):
        out = families == family
        errors[out] = seen.terms[out] @ solve(seen, ~out) / seen.gates[out] - 1
    return errors


def fit() -> dict[str, Any]:
    """What gate_coefficients.json holds."""
    seen = sample()
    errors = np.abs(left_out(seen))
    families = np.array(seen.families)
    coefficients = solve(seen, np.ones(len(seen.gates), bool))
    return {
        "coefficients": {term: round(float(x), 4) for term, x in zip(TERMS, coefficients, strict=True)},
        "interval": round(float(np.quantile(errors, 0.9)), 4),
        "left_out": {
            family: {
                "count": int((families == family).sum()),
                "median": round(float(np.median(errors[families == family])), 4),
                "worst": round(float(errors[families == family].max()), 4),
            }
            for family in sorted(set(seen.families))
        },
        "median": round(float(np.median(errors)), 4),
        "worst": round(float(errors.max()), 4),
    }


def main() -> None:
    """Write the coefficients."""
    found = fit()
    (HERE / "gate_coefficients.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
