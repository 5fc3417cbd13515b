"""Scales at their ends: zero points, scales that would be zero, and scales that would make infinities."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import formats as nf
from tests.formats.checks import check_blocks, formats_codec
from tests.formats.test_blocks import shared

FLT_MAX = float(np.finfo(np.float32).max)


@pytest.mark.parametrize("name", ["int2", "int4", "int8", "int8:symmetric", "int5:f9", "int16"])
def test_signed_elements_with_a_zero_point_use_their_whole_range(name: str) -> None:
    element: Any = nf.get(name)
    fmt = shared(element, "absmax", None, 5, element)
    rng = np.random.default_rng(4)
    x = rng.normal(2, 1, (40, 5)) * 2.0 ** rng.integers(-20, 20, (40, 1))
    for dtype in (np.float32, np.float64):
        check_blocks(fmt, x.astype(dtype), nf.Cast(), formats_codec)
    step = float(element.max_finite - element.min_finite)
    y = nf.quantize(np.array([0.0, 1.0, 2.0, 3.0, 4.0], np.float32), "float32")
    assert np.abs(nf.quantize(y, fmt) - y).max() <= 4 / (step * 2.0**element.fraction_bits)
    assert nf.encode(y, fmt).planes["offset"].codes[0] == element.min_integer % 2**element.bits


@pytest.mark.parametrize("offset", ["uint8", "int4", "int8:symmetric"])
def test_an_offset_that_misses_part_of_the_range_is_refused(offset: str) -> None:
    with pytest.raises(ValueError, match=r"zero points run over the element's whole range, -128\.\.127 for int8"):
        shared(nf.get("int8"), "absmax", None, 4, nf.get(offset))
    shared(nf.get("uint4"), "absmax", None, 4, nf.get("uint8"))


@pytest.mark.parametrize("inner", ["uint8", "nf4", "e4m3fn", "ue4m3", "int4:symmetric"])
def test_no_row_is_lost_under_scales_of_scales(inner: str) -> None:
    outer = nf.Scaled(
        element=nf.get(inner),  # type: ignore[arg-type]
        scale=nf.Field(format=nf.get("float32")),
        block=nf.Block(shape=(256,), flat=True),
    )
    x = np.ones((256, 64), np.float32) * 1e-6
    x[0] = 1.0
    fmt = shared(nf.get("nf4"), "absmax", outer, 64)
    encoded = nf.encode(x, fmt)
    assert (encoded.scales > 0).all()
    assert (nf.quantize(x, fmt)[0] > 0).all()
    assert (nf.quantize(np.zeros((256, 64), np.float32), fmt) == 0).all()
    uint8: Any = nf.get("uint8")
    offset = nf.Scaled(element=uint8, scale=outer.scale, block=outer.block, offset=nf.Field(format=uint8))
    assert (nf.encode(x, shared(nf.get("nf4"), "absmax", offset, 64)).scales > 0).all()


def test_scales_in_a_table_are_positive() -> None:
    table = nf.Codebook(label="scales", bits=2, entries=(-0.25, 0.0, 0.5, 1.0))
    x = np.array([[1e-9, -1e-9], [0.1, -1.0]])
    assert nf.encode(x, shared(nf.get("nf4"), "absmax", table, 2)).scales.reshape(-1).tolist() == [0.5, 1.0]
    no_scale = nf.Codebook(label="none", bits=1, entries=(-1.0, 0.0))
    with pytest.raises(ValueError, match="scale format none has no positive value"):
        shared(nf.get("nf4"), "absmax", no_scale, 2)


def test_scales_below_two_to_the_minus_1000_are_exact() -> None:
    fmt = shared(nf.get("int4:symmetric"), "absmax", nf.get("e11m4:ieee"), 2)
    tiny = np.array([[7.0, -3.0], [1e-3, 5e-4], [3.0, 7.0]]) * np.array([[2.0**-1020], [2.0**-1010], [2.0**-1015]])
    check_blocks(fmt, tiny, nf.Cast(), formats_codec)
    wide = shared(nf.get("int4:symmetric"), "absmax", nf.get("float64"), 2)
    assert (nf.quantize(tiny[::2], wide) == tiny[::2]).all()


@pytest.mark.parametrize(
    "name", ["int8:tensor", "int4:g4:scale=float32", "int8:channel", "nf4:b4", "e4m3fn:g4", "e5m2:g4"]
    + [f"{mx}:rule={rule}" for mx in ("mxfp4", "mxfp8_e5m2", "mxint8") for rule in ("floor", "ceil", "even", "rceil")]
)  # fmt: skip
def test_finite_float32_input_stays_finite(name: str) -> None:
    for amax in (FLT_MAX, -3.4e38, 2.0**127, 2.6e38):
        for dtype in (np.float32, np.float64):
            x = np.zeros(32, dtype)
            x[3], x[4] = amax, amax / 2
            y = nf.quantize(x, name)
            assert np.isfinite(y).all()
            assert np.isfinite(nf.decode(nf.encode(x, name))).all()
            assert abs(y[3] - amax) <= abs(amax) / 3


def test_what_no_scale_keeps_within_float32_is_refused() -> None:
    x = np.array([FLT_MAX, -FLT_MAX * 0.0277, 0.0, 0.0], np.float32)
    with pytest.raises(ValueError, match=r"x reaches 3.40282e\+38, and rounded to .* beyond float32.*scale x first"):
        nf.quantize(x, "uint4:g4:asym:scale=float32")
    assert np.isfinite(nf.quantize(x / 2, "uint4:g4:asym:scale=float32")).all()


@pytest.mark.parametrize("policy", ["zero", "max"])
@pytest.mark.parametrize("name", ["mxfp4", "mxfp8_e4m3", "mxint8", "mxfp6_e2m3:rule=rceil"])
def test_an_explicit_nan_policy_holds_in_power_of_two_blocks(name: str, policy: Any) -> None:
    fmt: Any = nf.get(name)
    x = np.arange(64, dtype=np.float32).reshape(2, 32)
    x[1, 3], x[0, 5] = np.nan, -np.nan
    for dtype in (np.float32, np.float64):
        check_blocks(fmt, x.astype(dtype), nf.Cast(nan=policy), formats_codec)
    assert np.isnan(nf.quantize(x, fmt, cast=nf.Cast(nan=policy))).sum() == (2 if "fp8" in name else 0)
    x[1, 9] = np.inf
    assert np.isnan(nf.quantize(x, fmt, cast=nf.Cast(nan=policy))[1]).all()


def test_infinity_in_float64_follows_the_cast() -> None:
    x = np.array([np.inf, -np.inf, np.nan, -0.0, 1.5])
    top = np.finfo(np.float64).max
    assert nf.quantize(x, "float64").tolist()[:2] == [top, -top]
    assert nf.decode_codes("float64", nf.encode_codes("float64", x)).tolist()[:2] == [top, -top]
    for overflow in ("saturate_finite", "overflow"):
        assert nf.quantize(x, "float64", cast=nf.Cast(overflow=overflow)).tolist()[:2] == [np.inf, -np.inf]  # type: ignore[arg-type]


def test_formats_no_kernel_covers_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="e11m40:ieee of 52 bits is wider than the 32 bits a codec covers"):
        nf.quantize(np.ones(2), "e11m40:ieee")
