"""How many gates each leaf of a module is, where it stands: constants and equal wires known, dead outputs left out.

counted(pe.module()).kinds          # {"and": 71, "xor": 40, "mux": 12, "sum": 93, "carry": 90, ...}
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from hwsim.circuit.gates import KINDS
from hwsim.circuit.module import Module
from hwsim.circuit.network import FIRST_GATE, leaf_paths, needed, network


@dataclass(frozen=True, slots=True, eq=False)
class Counts:
    """by_leaf [leaves, kinds]: gates by KINDS of every leaf of `paths`; flip_flops [leaves]: of registers."""

    paths: tuple[str, ...]
    by_leaf: NDArray[np.int64]
    flip_flops_by_leaf: NDArray[np.int64]

    @property
    def leaves(self) -> Mapping[str, Mapping[str, int]]:
        """Gates by kind of every leaf, by path."""
        rows = self.by_leaf.tolist()
        return {path: dict(zip(KINDS, row, strict=True)) for path, row in zip(self.paths, rows, strict=True)}

    @property
    def kinds(self) -> dict[str, int]:
        """Gates of the whole module by kind."""
        return dict(zip(KINDS, self.by_leaf.sum(axis=0).tolist(), strict=True))

    @property
    def flip_flops(self) -> int:
        """Of all registers."""
        return int(self.flip_flops_by_leaf.sum())


@cache
def counted(module: Module) -> Counts:
    """The gates of every leaf. Equal leaves at equal wires are counted twice: they stand at two places."""
    net = network(module)
    gates = needed(module) & (net.kind >= FIRST_GATE)
    columns = len(KINDS)
    flat = net.owner[gates] * columns + (net.size[gates] - FIRST_GATE)
    return Counts(
        leaf_paths(module),
        np.bincount(flat, minlength=net.leaves * columns).reshape(net.leaves, columns),
        np.bincount(net.owner[net.states], minlength=net.leaves),
    )
