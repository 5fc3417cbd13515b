"""What is counted of a module: registers that stay, small functions simplified, gates that share cells with others."""

from __future__ import annotations

import numpy as np
import pytest

from hwsim.circuit import Build
from hwsim.circuit.bits import cat, constant
from hwsim.circuit.counts import COLUMNS, columns, counted
from hwsim.circuit.gates import KINDS
from hwsim.circuit.kernels import FIRST_GATE
from hwsim.circuit.module import Module
from hwsim.circuit.network import built, leaf_paths, needed, network
from hwsim.circuit.registers import kept
from hwsim.circuit.simplify import EXHAUSTIVE, simplified
from hwsim.circuit.substitute import expanded, recognised, substituted
from hwsim.pe.catalogue import catalogue

Bools = np.ndarray


def of(values: Bools, literal: int) -> Bools:
    return np.asarray(values[literal >> 1] ^ bool(literal & 1))


def evaluated(kind: Bools, inputs: Bools, outputs: Bools, given: Bools) -> Bools:
    """Outputs of a network whose gates may stand in any order. given [inputs, n]."""
    values = np.zeros((len(kind), given.shape[1]), bool)
    values[1 : len(given) + 1] = given
    done = {0, *range(1, len(given) + 1)}

    def reach(node: int) -> None:
        if node in done:
            return
        for literal in inputs[node]:
            reach(int(literal) >> 1)
        a, b, c = (of(values, int(literal)) for literal in inputs[node])
        made = {
            "and": a & b,
            "xor": a ^ b,
            "mux": np.where(a, b, c),
            **dict.fromkeys(("sum", "total"), a ^ b ^ c),
            **dict.fromkeys(("carry", "over"), (a & b) | (c & (a | b))),
        }
        values[node] = made[KINDS[kind[node] - FIRST_GATE]]
        done.add(node)

    for literal in outputs:
        reach(int(literal) >> 1)
    return np.array([of(values, int(literal)) for literal in outputs])


def every(inputs: int) -> Bools:
    return (np.arange(1 << inputs) >> np.arange(inputs)[:, None] & 1).astype(bool)


def words(given: Bools) -> np.ndarray:
    return np.packbits(given, axis=1, bitorder="little").view(np.uint64)


def drawn_network(seed: int, inputs: int = 7, gates: int = 40) -> tuple[np.ndarray, ...]:
    """Gates of all kinds; some read constants, or one node twice."""
    rng = np.random.default_rng(seed)
    kind = np.zeros(1 + inputs + gates, np.uint8)
    kind[1 : 1 + inputs] = 1
    kind[1 + inputs :] = rng.integers(0, len(KINDS), gates) + FIRST_GATE
    read = np.zeros((len(kind), 3), np.int32)
    for node in range(1 + inputs, len(kind)):
        read[node] = rng.integers(0, 2 * node, 3)
        if rng.random() < 0.2:
            read[node, rng.integers(3)] = rng.integers(2)
        if kind[node] in (2, 3):
            read[node, 2] = 0
    outputs = rng.integers(2 * (len(kind) - 12), 2 * len(kind), 6).astype(np.int32)
    return kind, read, outputs


@pytest.mark.parametrize("seed", range(40))
def test_a_network_rewritten_is_the_same_function(seed: int) -> None:
    kind, inputs, outputs = drawn_network(seed)
    given = every(7)
    wanted = evaluated(kind, inputs, outputs, given)
    order = substituted(kind, inputs, outputs, words(given), 0, 1)
    np.testing.assert_array_equal(evaluated(kind, inputs, outputs, given), wanted)
    kind, inputs, _, outputs = expanded(kind, inputs, outputs, np.arange(len(kind), dtype=np.int32), order)
    assert not (kind == FIRST_GATE + KINDS.index("xor")).any()
    np.testing.assert_array_equal(evaluated(kind, inputs, outputs, given), wanted)
    order = substituted(kind, inputs, outputs, words(given), 2, 2)
    np.testing.assert_array_equal(evaluated(kind, inputs, outputs, given), wanted)
    owner = np.zeros(len(kind), np.int32)
    kind, size, inputs, owner, outputs = recognised(kind, inputs, outputs, owner, order, len(given))
    np.testing.assert_array_equal(evaluated(kind, inputs, outputs, given), wanted)
    assert len(kind) == len(size) == len(owner) <= 1 + len(given) + len(order)
    gates = np.flatnonzero(kind >= FIRST_GATE)
    assert (inputs[gates] < 2 * gates[:, None]).all(), "inputs come first"
    inputs[gates[-1], 0] ^= 1
    assert (evaluated(kind, inputs, outputs, given) != wanted).any(), "the checker must see one inverted wire"


