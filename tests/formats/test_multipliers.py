"""Multipliers of one product each: published vectors, an independent reading, the reference, and fast engines."""

from __future__ import annotations

import struct
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import formats as nf
from formats.arithmetic import reference
from formats.arithmetic.engines import generic, lmul, serial, tables, unordered
from formats.arithmetic.multipliers.base import Multiplier
from formats.arithmetic.named import MULTIPLIERS
from formats.codec import decode_codes
from formats.exact import Dyadic, Special, Value, from_float
from tests.formats.cases import QUICK
from tests.formats.test_chains import differing, expected, job_of, random_chain, values

FLUSH = nf.LMul("integer_add", policy="flush_and_saturate")
LMULS = [nf.LMul("formula"), nf.LMul("formula", 2), nf.LMul("integer_add"), FLUSH, nf.LMul("integer_add", 1)]


def scalar(name: str) -> nf.Scalar:
    fmt = nf.get(name)
    assert isinstance(fmt, nf.Scalar)
    return fmt


def one(times: Multiplier, x: float, y: float, name: str) -> float:
    fmt = scalar(name)
    return float(times.products(np.float64(x), np.float64(y), fmt, fmt))  # type: ignore[arg-type]


def value_of(word: int) -> float:
    return float(struct.unpack("<f", struct.pack("<I", word))[0])


def word_of(x: float) -> int:
    return int(struct.unpack("<I", struct.pack("<f", x))[0])


def all_values(fmt: nf.Scalar) -> Any:
    return np.asarray(decode_codes(fmt, np.arange(len(fmt.values()), dtype=np.uint8), np.float64))


def same(x: Value, y: float) -> bool:
    """Whether a float64 is an exact value, the sign of zero included."""
    if isinstance(x, Special):
        return str(float(x)) == str(y)
    return np.isfinite(y) and Fraction(y) == x.fraction and (x.significand != 0 or x.negative == bool(np.signbit(y)))


@pytest.mark.parametrize(
    ("x", "y", "product"),
    # values computed by the published integer expression; 0.1 is the float32 next to it
    [
        (1, 1, 1.0625), (1.5, 1.5, 2.125), (3, 4, 12.5), (5, 5, 25.0),
        (-2.5, value_of(0x3DCCCCCD), value_of(word_of(2.5) + 0x3DCCCCCD - 0x3F780000 + 0x80000000)),
        (value_of(0x3FFFFFFF), value_of(0x3FFFFFFF), value_of(2 * 0x3FFFFFFF - 0x3F780000)),
        (0, 5, value_of(word_of(5.0) - 0x3F780000)),
        (value_of(word_of(1e-30)), value_of(word_of(1e-30)), 1.1513371083512218e17),
        (value_of(word_of(3e38)), value_of(word_of(3e38)), 0.7944915294647217),
    ],
)  # fmt: skip
def test_published_integer_add_in_float32(x: float, y: float, product: float) -> None:
    assert one(nf.LMul("integer_add"), x, y, "float32") == product


@pytest.mark.parametrize(("x", "y", "code"), [(0x3C, 0x3C, 0x41), (0x38, 0x38, 0x39), (0x3F, 0x3F, 0x47)])
def test_published_integer_add_in_e4m3(x: int, y: int, code: int) -> None:
    fmt = scalar("e4m3fn")
    got = nf.LMul("integer_add").product(fmt.value(x), fmt.value(y), fmt, fmt)
    assert got == fmt.value(code)


def test_constants_of_the_published_code() -> None:
    for name, constant in (("float32", 0x3F780000), ("bfloat16", 0x3F78), ("e4m3fn", 0x37), ("e5m2", 0x3B)):
        fmt = scalar(name)
        assert isinstance(fmt, nf.Minifloat)
        assert nf.LMul("integer_add").constant(fmt) == -constant
    # the two forms differ where the significands' fractions and the constant reach one: by a third at most
    assert one(nf.LMul("formula"), 1.5, 1.5, "float32") == 2.0625
    near = value_of(0x3FFFFFFF)
    assert one(nf.LMul("integer_add"), near, near, "float32") / one(nf.LMul("formula"), near, near, "float32") > 1.38


