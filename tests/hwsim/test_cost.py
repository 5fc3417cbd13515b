"""Cost and Scaling: interval arithmetic, and what may not be added."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

import hwsim as hw
from hwsim.cost import Cost, Scaling, Status, about

STATUSES: tuple[Status, ...] = ("estimated", "tested", "proved")


def cost(value: float = 2.0, low: float = 1.0, high: float = 4.0, **changes: object) -> Cost:
    base = Cost(value=value, low=low, high=high, unit="um2", source="table", status="tested", node="ihp130")
    return replace(base, **changes)  # type: ignore[arg-type]


@st.composite
def costs(draw: st.DrawFn) -> Cost:
    # Multiples of 1/8 below 2**20: sums of a few are exact in float64, so equalities below are equalities.
    low, value, high = sorted(draw(st.tuples(*[st.integers(0, 2**20)] * 3)))
    return cost(value / 8, low / 8, high / 8, status=draw(st.sampled_from(STATUSES)))


def test_a_cost_is_frozen_hashable_and_rebuilt_by_its_repr() -> None:
    figure = cost()
    assert eval(repr(figure)) == figure
    assert len({figure, cost()}) == 1
    with pytest.raises(FrozenInstanceError):
        figure.value = 3.0  # type: ignore[misc]
    assert str(figure) == "2 um2 (1..4, tested)"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"unit": "furlong"}, "unit must be one of um2, GE, pJ, pJ/bit, ns, mW, 1, got 'furlong'"),
        ({"status": "sure"}, "status must be one of estimated, tested, proved, got 'sure'"),
        ({"low": 3.0}, "needs 0 <= low <= value <= high"),
        ({"high": float("inf")}, "needs 0 <= low <= value <= high"),
        ({"value": float("nan")}, "needs 0 <= low <= value <= high"),
        ({"source": ""}, "source is empty"),
    ],
)
def test_nonsense_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        cost(**changes)


@given(costs(), costs(), costs())
def test_addition_is_commutative_associative_and_adds_both_ends(a: Cost, b: Cost, c: Cost) -> None:
    assert a + b == b + a
    assert (a + b) + c == a + (b + c)
    total = a + b
    assert (total.value, total.low, total.high) == (a.value + b.value, a.low + b.low, a.high + b.high)
    assert total.status == STATUSES[min(STATUSES.index(a.status), STATUSES.index(b.status))]


@given(costs(), st.integers(0, 64), st.integers(0, 64))
def test_scalars_distribute_and_keep_the_interval_around_the_value(a: Cost, x: int, y: int) -> None:
    assert a * (x + y) == a * x + a * y
    assert x * a == a * x
    assert (a * x).low <= (a * x).value <= (a * x).high


def test_sum_works_and_sources_appear_once() -> None:
    total = sum([cost(source="a"), cost(source="b"), cost(source="a")])
    assert isinstance(total, Cost)
    assert total.source == "a; b"


def test_two_units_or_two_nodes_do_not_add() -> None:
    with pytest.raises(ValueError, match="cannot add um2 and pJ"):
        cost() + cost(unit="pJ")
    with pytest.raises(ValueError, match=r"nodes 'ihp130' and 'gt2n'; apply a Scaling\(source_node='gt2n'"):
        cost() + cost(node="gt2n")
    assert (cost(node=None) + cost()).node == "ihp130"


def test_a_negative_or_infinite_factor_is_refused() -> None:
    for factor in (-1.0, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="finite number >= 0"):
            cost() * factor
    with pytest.raises(TypeError):
        cost() * cost()  # type: ignore[operator]


def test_a_ratio_divides_the_far_ends() -> None:
    a, b = (about(value, 2.0, unit="pJ", source="flow", node="n") for value in (6.0, 3.0))
    ratio = a.ratio(b)
    assert (ratio.value, ratio.low, ratio.high, ratio.unit, ratio.node) == (2.0, 0.5, 8.0, "1", None)
    assert a.ratio(a).low == a.ratio(a).high == 1.0
    with pytest.raises(ValueError, match="a ratio needs one unit"):
        a.ratio(replace(b, unit="um2"))
    with pytest.raises(ValueError, match="interval reaches zero"):
        a.ratio(replace(b, low=0.0))


@given(costs(), costs())
def test_a_ratio_holds_its_value(a: Cost, b: Cost) -> None:
    if b.low > 0:
        ratio = a.ratio(b)
        assert ratio.low <= ratio.value <= ratio.high


def test_a_scaling_carries_figures_to_its_target_and_nothing_else() -> None:
    rule = Scaling(
        name="half", source_node="ihp130", target_node="b", factors=(("um2", 0.5),), spread=2.0, source="assumed"
    )
    scaled = rule.apply(cost(8.0, 8.0, 8.0))
    assert (scaled.value, scaled.low, scaled.high, scaled.node, scaled.status) == (4.0, 2.0, 8.0, "b", "estimated")
    assert "half" in scaled.source
    assert (scaled + cost(node="b")).node == "b"
    for wrong in (cost(node="c"), cost(unit="pJ")):
        with pytest.raises(ValueError, match="Scaling 'half' takes um2 of node 'ihp130', got"):
            rule.apply(wrong)


def test_the_ratio_of_equal_costs_is_exactly_one() -> None:
    area = hw.MacPE("int8", "int8").area_um2("ihp130")
    one = area.ratio(hw.MacPE("int8", "int8").area_um2("ihp130"))
    assert (one.value, one.low, one.high, one.unit, one.node) == (1.0, 1.0, 1.0, "1", None)
    assert (one.source, one.status) == (area.source, area.status)
    other = area.ratio(hw.MacPE("int6", "int8").area_um2("ihp130"))
    assert other.low < other.value < other.high
