"""What every multiplier offers, and the two that multiply: exactly, and rounded to a format."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from formats.cast import Cast, Overflow, Rounding
from formats.catalogue import get
from formats.exact import Dyadic, Special, Value
from formats.minifloat import Minifloat
from formats.reference import encode_value
from formats.scalar import Scalar

_INFINITIES = (Special.POSITIVE_INFINITY, Special.NEGATIVE_INFINITY)


@runtime_checkable
class Multiplier(Protocol):
    """One product of a value of format a and a value of format b."""

    def check(self, a: Scalar, b: Scalar) -> None:
        """Raise ValueError where the multiplier does not take operands of these formats."""

    def product(self, x: Value, y: Value, a: Scalar, b: Scalar) -> Value:
        """The meaning: one exact product of exact values. Slow."""

    def products(self, x: NDArray[np.float64], y: NDArray[np.float64], a: Scalar, b: Scalar) -> NDArray[np.float64]:
        """The same, broadcast over arrays of values; every product must be a float64, or the multiplier refuses it."""

    def output(self, a: Scalar, b: Scalar) -> tuple[int, int]:
        """(significant bits, last place): every finite product is a multiple of 2**(last place) and has at most that
        many significant bits. What accumulators need to know of products."""


def multiply(x: Value, y: Value) -> Value:
    """x * y exactly, the sign of a zero included; inf * 0 is NaN (IEEE 754-2019, 6 and 7.2)."""
    if x is Special.NAN or y is Special.NAN:
        return Special.NAN
    if isinstance(x, Dyadic) and isinstance(y, Dyadic):
        return Dyadic(x.negative != y.negative, x.significand * y.significand, x.exponent + y.exponent)
    if any(isinstance(v, Dyadic) and v.significand == 0 for v in (x, y)):
        return Special.NAN
    negative = _negative(x) != _negative(y)
    return Special.NEGATIVE_INFINITY if negative else Special.POSITIVE_INFINITY


def _negative(x: Value) -> bool:
    return x.negative if isinstance(x, Dyadic) else x is Special.NEGATIVE_INFINITY


def significant_bits(fmt: Scalar) -> int:
    """Significant bits of the widest value."""
    if isinstance(fmt, Minifloat):
        return fmt.trailing_significand_bits + 1
    largest = max(abs(fmt.min_finite), abs(fmt.max_finite))
    if fmt.bits > 16 or not hasattr(fmt, "values"):
        return int(largest / _unit(fmt)).bit_length()
    wide = (
        v.significand >> ((v.significand & -v.significand).bit_length() - 1)
        for v in fmt.values()
        if isinstance(v, Dyadic) and v.significand
    )
    return max((w.bit_length() for w in wide), default=1)


def _unit(fmt: Scalar) -> Any:
    from fractions import Fraction

    return Fraction(2) ** fmt.ulp_exponent


@dataclass(frozen=True, slots=True)
class ExactProduct:
    """a * b, with all its bits."""

    def check(self, a: Scalar, b: Scalar) -> None:
        """Takes every scalar format; sums refuse those with more bits together than they carry."""

    def product(self, x: Value, y: Value, a: Scalar, b: Scalar) -> Value:
        return multiply(x, y)

    def products(self, x: NDArray[np.float64], y: NDArray[np.float64], a: Scalar, b: Scalar) -> NDArray[np.float64]:
        with np.errstate(invalid="ignore", over="ignore"):
            result: NDArray[np.float64] = x * y
        return result

    def output(self, a: Scalar, b: Scalar) -> tuple[int, int]:
        return significant_bits(a) + significant_bits(b), a.ulp_exponent + b.ulp_exponent


@dataclass(frozen=True, slots=True)
class RoundedProduct:
    """a * b rounded to a format before it is added, as multipliers do whose output has fewer bits than the product."""

    format: Minifloat
    rounding: Rounding
    overflow: Overflow

    def __init__(
        self, format: Minifloat | str, rounding: Rounding = "ties_to_even", overflow: Overflow = "overflow"
    ) -> None:
        fmt = get(format)
        if not isinstance(fmt, Minifloat) or fmt.trailing_significand_bits > 23 or fmt.exponent_bits > 8:
            raise ValueError(
                f"RoundedProduct: needs a float format within float32 (8 exponent, 23 trailing bits), got {format!r}"
            )
        cast = Cast(rounding=rounding, overflow=overflow)
        if cast.stochastic:
            raise ValueError(
                f"RoundedProduct: products have no place of their own to draw random bits from, got {rounding!r}; "
                "use a deterministic rounding, or a FloatChain with a stochastic one"
            )
        object.__setattr__(self, "format", fmt)
        object.__setattr__(self, "rounding", cast.rounding)
        object.__setattr__(self, "overflow", cast.overflow)

    @property
    def cast(self) -> Cast:
        return Cast(rounding=self.rounding, overflow=self.overflow)

    def __repr__(self) -> str:
        usual = {"rounding": "ties_to_even", "overflow": "overflow"}
        changed = "".join(f", {k}={getattr(self, k)!r}" for k, v in usual.items() if getattr(self, k) != v)
        return f"RoundedProduct({self.format.name!r}{changed})"

    def check(self, a: Scalar, b: Scalar) -> None:
        if significant_bits(a) + significant_bits(b) > 53:
            raise ValueError(
                f"RoundedProduct: products of {a.name} and {b.name} have more than the 53 significant bits a float64 "
                "carries; use narrower operands"
            )

    def product(self, x: Value, y: Value, a: Scalar, b: Scalar) -> Value:
        return self.format.value(encode_value(self.format, multiply(x, y), self.cast))

    def products(self, x: NDArray[np.float64], y: NDArray[np.float64], a: Scalar, b: Scalar) -> NDArray[np.float64]:
        from formats.codec import quantize

        with np.errstate(invalid="ignore", over="ignore"):
            exact = x * y
        return np.asarray(quantize(exact, self.format, cast=self.cast), np.float64)

    def output(self, a: Scalar, b: Scalar) -> tuple[int, int]:
        return self.format.trailing_significand_bits + 1, self.format.ulp_exponent
