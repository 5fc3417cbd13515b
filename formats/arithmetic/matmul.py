"""Matrix products on formats: exact products, a stated accumulator, a stated order."""

from __future__ import annotations

from fractions import Fraction
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from formats.arithmetic.accumulate import (
    Accumulator,
    Chunked,
    Exact,
    FloatChain,
    Integer,
    Order,
    Sequential,
    product_range,
    product_ulp_exponent,
)
from formats.arithmetic.reference import chunks, register
from formats.block import Format, Scaled, Sum
from formats.cast import Cast
from formats.catalogue import get
from formats.codec import as_float, quantize
from formats.codec import decode as decode_encoded
from formats.encoded import Encoded
from formats.fixed_point import FixedPoint
from formats.minifloat import Minifloat
from formats.scalar import Scalar


def matmul(
    a: Any,
    b: Any,
    *,
    a_format: Format | str | None = None,
    b_format: Format | str | None = None,
    accumulator: Accumulator | None = None,
    order: Order | None = None,
    output: Minifloat | str | None = None,
) -> NDArray[Any]:
    """a @ b with both operands quantised to formats, every product exact, and the sum as the accumulator makes it.

    a: [..., M, K], b: [..., K, N], values or `Encoded`; leading axes broadcast. Values are quantised along K first,
        with the default cast; a_format and b_format may be left out for an Encoded, which has one.
    accumulator: Exact() (default), Integer(bits, overflow), FloatChain(format). order: Sequential() (default) or
        Chunked(size). Block-scaled operands are dequantised to float32 first, so an Integer register refuses them.
    output: float format the accumulated value is rounded to once; at most 50 trailing bits. None: the register as int64
        for Integer(64 or fewer) with two integer formats, the chain's own values for FloatChain, else float32.
    Returns [..., M, N]; an empty sum is zero.
    Raises ValueError for shapes that do not match, operands that are not finite under Exact or Integer, sums longer
        than Exact(max_terms), register overflow under Integer(overflow="error"), and products that do not fit.
    """
    how, sequence = Exact() if accumulator is None else accumulator, Sequential() if order is None else order
    target = _target(output, how)
    _check_kinds(how, sequence)
    left, fa = _operand(a, a_format, -1, "a")
    right, fb = _operand(b, b_format, -2, "b")
    if left.ndim < 2 or right.ndim < 2 or left.shape[-1] != right.shape[-2]:
        raise ValueError(f"matmul: a must be [..., M, K] and b [..., K, N], got {left.shape} and {right.shape}")
    try:
        batch = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    except ValueError:
        raise ValueError(f"matmul: leading axes must broadcast, got a {left.shape} and b {right.shape}") from None
    terms = left.shape[-1]
    if isinstance(how, Exact) and how.max_terms is not None and terms > how.max_terms:
        raise ValueError(f"matmul: {how} is a register for {how.max_terms} terms, got K = {terms}; raise max_terms")
    if isinstance(how, Integer) and (_scaled(a, a_format) or _scaled(b, b_format)):
        raise ValueError(
            f"matmul: block-scaled operands have no unit for {how} to count in; use Exact() or a FloatChain"
        )
    rows, columns = left.shape[-2], right.shape[-1]
    counts = _counts(fa, fb, how)
    out = np.zeros((*batch, rows, columns), np.int64 if counts else np.float64)
    products = prod(batch) if out.size and terms else 0
    lefts = np.broadcast_to(left, batch + left.shape[-2:]).reshape((prod(batch), *left.shape[-2:]))
    rights = np.broadcast_to(right, batch + right.shape[-2:]).reshape((prod(batch), *right.shape[-2:]))
    flat = out.reshape((prod(batch), rows, columns))
    for index in range(products):
        _product(
            np.ascontiguousarray(lefts[index]), np.ascontiguousarray(rights[index]), fa, fb, how, sequence, flat[index]
        )
    if not counts:
        return _finish(out, how, target)
    return out if target is None else _finish(np.ldexp(_odd(out), product_ulp_exponent(fa, fb)), how, target)


def _check_kinds(how: Any, order: Any) -> None:
    if not isinstance(how, Exact | Integer | FloatChain):
        raise TypeError(f"matmul: accumulator must be Exact(), Integer(bits) or FloatChain(format), got {how!r}")
    if not isinstance(order, Sequential | Chunked):
        raise TypeError(f"matmul: order must be Sequential() or Chunked(size), got {order!r}")


def _target(output: Minifloat | str | None, how: Accumulator) -> Minifloat | None:
    """The output format, if one was asked for."""
    if output is None:
        return None
    target = get(output)
    if not isinstance(target, Minifloat) or target.trailing_significand_bits > 50:
        # Sums arrive rounded to odd at 53 bits: rounding them again is exact up to 51.
        raise ValueError(f"matmul: output must be a float format of at most 50 trailing bits, got {output!r}")
    return target


