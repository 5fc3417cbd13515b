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
