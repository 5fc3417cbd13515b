"""Powers of two and sums of them: PoT by value and by logarithm, APoT, power-of-two scales."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise, product

from formats.codebook import Codebook
from formats.families.magnitudes import sign_magnitude
from formats.families.rounding import midpoint_cut, mirrored, power_cut, rounded


def _pot_magnitudes(bits: int) -> list[float]:
    if not 2 <= bits <= 8:
        raise ValueError(f"pot: bits must be 2 to 8, sign included, got {bits}")
    count = 2 ** (bits - 1) - 1
    return [0.0, *(2.0 ** (k - count) for k in range(1, count + 1))]


def pot(bits: int) -> Codebook:
    """Signed powers of two up to 1, and zero; nearest by value, ties to the upper value.

    bits: 2 to 8, sign included. Code k > 0 is 2**(k - K) with K = 2**(bits - 1) - 1, the top bit the sign.
    Source: ANT (MICRO 2022), github.com/clevercool/ANT-Quantization pot_value, which scales the largest to 10; its
    kernel keeps the last of equally near values.
    """
    return sign_magnitude(f"pot{bits}", _pot_magnitudes(bits), ties="upper")


def pot_log(bits: int) -> Codebook:
    """The values of `pot`, nearest in logarithm: cuts at the geometric means, 2**(k + 1/2).

    Below the smallest power the cut to zero is half an octave under it (ours: log 0 has no distance).
    Source: the exponent rounded to nearest, RNE(log2 |x|), as DeepShift and ShiftAddLLM (bcq_shift.py) round.
    """
    magnitudes = _pot_magnitudes(bits)
    cuts = [power_cut(Fraction(m) ** 2 / 2, Fraction(1, 2)) for m in magnitudes[1:]]
    return sign_magnitude(f"pot{bits}_log", magnitudes, ties="away", cuts=mirrored(cuts, []))


_SUMMANDS = {  # of magnitudes of 2 to 6 bits: exponents of the terms each summand may take, beside 0
    2: ((-1, -2, -3),),
    3: ((-1, -2, -4), (-3,)),
    4: ((-1, -3, -5), (-2, -4, -6)),
    5: ((-1, -3, -6), (-2, -4, -7), (-5,)),
    6: ((-1, -4, -7), (-2, -5, -8), (-3, -6, -9)),
}


def apot(bits: int, *, half: bool = False) -> Codebook:
    """Additive powers of two up to 1: sums of one term of each summand, over the largest sum.

    bits: 3 to 7, sign included. Codes are sign and rank of the magnitude.
    half: 0.5 in the code of minus zero (4 bits only): APOT4_SP of llm-datatypes.
    Source: APoT (ICLR 2020), github.com/yhhhli/APoT_Quantization quant_layer.py build_power_value. There the order of a
    Python set decides ties; here they go to the lower value, as llm-datatypes has them,
    the ties of tenths too, whether they come as float32 or float64.
    """
    if bits - 1 not in _SUMMANDS:
        raise ValueError(f"apot: bits must be 3 to 7, sign included, got {bits}")
    if half and bits != 4:
        raise ValueError(f"apot: half=True is a 4-bit table, got bits={bits}")
    terms = [[Fraction(0), *(Fraction(2) ** e for e in exponents)] for exponents in _SUMMANDS[bits - 1]]
    sums = sorted({sum(choice, Fraction(0)) for choice in product(*terms)})
    levels = [s / sums[-1] for s in sums]
    values = sorted({*levels, *(-level for level in levels), *([Fraction(1, 2)] if half else [])})
    return sign_magnitude(
        f"apot{bits}{'_sp' * half}",
        [rounded(level) for level in levels],
        special=0.5 if half else -0.0,
        cuts=tuple(midpoint_cut(low, high) for low, high in pairwise(values)),
    )


def pot_scale(bits: int = 8, largest: int = 127) -> Codebook:
    """Powers of two as scales: code c is 2**(c - 2**bits + 1 + largest), nearest by value, ties to the lower.

    Source: P2-ViT, github.com/shihuihong214/P2-ViT minmax.py; the rounding its search starts from.
    """
    if not (2 <= bits <= 8 and -700 <= largest <= 1023):
        raise ValueError(f"pot_scale: bits must be 2 to 8 and largest -700 to 1023, got {bits} and {largest}")
    entries = tuple(2.0 ** (c - 2**bits + 1 + largest) for c in range(2**bits))
    label = f"pot_scale{bits}" if largest == 127 else f"pot_scale{bits}_{largest}"
    assert all(2 * low == high for low, high in pairwise(entries))
    return Codebook(label=label, bits=bits, entries=entries, ties="lower")
