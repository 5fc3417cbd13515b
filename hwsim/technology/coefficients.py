"""The structural model's coefficients and how far off it was on designs it had not seen.

coefficients.json is written by `python -m hwsim.technology.fit`. Three ways to arrive at a figure that was not
synthesised, each with the largest relative error it showed when a synthesised design was predicted without itself:

    structural   textbook gates x coefficient; the design's whole family was kept from the fit
    neighbours   the same, corrected by the errors on the nearest synthesised designs; the design was left out
    width        as neighbours, where the same operands were synthesised with another register; the design was left out
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from math import sqrt
from types import MappingProxyType
from typing import Literal

from hwsim.cost import Cost
from hwsim.technology.tables import AREA_OPTIONS, DELAY_OPTIONS, ENERGY_ABSOLUTE, ENERGY_RATIO, Technology, load

Quantity = Literal["area", "energy", "delay"]
Method = Literal["structural", "neighbours", "width"]
UNIT: dict[Quantity, str] = {"area": "um2", "energy": "pJ", "delay": "ns"}

# How well one synthesised figure itself is known (absolute), and the part of that which cancels in a ratio.
_MEASURED: dict[Quantity, float] = {"area": 1 + AREA_OPTIONS, "energy": ENERGY_ABSOLUTE, "delay": DELAY_OPTIONS}
_RATIO: dict[Quantity, float] = {"area": 1 + AREA_OPTIONS, "energy": ENERGY_RATIO, "delay": DELAY_OPTIONS}


@dataclass(frozen=True, kw_only=True, slots=True)
class Coefficients:
    """One quantity in one technology. per_family: um2 or pJ per gate, ns per level, in the final unit.

    error: the largest relative error of each method on designs left out, as a factor > 1.
    """

    technology: str
    quantity: Quantity
    per_family: Mapping[str, float]
    error: Mapping[str, float]

    def cost(self, value: Fraction, method: Method, detail: str = "") -> Cost:
        """`value` as an estimated Cost. Its interval: the method's error on left-out designs x the measurement's."""
        factor = self.error[method] * _MEASURED[self.quantity]
        number = float(value)
        left_out = f"within x{self.error[method]:.2f} on designs left out"
        return Cost(
            value=number,
            low=number / factor,
            high=number * factor,
            unit=UNIT[self.quantity],
            source=f"{self.technology} structural estimate{detail} ({left_out})",
            status="estimated",
            node=self.technology,
            shared=_MEASURED[self.quantity] / sqrt(_RATIO[self.quantity]),
        )


def coefficients(tech: Technology, quantity: Quantity) -> Coefficients:
    """The fitted model. Raises ValueError for energy where the technology has none."""
    if quantity == "energy":
        tech.check_energy()
    return _coefficients(tech.name, quantity)


@cache
def _coefficients(name: str, quantity: Quantity) -> Coefficients:
    table = load("coefficients.json")["technologies"][name][quantity]
    return Coefficients(
        technology=name,
        quantity=quantity,
        per_family=MappingProxyType(dict(table["per_family"])),
        error=MappingProxyType({method: entry["factor"] for method, entry in table["errors"].items()}),
    )
