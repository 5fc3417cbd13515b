"""The checks fail on wrong answers: every bug class on record in other libraries, put in on purpose.

Each mutant is the codec under test with one thing wrong; the function that judges it is the one that judges the codec.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import formats as nf
from formats.layout import pack, unpack
from tests.formats.cases import CASTS, readable
from tests.formats.checks import (
    BlockResult,
    check_blocks,
    check_decode,
    check_encode,
    check_packing,
    formats_codec,
)
from tests.formats.test_blocks import adversarial_blocks, shared

Codes = NDArray[Any]
RNE, OVERFLOWING = nf.Cast(nan="zero"), nf.Cast(overflow="overflow")


def with_cast(fmt: Any, x: Codes, cast: nf.Cast, **changed: Any) -> Codes:
    """The codec under another cast than it was asked for."""
    wanted = {"rounding": cast.rounding, "overflow": cast.overflow, "nan": cast.nan, **changed}
    return nf.encode_codes(fmt, x, nf.Cast(**wanted))


def ties_away(fmt: Any, x: Codes, cast: nf.Cast) -> Codes:
    """microxcaling's default."""
    return with_cast(fmt, x, cast, rounding="ties_away")


def truncates(fmt: Any, x: Codes, cast: nf.Cast) -> Codes:
    """Casting by cutting bits off."""
    return with_cast(fmt, x, cast, rounding="toward_zero")


def clamps_before_rounding(fmt: Any, x: Codes, cast: nf.Cast) -> Codes:
    """Universal before #1351: overflow can no longer be seen."""
    top = float(fmt.max_finite)
    return nf.encode_codes(fmt, np.where(np.isnan(x), x, np.clip(x, -top, top)).astype(x.dtype), cast)


def drops_the_sticky_bit(fmt: Any, x: Codes, cast: nf.Cast) -> Codes:
    """Only the guard bit below the last place is looked at, so all that lies just above a tie becomes the tie."""
    bits, width = (np.uint32, 23) if x.dtype == np.float32 else (np.uint64, 52)
    mask = bits(~((1 << (width - fmt.trailing_significand_bits - 1)) - 1) & (2 ** (8 * x.dtype.itemsize) - 1))
    cut = (x.view(bits) & mask).view(x.dtype)
    return nf.encode_codes(fmt, np.where(np.isfinite(x), cut, x), cast)


def reserves_the_top_binade(fmt: Any, x: Codes, cast: nf.Cast) -> Codes:
    """The exponent of all ones taken for infinity and NaN, as in IEEE formats (mptorch, apytypes)."""
    e, m = fmt.exponent_bits, fmt.trailing_significand_bits
    narrow = nf.Minifloat(exponent_bits=e, trailing_significand_bits=m, bias=fmt.bias)
    codes = nf.encode_codes(narrow, x, nf.Cast(rounding=cast.rounding))
    return np.where(np.isnan(x), nf.encode_codes(fmt, x, cast), codes)


def loses_the_sign_of_zero(fmt: Any, x: Codes, cast: nf.Cast) -> Codes:
    """quark: all negative underflows give +0."""
    codes = nf.encode_codes(fmt, x, cast)
    return np.where(codes == 1 << (fmt.bits - 1), 0, codes)


def rounds_through_float32(fmt: Any, x: Codes, cast: nf.Cast) -> Codes:
    """ml_dtypes and torch on float64."""
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        return nf.encode_codes(fmt, x.astype(np.float32), cast)


def flushes_subnormals(fmt: Any, x: Codes, cast: nf.Cast) -> Codes:
    """Everything below the smallest normal number is zero."""
    small = np.abs(x) < float(2.0**fmt.min_exponent)
    return nf.encode_codes(fmt, np.where(small, np.copysign(0, x), x).astype(x.dtype), cast)


