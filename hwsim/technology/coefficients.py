"""What the price of a module never synthesised is made of, fitted by `python -m hwsim.characterise.fit`.

Each quantity carries how far off it was on PEs whose whole family was kept from the fit: the median, the worst, and the
interval within which nine of ten lay.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hwsim.technology.tables import load

Quantity = Literal["area", "energy", "delay"]
# Gates of a module as `gate_terms` counts them: a chain's full adders are one adder's, a tree's compress columns.
GATE_TERMS = ("and", "xor", "mux", "chain", "tree")
ENERGY_TERMS = ("settled", "glitches", "flip_flop")


@dataclass(frozen=True, kw_only=True, slots=True)
class Fitted:
    """coefficients: by term, in the quantity's unit.  interval, median, worst: relative errors, families left out.

    pairs: within which nine of ten logarithms of a ratio of two estimates are right.
    """

    coefficients: NDArray[np.float64]
    interval: float
    median: float
    worst: float
    pairs: float


@cache
def fitted(node: str, quantity: str) -> Fitted:
    """node: a technology, or cmos_gates, whose quantity is "gates"."""
    held = load("coefficients.json")["nodes"][node][quantity]
    return Fitted(
        coefficients=np.array(list(held["coefficients"].values())),
        interval=held["interval"],
        median=held["median"],
        worst=held["worst"],
        pairs=held["pairs"],
    )


@cache
def flip_flop_um2(node: str) -> float:
    """Area of the flip-flop that the library's tables use."""
    return float(load("coefficients.json")["nodes"][node]["flip_flop_um2"])


@cache
def leakage_nw_per_um2(node: str) -> tuple[float, float]:
    """Leakage for an area, and the relative error nine of ten PEs are within."""
    held = load("coefficients.json")["nodes"][node]["leakage_nw_per_um2"]
    return float(held["value"]), float(held["interval"])


@cache
def between_operands(node: str) -> float:
    """The relative error within which nine of ten ratios of a PE's energies under two kinds of operands are told."""
    return float(load("coefficients.json")["nodes"][node]["between_operands"])


@cache
def between_libraries(quantity: Quantity) -> float:
    """The factor within which nine of ten ratios of two PEs are the same ratio in another library."""
    return float(load("coefficients.json")["between_libraries"][quantity])
