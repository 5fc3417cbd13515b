"""Tables of optimiser states and of double quantisation: dynamic exponent, and linear without zero."""

from __future__ import annotations

import struct
from itertools import pairwise

from formats.codebook import Codebook


def _float32(x: float) -> float:
    return float(struct.unpack("f", struct.pack("f", x))[0])


def _means(count: int) -> list[float]:
    """Middles of `count` equal steps from 0.1 to 1, in float32 as torch.linspace takes them.

    start + i * step in the lower half and end - (n - 1 - i) * step in the upper, each with one rounding; the float64
    in between is exact (24 bits times 8, plus 24).
    """
    start = _float32(0.1)
    step = _float32(_float32(1.0 - start) / count)
    half = (count + 1) // 2
    ends = [_float32(start + i * step if i < half else 1.0 - (count - i) * step) for i in range(count + 1)]
    return [_float32(low + high) / 2 for low, high in pairwise(ends)]


def dynamic_exponent(bits: int, *, signed: bool = True, zero: bool = True) -> Codebook:
    """Dynamic exponent: decades of which each has twice the steps of the one below, and 0 and 1. Codes ascend.

    bits: 3 to 8.
    zero: False gives the code of zero the smallest value instead (DE-0; unsigned only), which then has two codes.
    The entries are the float32 numbers that bitsandbytes computes: step by step in float32, up to 2 ulp from the
    rationals. Ties go to the lower value.
    Source: bitsandbytes functional.py create_dynamic_map(signed, bits - 1, bits); DE-0: low-bit-optimizers
    (NeurIPS 2023), github.com/thu-ml/low-bit-optimizers functional.py "nonlinear-nozero".
    """
    if not 3 <= bits <= 8:
        raise ValueError(f"dynamic_exponent: bits must be 3 to 8, got {bits}")
    if signed and not zero:
        raise ValueError("dynamic_exponent: zero=False replaces the first of an unsigned table; pass signed=False")
    positive: list[float] = []
    for decade in range(bits - 1):
        scale = _float32(10.0 ** (decade - (bits - 2)))
        positive += [_float32(scale * mean) for mean in _means(2**decade if signed else 2 ** (decade + 1))]
    entries = sorted([*positive, *(-v for v in positive if signed), 0.0, 1.0])
    if not zero:
        entries[0] = entries[1]
    label = f"{'' if signed else 'u'}de{bits}{'' if zero else '_0'}"
    return Codebook(label=label, bits=bits, entries=tuple(entries), ties="lower")


def linear_without_zero(bits: int) -> Codebook:
    """Code c is (c + 1) / 2**bits: evenly spaced, 1 its largest value, no zero. bits: 1 to 8.

    Source: second moments in low-bit-optimizers; ties to the lower value.
    """
    if not 1 <= bits <= 8:
        raise ValueError(f"linear_without_zero: bits must be 1 to 8, got {bits}")
    entries = tuple((c + 1) / 2**bits for c in range(2**bits))
    return Codebook(label=f"linear{bits}_nozero", bits=bits, entries=entries, ties="lower")
