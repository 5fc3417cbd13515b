"""6- and 5-bit codes split by width: the top two bits (or one) in one segment, the low four in the next.

"segments" keeps the order of the codes; "fp6_llm" is the order of FP6-LLM's kernels: 64 x 16 panels of a matrix, each
16 x 16 fragment dealt to 32 threads, 32-bit words of the threads side by side, fields within a word permuted.
Source: usyd-fsalab/fp6_llm 9802c5ab, fp6_llm/csrc/utils/weight_prepacking.h.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from formats.layouts.base import Bytes, check_size, check_width, count_of
from formats.layouts.tiles import matrix_shape

WIDTHS = (5, 6)
_ORDER = {  # place i from the top of a permuted word holds field ORDER[i] from the top of the word
    1: np.array([2, 6, 10, 14, 18, 22, 26, 30, 4, 8, 12, 16, 20, 24, 28, 32,
                 1, 5, 9, 13, 17, 21, 25, 29, 3, 7, 11, 15, 19, 23, 27, 31]) - 1,
    2: np.array([2, 6, 10, 14, 4, 8, 12, 16, 1, 5, 9, 13, 3, 7, 11, 15]) - 1,
    4: np.array([2, 6, 4, 8, 1, 5, 3, 7]) - 1,
}  # fmt: skip


def _put_fields(fields: NDArray[Any], width: int) -> Bytes:
    """Fields of 1, 2 or 4 bits, the first in the lowest bits of a byte; the last byte filled with zeros."""
    each = 8 // width
    padded = np.concatenate([fields, np.zeros(-fields.size % each, fields.dtype)]).reshape(-1, each)
    shifts = (width * np.arange(each)).astype(np.uint8)
    return np.asarray(np.bitwise_or.reduce(padded.astype(np.uint8) << shifts, axis=1))


def _take_fields(data: Bytes, width: int, count: int) -> Bytes:
    shifts = (width * np.arange(8 // width)).astype(np.uint8)
    return np.asarray(data[:, None] >> shifts & np.uint8((1 << width) - 1)).reshape(-1)[:count]


@dataclass(frozen=True, kw_only=True, slots=True)
class Segments:
    """All high fields (bits - 4 wide), then all low nibbles, each in the order of the codes, lowest bits first."""

    name: str = "segments"

    def size(self, shape: tuple[int, ...], bits: int) -> int:
        """Both segments, each padded to a byte."""
        check_width(self.name, bits, WIDTHS)
        count = count_of(shape)
        return -(-count * (bits - 4) // 8) + -(-count // 2)

    def pack(self, codes: NDArray[Any], bits: int) -> Bytes:
        """See Layout."""
        check_width(self.name, bits, WIDTHS)
        flat = np.ascontiguousarray(codes).reshape(-1)
        return np.concatenate([_put_fields(flat >> 4, bits - 4), _put_fields(flat & 15, 4)])

    def unpack(self, data: Bytes, bits: int, shape: tuple[int, ...]) -> NDArray[Any]:
        """See Layout."""
        check_size(self.name, data, shape, bits, self.size(shape, bits))
        count = count_of(shape)
        first = -(-count * (bits - 4) // 8)
        high, low = _take_fields(data[:first], bits - 4, count), _take_fields(data[first:], 4, count)
        return (high << 4 | low).reshape(shape)


@dataclass(frozen=True, kw_only=True, slots=True)
class FP6LLM:
    """The prepacked weights of FP6-LLM, bytes of the high segment first. Extents must be multiples of 64."""

    name: str = "fp6_llm"

    def size(self, shape: tuple[int, ...], bits: int) -> int:
        """`bits` bits a code."""
        check_width(self.name, bits, WIDTHS)
        rows, columns = matrix_shape(self.name, shape, 64)
        return rows * columns * bits // 8

    def pack(self, codes: NDArray[Any], bits: int) -> Bytes:
        """See Layout; codes [..., rows, columns]."""
        self.size(codes.shape, bits)
        threads = _deal(codes, *matrix_shape(self.name, codes.shape, 64))
        return np.concatenate([_put_words(threads >> 4, bits - 4), _put_words(threads & 15, 4)])

    def unpack(self, data: Bytes, bits: int, shape: tuple[int, ...]) -> NDArray[Any]:
        """See Layout."""
        check_size(self.name, data, shape, bits, self.size(shape, bits))
        first = count_of(shape) * (bits - 4) // 8
        threads = _take_words(data[:first], bits - 4) << 4 | _take_words(data[first:], 4)
        return _collect(threads, *matrix_shape(self.name, shape, 64)).reshape(shape)


# Axes of a matrix split for dealing: panel of 64 rows, 16 rows in it, half of 8, row; panel of 16 columns, half, pair,
# one of the pair. A thread is (row, pair); its codes run over row panels, column panels, 16 rows, then the halves.
_DEAL = (3, 6, 0, 4, 1, 5, 2, 7)
_COLLECT = tuple(int(axis) for axis in np.argsort(_DEAL))


def _deal(codes: NDArray[Any], rows: int, columns: int) -> Bytes:
    """Codes [32 threads, codes of a thread]."""
    split = np.ascontiguousarray(codes).reshape(rows // 64, 4, 2, 8, columns // 16, 2, 4, 2)
    return np.ascontiguousarray(split.transpose(_DEAL), np.uint8).reshape(32, -1)


def _collect(threads: Bytes, rows: int, columns: int) -> Bytes:
    split = threads.reshape(8, 4, rows // 64, columns // 16, 4, 2, 2, 2)
    return np.ascontiguousarray(split.transpose(_COLLECT))


def _put_words(fields: Bytes, width: int) -> Bytes:
    """Fields [32, n] as words: word i of thread t is word 32 i + t, little-endian, its first place on top."""
    each = 32 // width
    words = fields.reshape(32, -1, each)[..., _ORDER[width]].astype(np.uint32)
    shifts = (width * np.arange(each)[::-1]).astype(np.uint32)
    return (
        np.ascontiguousarray(np.bitwise_or.reduce(words << shifts, axis=-1).T).astype("<u4").view(np.uint8).reshape(-1)
    )


def _take_words(data: Bytes, width: int) -> Bytes:
    each = 32 // width
    words = np.ascontiguousarray(data).view("<u4").reshape(-1, 32).T
    shifts = (width * np.arange(each)[::-1]).astype(np.uint32)
    fields = np.empty((32, words.shape[1], each), np.uint8)
    fields[..., _ORDER[width]] = words[..., None] >> shifts & np.uint32((1 << width) - 1)
    return fields.reshape(32, -1)


SEGMENTS, FP6_LLM = Segments(), FP6LLM()
