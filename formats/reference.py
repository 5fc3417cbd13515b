"""The meaning of a cast: exact, slow, and meant to be read beside the definitions.

`encode_value` rounds on the format's unbounded lattice, then applies the overflow and NaN policies; everything is
integers and Fractions. The kernels are proved equal to it, and so is the independent reading in decisions.py.
"""

from __future__ import annotations

from bisect import bisect_left
from fractions import Fraction

from formats.cast import DEFAULT, Cast, Rounding
from formats.codebook import Codebook
from formats.exact import Dyadic, Special, Value, floor_log2
from formats.fixed_point import FixedPoint
from formats.minifloat import Minifloat
from formats.scalar import Scalar


def round_integer(x: Fraction, rounding: Rounding, ties: str = "even") -> int:
    """x rounded to an integer. ties: "even", or "up" for the formats whose nearest rounding says so."""
    floor = x.numerator // x.denominator
    remainder = x - floor
    if remainder == 0 or rounding == "down":
        return floor
    if rounding == "up":
        return floor + 1
    if rounding == "toward_zero":
        return floor if x > 0 else floor + 1
    if remainder != Fraction(1, 2):
        return floor if remainder < Fraction(1, 2) else floor + 1
    if rounding == "ties_away":
        return floor + 1 if x > 0 else floor
    if ties == "up":
        return floor + 1
    return floor if floor % 2 == 0 else floor + 1


def encode_value(fmt: Scalar, value: Value, cast: Cast = DEFAULT) -> int:
    """The code a cast writes for one exact value.

    Raises ValueError for NaN in a format without NaN under nan="raise", and for a cast the format cannot express.
    """
    check_cast(fmt, cast)
    if value is Special.NAN:
        return nan_codes(fmt, cast)[0]
    if isinstance(value, Special):
        return _infinity(fmt, value is Special.NEGATIVE_INFINITY, cast)
    if isinstance(fmt, Minifloat):
        return _encode_minifloat(fmt, value, cast)
    if isinstance(fmt, FixedPoint):
        integer = round_integer(value.fraction * Fraction(2) ** fmt.fraction_bits, cast.rounding)
        return max(fmt.min_integer, min(fmt.max_integer, integer)) % (1 << fmt.bits)
    if isinstance(fmt, Codebook):
        return _encode_codebook(fmt, value.fraction, cast.rounding)
    raise TypeError(f"encode_value: no reference for {fmt!r}")


def check_cast(fmt: Scalar, cast: Cast) -> None:
    """Raise ValueError where the format has no code for what the cast asks for."""
    if cast.overflow == "overflow" and not (fmt.has_nan or fmt.has_infinity):
        raise ValueError(
            f"Cast(overflow='overflow'): {fmt.name} has neither infinity nor NaN to overflow to; "
            "use overflow='saturate' or 'saturate_finite'"
        )


def nan_codes(fmt: Scalar, cast: Cast) -> tuple[int, int]:
    """The codes of NaN with a clear and with a set sign bit. Raises ValueError under nan="raise" if there is none."""
    if fmt.nan_code is not None:
        signed = fmt.signed and not (isinstance(fmt, Minifloat) and fmt.specials == "fnuz")
        return fmt.nan_code, fmt.nan_code | (1 << (fmt.bits - 1)) if signed else fmt.nan_code
    if cast.nan == "raise":
        raise ValueError(
            f"x holds NaN, and {fmt.name} has none; pass cast=Cast(nan='zero') or nan='max', or remove the NaN"
        )
    if cast.nan == "max":
        top = encode_value(fmt, _exact(fmt.max_finite))
        return top, top
    zero = encode_value(fmt, Dyadic(False, 0, 0))
    negative = encode_value(fmt, Dyadic(True, 0, 0))
    return (negative, zero) if cast.nan == "ml_dtypes" else (zero, zero)


def _exact(x: Fraction) -> Dyadic:
    return Dyadic(x < 0, abs(x.numerator), 1 - x.denominator.bit_length())


def _infinity(fmt: Scalar, negative: bool, cast: Cast) -> int:
    """The code of an infinite input."""
    if cast.overflow == "saturate" or not (fmt.has_nan or fmt.has_infinity):
        return _extreme(fmt, negative)
    return _overflowed(fmt, negative)


def _extreme(fmt: Scalar, negative: bool) -> int:
    """The code of the largest or smallest finite value."""
    if isinstance(fmt, Minifloat):
        if negative and not fmt.signed:
            return 0
        return fmt.max_magnitude_code | (negative << fmt.magnitude_bits)
    if isinstance(fmt, FixedPoint):
        return (fmt.min_integer if negative else fmt.max_integer) % (1 << fmt.bits)
    return [value.fraction for value in fmt.values() if isinstance(value, Dyadic)].index(
        fmt.min_finite if negative else fmt.max_finite
    )


