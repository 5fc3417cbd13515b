"""Primitives and trees: every leaf counted, sums exact."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

import hwsim as hw
from hwsim.component import Component, exact, leaf, leaf_exact, tree
from hwsim.primitives import PRIMITIVES, features

TECH = hw.technology("ihp130")


@st.composite
def trees(draw: st.DrawFn, depth: int = 3) -> Component:
    if depth == 0 or draw(st.booleans()):
        return leaf(
            draw(st.sampled_from("abc")),
            draw(st.sampled_from(["adder", "register", "exclusive_or"])),
            count=draw(st.integers(0, 5)),
            width=draw(st.integers(0, 40)),
        )
    children = draw(st.lists(trees(depth=depth - 1), max_size=3))
    return tree(draw(st.sampled_from("xyz")), *children, count=draw(st.integers(0, 5)))


def independent_area(component: Component) -> Fraction:
    """Recursively, not through leaves()."""
    if component.primitive is not None:
        part = features(component.primitive, dict(component.parameters))
        one = leaf_exact(leaf("one", component.primitive, **dict(component.parameters)).leaves()[0], "area", TECH)
        assert part.gates >= 0
        return component.count * one
    return component.count * sum((independent_area(child) for child in component.children), Fraction(0))


@given(trees())
def test_a_trees_area_is_exactly_its_leaves(component: Component) -> None:
    total = exact(component, "area", TECH)
    assert total == sum((leaf_exact(part, "area", TECH) for part in component.leaves()), Fraction(0))
    assert total == independent_area(component)
    assert component.area_um2(TECH).value == float(total)
    assert exact(component.times(7), "area", TECH) == 7 * total


def test_the_sum_check_sees_a_missing_leaf() -> None:
    whole = tree("pe", leaf("add", "adder", width=8), tree("both", leaf("hold", "register", width=8), count=2))
    less = tree("pe", leaf("add", "adder", width=8), tree("both", leaf("hold", "register", width=8), count=1))
    assert independent_area(whole) != exact(less, "area", TECH)
    assert [(part.path, part.count) for part in whole.leaves()] == [("pe/add", 1), ("pe/both/hold", 2)]


def test_breakdown_names_every_leaf() -> None:
    whole = tree("pe", leaf("add", "adder", width=8), tree("both", leaf("hold", "register", width=8), count=2))
    assert set(whole.breakdown(TECH)) == {"pe/add", "pe/both/hold"}
    with pytest.raises(ValueError, match="delays do not add over leaves"):
        whole.breakdown(TECH, "delay")


def test_delay_follows_critical_children_only() -> None:
    add, slow = leaf("add", "adder", width=8), leaf("slow", "adder", width=64, critical=False)
    assert tree("t", add, slow).delay_ns(TECH) == tree("t", add).delay_ns(TECH)
    both = tree("t", add, leaf("more", "adder", width=8))
    assert both.delay_ns(TECH).value == pytest.approx(2 * tree("t", add).delay_ns(TECH).value)


@pytest.mark.parametrize("name", PRIMITIVES)
def test_more_of_a_primitive_never_takes_fewer_gates(name: str) -> None:
    """Each parameter raised alone; `limit` and `active` bound others, and saturate."""
    base = {
        "multiplier": {"m": 4, "n": 3},
        "compressor": {"width": 8, "operands": 2},
        "shifter": {"width": 12, "positions": 5, "active": 6},
        "expanding_shifter": {"width": 6, "positions": 9, "limit": 20},
        "multiplexer": {"width": 4, "choices": 3},
        "arithmetic_shifter": {"width": 12, "positions": 5},
        "sticky_shifter": {"width": 12, "positions": 5},
        "lookup": {"address": 3, "width": 5},
        "float_decoder": {"exponent": 4},
    }.get(name, {"width": 9})
    for parameter in base:
        gates = [features(name, {**base, parameter: value}).gates for value in range(1, 40)]
        assert rising(gates)
    part = features(name, base)
    assert 0 <= part.activity <= part.gates


def rising(values: Iterable[Fraction]) -> bool:
    return all(first <= second for first, second in pairwise(values))


def test_the_monotone_check_sees_a_fall() -> None:
    assert not rising([Fraction(1), Fraction(3), Fraction(2)])


def test_textbook_gates_by_hand() -> None:
    # 8 x 8: 64 AND, 8 * 6 full adders, 8 half adders, in units of a NAND2.
    assert float(features("multiplier", {"m": 8, "n": 8}).gates) == pytest.approx(64 * 1.67 + 48 * 5.33 + 8 * 3.33)
    assert features("multiplier", {"m": 3, "n": 8}) == features("multiplier", {"m": 8, "n": 3})
    # 4 bits moved by 0..3 into 16: stage 1 fills 5 bits, stage 2 fills 7.
    assert features("expanding_shifter", {"width": 4, "positions": 3, "limit": 16}).gates == (5 + 7) * 3
    assert features("shifter", {"width": 10, "positions": 7, "active": 10}).gates == 10 * 3 * 3
    assert features("register", {"width": 32}).gates == 32


def test_nonsense_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown primitive 'nand'; use one of multiplier, adder"):
        leaf("x", "nand", width=1)
    with pytest.raises(ValueError, match=r"primitive 'adder' takes width \(integers >= 0\), got bits=4"):
        leaf("x", "adder", bits=4)
    with pytest.raises(ValueError, match="got width=-1"):
        leaf("x", "adder", width=-1)
    with pytest.raises(ValueError, match="count must be 0 or more, got -2"):
        leaf("x", "adder", width=1, count=-2)
    with pytest.raises(ValueError, match="no '/'"):
        tree("a/b")
    with pytest.raises(ValueError, match="a primitive or children, not both"):
        Component(name="x", primitive="adder", parameters=(("width", 1),), children=(tree("y"),))
    with pytest.raises(ValueError, match="parameters belong to a primitive"):
        Component(name="x", parameters=(("width", 1),))


def test_at_most_thirty_primitives() -> None:
    assert len(PRIMITIVES) <= 30
