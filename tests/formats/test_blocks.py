"""Block formats against exact Fractions: every rule, random and adversarial blocks, float32 and float64."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import formats as nf
from formats.blocks.relative import relative_codes
from formats.cast import ROUNDINGS
from formats.plans.decisions import decisions
from formats.plans.scalar import code_dtype
from tests.formats.block_oracle import encode_block, power_of_two_code
from tests.formats.checks import check_blocks, formats_codec
from tests.formats.oracle import lattice, rounded

MX = ("mxfp8_e4m3", "mxfp8_e5m2", "mxfp6_e3m2", "mxfp6_e2m3", "mxfp4", "mxint8")
POWERS_OF_TWO = ("floor", "ceil", "even", "rceil")
FLOAT32, FLOAT16 = nf.get("float32"), nf.get("float16")


def shared(element: Any, rule: Any = "absmax", scale: Any = None, size: int = 4, offset: Any = None) -> nf.Scaled:
    """A block format of rows of `size`."""
    scale = scale or (nf.get("e8m0fnu") if rule in POWERS_OF_TWO else FLOAT32)
    return nf.Scaled(
        element=element,
        scale=nf.Field(format=scale),
        block=nf.Block(shape=(size,)),
        rule=rule,
        offset=None if offset is None else nf.Field(format=offset),
    )


# Elements no named block format has: emax 0 and below, no subnormals, no zero, ties up, a table, wide and narrow ones.
ELEMENTS: dict[str, Any] = {
    name: nf.get(name)
    for name in (
        "e2m1fn",
        "e4m3fn",
        "e5m2",
        "e4m3fnuz",
        "e3m4",
        "e2m3:none:bias3",
        "e2m2:none:bias7",
        "e3m2:none:nosub",
        "e3m0:none",
        "e3m2:none:ties_up",
        "int8:symmetric:f6",
        "int4:symmetric",
        "int2",
        "uint4",
        "int12:symmetric",
        "int5:symmetric:f9",
        "nf4",
        "e8m3:ieee",
    )
}


def rules_of(element: Any) -> tuple[str, ...]:
    """ "even" needs a significand to round to."""
    rules = ("absmax", *POWERS_OF_TWO)
    return rules if not isinstance(element, nf.Codebook) else tuple(rule for rule in rules if rule != "even")


def extremes(dtype: Any) -> list[float]:
    """Largest magnitudes worth a block: both ends of the type, and both sides of what float16 and E8M0 scales hold."""
    info = np.finfo(dtype)
    near = [1.0, 3.0, 2.0**-100, 2.0**100, 65504.0, 2.0**-14, 2.0**-30, 2.0**-126, 2.0**-127, 2.0**-149, 2.0**127]
    ends = [float(info.max), float(info.tiny), float(info.smallest_subnormal), float(info.smallest_subnormal) * 5]
    beside = [float(np.nextafter(dtype(x), dtype(way))) for x in near for way in (0, np.inf)]
    return [x for x in (*near, *beside, *ends) if np.isfinite(x)]


def adversarial_blocks(fmt: nf.Scaled, dtype: Any, size: int, seed: int) -> NDArray[Any]:
    """Rows of `size`: random ones of many magnitudes, zeros, and rows filled with the element's thresholds.

    For the last the scale is taken from the definition, and each threshold times the scale joins the row with both
    neighbours, so long as it stays below the row's largest magnitude.
    """
    rng = np.random.default_rng(seed)
    rows = [rng.normal(0, 2.0**k, size) for k in rng.integers(-140, 120, 8)]
    rows += [rng.normal(0, 1, size) * 2.0 ** rng.integers(-60, 60, size) for _ in range(4)]
    rows += [np.zeros(size), np.full(size, -0.0), np.append(np.zeros(size - 1), -1.0), np.full(size, 3.0)]
    values = [v for v in lattice(fmt.element)[0] if abs(v) <= fmt.element.max_finite]
    middles = [(a + b) / 2 for a, b in pairwise(values)]
    for amax in extremes(dtype):
        first = np.zeros(size)
        first[0] = amax
        scale = encode_block(fmt, first, nf.Cast(nan="zero")).scale
        row = [amax]
        picked = [values[i] for i in rng.integers(0, len(values), size)]
        picked += [middles[i] for i in rng.integers(0, len(middles), size)] if middles else []
        for threshold in rng.permutation(np.array(picked, object)):
            with np.errstate(over="ignore"):
                x = dtype(_float(threshold * (scale or 0)))
                near = (float(v) for v in (x, np.nextafter(x, dtype(np.inf)), np.nextafter(x, dtype(-np.inf))))
                row += [v for v in near if abs(v) <= amax]
            if len(row) >= size:
                break
        rows.append(np.array((row + [0.0] * size)[:size]))
    with np.errstate(over="ignore"):
        blocks = np.array(rows).astype(dtype)
    blocks[~np.isfinite(blocks)] = 1
    return blocks


def _float(x: Fraction) -> float:
    try:
        return float(x)
    except OverflowError:
        return float("inf")


@pytest.mark.parametrize("rule", ["floor", "ceil", "even", "rceil"])
@pytest.mark.parametrize("name", MX)
def test_mx_blocks_are_exact(name: str, rule: str) -> None:
    fmt: Any = nf.get(f"{name}:rule={rule}")
    for dtype in (np.float32, np.float64):
        check_blocks(fmt, adversarial_blocks(fmt, dtype, 32, 11), nf.Cast(), formats_codec)


@pytest.mark.parametrize("name", ELEMENTS)
def test_blocks_of_any_element_under_any_rule_are_exact(name: str) -> None:
    """Block size 12, float16 and float32 scales under absmax; no-zero blocks, wide elements, codebooks."""
    element = ELEMENTS[name]
    for rule in rules_of(element):
        for scale in (FLOAT32, FLOAT16) if rule == "absmax" else (None,):
            fmt = shared(element, rule, scale, 12)
            for dtype in (np.float32, np.float64):
                check_blocks(fmt, adversarial_blocks(fmt, dtype, 12, 12), nf.Cast(), formats_codec)


@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("name", ["e2m1fn", "e4m3fn", "int8:symmetric:f6", "int4:symmetric", "nf4"])
def test_every_rounding_holds_inside_blocks(name: str, rounding: Any) -> None:
    for rule in ("absmax", "floor", "rceil"):
        fmt = shared(ELEMENTS[name], rule, None, 12)
        for dtype in (np.float32, np.float64):
            check_blocks(fmt, adversarial_blocks(fmt, dtype, 12, 13), nf.Cast(rounding=rounding), formats_codec)


@pytest.mark.parametrize("overflow", ["saturate_finite", "overflow"])
def test_overflow_inside_blocks_follows_the_cast(overflow: Any) -> None:
    """Floor scales leave the largest elements beyond the element's range, up to twice it."""
    fmt: Any = nf.get("mxfp8_e4m3")
    check_blocks(fmt, adversarial_blocks(fmt, np.float32, 32, 14), nf.Cast(overflow=overflow), formats_codec)
    x = np.full((1, 32), 511.0, np.float32)
    assert np.isnan(nf.quantize(x, fmt, cast=nf.Cast(overflow="overflow"))).all()
    assert (nf.quantize(x, fmt) == 448).all()


