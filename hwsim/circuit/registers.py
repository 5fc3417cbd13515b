"""Which registers' bits synthesis keeps: not those that are constant, hold what another bit holds, or nobody reads.

    kept(pe.module()).flip_flops          # [states]: whether each bit stays
    kept(pe.module()).gates               # [n]: nodes of `priced` that the outputs need through registers that stay

A bit holds what another one does where both take the same literal, or both take it under the same enable. What follows
from that inside the gates (two sums equal once their registers are one) is not looked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from formats.kernels.jit import kernel
from hwsim.circuit.kernels import FIRST_GATE, MUX
from hwsim.circuit.module import Module
from hwsim.circuit.simplify import priced

Array = Any


@dataclass(frozen=True, slots=True, eq=False)
class Kept:
    """flip_flops [states]: bits of registers that stay.  gates [n]: nodes that outputs are made of, through those."""

    flip_flops: NDArray[np.bool_]
    gates: NDArray[np.bool_]


@cache
def kept(module: Module) -> Kept:
    """What is left of the module's registers and of its nodes."""
    net, _ = priced(module)
    stands_for = _stands_for(net.kind, net.inputs, net.states, net.driven)
    seen = _read(net.kind, net.inputs, net.outputs, net.states, net.driven, stands_for)
    return Kept(seen[net.states] & (stands_for[net.states] == 2 * net.states), seen)


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
