"""The coefficients of every estimate, fitted on the tables, and how far off they are on families unseen.

`python -m hwsim.characterise.fit` writes technology/coefficients.json. A family's errors are those of coefficients
fitted without any of its PEs; the interval is what nine of ten stay within.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim import price
from hwsim.characterise.cmos import alone
from hwsim.circuit import Module
from hwsim.circuit.counts import counted
from hwsim.circuit.paths import slowest
from hwsim.pe.catalogue import catalogue
from hwsim.pe.stimulus import OPERANDS, Operands
from hwsim.primitives import primitive
from hwsim.technology import coefficients as held
from hwsim.technology.tables import GATES, Row, add_technology, gate_rows, load, technologies, technology

FILE = Path(held.__file__).with_name("coefficients.json")
LEAF_WEIGHT = 0.4  # of a leaf's relative error beside a PE's: leaves are many, and simpler than what they stand in
SMALLEST_LEAF = 30  # GE
FIRST_DELAYS_PS = (60.0, 90.0, 90.0, 90.0, 110.0, 70.0, 80.0, 20.0, 300.0)  # where the search starts, sky130's scale
ROUNDS = 40
FEWEST_ROWS = 20  # of a table that is fitted
REWEIGHTINGS = 30
SMALL_ERROR = 0.03  # relative errors below this count by their square
Vector = NDArray[np.float64]
Kept = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Judged:
    """coefficients: fitted to all.  errors [n]: relative, of each row predicted without its family.

    clocked [n]: which rows hold registers. Those without (converters, decoders, tables) are small and odd, and told
    less well; each kind has an interval of its own.
    """

    coefficients: Vector
    errors: Vector
    families: tuple[str, ...]
    clocked: Kept

    def entry(self, terms: tuple[str, ...]) -> dict[str, Any]:
        """As it stands in the file."""
        size, families = np.abs(self.errors), np.array(self.families)
        logs = np.log1p(self.errors[self.clocked])
        apart = np.abs(logs[:, None] - logs[None, :])[np.triu_indices(len(logs), 1)]
        return {
            "coefficients": {term: _short(x) for term, x in zip(terms, self.coefficients, strict=True)},
            "interval": _short(np.quantile(size, 0.9)),
            "interval_clocked": _short(np.quantile(size[self.clocked], 0.9)),
            "interval_combinational": _short(np.quantile(size[~self.clocked], 0.9)) if not self.clocked.all() else None,
            "median": _short(np.median(size)),
            "worst": _short(size.max()),
            "pairs": _short(np.quantile(apart, 0.9)),
            "left_out": {
                family: {
                    "count": int((families == family).sum()),
                    "median": _short(np.median(size[families == family])),
                    "worst": _short(size[families == family].max()),
                }
                for family in sorted(set(self.families))
            },
        }


def judged(
    families: tuple[str, ...], clocked: Kept, solve: Callable[[Kept], Vector], errors: Callable[[Vector], Vector]
) -> Judged:
    """solve: coefficients of the kept rows.  errors: of all rows under coefficients."""
    names = np.array(families)
    found = np.zeros(len(names))
    for family in sorted(set(families)):
        out = names == family
        found[out] = errors(solve(~out))[out]
    return Judged(solve(np.ones(len(names), bool)), found, families, clocked)


def gates_fit() -> Judged:
    """GE of the PEs of cmos_gates; leaves of no family are in the fit beside them, and tell the coefficients apart."""
    table = load(f"{GATES}.json")
    rows = {name: row for name, row in gate_rows().items() if name in catalogue() and row.gate_equivalents}
    terms = np.array([price.gate_terms(catalogue()[name].module()) for name in rows])
    gates = np.array([row.gate_equivalents for row in rows.values()])
    leaves = [row for row in table["leaves"].values() if row["gate_equivalents"] >= SMALLEST_LEAF]
    built = [primitive(row["kind"], _numbers(row["parameters"])) for row in leaves]
    leaf_terms = np.array([price.gate_terms(alone(leaf)) for leaf in built])
    leaf_gates = np.array([row["gate_equivalents"] for row in leaves])
    right = LEAF_WEIGHT * leaf_terms / leaf_gates[:, None]

    def solve(kept: Kept) -> Vector:
        wanted = np.concatenate([np.ones(kept.sum()), np.full(len(right), LEAF_WEIGHT)])
        return robust(np.vstack([terms[kept] / gates[kept, None], right]), wanted)

    families = tuple(row.family for row in rows.values())
    clocked = np.array([row.flip_flops > 0 for row in rows.values()])
    return judged(families, clocked, solve, lambda found: terms @ found / gates - 1)


@dataclass(frozen=True, slots=True)
class Sample:
    """A library's rows and their modules."""

    rows: tuple[Row, ...]
    modules: tuple[Module, ...]

    @property
    def families(self) -> tuple[str, ...]:
        """Of each row."""
        return tuple(row.family for row in self.rows)

    @property
    def clocked(self) -> Kept:
        """Which rows hold registers."""
        return np.array([row.flip_flops > 0 for row in self.rows])