@pytest.mark.parametrize("rule", POWERS_OF_TWO)
@pytest.mark.parametrize("name", MX)
def test_scales_just_below_every_power_of_two(name: str, rule: str) -> None:
    """amax = 2**k - j float32 ulps, j of -1..44, every k of float32: where floor(log2(amax)) is often one too large."""
    fmt: Any = nf.get(f"{name}:rule={rule}")
    steps = [1 << k for k in range(24)]  # subnormal and first normal powers, in units of 2**-149
    bits = np.concatenate([np.array(steps[:-1]), (np.arange(1, 255) << 23)])[:, None] + np.arange(-44, 2)
    bits = np.unique(bits[(bits > 0) & (bits < 0x7F800000)]).astype(np.uint32)
    amax = bits.view(np.float32)
    blocks = np.zeros((amax.size, 32), np.float32)
    blocks[np.arange(amax.size), np.arange(amax.size) % 32] = np.where(np.arange(amax.size) % 2, amax, -amax)
    got = nf.encode(blocks, fmt).planes["scale"].codes.reshape(-1)
    want = np.array([power_of_two_code(rule, Fraction(float(a)), fmt.element) for a in amax])
    wrong = np.flatnonzero(got != want)
    assert wrong.size == 0, f"{[(float(amax[i]).hex(), got[i], want[i]) for i in wrong[:5]]}"
    assert (nf.encode(blocks.astype(np.float64), fmt).planes["scale"].codes.reshape(-1) == want).all()


