"""Converters without a scale whose target is narrow: what saturates and what is zero is told by the source's code.

Only the places between are moved: those of a target's `places` bits, the half below them, and whether there is more.
A source's subnormals are so small that they round to zero, and so does field 0 read as that of normal numbers: no
decoder, the hidden bit is 1.
"""

from __future__ import annotations

import formats as nf
from hwsim.circuit import Bits, Build, cat, constant
from hwsim.pe.papers.rounding import beyond, clamped, from_on, rounds_up
from hwsim.pe.papers.to_integer import integer_code, integer_places
from hwsim.primitives import log2_ceil


def reads_as_normal(source: nf.Scalar | nf.Integer, target: nf.Scalar) -> bool:
    """Whether all below the source's least normal number is less than half of the target's least value."""
    if not isinstance(source, nf.Minifloat) or not source.subnormals:
        return False
    return source.min_exponent < target.ulp_exponent


def float_to_float(m: Build, source: nf.Minifloat, target: nf.Minifloat, code: Bits) -> Bits:
    """The magnitude of the target's code."""
    trailing, field, fraction = target.trailing_significand_bits, *_parts(source, code)
    shift = target.min_exponent - source.min_exponent  # the source's field less the target's
    row, rest = _places(m, fraction, trailing + 2)
    normal = beyond(m, "normal", field, shift)
    # From one place down at the target's field 0; the amount is that of a subnormal alone.
    stages = log2_ceil(trailing + 1)
    small, lost = row[1:], row[0]
    if stages:
        amount = m.leaf("amount", "subtractor", width=stages, a=constant(shift % 2**stages, stages), b=field[:stages])
        moved = m.leaf("down", "sticky_shifter", width=trailing + 1, positions=2**stages - 1, a=small, amount=amount)
        small, lost = moved["shifted"], cat(lost, moved["lost"])
    subnormal = m.leaf("subnormal", "inverter", width=1, a=normal)
    near = subnormal
    if shift >= 2**stages:
        some = beyond(m, "some", field, shift - 2**stages)
        near = m.leaf("near", "and_gate", width=1, a=subnormal, b=some)
    yes = m.leaf("row_normal", "and_gate", width=trailing + 1, a=row[:-1], b=normal.repeat(trailing + 1))
    no = m.leaf("row_near", "and_gate", width=trailing + 1, a=small, b=near.repeat(trailing + 1))
    row = m.leaf("row", "or_gate", width=trailing + 1, a=yes, b=no)
    lost = m.leaf("lost", "any_bit", width=lost.width, a=lost)
    lost = m.leaf("lost_near", "and_gate", width=1, a=lost, b=subnormal)
    width = target.exponent_bits
    own = m.leaf("less", "subtractor", width=width, a=_low(field, width), b=constant(shift % 2**width, width))
    own = m.leaf("own", "and_gate", width=width, a=own, b=normal.repeat(width))
    whole = cat(own, row[1:])
    whole = m.leaf(
        "round", "incrementer", width=whole.width, a=whole, carry=rounds_up(m, row[0], cat(whole[0], rest, lost))
    )
    # All from the target's largest value on: nothing below it rounds up beyond it.
    end = target.max_magnitude_code
    below = source.trailing_significand_bits
    first = (((end >> trailing) + shift) << below) + -(-((end % 2**trailing) << below) >> trailing)
    return clamped(m, whole, end, from_on(m, cat(field, fraction), first))


def float_to_integer(m: Build, source: nf.Minifloat, target: nf.FixedPoint, code: Bits) -> Bits:
    """The target's code."""
    field, fraction = _parts(source, code)
    sign = code[-1] if source.signed else None
    places = integer_places(target)
    last = places + target.ulp_exponent - source.min_exponent  # the field of what has its top bit in the top place
    row, rest = _places(m, fraction, places + 1)
    stages = places.bit_length()
    amount = m.leaf("amount", "subtractor", width=stages, a=constant(last % 2**stages, stages), b=_low(field, stages))
    moved = m.leaf("down", "sticky_shifter", width=places + 1, positions=2**stages - 1, a=row, amount=amount)
    row = moved["shifted"]
    if last >= 2**stages:
        near = beyond(m, "near", field, last - 2**stages)
        row = m.leaf("near_row", "and_gate", width=places + 1, a=row, b=near.repeat(places + 1))
    over = beyond(m, "over", field, last) if last < 2**field.width - 1 else None
    return integer_code(m, target, sign, row, cat(rest, moved["lost"]), over)


def _parts(source: nf.Minifloat, code: Bits) -> tuple[Bits, Bits]:
    below, width = source.trailing_significand_bits, source.exponent_bits
    return code[below : below + width], code[:below]


def _low(row: Bits, width: int) -> Bits:
    return row.zero_extend(max(width, row.width))[:width]


def _places(m: Build, fraction: Bits, places: int) -> tuple[Bits, Bits]:
    """The top `places` of the significand, and whether there is a one below."""
    row = cat(constant(1, 1), fraction)
    if row.width <= places:
        return row.above(places - row.width), constant(0, 1)
    cut = row.width - places
    return row[cut:], m.leaf("rest", "any_bit", width=cut, a=row[:cut])
