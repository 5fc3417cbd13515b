"""Prices of modules: the network they are read off against the integer model, toggles and paths against slow ones."""

from __future__ import annotations

import math
from typing import Any

import networkx as nx
import numpy as np
import pytest

import formats as nf
import hwsim as hw
from hwsim import price
from hwsim.circuit import Build, Module, flat, reset, step
from hwsim.circuit.activity import CYCLES, GLITCH_CYCLES, STREAMS, WARM_UP_CYCLES, stretched, toggled
from hwsim.circuit.counts import counted
from hwsim.circuit.gates import KINDS
from hwsim.circuit.network import FIRST_GATE, Network, built, leaf_paths, needed, network
from hwsim.circuit.paths import PATH_TERMS, slowest
from hwsim.circuit.simplify import priced
from hwsim.pe.papers.lookup import LookupDot, lookup_cell, lookup_edge
from hwsim.technology.coefficients import between_libraries, fitted, flip_flop_um2

INT8 = nf.get("int8")
MODULES: dict[str, Module] = {
    "int3 x int2": hw.MacPE("int3", "int2", accumulator=nf.Integer(8)).module(),
    "e2m1fn, two lanes": hw.MacPE("e2m1fn", "e2m1fn", accumulator=nf.Exact(max_terms=8), lanes=2).module(),
    "e3m2fn, float16": hw.MacPE("e3m2fn", "e3m2fn", accumulator=nf.FloatChain("float16")).module(),
    "ranks": hw.MacPE("e4m3fn", "e2m1fn", accumulator=nf.Exact(max_terms=16), stages=3).module(),
    "codebook": hw.MacPE("int4", "nf4", accumulator=nf.Exact(max_terms=8), operand_format="e2m3fn").module(),
    "table": lookup_edge(LookupDot(activation=INT8)),  # type: ignore[arg-type]
    "cell": lookup_cell(LookupDot(activation=INT8)),  # type: ignore[arg-type]
}


def computed(net: Network, given: np.ndarray, held: np.ndarray) -> np.ndarray:
    """Every node's value, node after node. given [inputs, n], held [states, n] -> [nodes, n], booleans."""
    found = np.zeros((len(net.kind), given.shape[1]), bool)
    found[1 : net.given + 1] = given
    found[net.states] = held
    for node, kind in enumerate(net.kind):
        if kind >= FIRST_GATE:
            found[node] = gate(KINDS[kind - FIRST_GATE], *(of(found, literal) for literal in net.inputs[node]))
    return found


def of(values: np.ndarray, literal: int) -> np.ndarray:
    return np.asarray(values[literal >> 1] ^ bool(literal & 1))


def gate(kind: str, a: Any, b: Any, c: Any) -> Any:
    if kind in ("and", "xor"):
        return a & b if kind == "and" else a ^ b
    if kind == "mux":
        return np.where(a, b, c)
    return a ^ b ^ c if kind in ("sum", "total") else (a.astype(int) + b + c) >= 2


