"""Whether every value of one format is a value of another, so that a PE built for that one takes it unchanged."""

from __future__ import annotations

import formats as nf
from formats.elements import Element


def embeds(inner: nf.Format | Element, outer: nf.Format | Element) -> bool:
    """Whether every finite value of inner is one of outer, scales being the same."""
    if inner == outer:
        return True
    if isinstance(inner, nf.Scaled) or isinstance(outer, nf.Scaled):
        if not (isinstance(inner, nf.Scaled) and isinstance(outer, nf.Scaled)):
            return False
        parts = [(fmt.scale, fmt.block, fmt.offset, fmt.shift, fmt.negative) for fmt in (inner, outer)]
        same = parts[0] == parts[1]
        return same and embeds(inner.element, outer.element)
    if isinstance(inner, nf.FixedPoint) and isinstance(outer, nf.FixedPoint):
        fits = outer.min_finite <= inner.min_finite and inner.max_finite <= outer.max_finite
        return fits and inner.ulp_exponent >= outer.ulp_exponent
    if isinstance(inner, nf.Minifloat) and isinstance(outer, nf.Minifloat):
        return (
            inner.trailing_significand_bits <= outer.trailing_significand_bits
            and outer.min_finite <= inner.min_finite
            and inner.max_finite <= outer.max_finite
            and inner.ulp_exponent >= outer.ulp_exponent
        )
    return False
