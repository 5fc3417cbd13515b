"""Names and descriptions: what is read, what is refused, and what the refusal suggests."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import formats as nf


def test_descriptions_read_names_and_bare_formats() -> None:
    make: Any = nf.Scaled
    field: Any = nf.Field
    want = make(element=nf.get("int4"), scale=field(format=nf.get("bfloat16")), block=nf.Block(shape=(4,)))
    assert field(format="bfloat16") == field(format=nf.get("bf16"))
    for scale in ("bfloat16", nf.get("bfloat16"), field(format="bfloat16")):
        fmt = make(element="int4", scale=scale, block=(4,))
        assert (fmt, hash(fmt), repr(fmt)) == (want, hash(want), repr(want))
    assert make(element="uint4", scale="float16", block=[128], offset="uint4") == nf.get("uint4:g128:asym")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"element": 4}, "Scaled: element must be a format or its name, such as 'float16', got 4"),
        ({"element": "mxfp4"}, "Scaled: element must be a scalar format such as 'int4', got mxfp4"),
        ({"scale": 1.0}, "Scaled: scale must be a format or its name, such as 'float16', got 1.0"),
        ({"offset": 0}, "Scaled: offset must be a format or its name"),
        ({"scale": None}, "Scaled: scale must be a format or its name"),
        ({"block": "g4"}, r"Scaled: block must be a Block or its shape, such as \(32,\), got 'g4'"),
    ],
)
def test_wrong_types_say_what_works(arguments: dict[str, Any], message: str) -> None:
    make: Any = nf.Scaled
    with pytest.raises(TypeError, match=message):
        make(**{"element": "int4", "scale": "float16", "block": (4,)} | arguments)
    field: Any = nf.Field
    with pytest.raises(TypeError, match="Field: format must be a format or its name, such as 'float16', got 3"):
        field(format=3)


@pytest.mark.parametrize("name", ["int4:g128:scale=e3m3:none", "nf4:b64:scale=ue4m4:nan_top:bias3"])
def test_a_scale_whose_name_has_words_is_read_back(name: str) -> None:
    fmt: Any = nf.get(name)
    assert fmt.name == name
    assert fmt.scale.format == nf.get(name.split("scale=")[1])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("uint4:g128:full", ":full is the whole range of signed integers, uint4 has no other"),
        ("e4m3fn:g128:full", "e4m3fn has no other"),
        ("int4:g128:full:full", "unknown format"),
        ("int8:symmetric:symmetric", "int8 takes :symmetric and :f<fraction bits>"),
        ("e3m3:none:f2", "e3m3 takes each of"),
        ("fp8", "near names: e4m3fn, e5m2"),
        ("float6", "near names: e2m3fn, e3m2fn"),
        ("fp4", "near names: e2m1fn, mxfp4, nvfp4"),
        ("int17", "integers have 1 to 16 bits; near names: .*int1"),
        ("int0", "integers have 1 to 16 bits; near names: .*int"),
    ],
)
def test_words_that_would_be_ignored_are_refused(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        nf.get(name)


def test_formats_beyond_float64_are_refused_by_name() -> None:
    huge = nf.Minifloat(exponent_bits=4, trailing_significand_bits=3, bias=-2000)
    with pytest.raises(OverflowError, match="e4m3:ieee:bias-2000 has values beyond float64"):
        nf.quantize(np.ones(3), huge)
