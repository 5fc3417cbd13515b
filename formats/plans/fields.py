"""Values of many codes at once, by arithmetic on their fields."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from formats.fixed_point import FixedPoint
from formats.minifloat import Minifloat


def minifloat_values(fmt: Minifloat, codes: NDArray[Any]) -> NDArray[np.float64]:
    """Exact, for formats of up to 63 bits none of whose values leave float64."""
    m, code = fmt.trailing_significand_bits, codes.astype(np.int64)
    ordinal = code & (2**fmt.magnitude_bits - 1)
    field, trailing = ordinal >> m, ordinal & (2**m - 1)
    normal = (field > 0) | (not fmt.subnormals)
    significand = trailing + np.where(normal, 2**m, 0)
    exponent = np.where(normal, field, 1) + (fmt.ulp_exponent - (1 if fmt.subnormals else 0))
    with np.errstate(over="ignore"):  # the fields of infinity and NaN, replaced below
        value = np.ldexp(significand.astype(np.float64), exponent)
    if fmt.zero:
        value = np.where(ordinal == 0, 0.0, value)
    if fmt.has_infinity:
        value = np.where(ordinal == fmt.max_magnitude_code + 1, np.inf, value)
    special = ordinal > fmt.max_magnitude_code + fmt.has_infinity
    negative = (code >> fmt.magnitude_bits).astype(bool) if fmt.signed else np.zeros(code.shape, bool)
    if fmt.specials in ("fnuz", "extended"):
        special = special | (code == fmt.nan_code)
    magnitude = np.where(special, np.nan, value)
    return np.where(negative & (fmt.has_two_nans | ~special), -magnitude, magnitude)


def fixed_point_values(fmt: FixedPoint, codes: NDArray[Any]) -> NDArray[np.float64]:
    """Exact, for formats of up to 53 bits whose values are normal float64 numbers."""
    code = codes.astype(np.int64)
    negative = code >> (fmt.bits - 1) if fmt.signed else 0
    return np.asarray(np.ldexp((code - (negative << fmt.bits)).astype(np.float64), -fmt.fraction_bits))