@pytest.mark.parametrize("name", ["e4m3fn", "e5m2", "e3m2fn", "e2m1fn", "e4m3fnuz", "e2m3:none"])
def test_integer_add_is_an_addition_of_codes(name: str) -> None:
    # the published expression on every pair of codes, read by the format's own values
    fmt = scalar(name)
    assert isinstance(fmt, nf.Minifloat)
    m, low = fmt.trailing_significand_bits, 2**fmt.magnitude_bits
    level = m if m <= 3 else 3 if m == 4 else 4
    table = nf.product_table(nf.LMul("integer_add"), fmt, fmt).array
    assert fmt.bias is not None
    for i in range(2**fmt.bits):
        for j in range(2**fmt.bits):
            if fmt.value(i) is Special.NAN or fmt.value(j) is Special.NAN:
                continue  # NaN has several codes; the canonical one counts
            r = ((i & (low - 1)) + (j & (low - 1)) - (fmt.bias << m) + (2**m >> level)) & (low - 1)
            assert same(fmt.value(r | ((i ^ j) & low)), table[i, j])


@pytest.mark.parametrize("times", [*LMULS, nf.Mitchell()], ids=repr)
@pytest.mark.parametrize("name", ["e4m3fn", "e5m2", "e3m2fn", "e2m1fn", "e4m3fnuz"])
def test_every_product_of_small_formats_is_the_exact_one(name: str, times: Multiplier) -> None:
    fmt = scalar(name)
    if isinstance(times, nf.LMul) and times.form == "integer_add" and (times.offset or 0) > 1:
        return
    x = all_values(fmt)
    bits, last = times.output(fmt, fmt)
    got = times.products(x[:, None], x[None, :], fmt, fmt)
    every = 1 if fmt.bits < 8 or (name == "e4m3fn" and times in (FLUSH, LMULS[0])) else 7
    for i, v in enumerate(fmt.values()):
        for j, w in list(enumerate(fmt.values()))[i % every :: every]:
            want = times.product(v, w, fmt, fmt)
            assert same(want, got[i, j]), (v, w, want, got[i, j])
            if isinstance(want, Dyadic) and want.significand:
                units = abs(want.fraction) / Fraction(2) ** last
                assert units.denominator == 1
                odd = units.numerator // (units.numerator & -units.numerator)
                assert odd.bit_length() <= bits


def test_mitchell_on_integers_is_his_example_rule() -> None:
    # 1962: (1 + x) 2**p (1 + y) 2**q is 2**(p + q) (1 + x + y), or 2**(p + q + 1) (x + y) from x + y = 1 on
    fmt = scalar("int8")
    for a in range(-127, 128):
        for b in (-100, -64, -3, 0, 1, 7, 96, 127):
            got = float(nf.Mitchell().products(np.float64(a), np.float64(b), fmt, fmt))  # type: ignore[arg-type]
            if a * b == 0:
                assert got == 0
                continue
            p, q = abs(a).bit_length() - 1, abs(b).bit_length() - 1
            rest = (abs(a) - 2**p) * 2**q + (abs(b) - 2**q) * 2**p
            want = 2 ** (p + q) + rest if rest < 2 ** (p + q) else 2 * rest
            assert got == (want if a * b > 0 else -want)
            assert abs(got) <= abs(a * b) <= abs(got) * 9 / 8  # never more than 1/9 short


