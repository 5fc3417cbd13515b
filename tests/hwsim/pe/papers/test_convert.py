"""Converters against formats' exact casts: every code of sources up to 16 bits, edges and random ones of float32."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import formats as nf
from hwsim.circuit import evaluate
from hwsim.pe.papers.convert import Converter, converter
from hwsim.pe.units.converters import SATURATE, Conversion
from tests.hwsim.rtl.designs import needs_yosys

RNG = np.random.default_rng(7)
NARROW = ["e4m3fn", "e5m2", "e4m3fnuz", "e3m2fn", "e2m3fn", "e2m1fn", "e3m4", "int8", "int4", "uint4"]
NARROW += ["int8:symmetric"]
WIDE = ["e4m3fn", "e5m2", "e4m3fnuz", "e2m1fn", "float16", "int8", "uint8", "int4"]
EACH_OTHER = [("e5m2", "e4m3fn")]
# Sources whose largest values are far beyond the target's, and those read with field 0 as a subnormal's.
EACH_OTHER += [("int7", "e2m1fn"), ("uint8", "e2m0:none"), ("int8", "int4"), ("int8", "uint4"), ("e2m1fn", "int3")]
EACH_OTHER += [("float16", "int4:symmetric"), ("float16", "bfloat16"), ("ue5m3", "ue4m3"), ("e8m0fnu", "int8")]
EACH_OTHER += [("e4m3fn", "e5m2"), ("e2m3fn", "int4"), ("e8m0fnu", "bfloat16"), ("int8:f6", "e4m3fn")]
SCALED = [("int8", "bfloat16", "bfloat16"), ("e4m3fn", "e4m3fn", "float32"), ("bfloat16", "float32", "int8")]
# Wide products into narrow formats: their leading zero is not only of numbers below the target's least.
SCALED += [("bfloat16", "bfloat16", "e4m3fn"), ("bfloat16", "bfloat16", "uint8"), ("float16", "bfloat16", "e5m2")]
SCALED += [("int8", "float16", "float16"), ("int8", "e5m2", "int4"), ("e4m3fn", "e2m3fn", "uint4")]
SCALED += [("int4", "int8", "e3m2fn"), ("e5m2", "float16", "float16"), ("uint8", "e8m0fnu", "int8:symmetric")]
GATES = [
    ("float32", "e4m3fn"),
    ("float32", "int8"),
    ("bfloat16", "e2m1fn"),
    ("e4m3fn", "float32"),
    ("int8", "bfloat16"),
]


def of(name: str) -> nf.Scalar:
    fmt = nf.get(name)
    assert isinstance(fmt, nf.Minifloat | nf.FixedPoint)
    return fmt


def finite(fmt: nf.Scalar, codes: Any) -> tuple[Any, Any]:
    """The codes of finite values among `codes`, and their values in float64."""
    codes = np.asarray(codes)
    values = nf.decode_codes(fmt, codes, np.float64)
    keep = np.isfinite(values)
    return codes[keep], values[keep]


def check(source: nf.Scalar, target: nf.Scalar, codes: Any) -> None:
    codes, _ = finite(source, codes)
    what = Converter(source=source, target=target)
    found = evaluate(converter(what), {"code": codes})["converted"]
    wanted = Conversion(what=what).answers({"code": codes})["converted"]
    wrong = np.flatnonzero(found != wanted)
    assert not len(wrong), f"{codes[wrong[0]]:#x} became {found[wrong[0]]:#x}, not {wanted[wrong[0]]:#x}; {len(wrong)}"


def near(target: nf.Scalar, count: int) -> Any:
    """float32 codes at and beside the target's values and the midpoints between them; and of random exponents."""
    _, values = finite(target, np.arange(2**target.bits))
    values = np.unique(values)
    points = (
        np.concatenate([values, (values[1:] + values[:-1]) / 2]).astype(np.float32).view(np.uint32).astype(np.int64)
    )
    steps = np.concatenate([points - 1, points, points + 1, points ^ (1 << 31)])
    return np.concatenate([steps[(steps >= 0) & (steps < 2**32)], RNG.integers(0, 2**32, count)])


