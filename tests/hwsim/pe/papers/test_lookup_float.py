"""The float16 lookup cell: as its RTL has it, and corrected, against float64's exact sums rounded by formats."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import formats as nf
from hwsim.pe.papers.lookup_float import LookupFloat, lookup_float
from hwsim.pe.units.lookup_floats import FloatLookup
from tests.hwsim.pe.papers.cycles import ran
from tests.hwsim.rtl.designs import needs_yosys

RNG = np.random.default_rng(37)
FLOAT16 = nf.get("float16")
assert isinstance(FLOAT16, nf.Minifloat)


@pytest.mark.parametrize("variant", ["as_published", "corrected"])
@pytest.mark.parametrize("planes", [1, 2, 4])
def test_cell(variant: Any, planes: int) -> None:
    unit = FloatLookup(what=LookupFloat(planes=planes, variant=variant))
    inputs = unit.vectors(6, 400, RNG)
    assert (ran(unit.module(), inputs)["sum"] == unit.answers(inputs)["sum"]).all()


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
def test_gates_are_tested(variant: Any) -> None:
    assert FloatLookup(what=LookupFloat(planes=2, variant=variant)).check().status == "tested"


def test_nonsense_is_refused() -> None:
    with pytest.raises(ValueError, match="as_published or corrected, got 'other'"):
        LookupFloat(planes=2, variant="other")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"1\.\.8 weight bits, got planes=9"):
        LookupFloat(planes=9)
