"""Sizes: text and back, evaluation against sympy, torch's own functions."""

from __future__ import annotations

import numpy as np
import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st

from mappers.symbolic import as_size, compile_sizes, from_text, from_torch, product, symbol, to_text

B, S, P = symbol("B"), symbol("S"), symbol("P")
EXPRESSIONS = [
    0,
    7,
    -3,
    B,
    262144 * B * S**2 + 6607077376 * B * S,
    P + 1,
    1 - P,
    B * (P + 1) * 64,
    sympy.floor((S + 1) / 2),
    sympy.floor(B * S / 3) + 2 * sympy.floor(S / 2),
    sympy.Mod(S, 4),
    sympy.Max(S, P + 1),
    sympy.Min(S, 2 * P) * B,
]


@pytest.mark.parametrize("expression", EXPRESSIONS, ids=str)
def test_text_reads_back_as_the_same_expression(expression):
    size = as_size(expression)
    assert from_text(to_text(size)) == size


@pytest.mark.parametrize("expression", EXPRESSIONS, ids=str)
def test_compiled_sizes_equal_sympy(expression):
    function = compile_sizes([as_size(expression)], ["B", "S", "P"])
    for b, s, p in ((1, 1, 1), (2, 5, 3), (3, 7, 10), (128, 8192, 4095)):
        expected = int(sympy.sympify(expression).subs({B: b, S: s, P: p}))
        assert function(B=b, S=s, P=p) == (expected,)
        assert function(B=np.array([b]), S=np.array([s]), P=np.array([p]))[0] == expected


def test_big_counts_stay_exact():
    size = as_size(262144 * B * S**2 + 6607077376 * B * S)
    (value,) = compile_sizes([size], ["B", "S"])(B=997, S=131071)
    assert value == 262144 * 997 * 131071**2 + 6607077376 * 997 * 131071


@given(st.lists(st.sampled_from([2, 3, B, S, P + 1]), max_size=5))
def test_product_is_the_expanded_product(sizes):
    assert sympy.expand(sympy.Mul(*sizes)) - product(tuple(sizes)) == 0


def test_text_is_arithmetic_only():
    with pytest.raises(ValueError, match="is not integer arithmetic"):
        from_text("__import__('os').getcwd()")
    with pytest.raises(ValueError, match="is not integer arithmetic"):
        from_text("B.real")
    with pytest.raises(ValueError, match="uses cos"):
        to_text(sympy.cos(B))
    with pytest.raises(ValueError, match="sizes use P, symbols are B, S"):
        compile_sizes([P + 1], ["B", "S"])
    with pytest.raises(ValueError, match="must be an identifier"):
        symbol("2B")


def test_torch_functions_become_ours():
    functions = pytest.importorskip("torch.utils._sympy.functions")
    s0, s1 = sympy.Symbol("s0", integer=True, positive=True), sympy.Symbol("s1", integer=True, positive=True)
    names = {s0: "B", s1: "S"}
    assert from_torch(functions.FloorDiv(s1 + 1, 2), names) == sympy.floor((S + 1) / 2)
    assert from_torch(functions.PythonMod(s1, 3), names) == sympy.Mod(S, 3)
    assert from_torch(4 * s0 * (s1 + 1), names) == 4 * B * S + 4 * B
    with pytest.raises(ValueError, match="belongs to no dimension"):
        from_torch(sympy.Symbol("u0"), names)
    with pytest.raises(ValueError, match="make that dimension static"):
        from_torch(sympy.sin(s0), names)
