"""Tables of few integers: bipolar, ternary, binary."""

from __future__ import annotations

from formats.codebook import Codebook


def bipolar(bits: int) -> Codebook:
    """Odd integers: every bit is worth plus or minus its weight, so code c is 2c - (2**bits - 1). bits: 1 to 8.

    No zero. Ties (even integers) go to the even code.
    Source: APT-LLM (arXiv 2508.19087), bipolar-INT, read in a review of it.
    """
    if not 1 <= bits <= 8:
        raise ValueError(f"bipolar: bits must be 1 to 8, got {bits}")
    entries = tuple(float(2 * c - 2**bits + 1) for c in range(2**bits))
    return Codebook(label=f"bipolar{bits}", bits=bits, entries=entries, ties="even")


def ternary() -> Codebook:
    """-1, 0, 1 as codes 0, 1, 2 of two bits; ties away from zero.

    Source: the trits of GGUF's TQ1_0 and TQ2_0 (gguf quants.py), which round half away. BitNet b1.58 rounds half to
    even, which is int2:symmetric.
    """
    return Codebook(label="ternary", bits=2, entries=(-1.0, 0.0, 1.0), ties="away")


def binary(low: float = -1.0) -> Codebook:
    """Two values of one bit: `low` (-1 or 0) and 1. Halfway between, -1 and 1 go up as sign(0) = 1, 0 and 1 to 0."""
    if low not in (-1, 0):
        raise ValueError(f"binary: low must be -1 or 0, got {low!r}")
    label, ties = ("binary_pm1", "upper") if low else ("binary_01", "lower")
    return Codebook(label=label, bits=1, entries=(low, 1.0), ties="upper" if ties == "upper" else "lower")