@pytest.mark.parametrize("target", NARROW)
def test_float32_becomes_every_narrow_format(target: str) -> None:
    """Around every value and midpoint of the target, and random exponents."""
    check(of("float32"), of(target), near(of(target), 2000))


@pytest.mark.parametrize("target", NARROW)
def test_bfloat16_becomes_every_narrow_format(target: str) -> None:
    """All finite codes."""
    check(of("bfloat16"), of(target), range(2**16))


@pytest.mark.parametrize("target", ["bfloat16", "float16"])
def test_float32_becomes_16_bits(target: str) -> None:
    check(of("float32"), of(target), RNG.permutation(near(of(target), 5000))[:20000])


@pytest.mark.parametrize("target", ["bfloat16", "float32", "float16"])
@pytest.mark.parametrize("source", WIDE)
def test_narrow_formats_become_floats(source: str, target: str) -> None:
    """All codes, subnormals of the source too."""
    check(of(source), of(target), range(2 ** of(source).bits))


@pytest.mark.parametrize("pair", EACH_OTHER)
def test_narrow_formats_become_each_other(pair: tuple[str, str]) -> None:
    check(of(pair[0]), of(pair[1]), range(2 ** of(pair[0]).bits))


@pytest.mark.parametrize("target", ["float32", "bfloat16", "e4m3fn"])
def test_sums_become_floats(target: str) -> None:
    """A 32-bit register: powers of two, their neighbours, random magnitudes."""
    ends = [s * 2**k + d for k in range(31) for d in range(-2, 3) for s in (1, -1)]
    size = RNG.integers(0, 2**31, 2000) >> RNG.integers(0, 31, 2000)
    sums = np.concatenate([ends, [-(2**31), 2**31 - 1], size, -size])
    sums = sums[(sums >= -(2**31)) & (sums < 2**31)]
    unit = converter(Converter(source=nf.Integer(32), target=of(target)))
    found = evaluate(unit, {"code": sums % 2**32})["converted"]
    assert (found == nf.encode_codes(of(target), sums.astype(np.float64), SATURATE)).all()


@pytest.mark.parametrize("names", SCALED)
def test_a_scale_is_rounded_once_with_its_value(names: tuple[str, str, str]) -> None:
    """Random pairs of codes; float64 holds the products of 24 and 8 bits."""
    source, scale, target = (of(name) for name in names)
    codes, scales = (RNG.integers(0, 2**fmt.bits, 5000) for fmt in (source, scale))
    left, right = (nf.decode_codes(fmt, x, np.float64) for fmt, x in ((source, codes), (scale, scales)))
    keep = np.isfinite(left) & np.isfinite(right)
    if names[2] == "int8":  # where the product is about as large as its codes
        keep &= np.abs(np.log2(np.abs(np.where(keep, left, 0.0) * np.where(keep, right, 0.0)) + 1e-300)) < 12
    what = Converter(source=source, target=target, scale=scale)
    inputs = {"code": codes[keep], "scale": scales[keep]}
    assert (evaluate(converter(what), inputs)["converted"] == Conversion(what=what).answers(inputs)["converted"]).all()
    assert keep.sum() > 100


@needs_yosys
@pytest.mark.parametrize("pair", GATES)
def test_gates_are_checked(pair: tuple[str, str]) -> None:
    source = of(pair[0])
    proof = Conversion(what=Converter(source=source, target=of(pair[1]))).check()
    assert proof.status == ("proved" if source.bits <= 16 else "tested")


@needs_yosys
def test_gates_of_a_sum_are_tested() -> None:
    assert Conversion(what=Converter(source=nf.Integer(32), target=of("float32"))).check().status == "tested"


def test_infinity_saturates_or_passes() -> None:
    infinity = 0x7F800000
    narrow = converter(Converter(source=of("float32"), target=of("e4m3fn")))
    assert int(evaluate(narrow, {"code": infinity})["converted"]) == 0x7E
    wide = converter(Converter(source=of("bfloat16"), target=of("float32")))
    assert int(evaluate(wide, {"code": 0x7F80})["converted"]) == infinity


def test_a_target_without_subnormals_is_refused() -> None:
    with pytest.raises(ValueError, match="minifloat with subnormals, got e8m0"):
        Converter(source=of("float32"), target=of("e8m0fnu"))
