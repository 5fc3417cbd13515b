"""Rounding to integers: clamp one step beyond the range, round by adding and taking away 1.5 * 2**(width of the float).

The sum's last place is then one, so IEEE addition itself rounds to nearest even; the other modes correct that result by
looking at which side of x it fell (the difference x - r is exact). Clamping first cannot change a code: it stops at
integers outside the range. Rounding codes: 0 ties_to_even, 1 ties_away, 2 toward_zero, 3 up, 4 down.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from formats.kernels.jit import kernel


@kernel
def round_step(y: Any, magic: Any, rounding: Any) -> Any:
    """y rounded to an integer-valued float of the same type; |y| must stay below a quarter of `magic`."""
    r = (y + magic) - magic
    if rounding == 0:
        return r
    zero, one = y - y, magic / magic
    above = one if r > y else zero  # r is above y by at most a half
    below = one if r < y else zero
    if rounding == 3:
        return r + below
    if rounding == 4:
        return r - above
    if rounding == 2:
        return (r - above) if y >= zero else (r + below)
    half = one / (one + one)
    tie_up = one if (y - r == half and y > zero) else zero
    tie_down = one if (r - y == half and y < zero) else zero
    return r + tie_up - tie_down


@kernel
def encode_integer(
    x: Any, scale: Any, low: Any, high: Any, mask: Any, magic: Any, rounding: Any, nan: Any, out: Any
) -> Any:
    """Two's complement codes of x * scale into `out`; returns whether x holds NaN.

    scale, magic: of x's own type, so that float32 stays float32.  low, high: the integer range, as that type.
    """
    seen = False
    one = magic / magic
    for i in range(x.size):
        y = x[i] * scale
        seen |= y != y
        y = min(max(y, low - one), high + one)
        r = min(max(round_step(y, magic, rounding), low), high)
        r = nan if x[i] != x[i] else r
        out[i] = np.int32(r) & mask
    return seen
