"""L-Mul's published precision claims, in the paper's metric and in others.

The paper's abstract claims (arXiv 2410.00907): L-Mul of 4-bit trailing fields is as precise as multiplying float8_e4m3,
and L-Mul of 3-bit ones more precise than multiplying float8_e5m2. Its metric is the mean of (exact - approximate) with
its sign, in units of 2**(both exponents), over uniform significands whose trailing bits are cut off: errors of opposite
sign cancel, and what L-Mul adds on average makes up for what the cut takes away. `claims()` gives that figure, then
figures in which nothing cancels, and says which claim each of them confirms: against a multiplier that keeps all bits
of a product, as tensor cores and the paper's own figure have it, and against one that rounds it to its operands' width.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from formats.analysis.lmul import VARIANTS, Variant, value
from formats.arithmetic.multipliers.lmul import published_offset
from formats.exact import whole

Floats = NDArray[np.float64]
Multiplication = Variant | Literal["multiply", "multiply_rounded"]
Metric = Literal["paper", "bias", "mean", "worst", "normal_mean", "dot64"]
METRICS: dict[Metric, str] = {
    "paper": "mean of exact - approximate, cut-off uniform significands [2**exponents]",
    "bias": "magnitude of the mean relative error, significands of 11 bits rounded to nearest even",
    "mean": "mean |relative error|, significands of 11 bits rounded to nearest even",
    "worst": "worst |relative error|, significands of 11 bits rounded to nearest even",
    "normal_mean": "mean |relative error|, normal operands rounded to nearest even",
    "dot64": "NRMSE of dot products of 64 normal operands rounded to nearest even",
}
COMPARABLE = 1.1  # assumed: "comparable" is at most a tenth worse; the paper's own pair of figures is 2 % apart
ClaimName = Literal["4 bits comparable with e4m3", "3 bits better than e5m2"]
Against = Literal["multiply", "multiply_rounded"]
AGAINST: tuple[Against, ...] = ("multiply", "multiply_rounded")
# trailing bits of L-Mul, of the multiplier, and how much worse L-Mul may be (None: it must be better)
CLAIMS: dict[ClaimName, tuple[int, int, float | None]] = {
    "4 bits comparable with e4m3": (4, 3, COMPARABLE),
    "3 bits better than e5m2": (3, 2, None),
}
SEED = 1
SOURCE_BITS = 10  # trailing bits of the operands that are rounded: float16's
SAMPLES = 2**18


def operand_error(trailing_bits: int, full_bits: int = 23) -> Fraction:
    """f1(k): mean of exact - approximate of multiplying significands cut off to k trailing bits, exactly.

    x = x_k + x_r, kept and cut-off part, uniform and independent, with means (1 - 2**-k) / 2 and
    (2**-k - 2**-full_bits) / 2; f1 = E[x_k y_r + x_r y_k + x_r y_r + x_r + y_r].
    """
    k, n = whole("operand_error", "trailing_bits", trailing_bits), whole("operand_error", "full_bits", full_bits)
    if not 1 <= k <= n:
        raise ValueError(f"operand_error: needs 1 <= trailing_bits <= full_bits, got {k} and {n}")
    kept, cut = (1 - Fraction(1, 2**k)) / 2, (Fraction(1, 2**k) - Fraction(1, 2**n)) / 2
    return 2 * kept * cut + cut**2 + 2 * cut


def offset_error(trailing_bits: int, offset: int | None = None, variant: Variant = "formula") -> Fraction:
    """f2(k): mean of exact product - L-Mul over all pairs of k-bit trailing fields, exactly. offset: None for l(k).

    formula: E[x_k y_k] - 2**-l = (1 - 2**-k)**2 / 4 - 2**-l. integer_add: by the distribution of x_k + y_k.
    """
    k = whole("offset_error", "trailing_bits", trailing_bits)
    c = Fraction(1, 2 ** (published_offset(k) if offset is None else offset))
    n = 2**k
    mean = (1 - Fraction(1, n)) / 2
    if variant == "formula":
        return mean**2 - c
    total: Fraction = sum(
        (n - abs(n - 1 - r)) * value(Fraction(r, n), Fraction(0), c, variant) for r in range(2 * n - 1)
    )  # pairs of each sum
    return (1 + mean) ** 2 - Fraction(total, n**2)


def paper_error(trailing_bits: int, multiplier: Multiplication, full_bits: int = 23) -> Fraction:
    """The paper's figure: f1 of multiplying, f1 + f2 of L-Mul with l(k). It has no rounding of products."""
    if multiplier == "multiply_rounded":
        raise ValueError("paper_error: the paper's figure is of products that are not rounded; use 'multiply'")
    f1 = operand_error(trailing_bits, full_bits)
    return f1 if multiplier == "multiply" else f1 + offset_error(trailing_bits, None, multiplier)


