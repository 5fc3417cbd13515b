"""Two PEs compared in pairs: one library's ratio after another, and a verdict that says when it is undecided.

compare_pes(pe, baseline, "energy").verdict         # "better", "worse" or "undecided"

Both go through the same libraries, scripts and periods, so what the flow does to all PEs alike cancels. What is left is
how much the ratio moves from library to library, and where a PE was not synthesised, how far off ratios of estimates
are (`pairs` of technology/coefficients.json: nine of ten, their families left out). What stands beside a cell is an
estimate of the same fit; the logarithm of a sum's error lies between those of its parts, so that the pairs' interval
holds for cells and edges together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import exp, log
from typing import Literal

from hwsim import price
from hwsim.cost import Cost
from hwsim.pe.circuit import Mac
from hwsim.pe.edge import Edge, edge
from hwsim.pe.mac import MacPE
from hwsim.pe.series import Matrices, Series, edge_series
from hwsim.pe.stimulus import Operands
from hwsim.technology import Technology, technologies, technology
from hwsim.technology.coefficients import Quantity, between_libraries, fitted

Verdict = Literal["better", "worse", "undecided"]
QUANTITIES: tuple[Quantity, ...] = ("area", "energy", "delay")
CELL, BLOCKS = "cell", "block scales"


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """ratios: by technology, each with its interval; area and energy are per multiply-accumulate.

    ratio: their middle, with the interval that holds all of theirs.  verdict: of the first PE, lower being better.
    parts: by technology, what each side's figure is the sum of: "cell" and, of block-scaled operands, "block scales".
    """

    quantity: Quantity
    ratios: Mapping[str, Cost]
    ratio: Cost
    parts: Mapping[str, tuple[Mapping[str, Cost], Mapping[str, Cost]]]

    @property
    def verdict(self) -> Verdict:
        """Undecided where 1 is in the interval."""
        return "better" if self.ratio.high < 1 else "worse" if self.ratio.low > 1 else "undecided"

    def __str__(self) -> str:
        parts = ", ".join(f"{name} {cost.value:.3f}" for name, cost in self.ratios.items())
        low, high = self.ratio.low, self.ratio.high
        text = f"{self.quantity}: {self.ratio.value:.3f} ({low:.3f}..{high:.3f}), {self.verdict} [{parts}]"
        sides = [side for pair in self.parts.values() for side in pair]
        if not any(BLOCKS in side for side in sides):
            return text
        shares = [side[BLOCKS].value / _whole(side).value if BLOCKS in side else 0.0 for side in sides]
        first, second = (sum(shares[place::2]) / len(self.parts) for place in (0, 1))
        return f"{text}; {BLOCKS} are {first:.0%} and {second:.0%} of it"


def compare_pes(
    first: MacPE,
    second: MacPE,
    quantity: Quantity = "area",
    *,
    tech: str | Technology | Sequence[str | Technology] | None = None,
    operands: Operands | Matrices = "normal",
    edges: bool = True,
) -> Comparison:
    """first / second. tech: libraries to take the ratio in, all shipped ones by default.  operands: of cells' energies.

    edges: with each cell, the unit that applies its operands' block scales and zero points (`MacPE.block_edge`), at
    normal sums: one use and one unit's area over a block's multiply-accumulates, as when the unit is used every cycle;
    False: the cells alone. Delays are the cells', since units are pipelined. Not in it, and in hw.estimate: what a
    result needs once, sums of rows beside zero points (shared by an array's columns), units that wait for work.
    With one library alone the interval has room for what others would say (`between_libraries`).
    """
    if quantity not in QUANTITIES:
        raise ValueError(f"compare_pes: quantity must be one of {', '.join(QUANTITIES)}, got {quantity!r}")
    if isinstance(tech, str | Technology):
        tech = [tech]
    for pe in (first, second):
        if not isinstance(pe, MacPE):
            raise TypeError(f"compare_pes: takes two MacPEs, got {pe!r}")
    if not isinstance(tech, Sequence | None):
        raise TypeError(f"compare_pes: tech must be a technology or a list of some, got {tech!r}")
    names = list(dict.fromkeys(technology(one).name for one in (technologies() if tech is None else tech)))
    if not names:
        raise ValueError(f"compare_pes: tech is empty; take some of {', '.join(technologies())}")
    parts = {
        name: (_parts(first, quantity, name, operands, edges), _parts(second, quantity, name, operands, edges))
        for name in names
    }
    one_cell = (first.module(), first.macs_per_cycle) == (second.module(), second.macs_per_cycle)
    ratios = {name: _ratio(*sides, quantity, name, one_cell) for name, sides in parts.items()}
    spread = between_libraries(quantity) if len(names) == 1 else 1.0
    value = exp(sum(log(ratio.value) for ratio in ratios.values()) / len(ratios))
    return Comparison(
        quantity=quantity,
        ratios=ratios,
        parts=parts,
        ratio=Cost(
            value=value,
            low=min(ratio.low for ratio in ratios.values()) / spread,
            high=max(ratio.high for ratio in ratios.values()) * spread,
            unit="1",
            source=f"paired in {', '.join(names)}: {first.name} / {second.name}",
            status=min((ratio.status for ratio in ratios.values()), key=("estimated", "tested", "proved").index),
        ),
    )


def _ratio(
    first: Mapping[str, Cost], second: Mapping[str, Cost], quantity: Quantity, node: str, one_cell: bool
) -> Cost:
    """In one library. Synthesised figures divide as they are; estimates are off by what pairs of them are; a cell that
    is on both sides has one error, and equal sides a ratio of exactly 1."""
    ours, theirs = _whole(first), _whole(second)
    value = ours.value / theirs.value
    one_cell &= first[CELL] == second[CELL]  # not so where one's scales move it otherwise
    if one_cell and first == second:
        ends = [value]
    elif one_cell:  # monotone in each part's error: the extremes are at corners
        cells = (first[CELL].low, first[CELL].high)
        ours_beside, theirs_beside = (_ends(side.get(BLOCKS)) for side in (first, second))
        ends = [(cell + x) / (cell + y) for cell in cells for x in ours_beside for y in theirs_beside]
    elif first[CELL].status == second[CELL].status == "estimated":
        factor = exp(fitted(node, quantity).pairs)
        ends = [value / factor, value * factor]
    else:
        ends = [ours.low / theirs.high, ours.high / theirs.low]
    return Cost(
        value=value, low=min(*ends, value), high=max(*ends, value), unit="1",
        source=f"{ours.source} / {theirs.source}",
        status=min(ours.status, theirs.status, key=("estimated", "tested", "proved").index),
    )  # fmt: skip


def _ends(cost: Cost | None) -> tuple[float, ...]:
    return (0.0,) if cost is None else (cost.low, cost.high)


def _whole(parts: Mapping[str, Cost]) -> Cost:
    first, *rest = parts.values()
    return sum(rest, first)


def _parts(pe: MacPE, quantity: Quantity, node: str, operands: Operands | Matrices, edges: bool) -> dict[str, Cost]:
    """Figures of a multiply-accumulate (a cycle, for areas); a delay is the cell's."""
    if quantity == "delay":
        return {CELL: pe.delay_ns(node)}
    cell = pe.area_um2(node) if quantity == "area" else pe.energy_pj(node, operands)
    found = {CELL: cell * (1 / pe.macs_per_cycle)}
    unit, every = pe.block_edge, pe.edge_every
    if edges and unit is not None and every is not None:
        use = price.area_um2(edge(unit), node) if quantity == "area" else _use_pj(pe.wiring, unit, every, node)
        found[BLOCKS] = use * (1 / every)
    return found


@cache
def _use_pj(what: Mac, unit: Edge, every: int, node: str) -> Cost:
    return price.energy_pj(edge(unit), node, _uses(what, unit, every))


@cache
def _uses(what: Mac, unit: Edge, every: int) -> Series:
    return edge_series(what, unit, every)