def sample(node: str) -> Sample:
    """The PEs of a library's table that are in the catalogue."""
    rows = [row for name, row in technology(node).rows.items() if name in catalogue()]
    return Sample(tuple(rows), tuple(catalogue()[row.name].module() for row in rows))


def area_fit(seen: Sample) -> Judged:
    """um2 of gates by term, beside flip-flops as they are priced. Errors are of the whole area.

    A flip-flop that holds, which some libraries have, is a plain one and a multiplexer here, as it is counted.
    """
    terms = np.array([price.gate_terms(module) for module in seen.modules])
    whole = np.array([row.area_um2 for row in seen.rows])
    known = flip_flop_um2(seen) * np.array([counted(module).flip_flops for module in seen.modules])

    def solve(kept: Kept) -> Vector:
        return robust(terms[kept] / whole[kept, None], 1 - known[kept] / whole[kept])

    return judged(seen.families, seen.clocked, solve, lambda found: (terms @ found + known) / whole - 1)


def flip_flop_um2(seen: Sample) -> float:
    """Of the flip-flop that most rows use."""
    return _short(np.median([row.sequential_um2 / row.flip_flops for row in seen.rows if row.flip_flops]))


def delay_fit(seen: Sample) -> Judged:
    """ps by term of the slowest path. Which path that is depends on the weights, so they are fitted in turns."""
    measured = np.array([row.delay_ps for row in seen.rows])

    def paths(weights: Vector, kept: Kept) -> Vector:
        chosen = [module for module, wanted in zip(seen.modules, kept, strict=True) if wanted]
        return np.array([slowest(module, weights[:-1]) for module in chosen])

    def improved(weights: Vector, kept: Kept, rounds: int) -> Vector:
        best, least = weights, np.inf
        for _ in range(rounds):
            terms = paths(weights, kept)
            error = float(np.mean((terms @ weights / measured[kept] - 1) ** 2))
            if error < least:
                best, least = weights, error
            found = robust(terms / measured[kept, None], np.ones(kept.sum()))
            weights = weights * 0.6 + found * 0.4
        return best

    everything = np.ones(len(measured), bool)
    scale = np.median(measured / (paths(np.array(FIRST_DELAYS_PS), everything) @ np.array(FIRST_DELAYS_PS)))
    whole = improved(np.array(FIRST_DELAYS_PS) * scale, everything, ROUNDS)

    def solve(kept: Kept) -> Vector:
        return whole if kept.all() else improved(whole, kept, ROUNDS // 4)

    return judged(seen.families, seen.clocked, solve, lambda found: paths(found, everything) @ found / measured - 1)


@dataclass(frozen=True, slots=True)
class Energies:
    """with_glitches, settled: judged fits over all kinds of operands at once.  between: see `between_operands`."""

    with_glitches: Judged
    settled: Judged
    between: float


def energy_fit(seen: Sample) -> Energies:
    """fJ by term. A row counts once for each kind of operands."""
    terms = np.array([[energy_terms(row.name, operands) for operands in OPERANDS] for row in seen.rows])
    timed, zero = (
        np.array([[getattr(row, key)[operands] for operands in OPERANDS] for row in seen.rows])
        for key in ("energy_fj", "zero_delay_fj")
    )
    whole = _energies(seen, terms / timed[:, :, None])
    errors = terms @ whole.coefficients / timed
    apart = np.abs(errors[:, :, None] / errors[:, None, :] - 1)[:, *np.triu_indices(len(OPERANDS), 1)]
    return Energies(whole, _energies(seen, terms[:, :, [0, 2, 3]] / zero[:, :, None]), _short(np.quantile(apart, 0.9)))


def _energies(seen: Sample, left: Vector) -> Judged:
    """left: [rows, operands, terms], relative to what was simulated."""

    rows, each = left.reshape(-1, left.shape[2]), left.shape[1]
    families = tuple(np.repeat(seen.families, each).tolist())

    def solve(kept: Kept) -> Vector:
        return robust(rows[kept], np.ones(kept.sum()))

    return judged(families, np.repeat(seen.clocked, each), solve, lambda found: rows @ found - 1)


def energy_terms(name: str, operands: Operands) -> tuple[float, float, int, float]:
    """Settled toggles and those of glitches, each times its gate's size; flip-flops; toggles of their outputs."""
    one = catalogue()[name]
    settled, glitches, held_ = price.switched(one.module(), one.stimulus(operands, price.SERIES_CYCLES))
    return float(settled.sum()), float(glitches.sum()), counted(one.module()).flip_flops, float(held_.sum())


def leakage_fit(seen: Sample) -> dict[str, float]:
    """nW per um2: the middle of all, and how far nine of ten are from it."""
    each = np.array([row.leakage_nw / row.area_um2 for row in seen.rows])
    value = float(np.median(each))
    return {"value": _short(value), "interval": _short(np.quantile(np.abs(each / value - 1), 0.9))}


def between_libraries() -> dict[str, float]:
    """The factor within which nine of ten ratios of two clocked PEs in one library are their ratio in another."""
    names = set.intersection(*(set(technology(node).rows) for node in technologies())) & set(catalogue())
    names = {name for name in names if technology(technologies()[0]).rows[name].flip_flops}
    found = {}
    values: dict[str, Callable[[Row], float]] = {
        "area": lambda row: row.area_um2,
        "energy": lambda row: row.energy_fj["normal"],
        "delay": lambda row: row.delay_ps,
    }
    for quantity, value in values.items():
        logs = {node: np.log([value(technology(node).rows[name]) for name in sorted(names)]) for node in technologies()}
        apart = [logs[a] - logs[b] for a, b in combinations(logs, 2)]
        pairs = np.concatenate([np.abs(one[:, None] - one[None, :])[np.triu_indices(len(one), 1)] for one in apart])
        found[quantity] = _short(np.exp(np.quantile(pairs, 0.9)))
    return found


def nonnegative(left: Vector, right: Vector) -> Vector:
    """The least squares solution with no coefficient below zero (Lawson and Hanson's active sets)."""
    size = np.linalg.norm(left, axis=0)
    size[size == 0] = 1.0
    matrix = left / size
    free = np.zeros(matrix.shape[1], bool)
    found = np.zeros(matrix.shape[1])
    for _ in range(10 * len(found)):
        slope = matrix.T @ (right - matrix @ found)
        if free.all() or (slope[~free] <= 1e-9).all():
            break
        free[np.argmax(np.where(free, -np.inf, slope))] = True
        while True:
            trial = np.zeros(len(found))
            trial[free] = np.linalg.lstsq(matrix[:, free], right, rcond=None)[0]
            negative = free & (trial <= 0)
            if not negative.any():
                break
            found = found + (found[negative] / (found[negative] - trial[negative])).min() * (trial - found)
            free &= found > 1e-14
        found = trial
    return np.asarray(found / size)


def robust(left: Vector, right: Vector) -> Vector:
    """As `nonnegative`, of the absolute errors: a few rows that are far off do not bend the rest."""
    weight = np.ones(len(right))
    found = np.zeros(left.shape[1])
    for _ in range(REWEIGHTINGS):
        found = nonnegative(left * weight[:, None], right * weight)
        weight = 1 / np.sqrt(np.maximum(np.abs(left @ found - right), SMALL_ERROR))
    return found


def fit() -> dict[str, Any]:
    """What coefficients.json holds."""
    nodes: dict[str, Any] = {GATES: {"gates": gates_fit().entry(held.TERMS["gates"])}}
    for node in technologies():
        nodes[node] = node_fit(sample(node))
    return {
        "note": "Written by python -m hwsim.characterise.fit from the tables beside it.",
        "nodes": nodes,
        "between_libraries": between_libraries(),
    }


def node_fit(seen: Sample) -> dict[str, Any]:
    """All coefficients of one library."""
    energies = energy_fit(seen)
    return {
        "area": area_fit(seen).entry(held.TERMS["gates"]),
        "flip_flop_um2": flip_flop_um2(seen),
        "delay": delay_fit(seen).entry(held.TERMS["delay"]),
        "energy": energies.with_glitches.entry(held.TERMS["energy"]),
        "zero_delay": energies.settled.entry(held.TERMS["zero_delay"]),
        "between_operands": energies.between,
        "leakage_nw_per_um2": leakage_fit(seen),
    }


def _numbers(parameters: dict[str, Any]) -> dict[str, int]:
    return {name: int(value, 16) if isinstance(value, str) else value for name, value in parameters.items()}


def _short(x: Any) -> float:
    return float(f"{float(x):.5g}")


def own_table(path: Path) -> dict[str, Any]:
    """A table of another library with its coefficients put into it. Raises ValueError for a file that is no table, and
    where it has too few PEs."""
    seen = sample(add_technology(path).name)
    if len(set(seen.families)) < 3 or len(seen.rows) < FEWEST_ROWS:
        raise ValueError(
            f"fit: {path} has {len(seen.rows)} PEs of {len(set(seen.families))} families; coefficients take at least "
            f"{FEWEST_ROWS} of 3: characterise more of them"
        )
    return {**json.loads(path.read_text(encoding="utf-8")), "coefficients": node_fit(seen)}


def main(arguments: list[str] | None = None) -> None:
    """Write the coefficients, gates first: energies count in their sizes."""
    parser = argparse.ArgumentParser(prog="python -m hwsim.characterise.fit", description=__doc__)
    parser.add_argument("--table", type=Path, help="fit this table of another library, and write into it")
    asked = parser.parse_args(arguments)
    if asked.table is not None:
        try:
            made = own_table(asked.table)
        except ValueError as error:
            parser.error(str(error))
        asked.table.write_text(json.dumps(made, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        _tell({asked.table.stem: made["coefficients"]})
        return
    old = json.loads(FILE.read_text(encoding="utf-8"))
    old.setdefault("nodes", {})[GATES] = {"gates": gates_fit().entry(held.TERMS["gates"])}
    FILE.write_text(json.dumps(old, indent=1) + "\n", encoding="utf-8")
    held.fitted.cache_clear()
    found = fit()
    FILE.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    _tell(found["nodes"])


def _tell(nodes: dict[str, Any]) -> None:
    for node, quantities in nodes.items():
        for quantity, entry in quantities.items():
            if isinstance(entry, dict) and "median" in entry:
                errors = ", ".join(f"{word} {entry[word]:.3f}" for word in ("median", "worst", "interval"))
                print(f"{node:10s} {quantity:10s} {errors}")


if __name__ == "__main__":
    main()
