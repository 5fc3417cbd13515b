"""How a float register rounds: the description of its rounding, and the wires that round a magnitude to a code."""

from __future__ import annotations

from dataclasses import dataclass

import formats as nf
from formats.cast import Overflow, Rounding
from hwsim.circuit import Bits, Build, cat, constant
from hwsim.pe.specials import finished


@dataclass(frozen=True, slots=True)
class Style:
    """How a register rounds. specials: whether infinities, NaN and overflow are as the formats have them.

    A register that saturates is clamped either way.
    """

    rounding: Rounding = "ties_to_even"
    random_bits: int = 0
    overflow: Overflow = "overflow"
    specials: bool = False

    @property
    def places(self) -> int:
        """Places below the last one that a rounding looks at, the odd bit aside."""
        return {"stochastic_a": self.random_bits, "stochastic_b": self.random_bits + 1}.get(
            self.rounding, self.random_bits + 1
        )

    @property
    def name(self) -> str:
        """As part of a module's name."""
        drawn = str(self.random_bits) if self.random_bits else ""
        full = ["full"] if self.specials else []
        overflow = [self.overflow] if self.overflow != "overflow" else []
        return "_".join([self.rounding + drawn, *full, *overflow])

    @property
    def clamped(self) -> bool:
        """Whether magnitudes beyond the largest finite one are looked for."""
        return self.specials or self.overflow != "overflow"

    @property
    def cast(self) -> nf.Cast:
        """What the result of an addition goes through."""
        return nf.Cast(rounding=self.rounding, overflow=self.overflow)


def style_of(chain: nf.FloatChain, specials: str) -> Style:
    """The style of a chain's register."""
    return Style(chain.rounding, chain.random_bits if chain.cast.stochastic else 0, chain.overflow, specials == "full")


def packed_up(m: Build, fmt: nf.Minifloat, style: Style, below: Bits, normal: Bits, up: Bits) -> Bits:
    """Exponent field (less one, where the hidden bit is there) and significand side by side, rounded."""
    bits = below.width if style.clamped else fmt.exponent_bits
    row = below.zero_extend(bits)[:bits]
    field = m.leaf("field", "and_gate", width=bits, a=row, b=normal[-1].repeat(bits))
    packed = cat(field, normal[:-1])
    # The hidden bit makes the field one more.
    more = normal[-1].above(fmt.trailing_significand_bits).zero_extend(packed.width)
    whole: Bits = m.leaf("round", "adder", width=packed.width, a=packed, b=cat(more[1:], up))
    return whole


def coded(
    m: Build,
    fmt: nf.Minifloat,
    style: Style,
    negative: Bits,
    packed: Bits,
    nan: Bits | None = None,
    infinite: Bits | None = None,
    within: bool = False,
) -> Bits:
    """The code of a rounded magnitude. within: no finite one is beyond the largest."""
    if style.clamped:
        return finished(m, fmt, style.cast, packed, negative, nan, infinite, within)
    if not fmt.has_minus_zero:
        some = m.leaf("some", "any_bit", width=packed.width, a=packed)
        negative = m.leaf("own_sign", "and_gate", width=1, a=negative, b=some)
    return cat(negative, packed)


def rounded_up(
    m: Build, style: Style, random: Bits | None, rest: Bits, last: Bits, negative: Bits, short: Bits | None = None
) -> Bits:
    """Whether the magnitude becomes the next one. rest: bits below its last place `last`, the odd bit lowest."""
    carry = None
    if short is not None:
        whole = m.leaf("rest", "incrementer", width=rest.width + 1, a=rest.zero_extend(rest.width + 1), carry=short)
        rest, carry = whole[:-1], whole[-1]
    up = _drawn(m, style, random, rest) if random is not None else _decided(m, style.rounding, rest, last, negative)
    if up is None:
        return constant(0, 1) if carry is None else carry
    if carry is not None:
        up = m.leaf("up_or_carry", "or_gate", width=1, a=up, b=carry)
    return up


def _decided(m: Build, rounding: Rounding, rest: Bits, last: Bits, negative: Bits) -> Bits | None:
    """Of a rounding that draws nothing; None for never."""
    if rounding == "toward_zero":
        return None
    if rounding == "ties_away":
        return rest[-1]
    if rounding == "ties_to_even":
        tie = last
        if rest.width > 1:
            half = m.leaf("below_half", "any_bit", width=rest.width - 1, a=rest[:-1])
            tie = m.leaf("odd_or_more", "or_gate", width=1, a=half, b=last)
        return m.leaf("up_one", "and_gate", width=1, a=rest[-1], b=tie)  # type: ignore[no-any-return]
    inexact = m.leaf("inexact", "any_bit", width=rest.width, a=rest)
    away = last if rounding == "to_odd" else negative
    if rounding != "down":
        away = m.leaf("away", "inverter", width=1, a=away)
    return m.leaf("up_one", "and_gate", width=1, a=inexact, b=away)  # type: ignore[no-any-return]


def _drawn(m: Build, style: Style, random: Bits, rest: Bits) -> Bits:
    """Of a stochastic rounding: the carry of the part of the gap, in the random integer's last place, plus it."""
    n = random.width
    part, draw = rest[rest.width - n :], random
    if style.rounding == "stochastic_b":
        part, draw = rest[rest.width - n - 1 :], cat(random, constant(1, 1))
    elif style.rounding == "stochastic_c":
        half = m.leaf("below_half", "any_bit", width=rest.width - n - 1, a=rest[: rest.width - n - 1])
        tie = m.leaf("odd_or_more", "or_gate", width=1, a=half, b=part[0])
        one = m.leaf("part_up", "and_gate", width=1, a=rest[rest.width - n - 1], b=tie)
        part, draw = cat(part, one), cat(random, one)  # one and one carry into the last place
    width = part.width + 1
    total = m.leaf("draw", "adder", width=width, a=part.zero_extend(width), b=draw.zero_extend(width))
    return total[-1]  # type: ignore[no-any-return]
