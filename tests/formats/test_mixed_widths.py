"""Groups of several widths: the allocation in Fractions, values against CVXQ's own, and bytes counted one by one."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import formats as nf
from formats.catalogue import searched
from formats.mixed_widths import allocated_widths, decode_widths, encode_widths
from tests.formats.test_choices import DATA, X

GROUP = nf.Block(shape=(128,))


def as_published(bits: int, size: int) -> Any:
    """Medians and deviations in float32, as the source has them."""
    if bits == 0:
        return nf.get("float32")
    return replace(searched.companded(bits, size), scale=searched.FLOAT32, shift=searched.FLOAT32)


def test_widths_are_half_the_logarithm() -> None:
    widths = allocated_widths(X, GROUP, 1.0, -4.0)
    assert widths.shape == (32, 4)
    assert len(set(widths.reshape(-1))) > 3
    for group, bits in zip(X.reshape(-1, 128), widths.reshape(-1), strict=True):
        numbers = [Fraction(float(v)) for v in group]
        median = sorted(numbers)[63]
        square = sum(((v - median) ** 2 for v in numbers), Fraction(0)) / 128 * 2**4
        if 0 < bits < 8:  # the nearest integer to log2(square) / 2, by powers
            assert Fraction(2) ** (2 * int(bits) - 1) <= square <= Fraction(2) ** (2 * int(bits) + 1)
        else:
            assert square <= 2 if bits == 0 else square >= 2**15
    heavier = allocated_widths(X, GROUP, np.full(128, 16.0), -4.0)
    np.testing.assert_array_equal(heavier[(widths > 0) & (widths < 7)], widths[(widths > 0) & (widths < 7)] + 2)
    assert not allocated_widths(np.ones((2, 128), np.float32), GROUP, 1.0, -18.0).any()


def test_each_group_is_what_its_width_makes_of_it() -> None:
    widths = np.arange(128).reshape(32, 4) % 3 + 2
    encoded = encode_widths(X, GROUP, widths, as_published)
    got, want = decode_widths(encoded).reshape(-1, 128), np.empty((128, 128), np.float32)
    for bits in (2, 3, 4):
        want[widths.reshape(-1) == bits] = DATA[f"cvxq{bits}.values"].reshape(-1, 128)[widths.reshape(-1) == bits]
    close = np.abs(got - want) <= 2.0**-18 * np.abs(X.reshape(-1, 128)).max(axis=1, keepdims=True)
    assert close.mean() > 0.999  # float32 logarithms there: an element beside a cut changes sides


def test_every_byte_is_counted() -> None:
    widths = allocated_widths(X, GROUP, 1.0, -4.0)
    encoded = encode_widths(X, GROUP, widths, searched.companded_or_median)
    counts = np.bincount(widths.reshape(-1), minlength=9)
    assert counts[0] > 0
    fields = 2 * counts[0] + 4 * counts[1:].sum()
    assert encoded.nbytes == fields + sum(128 * b // 8 * int(counts[b]) for b in range(9)) + 128 * 4 // 8
    got = decode_widths(encoded, np.float64).reshape(32, 4, 128)
    for row, column in zip(*np.nonzero(widths == 0), strict=True):
        median = np.sort(X[row].reshape(4, 128)[column])[63]
        assert set(got[row, column]) == {float(np.float16(median))}


@pytest.mark.parametrize("axis", [0, 1])
def test_groups_lie_along_the_axis(axis: int) -> None:
    x = X[:, :128] if axis else X[:, :128].T.copy()
    widths = np.full((32, 1), 3)
    y = decode_widths(encode_widths(x, GROUP, widths, searched.companded_or_median, axis=axis))
    np.testing.assert_array_equal(y if axis else y.T, nf.quantize(X[:, :128], "cvxq3_g128"))


@pytest.mark.parametrize("widths", [np.zeros(3, int), np.full(128, 9), np.zeros(128)])
def test_widths_that_do_not_fit(widths: Any) -> None:
    with pytest.raises(ValueError, match="there are 128 groups, each with a width of 0 to 8; got"):
        encode_widths(X, GROUP, widths, searched.companded_or_median)