def test_shift_only() -> None:
    fa, fb = scalar("int8"), scalar("e3m0:none")
    x, y = all_values(fa), all_values(fb)
    for fraction_bits in (None, 0, 2):
        times = nf.ShiftOnly(fraction_bits)
        times.check(fa, fb)
        got = times.products(x[:, None], y[None, :], fa, fb)
        for i, j in np.ndindex(got.shape):
            assert same(times.product(from_float(x[i]), from_float(y[j]), fa, fb), got[i, j])
            if fraction_bits is None:
                assert got[i, j] == x[i] * y[j]
    # -5 >> 1 is -3 in two's complement, and minus that where b is negative
    half = np.array([0.5, -0.5])
    assert nf.ShiftOnly(0).products(np.float64(-5), half, fa, fb).tolist() == [-3.0, 3.0]  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="plus or minus a power of two, which e4m3fn's are not"):
        nf.matmul(np.ones((2, 2)), np.ones((2, 2)), a_format="int8", b_format="e4m3fn", multiplier="shift_only")


def test_bit_serial_terms_of_published_examples() -> None:
    def digits(times: nf.BitSerial, x: int, name: str) -> list[float]:
        terms = times.terms(from_float(float(x)), scalar(name))
        return [float(t) / 4**i for i, t in enumerate(terms)]

    booth = nf.BitSerial("booth")
    assert digits(booth, 93, "int8") == [1, -1, 2, 1]
    assert digits(booth, 127, "int8") == [-1, 0, 0, 2]
    assert digits(booth, -21, "int6") == [-1, -1, -1]
    assert digits(booth, 31, "int6") == [-1, 0, 2]
    counts = {"int6": 3, "int8": 4, "e2m1fn": 2, "bitmod4_er_pos": 2}
    bitmod = nf.BitSerial("bitmod")
    for name, count in counts.items():
        if name in nf.names() or name != "bitmod4_er_pos":
            assert bitmod.count(scalar(name)) == count
    special = nf.Codebook(label="FP4-ER", bits=4, entries=(-12, -8, -6, -4, -3, -2, -1, 0, 1, 2, 3, 4, 6, 8, 10, 12))
    assert bitmod.count(special) == 2
    assert [float(t) for t in bitmod.terms(from_float(10.0), special)] == [2.0, 8.0]
    with pytest.raises(ValueError, match="sums of two powers of two, unlike e4m3fn's"):
        bitmod.count(scalar("e4m3fn"))


@pytest.mark.parametrize("recoding", ["bits", "booth", "bitmod"])
@pytest.mark.parametrize(
    "name", ["int8", "int5", "uint5", "int4:f2", "e4m3fn", "e5m2", "e2m1fn", "flint4", "e3m0:none"]
)
def test_bit_serial_terms_are_signed_powers_of_two_that_sum_to_the_value(name: str, recoding: Any) -> None:
    fmt, times = scalar(name), nf.BitSerial(recoding)
    try:
        count = times.count(fmt)
    except ValueError:
        assert recoding == "bitmod"
        return
    arrays = times.term_values(all_values(fmt), fmt)
    held = times.term_format(fmt)
    for code, value in enumerate(fmt.values()):
        terms = times.terms(value, fmt)
        assert len(terms) == count
        assert all(same(t, float(v)) for t, v in zip(terms, arrays[:, code], strict=True))
        if isinstance(value, Special):
            continue
        parts = [t.fraction for t in terms if isinstance(t, Dyadic)]
        assert sum(parts) == value.fraction
        assert all(p == 0 or (p.numerator & (p.numerator - 1) == 0) for p in map(abs, parts))
        assert all(nf.quantize(np.float64(float(p)), held) == float(p) for p in parts)


JOBS = [
    ("e4m3fn", "e4m3fn"), ("e5m2", "e5m2"), ("e2m1fn", "e2m1fn"), ("bfloat16", "bfloat16"), ("float16", "float16"),
    ("float32", "float32"), ("e4m3fnuz", "e4m3fnuz"), ("e3m2fn", "e3m2fn"), ("int8", "int4"), ("int4", "int8"),
]  # fmt: skip


