"""PoT and APoT multipliers: every weight and activation, against the codebooks' values."""

from __future__ import annotations

import numpy as np
import pytest

import formats as nf
from hwsim.pe.papers.power_sum import PowerSum, integers_of, power_sum
from hwsim.pe.units.powers import Powers, whole_values
from hwsim.pe.units.unit import signed
from tests.hwsim.pe.papers.cycles import ran
from tests.hwsim.rtl.designs import needs_yosys

CASES = {"pot4": 1, "pot3": 1, "apot4": 2, "apot5": 2}


def described(name: str) -> PowerSum:
    activation, weight = nf.get("int8"), nf.get(name)
    assert isinstance(activation, nf.FixedPoint)
    assert isinstance(weight, nf.Codebook)
    return PowerSum(activation=activation, weight=weight, terms=CASES[name])


@pytest.mark.parametrize("name", CASES)
def test_every_product(name: str) -> None:
    """All pairs of codes, then the register adds them to themselves turned."""
    what = described(name)
    a, w = (x.ravel() for x in np.meshgrid(np.arange(256), np.arange(2**what.weight.bits)))
    inputs = {"a": [a, a[::-1], a], "w": [w, w[::-1], w], "clear": [1, 0, 0]}
    found = signed(ran(power_sum(what), inputs)["sum"], 32).astype(np.int64)
    values = np.nan_to_num(nf.decode_codes(what.weight, np.arange(2**what.weight.bits), np.float64))
    unit = np.abs(values[values != 0]).min() / np.abs([x for x in integers_of(what.weight) if x]).min()
    exact = (a - 256 * (a >= 128)) * np.rint(values / unit).astype(np.int64)[w]
    # Tables hold tenths as float32 has them: half a last place off, and the unit too.
    assert np.allclose(np.array(integers_of(what.weight)) * unit, values, rtol=2.0**-22, atol=0)
    assert (found[1] == exact).all()
    assert (found[2] == exact + exact[::-1]).all()


@needs_yosys
@pytest.mark.parametrize("name", CASES)
def test_gates_are_proved(name: str) -> None:
    unit = Powers(what=described(name))
    assert unit.check().status == "proved"
    assert (whole_values(unit.what.weight) == integers_of(unit.what.weight)).all()


def test_too_few_terms_are_refused() -> None:
    with pytest.raises(ValueError, match="sums of up to 2 powers; pass terms=2"):
        PowerSum(activation=nf.get("int8"), weight=nf.get("apot4"))  # type: ignore[arg-type]
