"""Ternary codes: five trits in a byte, plainly or as GGUF's TQ1_0 has them, and the strided 2-bit fields of TQ2_0.

A byte of TQ1_0 is ceil(256 v / 243) of its base-3 number v, so that the digits come out of the top of products by 3.
Source: gguf quants.py (TQ1_0, TQ2_0), ggml-quants.c.
"""

from __future__ import annotations

import numpy as np

from formats.layouts.base import Bytes, Grouped

WEIGHTS = np.array([81, 27, 9, 3, 1], np.uint8)
STEPS = np.array([1, 3, 9, 27, 81], np.uint8)
SHIFTS = np.array([0, 2, 4, 6], np.uint8)[:, None]
SPREAD = ((256 * np.arange(243) + 242) // 243).astype(np.uint8)  # of a base-3 number, what TQ1_0 stores
DIGITS = ((3 * (np.arange(256)[:, None] * STEPS.astype(int) & 255)) >> 8).astype(
    np.uint8
)  # of a stored byte, its trits
PLAIN_DIGITS = (np.arange(256)[:, None] // WEIGHTS % 3).astype(np.uint8)  # of a plain byte; 243 and up: modulo 3**5


def _put_plain(codes: Bytes) -> Bytes:
    from formats.kernels.trits import pack_base3

    out = np.empty((codes.shape[0], 1), np.uint8)
    pack_base3(codes.reshape(-1), out.reshape(-1))
    return out


def _take_plain(data: Bytes) -> Bytes:
    return np.asarray(PLAIN_DIGITS[data[:, 0]])


def _numbers(codes: Bytes, stride: int, trits: int) -> Bytes:
    """Stored bytes of codes [blocks, trits * stride]: byte m has the trits m, m + stride, ..., the first on top."""
    strided = codes.reshape(-1, trits, stride)
    number = (strided * WEIGHTS[:trits, None]).sum(axis=1, dtype=np.uint16)
    return np.asarray(SPREAD[number])


def _trits(data: Bytes, trits: int) -> Bytes:
    digits = DIGITS[data][..., :trits].transpose(0, 2, 1)
    return np.asarray(digits).reshape(data.shape[0], trits * data.shape[1])


def _put_tq1(codes: Bytes) -> Bytes:
    parts = (_numbers(codes[:, :160], 32, 5), _numbers(codes[:, 160:240], 16, 5), _numbers(codes[:, 240:], 4, 4))
    return np.concatenate(parts, axis=1)


def _take_tq1(data: Bytes) -> Bytes:
    parts = (_trits(data[:, :32], 5), _trits(data[:, 32:48], 5), _trits(data[:, 48:], 4))
    return np.concatenate(parts, axis=1)


def _put_tq2(codes: Bytes) -> Bytes:
    return np.asarray(np.bitwise_or.reduce(codes.reshape(-1, 2, 4, 32) << SHIFTS, axis=2)).reshape(-1, 64)


def _take_tq2(data: Bytes) -> Bytes:
    return np.asarray(data.reshape(-1, 2, 1, 32) >> SHIFTS & np.uint8(3)).reshape(-1, 256)


BASE3 = Grouped(name="base3", widths=(2,), codes=5, nbytes=1, put=_put_plain, take=_take_plain)
TQ1_0 = Grouped(name="gguf_tq1_0", widths=(2,), codes=256, nbytes=52, put=_put_tq1, take=_take_tq1)
TQ2_0 = Grouped(name="gguf_tq2_0", widths=(2,), codes=256, nbytes=64, put=_put_tq2, take=_take_tq2)
