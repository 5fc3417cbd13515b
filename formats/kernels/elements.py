"""Loops over elements that are more than one scalar, and the errors a search compares; arrays are [blocks, size]."""

from __future__ import annotations

from typing import Any

import numpy as np

from formats.kernels.jit import kernel
from formats.kernels.quotients import split_product


@kernel
def chosen_values(tables: Any, selector: Any, codes: Any, out: Any) -> None:
    """out = value of each code in the table its block selects; tables: [candidates, codes] float64."""
    for b in range(codes.shape[0]):
        table, row, target = tables[selector[b]], codes[b], out[b]
        for i in range(row.size):
            target[i] = table[row[i]]


@kernel
def pair_values(normal: Any, outlier: Any, marker: Any, codes: Any, out: Any) -> None:
    """Values of pairs: beside a marker, which is worth zero, a code is an outlier's."""
    for b in range(codes.shape[0]):
        row, target = codes[b], out[b]
        for i in range(0, row.size - 1, 2):
            first, second = row[i], row[i + 1]
            if first == marker:
                target[i], target[i + 1] = 0.0, outlier[second]
            elif second == marker:
                target[i], target[i + 1] = outlier[first], 0.0
            else:
                target[i], target[i + 1] = normal[first], normal[second]
        if row.size % 2:
            target[row.size - 1] = normal[row[row.size - 1]]


@kernel
def scaled(values: Any, scale: Any, out: Any) -> None:
    """out = value * scale, rounded to out's type: for products float64 holds exactly."""
    for b in range(values.shape[0]):
        row, target, s = values[b], out[b], scale[b]
        for i in range(row.size):
            target[i] = row[i] * s


@kernel
def scaled_odd(values: Any, scale: Any, out: Any) -> None:
    """The same for wider products: rounded to odd in float64, so that float32 rounds them but once."""
    for b in range(values.shape[0]):
        for i in range(values.shape[1]):
            high, low = split_product(values[b, i], scale[b])
            bits = np.float64(high).view(np.int64)
            if low != 0.0 and np.isfinite(low) and not bits & 1:
                high = np.int64(bits + (1 if (low > 0.0) == (high > 0.0) else -1)).view(np.float64)
            out[b, i] = high


@kernel
def join_pairs(q: Any, threshold: Any, marker: Any, outlier: Any, codes: Any) -> None:
    """Codes of ordinary elements become pairs: an outlier takes its code from `outlier` and marks its partner."""
    for b in range(q.shape[0]):
        for i in range(0, q.shape[1] - 1, 2):
            if abs(q[b, i]) >= threshold:
                codes[b, i], codes[b, i + 1] = outlier[b, i], marker
            elif abs(q[b, i + 1]) >= threshold:
                codes[b, i], codes[b, i + 1] = marker, outlier[b, i + 1]


@kernel
def squared_errors(x: Any, table: Any, codes: Any, scale: Any, out: Any) -> None:
    """out[b] = sum of (table[code] * scale - x)**2 in float64, in the order of the elements."""
    for b in range(x.shape[0]):
        row, source, s, total = codes[b], x[b], scale[b], 0.0
        for i in range(row.size):
            difference = table[row[i]] * s - source[i]
            total += difference * difference
        out[b] = total


@kernel
def largest_errors(x: Any, table: Any, codes: Any, scale: Any, out: Any) -> None:
    """out[b] = the largest |table[code] * scale - x| in float64."""
    for b in range(x.shape[0]):
        row, source, s, largest = codes[b], x[b], scale[b], 0.0
        for i in range(row.size):
            difference = abs(table[row[i]] * s - source[i])
            if difference > largest:
                largest = difference
        out[b] = largest