def _scaled(x: Any, fmt: Format | str | None) -> bool:
    return isinstance(x.format if isinstance(x, Encoded) else get(fmt or "float32"), Scaled)


def _counts(fa: Scalar, fb: Scalar, how: Accumulator) -> bool:
    """Whether the result is a plain integer register."""
    return isinstance(how, Integer) and isinstance(fa, FixedPoint) and isinstance(fb, FixedPoint) and how.bits <= 64


def _operand(x: Any, fmt: Format | str | None, axis: int, name: str) -> tuple[NDArray[np.float64], Scalar]:
    """The operand's values as float64, exactly, and the scalar format they belong to."""
    if isinstance(x, Encoded):
        if fmt is not None and get(fmt) != x.format:
            raise ValueError(f"matmul: {name} is encoded as {x.format.name}, but {name}_format is {get(fmt).name}")
        description: Format = x.format
        values = decode_encoded(x, np.float32 if isinstance(description, Scaled | Sum) else np.float64)
    elif fmt is None:
        raise ValueError(f"matmul: {name} is an array, so {name}_format must name its format")
    else:
        description = get(fmt)
        values = quantize(as_float(x, "matmul"), description, axis)
    if isinstance(description, Scaled | Sum):
        float32 = get("float32")
        if not isinstance(float32, Minifloat):
            raise TypeError("matmul: float32 is a minifloat")
        return values.astype(np.float32).astype(np.float64), float32
    return values.astype(np.float64), description


def _product(
    a: NDArray[np.float64],
    b: NDArray[np.float64],
    fa: Scalar,
    fb: Scalar,
    how: Accumulator,
    order: Order,
    out: NDArray[Any],
) -> None:
    """One [M, K] x [K, N] product into out: register contents, or values as float64 (exact sums rounded to odd)."""
    if isinstance(how, FloatChain):
        _chain(a, b, fa, fb, how, order, out)
        return
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError(f"matmul: an operand holds infinity or NaN, which {how} cannot hold; use a FloatChain")
    if isinstance(how, Exact):
        _exact(a, b, fa, fb, out)
    else:
        _register(a, b, fa, fb, how, order, out)


def _size(order: Order, terms: int) -> int:
    return order.size if isinstance(order, Chunked) else max(terms, 1)


def _chain(
    a: NDArray[np.float64],
    b: NDArray[np.float64],
    fa: Scalar,
    fb: Scalar,
    how: FloatChain,
    order: Order,
    out: NDArray[np.float64],
) -> None:
    from formats.arithmetic import kernels

    fmt, size = how.format, _size(order, a.shape[1])
    low, high = product_range(fa, fb)
    ulp = product_ulp_exponent(fa, fb)
    _check_products(fa, fb, 53)
    if fmt == get("float32"):
        widest = _significant_bits(fa) + _significant_bits(fb)
        if widest <= 24 and ulp >= -149 and max(-low, high) < 2**127:
            single = np.empty(out.shape, np.float32)
            kernels.chain_float32(a.astype(np.float32), b.astype(np.float32), size, single)
            out[:] = single
            return
    top = float(fmt.max_finite)
    kernels.chain_float(a, b, size, fmt.trailing_significand_bits, fmt.min_exponent + 1023, top, out)


def _significant_bits(fmt: Scalar) -> int:
    """Significant bits of the widest value."""
    if isinstance(fmt, Minifloat):
        return fmt.trailing_significand_bits + 1
    if isinstance(fmt, FixedPoint):
        return max(fmt.max_integer.bit_length(), 1)
    return max((Fraction(float(v)).numerator.bit_length() for v in fmt.values()), default=1)


def _check_products(fa: Scalar, fb: Scalar, bits: int) -> None:
    """Refuse formats whose products have more significant bits than a path carries, or leave float64's normal range."""
    needed = _significant_bits(fa) + _significant_bits(fb)
    if needed > bits:
        raise ValueError(
            f"matmul: products of {fa.name} and {fb.name} have up to {needed} significant bits, this sum carries "
            f"{bits}; round a codebook's entries to float32, or use narrower formats"
        )
    low, high = product_range(fa, fb)
    if product_ulp_exponent(fa, fb) < -1000 or max(-low, high) >= Fraction(2) ** 1000:
        raise ValueError(f"matmul: products of {fa.name} and {fb.name} leave float64's range; use formats nearer to 1")