def rounds_twice_among_subnormals(fmt: Any, x: Codes, cast: nf.Cast) -> Codes:
    """To the significand's width first, and only then to the fixed step of the subnormals."""
    wide = nf.Minifloat(exponent_bits=11, trailing_significand_bits=fmt.trailing_significand_bits, specials="ieee")
    first = nf.quantize(x.astype(np.float64), wide, cast=nf.Cast(rounding=cast.rounding, overflow="overflow"))
    return nf.encode_codes(fmt, np.where(np.isfinite(x), first, x), cast)


def loses_the_sign_of_nan(fmt: Any, x: Codes, cast: nf.Cast) -> Codes:
    """One NaN for both."""
    return nf.encode_codes(fmt, np.where(np.isnan(x), np.abs(x), x).astype(x.dtype), cast)


def takes_nan_for_an_integer(fmt: Any, x: Codes, cast: nf.Cast) -> Codes:
    """NaN through an integer clamp comes out at one end of the range."""
    codes = nf.encode_codes(fmt, x, cast)
    return np.where(np.isnan(x), np.uint8(1 << (fmt.bits - 1)), codes)


def adds_a_half_and_floors(fmt: Any, x: Codes, cast: nf.Cast) -> Codes:
    """floor(x + 0.5) rounds 0.49999999999999994 up, and ties upward."""
    with np.errstate(invalid="ignore", over="ignore"):
        steps = np.floor(np.where(np.isfinite(x), x, 0) + x.dtype.type(0.5))
    return np.where(np.isfinite(x), nf.encode_codes(fmt, steps.astype(np.float64), cast), nf.encode_codes(fmt, x, cast))


def saturates_infinity(fmt: Any, x: Codes, cast: nf.Cast) -> Codes:
    """torch 2.13's e4m3fn, whose pull request says finite overflow only."""
    return with_cast(fmt, x, cast, overflow="saturate")


def wraps(fmt: Any, x: Codes, cast: nf.Cast) -> Codes:
    """An integer cast that keeps the low bits."""
    with np.errstate(invalid="ignore"):
        integers = np.rint(np.where(np.isfinite(x), np.clip(x, -(2.0**40), 2.0**40), 0)).astype(np.int64)
    return np.where(np.isfinite(x), integers & (2**fmt.bits - 1), nf.encode_codes(fmt, x, cast)).astype(np.uint8)


def ties_to_the_value_above(fmt: Any, x: Codes, cast: nf.Cast) -> Codes:
    """A table searched from the wrong side."""
    other = nf.Codebook(label="other", bits=fmt.bits, entries=fmt.entries, ties="upper")
    return nf.encode_codes(other, x, cast)


Mutant = Callable[[Any, Codes, nf.Cast], Codes]
SCALAR_MUTANTS: list[tuple[Mutant, str, nf.Cast, Any]] = [
    *[(ties_away, name, RNE, np.float32) for name in ("e4m3fn", "e5m2", "e2m1fn", "int8", "e3m0:none")],
    *[(truncates, name, RNE, np.float32) for name in ("e4m3fn", "int8", "e8m0fnu")],
    (clamps_before_rounding, "e4m3fn", OVERFLOWING, np.float32),
    (clamps_before_rounding, "e5m2", OVERFLOWING, np.float64),
    *[(drops_the_sticky_bit, name, RNE, np.float32) for name in ("e4m3fn", "e5m2", "e2m1fn", "e3m4")],
    (drops_the_sticky_bit, "e4m3fn", RNE, np.float64),
    (drops_the_sticky_bit, "e4m3fn", nf.Cast(rounding="up"), np.float32),
    *[(reserves_the_top_binade, name, RNE, np.float32) for name in ("e4m3fn", "e2m1fn", "e3m2fn", "e2m3fn")],
    *[(loses_the_sign_of_zero, name, RNE, np.float32) for name in ("e4m3fn", "e2m1fn", "e3m1:ieee:nosub")],
    *[(rounds_through_float32, name, RNE, np.float64) for name in ("e4m3fn", "e5m2", "int8", "e8m0fnu", "nf4")],
    *[(flushes_subnormals, name, RNE, np.float32) for name in ("e4m3fn", "e5m2", "e2m1fn")],
    *[(rounds_twice_among_subnormals, name, RNE, np.float64) for name in ("e4m3fn", "e5m2", "e3m4")],
    (loses_the_sign_of_nan, "e4m3fn", RNE, np.float32),
    (loses_the_sign_of_nan, "e3m1:ieee:nosub", RNE, np.float64),
    (takes_nan_for_an_integer, "int8", RNE, np.float32),
    (takes_nan_for_an_integer, "e2m1fn", RNE, np.float64),
    (adds_a_half_and_floors, "int8", RNE, np.float64),
    (adds_a_half_and_floors, "uint4", nf.Cast(rounding="ties_away", nan="zero"), np.float64),
    (saturates_infinity, "e4m3fn", nf.Cast(overflow="saturate_finite"), np.float32),
    (saturates_infinity, "e5m2", OVERFLOWING, np.float32),
    (wraps, "int8", RNE, np.float32),
    (ties_to_the_value_above, "nf4", RNE, np.float64),
]


