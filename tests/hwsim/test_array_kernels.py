"""The arithmetic inside a simulated PE, against Fractions and Python integers."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import formats as nf
from hwsim.array import kernels
from hwsim.array.datapath import rounding_table
from hwsim.array.registers import OVERFLOW_ERROR, OVERFLOW_NONE, OVERFLOW_SATURATE, OVERFLOW_WRAP

FORMATS = ["float32", "bfloat16", "float16", "e5m2", "e3m4:ieee"]


def nearest(x: Fraction, fmt: nf.Minifloat) -> float:
    """x to the nearest value, ties to even, by walking to the two neighbours; beyond the range infinity."""
    quantum = Fraction(2) ** fmt.ulp_exponent
    while abs(x) / quantum >= 2 ** (fmt.trailing_significand_bits + 1):
        quantum *= 2
    low = math.floor(x / quantum)
    rest = x / quantum - low
    up = rest > Fraction(1, 2) or (rest == Fraction(1, 2) and low % 2 == 1)
    value = (low + up) * quantum
    return math.copysign(math.inf, x) if abs(value) > fmt.max_finite else float(value)


def values_of(fmt: nf.Minifloat, draw: Any) -> float:
    """A value of the format: any code with a finite value."""
    code = draw(st.integers(0, fmt.max_magnitude_code))
    value = fmt.value(code | (draw(st.integers(0, 1)) << (fmt.bits - 1)))
    assert isinstance(value, nf.Dyadic)
    return float(value)


@pytest.mark.parametrize("name", FORMATS)
def test_a_float_sum_is_rounded_once(name: str) -> None:
    fmt = nf.get(name)
    assert isinstance(fmt, nf.Minifloat)
    magic = rounding_table(fmt)

    @settings(max_examples=300, deadline=None)
    @given(st.data())
    def check(data: Any) -> None:
        x = values_of(fmt, data.draw)
        # a product of two 24-bit significands, often just beside a tie of x's neighbours
        significand = data.draw(st.integers(-(2**48), 2**48))
        y = math.ldexp(significand, data.draw(st.integers(-150 - 48, 40)))
        expected = nearest(Fraction(x) + Fraction(y), fmt)
        assert kernels.add_float(x, y, magic) == expected or Fraction(x) + Fraction(y) == 0

    check()


@pytest.mark.parametrize("name", FORMATS)
def test_ties_and_their_neighbours(name: str) -> None:
    """Beside every kind of threshold: the tie, and the tie moved by the smallest float64, up and down."""
    fmt = nf.get(name)
    assert isinstance(fmt, nf.Minifloat)
    magic, checked = rounding_table(fmt), 0
    normal, top = 2**fmt.trailing_significand_bits, fmt.max_magnitude_code
    codes = {0, 1, 2, 3, normal - 1, normal, top - 1, top}
    for code in codes:
        low, high = fmt.magnitude(code).fraction, fmt.magnitude(code + 1).fraction  # the lattice beyond the top too
        tie = float((low + high) / 2)
        for x in (tie, math.nextafter(tie, math.inf), math.nextafter(tie, 0.0)):
            for sign in (1.0, -1.0):
                for rest in (0.0, 2.0**-1000, -(2.0**-1000)):  # far below x's last place
                    got = kernels.add_float(sign * x, rest, magic)
                    assert got == nearest(Fraction(sign * x) + Fraction(rest), fmt), (sign * x, rest)
                    checked += 1
    assert checked == 18 * len(codes)


def test_signs_of_zero_infinity_and_nan() -> None:
    magic = rounding_table(nf.get("float16"))
    assert math.copysign(1, kernels.add_float(-0.0, -0.0, magic)) == -1
    assert math.copysign(1, kernels.add_float(-0.0, 0.0, magic)) == 1
    assert math.copysign(1, kernels.add_float(1.0, -1.0, magic)) == 1
    assert math.copysign(1, kernels.add_float(0.0, -(2.0**-30), magic)) == -1
    assert kernels.add_float(math.inf, -65504.0, magic) == math.inf
    assert kernels.add_float(-65504.0, -65504.0, magic) == -math.inf
    assert math.isnan(kernels.add_float(math.inf, -math.inf, magic))


# ---------------------------------------------------------------- limbs


def split(integer: int, count: int) -> np.ndarray[Any, Any]:
    limbs = [(integer >> 32 * j) & (2**32 - 1) for j in range(count - 1)]
    return np.array([*limbs, integer >> 32 * (count - 1)], np.int64)


def joined(limbs: np.ndarray[Any, Any]) -> int:
    return sum(int(limb) << 32 * j for j, limb in enumerate(limbs))


@settings(max_examples=500, deadline=None)
@given(st.data())
def test_limbs_add_as_integers_do(data: Any) -> None:
    count = data.draw(st.integers(1, 5))
    top = 32 * count - 1
    start = data.draw(st.integers(-(2 ** (top - 1)), 2 ** (top - 1) - 1))
    bits = data.draw(st.integers(0, min(62, top - 1)))
    term = data.draw(st.integers(-(2**bits) + 1, 2**bits - 1))
    shift = data.draw(st.integers(0, top - 1 - bits))
    limbs = split(start, count)
    kernels.add_shifted(limbs, term, shift)
    assert joined(limbs) == start + (term << shift)
    assert all(0 <= limb < 2**32 for limb in limbs[:-1])


@settings(max_examples=500, deadline=None)
@given(st.data())
def test_limbs_are_limited_as_integers_are(data: Any) -> None:
    count = data.draw(st.integers(1, 4))
    bits = data.draw(st.integers(2, 32 * count))
    edge = data.draw(st.sampled_from([0, 2 ** (bits - 1), -(2 ** (bits - 1)), 2**bits]))
    integer = edge + data.draw(st.integers(-3, 3) | st.integers(-(2 ** (32 * count - 1)), 2 ** (32 * count - 1)))
    integer = max(-(2 ** (32 * count)), min(2 ** (32 * count), integer))
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    expected = {
        OVERFLOW_NONE: integer,
        OVERFLOW_WRAP: (integer - low) % 2**bits + low,
        OVERFLOW_SATURATE: max(low, min(high, integer)),
        OVERFLOW_ERROR: integer,
    }
    for rule, value in expected.items():
        limbs = split(integer, count)
        fits = kernels.limit_limbs(limbs, np.array([rule, bits]))
        assert joined(limbs) == value
        assert fits == (rule != OVERFLOW_ERROR or low <= integer <= high)
        assert all(0 <= limb < 2**32 for limb in limbs[:-1])


@settings(max_examples=300, deadline=None)
@given(st.integers(2, 63), st.integers(-(2**62), 2**62 - 1), st.integers(-(2**62), 2**62 - 1))
def test_int64_sums_are_limited_as_integers_are(bits: int, x: int, y: int) -> None:
    total, low = x + y, -(2 ** (bits - 1))
    assert kernels.limit_integer(total, OVERFLOW_WRAP, bits) == (total - low) % 2**bits + low
    assert kernels.limit_integer(total, OVERFLOW_SATURATE, bits) == max(low, min(-low - 1, total))
    assert kernels.limit_integer(total, OVERFLOW_NONE, bits) == total
    assert kernels.fits_integer(total, OVERFLOW_ERROR, bits) == (low <= total < -low)
