"""Integers to bit planes and back: 64 vectors a machine word.

Planes are uint64 [width, words]: bit b of vector v is bit v % 64 of word [b, v // 64]. Vectors beyond the last are 0.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Planes = NDArray[np.uint64]


def words_of(vectors: int) -> int:
    """Words that hold so many vectors."""
    return (vectors + 63) // 64


def pack(values: ArrayLike | Sequence[int], width: int) -> Planes:
    """Planes of integers [n], two's complement modulo 2**width; any width (Python ints where 64 bits are too few)."""
    array = np.asarray(values)
    if array.ndim != 1:
        raise ValueError(f"integers of shape {array.shape} arrived; pack takes one axis, [n]")
    if array.dtype == object or (width > 64 and array.dtype.kind in "iu"):
        size = (width + 7) // 8
        mask = (1 << width) - 1
        raw = b"".join((int(value) & mask).to_bytes(size, "little") for value in array)
        octets = np.frombuffer(raw, np.uint8).reshape(len(array), size)
    elif array.dtype.kind in "iub":
        octets = np.ascontiguousarray(array.astype(np.int64 if array.dtype.kind == "i" else np.uint64))
        octets = octets.view(np.uint8).reshape(len(array), 8)
    else:
        raise TypeError(f"values of type {array.dtype} arrived; integers are packed")
    return _planes(octets, width)


def _planes(octets: NDArray[np.uint8], width: int) -> Planes:
    used = octets[:, : (width + 7) // 8]
    bits = np.unpackbits(used, axis=1, count=width, bitorder="little")
    padded = np.zeros((width, words_of(len(octets)) * 64), np.uint8)
    padded[:, : len(octets)] = bits.T
    return np.packbits(padded, axis=1, bitorder="little").view(np.uint64)


def unpack(planes: Planes, vectors: int, *, signed: bool = False) -> NDArray[np.int64] | NDArray[np.object_]:
    """Integers [vectors] of the planes: int64 where they fit it, else Python ints in an object array."""
    width = len(planes)
    bits = np.unpackbits(planes.view(np.uint8), axis=1, count=vectors, bitorder="little")
    octets = np.packbits(np.ascontiguousarray(bits.T), axis=1, bitorder="little")
    if width <= 63 or (signed and width == 64):
        wide = np.zeros((vectors, 8), np.uint8)
        wide[:, : octets.shape[1]] = octets
        values = wide.view(np.int64)[:, 0]
        if signed and 0 < width < 64:
            values = (values << (64 - width)) >> (64 - width)
        return values
    integers = np.empty(vectors, object)
    sign = 1 << (width - 1)
    for index, row in enumerate(octets):
        value = int.from_bytes(row.tobytes(), "little")
        integers[index] = (value ^ sign) - sign if signed else value
    return integers
