"""FixedPoint: integers, and integers with a binary point."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cache

from formats.exact import Dyadic, Value, whole


@dataclass(frozen=True, kw_only=True, slots=True)
class FixedPoint:
    """An integer of 1..16 bits times 2**-fraction_bits; two's complement when signed.

    symmetric: the most negative code (-2**(bits-1)) is not produced by an encoder, so that the range is
        +-(2**(bits-1) - 1); it still decodes. Needs a signed format of at least 2 bits. int1 is {-1, 0}.
    fraction_bits: position of the binary point (MXINT8 has 6). Source: two's complement; OCP MX v1.0 for MXINT8.
    """

    bits: int
    signed: bool = True
    symmetric: bool = False
    fraction_bits: int = 0

    def __post_init__(self) -> None:
        for field in ("bits", "fraction_bits"):
            object.__setattr__(self, field, whole("FixedPoint", field, getattr(self, field)))
        if not 1 <= self.bits <= 16:
            raise ValueError(f"FixedPoint: bits must be 1..16, got {self.bits}")
        if self.symmetric and (not self.signed or self.bits < 2):
            kind = "int" if self.signed else "uint"
            raise ValueError(f"FixedPoint: symmetric needs a signed format of 2..16 bits, got {kind}{self.bits}")
        if not -64 <= self.fraction_bits <= 64:
            raise ValueError(f"FixedPoint: fraction_bits must be within +-64, got {self.fraction_bits}")

    @property
    def name(self) -> str:
        """The name `formats.get` reads back as this very format."""
        stem = f"{'int' if self.signed else 'uint'}{self.bits}"
        fraction = f":f{self.fraction_bits}" if self.fraction_bits else ""
        return stem + (":symmetric" if self.symmetric else "") + fraction

    @property
    def min_integer(self) -> int:
        """Smallest integer an encoder produces."""
        return -(1 << (self.bits - 1)) + self.symmetric if self.signed else 0

    @property
    def max_integer(self) -> int:
        """Largest integer."""
        return (1 << (self.bits - self.signed)) - 1

    @property
    def has_nan(self) -> bool:
        """Integers have no NaN."""
        return False

    @property
    def has_infinity(self) -> bool:
        """Integers have no infinity."""
        return False

    @property
    def nan_code(self) -> None:
        """None: integers have no NaN."""
        return

    def value(self, code: int) -> Value:
        """Exact value of one code. Raises ValueError for a code outside 0..2**bits-1."""
        if not 0 <= code < 2**self.bits:
            raise ValueError(f"{self.name}: code {code} is outside 0..{2**self.bits - 1}")
        integer = code - 2**self.bits if self.signed and code >> (self.bits - 1) else code
        return Dyadic(integer < 0, abs(integer), -self.fraction_bits)

    def values(self) -> tuple[Value, ...]:
        """Exact value of every code, in code order."""
        return _values(self)

    @property
    def max_finite(self) -> Fraction:
        """The largest value."""
        return Fraction(self.max_integer) * Fraction(2) ** -self.fraction_bits

    @property
    def min_finite(self) -> Fraction:
        """The smallest value an encoder produces."""
        return Fraction(self.min_integer) * Fraction(2) ** -self.fraction_bits

    @property
    def min_positive(self) -> Fraction:
        """The step between neighbours (int1, {-1, 0}, has no positive value; the step is still 1)."""
        return Fraction(2) ** -self.fraction_bits

    @property
    def ulp_exponent(self) -> int:
        """Every value is a whole multiple of 2**ulp_exponent."""
        return -self.fraction_bits


@cache
def _values(fmt: FixedPoint) -> tuple[Value, ...]:
    return tuple(fmt.value(code) for code in range(2**fmt.bits))