def _exact(a: NDArray[np.float64], b: NDArray[np.float64], fa: Scalar, fb: Scalar, out: NDArray[np.float64]) -> None:
    """The exact sum rounded to odd: by BLAS where every partial sum is a float64, in limbs elsewhere.

    BLAS may add in any order: all sums are multiples of the product's last place and below 2**53 of it, so every
    partial sum is exact and the order cannot matter.
    """
    from formats.arithmetic import kernels

    ulp = product_ulp_exponent(fa, fb)
    bound = _bound(a, b)
    if bound < Fraction(2) ** (53 + ulp) and ulp >= -1000:
        out[:] = a @ b + 0.0  # + 0.0: a sum of minus zeros is plus zero
        return
    _check_products(fa, fb, 48)
    limbs = (bound.numerator // bound.denominator).bit_length() - ulp
    kernels.exact_matmul(a, b, ulp, limbs // 32 + 4, out)


def _bound(a: NDArray[np.float64], b: NDArray[np.float64]) -> Fraction:
    """An upper bound on every partial sum's magnitude."""
    if a.size == 0 or b.size == 0:
        return Fraction(0)
    return Fraction(float(np.abs(a).max())) * Fraction(float(np.abs(b).max())) * int(a.shape[1])


def _register(
    a: NDArray[np.float64],
    b: NDArray[np.float64],
    fa: Scalar,
    fb: Scalar,
    how: Integer,
    order: Order,
    out: NDArray[Any],
) -> None:
    """A two's complement register in units of the product's last place."""
    from formats.arithmetic import kernels

    ulp = product_ulp_exponent(fa, fb)
    unit = Fraction(2) ** ulp
    low, high = -(2 ** (how.bits - 1)), 2 ** (how.bits - 1) - 1
    if how.bits <= 64 and _bound(a, b) / unit < 2**62:
        ia, ib = (np.ldexp(x, -f.ulp_exponent).astype(np.int64) for x, f in ((a, fa), (b, fb)))
        sums = np.empty(out.shape, np.int64)
        size = _size(order, a.shape[1])
        if kernels.chain_integer(ia, ib, size, low, high, how.overflow == "saturate", sums) and how.overflow == "error":
            raise ValueError(f"matmul: a partial sum leaves {how}'s range {low}..{high}; use a wider register")
        if how.overflow == "wrap" and how.bits < 63:  # wider registers hold every sum below 2**62
            sums = (sums - low) % 2**how.bits + low  # addition modulo 2**bits does not care when it is reduced
        out[:] = sums if out.dtype == np.int64 else np.ldexp(_odd(sums), ulp)
        return
    _register_wide(a, b, fa, fb, how, order, out)


def _odd(integers: NDArray[np.int64]) -> NDArray[np.float64]:
    """int64 to float64, rounded to odd."""
    near = integers.astype(np.float64)
    error = integers - near.astype(np.int64)
    bits = near.view(np.int64)
    step = np.where((error > 0) == (near > 0), 1, -1)
    return np.where((error != 0) & (bits & 1 == 0), bits + step, bits).view(np.float64)


def _register_wide(
    a: NDArray[np.float64],
    b: NDArray[np.float64],
    fa: Scalar,
    fb: Scalar,
    how: Integer,
    order: Order,
    out: NDArray[Any],
) -> None:
    """Registers beyond int64, in Python integers: the reference itself."""
    ua, ub = fa.ulp_exponent, fb.ulp_exponent
    ia = [[int(Fraction(float(v)) / Fraction(2) ** ua) for v in row] for row in a]
    ib = [[int(Fraction(float(v)) / Fraction(2) ** ub) for v in column] for column in b.T]
    runs = chunks(a.shape[1], order)
    for i, row in enumerate(ia):
        for j, column in enumerate(ib):
            parts = [register([row[k] * column[k] for k in run], 0, how) for run in runs]
            total = register(parts[1:], parts[0], how)
            out[i, j] = total if out.dtype == np.int64 else _to_odd(total, ua + ub)


def _to_odd(integer: int, exponent: int) -> float:
    """integer * 2**exponent as a float64 rounded to odd."""
    magnitude, drop = abs(integer), max(abs(integer).bit_length() - 53, 0)
    kept = magnitude >> drop
    if magnitude & ((1 << drop) - 1):
        kept |= 1
    return float(np.ldexp(float(-kept if integer < 0 else kept), exponent + drop))


def _finish(out: NDArray[np.float64], how: Accumulator, target: Minifloat | None) -> NDArray[Any]:
    """Round the accumulated value once to the output format. Sums rounded to odd make this the only rounding."""
    if target is None or target == get("float32"):
        with np.errstate(over="ignore"):
            return out.astype(np.float32)  # a chain's format is within float32: its own values stay
    rounded: NDArray[Any] = quantize(out, target, -1, Cast(overflow="overflow" if target.has_nan else "saturate"))
    return rounded.astype(np.float32) if target.bits <= 32 else rounded
