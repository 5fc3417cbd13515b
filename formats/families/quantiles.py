"""Tables of quantiles: NormalFloat and StudentFloat of any degrees of freedom.

Source: QLoRA (bitsandbytes create_normal_map) and llm-datatypes (ICML 2024), whose tables these reproduce. The NF4 of
bitsandbytes is a constant (in the catalogue): it was computed in float32 and differs from the quantiles by 1e-7.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from formats.codebook import Codebook
from formats.families.rounding import exact, rounded


def student(nu: float, bits: int = 4, *, offset_bits: int | None = None, zero: bool = True) -> Codebook:
    """StudentFloat: quantiles of Student's t of nu degrees of freedom, over the largest; codes ascend.

    nu: 0.1 to 1e6, read as its float64.  bits: 2 to 8.
    offset_bits: the outermost probability is 1 - (1/2**(n + 1) + 1/(2**(n + 1) - 2)) / 2 for n = offset_bits;
        None takes 4 as published for SF4 and SF3, and `bits` without a zero.
    zero: whether zero is a code, with 2**(bits - 1) values above it and one fewer below; without, the table is even.
    Quantiles are found in 320-bit arithmetic and rounded once to float32. Ties go to the lower value.
    Raises ValueError for arguments out of range. Needs mpmath, which comes with sympy.
    """
    if not 0.1 <= nu <= 1e6:
        raise ValueError(f"student: nu must be 0.1 to 1e6 (above that it is `normal`), got {nu!r}")
    n = offset_bits if offset_bits is not None else 4 if zero else bits
    suffix = ("" if nu == 5 else f"_nu{nu:g}") + ("" if n == (4 if zero else bits) else f"_offset{n}")
    mp = importlib.import_module("mpmath")

    def tail(t: Any) -> Any:
        """Probability above t > 0; of the two ways the one whose argument does not come close to 1."""
        half = mp.mpf(1) / 2
        if t * t < nu:
            return half - mp.betainc(half, mp.mpf(nu) / 2, 0, t * t / (nu + t * t), regularized=True) / 2
        return mp.betainc(mp.mpf(nu) / 2, half, 0, nu / (nu + t * t), regularized=True) / 2

    def quantile(p: Any) -> Any:
        """Of a probability above one half, by Newton's method on the tail."""
        t = mp.sqrt(2) * mp.erfinv(2 * p - 1)
        t *= 1 + (t * t + 1) / (4 * mp.mpf(nu))  # one step of Cornish and Fisher
        density = mp.gamma((mp.mpf(nu) + 1) / 2) / (mp.sqrt(nu * mp.pi) * mp.gamma(mp.mpf(nu) / 2))
        for _ in range(60):
            step = (tail(t) - (1 - p)) / (density * (1 + t * t / nu) ** (-(mp.mpf(nu) + 1) / 2))
            t = t + max(step, -t / 2)
            if abs(step) < abs(t) * mp.mpf(2) ** -240:
                return t
        raise ArithmeticError(f"student: no quantile {mp.nstr(p, 8)} of nu={nu} after 60 steps")

    return _table(f"sf{bits}{'' if zero else '_nz'}{suffix}", bits, n, zero, quantile)


def normal(bits: int = 4, *, offset_bits: int | None = None, zero: bool = True) -> Codebook:
    """NormalFloat by its formula: quantiles of the normal distribution; arguments as `student`'s.

    offset_bits: None takes `bits`, as published for NF4 and NF3. The label of 4 bits is nf4_exact: nf4 is a constant.
    """
    n = bits if offset_bits is None else offset_bits
    mp = importlib.import_module("mpmath")

    def quantile(p: Any) -> Any:
        return mp.sqrt(2) * mp.erfinv(2 * p - 1)

    label = f"nf{bits}{'' if zero else '_nz'}{'' if n == bits else f'_offset{n}'}"
    return _table("nf4_exact" if label == "nf4" else label, bits, n, zero, quantile)


def _table(label: str, bits: int, offset_bits: int, zero: bool, quantile: Callable[[Any], Any]) -> Codebook:
    if not (2 <= bits <= 8 and 2 <= offset_bits <= 8):
        raise ValueError(f"{label}: bits and offset_bits must be 2 to 8, got {bits} and {offset_bits}")
    mp = importlib.import_module("mpmath")
    half = Fraction(1, 2)
    outermost = 1 - half * (Fraction(1, 2 ** (offset_bits + 1)) + Fraction(1, 2 ** (offset_bits + 1) - 2))

    def side(count: int, steps: Fraction) -> list[Any]:
        """Quantiles of count probabilities from the outermost inwards, ascending."""
        probabilities = [outermost - (outermost - half) * i / steps for i in range(count)]
        return [quantile(mp.mpf(p.numerator) / p.denominator) for p in reversed(probabilities)]

    with mp.workprec(320):
        half_count = 2 ** (bits - 1)
        above = side(half_count, Fraction(half_count) if zero else Fraction(2 * half_count - 1, 2))
        below = side(half_count - 1, Fraction(half_count - 1)) if zero else above
        positive = [rounded(exact(value / above[-1])) for value in above]
        negative = [-rounded(exact(value / above[-1])) for value in reversed(below)]
    entries = (*negative, *([0.0] if zero else []), *positive)
    return Codebook(label=label, bits=bits, entries=entries, ties="lower")
