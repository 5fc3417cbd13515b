"""Codes of scalar formats: which kernel runs, and the checks around it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from formats.cast import Cast
from formats.decisions import keeps_minus_zero
from formats.exact import Special
from formats.fixed_point import FixedPoint
from formats.minifloat import Minifloat
from formats.plans import (
    FLOAT32,
    FLOAT64,
    FloatLayout,
    code_dtype,
    decode_tables,
    integer_plan,
    minifloat_plan,
    quiet,
    runs_on_bits,
    table_plan,
)
from formats.reference import check_cast, encode_value, nan_codes
from formats.scalar import Scalar

FLOAT32_FORMAT = Minifloat(exponent_bits=8, trailing_significand_bits=23)
FLOAT64_FORMAT = Minifloat(exponent_bits=11, trailing_significand_bits=52)
PIECE = 1 << 16  # elements decoded while their codes are still in cache


def layout_of(x: NDArray[Any]) -> FloatLayout:
    """The input type's layout."""
    return FLOAT32 if x.dtype == np.float32 else FLOAT64


def encode_codes(fmt: Scalar, x: NDArray[Any], cast: Cast, out: NDArray[Any] | None = None) -> NDArray[Any]:
    """Codes of a float32 or float64 array of any shape."""
    check_cast(fmt, cast)
    dtype = code_dtype(fmt.bits)
    if out is None:
        out = np.empty(x.shape, dtype)
    elif out.shape != x.shape or out.dtype != dtype or not out.flags.c_contiguous:
        raise ValueError(
            f"encode_codes: out must be a contiguous {np.dtype(dtype)} array of shape {x.shape}, "
            f"got {out.dtype} {out.shape}"
        )
    if run(fmt, np.ascontiguousarray(x).reshape(-1), cast, out.reshape(-1)) and fmt.nan_code is None:
        nan_codes(fmt, cast)  # raises under nan="raise"
    return out


def run(fmt: Scalar, flat: NDArray[Any], cast: Cast, out: NDArray[Any]) -> bool:
    """Write the codes of a contiguous vector; returns whether it holds NaN."""
    layout = layout_of(flat)
    if isinstance(fmt, Minifloat) and fmt.bits > 32:
        return _store_float64(fmt, flat, cast, out)
    if isinstance(fmt, FixedPoint) and (fmt.fraction_bits >= 0 or layout is FLOAT64):
        from formats.kernels.fixed_point import encode_integer

        if fmt.fraction_bits < 0:  # x * 2**fraction_bits must not underflow: directed rounding asks for its sign
            tiny = np.copysign(2.0**-900, flat)
            flat = np.where((np.abs(flat) < 2.0**-900) & (flat != 0), tiny, flat)
        return bool(encode_integer(flat, *integer_plan(fmt, cast, layout), out))
    if isinstance(fmt, Minifloat):
        from formats.kernels.minifloat import encode32, encode64

        if runs_on_bits(fmt, layout):
            plan = minifloat_plan(fmt, cast, layout)
            return bool((encode32 if layout is FLOAT32 else encode64)(flat, plan, out))
        if layout is FLOAT32 and runs_on_bits(fmt, FLOAT64):
            return run(fmt, _widened(flat), cast, out)
    if fmt.bits > 16:
        raise ValueError(f"encode: {fmt.name} of {fmt.bits} bits has no kernel for {flat.dtype} input")
    from formats.kernels.table import encode_few, encode_many

    if isinstance(fmt, FixedPoint):
        return run(fmt, _widened(flat), cast, out)
    last_below, codes, nan = table_plan(fmt, cast, layout)
    kernel = encode_few if last_below.size < 16 else encode_many
    seen = bool(kernel(flat, last_below, codes, codes.dtype.type(nan), out))
    _mend(fmt, flat, cast, out)
    return seen


def _widened(flat: NDArray[Any]) -> NDArray[np.float64]:
    with np.errstate(invalid="ignore"):  # a signalling NaN becomes a quiet one
        return flat.astype(np.float64)


def _mend(fmt: Scalar, flat: NDArray[Any], cast: Cast, out: NDArray[Any]) -> None:
    """Thresholds cannot tell -0 from 0, -NaN from NaN, nor an infinity from the largest float: put right all three."""
    if not isinstance(fmt, Minifloat):
        return
    if keeps_minus_zero(fmt, cast.rounding):
        out[(flat == 0) & np.signbit(flat) & (out == 0)] = 2**fmt.magnitude_bits
    nan, minus_nan = nan_codes(fmt, quiet(cast))
    if nan != minus_nan:
        out[np.isnan(flat) & np.signbit(flat)] = minus_nan
    if np.isinf(flat).any():
        out[flat == np.inf] = encode_value(fmt, Special.POSITIVE_INFINITY, cast)
        out[flat == -np.inf] = encode_value(fmt, Special.NEGATIVE_INFINITY, cast)


def _store_float64(fmt: Minifloat, flat: NDArray[Any], cast: Cast, out: NDArray[Any]) -> bool:
    """float64 as its own code."""
    _check_width(fmt)
    out[:] = _finite(_widened(flat), cast).view(np.uint64)
    return False


def _check_width(fmt: Scalar) -> None:
    """Refuse what no kernel covers: wider than 32 bits and not float64."""
    if fmt.bits > 32 and fmt != FLOAT64_FORMAT:
        raise ValueError(f"encode: {fmt.name} of {fmt.bits} bits is wider than the 32 bits a codec covers")


def _finite(x: NDArray[np.float64], cast: Cast) -> NDArray[np.float64]:
    """float64 as a cast to float64 leaves it: an infinity saturates under overflow="saturate"."""
    top = np.finfo(np.float64).max
    return np.clip(x, -top, top) if cast.overflow == "saturate" else x


