"""Formats with float32's own exponents, a kernel path of their own: bfloat16 at every tie, more by samples."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

import formats as nf
from formats.cast import DETERMINISTIC
from formats.exact import from_float
from formats.reference import encode_value


def around_every_cut() -> Any:
    """For each bfloat16 code: its value, and the float32 just below, at and above the tie to its successor."""
    tops = np.arange(65536, dtype=np.uint32) << 16
    return (tops[:, None] + np.array([0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF], np.uint32)).reshape(-1).view(np.float32)


@pytest.mark.filterwarnings("ignore:.*encountered in cast")
def test_bfloat16_equals_ml_dtypes_at_every_tie() -> None:
    x = around_every_cut()
    numbers = ~np.isnan(x)
    got = nf.encode_codes("bfloat16", x, nf.Cast(overflow="overflow"))
    want = x.astype(ml_dtypes.bfloat16).view(np.uint16)
    assert (got[numbers] == want[numbers]).all()
    assert (got[~numbers] & 0x7FFF == 0x7FC0).all()


@pytest.mark.filterwarnings("ignore:.*encountered in cast")
def test_the_comparison_would_see_truncation() -> None:
    x = around_every_cut()
    cut = (x.view(np.uint32) >> 16).astype(np.uint16)
    numbers = ~np.isnan(x)
    assert (cut[numbers] != x[numbers].astype(ml_dtypes.bfloat16).view(np.uint16)).any()


@pytest.mark.parametrize("overflow", ["saturate", "saturate_finite", "overflow"])
@pytest.mark.parametrize("rounding", DETERMINISTIC)
@pytest.mark.parametrize("name", ["bfloat16", "tf32", "float16", "e8m3:none"])
def test_samples_equal_the_reference(name: str, rounding: Any, overflow: Any) -> None:
    fmt = nf.get(name)
    assert isinstance(fmt, nf.Minifloat)
    if overflow == "overflow" and not (fmt.has_nan or fmt.has_infinity):
        pytest.skip(f"{name} has nothing to overflow to")
    cast = nf.Cast(rounding=rounding, overflow=overflow)
    rng = np.random.default_rng(7)
    bits = rng.integers(0, 2**32, 400, dtype=np.uint64).astype(np.uint32)
    low = 23 - fmt.trailing_significand_bits
    ties = (bits >> low << low) | np.uint32(1 << (low - 1))
    ends = np.array([0, 1, 0x80000000, 0x7F7FFFFF, 0x7F800000, 0xFF800000, 0xFF7FFFFF, 0x00800000], np.uint32)
    x = np.concatenate([bits, ties, ties - 1, ties + 1, ends]).view(np.float32)
    x = x[~np.isnan(x)]
    got = nf.encode_codes(fmt, x, cast)
    want = [encode_value(fmt, from_float(float(v)), cast) for v in x]
    assert got.tolist() == want
