"""A float register: register + an exact addend, rounded once. A single path, just wide enough to round rightly.

The addend is normalised first. Then both numbers lie in one window with their tops together, the one of the smaller
exponent moved down, what it loses kept as one bit below the window: the sum is rounded to odd there, and the rounding
that follows is the only one. The addend has P bits, the register p. max(p + 2, P + 1) bits are enough where the half of
the last place and the odd bit decide the rounding; one that draws from N random bits looks N or N + 1 places further:
- register on top and normal (or the addend zero): the addend moved down by 1 loses nothing (P + 1 bits hold it); moved
  further, a difference loses at most one leading place, and p + 1 places and the odd bit are left;
- register on top and subnormal: the sum is rounded at the register's own last place or above it, p places down;
- addend on top: moved down by at most 2 the register loses nothing; moved further, as in the first case.

A difference must not come out negative. Two ways:
- ordered: where no addend lies below the register's smallest normal number, exponent and significand compared as one
  number say which of the two is larger, and that one is on top;
  So it is, too, where an addend has the register's subnormal numbers, and is left as it is there;
- else a subnormal register may be on top of a larger addend. The subtrahend is complemented, and the difference is one
  too small; if negative, its complement is right; if not, ones are moved in from below where it is normalised, and the
  missing unit is added where it is rounded.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import formats as nf
from formats.cast import Rounding
from hwsim.circuit import Bits, Build, Module, cat, constant
from hwsim.pe.float_rounding import Style, coded, packed_up, rounded_up
from hwsim.pe.multiply import leading_zeros
from hwsim.pe.number import Number, slug
from hwsim.pe.specials import special_codes, sum_specials
from hwsim.primitives import log2_ceil


@dataclass(frozen=True, slots=True)
class Addend:
    """What a float adder sees of its addend: bits of the magnitude, its exponent's width and range, its unit.

    zeros: the most leading zeros of a magnitude that is not zero; canonical: at the exponent `low` alone.
    nan, infinite: whether it may be no number.  early: whether its leading zeros, or one less, come from outside.
    """

    bits: int
    exponent_bits: int
    low: int
    high: int
    unit: int
    zeros: int
    nan: bool = False
    infinite: bool = False
    canonical: bool = False
    early: bool = False


def addend_of(x: Number, early: bool = False) -> Addend:
    """The shape of a number in sign and magnitude."""
    width = x.exponent.width if x.exponent is not None else 0
    special = x.nan is not None, x.infinite is not None
    return Addend(x.significand.width, width, x.low, x.high, x.unit, x.zeros, *special, x.canonical, early)


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
        nan=x.nan,
        infinite=x.infinite,
    )


@cache
def float_adder(fmt: nf.Minifloat, style: Style, addend: Addend) -> Module:
    """Ports: total (a code of fmt), significand, exponent (where the addend has one), sign; addend_zeros (where they
    come early); random (where it draws); next: the sum's code. With specials also infinite and nan, where those can be.

    Without specials exact for finite operands whose rounded sum is finite: infinities, NaN and overflow do not occur.
    """
    p, size = fmt.trailing_significand_bits + 1, addend.bits
    # Subnormal where the register is, and only there: not normalised, the two compare as one number all the same.
    alike = addend.canonical and addend.low + addend.unit + size == fmt.ulp_exponent + p
    addend = replace(addend, canonical=alike, zeros=0 if alike else addend.zeros)
    shape = f"{size}x{addend.exponent_bits}_{addend.low}to{addend.high}_{addend.zeros}zeros"
    shape += "_early" * addend.early + "_alike" * alike + "_nan" * addend.nan + "_infinite" * addend.infinite
    m = Build(f"add_{slug(fmt.name)}_{style.name}_{shape}_unit{'m' if addend.unit < 0 else ''}{abs(addend.unit)}")
    total = m.input("total", fmt.bits)
    significand = m.input("significand", size)
    exponent = m.input("exponent", addend.exponent_bits) if addend.exponent_bits else constant(addend.low, 1)
    sign = m.input("sign", 1)
    random = m.input("random", style.random_bits) if style.random_bits else None
    held = _unpack(m, fmt, total)
    early = m.input("addend_zeros", log2_ceil(addend.zeros + 1)) if addend.early else None
    if early is None:
        normal, zeros = normalised(m, significand, addend.zeros)
        field = Field(addend, exponent, zeros)
    else:
        normal, short = normalised_early(m, significand, early)
        field = Field(addend, exponent, early, short)
    place = _distance(m, fmt, field, held, normal)
    window = max(p + 1 + style.places, size + 1)
    upper, lower, odd = _aligned(m, held["significand"], normal, place, window)
    differ = m.leaf("differ", "exclusive_or", width=1, a=held["sign"], b=sign)
    on_top = _choose(m, "top_sign", place.addend_on_top, sign, held["sign"])
    sum_ = _added(m, upper, lower, odd, differ, on_top, place.ordered)
    loose = window - max(p, size) - 1  # places below the window's used ones where the distance is 0 or 1
    negative, packed = _rounded(m, fmt, style, random, sum_, place.top, differ, loose + 1)
    if not style.specials:
        m.output("next", coded(m, fmt, style, negative, packed))
        return m.done()
    own = special_codes(m, "total", fmt, total)
    nan, infinite = (
        m.input(x, 1) if there else None for x, there in (("nan", addend.nan), ("infinite", addend.infinite))
    )
    both = sum_specials(m, own, (nan, infinite), differ)
    if own[1] is not None:
        turned = _choose(m, "infinite_sign", own[1], held["sign"], sign if infinite is not None else negative)
        negative = turned if infinite is None or both[1] is None else _choose(m, "any_sign", both[1], turned, negative)
    m.output("next", coded(m, fmt, style, negative, packed, *both))
    return m.done()


@dataclass(frozen=True, slots=True)
class Placing:
    """Which number is on top, its exponent as a field of the register's format, and how far down the other goes.

    ordered: whether the larger one is on top; then far is the distance, else less one where the addend is on top.
    """

    addend_on_top: Bits
    top: Bits
    far: Bits
    ordered: bool


@dataclass(frozen=True, slots=True)
class Field:
    """An addend's exponent, its leading zeros (None for none), and whether they are one too few (None for never)."""

    addend: Addend
    exponent: Bits
    zeros: Bits | None
    short: Bits | None = None

    def of(self, m: Build, offset: int, width: int) -> Bits:
        """exponent - zeros + offset of the normalised addend, modulo 2**width."""
        field = field_of(m, self.exponent, self.zeros, offset, width)
        if self.short is None:
            return field
        less = m.leaf("addend_field_less_one", "adder", width=width, a=field, b=constant(-1, width))
        return _choose(m, "addend_field_own", self.short, less, field)


