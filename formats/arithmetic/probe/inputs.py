"""Operands that tell accumulators apart: every distribution stresses another part of a sum."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from formats.arithmetic.operands import in_float32
from formats.cast import Cast
from formats.codec import decode_codes, quantize
from formats.minifloat import Minifloat
from formats.scalar import Scalar

DISTRIBUTIONS = ("mid", "narrow", "wide", "cancel", "tiny", "sparse", "powers", "edge", "ends")


def draw(
    name: str, a: Scalar, b: Scalar, shape: tuple[int, int, int], rng: np.random.Generator, largest: float = np.inf
) -> tuple[NDArray[Any], NDArray[Any]]:
    """A [m, k] and B [k, n] of finite values of the formats, float64 unless float32 holds both.

    "mid": normal, over a few binades; "narrow": one binade; "wide": all codes; "cancel": pairs that nearly cancel;
    "tiny": the bottom of the range; "sparse": mostly zeros, the rest anywhere; "powers": powers of two with a bit or
    two behind them; "edge": products about the smallest subnormal of float32, or of float16, where a floor of the
    alignment shows; "ends": the largest and smallest values of the formats and zero, so that sums overflow. largest:
    bound on the magnitude of any sum of products.
    """
    m, k, n = shape
    if name == "edge":
        centre = int(rng.choice([-76, -16]))
        left, right = (_at(fmt, (rows, k), centre, rng) for fmt, rows in ((a, m), (b, n)))
    else:
        left, right = _one(name, a, (m, k), rng), _one(name, b, (n, k), rng)
    if name == "cancel" and k > 1:
        half = k // 2
        place = rng.permutation(k)
        left[:, place[:half]] = -left[:, place[half : 2 * half]]
        right[:, place[:half]] = right[:, place[half : 2 * half]]
        last = rng.integers(0, k, max(k // 8, 1))
        left[:, last] = _one("mid", a, (m, last.size), rng)
    top = [max(float(np.abs(x).max()), 1e-300) for x in (left, right)]
    while top[0] * top[1] * k > largest:
        which = int(top[1] > top[0])
        if which:
            right = _fit(right / 4, b)
        else:
            left = _fit(left / 4, a)
        top[which] /= 4
    dtype = np.float32 if in_float32(a) and in_float32(b) else np.float64
    return left.astype(dtype), np.ascontiguousarray(right.T).astype(dtype)


def _one(name: str, fmt: Scalar, shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float64]:
    if name == "wide":
        return _codes(fmt, shape, rng)
    if name == "sparse":
        x = _codes(fmt, shape, rng)
        return np.where(rng.random(shape) < 0.6, rng.choice([0.0, -0.0], shape), x)
    if name == "ends":
        least = float(getattr(fmt, "min_positive", 2.0**fmt.ulp_exponent))
        ends = [float(fmt.min_finite), float(fmt.max_finite), float(fmt.max_finite) / 2, least, 0.0]
        return _fit(rng.choice(ends, shape, p=(0.3, 0.3, 0.2, 0.1, 0.1)), fmt)
    sign = rng.choice([-1.0, 1.0], shape)
    if name == "powers":
        x = 2.0 ** rng.integers(-12, 9, shape) * (1 + 2.0 ** -rng.integers(1, 12, shape) * rng.integers(0, 2, shape))
    elif name == "narrow":
        x = 1 + rng.random(shape)
    elif name == "tiny":
        low, precision = _bottom(fmt)
        x = np.ldexp(rng.random(shape), low + rng.integers(0, precision + 6, shape))
    else:
        x = np.abs(rng.standard_normal(shape)) * 2.0 ** rng.integers(-6, 5, shape)
    return _fit(sign * x, fmt)


def _at(fmt: Scalar, shape: tuple[int, int], place: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Values a few binades about 2**place, most of a row in one binade."""
    row = rng.integers(place - 5, place + 6, (shape[0], 1)) + rng.integers(-1, 2, shape) * (rng.random(shape) < 0.3)
    return _fit(rng.choice([-1.0, 1.0], shape) * (1 + rng.random(shape)) * 2.0**row, fmt)


def _bottom(fmt: Scalar) -> tuple[int, int]:
    if isinstance(fmt, Minifloat):
        return max(fmt.min_exponent - fmt.trailing_significand_bits, -1070), fmt.trailing_significand_bits + 1
    return fmt.ulp_exponent, 2


def _fit(x: NDArray[np.float64], fmt: Scalar) -> NDArray[np.float64]:
    if not getattr(fmt, "signed", True):
        x = np.abs(x)
    return np.asarray(quantize(x, fmt, cast=Cast(rounding="toward_zero")), np.float64)


def _codes(fmt: Scalar, shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float64]:
    """Values of random codes; what is no finite number becomes zero."""
    codes = rng.integers(0, 2**fmt.bits, shape, dtype=np.uint64)
    small = codes.astype(np.uint32 if fmt.bits > 16 else np.uint16 if fmt.bits > 8 else np.uint8)
    x = np.asarray(decode_codes(fmt, small, np.float64))
    return np.where(np.isfinite(x), x, 0.0)
