"""What every scalar format offers: one code, one exact value."""

from __future__ import annotations

from fractions import Fraction
from typing import Protocol, runtime_checkable

from formats.exact import Value


@runtime_checkable
class Scalar(Protocol):
    """A format of one number a code: Minifloat, FixedPoint, Codebook.

    bits: width of a code.  name: what `formats.get` reads back.  values(): exact value per code, in code order.
    max_finite, min_finite: ends of the range an encoder produces.  min_positive: smallest value above zero.
    ulp_exponent: every finite value is a whole multiple of 2**ulp_exponent.
    """

    @property
    def bits(self) -> int: ...
    @property
    def name(self) -> str: ...
    @property
    def signed(self) -> bool: ...
    @property
    def has_nan(self) -> bool: ...
    @property
    def has_infinity(self) -> bool: ...
    @property
    def nan_code(self) -> int | None: ...
    @property
    def max_finite(self) -> Fraction: ...
    @property
    def min_finite(self) -> Fraction: ...
    @property
    def min_positive(self) -> Fraction: ...
    @property
    def ulp_exponent(self) -> int: ...
    def value(self, code: int) -> Value: ...
    def values(self) -> tuple[Value, ...]: ...
