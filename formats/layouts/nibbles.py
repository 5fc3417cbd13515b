"""4-bit codes, two in a byte, and the fifth bits of 5-bit codes apart: which two share a byte differs by maker.

Sources: ggml-quants.c and gguf quants.py (halves); bitsandbytes 95f9af30, backends/default/ops.py (high nibble first).
"""

from __future__ import annotations

import numpy as np

from formats.layouts.base import Bytes, Grouped


def halves(name: str, block: int, codes: int | None = None) -> Grouped:
    """In blocks of `block` codes byte j holds code j in its low nibble and code j + block / 2 in its high one.

    codes: the codes a group, a multiple of `block`, where a record of a file holds several blocks.
    """
    half, group = block // 2, codes or block

    def put(codes: Bytes) -> Bytes:
        two = codes.reshape(-1, 2, half)
        return np.asarray(two[:, 0] | (two[:, 1] << 4)).reshape(-1, group // 2)

    def take(data: Bytes) -> Bytes:
        rows = data.reshape(-1, 1, half)
        return np.concatenate([rows & 15, rows >> 4], axis=1).reshape(-1, group)

    return Grouped(name=name, widths=(4,), codes=group, nbytes=group // 2, put=put, take=take)


def _put_high_first(codes: Bytes) -> Bytes:
    return np.asarray((codes[:, :1] << 4) | codes[:, 1:])


def _take_high_first(data: Bytes) -> Bytes:
    return np.concatenate([data >> 4, data & 15], axis=1)


def _put_fives(codes: Bytes) -> Bytes:
    high = np.packbits(codes >> 4, axis=1, bitorder="little")
    return np.concatenate([high, (codes[:, :16] & 15) | (codes[:, 16:] << 4)], axis=1)


def _take_fives(data: Bytes) -> Bytes:
    high = np.unpackbits(data[:, :4], axis=1, bitorder="little") << 4
    low = np.concatenate([data[:, 4:] & 15, data[:, 4:] >> 4], axis=1)
    return np.asarray(low | high)


def _same(data: Bytes) -> Bytes:
    return data


HIGH_FIRST = Grouped(name="high_first", widths=(4,), codes=2, nbytes=1, put=_put_high_first, take=_take_high_first)
FIVES = Grouped(name="gguf_q5", widths=(5,), codes=32, nbytes=20, put=_put_fives, take=_take_fives)
EIGHTS = Grouped(name="gguf_q8", widths=(8,), codes=32, nbytes=32, put=_same, take=_same)
