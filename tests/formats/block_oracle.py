"""Block formats from their definitions, one block at a time in Fractions: scale, zero point, codes and values.

Nothing here shares code with formats/rules, formats/blocks or a kernel. Sources: OCP MX v1.0 section 6.3 for
floor; torchao's mx_tensor.py for ceil, even and rceil; `formats.Scaled` for absmax.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

import formats as nf
from tests.formats.oracle import definition, rounded, special

TWO = Fraction(2)
FLT_MAX = (2 - TWO**-23) * TWO**127
END = TWO**1024  # of float64


@cache
def power(e: int) -> Fraction:
    """2**e."""
    return TWO**e


def floor_log2(x: Fraction) -> int:
    """The e with 2**e <= x < 2**(e + 1)."""
    e = x.numerator.bit_length() - x.denominator.bit_length()
    return e if power(e) <= x else e - 1


def nearest_float(x: Fraction, precision: int, lowest: int) -> Fraction:
    """x >= 0 to nearest even with that many significant bits, all of them multiples of 2**lowest; no upper end."""
    if x == 0:
        return x
    unit = power(max(floor_log2(x) - precision + 1, lowest))
    places = x / unit
    return x if places.denominator == 1 else round(places) * unit  # Python rounds Fractions half to even


def float32(x: Fraction) -> Fraction:
    """|x| as a float32, beyond the largest one included."""
    return nearest_float(abs(x), 24, -149)


def power_of_two_code(rule: str, amax: Fraction, element: Any) -> int:
    """E8M0 code of a block of finite numbers."""
    if amax == 0:
        return 0
    top, exact = element.max_finite, amax
    if rule == "rceil":
        largest = (2 - TWO**-23) * TWO**127
        quotient = float32(min(float32(amax), largest) * float32(1 / top))
        exponent = floor_log2(quotient) if quotient else -200
        exponent += quotient != power(exponent)
    else:
        if rule == "even":  # to the element's significand, halves up
            minifloat = isinstance(element, nf.Minifloat)
            m = element.trailing_significand_bits if minifloat else floor_log2(top) - element.ulp_exponent
            amax = amax + power(floor_log2(amax) - m - 1)
        exponent = floor_log2(amax)
        exponent += rule == "ceil" and amax != power(exponent)
        exponent -= floor_log2(top)
    largest_code = 254 - max(floor_log2(top), 0) if exact <= FLT_MAX else 254  # every element finite in float32
    return max(0, min(largest_code, exponent + 127))


def stored_scale(ideal: Fraction, fmt: Any) -> Fraction:
    """A positive real as a scale of that float format: nearest, saturating, never zero."""
    if ideal == 0:
        return ideal if getattr(fmt, "zero", True) else fmt.min_positive
    if isinstance(fmt, nf.FixedPoint):
        return min(max(Fraction(round(ideal)), Fraction(1)), fmt.max_finite)
    if fmt.bits <= 8:
        value = definition(fmt, rounded(fmt, ideal, False, nf.Cast()))
        return value or fmt.min_positive
    value = nearest_float(ideal, fmt.trailing_significand_bits + 1, fmt.ulp_exponent)
    return min(max(value, fmt.min_positive), fmt.max_finite)


Value = Fraction | float | None


@dataclass(frozen=True)
class BlockAnswer:
    """scale: value, None for NaN.  codes, values: per element; a value of None is NaN, a float an infinity."""

    scale: Fraction | None
    codes: list[int]
    values: list[Value]


def random_word(seed: int, index: int) -> int:
    """The 32 random bits of an element: the published hash, on Python integers."""

    def mix(u: int) -> int:
        u ^= u >> 16
        u = u * 0x7FEB352D % 2**32
        u ^= u >> 15
        u = u * 0x846CA68B % 2**32
        return u ^ u >> 16

    key = mix(mix(seed % 2**32) ^ seed >> 32)
    return mix(mix(index % 2**32) ^ mix(((index >> 32) + 0x9E3779B9) % 2**32) ^ key)


def encode_block(
    fmt: nf.Scaled, block: Sequence[float], cast: nf.Cast, scale: Fraction | None = None, first: int = 0
) -> BlockAnswer:
    """One block under rules floor, ceil, even, rceil or absmax.

    scale: given by an outer level of scales.  first: index in its array of the block's first element, the others
    following, for the random bits of a stochastic cast.
    """
    drawn = [0] * len(block)
    if cast.stochastic:
        drawn = [random_word(cast.seed, first + i) >> 32 - cast.random_bits for i in range(len(block))]
    if fmt.rule != "absmax":
        return _power_of_two_block(fmt, block, cast, drawn)
    reals = [Fraction(float(x)) if np.isfinite(x) else Fraction(0) for x in block]
    low, high = min([*reals, Fraction(0)]), max([*reals, Fraction(0)])
    element = fmt.element
    if scale is None:
        steps = element.max_finite - element.min_finite if fmt.offset else element.max_finite
        extent = high - low if fmt.offset else max(high, -low)
        scale = stored_scale(extent / steps, fmt.scale.format)
        if extent <= FLT_MAX and scale * steps >= TWO**128 - TWO**103:  # float32 infinity: one step down
            scale -= power(floor_log2(scale) - fmt.scale.format.trailing_significand_bits)
    zero = Fraction(0)
    unit = power(element.ulp_exponent)
    if fmt.offset and scale:
        integer = element.min_integer + _rounded_integer(-low / scale / unit, nf.Cast())
        held: Any = fmt.offset.format
        zero = max(held.min_integer, min(held.max_integer, integer)) * unit
    codes: list[int] = []
    for x, real, random in zip(block, reals, drawn, strict=True):
        if np.isnan(x):
            nan = special(element, "nan", bool(np.signbit(x)), cast)
            codes.append(int(zero / unit) % 2**element.bits if fmt.offset and cast.nan != "max" else nan)
            continue
        quotient = real / scale if scale else Fraction(0)
        if fmt.offset:
            places = _rounded_integer(quotient / unit, cast, random) + zero / unit
            clamped = max(Fraction(element.min_integer), min(Fraction(element.max_integer), places))
            codes.append(int(clamped) % 2**element.bits)
        else:
            codes.append(rounded(element, quotient, bool(np.signbit(x)), cast, random))
    return BlockAnswer(scale, codes, [_value(element, code, scale, zero) for code in codes])


def _rounded_integer(x: Fraction, cast: nf.Cast, random: int = 0) -> int:
    if cast.rounding.startswith("stochastic"):
        near, part = divmod(abs(x), 1)
        n = 2**cast.random_bits
        far = {
            "a": part * n // 1 + random >= n,
            "b": part * 2 * n // 1 + 2 * random + 1 >= 2 * n,
            "c": round(part * n) + random >= n,
        }[cast.rounding[-1]]
        return (int(near) + far) * (1 if x >= 0 else -1)
    floor = x.numerator // x.denominator
    rest = x - floor
    if rest == 0:
        return floor
    half = Fraction(1, 2)
    up = {
        "up": True,
        "down": False,
        "toward_zero": x < 0,
        "ties_to_even": rest > half or (rest == half and floor % 2 == 1),
        "ties_away": rest > half or (rest == half and x > 0),
        "to_odd": floor % 2 == 0,
    }[cast.rounding]
    return floor + up


@cache
def _defined(element: Any) -> tuple[float | Fraction, ...]:
    """The definition of every code."""
    return tuple(definition(element, code) for code in range(2**element.bits))


def _value(element: Any, code: int, scale: Fraction, zero: Fraction) -> Value:
    small = element.bits <= 12 and not isinstance(element, nf.Codebook)
    value = _defined(element)[code] if small else definition(element, code)
    if isinstance(value, float):
        return Fraction(0) if value == 0 else None if np.isnan(value) else value  # an infinity stays one
    return (value - zero) * scale


def _power_of_two_block(fmt: nf.Scaled, block: Sequence[float], cast: nf.Cast, drawn: Sequence[int]) -> BlockAnswer:
    named = cast.nan in ("zero", "max")
    if np.isinf(block).any() or (np.isnan(block).any() and not named):
        return BlockAnswer(None, [0] * len(block), [None] * len(block))
    reals = [Fraction(0) if np.isnan(x) else Fraction(float(x)) for x in block]
    scale = power(power_of_two_code(fmt.rule, max(map(abs, reals)), fmt.element) - 127)
    codes = [
        special(fmt.element, "nan", bool(np.signbit(x)), cast)
        if np.isnan(x)
        else rounded(fmt.element, r / scale, bool(np.signbit(x)), cast, random)
        for x, r, random in zip(block, reals, drawn, strict=True)
    ]
    return BlockAnswer(scale, codes, [_value(fmt.element, code, scale, Fraction(0)) for code in codes])


def block_of_elements(shape: tuple[int, ...], block: nf.Block, axis: int) -> tuple[NDArray[np.int64], tuple[int, ...]]:
    """For each element of an array the number of its block, and the grid the blocks form (the axis last)."""
    owner = np.empty(shape, np.int64)
    axes = [a for a in range(len(shape)) if a != axis % len(shape)] + [axis % len(shape)]
    extents = [int(np.prod(shape))] if block.flat else [shape[a] for a in axes]
    steps = [1] * (len(extents) - len(block.shape)) + list(block.shape)
    steps = [extent if step == 0 else step for extent, step in zip(extents, steps, strict=True)]
    grid = tuple(-(-extent // step) for extent, step in zip(extents, steps, strict=True))
    for flat, index in enumerate(product(*map(range, shape))):
        place = [flat] if block.flat else [index[a] for a in axes]
        number = 0
        for coordinate, step, count in zip(place, steps, grid, strict=True):
            number = number * count + coordinate // step
        owner[index] = number
    return owner, grid


def to_dtype(values: Sequence[Value], dtype: Any) -> NDArray[Any]:
    """Exact values rounded once to float32 or float64."""
    precision, lowest = (24, -149) if dtype == np.float32 else (53, -1074)
    out = []
    for value in values:
        if not isinstance(value, Fraction):
            out.append(np.nan if value is None else value)
            continue
        magnitude = nearest_float(abs(value), precision, lowest)
        number = float(magnitude) if magnitude < END else np.inf
        out.append(-number if value < 0 else number)
    with np.errstate(over="ignore"):
        return np.array(out, np.float64).astype(dtype)
