"""Rounding to integers: clamp one step beyond the range, round by adding and taking away 1.5 * 2**(width of the float).

The sum's last place is then one, so IEEE addition itself rounds to nearest even; the other modes correct that result by
looking at which side of x it fell (the difference x - r is exact). Clamping first cannot change a code: it stops at
integers outside the range. Rounding codes: 0 ties_to_even, 1 ties_away, 2 toward_zero, 3 up, 4 down, 5 to_odd.

Stochastic rounding compares the fraction of |y|, which is exact, with a threshold made of the random bits: a fraction
of N + 1 bits, exact in float32 up to N = 23 and in float64 for all 32.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from formats.kernels.jit import kernel
from formats.kernels.random import fill

I32, U32, F32 = np.int32, np.uint32, np.float32
I64 = np.int64


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
    if rounding == 5:
        half = r / (one + one)
        even = one if (half + magic) - magic == half else zero
        return r + even * (below - above)
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


@kernel
def stochastic_step(y: Any, drawn: Any, unit: Any, strict: Any, magic: Any) -> Any:
    """y rounded to an integer-valued float: away from zero if its fraction is at least 1 - drawn * unit.

    drawn: R for a; 2 * R + 1, in units of half a place, for b and c.  strict: whether it must be above (c, odd R).
    """
    one = magic / magic
    size = abs(y)
    nearest = (size + magic) - magic
    floor = nearest - one if nearest > size else nearest
    part, threshold = size - floor, one - drawn * unit
    away = (part > threshold) | ((part == threshold) & (strict == 0))
    step = floor + one if away else floor
    return step if y >= 0 else -step


@kernel
def encode_integer_stochastic32(
    x: Any, scale: Any, low: Any, high: Any, mask: Any, magic: Any, nan: Any, random: Any, draws: Any, first: Any,
    salt: Any, out: Any,
) -> Any:  # fmt: skip
    """encode_integer of a float32 vector with random bits, N up to 23; random .. salt as in minifloat.py."""
    seen = False
    n, kind = I32(random[0]), I32(random[1])
    half_place, tie_matters = I32(kind != I32(0)), I32(kind == I32(2))
    one = F32(1.0)
    unit = F32(one / F32(I32(1) << I32(n + half_place)))
    room = np.empty(4096, np.uint32)
    for start in range(0, x.size, 4096):
        piece, codes = x[start : start + 4096], out[start : start + 4096]
        r = draws[start : start + piece.size] if draws.size else room[: piece.size]
        if draws.size == 0:
            fill(U32(first + U32(start)), salt, r)
        for i in range(piece.size):
            y = piece[i] * scale
            seen |= y != y
            y = min(max(y, low - one), high + one)
            used = I32(U32(r[i] >> U32(I32(32) - n)))
            drawn = F32(I32(I32(used << half_place) | half_place))
            rounded = stochastic_step(y, drawn, unit, I32(used & tie_matters), magic)
            rounded = min(max(rounded, low), high)
            rounded = nan if piece[i] != piece[i] else rounded
            codes[i] = np.int32(rounded) & mask
    return seen


@kernel
def encode_integer_stochastic64(
    x: Any, scale: Any, low: Any, high: Any, mask: Any, magic: Any, nan: Any, random: Any, draws: Any, first: Any,
    salt: Any, out: Any,
) -> Any:  # fmt: skip
    """encode_integer_stochastic32 for float64, N up to 32."""
    seen = False
    n, kind = random[0], random[1]
    half_place, tie_matters = I64(kind != 0), I64(kind == 2)
    unit = 1.0 / np.float64(I64(1) << (n + half_place))
    room = np.empty(4096, np.uint32)
    for start in range(0, x.size, 4096):
        piece, codes = x[start : start + 4096], out[start : start + 4096]
        r = draws[start : start + piece.size] if draws.size else room[: piece.size]
        if draws.size == 0:
            fill(U32(first + U32(start)), salt, r)
        for i in range(piece.size):
            y = piece[i] * scale
            seen |= y != y
            y = min(max(y, low - 1.0), high + 1.0)
            used = I64(r[i]) >> (I64(32) - n)
            drawn = np.float64((used << half_place) | half_place)
            rounded = min(max(stochastic_step(y, drawn, unit, used & tie_matters, magic), low), high)
            rounded = nan if piece[i] != piece[i] else rounded
            codes[i] = np.int32(rounded) & mask
    return seen
