"""Pre-alignment against values cut off in float64, and its gates."""

from __future__ import annotations

import numpy as np
import pytest

import formats as nf
from hwsim.pe.papers.prealign import PreAlign, prealign
from tests.hwsim.pe.papers.cycles import check_gates, packed, ran, read_signed
from tests.hwsim.rtl.designs import needs_yosys

RNG = np.random.default_rng(41)


def described(name: str, lanes: int, kept: int) -> PreAlign:
    fmt = nf.get(name)
    assert isinstance(fmt, nf.Minifloat)
    return PreAlign(source=fmt, lanes=lanes, kept=kept)


def codes(what: PreAlign, count: int) -> np.ndarray:
    """Finite codes whose exponents lie near one another in half of the groups."""
    fmt = what.source
    most = fmt.max_magnitude_code
    base = RNG.integers(0, most + 1, (count, 1))
    reach = 4 << fmt.trailing_significand_bits
    near = np.clip(base + RNG.integers(-reach, reach, (count, what.lanes)), 0, most)
    found = np.where(RNG.random((count, 1)) < 0.5, near, RNG.integers(0, most + 1, (count, what.lanes)))
    return found | RNG.integers(0, 2, found.shape) << (fmt.bits - 1)


@pytest.mark.parametrize("case", [("float16", 4, 0), ("float16", 4, 4), ("bfloat16", 3, 2), ("e4m3fn", 2, 0)])
def test_values_are_cut_off_at_one_place(case: tuple[str, int, int]) -> None:
    what = described(*case)
    fmt, given = what.source, codes(what, 2000)
    found = ran(prealign(what), {"a": packed(given, fmt.bits)[None]})
    values = nf.decode_codes(fmt, given, np.float64)
    field = (given >> fmt.trailing_significand_bits) & ((1 << fmt.exponent_bits) - 1)
    largest = np.maximum(field, 1).max(axis=1)
    assert (found["largest"][0] == largest).all()
    wanted = np.trunc(np.ldexp(values, (what.kept + 1 - fmt.ulp_exponent - largest)[:, None]))
    width = what.magnitude_bits + 1
    for lane in range(what.lanes):
        got = read_signed(found["aligned"][0] >> (width * lane) & ((1 << width) - 1), width)
        assert (got == wanted[:, lane]).all()


@needs_yosys
def test_gates_agree() -> None:
    what = described("float16", 4, 2)
    check_gates(prealign(what), {"a": packed(codes(what, 1000), 16)[None]})


def test_nonsense_is_refused() -> None:
    with pytest.raises(ValueError, match="signed minifloat with subnormals"):
        PreAlign(source=nf.get("int8"), lanes=4)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="got lanes=1, kept=0"):
        described("float16", 1, 0)
