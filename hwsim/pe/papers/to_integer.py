"""Numbers in sign and magnitude as integers: moved to their place at once, the longest step first, not normalised.

What stays above the target's places in the steps to come saturates, and what falls below them is only looked at.
"""

from __future__ import annotations

import formats as nf
from hwsim.circuit import Bits, Build, cat, constant
from hwsim.pe.number import Number
from hwsim.pe.papers.rounding import beyond, rounds_up


def integer_places(target: nf.FixedPoint) -> int:
    """Bits of the largest magnitude with either sign."""
    return target.bits - 1 if target.signed else target.bits


def to_integer(m: Build, target: nf.FixedPoint, x: Number) -> Bits:
    """The target's code, of any number in sign and magnitude."""
    places, size = integer_places(target), x.significand.width
    exponent = x.exponent if x.exponent is not None else constant(x.low, max(x.low.bit_length(), 1))
    # The exponent at which the significand lies just above the places; it moves down by what is missing.
    whole = places + target.ulp_exponent - x.unit
    stages = max(min(size + places, whole - x.low), 0).bit_length()
    row, above, lost = cat(x.significand, constant(0, places + 1)), list[Bits](), list[Bits]()
    if stages:
        amount = m.leaf(
            "amount",
            "subtractor",
            width=stages,
            a=constant(whole % 2**stages, stages),
            b=exponent.zero_extend(max(stages, exponent.width))[:stages],
        )
    for stage in reversed(range(stages)):
        step = 1 << stage
        gone = m.leaf(f"any{step}", "any_bit", width=min(step, row.width), a=row[:step])
        lost.append(m.leaf(f"lost{step}", "and_gate", width=1, a=gone, b=amount[stage]))
        words = cat(row[step:].zero_extend(row.width), row)
        row = m.leaf(f"by{step}", "multiplexer", width=row.width, choices=2, words=words, select=amount[stage])
        kept = min(places + step, row.width)
        row, above = row[:kept], [*above, row[kept:]]
    row, above = row[: places + 1], [*above, row[places + 1 :]]
    tops = cat(*above)
    over = m.leaf("above", "any_bit", width=tops.width, a=tops)
    if whole - x.low >= 2**stages:
        near = beyond(m, "near", exponent, whole - 2**stages)
        row = m.leaf("near_row", "and_gate", width=row.width, a=row, b=near.repeat(row.width))
        over = m.leaf("near_over", "and_gate", width=1, a=over, b=near)
    if whole < (1 << exponent.width) - 1:
        some = m.leaf("some", "any_bit", width=size, a=x.significand)
        far = beyond(m, "far", exponent, whole)
        far = m.leaf("far_some", "and_gate", width=1, a=far, b=some)
        over = m.leaf("over", "or_gate", width=1, a=over, b=far)
    return integer_code(m, target, x.sign, row, cat(*lost), over)


def integer_code(m: Build, target: nf.FixedPoint, sign: Bits | None, row: Bits, lost: Bits, over: Bits | None) -> Bits:
    """The code of a row of the target's places and the half below them; lost: whatever lies below that."""
    places = row.width - 1
    if over is not None:
        row = m.leaf("far_row", "or_gate", width=places + 1, a=row, b=over.repeat(places + 1))
    whole: Bits = row[1:]
    up = rounds_up(m, row[0], cat(row[1], lost))
    if sign is None or not target.signed:
        whole = m.leaf("round", "incrementer", width=places + 1, a=whole.zero_extend(places + 1), carry=up)
        whole = m.leaf("clamped", "or_gate", width=places, a=whole[:-1], b=whole[-1].repeat(places))
        if sign is None:
            return whole.zero_extend(target.bits)
        plus = m.leaf("plus", "inverter", width=1, a=sign)
        kept: Bits = m.leaf("kept", "and_gate", width=places, a=whole, b=plus.repeat(places))
        return kept
    if target.symmetric:
        full = m.leaf("full", "every_bit", width=places, a=whole)
        room = m.leaf("room", "inverter", width=1, a=full)
        up = m.leaf("up_within", "and_gate", width=1, a=up, b=room)
    # -(row + up) is the row turned and 1 - up: one addition rounds and negates.
    turned = m.leaf("turned", "exclusive_or", width=places, a=whole, b=sign.repeat(places))
    carry = m.leaf("carry", "exclusive_or", width=1, a=up, b=sign)
    whole = m.leaf("round", "incrementer", width=places + 1, a=cat(sign, turned), carry=carry)
    if target.symmetric:
        return whole
    plus = m.leaf("plus", "inverter", width=1, a=sign)
    past = m.leaf("past", "and_gate", width=1, a=whole[-1], b=plus)
    top = m.leaf("top", "and_gate", width=1, a=whole[-1], b=sign)
    return cat(top, m.leaf("clamped", "or_gate", width=places, a=whole[:-1], b=past.repeat(places)))
