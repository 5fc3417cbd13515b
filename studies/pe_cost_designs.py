"""What a published claim compares: PEs, and parts of them, per multiply-accumulate; their ratios in every library.

    ratio(Design.of("mac_e4m3fn_e4m3fn_fixed45"), Design.of("mac_int8_int8_fixed32"), "energy")

A design is a weighted sum of modules, so that a shared edge counts by its share. Ratios are paired, as those of
hwsim.pe.compare: one library after another, and all of theirs in the interval. A ratio of two estimates is as wrong as
ratios of estimates are (`pairs` of technology/coefficients.json), another as its less certain side.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from math import exp, hypot, log
from typing import Literal

import numpy as np

from hwsim import price
from hwsim.circuit.network import leaf_paths
from hwsim.cost import Cost, Status
from hwsim.pe.catalogue import catalogue
from hwsim.pe.mac import MacPE
from hwsim.pe.units.unit import MultiplyAccumulate, Unit
from hwsim.technology import technologies
from hwsim.technology.coefficients import fitted

Quantity = Literal["area", "energy", "area x delay"]
STATUSES: tuple[Status, ...] = ("estimated", "tested", "proved")


@dataclass(frozen=True, slots=True)
class Figure:
    """value: um2 or pJ.  error: relative, of the parts together.  status: of the one known least."""

    value: float
    error: float
    status: Status


@dataclass(frozen=True, kw_only=True, slots=True)
class Design:
    """parts: units, and how many of each a multiply-accumulate a cycle takes (negative where one is in another)."""

    parts: tuple[tuple[Unit, Fraction], ...]

    @classmethod
    def of(cls, what: str | MacPE | Unit, per: int | Fraction | None = None) -> Design:
        """One unit, of the catalogue by name, per product it makes, or `per` that many units of work."""
        unit = _unit(what)
        return cls(parts=((unit, 1 / (unit.terms if per is None else Fraction(per))),))

    def __add__(self, other: Design) -> Design:
        return Design(parts=self.parts + other.parts)

    def __mul__(self, factor: int | Fraction) -> Design:
        return Design(parts=tuple((unit, weight * factor) for unit, weight in self.parts))

    def figure(self, node: str, quantity: Quantity) -> Figure:
        """A multiply-accumulate's: um2, pJ, or um2 ns at the clock that its slowest part allows."""
        costs = [
            (_figure(unit, node, "energy" if quantity == "energy" else "area"), weight) for unit, weight in self.parts
        ]
        value = sum(cost.value * float(weight) for cost, weight in costs)
        error = sum((cost.high - cost.value) * float(abs(weight)) for cost, weight in costs) / value
        known = [cost for cost, _ in costs]
        if quantity == "area x delay":
            delays = [price.delay_ns(unit.module(), node) for unit, weight in self.parts if weight > 0]
            slowest = max(delays, key=lambda delay: delay.value)
            value, error = value * slowest.value, error + slowest.high / slowest.value - 1
            known += delays
        assert value > 0
        return Figure(value, error, min((cost.status for cost in known), key=STATUSES.index))


def _unit(what: str | MacPE | Unit) -> Unit:
    if isinstance(what, str):
        return catalogue()[what].what
    return MultiplyAccumulate(what=what.wiring) if isinstance(what, MacPE) else what


@cache
def _figure(unit: Unit, node: str, quantity: Quantity) -> Cost:
    module = unit.module()
    if quantity == "area":
        return price.area_um2(module, node)
    return price.energy_pj(module, node, unit.stimulus("normal", price.SERIES_CYCLES - 1), "normal")


@dataclass(frozen=True, kw_only=True, slots=True)
class Ratio:
    """value: the libraries' geometric mean; low, high: of all of them. by_library: each one's own middle."""

    value: float
    low: float
    high: float
    status: Status
    by_library: Mapping[str, float]


Known = tuple[float, float, float, Status]  # value, low, high, how well it is known


def over_libraries(each: Callable[[str], Known]) -> Ratio:
    """The interval of a ratio: of every library's."""
    values, lows, highs, statuses = {}, [], [], []
    for node in technologies():
        value, low, high, status = each(node)
        values[node] = value
        lows.append(low)
        highs.append(high)
        statuses.append(status)
    middle = exp(sum(log(value) for value in values.values()) / len(values))
    return Ratio(
        value=middle, low=min(lows), high=max(highs), status=min(statuses, key=STATUSES.index), by_library=values
    )


def pairs(node: str, quantity: Quantity) -> float:
    """Within which nine of ten logarithms of a ratio of two estimates are right; errors of a product are apart."""
    if quantity == "area x delay":
        return hypot(fitted(node, "area").pairs, fitted(node, "delay").pairs)
    return fitted(node, quantity).pairs


def ratio(first: Design, second: Design, quantity: Quantity) -> Ratio:
    """first / second, a multiply-accumulate each; the errors of two estimates are told together."""

    def each(node: str) -> Known:
        ours, theirs = (design.figure(node, quantity) for design in (first, second))
        value, status = ours.value / theirs.value, min(ours.status, theirs.status, key=STATUSES.index)
        if ours.status == theirs.status == "estimated":
            factor = exp(pairs(node, quantity))
            return value, value / factor, value * factor, status
        low, high = (1 - ours.error) / (1 + theirs.error), (1 + ours.error) / (1 - theirs.error)
        return value, value * low, value * high, status

    return over_libraries(each)


def leaves(unit: Unit, node: str, quantity: Quantity, wanted: Callable[[str], bool]) -> float:
    """um2 or fJ a cycle of the leaves whose path is wanted, as estimated."""
    module = unit.module()
    if quantity == "area":
        parts = price.estimated_um2(module, node)
    else:
        parts = price.estimated_fj(module, node, unit.stimulus("normal", price.SERIES_CYCLES - 1))
    chosen = np.array([wanted(path) for path in leaf_paths(module)])
    return float(parts[chosen].sum())


def ratio_of_leaves(
    first: tuple[Unit, Callable[[str], bool]], second: tuple[Unit, Callable[[str], bool]], quantity: Quantity
) -> Ratio:
    """Parts of two units, or two parts of one: estimated."""

    def each(node: str) -> Known:
        ours, theirs = (leaves(unit, node, quantity, wanted) for unit, wanted in (first, second))
        factor = exp(pairs(node, quantity))
        return ours / theirs, ours / theirs / factor, ours / theirs * factor, "estimated"

    return over_libraries(each)
