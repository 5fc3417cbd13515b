"""The float16 lookup cell: as its RTL has it, and corrected, against float64's exact sums rounded by formats."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import formats as nf
from hwsim.pe.papers.lookup_float import LookupFloat, lookup_float
from tests.hwsim.pe.papers.cycles import check_gates, packed, ran
from tests.hwsim.rtl.designs import needs_yosys

RNG = np.random.default_rng(37)
FLOAT16 = nf.get("float16")
assert isinstance(FLOAT16, nf.Minifloat)


def inputs(cycles: int, count: int, planes: int) -> dict[str, Any]:
    """Entries of every size below 2**8, zeros and subnormals among them."""
    entries = RNG.integers(0, 24 << 10, (cycles, count, 8))
    entries = np.where(
        RNG.random(entries.shape) < 0.1, 0, np.where(RNG.random(entries.shape) < 0.1, entries & 1023, entries)
    )
    entries |= RNG.integers(0, 2, entries.shape) << 15
    found = {"entries": entries, "weights": RNG.integers(0, 16, (cycles, count))}
    found["clear"] = (RNG.random((cycles, count)) < 0.2).astype(np.int64) | (np.arange(cycles) == 0)[:, None]
    return found | ({"plane": RNG.integers(0, planes, (cycles, count))} if planes > 1 else {})


def addend(variant: str, code: Any, plane: Any) -> Any:
    """A looked-up code at its plane, in float64."""
    if variant == "corrected":
        return nf.decode_codes(FLOAT16, code, np.float64) * 2.0**plane
    return nf.decode_codes(FLOAT16, code & 0x83FF | ((code >> 10 & 31) + plane & 31) << 10, np.float64)


@pytest.mark.parametrize("variant", ["as_published", "corrected"])
@pytest.mark.parametrize("planes", [1, 2, 4])
def test_cell(variant: Any, planes: int) -> None:
    """Each sum is exact in float64, or so far apart that rounding it twice is rounding it once (53 > 2 * 11 + 2)."""
    given = inputs(6, 400, planes)
    found = ran(
        lookup_float(LookupFloat(planes=planes, variant=variant)), given | {"entries": packed(given["entries"], 16)}
    )
    held = np.zeros(400)
    for cycle in range(6):
        assert (found["sum"][cycle] == nf.encode_codes(FLOAT16, held)).all()
        weight = given["weights"][cycle]
        code = given["entries"][cycle][np.arange(400), weight >> 1] ^ (weight & 1) << 15
        plane = given["plane"][cycle] if planes > 1 else np.zeros(400, np.int64)
        total = np.where(given["clear"][cycle] == 1, 0.0, held) + addend(variant, code, plane)
        held = nf.decode_codes(FLOAT16, nf.encode_codes(FLOAT16, total), np.float64)
        assert np.isfinite(held).all()


def test_a_zero_is_worth_something_as_published() -> None:
    """2**-14 at bit 1, as the published exponent addition has it."""
    one = {"entries": [0, 0], "weights": [0, 0], "plane": [1, 0], "clear": [1, 0]}
    found = {
        v: int(ran(lookup_float(LookupFloat(planes=2, variant=v)), one)["sum"][1])
        for v in ("as_published", "corrected")
    }
    assert found == {"as_published": 1 << 10, "corrected": 0}
    assert FLOAT16.value(1 << 10).fraction == 2**-14  # type: ignore[union-attr]


@needs_yosys
@pytest.mark.parametrize("variant", ["as_published", "corrected"])
def test_gates_agree(variant: Any) -> None:
    given = inputs(4, 200, 2)
    check_gates(lookup_float(LookupFloat(planes=2, variant=variant)), given | {"entries": packed(given["entries"], 16)})


def test_nonsense_is_refused() -> None:
    with pytest.raises(ValueError, match="as_published or corrected, got 'other'"):
        LookupFloat(planes=2, variant="other")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"1\.\.8 weight bits, got planes=9"):
        LookupFloat(planes=9)
