"""Accumulators and multipliers by name."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from formats.arithmetic.accumulators import ACCUMULATORS, Accumulator, Exact, Unordered
from formats.arithmetic.chips import CHIPS, Named
from formats.arithmetic.multipliers.base import ExactProduct, Multiplier
from formats.arithmetic.multipliers.bit_serial import BitSerial
from formats.arithmetic.multipliers.lmul import LMul
from formats.arithmetic.multipliers.mitchell import Mitchell
from formats.arithmetic.multipliers.shift import ShiftOnly

NAMED: Mapping[str, Named] = {item.name: item for items in CHIPS.values() for item in items}
MULTIPLIERS: Mapping[str, Multiplier] = {
    "exact": ExactProduct(),
    "lmul_formula": LMul("formula"),
    "lmul_integer_add": LMul("integer_add"),
    "mitchell": Mitchell(),
    "shift_only": ShiftOnly(),
    "bit_serial": BitSerial(),
    "booth": BitSerial("booth"),
    "bitmod": BitSerial("bitmod"),
}
PLAIN: Mapping[str, Accumulator] = {"exact": Exact(), "float32_unordered": Unordered()}  # of no chip


def accumulators() -> tuple[Named, ...]:
    """Every accumulator that has a name: the matrix instructions of chips, with operands, status and source."""
    return tuple(NAMED.values())


def named_accumulator(accumulator: Any) -> Accumulator:
    """An accumulator, by description or name. Raises ValueError for unknown names, TypeError for other things."""
    if isinstance(accumulator, str):
        if accumulator in PLAIN:
            return PLAIN[accumulator]
        if accumulator not in NAMED:
            near = get_close_matches(accumulator, [*PLAIN, *NAMED], n=4, cutoff=0.0)
            raise ValueError(
                f"matmul: no accumulator is called {accumulator!r}; near names: {', '.join(near)}; "
                f"formats.accumulators() lists all {len(NAMED)}"
            )
        return NAMED[accumulator].accumulator
    if not isinstance(accumulator, ACCUMULATORS):
        raise TypeError(
            f"matmul: accumulator must be Exact(), Integer(bits), FloatChain(format), Kahan, Aligned, AlignedGroups, "
            f"AlignedLate, PairwiseStep, Promotion, SplitK, Unordered or a name, got {accumulator!r}"
        )
    return accumulator


def named_multiplier(multiplier: Any) -> Multiplier:
    """A multiplier, by description or name. Raises ValueError for unknown names, TypeError for other things."""
    if isinstance(multiplier, str):
        if multiplier not in MULTIPLIERS:
            raise ValueError(f"matmul: no multiplier is called {multiplier!r}; there are {', '.join(MULTIPLIERS)}")
        return MULTIPLIERS[multiplier]
    if isinstance(multiplier, type) or not isinstance(multiplier, Multiplier):
        raise TypeError(
            f"matmul: multiplier must be a name or a description of formats.arithmetic.multipliers, got {multiplier!r}"
        )
    return multiplier
