"""A float register: register + an exact addend, rounded once. A single path, just wide enough to round rightly.

The addend is normalised first. Then both numbers lie in one window with their tops together, the one of the smaller
exponent moved down, what it loses kept as one bit below the window: the sum is rounded to odd there, and the rounding
that follows is the only one. The addend has P bits, the register p. max(p + 2, P + 1) bits are enough:
- register on top and normal (or the addend zero): the addend moved down by 1 loses nothing (P + 1 bits hold it); moved
  further, a difference loses at most one leading place, and p + 1 places and the odd bit are left;
- register on top and subnormal: the sum is rounded at the register's own last place or above it, p places down;
- addend on top: moved down by at most 2 the register loses nothing; moved further, as in the first case.
Place p + 1 and the odd bit decide every rounding to p places.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import formats as nf
from hwsim.circuit import Bits, Build, Module, cat, constant
from hwsim.pe.number import Number, slug
from hwsim.primitives import log2_ceil

ROUNDINGS = ("ties_to_even", "toward_zero")


@dataclass(frozen=True, slots=True)
class Addend:
    """What a float adder sees of its addend: bits of the magnitude, its exponent's width and range, its unit.

    zeros: the most leading zeros of a magnitude that is not zero.
    """

    bits: int
    exponent_bits: int
    low: int
    high: int
    unit: int
    zeros: int


def addend_of(x: Number) -> Addend:
    """The shape of a number in sign and magnitude."""
    width = x.exponent.width if x.exponent is not None else 0
    return Addend(x.significand.width, width, x.low, x.high, x.unit, x.zeros)


def magnitude(m: Build, name: str, x: Number) -> Number:
    """A two's complement number as sign and magnitude; others as they are."""
    if not x.signed:
        return x
    top = x.below_zero if x.below_zero is not None else x.significand[-1]
    flipped = m.leaf(
        f"{name}_flip",
        "exclusive_or",
        width=x.significand.width,
        a=x.significand,
        b=top.repeat(x.significand.width),
    )
    size = m.leaf(f"{name}_carry", "incrementer", width=x.significand.width, a=flipped, carry=top)
    sign = top if x.sign is None else m.leaf(f"{name}_sign", "exclusive_or", width=1, a=top, b=x.sign)
    return Number(
        significand=size,
        sign=sign,
        exponent=x.exponent,
        low=x.low,
        high=x.high,
        unit=x.unit,
        zeros=x.significand.width - 1,
    )


@cache
def float_adder(fmt: nf.Minifloat, rounding: str, addend: Addend) -> Module:
    """Ports: total (a code of fmt), significand, exponent (where the addend has one), sign; next: the sum's code.

    Exact for finite operands whose rounded sum is finite; infinities, NaN and overflow are not treated.
    """
    p, size = fmt.trailing_significand_bits + 1, addend.bits
    shape = f"{size}x{addend.exponent_bits}_{addend.low}to{addend.high}_{addend.zeros}zeros"
    m = Build(f"add_{slug(fmt.name)}_{rounding}_{shape}_unit{'m' if addend.unit < 0 else ''}{abs(addend.unit)}")
    total = m.input("total", fmt.bits)
    significand = m.input("significand", size)
    exponent = m.input("exponent", addend.exponent_bits) if addend.exponent_bits else constant(addend.low, 1)
    sign = m.input("sign", 1)
    held = _unpack(m, fmt, total)
    normal, zeros = _normalised(m, significand, addend.zeros)
    far = _distance(m, fmt, addend, held["exponent"], exponent, zeros, normal[-1])
    window = max(p + 2, size + 1)
    upper, lower, odd = _aligned(m, held["significand"], normal, far, window)
    negative, whole = _added(m, upper, lower, odd, window, held["sign"], sign, far["addend_on_top"])
    m.output("next", _rounded(m, fmt, rounding, whole, far["top"], negative))
    return m.done()


