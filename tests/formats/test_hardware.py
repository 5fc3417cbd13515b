"""The conversions of an NVIDIA H200, measured once and kept: tests/data/h200_conversions_2026_11.npz.

Measured on one NVIDIA H200 (driver 580.159, CUDA 13.0, torch 2.11), November 2026. rle_start_* / rle_code_*: all 2**32
float32 inputs, in the order of their bits, as runs of one code: "hw" is cvt.rn.satfinite.{e4m3x2,e5m2x2}.f32, "torch"
the GPU's Tensor.to(float8_*). The rest are conversions of 16,384 random and 16,384 tie inputs, and of all float16,
bfloat16 and fp8 values.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from numpy.typing import NDArray

import formats as nf

DATA = np.load(Path(__file__).parents[1] / "data" / "h200_conversions_2026_11.npz")
SATURATE, OVERFLOW = nf.Cast(overflow="saturate"), nf.Cast(overflow="overflow")
# What was converted, our format, our cast, and how NaN comes out: the hardware's has no sign and is all ones.
CONVERSIONS = {
    "hw_e4m3": ("e4m3fn", SATURATE, "all ones"),
    "hw_e5m2": ("e5m2", SATURATE, "all ones"),
    "torch_e4m3fn": ("e4m3fn", OVERFLOW, "same"),
    "torch_e5m2": ("e5m2", OVERFLOW, "payload"),
    "torch_e4m3fnuz": ("e4m3fnuz", OVERFLOW, "same"),
    "torch_e5m2fnuz": ("e5m2fnuz", OVERFLOW, "same"),
}


def measured(name: str, bits: NDArray[np.uint32]) -> NDArray[np.uint8]:
    """The codes measured for float32 inputs given as bits."""
    at = np.searchsorted(DATA[f"rle_start_{name}"], bits, side="right") - 1
    return np.asarray(DATA[f"rle_code_{name}"][at])


def ours(name: str, bits: NDArray[np.uint32]) -> NDArray[np.uint8]:
    fmt, cast, _ = CONVERSIONS[name]
    return np.asarray(nf.encode_codes(fmt, bits.view(np.float32), cast))


def check(name: str, bits: NDArray[np.uint32]) -> None:
    want, got = measured(name, bits), ours(name, bits)
    nan = np.isnan(bits.view(np.float32))
    np.testing.assert_array_equal(got[~nan], want[~nan])
    how = CONVERSIONS[name][2]
    if how == "all ones":
        assert (want[nan] == 0x7F).all()
    elif how == "same":
        np.testing.assert_array_equal(got[nan], want[nan])
    else:  # torch keeps one of e5m2's three NaN codes by a rule of its own; the value is NaN all the same
        assert np.isnan(nf.decode_codes("e5m2", want[nan])).all()
        assert np.isnan(nf.decode_codes("e5m2", got[nan])).all()


@pytest.mark.parametrize("name", CONVERSIONS)
def test_conversions_of_float32_at_the_ends_of_every_run(name: str) -> None:
    """A run's first and last inputs settle the run: between them the code cannot change where both readings agree."""
    starts = DATA[f"rle_start_{name}"].astype(np.uint32)
    ends = np.concatenate([starts, starts[1:] - 1, starts + 1]).astype(np.uint32)
    check(name, np.concatenate([ends, np.array([0x7F800000, 0xFF800000, 0x7FC00000, 0xFFC00001], np.uint32)]))


@pytest.mark.slow
@pytest.mark.parametrize("name", CONVERSIONS)
def test_conversions_of_every_float32(name: str) -> None:
    for start in range(0, 2**32, 2**26):
        check(name, np.arange(start, start + 2**26, dtype=np.int64).astype(np.uint32))


@pytest.mark.parametrize("part", ["rnd", "tie"])
@pytest.mark.parametrize(
    ("name", "fmt", "rounding"),
    [
        ("e4m3", "e4m3fn", "ties_to_even"),
        ("e5m2", "e5m2", "ties_to_even"),
        ("bf16rn", "bfloat16", "ties_to_even"),
        ("bf16rz", "bfloat16", "toward_zero"),
        ("f16rn", "float16", "ties_to_even"),
        ("tf32rn", "tf32", "ties_to_even"),
        ("tf32rna", "tf32", "ties_away"),
    ],
)
def test_conversions_of_random_inputs_and_ties(part: str, name: str, fmt: str, rounding: Any) -> None:
    x = DATA[f"{part}_in"].view(np.float32)
    saturating = "saturate" if name in ("e4m3", "e5m2") else "overflow"
    real = ~np.isnan(x)
    codes = nf.encode_codes(fmt, x[real], nf.Cast(rounding=rounding, overflow=saturating))  # type: ignore[arg-type]
    want = DATA[f"{part}_{name}"][real]
    np.testing.assert_array_equal(codes, want >> 13 if fmt == "tf32" else want)


@pytest.mark.parametrize(("source", "name"), [("f16all_f16", "e4m3"), ("bf16all", "e4m3"), ("bf16all", "e5m2")])
def test_conversions_of_all_16_bit_floats(source: str, name: str) -> None:
    dtype = np.float16 if source.startswith("f16") else ml_dtypes.bfloat16
    x = np.arange(65536, dtype=np.uint16).view(dtype).astype(np.float32)
    real = ~np.isnan(x)
    codes = nf.encode_codes({"e4m3": "e4m3fn", "e5m2": "e5m2"}[name], x[real], SATURATE)
    np.testing.assert_array_equal(codes, DATA[f"{source}_{name}"][real])


@pytest.mark.parametrize("name", ["e4m3", "e5m2"])
def test_decoding_to_float16(name: str) -> None:
    values = nf.decode_codes({"e4m3": "e4m3fn", "e5m2": "e5m2"}[name], np.arange(256))
    want = DATA[f"all_{name}_f16"].view(np.float16)
    np.testing.assert_array_equal(values.astype(np.float16)[~np.isnan(values)], want[~np.isnan(values)])
    assert np.isnan(want[np.isnan(values)]).all()


def test_a_second_measurement_gave_the_same_runs() -> None:
    """python -m studies.h200_formats on another H200 (driver 580.159.04, torch 2.11, 2026-11-22)."""
    again = np.load(Path(__file__).parents[1] / "data" / "h200_conversions_2026_11_22.npz")
    for name in CONVERSIONS:
        other = name.replace("hw_", "cvt_satfinite_")
        np.testing.assert_array_equal(again[f"start_{other}"], DATA[f"rle_start_{name}"])
        np.testing.assert_array_equal(again[f"code_{other}"], DATA[f"rle_code_{name}"])


def test_the_check_sees_a_run_that_begins_one_float_late() -> None:
    starts = DATA["rle_start_hw_e4m3"].astype(np.uint32)
    with pytest.raises(AssertionError):
        np.testing.assert_array_equal(ours("hw_e4m3", starts[1:4] - 1), measured("hw_e4m3", starts[1:4]))
