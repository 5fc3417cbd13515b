"""A number rounded to a float format: what a multiplier does whose output has fewer bits than the product."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import formats as nf
from hwsim.circuit import Bits, Build, Module, cat, constant
from hwsim.pe.float_rounding import Style, coded, packed_up, rounded_up
from hwsim.pe.floating import Addend, addend_of, field_of, limited
from hwsim.pe.multiply import leading_zeros
from hwsim.pe.number import Number, decoded, slug
from hwsim.pe.specials import marked
from hwsim.primitives import log2_ceil


@dataclass(frozen=True, slots=True)
class Rounder:
    """A format whose codes are made, and how.

    early: whether the leading zeros come from outside, so many or one too few, before the significand is there.
    """

    fmt: nf.Minifloat
    style: Style
    early: bool = False


@cache
def float_rounder(how: Rounder, x: Addend) -> Module:
    """Ports: significand, exponent (where there is one), zeros (where they come early), sign, infinite and nan where it
    can be; code: it rounded.

    The magnitude's top goes to the hidden bit; below the smallest normal exponent it moves down by what is missing.
    """
    fmt, style = how.fmt, how.style
    p = fmt.trailing_significand_bits + 1
    special = "_early" * how.early + "_canonical" * x.canonical + "_nan" * x.nan + "_infinite" * x.infinite
    shape = f"{x.bits}x{x.exponent_bits}_{x.low}to{x.high}_{x.zeros}zeros_unit{'m' if x.unit < 0 else ''}{abs(x.unit)}"
    m = Build(f"round_{slug(fmt.name)}_{style.name}_{shape}{special}")
    significand = m.input("significand", x.bits)
    exponent = m.input("exponent", x.exponent_bits) if x.exponent_bits else constant(x.low, 1)
    early = m.input("zeros", log2_ceil(x.zeros + 1)) if how.early else None
    sign = m.input("sign", 1)
    nan = m.input("nan", 1) if x.nan else None
    infinite = m.input("infinite", 1) if x.infinite else None
    if early is not None:
        row, lost, below = _placed_early(m, fmt, x, significand, exponent, early)
    else:
        row, lost, below = _placed(m, fmt, x, significand, exponent)
    window = row.width
    rest = cat(row[: window - p], lost)
    up = rounded_up(m, style, None, rest, row[window - p], sign)
    packed = packed_up(m, fmt, style, below, row[window - p :], up)
    # The largest exponent field, rounded up out of its significand.
    reach = max(x.high + x.unit + x.bits - (fmt.ulp_exponent + p) + 3, 2) << fmt.trailing_significand_bits
    m.output("code", coded(m, fmt, style, sign, packed, nan, infinite, within=reach <= fmt.max_magnitude_code))
    return m.done()


def _placed(m: Build, fmt: nf.Minifloat, x: Addend, significand: Bits, exponent: Bits) -> tuple[Bits, Bits, Bits]:
    """The magnitude where it is rounded, whether that lost something, and the exponent field less one."""
    p = fmt.trailing_significand_bits + 1
    offset = x.unit + x.bits - (fmt.ulp_exponent + p)  # of the exponent field less one, where the top bit is 1
    # Numbers that are not normalised need no normalising where all of them are below half the least value.
    spare = 0 if x.canonical and x.low + x.unit + x.bits <= fmt.ulp_exponent else x.zeros
    most, least = max(2**fmt.exponent_bits, x.high + offset), min(-1, x.low + offset - spare)
    width = max(most.bit_length(), (-least).bit_length()) + 1
    top = field_of(m, exponent, None, offset, width)
    window = max(p + 1, x.bits)
    row, lost, tiny = significand.above(window - x.bits), constant(0, 0), None
    if x.low + offset < 0:  # down to the smallest normal exponent
        tiny = top[-1]
        turned = m.leaf("turned", "exclusive_or", width=width - 1, a=top[:-1], b=tiny.repeat(width - 1))
        missing = m.leaf("missing", "incrementer", width=width - 1, a=turned, carry=tiny)
        far = m.leaf("down", "and_gate", width=width - 1, a=missing, b=tiny.repeat(width - 1))
        amount = limited(m, far[: (-x.low - offset).bit_length()], window)
        moved = m.leaf("lower", "sticky_shifter", width=window, positions=2**amount.width - 1, a=row, amount=amount)
        row, lost = moved["shifted"], moved["lost"]
    if not spare:
        return row, lost, top
    zeros = m.leaf("zeros", "leading_zero_counter", width=spare, a=significand[x.bits - spare :])
    below = m.leaf("field_less_one", "subtractor", width=width, a=top, b=zeros.zero_extend(width))
    steps = zeros
    if x.low + offset < spare:  # up, but not beyond that exponent
        room = top.zero_extend(max(width, zeros.width))[: zeros.width]
        if tiny is not None:
            keep = m.leaf("not_tiny", "inverter", width=1, a=tiny)
            room = m.leaf("room", "and_gate", width=zeros.width, a=room, b=keep.repeat(zeros.width))
        words = cat(room, zeros)
        steps = m.leaf("steps", "multiplexer", width=zeros.width, choices=2, words=words, select=below[-1])
    row = m.leaf(
        "normal", "expanding_shifter", width=window, positions=2**steps.width - 1, limit=window, a=row, amount=steps
    )
    return row, lost, below


def _placed_early(
    m: Build, fmt: nf.Minifloat, x: Addend, significand: Bits, exponent: Bits, zeros: Bits
) -> tuple[Bits, Bits, Bits]:
    """The same by one shifter, whose amount is there before the significand, and one place more where that was short.

    From `x.zeros` places too high the magnitude moves down by as many less its leading zeros; at the smallest normal
    exponent by as many less what is left above that exponent, which may be negative.
    """
    p = fmt.trailing_significand_bits + 1
    offset = x.unit + x.bits - (fmt.ulp_exponent + p)
    most, least = max(2**fmt.exponent_bits, x.high + offset) + x.zeros, min(-1, x.low + offset - x.zeros)
    width = max(most.bit_length(), (-least).bit_length()) + 1
    top = field_of(m, exponent, None, offset, width)
    own = zeros.zero_extend(width)
    below = m.leaf("field_less_one", "subtractor", width=width, a=top, b=own)
    steps = m.leaf("steps", "multiplexer", width=width, choices=2, words=cat(top, own), select=below[-1])
    down = m.leaf("places", "subtractor", width=width, a=constant(x.zeros, width), b=steps)  # never negative
    window = max(p + 1, x.bits)
    whole = cat(significand.above(window - x.bits), constant(0, x.zeros))
    amount = limited(m, down[:-1], whole.width)
    moved = m.leaf("placed", "sticky_shifter", width=whole.width, positions=2**amount.width - 1, a=whole, amount=amount)
    row: Bits = moved["shifted"][:window]
    # Above the smallest normal exponent there is room for the place that was missed.
    some = m.leaf("some_room", "any_bit", width=width - 1, a=below[:-1])
    positive = m.leaf("room_above", "inverter", width=1, a=below[-1])
    short = m.leaf("short", "inverter", width=1, a=row[-1])
    up = m.leaf("one_up", "every_bit", width=3, a=cat(some, positive, short))
    words = cat(row[:-1].above(1), row)
    row = m.leaf("normal", "multiplexer", width=window, choices=2, words=words, select=up)
    less = m.leaf("one_less", "adder", width=width, a=below, b=constant(-1, width))
    field = m.leaf("field_of_top", "multiplexer", width=width, choices=2, words=cat(less, below), select=short)
    return row, moved["lost"], field


def round_to(m: Build, name: str, fmt: nf.Minifloat, style: Style, x: Number) -> Bits:
    """The code of a number in sign and magnitude, rounded."""
    rows = {"significand": x.significand, "sign": constant(0, 1) if x.sign is None else x.sign}
    zeros = leading_zeros(m, name, fmt, x)
    optional = {"exponent": x.exponent, "nan": x.nan, "infinite": x.infinite, "zeros": zeros}
    rows |= {port: row for port, row in optional.items() if row is not None}
    code: Bits = m.module(name, float_rounder(Rounder(fmt, style, zeros is not None), addend_of(x)), **rows)
    return code


def rounded(m: Build, name: str, how: nf.RoundedProduct, x: Number, full: bool) -> Number:
    """The number rounded to the multiplier's format, and decoded again. full: with infinities and NaN."""
    fmt = how.format
    code = round_to(m, f"{name}_rounded", fmt, Style(how.rounding, 0, how.overflow, full), x)
    made = decoded(m, f"{name}_read", fmt, code)
    return marked(m, f"{name}_special", fmt, code, made) if full else made
