"""Compiled loop of `counts`: what each gate counts as beside its neighbours."""

from __future__ import annotations

from typing import Any

import numpy as np

from formats.kernels.jit import kernel
from hwsim.circuit.kernels import AND, FIRST_GATE, MUX, SUM, XOR

Array = Any
NESTED_AND, NESTED_MUX, TWIN_SUM = range(9, 12)  # as counts.COLUMNS has them, beyond the kinds of kernels.py


@kernel
def column_of(size: Array, inputs: Array, outputs: Array, driven: Array) -> Array:
    """size [n]: kinds of gates, 0 of what does not count. Returned with the columns of COLUMNS that they are in. [n]

    A nested gate has one reader, of its own kind. A twin sum is of a pair of wires whose XOR, or whose sum with a third
    wire, another gate makes.
    """
    count = len(size)
    readers = np.zeros(count, np.int64)
    inside = np.zeros(count, np.bool_)  # read by a gate of its own kind
    for node in range(count):
        if size[node] < FIRST_GATE:
            continue
        for port in range(3):
            below = inputs[node, port] >> 1
            readers[below] += 1
            if size[below] == size[node] and (size[node] == AND or (size[node] == MUX and port > 0)):
                inside[below] = True
    for literal in outputs:
        readers[literal >> 1] += 1
    for literal in driven:
        readers[literal >> 1] += 1
    found = size.copy()
    room = 1
    while room < 8 * count:
        room *= 2
    pairs = np.zeros(room, np.int64)  # keys of pairs that are XORed, at their hash or behind it
    for turn in range(2):  # XORs first: they are made anyway
        for node in range(count):
            if turn == 0 and inside[node] and readers[node] == 1:
                found[node] = NESTED_AND if size[node] == AND else NESTED_MUX
            if size[node] != (XOR if turn == 0 else SUM):
                continue
            twin = False
            for skipped in range(2, -1 if turn else 1, -1):
                x, y = inputs[node, (skipped + 1) % 3] >> 1, inputs[node, (skipped + 2) % 3] >> 1
                key = min(x, y) * count + max(x, y) + 1
                place = (key * 40503) & (room - 1)
                while pairs[place] and pairs[place] != key:
                    place = (place + 1) & (room - 1)
                twin = twin or pairs[place] == key
                pairs[place] = key
            if turn and twin:
                found[node] = TWIN_SUM
    return found
