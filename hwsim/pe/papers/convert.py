"""Converters between formats: floats to narrow codes and back, sums to floats, a scale on the way, one rounding.

converter(Converter(source=nf.get("float32"), target=nf.get("e4m3fn")))              # quantise
converter(Converter(source=nf.get("int4"), target=nf.get("bfloat16"), scale=nf.get("bfloat16")))      # dequantise
converter(Converter(source=nf.Integer(32), target=nf.get("float32")))                # a register's sum

To nearest, ties to even; beyond the range the nearest end of it (nf.Cast(overflow="saturate")). Infinities and NaN are
the numbers their fields spell: no gates look for them, and so an infinity saturates in a narrower format and passes
through into a wider one, and NaN does what an infinity does.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

import formats as nf
from formats.called import called
from hwsim.circuit import Bits, Build, Module, cat, constant
from hwsim.pe import floating
from hwsim.pe.multiply import product
from hwsim.pe.number import Number, decoded, slug
from hwsim.pe.papers import narrow, normalise
from hwsim.pe.papers.from_integer import integer_to_float
from hwsim.pe.papers.shorten import shortened, shortens
from hwsim.pe.papers.to_integer import to_integer
from hwsim.primitives import log2_ceil

FEW_ZEROS = 3  # their count is there as soon as a row moved step by step


@dataclass(frozen=True, kw_only=True, slots=True)
class Converter:
    """source: a minifloat, an integer format, or nf.Integer(bits) for a register's two's complement sum.

    target: a signed or unsigned minifloat with subnormals and a zero, or an integer format.
    scale: a format whose value multiplies the source's before the one rounding; None: no scale.
    """

    source: nf.Scalar | nf.Integer
    target: nf.Scalar
    scale: nf.Scalar | None = None

    def __post_init__(self) -> None:
        fmt = self.target
        if not isinstance(fmt, nf.FixedPoint | nf.Minifloat) or (isinstance(fmt, nf.Minifloat) and not fmt.subnormals):
            raise ValueError(
                f"Converter: target must be an integer format or a minifloat with subnormals, got {called(fmt)}"
            )

    @property
    def source_bits(self) -> int:
        """Width of the source's codes."""
        return self.source.bits

    @property
    def name(self) -> str:
        """Its module's name."""
        source = f"int{self.source.bits}" if isinstance(self.source, nf.Integer) else slug(self.source.name)
        scaled = f"_by_{slug(self.scale.name)}" if self.scale is not None else ""
        return f"convert_{source}{scaled}_to_{slug(self.target.name)}"


@cache
def converter(what: Converter) -> Module:
    """Ports: code; scale (a code, where there is one); converted: the target's code."""
    m = Build(what.name)
    code = m.input("code", what.source_bits)
    direct = _direct(m, what.source, what.target, code) if what.scale is None else None
    if direct is not None:
        m.output("converted", direct)
        return m.done()
    if isinstance(what.source, nf.Integer):
        x = Number(significand=code, signed=True, below_zero=code[-1], zeros=code.width - 1)
    else:
        x = decoded(m, "decode", what.source, code)
    if what.scale is not None:
        # A size is narrower than the product that would have to be turned else.
        x = x if isinstance(what.scale, nf.FixedPoint) else floating.magnitude(m, "size", x)
        x = product(m, "scaled", x, decoded(m, "decode_scale", what.scale, m.input("scale", what.scale.bits)))
    x = floating.magnitude(m, "magnitude", x)
    if isinstance(what.target, nf.FixedPoint):
        m.output("converted", to_integer(m, what.target, x))
    else:
        assert isinstance(what.target, nf.Minifloat)
        m.output("converted", rounded(m, "target", what.target, x, low_only=what.scale is None))
    return m.done()


def _direct(m: Build, source: nf.Scalar | nf.Integer, target: nf.Scalar, code: Bits) -> Bits | None:
    """The target's code where it is made of the source's without a number in between; else None."""
    if isinstance(target, nf.FixedPoint):
        if not isinstance(source, nf.Minifloat) or not narrow.reads_as_normal(source, target):
            return None
        return narrow.float_to_integer(m, source, target, code)
    assert isinstance(target, nf.Minifloat)
    if not isinstance(source, nf.Minifloat | nf.Integer | nf.FixedPoint):
        return None
    if not isinstance(source, nf.Minifloat):
        signed, unit = (True, 0) if isinstance(source, nf.Integer) else (source.signed, source.ulp_exponent)
        whole = integer_to_float(m, code, signed, unit, target)
    elif narrow.reads_as_normal(source, target):
        signed, whole = source.signed, narrow.float_to_float(m, source, target, code)
    elif shortens(source, target):
        signed, whole = source.signed, shortened(m, source, target, code)
    else:
        return None
    return _signed(m, "target", target, whole, code[-1] if signed else None)


