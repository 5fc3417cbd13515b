"""Prices of a datapath: its synthesised row, or else the structural estimate corrected by its neighbours."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from math import exp, log

from hwsim.component import exact
from hwsim.cost import Cost
from hwsim.pe.datapath import Design
from hwsim.pe.measured import designs
from hwsim.pe.neighbours import neighbours
from hwsim.technology import Technology
from hwsim.technology.coefficients import Quantity, coefficients


@dataclass(frozen=True, kw_only=True, slots=True)
class Price:
    """cost of a design's core, and the factor by which its structural estimate was multiplied to get there."""

    cost: Cost
    factor: Fraction


@cache
def core_price(design: Design, quantity: Quantity, tech: Technology) -> Price:
    """Area, energy a cycle, or delay of `design.core()`. Raises ValueError for energy where there are no figures."""
    if quantity == "energy":
        tech.check_energy()
    structural = exact(design.core(), quantity, tech)
    method, weights = neighbours(design, _rows(quantity, tech))
    nearest = max(weights, key=lambda row: weights[row], default="")
    if weights.get(nearest) == 1.0 and designs_equal(design, designs()[nearest]):
        cost = _measured(nearest, quantity, tech)
        return Price(cost=cost, factor=Fraction(cost.value) / structural)
    errors = [weight * _log_error(row, quantity, tech) for row, weight in weights.items()]
    factor = Fraction(exp(sum(errors)))
    detail = {
        "width": f" x row {nearest} over its own estimate",
        "neighbours": f" corrected on synthesised designs, most by {nearest}",
        "structural": "",
    }[method]
    return Price(cost=coefficients(tech, quantity).cost(structural * factor, method, detail), factor=factor)


@cache
def _log_error(row: str, quantity: Quantity, tech: Technology) -> float:
    """Logarithm of measured over structural estimate, of a synthesised row."""
    return log(_measured(row, quantity, tech).value / float(exact(designs()[row].core(), quantity, tech)))


def designs_equal(first: Design, second: Design) -> bool:
    """The same hardware: a product does not care which side is which."""
    return (
        first.lanes == second.lanes and first.register == second.register and {first.a, first.b} == {second.a, second.b}
    )


@cache
def _rows(quantity: Quantity, tech: Technology) -> tuple[str, ...]:
    return tuple(row for row in designs() if quantity != "energy" or tech.rows[row].energy_fj is not None)


def _measured(row: str, quantity: Quantity, tech: Technology) -> Cost:
    return {"area": tech.area_um2, "energy": tech.energy_pj, "delay": tech.delay_ns}[quantity](row)
