"""ANT's data types, flint first, and the outlier codes of OliVe.

Source: ANT (MICRO 2022) and OliVe (ISCA 2023), github.com/clevercool/ANT-Quantization, quant_modules.py of both.
Tables are in integer units; the repository scales each to a largest value of 10 (ANT) or a threshold of 32 (OliVe).
Its kernel keeps the last of equally near values of an ascending list: ties go to the upper value.
"""

from __future__ import annotations

from itertools import pairwise

from formats.codebook import Codebook
from formats.families.magnitudes import sign_magnitude
from formats.families.rounding import CUT_BITS, mirrored


def flint_magnitude(code: int, bits: int) -> int:
    """Value of one flint magnitude code of that many bits (2 to 8).

    Top bit 0: the integer in the other bits. Top bit 1: z leading zeros in the other n - 1 bits make the exponent
    n - 1 + z, what follows the first one is the fraction; all zero is 2**(2n - 2).
    """
    low = code & ((1 << (bits - 1)) - 1)
    if code == low:
        return low
    zeros = bits - 1 - low.bit_length()
    if low == 0:
        return 1 << (2 * bits - 2)
    fraction_bits = low.bit_length() - 1
    return low << (bits - 1 + zeros - fraction_bits)


def flint(bits: int, *, signed: bool = True) -> Codebook:
    """flint: integers near zero, floating point further out, the boundary moving with the leading one.

    bits: 3 to 8 signed (a sign bit before the magnitude), 2 to 8 unsigned. flint4 holds 0, 1, 2, 3, 4, 6, 8, 16.
    The order of codes is the leading-one decoder's of the paper; the repository holds only the values.
    """
    width = bits - signed
    if not 2 <= width <= 8 or bits > 8:
        raise ValueError(f"flint: bits must be {2 + signed} to 8, got {bits}")
    magnitudes = [float(flint_magnitude(code, width)) for code in range(2**width)]
    if signed:
        return sign_magnitude(f"flint{bits}", magnitudes, ties="upper")
    return Codebook(label=f"uflint{bits}", bits=bits, entries=tuple(magnitudes), ties="upper")


def ant_int(bits: int) -> Codebook:
    """ANT's integer candidate: two's complement with its lowest value, ties to the upper value. bits: 2 to 8."""
    if not 2 <= bits <= 8:
        raise ValueError(f"ant_int: bits must be 2 to 8, got {bits}")
    top = 2 ** (bits - 1)
    entries = tuple(float(c if c < top else c - 2 * top) for c in range(2 * top))
    return Codebook(label=f"ant_int{bits}", bits=bits, entries=entries, ties="upper")


def ant_float(bits: int, exponent_bits: int = 3) -> Codebook:
    """ANT's signed float candidate: bias 1, subnormals in units of 2**-m. Codes: sign, exponent, fraction.

    bits: 4 to 8; m = bits - 1 - exponent_bits. Of the two definitions of float_value in the repository this is the
    later, which Python keeps. With 4 bits it holds the powers of two of `pot`, from 1 to 64.
    """
    m = bits - 1 - exponent_bits
    if not (4 <= bits <= 8 and exponent_bits >= 1 and m >= 0):
        raise ValueError(
            f"ant_float: bits must be 4 to 8 and exponent_bits 1 to bits - 1, got {bits} and {exponent_bits}"
        )
    magnitudes = [
        j / 2**m if i == 0 else 2.0 ** (i - 1) * (1 + j / 2**m) for i in range(2**exponent_bits) for j in range(2**m)
    ]
    if m > 0:  # subnormals and the first binade share their unit there: 2**0 * j / 2**m, then 2**0 * (1 + j / 2**m)
        assert magnitudes[2**m] == 1.0
    label = f"ant_float{bits}" if exponent_bits == 3 else f"ant_float{bits}_e{exponent_bits}"
    return sign_magnitude(label, magnitudes, ties="upper")


def abfloat(bits: int, unit: float, label: str) -> Codebook:
    """OliVe's outlier codes: sign, two exponent bits, the rest fraction, biased to start beyond the normal values.

    bits: 4 or 8 (E2M1 and E2M5; the paper's text is said to have E4M3 at 8 bits, its code has two exponent bits).
    unit: value of magnitude code 0, which is not used: magnitude code c is unit * 2**e * (1 + f / 2**m).
        8 for int4 normals, 16 for flint4, 128 for int8.
    Codes 0 and 2**(bits - 1) decode to +-unit and are written only for reals up to it, where no outlier lies: the
    second is the pair's marker of a victim. Nearest among the others, ties to the upper value.
    """
    if bits not in (4, 8):
        raise ValueError(f"abfloat: bits must be 4 or 8, got {bits}")
    m = bits - 3
    magnitudes = [unit * 2.0 ** (c >> m) * (1 + (c & (2**m - 1)) / 2**m) for c in range(2 ** (bits - 1))]
    entries = (*magnitudes, *(-v for v in magnitudes))
    just_beyond = unit * (1 + 2.0 ** (1 - CUT_BITS))
    between = [(low + high) / 2 for low, high in pairwise(magnitudes[1:])]
    cuts = mirrored([just_beyond, *between], [0.0])
    return Codebook(label=label, bits=bits, entries=entries, ties="upper", cuts=cuts)
