"""Formats that are their table: encoding by thresholds, decoding by look-up."""

from __future__ import annotations

from typing import Any

import numpy as np

from formats.kernels.jit import kernel


@kernel
def encode_few(x: Any, last_below: Any, codes: Any, nan: Any, out: Any) -> Any:
    """Codes by counting thresholds passed, for up to 16 intervals; returns whether x holds NaN.

    last_below[j] is the largest float of x's type that still belongs to interval j: float comparison is then exact,
    whatever the threshold's own denominator.  codes: one per interval.
    """
    seen = False
    for i in range(x.size):
        v = x[i]
        at = np.int32(0)
        for j in range(last_below.size):
            at += np.int32(v > last_below[j])
        seen |= v != v
        out[i] = nan if v != v else codes[at]
    return seen


@kernel
def encode_many(x: Any, last_below: Any, codes: Any, nan: Any, out: Any) -> Any:
    """The same by bisection, for any number of intervals."""
    seen = False
    for i in range(x.size):
        v = x[i]
        low, high = 0, last_below.size
        while low < high:
            middle = (low + high) >> 1
            if v > last_below[middle]:
                low = middle + 1
            else:
                high = middle
        seen |= v != v
        out[i] = nan if v != v else codes[low]
    return seen


@kernel
def decode_table(codes: Any, table: Any, out: Any) -> None:
    """out[i] = table[codes[i]]; codes must be in range (the caller checks)."""
    for i in range(codes.size):
        out[i] = table[codes[i]]


@kernel
def largest(codes: Any) -> Any:
    """The largest code, for the range check."""
    top = codes[0]
    for i in range(codes.size):
        top = max(top, codes[i])
    return top