def multiplier_for(rng: np.random.Generator, pair: tuple[str, str]) -> Multiplier:
    """One that takes the pair."""
    choices: list[Multiplier] = [nf.Mitchell(), nf.BitSerial(("bits", "booth")[rng.integers(2)])]
    if "int" not in pair[0]:
        choices += [*LMULS, *LMULS]
    if max(scalar(pair[0]).bits, scalar(pair[1]).bits) <= 8:
        fa, fb = scalar(pair[0]), scalar(pair[1])
        shape = len(fa.values()), len(fb.values())
        choices.append(nf.ProductTable(fa, fb, rng.integers(-99, 99, shape) * 2.0 ** rng.integers(-3, 4, shape)))
    return choices[rng.integers(len(choices))]


@pytest.mark.parametrize("seed", range(120))
def test_multipliers_in_chains_equal_the_reference(seed: int) -> None:
    rng = np.random.default_rng(seed)
    pair = JOBS[seed % len(JOBS)]
    times = multiplier_for(rng, pair)
    how: Any = random_chain(rng) if seed % 4 else nf.FloatChain("float32")
    if seed % 9 == 0:
        how = nf.Kahan(how.format)
    a, b = (values(scalar(f), s, rng, seed % 5 == 0) for f, s in zip(pair, ((3, 5), (5, 6)), strict=True))
    if seed % 2:  # ordinary numbers: paths that need them
        a, b = (np.asarray(nf.quantize(rng.standard_normal(x.shape) * 3, f)) for x, f in zip((a, b), pair, strict=True))
    job = job_of(a, b, None, pair, how, nf.Sequential(), times)
    got = nf.matmul(a, b, a_format=pair[0], b_format=pair[1], multiplier=times, accumulator=how)
    assert differing(got, expected(job)) == 0, (pair, times, how)


@pytest.mark.parametrize("times", ["lmul_formula", "lmul_integer_add", "mitchell", "bit_serial", "booth"])
@pytest.mark.parametrize("pair", [p for p in JOBS if "int" not in p[0]], ids="x".join)
def test_exact_sums_of_products_equal_the_reference(pair: tuple[str, str], times: str) -> None:
    rng = np.random.default_rng(1)
    for scale in (1.0, 2.0**-12):
        shapes = ((3, 7), (7, 4))
        a, b = (np.asarray(nf.quantize(rng.standard_normal(s) * scale, f)) for f, s in zip(pair, shapes, strict=True))
        job = job_of(a, b, None, pair, nf.Exact(), nf.Sequential(), MULTIPLIERS[times])
        try:
            got = nf.matmul(a, b, a_format=pair[0], b_format=pair[1], multiplier=times)
        except ValueError as error:
            assert "infinite or NaN" in str(error)  # noqa: PT017  # wrapped sums of codes may be
            continue
        assert differing(got, expected(job)) == 0