def _normalised(m: Build, significand: Bits, zeros: int) -> tuple[Bits, Bits | None]:
    """The magnitude moved up until its top bit is 1 (a zero stays zero), and by how much."""
    if not zeros:
        return significand, None
    count = m.leaf("addend_zeros", "leading_zero_counter", width=zeros, a=significand[significand.width - zeros :])
    row = m.leaf(
        "addend_normal",
        "expanding_shifter",
        width=significand.width,
        positions=zeros,
        limit=significand.width,
        a=significand,
        amount=count,
    )
    return row, count


def _unpack(m: Build, fmt: nf.Minifloat, total: Bits) -> dict[str, Bits]:
    """The register's significand with its hidden bit, its exponent field (1 where subnormal), its sign."""
    trailing, width = fmt.trailing_significand_bits, fmt.exponent_bits
    read = m.leaf("read", "float_decoder", exponent=width, field=total[trailing : trailing + width])
    return {
        "significand": cat(read["hidden"], total[:trailing]),
        "exponent": read["effective"],
        "sign": total[fmt.bits - 1],
    }


def _distance(
    m: Build, fmt: nf.Minifloat, addend: Addend, held: Bits, exponent: Bits, zeros: Bits | None, something: Bits
) -> dict[str, Bits]:
    """Which number is on top, how far the other is below, and the top's exponent as a field of the register's format.

    The top of the register has the weight field - 1 + ulp + p, the top of the addend exponent - zeros + unit + P: as a
    field, the addend's is exponent - zeros + `offset`. something: whether the addend is not zero; a zero must not push
    the register out of the window. far: the distance less one where the addend is on top.
    """
    p = fmt.trailing_significand_bits + 1
    offset = addend.unit + addend.bits - (fmt.ulp_exponent + p) + 1
    most = max(2**fmt.exponent_bits - 1, addend.high + offset, addend.high)
    least = min(0, addend.low + offset - addend.zeros, addend.low - addend.zeros)
    width = (most - least).bit_length() + 1
    field = exponent.zero_extend(width)[:width]
    if zeros is not None:
        field = m.leaf("addend_top", "subtractor", width=width, a=field, b=zeros.zero_extend(width))
    if offset:
        field = m.leaf("addend_field", "adder", width=width, a=field, b=constant(offset, width))
    down = m.leaf("down", "subtractor", width=width, a=held.zero_extend(width), b=field)
    addend_on_top = m.leaf("addend_on_top", "and_gate", width=1, a=down[-1], b=something)
    # A negative distance, all bits turned, is the distance up less one; the register is wired one place lower for it.
    far = m.leaf("far", "exclusive_or", width=width - 1, a=down[:-1], b=addend_on_top.repeat(width - 1))
    top = _choose(m, "top", addend_on_top, field, held.zero_extend(width))
    return {"addend_on_top": addend_on_top, "far": far, "top": top[:-1]}


def _choose(m: Build, name: str, select: Bits, yes: Bits, no: Bits) -> Bits:
    row: Bits = m.leaf(name, "multiplexer", width=yes.width, choices=2, words=cat(yes, no), select=select)
    return row


def _aligned(m: Build, held: Bits, significand: Bits, far: dict[str, Bits], window: int) -> tuple[Bits, Bits, Bits]:
    """The number on top, the other moved down, and whether that lost anything."""
    register = held.above(window - held.width)
    addend = significand.above(window - significand.width)
    upper = _choose(m, "upper", far["addend_on_top"], addend, register)
    other = _choose(m, "other", far["addend_on_top"], register[1:].zero_extend(window), addend)
    amount = _limited(m, far["far"], window)
    moved = m.leaf("lower", "sticky_shifter", width=window, positions=2**amount.width - 1, a=other, amount=amount)
    return upper, moved["shifted"], moved["lost"]


def _limited(m: Build, far: Bits, window: int) -> Bits:
    """The distance, or all ones where it is beyond what moves everything out of the window."""
    width = log2_ceil(window + 1)
    if far.width <= width:
        return far
    beyond = m.leaf("beyond", "any_bit", width=far.width - width, a=far[width:])
    row: Bits = m.leaf("limited", "or_gate", width=width, a=far[:width], b=beyond.repeat(width))
    return row


