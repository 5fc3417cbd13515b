"""Static timing against closed forms on the tiny library, and that a wrong netlist is refused."""

import pytest

from hwsim.liberty.parse import LibertyError
from hwsim.liberty.timing import Conditions, static_timing
from hwsim.rtl.netlist import ONE, ZERO
from tests.hwsim.liberty import tiny

RISE_LOAD, FALL_LOAD = 1.2, 1.0  # one INV pin


def rise(slew: float, load: float) -> float:
    return 10 + 2 * load + 0.1 * slew


def fall(slew: float, load: float) -> float:
    return 8 + load + 0.2 * slew


@pytest.mark.parametrize("length", [1, 2, 5, 8])
def test_an_inverter_chain_in_closed_form(length: int) -> None:
    conditions = Conditions(input_slew_ps=30.0, output_load_ff=4.0)
    timing = static_timing(tiny.chain("INV", length), tiny.library(), conditions)
    worst = 0.0
    for first in (0, 1):  # the first output's edge
        time, slew = 0.0, 30.0
        for i in range(length):
            up = first ^ i & 1
            load = 4.0 if i == length - 1 else RISE_LOAD if up else FALL_LOAD
            time += rise(slew, load) if up else fall(slew, load)
            slew = 5 + 3 * load if up else 4 + 2 * load
        worst = max(worst, time)
    assert timing.delay_ps == pytest.approx(worst, abs=1e-9)
    assert [step.instance for step in timing.path] == ["a", *(f"g{i}" for i in range(length))]
    assert timing.path[-1].arrival_ps == timing.delay_ps
    assert sum(step.delay_ps for step in timing.path) == pytest.approx(timing.delay_ps)
    assert timing.groups == {"input_to_output": timing.delay_ps}


def test_a_buffer_keeps_the_edge_and_an_inverter_flips_it() -> None:
    for kind, edges in (("BUF", ("rise", "rise")), ("INV", ("fall", "rise"))):
        path = static_timing(tiny.chain(kind, 1), tiny.library()).path
        assert tuple(step.edge for step in path) == edges  # rising outputs are the slower ones


def test_the_slower_pin_is_on_the_path() -> None:
    circuit = tiny.netlist([("n", "NAND", {"A": 2, "B": 3, "Y": 4})], {"a": (2,), "b": (3,)}, {"y": (4,)})
    timing = static_timing(circuit, tiny.library())
    assert timing.path[-1].pins == ("B", "Y")
    assert timing.delay_ps == pytest.approx(13.0)


def test_a_non_unate_gate_takes_both_edges_and_conditional_arcs_count() -> None:
    circuit = tiny.netlist([("x", "XOR", {"A": 2, "B": ONE, "Y": 4})], {"a": (2,)}, {"y": (4,)})
    timing = static_timing(circuit, tiny.library())
    assert timing.delay_ps == pytest.approx(15.0)  # A's arc under `when : B`, 5 ps slower
    assert timing.path[0].edge == "fall"


def test_a_driving_cell_gives_slew_and_only_the_load_part_of_its_delay() -> None:
    circuit = tiny.chain("INV", 1)
    timing = static_timing(circuit, tiny.library(), Conditions(driving_cell="BUF"))
    # the input rises: BUF sees 1.2 fF -> 2.4 ps, slew 8.6; then INV falls into nothing. It falls: 1 fF -> 1 ps, slew 6.
    assert timing.delay_ps == pytest.approx(max(2.4 + fall(8.6, 0.0), 1.0 + rise(6.0, 0.0)))
    with pytest.raises(LibertyError, match="DFF cannot drive inputs; name a buffer or an inverter"):
        static_timing(circuit, tiny.library(), Conditions(driving_cell="DFF"))


def registered() -> list[tuple[str, str, dict[str, int]]]:
    return [
        ("r0", "DFF", {"CK": 2, "D": 3, "R": ONE, "Q": 4}),
        ("i0", "INV", {"A": 4, "Y": 5}),
        ("r1", "DFF", {"CK": 2, "D": 5, "R": ONE, "Q": 6}),
    ]


