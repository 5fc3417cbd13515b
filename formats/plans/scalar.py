"""From a description and a cast to the few integers a kernel runs on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from formats.cast import ROUNDINGS, STOCHASTIC, Cast, Rounding
from formats.exact import Special
from formats.fixed_point import FixedPoint
from formats.minifloat import Minifloat
from formats.plans.decisions import decisions
from formats.plans.fields import fixed_point_values, minifloat_values
from formats.reference import check_cast, encode_value, nan_codes
from formats.scalar import Scalar


@dataclass(frozen=True, slots=True)
class FloatLayout:
    """A binary floating-point input type: width of its trailing significand and its exponent bias."""

    dtype: Any
    trailing: int
    bias: int

    @property
    def magic(self) -> float:
        """1.5 * 2**trailing: adding it makes the last place one."""
        return 1.5 * 2.0**self.trailing


FLOAT32 = FloatLayout(np.float32, 23, 127)
FLOAT64 = FloatLayout(np.float64, 52, 1023)


def layout_of(x: NDArray[Any]) -> FloatLayout:
    """The input type's layout."""
    return FLOAT32 if x.dtype == np.float32 else FLOAT64


def code_dtype(bits: int) -> Any:
    """The unsigned type that holds a code."""
    return np.uint8 if bits <= 8 else np.uint16 if bits <= 16 else np.uint32 if bits <= 32 else np.uint64


def quiet(cast: Cast) -> Cast:
    """The cast with a NaN policy a kernel can always carry out."""
    return replace(cast, nan="zero") if cast.nan == "raise" else cast


def runs_on_bits(fmt: Scalar, layout: FloatLayout) -> bool:
    """Whether the integer kernel for that input type covers the format."""
    return (
        isinstance(fmt, Minifloat)
        and fmt.subnormals
        and fmt.trailing_significand_bits < layout.trailing
        and fmt.bits <= 32
        # Ordinals there are int32, and its kernel does not normalise subnormals: a format below them goes by float64.
        and (layout is not FLOAT32 or (fmt.magnitude_bits <= 31 and fmt.min_exponent + layout.bias >= 1))
    )


def runs_below_float32(fmt: Scalar) -> bool:
    """Whether kernels.minifloat.encode32 covers a format that reaches below float32's normal numbers."""
    if not (isinstance(fmt, Minifloat) and runs_on_bits(fmt, FLOAT64) and fmt.trailing_significand_bits < 23):
        return False
    first = fmt.min_exponent + FLOAT32.bias
    return first < 1 and (256 - first) << fmt.trailing_significand_bits < 2**31


def minifloat_plan(fmt: Minifloat, cast: Cast, layout: FloatLayout) -> NDArray[np.int64]:
    """The 16 integers of formats/kernels/minifloat.py. Stochastic roundings need `random_plan` beside it."""
    return _minifloat_plan(fmt, cast.unseeded, layout)


@cache
def _minifloat_plan(fmt: Minifloat, cast: Cast, layout: FloatLayout) -> NDArray[np.int64]:
    check_cast(fmt, cast)
    mode, top = cast.rounding, fmt.max_magnitude_code
    sign = 2**fmt.magnitude_bits if fmt.signed else 0
    minus_zero = sign if fmt.has_minus_zero else 0
    overflow = [_overflow_code(fmt, cast, negative) for negative in (False, True)]
    infinity = [encode_value(fmt, s, cast) for s in (Special.POSITIVE_INFINITY, Special.NEGATIVE_INFINITY)]
    plan = [
        fmt.trailing_significand_bits,
        fmt.min_exponent + layout.bias,
        top,
        top if fmt.signed else 0,
        sign,
        minus_zero,
        -(mode in ("ties_to_even", "ties_away")),
        -(mode == "to_odd" or (mode == "ties_to_even" and fmt.ties == "even")),  # "up" is away, of magnitudes
        -(mode == "up"),
        -(mode == "down"),
        *overflow,
        *infinity,
        *nan_codes(fmt, quiet(cast)),
    ]
    return np.array(plan, np.int64)


def _overflow_code(fmt: Minifloat, cast: Cast, negative: bool) -> int:
    """What a finite value beyond the range becomes."""
    top = encode_value(fmt, Special.NEGATIVE_INFINITY if negative else Special.POSITIVE_INFINITY, Cast())
    if cast.overflow != "overflow":
        return top
    inward = cast.rounding in ("toward_zero", "up" if negative else "down")
    if inward and (fmt.signed or not negative):
        return top
    return encode_value(fmt, Special.NEGATIVE_INFINITY if negative else Special.POSITIVE_INFINITY, cast)


@cache
def random_plan(rounding: Rounding, random_bits: int) -> NDArray[np.int64]:
    """The second plan of stochastic kernels: N, and 0, 1 or 2 for a, b or c."""
    return np.array([random_bits, STOCHASTIC.index(rounding)], np.int64)


def draws_in_float32(fmt: Scalar, cast: Cast) -> bool:
    """Whether the float32 kernel has places enough for the random bits of a cast; float64's has for all 32."""
    return not cast.stochastic or cast.random_bits <= (28 if isinstance(fmt, Minifloat) else 23)


