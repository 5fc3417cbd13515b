"""Equivalence by SAT: what is equal, what is not and where, and that a lie in any single output is caught."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hwsim.rtl.aig import Graph
from hwsim.rtl.equivalence import match_registers, prove_equal, solve
from hwsim.rtl.gates import GateSimulator
from hwsim.rtl.netlist import Cell, Netlist
from hwsim.rtl.yosys import CmosGates, elaborate, synthesise
from tests.hwsim.rtl.designs import CLEARED_MAC, FLOAT_MAC, adder, mac, multiplier, needs_yosys

pytestmark = needs_yosys


def changed(netlist: Netlist, index: int, kind: str) -> Netlist:
    cells = list(netlist.cells)
    cells[index] = Cell(cells[index].name, kind, cells[index].pins)
    return Netlist(netlist.name, netlist.inputs, netlist.outputs, tuple(cells))


@pytest.mark.parametrize(
    ("verilog", "top"),
    [
        (adder(32), "add"),
        (multiplier(5, 5), "mul"),  # Booth against an array
        (mac(4, 4, 16), "mac"),
        (CLEARED_MAC, "mac"),
        (FLOAT_MAC.format(E=8, M=23), "mac"),
    ],
    ids=["add32", "mul5x5", "mac4x4", "cleared", "float32"],
)
def test_rtl_gates_and_netlist_are_equal(verilog: str, top: str) -> None:
    plain, synthesis = elaborate(verilog, top), synthesise(verilog, top, CmosGates())
    registers = match_registers(plain, synthesis.before)
    assert prove_equal(plain.netlist, synthesis.before.netlist, registers=registers).status == "equal"
    assert prove_equal(synthesis.before.netlist, synthesis.netlist).status == "equal"
    assert prove_equal(plain.netlist, synthesis.netlist, registers=registers).status == "equal"


@pytest.mark.slow
def test_eight_bit_booth_and_array_multipliers_are_equal() -> None:
    """Half a minute: the reason why products are proved by exhaustion."""
    plain, synthesis = elaborate(multiplier(), "mul"), synthesise(multiplier(), "mul", CmosGates())
    assert prove_equal(plain.netlist, synthesis.netlist).status == "equal"


def test_every_output_counts() -> None:
    """A lie in one output alone, whichever: abc must not look at the first only."""
    netlist = synthesise(adder(8), "add", CmosGates()).netlist
    for bit in range(9):
        nets = list(netlist.outputs["s"])
        nets[bit] = netlist.inputs["a"][0] if bit != 0 else netlist.inputs["a"][1]
        found = prove_equal(netlist, replace(netlist, outputs={"s": tuple(nets)}))
        assert found.status == "different"
        assert found.differs == (f"s[{bit}]",)
        assert found.counterexample is not None
        a, b = found.counterexample["a"], found.counterexample["b"]
        assert (a + b) >> bit & 1 != (a >> (bit == 0)) & 1


def test_wrong_gates_are_caught() -> None:
    """Every eighth gate of a MAC turned into another: SAT and ten thousand steps agree on whether it matters."""
    synthesis = synthesise(mac(4, 4, 12), "mac", CmosGates())
    netlist = synthesis.netlist
    swap = {"$_NAND_": "$_NOR_", "$_NOR_": "$_NAND_", "$_XOR_": "$_NOR_", "$_XNOR_": "$_NAND_", "$_AOI3_": "$_OAI3_",
            "$_OAI3_": "$_AOI3_", "$_AOI4_": "$_OAI4_", "$_OAI4_": "$_AOI4_", "$_NOT_": "$_BUF_"}  # fmt: skip
    rng = np.random.default_rng(0)
    planes = {name: rng.integers(0, 2**63, (4, 160)).astype(np.uint64) for name in "ab"}
    state = rng.integers(0, 2**63, (12, 160)).astype(np.uint64)
    outputs, after, _ = GateSimulator(netlist).transition(planes, state)
    caught = 0
    for index, cell in list(enumerate(netlist.cells))[::8]:
        if cell.kind not in swap:
            continue
        wrong = changed(netlist, index, swap[cell.kind])
        found = prove_equal(synthesis.before.netlist, wrong)
        seen, then, _ = GateSimulator(wrong).transition(planes, state)
        matters = not (np.array_equal(seen["acc"], outputs["acc"]) and np.array_equal(then, after))
        assert found.status == ("different" if matters else "equal")
        caught += matters
    assert caught > 10


def test_registers_that_one_side_merged_or_found_constant() -> None:
    verilog = """module top (input clk, input d, output [2:0] y);
        reg p, q, r; assign y = {r, q, p};
        always @(posedge clk) begin p <= d; q <= d; r <= d & ~d; end
    endmodule"""
    plain, synthesis = elaborate(verilog, "top"), synthesise(verilog, "top", CmosGates())
    registers = match_registers(plain, synthesis.before)
    assert len(synthesis.netlist.cells) < 3
    assert registers["p"] == registers["q"]
    assert registers["r"] == 0
    assert prove_equal(plain.netlist, synthesis.netlist, registers=registers).status == "equal"
    assert prove_equal(plain.netlist, synthesis.netlist, registers=registers | {"r": 1}).status == "different"
    with pytest.raises(ValueError, match=r"register '.' of 'top' has no counterpart '.'; pass registers="):
        prove_equal(plain.netlist, synthesis.netlist)


def test_netlists_that_do_not_pair() -> None:
    one, other = (synthesise(adder(n), "add", CmosGates()).netlist for n in (2, 3))
    with pytest.raises(ValueError, match=r"outputs {'s': 3} and {'s': 4} \(name: width\) do not pair"):
        prove_equal(one, other)
    renamed = replace(one, inputs={"a": one.inputs["a"], "c": one.inputs["b"]})
    with pytest.raises(ValueError, match=r"inputs {'a': 2, 'b': 2} and {'a': 2, 'c': 2}"):
        prove_equal(one, renamed)


def test_a_limit_of_time_is_undecided_not_equal() -> None:
    """Products in another order, 16 bits wide: not within a second."""
    graph = Graph(32)
    a, b = ([graph.input(i + offset) for i in range(16)] for offset in (0, 16))

    def product(one: list[int], other: list[int]) -> list[int]:
        total = [0] * 32
        for shift, bit in enumerate(other):
            row = [0] * shift + [graph.both(bit, x) for x in one]
            total = graph.add(total, row + [0] * (32 - len(row)))
        return total

    middle = graph.differ(product(a, b)[20], product(b, a)[20])
    assert solve(graph, middle, seconds=1) == "undecided"


def test_trivial_questions() -> None:
    graph = Graph(1)
    assert solve(graph, 0) == "never"
    assert solve(graph, 1) == [0]
    assert solve(graph, graph.input(0)) == [1]
