"""Operands, starts and orders that a review found refused, or taken, wrongly: against the reference or by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import formats as nf
from formats.arithmetic.groups.lookup import LookupTable
from tests.formats.test_accumulators import differing


@pytest.mark.parametrize(
    "scaling", ["after_sum", "after_sum_b_then_a", "after_sum_product", "per_block_then_accumulate"]
)
@pytest.mark.parametrize("name", ["e4m3fn:tensor", "int8:tensor"])
def test_one_scale_a_tensor_is_one_of_every_row_and_of_all_of_k(name: str, scaling: Any) -> None:
    rng = np.random.default_rng(4)
    element, how = name.removesuffix(":tensor"), nf.FloatChain("bfloat16")
    x, y = rng.standard_normal((3, 40)).astype(np.float32), rng.standard_normal((40, 5)).astype(np.float32)
    for shape in ((3, 40), (1, 3, 40)):
        a, b = nf.encode(x.reshape(shape), name, -1), nf.encode(y, name, -2)
        codes = [nf.decode_codes(nf.get(element), part.codes, np.float64) for part in (a, b)]  # type: ignore[attr-defined]
        plain = nf.matmul(
            codes[0].reshape(3, 40), codes[1].reshape(40, 5), a_format=element, b_format=element, accumulator=how
        )
        (scale_a,), (scale_b,) = a.scales, b.scales
        if scaling == "after_sum_b_then_a":
            want = np.float32(np.float32(plain * np.float32(scale_b)) * np.float32(scale_a))
        elif scaling == "after_sum_product":
            want = plain * np.float32(scale_a * scale_b)
        else:
            want = nf.quantize(plain.astype(np.float64) * (scale_a * scale_b), "bfloat16").astype(np.float32)
        got = nf.matmul(a, b, accumulator=how, scaling=scaling)
        assert differing(got.reshape(3, 5), want) == 0
    mixed = nf.matmul(
        nf.encode(x[:, :32], name, -1), nf.encode(y[:32], "int4:g16", -2), scaling="per_block_then_accumulate"
    )
    assert np.allclose(mixed, x[:, :32] @ y[:32], atol=4)
    flat = nf.encode(
        np.ones((2, 64)), nf.Scaled(element="int8", scale="float32", block=nf.Block(shape=(16,), flat=True))
    )
    with pytest.raises(ValueError, match=r"lie as \(8,\), not as blocks along K"):
        nf.matmul(flat, y[:1].repeat(64, 0), b_format="float32", scaling=scaling)


def test_groups_of_one_scale_a_tensor_are_aligned_by_it() -> None:
    fmt = nf.Scaled(element="e2m1fn", scale="e8m0fnu", rule="floor", block=nf.Block(shape=(0,), flat=True))
    rng, how = np.random.default_rng(5), nf.AlignedGroups(8, 4, 20)
    a, b = nf.encode(rng.standard_normal((3, 12)) * 40, fmt, -1), nf.encode(rng.standard_normal((12, 4)), fmt, -2)
    codes = [nf.decode(x).astype(np.float64) / x.scales[0] for x in (a, b)]
    plain = nf.matmul(*codes, a_format="e2m1fn", b_format="e2m1fn", accumulator=how)  # of so few bits nothing is cut
    got = nf.matmul(a, b, accumulator=how, scaling="in_alignment")
    assert (got == plain * (a.scales[0] * b.scales[0])).all()


def test_a_written_out_order_is_told_apart_at_its_own_length() -> None:
    shape, how = ((0, 1), (2, 3)), nf.FloatChain("float16")
    of: Any = {"a_format": "e4m3fn", "b_format": "e4m3fn"}
    found = nf.distinguish(how, how, p_order=nf.Tree(shape), **of)
    assert found is not None
    assert found.a.size == 4
    a, b = found.a[None], found.b[:, None]
    assert nf.matmul(a, b, accumulator=how, order=nf.Tree(shape), **of)[0, 0] == found.first
    assert nf.matmul(a, b, accumulator=how, **of)[0, 0] == found.second
    assert nf.distinguish(how, how, p_order=nf.Tree((0, 1, 2, 3)), **of) is None
    with pytest.raises(ValueError, match=r"trees of \[2, 4\] and max_terms = 512; pass trees of one length"):
        nf.distinguish(how, how, p_order=nf.Tree(shape), q_order=nf.Tree((0, 1)), **of)
    with pytest.raises(ValueError, match=r"trees of \[4\] and max_terms = 3"):
        nf.distinguish(how, how, p_order=nf.Tree(shape), max_terms=3, **of)


def test_a_group_starts_from_no_c_that_its_register_does_not_hold() -> None:
    of: Any = {"a_format": "int8", "b_format": "int4", "group": LookupTable()}
    for terms in (0, 4):
        a, b = np.ones((1, terms)), np.ones((terms, 1))
        for c, said in ((300, r"c\[0, 0\] is 300"), (0.5, r"c\[0, 0\] is 0\.5")):
            with pytest.raises(ValueError, match=said + r", which Integer\(bits=8.*from -128 to 127"):
                nf.matmul(a, b, np.array([[c]]), accumulator=nf.Integer(8), **of)
        assert nf.matmul(a, b, np.array([[3]]), accumulator=nf.Integer(8), **of)[0, 0] == 3 + terms


def test_empty_sums_on_a_gpu_check_c_as_those_of_arrays_do() -> None:
    torch = pytest.importorskip("torch")
    from formats.arithmetic.tensors import _on_cuda  # an empty sum runs no kernel: tensors of the CPU will do

    of: Any = {
        "a_format": "int8", "b_format": "int8", "multiplier": "exact", "order": None, "scaling": "dequantize_first",
        "output": None, "quantize": False, "group": None,
    }  # fmt: skip
    a, b = torch.zeros(1, 0), torch.zeros(0, 1)

    def empty(c: Any, how: nf.Accumulator) -> Any:
        return _on_cuda(a, b, c, accumulator=how, **of)

    for value in (300, 0.5):
        with pytest.raises(ValueError, match=r"c\[0, 0\] is .*, which Integer\(bits=8.* does not hold"):
            empty(torch.tensor([[value]]), nf.Integer(8))
    for value in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match=r"c holds infinity or NaN, which Integer"):
            empty(torch.tensor([[value]]), nf.Integer(8))
    assert int(empty(torch.tensor([[2**62 + 1]]), nf.Integer(64))[0, 0]) == 2**62 + 1
    assert empty(torch.tensor([[7]]), nf.Integer(8)).dtype == torch.int32
    assert float(empty(torch.tensor([[1.5]], dtype=torch.bfloat16), nf.FloatChain())[0, 0]) == 1.5
    assert float(empty(None, nf.FloatChain())[0, 0]) == 0
    with pytest.raises(TypeError, match=r"c must be an array of real numbers, got dtype torch.complex64"):
        empty(torch.tensor([[1 + 2j]]), nf.FloatChain())
    with pytest.raises(TypeError, match=r"quantize must be True, False or a Cast, got 'yes'"):
        nf.matmul(a, b, quantize="yes", a_format="int8", b_format="int8")  # type: ignore[arg-type]


def test_quantised_values_under_scales_of_scales_are_held() -> None:
    rng, again = np.random.default_rng(2), 0
    x = rng.standard_normal((2, 64)).astype(np.float32)
    of: Any = {"a_format": "float32", "b_format": "nvfp4"}
    for _ in range(40):
        b = nf.quantize(rng.standard_normal((64, 4)).astype(np.float32), "nvfp4", -2)
        changed = bool((nf.quantize(b, "nvfp4", -2) != b).any())
        again += changed
        got = nf.matmul(x, b, accumulator=nf.FloatChain("float32"), **of)
        plain = nf.matmul(x, b, accumulator=nf.FloatChain("float32"), a_format="float32", b_format="float32")
        assert differing(got, plain) == 0  # the values given, not their neighbours
        if changed:
            with pytest.raises(ValueError, match=r"or b encoded by formats.encode, which keeps the scales it found"):
                nf.matmul(x, b, scaling="per_block_then_accumulate", **of)
        off = b.copy()
        off[3, 1] += np.float32(1e-5) + np.abs(off[3, 1]) * np.float32(1e-5)
        with pytest.raises(ValueError, match=r"which nvfp4 does not hold .* or b encoded by formats.encode"):
            nf.matmul(x, off, **of)
    assert again > 2  # a second quantisation finds another scale of scales now and then


def test_tensors_quantised_under_scales_of_scales_are_held() -> None:
    torch = pytest.importorskip("torch")
    from formats.arithmetic.tensors import _checked

    rng, again = np.random.default_rng(2), 0
    for _ in range(40):
        b = nf.quantize(torch.from_numpy(rng.standard_normal((64, 4)).astype(np.float32)), "nvfp4", -2)
        again += bool((nf.quantize(b, "nvfp4", -2) != b).any())
        assert torch.equal(_checked(b, nf.get("nvfp4"), -2, "b", False), b)
    assert again > 2
    b[3, 1] += 1e-3
    with pytest.raises(ValueError, match=r"which nvfp4 does not hold .* or b encoded by formats.encode"):
        _checked(b, nf.get("nvfp4"), -2, "b", False)
