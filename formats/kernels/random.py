"""The hash of formats/random_bits.py for one element, inline in a loop.

Beside its plan a stochastic kernel holds two integers, N and which of the three roundings it is, and takes its random
bits from one of two places: `draws`, an array of 32 bits an element, or, where that is empty, the element's number
(`first` is the first one's, uint32) and `salt`, which all elements share (random_bits.salt_of). A run of numbers must
not pass 2**32, where the salt changes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from formats.kernels.jit import kernel

U32, I32 = np.uint32, np.int32


@kernel
def mix(u: Any) -> Any:
    """random_bits.mix of one uint32. numba makes uint64 of every sum and product; casting back keeps 16 lanes."""
    u1 = U32(u ^ U32(u >> U32(16)))
    u2 = U32(u1 * U32(0x7FEB352D))
    u3 = U32(u2 ^ U32(u2 >> U32(15)))
    u4 = U32(u3 * U32(0x846CA68B))
    return U32(u4 ^ U32(u4 >> U32(16)))


@kernel
def draw(index: Any, salt: Any) -> Any:
    """The 32 random bits r of the element whose index has that low word (uint32)."""
    return mix(U32(mix(index) ^ salt))


@kernel
def fill(first: Any, salt: Any, out: Any) -> None:
    """out[i] = the random bits of element first + i."""
    for i in range(out.size):
        out[i] = draw(U32(first + U32(i)), salt)


@kernel
def fill_indexed(index: Any, key: Any, golden: Any, out: Any) -> None:
    """out[i] = the random bits of element index[i] (int64)."""
    for i in range(out.size):
        high = mix(U32(U32(index[i] >> np.int64(32)) + golden))
        out[i] = mix(U32(U32(mix(U32(index[i])) ^ high) ^ key))
