"""Which registers' bits synthesis keeps: not those that are constant, hold what another bit holds, or nobody reads.

    kept(pe.module()).flip_flops          # [states]: whether each bit stays
    kept(pe.module()).gates               # [n]: nodes of `priced` that the outputs need through registers that stay
    followed(pe.module())[0]              # the network in which gates know what their registers cannot hold

A bit holds what another one does where both take the same literal, or both take it under the same enable. Gates behind
such bits are looked at again, and registers behind those: a table of few values leaves as little of a multiplier behind
ranks of registers as without them. Synthesis keeps some of the registers that only these rounds find.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from formats.kernels.jit import kernel
from hwsim.circuit.kernels import FIRST_GATE, MUX, merged, redirected
from hwsim.circuit.module import Module
from hwsim.circuit.network import Network, built, network, patterns_of

Array = Any
ROUNDS = 8  # ranks of registers, and the one that sums, are looked through in as many


@dataclass(frozen=True, slots=True, eq=False)
class Kept:
    """flip_flops [states]: bits of registers that stay.  gates [n]: nodes that outputs are made of, through those."""

    flip_flops: NDArray[np.bool_]
    gates: NDArray[np.bool_]


@cache
def kept(module: Module) -> Kept:
    """What is left of the module's registers and of its nodes."""
    from hwsim.circuit.simplify import priced

    net, _ = priced(module)
    stands_for = followed(module)[1] if len(net.states) else 2 * np.arange(len(net.kind))
    seen = _read(net.kind, net.inputs, net.outputs, net.states, net.driven, stands_for)
    return Kept(seen[net.states] & (stands_for[net.states] == 2 * net.states), seen)


@cache
def followed(module: Module) -> tuple[Network, NDArray[np.int64]]:
    """`network`, with bits of registers that are constant, or another bit's, taken for what they are; and the literal
    that each node stands for: itself, but for those. [n]"""
    net, made = network(module), built(module)
    itself = 2 * np.arange(len(net.kind))
    known = itself
    for _ in range(ROUNDS if len(net.states) else 0):
        found = _stands_for(net.kind, net.inputs, net.states, net.driven)
        after = np.where(known == itself, found, found[known >> 1] ^ (known & 1))  # what was known stays so
        if (after == known).all():
            break
        known = after
        drawn, few = patterns_of(made)
        _, inputs, outputs, driven = merged(
            made.kind, made.inputs, made.given, made.states, made.driven, made.outputs, _held(made, known, drawn), few
        )
        literal = known.astype(np.int32)
        size, inputs = redirected(made.kind, inputs, literal)
        outputs, driven = (literal[row >> 1] ^ (row & 1) for row in (outputs, driven))
        net = replace(net, size=size, inputs=inputs, outputs=outputs, driven=driven)
    return net, known


def _held(made: Network, known: Array, drawn: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Patterns of inputs and registers in which each register's bit is what it stands for: a constant, or another's."""
    found, ones = drawn.copy(), ~np.uint64(0)
    row_of = {int(node): made.given + place for place, node in enumerate(made.states)}
    for node, row in row_of.items():
        literal = int(known[node])
        turned = ones if literal & 1 else np.uint64(0)
        found[row] = (drawn[row_of[literal >> 1]] if literal >= 2 else np.uint64(0)) ^ turned
    return found


@kernel
def _stands_for(kind: Array, inputs: Array, states: Array, driven: Array) -> Array:
    """The literal that each node can be replaced by: itself, but for registers' bits. [n]"""
    count = len(kind)
    found = 2 * np.arange(count)
    taken = np.empty(2 * count, np.int64)  # the register that takes a literal, and the one that takes it when enabled
    enabled = np.empty(2 * count, np.int64)
    changed = True
    while changed:
        changed = False
        taken[:] = -1
        enabled[:] = -1
        for place in range(len(states)):
            own = 2 * states[place]
            if found[states[place]] != own:
                continue
            next_value = found[driven[place] >> 1] ^ (driven[place] & 1)
            same = -1
            if next_value < 2:
                same = next_value
            elif next_value == own:  # never anything but what it was at first, which nobody set
                same = 0
            else:
                gate, turned = next_value >> 1, next_value & 1
                if kind[gate] == MUX and (inputs[gate, 2] ^ turned) == own:
                    data = inputs[gate, 1] ^ turned
                    other = enabled[data]
                    if other < 0:
                        enabled[data] = place
                    elif inputs[driven[other] >> 1, 0] == inputs[gate, 0]:
                        same = 2 * states[other]
                elif taken[next_value] < 0:
                    taken[next_value] = place
                else:
                    same = 2 * states[taken[next_value]]
            if same >= 0:
                found[states[place]] = same
                changed = True
    return found


@kernel
def _read(kind: Array, inputs: Array, outputs: Array, states: Array, driven: Array, stands_for: Array) -> Array:
    """Nodes that the outputs are made of, through registers that they are made of. [n]"""
    count = len(kind)
    seen = np.zeros(count, np.bool_)
    state_of = np.full(count, -1)
    for place in range(len(states)):
        state_of[states[place]] = place
    waiting, held = np.empty(count, np.int64), 0
    for literal in outputs:
        node = stands_for[literal >> 1] >> 1
        if not seen[node]:
            seen[node] = True
            waiting[held] = node
            held += 1
    while held:
        held -= 1
        node = waiting[held]
        if kind[node] >= FIRST_GATE:
            first, last = 0, 3
        elif state_of[node] >= 0:
            first, last = 3, 4
        else:
            continue
        for port in range(first, last):
            literal = inputs[node, port] if port < 3 else driven[state_of[node]]
            below = stands_for[literal >> 1] >> 1
            if not seen[below]:
                seen[below] = True
                waiting[held] = below
                held += 1
    return seen
