"""MixPE's cell, edge and epilogue: group sums against integers, the register against fractions rounded once."""

from __future__ import annotations

import numpy as np
import pytest

import formats as nf
from hwsim.pe.papers.mixpe import MixPe, activation_sum, mixpe_cell
from hwsim.pe.units.blocks import Epilogue
from hwsim.pe.units.mixed import ActivationSum, MixedCell
from hwsim.pe.units.unit import signed
from tests.hwsim.pe.papers.cycles import ran
from tests.hwsim.rtl.designs import needs_yosys

RNG = np.random.default_rng(31)
INT8 = nf.get("int8")
assert isinstance(INT8, nf.FixedPoint)
WHAT = MixPe(activation=INT8, group=16)


def test_cell_and_edge_sum_a_group() -> None:
    """Every activation and weight twice, then 14 random ones; a group is 16."""
    a, w = (x.ravel() for x in np.meshgrid(np.arange(256), np.arange(16)))
    order = [RNG.permutation(4096) for _ in range(14)]
    sides = [np.stack([x, x[::-1], *(x[o] for o in order), x]) for x in (a, w)]
    clear = np.array([1, *[0] * 16])[:, None] + 0 * sides[0]
    found = signed(ran(mixpe_cell(WHAT), {"a": sides[0], "w": sides[1], "clear": clear})["sum"][-1], WHAT.sum_bits)
    values = sides[0] - 256 * (sides[0] >= 128)
    assert (found == (values * sides[1])[:16].sum(axis=0)).all()
    shared = ran(activation_sum(WHAT), {"a": sides[0], "clear": clear})["sum"][-1]
    assert (signed(shared, WHAT.activation_sum_bits) == values[:16].sum(axis=0)).all()


def test_epilogue_rounds_once_a_group() -> None:
    unit = Epilogue(what=WHAT)
    inputs = unit.vectors(8, 50, RNG)
    assert (ran(unit.module(), inputs)["total"] == unit.answers(inputs)["total"]).all()


@needs_yosys
def test_gates_are_proved() -> None:
    assert MixedCell(what=WHAT).check().status == "proved"
    assert ActivationSum(what=WHAT).check().status == "proved"


@needs_yosys
@pytest.mark.slow
def test_gates_of_the_epilogue_are_tested() -> None:
    assert Epilogue(what=WHAT).check().status == "tested"


def test_unsigned_activations_are_refused() -> None:
    with pytest.raises(ValueError, match="activation must be a signed integer format"):
        MixPe(activation=nf.get("uint8"))  # type: ignore[arg-type]