def test_paths_between_registers_have_clock_to_q_and_setup() -> None:
    circuit = tiny.netlist(registered(), {"clk": (2,), "d": (3,)}, {"q": (6,), "o": (5,)})
    timing = static_timing(circuit, tiny.library(), Conditions(clock_slew_ps=10.0, output_load_ff=2.0))
    q_fall = 30 + fall(10.0, FALL_LOAD)
    q_rise = 30 + rise(10.0, RISE_LOAD)
    up = q_fall + rise(4 + 2 * FALL_LOAD, 2.5)
    down = q_rise + fall(5 + 3 * RISE_LOAD, 2.5)
    assert timing.groups["register_to_register"] == pytest.approx(max(up, down) + 20.0)
    assert timing.groups["register_to_output"] == pytest.approx(max(up, down, 30 + rise(10.0, 2.0)))
    assert timing.groups["input_to_register"] == pytest.approx(20.0)
    assert timing.delay_ps == timing.groups["register_to_register"]
    assert [(step.instance, step.kind) for step in timing.path] == [("r0", "DFF"), ("i0", "INV"), ("r1", "setup")]


def test_wires_load_by_fanout() -> None:
    circuit = tiny.netlist(
        [("a0", "INV", {"A": 2, "Y": 3}), ("a1", "INV", {"A": 3, "Y": 4}), ("a2", "INV", {"A": 3, "Y": 5})],
        {"a": (2,)},
        {"y": (4,), "z": (5,)},
    )
    timing = static_timing(circuit, tiny.library(), Conditions(wire_ff_per_fanout=0.5, output_load_ff=1.0))
    assert timing.load_ff[3] == pytest.approx((3.0, 3.4))
    assert timing.load_ff[4] == pytest.approx((1.5, 1.5))


def test_constants_have_no_paths() -> None:
    circuit = tiny.netlist(
        [("t", "TIE1", {"Y": 3}), ("i", "INV", {"A": 3, "Y": 4}), ("j", "INV", {"A": ZERO, "Y": 5})],
        {},
        {"y": (4,), "z": (5,), "one": (ONE,)},
    )
    assert static_timing(circuit, tiny.library()).delay_ps == 0.0


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ([("g", "INV", {"A": 2, "Y": 2})], "net 2 has two drivers: input a and g pin Y"),
        ([("g", "INV", {"A": 9, "Y": 3})], "net 9 at g pin A has no driver"),
        ([("g", "INV", {"Y": 3})], r"instance g \(INV\) leaves input A open"),
        ([("g", "INV", {"A": 2, "Y": 3, "Z": 4})], "connects pin Z with 1 nets, which INV lacks"),
        ([("g", "LATCH", {"G": 2, "D": 2})], "it is a latch; keep it out"),
        (
            [("g", "NAND", {"A": 2, "B": 4, "Y": 3}), ("h", "INV", {"A": 3, "Y": 4})],
            "combinational loop: .*needs a register in every loop",
        ),
        (
            [("g", "INV", {"A": 2, "Y": 3}), ("r", "DFF", {"CK": 3, "D": 2, "R": ONE, "Q": 4})],
            "one clock, straight from an input",
        ),
        (
            [("r", "DFF", {"CK": 2, "D": 3, "R": ONE, "Q": 4}), ("g", "INV", {"A": 2, "Y": 3})],
            "the clock is data at g",
        ),
        (
            [("r", "DFF", {"CK": 2, "D": 4, "R": 4, "Q": 4})],
            "asynchronous clear in use; give the registers a synchronous",
        ),
        ([("r", "DFF", {"CK": 2, "D": 4, "R": ZERO, "Q": 4})], "asynchronous clear in use"),
    ],
)
def test_netlists_that_do_not_fit_are_refused(cells: list[tuple[str, str, dict[str, int]]], message: str) -> None:
    with pytest.raises(LibertyError, match=message):
        static_timing(tiny.netlist(cells, {"a": (2,)}, {}), tiny.library())


def test_an_output_without_driver_and_bad_conditions() -> None:
    with pytest.raises(LibertyError, match="output y has net 7, which has no driver"):
        static_timing(tiny.netlist([], {"a": (2,)}, {"y": (7,)}), tiny.library())
    with pytest.raises(ValueError, match="output_load_ff must be zero or more and finite, got -1"):
        Conditions(output_load_ff=-1)
