"""Two PEs compared in pairs: one library's ratio after another, and a verdict that says when it is undecided.

compare_pes(pe, baseline, "energy").verdict         # "better", "worse" or "undecided"

Both go through the same libraries, scripts and periods, so what the flow does to all PEs alike cancels. What is left is
how much the ratio moves from library to library, and where a PE was not synthesised, how far off ratios of estimates
are (`pairs` of technology/coefficients.json: nine of ten, their families left out).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp, log
from typing import Literal

from hwsim.cost import Cost
from hwsim.pe.mac import MacPE
from hwsim.pe.series import Matrices
from hwsim.pe.stimulus import Operands
from hwsim.technology import Technology, technologies, technology
from hwsim.technology.coefficients import Quantity, between_libraries, fitted

Verdict = Literal["better", "worse", "undecided"]
QUANTITIES: tuple[Quantity, ...] = ("area", "energy", "delay")


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """ratios: by technology, each with its interval; area and energy are per multiply-accumulate.

    ratio: their middle, with the interval that holds all of theirs.  verdict: of the first PE, lower being better.
    """

    quantity: Quantity
    ratios: Mapping[str, Cost]
    ratio: Cost

    @property
    def verdict(self) -> Verdict:
        """Undecided where 1 is in the interval."""
        return "better" if self.ratio.high < 1 else "worse" if self.ratio.low > 1 else "undecided"

    def __str__(self) -> str:
        parts = ", ".join(f"{name} {cost.value:.3f}" for name, cost in self.ratios.items())
        low, high = self.ratio.low, self.ratio.high
        return f"{self.quantity}: {self.ratio.value:.3f} ({low:.3f}..{high:.3f}), {self.verdict} [{parts}]"


def compare_pes(
    first: MacPE,
    second: MacPE,
    quantity: Quantity = "area",
    *,
    tech: str | Technology | Sequence[str | Technology] | None = None,
    operands: Operands | Matrices = "normal",
) -> Comparison:
    """first / second. tech: libraries to take the ratio in, all shipped ones by default.  operands: of energies.

    The cells alone: units at the array's edge (scales, zero points) are not in them, see hw.estimate for those. With
    one library alone the interval has room for what others would say (`between_libraries`).
    """
    if quantity not in QUANTITIES:
        raise ValueError(f"compare_pes: quantity must be one of {', '.join(QUANTITIES)}, got {quantity!r}")
    if isinstance(tech, str | Technology):
        tech = [tech]
    for pe in (first, second):
        if not isinstance(pe, MacPE):
            raise TypeError(f"compare_pes: takes two MacPEs, got {pe!r}")
    names = [technology(one).name for one in (technologies() if tech is None else tech)]
    if not names:
        raise ValueError(f"compare_pes: tech is empty; take some of {', '.join(technologies())}")
    ratios = {name: _ratio(first, second, quantity, name, operands) for name in names}
    spread = between_libraries(quantity) if len(names) == 1 else 1.0
    value = exp(sum(log(ratio.value) for ratio in ratios.values()) / len(ratios))
    return Comparison(
        quantity=quantity,
        ratios=ratios,
        ratio=Cost(
            value=value,
            low=min(ratio.low for ratio in ratios.values()) / spread,
            high=max(ratio.high for ratio in ratios.values()) * spread,
            unit="1",
            source=f"paired in {', '.join(names)}: {first.name} / {second.name}",
            status=min((ratio.status for ratio in ratios.values()), key=("estimated", "tested", "proved").index),
        ),
    )


def _ratio(first: MacPE, second: MacPE, quantity: Quantity, node: str, operands: Operands | Matrices) -> Cost:
    """In one library. Synthesised figures divide as they are; estimates are off by what pairs of them are."""
    ours, theirs = (_figure(pe, quantity, node, operands) for pe in (first, second))
    value = ours.value / theirs.value
    low, high = ours.low / theirs.high, ours.high / theirs.low
    if first.module() == second.module() and first.macs_per_cycle == second.macs_per_cycle:
        low = high = value
    elif ours.status == theirs.status == "estimated":
        factor = exp(fitted(node, quantity).pairs)
        low, high = value / factor, value * factor
    return Cost(
        value=value, low=min(low, value), high=max(high, value), unit="1",
        source=f"{ours.source} / {theirs.source}",
        status=min(ours.status, theirs.status, key=("estimated", "tested", "proved").index),
    )  # fmt: skip


def _figure(pe: MacPE, quantity: Quantity, node: str, operands: Operands | Matrices) -> Cost:
    if quantity == "delay":
        return pe.delay_ns(node)
    whole = pe.area_um2(node) if quantity == "area" else pe.energy_pj(node, operands)
    return whole * (1 / pe.macs_per_cycle)
