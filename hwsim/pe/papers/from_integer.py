"""Integers, and sums in a register, as floats: no exponent comes in, and below the normal range nothing moves."""

from __future__ import annotations

from fractions import Fraction
from math import ceil

import formats as nf
from hwsim.circuit import Bits, Build, cat, constant
from hwsim.pe.papers.normalise import normalised
from hwsim.pe.papers.rounding import clamped, from_on, rounds_up


def integer_to_float(m: Build, code: Bits, signed: bool, unit: int, target: nf.Minifloat) -> Bits:
    """The magnitude of the target's code; the code is worth as many 2**unit."""
    trailing, end = target.trailing_significand_bits, target.max_magnitude_code
    # Above the top bit of the largest value there is only whether there is a one.
    places = max((end >> trailing) + target.min_exponent - unit, 1)
    row, over = _low_places(m, code, signed, min(places, code.width))
    # All from the largest value on: nothing below it rounds up beyond it.
    large = from_on(m, row, ceil(target.max_finite / Fraction(2) ** unit))
    if over is not None and large is not None:
        over = m.leaf("beyond", "or_gate", width=1, a=over, b=large)
    over = large if over is None else over
    least = max(target.min_exponent - unit, 0)  # the place of the least normal number's top bit
    some = row
    # Zeros on top until the most steps up are all ones.
    stages = max(row.width - 1 - least, 0).bit_length()
    row = row.zero_extend(least + 2**stages)
    field = row.width + unit - target.min_exponent
    width = target.exponent_bits
    own = constant(field % 2**width, width)
    if stages:
        row, count = normalised(m, "normal", row, stages)
        own = m.leaf("less", "subtractor", width=width, a=own, b=count.zero_extend(max(width, stages))[:width])
    # Without a hidden bit the field is 0; where it would be 1 else, that is one gate.
    masked = 1 if field == 2**stages else width
    hidden = row[-1] if masked == 1 else m.leaf("nonzero", "any_bit", width=some.width, a=some)
    some = m.leaf("own", "and_gate", width=masked, a=own[:masked], b=hidden.repeat(masked))
    own = cat(own[masked:], some) if masked < width else some
    if row.width <= trailing + 1:
        return clamped(m, cat(own, row[:-1].above(trailing + 1 - row.width)), end, over)
    cut = row.width - 1 - trailing
    whole = cat(own, row[cut:-1])
    carry = rounds_up(m, row[cut - 1], cat(whole[0], row[: cut - 1]) if cut > 1 else whole[0])
    return clamped(m, m.leaf("round", "incrementer", width=whole.width, a=whole, carry=carry), end, over)


def _low_places(m: Build, code: Bits, signed: bool, places: int) -> tuple[Bits, Bits | None]:
    """The magnitude's low places, and whether there is a one above them; None where there is no above."""
    if not signed:
        above = code[places:] if places < code.width else None
        return code[:places], None if above is None else m.leaf("above", "any_bit", width=above.width, a=above)
    size = code.width - 1
    turned = m.leaf("flip", "exclusive_or", width=size, a=code[:-1], b=code[-1].repeat(size))
    # With the carry out of the low places they are all 0, and the magnitude is not.
    width = min(places, size) + 1
    row = m.leaf("size", "incrementer", width=width, a=turned[: width - 1].zero_extend(width), carry=code[-1])
    if places > size:
        return row, None
    above = cat(turned[places:], row[-1]) if places < size else row[-1]
    return row[:-1], m.leaf("above", "any_bit", width=above.width, a=above)
