"""Exact values: what a code is worth before any float gets near it.

A code of any format stands for a dyadic rational, plus or minus zero kept apart, or for one of three specials.
"""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass
from enum import Enum
from fractions import Fraction
from functools import cache


class Special(Enum):
    """A value that is no number on the real line."""

    NAN = "nan"
    POSITIVE_INFINITY = "inf"
    NEGATIVE_INFINITY = "-inf"

    def __float__(self) -> float:
        return float(self.value)


@dataclass(frozen=True, slots=True)
class Dyadic:
    """(-1)**negative * significand * 2**exponent, exactly. The sign of zero is kept.

    significand: int >= 0. Two Dyadics are equal as data; compare `.fraction` to compare as numbers.
    """

    negative: bool
    significand: int
    exponent: int

    def __post_init__(self) -> None:
        if self.significand < 0:
            raise ValueError(
                f"Dyadic: significand {self.significand} is negative; pass negative=True and its magnitude"
            )

    @property
    def fraction(self) -> Fraction:
        """The value as a Fraction (the sign of zero is lost)."""
        signed = -self.significand if self.negative else self.significand
        return Fraction(signed << self.exponent) if self.exponent >= 0 else Fraction(signed, 1 << -self.exponent)

    def __float__(self) -> float:
        """The value as a float64, exactly. Raises OverflowError where float64 cannot hold it."""
        try:
            value = math.ldexp(self.significand, self.exponent)  # ldexp: 2.0**-exponent overflows for exponent < -1023
        except OverflowError:
            value = math.inf
        if math.isinf(value) or Fraction(value) != abs(self.fraction):
            raise OverflowError(f"{self} is not a float64 value; use .fraction")
        return -value if self.negative else value


Value = Dyadic | Special


def from_float(x: float) -> Value:
    """The float64 x as an exact value. Source: IEEE 754 binary64, by frexp."""
    if math.isnan(x):
        return Special.NAN
    if math.isinf(x):
        return Special.POSITIVE_INFINITY if x > 0 else Special.NEGATIVE_INFINITY
    numerator, denominator = abs(x).as_integer_ratio()
    return Dyadic(math.copysign(1.0, x) < 0, numerator, 1 - denominator.bit_length())


def whole(owner: str, field: str, value: object) -> int:
    """value as a Python int; NumPy's integers too, but no bool. Raises TypeError naming whose field it is."""
    try:
        if not isinstance(value, bool):
            return int(operator.index(value))  # type: ignore[arg-type]
    except TypeError:
        pass
    raise TypeError(f"{owner}: {field} must be an integer, got {value!r}")


def floor_log2(x: Fraction) -> int:
    """The largest e with 2**e <= x, for x > 0, by integer bit lengths (never by a logarithm)."""
    if x <= 0:
        raise ValueError(f"floor_log2: x must be positive, got {x}")
    e = x.numerator.bit_length() - x.denominator.bit_length()
    return e if power_of_two(e) <= x else e - 1


@cache
def power_of_two(e: int) -> Fraction:
    """2**e, made once: references ask for the same few again and again."""
    return Fraction(2) ** e
