"""The meaning of a cast: exact, slow, and meant to be read beside the definitions.

`encode_value` rounds on the format's unbounded lattice, then applies the overflow and NaN policies; everything is
integers and Fractions. The kernels are proved equal to it, and so is the independent reading in decisions.py.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import replace
from fractions import Fraction

from formats.called import called
from formats.cast import DEFAULT, Cast, Rounding
from formats.elements import is_scalar
from formats.exact import Dyadic, Special, Value, floor_log2, power_of_two
from formats.fixed_point import FixedPoint
from formats.minifloat import Minifloat
from formats.plans.points import finite_points, minus_zero_code, nearest_cuts
from formats.scalar import Scalar

HALF = Fraction(1, 2)
_MIRRORED: dict[Rounding, Rounding] = {"up": "down", "down": "up"}


def round_integer(x: Fraction, cast: Cast, ties: str = "even", random: int = 0) -> int:
    """x rounded to an integer. ties: "even", or "up" for the formats whose nearest rounding says so."""
    floor = x.numerator // x.denominator
    remainder = x - floor
    rounding = cast.rounding
    if remainder == 0 or rounding == "down":
        return floor
    if rounding == "up":
        return floor + 1
    if rounding == "to_odd":
        return floor if floor % 2 else floor + 1
    if rounding == "toward_zero":
        return floor if x > 0 else floor + 1
    if cast.stochastic:
        away = moves_away(remainder if x > 0 else 1 - remainder, cast, random)
        return floor + (away if x > 0 else not away)
    if remainder != HALF:
        return floor if remainder < HALF else floor + 1
    if rounding == "ties_away":
        return floor + 1 if x > 0 else floor
    if ties == "up":
        return floor + 1
    return floor if floor % 2 == 0 else floor + 1


def moves_away(nu: Fraction, cast: Cast, random: int) -> bool:
    """Whether a real at the part nu of the gap, 0 <= nu < 1, goes away from zero under a stochastic rounding.

    Source: IEEE P3109 interim report 3.2, RoundToPrecision: StochasticA, B and C with N = random_bits and R = random.
    """
    all_draws = 1 << cast.random_bits  # 2**N
    if cast.rounding == "stochastic_a":
        return int(nu * all_draws) + random >= all_draws
    if cast.rounding == "stochastic_b":
        return int(nu * 2 * all_draws) + 2 * random + 1 >= 2 * all_draws
    return round(nu * all_draws) + random >= all_draws  # round() of a Fraction goes to even


def encode_value(fmt: Scalar, value: Value, cast: Cast = DEFAULT, random: int = 0) -> int:
    """The code a cast writes for one exact value.

    random: R of the stochastic roundings, 0 <= random < 2**cast.random_bits.
    Raises ValueError for NaN in a format without NaN under nan="raise", and for a cast the format cannot express.
    """
    check_cast(fmt, cast)
    if not 0 <= random < 2**cast.random_bits:
        raise ValueError(f"encode_value: random must be 0..2**{cast.random_bits}-1, got {random}")
    if value is Special.NAN:
        return nan_codes(fmt, cast)[0]
    if isinstance(value, Special):
        return _infinity(fmt, value is Special.NEGATIVE_INFINITY, cast)
    if isinstance(fmt, Minifloat):
        return _encode_minifloat(fmt, value, cast, random)
    if isinstance(fmt, FixedPoint):
        integer = round_integer(value.fraction * power_of_two(fmt.fraction_bits), cast, "even", random)
        return max(fmt.min_integer, min(fmt.max_integer, integer)) % (1 << fmt.bits)
    if not is_scalar(fmt):
        raise TypeError(f"encode_value: {fmt!r} does not offer what formats.Scalar asks for")
    return _encode_table(fmt, value, cast, random)


def check_cast(fmt: Scalar, cast: Cast) -> None:
    """Raise ValueError where the format has no code for what the cast asks for."""
    if cast.overflow == "overflow" and not (fmt.has_nan or fmt.has_infinity):
        raise ValueError(
            f"Cast(overflow='overflow'): {called(fmt)} has neither infinity nor NaN to overflow to; "
            "use overflow='saturate' or 'saturate_finite'"
        )


def nan_codes(fmt: Scalar, cast: Cast) -> tuple[int, int]:
    """The codes of NaN with a clear and with a set sign bit. Raises ValueError under nan="raise" if there is none."""
    if fmt.nan_code is not None:
        two = isinstance(fmt, Minifloat) and fmt.has_two_nans
        return fmt.nan_code, fmt.nan_code | (1 << (fmt.bits - 1)) if two else fmt.nan_code
    if cast.nan == "raise":
        raise ValueError(
            f"x holds NaN, and {called(fmt)} has none; pass cast=Cast(nan='zero') or nan='max', or remove the NaN"
        )
    if cast.nan == "max":
        return _extreme(fmt, False), _extreme(fmt, False)
    zero = encode_value(fmt, Dyadic(False, 0, 0))
    negative = encode_value(fmt, Dyadic(True, 0, 0))
    return (negative, zero) if cast.nan == "ml_dtypes" else (zero, zero)


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
    return finite_points(fmt)[0 if negative else -1][1]


def _overflowed(fmt: Scalar, negative: bool) -> int:
    """Infinity where the format has one of that sign, otherwise NaN."""
    if isinstance(fmt, Minifloat):
        if fmt.infinity_code is not None and (fmt.signed or not negative):
            return fmt.infinity_code | (negative << fmt.magnitude_bits)
        if fmt.has_nan:
            return nan_codes(fmt, DEFAULT)[negative]
        return _extreme(fmt, negative)
    infinity = Special.NEGATIVE_INFINITY if negative else Special.POSITIVE_INFINITY
    if infinity in fmt.values():
        return fmt.values().index(infinity)
    return fmt.nan_code if fmt.nan_code is not None else _extreme(fmt, negative)


def _encode_minifloat(fmt: Minifloat, value: Dyadic, cast: Cast, random: int) -> int:
    """Round the magnitude on the unbounded lattice, then look whether it is still in range."""
    magnitude = abs(value.fraction)
    mirrored = cast
    if value.negative and cast.rounding in _MIRRORED:
        mirrored = replace(cast, rounding=_MIRRORED[cast.rounding])
    ordinal = _round_ordinal(fmt, magnitude, mirrored, random)
    if fmt.signed and not fmt.zero and magnitude < fmt.min_positive and cast.rounding in ("up", "down"):
        return 0 if cast.rounding == "up" else 2**fmt.magnitude_bits  # across the gap where zero would be
    if value.negative and not fmt.signed:
        if ordinal == 0 and (fmt.zero or magnitude == 0):
            return 0
        return _overflowed(fmt, True) if cast.overflow == "overflow" else 0
    if ordinal > fmt.max_magnitude_code:
        inward = mirrored.rounding in ("toward_zero", "down")  # of the magnitude: back into range
        if cast.overflow == "overflow" and not inward:
            return _overflowed(fmt, value.negative)
        ordinal = fmt.max_magnitude_code
    if ordinal == 0 and fmt.zero and not fmt.has_minus_zero:
        return 0
    return ordinal | (value.negative << fmt.magnitude_bits) if fmt.signed else ordinal


def _round_ordinal(fmt: Minifloat, x: Fraction, cast: Cast, random: int) -> int:
    """The magnitude code x >= 0 rounds to, the lattice going on above the top code.

    Below the top of the first normal binade of a format without subnormals the lattice has a gap beside zero, so there
    the two neighbours are compared directly. Without zero everything smaller becomes the smallest magnitude.
    """
    m = fmt.trailing_significand_bits
    if not fmt.subnormals and x < (floor := fmt.magnitude(0 if not fmt.zero else 1).fraction):
        if not fmt.zero:
            return 0
        return round_integer(x / floor, cast, fmt.ties, random)  # 0 or 1: ordinal 0 is even
    exponent = max(floor_log2(x), fmt.min_exponent) if x else fmt.min_exponent
    quantum = power_of_two(exponent - m)
    if fmt.ties == "up" or m == 0:
        return _round_power(fmt, x, exponent, cast, random)
    steps = round_integer(x / quantum, cast, "even", random)  # 2**m..2**(m+1) in a normal binade, fewer below
    return ((exponent - fmt.min_exponent) << m) + steps - (0 if fmt.subnormals else 2**m)


def _round_power(fmt: Minifloat, x: Fraction, exponent: int, cast: Cast, random: int) -> int:
    """Rounding where neighbours are a factor of two apart: "even" is then the last bit of the code."""
    m = fmt.trailing_significand_bits
    base = (exponent - fmt.min_exponent) << m
    steps = x / power_of_two(exponent - m)
    whole = steps.numerator // steps.denominator
    lower = base + whole - (0 if fmt.subnormals else 2**m)
    between = steps - whole  # 0 <= between < 1, the step to the next code is 1 in these units
    parity = lower % 2
    moved = round_integer(between + parity, cast, fmt.ties, random) - parity  # an even integer here is an even code
    return lower + moved


def _encode_table(fmt: Scalar, value: Dyadic, cast: Cast, random: int) -> int:
    """The neighbour among a format's own values that the rounding picks; beyond them the end, or overflow."""
    x, points = value.fraction, finite_points(fmt)
    values = [point for point, _ in points]
    if x > values[-1] or x < values[0]:
        inward = cast.rounding in ("toward_zero", "up" if x < 0 else "down")
        overflows = cast.overflow == "overflow" and getattr(fmt, "finite_overflows", True)
        return _overflowed(fmt, x < values[0]) if overflows and not inward else _extreme(fmt, x < values[0])
    at = bisect_left(values, x)
    if values[at] != x and _lower_of_two(fmt, at - 1, x, cast, random):
        at -= 1
    minus_zero = minus_zero_code(fmt)
    if values[at] == 0 and value.negative and minus_zero is not None:
        return minus_zero
    return points[at][1]


def _lower_of_two(fmt: Scalar, at: int, x: Fraction, cast: Cast, random: int) -> bool:
    """Whether x, strictly between the format's values number `at` and `at + 1`, goes to the lower one."""
    (lower, lower_code), (upper, upper_code) = finite_points(fmt)[at : at + 2]
    lower_is_near_zero = abs(lower) <= abs(upper)
    if cast.rounding in ("up", "down"):
        return cast.rounding == "down"
    if cast.rounding == "toward_zero":
        # A table without zero has nothing nearer to zero than these two: x keeps its sign, as it does beyond the table.
        return lower_is_near_zero if lower * upper >= 0 else x < 0
    if cast.rounding == "to_odd":
        return lower_code % 2 == 1 if (lower_code + upper_code) % 2 else lower_is_near_zero
    if cast.stochastic:
        nu = (x - lower if lower_is_near_zero else upper - x) / (upper - lower)
        return moves_away(nu, cast, random) != lower_is_near_zero
    cut, lower_owns = nearest_cuts(fmt)[at]
    if x != cut:
        return x < cut
    return cut < 0 if cast.rounding == "ties_away" else lower_owns
