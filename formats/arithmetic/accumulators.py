"""Accumulators: how K products become one number. Descriptions only; reference.py says what they mean.

Exact, Integer, FloatChain and Kahan of one_by_one.py take one product after another; Aligned of aligned.py, and
AlignedGroups, AlignedLate and PairwiseStep of matrix_units.py, take several at once. Promotion and SplitK of
composites.py are built of them. Here is what is asked of any of them.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from functools import cache

from formats.arithmetic.aligned import Aligned, read_format
from formats.arithmetic.composites import Promotion, SplitK
from formats.arithmetic.matrix_units import AlignedGroups, AlignedLate, PairwiseStep, Steps
from formats.arithmetic.one_by_one import Exact, FloatChain, Integer, Kahan, Unordered
from formats.arithmetic.register_format import accumulator_format
from formats.block import Format
from formats.catalogue import get
from formats.minifloat import Minifloat
from formats.scalar import Scalar

__all__ = [
    "ACCUMULATORS", "Accumulator", "Aligned", "AlignedGroups", "AlignedLate", "Exact", "FloatChain", "Integer", "Kahan",
    "PairwiseStep", "Promotion", "SplitK", "Steps", "Unordered", "accumulator_bits", "aligns", "has_own_order",
    "product_range", "product_ulp_exponent", "read_format", "result_format", "start_format", "with_seed",
]  # fmt: skip

Accumulator = Exact | Integer | FloatChain | Kahan | Steps | Promotion | SplitK | Unordered
ACCUMULATORS = (
    Exact, Integer, FloatChain, Kahan, Aligned, AlignedGroups, AlignedLate, PairwiseStep, Promotion, SplitK, Unordered,
)  # fmt: skip


def has_own_order(accumulator: Accumulator) -> bool:
    """Whether the accumulator itself says which terms meet first."""
    stepped = isinstance(accumulator, Integer) and accumulator.every > 1
    return stepped or isinstance(accumulator, Steps | Promotion | SplitK | Unordered)


def aligns(accumulator: Accumulator) -> bool:
    """Whether terms are aligned by exponents that a block's scale can take part in."""
    if isinstance(accumulator, Promotion | SplitK):
        return aligns(accumulator.inner)
    return isinstance(accumulator, Aligned | AlignedGroups)


def result_format(accumulator: Accumulator) -> Minifloat | None:
    """The float format the accumulator leaves its sum in; None for Exact and Integer, whose sums are no floats."""
    if isinstance(accumulator, FloatChain | Kahan | Steps | Unordered):
        return accumulator.format
    return accumulator.outer.format if isinstance(accumulator, Promotion | SplitK) else None


def start_format(accumulator: Accumulator) -> Minifloat | None:
    """The float format a start value c must be of: the result's, but any float32 for an Aligned register of 8 exponent
    bits, which lies in 32 bits and is cut off like every other term."""
    fmt = result_format(accumulator)
    if isinstance(accumulator, Aligned) and accumulator.format.exponent_bits == 8:
        fmt = accumulator_format("Aligned", "float32")
    return fmt


def with_seed(accumulator: Accumulator, seed: int) -> Accumulator:
    """The accumulator with the seed of its stochastic additions."""
    if isinstance(accumulator, FloatChain):
        return FloatChain(accumulator.format, accumulator.rounding, accumulator.overflow, accumulator.random_bits, seed)
    if isinstance(accumulator, Promotion | SplitK):
        inner, outer = with_seed(accumulator.inner, seed), with_seed(accumulator.outer, seed)
        return replace(accumulator, inner=inner, outer=outer)  # type: ignore[arg-type]
    return accumulator


def product_ulp_exponent(a: Scalar, b: Scalar) -> int:
    """Every product of finite values of a and b is a whole multiple of 2**this."""
    return a.ulp_exponent + b.ulp_exponent


def product_range(a: Scalar, b: Scalar) -> tuple[Fraction, Fraction]:
    """Smallest and largest product of values an encoder of a and an encoder of b produce."""
    corners = [x * y for x in (a.min_finite, a.max_finite) for y in (b.min_finite, b.max_finite)]
    return min(corners), max(corners)


def accumulator_bits(a: Scalar | str, b: Scalar | str, accumulator: Accumulator) -> int:
    """Width of the register in bits.

    Exact(max_terms=n): the narrowest two's complement register, in units of the product's last place, that holds every
    sum of n products. It follows from the formats' extremes; one more bit for the sign and none for luck.
    Raises ValueError for Exact() without max_terms: such a register has no width.
    """
    return _bits(get(a), get(b), accumulator)


@cache
def _bits(fa: Format, fb: Format, accumulator: Accumulator) -> int:
    if not (isinstance(fa, Scalar) and isinstance(fb, Scalar)):
        raise ValueError(f"accumulator_bits: needs scalar formats, got {fa!r} and {fb!r}; pass their elements")
    if isinstance(accumulator, Integer):
        return accumulator.bits
    if isinstance(accumulator, Promotion | SplitK):
        return accumulator_bits(fa, fb, accumulator.outer)
    if isinstance(accumulator, FloatChain | Steps | Unordered):
        return accumulator.format.bits
    if isinstance(accumulator, Kahan):
        return 2 * accumulator.format.bits
    if accumulator.max_terms is None:
        raise ValueError("accumulator_bits: Exact() has no width; pass Exact(max_terms=...)")
    unit = Fraction(2) ** product_ulp_exponent(fa, fb)
    low, high = (int(corner / unit) * accumulator.max_terms for corner in product_range(fa, fb))
    return 1 + max(high.bit_length(), (-low - 1).bit_length() if low < 0 else 0)
