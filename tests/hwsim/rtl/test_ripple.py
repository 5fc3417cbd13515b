"""The ripple adder on what makes gates: and-inverter graphs, netlists in the making, and plain bits."""

from __future__ import annotations

import operator
from types import SimpleNamespace

import pytest

from hwsim.fpga import cells
from hwsim.rtl import aig
from hwsim.rtl.ripple import ripple

WIDTH = 4
PLAIN = SimpleNamespace(both=operator.and_, either=operator.or_, differ=operator.xor)


def bits(x: int) -> list[int]:
    return [x >> place & 1 for place in range(WIDTH)]


def number(row: list[int]) -> int:
    return sum(bit << place for place, bit in enumerate(row))


@pytest.mark.parametrize("carry", [0, 1])
def test_sums_modulo_the_width(carry: int) -> None:
    graph = aig.Graph(2 * WIDTH)
    inputs = [graph.input(index) for index in range(2 * WIDTH)]
    total = graph.add(inputs[:WIDTH], inputs[WIDTH:], aig.TRUE if carry else aig.FALSE)
    for a in range(1 << WIDTH):
        for b in range(1 << WIDTH):
            want = (a + b + carry) % (1 << WIDTH)
            assert number(ripple(PLAIN, bits(a), bits(b), carry)) == want
            assert number(graph.evaluate(total, bits(a) + bits(b))) == want


def test_one_adder_serves_graphs_and_netlists() -> None:
    assert aig.ripple is ripple
    assert cells.ripple is ripple
    with pytest.raises(ValueError, match="shorter"):
        ripple(PLAIN, [0, 1], [0], 0)
