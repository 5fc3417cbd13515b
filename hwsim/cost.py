"""Cost: a figure with its interval, unit, source, status and node; Scaling: the only bridge between two nodes.

    area = pe.area_um2("ihp130")            # 4883 um2 (4527..5238, estimated)
    (area * 1024 + buffer_area).ratio(rival_area)

Sums are conservative: both ends are added as if the figures erred together.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal, get_args

Status = Literal["estimated", "tested", "proved"]
_STATUSES: tuple[Status, ...] = get_args(Status)  # weakest first: a sum is as good as its weakest part
UNITS = ("um2", "GE", "pJ", "pJ/bit", "ns", "mW", "1")


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """value, and the interval low..high it is believed to lie in.

    value, low, high: 0 <= low <= value <= high, finite.  unit: one of UNITS ("1" is a ratio).
    source: where the figure comes from, "; " between several.  status: "proved", "tested" or "estimated".
    node: name of the technology it holds for; None for what belongs to no logic node (off-chip DRAM, a ratio).
    """

    value: float
    low: float
    high: float
    unit: str
    source: str
    status: Status
    node: str | None = None

    def __post_init__(self) -> None:
        if self.unit not in UNITS:
            raise ValueError(f"Cost: unit must be one of {', '.join(UNITS)}, got {self.unit!r}")
        if self.status not in _STATUSES:
            raise ValueError(f"Cost: status must be one of {', '.join(_STATUSES)}, got {self.status!r}")
        if not 0 <= self.low <= self.value <= self.high < math.inf:
            raise ValueError(
                f"Cost: needs 0 <= low <= value <= high, finite; got {self.low!r} <= {self.value!r} <= {self.high!r}"
            )
        if not self.source:
            raise ValueError("Cost: source is empty; say where the figure comes from, or 'assumed'")

    def __add__(self, other: Cost) -> Cost:
        """The sum. Raises ValueError for different units, and for two nodes no Scaling has brought together."""
        if not isinstance(other, Cost):
            return NotImplemented
        if self.unit != other.unit:
            raise ValueError(f"Cost: cannot add {self.unit} and {other.unit}")
        if None not in (self.node, other.node) and self.node != other.node:
            raise ValueError(
                f"Cost: cannot add figures of nodes {self.node!r} and {other.node!r}; "
                f"apply a Scaling(source_node={other.node!r}, target_node={self.node!r}, ...) first"
            )
        return Cost(
            value=self.value + other.value,
            low=self.low + other.low,
            high=self.high + other.high,
            unit=self.unit,
            source=_merge(self.source, other.source),
            status=min(self.status, other.status, key=_STATUSES.index),
            node=self.node if self.node is not None else other.node,
        )

    def __radd__(self, other: object) -> Cost:
        """`sum` starts from the integer 0."""
        return self if other == 0 else NotImplemented

    def __mul__(self, factor: float) -> Cost:
        """This figure `factor` times; factor is a number >= 0, known exactly."""
        if isinstance(factor, Cost):
            return NotImplemented
        if not 0 <= factor < math.inf:
            raise ValueError(f"Cost: can be multiplied by a finite number >= 0, got {factor!r}")
        factor = float(factor)
        return replace(self, value=self.value * factor, low=self.low * factor, high=self.high * factor)

    __rmul__ = __mul__

    def ratio(self, other: Cost) -> Cost:
        """self / other, dimensionless. Equal costs are one figure with one error: exactly 1."""
        if self.unit != other.unit:
            raise ValueError(f"Cost: a ratio needs one unit, got {self.unit} and {other.unit}")
        if other.low <= 0:
            raise ValueError(f"Cost: cannot divide by {other}, whose interval reaches zero")
        if self == other:
            return replace(self, value=1.0, low=1.0, high=1.0, unit="1", node=None)
        value = self.value / other.value
        return Cost(
            value=value,
            low=min(value, self.low / other.high),
            high=max(value, self.high / other.low),
            unit="1",
            source=_merge(self.source, other.source),
            status=min(self.status, other.status, key=_STATUSES.index),
        )

    def widened(self, factor: float, source: str, status: Status = "estimated") -> Cost:
        """The same value, its interval a factor >= 1 wider on both sides, with a new source and status."""
        return replace(self, low=self.low / factor, high=self.high * factor, source=source, status=status)

    def __str__(self) -> str:
        unit = "" if self.unit == "1" else f" {self.unit}"
        return f"{self.value:.4g}{unit} ({self.low:.4g}..{self.high:.4g}, {self.status})"


def about(value: float, factor: float, *, unit: str, source: str, node: str | None = None) -> Cost:
    """An estimated Cost whose interval is value / factor .. value * factor."""
    return Cost(
        value=value,
        low=value / factor,
        high=value * factor,
        unit=unit,
        source=source,
        status="estimated",
        node=node,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Scaling:
    """A named rule that carries figures from one node to another.

    factors: (unit, factor) pairs; a unit not listed cannot be scaled.  spread: factor >= 1 the interval widens by.
    name and source go into the source of every figure it touches, and from there into a report's assumptions.
    """

    name: str
    source_node: str
    target_node: str
    factors: tuple[tuple[str, float], ...]
    spread: float
    source: str

    def apply(self, cost: Cost) -> Cost:
        """The figure at target_node; always "estimated". Raises ValueError for another node or unit."""
        factor = dict(self.factors).get(cost.unit)
        if cost.node != self.source_node or factor is None:
            units = ", ".join(unit for unit, _ in self.factors)
            raise ValueError(
                f"Scaling {self.name!r} takes {units} of node {self.source_node!r}, got {cost.unit} of {cost.node!r}"
            )
        scaled = replace(cost * factor, node=self.target_node)
        return scaled.widened(
            self.spread, _merge(cost.source, f"scaled {self.source_node} -> {self.target_node}: {self}")
        )

    def __str__(self) -> str:
        factors = ", ".join(f"{unit} x {factor:.3g}" for unit, factor in self.factors)
        return f"{self.name} ({factors}, within a factor {self.spread:.3g}, {self.source})"


def _merge(first: str, second: str) -> str:
    """Both sources, each part once, in order."""
    return "; ".join(dict.fromkeys([*first.split("; "), *second.split("; ")]))
