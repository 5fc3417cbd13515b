"""Cutting an array into blocks, and putting it back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from formats.block import WHOLE, Block


@dataclass(frozen=True, slots=True)
class Cut:
    """How an array of `shape` was cut along `axis`.

    padded: shape with `axis` last (flattened for flat blocks), padding included.  grid: number of blocks per axis of
    `padded`.  extent: block extent per axis of `padded`.
    """

    shape: tuple[int, ...]
    axis: int
    flat: bool
    padded: tuple[int, ...]
    grid: tuple[int, ...]
    extent: tuple[int, ...]

    @property
    def size(self) -> int:
        """Elements a block."""
        return int(np.prod(self.extent, dtype=np.int64))


def divisors(n: int) -> str:
    """The divisors of n, for error messages."""
    return ", ".join(str(d) for d in range(1, min(n, 4096) + 1) if n % d == 0)


def plan_cut(shape: tuple[int, ...], block: Block, axis: int, pad: bool) -> Cut:
    """Where the blocks of an array lie. Raises ValueError for an axis that is not there and for indivisible extents."""
    ndim = len(shape)
    if ndim == 0 and not block.flat:
        raise ValueError("encode: x with shape () has no axis for blocks to run along; pass x.reshape(1) and pad=True")
    if ndim and not -ndim <= axis < ndim:
        raise ValueError(f"encode: axis {axis} is not an axis of x with shape {shape}; use one of {-ndim}..{ndim - 1}")
    axis = axis % ndim if ndim else 0
    if 0 in shape:
        raise ValueError(f"encode: x with shape {shape} is empty, so there is no block to scale")
    moved = shape[:axis] + shape[axis + 1 :] + shape[axis : axis + 1]
    source: tuple[int, ...] = (int(np.prod(shape, dtype=np.int64)),) if block.flat else moved
    if len(block.shape) > len(source):
        raise ValueError(f"encode: a block of shape {block.shape} needs {len(block.shape)} axes, x has shape {shape}")
    lead = len(source) - len(block.shape)
    extent = (1,) * lead + tuple(source[lead + i] if e == WHOLE else e for i, e in enumerate(block.shape))
    grid = tuple(-(-n // e) for n, e in zip(source, extent, strict=True))
    padded = tuple(g * e for g, e in zip(grid, extent, strict=True))
    if padded != source and not pad:
        at = next(i for i in range(len(source)) if padded[i] != source[i])
        axes = [*range(axis), *range(axis + 1, ndim), axis]  # of x, in the order of `source`
        place = "x flattened," if block.flat else f"axis {axes[at] - ndim} of x"
        raise ValueError(
            f"encode: block_size {extent[at]} does not divide {place} with shape {shape}; pass pad=True, or a "
            f"block_size dividing {source[at]}: {divisors(source[at])}"
        )
    return Cut(shape, axis, block.flat, padded, grid, extent)


def to_blocks(x: NDArray[Any], cut: Cut) -> NDArray[Any]:
    """x as a contiguous [blocks, size] array, padded with zeros; a view where x allows one."""
    source = x.reshape(-1) if cut.flat else np.moveaxis(x, cut.axis, -1)
    if source.shape != cut.padded:
        source = np.pad(source, [(0, p - n) for n, p in zip(source.shape, cut.padded, strict=True)])
    return _gather(np.ascontiguousarray(source), cut)


def _gather(stored: NDArray[Any], cut: Cut) -> NDArray[Any]:
    """Stored order (axis last, padded) to [blocks, size]."""
    if all(e == 1 for e in cut.extent[:-1]):
        return stored.reshape(-1, cut.extent[-1])
    pairs = [d for g, e in zip(cut.grid, cut.extent, strict=True) for d in (g, e)]
    order = [2 * i for i in range(len(cut.grid))] + [2 * i + 1 for i in range(len(cut.grid))]
    return np.ascontiguousarray(stored.reshape(pairs).transpose(order)).reshape(-1, cut.size)


def stored_order(blocks: NDArray[Any], cut: Cut) -> NDArray[Any]:
    """[blocks, size] back to stored order: `axis` last, padded."""
    if all(e == 1 for e in cut.extent[:-1]):
        return blocks.reshape(cut.padded)
    n = len(cut.grid)
    order = [d for i in range(n) for d in (i, n + i)]
    return np.ascontiguousarray(blocks.reshape(cut.grid + cut.extent).transpose(order)).reshape(cut.padded)


def from_stored(stored: NDArray[Any], cut: Cut) -> NDArray[Any]:
    """Stored order back to the array's own shape, padding dropped."""
    if cut.flat:
        return stored[: int(np.prod(cut.shape, dtype=np.int64))].reshape(cut.shape)
    moved = cut.shape[: cut.axis] + cut.shape[cut.axis + 1 :] + cut.shape[cut.axis : cut.axis + 1]
    cropped = stored[tuple(slice(0, n) for n in moved)] if stored.shape != moved else stored
    return np.moveaxis(cropped, -1, cut.axis)
