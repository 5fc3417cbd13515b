"""Minifloat: every small binary floating-point format, as six numbers and three words."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Literal

from formats.exact import Dyadic, Special, Value, whole

Specials = Literal["ieee", "fn", "fnuz", "extended", "none"]
_SPECIALS = ("ieee", "fn", "fnuz", "extended", "none")
MAX_BIAS = 2**16


@dataclass(frozen=True, kw_only=True, slots=True)
class Minifloat:
    """A binary floating-point format of 1 + exponent_bits + trailing_significand_bits bits (one less when unsigned).

    A code reads sign | exponent field e | trailing field t, and with M = trailing_significand_bits is worth
    t * 2**(1 - bias - M) where e = 0 (subnormal) and (2**M + t) * 2**(e - bias - M) elsewhere.

    exponent_bits: 1..16.  trailing_significand_bits: 0..52.  bias: within +-65536; None takes
        2**(exponent_bits - 1) - 1, and one more for "fnuz" and "extended", as ml_dtypes and P3109 have it. Values that
        float64 cannot hold are exact here (`value`, `values`) and refused by what returns floats.
    subnormals=False: codes with e = 0 are normal numbers too, except the zero code (the convention of gfloat).
    zero=False: the all-zero code is a number like its neighbours (E8M0); needs subnormals=False.
    specials: "ieee" (e all ones: infinity for t = 0, NaN elsewhere), "fn" (only the all-ones magnitude is NaN, no
        infinity), "fnuz" (the code of minus zero is the only NaN, no infinity, no minus zero), "extended" (IEEE P3109
        with infinities; signed: "fnuz" with infinity for the all-ones magnitude; unsigned: the all-ones code is NaN,
        the one below it infinity), "none".
    ties: "even", or "up" for the one format (E8M0) whose nearest rounding sends ties up.
    Source: OFP8 v1.0 and IEEE 754-2019 for the two readings of a code; ml_dtypes for the names of the specials; the
    interim report of IEEE P3109 (3.2, March 2026) for "extended".
    """

    exponent_bits: int
    trailing_significand_bits: int
    bias: int | None = None
    signed: bool = True
    subnormals: bool = True
    zero: bool = True
    specials: Specials = "ieee"
    ties: Literal["even", "up"] = "even"

    def __post_init__(self) -> None:
        for field in ("exponent_bits", "trailing_significand_bits", *(() if self.bias is None else ("bias",))):
            object.__setattr__(self, field, whole("Minifloat", field, getattr(self, field)))
        if not 1 <= self.exponent_bits <= 16:
            raise ValueError(f"Minifloat: exponent_bits must be 1..16, got {self.exponent_bits}")
        if not 0 <= self.trailing_significand_bits <= 52:
            raise ValueError(
                f"Minifloat: trailing_significand_bits must be 0..52, got {self.trailing_significand_bits}"
            )
        if self.specials not in _SPECIALS:
            raise ValueError(f"Minifloat: specials must be one of {', '.join(_SPECIALS)}, got {self.specials!r}")
        if self.ties not in ("even", "up"):
            raise ValueError(f"Minifloat: ties must be 'even' or 'up', got {self.ties!r}")
        if not self.zero and self.subnormals:
            raise ValueError("Minifloat: a format without zero has no subnormals; pass subnormals=False")
        if self.specials == "fnuz" and not self.signed:
            raise ValueError(
                "Minifloat: specials='fnuz' puts NaN on the code of minus zero; an unsigned format has none"
            )
        if self.specials == "fnuz" and not self.zero:
            raise ValueError("Minifloat: specials='fnuz' takes the code of minus zero for NaN; it needs zero=True")
        if self.specials == "extended" and not self.zero:
            raise ValueError("Minifloat: specials='extended' is IEEE P3109's, whose formats have a zero")
        if self.bias is None:
            default = 2 ** (self.exponent_bits - 1) - (0 if self.specials in ("fnuz", "extended") else 1)
            object.__setattr__(self, "bias", default)
        if not -MAX_BIAS <= self._bias <= MAX_BIAS:
            raise ValueError(f"Minifloat: bias must be within +-{MAX_BIAS}, got {self.bias}")
        if self.max_magnitude_code < 1:
            raise ValueError(f"Minifloat: no finite non-zero value is left in {self!r}")

    @property
    def _bias(self) -> int:
        return self.bias if self.bias is not None else 0  # never None once constructed

    @property
    def bits(self) -> int:
        """Width of a code."""
        return self.magnitude_bits + self.signed

    @property
    def magnitude_bits(self) -> int:
        """Width of a code without its sign bit."""
        return self.exponent_bits + self.trailing_significand_bits

    @property
    def name(self) -> str:
        """The name `formats.get` reads back as this very format."""
        from formats.catalogue import minifloat_name

        return minifloat_name(self)

    @property
    def min_exponent(self) -> int:
        """Exponent of the smallest normal binade, 1 - bias (-bias where the format has no subnormals)."""
        return (1 if self.subnormals else 0) - self._bias

    @property
    def max_magnitude_code(self) -> int:
        """The code of the largest finite magnitude."""
        top = (1 << self.magnitude_bits) - 1
        if self.specials == "ieee":
            return top - (1 << self.trailing_significand_bits)
        if self.specials == "extended":
            return top - 1 if self.signed else top - 2
        return top - 1 if self.specials == "fn" else top

    @property
    def has_minus_zero(self) -> bool:
        """Whether zero has two codes."""
        return self.signed and self.zero and self.specials not in ("fnuz", "extended")

    @property
    def has_two_nans(self) -> bool:
        """Whether NaN has a sign."""
        return self.signed and self.specials in ("ieee", "fn")

    @property
    def exceeds_float64(self) -> bool:
        """Whether some finite value is no float64."""
        return self.max_exponent > 1023 or self.ulp_exponent < -1074

    @property
    def max_exponent(self) -> int:
        """Exponent of the largest finite value's binade."""
        field = self.max_magnitude_code >> self.trailing_significand_bits
        return max(field, 1 if self.subnormals else 0) - self._bias

    @property
    def has_infinity(self) -> bool:
        """Whether a code stands for infinity."""
        return self.specials in ("ieee", "extended")

    @property
    def has_nan(self) -> bool:
        """Whether a code stands for NaN ("ieee" without trailing bits has only the infinity)."""
        ieee_nan = self.specials == "ieee" and self.trailing_significand_bits > 0
        return self.specials in ("fn", "fnuz", "extended") or ieee_nan

    @property
    def nan_code(self) -> int | None:
        """The canonical (quiet) NaN code with a clear sign bit, or None. As ml_dtypes writes it."""
        if not self.has_nan:
            return None
        if self.specials == "fnuz" or (self.specials == "extended" and self.signed):
            return 1 << self.magnitude_bits
        if self.specials in ("fn", "extended"):
            return (1 << self.magnitude_bits) - 1
        return self.max_magnitude_code + 1 + (1 << (self.trailing_significand_bits - 1))

    @property
    def infinity_code(self) -> int | None:
        """The code of plus infinity, or None."""
        return self.max_magnitude_code + 1 if self.has_infinity else None

    def magnitude(self, ordinal: int) -> Dyadic:
        """Exact value of the magnitude code `ordinal` read as a finite number; also beyond the top code.

        The lattice goes on above the largest code with the same spacing rule, which is what "rounded with unbounded
        exponent" means.
        """
        m = self.trailing_significand_bits
        field, trailing = ordinal >> m, ordinal & (2**m - 1)
        if ordinal == 0 and self.zero:
            return Dyadic(False, 0, 0)
        if field == 0 and self.subnormals:
            return Dyadic(False, trailing, 1 - self._bias - m)
        return Dyadic(False, 2**m + trailing, field - self._bias - m)

    def value(self, code: int) -> Value:
        """Exact value of one code. Raises ValueError for a code outside 0..2**bits-1."""
        if not 0 <= code < 2**self.bits:
            raise ValueError(f"{self.name}: code {code} is outside 0..{2**self.bits - 1}")
        negative, ordinal = bool(code >> self.magnitude_bits), code & (2**self.magnitude_bits - 1)
        if code == self.nan_code:
            return Special.NAN
        if ordinal > self.max_magnitude_code:
            if ordinal == self.infinity_code:
                return Special.NEGATIVE_INFINITY if negative else Special.POSITIVE_INFINITY
            return Special.NAN
        magnitude = self.magnitude(ordinal)
        return Dyadic(negative, magnitude.significand, magnitude.exponent)

    def values(self) -> tuple[Value, ...]:
        """Exact value of every code, in code order. Formats of more than 16 bits have too many: ask `value(code)`."""
        return _values(self)

    @property
    def max_finite(self) -> Fraction:
        """The largest finite value."""
        return self.magnitude(self.max_magnitude_code).fraction

    @property
    def min_finite(self) -> Fraction:
        """The most negative finite value; for an unsigned format the smallest value."""
        return -self.max_finite if self.signed else self.magnitude(0).fraction

    @property
    def min_positive(self) -> Fraction:
        """The smallest value above zero."""
        return self.magnitude(1 if self.zero else 0).fraction

    @property
    def ulp_exponent(self) -> int:
        """Every finite value is a whole multiple of 2**ulp_exponent."""
        return self.min_exponent - self.trailing_significand_bits


@cache
def _values(fmt: Minifloat) -> tuple[Value, ...]:
    if fmt.bits > 16:
        raise ValueError(f"{fmt.name}: values() lists every code, up to 16 bits; {fmt.bits} bits are too many")
    return tuple(fmt.value(code) for code in range(2**fmt.bits))
