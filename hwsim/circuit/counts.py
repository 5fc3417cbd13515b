"""How many gates each leaf of a module is, where it stands: constants and equal wires known, dead outputs left out.

counted(pe.module()).kinds          # {"and": 71, "xor": 40, "mux": 12, "sum": 93, "carry": 90, ...}

A small module without registers is counted after its functions are simplified (circuit/simplify.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from hwsim.circuit.gates import KINDS
from hwsim.circuit.module import Module
from hwsim.circuit.network import FIRST_GATE, leaf_paths
from hwsim.circuit.simplify import priced

# Kinds that cost less where they stand. nested_and, nested_mux: read by one AND, or by one multiplexer as data, alone,
# so that one larger cell is both.  twin_sum: a chain's sum whose first XOR another gate makes: a - b beside a + b.
COLUMNS = (*KINDS, "nested_and", "nested_mux", "twin_sum")


@dataclass(frozen=True, slots=True, eq=False)
class Counts:
    """by_leaf [leaves, columns]: gates by COLUMNS of every leaf of `paths`; flip_flops [leaves]: registers' bits that
    stay (circuit/registers.py)."""

    paths: tuple[str, ...]
    by_leaf: NDArray[np.int64]
    flip_flops_by_leaf: NDArray[np.int64]

    @property
    def leaves(self) -> Mapping[str, Mapping[str, int]]:
        """Gates by kind of every leaf, by path."""
        rows = self.by_leaf.tolist()
        return {path: dict(zip(COLUMNS, row, strict=True)) for path, row in zip(self.paths, rows, strict=True)}

    @property
    def kinds(self) -> dict[str, int]:
        """Gates of the whole module by kind."""
        return dict(zip(COLUMNS, self.by_leaf.sum(axis=0).tolist(), strict=True))

    @property
    def flip_flops(self) -> int:
        """Of all registers."""
        return int(self.flip_flops_by_leaf.sum())


@cache
def counted(module: Module) -> Counts:
    """The gates of every leaf. Equal leaves at equal wires are counted twice: they stand at two places."""
    from hwsim.circuit.registers import kept

    (net, _), column = priced(module), columns(module)
    gates = column >= FIRST_GATE
    flat = net.owner[gates].astype(np.int64) * len(COLUMNS) + (column[gates] - FIRST_GATE)
    return Counts(
        leaf_paths(module),
        np.bincount(flat, minlength=net.leaves * len(COLUMNS)).reshape(net.leaves, len(COLUMNS)),
        np.bincount(net.owner[net.states[kept(module).flip_flops]], minlength=net.leaves),
    )


@cache
def columns(module: Module) -> NDArray[np.uint8]:
    """Of each node of `priced` FIRST_GATE + its place in COLUMNS; 0 of what is no gate, or nothing needs. [n]"""
    from hwsim.circuit.registers import kept
    from hwsim.circuit.tally import column_of

    (net, _), left = priced(module), kept(module)
    size = np.where(left.gates & (net.kind >= FIRST_GATE), net.size, np.uint8(0))
    return np.asarray(column_of(size, net.inputs, net.outputs, net.driven[left.flip_flops]), np.uint8)
