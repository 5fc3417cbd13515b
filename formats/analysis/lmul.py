"""The exact error of one L-Mul product: worst, mean and bias by width and offset, in Fractions, and their limits.

Significands are 1 + x and 1 + y with x, y in [0, 1), multiples of 2**-m; with c = 2**-l and s = x + y + c,

    formula       1 + s
    integer_add   1 + s below s = 1, 2 s up to s = 2, 4 (s - 1) from there: a carry runs into the exponent

and the relative error is e = value / ((1 + x) (1 + y)) - 1. Exponents shift both alike, so pairs of trailing fields are
all there is; overflow, underflow and zeros are the multiplier's policies and no part of this.

Both values are (1 + s) + k1 (s - 1)+ + k2 (s - 2)+ with (k1, k2) = (0, 0) and (1, 2), z+ the larger of z and 0. Where
no s crosses 1 or 2, e as a function of x alone is a ratio of two linear functions: monotone, its sign changing once.
That makes O(2**m) exact work of what enumeration needs O(4**m) for.

Source: Luo and Sun, Addition Is All You Need for Energy-efficient Language Models, arXiv 2410.00907.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from formats.arithmetic.multipliers.lmul import published_offset
from formats.exact import whole

Variant = Literal["formula", "integer_add"]
VARIANTS: tuple[Variant, ...] = ("formula", "integer_add")


@dataclass(frozen=True, kw_only=True, slots=True)
class LMulError:
    """Of all 4**trailing_bits pairs of trailing fields, relative to the exact product, as exact fractions.

    bias: the mean of the error with its sign; mean: of its magnitude; worst: the largest magnitude, with `at`, the pair
    (x, y) of one product that has it, and its sign in `worst_signed`.
    """

    variant: Variant
    trailing_bits: int
    offset: int | None
    bias: Fraction
    mean: Fraction
    worst: Fraction
    worst_signed: Fraction
    at: tuple[Fraction, Fraction]


def value(x: Any, y: Any, c: Any, variant: Variant) -> Any:
    """What L-Mul makes of significands 1 + x and 1 + y with offset c: Fractions, or arrays."""
    s = x + y + c
    if variant == "formula":
        return 1 + s
    if isinstance(s, Fraction):
        return 1 + s if s < 1 else 2 * s if s < 2 else 4 * (s - 1)
    return np.where(s < 1, 1 + s, np.where(s < 2, 2 * s, 4 * (s - 1)))


def relative_error(x: Any, y: Any, c: Any, variant: Variant) -> Any:
    """e, of Fractions exactly, of arrays in float64."""
    return value(x, y, c, variant) / ((1 + x) * (1 + y)) - 1


def lmul_error(
    trailing_bits: int, offset: int | Literal["published"] | None = "published", variant: Variant = "formula"
) -> LMulError:
    """Exact errors of one L-Mul product over all pairs of significands of 1 + trailing_bits bits.

    trailing_bits: m, 1..12. offset: l, so that the constant is 2**-l; "published" for the paper's l(m), None for no
    constant at all (integer_add is then Mitchell's multiplier). An integer adder holds whole last places: l <= m there.
    Raises ValueError otherwise.
    """
    m = whole("lmul_error", "trailing_bits", trailing_bits)
    if not 1 <= m <= 12:
        raise ValueError(f"lmul_error: trailing_bits must be 1..12, got {m}; wider ones are within 1e-4 of lmul_limit")
    if variant not in VARIANTS:
        raise ValueError(f"lmul_error: variant must be formula or integer_add, got {variant!r}")
    given = published_offset(m) if offset == "published" else offset
    c = _constant("lmul_error", given)
    n = 2**m
    if variant == "integer_add" and (c * n).denominator != 1:
        raise ValueError(f"lmul_error: integer_add adds whole last places of {m} trailing bits; offset {given} is less")
    reciprocals = [Fraction(0)]  # prefix sums of 1 / (1 + i / n)
    for i in range(n):
        reciprocals.append(reciprocals[-1] + Fraction(n, n + i))
    bias = negative = Fraction(0)
    worst, at = Fraction(0), (Fraction(0), Fraction(0))
    for j in range(n):
        y = Fraction(j, n)
        for first, last in _runs(n, j, c, variant):
            # On a run, value = p + q x, so e (1 + y) = (p - q) / (1 + x) + q - (1 + y).
            x0, x1 = Fraction(first, n), Fraction(first + 1, n)
            v0 = value(x0, y, c, variant)
            q = value(x1, y, c, variant) - v0 if last > first else Fraction(0)
            q, p = q * n, v0 - q * n * x0
            inverse, rest = (p - q) / (1 + y), q / (1 + y) - 1
            bias += inverse * (reciprocals[last + 1] - reciprocals[first]) + rest * (last + 1 - first)
            e0, e1 = (relative_error(Fraction(i, n), y, c, variant) for i in (first, last))
            low, high = _negative_part(first, last, n, inverse, rest, e0, e1)
            if low <= high:
                negative += inverse * (reciprocals[high + 1] - reciprocals[low]) + rest * (high + 1 - low)
            for i, e in ((first, e0), (last, e1)):
                if abs(e) > abs(worst):
                    worst, at = e, (Fraction(i, n), y)
    return LMulError(
        variant=variant,
        trailing_bits=m,
        offset=given,
        bias=bias / n**2,
        mean=(bias - 2 * negative) / n**2,
        worst=abs(worst),
        worst_signed=worst,
        at=at,
    )


def _constant(owner: str, offset: int | None) -> Fraction:
    if offset is None:
        return Fraction(0)
    number = whole(owner, "offset", offset)
    if not 1 <= number <= 64:
        raise ValueError(f"{owner}: offset must be 1..64, None or 'published', got {offset}")
    return Fraction(1, 2**number)


def _runs(n: int, j: int, c: Fraction, variant: Variant) -> list[tuple[int, int]]:
    """First and last i of the runs in which (i + j) / n + c crosses neither 1 nor 2."""
    if variant == "formula":
        return [(0, n - 1)]
    starts = [0, *(-((-(k - c) * n) // 1) - j for k in (1, 2)), n]  # ceil((k - c) n) - j
    edges = [min(max(int(edge), 0), n) for edge in starts]
    return [(a, b - 1) for a, b in pairwise(edges) if a < b]


def _negative_part(
    first: int, last: int, n: int, inverse: Fraction, rest: Fraction, e0: Fraction, e1: Fraction
) -> tuple[int, int]:
    """First and last i of a run with e < 0 (a run itself, as e is monotone); first > last where there is none."""
    if e0 >= 0 and e1 >= 0:
        return 1, 0
    if e0 < 0 and e1 < 0:
        return first, last
    root = (-inverse / rest - 1) * n  # of e in i; rest is not 0 where e changes its sign
    below = -((-root) // 1) - 1  # the last i under the root
    return (first, int(below)) if e0 < 0 else (int(root // 1) + 1, last)


def lmul_errors_enumerated(trailing_bits: int, offset: int | None, variant: Variant) -> NDArray[np.float64]:
    """e of all pairs, [2**m, 2**m], in float64: what the exact results are checked against."""
    x = np.arange(2**trailing_bits) / 2**trailing_bits
    errors: NDArray[np.float64] = relative_error(x[:, None], x[None, :], float(_constant("lmul", offset)), variant)
    return errors


def lmul_limit(offset: int | None, variant: Variant = "formula") -> dict[str, Any]:
    """Bias and worst error of real significands, as m grows without end: sympy expressions, "bias" and "worst".

    formula: e = (c - x y) / ((1 + x) (1 + y)) falls in x and in y, as the derivative of (c - x y) / (1 + x) is
    -(y + c) / (1 + x)**2. So it lies between c, at (0, 0), and (c - 1) / 4, next to (1, 1); its mean is
    c ln(2)**2 - (1 - ln 2)**2, the integrals of 1 / (1 + x) and x / (1 + x) being ln 2 and 1 - ln 2.

    integer_add: adds J(1 - c) + 2 J(2 - c) to that mean, J(t) the integral of (x + y - t)+ / ((1 + x) (1 + y)). With w
    the density of x + y = r under the weight 1 / ((1 + x) (1 + y)), which is 2 ln(1 + r) / (2 + r) up to r = 1 and
    2 ln(2 / r) / (2 + r) above, J(t) is the integral of (r - t) w(r) from t to 2: logarithms and dilogarithms.

    Its worst is c, at (0, 0), or (1 - 6 c + c**2) / (3 - c)**2, where x = y and s = 1. Below s = 1 the error is the
    formula's: at most c, least on s = 1, and there least where x y is largest. From s = 1 to 2, with u = 1 - x and
    v = 1 - y, it is (2 c - u v) / ((2 - u) (2 - v)), whose derivative in u has the sign of c - v. So for v >= c it is
    at most that of u = 0, c / (2 - v) <= c, and least on s = 1, that is u + v = 1 + c, where u v is largest; for
    v < c it is at most that of u = 1, (2 c - v) / (2 - v) <= c, and least on s = 2, where it is positive. From s = 2,
    u + v <= c, it is (4 c - 2 (u + v) - u v) / ((2 - u) (2 - v)), positive and at most c.
    """
    import sympy as sp

    c = sp.Rational(_constant("lmul_limit", offset))
    ln2 = sp.log(2)
    mean = c * ln2**2 - (1 - ln2) ** 2
    if variant == "formula":
        return {"bias": mean, "worst": sp.Max(c, (1 - c) / 4)}
    worst = sp.Max(c, (1 - 6 * c + c**2) / (3 - c) ** 2)
    return {"bias": mean + _excess(1 - c) + 2 * _excess(2 - c), "worst": worst}


def _excess(t: Any) -> Any:
    """J(t) of lmul_limit, 0 <= t <= 2.

    From a to b: the integral of ln(2/r) is r ln(2/r) + r; of ln(2/r) / (2 + r), with v = r / 2, it is
    -(ln v ln(1 + v) + Li2(-v)); of ln(1 + r), (1 + r) ln(1 + r) - r; and of ln(1 + r) / (2 + r), with v = 1 + r,
    ln v ln(1 + v) + Li2(-v). In all, (r - t) / (2 + r) = 1 - (2 + t) / (2 + r).
    """
    import sympy as sp

    def dilog(v: Any) -> Any:
        return sp.log(v) * sp.log(1 + v) + sp.polylog(2, -v)

    def between(f: Any, a: Any, b: Any) -> Any:
        return f(b) - f(a)

    def upper(r: Any) -> Any:
        return 2 * (r * sp.log(2 / r) + r) + 2 * (2 + t) * dilog(r / 2)

    def lower(r: Any) -> Any:
        return 2 * ((1 + r) * sp.log(1 + r) - r) - 2 * (2 + t) * dilog(1 + r)

    if t >= 1:
        return between(upper, t, sp.Integer(2))
    return between(lower, t, sp.Integer(1)) + between(upper, sp.Integer(1), sp.Integer(2))