def _normalised(m: Build, name: str, x: Number, by_steps: bool) -> tuple[Bits, Bits | None]:
    """The significand moved up until its top bit is 1 (a zero stays zero), and by how much; None where it always is."""
    row = x.significand
    if not x.zeros:
        return row, None
    if by_steps:
        return normalise.normalised(m, f"{name}_normal", row, x.zeros.bit_length())
    count = m.leaf(f"{name}_zeros", "leading_zero_counter", width=x.zeros, a=row[row.width - x.zeros :])
    moved = m.leaf(
        f"{name}_normal", "expanding_shifter", width=row.width, positions=x.zeros, limit=row.width, a=row, amount=count
    )
    return moved, count


def _up_to_normal(m: Build, name: str, x: Number, offset: int) -> tuple[Bits, Bits]:
    """The significand moved up by its leading zeros, or only to where the field is that of a subnormal; and the field
    less one, negative for a subnormal."""
    room, _, _ = _distance(m, f"{name}_room", x, None, offset, True)
    row, width = x.significand, x.zeros.bit_length()
    room = room.zero_extend(max(room.width, width + 1))
    count = m.leaf(f"{name}_zeros", "leading_zero_counter", width=x.zeros, a=row[row.width - x.zeros :])
    field = m.leaf(f"{name}_top", "subtractor", width=room.width, a=room, b=count.zero_extend(room.width))
    words = cat(room[:width], count)
    steps = m.leaf(f"{name}_steps", "multiplexer", width=width, choices=2, words=words, select=field[-1])
    return normalise.moved_up(m, f"{name}_normal", row, steps), field


def _distance(m: Build, name: str, x: Number, count: Bits | None, offset: int, early: bool) -> tuple[Bits, int, int]:
    """exponent - count + offset in two's complement, and the least and the largest a finite value has.

    early: the offset is added while the zeros are counted.
    """
    exponent = x.exponent if x.exponent is not None else constant(x.low, max(x.low.bit_length(), 1))
    fewer = x.zeros if count is not None else 0  # of a zero, whose field is nothing, it may be more
    ends = [x.low - fewer + offset, (1 << exponent.width) - 1 + max(offset, 0), x.high + offset]
    width = max(max(end, -end - 1).bit_length() for end in ends) + 1
    row = exponent.zero_extend(width)
    if offset and early:
        row = m.leaf(f"{name}_distance", "adder", width=width, a=row, b=constant(offset, width))
    if count is not None:
        row = m.leaf(f"{name}_top", "subtractor", width=width, a=row, b=count.zero_extend(width))
    if offset and not early:
        row = m.leaf(f"{name}_distance", "adder", width=width, a=row, b=constant(offset, width))
    return row, x.low - fewer + offset, x.high + offset


def _farthest(x: Number, most: int) -> int:
    """`most`, of the codes that spell no finite value too."""
    return most if x.exponent is None else most + (1 << x.exponent.width) - 1 - x.high


def _limited(m: Build, name: str, amount: Bits, reach: int) -> Bits:
    """An amount, or all ones from `reach` on, in as many bits as that takes."""
    width = log2_ceil(reach + 1)
    if amount.width <= width:
        return amount
    beyond = m.leaf(f"{name}_far", "any_bit", width=amount.width - width, a=amount[width:])
    row: Bits = m.leaf(f"{name}_limited", "or_gate", width=width, a=amount[:width], b=beyond.repeat(width))
    return row


def _gathered(m: Build, name: str, row: Bits, kept: int) -> Bits:
    """The top `kept` bits and whether there is a one below them: all that rounding after a move down asks for."""
    rest = row[: row.width - kept]
    return cat(row[row.width - kept :], m.leaf(f"{name}_below", "any_bit", width=rest.width, a=rest))


def _down(m: Build, name: str, row: Bits, amount: Bits) -> tuple[Bits, Bits]:
    moved = m.leaf(
        f"{name}_down", "sticky_shifter", width=row.width, positions=(1 << amount.width) - 1, a=row, amount=amount
    )
    return moved["shifted"], moved["lost"]


def _up(m: Build, name: str, rest: Bits, lost: Bits | None, last: Bits) -> Bits:
    """Whether to round up: rest, what is below the last place; lost: whether there was more."""
    below = [rest[:-1]] if rest.width > 1 else []
    below += [lost] if lost is not None else []
    below.append(last)
    some = m.leaf(f"{name}_more", "any_bit", width=sum(x.width for x in below), a=cat(*below))
    row: Bits = m.leaf(f"{name}_up", "and_gate", width=1, a=rest[-1], b=some)
    return row