def test_engines_take_what_they_are_for() -> None:
    rng = np.random.default_rng(2)
    cases: list[tuple[str, str, Multiplier, Any, Any]] = [
        ("e4m3fn", "e4m3fn", nf.LMul("formula"), nf.FloatChain("float16"), lmul),
        ("bfloat16", "bfloat16", nf.LMul("formula"), nf.FloatChain("bfloat16"), lmul),
        ("float32", "float32", nf.LMul("formula"), nf.FloatChain("float32"), lmul),
        ("bfloat16", "bfloat16", nf.LMul("integer_add"), nf.FloatChain("float32"), lmul),
        ("float32", "float32", FLUSH, nf.FloatChain("float32", "up"), lmul),
        ("float16", "float16", nf.LMul("integer_add"), nf.FloatChain("float16"), lmul),
        ("float16", "float16", FLUSH, nf.FloatChain("bfloat16", "stochastic_a"), lmul),
        ("bfloat16", "float16", nf.Mitchell(), nf.FloatChain("float32"), lmul),
        ("e4m3fnuz", "e4m3fnuz", FLUSH, nf.FloatChain("float32"), tables),
        ("e2m1fn", "e2m1fn", nf.Mitchell(), nf.FloatChain("e5m2", "down"), tables),
        ("int4", "int8", nf.Mitchell(), nf.Integer(32), tables),
        ("int8", "int4", nf.Mitchell(), nf.Integer(12), tables),
        ("e2m1fn", "e3m2fn", nf.RoundedProduct("e3m2fn", "toward_zero", "saturate"), nf.FloatChain("bfloat16"), tables),
        ("int8", "int8", nf.BitSerial("booth"), nf.FloatChain("bfloat16", "stochastic_c"), serial),
    ]
    for fa, fb, times, how, engine in cases:
        for special in (False, True):  # zeros and subnormals leave the shortest paths
            a, b = (np.asarray(nf.quantize(rng.standard_normal(s), f)) for f, s in ((fa, (70, 40)), (fb, (40, 530))))
            if special:
                a[:, ::3], b[::2, ::5] = 0.0, -0.0
            job = job_of(a, b, None, (fa, fb), how, nf.Sequential(), times)
            got = engine.run(job)
            assert got is not None, (fa, fb, times, how)
            if engine is serial:
                assert isinstance(times, nf.BitSerial)
                long, wide = times.expand(job.a, job.b, job.fb)
                job = replace(job, a=long, b=wide, fb=times.term_format(job.fb), multiplier=nf.ExactProduct())
            if isinstance(how, nf.Integer):  # in Python integers, an output at a time: both ends, and where a slab ends
                few = np.r_[:20, 500:530]
                got, job = got[:, few], replace(job, b=job.b[:, few])
            want = generic.run(job)
            assert differing(got.astype(np.float64), want.astype(np.float64)) == 0, (fa, fb, times, how, special)


@pytest.mark.parametrize("times", [nf.Mitchell(), FLUSH, nf.LMul("integer_add")], ids=repr)
@pytest.mark.parametrize("name", ["bfloat16", "float16", "e5m2", "e6m5:ieee", "float32"])
def test_zeros_and_far_exponents_do_not_meet_in_words(name: str, times: Multiplier) -> None:
    rng = np.random.default_rng(4)
    fmt = scalar(name)
    assert isinstance(fmt, nf.Minifloat)
    for low, high in ((-70, 60), (-30, 30), (0, 0), (60, -62), (62, 62)):
        low, high = (max(min(e, fmt.max_exponent), fmt.min_exponent) for e in (low, high))
        a, b = rng.uniform(1, 2, (6, 9)) * 2.0**low, rng.uniform(1, 2, (9, 5)) * 2.0**high
        a, b = (np.asarray(nf.quantize(x * rng.choice([0.0, -1.0, 1.0], x.shape), fmt)) for x in (a, b))
        for how in (nf.FloatChain("float32"), nf.FloatChain("bfloat16")):
            job = job_of(a, b, None, (name, name), how, nf.Sequential(), times)
            got = nf.matmul(a, b, a_format=fmt, b_format=fmt, multiplier=times, accumulator=how)
            assert differing(got, expected(job)) == 0


def test_the_checks_see_the_other_form_and_a_missing_flush() -> None:
    rng = np.random.default_rng(0)
    a, b = (np.asarray(nf.quantize(rng.standard_normal(s), "e4m3fn")) for s in ((4, 9), (9, 5)))
    a[:, 0] = 0
    how = nf.FloatChain("float32")
    job = job_of(a, b, None, ("e4m3fn", "e4m3fn"), how, nf.Sequential(), FLUSH)
    for other in (nf.LMul("formula"), nf.LMul("integer_add"), nf.Mitchell()):
        got = nf.matmul(a, b, a_format="e4m3fn", b_format="e4m3fn", multiplier=other, accumulator=how)
        assert differing(got, expected(job)) > 0


