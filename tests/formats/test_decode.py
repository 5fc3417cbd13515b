"""Decoding: every code of every format, in all bits of its value."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import formats as nf
from formats.exact import Dyadic, Special
from tests.formats.cases import CODEBOOKS, NAMED_TO_12_BITS, OTHERS, PARAMETRIC, scalar
from tests.formats.checks import check_decode, same_bits
from tests.formats.oracle import definition

ALL = (*NAMED_TO_12_BITS, *PARAMETRIC, *CODEBOOKS, *OTHERS)

# ml_dtypes' name of each format it knows; float16 is numpy's own.
ML_DTYPES = {
    **{name: f"float8_{name}" for name in ("e4m3fn", "e5m2", "e4m3fnuz", "e5m2fnuz", "e4m3b11fnuz", "e4m3", "e3m4")},
    **{name: f"float6_{name}" for name in ("e3m2fn", "e2m3fn")},
    "e2m1fn": "float4_e2m1fn",
    "e8m0fnu": "float8_e8m0fnu",
    "bfloat16": "bfloat16",
    **{name: name for name in ("int1", "int2", "int4", "uint1", "uint2", "uint4")},
}


@pytest.mark.parametrize("name", ALL)
def test_every_code_has_the_value_of_its_definition(name: str) -> None:
    check_decode(scalar(name), nf.decode_codes)


@pytest.mark.parametrize("name", ALL)
def test_exact_values_are_those_of_the_definition(name: str) -> None:
    fmt = scalar(name)
    for code, value in enumerate(fmt.values()):
        want = definition(fmt, code)
        if isinstance(value, Special):
            assert repr(float(value)) == repr(want)
        elif isinstance(want, Fraction):
            assert value.fraction == want
            assert value.negative == (want < 0 or (isinstance(fmt, nf.Codebook) and str(fmt.entries[code]) == "-0.0"))
        else:
            assert value == Dyadic(True, 0, value.exponent)


@pytest.mark.parametrize("name", ALL)
def test_the_ends_of_the_range_are_those_of_the_values(name: str) -> None:
    fmt = scalar(name)
    finite = {value.fraction for value in fmt.values() if isinstance(value, Dyadic)}
    symmetric = getattr(getattr(fmt, "wrapped", fmt), "symmetric", False)
    assert fmt.max_finite == max(finite)
    assert fmt.min_finite == (-max(finite) if symmetric else min(finite))
    assert fmt.min_positive == min((v for v in finite if v > 0), default=Fraction(1))  # int1's step, though {-1, 0}
    assert all(value % Fraction(2) ** fmt.ulp_exponent == 0 for value in finite)
    assert fmt.has_nan == (Special.NAN in fmt.values()) == (fmt.nan_code is not None)
    assert fmt.has_infinity == (Special.POSITIVE_INFINITY in fmt.values())
    assert fmt.signed == any(v < 0 for v in finite)


@pytest.mark.parametrize("name", ML_DTYPES)
def test_every_code_is_worth_what_ml_dtypes_says(name: str) -> None:
    """0 mismatches, -0 and the sign of NaN included; only fnuz's one NaN has no sign here and a minus there."""
    fmt: Any = nf.get(name)
    codes = np.arange(2**fmt.bits).astype(np.uint8 if fmt.bits <= 8 else np.uint16)
    stored = codes.view(getattr(ml_dtypes, ML_DTYPES[name]))
    want = stored.astype(np.float32)
    if name.endswith("fnuz"):
        want = np.where(np.isnan(want), np.float32(np.nan), want)
    got = nf.decode_codes(fmt, codes, np.float32)
    if name == "bfloat16":  # ml_dtypes keeps the payload of a NaN, here every NaN is the quiet one of its sign
        want = np.where(np.isnan(want), np.copysign(np.float32(np.nan), want), want)
    same_bits(name, got, want)


def test_float16_codes_are_numpys() -> None:
    codes = np.arange(65536, dtype=np.uint16)
    got, want = nf.decode_codes("float16", codes, np.float32), codes.view(np.float16).astype(np.float32)
    same_bits("float16", got, np.where(np.isnan(want), np.copysign(np.float32(np.nan), want), want))


@pytest.mark.parametrize("bits", range(1, 17))
def test_integer_codes_are_twos_complement(bits: int) -> None:
    codes = np.arange(2**bits, dtype=np.uint32)
    signed = np.where(codes >> (bits - 1), codes.astype(np.float64) - 2.0**bits, codes)
    same_bits(f"uint{bits}", nf.decode_codes(f"uint{bits}", codes), codes.astype(np.float64))
    same_bits(f"int{bits}", nf.decode_codes(f"int{bits}", codes), signed)
    assert bits > 1 or signed.tolist() == [0, -1]


@pytest.mark.parametrize("name", ["float32", "tf32", "e11m20:ieee", "ue7m20:nan_top", "e8m20:fnuz", "e9m14:none:nosub"])
def test_wide_codes_have_the_value_of_their_definition(name: str) -> None:
    """Formats of 17 to 32 bits have no table: their ends and 3000 random codes (seed 1)."""
    fmt: Any = nf.get(name)
    top = 2**fmt.bits
    ends = [
        c + i
        for c in (0, top // 2, top, fmt.max_magnitude_code, top // 2 + fmt.max_magnitude_code)
        for i in range(-3, 4)
    ]
    codes = np.array([c for c in ends if 0 <= c < top], np.uint32)
    codes = np.concatenate([codes, np.random.default_rng(1).integers(0, top, 3000, dtype=np.uint32)])
    want = np.array([float(definition(fmt, int(code))) for code in codes])
    if name == "float32":
        assert (codes.view(np.float32)[~np.isnan(want)] == want[~np.isnan(want)]).all()
    got = nf.decode_codes(fmt, codes)
    two_nans = fmt.signed and fmt.specials != "fnuz"
    same_bits(name, got, np.where(np.isnan(want) & (codes >= top // 2) & two_nans, -np.nan, want))


def test_float64_codes_are_their_bits() -> None:
    codes = np.array([0, 1, 2**63, 0x3FF0000000000000, 0x7FF0000000000000, 0xFFEFFFFFFFFFFFFF], np.uint64)
    same_bits("float64", nf.decode_codes("float64", codes), codes.view(np.float64))


def test_values_beyond_float64_are_refused() -> None:
    huge = nf.Minifloat(exponent_bits=11, trailing_significand_bits=0, bias=0, specials="none")
    with pytest.raises(OverflowError, match="e11m0:none:bias0 has values beyond float64, such as code 2047; use its v"):
        nf.decode_codes(huge, np.array([5]))
    wide = nf.Minifloat(exponent_bits=11, trailing_significand_bits=20, bias=0, specials="none")
    with pytest.raises(OverflowError, match="e11m20:none:bias0 has values beyond float64"):
        nf.decode_codes(wide, np.array([5], np.uint32))
