"""MixPE's cell, edge and epilogue: group sums against integers, the register against fractions rounded once."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

import formats as nf
from formats.exact import Dyadic
from formats.reference import encode_value
from hwsim.pe.papers.mixpe import MixPe, activation_sum, group_epilogue, mixpe_cell
from tests.hwsim.pe.papers.cycles import check_gates, ran, read_signed
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
    found = read_signed(ran(mixpe_cell(WHAT), {"a": sides[0], "w": sides[1], "clear": clear})["sum"][-1], WHAT.sum_bits)
    values = sides[0] - 256 * (sides[0] >= 128)
    assert (found == (values * sides[1])[:16].sum(axis=0)).all()
    shared = ran(activation_sum(WHAT), {"a": sides[0], "clear": clear})["sum"][-1]
    assert (read_signed(shared, WHAT.activation_sum_bits) == values[:16].sum(axis=0)).all()


def epilogue_inputs(cycles: int, rows: int) -> dict[str, np.ndarray]:
    top = 2 ** (WHAT.activation_sum_bits - 1)
    shape = (cycles, rows)
    activations = RNG.integers(-top, top, shape)
    sums = RNG.integers(-top * 15, top * 15, shape)
    found = {"sum": sums % 2**WHAT.sum_bits, "activations": activations % (2 * top), "zero": RNG.integers(0, 16, shape)}
    scale = RNG.integers(1, 0x7C00, shape)  # positive and finite
    clear = np.zeros(shape, np.int64)
    clear[0] = 1
    return found | {"scale": scale, "take": RNG.integers(0, 2, shape), "clear": clear}


def test_epilogue_rounds_once_a_group() -> None:
    given = epilogue_inputs(8, 50)
    found = ran(group_epilogue(WHAT), given)["total"]
    float16, float32 = WHAT.scale, WHAT.register
    for row in range(50):
        held = Fraction(0)
        for cycle in range(8):
            one = {name: int(x[cycle, row]) for name, x in given.items()}
            exact = Dyadic(held < 0, abs(held.numerator), 1 - held.denominator.bit_length())
            assert found[cycle, row] == encode_value(float32, exact)
            rest = int(read_signed(one["sum"], WHAT.sum_bits))
            rest -= one["zero"] * int(read_signed(one["activations"], WHAT.activation_sum_bits))
            scale = float16.value(one["scale"])
            assert isinstance(scale, Dyadic)
            if one["take"]:
                x = held + rest * scale.fraction
                code = encode_value(float32, Dyadic(x < 0, abs(x.numerator), 1 - x.denominator.bit_length()))
                value = float32.value(code)
                assert isinstance(value, Dyadic)
                held = value.fraction
            held = Fraction(0) if one["clear"] else held


@needs_yosys
def test_gates_agree() -> None:
    unit = mixpe_cell(WHAT)
    check_gates(unit, {wire.name: RNG.integers(0, 2**wire.width, (5, 500)) for wire in unit.inputs})


@needs_yosys
@pytest.mark.slow
def test_gates_of_the_epilogue_agree() -> None:
    check_gates(group_epilogue(WHAT), epilogue_inputs(8, 300))


def test_unsigned_activations_are_refused() -> None:
    with pytest.raises(ValueError, match="activation must be a signed integer format"):
        MixPe(activation=nf.get("uint8"))  # type: ignore[arg-type]
