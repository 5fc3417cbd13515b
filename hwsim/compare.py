"""Paired comparison: the ratio of two reports' energies, with what they have in common varied together.

Two accelerators of one node share the memory's energy per bit and what the logic figures leave out (wires, the clock
tree). Those move both energies at once and mostly cancel. What is a design's own does not: its figure's interval, and
how much the ratio of two PEs differs between libraries. The interval is that of the ratio over all combinations of
these factors, far narrower than dividing two intervals.
"""

from __future__ import annotations

from itertools import product
from math import sqrt

from hwsim.cost import Cost
from hwsim.report import Report
from hwsim.technology.coefficients import between_libraries

LEFT_OUT = 1.5  # assumed: how far wires and a clock tree may move all logic of a node together
MEMORIES = ("SRAM", "DRAM", "leakage SRAM")
End = float  # a factor on the central value


def energy_ratio(report: Report, base: Report) -> Cost:
    """Energy of `report` over that of `base`, dimensionless, with a paired interval.

    The ratio is a quotient of two sums, each factor scaling some of the terms, so it is monotone in every factor and
    its extremes lie at corners. Raises ValueError where the two differ in node, or where a memory has different prices
    (then nothing is common: divide the energies instead).
    """
    for side in (report, base):
        if not isinstance(side, Report):
            raise TypeError(f"energy_ratio: takes two Reports, got {side!r}")
    ours, theirs = report.energy, base.energy
    nodes = [{cost.node for cost in energy.values()} - {None} for energy in (ours, theirs)]
    if nodes[0] != nodes[1]:
        raise ValueError(f"energy_ratio: pairs reports of one node, got {_text(nodes[0])} and {_text(nodes[1])}")
    _check_prices(report, base)
    memories = _memory_factors(ours, theirs)
    # A name leaves out what only its format's description says (a codebook's entries); prices do not.
    same = report.accelerator == base.accelerator and report.prices == base.prices
    value = _total(ours, dict.fromkeys(memories, 1.0), 1.0, 0) / _total(theirs, dict.fromkeys(memories, 1.0), 1.0, 0)
    ratios = []
    for ends in product(*memories.values()):
        factors = dict(zip(memories, ends, strict=True))
        for common, mine, yours in product((1 / LEFT_OUT, LEFT_OUT), (-1, 1), (-1, 1)):
            if mine != yours and same:
                continue  # one design has one error
            ratios.append(_total(ours, factors, common, mine) / _total(theirs, factors, common, yours))
    return Cost(
        value=value,
        low=min(value, *ratios),
        high=max(value, *ratios),
        unit="1",
        source=f"paired: {report.accelerator} / {base.accelerator}",
        status="estimated",
    )


def _text(nodes: set[str | None]) -> str:
    return " and ".join(repr(node) for node in sorted(nodes, key=str)) or "no node"


def _memory_factors(ours: dict[str, Cost], theirs: dict[str, Cost]) -> dict[str, tuple[End, End]]:
    """How far each memory's price can be from its central value, the same for both reports."""
    factors: dict[str, tuple[End, End]] = {}
    for memory in MEMORIES:
        for name, cost in (*ours.items(), *theirs.items()):
            if name.startswith(memory) and cost.value > 0:
                low, high = cost.low / cost.value, cost.high / cost.value
                held = factors.get(memory, (low, high))
                factors[memory] = min(held[0], low), max(held[1], high)
    return factors


def _check_prices(report: Report, base: Report) -> None:
    """One memory has one price."""
    for name in set(report.prices) & set(base.prices):
        if name.startswith(("SRAM", "DRAM")) and report.prices[name] != base.prices[name]:
            raise ValueError(
                f"energy_ratio: {name} cost {report.prices[name]} and {base.prices[name]}; pairs need one memory"
            )


def _total(energy: dict[str, Cost], memories: dict[str, End], common: float, own: int) -> float:
    """Energy with memories scaled, logic scaled by what all logic has in common, and a design's own error at one end.

    own: -1 takes each logic part's lower end, 0 the value, 1 the upper, and as far as libraries disagree.
    """
    between = sqrt(between_libraries("energy"))  # half of a ratio's spread to either side
    total = 0.0
    for name, cost in energy.items():
        memory = next((memory for memory in memories if name.startswith(memory)), None)
        if memory is not None:
            total += cost.value * memories[memory]
        elif own == 0:
            total += cost.value * common
        else:
            total += (cost.low / between if own < 0 else cost.high * between) * common
    return total
