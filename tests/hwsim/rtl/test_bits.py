"""Integers to bit planes and back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.rtl.bits import pack, unpack, words_of


@given(st.integers(1, 140), st.lists(st.integers(-(2**150), 2**150), min_size=1, max_size=130), st.booleans())
def test_round_trip_of_any_width(width: int, values: list[int], signed: bool) -> None:
    planes = pack(np.array(values, object), width)
    assert planes.shape == (width, words_of(len(values)))
    for bit in {0, width // 2, width - 1}:  # the definition of a plane
        for vector, number in enumerate(values):
            assert int(planes[bit, vector // 64]) >> (vector % 64) & 1 == number >> bit & 1
    wrapped = [number % 2**width for number in values]
    if signed:
        wrapped = [number - 2**width if number >> (width - 1) else number for number in wrapped]
    assert unpack(planes, len(values), signed=signed).tolist() == wrapped


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.uint64, np.int64, np.bool_])
def test_numpy_integers_pack_as_python_integers(dtype: type) -> None:
    rng = np.random.default_rng(0)
    values = rng.integers(-(2**63), 2**63, 100).astype(dtype)
    for width in (1, 7, 33, 64, 70):
        assert np.array_equal(pack(values, width), pack(np.array([int(v) for v in values], object), width))


def test_vectors_beyond_the_last_are_zero() -> None:
    assert pack(np.full(3, -1), 2).tolist() == [[7], [7]]


def test_refusals() -> None:
    with pytest.raises(ValueError, match=r"shape \(2, 2\) arrived; pack takes one axis"):
        pack(np.zeros((2, 2), int), 3)
    with pytest.raises(TypeError, match="float64 arrived; integers are packed"):
        pack(np.zeros(2), 3)