@pytest.mark.parametrize(("mutant", "name", "cast", "dtype"), SCALAR_MUTANTS, ids=readable)
def test_a_broken_encoder_is_caught(mutant: Mutant, name: str, cast: nf.Cast, dtype: Any) -> None:
    fmt: Any = nf.get(name)
    check_encode(fmt, cast, nf.encode_codes, dtype)
    with pytest.raises(AssertionError, match=r"\d+ of \d+ wrong"):
        check_encode(fmt, cast, mutant, dtype)


@pytest.mark.parametrize("name", ["e4m3fn", "e5m2", "e2m1fn", "e8m0fnu", "int8", "nf4"])
def test_one_wrong_code_in_one_cast_is_caught(name: str) -> None:
    """A single code off by one for a single bfloat16 value, whatever the cast."""
    fmt: Any = nf.get(name)
    rng = np.random.default_rng(0)
    for cast in CASTS:
        if cast.overflow == "overflow" and not fmt.has_nan:
            continue
        how = nf.Cast(rounding=cast.rounding, overflow=cast.overflow, nan="zero")
        at = int(rng.integers(0, 60_000))

        def off_by_one(fmt: Any, x: Codes, cast: nf.Cast, at: int = at) -> Codes:
            codes = nf.encode_codes(fmt, x, cast)
            codes[at] ^= 1
            return codes

        with pytest.raises(AssertionError, match=r"1 of \d+ wrong"):
            check_encode(fmt, how, off_by_one, np.float32)


DECODERS: dict[str, tuple[str, Callable[[Codes], Codes]]] = {
    "the sign of zero is lost": ("e4m3fn", lambda v: v + 0.0),
    "NaN is decoded as a number": ("e4m3fn", lambda v: np.where(np.isnan(v), np.copysign(480.0, v), v).astype(v.dtype)),
    "the sign of NaN is lost": ("e5m2", lambda v: np.where(np.isnan(v), v.dtype.type(np.nan), v)),
    "infinity is decoded as a number": (
        "e5m2",
        lambda v: np.where(np.isinf(v), np.copysign(65536.0, v), v).astype(v.dtype),
    ),
    "the bias is off by one": ("e2m1fn", lambda v: v * 2),
    "one value is an ulp off": (
        "nf4",
        lambda v: np.where(np.arange(v.size) == 3, np.nextafter(v, 1), v).astype(v.dtype),
    ),
    "int1 is {0, 1}": ("int1", np.abs),
    "E8M0 has a zero": ("e8m0fnu", lambda v: np.where(np.arange(v.size) == 0, 0, v).astype(v.dtype)),
}


