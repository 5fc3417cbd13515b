"""Published vectors of block and table formats, and TransformerEngine's NVFP4 recipe written out again in scalars."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from numpy.typing import NDArray

import formats as nf
from tests.formats.checks import same_bits, same_codes

F = np.float32

# amax of an E2M1 block -> power of two each rule chooses; torchao's mx_tensor.py, measured.
E2M1_SCALES = {
    4.0: (0, 0, 0, 0),
    5.0: (0, 1, 0, 0),
    6.0: (0, 1, 0, 0),
    6.5: (0, 1, 0, 1),
    7.0: (0, 1, 1, 1),
    7.5: (0, 1, 1, 1),
}
RULES = ("floor", "ceil", "even", "rceil")


@pytest.mark.parametrize("amax", E2M1_SCALES)
def test_scale_rules_of_mxfp4(amax: float) -> None:
    for rule, exponent in zip(RULES, E2M1_SCALES[amax], strict=True):
        x = np.array([amax, *[0.1] * 31], F)
        assert nf.encode(x, f"mxfp4:rule={rule}").scales.tolist() == [2.0**exponent], rule
        assert nf.encode(-x.astype(np.float64), f"mxfp4:rule={rule}").scales.tolist() == [2.0**exponent], rule


@pytest.mark.parametrize(
    ("name", "largest"), [("mxfp8_e4m3", 448.0), ("mxfp8_e5m2", 57344.0), ("mxfp6_e2m3", 7.5), ("mxfp6_e3m2", 28.0)]
)
def test_scale_rules_just_above_the_largest_element(name: str, largest: float) -> None:
    x = np.array([largest * 1.001, *[0.0] * 31], F)
    got = [nf.encode(x, f"{name}:rule={rule}").scales.item() for rule in RULES]
    assert got == [1.0, 2.0, 1.0, 2.0]


def test_mxfp4_blocks_under_floor_and_rceil() -> None:
    x = np.array([7, -0.3, 1.1, 0.25, -2.6, 5, 0, -6.9, *[0] * 24], F)
    floor, rceil = nf.encode(x, "mxfp4"), nf.encode(x, "mxfp4:rule=rceil")
    assert (floor.planes["scale"].codes[0], rceil.planes["scale"].codes[0]) == (0x7F, 0x80)
    same_bits("floor", nf.decode(floor)[:8], np.array([6, -0.5, 1, 0, -3, 4, 0, -6], F))
    same_bits("rceil", nf.decode(rceil)[:8], np.array([8, -0.0, 1, 0, -3, 4, 0, -6], F))


def test_mxfp4_ties_go_to_even_as_ocp_says_not_to_the_first_as_gguf() -> None:
    x = np.array([7, -0.3, 1.1, 0.25, -2.6, 5, 0.75, -6.9, 1.75, 3.5, *[0] * 22], F)
    assert nf.quantize(x, "mxfp4")[:10].tolist() == [6, -0.5, 1, 0, -3, 4, 1, -6, 2, 4]


def test_mxint8_codes() -> None:
    x = np.array([1.0, 127 / 64, -127 / 64, *[0] * 29], F)
    encoded = nf.encode(x, "mxint8")
    assert encoded.codes[:3].tolist() == [0x40, 0x7F, 0x81]
    assert nf.quantize(np.full(32, -1.999, F), "mxint8").tolist() == [-127 / 64] * 32  # -128 stays unused


def test_e2m1_ties() -> None:
    x = np.array([0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5, 5.0001, 1e9], F)
    assert nf.quantize(x, "e2m1fn").tolist() == [0, 1, 1, 2, 2, 4, 4, 6, 6]


# value -> (e4m3fn, e5m2, e4m3fnuz, e5m2fnuz) under RNE and non-saturating overflow; facts measured with ml_dtypes.
FP8_VECTORS = {
    -0.0: (0x80, 0x80, 0x00, 0x00),
    1.0625: (0x38, 0x3C, 0x40, 0x40),
    1.1875: (0x3A, 0x3D, 0x42, 0x41),
    2.0**-10: (0x00, 0x14, 0x01, 0x18),
    1.5 * 2.0**-10: (0x01, 0x16, 0x02, 0x1A),
    248.0: (0x78, 0x5C, 0x80, 0x60),
    464.0: (0x7E, 0x5F, 0x80, 0x63),
    464.0001: (0x7F, 0x5F, 0x80, 0x63),
    61439.9: (0x7F, 0x7B, 0x80, 0x7F),
    61440.0: (0x7F, 0x7C, 0x80, 0x80),
    np.inf: (0x7F, 0x7C, 0x80, 0x80),
    np.nan: (0x7F, 0x7E, 0x80, 0x80),
}


@pytest.mark.parametrize("x", FP8_VECTORS)
def test_fp8_vectors(x: float) -> None:
    cast = nf.Cast(overflow="overflow")
    names = ("e4m3fn", "e5m2", "e4m3fnuz", "e5m2fnuz")
    assert tuple(nf.encode_codes(name, F([x]), cast).item() for name in names) == FP8_VECTORS[x]
    if x in (np.inf, F(464.0001), 464.0001):
        assert nf.encode_codes("e4m3fn", F([x])).item() == 0x7E  # OFP8's saturating mode, the default


def test_e8m0_vectors() -> None:
    x = np.array([0.75, 1.4, 1.5, 3, 6, 1.5 * 2.0**127, 2.0**-127, 0], F)
    assert nf.encode_codes("e8m0fnu", x, nf.Cast(overflow="overflow")).tolist() == [127, 127, 128, 129, 130, 255, 0, 0]
    assert nf.encode_codes("e8m0fnu", x).tolist() == [127, 127, 128, 129, 130, 254, 0, 0]


def test_nf4_vectors() -> None:
    """bitsandbytes, absmax 1."""
    x = np.array([-1, -0.6, -0.3, -0.05, 0.02, 0.1, 0.25, 0.5, 0.8, 1], F)
    codes = [0, 2, 4, 6, 7, 8, 10, 12, 14, 15]
    assert nf.encode_codes("nf4", x).tolist() == codes
    values = [-1, -0.525073, -0.284441, -0.09105, 0, 0.07958, 0.246112, 0.44071, 0.722957, 1]
    assert np.allclose(nf.quantize(x, "nf4"), values, atol=1e-6)
    block = np.zeros(64, F)
    block[:10] = x * 5
    encoded = nf.encode(block, "nf4:b64")
    assert encoded.codes[:10].tolist() == codes
    assert encoded.scales.tolist() == [5.0]


def test_nvfp4_vector_of_transformer_engine() -> None:
    x = np.array([1, -3, 0.2, 5, 0, 0.7, -0.05, 2.2, 4.9, -1.6, 0.33, 0.9, -2, 0.1, 3.3, -4.4], F)
    encoded = nf.encode(np.concatenate([x, [8], np.zeros(15)]).astype(F), "nvfp4")
    assert encoded.planes["scale"].codes[0] == 0x79
    assert "".join(f"{code:X}" for code in encoded.codes[:16]) == "2E0702857C12C06F"
    values = [0.85714, -3.42857, 0, 5.14286, 0, 0.85714, -0.0, 2.57143]
    values += [5.14286, -1.71429, 0.42857, 0.85714, -1.71429, 0, 3.42857, -5.14286]
    decoded = nf.decode(encoded)[:16]
    assert np.allclose(decoded, values, atol=5e-6)
    assert (np.signbit(decoded) == np.signbit(values)).all()


def transformer_engine(x: NDArray[np.float32]) -> tuple[list[int], list[int], np.float32]:
    """(element codes, block scale codes, S_enc) of a [blocks, 16] array, one float32 operation at a time.

    Written from TransformerEngine's reference_nvfp4.py; the two casts are ml_dtypes'.
    """
    largest = F(np.finfo(F).max)
    amax = F(max(abs(v) for v in x.reshape(-1)))
    s_enc = F(1) if amax == 0 else min(F(F(448) * F(6)) / amax, largest)
    s_enc = F(1) if s_enc == 0 else s_enc
    codes, scales = [], []
    for block in x:
        block_amax = F(max(abs(v) for v in block))
        wanted = F(block_amax * F(s_enc * F(F(1) / F(6))))
        scale = max(min(wanted, F(448)), F(-448)).astype(ml_dtypes.float8_e4m3fn)
        scales.append(int(scale.view(np.uint8)))
        denominator = F(scale.astype(F) * F(F(1) / s_enc))
        factor = largest if denominator == 0 else min(F(F(1) / denominator), largest)
        for v in block:
            clipped = max(min(F(v * factor), F(6)), F(-6))
            codes.append(int(np.asarray(clipped, F).astype(ml_dtypes.float4_e2m1fn).view(np.uint8)))
    return codes, scales, s_enc


@pytest.mark.parametrize("scale", [1.0, 1e-30, 1e30, 3e-44, 2.0**-149, 2.0**120, 1e-3, 448.0 * 6])
@pytest.mark.parametrize("spread", [0, 3, 40])
def test_nvfp4_is_transformer_engines_recipe(scale: float, spread: int) -> None:
    """Random tensors of any magnitude, blocks of very different ones, zero blocks and signed zeros; seeded."""
    rng = np.random.default_rng(spread)
    with np.errstate(over="ignore", under="ignore"):
        x = (rng.normal(0, scale, (24, 16)) * 2.0 ** rng.uniform(-spread, spread / 8, (24, 1))).astype(F)
    x[3] = 0
    x[4] = -0.0
    x[5, 1:] = 0
    x = np.clip(x, -3e38, 3e38)
    with np.errstate(all="ignore"):
        codes, scales, s_enc = transformer_engine(x)
    encoded = nf.encode(x, "nvfp4")
    same_codes("block scales", x[:, 0], encoded.planes["scale"].codes.reshape(-1), np.array(scales))
    same_codes("elements", x.reshape(-1), encoded.codes.reshape(-1), np.array(codes))
    assert encoded.planes["scale.scale"].codes.view(F).tolist() == [F(1) / s_enc]
    block = np.repeat(nf.decode_codes("e4m3fn", np.array(scales)), 16)
    exact = (
        nf.decode_codes("e2m1fn", np.array(codes)) * block * float(F(1) / s_enc)
    )  # 2 + 4 + 24 bits: exact in float64
    same_bits("values", nf.decode(encoded).reshape(-1), exact.astype(F))
    same_bits("quantize", nf.quantize(x, "nvfp4"), nf.decode(encoded))


def test_nvfp4_of_zeros_and_of_a_tensor_that_is_not_a_whole_number_of_blocks() -> None:
    zeros: Any = nf.encode(np.zeros((2, 16), F), "nvfp4")
    assert zeros.planes["scale.scale"].codes.view(F).tolist() == [1.0]
    assert not nf.decode(zeros).any()
    x = np.linspace(-1, 1, 20, dtype=F)
    padded = nf.quantize(np.append(x, np.zeros(12, F)), "nvfp4")[:20]
    same_bits("pad", nf.quantize(x, "nvfp4", pad=True), padded)
