"""What matmul, dot, identify and distinguish take besides plain arrays, and what they say to what they do not take."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import formats as nf

A = np.ones((1, 2), np.float32)
B = np.ones((2, 1), np.float32)
FLOAT: dict[str, Any] = {"a_format": "float32", "b_format": "float32"}


def test_groups_take_tensors_and_give_them_back() -> None:
    torch = pytest.importorskip("torch")
    a = torch.arange(8, dtype=torch.int8).reshape(2, 4)
    b = torch.full((4, 3), -2, dtype=torch.bfloat16)
    product = nf.matmul(a, b, group=nf.LookupTable(), b_format="int4")
    assert isinstance(product, torch.Tensor)
    assert (product == (a.float() @ b.float())).all()


def test_dot_takes_bfloat16_and_grad() -> None:
    torch = pytest.importorskip("torch")
    x = torch.full((4,), 1.5, dtype=torch.bfloat16)
    found = nf.dot(x, x.float().requires_grad_(), b_format="bfloat16")
    assert isinstance(found, torch.Tensor)
    assert found.shape == ()
    assert float(found) == 9.0


def test_a_tensor_for_c_alone_gives_an_array() -> None:
    torch = pytest.importorskip("torch")
    start = torch.full((1, 1), 0.5, dtype=torch.bfloat16, requires_grad=True)
    found = nf.matmul(A, B, start, **FLOAT)
    assert isinstance(found, np.ndarray)
    assert found.tolist() == [[2.5]]


@pytest.mark.parametrize("side", ["a", "b", "c"])
def test_ragged_lists_and_wrong_dtypes_name_their_side(side: str) -> None:
    given: dict[str, Any] = {"a": A, "b": B, "c": None}
    with pytest.raises(ValueError, match=f"{side} must be an array of numbers, got list of unequal lengths"):
        nf.matmul(*{**given, side: [[1], [1, 2]]}.values(), **FLOAT)
    with pytest.raises(TypeError, match=f"{side} (has|must be).*complex128"):
        nf.matmul(*{**given, side: np.ones((2, 2), complex)}.values(), **FLOAT)


def test_nan_in_an_output_format_without_nan_is_named() -> None:
    a = np.array([[1, 1], [np.nan, 1]], np.float32)
    with pytest.raises(ValueError, match=r"sum at \[1, 0\] is NaN, which output e2m1fn does not hold"):
        nf.matmul(a, B, **FLOAT, accumulator=nf.FloatChain(), output="e2m1fn")


@pytest.mark.parametrize("name", ["terms", "columns", "rounds"])
@pytest.mark.parametrize("count", [0, -1, 2.5, True])
def test_identify_checks_its_counts(name: str, count: Any) -> None:
    with pytest.raises(ValueError, match=f"identify: {name} must be a whole number from 1, got {count}"):
        nf.identify(np.matmul, a_format="e4m3fn", b_format="e4m3fn", **{name: count})


@pytest.mark.parametrize(
    "product", [lambda a, b: None, lambda a, b: 1.0, lambda a, b: (a @ b)[0], lambda a, b: (a @ b).astype(complex)]
)
def test_identify_looks_at_what_comes_back(product: Any) -> None:
    with pytest.raises(ValueError, match=r"must return an array of numbers \(4, 4\), got "):
        nf.identify(product, a_format="e4m3fn", b_format="e4m3fn", terms=4, columns=4)


def test_identify_needs_a_callable() -> None:
    with pytest.raises(TypeError, match="matmul must be a callable of a and b, got None"):
        nf.identify(None, a_format="e4m3fn", b_format="e4m3fn")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "said"), [("e8m0fnu", "holds no negative values"), ("mxfp4_e2m1", "mxfp4 has scales")]
)
def test_probes_need_signed_scalars(name: str, said: str) -> None:
    with pytest.raises(ValueError, match=f"identify: .*{said}"):
        nf.identify(np.matmul, a_format=name, b_format="e4m3fn")
    with pytest.raises(ValueError, match=f"distinguish: .*{said}"):
        nf.distinguish("exact", "hopper_fp8", a_format="e4m3fn", b_format=name)


def test_distinguish_compares_values_only() -> None:
    with pytest.raises(ValueError, match="has no value where it overflows; compare overflow='wrap' or 'saturate'"):
        nf.distinguish(nf.Integer(16, "error"), nf.Integer(16), a_format="int8", b_format="int8")
    with pytest.raises(ValueError, match="max_terms must be a whole number from 1, got 0"):
        nf.distinguish("exact", "hopper_fp8", a_format="e4m3fn", b_format="e4m3fn", max_terms=0)
