"""Accumulators and reduction orders: how K exact products become one number."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from formats.catalogue import get
from formats.exact import whole
from formats.minifloat import Minifloat
from formats.scalar import Scalar


@dataclass(frozen=True, slots=True)
class Exact:
    """The exact sum, rounded once to the output format. The order of the terms does not matter.

    max_terms: the longest sum the hardware's register is built for, or None where no register is meant.
    """

    max_terms: int | None = None

    def __post_init__(self) -> None:
        if self.max_terms is not None:
            object.__setattr__(self, "max_terms", whole("Exact", "max_terms", self.max_terms))
        if self.max_terms is not None and self.max_terms < 1:
            raise ValueError(f"Exact: max_terms must be at least 1, got {self.max_terms}")


@dataclass(frozen=True, slots=True)
class Integer:
    """A two's complement register of `bits` bits, counting in units of ulp(a) * ulp(b), the product's last place.

    For integers these are plain integers; for minifloats it is a fixed-point (Kulisch) register of stated width.
    overflow: "wrap" (modulo 2**bits), "saturate" (clamped after every addition), or "error" (ValueError).
    """

    bits: int
    overflow: Literal["wrap", "saturate", "error"] = "wrap"

    def __post_init__(self) -> None:
        object.__setattr__(self, "bits", whole("Integer", "bits", self.bits))
        if not 2 <= self.bits <= 1024:
            raise ValueError(f"Integer: bits must be 2..1024, got {self.bits}")
        if self.overflow not in ("wrap", "saturate", "error"):
            raise ValueError(f"Integer: overflow must be wrap, saturate or error, got {self.overflow!r}")


@dataclass(frozen=True, slots=True)
class FloatChain:
    """acc = round(acc + a*b), term after term: a fused multiply-add with an exact product and one rounding a step.

    format: a signed Minifloat with infinity, or its name; up to 24 bits of precision. Rounds to nearest, ties to even;
        overflow gives infinity. Starts from +0.
    """

    format: Minifloat

    def __init__(self, format: Minifloat | str = "float32") -> None:
        fmt = get(format)
        if not isinstance(fmt, Minifloat) or not (fmt.signed and fmt.has_infinity and fmt.has_nan and fmt.subnormals):
            raise ValueError(
                f"FloatChain: needs a signed float format with infinity, NaN and subnormals, got {format!r}"
            )
        within = fmt.ulp_exponent >= -149 and fmt.max_finite < 2**128
        if fmt.trailing_significand_bits > 23 or fmt.exponent_bits > 8 or not within:
            raise ValueError(
                f"FloatChain: every value must be a float32 (8 exponent, 23 trailing bits), got {fmt.name}"
            )
        object.__setattr__(self, "format", fmt)

    def __repr__(self) -> str:
        return f"FloatChain({self.format.name!r})"


Accumulator = Exact | Integer | FloatChain


@dataclass(frozen=True, slots=True)
class Sequential:
    """One chain from k = 0 to K - 1."""


@dataclass(frozen=True, slots=True)
class Chunked:
    """Chains of `size` consecutive k, each from zero; the chains' results are then added in ascending order.

    The first chunk's result is the starting total, each later one is one addition by the same accumulator.
    """

    size: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", whole("Chunked", "size", self.size))
        if self.size < 1:
            raise ValueError(f"Chunked: size must be at least 1, got {self.size}")


Order = Sequential | Chunked


def product_ulp_exponent(a: Scalar, b: Scalar) -> int:
    """Every product of finite values of a and b is a whole multiple of 2**this."""
    return a.ulp_exponent + b.ulp_exponent


def product_range(a: Scalar, b: Scalar) -> tuple[Fraction, Fraction]:
    """Smallest and largest product of values an encoder of a and an encoder of b produce."""
    corners = [x * y for x in (a.min_finite, a.max_finite) for y in (b.min_finite, b.max_finite)]
    return min(corners), max(corners)


def accumulator_bits(a: Scalar | str, b: Scalar | str, accumulator: Accumulator) -> int:
    """Width of the register in bits.

    Exact(max_terms=n): the narrowest two's complement register, in units of the product's last place, that holds every
    sum of n products. It follows from the formats' extremes; one more bit for the sign and none for luck.
    Raises ValueError for Exact() without max_terms: such a register has no width.
    """
    fa, fb = get(a), get(b)
    if not (isinstance(fa, Scalar) and isinstance(fb, Scalar)):
        raise ValueError(f"accumulator_bits: needs scalar formats, got {fa!r} and {fb!r}; pass their elements")
    if isinstance(accumulator, Integer):
        return accumulator.bits
    if isinstance(accumulator, FloatChain):
        return accumulator.format.bits
    if accumulator.max_terms is None:
        raise ValueError("accumulator_bits: Exact() has no width; pass Exact(max_terms=...)")
    unit = Fraction(2) ** product_ulp_exponent(fa, fb)
    low, high = (int(corner / unit) * accumulator.max_terms for corner in product_range(fa, fb))
    return 1 + max(high.bit_length(), (-low - 1).bit_length() if low < 0 else 0)
