"""Rounding to nearest even by a float32 addition: on a GPU half the instructions of rounding the bits.

u + C - C with C = 2**23 last places of the result leaves u rounded to that place, ties to even: u + C lies in
[C, 2C), where float32's own last place is the wanted one and C / place = 2**23 is even, and taking C away is exact.
No product is ever fused in: u comes from integer operations. No subnormal matters: C is normal, and an u that a
device would flush to zero lies far below half the smallest step (`adds` asks for that).
"""

from __future__ import annotations

import torch

from formats.cast import Cast
from formats.torch_ops.lattice import Ends, Lattice
from formats.torch_ops.words import W32, pick, select

FIELDS = W32.infinity  # the exponent's bits


def adds(lattice: Lattice, ends: Ends, cast: Cast) -> bool:
    """Whether `nearest` rounds to a lattice: of float32, with subnormals and both signs, clipped at its ends."""
    top, bottom = lattice.limits
    return (
        lattice.word is W32
        and cast.rounding == "ties_to_even"
        and lattice.signed
        and lattice.floor == 0
        and lattice.zero
        and not lattice.half_up
        and 1 <= lattice.trailing < W32.trailing
        and lattice.plain
        and top == bottom
        and (top >> W32.trailing) + W32.trailing - lattice.trailing < 255
        and ends.over == (top, top + W32.sign)
    )


def nearest(u: torch.Tensor, lattice: Lattice) -> torch.Tensor:
    """float32 magnitude bits u rounded to nearest even on the lattice, clipped to its largest value; NaNs too."""
    kept = u.clamp(max=lattice.limits[0])  # a value of the lattice: clipping first rounds nothing else
    place = (kept & FIELDS).clamp(min=lattice.first << W32.trailing)
    big = (place + ((W32.trailing - lattice.trailing) << W32.trailing)).view(torch.float32)
    return ((kept.view(torch.float32) + big) - big).view(torch.int32)


def signed(r: torch.Tensor, w: torch.Tensor, lattice: Lattice) -> torch.Tensor:
    """Rounded magnitudes with the signs of w."""
    out = r | (w & W32.sign)
    return out if lattice.minus_zero else select(r == 0, 0, out)


def with_nans(out: torch.Tensor, w: torch.Tensor, ends: Ends) -> torch.Tensor:
    """`out` with the format's NaN, or what stands for it, where w is a NaN."""
    nan = pick(w >> 31, ends.nan[1], ends.nan[0])
    return torch.where((w & W32.magnitude) > W32.infinity, nan, out)
