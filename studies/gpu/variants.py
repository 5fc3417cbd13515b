"""Other ways to compute the same values, timed beside the ones in formats/torch_ops to see whether they would pay."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from formats.cast import Cast
from formats.torch_ops.lattice import Lattice, lattice_of
from formats.torch_ops.table import table_of
from formats.torch_ops.words import W32


def by_addition(fmt: Any) -> Callable[[torch.Tensor], torch.Tensor]:
    """A minifloat to nearest even, saturating: |x| + C - C, C the power of two whose last place is x's last place."""
    lattice = lattice_of(fmt, W32)
    assert isinstance(lattice, Lattice)
    first, lift, top = lattice.first << 23, (23 - lattice.trailing) << 23, lattice.limits[0]

    def run(x: torch.Tensor) -> torch.Tensor:
        w = x.view(torch.int32)
        u = w & 0x7FFFFFFF
        kept = u.clamp(max=top)
        big = ((kept & 0x7F800000).clamp(min=first) + lift).view(torch.float32)
        out = ((kept.view(torch.float32) + big) - big).view(torch.int32) | (w & W32.sign)
        return torch.where(u > 0x7F800000, (w & W32.sign) | 0x7FC00000, out).view(torch.float32)

    return run


def mx_by_products(fmt: Any, emax: int) -> Callable[[torch.Tensor], torch.Tensor]:
    """MX of 32 under rule floor: multiplied by the inverse scale, rounded by addition, multiplied back."""
    inner = by_addition(fmt)

    def run(x: torch.Tensor) -> torch.Tensor:
        blocks = x.reshape(-1, 32)
        amax = (blocks.view(torch.int32) & 0x7FFFFFFF).amax(-1, keepdim=True)
        code = ((amax >> 23) - emax).clamp(min=1, max=253)
        inverse, scale = ((254 - code) << 23).view(torch.float32), (code << 23).view(torch.float32)
        out = inner(blocks * inverse) * scale
        return torch.where(amax >= 0x7F800000, float("nan"), out).reshape(x.shape)

    return run


def tree_tables(fmt: Any, cast: Cast, device: str) -> tuple[torch.Tensor, torch.Tensor, int]:
    """Keys level by level (root at 1) and values, for `bisect`; padded to a power of two with the largest key."""
    table = table_of(fmt, cast, W32)
    steps = (len(table.codes) - 1).bit_length()
    size = 1 << steps
    keys = [*table.keys, *[W32.magnitude] * (size - 1 - len(table.keys))]
    values = [*table.values, *[table.values[-1]] * (size - len(table.values))]
    tree = [0] * size

    def fill(node: int, low: int, high: int) -> None:
        if node < size:
            middle = (low + high) // 2
            tree[node] = keys[middle]
            fill(2 * node, low, middle)
            fill(2 * node + 1, middle + 1, high)

    fill(1, 0, size - 1)
    made = [torch.tensor(data, dtype=torch.int32, device=device) for data in (tree, values)]
    return made[0], made[1], steps


def by_tree(fmt: Any, cast: Cast, device: str) -> Callable[[torch.Tensor], torch.Tensor]:
    """A table by bisection, in tensor operations."""
    tree, values, steps = tree_tables(fmt, cast, device)

    def run(x: torch.Tensor) -> torch.Tensor:
        w = x.view(torch.int32)
        key = w ^ ((w >> 31) & 0x7FFFFFFF)
        node = torch.ones_like(w)
        for _ in range(steps):
            node = 2 * node + (key > tree[node]).to(torch.int32)
        out = values[node - (1 << steps)]
        return torch.where((w & 0x7FFFFFFF) > 0x7F800000, 0, out).view(torch.float32)

    return run


def by_upper_half(fmt: Any, cast: Cast, device: str) -> Callable[[torch.Tensor], torch.Tensor]:
    """A table by the upper 16 bits of a float, which name its interval or the two on either side of one threshold.

    Only right where no two thresholds share their upper 16 bits.
    """
    table = table_of(fmt, cast, W32)
    keys = torch.tensor(table.keys, dtype=torch.int32)
    starts = (torch.arange(65536, dtype=torch.int64) - 32768).to(torch.int32) << 16
    first = torch.bucketize(starts, keys).to(torch.int32).to(device)
    bound = torch.tensor([*table.keys, W32.magnitude], dtype=torch.int32, device=device)
    values = torch.tensor(table.values, dtype=torch.int32, device=device)

    def run(x: torch.Tensor) -> torch.Tensor:
        w = x.view(torch.int32)
        key = w ^ ((w >> 31) & 0x7FFFFFFF)
        at = first[(key >> 16) + 32768]
        at = at + (key > bound[at]).to(torch.int32)
        return torch.where((w & 0x7FFFFFFF) > 0x7F800000, 0, values[at]).view(torch.float32)

    return run
