"""Formats that are their table: encoding by thresholds, decoding by look-up."""

from __future__ import annotations

from typing import Any

import numpy as np

from formats.kernels.jit import kernel


@kernel
def encode_few(x: Any, last_below: Any, codes: Any, nan: Any, out: Any) -> Any:
    """Codes by counting thresholds passed, for up to 16 intervals; returns whether x holds NaN.

    last_below[j] is the largest float of x's type that still belongs to interval j: float comparison is then exact,
    whatever the threshold's own denominator.  codes: one per interval. The fifteen comparisons are written out, so that
    they stay in registers and the loop over x is the vector loop; missing thresholds are infinite.
    """
    t = np.full(15, np.inf, x.dtype)
    t[: last_below.size] = last_below
    t0, t1, t2, t3, t4, t5, t6, t7 = t[0], t[1], t[2], t[3], t[4], t[5], t[6], t[7]
    t8, t9, t10, t11, t12, t13, t14 = t[8], t[9], t[10], t[11], t[12], t[13], t[14]
    in_order = True
    for j in range(codes.size):
        in_order &= codes[j] == j
    clean = True
    for i in range(x.size):
        v = x[i]
        at = np.int32(v > t0)
        at = np.int32(at + np.int32(v > t1))
        at = np.int32(at + np.int32(v > t2))
        at = np.int32(at + np.int32(v > t3))
        at = np.int32(at + np.int32(v > t4))
        at = np.int32(at + np.int32(v > t5))
        at = np.int32(at + np.int32(v > t6))
        at = np.int32(at + np.int32(v > t7))
        at = np.int32(at + np.int32(v > t8))
        at = np.int32(at + np.int32(v > t9))
        at = np.int32(at + np.int32(v > t10))
        at = np.int32(at + np.int32(v > t11))
        at = np.int32(at + np.int32(v > t12))
        at = np.int32(at + np.int32(v > t13))
        at = np.int32(at + np.int32(v > t14))
        clean &= v == v
        out[i] = at
    if not in_order:
        for i in range(x.size):
            out[i] = codes[out[i]]
    if not clean:
        for i in range(x.size):
            out[i] = nan if x[i] != x[i] else out[i]
    return not clean


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
