"""Floats as shorter ones of the same range of exponents: the top of the code, rounded."""

from __future__ import annotations

import formats as nf
from hwsim.circuit import Bits, Build, cat
from hwsim.pe.papers.rounding import clamped, from_on, rounds_up


def shortens(source: nf.Minifloat, target: nf.Minifloat) -> bool:
    """Whether the target's code is the top of the source's."""
    alike = source.min_exponent == target.min_exponent and source.exponent_bits == target.exponent_bits
    return alike and source.subnormals and source.trailing_significand_bits > target.trailing_significand_bits


def shortened(m: Build, source: nf.Minifloat, target: nf.Minifloat, code: Bits) -> Bits:
    """The magnitude of the target's code."""
    cut, end = source.trailing_significand_bits - target.trailing_significand_bits, target.max_magnitude_code
    row = code[: source.magnitude_bits]
    whole = row[cut:]
    carry = rounds_up(m, row[cut - 1], cat(row[cut], row[: cut - 1]) if cut > 1 else row[cut])
    whole = m.leaf("round", "incrementer", width=whole.width, a=whole, carry=carry)
    return clamped(m, whole, end, from_on(m, row, end << cut))