@pytest.mark.parametrize("rule", POWERS_OF_TWO)
@pytest.mark.parametrize("name", ["mxfp4", "mxfp8_e5m2", "mxint8"])
def test_scales_just_below_every_power_of_two_in_float64(name: str, rule: str) -> None:
    fmt: Any = nf.get(f"{name}:rule={rule}")
    powers = np.ldexp(1.0, np.arange(-1074, 1024))
    amax = np.unique(
        np.concatenate([powers, np.nextafter(powers, 0), np.nextafter(powers, 2), powers * (1 - 2.0**-30)])
    )
    amax = amax[amax > 0]
    blocks = np.zeros((amax.size, 32))
    blocks[:, 5] = amax
    got = nf.encode(blocks, fmt).planes["scale"].codes.reshape(-1)
    want = np.array([power_of_two_code(rule, Fraction(float(a)), fmt.element) for a in amax])
    wrong = np.flatnonzero(got != want)
    assert wrong.size == 0, f"{[(float(amax[i]).hex(), got[i], want[i]) for i in wrong[:5]]}"


@pytest.mark.parametrize("name", ["int4:symmetric", "e4m3fn", "nf4", "uint4:asym"])
def test_absmax_scales_just_below_every_power_of_two(name: str) -> None:
    element = nf.get(name.removesuffix(":asym"))
    offset = element if name.endswith("asym") else None
    for scale in (FLOAT32, FLOAT16, nf.get("e5m2")):
        fmt = shared(element, "absmax", scale, 2, offset)
        amax = np.concatenate([np.ldexp(np.float32(1), np.arange(-149, 128))] * 3).astype(np.float32)
        bits = amax.view(np.uint32) + np.repeat([-1, 0, 1], 277).astype(np.int32).view(np.uint32)
        amax = bits[bits > 0].view(np.float32)
        check_blocks(fmt, np.stack([-amax, amax / 3], 1), nf.Cast(), formats_codec)


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 15, 16])
@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_asymmetric_integers_are_exact(bits: int, rounding: Any) -> None:
    """round(x / s) + round(-min / s), both from exact quotients; ranges of one sign keep zero in them."""
    element = nf.FixedPoint(bits=bits, signed=False)
    rng = np.random.default_rng(bits)
    for dtype in (np.float32, np.float64):
        rows = [rng.normal(c, 1, 8) * 2.0 ** int(k) for c in (0, 3, -3, 100) for k in (-130, -20, 0, 15, 100)]
        rows += [[0, 1, 2, 3, 4, 5, 6, 7], [-7.5, 7.5, 0.5, -0.5, 1.5, -1.5, 2.5, -2.5], [0] * 8, [-1] * 8, [1e-40] * 8]
        rows += [[15 * (1 + 2.0**-11), -1e-30, 3, 2, 1, 0, -0.0, 7], [1.0, -(2.0**-60), 0.5, 0.25, 0, 0, 0, 0]]
        fine = np.array(rows).astype(dtype)
        for scale in (FLOAT32, FLOAT16):
            check_blocks(shared(element, "absmax", scale, 8, element), fine, nf.Cast(rounding=rounding), formats_codec)


@pytest.mark.parametrize("fmt", [nf.get(name) for name in MX], ids=lambda fmt: fmt.name)
def test_a_block_with_an_infinity_or_nan_is_nan_in_mx(fmt: Any) -> None:
    for bad in (np.inf, -np.inf, np.nan):
        for dtype in (np.float32, np.float64):
            x = np.ones((3, 32), dtype)
            x[1, 7] = bad
            encoded = nf.encode(x, fmt)
            assert encoded.planes["scale"].codes.reshape(-1)[1] == 255
            assert not encoded.codes[1].any()
            y = nf.decode(encoded)
            assert np.isnan(y[1]).all()
            assert (y[[0, 2]] == 1).all()
            check_blocks(fmt, x, nf.Cast(), formats_codec)


@pytest.mark.parametrize("policy", ["zero", "max", "ml_dtypes"])
@pytest.mark.parametrize("name", ["int4:symmetric", "e4m3fn", "e2m1fn", "nf4", "uint4:asym"])
def test_nan_in_absmax_blocks_follows_the_cast_and_leaves_the_scale_alone(name: str, policy: Any) -> None:
    element = nf.get(name.removesuffix(":asym"))
    fmt = shared(element, "absmax", None, 4, element if name.endswith("asym") else None)
    x = np.array([[1, np.nan, -3, 2], [np.nan, -np.nan, 0, 0], [5, 1, 2, -1]], np.float32)
    check_blocks(fmt, x, nf.Cast(nan=policy), formats_codec)
    with pytest.raises(ValueError, match=r"x holds NaN, and rule 'absmax' of .* pass cast=Cast\(nan='zero'\)"):
        nf.quantize(x, fmt)


