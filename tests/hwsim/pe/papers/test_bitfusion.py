"""BitFusion's unit in all nine modes, signed and not, against the products of whole operands."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from hwsim.pe.papers.bitfusion import WIDTHS, BitFusion, fusion_unit, mode, products, spread
from tests.hwsim.pe.papers.cycles import check_gates, ran, read_signed
from tests.hwsim.rtl.designs import needs_yosys

RNG = np.random.default_rng(29)


def codes(bits: int, count: int, vectors: int) -> np.ndarray:
    """[count, vectors], a third of them the ends."""
    ends = RNG.choice([0, 2**bits - 1, 2 ** (bits - 1), 2 ** (bits - 1) - 1], (count, vectors))
    return np.where(RNG.random((count, vectors)) < 0.3, ends, RNG.integers(0, 2**bits, (count, vectors)))


@pytest.mark.parametrize("signs", list(product((0, 1), repeat=2)), ids=["uu", "us", "su", "ss"])
@pytest.mark.parametrize("widths", list(product(WIDTHS, repeat=2)), ids=lambda x: f"{x[0]}x{x[1]}")
def test_a_mode_adds_its_products(widths: tuple[int, int], signs: tuple[int, int]) -> None:
    count = products(*widths)
    a, b = (codes(bits, count, 400) for bits in widths)
    inputs = {k: [v, v] for k, v in spread(a, b, *widths).items()}
    inputs |= {k: [v, v] for k, v in mode(*widths).items()}
    inputs |= {"a_signed": [signs[0]] * 2, "b_signed": [signs[1]] * 2, "clear": [1, 0]}
    found = read_signed(ran(fusion_unit(BitFusion()), inputs)["sum"][1], 32)
    values = [x - ((x >> (bits - 1) << bits) if s else 0) for x, bits, s in zip((a, b), widths, signs, strict=True)]
    assert (found == (values[0] * values[1]).sum(axis=0)).all()


def test_throughput_is_as_published() -> None:
    """(8 / p)**2 products of p by p bits."""
    assert [products(p, p) for p in (8, 4, 2)] == [1, 4, 16]


@needs_yosys
def test_gates_agree() -> None:
    unit = fusion_unit(BitFusion())
    check_gates(unit, {wire.name: RNG.integers(0, 2**wire.width, (4, 500)) for wire in unit.inputs})


def test_other_widths_are_refused() -> None:
    with pytest.raises(ValueError, match="2, 4 or 8 bits, got 3 and 8"):
        mode(3, 8)
