"""Operands of a matrix product: arrays or `Encoded`, read as values of a scalar format, blocks' scales beside them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from formats.block import Format, Scaled, Sum
from formats.cast import Cast
from formats.catalogue import get
from formats.codec import as_float, decode, encode, quantize
from formats.encoded import Encoded
from formats.minifloat import Minifloat
from formats.scalar import Scalar

NEAR = 2.0**-22  # two last places of a float32
_PIECE = 2**16  # elements checked at a time


@dataclass(frozen=True, slots=True)
class Operand:
    """values [..., M, K] or [..., K, N] of a scalar format, float32 where float32 holds all of the format's values.

    description: the format asked for, of which a block-scaled one is dequantised (`scalar` is then float32).
    encoded: codes and scales of a block-scaled operand, for scalings that need them apart; None for scalars.
    """

    values: NDArray[Any]
    scalar: Scalar
    description: Format
    encoded: Encoded | None


def operand(x: Any, fmt: Format | str | None, axis: int, name: str, quantise: bool | Cast, parts: bool) -> Operand:
    """Read an operand whose axis `axis` is summed over. parts: whether codes and scales are needed apart."""
    if isinstance(x, Encoded):
        if fmt is not None and get(fmt) != x.format:
            raise ValueError(f"matmul: {name} is encoded as {x.format.name}, but {name}_format is {get(fmt).name}")
        description: Format = x.format
        along = x.axis - len(x.shape) if x.axis >= 0 else x.axis
        if isinstance(description, Scaled) and along != axis and len(x.shape) > 1:
            raise ValueError(
                f"matmul: the blocks of {name} ({description.name}) lie along axis {x.axis} of {x.shape}; the product "
                f"sums over axis {axis}: encode with axis={axis}"
            )
        wide = isinstance(description, Scaled | Sum) or in_float32(description)
        values = decode(x, np.float32 if wide else np.float64)
        encoded: Encoded | None = x if isinstance(description, Scaled) else None
    elif fmt is None:
        raise ValueError(f"matmul: {name} is an array, so {name}_format must name its format")
    else:
        description = get(fmt)
        values, encoded = _values(x, description, axis, name, quantise, parts)
    scalar = get("float32") if isinstance(description, Scaled | Sum) else description
    assert not isinstance(scalar, Scaled | Sum)
    dtype = np.float32 if in_float32(scalar) else np.float64
    return Operand(values.astype(dtype, copy=False), scalar, description, encoded)


def _values(
    x: Any, fmt: Format, axis: int, name: str, quantise: bool | Cast, parts: bool
) -> tuple[NDArray[Any], Encoded | None]:
    """The array's values in the format: checked, or quantised where that was asked for."""
    array = _floats(x, fmt, name)
    cast = quantise if isinstance(quantise, Cast) else Cast(overflow="saturate" if quantise else "saturate_finite")
    if isinstance(fmt, Scaled) and parts:
        encoded = encode(array, fmt, axis, cast)
        values = decode(encoded, array.dtype)
        return _checked(array, values, fmt, name, quantise, True), encoded
    if quantise is False and _has_minus_zero(fmt) and array.flags.c_contiguous and _all_held(array, fmt, cast):
        return array, None
    return _checked(array, quantize(array, fmt, axis, cast), fmt, name, quantise), None


def _floats(x: Any, fmt: Format, name: str) -> NDArray[Any]:
    """An array as floats; integers too, where floats hold them all."""
    try:
        given = np.asarray(x)
    except ValueError:
        raise ValueError(
            f"matmul: {name} must be an array of numbers, got {type(x).__name__} of unequal lengths"
        ) from None
    if given.dtype.kind not in "iu":
        return as_float(x, "matmul", name)
    if given.size and max(int(given.max()), -int(given.min())) > 2**53:
        raise ValueError(f"matmul: integers beyond 2**53 are no values of {fmt.name} a float64 holds; pass floats")
    return given.astype(np.float32 if given.dtype.itemsize <= 2 else np.float64)


@cache
def _has_minus_zero(fmt: Format) -> bool:
    """Whether quantising changes no value's sign, so that an array of values of the format is its own quantisation."""
    return isinstance(fmt, Minifloat) and bool(np.signbit(quantize(np.float32(-0.0), fmt)))


def _all_held(array: NDArray[Any], fmt: Format, cast: Cast) -> bool:
    """Whether every element is a value of the scalar format, a cache-sized piece after another."""
    flat = array.reshape(-1)
    pieces = (flat[begin : begin + _PIECE] for begin in range(0, flat.size, _PIECE))
    return all(np.array_equal(quantize(piece, fmt, -1, cast), piece, equal_nan=True) for piece in pieces)


def _checked(
    array: NDArray[Any], values: NDArray[Any], fmt: Format, name: str, quantise: bool | Cast, parts: bool = False
) -> NDArray[Any]:
    """What quantising made of the array, where that is asked for or changes nothing.

    A scale of scales is found anew from the array, and may come out as the next float32: under such formats values two
    last places away are held too, and taken as they are given, unless the scales themselves are needed (`parts`).
    """
    if quantise is not False:
        return values
    changed = (values != array) & ~(np.isnan(values) & np.isnan(array))
    if changed.any():
        if (
            scales_of_scales(fmt)
            and not parts
            and bool((np.abs(values - array) <= NEAR * np.abs(array))[changed].all())
        ):
            return array
        where = tuple(int(i) for i in np.argwhere(changed)[0])
        raise ValueError(
            f"matmul: {name}{list(where)} is {float(array[where])!r}, which {fmt.name} does not hold (the nearest is "
            f"{float(values[where])!r}); {as_asked(fmt, name)}"
        )
    return values


def as_asked(fmt: Format, name: str) -> str:
    """What to pass where an array's values are not of the format."""
    if scales_of_scales(fmt):
        return f"pass quantize=True (or a Cast), or {name} encoded by formats.encode, which keeps the scales it found"
    return f"pass quantize=True (or a Cast), or {name} quantised by formats.quantize"


def scales_of_scales(fmt: Format) -> bool:
    """Whether scales have a scale in their turn, which depends on the array as a whole."""
    return isinstance(fmt, Scaled) and isinstance(fmt.scale.format, Scaled)


@cache
def in_float32(fmt: Scalar) -> bool:
    """Whether float32 holds every value of the format."""
    if isinstance(fmt, Minifloat):
        return fmt.trailing_significand_bits <= 23 and fmt.ulp_exponent >= -149 and fmt.max_finite < 2**128
    largest = max(abs(fmt.min_finite), abs(fmt.max_finite))
    if fmt.ulp_exponent < -149 or largest >= 2**128:
        return False
    if fmt.bits <= 16:
        from formats.exact import Dyadic

        numbers = [v for v in fmt.values() if isinstance(v, Dyadic)]
        return all(_odd_part(v.significand).bit_length() <= 24 for v in numbers)
    from fractions import Fraction

    return largest <= Fraction(2) ** (24 + fmt.ulp_exponent)


def _odd_part(significand: int) -> int:
    return significand >> ((significand & -significand).bit_length() - 1) if significand else 0