@dataclass(frozen=True, slots=True)
class Sum:
    """size: the magnitude, with a carry above and the odd bit below. short: where 1, it is one too small (or None)."""

    size: Bits
    negative: Bits
    short: Bits | None


def normalised(m: Build, significand: Bits, zeros: int) -> tuple[Bits, Bits | None]:
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


def normalised_early(m: Build, significand: Bits, zeros: Bits) -> tuple[Bits, Bits]:
    """The magnitude moved up by `zeros`, and by one more where its top bit is then still 0; and whether it was."""
    size = significand.width
    moved = m.leaf(
        "addend_moved",
        "expanding_shifter",
        width=size,
        positions=2**zeros.width - 1,
        limit=size,
        a=significand,
        amount=zeros,
    )
    short = m.leaf("addend_short", "inverter", width=1, a=moved[-1])
    return _choose(m, "addend_normal", short, moved[:-1].above(1), moved), short


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
    m: Build,
    fmt: nf.Minifloat,
    given: Field,
    held: dict[str, Bits],
    normal: Bits,
) -> Placing:
    """Where the numbers lie. The top of the register has the weight field - 1 + ulp + p, the top of the addend

    exponent - zeros + unit + P: as a field of the register's, it is exponent - zeros + `offset`. A zero addend must not
    push the register out of the window, so it is never on top.
    """
    p, addend = fmt.trailing_significand_bits + 1, given.addend
    offset = addend.unit + addend.bits - (fmt.ulp_exponent + p) + 1
    ordered = addend.low + offset - addend.zeros >= 1
    most = max(2**fmt.exponent_bits - 1, addend.high + offset)
    least = min(0, addend.low + offset - addend.zeros)
    width = most.bit_length() if ordered else (most - least).bit_length() + 1
    field = given.of(m, offset, width)
    something = normal[-1]  # of an addend that is normalised
    own = held["exponent"].zero_extend(width)
    if ordered:
        depth = min(p, normal.width) if normal.width <= p else normal.width
        mine = held["significand"].above(max(depth - p, 0))[max(p - depth, 0) :]
        larger = m.leaf("larger", "comparator", width=width + depth, a=cat(own, mine), b=cat(field, normal))
        on_top = larger
        if not addend.canonical:
            on_top = m.leaf("addend_on_top", "and_gate", width=1, a=larger, b=something)
        # own - field where the register is on top; own - field - 1, all bits turned, where the addend is.
        below = m.leaf("register_on_top", "inverter", width=1, a=on_top)
        other = m.leaf("minus_field", "inverter", width=width, a=field)
        down = m.leaf("down", "adder", width=width + 1, a=cat(own, constant(1, 1)), b=cat(other, below))[1:]
        far = m.leaf("far", "exclusive_or", width=width, a=down, b=on_top.repeat(width))
        return Placing(on_top, _choose(m, "top", on_top, field, own), far, True)
    down = m.leaf("down", "subtractor", width=width, a=own, b=field)
    on_top = m.leaf("addend_on_top", "and_gate", width=1, a=down[-1], b=something)
    # A negative distance, all bits turned, is the distance up less one; the register is wired one place lower for it.
    far = m.leaf("far", "exclusive_or", width=width - 1, a=down[:-1], b=on_top.repeat(width - 1))
    return Placing(on_top, _choose(m, "top", on_top, field, own)[:-1], far, False)


