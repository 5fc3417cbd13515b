"""Cell models and their bit-parallel simulation: against yosys' own cell library in Icarus, and against integers."""

from __future__ import annotations

import importlib.util
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from hwsim.rtl.bits import pack, unpack
from hwsim.rtl.gates import GateSimulator
from hwsim.rtl.icarus import simulate, verilog_of, why_no_icarus
from hwsim.rtl.models import YOSYS_CELLS, CellModel, FlipFlop
from hwsim.rtl.netlist import Cell, Netlist
from hwsim.rtl.yosys import CmosGates, Liberty, Synthesis, synthesise
from tests.hwsim.rtl.designs import CLEARED_MAC, mac, needs_yosys

needs_icarus = pytest.mark.skipif(why_no_icarus() is not None, reason=why_no_icarus() or "")


def of_one_cell(kind: str) -> Netlist:
    """A netlist of one cell, its pins the ports."""
    model = YOSYS_CELLS[kind]
    text = " ".join([*model.outputs.values(), model.flip_flop.next_state if model.flip_flop else ""])
    pins = [pin for pin in "ABCDERST" if pin in text or (pin == "C" and model.flip_flop)]
    pins = [pin for pin in pins if pin != "C"] + ["C"] * ("C" in pins)
    nets = {pin: (index + 2,) for index, pin in enumerate(pins)}
    output = next(iter(model.outputs))
    return Netlist("one", nets, {output: (20,)}, (Cell("cell", kind, {**nets, output: (20,)}),))


@needs_yosys
@needs_icarus
@pytest.mark.parametrize("kind", sorted(YOSYS_CELLS))
def test_cells_agree_with_yosys_library(kind: str) -> None:
    """Our model in our simulator against yosys' simcells.v in Icarus: every input; registers through 300 cycles."""
    spec = importlib.util.find_spec("pyosys")
    assert spec is not None
    assert spec.origin is not None
    netlist = of_one_cell(kind)
    (output,) = netlist.outputs
    ports = ", ".join([*netlist.inputs, output])
    wrapper = f"module one ({ports}); input {', '.join(netlist.inputs)}; output {output}; "
    wrapper += f"\\{kind} gate ({', '.join(f'.{p}({p})' for p in [*netlist.inputs, output])}); endmodule\n"
    verilog = wrapper + (Path(spec.origin).parent / "share" / "simcells.v").read_text(encoding="utf-8")
    gates = GateSimulator(netlist)
    data = list(gates.inputs)
    if gates.levelised.clock is None:
        rows = np.array(list(product((0, 1), repeat=len(data))))
        inputs = {pin: rows[:, index] for index, pin in enumerate(data)}
        theirs = simulate(verilog, "one", dict.fromkeys([*data, output], 1), inputs)
        assert gates.evaluate(inputs)[output].tolist() == theirs[output].tolist()
        return
    rng = np.random.default_rng(0)
    inputs = {pin: rng.integers(0, 2, 300) for pin in data}
    theirs = simulate(verilog, "one", dict.fromkeys([*data, output], 1), inputs, clock="C", preset={"gate.Q": 0})
    ours = gates.run({pin: values[:, None] for pin, values in inputs.items()})[output][:, 0]
    if (
        kind.split("_")[2][0] == "N"
    ):  # a falling edge comes after the same row's rising one: one row is one step as well
        assert not gates.levelised.rising
    assert ours.tolist() == theirs[output].tolist()
    assert set(ours.tolist()) == {0, 1}


@pytest.fixture(scope="module")
def int8_mac() -> Synthesis:
    return synthesise(mac(), "mac", CmosGates())


@needs_yosys
def test_one_step_from_any_state(int8_mac: Synthesis) -> None:
    gates = GateSimulator(int8_mac.netlist)
    rng = np.random.default_rng(1)
    a, b = rng.integers(-128, 128, (2, 10000))
    accumulator = rng.integers(-(2**31), 2**31, 10000)
    order = [f"acc[{bit}]" for bit in range(32)]
    rows = [gates.registers.index(name) for name in order]
    state = np.zeros((32, 157), np.uint64)
    state[rows] = pack(accumulator, 32)
    outputs, after, nets = gates.transition({"a": pack(a, 8), "b": pack(b, 8)}, state, keep_nets=True)
    assert np.array_equal(unpack(outputs["acc"], 10000, signed=True), accumulator)
    assert np.array_equal(unpack(after[rows], 10000, signed=True), (accumulator + a * b).astype(np.int32))
    assert nets is not None
    assert np.array_equal(nets[list(gates.inputs["a"])], pack(a, 8))


@needs_yosys
def test_cycles(int8_mac: Synthesis) -> None:
    rng = np.random.default_rng(2)
    a, b = rng.integers(-128, 128, (2, 200, 70))
    seen = GateSimulator(int8_mac.netlist).run({"a": a, "b": b}, signed=["acc"])["acc"]
    assert np.array_equal(seen[1:], np.cumsum(a * b, axis=0)[:-1])


@needs_yosys
@needs_icarus
def test_netlist_and_rtl_agree_in_icarus() -> None:
    """RTL and netlist in Icarus, netlist in our simulator: three traces, one answer."""
    netlist = synthesise(CLEARED_MAC, "mac", CmosGates()).netlist
    rng = np.random.default_rng(3)
    inputs = {"a": rng.integers(-8, 8, 400), "b": rng.integers(-8, 8, 400), "clear": rng.integers(0, 8, 400) == 0,
              "hold": rng.integers(0, 3, 400) == 0}  # fmt: skip
    widths = {"a": 4, "b": 4, "clear": 1, "hold": 1, "acc": 12}
    rtl = simulate(CLEARED_MAC, "mac", widths, inputs, clock="clk", preset={"acc": 0})["acc"]
    gates = simulate(verilog_of(netlist), "mac", widths, inputs, clock="clk")["acc"]
    ours = GateSimulator(netlist).run({name: values[:, None] for name, values in inputs.items()})["acc"][:, 0]
    assert rtl.tolist() == gates.tolist() == ours.tolist()
    unset = simulate(verilog_of(netlist, initial=False), "mac", widths, inputs, clock="clk")["acc"]
    assert unset[0] is None  # and Icarus does say x where nothing was set


