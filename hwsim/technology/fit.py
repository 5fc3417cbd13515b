"""Fit the structural model to the synthesised designs: `python -m hwsim.technology.fit` writes coefficients.json.

Per technology and quantity: non-negative least squares on relative errors, textbook gates (area, energy) or levels
(delay) of five families of primitives against the measured figure. A weak pull towards one common coefficient keeps
families that occur only together from trading off against each other. Then every design is predicted without itself,
and without its whole family; the largest errors become the intervals of estimates.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Collection
from dataclasses import dataclass
from math import exp, log
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.component import Component
from hwsim.pe.measured import designs, families, trees
from hwsim.pe.neighbours import neighbours
from hwsim.primitives import FAMILIES, features
from hwsim.technology.coefficients import Quantity
from hwsim.technology.tables import Technology, technologies, technology

# Weight of the common coefficient beside a design's relative error of 1. Inverters, XORs and masks are never built
# alone in the designs (their cost hides in the adders beside them), so theirs is mostly the common one.
PULL = dict.fromkeys(FAMILIES, 0.1) | {"logic": 0.25}
UNCHECKED_WEIGHT = 0.5  # a netlist whose function was not checked counts for half

Vector = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """One quantity of one technology: textbook features [design, family], measured figures, fixed part of each."""

    rows: tuple[str, ...]
    features: Vector
    measured: Vector
    fixed: Vector  # area of the flip-flops, which synthesis reports on its own
    weights: Vector


def problem(tech: Technology, quantity: Quantity) -> Problem:
    """The designs that have this figure."""
    energy = {row: tech.rows[row].energy_fj for row in trees()}
    rows = tuple(row for row in trees() if quantity != "energy" or energy[row] is not None)
    gates = [_features(trees()[row], quantity) for row in rows]
    measured = {
        "area": [tech.rows[row].area_um2 for row in rows],
        "energy": [1e-3 * (energy[row] or 0.0) for row in rows],
        "delay": [1e-3 * tech.rows[row].delay_ps for row in rows],
    }[quantity]
    fixed = [tech.rows[row].sequential_um2 if quantity == "area" else 0.0 for row in rows]
    weights = [1.0 if tech.rows[row].checked else UNCHECKED_WEIGHT for row in rows]
    return Problem(
        rows=rows,
        features=np.array(gates, dtype=np.float64),
        measured=np.array(measured),
        fixed=np.array(fixed),
        weights=np.array(weights),
    )


def _features(component: Component, quantity: Quantity) -> list[float]:
    if quantity == "delay":
        return _levels(component)
    totals = dict.fromkeys(FAMILIES, 0.0)
    for part in component.leaves():
        if quantity == "area" and part.features.family == "register":
            continue
        totals[part.features.family] += part.count * float(
            part.features.gates if quantity == "area" else part.features.activity
        )
    return list(totals.values())


def _levels(component: Component) -> list[float]:
    totals = dict.fromkeys(FAMILIES, 0.0)
    if component.critical and component.primitive is not None:
        part = features(component.primitive, dict(component.parameters))
        totals[part.family] += float(part.levels)
    for child in component.children if component.critical else ():
        for family, levels in zip(FAMILIES, _levels(child), strict=True):
            totals[family] += levels
    return list(totals.values())


def solve(data: Problem, left_out: Collection[str] = ()) -> Vector:
    """Coefficients per family from all designs but those left out."""
    keep = np.array([row not in left_out for row in data.rows])
    target = data.measured - data.fixed
    common = median(target[keep] / data.features[keep].sum(axis=1))
    pull = np.array([PULL[family] for family in FAMILIES])
    scale = (data.weights / data.measured)[keep]
    matrix = np.vstack([data.features[keep] * scale[:, None] * common, np.diag(pull)])
    right = np.concatenate([target[keep] * scale, pull])
    solution: Vector = nonnegative_least_squares(matrix, right) * common
    return solution


def nonnegative_least_squares(matrix: Vector, right: Vector) -> Vector:
    """min |matrix x - right| over x >= 0 (Lawson and Hanson 1974, algorithm NNLS)."""
    solution = np.zeros(matrix.shape[1])
    free = np.zeros(matrix.shape[1], dtype=bool)
    while True:
        gradient = matrix.T @ (right - matrix @ solution)
        candidates = np.where(~free, gradient, -np.inf)
        if free.all() or candidates.max() <= 1e-10 * np.abs(right).max():
            return solution
        free[int(candidates.argmax())] = True
        while True:
            trial = np.zeros_like(solution)
            trial[free] = np.linalg.lstsq(matrix[:, free], right, rcond=None)[0]
            negative = free & (trial <= 0)
            if not negative.any():
                break
            step = (solution[negative] / (solution[negative] - trial[negative])).min()
            solution = solution + step * (trial - solution)
            free &= solution > 1e-14
        solution = trial


def _predicted(data: Problem, coefficients: Vector, row: str) -> float:
    index = data.rows.index(row)
    return float(data.features[index] @ coefficients + data.fixed[index])


def _corrected(data: Problem, coefficients: Vector, row: str, others: list[str]) -> tuple[str, float]:
    """The estimate of `row`, corrected by the errors on its neighbours among `others`."""
    method, weights = neighbours(designs()[row], others)
    errors = [
        weight * log(data.measured[data.rows.index(o)] / _predicted(data, coefficients, o))
        for o, weight in weights.items()
    ]
    return method, _predicted(data, coefficients, row) * exp(sum(errors))


def report(tech: Technology, quantity: Quantity) -> dict[str, Any]:
    """Coefficients, every design's prediction in and out of the fit, and the largest errors of each method."""
    data, family = problem(tech, quantity), families()
    fitted = solve(data)
    lines, errors = {}, {"structural": {}, "neighbours": {}, "width": {}}  # type: ignore[var-annotated]
    for row in data.rows:
        figure = float(data.measured[data.rows.index(row)])
        without_family = _predicted(data, solve(data, [r for r in data.rows if family[r] == family[row]]), row)
        line = {"measured": figure, "fitted": _predicted(data, fitted, row), "family_left_out": without_family}
        errors["structural"][row] = without_family / figure
        if row in designs():
            others = [r for r in data.rows if r in designs() and r != row]
            method, line["left_out"] = _corrected(data, solve(data, [row]), row, others)
            errors[method][row] = line["left_out"] / figure
            if method == "width":
                others = [r for r in others if neighbours(designs()[row], [r])[0] != "width"]
                errors["neighbours"][row] = _corrected(data, solve(data, [row]), row, others)[1] / figure
        lines[row] = {name: float(f"{value:.6g}") for name, value in line.items()} | {"family": family[row]}
    return {
        "per_family": {name: float(f"{value:.6g}") for name, value in zip(FAMILIES, fitted, strict=True)}
        | _flip_flop(tech, quantity),
        "errors": {method: _summary(ratios, tech) for method, ratios in errors.items()},
        "designs": lines,
    }


