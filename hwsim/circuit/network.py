"""Network: every gate of a module in one row of arrays, where it stands: constants and equal wires known.

    net = network(pe.module())
    np.bincount(net.kind[needed(pe.module())])          # how many of each kind somebody needs

A leaf's `gates` is written down once (program.py), a module's wires once (wiring.py); a kernel makes all its leaves'
gates from these (replay.py). Counts (circuit/counts.py), the longest path (paths.py) and toggles (activity.py) are read
off these arrays.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray

from hwsim.circuit.gates import MOST_ORDERED
from hwsim.circuit.module import Module
from hwsim.circuit.wiring import wirings

Ints = NDArray[np.int32]
CONSTANT, INPUT, FIRST_GATE = 0, 1, 2


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

    Nodes that are the same on 7,168 patterns (with registers 14,336), or each other's inverse, are one: synthesis finds
    what is constant and what is made twice across leaves, too. (Patterns may miss a difference; for prices only.)
    """
    from hwsim.circuit.kernels import merged

    made = built(module)
    drawn, few = patterns_of(made)
    size, inputs, outputs, driven = merged(
        made.kind, made.inputs, made.given, made.states, made.driven, made.outputs, drawn, few
    )
    return Network(
        kind=made.kind, size=size, inputs=inputs, owner=made.owner, outputs=outputs, states=made.states, driven=driven,
        given=made.given, leaves=made.leaves,
    )  # fmt: skip


PATTERN_WORDS = 96
END_WORDS = 16  # more of them, in which registers are near the ends of their range; both together in whole BLOCKs


def patterns_of(made: Network) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """`seen_patterns` and `few_patterns` of its inputs and registers, and END_WORDS beyond them.

    In these each register is within 7 of an end of its range, in two's complement: no other pattern has a wide one
    there, and what saturates it would be taken for a constant.
    """
    sources = made.given + len(made.states)
    drawn, few = seen_patterns(sources), few_patterns(made.given)
    ends, turned = end_patterns(sources)
    ends = ends.copy()
    owner = made.owner[made.states]
    starts = [*np.flatnonzero(np.diff(owner, prepend=-2)), len(owner)]
    for start, end in itertools.pairwise(starts):
        row = ends[made.given + start : made.given + end]
        row[3:-1] = ~row[-1]  # the sign as drawn, all bits below it but the lowest three its inverse
    return np.concatenate([drawn, ends], axis=1), np.concatenate([few, turned[: made.given]], axis=1)


@lru_cache(maxsize=256)
def end_patterns(sources: int) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Even words, and words in which one bit of eight is 1. [sources, END_WORDS] each"""
    raw = np.random.default_rng(4098).integers(0, 1 << 64, (4, sources, END_WORDS), np.uint64)
    return np.asarray(raw[0]), np.asarray(raw[1] & raw[2] & raw[3])


@lru_cache(maxsize=256)
def few_patterns(sources: int) -> NDArray[np.uint64]:
    """Words in which one bit of eight is 1. [sources, PATTERN_WORDS]"""
    raw = np.random.default_rng(4097).integers(0, 1 << 64, (3, sources, PATTERN_WORDS), np.uint64)
    return np.asarray(raw[0] & raw[1] & raw[2])


KIND_BELOW = np.cumsum([0.4, 0.15, 0.15, 0.2, 0.1])  # even, mostly zeros, mostly ones, zeros, ones


@lru_cache(maxsize=256)
def seen_patterns(sources: int) -> NDArray[np.uint64]:
    """Words of each input. [sources, PATTERN_WORDS]

    A quarter is even; in the others runs of neighbouring inputs are even, mostly zeros, mostly ones, zeros or ones: an
    exponent that is zero, a significand of many leading zeros.
    """
    from hwsim.circuit.kernels import words_in_runs

    raw = np.random.default_rng(4096).integers(0, 1 << 64, (5 * sources + 1, PATTERN_WORDS), np.uint64)
    return np.asarray(words_in_runs(raw, sources, KIND_BELOW / KIND_BELOW[-1], PATTERN_WORDS // 4))


@cache
def built(module: Module) -> Network:
    """The module's gates as its leaves make them, each where it stands."""
    from hwsim.circuit.replay import placed

    w, code = wirings.of(module)
    count, kind, inputs, owner, states, driven, outputs = placed(
        code, w.start, w.given, w.outputs, w.signals, w.states, 1 + w.given + w.nodes, w.largest, w.depth, MOST_ORDERED
    )
    kind = kind[:count].copy()
    return Network(
        kind=kind, size=kind, inputs=inputs[:count].copy(), owner=owner[:count].copy(), outputs=outputs, states=states,
        driven=driven, given=w.given, leaves=w.leaves,
    )  # fmt: skip


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
