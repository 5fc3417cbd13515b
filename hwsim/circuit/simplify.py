"""What synthesis makes of a small module's functions: its gates rewritten into fewer, for prices only.

    net, seen = priced(unit)          # as it stands where it has registers or more than MOST_GATES gates

Converters and decoders are functions of few bits: an adder of a constant, a shifter whose lost bits are only ORed, a
comparison with a bound are there, gate by gate, and hardly any of it is left by synthesis.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray

from hwsim.circuit.module import Module
from hwsim.circuit.network import FIRST_GATE, Network, built

MOST_GATES = 700
STEPS = 3  # gates on from a gate, at which a change of it is looked for: about the window of a synthesiser's rewriting
ROUNDS = 2
EXHAUSTIVE = 16  # inputs; beyond, patterns are drawn
WORDS = 1024


@cache
def priced(module: Module) -> tuple[Network, NDArray[np.bool_]]:
    """The network whose gates are counted and toggle, and which of its nodes somebody needs."""
    from hwsim.circuit.kernels import mark
    from hwsim.circuit.registers import followed

    small = simplified(module)
    if small is not None:
        return small, np.ones(len(small.kind), bool)
    net, _ = followed(module)
    return net, np.asarray(mark(net.kind, net.inputs, net.outputs, net.driven))


@cache
def simplified(module: Module) -> Network | None:
    """The module's gates after substitution; None where it has registers, no inputs, or too many gates."""
    from hwsim.circuit.substitute import expanded, recognised, substituted

    net = built(module)
    if len(net.states) or not net.given or np.count_nonzero(net.kind >= FIRST_GATE) > MOST_GATES:
        return None
    patterns = _patterns(net.given)
    inputs, outputs = net.inputs.copy(), net.outputs.copy()
    order = substituted(net.kind, inputs, outputs, patterns, 0, 1)
    kind, inputs, owner, outputs = expanded(net.kind, inputs, outputs, net.owner, order)
    order = substituted(kind, inputs, outputs, patterns, STEPS, ROUNDS)
    kind, size, inputs, owner, outputs = recognised(kind, inputs, outputs, owner, order, net.given)
    return replace(net, kind=kind, size=size, inputs=inputs, owner=owner, outputs=outputs)


@lru_cache(maxsize=256)
def _patterns(inputs: int) -> NDArray[np.uint64]:
    """Words of each input. [inputs, words]: all patterns, in an order in which neighbours differ much; or drawn.

    Drawn ones: in runs of neighbouring inputs bits are even, mostly zeros, mostly ones, zeros or ones; so that an
    exponent is zero, or a significand has one bit.
    """
    if inputs <= EXHAUSTIVE:
        counted = np.arange(max(1 << inputs, 64), dtype=np.uint64) * np.uint64(40503)  # odd: a permutation
        bits = counted[None, :] >> np.arange(inputs, dtype=np.uint64)[:, None] & np.uint64(1)
        return np.packbits(bits.astype(np.uint8), axis=1, bitorder="little").view(np.uint64)
    rng = np.random.default_rng(4096)
    even, second, third = rng.integers(0, 1 << 64, (3, inputs, WORDS), np.uint64)
    starts = rng.random((inputs, WORDS)) < 1 / 6
    starts[0] = True
    run = np.cumsum(starts, axis=0, dtype=np.int64)
    style = np.take_along_axis(rng.choice(5, (inputs + 1, WORDS), p=[0.4, 0.15, 0.15, 0.2, 0.1]), run, axis=0)
    style[:, : WORDS // 4] = 0
    sparse = even & second & third
    return np.choose(style, [even, sparse, ~sparse, np.zeros_like(even), np.full_like(even, ~np.uint64(0))])