def test_scales_of_float64_are_rounded_once() -> None:
    """Parts whose product float64 cannot hold: a table of 53-bit entries times a 24-bit scale, to float32."""
    table = nf.Codebook(label="thirds", bits=2, entries=(-1 / 3, 1 / 7, 0.1, 1.0), ties="lower")
    rng = np.random.default_rng(2)
    blocks = rng.normal(0, 1, (300, 4)).astype(np.float32)
    # Entries chosen so that entry * (1 + 2**-23) lies just beside a float32 midpoint: float64 would round onto it.
    scale = Fraction(1 + 2.0**-23)
    middles = [Fraction(2 * n + 1, 2**25) for n in range(2**23 + 5, 2**23 + 4000, 97)]
    entries = [float(m / scale) for m in middles]
    tight = [e for e in entries if e < 1 and Fraction(float(Fraction(e) * scale)).denominator <= 2**25]
    assert len(tight) > 10
    for i in range(0, len(tight) - 2, 3):
        fmt = shared(nf.Codebook(label="tight", bits=2, entries=(0.0, *tight[i : i + 2], 1.0), ties="lower"))
        x = np.array([[float(scale), *tight[i : i + 2], 0]], np.float32)
        check_blocks(fmt, x, nf.Cast(), formats_codec)
    check_blocks(shared(table), blocks, nf.Cast(), formats_codec)
    check_blocks(shared(table, scale=nf.get("float64")), blocks.astype(np.float64), nf.Cast(), formats_codec)


QUICK_ELEMENTS = ("int2", "int4:symmetric", "int8:symmetric", "uint4", "int5:f9", "int9", "e2m1fn", "e4m3fn", "e5m2",
                  "e4m3fnuz", "e3m0:none", "nf4", "table_away", "table_of_53_bits", "table_shuffled")  # fmt: skip
TABLES = {
    "table_away": nf.Codebook(label="table_away", bits=3, entries=(-2.0, -0.75, 0.0, 0.5, 3.0), ties="away"),
    "table_of_53_bits": nf.Codebook(label="table_of_53_bits", bits=2, entries=(-1 / 3, 0.1, 0.7, 1.0), ties="upper"),
    "table_shuffled": nf.Codebook(label="table_shuffled", bits=2, entries=(1.0, -0.7, 0.3, 0.0)),
}


