"""How many gates each leaf of a module is, where it stands: constants and equal wires known, dead outputs left out.

counted(pe.module()).kinds          # {"and": 71, "xor": 40, "mux": 12, "sum": 93, "carry": 90}
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache

from hwsim.circuit.bits import Bits, Constant, Slice, Wire
from hwsim.circuit.gates import KINDS, Gates
from hwsim.circuit.module import Module
from hwsim.circuit.simulate import flat
from hwsim.primitives import Leaf

Pattern = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Counts:
    """leaves: gates by kind of every leaf, by path; flip_flops: of all registers."""

    leaves: Mapping[str, Mapping[str, int]]
    flip_flops: int

    @property
    def kinds(self) -> dict[str, int]:
        """Gates of the whole module by kind."""
        total: Counter[str] = Counter()
        for part in self.leaves.values():
            total.update(part)
        return {kind: total[kind] for kind in KINDS}


@dataclass(frozen=True, slots=True, eq=False)
class _Made:
    """A leaf built on a pattern of inputs. outputs: literals; those below 2 * (inputs + 1) are inputs and constants."""

    network: Gates
    outputs: Pattern
    inputs: int


@lru_cache(maxsize=65536)
def _made(leaf: Leaf, pattern: Pattern) -> _Made:
    """pattern: the input bits in order; 0 and 1 constants, else 2 * (number of the wire, from 1) + inverted."""
    network = Gates()
    inputs = max((literal >> 1 for literal in pattern), default=0)
    for _ in range(inputs):
        network.fresh()
    rows, place = {}, 0
    for port, width in leaf.inputs().items():
        rows[port] = list(pattern[place : place + width])
        place += width
    found = leaf.gates(network, **rows)
    return _Made(network, tuple(literal for port in leaf.outputs() for literal in found[port]), inputs)


@lru_cache(maxsize=65536)
def _live(leaf: Leaf, pattern: Pattern, used: tuple[bool, ...]) -> tuple[dict[str, int], frozenset[int]]:
    """Gates by kind that the used outputs need, and the numbers of the wires that they need."""
    made = _made(leaf, pattern)
    live = made.network.live(literal for literal, wanted in zip(made.outputs, used, strict=True) if wanted)
    kinds = Counter(kind for node in live if (kind := made.network.nodes[node][0]) in KINDS)
    return dict(kinds), frozenset(node for node in live if 0 < node <= made.inputs)


@cache
def counted(module: Module) -> Counts:
    """The gates of every leaf. Equal leaves at equal wires are counted twice: they stand at two places."""
    whole = flat(module)
    held: dict[tuple[Wire, int], int] = {}  # the literal on each wire: 2 * node + inverted, nodes numbered as they come
    nodes = 0

    def fresh(wire: Wire) -> None:
        nonlocal nodes
        for place in range(wire.width):
            nodes += 1
            held[wire, place] = 2 * nodes

    for wire in module.inputs:
        fresh(wire)
    for use in whole.registers:
        fresh(use.outputs[0][1])
    patterns: list[tuple[Pattern, list[int], list[int]]] = []
    for use in whole.uses:
        given = [literal for _, row in use.inputs for literal in _literals(row, held)]
        own: dict[int, int] = {}
        pattern = tuple(
            literal if literal < 2 else 2 * own.setdefault(literal >> 1, len(own) + 1) + (literal & 1)
            for literal in given
        )
        made = _made(use.leaf, pattern)
        back = {number: node for node, number in own.items()}
        outputs = []
        for (wire, place), literal in zip(_places(use.outputs), made.outputs, strict=True):
            if literal < 2:
                held[wire, place] = literal
            elif literal >> 1 <= made.inputs:
                held[wire, place] = 2 * back[literal >> 1] + (literal & 1)
            else:
                nodes += 1
                held[wire, place] = 2 * nodes
            outputs.append(held[wire, place] >> 1 if literal >> 1 > made.inputs else -1)
        patterns.append((pattern, outputs, [back[number] for number in range(1, len(back) + 1)]))
    live = {literal >> 1 for _, row in whole.outputs for literal in _literals(row, held)}
    live |= {literal >> 1 for use in whole.registers for _, row in use.inputs for literal in _literals(row, held)}
    leaves: dict[str, Mapping[str, int]] = {}
    for use, (pattern, outputs, wires) in zip(reversed(whole.uses), reversed(patterns), strict=True):
        used = tuple(node in live for node in outputs)
        kinds, needed = _live(use.leaf, pattern, used)
        leaves[use.path] = kinds
        live |= {wires[number - 1] for number in needed}
    flip_flops = sum(use.leaf.parameters["width"] for use in whole.registers)
    return Counts(dict(reversed(leaves.items())), flip_flops)


def _literals(row: Bits, held: Mapping[tuple[Wire, int], int]) -> Iterator[int]:
    for part in row.parts:
        if isinstance(part, Slice):
            for place in range(part.low, part.low + part.width):
                yield held[part.wire, place]
        else:
            assert isinstance(part, Constant)
            for place in range(part.width):
                yield part.value >> place & 1


def _places(outputs: tuple[tuple[str, Wire], ...]) -> Iterator[tuple[Wire, int]]:
    for _, wire in outputs:
        for place in range(wire.width):
            yield wire, place
