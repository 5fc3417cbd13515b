"""What torch_ops computes otherwise on a GPU than on the CPU, run on the CPU: exact products, and 32-bit random words.

Eager CPU kernels multiply subnormals exactly and wrap int32 products, as GPUs do (unless a thread was told to flush).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import formats as nf
from formats.saturation import saturated
from tests.formats.checks import same_bits, same_codes

torch = pytest.importorskip("torch")
torch_ops = pytest.importorskip("formats.torch_ops")

from formats.torch_ops import powers, random_words  # noqa: E402
from studies.gpu.inputs import block_edges, block_probes  # noqa: E402

ELEMENTS = ("mxfp4", "mxfp8_e4m3", "mxfp8_e5m2", "mxfp6_e3m2", "mxfp6_e2m3", "mxint8")
RULES = ("floor", "ceil", "even", "rceil")


@pytest.fixture(autouse=True)
def _as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(powers, "multiplies", lambda device: True)
    monkeypatch.setattr(random_words, "wraps", lambda x, cast: cast.random_bits < random_words.SHORT)


def with_nans(x: Any) -> Any:
    """A copy with NaNs of both signs in two blocks."""
    x = x.copy()
    x[5, 3], x[-9, 7] = np.nan, -np.nan
    return x


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", ELEMENTS)
def test_mx_by_products(name: str, rule: str) -> None:
    x = with_nans(np.concatenate([block_edges(32), block_probes(1000, 32, False)]))
    for nan in ("raise", "zero", "max"):
        fmt, cast = nf.get(f"{name}:rule={rule}"), nf.Cast(nan=nan)
        same_bits(f"{name} {rule} {nan}", torch_ops.quantize(torch.from_numpy(x), fmt, -1, cast).numpy(),
                  nf.quantize(x, fmt, cast=cast))  # fmt: skip


def test_the_checker_sees_a_product_that_flushes() -> None:
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor has no mode that flushes subnormals")
    try:
        got = torch_ops.quantize(torch.from_numpy(block_edges(32)), "mxfp4").numpy()
    finally:
        torch.set_flush_denormal(False)
    with pytest.raises(AssertionError, match=r"mxfp4: .* wrong"):
        same_bits("mxfp4", got, nf.quantize(block_edges(32), "mxfp4"))


@pytest.mark.parametrize("name", ELEMENTS)
def test_gradients_by_products(name: str) -> None:
    x, cast = with_nans(block_edges(32)), nf.Cast(nan="zero")
    leaf = torch.from_numpy(x).requires_grad_()
    torch_ops.quantize(leaf, name, -1, cast).sum().backward()
    assert ((leaf.grad.numpy() == 0) == saturated(x, nf.encode(x, name, cast=cast), cast)).all()


@pytest.mark.parametrize("scale", [1.0, 2.0**-20, 2.0**-60, 2.0**-120])
@pytest.mark.parametrize("amax", [None, 1.0, 3e38, 1e-30, 1e-44])
def test_nvfp4_by_listed_factors(amax: float | None, scale: float) -> None:
    x = np.concatenate([block_edges(16), block_probes(1000, 16, True)]).astype(np.float64) * scale
    given = None if amax is None else float(np.float32(amax))
    if given:
        x = x.clip(-given, given)
    x = with_nans(x.astype(np.float32))
    for nan in ("zero", "max"):
        cast = nf.Cast(nan=nan)
        got = torch_ops.quantize(torch.from_numpy(x), "nvfp4", -1, cast, False, given).numpy()
        same_bits(f"nvfp4 {amax} {scale}", got, nf.quantize(x, "nvfp4", cast=cast, tensor_amax=given))


@pytest.mark.parametrize("rounding", ["stochastic_a", "stochastic_b", "stochastic_c"])
@pytest.mark.parametrize("bits", [1, 7, 16, 17, 20, 22, 27])
def test_random_words_in_32_bits(rounding: Any, bits: int) -> None:
    x = np.concatenate([block_edges(16), block_probes(500, 16, False)]).reshape(-1)
    cast = nf.Cast(rounding=rounding, nan="zero", random_bits=bits, seed=2**50 + 17)
    for name in ("e4m3fn", "e5m2", "int8", "e8m0fnu", "e3m0:none", "bfloat16", "tf32", "float32", "e2m1fn", "float16"):
        got = torch_ops.encode_codes(name, torch.from_numpy(x), cast).numpy()
        same_codes(f"{name} {cast}", x, got, nf.encode_codes(name, x, cast))


def test_random_words_wrap_as_in_64_bits() -> None:
    words = np.random.default_rng(2).integers(0, 2**32, 1 << 16, dtype=np.uint32)
    wide = random_words.mix(torch.from_numpy(words.astype(np.int64))).numpy()
    assert (random_words.mix_wrapping(torch.from_numpy(words.view(np.int32))).numpy().view(np.uint32) == wide).all()


def test_how_many_random_bits_fit_32() -> None:
    for bits, dtype in ((27, torch.int32), (28, torch.int64)):
        random = random_words.random_of(torch.zeros(3), nf.Cast(rounding="stochastic_a", random_bits=bits))
        assert random is not None
        assert random.dtype == dtype