def _overflowed(fmt: Scalar, negative: bool) -> int:
    """Infinity where the format has one of that sign, otherwise NaN."""
    if isinstance(fmt, Minifloat):
        if fmt.infinity_code is not None and (fmt.signed or not negative):
            return fmt.infinity_code | (negative << fmt.magnitude_bits)
        if fmt.has_nan:
            return nan_codes(fmt, DEFAULT)[negative]
    return _extreme(fmt, negative)


def _encode_minifloat(fmt: Minifloat, value: Dyadic, cast: Cast) -> int:
    """Round the magnitude on the unbounded lattice, then look whether it is still in range."""
    magnitude = abs(value.fraction)
    mirrored: dict[Rounding, Rounding] = {"up": "down", "down": "up"}
    rounding = mirrored.get(cast.rounding, cast.rounding) if value.negative else cast.rounding
    ordinal = _round_ordinal(fmt, magnitude, rounding)
    if fmt.signed and not fmt.zero and magnitude < fmt.min_positive and cast.rounding in ("up", "down"):
        return 0 if cast.rounding == "up" else 2**fmt.magnitude_bits  # across the gap where zero would be
    if value.negative and not fmt.signed:
        if ordinal == 0 and (fmt.zero or magnitude == 0):
            return 0
        return _overflowed(fmt, True) if cast.overflow == "overflow" else 0
    if ordinal > fmt.max_magnitude_code:
        inward = rounding in ("toward_zero", "down")  # of the magnitude: back into range
        if cast.overflow == "overflow" and not inward:
            return _overflowed(fmt, value.negative)
        ordinal = fmt.max_magnitude_code
    if fmt.specials == "fnuz" and ordinal == 0:
        return 0
    return ordinal | (value.negative << fmt.magnitude_bits) if fmt.signed else ordinal


def _round_ordinal(fmt: Minifloat, x: Fraction, rounding: Rounding) -> int:
    """The magnitude code x >= 0 rounds to, the lattice going on above the top code.

    Below the top of the first normal binade of a format without subnormals the lattice has a gap beside zero, so there
    the two neighbours are compared directly. Without zero everything smaller becomes the smallest magnitude.
    """
    m = fmt.trailing_significand_bits
    floor = fmt.magnitude(0 if not fmt.zero else 1).fraction
    if not fmt.subnormals and x < floor:
        if not fmt.zero:
            return 0
        return round_integer(x / floor, rounding, fmt.ties)  # 0 or 1: ordinal 0 is even
    exponent = max(floor_log2(x), fmt.min_exponent) if x else fmt.min_exponent
    quantum = Fraction(2) ** (exponent - m)
    if fmt.ties == "up" or m == 0:
        return _round_power(fmt, x, exponent, rounding)
    steps = round_integer(x / quantum, rounding)  # 2**m..2**(m+1) in a normal binade, fewer among subnormals
    return ((exponent - fmt.min_exponent) << m) + steps - (0 if fmt.subnormals else 2**m)


def _round_power(fmt: Minifloat, x: Fraction, exponent: int, rounding: Rounding) -> int:
    """Rounding where neighbours are a factor of two apart: "even" is then the last bit of the code."""
    m = fmt.trailing_significand_bits
    base = (exponent - fmt.min_exponent) << m
    steps = x / Fraction(2) ** (exponent - m)
    whole = steps.numerator // steps.denominator
    lower = base + whole - (0 if fmt.subnormals else 2**m)
    between = steps - whole  # 0 <= between < 1, the step to the next code is 1 in these units
    parity = lower % 2
    moved = round_integer(between + parity, rounding, fmt.ties) - parity  # an even integer here is an even code
    return lower + moved


def _encode_codebook(fmt: Codebook, x: Fraction, rounding: Rounding) -> int:
    """The nearest entry, or the neighbour in the rounding's direction; beyond the table its end."""
    exact = [value.fraction for value in fmt.values() if isinstance(value, Dyadic)]
    entries = sorted(set(exact))
    at = bisect_left(entries, x)
    if at == len(entries) or (at == 0 and entries[0] != x):
        chosen = entries[-1] if at else entries[0]
    elif entries[at] == x:
        chosen = x
    else:
        chosen = _between(fmt, entries[at - 1], entries[at], x, rounding, exact)
    return exact.index(chosen)


def _between(
    fmt: Codebook, lower: Fraction, upper: Fraction, x: Fraction, rounding: Rounding, exact: list[Fraction]
) -> Fraction:
    if rounding in ("up", "down"):
        return upper if rounding == "up" else lower
    if rounding == "toward_zero":
        # A table without zero has nothing nearer to zero than these two: x keeps its sign, as it does beyond the table.
        return min(lower, upper, key=abs) if lower * upper >= 0 else (upper if x >= 0 else lower)
    if x - lower != upper - x:
        return lower if x - lower < upper - x else upper
    rule = "away" if rounding == "ties_away" else fmt.ties
    if rule == "even":
        return lower if exact.index(lower) % 2 == 0 else upper
    if rule == "away":
        return upper if x >= 0 else lower
    return lower if rule == "lower" else upper
