"""Reals a hair beside a tie: thresholds that are no floats, and float32 recipes where one last place decides."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import formats as nf
from formats.cast import DETERMINISTIC
from formats.exact import from_float
from formats.reference import encode_value
from tests.formats.cases import around, thresholds
from tests.formats.checks import same_bits, same_codes
from tests.formats.test_published import transformer_engine

F = np.float32

# Midpoints just above and just below a float64, between two of them, and beside a float32.
HAIRS = {
    "above": (2.0**-80, 1.0),
    "below": (-(2.0**-80), 1.0),
    "negative": (-1.0, -(2.0**-70), 2.0**-70, 3.0),
    "between_float64": (1.0, 3 + 2.0**-51, 7 + 2.0**-50),
    "beside_float32": (1.0, 3 + 2.0**-40, 7 - 2.0**-40),
    "many": (*(float(i) for i in range(18)), 18 + 2.0**-60, *(20 + i + 2.0**-47 for i in range(4))),
}


@pytest.mark.parametrize("ties", ["lower", "upper", "even", "away"])
@pytest.mark.parametrize("label", HAIRS)
def test_thresholds_that_are_no_floats(label: str, ties: Any) -> None:
    """The floats around each, against the reference in Fractions."""
    fmt = nf.Codebook(label=label, bits=5, entries=HAIRS[label], ties=ties)
    for dtype in (np.float32, np.float64):
        x = around(thresholds(fmt), dtype)
        for rounding in DETERMINISTIC:
            cast = nf.Cast(rounding=rounding)
            want = np.array([encode_value(fmt, from_float(float(real)), cast) for real in x])
            same_codes(f"{label} {ties} {rounding}", x, nf.encode_codes(fmt, x, cast), want)


def next_to(x: Any, places: int) -> Any:
    """x and that many float32 on either side."""
    bits = np.asarray(x, F).view(np.int32)[..., None] + np.arange(-places, places + 1, dtype=np.int32)
    return bits.astype(np.int32).view(F)


def nvfp4_blocks(seed: int) -> Any:
    """Block maxima beside the ties of E4M3, and elements beside those of E2M1 under each block's own factor."""
    rng = np.random.default_rng(seed)
    amax = F(rng.lognormal(0, 3))
    s_enc = F(F(448) * F(6)) / amax
    to_scale, tensor_scale = s_enc * F(F(1) / F(6)), F(1) / s_enc
    values = nf.decode_codes("e4m3fn", np.arange(0x7F), F)
    ties = (values[8:-1] + values[9:]) / 2
    maxima = next_to(rng.choice(ties, 12, replace=False) / to_scale, 3).reshape(-1)
    maxima = maxima[maxima < amax]
    scale = nf.decode_codes("e4m3fn", nf.encode_codes("e4m3fn", maxima * to_scale), F)
    near = next_to(F([0.25, 0.75, 2.5, 3.5, 5]) * (scale * tensor_scale)[:, None], 1)
    x = np.concatenate([near.reshape(maxima.size, 15), maxima[:, None]], axis=1)
    x[:, :15] = np.where(np.abs(x[:, :15]) <= maxima[:, None], x[:, :15], 0) * rng.choice([-1, 1], (maxima.size, 15))
    return np.concatenate([np.full((1, 16), amax, F), x]).astype(F)


@pytest.mark.parametrize("seed", range(12))
def test_nvfp4_where_a_last_place_decides(seed: int) -> None:
    """A division for the product with a rounded reciprocal, or the other way round, moves these by one float32."""
    x = nvfp4_blocks(seed)
    codes, scales, stored = transformer_engine(x)
    encoded = nf.encode(x, "nvfp4")
    same_codes("scales", x[:, 15], encoded.planes["scale"].codes.reshape(-1), np.array(scales))
    same_codes("elements", x.reshape(-1), encoded.codes.reshape(-1), np.array(codes).reshape(-1))
    assert encoded.planes["scale.scale"].data.tobytes() == (F(1) / stored).tobytes()


@pytest.mark.parametrize("seed", range(12))
def test_nvfp4_of_tensors_where_a_last_place_decides(seed: int) -> None:
    torch = pytest.importorskip("torch")
    from formats import torch_ops

    x = nvfp4_blocks(seed)
    got = torch_ops.quantize(torch.from_numpy(x), "nvfp4", cast=nf.Cast(nan="zero"))
    same_bits("nvfp4", got.numpy(), nf.quantize(x, "nvfp4"))