def _flip_flop(tech: Technology, quantity: Quantity) -> dict[str, float]:
    """Area of a flip-flop, read off an integer MAC whose only flip-flops are its register."""
    return {"register": tech.rows["mac_i8i8"].sequential_um2 / 32} if quantity == "area" else {}


def _summary(ratios: dict[str, float], tech: Technology) -> dict[str, Any]:
    """rms of the logarithm over all designs, and the largest error of those whose function was checked, as a factor.

    An unchecked netlist may be off itself: its error says nothing about the model, and is given beside.
    """
    logs = {row: abs(log(ratio)) for row, ratio in ratios.items()}
    checked = {row: error for row, error in logs.items() if tech.rows[row].checked}
    worst, unchecked = max(checked, key=checked.__getitem__), max(logs, key=logs.__getitem__)
    return {
        "designs": len(logs),
        "rms": round(float(np.sqrt(np.mean(np.square(list(logs.values()))))), 4),
        "factor": round(exp(logs[worst]), 4),
        "worst": worst,
        "factor_with_unchecked": round(exp(logs[unchecked]), 4),
        "worst_with_unchecked": unchecked,
    }


def fit() -> dict[str, Any]:
    """The whole table, as committed."""
    quantities: tuple[Quantity, ...] = ("area", "energy", "delay")
    return {
        "note": "Written by python -m hwsim.technology.fit from measured.json. per_family: um2 per textbook gate "
        "(register: per flip-flop), pJ per switching gate and cycle, ns per gate level. errors: predicted over "
        "measured of designs left out of the fit: the largest as a factor, and the rms of the logarithm.",
        "technologies": {
            name: {q: report(technology(name), q) for q in quantities if q != "energy" or technology(name).has_energy}
            for name in technologies()
        },
    }


def main() -> None:
    """Write coefficients.json beside this file and print the errors."""
    table = fit()
    path = Path(__file__).with_name("coefficients.json")
    path.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
    for name, quantities in table["technologies"].items():
        for quantity, entry in quantities.items():
            errors = ", ".join(
                f"{m} rms {e['rms']:.3f} max x{e['factor']:.2f} ({e['worst']})" for m, e in entry["errors"].items()
            )
            sys.stdout.write(f"{name:9s} {quantity:7s} {errors}\n")


if __name__ == "__main__":
    main()
