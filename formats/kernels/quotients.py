"""Elements relative to scales that are no powers of two: quotients, and comparisons that need none.

A code depends on the exact quotient x / s. Three ways to it, all exact:
- `divide`: the float64 quotient rounded to odd, after which rounding to fewer bits is the only rounding there is;
- `nearest_integers`, `nearest_minifloats`: the float32 product x * fl(1 / s) lies within four float32 steps of the
  exact quotient; a cast is monotone, so where both ends of that interval have one code the quotient has it too, and
  only the few elements beside a threshold are divided;
- `count_passed`: a threshold t is passed where x > t * s, and t * s is known exactly as a sum of two float64.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from formats.kernels.fixed_point import round_step
from formats.kernels.jit import kernel
from formats.kernels.minifloat import code32_nearest, code64, plan32, plan64

I32, I64, F32 = np.int32, np.int64, np.float32


@kernel
def divide(x: Any, scale: Any, out: Any) -> None:
    """out = x / scale per block in float64, inexact quotients rounded to odd, so that a later rounding is the only one.

    For float32 x and scales within 2**+-500; `divide_any` takes all. A zero scale leaves zero (its block is all zero).
    """
    for b in range(x.shape[0]):
        s = scale[b]
        for i in range(x.shape[1]):
            v = np.float64(x[b, i])
            out[b, i] = v * 0.0 if s == 0.0 else v if s == 1.0 else odd_quotient(v, s)


@kernel
def divide_any(x: Any, scale: Any, out: Any) -> None:
    """`divide` for any float64: by significands, whose quotients neither over- nor underflow."""
    for b in range(x.shape[0]):
        fs, es = math.frexp(scale[b])
        for i in range(x.shape[1]):
            v = np.float64(x[b, i])
            if scale[b] == 0.0 or v == 0.0 or not np.isfinite(v):
                out[b, i] = v * 0.0 if np.isfinite(v) else v
            else:
                fv, ev = math.frexp(v)
                out[b, i] = odd_ldexp(odd_quotient(fv, fs), ev - es)


@kernel
def odd_ldexp(q: Any, e: Any) -> Any:
    """q * 2**e for q within 1/2..2, rounded to odd among the subnormals; beyond float64 its largest number (odd)."""
    r = math.ldexp(q, e)
    if np.isinf(r):
        return math.copysign(1.7976931348623157e308, q)
    if e > -1020:
        return r
    back = math.ldexp(r, -e)  # exact: r is zero or within a factor of two of q * 2**e
    bits = np.float64(r).view(np.int64)
    if back == q or bits & 1:
        return r
    return np.int64(bits + (1 if abs(back) < abs(q) else -1)).view(np.float64)


@kernel
def odd_quotient(v: Any, s: Any) -> Any:
    """v / s rounded to odd: exact quotients as they are, others with the last bit set, between the same neighbours.

    Dekker's product makes the remainder exact where nothing over- or underflows. Specials come through.
    """
    q = v / s
    high, low = split_product(q, s)
    remainder = (v - high) - low
    if remainder == 0.0 or not np.isfinite(high):
        return q
    bits = np.float64(q).view(np.int64)
    if bits & 1:
        return q
    toward_larger = (remainder > 0.0) == (s > 0.0)  # the exact quotient is above q
    grows = toward_larger == (q >= 0.0)
    return np.int64(bits + (1 if grows else -1)).view(np.float64)


@kernel
def split_product(a: Any, b: Any) -> Any:
    """Dekker: a * b = high + low exactly."""
    high = a * b
    factor = 134217729.0  # 2**27 + 1
    ca, cb = factor * a, factor * b
    ah, bh = ca - (ca - a), cb - (cb - b)
    al, bl = a - ah, b - bh
    return high, ((ah * bh - high) + ah * bl + al * bh) + al * bl


@kernel
def odd_any(v: Any, s: Any) -> Any:
    """`divide_any` of one number."""
    if s == 0.0 or v == 0.0 or not np.isfinite(v):
        return v * 0.0 if np.isfinite(v) else v
    fv, ev = math.frexp(v)
    fs, es = math.frexp(s)
    return odd_ldexp(odd_quotient(fv, fs), ev - es)


@kernel
def nearest_integers(
    x: Any, scale: Any, zero: Any, step: Any, low: Any, high: Any, reach: Any, mask: Any, away: Any, codes: Any
) -> None:
    """Two's complement codes of round(x / scale * step) + zero, for finite float32 x and ties to even or away.

    scale, zero: float64 and integer-valued float32, one a row.  step, low, high: float32.  mask: of a code's bits.
    With r = fl(1 / scale) the float32 product y = x * r has two roundings more than the quotient, so |y - x / scale| is
    below 3 * 2**-24 * |y|, and `margin` is above that for all |y| <= reach. Where y is that close to a half, the
    quotient is computed. From `reach` on y is clamped: with any of the zero points it is out of the range already.
    """
    magic = F32(12582912.0)  # 1.5 * 2**23
    half = F32(0.5)
    margin = reach * F32(2.0**-21)
    for b in range(x.shape[0]):
        s, z = scale[b], zero[b]
        quick = 2.0**-100 < s < 2.0**100
        r = F32(F32(1.0 / s) * step) if quick else F32(0.0)
        for start in range(0, x.shape[1], 256):
            row, target = x[b, start : start + 256], codes[b, start : start + 256]
            near = not quick
            if quick:
                for i in range(row.size):
                    y = min(max(row[i] * r, -reach), reach)
                    k = (y + magic) - magic
                    near |= abs(abs(y - k) - half) < margin
                    target[i] = I32(min(max(k + z, low), high)) & mask
            if near:
                for i in range(row.size):
                    q = odd_any(np.float64(row[i]), s) * np.float64(step)
                    q = min(max(q, -np.float64(reach)), np.float64(reach))
                    k = F32(round_step(q, 6755399441055744.0, away))  # 1.5 * 2**52
                    target[i] = I32(min(max(k + z, low), high)) & mask


@kernel
def nearest_minifloats(x: Any, scale: Any, plan: Any, codes: Any) -> None:
    """Minifloat codes of x / scale for finite float32 x and nearest rounding; plan made for float32.

    The product y = x * fl(1 / scale) and its neighbours four steps away are cast. Below 2**-100 steps are not what they
    are above, and all is far below the smallest threshold of a plan whose g is 27 or more (`is_plain`).
    """
    p, p64 = plan32(plan), plan64(plan)
    q64 = (
        p64[0], p64[1] + 896, p64[2], p64[3], p64[4], p64[5], p64[6], p64[7],
        p64[8], p64[9], p64[10], p64[11], p64[12], p64[13], p64[14], p64[15],
    )  # fmt: skip
    four = I32(4)
    for b in range(x.shape[0]):
        s = scale[b]
        quick = 2.0**-100 < s < 2.0**100
        r = F32(1.0 / s) if quick else F32(0.0)
        for start in range(0, x.shape[1], 256):
            row, target = x[b, start : start + 256], codes[b, start : start + 256]
            differ = I32(0)
            if quick:
                for i in range(row.size):
                    w = F32(row[i] * r).view(I32)
                    below = code32_nearest(I32(w - min(four, I32(w & I32(0x7FFFFFFF)))), p)
                    above = code32_nearest(I32(w + four), p)
                    differ = I32(differ | I32(below ^ above))
                    target[i] = above
            if not quick or differ != I32(0):
                for i in range(row.size):
                    target[i] = code64(np.float64(odd_any(np.float64(row[i]), s)).view(np.int64), q64)


@kernel
def last_float32(high: Any, low: Any, owned: Any) -> Any:
    """The largest float32 x with x <= high + low, or x < high + low if not owned, |low| below half an ulp of high.

    Without branches, so that a loop over thresholds becomes vectors.
    """
    c = F32(high)
    up = np.float64(c)
    beyond = I32(up > high) | (I32(up == high) & (I32(low < 0.0) | (I32(low == 0.0) & I32(1 - owned))))
    bits = c.view(I32)
    negative = I32(bits >> I32(31))
    zero = I32(I32(bits & I32(0x7FFFFFFF)) == I32(0))
    step = I32(I32(-1) - I32(negative << I32(1)))  # one place towards minus infinity
    below = I32(-0x7FFFFFFF) if zero else I32(bits + step)
    return I32(below if beyond else bits).view(F32)


@kernel
def count_passed(x: Any, scale: Any, thresholds: Any, owned: Any, codes: Any, short: Any, out: Any) -> None:
    """Codes by counting the thresholds that x / scale passes, for finite float32 x and up to 16 intervals.

    thresholds: ascending float64, 15 of them (the missing ones infinite).  owned: 1 where the interval below a
    threshold has it.  codes: one an interval.  short: whether every threshold * scale is a float64.  Scales must lie
    within 2**+-500, thresholds within 2**+-400 or be zero; a zero scale belongs to a block of zeros.
    """
    in_order = True
    for j in range(codes.size):
        in_order &= codes[j] == j
    t = np.empty(15, F32)
    for b in range(x.shape[0]):
        s = scale[b] if scale[b] != 0.0 else 1.0
        if short:
            for j in range(15):
                t[j] = last_float32(thresholds[j] * s, 0.0, owned[j])
        else:
            for j in range(15):
                high, low = split_product(thresholds[j], s)
                t[j] = last_float32(high, low, owned[j])
        t0, t1, t2, t3, t4, t5, t6, t7 = t[0], t[1], t[2], t[3], t[4], t[5], t[6], t[7]
        t8, t9, t10, t11, t12, t13, t14 = t[8], t[9], t[10], t[11], t[12], t[13], t[14]
        row, target = x[b], out[b]
        for i in range(row.size):
            v = row[i]
            at = I32(v > t0)
            at = I32(at + I32(v > t1))
            at = I32(at + I32(v > t2))
            at = I32(at + I32(v > t3))
            at = I32(at + I32(v > t4))
            at = I32(at + I32(v > t5))
            at = I32(at + I32(v > t6))
            at = I32(at + I32(v > t7))
            at = I32(at + I32(v > t8))
            at = I32(at + I32(v > t9))
            at = I32(at + I32(v > t10))
            at = I32(at + I32(v > t11))
            at = I32(at + I32(v > t12))
            at = I32(at + I32(v > t13))
            at = I32(at + I32(v > t14))
            target[i] = at
        if not in_order:
            for i in range(row.size):
                target[i] = codes[target[i]]