def _added(
    m: Build, upper: Bits, lower: Bits, odd: Bits, window: int, held: Bits, sign: Bits, addend_on_top: Bits
) -> tuple[Bits, Bits]:
    """The sum's sign, and its magnitude with a carry above and the odd bit below: window + 2 bits."""
    differ = m.leaf("differ", "exclusive_or", width=1, a=held, b=sign)
    width = window + 2
    raw = m.leaf(
        "sum",
        "add_subtract",
        width=width + 1,
        a=cat(constant(0, 2), upper, constant(0, 1)),
        b=cat(constant(0, 2), lower, odd),
        subtract=differ,
    )
    below = raw[-1]  # the one on top was the smaller
    flipped = m.leaf("flip", "exclusive_or", width=width, a=raw[:-1], b=below.repeat(width))
    whole = m.leaf("size", "incrementer", width=width, a=flipped, carry=below)
    on_top = _choose(m, "top_sign", addend_on_top, sign, held)
    negative = m.leaf("turned", "exclusive_or", width=1, a=on_top, b=below)
    some = m.leaf("some", "any_bit", width=width, a=whole)
    # A difference of equals is +0; a sum of zeros of one sign keeps it.
    alike = m.leaf("alike", "inverter", width=1, a=differ)
    keep = m.leaf("keep_sign", "or_gate", width=1, a=alike, b=some)
    return m.leaf("negative", "and_gate", width=1, a=negative, b=keep), whole


def _rounded(m: Build, fmt: nf.Minifloat, rounding: str, whole: Bits, top: Bits, negative: Bits) -> Bits:
    """The magnitude, its top bit of the weight of exponent field top + 1, as a code: normalised, rounded, packed."""
    p, width = fmt.trailing_significand_bits + 1, whole.width
    zeros = m.leaf("zeros", "leading_zero_counter", width=width, a=whole)
    span = max(zeros.width, top.width) + 1
    below = m.leaf("field_less_one", "subtractor", width=span, a=top.zero_extend(span), b=zeros.zero_extend(span))
    # Down to the smallest exponent field, 1, and no further: beyond, the number stays subnormal and its field is 0.
    steps = _choose(m, "steps", below[-1], top.zero_extend(span), zeros.zero_extend(span))[: zeros.width]
    normal = m.leaf(
        "normalise", "expanding_shifter", width=width, positions=2**zeros.width - 1, limit=width, a=whole, amount=steps
    )
    bits = fmt.exponent_bits
    field = m.leaf("field", "incrementer", width=bits, a=below[:bits], carry=constant(1, 1))
    field = m.leaf("own_field", "and_gate", width=bits, a=field, b=normal[-1].repeat(bits))
    kept, rest = normal[width - p : width - 1], normal[: width - p]
    packed = cat(field, kept)
    if rounding == "ties_to_even":
        half = m.leaf("below_half", "any_bit", width=rest.width - 1, a=rest[:-1])
        tie = m.leaf("odd_or_more", "or_gate", width=1, a=half, b=packed[0])
        up = m.leaf("up_one", "and_gate", width=1, a=rest[-1], b=tie)
        packed = m.leaf("round", "incrementer", width=packed.width, a=packed, carry=up)
    return cat(negative, packed)


def float_add(m: Build, name: str, fmt: nf.Minifloat, rounding: str, total: Bits, x: Number) -> Bits:
    """The register's next content: total + x."""
    if rounding not in ROUNDINGS:
        raise ValueError(f"MacPE: float registers round {' or '.join(ROUNDINGS)}, got {rounding!r}")
    rows: dict[str, Any] = {"total": total, "significand": x.significand}
    if x.exponent is not None:
        rows["exponent"] = x.exponent
    rows["sign"] = constant(0, 1) if x.sign is None else x.sign
    row: Bits = m.module(name, float_adder(fmt, rounding, addend_of(x)), **rows)
    return row
