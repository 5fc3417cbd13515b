"""The requantiser against formats.integer_ops, and its gates."""

from __future__ import annotations

import numpy as np
import pytest

from formats.integer_ops import reference
from hwsim.circuit import evaluate
from hwsim.pe.papers.requantise import Requantiser, requantiser
from tests.hwsim.pe.papers.cycles import computed
from tests.hwsim.rtl.designs import needs_yosys

RNG = np.random.default_rng(11)


def stimuli(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sums, multipliers 2**30..2**31, shifts; half of the sums near the middle between two codes."""
    multiplier = RNG.integers(2**30, 2**31 + 1, count)
    shift = RNG.integers(1, 64, count)
    middle = (2.0 * RNG.integers(-130, 130, count) + 1) * np.ldexp(1.0, shift - 1) / multiplier
    near = np.clip(np.rint(middle), -(2**31), 2**31 - 1).astype(np.int64) + RNG.integers(-1, 2, count)
    any_sum = RNG.integers(-(2**31), 2**31, count) >> RNG.integers(0, 32, count)
    sums = np.clip(np.where(RNG.random(count) < 0.5, near, any_sum), -(2**31), 2**31 - 1)
    sums[:4] = [-(2**31), 2**31 - 1, 0, -1]
    return sums, multiplier, shift


@pytest.mark.parametrize("signed", [True, False], ids=["int8", "uint8"])
def test_codes_are_those_of_integer_ops(signed: bool) -> None:
    sums, multiplier, shift = stimuli(5000)
    low, high = (-128, 127) if signed else (0, 255)
    inputs = {"sum": sums % 2**32, "multiplier": multiplier, "shift_less_one": shift - 1}
    found = evaluate(requantiser(Requantiser(signed=signed)), inputs)["code"]
    rows = zip(sums.tolist(), multiplier.tolist(), shift.tolist(), strict=True)
    assert found.tolist() == [reference.requantize(q, by, s, low, high, "half_up") % 256 for q, by, s in rows]


def test_every_sum_of_a_small_one() -> None:
    """6-bit sums, 3-bit multipliers, shifts 1..4, 3-bit codes: all of them."""
    what = Requantiser(sum_bits=6, multiplier_bits=3, most_shift=4, bits=3)
    sums, by, shift = (x.ravel() for x in np.meshgrid(np.arange(-32, 32), np.arange(8), np.arange(1, 5)))
    found = evaluate(requantiser(what), {"sum": sums % 64, "multiplier": by, "shift_less_one": shift - 1})["code"]
    assert (found == np.clip((sums * by + (1 << (shift - 1))) >> shift, -4, 3) % 8).all()


@needs_yosys
@pytest.mark.parametrize("signed", [True, False], ids=["int8", "uint8"])
def test_gates_agree(signed: bool) -> None:
    """Of 16-bit sums: what synthesis makes of a 32 x 32 multiplier takes it minutes."""
    what = Requantiser(sum_bits=16, multiplier_bits=8, most_shift=16, signed=signed)
    unit = requantiser(what)
    computed(unit, {wire.name: RNG.integers(0, 2**wire.width, 3000) for wire in unit.inputs})


def test_nonsense_is_refused() -> None:
    with pytest.raises(ValueError, match="narrower than the sum of 8 bits, got bits=8"):
        Requantiser(sum_bits=8)
    with pytest.raises(ValueError, match="must be 1 or more, got 0 and 63"):
        Requantiser(multiplier_bits=0)
