"""Network: every gate of a module in one row of arrays, where it stands: constants and equal wires known.

    net = network(pe.module())
    np.bincount(net.kind[needed(pe.module())])          # how many of each kind somebody needs

A part (leaf or module) on one pattern of inputs is built once and remembered; a module puts its parts' rows side by
side. Counts (circuit/counts.py), the longest path (paths.py) and toggles (activity.py) are read off these arrays.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray

from hwsim.circuit.bits import Bits, Slice, Wire
from hwsim.circuit.gates import KINDS, Gates
from hwsim.circuit.module import Module
from hwsim.primitives import Leaf

# The bits on a row of wires: 0 and 1 constants, else 2 * (number of the bit, from 1) + inverted. Of a part's inputs the
# numbers are those of their first appearance; its outputs may be inputs, constants, or bits of its own beyond them.
Pattern = tuple[int, ...]
Ints = NDArray[np.int32]
CONSTANT, INPUT, FIRST_GATE = 0, 1, 2
_NUMBER = {"constant": CONSTANT, "input": INPUT} | {kind: FIRST_GATE + i for i, kind in enumerate(KINDS)}
REMEMBERED = 65536


@dataclass(frozen=True, slots=True, eq=False)
class Network:
    """Nodes in an order in which they can be computed. A literal is 2 * node + (1 where inverted).

    kind [n]: CONSTANT, INPUT (also a register's output), or FIRST_GATE + the place in KINDS.
    inputs [n, 3]: literals that a gate reads.  size [n]: the kind it counts as, with constants among them known.
    owner [n]: the number of its leaf in `leaf_paths`, for a register's outputs the register's; -1 of input ports.
    outputs: literals of the output ports' bits.  states: nodes of registers' outputs.  driven: literals they take.
    given: how many nodes, from 1, are bits of the input ports.  leaves: how many leaves there are, with registers.
    """

    kind: NDArray[np.uint8]
    inputs: Ints
    size: NDArray[np.uint8]
    owner: Ints
    outputs: Ints
    states: Ints
    driven: Ints
    given: int
    leaves: int


@cache
def network(module: Module) -> Network:
    """The module's gates; those that nothing needs are among them (`needed`).

    Nodes that are the same on 6,144 patterns or more, or each other's inverse, are one: synthesis finds what is
    constant and what is made twice across leaves, too. (Patterns may miss a difference; this is for prices only.)
    """
    from hwsim.circuit.kernels import hashes, redirected

    made = built(module)
    seen = hashes(made.kind, made.inputs, made.given, made.states, _seen_patterns(made))
    _, first, group = np.unique(seen[:, 0], return_index=True, return_inverse=True)
    one = first[group]
    literal = (2 * one + (seen[:, 1] != seen[one, 1])).astype(np.int32)
    literal[made.kind < FIRST_GATE] = 2 * np.flatnonzero(made.kind < FIRST_GATE)  # inputs are themselves
    size, inputs = redirected(made.kind, made.inputs, literal)

    def here(there: Ints) -> Ints:
        return np.asarray(literal[there >> 1] ^ (there & 1), np.int32)

    return replace(made, size=size, inputs=inputs, outputs=here(made.outputs), driven=here(made.driven))


PATTERN_WORDS = 96


def _seen_patterns(net: Network) -> NDArray[np.uint64]:
    """Drawn patterns, and as many of registers after one of those cycles with nearly the same inputs again.

    The latter are states that a register gets into, beside inputs that nearly cancel them: a float adder's long shifts.
    """
    from hwsim.circuit.kernels import stepped

    drawn = _patterns(net.given + len(net.states))
    if not len(net.states):
        return drawn
    after = stepped(net.kind, net.inputs, net.given, net.states, net.driven, drawn)
    again = drawn[: net.given] ^ _few(net.given)
    return np.concatenate([drawn, np.concatenate([again, after])], axis=1)


@lru_cache(maxsize=256)
def _few(sources: int) -> NDArray[np.uint64]:
    """Words in which one bit of eight is 1."""
    first, second, third = np.random.default_rng(4097).integers(0, 1 << 64, (3, sources, PATTERN_WORDS), np.uint64)
    return np.asarray(first & second & third)


@lru_cache(maxsize=256)
def _patterns(sources: int) -> NDArray[np.uint64]:
    """Words of each input. [sources, PATTERN_WORDS]

    A quarter is even; in the others runs of neighbouring inputs are even, mostly zeros, mostly ones, zeros or ones: an
    exponent that is zero, a significand of many leading zeros.
    """
    rng = np.random.default_rng(4096)
    shape = (sources, PATTERN_WORDS)
    even, second, third = rng.integers(0, 1 << 64, (3, *shape), np.uint64)
    starts = rng.random(shape) < 1 / 6
    starts[:1] = True
    run = np.cumsum(starts, axis=0, dtype=np.int64)
    kinds = rng.choice(5, (sources + 1, PATTERN_WORDS), p=[0.4, 0.15, 0.15, 0.2, 0.1])
    kind = np.take_along_axis(kinds, run, axis=0)
    kind[:, : PATTERN_WORDS // 4] = 0
    sparse = even & second & third
    none = np.zeros_like(even)
    return np.asarray(np.choose(kind, [even, sparse, ~sparse, none, ~none]), np.uint64)


@cache
def built(module: Module) -> Network:
    """The module's gates as its leaves make them, each where it stands."""
    width = sum(wire.width for wire in module.inputs)
    return _module(module, tuple(range(2, 2 * width + 2, 2)))


@lru_cache(maxsize=REMEMBERED)
def _leaf(leaf: Leaf, pattern: Pattern) -> Network:
    gates = Gates()
    given = max((literal >> 1 for literal in pattern), default=0)
    for _ in range(given):
        gates.fresh()
    rows, place = {}, 0
    for port, width in leaf.inputs().items():
        rows[port] = list(pattern[place : place + width])
        place += width
    found = leaf.gates(gates, **rows)
    nodes = len(gates.nodes)
    owner = np.zeros(nodes, np.int32)
    owner[: given + 1] = -1
    kind = np.array([_NUMBER[node[0]] for node in gates.nodes], np.uint8)
    return Network(
        kind=kind,
        size=kind,
        inputs=np.array([node[1:] for node in gates.nodes], np.int32).reshape(nodes, 3),
        owner=owner,
        outputs=np.array([literal for port in leaf.outputs() for literal in found[port]], np.int32),
        states=np.zeros(0, np.int32),
        driven=np.zeros(0, np.int32),
        given=given,
        leaves=1,
    )


class _Rows:
    """A module's network in the making: parts' nodes behind one another."""

    def __init__(self, given: int) -> None:
        self.nodes = given + 1
        self.leaves = 0
        self.kinds = [np.array([CONSTANT] + [INPUT] * given, np.uint8)]
        self.inputs = [np.zeros((self.nodes, 3), np.int32)]
        self.owners = [np.full(self.nodes, -1, np.int32)]
        self.states: list[Ints] = []
        self.driven: list[Ints] = []

    def register(self, width: int, owner: int) -> list[int]:
        """Literals of a register's outputs. owner: its number among the leaves."""
        found = np.arange(self.nodes, self.nodes + width, dtype=np.int32)
        self.kinds.append(np.full(width, INPUT, np.uint8))
        self.inputs.append(np.zeros((width, 3), np.int32))
        self.owners.append(np.full(width, owner, np.int32))
        self.states.append(found)
        self.nodes += width
        return (2 * found).tolist()

    def part(self, made: Network, numbers: list[int]) -> list[int]:
        """A part put behind; numbers: this module's node of each of its inputs. Literals of its outputs."""
        fresh = len(made.kind) - made.given - 1
        literal = np.empty(len(made.kind), np.int32)  # of each of the part's nodes
        literal[0] = 0
        literal[1 : made.given + 1] = numbers
        literal[made.given + 1 :] = np.arange(self.nodes, self.nodes + fresh)
        literal *= 2

        def here(there: Ints) -> Ints:
            return np.asarray(literal[there >> 1] ^ (there & 1), np.int32)

        own = slice(made.given + 1, None)
        self.kinds.append(made.kind[own])
        self.inputs.append(here(made.inputs[own]))
        self.owners.append(np.where(made.owner[own] >= 0, made.owner[own] + self.leaves, np.int32(-1)))
        if len(made.states):
            self.states.append(literal[made.states] >> 1)
            self.driven.append(here(made.driven))
        self.nodes += fresh
        self.leaves += made.leaves
        found: list[int] = here(made.outputs).tolist()
        return found


@lru_cache(maxsize=REMEMBERED)
def _module(module: Module, pattern: Pattern) -> Network:
    held: dict[Wire, list[int]] = {}
    place = 0
    for wire in module.inputs:
        held[wire] = list(pattern[place : place + wire.width])
        place += wire.width
    given = max((literal >> 1 for literal in pattern), default=0)
    rows = _Rows(given)
    own_registers = []
    before = 0
    for part in module.instances:  # a register's output may be read before its place
        if isinstance(part.of, Module):
            before += _leaf_count(part.of)
            continue
        if part.of.kind == "register":
            ((_, wire),) = part.outputs
            held[wire] = rows.register(wire.width, before)
            own_registers.append(part)
        before += 1
    states = len(rows.states)
    for part in module.instances:
        if isinstance(part.of, Leaf) and part.of.kind == "register":
            rows.leaves += 1
            continue
        numbers: dict[int, int] = {}
        below = tuple(
            [
                bit if bit < 2 else 2 * numbers.setdefault(bit >> 1, len(numbers) + 1) + (bit & 1)
                for _, row in part.inputs
                for bit in _on(row, held)
            ]
        )
        made = _leaf(part.of, below) if isinstance(part.of, Leaf) else _module(part.of, below)
        outputs = rows.part(made, list(numbers))
        place = 0
        for _, wire in part.outputs:
            held[wire] = outputs[place : place + wire.width]
            place += wire.width
    driven = [np.array(_on(row, held), np.int32) for part in own_registers for _, row in part.inputs]
    none = [np.zeros(0, np.int32)]
    kind = np.concatenate(rows.kinds)
    return Network(
        kind=kind,
        size=kind,
        inputs=np.concatenate(rows.inputs),
        owner=np.concatenate(rows.owners),
        outputs=np.array([bit for _, row in module.outputs for bit in _on(row, held)], np.int32),
        states=np.concatenate(rows.states[:states] + rows.states[states:] + none),
        driven=np.concatenate(driven + rows.driven + none),
        given=given,
        leaves=rows.leaves,
    )


@cache
def _leaf_count(module: Module) -> int:
    return len(leaf_paths(module))


@cache
def leaf_paths(module: Module) -> tuple[str, ...]:
    """Names of all leaves, "accumulate/add", in the order of their numbers."""
    found: list[str] = []
    for part in module.instances:
        below = leaf_paths(part.of) if isinstance(part.of, Module) else None
        found += [part.name] if below is None else [f"{part.name}/{path}" for path in below]
    return tuple(found)


@cache
def needed(module: Module) -> NDArray[np.bool_]:
    """Which nodes the outputs and the registers need."""
    from hwsim.circuit.kernels import mark

    here = network(module)
    return np.asarray(mark(here.kind, here.inputs, here.outputs, here.driven))


def _on(row: Bits, held: dict[Wire, list[int]]) -> list[int]:
    """The bits on a row."""
    found: list[int] = []
    for part in row.parts:
        if isinstance(part, Slice):
            whole = held[part.wire]
            found += whole if part.width == len(whole) else whole[part.low : part.low + part.width]
        else:
            found += [part.value >> place & 1 for place in range(part.width)]
    return found