SMALL = [
    name
    for name, listed in catalogue().items()
    if listed.family in ("converter", "codebook")
    and name.startswith(("convert", "bitmod_decode", "ant_decode", "olive_decode"))
    and sum(wire.width for wire in listed.module().inputs) <= EXHAUSTIVE
]


def test_simplified_converters_are_not_empty_of_cases() -> None:
    assert len(SMALL) >= 10


def weight(sizes: np.ndarray) -> int:
    """Half gate equivalents, roughly."""
    return int(np.array([0, 0, 2, 6, 5, 9, 9, 9, 9])[sizes].sum())


@pytest.mark.parametrize("name", SMALL)
def test_a_small_unit_simplified_is_the_same_and_no_larger(name: str) -> None:
    module = catalogue()[name].module()
    found, before = simplified(module), built(module)
    assert found is not None
    given = every(before.given)
    after = evaluated(found.kind, found.inputs, found.outputs, given)
    np.testing.assert_array_equal(after, evaluated(before.kind, before.inputs, before.outputs, given))
    assert weight(found.size) <= weight(network(module).size[needed(module)])
    assert found.owner.max() < len(leaf_paths(module))


def test_what_is_clocked_or_large_is_counted_as_it_stands() -> None:
    for name in ("mac_int8_int8_fixed32", "requantise_int32_by8_shift32_to_int8"):
        module = catalogue()[name].module()
        assert simplified(module) is None
        assert sum(counted(module).kinds.values()) == np.count_nonzero(columns(module))


def _registers() -> Module:
    """Twelve bits: four of a, those again, two constant, one that only itself reads, one that nobody reads."""
    m = Build("kept_and_dropped")
    a, load = m.input("a", 4), m.input("load", 1)
    first, again = m.register("first", 4), m.register("again", 4)
    fixed, alone = m.register("fixed", 2), m.register("alone", 1)
    m.register("unread", 1)
    for name, held in (("first", first), ("again", again)):
        m.drive(name, m.leaf(f"next_{name}", "multiplexer", width=4, choices=2, words=cat(a, held), select=load))
    m.drive("fixed", constant(1, 2))
    m.drive("alone", m.leaf("turn", "inverter", width=1, a=alone))
    m.drive("unread", a[0])
    m.output("both", cat(first, again, fixed))
    return m.done()


def test_only_registers_that_stay_are_counted() -> None:
    module = _registers()
    assert len(network(module).states) == 12
    found = counted(module)
    assert found.flip_flops == kept(module).flip_flops.sum() == 4
    assert found.leaves["next_first"]["mux"] == 4
    assert found.leaves["next_again"]["mux"] == 0, "what drives a dropped register goes with it"
    assert found.leaves["first_register"]["mux"] == 0


def test_registers_under_other_enables_stay() -> None:
    m = Build("two_enables")
    a, load = m.input("a", 4), m.input("load", 2)
    for place, name in enumerate(("first", "again")):
        held = m.register(name, 4)
        chosen = m.leaf(f"next_{name}", "multiplexer", width=4, choices=2, words=cat(a, held), select=load[place])
        m.drive(name, chosen)
        m.output(f"{name}_out", held)
    assert counted(m.done()).flip_flops == 8


def test_a_difference_beside_a_sum_shares_its_first_gates() -> None:
    m = Build("sum_and_difference")
    a, b = m.input("a", 8), m.input("b", 8)
    m.output("sum", m.leaf("sum_of", "adder", width=8, a=a, b=b))
    m.output("difference", m.leaf("difference_of", "subtractor", width=8, a=a, b=b))
    clock = m.register("clocked", 1)  # so that it is counted as it stands
    m.drive("clocked", a[0])
    m.output("q", clock)
    found = counted(m.done()).kinds
    assert found["twin_sum"] == 7
    assert found["sum"] + found["twin_sum"] + found["xor"] in (15, 16)


def test_a_tree_of_multiplexers_is_nested() -> None:
    m = Build("tree")
    held = m.register("held", 1)
    chosen = m.leaf("choose", "multiplexer", width=1, choices=4, words=m.input("words", 4), select=m.input("s", 2))
    m.drive("held", chosen)
    m.output("q", held)
    found = counted(m.done()).kinds
    assert (found["mux"], found["nested_mux"]) == (1, 2)
    assert tuple(found) == COLUMNS
