"""Codes of scalar formats: which kernel runs, and the checks around it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from formats.cast import Cast
from formats.fixed_point import FixedPoint
from formats.minifloat import Minifloat
from formats.plans.fields import minifloat_values
from formats.plans.scalar import (
    FLOAT32,
    FLOAT64,
    check_float64,
    code_dtype,
    decode_tables,
    integer_plan,
    layout_of,
    minifloat_plan,
    runs_below_float32,
    runs_on_bits,
)
from formats.reference import check_cast, nan_codes
from formats.scalar import Scalar
from formats.scalars import stochastic as scalar_stochastic
from formats.scalars.stochastic import not_too_small, widened
from formats.scalars.table import run_table

FLOAT32_FORMAT = Minifloat(exponent_bits=8, trailing_significand_bits=23)
FLOAT64_FORMAT = Minifloat(exponent_bits=11, trailing_significand_bits=52)
PIECE = 1 << 16  # elements decoded while their codes are still in cache


def encode_codes(
    fmt: Scalar, x: NDArray[Any], cast: Cast, out: NDArray[Any] | None = None, start: int = 0
) -> NDArray[Any]:
    """Codes of a float32 or float64 array of any shape. start: index of its first element, for random bits."""
    check_cast(fmt, cast)
    dtype = code_dtype(fmt.bits)
    if out is None:
        out = np.empty(x.shape, dtype)
    elif out.shape != x.shape or out.dtype != dtype or not out.flags.c_contiguous:
        raise ValueError(
            f"encode_codes: out must be a contiguous {np.dtype(dtype)} array of shape {x.shape}, "
            f"got {out.dtype} {out.shape}"
        )
    if run(fmt, np.ascontiguousarray(x).reshape(-1), cast, out.reshape(-1), start) and fmt.nan_code is None:
        nan_codes(fmt, cast)  # raises under nan="raise"
    return out


def run(fmt: Scalar, flat: NDArray[Any], cast: Cast, out: NDArray[Any], start: int | NDArray[Any] = 0) -> bool:
    """Write the codes of a contiguous vector; returns whether it holds NaN.

    start: which random bits a stochastic cast draws: the index of the first element, the others following, or an array
    of one index per element (blocks, whose elements do not follow each other in the array).
    """
    if isinstance(fmt, Minifloat) and fmt.bits > 32:
        return _store_float64(fmt, flat, cast, out)
    if cast.stochastic:
        return scalar_stochastic.run(fmt, flat, cast, out, start)
    layout = layout_of(flat)
    if isinstance(fmt, FixedPoint) and (fmt.fraction_bits >= 0 or layout is FLOAT64):
        from formats.kernels.fixed_point import encode_integer

        return bool(encode_integer(not_too_small(fmt, flat), *integer_plan(fmt, cast, layout), out))
    if isinstance(fmt, Minifloat):
        from formats.kernels.minifloat import encode32, encode64

        if runs_on_bits(fmt, layout) or (layout is FLOAT32 and runs_below_float32(fmt)):
            plan = minifloat_plan(fmt, cast, layout)
            return bool((encode32 if layout is FLOAT32 else encode64)(flat, plan, out))
        if layout is FLOAT32 and runs_on_bits(fmt, FLOAT64):
            return run(fmt, widened(flat), cast, out)
        _check_width(fmt)
    if isinstance(fmt, FixedPoint):
        return run(fmt, widened(flat), cast, out)
    return run_table(fmt, flat, cast, out)


def _store_float64(fmt: Minifloat, flat: NDArray[Any], cast: Cast, out: NDArray[Any]) -> bool:
    """float64 as its own code."""
    _check_width(fmt)
    out[:] = _finite(widened(flat), cast).view(np.uint64)
    return False


def _check_width(fmt: Scalar) -> None:
    """Refuse what no kernel covers: wider than 32 bits and not float64, or than 16 and not on bits."""
    if fmt.bits > 16 and fmt.bits <= 32 and isinstance(fmt, Minifloat) and not runs_on_bits(fmt, FLOAT64):
        raise ValueError(f"encode: {fmt.name} of {fmt.bits} bits has no kernel")
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

    check_float64(fmt, "decode")
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
    limit = 2**fmt.bits if isinstance(fmt, Minifloat | FixedPoint) or fmt.bits > 16 else len(fmt.values())
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
    if fmt == FLOAT32_FORMAT:
        with np.errstate(invalid="ignore"):  # signalling NaNs widen to quiet ones
            wide = flat.astype(np.uint32).view(np.float32).astype(np.float64)
        return np.where(np.isnan(wide), np.copysign(np.nan, wide), wide)  # one NaN a sign, whatever its payload
    return minifloat_values(fmt, flat)


def quantize(x: NDArray[Any], fmt: Scalar, cast: Cast) -> NDArray[Any]:
    """x rounded to the format's values, float32 or float64 as x is, piece by piece so that codes stay in cache."""
    check_cast(fmt, cast)
    if isinstance(fmt, Minifloat) and fmt.bits > 32:
        _check_width(fmt)
        with np.errstate(over="ignore"):  # float64's largest number is no float32
            return _finite(widened(x), cast).astype(x.dtype)
    check_float64(fmt, "quantize")
    flat = np.ascontiguousarray(x).reshape(-1)
    out = np.empty(flat.size, x.dtype)
    codes = np.empty(min(PIECE, flat.size), code_dtype(fmt.bits))
    for start in range(0, flat.size, PIECE):
        piece = flat[start : start + PIECE]
        held = codes[: piece.size]
        if run(fmt, piece, cast, held, start) and fmt.nan_code is None:
            nan_codes(fmt, cast)
        decode_codes(fmt, held, out.dtype, out[start : start + PIECE])
    return out.reshape(x.shape)