def _rounded(x: Floats, trailing_bits: int) -> tuple[Floats, Floats]:
    """Positive reals rounded to nearest even: trailing field in [0, 1), power of two."""
    fraction, exponent = np.frexp(x)
    scaled = np.rint(np.ldexp(fraction, trailing_bits + 1))  # rint: ties to even
    fraction, carry = np.frexp(scaled)
    return 2 * fraction - 1, np.ldexp(1.0, exponent + carry - trailing_bits - 2)


def product_of_rounded(x: Floats, y: Floats, trailing_bits: int, multiplier: Multiplication) -> Floats:
    """Positive x times y by a multiplier whose operands are first rounded to nearest even; broadcasts."""
    (s, p), (t, q) = _rounded(x, trailing_bits), _rounded(y, trailing_bits)
    if multiplier == "multiply" or multiplier == "multiply_rounded":  # mypy narrows by ==
        product = (1 + s) * (1 + t) * (p * q)
        if multiplier == "multiply":
            return product
        r, power = _rounded(product, trailing_bits)
        return (1 + r) * power
    c = 2.0 ** -published_offset(trailing_bits)
    result: Floats = value(s, t, c, multiplier) * (p * q)
    return result


@cache
def measured_error(trailing_bits: int, multiplier: Multiplication, metric: Metric) -> float:
    """One figure of METRICS. bias, mean and worst are of all 2**20 pairs; the last two of a seeded sample."""
    if metric == "paper":
        return float(paper_error(trailing_bits, multiplier))
    if metric in ("bias", "mean", "worst"):
        x = 1 + np.arange(2**SOURCE_BITS) / 2**SOURCE_BITS
        error = product_of_rounded(x[:, None], x[None, :], trailing_bits, multiplier) / (x[:, None] * x[None, :]) - 1
        return float({"bias": abs(error.mean()), "mean": np.abs(error).mean(), "worst": np.abs(error).max()}[metric])
    a, b = np.random.default_rng(SEED).standard_normal((2, SAMPLES))
    exact = a * b
    made = np.sign(exact) * product_of_rounded(np.abs(a), np.abs(b), trailing_bits, multiplier)
    if metric == "normal_mean":
        return float(np.abs(made / exact - 1).mean())
    if metric != "dot64":
        raise ValueError(f"measured_error: metric must be one of {', '.join(METRICS)}, got {metric!r}")
    sums, true = made.reshape(-1, 64).sum(axis=1), exact.reshape(-1, 64).sum(axis=1)
    return float(np.sqrt(np.square(sums - true).mean() / np.square(true).mean()))


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """One published claim under one metric. lmul, multiply: the two figures; confirmed: whether the claim holds.

    against: "multiply" for exact products of rounded operands, "multiply_rounded" for products rounded like them.
    """

    claim: ClaimName
    metric: Metric
    variant: Variant
    against: Against
    lmul: float
    multiply: float
    confirmed: bool

    @property
    def ratio(self) -> float:
        """L-Mul's figure over the multiplier's."""
        return self.lmul / self.multiply


def claims() -> tuple[Claim, ...]:
    """Both claims for both variants under every metric. The paper's claims are about the formula.

    The figures of bias are magnitudes, and so is what is compared in the paper's metric.
    """
    return tuple(
        _judged(claim, metric, variant, against)
        for variant in VARIANTS
        for metric in METRICS
        for against in AGAINST
        if not (metric == "paper" and against == "multiply_rounded")
        for claim in CLAIMS
    )


def _judged(claim: ClaimName, metric: Metric, variant: Variant, against: Against) -> Claim:
    bits, other_bits, limit = CLAIMS[claim]
    ours, theirs = measured_error(bits, variant, metric), measured_error(other_bits, against, metric)
    holds = abs(ours) < abs(theirs) if limit is None else abs(ours) <= limit * abs(theirs)
    return Claim(
        claim=claim, metric=metric, variant=variant, against=against, lmul=ours, multiply=theirs, confirmed=holds
    )