def drawn(module: Module, cycles: int, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {wire.name: rng.integers(0, 1 << min(wire.width, 62), size=cycles) for wire in module.inputs}


@pytest.mark.parametrize("merged", [False, True], ids=["as built", "merged"])
@pytest.mark.parametrize("name", MODULES)
def test_the_network_computes_what_the_module_does(name: str, merged: bool) -> None:
    """As its leaves make it, exactly; with nodes merged that are one on drawn patterns, nearly always."""
    module = MODULES[name]
    net, count = (network if merged else built)(module), 40
    wrong = total = 0
    series = {port: row.reshape(4, -1) for port, row in drawn(module, 4 * count).items()}
    state: dict[str, Any] = reset(module)
    held = np.zeros((len(net.states), count), bool)
    for cycle in range(4):
        outputs, state = step(module, {port: row[cycle] for port, row in series.items()}, state)
        given = np.concatenate([_bits(series[wire.name][cycle], wire.width) for wire in module.inputs])
        values = computed(net, given, held)
        place = 0
        for port, width in module.output_widths().items():
            made = sum(of(values, net.outputs[place + bit]).astype(object) << bit for bit in range(width))
            wrong += int((made != np.asarray(outputs[port]).astype(object)).sum())
            total += count
            place += width
        rows = [_bits(state[path], width) for path, width in _registers(module)]
        held = np.concatenate([*rows, np.zeros((0, count), bool)])
    assert wrong <= (0.02 * total if merged else 0)


def _registers(module: Module) -> list[tuple[str, int]]:
    return [(use.path, use.leaf.parameters["width"]) for use in flat(module).registers]


def _bits(x: Any, width: int) -> np.ndarray:
    return np.array([(np.asarray(x).astype(object) >> bit & 1).astype(bool) for bit in range(width)])


@pytest.mark.parametrize("name", ["int3 x int2", "e2m1fn, two lanes", "ranks", "cell"])
def test_toggles_are_those_of_a_slow_simulation(name: str) -> None:
    """Settled values of every cycle, and every gate one moment after its inputs; 64 streams as booleans."""
    module = MODULES[name]
    net, seen = priced(module)
    series = drawn(module, STREAMS * CYCLES)
    found = toggled(module, series)
    words = np.concatenate([stretched(series[wire.name], wire.width) for wire in module.inputs], axis=1)
    streams = (words[:, :, None] >> np.arange(STREAMS, dtype=np.uint64) & np.uint64(1)).astype(bool)
    held, before = np.zeros((len(net.states), STREAMS), bool), np.zeros((len(net.kind), STREAMS), bool)
    settled, waves = np.zeros(len(net.kind), int), np.zeros(len(net.kind), int)
    gates = seen & (net.kind >= FIRST_GATE)
    for cycle in range(CYCLES):
        after = computed(net, streams[cycle], held)
        if cycle >= WARM_UP_CYCLES:
            settled += (after ^ before).sum(axis=1)
        if WARM_UP_CYCLES <= cycle < WARM_UP_CYCLES + GLITCH_CYCLES:
            wave = np.where((net.kind < FIRST_GATE)[:, None], after, before)
            while True:
                moved = wave.copy()
                for node in np.flatnonzero(gates):
                    sources = (of(wave, literal) for literal in net.inputs[node])
                    moved[node] = gate(KINDS[net.kind[node] - FIRST_GATE], *sources)
                waves += (moved ^ wave).sum(axis=1)
                if (moved == wave).all():
                    break
                wave = moved
        before = after
        held = np.array([of(after, literal) for literal in net.driven]).reshape(len(net.states), STREAMS)
    np.testing.assert_array_equal(found.settled[gates], settled[gates] / (STREAMS * (CYCLES - WARM_UP_CYCLES)))
    np.testing.assert_array_equal(found.glitching[gates], waves[gates] / (STREAMS * GLITCH_CYCLES))
    assert waves[gates].sum() * (CYCLES - WARM_UP_CYCLES) > settled[gates].sum() * GLITCH_CYCLES, "there are glitches"


FEW = {"operand_format": "int8", "accumulator": nf.Integer(29)}  # log_sqrt2_4_mask in int8: 0 and 1 alone
RANKED = {
    "few values": hw.MacPE("int9", "log_sqrt2_4_mask", lanes=4, stages=3, **FEW).module(),
    "half of a byte": hw.MacPE(
        "apot5", "int8", operand_format="int8", accumulator=nf.Exact(max_terms=20), stages=2
    ).module(),
    "ranks": MODULES["ranks"],
    "table": MODULES["table"],
}


def test_gates_behind_ranks_know_what_the_ranks_hold() -> None:
    """Of products with 0 and 1, ranks leave as little as there is without them; yosys: 657 GE and 131 flip-flops."""
    plain = hw.MacPE("int9", "log_sqrt2_4_mask", lanes=4, **FEW).module()
    alone, ranked = (price.estimated_gates(module) for module in (plain, RANKED["few values"]))
    assert ranked.value <= 1.1 * alone.value
    assert ranked.low <= 657 <= ranked.high
    assert 131 - 12 == counted(RANKED["few values"]).flip_flops < network(RANKED["few values"]).states.size


@pytest.mark.parametrize("name", RANKED)
def test_what_registers_cannot_hold_changes_no_output(name: str) -> None:
    """From the cycle on in which what the table says has gone through all ranks, and a sum has started anew."""
    module, count, cycles = RANKED[name], 60, 12
    net, _ = priced(module)
    series = {port: row.reshape(cycles, -1) for port, row in drawn(module, cycles * count).items()}
    if "clear" in series:
        series["clear"][:6] = 1
    state: dict[str, Any] = reset(module)
    held = np.zeros((len(net.states), count), bool)
    wrong = 0
    for cycle in range(cycles):
        outputs, state = step(module, {port: row[cycle] for port, row in series.items()}, state)
        given = np.concatenate([_bits(series[wire.name][cycle], wire.width) for wire in module.inputs])
        values, place = computed(net, given, held), 0
        for port, width in module.output_widths().items():
            made = sum(of(values, net.outputs[place + bit]).astype(object) << bit for bit in range(width))
            wrong += int((made != np.asarray(outputs[port]).astype(object)).sum()) * (cycle > 6)
            place += width
        held = np.array([of(values, literal) for literal in net.driven]).reshape(len(net.states), count)
    assert wrong <= 0.02 * count * cycles


def test_a_series_that_is_too_short_is_refused() -> None:
    with pytest.raises(ValueError, match="needs patterns of 2560 cycles, got 100"):
        toggled(MODULES["cell"], drawn(MODULES["cell"], 100))


@pytest.mark.parametrize("name", MODULES)
def test_the_slowest_path_is_the_longest_of_a_graph(name: str) -> None:
    """Against networkx; without fan-out a path's weight is the sum of its edges'."""
    module = MODULES[name]
    net, seen = network(module), needed(module)
    weights = np.array([1.0, 2.0, 1.5, 2.5, 3.0, 0.7, 2.2, 0.0])
    graph = nx.DiGraph()
    graph.add_nodes_from(range(len(net.kind)))
    for node in np.flatnonzero(seen & (net.kind >= FIRST_GATE)):
        kind = KINDS[net.kind[node] - FIRST_GATE]
        sources = [int(literal) >> 1 for literal in net.inputs[node]]
        chain = [source for source in sources if kind == "carry" and net.kind[source] == net.kind[node]]
        for source in sources:
            term = {"carry": "carry_in", "total": "tree", "over": "tree"}.get(kind, kind)
            term = "carry_on" if chain and source == max(chain) else term
            graph.add_edge(source, int(node), weight=weights[PATH_TERMS.index(term)])
    ends = {int(literal) >> 1 for literal in (*net.outputs, *net.driven)}
    ancestors = set().union(*(nx.ancestors(graph, end) | {end} for end in ends))
    longest = nx.dag_longest_path_length(graph.subgraph(ancestors))
    terms = slowest(module, weights)
    assert terms[:8] @ weights == pytest.approx(longest)
    assert terms[8] == 1
    assert slowest(module, weights * 3)[:8] @ weights == pytest.approx(longest)


def test_leaves_are_counted_where_they_stand() -> None:
    m = Build("two_adders")
    a = m.input("a", 8)
    whole = m.leaf("whole", "adder", width=8, a=a, b=m.input("b", 8))
    m.output("sum", whole)
    m.output("more", m.leaf("constant", "adder", width=8, a=a, b=a.above(8)[:8]))
    found = counted(m.done())
    assert found.paths == ("whole", "constant") == leaf_paths(m.done())
    assert found.leaves["whole"]["sum"] == 7, "the lowest is half an adder"
    assert sum(found.leaves["constant"].values()) == 0, "a + 0 is wires"


def test_flip_flops_have_the_area_of_the_librarys() -> None:
    m = Build("row")
    held = m.register("held", 40)
    m.drive("held", m.input("d", 40))
    m.output("q", held)
    for name in hw.technologies():
        cost = price.area_um2(m.done(), name)
        assert cost.value == cost.low == cost.high == pytest.approx(40 * flip_flop_um2(name))


def test_a_module_without_a_row_is_estimated_within_the_residual() -> None:
    module = MODULES["ranks"]
    for name in hw.technologies():
        for cost, quantity in ((price.area_um2(module, name), "area"), (price.delay_ns(module, name), "delay")):
            band = fitted(name, quantity).clocked
            assert cost.status == "estimated"
            assert (cost.high - cost.value) / cost.value <= band + 1e-12
            assert cost.low < cost.value < cost.high


def test_ratios_of_two_pes_hold_across_libraries_better_than_absolute_figures() -> None:
    assert 1 < between_libraries("area") < 1.25
    assert 1 < between_libraries("energy") < 1.35
    assert 1 < between_libraries("delay") < 1.35


def test_energy_of_nothing_that_moves_is_the_clocks() -> None:
    module = MODULES["int3 x int2"]
    series = {wire.name: np.zeros(STREAMS * CYCLES, int) for wire in module.inputs}
    found = price.energy_pj(module, "ihp130", series).value
    assert found == pytest.approx(8 * fitted("ihp130", "energy").coefficients[2] * 1e-3)
    assert math.isfinite(found)
