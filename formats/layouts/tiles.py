"""4-bit weights of a matrix in the order of a tensor core's fragments: QServe's 32 x 32 tiles.

Source: mit-han-lab/omniserve 02b2925a, w4a8_linear.py; mit-han-lab/deepcompressor 69f3473f, backend/qserve/utils.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from formats.layouts.base import Bytes, check_size, check_width, count_of

_TO_TILE = (0, 4, 3, 6, 5, 2, 7, 1)  # of the axes of _split: tile, row in 8, 4 columns, halves of columns and of rows
_FROM_TILE = tuple(int(axis) for axis in np.argsort(_TO_TILE))


def matrix_shape(name: str, shape: tuple[int, ...], extent: int) -> tuple[int, int]:
    """Rows and columns of an array read as a matrix; both must be whole tiles."""
    if len(shape) < 2 or (shape[-2] % extent or shape[-1] % extent):
        raise ValueError(
            f"{name}: it holds tiles of {extent} x {extent}: the last two extents must be multiples of {extent}, "
            f"got shape {shape}"
        )
    return count_of(shape[:-1]), shape[-1]


@dataclass(frozen=True, kw_only=True, slots=True)
class QServe:
    """512 bytes a tile of 32 x 32; tiles along a row follow each other.

    A byte holds row n in its low nibble and row n + 16 in its high one; bytes of a tile run over rows 0..7, groups of
    4 columns in 16, halves of 16 columns, halves of 8 rows, columns in 4, the last fastest.
    """

    name: str = "qserve"

    def size(self, shape: tuple[int, ...], bits: int) -> int:
        """Half a byte a code; whole tiles only."""
        check_width(self.name, bits, (4,))
        rows, columns = matrix_shape(self.name, shape, 32)
        return rows * columns // 2

    def pack(self, codes: NDArray[Any], bits: int) -> Bytes:
        """See Layout; codes [..., rows, columns]."""
        self.size(codes.shape, bits)
        pairs = np.ascontiguousarray(self._split(codes, codes.shape).transpose(_TO_TILE)).reshape(-1, 2)
        return np.asarray(pairs[:, 0] | (pairs[:, 1] << 4), np.uint8)

    def unpack(self, data: Bytes, bits: int, shape: tuple[int, ...]) -> NDArray[Any]:
        """See Layout."""
        check_size(self.name, data, shape, bits, self.size(shape, bits))
        rows, columns = matrix_shape(self.name, shape, 32)
        pairs = np.stack([data & 15, data >> 4], axis=-1)
        tiles = pairs.reshape(rows // 32, columns // 32, 8, 4, 2, 2, 4, 2)
        return np.ascontiguousarray(tiles.transpose(_FROM_TILE)).reshape(shape)

    def _split(self, codes: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
        rows, columns = matrix_shape(self.name, shape, 32)
        return np.ascontiguousarray(codes).reshape(rows // 32, 2, 2, 8, columns // 32, 2, 4, 4)


QSERVE = QServe()
