"""Sums that a review found computed wrongly, or refused: each against the reference, or against arithmetic by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import formats as nf
from tests.formats.test_accumulators import differing, expected, operands


@pytest.mark.parametrize(
    ("multiplier", "pair"),
    [
        (nf.RoundedProduct("float16"), ("e4m3fn", "e4m3fn")),
        (nf.Mitchell(), ("int8", "int4")),
        (nf.LMul(), ("e4m3fn", "e4m3fn")),
        (nf.ExactProduct(), ("float16", "float16")),
    ],
    ids=["rounded", "mitchell", "lmul", "exact"],
)
@pytest.mark.parametrize("columns", [3, 20])
def test_compensated_sums_start_from_c_whichever_operand_is_turned(
    multiplier: Any, pair: tuple[str, str], columns: int
) -> None:
    a, b = operands(pair[0], (20, 6), 1, False), operands(pair[1], (6, columns), 2, False)
    c = nf.quantize(np.random.default_rng(3).standard_normal((20, columns)), "float16")
    how = nf.Kahan("float16")
    for start in (c, np.asfortranarray(c), c[::-1], None):
        got = nf.matmul(a, b, start, a_format=pair[0], b_format=pair[1], accumulator=how, multiplier=multiplier)
        assert differing(got, expected(a, b, start, pair, how, nf.Sequential(), multiplier)) == 0


@pytest.mark.parametrize("bits", [54, 60, 64])
def test_wide_registers_count_a_float_c_as_an_integer(bits: int) -> None:
    start = np.array([[588442657565.0, -(2.0 ** (bits - 2))]])
    how: Any = {"a_format": "int8", "b_format": "int8", "accumulator": nf.Integer(bits)}
    want = [[588442657567, -(2 ** (bits - 2)) + 2]]
    for other in ({"multiplier": "mitchell"}, {"order": nf.Pairwise(1)}, {"order": nf.Chunked(1)}, {}):
        assert nf.matmul(np.ones((1, 2)), np.ones((2, 2)), start, **how, **other).tolist() == want


@pytest.mark.parametrize("base", [1, 2, 3])
@pytest.mark.parametrize("multiplier", [nf.ExactProduct(), nf.Mitchell()], ids=["exact", "mitchell"])
@pytest.mark.parametrize("overflow", ["saturate", "wrap"])
def test_registers_that_saturate_join_neighbours_first_under_pairwise(
    overflow: Any, multiplier: Any, base: int
) -> None:
    rng = np.random.default_rng(base)
    how, order, pair = nf.Integer(8, overflow), nf.Pairwise(base), ("int8", "int8")
    for terms in (1, 2, 5, 7, 8):
        a, b = rng.integers(-20, 20, (3, terms)).astype(float), rng.integers(-12, 12, (terms, 3)).astype(float)
        c = rng.integers(-100, 100, (3, 3)).astype(float)
        for start in (None, c):
            got = nf.matmul(
                a, b, start, a_format="int8", b_format="int8", accumulator=how, order=order, multiplier=multiplier
            )
            assert (got == expected(a, b, start, pair, how, order, multiplier)).all()
    a, b = np.array([[100.0, 100, -100, -100]]), np.ones((4, 1))
    of: Any = {"a_format": "int8", "b_format": "int8", "order": nf.Pairwise(1)}
    assert nf.matmul(a, b, accumulator=nf.Integer(8, "saturate"), **of)[0, 0] == 127 - 128


def test_an_error_register_raises_at_sums_of_the_stated_tree_only() -> None:
    of: Any = {"a_format": "int8", "b_format": "int8", "order": nf.Pairwise(1), "accumulator": nf.Integer(8, "error")}
    crossed = np.array([[100.0, -100, 100, -100]])
    assert nf.matmul(crossed, np.ones((4, 1)), **of)[0, 0] == 0
    with pytest.raises(ValueError, match=r"a partial sum of 200 leaves -128\.\.127"):
        nf.matmul(np.array([[-100.0, 0, 100, 100]]), np.ones((4, 1)), **of)  # one after another, it would fit


NOT_ZERO = nf.ProductTable("int2", "int2", np.arange(16.0).reshape(4, 4) + 3)  # 0 * 0 = 3
FILLED: list[nf.Accumulator] = [
    nf.AlignedGroups(8, 2, 13, "e4m3"),
    nf.AlignedLate(4, 13, 15, "float16"),
    nf.AlignedLate(6, 13, 15, groups=3),
    nf.PairwiseStep(4, "float16"),
    nf.PairwiseStep(5, flush=True),
    nf.Aligned(8, 13, "float16"),
    nf.Aligned(2, 13, register_aligned=False, lanes=(5, 0, 2, 4, 3, 1)),
    nf.Promotion(nf.PairwiseStep(4), 3),
    nf.SplitK(nf.AlignedLate(4, 20, 22), 2, 3),
]


@pytest.mark.parametrize("how", FILLED, ids=repr)
@pytest.mark.parametrize(
    ("multiplier", "pair"),
    [(nf.LMul("integer_add", offset=2), ("e4m3", "e4m3")), (NOT_ZERO, ("int2", "int2"))],
    ids=["wrap", "table"],
)
def test_lanes_beyond_k_add_nothing_whatever_zero_times_zero_is(how: Any, multiplier: Any, pair: Any) -> None:
    assert float(multiplier.products(np.zeros(1), np.zeros(1), *(nf.get(f) for f in pair))[0]) != 0
    for terms in (1, 2, 3, 5, 9):
        a, b = operands(pair[0], (2, terms), terms, False), operands(pair[1], (terms, 2), terms + 50, False)
        got = nf.matmul(a, b, a_format=pair[0], b_format=pair[1], accumulator=how, multiplier=multiplier)
        assert differing(got, expected(a, b, None, pair, how, nf.Sequential(), multiplier)) == 0
    one = nf.matmul(np.zeros((1, 1)), np.zeros((1, 1)), a_format="int2", b_format="int2", accumulator=how,
                    multiplier=NOT_ZERO)  # fmt: skip
    assert one[0, 0] == 3  # one product of 3, and nothing of the lanes beside it


@pytest.mark.parametrize("multiplier", ["exact", nf.RoundedProduct("float32"), "mitchell"], ids=repr)
@pytest.mark.parametrize("normalized", [False, True])
@pytest.mark.parametrize("outer", [None, nf.FloatChain("float32"), nf.FloatChain("float16", "stochastic_a")], ids=repr)
def test_operands_that_the_unpacked_format_does_not_hold_are_refused_whatever_multiplies(
    multiplier: Any, normalized: bool, outer: Any
) -> None:
    how: Any = nf.Aligned(4, 13, "float32", unpacked="float16", normalized=normalized)
    if outer is not None:
        how = nf.Promotion(how, 4, outer)
    for pair in (("float32", "float16"), ("float16", "bfloat16")):
        with pytest.raises(ValueError, match=r"unpacks operands to float16, which does not hold every value of"):
            nf.matmul(
                np.ones((1, 1), np.float32), np.ones((1, 1), np.float32), a_format=pair[0], b_format=pair[1],
                accumulator=how, multiplier=multiplier,
            )  # fmt: skip


@pytest.mark.parametrize("bits", [8, 32, 33, 64])
@pytest.mark.parametrize("overflow", ["wrap", "saturate", "error"])
def test_integer_registers_of_zeros_and_wide_floats_are_zero(bits: int, overflow: Any) -> None:
    large = np.full((1, 2), 2.0**127)
    for a, b in ((np.zeros((3, 1)), large), (large.T, np.zeros((1, 3)))):
        formats = ("uint4", "bfloat16") if b is large else ("bfloat16", "uint4")
        how = nf.Integer(bits, overflow)
        got = nf.matmul(a, b, a_format=formats[0], b_format=formats[1], accumulator=how)
        assert got.shape == (a.shape[0], b.shape[1])
        assert not got.any()
    both = np.array([[2.0**127, 0.0], [0.0, 0.0]])  # products of zero, though neither operand is all zeros
    times = np.array([[0.0, 0.0], [2.0**-133, 2.0**127]])
    got = nf.matmul(both, times, a_format="bfloat16", b_format="bfloat16", accumulator=nf.Integer(bits, overflow))
    assert not got.any()
