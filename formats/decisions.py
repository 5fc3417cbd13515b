"""Where a cast changes its mind: the real line cut into the intervals that share a code.

Derived from a format's values alone (neighbours and midpoints), so it is a second reading of a cast, independent of the
lattice arithmetic in reference.py; tests hold the two together. The kernel for codebooks runs on these thresholds.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from itertools import pairwise

from formats.cast import Cast, Rounding
from formats.codebook import Codebook
from formats.exact import Dyadic, Special
from formats.fixed_point import FixedPoint
from formats.minifloat import Minifloat
from formats.reference import check_cast, encode_value
from formats.scalar import Scalar


@dataclass(frozen=True, slots=True)
class Decisions:
    """codes[i] is written for reals between thresholds[i-1] and thresholds[i]; len(codes) == len(thresholds) + 1.

    lower_owns[i]: whether thresholds[i] itself belongs to codes[i] (else to codes[i+1]). Zero's sign is part of the
    cut: formats with a minus zero have an interval for it that ends, exclusively, at 0.
    """

    codes: tuple[int, ...]
    thresholds: tuple[Fraction, ...]
    lower_owns: tuple[bool, ...]


@cache
def decisions(fmt: Scalar, cast: Cast) -> Decisions:
    """The thresholds of a cast of finite reals to a scalar format of up to 16 bits."""
    check_cast(fmt, cast)
    points = _points(fmt)
    codes, thresholds, owns = [points[0][1]], [], []
    for (lower, lower_code), (upper, upper_code) in pairwise(points):
        threshold, lower_has_it = _cut(fmt, lower, lower_code, upper, upper_code, cast.rounding)
        codes.append(upper_code)
        thresholds.append(threshold)
        owns.append(lower_has_it)
    _split_zero(fmt, codes, thresholds, owns)
    return _with_overflow(fmt, cast, codes, thresholds, owns)


def _points(fmt: Scalar) -> list[tuple[Fraction, int]]:
    """Values an encoder can produce, ascending, with the lowest code of each; zero once."""
    best: dict[Fraction, int] = {}
    for code, value in enumerate(fmt.values()):
        if isinstance(value, Special):
            continue
        if isinstance(fmt, Minifloat) and value.negative and value.significand == 0:
            continue  # `_split_zero` gives it its interval
        if isinstance(fmt, FixedPoint) and not fmt.min_finite <= value.fraction <= fmt.max_finite:
            continue  # the unused end of a symmetric range
        best.setdefault(value.fraction, code)
    return sorted(best.items())


def _cut(
    fmt: Scalar, lower: Fraction, lower_code: int, upper: Fraction, upper_code: int, rounding: Rounding
) -> tuple[Fraction, bool]:
    """The threshold between two neighbouring values, and whether the lower one owns it."""
    sign_decides = rounding == "toward_zero" or (isinstance(fmt, Minifloat) and rounding.startswith("ties"))
    if lower < 0 < upper and sign_decides:  # only formats without zero have such neighbours
        return Fraction(0), False
    if rounding == "down" or (rounding == "toward_zero" and lower >= 0):
        return upper, False
    if rounding in ("up", "toward_zero"):
        return lower, True
    middle = (lower + upper) / 2
    if rounding == "ties_away":
        return middle, middle < 0
    if isinstance(fmt, Codebook):
        if fmt.ties == "even":
            return middle, lower_code % 2 == 0
        return middle, (middle < 0) if fmt.ties == "away" else fmt.ties == "lower"
    if isinstance(fmt, Minifloat) and fmt.ties == "up":
        return middle, middle < 0
    return middle, lower_code % 2 == 0


def _split_zero(fmt: Scalar, codes: list[int], thresholds: list[Fraction], owns: list[bool]) -> None:
    """Give negative reals that round to zero the minus zero of formats that have one."""
    if not (isinstance(fmt, Minifloat) and fmt.signed and fmt.zero and fmt.specials != "fnuz"):
        return
    at = codes.index(0)
    codes.insert(at, 2**fmt.magnitude_bits)
    thresholds.insert(at, Fraction(0))
    owns.insert(at, False)


def _with_overflow(
    fmt: Scalar, cast: Cast, codes: list[int], thresholds: list[Fraction], owns: list[bool]
) -> Decisions:
    """Add the intervals beyond both ends where the cast overflows instead of saturating."""
    if cast.overflow == "overflow" and isinstance(fmt, Minifloat):
        beyond = fmt.magnitude(fmt.max_magnitude_code + 1).fraction
        top, top_code = fmt.max_finite, fmt.max_magnitude_code
        huge = encode_value(fmt, Special.POSITIVE_INFINITY, cast)
        if cast.rounding not in ("toward_zero", "down"):
            threshold, lower_has_it = _cut(fmt, top, top_code, beyond, top_code + 1, cast.rounding)
            codes.append(huge)
            thresholds.append(threshold)
            owns.append(lower_has_it)
        _below(fmt, cast, codes, thresholds, owns, beyond)
    return Decisions(tuple(codes), tuple(thresholds), tuple(owns))


def _below(
    fmt: Minifloat, cast: Cast, codes: list[int], thresholds: list[Fraction], owns: list[bool], beyond: Fraction
) -> None:
    """The interval below the smallest value, for casts that overflow."""
    huge = encode_value(fmt, Special.NEGATIVE_INFINITY, cast)
    if fmt.signed:
        if cast.rounding in ("toward_zero", "up"):
            return
        code = fmt.max_magnitude_code
        threshold, lower_has_it = _cut(fmt, -beyond, code + 1, -fmt.max_finite, code, cast.rounding)
    elif not fmt.zero:
        threshold, lower_has_it = Fraction(0), False
    else:
        smallest = fmt.min_positive
        if cast.rounding in ("toward_zero", "up"):
            threshold, lower_has_it = -smallest, True
        else:
            threshold, lower_has_it = _cut(fmt, -smallest, 1, Fraction(0), 0, cast.rounding)
    codes.insert(0, huge)
    thresholds.insert(0, threshold)
    owns.insert(0, lower_has_it)


def range_cuts(fmt: Scalar, rounding: Rounding) -> tuple[tuple[Fraction, bool], tuple[Fraction, bool]]:
    """Where rounding with unbounded exponent leaves a format's range: at its bottom and at its top.

    Each is a threshold and whether the reals below it own it. A codebook ends at its last entry, for no value follows.
    """
    if isinstance(fmt, Codebook):
        return (fmt.min_finite, False), (fmt.max_finite, True)
    if isinstance(fmt, FixedPoint):
        low, high, step = fmt.min_integer, fmt.max_integer, fmt.min_positive
        bottom = _cut(fmt, fmt.min_finite - step, low - 1, fmt.min_finite, low, rounding)
        return bottom, _cut(fmt, fmt.max_finite, high, fmt.max_finite + step, high + 1, rounding)
    if not isinstance(fmt, Minifloat):
        raise TypeError(f"range_cuts: no reading of {fmt!r}")
    code = fmt.max_magnitude_code
    beyond = fmt.magnitude(code + 1).fraction
    top = _cut(fmt, fmt.max_finite, code, beyond, code + 1, rounding)
    if fmt.signed:
        return _cut(fmt, -beyond, code + 1, -fmt.max_finite, code, rounding), top
    if not fmt.zero:
        return (Fraction(0), False), top
    return _cut(fmt, -fmt.min_positive, 1, Fraction(0), 0, rounding), top


def expected_code(fmt: Scalar, value: Dyadic, cast: Cast) -> int:
    """The code by bisection in the thresholds; equal to `reference.encode_value` for every finite value."""
    cut = decisions(fmt, cast)
    x = value.fraction
    low, high = 0, len(cut.thresholds)
    while low < high:
        middle = (low + high) // 2
        below = x < cut.thresholds[middle] or (x == cut.thresholds[middle] and cut.lower_owns[middle])
        low, high = (low, middle) if below else (middle + 1, high)
    code = cut.codes[low]
    if x == 0 and value.negative and code == 0 and keeps_minus_zero(fmt, cast.rounding):
        return 1 << (fmt.bits - 1)
    return code


def keeps_minus_zero(fmt: Scalar, rounding: Rounding) -> bool:
    """Whether -0 is written with the sign bit set (a format without zero has its smallest negative number there)."""
    if not isinstance(fmt, Minifloat) or not fmt.signed or fmt.specials == "fnuz":
        return False
    return fmt.zero or rounding != "up"
