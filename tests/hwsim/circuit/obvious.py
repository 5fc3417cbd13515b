"""A module's network as anyone would build it: leaf after leaf by `Gates`, in lists; merged by their very words."""

from __future__ import annotations

from typing import Any

import numpy as np

from hwsim.circuit import Module
from hwsim.circuit.bits import Bits, Slice
from hwsim.circuit.gates import KINDS, Gates
from hwsim.circuit.network import FIRST_GATE, Network
from hwsim.primitives import Leaf

NUMBER = {"constant": 0, "input": 1} | {kind: FIRST_GATE + place for place, kind in enumerate(KINDS)}


class Obvious:
    """The network of `built`: kinds, inputs, owners, states, driven and outputs as lists."""

    def __init__(self, module: Module) -> None:
        self.kinds, self.inputs, self.owners = ["constant"], [(0, 0, 0)], [-1]
        self.states: list[int] = []
        self.driven: list[tuple[Bits, dict[str, list[int]]]] = []
        self.leaves = 0
        held = {}
        for wire in module.inputs:
            held[wire.name] = [self.node("input", (0, 0, 0), -1) for _ in range(wire.width)]
        self.given = len(self.kinds) - 1
        self.outputs = self.module(module, held)

    def node(self, kind: str, inputs: Any, owner: int) -> int:
        """A literal of a new node."""
        self.kinds.append(kind)
        self.inputs.append(inputs)
        self.owners.append(owner)
        return 2 * (len(self.kinds) - 1)

    def module(self, module: Module, held: dict[str, list[int]]) -> list[int]:
        """The literals of its outputs. Registers come first: they may be read before their place."""
        owner = self.leaves
        for part in module.instances:
            if isinstance(part.of, Leaf) and part.of.kind == "register":
                ((_, wire),) = part.outputs
                held[wire.name] = [self.node("input", (0, 0, 0), owner) for _ in range(wire.width)]
                self.states += [literal >> 1 for literal in held[wire.name]]
                self.driven.append((part.inputs[0][1], held))
            owner += sum(part.of.leaves().values()) if isinstance(part.of, Module) else 1
        for part in module.instances:
            if isinstance(part.of, Leaf) and part.of.kind == "register":
                self.leaves += 1
                continue
            rows = {port: on(row, held) for port, row in part.inputs}
            found = self.leaf(part.of, rows) if isinstance(part.of, Leaf) else self.module(part.of, dict(rows))
            place = 0
            for _, wire in part.outputs:
                held[wire.name] = found[place : place + wire.width]
                place += wire.width
        return [literal for _, row in module.outputs for literal in on(row, held)]

    def leaf(self, leaf: Leaf, rows: dict[str, list[int]]) -> list[int]:
        """Its gates, made of inputs numbered by their first appearance."""
        gates, numbers = Gates(), {0: 0}
        here = [0]  # this network's node of each of the leaf's
        for literal in (literal for row in rows.values() for literal in row):
            if literal >> 1 not in numbers:
                numbers[literal >> 1] = gates.fresh() >> 1
                here.append(literal >> 1)
        found = leaf.gates(gates, **{port: [2 * numbers[x >> 1] + (x & 1) for x in row] for port, row in rows.items()})
        for kind, *inputs in gates.nodes[len(here) :]:
            here.append(self.node(kind, [2 * here[x >> 1] + (x & 1) for x in inputs], self.leaves) >> 1)
        self.leaves += 1
        return [2 * here[x >> 1] + (x & 1) for port in leaf.outputs() for x in found[port]]

    def check(self, net: Network) -> None:
        """That the network is this one."""
        assert net.kind.tolist() == [NUMBER[kind] for kind in self.kinds]
        assert net.inputs.tolist() == [list(inputs) for inputs in self.inputs]
        assert net.owner.tolist() == self.owners
        assert net.states.tolist() == self.states
        assert net.driven.tolist() == [literal for row, held in self.driven for literal in on(row, held)]
        assert net.outputs.tolist() == self.outputs
        assert (net.given, net.leaves) == (self.given, self.leaves)


def on(row: Bits, held: dict[str, list[int]]) -> list[int]:
    """The literals on a row."""
    found: list[int] = []
    for part in row.parts:
        if isinstance(part, Slice):
            found += held[part.wire.name][part.low : part.low + part.width]
        else:
            found += [part.value >> place & 1 for place in range(part.width)]
    return found


def alike(net: Network, drawn: np.ndarray, few: np.ndarray) -> list[int]:
    """Of each node the literal of the first one with the same words, or with all of them turned."""
    words = evaluated(net, drawn[: net.given], drawn[net.given :])
    if len(net.states):
        held = np.array([words[x >> 1] ^ turned(x) for x in net.driven])
        words = np.concatenate([words, evaluated(net, drawn[: net.given] ^ few, held)], axis=1)
    first: dict[bytes, int] = {}
    found = []
    for node, row in enumerate(words):
        for literal, seen in ((2 * node, row), (2 * node + 1, ~row)):
            first.setdefault(seen.tobytes(), literal)
        found.append(2 * node if net.kind[node] < FIRST_GATE else first[row.tobytes()])
    return found


def turned(literal: int) -> np.uint64:
    """What a word is exclusive-ored with."""
    return ~np.uint64(0) if literal & 1 else np.uint64(0)


def evaluated(net: Network, given: np.ndarray, held: np.ndarray) -> np.ndarray:
    """Words of every node. [n, words]"""
    found = np.zeros((len(net.kind), given.shape[1]), np.uint64)
    found[1 : net.given + 1], found[net.states] = given, held
    for node, kind in enumerate(net.kind):
        if kind >= FIRST_GATE:
            a, b, c = (found[x >> 1] ^ turned(x) for x in net.inputs[node])
            what = KINDS[kind - FIRST_GATE]
            found[node] = {
                "and": a & b, "xor": a ^ b, "mux": (a & b) | (~a & c), "sum": a ^ b ^ c, "total": a ^ b ^ c,
            }.get(what, (a & b) | (c & (a | b)))  # fmt: skip
    return found


def in_runs(sources: int, words: int) -> np.ndarray:
    """Patterns of inputs: even ones, then runs of one kind, drawn by numpy. [sources, words]"""
    rng = np.random.default_rng(4096)
    shape = (sources, words)
    even, second, third = rng.integers(0, 1 << 64, (3, *shape), np.uint64)
    starts = rng.random(shape) < 1 / 6
    starts[:1] = True
    run = np.cumsum(starts, axis=0, dtype=np.int64)
    kinds = rng.choice(5, (sources + 1, words), p=[0.4, 0.15, 0.15, 0.2, 0.1])
    kind = np.take_along_axis(kinds, run, axis=0)
    kind[:, : words // 4] = 0
    sparse = even & second & third
    return np.asarray(np.choose(kind, [even, sparse, ~sparse, 0 * even, ~(0 * even)]), np.uint64)
