"""How many gates each leaf of a module is, where it stands: constants and equal wires known, dead outputs left out.

    counted(pe.module()).kinds          # {"and": 71, "xor": 40, "mux": 12, "sum": 93, "carry": 90, ...}

A part (leaf or module) on one pattern of inputs, with one set of outputs read, is counted once and remembered.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache

from hwsim.circuit.bits import Bits, Slice, Wire
from hwsim.circuit.gates import KINDS, Gates
from hwsim.circuit.module import Module
from hwsim.primitives import Leaf

# The bits on a row of wires: 0 and 1 constants, else 2 * (number of the bit, from 1) + inverted. Of a part's inputs the
# numbers are those of their first appearance; its outputs may be inputs, constants, or bits of its own beyond them.
Pattern = tuple[int, ...]
Held = dict[Wire, list[int]]
REMEMBERED = 65536


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


@cache
def counted(module: Module) -> Counts:
    """The gates of every leaf. Equal leaves at equal wires are counted twice: they stand at two places."""
    width = sum(wire.width for wire in module.inputs)
    pattern = tuple(range(2, 2 * width + 2, 2))
    leaves, _ = _live(module, pattern, (True,) * sum(row.width for _, row in module.outputs))
    flip_flops = sum(n * leaf.parameters["width"] for leaf, n in module.leaves().items() if leaf.kind == "register")
    return Counts(dict(leaves), flip_flops)


@dataclass(frozen=True, slots=True, eq=False)
class _Inside:
    """A part of a module: its pattern, the module's number of each of its inputs, and of each output of its own."""

    part: Leaf | Module
    name: str
    pattern: Pattern
    numbers: list[int]
    own: list[int]


@dataclass(frozen=True, slots=True, eq=False)
class _Made:
    """A module on a pattern of inputs: its parts, its outputs, the bits its registers take, how many inputs it has."""

    parts: list[_Inside]
    outputs: Pattern
    driven: list[int]
    inputs: int


@lru_cache(maxsize=REMEMBERED)
def _gates(leaf: Leaf, pattern: Pattern) -> tuple[Gates, Pattern, int]:
    """A leaf's network, its outputs, how many inputs it has."""
    network = Gates()
    inputs = max((literal >> 1 for literal in pattern), default=0)
    for _ in range(inputs):
        network.fresh()
    rows, place = {}, 0
    for port, width in leaf.inputs().items():
        rows[port] = list(pattern[place : place + width])
        place += width
    found = leaf.gates(network, **rows)
    return network, tuple(literal for port in leaf.outputs() for literal in found[port]), inputs


@lru_cache(maxsize=REMEMBERED)
def _made(module: Module, pattern: Pattern) -> _Made:
    held: Held = {}
    place = 0
    for wire in module.inputs:
        held[wire] = list(pattern[place : place + wire.width])
        place += wire.width
    inputs = nodes = max((literal >> 1 for literal in pattern), default=0)
    registers = [part for part in module.instances if isinstance(part.of, Leaf) and part.of.kind == "register"]
    for part in registers:
        ((_, wire),) = part.outputs
        held[wire] = list(range(2 * nodes + 2, 2 * (nodes + wire.width) + 2, 2))
        nodes += wire.width
    parts = []
    for part in module.instances:
        if isinstance(part.of, Leaf) and part.of.kind == "register":
            continue
        own: dict[int, int] = {}
        below = tuple(
            [
                bit if bit < 2 else 2 * own.setdefault(bit >> 1, len(own) + 1) + (bit & 1)
                for _, row in part.inputs
                for bit in _on(row, held)
            ]
        )
        outputs = _gates(part.of, below)[1] if isinstance(part.of, Leaf) else _made(part.of, below).outputs
        numbers, made, fresh = list(own), [], {}
        for bit in outputs:
            number = bit >> 1
            if bit < 2:
                made.append(bit)
            elif number <= len(numbers):
                made.append(2 * numbers[number - 1] + (bit & 1))
            else:
                if number not in fresh:
                    nodes += 1
                    fresh[number] = nodes
                made.append(2 * fresh[number] + (bit & 1))
        place = 0
        for _, wire in part.outputs:
            held[wire] = made[place : place + wire.width]
            place += wire.width
        parts.append(
            _Inside(part.of, part.name, below, numbers, [bit >> 1 if bit >> 1 > inputs else 0 for bit in made])
        )
    driven = [bit >> 1 for part in registers for _, row in part.inputs for bit in _on(row, held)]
    found = tuple([bit for _, row in module.outputs for bit in _on(row, held)])
    return _Made(parts, found, driven, inputs)


Leaves = tuple[tuple[str, Mapping[str, int]], ...]


@lru_cache(maxsize=REMEMBERED)
def _live(part: Leaf | Module, pattern: Pattern, used: tuple[bool, ...]) -> tuple[Leaves, frozenset[int]]:
    """Gates by kind of each leaf, of those that the used outputs and all registers need; and the inputs they need."""
    if isinstance(part, Leaf):
        network, outputs, inputs = _gates(part, pattern)
        live = network.live(literal for literal, wanted in zip(outputs, used, strict=True) if wanted)
        kinds = Counter(kind for node in live if (kind := network.nodes[node][0]) in KINDS)
        return (("", dict(kinds)),), frozenset(node for node in live if 0 < node <= inputs)
    made = _made(part, pattern)
    needed = {bit >> 1 for bit, wanted in zip(made.outputs, used, strict=True) if wanted} | set(made.driven)
    leaves: list[tuple[str, Mapping[str, int]]] = []
    for inside in reversed(made.parts):
        found, inputs_needed = _live(inside.part, inside.pattern, tuple([node in needed for node in inside.own]))
        needed |= {inside.numbers[number - 1] for number in inputs_needed}
        leaves += [(f"{inside.name}/{path}" if path else inside.name, kinds) for path, kinds in reversed(found)]
    leaves.reverse()
    return tuple(leaves), frozenset(node for node in needed if 0 < node <= made.inputs)


def _on(row: Bits, held: Held) -> list[int]:
    """The bits on a row."""
    found: list[int] = []
    for part in row.parts:
        if isinstance(part, Slice):
            whole = held[part.wire]
            found += whole if part.width == len(whole) else whole[part.low : part.low + part.width]
        else:
            found += [part.value >> place & 1 for place in range(part.width)]
    return found
