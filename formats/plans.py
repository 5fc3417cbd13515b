"""From a description and a cast to the few integers a kernel runs on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from formats.cast import ROUNDINGS, Cast
from formats.decisions import decisions
from formats.exact import Special
from formats.fixed_point import FixedPoint
from formats.minifloat import Minifloat
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


def code_dtype(bits: int) -> Any:
    """The unsigned type that holds a code."""
    return np.uint8 if bits <= 8 else np.uint16 if bits <= 16 else np.uint32 if bits <= 32 else np.uint64


def quiet(cast: Cast) -> Cast:
    """The cast with a NaN policy a kernel can always carry out."""
    return Cast(rounding=cast.rounding, overflow=cast.overflow, nan="zero") if cast.nan == "raise" else cast


def runs_on_bits(fmt: Scalar, layout: FloatLayout) -> bool:
    """Whether the integer kernel for that input type covers the format."""
    return (
        isinstance(fmt, Minifloat)
        and fmt.subnormals
        and fmt.ties == "even"
        and fmt.trailing_significand_bits > 0
        and fmt.trailing_significand_bits < layout.trailing
        and fmt.bits <= 32
        and (fmt.magnitude_bits <= 31 or layout is not FLOAT32)  # ordinals there are int32
        and fmt.min_exponent + layout.bias >= 1
    )


@cache
def minifloat_plan(fmt: Minifloat, cast: Cast, layout: FloatLayout) -> NDArray[np.int64]:
    """The 16 integers of formats/kernels/minifloat.py."""
    check_cast(fmt, cast)
    mode, top = cast.rounding, fmt.max_magnitude_code
    sign = 2**fmt.magnitude_bits if fmt.signed else 0
    minus_zero = 0 if fmt.specials == "fnuz" else sign
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
        -(mode == "ties_to_even"),
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
def integer_plan(fmt: FixedPoint, cast: Cast, layout: FloatLayout) -> tuple[Any, ...]:
    """Arguments of kernels.fixed_point.encode_integer after x: scale, low, high, mask, magic, rounding, nan."""
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
        ROUNDINGS.index(cast.rounding),
        real(nan),
    )


@cache
def table_plan(fmt: Scalar, cast: Cast, layout: FloatLayout) -> tuple[NDArray[Any], NDArray[Any], int]:
    """Thresholds as floats of the input's type, codes of the intervals, and the code of NaN."""
    cut = decisions(fmt, cast)
    last = [
        last_float(threshold, owned, layout) for threshold, owned in zip(cut.thresholds, cut.lower_owns, strict=True)
    ]
    codes = np.array(cut.codes, code_dtype(fmt.bits))
    return np.array(last, layout.dtype), codes, nan_codes(fmt, quiet(cast))[0]


def last_float(threshold: Fraction, owned: bool, layout: FloatLayout) -> Any:
    """The largest float of that type at most the threshold, or strictly below it if the threshold is not owned."""
    try:
        exact = float(threshold)
    except OverflowError:
        exact = math.inf if threshold > 0 else -math.inf
    up, down = layout.dtype(math.inf), layout.dtype(-math.inf)
    with np.errstate(over="ignore"):  # beyond the type's range its last float is infinite
        near = layout.dtype(exact)
        while _above(near, threshold, owned):
            near = np.nextafter(near, down)
        after = np.nextafter(near, up)
        while not _above(after, threshold, owned):
            near, after = after, np.nextafter(after, up)
    return near


def _above(x: Any, threshold: Fraction, owned: bool) -> bool:
    """Whether the float x lies beyond the interval that ends at the threshold."""
    if math.isinf(x):
        return bool(x > 0)
    exact = Fraction(float(x))
    return exact > threshold or (exact == threshold and not owned)


@cache
def decode_tables(fmt: Scalar) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Value per code as float32 (rounded once) and float64 (exact). OverflowError where float64 cannot hold one."""
    exact = np.array([float(value) for value in fmt.values()], np.float64)
    if isinstance(fmt, Minifloat) and fmt.signed and fmt.specials != "fnuz":
        negative = exact[2**fmt.magnitude_bits :]
        negative[np.isnan(negative)] = -np.nan  # the sign of a NaN code stays
    with np.errstate(over="ignore"):
        return exact.astype(np.float32), exact
