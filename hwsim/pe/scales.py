"""What a Scaled operand asks of hardware beyond its element: where its scales and zero points are applied.

A block scale is constant over `block` consecutive k, so the products of a block are summed first and one unit (edge.py)
applies both sides' scales to the sum and adds it to a float accumulator: once per block, not per MAC. A scale that
spans the whole of k (per token, channel or tensor) is applied once per result. Zero points add a correction,
sum((a - za) * (b - zb)) = sum(a * b) - za * sum(b) - zb * sum(a) + terms * za * zb, so the other side's elements are
summed too: m * k additions for the whole of a, whatever n (row_sum.py), and the rest of it is the unit's. So is a
shift, the real that some formats add to a block's values: sum(a * (s * b + h)) = s * sum(a * b) + h * sum(a).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd

import formats as nf
from formats.called import called

MAX_TERMS = 16384  # longest reduction a row sum or a default register is built for (Llama-3-8B's longest k is 14336)


@dataclass(frozen=True, kw_only=True, slots=True)
class Scales:
    """The scales of one operand. block: k values that share one; None: no scale changes along k.

    block_scale, result_scale: their formats, or None.  offset, shift: the zero point's and the shift's, or None.
    element: of the operand.
    """

    block: int | None
    block_scale: nf.Scalar | None
    result_scale: nf.Scalar | None
    offset: nf.Scalar | None
    element: nf.Scalar
    shift: nf.Scalar | None = None


def scales_of(fmt: nf.Format) -> Scales:
    """Read the scales off a format. Raises TypeError for scales that are not integers or minifloats, for sums, and for
    what there are no units for: scales of a block's negative elements, shifts under scales of their own."""
    if isinstance(fmt, nf.Sum):
        raise TypeError("MacPE: no element reads a sum of encodings at once; use a PE for each of its terms")
    if not isinstance(fmt, nf.Scaled):
        return Scales(block=None, block_scale=None, result_scale=None, offset=None, element=nf.element_of(fmt))
    if fmt.negative is not None:
        raise TypeError("MacPE: its negative elements have scales of their own, and there are units for one a block")
    shift = fmt.shift.format if fmt.shift is not None else None
    if isinstance(shift, nf.Scaled):
        raise TypeError("MacPE: what is added to its blocks has scales of its own, and there are no units for that")
    block = fmt.block.shape[-1] or None
    stored = fmt.scale.format
    outer = stored.scale.format if isinstance(stored, nf.Scaled) else None  # its block spans more than one of these
    if isinstance(outer, nf.Scaled):
        raise TypeError("MacPE: its scales are scaled more than once, and units for two levels are all there are")
    inner = nf.element_of(stored)
    offset = fmt.offset.format if fmt.offset is not None else None
    return Scales(
        block=block,
        block_scale=_checked(inner) if block else None,
        result_scale=_checked(outer) if outer is not None else _checked(inner) if block is None else None,
        offset=_checked(nf.element_of(offset)) if offset is not None else None,
        element=nf.element_of(fmt),
        shift=_checked(shift) if shift is not None else None,
    )


def _checked(fmt: nf.Scalar) -> nf.Scalar:
    if not isinstance(fmt, nf.FixedPoint | nf.Minifloat):
        raise TypeError(f"MacPE: its scales must be integers or minifloats, not {called(fmt)}")
    return fmt


def edge_every(a: Scales, b: Scales) -> int | None:
    """Terms whose scales are the same on both sides, or None where no scale changes along k."""
    blocks = [side.block for side in (a, b) if side.block is not None]
    return gcd(*blocks) if blocks else None
