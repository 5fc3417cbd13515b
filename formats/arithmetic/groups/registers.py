"""Integer registers that groups add in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from formats.arithmetic.accumulators import Integer

Float = NDArray[np.float64]
BEYOND = 2**61  # terms are clipped to this magnitude: any sum with one of them leaves a register of 53 bits


def _range(how: Integer) -> tuple[int, int]:
    if how.bits > 53:
        raise ValueError(f"matmul: a group's register that may overflow has 53 bits or fewer, got {how}")
    return -(2 ** (how.bits - 1)), 2 ** (how.bits - 1) - 1


def integer_steps(terms: Iterable[NDArray[np.int64]], how: Integer) -> NDArray[np.int64]:
    """The register after adding the terms one by one from zero. Raises ValueError where overflow is an error."""
    low, high = _range(how)
    total: Any = 0
    for number, term in enumerate(terms):
        total = total + term
        if how.overflow == "wrap":
            total = (total - low) % 2**how.bits + low
        elif how.overflow == "saturate":
            total = np.clip(total, low, high)
        elif ((total < low) | (total > high)).any():
            where = tuple(int(i) for i in np.argwhere((total < low) | (total > high))[0])
            held = int(total[where])
            shown = str(held) if abs(held) < BEYOND // 2 else f"beyond {'-' if held < 0 else ''}2**60"
            raise ValueError(
                f"matmul: the partial sum {shown} of output {list(where)} leaves {how}'s range "
                f"{low}..{high} at addition {number}; use a wider register, or overflow='wrap' or 'saturate'"
            )
    return np.asarray(total, np.int64)


def wrapped(parts: Sequence[Float], place: int, how: Integer) -> Float:
    """The parts' sum, multiples of 2**place, modulo the register: such addition does not care for an order."""
    low, _ = _range(how)
    size = 2.0**how.bits
    total = np.zeros(parts[0].shape)
    for part in parts:
        total = (total + np.fmod(np.ldexp(part, -place), size) - low) % size + low
    return np.ldexp(total, place)