def test_unordered_sums_are_near_and_have_no_reference() -> None:
    rng = np.random.default_rng(0)
    a, b = (np.asarray(nf.quantize(rng.standard_normal(s), "bfloat16")) for s in ((30, 100), (100, 20)))
    for times in ("exact", "lmul_formula", "lmul_integer_add", "mitchell"):
        how = {"a_format": "bfloat16", "b_format": "bfloat16", "multiplier": times}
        got = nf.matmul(a, b, accumulator="float32_unordered", **how)
        assert got.dtype == np.float32
        want = nf.matmul(a, b, accumulator=nf.FloatChain("float32"), **how)
        # every partial sum is below 100 products of magnitude 36; each addition errs by half a place of that
        assert np.abs(got - want).max() <= 2 * 100 * 2.0**-24 * 3600
    pairs = [from_float(1.0)]
    with pytest.raises(ValueError, match="nothing of the order of its additions"):
        reference.dot(pairs, pairs, (scalar("float32"),) * 2, nf.Unordered())
    assert unordered.run(job_of(a, b, None, ("bfloat16",) * 2, nf.Exact(), nf.Sequential(), nf.ExactProduct())) is None  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="format must be float32"):
        nf.Unordered("bfloat16")


@given(x=st.integers(0, 2**32 - 1), y=st.integers(0, 2**32 - 1))
@QUICK
def test_float32_products_are_the_published_expression(x: int, y: int) -> None:
    a, b = value_of(x), value_of(y)
    if a != a or b != b:
        return
    want = value_of(((x ^ y) & 0x80000000) | (((x & 0x7FFFFFFF) + (y & 0x7FFFFFFF) - 0x3F780000) & 0x7FFFFFFF))
    got = one(nf.LMul("integer_add"), a, b, "float32")
    assert same(from_float(want), got)
    fmt = scalar("float32")
    for times in (FLUSH, nf.LMul("formula"), nf.Mitchell()):
        assert same(times.product(from_float(a), from_float(b), fmt, fmt), one(times, a, b, "float32"))


def test_descriptions_rebuild_and_refuse() -> None:
    table = nf.product_table(nf.Mitchell(), "e2m1fn", "int4")
    everything: list[Any] = [*LMULS, nf.Mitchell(), nf.ShiftOnly(3), nf.BitSerial("booth"), nf.Unordered(), table]
    for item in everything:
        assert eval(repr(item), vars(nf) | {"nan": float("nan"), "inf": float("inf")}) == item
        assert hash(item) == hash(eval(repr(item), vars(nf)))
    assert nf.ProductTable("e5m2", "e5m2", nf.product_table(nf.Mitchell(), "e5m2", "e5m2").array) == nf.product_table(
        nf.Mitchell(), "e5m2", "e5m2"
    )  # NaN entries too
    x = np.ones((2, 2))
    bad: list[tuple[Any, str]] = [
        (lambda: nf.LMul("equation"), "form must be formula or integer_add, got 'equation'"),  # type: ignore[arg-type]
        (lambda: nf.LMul("formula", policy="wrap"), "real numbers, which do not wrap"),
        (lambda: nf.LMul(offset=99), "offset must be 0..30"),
        (lambda: nf.matmul(x, x, a_format="e4m3fn", b_format="e5m2", multiplier="lmul_formula"), "of one float format"),
        (
            lambda: nf.matmul(x, x, a_format="e5m2", b_format="e5m2", multiplier=nf.LMul("integer_add", 3)),
            "at most the 2 trailing bits of e5m2, got 3",
        ),
        (lambda: nf.matmul(x, x, a_format="int8", b_format="int8", multiplier=table), "a table of e2m1fn and int4"),
        (lambda: nf.ProductTable("int4", "int4", np.ones((3, 3))), r"values must be \[16, 16\]"),
        (lambda: nf.ProductTable("float16", "int4", np.ones((3, 3))), "at most 8 bits"),
        (lambda: nf.BitSerial("csd"), "recoding must be bits, booth or bitmod"),  # type: ignore[arg-type]
        (lambda: nf.matmul(x, x, a_format="int8", b_format="int8", multiplier="lmul"), "there are exact, lmul_formula"),
    ]
    for call, text in bad:
        with pytest.raises(ValueError, match=text):
            call()