@pytest.mark.parametrize("what", DECODERS)
def test_a_broken_decoder_is_caught(what: str) -> None:
    name, broken = DECODERS[what]
    fmt: Any = nf.get(name)
    check_decode(fmt, nf.decode_codes)
    with pytest.raises(AssertionError, match=r"\d+ of \d+ wrong"):
        check_decode(fmt, lambda fmt, codes, dtype: broken(nf.decode_codes(fmt, codes, dtype)))


def with_exponents(x: Codes, fmt: nf.Scaled, cast: nf.Cast, power: Codes) -> BlockResult:
    """The floor rule, given the exponents of the largest magnitudes."""
    exponent = power - np.floor(np.log2(float(fmt.element.max_finite)))
    return with_scales(x, fmt, cast, 2.0 ** np.clip(np.where(np.abs(x).max(axis=1) == 0, -127, exponent), -127, 127))


def floors_a_logarithm(x: Codes, fmt: nf.Scaled, cast: nf.Cast) -> BlockResult:
    """floor(log2(amax)) in the input's own precision: microxcaling, gguf, pychop, and others."""
    with np.errstate(divide="ignore"):
        return with_exponents(x, fmt, cast, np.floor(np.log2(np.abs(x).max(axis=1))).astype(np.float64))


def reads_the_exponent(x: Codes, fmt: nf.Scaled, cast: nf.Cast) -> BlockResult:
    """No mutant: the same with the exponent from frexp, so that nothing but the logarithm is what fails above."""
    return with_exponents(x, fmt, cast, np.frexp(np.abs(x).max(axis=1))[1] - 1.0)


