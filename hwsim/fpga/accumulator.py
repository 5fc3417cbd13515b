"""Accumulator widths as published for FPGAs (FPL'24), beside the least that holds every sum.

    compare_width("e2m3fn", "e2m3fn", 4608)     # published 26, exact 25, excess 1
    excess_range("e2m3fn", "e2m3fn", 1 << 13)   # (0, 1): over all lengths up to that

The formulas are of arXiv 2311.12359 (Shedding the Bits, FPL 2024) and live in formats.analysis.widths, as does the
exact width, which looks at the codes' values. What makes the formulas wide: they take 2**exponent_bits binades, also
where the top one is Inf and NaN; they take the largest significand for a power of two; and they round the length up
to one. For integers they have a bit more than the two most negative values' product needs.
"""

from __future__ import annotations

from dataclasses import dataclass

from formats.analysis.widths import exact_width, published_widths
from formats.scalar import Scalar


@dataclass(frozen=True, kw_only=True, slots=True)
class WidthComparison:
    """published: bits by FPL'24's formula; exact: the narrowest two's complement register, in bits."""

    terms: int
    published: int
    exact: int

    @property
    def excess(self) -> int:
        """Bits the formula asks for beyond what any sum needs; negative would be a formula that overflows."""
        return self.published - self.exact


def compare_width(a: Scalar | str, b: Scalar | str, terms: int) -> WidthComparison:
    """Both widths for sums of up to `terms` products. Raises ValueError for pairs the formulas are not about."""
    published = published_widths(a, b, terms)["fpl24"]
    if published is None:
        raise ValueError(
            f"compare_width: FPL'24 has formulas for two minifloats or two integers, got {a!r} and {b!r}; "
            f"formats.analysis.exact_width takes any pair of scalars"
        )
    return WidthComparison(terms=terms, published=published, exact=exact_width(a, b, terms).bits)


def excess_range(a: Scalar | str, b: Scalar | str, most_terms: int) -> tuple[int, int]:
    """Smallest and largest excess of the formula over all lengths 1 to most_terms."""
    found = [compare_width(a, b, terms).excess for terms in _steps(a, b, most_terms)]
    return min(found), max(found)


def _steps(a: Scalar | str, b: Scalar | str, most_terms: int) -> list[int]:
    """Lengths at which one of the widths changes, and those before them: between two, both stay."""
    if most_terms < 1:
        raise ValueError(f"excess_range: most_terms must be at least 1, got {most_terms}")
    found = {1, most_terms}
    for name in ("published", "exact"):

        def width(terms: int, name: str = name) -> int:
            bits: int = getattr(compare_width(a, b, terms), name)
            return bits

        low = 1
        while width(low) < width(most_terms):
            left, right = low, most_terms  # widths do not fall: the first length that is wider than low
            while right - left > 1:
                middle = (left + right) // 2
                left, right = (left, middle) if width(middle) > width(low) else (middle, right)
            found |= {left, right}
            low = right
    return sorted(found)