def rounded(m: Build, name: str, fmt: nf.Minifloat, x: Number, *, low_only: bool) -> Bits:
    """The code of a number in sign and magnitude: to nearest, ties to even, saturated.

    low_only: whether leading zeros occur at the lowest exponent only, as in a format's codes but not in products.
    """
    trailing, p, size = fmt.trailing_significand_bits, fmt.trailing_significand_bits + 1, x.significand.width
    # Numbers that are not normalised need no normalising where all of them are subnormal in the target, too.
    if low_only and x.low + x.unit + size - 1 <= fmt.min_exponent:
        x = replace(x, zeros=0)
    offset = x.unit + size - 1 - fmt.min_exponent
    # The field of the exponent less one: negative for a subnormal, whose significand moves down by as much.
    if x.exponent is not None and not x.canonical and 0 <= x.low + offset < x.zeros:
        row, field = _up_to_normal(m, name, x, offset)
        least, most = 0, x.high + offset
    else:
        # What may move down again waits for its field, to which a counter is the shorter way.
        by_steps = x.zeros > FEW_ZEROS and x.low + offset >= x.zeros
        row, count = _normalised(m, name, x, by_steps)
        field, least, most = _distance(m, name, x, count, offset, by_steps)
    window = max(size, p + 1)
    row, lost = row.above(window - size), None
    if least < 0 and window > p + 2:
        row, window = _gathered(m, name, row, p + 1), p + 2
    if least < 0:
        # By -field places; one of them wired, since a field with all its bits turned is -field - 1.
        subnormal = field[-1]
        out = m.leaf(f"{name}_one_lost", "and_gate", width=1, a=row[0], b=subnormal)
        words = cat(row[1:].zero_extend(window), row)
        row = m.leaf(f"{name}_one_down", "multiplexer", width=window, choices=2, words=words, select=subnormal)
        further = max((-least - 1).bit_length(), 1)
        turned = m.leaf(f"{name}_turn", "inverter", width=further, a=field[:further])
        amount = m.leaf(f"{name}_moved", "and_gate", width=further, a=turned, b=subnormal.repeat(further))
        row, more = _down(m, name, row, _limited(m, name, amount, p))
        lost = m.leaf(f"{name}_lost", "or_gate", width=1, a=more, b=out)
    # Wide enough for what a code beyond the finite ones spells, and for a carry out of rounding.
    width = (max(_farthest(x, most), 0) + 2).bit_length()
    beyond = None
    if width > fmt.exponent_bits + 1:  # a field that the format has no bits for is beyond its range
        width = fmt.exponent_bits + 1
        high = field[fmt.exponent_bits : -1]
        some = m.leaf(f"{name}_high", "any_bit", width=high.width, a=high)
        above = m.leaf(f"{name}_above", "inverter", width=1, a=field[-1])
        real = m.leaf(f"{name}_real", "and_gate", width=1, a=above, b=row[-1])
        beyond = m.leaf(f"{name}_beyond", "and_gate", width=1, a=some, b=real)
        field = cat(constant(0, 1), field[: fmt.exponent_bits])
    own = m.leaf(f"{name}_field", "incrementer", width=width, a=field.sign_extend(width)[:width], carry=constant(1, 1))
    own = m.leaf(f"{name}_own", "and_gate", width=width, a=own, b=row[-1].repeat(width))
    whole = cat(own, row[window - p : window - 1])
    whole = m.leaf(
        f"{name}_round",
        "incrementer",
        width=whole.width,
        a=whole,
        carry=_up(m, name, row[: window - p], lost, whole[0]),
    )
    exact = size <= p and x.low + x.unit >= fmt.ulp_exponent
    largest = ((most + 2) << trailing) - 1 + (not exact) if most >= 0 else 1 << trailing
    magnitude = fmt.magnitude_bits
    if largest > fmt.max_magnitude_code:
        end = constant(fmt.max_magnitude_code, max(whole.width, magnitude))
        whole = whole.zero_extend(end.width)
        over = m.leaf(f"{name}_over", "comparator", width=end.width, a=end, b=whole)
        if beyond is not None:
            over = m.leaf(f"{name}_any_over", "or_gate", width=1, a=over, b=beyond)
        whole = m.leaf(
            f"{name}_clamped", "multiplexer", width=magnitude, choices=2,
            words=cat(end[:magnitude], whole[:magnitude]), select=over,
        )  # fmt: skip
    return _signed(m, name, fmt, whole.zero_extend(magnitude)[:magnitude], x.sign)


def _signed(m: Build, name: str, fmt: nf.Minifloat, whole: Bits, sign: Bits | None) -> Bits:
    if not fmt.signed:
        return whole if sign is None else _kept(m, name, whole, sign)
    if sign is None:
        return whole.zero_extend(fmt.bits)
    if not fmt.has_minus_zero:
        some = m.leaf(f"{name}_some", "any_bit", width=whole.width, a=whole)
        sign = m.leaf(f"{name}_sign", "and_gate", width=1, a=sign, b=some)
    return cat(sign, whole)


def _kept(m: Build, name: str, whole: Bits, sign: Bits) -> Bits:
    """Zero for what is negative."""
    keep = m.leaf(f"{name}_not_negative", "inverter", width=1, a=sign)
    row: Bits = m.leaf(f"{name}_kept", "and_gate", width=whole.width, a=whole, b=keep.repeat(whole.width))
    return row
