"""Codes to bytes and back: a dense little-endian bit stream, code i in bits i*width .. (i+1)*width - 1."""

from __future__ import annotations

from typing import Any

import numpy as np

from formats.kernels.jit import kernel


@kernel
def pack_nibbles(codes: Any, out: Any) -> None:
    """4-bit codes, the even index in the low half of the byte."""
    pairs = codes.size // 2
    for j in range(pairs):
        out[j] = codes[2 * j] | (codes[2 * j + 1] << 4)
    if codes.size & 1:
        out[pairs] = codes[codes.size - 1]


@kernel
def unpack_nibbles(data: Any, out: Any) -> None:
    """The inverse of pack_nibbles."""
    pairs = out.size // 2
    for j in range(pairs):
        out[2 * j] = data[j] & 15
        out[2 * j + 1] = data[j] >> 4
    if out.size & 1:
        out[out.size - 1] = data[pairs] & 15


@kernel
def pack_six(codes: Any, out: Any) -> None:
    """6-bit codes, four in three bytes; codes.size must be a multiple of four."""
    for j in range(codes.size // 4):
        a, b, c, d = codes[4 * j], codes[4 * j + 1], codes[4 * j + 2], codes[4 * j + 3]
        out[3 * j] = a | (b << 6)
        out[3 * j + 1] = (b >> 2) | (c << 4)
        out[3 * j + 2] = (c >> 4) | (d << 2)


@kernel
def pack_bits(codes: Any, width: Any, out: Any) -> None:
    """Codes of any width up to 32 bits."""
    held, have, at = np.uint64(0), np.uint64(0), 0
    for i in range(codes.size):
        held |= np.uint64(codes[i]) << have
        have += np.uint64(width)
        while have >= np.uint64(8):
            out[at] = np.uint8(held & np.uint64(255))
            held >>= np.uint64(8)
            have -= np.uint64(8)
            at += 1
    if have > np.uint64(0):
        out[at] = np.uint8(held)


@kernel
def unpack_bits(data: Any, width: Any, out: Any) -> None:
    """The inverse of pack_bits."""
    held, have, at = np.uint64(0), np.uint64(0), 0
    mask = (np.uint64(1) << np.uint64(width)) - np.uint64(1)
    for i in range(out.size):
        while have < np.uint64(width):
            held |= np.uint64(data[at]) << have
            have += np.uint64(8)
            at += 1
        out[i] = held & mask
        held >>= np.uint64(width)
        have -= np.uint64(width)
