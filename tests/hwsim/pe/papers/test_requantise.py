"""The requantiser against formats.integer_ops, and its gates."""

from __future__ import annotations

import numpy as np
import pytest

from hwsim.circuit import evaluate
from hwsim.pe.papers.requantise import Requantiser, requantiser
from hwsim.pe.units.converters import Requantisation
from tests.hwsim.rtl.designs import needs_yosys

RNG = np.random.default_rng(11)


@pytest.mark.parametrize("signed", [True, False], ids=["int8", "uint8"])
def test_codes_are_those_of_integer_ops(signed: bool) -> None:
    unit = Requantisation(what=Requantiser(signed=signed))
    inputs = unit.vectors(5000, RNG)
    assert (evaluate(unit.module(), inputs)["code"] == unit.answers(inputs)["code"]).all()


def test_every_sum_of_a_small_one() -> None:
    """6-bit sums, 3-bit multipliers, shifts 1..4, 3-bit codes: all of them."""
    what = Requantiser(sum_bits=6, multiplier_bits=3, most_shift=4, bits=3)
    sums, by, shift = (x.ravel() for x in np.meshgrid(np.arange(-32, 32), np.arange(8), np.arange(1, 5)))
    found = evaluate(requantiser(what), {"sum": sums % 64, "multiplier": by, "shift_less_one": shift - 1})["code"]
    assert (found == np.clip((sums * by + (1 << (shift - 1))) >> shift, -4, 3) % 8).all()


@needs_yosys
@pytest.mark.parametrize("signed", [True, False], ids=["int8", "uint8"])
def test_gates_are_tested(signed: bool) -> None:
    """Of 16-bit sums: what synthesis makes of a 32 x 32 multiplier takes it minutes."""
    what = Requantiser(sum_bits=16, multiplier_bits=8, most_shift=16, signed=signed)
    assert Requantisation(what=what).check().status == "tested"


def test_nonsense_is_refused() -> None:
    with pytest.raises(ValueError, match="narrower than the sum of 8 bits, got bits=8"):
        Requantiser(sum_bits=8)
    with pytest.raises(ValueError, match="must be 1 or more, got 0 and 63"):
        Requantiser(multiplier_bits=0)