def decode_codes(
    fmt: Scalar, codes: NDArray[Any], dtype: np.dtype[Any], out: NDArray[Any] | None = None
) -> NDArray[Any]:
    """Values of codes of any shape as float32 or float64."""
    from formats.kernels.table import decode_table

    flat = _checked(fmt, codes)
    if out is None:
        out = np.empty(codes.shape, dtype)
    elif out.shape != codes.shape or not out.flags.c_contiguous:
        raise ValueError(f"decode_codes: out must be a contiguous array of shape {codes.shape}, got {out.shape}")
    if fmt.bits > 16:
        out.reshape(-1)[:] = _decode_wide(fmt, flat)
    else:
        decode_table(flat, decode_tables(fmt)[0 if dtype == np.float32 else 1], out.reshape(-1))
    return out


def _checked(fmt: Scalar, codes: NDArray[Any]) -> NDArray[Any]:
    """The codes as a flat vector of the smallest unsigned type, every one of them known to exist."""
    if codes.dtype.kind not in "ui":
        raise TypeError(f"decode: codes must be integers, got dtype {codes.dtype}")
    limit = len(fmt.values()) if fmt.bits <= 16 else 2**fmt.bits
    flat = np.ascontiguousarray(codes, codes.dtype.newbyteorder("=")).reshape(-1)
    if flat.dtype.kind == "u" and flat.size and limit > np.iinfo(flat.dtype).max:
        return flat
    bad = _first_bad(flat, limit)
    if bad is not None:
        index = tuple(int(i) for i in np.unravel_index(bad, codes.shape))
        raise ValueError(f"decode: code {flat[bad]} at index {index} is outside 0..{limit - 1} of {fmt.name}")
    return flat if flat.dtype.kind == "u" else flat.astype(code_dtype(fmt.bits))


def _first_bad(flat: NDArray[Any], limit: int) -> int | None:
    from formats.kernels.table import largest

    if flat.size == 0 or (flat.dtype.kind == "u" and largest(flat) < limit):
        return None
    bad = np.flatnonzero((flat < 0) | (flat >= limit)) if flat.dtype.kind == "i" else np.flatnonzero(flat >= limit)
    return int(bad[0]) if bad.size else None


def _decode_wide(fmt: Scalar, flat: NDArray[Any]) -> NDArray[np.float64]:
    """Minifloats of 17 to 64 bits, by arithmetic on the fields; exact in float64."""
    if not isinstance(fmt, Minifloat):
        raise ValueError(f"decode: {fmt.name} of {fmt.bits} bits has no table")
    if fmt.bits == 64:
        return flat.astype(np.uint64).view(np.float64)
    if fmt.max_finite >= 2**1024 or fmt.ulp_exponent < -1074:
        raise OverflowError(f"decode: {fmt.name} has values beyond float64; use its value(code)")
    if fmt == FLOAT32_FORMAT:
        with np.errstate(invalid="ignore"):  # signalling NaNs widen to quiet ones
            wide = flat.astype(np.uint32).view(np.float32).astype(np.float64)
        return np.where(np.isnan(wide), np.copysign(np.nan, wide), wide)  # one NaN a sign, whatever its payload
    m, code = fmt.trailing_significand_bits, flat.astype(np.int64)
    ordinal = code & (2**fmt.magnitude_bits - 1)
    field, trailing = ordinal >> m, ordinal & (2**m - 1)
    normal = (field > 0) | (not fmt.subnormals)
    significand = trailing + np.where(normal, 2**m, 0)
    exponent = np.where(normal, field, 1) + (fmt.ulp_exponent - (1 if fmt.subnormals else 0))
    with np.errstate(over="ignore"):  # the fields of infinity and NaN, replaced below
        value = np.ldexp(significand.astype(np.float64), exponent)
    if fmt.zero:
        value = np.where(ordinal == 0, 0.0, value)
    if fmt.has_infinity:
        value = np.where(ordinal == fmt.max_magnitude_code + 1, np.inf, value)
    special = ordinal > fmt.max_magnitude_code + fmt.has_infinity
    negative = (code >> fmt.magnitude_bits).astype(bool) if fmt.signed else np.zeros(code.shape, bool)
    if fmt.specials == "fnuz":
        special = special | (negative & (ordinal == 0))
    magnitude = np.where(special, np.nan, value)
    return np.where(negative & (fmt.specials != "fnuz" or ~special), -magnitude, magnitude)


def quantize(x: NDArray[Any], fmt: Scalar, cast: Cast) -> NDArray[Any]:
    """x rounded to the format's values, float32 or float64 as x is, piece by piece so that codes stay in cache."""
    check_cast(fmt, cast)
    if isinstance(fmt, Minifloat) and fmt.bits > 32:
        _check_width(fmt)
        with np.errstate(over="ignore"):  # float64's largest number is no float32
            return _finite(_widened(x), cast).astype(x.dtype)
    if isinstance(fmt, Minifloat) and (fmt.max_finite >= 2**1024 or fmt.ulp_exponent < -1074):
        raise OverflowError(f"quantize: {fmt.name} has values beyond float64; use its value(code)")
    flat = np.ascontiguousarray(x).reshape(-1)
    out = np.empty(flat.size, x.dtype)
    codes = np.empty(min(PIECE, flat.size), code_dtype(fmt.bits))
    for start in range(0, flat.size, PIECE):
        piece = flat[start : start + PIECE]
        held = codes[: piece.size]
        if run(fmt, piece, cast, held) and fmt.nan_code is None:
            nan_codes(fmt, cast)
        decode_codes(fmt, held, out.dtype, out[start : start + PIECE])
    return out.reshape(x.shape)
