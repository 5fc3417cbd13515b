"""Sums that a review found computed wrongly, or refused: each against the reference, or against arithmetic by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import formats as nf
from formats.arithmetic.groups.lookup import LookupTable
from tests.formats.test_accumulators import differing, expected, operands
from tests.formats.test_groups import expected as expected_of_groups


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


def one_group(a: Any, b: Any, table: nf.ProductTable, how: nf.Accumulator) -> float:
    given: Any = {"a_format": table.a_format, "b_format": table.b_format, "multiplier": table, "accumulator": how}
    return float(nf.matmul(np.array([a], float), np.array([b], float).T, **given)[0, 0])


def test_groups_are_bounded_by_what_the_multiplier_makes_not_by_its_operands() -> None:
    how = nf.AlignedGroups(4, 4, 13)
    with pytest.raises(ValueError, match=r"reach 1e\+30.*AlignedGroups\(4, 4, 13, 'float32'\) is computed with"):
        one_group([1] * 4, [1] * 4, nf.ProductTable("int2", "int2", np.full((4, 4), 1e30)), how)
    apart = np.full((4, 4), 1.0)
    apart[1, 1], apart[1, 3] = 2.0**60, -(2.0**60)
    with pytest.raises(ValueError, match=r"sums of 4 products of int2 and int2, which reach 1\.15\d*e\+18"):
        one_group([1, 0, 0, 1], [1, 1, 0, -1], nf.ProductTable("int2", "int2", apart), how)
    # what fits is computed, though operands of int2 multiply to 4 at most
    large = nf.ProductTable("int2", "int2", np.full((4, 4), 2.0**40))
    assert one_group([1] * 4, [1] * 4, large, how) == 2.0**42
    wide = nf.ProductTable("int2", "int2", np.where(apart > 1, 2.0**30, np.where(apart < 0, -(2.0**30), 1.0)))
    assert one_group([1, 0, 0, 1], [1, 1, 0, -1], wide, how) == 2.0
    # infinities are no numbers to be bounded
    infinite = nf.ProductTable("int2", "int2", np.full((4, 4), np.inf))
    assert one_group([1] * 4, [1] * 4, infinite, how) == np.inf


def test_groups_of_formats_too_wide_for_a_table_are_bounded_by_the_products_at_hand() -> None:
    # All values are below 2**-16, all exact products below 2**-32; but additions of codes wrap back up to 2**-17.
    fmt = nf.Minifloat(exponent_bits=6, trailing_significand_bits=2, bias=80, specials="none")
    times, how = nf.LMul("integer_add"), nf.AlignedGroups(4, 4, 13)
    values = np.array([float(v.fraction) for v in fmt.values()[: 2**8] if isinstance(v, nf.Dyadic)])
    products = times.products(values[:, None], values[None, :], fmt, fmt)
    i, j = np.unravel_index(int(products.argmax()), products.shape)
    p, q = np.argwhere(products == 2.0**-79)[0]
    given: Any = {"a_format": fmt, "b_format": fmt, "accumulator": how, "multiplier": times}
    x, y = np.array([[values[i], values[p], -values[i]]]), np.array([[values[j], values[q], values[j]]]).T
    with pytest.raises(ValueError, match=r"sums of 4 products of e6m2.* which reach 1\.33514e-05, .*narrower operands"):
        nf.matmul(x, y, **given)  # they cancel to 2**-79, which float64 sums have lost
    assert nf.matmul(x[:, 1:2], y[1:2], **given)[0, 0] == 0  # cut off 13 bits below one
    a, b = np.array([[3.0, 2.0, 7.0, 5.0]]), np.full((4, 1), 5.0)
    for multiplier in (nf.Mitchell(), nf.RoundedProduct("float16"), nf.ExactProduct()):
        got = nf.matmul(a, b, a_format="int12", b_format="int9", accumulator=how, multiplier=multiplier)
        assert differing(got, expected(a, b, None, ("int12", "int9"), how, nf.Sequential(), multiplier)) == 0


@pytest.mark.parametrize(
    "how",
    [
        nf.FloatChain("float32"),
        nf.FloatChain("float16", "stochastic_a"),
        nf.Kahan(),
        nf.PairwiseStep(2),
        nf.Aligned(4, 25),
        nf.AlignedLate(4, 24, 32),
        nf.SplitK(nf.FloatChain("float32"), 2),
        nf.Promotion(nf.Exact(), 2),
        nf.Promotion(nf.Exact(), 200),
    ],
    ids=repr,
)
def test_exact_products_that_no_float64_holds_are_refused_by_name(how: Any) -> None:
    a, b = np.array([[1 + 2.0**-30]]), np.array([[1 + 2.0**-24 - 2.0**-30]])
    for fa, fb, bits in (("float64", "float64", 106), ("float64", "int4", 56), ("float32", "e2m29:ieee", 54)):
        said = rf"products of {fa} and {fb} have up to {bits} significant bits, this sum carries 53; .*narrower formats"
        with pytest.raises(ValueError, match=said):
            nf.matmul(np.ones((1, 1)), np.ones((1, 1)), a_format=fa, b_format=fb, accumulator=how)
    with pytest.raises(ValueError, match=r"products of float64 and float64 have up to 106 significant bits"):
        nf.matmul(a, b, a_format="float64", b_format="float64", accumulator=how)
    formats: Any = {"a_format": "float32", "b_format": "e3m28:ieee"}  # 53 bits together
    assert nf.matmul(np.ones((1, 1)), np.full((1, 1), 3.0), accumulator=how, **formats)[0, 0] == 3


@pytest.mark.parametrize("multiplier", ["exact", "mitchell", nf.RoundedProduct("float32", "up")], ids=repr)
def test_products_beyond_the_range_of_float64_are_refused_by_name(multiplier: Any) -> None:
    given: Any = {"a_format": "e11m10:ieee", "b_format": "e11m10:ieee", "multiplier": multiplier}
    with pytest.raises(ValueError, match=r"products of e11m10:ieee and e11m10:ieee leave float64's range; use formats"):
        nf.matmul(  # 2**-1200, rounded up, is 2**-149 and not zero
            np.full((1, 1), 2.0**-600), np.full((1, 1), 2.0**-600), accumulator=nf.FloatChain("float32", "up"), **given
        )


def test_registers_take_products_wider_than_a_float64_and_unordered_sums_promise_nothing() -> None:
    a, b = np.array([[1 + 2.0**-27]]), np.array([[1 + 2.0**-24 - 2.0**-27]])
    given: Any = {"a_format": "e4m27:ieee", "b_format": "e4m27:ieee"}
    got = nf.matmul(a, b, accumulator=nf.Integer(90), **given)
    assert got[0, 0] == np.float32(1 + 2.0**-23)  # 1 + 2**-24 + 2**-51 - 2**-54, above the tie
    assert nf.matmul(np.ones((1, 1)), np.full((1, 1), 3.0), accumulator=nf.Unordered(), **given)[0, 0] == 3


@pytest.mark.parametrize("states", ["bits", "signs"])
@pytest.mark.parametrize(
    ("activation", "entry"), [("bfloat16", "bfloat16"), ("e4m3fn", "bfloat16"), ("bfloat16", None)]
)
def test_entries_far_beyond_a_register_saturate_by_their_sign(activation: str, entry: Any, states: Any) -> None:
    rng = np.random.default_rng(7)
    a = nf.quantize(rng.standard_normal((3, 6)) * 2.0 ** rng.integers(-9, 9, (3, 6)), activation)
    if activation == "bfloat16":
        a = nf.quantize(a * 2.0 ** rng.choice([-120, 0, 70, 115], (3, 6)), activation)
    w = rng.integers(-4, 4, (6, 4)).astype(float)
    for bits in (6, 32, 53):
        group = LookupTable(group=3, states=states, entry=entry, register=nf.Integer(bits, "saturate"))
        got = nf.matmul(a, w, a_format=activation, b_format="int3", group=group)
        assert (got == expected_of_groups(group, a, w, activation, "int3")).all()
    most = LookupTable(group=8, states="bits", entry="bfloat16", register=nf.Integer(32, "saturate"))  # type: ignore[arg-type]
    of: Any = {"a_format": "bfloat16", "b_format": "int3"}
    got = nf.matmul(np.full((1, 1), 2.0**121), np.full((1, 1), 3.0), group=most, **of)
    assert got[0, 0] == np.float32((2.0**31 - 1) * 2.0**-133)
    checked = LookupTable(group=8, states="bits", entry="bfloat16", register=nf.Integer(32, "error"))  # type: ignore[arg-type]
    for sign, said in ((1, r"beyond 2\*\*60"), (-1, r"beyond -2\*\*60")):
        with pytest.raises(ValueError, match=rf"the partial sum {said} of output \[0, 0\] leaves .* at addition 0"):
            nf.matmul(np.full((1, 1), sign * 2.0**121), np.full((1, 1), 3.0), group=checked, **of)