def field_of(m: Build, exponent: Bits, zeros: Bits | None, offset: int, width: int) -> Bits:
    """exponent - zeros + offset, modulo 2**width."""
    field = exponent.zero_extend(width)[:width]
    if zeros is not None and offset:
        less = m.leaf("less_zeros", "inverter", width=zeros.width, a=zeros)  # -zeros - 1, once ones are above it
        terms = cat(constant(offset + 1, width), constant(-1, width)[zeros.width :], less)
        field = m.leaf("addend_field", "compressor", width=width, operands=2, first=field, terms=terms)
    elif zeros is not None:
        field = m.leaf("addend_field", "subtractor", width=width, a=field, b=zeros.zero_extend(width))
    elif offset:
        field = m.leaf("addend_field", "adder", width=width, a=field, b=constant(offset, width))
    return field


def _choose(m: Build, name: str, select: Bits, yes: Bits, no: Bits) -> Bits:
    row: Bits = m.leaf(name, "multiplexer", width=yes.width, choices=2, words=cat(yes, no), select=select)
    return row


def _aligned(m: Build, held: Bits, significand: Bits, place: Placing, window: int) -> tuple[Bits, Bits, Bits]:
    """The number on top, the other moved down, and whether that lost anything."""
    register = held.above(window - held.width)
    addend = significand.above(window - significand.width)
    upper = _choose(m, "upper", place.addend_on_top, addend, register)
    down = register if place.ordered else register[1:].zero_extend(window)
    other = _choose(m, "other", place.addend_on_top, down, addend)
    amount = limited(m, place.far, window)
    moved = m.leaf("lower", "sticky_shifter", width=window, positions=2**amount.width - 1, a=other, amount=amount)
    return upper, moved["shifted"], moved["lost"]


def limited(m: Build, far: Bits, window: int, name: str = "") -> Bits:
    """The distance, or all ones where it is beyond what moves everything out of the window."""
    width = log2_ceil(window + 1)
    if far.width <= width:
        return far
    beyond = m.leaf(f"{name}beyond", "any_bit", width=far.width - width, a=far[width:])
    row: Bits = m.leaf(f"{name}limited", "or_gate", width=width, a=far[:width], b=beyond.repeat(width))
    return row


def _added(m: Build, upper: Bits, lower: Bits, odd: Bits, differ: Bits, on_top: Bits, ordered: bool) -> Sum:
    """Magnitudes added, or subtracted where the signs differ."""
    a, b = cat(constant(0, 1), upper, constant(0, 1)), cat(constant(0, 1), lower, odd)
    width = a.width
    if ordered:
        return Sum(m.leaf("sum", "add_subtract", width=width, a=a, b=b, subtract=differ), on_top, None)
    turned = m.leaf("subtrahend", "exclusive_or", width=width, a=b, b=differ.repeat(width))
    raw = m.leaf("sum", "adder", width=width + 1, a=a.zero_extend(width + 1), b=cat(differ, turned))
    below = raw[-1]  # the one on top was not the larger
    size = m.leaf("flip", "exclusive_or", width=width, a=raw[:-1], b=below.repeat(width))
    above = m.leaf("above", "inverter", width=1, a=below)
    short = m.leaf("short", "and_gate", width=1, a=differ, b=above)
    return Sum(size, m.leaf("turned", "exclusive_or", width=1, a=on_top, b=below), short)


