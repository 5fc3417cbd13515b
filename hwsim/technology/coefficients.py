"""What the price of a module never synthesised is made of, fitted by `python -m hwsim.characterise.fit`.

Each quantity carries how far off it was on PEs whose whole family was kept from the fit: the median, the worst, and the
interval within which nine of ten lay.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hwsim.circuit.paths import PATH_TERMS
from hwsim.technology.tables import added, load

Quantity = Literal["area", "energy", "delay"]
# Gates of a module as `gate_terms` counts them: a chain's full adders are one adder's, a tree's compress columns;
# nested gates are read by one gate of their own kind alone.
GATE_TERMS = ("and", "nested_and", "xor", "mux", "nested_mux", "chain", "tree")
ENERGY_TERMS = ("settled", "glitches", "flip_flop", "held")
TERMS = {
    "gates": GATE_TERMS,
    "area": GATE_TERMS,
    "delay": PATH_TERMS,
    "energy": ENERGY_TERMS,
    "zero_delay": ("settled", "flip_flop", "held"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Fitted:
    """coefficients: by term, in the quantity's unit.  median, worst: relative errors, families left out.

    clocked, combinational: the intervals of modules with registers and without.  pairs: of clocked ones, within which
    nine of ten logarithms of a ratio of two estimates are right.
    """

    coefficients: NDArray[np.float64]
    clocked: float
    combinational: float
    median: float
    worst: float
    pairs: float


def _node(node: str) -> dict[str, Any]:
    """The coefficients of a technology, shipped or added."""
    table = added(node)
    if table is None:
        found: dict[str, Any] = load("coefficients.json")["nodes"][node]
        return found
    if "coefficients" not in table:
        raise ValueError(
            f"technology {node!r} has no coefficients for what was not synthesised; run python -m "
            "hwsim.characterise.fit --table TABLE, and add it again"
        )
    held: dict[str, Any] = table["coefficients"]
    return held


@cache
def fitted(node: str, quantity: str) -> Fitted:
    """node: a technology, or cmos_gates, whose quantity is "gates"."""
    held = _node(node)[quantity]
    given, terms = held["coefficients"], TERMS[quantity]
    if set(given) != set(terms):
        raise ValueError(
            f"technology {node!r}: coefficients of {quantity} are for {', '.join(given)}, and there are "
            f"{', '.join(terms)}; run python -m hwsim.characterise.fit --table TABLE, and add it again"
        )
    found = np.array([given[term] for term in terms])
    found.setflags(write=False)
    return Fitted(
        coefficients=found,
        clocked=held["interval_clocked"],
        combinational=held["interval_combinational"] or held["interval_clocked"],
        median=held["median"],
        worst=held["worst"],
        pairs=held["pairs"],
    )


@cache
def flip_flop_um2(node: str) -> float:
    """Area of the flip-flop that the library's tables use."""
    return float(_node(node)["flip_flop_um2"])


@cache
def leakage_nw_per_um2(node: str) -> tuple[float, float]:
    """Leakage for an area, and the relative error nine of ten PEs are within."""
    held = _node(node)["leakage_nw_per_um2"]
    return float(held["value"]), float(held["interval"])


@cache
def between_operands(node: str) -> float:
    """The relative error within which nine of ten ratios of a PE's energies under two kinds of operands are told."""
    return float(_node(node)["between_operands"])


@cache
def between_libraries(quantity: Quantity) -> float:
    """The factor within which nine of ten ratios of two PEs are the same ratio in another library."""
    return float(load("coefficients.json")["between_libraries"][quantity])
