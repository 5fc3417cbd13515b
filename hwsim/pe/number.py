"""A number on wires, not normalised: (-1)**sign * significand * 2**exponent units; and the decoders that make one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

import formats as nf
from formats.called import called
from hwsim.circuit import Bits, Build, Module, cat, constant


@dataclass(frozen=True, kw_only=True, slots=True)
class Number:
    """significand: unsigned, or two's complement where `signed`; sign: 1 for negative, None where there is none.

    exponent: an unsigned shift, None where it is always `low`; low, high: the least and the largest that a finite value
    has.  unit: the number is worth significand * 2**(exponent + unit).
    below_zero: of a two's complement significand, whether it is negative, or a zero made of a negative factor (whose
        sign a float register keeps).
    zeros: the most leading zeros that a significand which is not zero can have.  canonical: whether it has any at the
        exponent `low` alone, as codes of a float format do and products do not.
    factors: the numbers it is the product of, if it is one.
    nan, infinite: whether it is no number at all; None where it always is one, or where nobody asks.
    """

    significand: Bits
    signed: bool = False
    below_zero: Bits | None = None
    sign: Bits | None = None
    exponent: Bits | None = None
    low: int = 0
    high: int = 0
    unit: int = 0
    zeros: int = 0
    canonical: bool = False
    factors: tuple[Number, Number] | None = None
    nan: Bits | None = None
    infinite: Bits | None = None

    @property
    def positions(self) -> int:
        """Places the significand can be at, less one."""
        return self.high - self.low


def slug(name: str) -> str:
    """A format's name as part of a module's."""
    return re.sub("[^a-z0-9]+", "_", name.lower()).strip("_")


@dataclass(frozen=True, slots=True)
class Fields:
    """Where a minifloat's parts lie in its code, and its range of exponents; the same for every value of one format."""

    exponent_bits: int
    trailing_bits: int
    signed: bool
    subnormals: bool
    largest_field: int  # of a finite value, as decoded


@cache
def fields_of(fmt: nf.Minifloat) -> Fields:
    """The layout of a minifloat."""
    return Fields(
        fmt.exponent_bits,
        fmt.trailing_significand_bits,
        fmt.signed,
        fmt.subnormals,
        max(fmt.max_magnitude_code >> fmt.trailing_significand_bits, 1 if fmt.subnormals else 0),
    )


@cache
def decoder(fmt: nf.Minifloat) -> Module:
    """The significand with its hidden bit, and the exponent field, of a subnormal made 1."""
    at = fields_of(fmt)
    m = Build(f"decode_{slug(fmt.name)}")
    code = m.input("code", fmt.bits)
    field = code[at.trailing_bits : at.trailing_bits + at.exponent_bits]
    trailing = code[: at.trailing_bits]
    if at.subnormals:
        read = m.leaf("read", "float_decoder", exponent=at.exponent_bits, field=field)
        m.output("significand", cat(read["hidden"], trailing))
        m.output("exponent", read["effective"])
    elif fmt.zero:  # the all-zero magnitude is zero, every other code a normal number
        magnitude = code[: at.trailing_bits + at.exponent_bits]
        hidden = m.leaf("nonzero", "any_bit", width=magnitude.width, a=magnitude)
        m.output("significand", cat(hidden, trailing))
        m.output("exponent", field)
    if fmt.signed:
        m.output("sign", code[fmt.bits - 1])
    return m.done()


def check_multiplied(fmt: nf.Scalar) -> None:
    """Raise TypeError for formats that no multiplier takes."""
    if not isinstance(fmt, nf.FixedPoint | nf.Minifloat):
        raise TypeError(
            f"operand: a multiplier takes integers and minifloats, and elements that are codebooks looked up in one; "
            f"{called(fmt)} is a {type(fmt).__name__}"
        )


def decoded(m: Build, name: str, fmt: nf.Scalar, code: Bits) -> Number:
    """The number of a code, its decoder made in `m` where it needs one. Raises TypeError for other kinds of formats."""
    if isinstance(fmt, nf.FixedPoint):
        top = code[-1] if fmt.signed else None
        return Number(significand=code, signed=fmt.signed, below_zero=top, unit=fmt.ulp_exponent, zeros=fmt.bits - 1)
    check_multiplied(fmt)
    assert isinstance(fmt, nf.Minifloat)
    at = fields_of(fmt)
    low = 1 if at.subnormals else 0
    sign = code[fmt.bits - 1] if fmt.signed else None
    field = code[at.trailing_bits : at.trailing_bits + at.exponent_bits]
    unit = fmt.ulp_exponent - low
    if not fmt.zero:  # every code is a normal number
        whole = cat(constant(1, 1), code[: at.trailing_bits])
        return Number(significand=whole, sign=sign, exponent=field, low=low, high=at.largest_field, unit=unit)
    made = m.module(name, decoder(fmt), code=code)
    return Number(
        significand=made["significand"],
        sign=sign,
        exponent=made["exponent"],
        low=low,
        high=at.largest_field,
        unit=unit,
        zeros=at.trailing_bits if at.subnormals else 0,
        canonical=True,
    )
