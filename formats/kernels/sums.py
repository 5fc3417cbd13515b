"""Exact sums of float32 magnitudes: as integers, whatever the order. And the trits a threshold cuts.

A float32 is an integer of 24 bits times 2**(field - 150). Within a chunk all are moved up to the smallest field; where
the fields of a chunk are too far apart for 63 bits, each goes to the bin of its own field.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from formats.kernels.jit import kernel

I32, I64, U32 = np.int32, np.int64, np.uint32
CHUNK = 256
SPREAD = 63 - 24 - 8 - 1  # fields a chunk of 2**8 may spread over


@kernel
def ends(bits: Any) -> Any:
    """Exponent fields of the smallest magnitude above zero and of the largest, of float32 bits; at least 1 each."""
    top, least = I32(0), U32(0xFFFFFFFF)
    for i in range(bits.size):
        m = I32(bits[i] & I32(0x7FFFFFFF))
        top = I32(max(top, m))
        least = U32(min(least, U32(U32(m) - U32(1))))  # zero wraps round to the top
    smallest = I32((least + U32(1)) >> U32(23)) if top > 0 else I32(1)
    return max(smallest, I32(1)), max(I32(top >> I32(23)), I32(1))


@kernel
def aligned_sum(bits: Any, smallest: Any) -> Any:
    """The magnitudes' sum in units of 2**(smallest - 150)."""
    total = I64(0)
    for i in range(bits.size):
        m = I32(bits[i] & I32(0x7FFFFFFF))
        field = I32(m >> I32(23))
        whole = I32(m & I32(0x7FFFFF)) | (I32(0x800000) if field > 0 else I32(0))
        up = I32(max(field, I32(1)) - smallest)
        total += I64(whole) << I64(max(up, I32(0)))  # of a zero, whose field may lie below: nothing to move
    return total


@kernel
def sum_magnitudes32(bits: Any, low: Any, high: Any) -> Any:
    """Adds all magnitudes to bins of exponent fields, as low + 2**32 * high units each; False at infinities and NaN.

    bits: float32 bits, contiguous.  low, high: 255 int64 each.  Room for 2**31 chunks.
    """
    for start in range(0, bits.size, CHUNK):
        chunk = bits[start : start + CHUNK]
        smallest, largest = ends(chunk)
        if largest == 255:
            return False
        if largest - smallest <= SPREAD:
            total = aligned_sum(chunk, smallest)
            low[smallest] += total & I64(0xFFFFFFFF)
            high[smallest] += total >> I64(32)
        else:
            for i in range(chunk.size):
                field = max(I32(I32(chunk[i] & I32(0x7FFFFFFF)) >> I32(23)), I32(1))
                low[field] += aligned_sum(chunk[i : i + 1], field)
    return True


@kernel
def block_sums32(bits: Any, spread: Any, sums: Any, fields: Any) -> None:
    """sums[b] in units of 2**(fields[b] - 150) of each row; fields[b] = 0 where the row is too wide or not finite."""
    for b in range(bits.shape[0]):
        smallest, largest = ends(bits[b])
        if largest == 255 or largest - smallest > spread:
            fields[b] = 0
        else:
            fields[b] = smallest
            sums[b] = aligned_sum(bits[b], smallest)


@kernel
def cut_trits(x: Any, threshold: Any, codes: Any) -> None:
    """Codes 0, 1, 2 of -1, 0, 1: beyond -threshold[b] and threshold[b] of each row, not at them."""
    for b in range(x.shape[0]):
        row, t, out = x[b], threshold[b], codes[b]
        for i in range(row.size):
            out[i] = 1 + (row[i] > t) - (row[i] < -t)
