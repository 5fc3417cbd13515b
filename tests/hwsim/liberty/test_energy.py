"""Energy against closed forms on the tiny library, and the kernel against an event queue on random circuits."""

import dataclasses
import random

import numpy as np
import pytest

from hwsim.liberty import circuit as circuits
from hwsim.liberty.energy import Energy, energy_per_cycle
from hwsim.liberty.timing import Conditions, static_timing
from hwsim.rtl.netlist import ONE, ZERO, Netlist
from tests.hwsim.liberty import tiny
from tests.hwsim.liberty.event_queue import simulate

V2 = tiny.VOLT**2
ALTERNATE = [0, 1] * 10 + [0]


def either(timed: bool, circuit: Netlist, vectors: dict[str, object], **settings: object) -> Energy:
    return energy_per_cycle(circuit, tiny.library(), vectors, timed=timed, **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("timed", [False, True])
def test_a_chain_pays_each_net_and_each_gate_once_a_toggle(timed: bool) -> None:
    found = either(timed, tiny.chain("INV", 5), {"a": ALTERNATE}, conditions=Conditions(output_load_ff=3.0))
    assert found.cycles == 20
    assert found.toggles == 5
    assert found.input_switching_fj == pytest.approx(V2 / 2 * 1.1)
    assert found.switching_fj == pytest.approx(V2 / 2 * (5 * 1.1 + 3.0))
    assert found.internal_fj == pytest.approx(5 * (0.3 + 0.1) / 2)
    assert found.clock_fj == 0.0
    assert found.total_fj == pytest.approx(found.switching_fj + found.internal_fj)
    assert found.activity[2] == pytest.approx((1.0, 0.5))
    assert found.leakage_nw == pytest.approx(5 * 4.0)
    assert found.leakage_fj == pytest.approx(20.0 * found.period_ps * 1e-6)


def test_rise_and_fall_are_priced_apart() -> None:
    """One rise in a long quiet run: INV's output falls once."""
    found = either(True, tiny.chain("INV", 1), {"a": [0, 1, *[1] * 9]})
    assert found.internal_fj == pytest.approx(0.1 / 10)
    assert found.switching_fj == pytest.approx(V2 / 2 * 1.2 / 10)


def test_what_does_not_move_costs_nothing_but_the_clock() -> None:
    register = tiny.netlist([("r", "DFF", {"CK": 2, "D": 3, "R": ONE, "Q": 4})], {"ck": (2,), "d": (3,)}, {"q": (4,)})
    for timed in (False, True):
        found = either(timed, register, {"d": [0] * 5}, period_ps=100.0)
        assert (found.switching_fj, found.internal_fj, found.toggles) == (0.0, 0.0, 0.0)
        assert found.clock_fj == pytest.approx(0.7 * V2 + 0.8 + 0.9)  # neither `when` holds: the unconditional group
        assert found.standard_error_fj == 0.0


@pytest.mark.parametrize(
    ("arrival", "data", "clock"),
    [
        # Data moves at once: D is the new value when the clock falls, so !D & Q (1.1) and D & !Q (1.0) take turns.
        (0.0, (0.05 + 0.06) / 2, (1.1 + 1.0) / 2),
        # Data moves after the clock fell: at the fall D = Q, the unconditional 0.9; and the pin's `when : !CK` holds.
        (60.0, (0.15 + 0.16) / 2, 0.9),
    ],
)
def test_a_register_that_toggles(arrival: float, data: float, clock: float) -> None:
    register = tiny.netlist([("r", "DFF", {"CK": 2, "D": 3, "R": ONE, "Q": 4})], {"ck": (2,), "d": (3,)}, {"q": (4,)})
    found = either(
        True, register, {"d": ALTERNATE}, period_ps=100.0, input_arrival_ps=arrival, warm_up_cycles=2,
        conditions=Conditions(output_load_ff=2.0),
    )  # fmt: skip
    assert found.toggles == 1
    assert found.internal_fj == pytest.approx(data + (2.0 + 1.5) / 2)  # D pin; Q by its group related to the clock
    assert found.clock_fj == pytest.approx(0.7 * V2 + clock)  # a rise with D != Q is in Q's group: 0.0
    assert found.switching_fj == pytest.approx(V2 / 2 * (0.5 + 2.0))


@pytest.mark.parametrize(
    ("b", "expected"),
    [(ZERO, (1.0 + 2.0) / 2), (ONE, (3.0 + 4.0) / 2)],
)
@pytest.mark.parametrize("timed", [False, True])
def test_the_state_picks_the_group(timed: bool, b: int, expected: float) -> None:
    circuit = tiny.netlist([("x", "XOR", {"A": 2, "B": b, "Y": 3})], {"a": (2,)}, {"y": (3,)})
    assert either(timed, circuit, {"a": ALTERNATE}).internal_fj == pytest.approx(expected)


def test_the_pin_that_moved_picks_the_group() -> None:
    circuit = tiny.netlist([("x", "XOR", {"A": ONE, "B": 2, "Y": 3})], {"b": (2,)}, {"y": (3,)})
    assert either(True, circuit, {"b": ALTERNATE}).internal_fj == pytest.approx((5.0 + 6.0) / 2)


def test_input_pins_pay_even_when_the_output_stays() -> None:
    circuit = tiny.netlist([("n", "NAND", {"A": 2, "B": ZERO, "Y": 3})], {"a": (2,)}, {"y": (3,)})
    for timed in (False, True):
        found = either(timed, circuit, {"a": ALTERNATE})
        assert found.toggles == 0
        assert found.internal_fj == pytest.approx((0.02 + 0.03) / 2)


def test_zero_delay_shares_an_output_among_the_pins_that_moved() -> None:
    circuit = tiny.netlist([("n", "NAND", {"A": 2, "B": 3, "Y": 4})], {"a": (2,), "b": (3,)}, {"y": (4,)})
    found = either(False, circuit, {"a": ALTERNATE, "b": ALTERNATE})
    assert found.internal_fj == pytest.approx((0.02 + 0.03) / 2 + ((0.6 + 0.7) / 2 + (0.2 + 0.25) / 2) / 2)


def hazard(length: int) -> Netlist:
    """a NAND not(a) by an odd chain: still in theory, a low pulse after a rise in silicon."""
    cells = [(f"i{k}", "INV", {"A": 2 + k, "Y": 3 + k}) for k in range(length)]
    return tiny.netlist([*cells, ("n", "NAND", {"A": 2, "B": 2 + length, "Y": 50})], {"a": (2,)}, {"y": (50,)})


def test_glitches_are_seen_and_short_ones_are_not() -> None:
    light, heavy = Conditions(), Conditions(output_load_ff=200.0)
    assert either(False, hazard(3), {"a": ALTERNATE}, conditions=light).activity[50][0] == 0.0
    # After a rise of a the NAND falls and rises: two toggles every other cycle.
    assert either(True, hazard(3), {"a": ALTERNATE}, conditions=light).activity[50][0] == pytest.approx(1.0)
    # With a load the NAND needs more than 200 ps to fall; the chain takes its chance away after some 30.
    assert either(True, hazard(3), {"a": ALTERNATE}, conditions=heavy).activity[50][0] == 0.0


def test_leakage_follows_the_state() -> None:
    circuit = tiny.netlist([("n", "NAND", {"A": 2, "B": 3, "Y": 4})], {"a": (2,), "b": (3,)}, {"y": (4,)})
    found = either(False, circuit, {"a": [0, 0, 0, 1, 1], "b": [0, 0, 1, 0, 1]})
    assert found.leakage_nw == pytest.approx((1 + 2 + 3 + 9) / 4)


def test_wires_cost_by_fanout() -> None:
    found = either(False, tiny.chain("INV", 1), {"a": ALTERNATE}, conditions=Conditions(wire_ff_per_fanout=10.0))
    assert found.switching_fj == pytest.approx(V2 / 2 * (1.1 + 10 + 10))


def random_circuit(rng: random.Random, gates: int, registers: int) -> Netlist:
    """A feed-forward cloud whose registers may feed back; every net of the cloud can be anything's input."""
    nets = [ONE, *range(3, 7)]
    states = list(range(7, 7 + registers))
    nets += states
    cells = []
    for i in range(gates):
        kind = rng.choice(["INV", "BUF", "NAND", "XOR", "NAND", "XOR"])
        out = 100 + i
        pins = {"A": rng.choice(nets[-12:])}
        if kind in ("NAND", "XOR"):
            pins["B"] = rng.choice(nets)
        cells.append((f"g{i}", kind, pins | {"Y": out}))
        nets.append(out)
    for i, q in enumerate(states):
        cells.append((f"r{i}", "DFF", {"CK": 2, "D": rng.choice(nets[-8:]), "R": ONE, "Q": q}))
    rng.shuffle(cells)
    return tiny.netlist(cells, {"ck": (2,), "a": (3, 4, 5, 6)}, {"y": tuple(nets[-4:]), "z": (nets[-1],)})


@pytest.mark.parametrize("seed", range(12))
def test_the_kernel_equals_an_event_queue(seed: int) -> None:
    rng = random.Random(seed)
    circuit = random_circuit(rng, gates=25, registers=seed % 4)
    # Odd numbers, so that no two events of a gate meet but those of the inputs.
    conditions = Conditions(
        driving_cell="BUF" if seed % 2 else None,
        input_slew_ps=13.7,
        clock_slew_ps=11.3,
        output_load_ff=1.37 + seed / 7,
        wire_ff_per_fanout=0.123,
    )
    values = [rng.randrange(16) for _ in range(15)]
    found = energy_per_cycle(circuit, tiny.library(), {"a": values}, conditions, period_ps=90.0 + 40 * (seed % 3))
    bits = [{3 + i: v >> i & 1 for i in range(4)} for v in values]
    expected = simulate(circuit, tiny.library(), bits, conditions, found.period_ps)
    cycles = found.cycles
    for net, (toggles, _) in found.activity.items():
        assert toggles * cycles == pytest.approx(expected.toggles.get(net, 0)), net
    assert found.toggles > 5  # something moved
    assert found.switching_fj * cycles == pytest.approx(expected.switching)
    assert found.internal_fj * cycles == pytest.approx(expected.internal)
    assert found.clock_fj * cycles == pytest.approx(expected.clock)


def test_the_comparison_above_can_fail() -> None:
    """The same comparison with one delay changed by 40 ps in the kernel's tables finds other toggles."""
    rng = random.Random(1)
    circuit = random_circuit(rng, 25, 1)
    values = [rng.randrange(16) for _ in range(15)]
    good = energy_per_cycle(circuit, tiny.library(), {"a": values})
    slower = tiny.TEXT.replace(tiny.INV, tiny.INV.replace("0.010", "0.050").replace("0.011", "0.051"))
    assert slower != tiny.TEXT
    bad = energy_per_cycle(circuit, tiny.library(slower), {"a": values})
    assert bad.activity != good.activity


def test_zero_delay_toggles_are_the_changes_of_settled_values() -> None:
    rng = random.Random(5)
    circuit = random_circuit(rng, 30, 3)
    values = [rng.randrange(16) for _ in range(40)]
    slow, fast = (energy_per_cycle(circuit, tiny.library(), {"a": values}, timed=t) for t in (False, True))
    for port, nets in circuit.outputs.items():
        assert (slow.outputs[port] == fast.outputs[port]).all()
        changes = (np.diff(slow.outputs[port].astype(int), axis=0) != 0).sum(axis=0)
        for i, net in enumerate(nets):
            assert slow.activity[net][0] * slow.cycles == pytest.approx(changes[i])
            assert fast.activity[net][0] >= slow.activity[net][0]


def test_signed_wide_and_bit_vectors_are_the_same_inputs() -> None:
    circuit = tiny.netlist(
        [(f"i{k}", "INV", {"A": 2 + k, "Y": 100 + k}) for k in range(70)],
        {"a": tuple(range(2, 72))},
        {"y": tuple(range(100, 170))},
    )
    numbers = [0, -1, 5, (1 << 69) + 3, -(1 << 69)]
    bits = np.array([[n >> i & 1 for i in range(70)] for n in numbers])
    a = either(True, circuit, {"a": np.array(numbers, object)})
    b = either(True, circuit, {"a": bits})
    assert a.total_fj == b.total_fj
    assert (a.outputs["y"] == 1 - bits).all()


def test_more_glitches_than_first_fit() -> None:
    """A tree of XORs whose toggles add up along unbalanced chains overruns the first guess of room and still agrees."""
    cells = []
    for k in range(40):
        cells.append((f"i{k}", "BUF", {"A": 2 if k == 0 else 199 + k, "Y": 200 + k}))
        cells.append((f"x{k}", "XOR", {"A": 2 if k == 0 else 99 + k, "B": 200 + k, "Y": 100 + k}))
    circuit = tiny.netlist(cells, {"a": (2,)}, {"y": (139,)})
    found = either(True, circuit, {"a": ALTERNATE})
    expected = simulate(circuit, tiny.library(), [{2: v} for v in ALTERNATE], Conditions(), found.period_ps)
    assert found.switching_fj * found.cycles == pytest.approx(expected.switching)


@pytest.mark.parametrize(
    ("vectors", "settings", "message"),
    [
        ({}, {}, "vectors for nothing, but the inputs are a"),
        ({"a": [0, 1, 0], "b": [1, 1, 1]}, {}, "vectors for a, b, but the inputs are a"),
        ({"a": [0, 1]}, {}, "2 vectors leave 1 cycles after the first and 0 to warm up; give at least 3"),
        ({"a": [0, 1, 0, 1]}, {"warm_up_cycles": 2}, "give at least 5"),
        ({"a": [0, 2, 0]}, {}, "input a has 1 bits; values from 0 to 2 do not fit"),
        ({"a": [0.0, 0.5, 1.0]}, {}, r"integers of shape \(cycles,\) or 0/1 bits of shape \(cycles, 1\) are wanted"),
        ({"a": [0, 1, 0]}, {"period_ps": 0.0}, "period_ps must be positive and finite, got 0.0; None takes"),
        ({"a": [0, 1, 0]}, {"input_arrival_ps": -1.0}, "input_arrival_ps must be zero or more"),
    ],
)
def test_bad_vectors_and_settings(vectors: dict[str, object], settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        either(True, tiny.chain("INV", 1), vectors, **settings)


def test_inputs_of_different_length() -> None:
    circuit = tiny.netlist([("n", "NAND", {"A": 2, "B": 3, "Y": 4})], {"a": (2,), "b": (3,)}, {"y": (4,)})
    with pytest.raises(ValueError, match=r"inputs differ in length: .*one value a cycle each"):
        either(True, circuit, {"a": [0, 1, 0], "b": [0, 1, 0, 1]})


def test_the_standard_error_is_that_of_the_mean() -> None:
    """Independent cycles: batches give the textbook standard error, to their own noise."""
    rng = np.random.default_rng(3)
    circuit = tiny.chain("INV", 1)
    found = either(False, circuit, {"a": rng.integers(0, 2, 4001)})
    half_toggle = (V2 / 2 * 1.1 + 0.2) / 2  # half of the cycles toggle: the deviation of one cycle's energy
    assert found.standard_error_fj == pytest.approx(half_toggle / np.sqrt(4000), rel=0.35)


def test_delays_come_from_static_timing() -> None:
    """The last toggle of a chain is the static delay: a period just below it loses the output's time at 1."""
    circuit = tiny.chain("BUF", 4)
    delay = static_timing(circuit, tiny.library()).delay_ps
    found = either(True, circuit, {"a": ALTERNATE}, period_ps=2 * delay)
    rise, fall = (20 * 0.0 + x for x in _chain_delays(4))
    high = (2 * delay - rise) + fall
    assert found.activity[6][1] == pytest.approx(high / (4 * delay), abs=1e-4)


def _chain_delays(length: int) -> tuple[float, float]:
    up = down = 0.0
    slew_up = slew_down = 0.0
    for i in range(length):
        load_up, load_down = (0.0, 0.0) if i == length - 1 else (1.2, 1.0)
        up += 10 + 2 * load_up + 0.1 * slew_up
        down += 8 + load_down + 0.2 * slew_down
        slew_up, slew_down = 5 + 3 * load_up, 4 + 2 * load_down
    return up, down


def test_a_when_over_a_name_that_is_no_pin_is_refused() -> None:
    text = tiny.TEXT.replace('when : "!B"; ', 'when : "!Z"; ')
    circuit = tiny.netlist([("x", "XOR", {"A": 2, "B": ONE, "Y": 3})], {"a": (2,)}, {"y": (3,)})
    with pytest.raises(ValueError, match="cell XOR: a `when` uses Z, which is no pin of it"):
        energy_per_cycle(circuit, tiny.library(text), {"a": ALTERNATE})


def test_results_are_frozen() -> None:
    found = either(True, tiny.chain("INV", 1), {"a": ALTERNATE})
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.cycles = 3  # type: ignore[misc]
    assert circuits.FS_PER_PS == 1000.0
