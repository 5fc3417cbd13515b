"""Bit planes and what is computed on them, against integer arithmetic on the numbers themselves."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import formats as nf
from formats import bit_serial as bs
from formats.families import bipolar
from formats.layouts import LAYOUTS
from tests.formats.cases import QUICK


def integer(bits: int, signed: bool) -> nf.FixedPoint:
    return nf.FixedPoint(bits=bits, signed=signed)


def values(fmt: Any, codes: NDArray[Any]) -> NDArray[np.int64]:
    """By the formats' own tables."""
    table = np.array([int(value.fraction) for value in fmt.values()])
    return np.asarray(table[codes], np.int64)


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("bits", range(1, 17))
def test_planes_of_every_code(bits: int, signed: bool) -> None:
    fmt = integer(bits, signed)
    codes = np.arange(2**bits, dtype=np.uint16)
    planes = bs.planes_of(codes, bits)
    np.testing.assert_array_equal(bs.codes_of(planes), codes)
    np.testing.assert_array_equal(bs.integers_of(planes, fmt), values(fmt, codes))
    stored = LAYOUTS["planes"].pack(codes, bits).reshape(bits, -1)
    np.testing.assert_array_equal(np.unpackbits(stored, axis=1, count=codes.size, bitorder="little"), planes)


@pytest.mark.parametrize("signs", list(product([False, True], repeat=2)))
def test_and_dot_is_the_integer_dot_product(signs: tuple[bool, bool]) -> None:
    rng = np.random.default_rng(1)
    for a_bits, b_bits in product(range(1, 9), repeat=2):
        a_format, b_format = integer(a_bits, signs[0]), integer(b_bits, signs[1])
        a, b = rng.integers(0, 2**a_bits, (3, 77)), rng.integers(0, 2**b_bits, (2, 77))
        expected = values(a_format, a) @ values(b_format, b).T
        np.testing.assert_array_equal(bs.and_dot(a, a_format, b, b_format), expected)


def test_every_product_of_4_bits_is_a_dot_product_of_one() -> None:
    codes = np.arange(16)[:, None]
    for signed in (False, True):
        fmt = integer(4, signed)
        np.testing.assert_array_equal(bs.and_dot(codes, fmt, codes, fmt), values(fmt, codes) @ values(fmt, codes).T)
    odd = values(bipolar(4), codes)
    np.testing.assert_array_equal(bs.xor_dot(codes, 4, codes, 4), odd @ odd.T)


@QUICK
@given(st.integers(1, 8), st.integers(1, 8), st.integers(1, 70), st.integers(0, 2**32 - 1))
def test_xor_dot_is_the_dot_product_of_bipolar_integers(a_bits: int, b_bits: int, length: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.integers(0, 2**a_bits, (3, length)), rng.integers(0, 2**b_bits, (2, length))
    expected = values(bipolar(a_bits), a) @ values(bipolar(b_bits), b).T
    np.testing.assert_array_equal(bs.xor_dot(a, a_bits, b, b_bits), expected)


WORDS = ("int4:g32", "uint4:g32:asym", "uint2:g16:asym", "int8:channel", "int3:full:g8", "int8:f6:tensor", "uint1:g8")


@pytest.mark.parametrize("word", WORDS)
def test_bipolar_integers_have_the_same_values(word: str) -> None:
    fmt: Any = nf.get(word)
    x = np.random.default_rng(2).normal(0.2, 1, (3, 5, 32)).astype(np.float32)
    for axis, array in ((-1, x), (0, np.moveaxis(x, -1, 0))):
        encoded = nf.encode(array, fmt, axis=axis)
        got = bs.as_bipolar(encoded)
        decoded = nf.decode(encoded, np.float64)
        decoded = decoded if fmt.block.flat else np.moveaxis(decoded, axis, -1)  # flat blocks know no axis
        decoded = decoded.reshape(got.codes.shape)
        np.testing.assert_array_equal(got.values(), decoded)
        np.testing.assert_array_equal(got.odd, values(bipolar(fmt.element.bits), got.codes))
        assert (got.odd % 2 == 1).all()


def test_bipolar_integers_of_every_code_and_zero_point() -> None:
    # (q - z) s = (q' - z') s' with q' = 2q - 15, s' = s / 2, z' = 2z - 15, for all 256 pairs.
    fmt: Any = nf.get("uint4:g16:asym:scale=float32")
    codes = np.tile(np.arange(16, dtype=np.uint8), (16, 1))
    planes = {
        "codes": nf.Plane(fmt.element, (16, 16), np.asarray(codes[:, ::2] | codes[:, 1::2] << 4).reshape(-1)),
        "scale": nf.Plane(fmt.scale.format, (16, 1), np.full(16, 0.75, np.float32).view(np.uint8)),
        "offset": nf.Plane(fmt.offset.format, (16, 1), np.arange(0, 16, 2, dtype=np.uint8) * 17 + 16),
    }
    encoded = nf.Encoded(fmt, (16, 16), 1, planes)
    got = bs.as_bipolar(encoded)
    np.testing.assert_array_equal(got.values(), (np.arange(16)[None] - np.arange(16)[:, None]) * 0.75)
    np.testing.assert_array_equal(got.values(), nf.decode(encoded, np.float64))


def test_what_cannot_be_read_as_bipolar() -> None:
    with pytest.raises(ValueError, match="as_bipolar: it reads integers with scales and zero points, got mxfp4"):
        bs.as_bipolar(nf.encode(np.ones((1, 32), np.float32), "mxfp4"))
    with pytest.raises(TypeError, match="as_bipolar: expected integers under scales, got int4"):
        bs.as_bipolar(nf.encode(np.ones((1, 32), np.float32), "int4"))


@pytest.mark.parametrize("bits", range(1, 9))
@pytest.mark.parametrize("group", [1, 2, 4, 8])
def test_table_dot_is_the_integer_dot_product(bits: int, group: int) -> None:
    rng = np.random.default_rng(3)
    activations = rng.integers(-128, 128, (3, 48))
    codes = rng.integers(0, 2**bits, (5, 48))
    np.testing.assert_array_equal(
        bs.table_dot(activations, codes, bits, group), activations @ (codes - 2 ** (bits - 1)).T
    )


def test_a_table_holds_every_signed_sum_and_its_negative() -> None:
    activations = np.array([[1.0, 20.0, 300.0, 4000.0]])
    table = bs.lookup_table(activations)[0, 0]
    for index, signs in enumerate(product([-1, 1], repeat=4)):
        assert table[int(f"{index:04b}"[::-1], 2)] == sum(s * a for s, a in zip(signs, activations[0], strict=True))
    np.testing.assert_array_equal(table[::-1], -table)
    index = np.arange(16)[:, None]
    np.testing.assert_array_equal(bs.look_up(bs.halved(table[None, None]), index)[0, :, 0], table)


def test_planes_of_a_weight_as_t_mac_weighs_them() -> None:
    # w = b0' / 2 + b1' + 2 b2' + 4 b3' - 1/2 with b' = 2b - 1, for all 16 weights -8 .. 7 (T-MAC weights.py).
    planes = 2.0 * bs.planes_of(np.arange(16), 4) - 1
    np.testing.assert_array_equal(np.array([0.5, 1, 2, 4]) @ planes - 0.5, np.arange(-8, 8))


def test_groups_must_divide() -> None:
    with pytest.raises(ValueError, match="groups of 4 do not divide the last axis, of length 6"):
        bs.lookup_indices(np.zeros((2, 6), np.uint8), 4)
