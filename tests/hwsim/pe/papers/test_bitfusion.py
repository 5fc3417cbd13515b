"""BitFusion's unit in all nine modes, signed and not, against the products of whole operands."""

from __future__ import annotations

import numpy as np
import pytest

from hwsim.pe.papers.bitfusion import BitFusion, fusion_unit, mode, products
from hwsim.pe.units.mixed import Fusion
from hwsim.pe.units.unit import running
from tests.hwsim.pe.papers.cycles import ran
from tests.hwsim.rtl.designs import needs_yosys

UNIT = Fusion(what=BitFusion())


def test_every_mode_adds_its_products() -> None:
    inputs, sums = UNIT.vectors(400, np.random.default_rng(29))
    assert len(sums) == 9 * 4 * 2 + 1
    found = ran(fusion_unit(BitFusion()), inputs)["sum"]
    assert (found == running(sums, inputs["clear"], 32)).all()


def test_throughput_is_as_published() -> None:
    """(8 / p)**2 products of p by p bits."""
    assert [products(p, p) for p in (8, 4, 2)] == [1, 4, 16]
    assert [Fusion(what=BitFusion(), a_bits=p, b_bits=p).terms for p in (8, 4, 2)] == [1, 4, 16]


@needs_yosys
def test_gates_are_tested() -> None:
    assert UNIT.check().status == "tested"


def test_other_widths_are_refused() -> None:
    with pytest.raises(ValueError, match="2, 4 or 8 bits, got 3 and 8"):
        mode(3, 8)