def with_scales(x: Codes, fmt: nf.Scaled, cast: nf.Cast, scale: Codes) -> BlockResult:
    """Elements under given scales, by plain float64 arithmetic."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        q = np.where(scale[:, None] > 0, x.astype(np.float64) / scale[:, None], 0.0 * x)
    codes = nf.encode_codes(fmt.element, q, cast)
    with np.errstate(over="ignore"):
        return BlockResult(scale, codes, (nf.decode_codes(fmt.element, codes) * scale[:, None]).astype(x.dtype))


def divides_by_a_reciprocal(x: Codes, fmt: nf.Scaled, cast: nf.Cast) -> BlockResult:
    """x * (1 / scale): one more rounding, enough to leave a tie."""
    good = formats_codec(x, fmt, cast)
    scale = good.scales.reshape(-1, 1).astype(x.dtype)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        q = np.where(scale > 0, x * (x.dtype.type(1) / scale), x * 0)
    codes = nf.encode_codes(fmt.element, q.astype(x.dtype), cast)
    return BlockResult(good.scales, codes, good.values)


def another_rule(x: Codes, fmt: nf.Scaled, cast: nf.Cast) -> BlockResult:
    """Scales rounded up where the format says down."""
    return formats_codec(x, nf.Scaled(element=fmt.element, scale=fmt.scale, block=fmt.block, rule="ceil"), cast)


def scales_of_more_bits(x: Codes, fmt: nf.Scaled, cast: nf.Cast) -> BlockResult:
    """The scale used is not the one stored: elements rounded under the unrounded one."""
    good = formats_codec(x, fmt, cast)
    exact = np.abs(x).max(axis=1).astype(np.float64) / float(fmt.element.max_finite)
    return BlockResult(good.scales, with_scales(x, fmt, cast, exact).codes, good.values)


def nan_block_of_zeros(x: Codes, fmt: nf.Scaled, cast: nf.Cast) -> BlockResult:
    """A NaN that disappears."""
    return formats_codec(np.where(np.isfinite(x), x, 0).astype(x.dtype), fmt, cast)


def loses_zero_signs(x: Codes, fmt: nf.Scaled, cast: nf.Cast) -> BlockResult:
    """-0 codes written as 0."""
    good = formats_codec(x, fmt, cast)
    return BlockResult(good.scales, np.where(good.codes == 1 << (fmt.element.bits - 1), 0, good.codes), good.values)


def values_rounded_twice(x: Codes, fmt: nf.Scaled, cast: nf.Cast) -> BlockResult:
    """Decoded by way of float16."""
    good = formats_codec(x, fmt, cast)
    with np.errstate(over="ignore", under="ignore"):
        return BlockResult(good.scales, good.codes, good.values.astype(np.float16).astype(x.dtype))


GROUP = shared(nf.get("int4:symmetric"), "absmax", nf.get("float16"), 32)
BLOCK_MUTANTS = [
    *[(floors_a_logarithm, name, np.float32) for name in ("mxfp4", "mxfp8_e4m3", "mxint8")],
    *[(floors_a_logarithm, name, np.float64) for name in ("mxfp4", "mxfp8_e5m2")],
    (another_rule, "mxfp4", np.float32),
    (another_rule, "mxint8", np.float64),
    (divides_by_a_reciprocal, GROUP, np.float32),
    (divides_by_a_reciprocal, GROUP, np.float64),
    (scales_of_more_bits, GROUP, np.float32),
    (nan_block_of_zeros, "mxfp4", np.float32),
    (loses_zero_signs, "mxfp4", np.float32),
    (values_rounded_twice, "mxfp8_e4m3", np.float32),
]


@pytest.mark.parametrize(("mutant", "name", "dtype"), BLOCK_MUTANTS, ids=readable)
def test_a_broken_block_codec_is_caught(mutant: Any, name: Any, dtype: Any) -> None:
    fmt: Any = nf.get(name)
    blocks = adversarial_blocks(fmt, dtype, 32, 11)
    powers = np.zeros((277, 32), dtype)
    powers[:, 3] = np.nextafter(np.ldexp(np.float32(1), np.arange(-149, 128)), np.float32(0))
    blocks = np.concatenate([blocks, powers])
    if mutant is nan_block_of_zeros:
        blocks[2, 7] = np.nan
    check_blocks(fmt, blocks, nf.Cast(), formats_codec)
    if mutant is floors_a_logarithm:
        check_blocks(fmt, blocks, nf.Cast(), reads_the_exponent)
    with pytest.raises(AssertionError, match=r"scale|wrong| not "):
        check_blocks(fmt, blocks, nf.Cast(), mutant)


def high_nibble_first(codes: Codes, bits: int) -> Codes:
    """The other order of FP4 pairs."""
    data = pack(codes, bits)
    return (data << 4 | data >> 4) if bits == 4 else data


def big_endian(codes: Codes, bits: int) -> Codes:
    """The stream read from the other end."""
    return pack(codes, bits)[::-1].copy()


@pytest.mark.parametrize("bits", [3, 4, 6, 12])
def test_a_broken_packing_is_caught(bits: int) -> None:
    check_packing(bits, pack, unpack)
    with pytest.raises(AssertionError, match=f"codes of {bits} bits"):
        check_packing(bits, big_endian, unpack)
    with pytest.raises(AssertionError, match=f"codes of {bits} bits"):
        check_packing(bits, pack, lambda data, bits, count: unpack(data, bits, count)[::-1])
    if bits == 4:
        with pytest.raises(AssertionError, match="codes of 4 bits"):
            check_packing(4, high_nibble_first, unpack)


def test_a_quantize_that_is_not_decode_of_encode_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.ones((1, 32), np.float32)
    good = nf.quantize

    def off(*arguments: Any, **named: Any) -> Any:
        return good(*arguments, **named) * np.float32(1 + 2.0**-23)

    monkeypatch.setattr(nf, "quantize", off)
    with pytest.raises(AssertionError, match=r"quantize and decode\(encode\): 32 of 32 wrong"):
        formats_codec(x, nf.get("mxfp4"), nf.Cast())  # type: ignore[arg-type]
