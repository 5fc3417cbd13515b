"""Logarithmic codes of numbers from 0 to 1: base 2, square root of 2, and AdaLog's 2**(q/37).

Code c is base**-c; nearest in the logarithm, so cuts lie at base**-(c + 1/2). A real below the last cut is zero:
zero="top_code": the last code is zero and the codes fill their bits.
zero="mask": as published, every code is a power and zero is a mask beside them: here one code more, so one bit more.
Negative numbers, which the published quantisers clamp to the smallest positive, become zero too.
"""

from __future__ import annotations

import math
from fractions import Fraction
from functools import cache
from itertools import pairwise
from typing import Literal

from formats.codebook import Codebook
from formats.families.rounding import power_cut, rounded

Zero = Literal["top_code", "mask"]


@cache
def _part_cut(p: int, q: int, owns: bool) -> float:
    return power_cut(Fraction(1, 2**p), Fraction(1, q), owns=owns)


def _cut(p: int, q: int, owns: bool) -> float:
    """First 48-bit number that is 2**-(p/q) or more (more, unless it owns it), from the fraction part of p/q."""
    whole, part = divmod(p, q)
    return math.ldexp(_part_cut(part, q, owns), -whole)


def _logarithmic(label: str, bits: int, zero: Zero, step: Fraction, powers: list[float]) -> Codebook:
    """powers[c] stands for 2**(-c * step), c = 0 .. 2**bits - 1; equal neighbours are one value with two codes."""
    if zero not in ("top_code", "mask"):
        raise ValueError(f"{label}: zero must be 'top_code' or 'mask', got {zero!r}")
    levels = powers if zero == "mask" else powers[:-1]
    # code c ends at c + 1/2; there RNE goes to the even code: to c, the larger value, if c is even
    cuts = [
        _cut((2 * c + 1) * step.numerator, 2 * step.denominator, c % 2 == 0)
        for c, (level, below) in enumerate(pairwise((*levels, 0.0)))
        if level != below
    ]
    return Codebook(
        label=label if zero == "top_code" else f"{label}_mask",
        bits=bits + (zero == "mask"),
        entries=(*levels, 0.0),
        ties="upper",
        cuts=tuple(reversed(cuts)),
    )


def _check_bits(what: str, bits: int, most: int) -> None:
    if not 2 <= bits <= most:
        raise ValueError(f"{what}: bits must be 2 to {most}, got {bits}")


def log2(bits: int, *, zero: Zero = "top_code") -> Codebook:
    """Powers of two from 1 down. bits: 2 to 8.

    Source: FQ-ViT, P2-ViT and AdaLog (github.com/GoatWu/AdaLog quantizers/logarithm.py) quantise softmax outputs so.
    They clamp at 1e-15 first, which is about 2**-50: an 8-bit code writes that for zero, this table writes zero.
    """
    _check_bits("log2", bits, 8)
    return _logarithmic(f"log2_{bits}", bits, zero, Fraction(1), [2.0**-c for c in range(2**bits)])


def log_sqrt2(bits: int, *, zero: Zero = "top_code") -> Codebook:
    """Powers of the square root of two from 1 down, in float32. bits: 2 to 8.

    Source: RepQ-ViT's softmax quantiser as AdaLog's LogSqrt2Quantizer computes it: 2**-ceil(c/2), times sqrt 2 if odd.
    """
    _check_bits("log_sqrt2", bits, 8)
    odd = rounded(math.sqrt(0.5))
    powers = [math.ldexp(odd if c % 2 else 1.0, -(c // 2)) for c in range(2**bits)]
    return _logarithmic(f"log_sqrt2_{bits}", bits, zero, Fraction(1, 2), powers)


def adalog_tables(bits: int, q: int, r: int = 37) -> tuple[tuple[int, ...], tuple[int, ...], int]:
    """AdaLog's integer tables: shifts, significands, and the denominator of the significands, 2**(bits + 1) - 2."""
    denominator = 2 ** (bits + 1) - 2
    shifts = tuple(c * q // r for c in range(2**bits))
    significands = tuple(round(2.0 ** (-(c * q % r) / r) * denominator) for c in range(2**bits))
    return shifts, significands, denominator


def adalog(bits: int, q: int, *, r: int = 37, zero: Zero = "top_code") -> Codebook:
    """AdaLog: base 2**(q/r); values from its tables, significand / denominator * 2**-shift, in float32.

    bits: 2 to 8.  q: 1 or more, which the paper searches for every layer.  r: 37 there.
    Codes whose table values coincide are one value; the lower code is written.
    Source: AdaLog (ECCV 2024), github.com/GoatWu/AdaLog quantizers/logarithm.py.
    """
    _check_bits("adalog", bits, 8)
    if q < 1 or r < 1:
        raise ValueError(f"adalog: q and r must be 1 or more, got {q} and {r}")
    shifts, significands, denominator = adalog_tables(bits, q, r)
    powers = [math.ldexp(rounded(Fraction(s, denominator)), -k) for s, k in zip(significands, shifts, strict=True)]
    label = f"adalog{bits}_q{q}" if r == 37 else f"adalog{bits}_q{q}_r{r}"
    return _logarithmic(label, bits, zero, Fraction(q, r), powers)
