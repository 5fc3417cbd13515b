"""Posit: tapered floating point, its exponent written in unary and binary."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cache

from formats.exact import Dyadic, Special, Value, whole


@dataclass(frozen=True, kw_only=True, slots=True)
class Posit:
    """Posits of `bits` bits with `es` exponent bits.

    A code is a two's complement integer. Zero is zero, the most negative one is NaR ("not a real", here NaN); of the
    rest the magnitude reads: a run of k equal bits ended by the other one (regime r = k - 1 for ones, -k for zeros), up
    to es bits of exponent e (missing ones are zero), then the fraction f. Its value is 2**(r * 2**es + e) * (1 + f).

    bits: 2..16.  es: 0..4; the standard's posits have 2, its early drafts had posit8 with 0 and posit16 with 1.
    Nearest rounding is on the bit string: between two codes lies one posit of one more bit; reals below it go to the
    lower value, reals above it to the upper one, and it itself to the even code. No real becomes zero or NaR by it:
    beyond the largest or below the smallest magnitude it stays at that magnitude, under every overflow policy.
    Directed, odd and stochastic roundings go by value, and may give zero.
    Source: Standard for Posit Arithmetic (2022), sections 3 and 4.
    """

    bits: int
    es: int = 2

    def __post_init__(self) -> None:
        for field, low, high in (("bits", 2, 16), ("es", 0, 4)):
            number = whole("Posit", field, getattr(self, field))
            object.__setattr__(self, field, number)
            if not low <= number <= high:
                raise ValueError(f"Posit: {field} must be {low}..{high}, got {number}")

    @property
    def name(self) -> str:
        """The name `formats.get` reads back as this very format."""
        return f"posit{self.bits}es{self.es}"

    @property
    def signed(self) -> bool:
        """Posits have a sign."""
        return True

    @property
    def has_nan(self) -> bool:
        """NaR stands for NaN."""
        return True

    @property
    def has_infinity(self) -> bool:
        """Posits have no infinity."""
        return False

    @property
    def nan_code(self) -> int:
        """NaR."""
        return 1 << (self.bits - 1)

    @property
    def finite_overflows(self) -> bool:
        """False: a finite real stays at the ends of the range, it never becomes NaR."""
        return False

    def value(self, code: int) -> Value:
        """Exact value of one code. Raises ValueError for a code outside 0..2**bits-1."""
        if not 0 <= code < 2**self.bits:
            raise ValueError(f"{self.name}: code {code} is outside 0..{2**self.bits - 1}")
        return _value(code, self.bits, self.es)

    def values(self) -> tuple[Value, ...]:
        """Exact value of every code, in code order."""
        return _values(self)

    def cut(self, lower_code: int, upper_code: int) -> tuple[Fraction, bool]:
        """Where nearest rounding changes from a value to the next one above, and whether that real stays below.

        Between two codes lies one posit of one more bit. Beside zero it would be a power of two that rounds to zero;
        there zero owns itself alone.
        """
        if lower_code == 0 or upper_code == 0:
            return Fraction(0), lower_code == 0
        between = _value(2 * lower_code + 1, self.bits + 1, self.es)
        assert isinstance(between, Dyadic)  # NaR of one more bit has an even code
        return between.fraction, lower_code % 2 == 0

    @property
    def max_finite(self) -> Fraction:
        """The largest value, 2**(2**es * (bits - 2))."""
        return Fraction(1 << (2**self.es * (self.bits - 2)))

    @property
    def min_finite(self) -> Fraction:
        """The most negative value."""
        return -self.max_finite

    @property
    def min_positive(self) -> Fraction:
        """The smallest value above zero, 1 / max_finite."""
        return 1 / self.max_finite

    @property
    def ulp_exponent(self) -> int:
        """Every value is a whole multiple of 2**ulp_exponent."""
        return -(1 << self.es) * (self.bits - 2)


def _value(code: int, bits: int, es: int) -> Value:
    """The value of a posit code of any width."""
    if code == 0:
        return Dyadic(False, 0, 0)
    if code == 1 << (bits - 1):
        return Special.NAN
    negative = bool(code >> (bits - 1))
    body, width = (1 << bits) - code if negative else code, bits - 1  # what follows the sign
    ones = bool(body >> (width - 1))
    run = width - (body ^ ((1 << width) - 1 if ones else 0)).bit_length()
    left = max(width - run - 1, 0)  # bits after the run and the bit that ends it
    fraction_bits = max(left - es, 0)
    rest = body & ((1 << left) - 1)
    field = rest >> fraction_bits << (es - (left - fraction_bits))
    fraction = rest & ((1 << fraction_bits) - 1)
    exponent = (run - 1 if ones else -run) * 2**es + field
    return Dyadic(negative, (1 << fraction_bits) + fraction, exponent - fraction_bits)


@cache
def _values(fmt: Posit) -> tuple[Value, ...]:
    return tuple(fmt.value(code) for code in range(2**fmt.bits))
