"""The slowest path of a module: which gates lie on it, by weights that a technology gives.

slowest(pe.module(), weights)          # [9]: ANDs, XORs, multiplexers, sums, carries in, carries on, ..., 1
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hwsim.circuit.module import Module
from hwsim.circuit.network import needed, network

PATH_TERMS = ("and", "xor", "mux", "sum", "carry_in", "carry_on", "tree", "fanout", "constant")


def slowest(module: Module, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """How often each of PATH_TERMS counts on the slowest path between registers and ports; times weights: its delay.

    fanout: the sum of log2 of loads over the path.  constant: 1, the flip-flop or port that it starts at.
    """
    from hwsim.circuit.kernels import critical, loads

    net, seen = network(module), needed(module)
    fanout = loads(net.kind, net.inputs, seen, net.driven)
    ends = np.concatenate([net.outputs, net.driven])
    found = critical(net.kind, net.inputs, seen, fanout, np.asarray(weights, np.float64), ends)
    return np.append(found, 1.0)
