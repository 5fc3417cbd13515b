"""The random bits of stochastic rounding: a function of a seed and an element's place, and of nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

GOLDEN = 0x9E3779B9  # 2**32 / golden ratio, so that a zero high word is no fixed point of `mix`


def mix(u: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """A bijection of 32-bit words that spreads every input bit over all output bits.

    u ^= u >> 16; u *= 0x7feb352d; u ^= u >> 15; u *= 0x846ca68b; u ^= u >> 16, all modulo 2**32.
    Source: Chris Wellons' "lowbias32" (hash-prospector), public domain.
    """
    u = u ^ (u >> np.uint32(16))
    u = u * np.uint32(0x7FEB352D)
    u = u ^ (u >> np.uint32(15))
    u = u * np.uint32(0x846CA68B)
    return u ^ (u >> np.uint32(16))


def key_of(seed: int) -> int:
    """What a seed (0..2**64 - 1) puts into every element's hash."""
    return int(mix(mix(_words(seed)) ^ _words(seed >> 32))[0])


def salt_of(seed: int, index_high: int) -> int:
    """What all elements share whose index has that high word: r = mix(mix(index mod 2**32) ^ salt)."""
    return int(mix(_words(index_high + GOLDEN))[0]) ^ key_of(seed)


def random_bits_of(seed: int, indices: Any, n: int) -> NDArray[np.uint32]:
    """R of each element: the top n bits of a 32-bit hash of (seed, index).

    seed: 0..2**64 - 1.  indices: integers 0..2**63 - 1 of any shape, an element's place in its array in C order; the
    same shape is returned.  n: 1..32.

        key = mix(mix(seed mod 2**32) ^ (seed >> 32))
        r   = mix(mix(index mod 2**32) ^ mix((index >> 32) + 0x9e3779b9) ^ key)        R = r >> (32 - n)

    Only 32-bit integer operations, so that every backend gives the same bits. Not for cryptography.
    """
    if not 1 <= n <= 32:
        raise ValueError(f"random_bits_of: n must be 1..32, got {n}")
    index = np.asarray(indices, np.uint64)
    low, high = (index & np.uint64(0xFFFFFFFF)).astype(np.uint32), (index >> np.uint64(32)).astype(np.uint32)
    # Arrays throughout: numpy warns where a scalar wraps, and wrapping is what is wanted.
    shape, low, high = low.shape, low.reshape(-1), high.reshape(-1)
    r = mix(mix(low) ^ mix(high + _words(GOLDEN)) ^ _words(key_of(seed)))
    return (r >> np.uint32(32 - n)).reshape(shape)


def _words(x: int) -> NDArray[np.uint32]:
    return np.array([x & 0xFFFFFFFF], np.uint32)
