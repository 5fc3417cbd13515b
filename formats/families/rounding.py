"""Rounding the constants of tables: once, from exact numbers, to float32 entries and 48-bit cuts.

Entries are float32 because the codes that defined these formats hold float32 tables, and because an entry times a
float32 scale is then exact in float64. Cuts have 48 bits because a block compares quotients rounded to odd in float64,
which is exact for shorter thresholds. A cut is always the first 48-bit number on the far side of the true threshold,
so that every input of up to 48 significant bits goes where the formula sends it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Context, Decimal
from fractions import Fraction
from typing import Any

ENTRY_BITS = 24
CUT_BITS = 48
DIGITS = Context(prec=65)  # 215 bits

Real = Fraction | Decimal | float


def _split(x: Real, bits: int) -> tuple[int, Fraction, int]:
    """x > 0 as (whole + rest) * 2**exponent: a whole number of exactly `bits` bits, and 0 <= rest < 1."""
    if isinstance(x, Decimal):  # its 65 digits as a binary fraction: the denominators of decimals are slow to reduce
        exponent = 250 - 4 * x.adjusted()
        n, d = int(DIGITS.multiply(x, DIGITS.power(2, exponent))), 1 << exponent if exponent > 0 else 1
        n <<= max(0, -exponent)
    else:
        n, d = x.as_integer_ratio()
    shift = bits - n.bit_length() + d.bit_length()
    for exponent in (-shift, 1 - shift):
        top, bottom = (n << -exponent, d) if exponent < 0 else (n, d << exponent)
        whole, rest = divmod(top, bottom)
        if whole.bit_length() == bits:
            return whole, Fraction(rest, bottom) if rest else Fraction(0), exponent
    raise AssertionError(f"{x} does not have {bits} bits at {shift}")


def rounded(x: Real, bits: int = ENTRY_BITS) -> float:
    """x to the nearest number of that many significant bits, ties to even; the exponent is not limited to float32's."""
    if x <= 0:
        return -rounded(-x, bits) if x else 0.0
    whole, rest, exponent = _split(x, bits)
    up = rest > Fraction(1, 2) or (rest == Fraction(1, 2) and whole % 2 == 1)
    return math.ldexp(whole + up, exponent)


def at_or_below(x: Real) -> float:
    """The largest 48-bit number that is no larger than x > 0."""
    whole, _, exponent = _split(x, CUT_BITS)
    return math.ldexp(whole, exponent)


def at_or_above(x: Real) -> float:
    """The smallest 48-bit number that is no smaller than x > 0."""
    whole, rest, exponent = _split(x, CUT_BITS)
    return math.ldexp(whole + (rest > 0), exponent)


def midpoint_cut(low: Fraction, high: Fraction) -> float:
    """A cut for the tie halfway between, which goes to the lower value written as float32 or as float64 (0.05, say).

    The float32 nearest to it if that is above it, else the first 48-bit number that is: float32 inputs are compared
    as with the float32 midpoint.
    """
    tie = (low + high) / 2
    if not tie:
        return 0.0
    return max(rounded(tie), at_or_above(tie) if tie > 0 else -at_or_below(-tie))


def power_cut(x: Fraction, exponent: Fraction, *, owns: bool = True) -> float:
    """The first 48-bit number at or above x ** exponent (above it, unless `owns`), by comparing integer powers."""
    p, q = exponent.numerator, exponent.denominator
    target = x**p

    def is_beyond(c: Fraction) -> bool:
        return c**q > target or (owns and c**q == target)

    return _first_beyond(float(x) ** float(exponent), is_beyond)


def _first_beyond(estimate: float, is_beyond: Callable[[Fraction], bool]) -> float:
    """The smallest positive 48-bit number on the far side; the estimate is a few units from it."""
    steps, _, exponent = _split(estimate, CUT_BITS)
    unit = Fraction(2) ** exponent
    while is_beyond((steps - 1) * unit):
        steps -= 1
    while not is_beyond(steps * unit):
        steps += 1
    return math.ldexp(steps, exponent)


def root(x: Fraction, exponent: Fraction) -> Decimal:
    """x ** exponent for x > 0, to 65 digits."""
    base = DIGITS.divide(Decimal(x.numerator), Decimal(x.denominator))
    return DIGITS.power(base, DIGITS.divide(Decimal(exponent.numerator), Decimal(exponent.denominator)))


def exact(x: Any) -> Fraction:
    """The value of an mpmath number."""
    sign, significand, exponent, _ = x._mpf_
    return Fraction(int(-significand if sign else significand)) * Fraction(2) ** int(exponent)


def mirrored(cuts: list[float], middle: list[float]) -> tuple[float, ...]:
    """Ascending positive cuts, the same of negative numbers before them, and what lies between."""
    return (*(-cut for cut in reversed(cuts)), *middle, *cuts)
