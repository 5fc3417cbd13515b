"""Quotients exact enough to be rounded once more, in float64 without a single inexact product.

The usual remainder needs a fused multiply-add or Dekker's splitting, and a compiler that contracts a * b - c breaks
both. Here the quotient is cut to so few bits that its product with the divisor is exact, whatever is fused with what.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import torch

from formats.fixed_point import FixedPoint
from formats.minifloat import Minifloat
from formats.scalar import Scalar
from formats.torch_ops.words import W64

DOUBLE = 53  # significand bits of float64


def quotient(v: torch.Tensor, s: Any, bits: int) -> torch.Tensor:
    """v / s in float64, cut off after 53 - bits significant bits, its last bit set where something was cut off.

    v: float64, no NaN and no infinity. s: float64 or a number, with at most `bits` significant bits, not zero, such
    that v / s is a normal float64. Compares with every real of up to 52 - bits bits as the exact quotient does.
    """
    unit = 1 << bits
    kept = (v / s).view(torch.int64) & -unit
    product = (kept.view(torch.float64) * s).view(torch.int64) & W64.magnitude  # exact: 53 bits
    exact = v.view(torch.int64) & W64.magnitude
    above = product > exact  # the division rounded up, onto a multiple of `unit`
    kept = torch.where(above, kept - unit, kept)
    return torch.where(product != exact, kept | 1, kept).view(torch.float64)


def odd_sum(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """a + b for a, b >= 0 in float64, rounded to odd where inexact; additions only, so nothing can be contracted."""
    total = a + b
    back = total - a
    error = (a - (total - back)) + (b - back)
    bits = total.view(torch.int64)
    moved = bits + (error > 0).to(torch.int64) - (error < 0).to(torch.int64)
    return torch.where((error != 0) & ((bits & 1) == 0), moved, bits).view(torch.float64)


def significant_bits(fmt: Scalar) -> int:
    """The most significant bits any value of the format has."""
    if isinstance(fmt, Minifloat):
        return fmt.trailing_significand_bits + 1
    if isinstance(fmt, FixedPoint):
        return fmt.bits
    return max(bits_of_real(Fraction(float(value))) for value in fmt.values() if np.isfinite(float(value)))


def bits_of_real(x: Fraction) -> int:
    """Significant bits of a dyadic rational."""
    odd = abs(x.numerator)
    return (odd // (odd & -odd)).bit_length() if odd else 1
