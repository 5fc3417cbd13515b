"""LLM-FP4's pre-shifted exponent biases against the formulas of its source, in float64 logarithms."""

from __future__ import annotations

import numpy as np
import pytest

import formats as nf


def published(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Biases and values: b = 2**E - log2(amax) + log2(2 - 2**-M) - 1 with E = 2, M = 1, split as fp_linear.py does."""
    amax = np.abs(x).max(axis=0)
    bias = 4 - np.log2(amax) + np.log2(1.5) - 1
    rho = bias.min()
    whole = np.clip(np.round(bias), np.round(rho), np.round(rho) + 3)
    bias = whole - np.round(rho) + rho
    top = 1.5 * 2.0 ** (3 - bias)
    clipped = np.clip(x, -top, top)
    with np.errstate(divide="ignore"):
        exponent = np.maximum(np.floor(np.log2(np.abs(clipped)) + bias), 1)
    step = 2.0 ** (exponent - 1 - bias)
    return bias, np.round(clipped / step) * step


@pytest.mark.parametrize("seed", range(5))
def test_values_are_the_published_formula(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = (rng.standard_normal((64, 12)) * np.exp2(rng.uniform(-4, 1, 12))).astype(np.float32)
    bias, want = published(x.astype(np.float64))
    encoded = nf.encode(x, "llm_fp4_a4", axis=0)
    np.testing.assert_allclose(encoded.scales.reshape(-1), 2.0**-bias * 2, rtol=1e-6)  # E2M1's own bias is 1
    got = nf.decode(encoded)
    near = np.isclose(got, want, rtol=1e-5, atol=1e-12)
    assert near.mean() > 0.999, "only ties moved by the rounding of the tensor's scale may differ"
    assert encoded.nbytes == 64 * 12 // 2 + 12 * 2 // 8 + 4


def test_fp8_blocks_have_a_scale_a_tile() -> None:
    x = np.random.default_rng(3).standard_normal((256, 256)).astype(np.float32)
    tiles, rows = nf.encode(x, "fp8_128x128"), nf.encode(x, "fp8_1x128")
    assert (tiles.nbytes, rows.nbytes) == (65536 + 4 * 4, 65536 + 512 * 4)
    largest = np.abs(x.reshape(2, 128, 2, 128)).max(axis=(1, 3))
    np.testing.assert_array_equal(tiles.scales, (largest / np.float32(448)).astype(np.float64))
