"""The random bits of stochastic rounding on tensors: formats/random_bits.py in int64, bit for bit."""

from __future__ import annotations

import torch

from formats.cast import Cast
from formats.random_bits import salt_of

MASK = 0xFFFFFFFF


def random_of(x: torch.Tensor, cast: Cast) -> torch.Tensor | None:
    """R of each element of x, by its place in C order; None for the roundings that draw none."""
    if not cast.stochastic:
        return None
    index = torch.arange(x.numel(), dtype=torch.int64, device=x.device).reshape(x.shape)
    low = mix(index & MASK)
    # Beyond 2**32 elements the high word of the index changes what all elements below share.
    salt = salt_of(cast.seed, 0) if x.numel() <= 1 << 32 else _salts(index >> 32, cast.seed)
    return mix(low ^ salt) >> (32 - cast.random_bits)


def _salts(high: torch.Tensor, seed: int) -> torch.Tensor:
    """`salt_of` per element: mix(high + golden) ^ key."""
    from formats.random_bits import GOLDEN

    first = mix(torch.full_like(high, GOLDEN))
    return mix((high + GOLDEN) & MASK) ^ (salt_of(seed, 0) ^ first)


def mix(u: torch.Tensor) -> torch.Tensor:
    """See formats.random_bits.mix; u and the result in 0..2**32 - 1."""
    u = u ^ (u >> 16)
    u = _times(u, 0x7FEB352D)
    u = u ^ (u >> 15)
    u = _times(u, 0x846CA68B)
    return u ^ (u >> 16)


def _times(u: torch.Tensor, factor: int) -> torch.Tensor:
    """u * factor mod 2**32, in halves: a signed product beyond 2**63 is undefined in C++."""
    return (u * (factor & 0xFFFF) + (((u * (factor >> 16)) & 0xFFFF) << 16)) & MASK
