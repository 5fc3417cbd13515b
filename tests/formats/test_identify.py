"""Accumulators found from outside: every record hidden in a callable comes back; two that differ are told apart."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import formats as nf
from formats.arithmetic import records
from formats.arithmetic.probe.identify import record_from_json
from formats.arithmetic.probe.parameters import diagonal, weights
from formats.arithmetic.probe.shapes import tree_of
from formats.arithmetic.probe.tree import canonical, leaves, nested, sum_tree

ORDERED: list[tuple[nf.Accumulator, nf.Order, str, int]] = [
    (nf.FloatChain("float32"), nf.Sequential(), "bfloat16", 40),
    (nf.FloatChain("bfloat16", "toward_zero"), nf.Sequential(), "e4m3fn", 24),
    (nf.FloatChain("float16"), nf.Sequential(), "e4m3fn", 24),
    (nf.FloatChain("float32"), nf.Pairwise(), "bfloat16", 20),
    (nf.FloatChain("float32"), nf.Tree((((0, 2), 4), ((1, 3), 5))), "bfloat16", 6),
    (nf.Aligned(4, 24, "float32", minimum_exponent=-132), nf.Sequential(), "bfloat16", 22),
    (nf.Aligned(32, 13, "e8m13:ieee", minimum_exponent=-133), nf.Sequential(), "e4m3fn", 96),
    (nf.Aligned(8, 20, "float32", "ties_to_even", truncation="down"), nf.Sequential(), "float16", 32),
    (nf.Promotion(nf.Aligned(8, 13, "e8m13:ieee", minimum_exponent=-133), 16), nf.Sequential(), "e4m3fn", 64),
    (nf.Promotion(nf.FloatChain("bfloat16"), 8), nf.Sequential(), "e4m3fn", 32),
    (nf.SplitK(nf.Promotion(nf.Aligned(4, 13, "e8m13:ieee"), 8), 2, 32), nf.Sequential(), "e4m3fn", 64),
]


def hidden(how: nf.Accumulator, order: nf.Order, fmt: str) -> Any:
    """A matrix product that keeps its accumulator to itself."""
    own = None if isinstance(order, nf.Sequential) else order
    return lambda a, b: nf.matmul(a, b, a_format=fmt, b_format=fmt, accumulator=how, order=own)


@pytest.mark.parametrize(("how", "order", "fmt", "terms"), ORDERED, ids=lambda v: repr(v)[:60])
def test_what_is_hidden_comes_back(how: nf.Accumulator, order: nf.Order, fmt: str, terms: int) -> None:
    found = nf.identify(hidden(how, order, fmt), a_format=fmt, b_format=fmt, terms=terms, columns=16, rounds=1)
    assert found.found, str(found)
    assert found.agreed == found.probes
    records_found = [found.record, *found.alternatives]
    assert type(found.record.accumulator) is type(how)
    if not isinstance(order, nf.Tree):  # of a tree any way to write it down is right
        assert any((record.accumulator, record.order) == (how, order) for record in records_found)
    fmt_ = nf.get(fmt)
    a, b = (nf.quantize(np.random.default_rng(s).standard_normal((terms, terms)), fmt_) for s in (1, 2))
    assert np.array_equal(found.matmul(a, b), hidden(how, order, fmt)(a, b))
    again = record_from_json(found.to_json())
    assert again == found.record
    assert records.from_json(records.to_json(how)) == how


@pytest.mark.parametrize(("how", "order", "fmt", "terms"), ORDERED, ids=lambda v: repr(v)[:60])
def test_the_tree_seen_is_the_tree_described(how: nf.Accumulator, order: nf.Order, fmt: str, terms: int) -> None:
    scalar = nf.get(fmt)
    assert isinstance(scalar, nf.Scalar)
    dots = diagonal(hidden(how, order, fmt), 16)
    known = weights(dots, terms, scalar, scalar)
    assert known is not None
    tree = sum_tree(dots, terms, known)
    assert sorted(leaves(tree)) == list(range(terms))
    assert canonical(tree) == canonical(tree_of(how, order, terms))
    if terms > 6:
        assert canonical(tree) != canonical(tree_of(nf.Aligned(3, 9), nf.Sequential(), terms))


def test_this_machines_numpy_is_identified_or_refuted() -> None:
    """Whatever numpy does here: the record explains everything seen, or an input is named that it does not."""
    found = nf.identify(np.matmul, a_format="float32", b_format="float32", terms=96, columns=16, rounds=1)
    if found.found:
        rng = np.random.default_rng(5)
        a, b = (rng.standard_normal((16, 96)).astype(np.float32), rng.standard_normal((96, 16)).astype(np.float32))
        assert np.array_equal(found.matmul(a, b), a @ b)
    else:
        assert found.counterexample is not None
        assert found.counterexample.observed != found.counterexample.emulated
        assert found.agreed < found.probes


def test_a_product_no_record_makes_gives_a_counterexample() -> None:
    def odd(a: Any, b: Any) -> Any:
        y = nf.matmul(a, b, a_format="e4m3fn", b_format="e4m3fn", accumulator="hopper_fp8")
        return np.where(np.abs(y) > 3, y * np.float32(1 + 2**-10), y)

    found = nf.identify(odd, a_format="e4m3fn", b_format="e4m3fn", terms=64, columns=16, rounds=1)
    assert not found.found
    c = found.counterexample
    assert c is not None
    # the counterexample is one: the product really gives this, and the record really gives that
    a, b = np.zeros((16, 64), np.float32), np.zeros((64, 16), np.float32)
    a[0], b[:, 0] = c.a, c.b
    assert odd(a, b)[0, 0] == c.observed
    assert found.matmul(a, b)[0, 0] == c.emulated != c.observed


def test_the_output_and_the_product_are_found_too() -> None:
    def rounded(a: Any, b: Any) -> Any:
        return nf.matmul(a, b, a_format="bfloat16", b_format="bfloat16", accumulator="hopper_bf16", output="bfloat16")

    found = nf.identify(rounded, a_format="bfloat16", b_format="bfloat16", terms=32, columns=16, rounds=1)
    assert found.found, str(found)
    assert found.record.output == "bfloat16"

    def unfused(a: Any, b: Any) -> Any:
        total = np.zeros((a.shape[0], b.shape[1]), np.float32)
        for k in range(a.shape[1]):
            total += a[:, k, None] * b[None, k]
        return total

    found = nf.identify(unfused, a_format="float32", b_format="float32", terms=16, columns=16, rounds=1)
    assert found.found, str(found)
    assert found.record.multiplier == nf.RoundedProduct("float32")


@pytest.mark.parametrize(
    ("p", "q", "fmt"),
    [
        ("hopper_fp8", "hopper_fp8_mma_sync", "e4m3fn"),
        ("hopper_fp8", "hopper_fp8_promoted_k128", "e4m3fn"),
        ("hopper_bf16", nf.FloatChain("float32"), "bfloat16"),
        (nf.Aligned(16, 25), nf.Aligned(16, 24), "float16"),
        (nf.FloatChain("bfloat16"), nf.Kahan("bfloat16"), "e4m3fn"),
        (nf.FloatChain("float32"), nf.Exact(), "bfloat16"),
    ],
    ids=str,
)
def test_two_accumulators_are_told_apart_by_a_small_input(p: Any, q: Any, fmt: str) -> None:
    found = nf.distinguish(p, q, a_format=fmt, b_format=fmt)
    assert found is not None
    given = {"a_format": fmt, "b_format": fmt}
    first = nf.matmul(found.a[None, :], found.b[:, None], accumulator=p, **given)
    second = nf.matmul(found.a[None, :], found.b[:, None], accumulator=q, **given)
    assert first[0, 0] == found.first
    assert second[0, 0] == found.second
    assert (found.first != found.second) or np.signbit(found.first) != np.signbit(found.second)
    assert np.count_nonzero((found.a != 0) & (found.b != 0)) <= 4
    assert f"K = {found.a.size}" in str(found)


def test_equals_are_not_told_apart() -> None:
    assert nf.distinguish("hopper_f16", "hopper_f16", a_format="float16", b_format="float16", max_terms=8) is None
    with pytest.raises(ValueError, match="has scales"):
        nf.distinguish("hopper_fp8", "exact", a_format="mxfp8_e4m3", b_format="e4m3fn")
    with pytest.raises(ValueError, match="identify: mxfp4 has scales"):
        nf.identify(np.matmul, a_format="mxfp4", b_format="mxfp4")


def test_records_say_what_they_do_not_know() -> None:
    with pytest.raises(ValueError, match="no record is of kind 'Abacus'"):
        records.from_json('{"kind": "Abacus"}')
    with pytest.raises(ValueError, match="Pairwise has no beads"):
        records.from_json('{"kind": "Pairwise", "beads": 3}')
    with pytest.raises(TypeError, match="is no accumulator"):
        records.to_data(object())


def test_nested_trees_are_written_as_tuples() -> None:
    assert nested(tree_of(nf.FloatChain(), nf.Pairwise(), 4)) == (0, 1, (2, 3))
    assert nested(tree_of(nf.FloatChain(), nf.Chunked(2), 5)) == (0, 1, (2, 3), 4)
    assert nested(tree_of(nf.Aligned(4, 9), nf.Sequential(), 4)) is None