def _rounded(
    m: Build,
    fmt: nf.Minifloat,
    style: Style,
    random: Bits | None,
    x: Sum,
    top: Bits,
    differ: Bits,
    loose: int,
) -> tuple[Bits, Bits]:
    """The magnitude, its top bit of the weight of exponent field top + 1, normalised, rounded, packed; and its sign.

    loose: bits at the end that are as the ones moved in from below wherever more than 3 places are lost.
    """
    p, width = fmt.trailing_significand_bits + 1, x.size.width
    zeros = m.leaf("zeros", "leading_zero_counter", width=width, a=x.size)
    span = max(zeros.width, top.width) + 1
    below = m.leaf("field_less_one", "subtractor", width=span, a=top.zero_extend(span), b=zeros.zero_extend(span))
    # Down to the smallest exponent field, 1, and no further: beyond, the number stays subnormal and its field is 0.
    steps = _choose(m, "steps", below[-1], top.zero_extend(span)[: zeros.width], zeros)
    normal = _moved_up(m, x, steps, loose)
    up = rounded_up(m, style, random, normal[: width - p], normal[width - p], x.negative, x.short)
    return _sign(m, x, zeros, width, differ), packed_up(m, fmt, style, below, normal[width - p :], up)


def _moved_up(m: Build, x: Sum, steps: Bits, loose: int) -> Bits:
    """The magnitude moved up, ones below it where it is one too small; by 4 and more only what can be there then."""
    row = x.size
    parts = [("normalise", steps, row.width)] if steps.width < 3 or loose < 1 else []
    if not parts:
        coarse = steps[2:].above(2)
        parts = [("normalise", coarse, row.width - loose), ("normalise_fine", steps[:2], row.width)]
    for name, amount, active in parts:
        tail, kept = row[: row.width - active], row[row.width - active :]
        reach = 2**amount.width - 1
        fill = constant(0, 0) if x.short is None else x.short.repeat(reach)
        wide = cat(kept, fill)
        moved = m.leaf(
            name, "expanding_shifter", width=wide.width, positions=reach, limit=wide.width, a=wide, amount=amount
        )
        row = cat(moved[fill.width :], tail)
    return row


def _sign(m: Build, x: Sum, zeros: Bits, width: int, differ: Bits) -> Bits:
    """The sum's sign. A difference of equals is +0; a sum of zeros of one sign keeps it."""
    # The count is `width` at most: it is that where all of width's ones are there.
    ones = [place for place in range(zeros.width) if width >> place & 1]
    nothing = m.leaf("nothing", "every_bit", width=len(ones), a=cat(*(zeros[place] for place in ones)))
    if x.short is not None:
        whole = m.leaf("whole", "inverter", width=1, a=x.short)
        nothing = m.leaf("nothing_missing", "and_gate", width=1, a=nothing, b=whole)
    equal = m.leaf("equal", "and_gate", width=1, a=nothing, b=differ)
    unequal = m.leaf("unequal", "inverter", width=1, a=equal)
    row: Bits = m.leaf("negative", "and_gate", width=1, a=x.negative, b=unequal)
    return row


def float_add(
    m: Build, name: str, fmt: nf.Minifloat, style: Style | Rounding, total: Bits, x: Number, random: Bits | None = None
) -> Bits:
    """The register's next content: total + x. style: a rounding alone stands for finite numbers rounded so."""
    style = Style(style) if isinstance(style, str) else style
    rows: dict[str, Any] = {"total": total, "significand": x.significand}
    if x.exponent is not None:
        rows["exponent"] = x.exponent
    rows["sign"] = constant(0, 1) if x.sign is None else x.sign
    optional = {"random": random, "nan": x.nan, "infinite": x.infinite} if style.specials else {"random": random}
    rows |= {name: row for name, row in optional.items() if row is not None}
    zeros = leading_zeros(m, name, fmt, x)
    if zeros is not None:
        rows["addend_zeros"] = zeros
    row: Bits = m.module(name, float_adder(fmt, style, addend_of(x, zeros is not None)), **rows)
    return row