def integer_plan(fmt: FixedPoint, cast: Cast, layout: FloatLayout) -> tuple[Any, ...]:
    """Arguments of kernels.fixed_point.encode_integer after x: scale, low, high, mask, magic, rounding, nan."""
    *plan, nan = _integer_plan(fmt, cast.unseeded, layout)
    return (*plan, ROUNDINGS.index(cast.rounding), nan)


def stochastic_integer_plan(fmt: FixedPoint, cast: Cast, layout: FloatLayout) -> tuple[Any, ...]:
    """The same for encode_integer_stochastic32 and -64: no rounding, which `random_plan` says."""
    return _integer_plan(fmt, cast.unseeded, layout)


@cache
def _integer_plan(fmt: FixedPoint, cast: Cast, layout: FloatLayout) -> tuple[Any, ...]:
    check_cast(fmt, cast)
    real = layout.dtype
    signed_nan = nan_codes(fmt, quiet(cast))[0]
    nan = signed_nan - 2**fmt.bits if fmt.signed and signed_nan >> (fmt.bits - 1) else signed_nan
    return (
        real(2.0**fmt.fraction_bits),
        real(fmt.min_integer),
        real(fmt.max_integer),
        np.int32(2**fmt.bits - 1),
        real(layout.magic),
        real(nan),
    )


def table_plan(fmt: Scalar, cast: Cast, layout: FloatLayout) -> tuple[NDArray[Any], NDArray[Any], int]:
    """Thresholds as floats of the input's type, codes of the intervals, and the code of NaN. No stochastic casts."""
    return _table_plan(fmt, cast.unseeded, layout)


@cache
def _table_plan(fmt: Scalar, cast: Cast, layout: FloatLayout) -> tuple[NDArray[Any], NDArray[Any], int]:
    if fmt.bits > 16:
        raise ValueError(f"encode: {fmt.name} has {fmt.bits} bits; a format without a kernel has at most 16")
    cut = decisions(fmt, cast)
    codes = np.array(cut.codes, code_dtype(fmt.bits))
    return last_floats(cut.thresholds, cut.lower_owns, layout), codes, nan_codes(fmt, quiet(cast))[0]


def last_float(threshold: Fraction, owned: bool, layout: FloatLayout) -> Any:
    """The largest float of that type at most the threshold, or strictly below it if the threshold is not owned."""
    return last_floats((threshold,), (owned,), layout)[0]


def last_floats(thresholds: Sequence[Fraction], owned: Sequence[bool], layout: FloatLayout) -> NDArray[Any]:
    """`last_float` of each."""
    near = np.array([_nearest_float(threshold) for threshold in thresholds], np.float64)
    above = [_above(x, *end) for x, end in zip(near.tolist(), zip(thresholds, owned, strict=True), strict=True)]
    # The float nearest to a real has the real between itself and one of its neighbours.
    last = np.where(np.array(above, bool), np.nextafter(near, -np.inf), near)
    if layout is FLOAT64:
        return last
    with np.errstate(over="ignore", under="ignore"):
        narrow = last.astype(layout.dtype)  # the largest float32 at most a real is that at most its float64
    return np.where(narrow > last, np.nextafter(narrow, layout.dtype(-np.inf)), narrow)


def _nearest_float(x: Fraction) -> float:
    try:
        return float(x)
    except OverflowError:
        return math.inf if x > 0 else -math.inf


def _above(x: float, threshold: Fraction, owned: bool) -> bool:
    """Whether the float x lies beyond the interval that ends at the threshold."""
    if math.isinf(x):
        return x > 0
    exact = Fraction(x)
    return exact > threshold or (exact == threshold and not owned)


@cache
def decode_tables(fmt: Scalar) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Value per code as float32 (rounded once) and float64 (exact). OverflowError where float64 cannot hold one."""
    if isinstance(fmt, Minifloat) and fmt.bits <= 16 and not fmt.exceeds_float64:
        exact = minifloat_values(fmt, np.arange(2**fmt.bits))
    elif isinstance(fmt, FixedPoint) and fmt.bits <= 16 and abs(fmt.fraction_bits) <= 512:
        exact = fixed_point_values(fmt, np.arange(2**fmt.bits))
    else:  # slow, and raises what there is to raise
        exact = _one_by_one(fmt)
    with np.errstate(over="ignore"):
        return exact.astype(np.float32), exact


def _one_by_one(fmt: Scalar) -> NDArray[np.float64]:
    """The values as the format gives them."""
    values = fmt.values()
    exact = np.empty(len(values), np.float64)
    for code, value in enumerate(values):
        try:
            exact[code] = float(value)
        except OverflowError:
            raise beyond_float64(fmt, code) from None
    if isinstance(fmt, Minifloat) and fmt.has_two_nans:
        negative = exact[2**fmt.magnitude_bits :]
        negative[np.isnan(negative)] = -np.nan  # the sign of a NaN code stays
    return exact


def check_float64(fmt: Scalar, door: str) -> None:
    """Raise OverflowError, before any table is made, where a minifloat has values that float64 cannot hold."""
    if isinstance(fmt, Minifloat) and fmt.exceeds_float64:
        code = 1 if fmt.ulp_exponent < -1074 else fmt.max_magnitude_code
        raise beyond_float64(fmt, code, door)


def beyond_float64(fmt: Scalar, code: int, door: str = "decode") -> OverflowError:
    """The error for a format with a value that float64 cannot hold."""
    return OverflowError(
        f"{door}: {fmt.name} has values beyond float64, such as code {code}; use its value(code), which is exact"
    )
