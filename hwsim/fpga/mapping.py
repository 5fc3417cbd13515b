"""A module's gates covered by six-input look-up tables and carry chains, to see how many it takes.

    covered(module)          # Covered(luts=97, chain=35, tree=42)

The gates are those of the leaves where they stand (hwsim.circuit.gates), multipliers as arrays of partial products.
Cuts of six inputs, the best few a gate by area flow (Cong and Ding, 1994; Mishchenko, Chatterjee and Brayton, 2007),
give the tables; a bit of an adder is a table whose exclusive or goes through the carry chain, and that takes in the
gates before one operand only, as the other enters the chain itself: the first of a subtraction, either of an addition.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from hwsim.circuit import Bits, Module, Wire, flat
from hwsim.circuit.bits import Slice
from hwsim.circuit.gates import KINDS, Gates
from hwsim.primitives import Leaf

LUT_INPUTS = 6
_KEPT = 6  # cuts of a gate that are looked at further on
_TWO_SIDED = ("add_subtract", "subtractor", "comparator")
Cut = frozenset[int]


@dataclass(frozen=True, slots=True)
class Covered:
    """luts: tables of logic.  chain: bits of carry chains, a table each.  tree: full adders of trees in the logic."""

    luts: int
    chain: int
    tree: int


@lru_cache(maxsize=4096)
def covered(module: Module) -> Covered:
    """Of all outputs and registers. A tenth of a second for a thousand gates."""
    network = _Network(module)
    network.choose()
    return network.cover()


class _Network:
    """Gates of the whole module, and for each the cut that stands for it."""

    def __init__(self, module: Module) -> None:
        self.gates = Gates()
        self.entering: dict[int, set[int]] = {}  # bit of a chain -> nodes, one of which must enter the chain itself
        parts, held = flat(module), dict[Wire, list[int]]()
        for wire in [*module.inputs, *(wire for use in parts.registers for _, wire in use.outputs)]:
            held[wire] = [self.gates.fresh() for _ in range(wire.width)]
        for use in parts.uses:
            first = len(self.gates.nodes)
            given = {port: _on(row, held) for port, row in use.inputs}
            made = (
                self._array(use.leaf, given) if use.leaf.kind == "multiplier" else use.leaf.gates(self.gates, **given)
            )
            held |= {wire: made[port] for port, wire in use.outputs}
            if use.leaf.kind in _TWO_SIDED:
                left = {literal >> 1 for literal in next(iter(given.values()))}
                self.entering |= dict.fromkeys(range(first, len(self.gates.nodes)), left)
        outputs = [row for _, row in parts.outputs] + [row for use in parts.registers for _, row in use.inputs]
        self.roots = [literal >> 1 for row in outputs for literal in _on(row, held)]
        self.live = sorted(self.gates.live(2 * node for node in self.roots))
        self.readers = dict.fromkeys(self.live, 0)
        for read in [*self.roots, *(below for node in self.live for below in set(self.operands(node)))]:
            self.readers[read] += 1
        self.best: dict[int, Cut] = {}

    def _array(self, leaf: Leaf, given: dict[str, list[int]]) -> dict[str, list[int]]:
        """Every bit with every bit; a negative weight -x is ~x - 1: inverted, and its constants gathered."""
        (m, two_a), (n, two_b) = ((leaf.parameters[w], leaf.parameters[f"signed_{s}"]) for w, s in ("ma", "nb"))
        columns: list[list[int]] = [[] for _ in range(m + n)]
        constant = 0
        for i, left in enumerate(given["a"]):
            for j, right in enumerate(given["b"]):
                negative = bool(two_a and i == m - 1) != bool(two_b and j == n - 1)
                columns[i + j].append(self.gates.both(left, right) ^ negative)
                constant -= negative << (i + j)
        for place in range(m + n):
            columns[place] += [1] * (constant >> place & 1)
        return {"product": self.gates.columns(columns, m + n)}

    def operands(self, node: int) -> list[int]:
        """Nodes that a gate reads; none for an input."""
        kind, *literals = self.gates.nodes[node]
        if kind not in KINDS:
            return []
        return [literal >> 1 for literal in literals[: 2 if kind in ("and", "xor") else 3]]

    def choose(self) -> None:
        """The best cut of every gate: a table's inputs, least area flow first."""
        cuts: dict[int, list[Cut]] = {}
        flow: dict[int, float] = {}

        def cost(cut: Cut) -> float:
            return 1 + sum(flow[node] / max(self.readers[node], 1) for node in cut)

        for node in self.live:
            below = self.operands(node)
            if not below:
                cuts[node], flow[node] = [frozenset({node}) if node else frozenset()], 0.0
            elif self._chained(node):
                carried = self.carry_in(node)
                operands = [x for x in below if x != carried]
                found = [frozenset(operands)]
                for absorbed in operands:
                    if absorbed not in self.entering.get(node, ()):
                        others = frozenset(operands) - {absorbed}
                        found += [cut | others for cut in cuts[absorbed] if len(cut | others) < LUT_INPUTS]
                self.best[node] = min(found, key=lambda cut: (cost(cut), sorted(cut)))
                # A sum and its carry share the table.
                flow[node] = cost(self.best[node]) / 2 + (0 if carried is None else cost(frozenset({carried})) - 1)
                cuts[node] = [frozenset({node})]
            else:
                found = [frozenset()]
                for x in below:
                    joined = {one | cut for one in found for cut in cuts[x]}
                    found = [cut for cut in joined if len(cut) <= LUT_INPUTS]
                found = sorted(found, key=lambda cut: (cost(cut), len(cut), sorted(cut)))[:_KEPT]
                self.best[node], flow[node] = found[0], cost(found[0])
                cuts[node] = [*found, frozenset({node})]

    def cover(self) -> Covered:
        """The tables that the roots need."""
        waiting, seen, luts, bits = list(self.roots), set[int](), 0, set[Cut]()
        while waiting:
            node = waiting.pop()
            if node in seen or node not in self.best:
                continue
            seen.add(node)
            waiting += self.best[node]
            if self._chained(node):
                bits.add(frozenset(self.operands(node)))
                waiting += [node for node in (self.carry_in(node),) if node is not None]
            else:
                luts += 1
        trees = sum(self.gates.nodes[node][0] in ("total", "over") for node in self.live)
        return Covered(luts, len(bits), trees // 2)

    def _chained(self, node: int) -> bool:
        return self.gates.nodes[node][0] in ("sum", "carry")

    def carry_in(self, node: int) -> int | None:
        """The carry that a bit of a chain reads, None for the first."""
        found = [x for x in self.operands(node) if self.gates.nodes[x][0] == "carry"]
        return found[-1] if found else None


def _on(row: Bits, held: dict[Wire, list[int]]) -> list[int]:
    """The literals on a row."""
    found: list[int] = []
    for part in row.parts:
        if isinstance(part, Slice):
            found += held[part.wire][part.low : part.low + part.width]
        else:
            found += [part.value >> place & 1 for place in range(part.width)]
    return found
