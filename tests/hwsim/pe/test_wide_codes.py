"""Codes of wide floats: decoded as numpy has them, and a pool of all that goes wrong."""

from __future__ import annotations

import numpy as np
import pytest

import formats as nf
from formats.exact import Dyadic, Special
from hwsim.pe.circuit import Mac
from hwsim.pe.meaning import values, vectors
from hwsim.pe.wide_codes import Decoded, adversarial

TF32, FLOAT32, FLOAT64 = (nf.get(name) for name in ("tf32", "float32", "float64"))
UNSIGNED = nf.Minifloat(exponent_bits=16, trailing_significand_bits=2, signed=False, specials="none")
WIDEST = nf.Minifloat(exponent_bits=16, trailing_significand_bits=52)


def pool(fmt: nf.Format, full: bool = False, seed: int = 0) -> list[int]:
    assert isinstance(fmt, nf.Minifloat)
    return [int(code) for code in adversarial(fmt, full, np.random.default_rng(seed))]


@pytest.mark.parametrize(("fmt", "code", "kind"), [(FLOAT32, np.uint32, np.float32), (FLOAT64, np.uint64, np.float64)])
def test_codes_are_decoded_as_numpy_does(fmt: nf.Minifloat, code: type, kind: type) -> None:
    codes = pool(fmt)
    decoded = values(fmt, fmt)
    assert isinstance(decoded, Decoded)
    got = [-float(abs(x.fraction)) if x.negative else float(x.fraction) for x in (decoded[code] for code in codes) if x]
    assert np.array(codes, code).tobytes() == np.array(got).astype(kind).view(code).tobytes()


def test_the_pool_has_both_ends_of_every_kind() -> None:
    codes = set(pool(FLOAT32))
    largest_subnormal, smallest_normal, one, largest = 0x007FFFFF, 0x00800000, 0x3F800000, 0x7F7FFFFF
    for magnitude in (0, 1, largest_subnormal, smallest_normal, one, one - 1, one + 1, largest):
        assert {magnitude, magnitude | 1 << 31} <= codes
    subnormals = sum(0 < code < smallest_normal for code in codes)
    about_one = sum(2.0**-11 < float(np.uint32(code).view(np.float32)) < 2.0**11 for code in codes)
    assert subnormals > 200
    assert about_one > 800
    assert len(codes) > 3000
    assert codes != set(pool(FLOAT32, seed=1))
    assert pool(FLOAT32) == pool(FLOAT32) == sorted(codes)


def test_infinities_and_nan_are_drawn_where_they_occur() -> None:
    decoded = values(TF32, TF32, True)
    found = {decoded[code] for code in pool(TF32, full=True)}
    assert {Special.NAN, Special.POSITIVE_INFINITY, Special.NEGATIVE_INFINITY} <= found
    finite = values(TF32, TF32)
    assert all(isinstance(finite[code], Dyadic) for code in pool(TF32))
    assert finite[TF32.infinity_code] is None


@pytest.mark.parametrize("fmt", [UNSIGNED, WIDEST], ids=["unsigned", "69 bits"])
def test_odd_formats_have_pools(fmt: nf.Minifloat) -> None:
    codes = pool(fmt)
    assert {0, 1, fmt.max_magnitude_code} <= set(codes)
    assert max(codes) < 2**fmt.bits
    assert min(codes) == 0


def test_vectors_of_wide_operands_have_zeros_subnormals_and_both_signs() -> None:
    what = Mac(a=FLOAT32, b=TF32, accumulator=nf.FloatChain("float32"))
    inputs = vectors(what, 1000).inputs
    for side, fmt in (("a", FLOAT32), ("b", TF32)):
        codes = inputs[side].astype(np.int64)
        magnitudes, smallest = codes & (2**fmt.magnitude_bits - 1), 1 << fmt.trailing_significand_bits
        assert (magnitudes == 0).any()
        assert ((magnitudes > 0) & (magnitudes < smallest)).sum() > 100
        assert (magnitudes >= smallest).sum() > 300
        assert set(codes >> fmt.magnitude_bits) == {0, 1}