# A library of our own: QN only, asynchronous set and reset tied off, functions in liberty's other spellings.
MODELS = {
    "inv": CellModel(outputs={"Y": "A'"}),
    "xo": CellModel(outputs={"X": "A B' + A' B"}),
    "dff": CellModel(
        outputs={"QN": "IQN"},
        flip_flop=FlipFlop(clocked_on="CK", next_state="D", clear="!RN", preset="!SN"),
    ),
}


def toggle(reset: int = 1, clock: int = 3) -> Netlist:
    """q <= q ^ t, output q."""
    cells = (
        Cell("q", "dff", {"CK": (clock,), "D": (5,), "RN": (reset,), "SN": (1,), "QN": (4,)}),
        Cell("i", "inv", {"A": (4,), "Y": (6,)}),
        Cell("x", "xo", {"A": (6,), "B": (2,), "X": (5,)}),
    )
    return Netlist("toggle", {"t": (2,), "ck": (3,)}, {"q": (6,)}, cells)


def test_library_cells_as_data() -> None:
    flips = np.random.default_rng(4).integers(0, 2, (50, 5))
    seen = GateSimulator(toggle(), MODELS).run({"t": flips})["q"]
    assert np.array_equal(seen[1:], np.cumsum(flips, axis=0)[:-1] % 2)


def test_netlists_that_cannot_be_simulated() -> None:
    with pytest.raises(ValueError, match="no model for the cells dff, inv, xo of 'toggle'"):
        GateSimulator(toggle())
    with pytest.raises(ValueError, match=r"'q' \(dff\) has an asynchronous clear \(!RN\).*use a synchronous reset"):
        GateSimulator(toggle(reset=2), MODELS)
    inverter = Cell("i", "inv", {"A": (2,), "Y": (3,)})
    with pytest.raises(ValueError, match="net 3 of 'x' has a second driver, 'i'"):
        GateSimulator(Netlist("x", {"a": (2,)}, {"y": (3,)}, (inverter, inverter)), MODELS)
    with pytest.raises(ValueError, match="net 2 of 'x' is read by 'i' but nothing drives it"):
        GateSimulator(Netlist("x", {}, {"y": (3,)}, (inverter,)), MODELS)
    with pytest.raises(ValueError, match="net 9 of 'x' is read by output 'y' but nothing drives it"):
        GateSimulator(Netlist("x", {"a": (2,)}, {"y": (9,)}, (inverter,)), MODELS)
    with pytest.raises(ValueError, match="'x' has a loop without a register through 'i'"):
        GateSimulator(Netlist("x", {}, {"y": (3,)}, (Cell("i", "inv", {"A": (3,), "Y": (3,)}),)), MODELS)
    with pytest.raises(ValueError, match="does not connect A, which its model reads"):
        GateSimulator(Netlist("x", {}, {"y": (3,)}, (Cell("i", "inv", {"Y": (3,)}),)), MODELS)
    gated = (
        Cell("q", "dff", {"CK": (2,), "D": (4,), "RN": (1,), "SN": (1,), "QN": (3,)}),
        Cell("i", "inv", {"A": (2,), "Y": (4,)}),
    )
    with pytest.raises(ValueError, match="cell 'i' of 'x' reads the clock as data"):
        GateSimulator(Netlist("x", {"ck": (2,)}, {"y": (3,)}, gated), MODELS)
    two = tuple(
        Cell(name, "dff", {"CK": (clock,), "D": (0,), "RN": (1,), "SN": (1,), "QN": (q,)})
        for name, clock, q in (("q", 2, 4), ("r", 3, 5))
    )
    with pytest.raises(ValueError, match="one clock: the rising edge of net 2 at q, the rising edge of net 3 at r"):
        GateSimulator(Netlist("x", {"a": (2,), "b": (3,)}, {}, two), MODELS)


def test_inputs_that_do_not_fit() -> None:
    gates = GateSimulator(toggle(), MODELS)
    with pytest.raises(ValueError, match=r"inputs \['x'\] arrived; 'toggle' has \['t'\]"):
        gates.evaluate({"x": [1]})
    with pytest.raises(ValueError, match="the port is 1 wide"):
        gates.transition({"t": pack([1], 2)})
    with pytest.raises(ValueError, match=r"one shape \[cycles, n\]"):
        gates.run({"t": [1, 0]})
    with pytest.raises(ValueError, match=r"state of shape \(2, 1\) arrived; \(1, 1\) is needed"):
        gates.transition({"t": pack([1], 1)}, np.zeros((2, 1), np.uint64))


@needs_icarus
def test_icarus_refuses_with_a_reason() -> None:
    with pytest.raises(ValueError, match=r"iverilog refused the Verilog: design\.v:1: "):
        simulate("module x(input a; endmodule", "x", {"a": 1}, {"a": [0]})


def test_icarus_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    from hwsim.rtl.icarus import IcarusMissing

    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(IcarusMissing, match="needs iverilog and vvp: apt install iverilog"):
        simulate("", "x", {"a": 1}, {"a": [0]})


def test_a_liberty_target_is_checked() -> None:
    with pytest.raises(ValueError, match=r"period_ps 0, load_ff 1\.0: give a positive period"):
        Liberty("x.lib", 0, "buf", 1.0)