@pytest.mark.parametrize("rounding", ["ties_to_even", "ties_away"])
@pytest.mark.parametrize("name", QUICK_ELEMENTS)
def test_quick_quotients_are_the_exact_ones(name: str, rounding: Any) -> None:
    """Rows of floats within four places of threshold * scale, for scales of 24 bits, 11 bits and one bit."""
    element: Any = TABLES.get(name) or nf.get(name)
    cast = nf.Cast(rounding=rounding)
    rng = np.random.default_rng(17)
    rows, size = 300, 512
    scale = rng.uniform(1, 2, rows) * 2.0 ** rng.integers(-90, 90, rows)
    scale[::3] = scale[::3].astype(np.float32)
    scale[1::3] = (scale[1::3] / 2.0**100).astype(np.float16) * 2.0**-3 + 2.0 ** rng.integers(-9, 9, rows // 3)
    scale[::7] = 2.0 ** rng.integers(-130, 120, scale[::7].size)
    cuts = np.array([float(t) for t in decisions(element, cast).thresholds])
    with np.errstate(over="ignore", under="ignore"):
        x = (cuts[rng.integers(0, cuts.size, (rows, size))] * scale[:, None]).astype(np.float32)
    bits = x.view(np.int32) + rng.integers(-4, 5, x.shape).astype(np.int32)
    x = np.where(np.isfinite(bits.view(np.float32)), bits.view(np.float32), np.float32(1.0))
    x[::5, ::9] = 0.0
    x[::5, 1::9] = -0.0
    for offset in (None, rng.integers(0, 2, rows).astype(np.float64)):
        if offset is not None and not isinstance(element, nf.FixedPoint):
            continue
        quick, slow = (np.empty(x.shape, code_dtype(element.bits)) for _ in range(2))
        relative_codes(x, scale, element, cast, quick, offset, finite=True)
        relative_codes(x, scale, element, cast, slow, offset, finite=False)
        wrong = np.argwhere(quick != slow)
        assert not wrong.size, [(x[b, i], scale[b], quick[b, i], slow[b, i]) for b, i in wrong[:5]]


def test_thresholds_of_54_bits_are_settled_exactly() -> None:
    """Midpoints of arbitrary float64 entries: the float32 path compares with exact products, whatever their bits."""
    table = TABLES["table_of_53_bits"]
    rng = np.random.default_rng(18)
    cuts = decisions(table, nf.Cast()).thresholds
    scale = rng.uniform(1, 2, 200).astype(np.float32)
    near = np.array([[float(cut * Fraction(float(s))) for cut in cuts] for s in scale]).astype(np.float32)
    x = np.concatenate([near, np.nextafter(near, np.float32(-9)), np.nextafter(near, np.float32(9))], axis=1)
    codes = np.empty(x.shape, np.uint8)
    relative_codes(x, scale.astype(np.float64), table, nf.Cast(), codes)
    for b, s in enumerate(scale):
        for i, value in enumerate(x[b]):
            assert codes[b, i] == rounded(table, Fraction(float(value)) / Fraction(float(s)), False, nf.Cast())


@pytest.mark.parametrize("ties", ["lower", "upper"])
def test_a_threshold_times_a_scale_beside_a_float_is_on_its_own_side(ties: Any) -> None:
    """Cuts just below, at and just above float / scale, to the last of 53 bits: float64 rounds their product onto it.

    Zero as a cut has no float32 below it but the smallest; both zeros belong where `ties` says.
    """
    rng = np.random.default_rng(19)
    for _ in range(300):
        x, s = (np.float32(v) for v in rng.uniform(1, 2, 2))
        middle = float(Fraction(float(x)) / Fraction(float(s)))
        for cut in (np.nextafter(middle, 0), middle, np.nextafter(middle, 9)):
            table = nf.Codebook(label="cut", bits=2, entries=(-8.0, 0.25, 8.0), cuts=(0.0, float(cut)), ties=ties)
            near = np.array([x, np.nextafter(x, np.float32(0)), np.nextafter(x, np.float32(9)), 0.0, -0.0], np.float32)
            tiny = np.array([2.0**-149, -(2.0**-149), -(2.0**-126)], np.float32)
            row = np.concatenate([near, tiny])[None]
            codes = np.empty(row.shape, np.uint8)
            relative_codes(row, np.array([float(s)]), table, nf.Cast(), codes)
            want = [rounded(table, Fraction(float(v)) / Fraction(float(s)), False, nf.Cast()) for v in row[0]]
            assert codes[0].tolist() == want, (x, s, cut)


@pytest.mark.parametrize("name", ["int4:symmetric", "int8:symmetric", "uint8"])
def test_halves_that_the_float32_product_misses_are_divided(name: str) -> None:
    """Quotients within 2**-22 of a half, found among random scales: the product lies on the other side of some."""
    element: Any = nf.get(name)
    rng = np.random.default_rng(20)
    scale = rng.uniform(1, 2, 20000).astype(np.float32)
    half = rng.integers(0, element.max_integer, scale.size) + 0.5
    x = (half * scale).astype(np.float32)[:, None]
    product = x[:, 0] * (np.float32(1) / scale)
    exact = np.sign(x[:, 0].astype(np.float64) - half * scale.astype(np.float64))  # 33 bits: the product is exact
    assert (np.sign(product - half.astype(np.float32)) != exact).sum() > 100
    codes = np.empty(x.shape, np.uint8)
    relative_codes(x, scale.astype(np.float64), element, nf.Cast(), codes)
    floor = np.floor(half).astype(np.int64)
    even = floor + floor % 2
    want = np.where(exact > 0, floor + 1, np.where(exact < 0, floor, even))
    assert (codes[:, 0] == np.minimum(want, element.max_integer)).all()


@pytest.mark.parametrize("top", [2.0**-100, 2.0**-101, 1.75 * 2.0**-127, 3 * 2.0**-140, 2.0**-200])
def test_tables_of_tiny_values_are_exact_under_every_rule(top: float) -> None:
    """1 / top is no float32 under rceil, and a largest magnitude may round to zero there."""
    fmt = nf.Codebook(label="tiny", bits=2, entries=(-top, 0.0, top / 2, top), ties="even")
    for rule in ("floor", "ceil", "rceil"):
        for dtype in (np.float32, np.float64):
            x = adversarial_blocks(shared(fmt, rule, None, 4), dtype, 4, 21)
            x = np.concatenate([x, np.full((1, 4), np.finfo(dtype).smallest_subnormal)])
            check_blocks(shared(fmt, rule, None, 4), x, nf.Cast(), formats_codec)


def test_a_table_of_one_value_has_no_thresholds() -> None:
    fmt = nf.Codebook(label="one", bits=1, entries=(1.5, 1.5))
    x = np.random.default_rng(5).normal(0, 1, (9, 4)).astype(np.float32)
    for rule in ("absmax", "floor"):
        check_blocks(shared(fmt, rule), x, nf.Cast(), formats_codec)
