"""Uniform codes of a curve of the number: power functions, the Laplace distribution, the tangent."""

from __future__ import annotations

import importlib
import math
from decimal import Decimal
from fractions import Fraction

from formats.codebook import Codebook
from formats.families.rounding import DIGITS, at_or_above, at_or_below, exact, mirrored, power_cut, root, rounded


def power(bits: int, a: float | str | Fraction = Fraction(1, 2)) -> Codebook:
    """sign(x) * |x|**a uniform on -K..K, K = 2**(bits - 1) - 1: code q stands for sign(q) * (|q| / K)**(1 / a).

    bits: 2 to 8.  a: above 0; read as the decimal it is written as, numerator and denominator up to 1000.
    Codes are two's complement; the lowest, which a symmetric range leaves out, decodes to zero and is never written.
    Nearest in the power (cuts at ((q + 1/2) / K)**(1 / a)), ties to the even q.
    Source: PowerQuant (ICLR 2023) and NUPES, formula from secondary text; the exponent a is searched for there.
    """
    exponent = 1 / Fraction(str(a))
    if not 2 <= bits <= 8:
        raise ValueError(f"power: bits must be 2 to 8, got {bits}")
    if exponent <= 0 or max(exponent.numerator, exponent.denominator) > 1000:
        raise ValueError(f"power: a must be a positive ratio of numbers up to 1000, got {a!r}")
    top = 2 ** (bits - 1) - 1
    values = [0.0, *(rounded(root(Fraction(q, top), exponent)) for q in range(1, top + 1))]
    cuts = [power_cut(Fraction(2 * q + 1, 2 * top), exponent, owns=q % 2 == 1) for q in range(top)]
    label = f"power{bits}" if exponent == 2 else f"power{bits}_a{float(1 / exponent):g}"
    entries = (*values, -0.0, *(-v for v in reversed(values[1:])))
    return Codebook(label=label, bits=bits, entries=entries, ties="away", cuts=mirrored(cuts, []))


_LOGARITHMS: dict[int, Decimal] = {}  # of the integers up to 2**8 a table needs: half of them serve all seven widths


def _ln(n: int) -> Decimal:
    if n not in _LOGARITHMS:
        _LOGARITHMS[n] = DIGITS.ln(Decimal(n)) if n % 2 or n == 2 else DIGITS.add(_ln(n // 2), _ln(2))
    return _LOGARITHMS[n]


def cvxq(bits: int) -> Codebook:
    """Uniform in the distribution function of a Laplace of scale 3 / sqrt(2): for numbers of mean 0 and deviation 1.

    bits: 1 to 8. Code q stands for the quantile (q + 1/2) / 2**bits, and holds the reals from the quantile q / 2**bits
    up to, but not including, that of q + 1. No code is zero.
    Source: CVXQ, github.com/seannz/cvxq quantizer.py, which writes the scale as 3 / 1.414213562 (2e-10 from this, less
    than half an ulp of its float32); mean and deviation of a group are its shift and scale.
    """
    if not 1 <= bits <= 8:
        raise ValueError(f"cvxq: bits must be 1 to 8, got {bits}")
    scale = DIGITS.divide(3, DIGITS.sqrt(Decimal(2)))

    def quantile(n: int) -> Decimal:
        """Of n / 2**(bits + 1) below the median, its sign turned: scale * ln(2**bits / n)."""
        return DIGITS.multiply(scale, DIGITS.subtract(_ln(2**bits), _ln(n)))

    half = 2 ** (bits - 1)
    upper = [rounded(quantile(n)) for n in range(2 * half - 1, 0, -2)]
    cuts = [at_or_above(quantile(n)) for n in range(2 * half - 2, 0, -2)]
    lower_cuts = [-at_or_below(quantile(n)) for n in range(2, 2 * half, 2)]  # a real at a cut goes up
    entries = (*(-v for v in reversed(upper)), *upper)
    return Codebook(label=f"cvxq{bits}", bits=bits, entries=entries, ties="upper", cuts=(*lower_cuts, 0.0, *cuts))


def tangent(bits: int, a: float = 1.0) -> Codebook:
    """tan(a * x) / tan(a) uniform on 0..1: code c stands for atan(c / K * tan(a)) / a, K = 2**bits - 1; finer near 1.

    bits: 1 to 8.  a: between 0 and pi / 2, read as its float64.  Nearest in the tangent (cuts at c + 1/2).
    A compander of that shape, and no paper's: DopQ-ViT quantises with a tangent whose definition we could not read.
    Needs mpmath, which comes with sympy.
    """
    if not 1 <= bits <= 8:
        raise ValueError(f"tangent: bits must be 1 to 8, got {bits}")
    if not 0 < a < math.pi / 2:
        raise ValueError(f"tangent: a must lie between 0 and pi / 2, got {a!r}")
    mpmath = importlib.import_module("mpmath")
    top = 2**bits - 1
    with mpmath.workprec(250):
        slope = mpmath.tan(mpmath.mpf(a))

        def inverse(numerator: int) -> Fraction:
            """Of numerator / (2 * top)."""
            return exact(mpmath.atan(slope * numerator / (2 * top)) / mpmath.mpf(a))

        entries = [0.0, *(rounded(inverse(2 * c)) for c in range(1, top)), 1.0]
        cuts = tuple(at_or_above(inverse(2 * c + 1)) for c in range(top))
    label = f"tan{bits}" if a == 1 else f"tan{bits}_a{a:g}"
    return Codebook(label=label, bits=bits, entries=tuple(entries), ties="upper", cuts=cuts)
