"""Ranks of registers for a clock: the fewest stages with which a PE's delay is within the period."""

from __future__ import annotations

from dataclasses import replace
from numbers import Real
from typing import TYPE_CHECKING

from hwsim.pe.circuit import CUTS
from hwsim.technology import Technology, technology

if TYPE_CHECKING:
    from hwsim.pe.mac import MacPE


def pipelined(pe: MacPE, tech: str | Technology, period_ns: float) -> MacPE:
    """See MacPE.pipelined."""
    if isinstance(period_ns, bool) or not isinstance(period_ns, Real):
        raise TypeError(f"MacPE: period_ns must be a number of ns such as 1.0, got {period_ns!r}")
    if not period_ns > 0:
        raise ValueError(f"MacPE: period_ns must be above 0, got {period_ns!r}")
    fastest = None
    for stages in range(len(CUTS) + 1):
        try:
            made = replace(pe, stages=stages)
            delay = made.delay_ns(tech)
        except ValueError:  # wires that cannot be cut so often
            break
        if delay.value <= period_ns:
            return made
        fastest = delay if fastest is None or delay.value < fastest.value else fastest
    raise ValueError(
        f"MacPE: {pe.name} cannot run at {period_ns} ns in {technology(tech).name}; with up to {len(CUTS)} "
        f"stages it takes {fastest}: use a narrower or fixed-point accumulator"
    )
