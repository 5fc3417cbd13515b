"""Toggles of a module's gates for given operands: settled ones, and with glitches under a delay of one per gate.

    toggled(pe.module(), {"a": codes, "b": codes, "clear": zeros})

64 stretches of the series run side by side, one in each bit of a word; registers start at zero, so the first cycles of
each stretch are not counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hwsim.circuit.module import Module
from hwsim.circuit.simplify import priced

STREAMS = 64
CYCLES = 40  # of each stretch
WARM_UP_CYCLES = 28  # sums have grown, and a register's top bits move as they do later
GLITCH_CYCLES = 6  # the costly part: 64 x 6 transitions


@dataclass(frozen=True, slots=True, eq=False)
class Activity:
    """Toggles a cycle of every node of the module's network (`priced`): settled, and with glitches. Both [n]."""

    settled: NDArray[np.float64]
    glitching: NDArray[np.float64]


def toggled(module: Module, series: Mapping[str, ArrayLike]) -> Activity:
    """series: for every input port unsigned patterns of at least 2,560 consecutive cycles; more are not looked at."""
    from hwsim.circuit.kernels import toggles

    net, needed = priced(module)
    words = [stretched(series[wire.name], wire.width) for wire in module.inputs]
    stream = np.concatenate(words, axis=1) if words else np.zeros((CYCLES, 0), np.uint64)
    settled, glitching = toggles(
        net.kind, net.inputs, needed, net.states, net.driven, net.given, stream, WARM_UP_CYCLES, GLITCH_CYCLES
    )
    return Activity(settled / (STREAMS * (CYCLES - WARM_UP_CYCLES)), glitching / (STREAMS * GLITCH_CYCLES))


def stretched(series: ArrayLike, width: int) -> NDArray[np.uint64]:
    """A series of patterns cut into 64 stretches: words [CYCLES, width], bit s of a word from stretch s."""
    patterns = np.asarray(series)
    if len(patterns) < STREAMS * CYCLES:
        raise ValueError(f"toggled: needs patterns of {STREAMS * CYCLES} cycles, got {len(patterns)}")
    bits = _bits(patterns[: STREAMS * CYCLES], width).reshape(STREAMS, CYCLES, width).transpose(1, 2, 0)
    packed = np.packbits(np.ascontiguousarray(bits), axis=-1, bitorder="little")
    found: NDArray[np.uint64] = packed.view("<u8")[:, :, 0].astype(np.uint64)
    return found


def _bits(patterns: NDArray[np.generic], width: int) -> NDArray[np.uint8]:
    """0 and 1, the lowest bit first. [n, width]"""
    if patterns.dtype.kind in "iu":
        raw = patterns.astype("<u8").view(np.uint8).reshape(-1, 8)
    else:
        size = -(-width // 8)
        raw = np.frombuffer(b"".join(int(x).to_bytes(size, "little") for x in patterns.tolist()), np.uint8)
        raw = raw.reshape(-1, size)
    return np.unpackbits(raw, axis=1, count=width, bitorder="little")
