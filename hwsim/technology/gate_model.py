"""Gates of a PE that was never synthesised: counted where they stand, priced by five coefficients.

    gates(pe.module())          # 1173 GE (1094..1252, estimated)

The coefficients are fitted on cmos_gates.json (PEs, and the leaves they are made of, which belong to no family).
The interval is the error within which nine of ten PEs were predicted with their whole family left out of the fit.
`python -m hwsim.technology.gate_model` writes gate_coefficients.json.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.circuit import Module
from hwsim.circuit.counts import counted
from hwsim.cost import Cost, Status

HERE = Path(__file__).parent
TERMS = ("and", "xor", "mux", "chain", "tree")
LEAF_WEIGHT = 0.4  # of a leaf's relative error beside a PE's: leaves are many, and simpler than what they stand in
SMALLEST_LEAF = 30  # GE
NODE = "cmos_gates"


def terms(module: Module) -> list[float]:
    """ANDs, XORs, multiplexers, full adders of carry chains, full adders of trees."""
    kinds = counted(module).kinds
    return [
        kinds["and"],
        kinds["xor"],
        kinds["mux"],
        (kinds["sum"] + kinds["carry"]) / 2,
        (kinds["total"] + kinds["over"]) / 2,
    ]


def gates(module: Module) -> Cost:
    """Combinational gates in GE (NAND2 equivalents): as synthesised where the table has the module, else estimated."""
    from hwsim.rtl.writer import verilog

    held = _synthesised().get(hashlib.sha256(verilog(module).encode()).hexdigest())
    if held is not None:
        value, status = held
        return Cost(
            value=value, low=value, high=value, unit="GE", status=status, node=NODE,
            source=f"{NODE}: synthesised, its netlist {status}",
        )  # fmt: skip
    return estimate(module)


def estimate(module: Module) -> Cost:
    """The estimate, whether the module is in the table or not."""
    model = _model()
    value = float(np.dot(terms(module), [model["coefficients"][term] for term in TERMS]))
    band = model["interval"]
    return Cost(
        value=value, low=value * (1 - band), high=value * (1 + band), unit="GE", status="estimated", node=NODE,
        source=f"{NODE}: gates counted, 90 % of PEs within {band:.1%} with their family left out",
    )  # fmt: skip


@cache
def _model() -> dict[str, Any]:
    held: dict[str, Any] = json.loads((HERE / "gate_coefficients.json").read_text(encoding="utf-8"))
    return held


@cache
def _synthesised() -> Mapping[str, tuple[float, Status]]:
    table = json.loads((HERE / "cmos_gates.json").read_text(encoding="utf-8"))
    return {row["source"]: (row["gate_equivalents"], row["status"]) for row in table["rows"].values()}


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
    from hwsim.characterise.cmos import alone
    from hwsim.pe.catalogue import catalogue
    from hwsim.primitives import primitive

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
