"""The random bits of stochastic rounding on tensors: formats/random_bits.py in signed integers, bit for bit."""

from __future__ import annotations

import torch

from formats.cast import Cast
from formats.random_bits import salt_of

MASK = 0xFFFFFFFF
SHORT = 28  # random bits up to which rounding.py computes in int32 without overflow, a doubled R and a one included


def random_of(x: torch.Tensor, cast: Cast) -> torch.Tensor | None:
    """R of each element of x, by its place in C order; None for the roundings that draw none. See `wraps` for types."""
    if not cast.stochastic:
        return None
    index = torch.arange(x.numel(), dtype=torch.int64, device=x.device).reshape(x.shape)
    if wraps(x, cast):
        salt = salt_of(cast.seed, 0)
        word = _almost_mixed(mix_wrapping(index.to(torch.int32)) ^ (salt - (salt >> 31 << 32)))
        if cast.random_bits > 16:  # the last step of `mix` leaves the upper half as it is
            word = word ^ _shifted(word, 16)
        return _shifted(word, 32 - cast.random_bits)
    low = mix(index & MASK)
    # Beyond 2**32 elements the high word of the index changes what all elements below share.
    salts = salt_of(cast.seed, 0) if x.numel() <= 1 << 32 else _salts(index >> 32, cast.seed)
    return mix(low ^ salts) >> (32 - cast.random_bits)


def wraps(x: torch.Tensor, cast: Cast) -> bool:
    """Whether R comes as int32: of few bits, and on GPUs, where products of int32 wrap around.

    In C++, which Inductor writes for the CPU, signed overflow is undefined; and int64 costs a GPU twice the time.
    """
    return x.device.type != "cpu" and x.dtype == torch.float32 and cast.random_bits < SHORT and x.numel() <= 1 << 32


def _salts(high: torch.Tensor, seed: int) -> torch.Tensor:
    """`salt_of` per element: mix(high + golden) ^ key."""
    from formats.random_bits import GOLDEN

    first = mix(torch.full_like(high, GOLDEN))
    return mix((high + GOLDEN) & MASK) ^ (salt_of(seed, 0) ^ first)


def mix(u: torch.Tensor) -> torch.Tensor:
    """See formats.random_bits.mix; u and the result in 0..2**32 - 1, int64."""
    u = u ^ (u >> 16)
    u = (u * 0x7FEB352D) & MASK  # below 2**63
    u = u ^ (u >> 15)
    u = (u * (0x846CA68B - (1 << 32))) & MASK  # the same mod 2**32, and no less than -2**63
    return u ^ (u >> 16)


def mix_wrapping(u: torch.Tensor) -> torch.Tensor:
    """`mix` in int32, for devices whose products wrap around."""
    u = _almost_mixed(u)
    return u ^ _shifted(u, 16)


def _almost_mixed(u: torch.Tensor) -> torch.Tensor:
    u = (u ^ _shifted(u, 16)) * 0x7FEB352D
    return (u ^ _shifted(u, 15)) * (0x846CA68B - (1 << 32))


def _shifted(u: torch.Tensor, by: int) -> torch.Tensor:
    """int32 moved right, zeros coming in. by: 1..31."""
    return (u >> by) & ((1 << (32 - by)) - 1)
