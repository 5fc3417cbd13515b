"""Codes to bytes and back: a dense little-endian bit stream, code i in bits i*width .. (i+1)*width - 1.

Codes must fit their width: nothing is cut off. Up to 7 bits, eight codes are `width` bytes, and the loop over them is a
vector loop once the compiler has written out all shifts. Wider, 64 codes are `width` words of 64 bits: read as such
words an array of 2- or 4-byte codes holds 4 or 2 of them in each, neighbouring lanes are joined (of 16 bits, then of
32), and the pieces follow each other in the words of the stream, as a little-endian machine holds them.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from formats.kernels.jit import kernel

U64 = np.uint64
PIECE = 1 << 16  # codes of a wide type made narrow at a time


def pack_bits(codes: Any, width: int, out: Any) -> None:
    """Codes (a contiguous vector of any integer type) of 1 to 32 bits into bytes, the last one padded with zeros."""
    if width >= 8:
        _pack_wide(codes, width, out)
    elif codes.dtype == np.uint8:
        _narrow(width)[0](codes, out)
    else:
        for start in range(0, codes.size, PIECE):
            pack_bits(codes[start : start + PIECE].astype(np.uint8), width, out[start * width // 8 :])


def unpack_bits(data: Any, width: int, out: Any) -> None:
    """The inverse of pack_bits; out holds integers at least `width` bits wide."""
    if width < 8:
        _narrow(width)[1](data, out)
    else:
        _unpack_wide(data, width, out)


def pack_nibbles(codes: Any, out: Any) -> None:
    """4-bit codes, the even index in the low half of the byte."""
    pack_bits(codes, 4, out)


def unpack_nibbles(data: Any, out: Any) -> None:
    """The inverse of pack_nibbles."""
    unpack_bits(data, 4, out)


def pack_six(codes: Any, out: Any) -> None:
    """6-bit codes, four in three bytes."""
    pack_bits(codes, 6, out)


@cache
def _narrow(width: int) -> tuple[Any, Any]:
    """Packing and unpacking of codes of that width, below 8 bits: to the compiler it is a constant."""
    mask = 2**width - 1

    @kernel
    def pack(codes: Any, out: Any) -> None:
        groups = codes.size // 8
        for j in range(groups):
            for at in range(width):
                byte = 0
                for k in range(8):
                    up = k * width - 8 * at  # from bit 0 of the byte to that of the code
                    if 0 <= up < 8:
                        byte |= codes[8 * j + k] << up
                    elif -width < up < 0:
                        byte |= codes[8 * j + k] >> -up
                out[width * j + at] = byte
        _pack_slowly(codes[8 * groups :], width, out[width * groups :])

    @kernel
    def unpack(data: Any, out: Any) -> None:
        groups = out.size // 8
        for j in range(groups):
            for k in range(8):
                code = 0
                for at in range(width):
                    up = k * width - 8 * at
                    if 0 <= up < 8:
                        code |= data[width * j + at] >> up
                    elif -width < up < 0:
                        code |= data[width * j + at] << -up
                out[8 * j + k] = code & mask
        _unpack_slowly(data[width * groups :], width, out[8 * groups :])

    return pack, unpack


@kernel
def _pack_wide(codes: Any, width: Any, out: Any) -> None:
    """Whole words, then what is left."""
    lane = 8 * codes.itemsize
    done = codes.size // 64 * 64 if width < lane else 0
    _pack_words(codes[:done].view(np.uint64), lane, width, out[: done * width // 8].view(np.uint64))
    _pack_slowly(codes[done:], width, out[done * width // 8 :])


@kernel
def _unpack_wide(data: Any, width: Any, out: Any) -> None:
    """The inverse of _pack_wide."""
    lane = 8 * out.itemsize
    done = out.size // 64 * 64 if width < lane else 0
    _unpack_words(data[: done * width // 8].view(np.uint64), lane, width, out[:done].view(np.uint64))
    _unpack_slowly(data[done * width // 8 :], width, out[done:])


@kernel
def _joints(lane: Any, width: Any) -> Any:
    """For each step of joining: how far the upper field moves, the place of the lower fields, and of the upper ones.

    Fields of `width` bits at the bottom of lanes of `lane` bits become fields of twice that in lanes of twice that.
    """
    move, lower, upper = np.zeros(2, np.uint64), np.full(2, ~U64(0)), np.zeros(2, np.uint64)
    for step in range(2):
        if lane < 64:
            lower[step] = U64(0)
            for at in range(0, 64, 2 * lane):
                lower[step] |= ((U64(1) << U64(width)) - U64(1)) << U64(at)
            upper[step] = lower[step] << U64(width)
            move[step] = U64(lane - width)
            lane, width = 2 * lane, 2 * width
    return move, lower, upper


@kernel
def _pack_words(codes: Any, lane: Any, width: Any, out: Any) -> None:
    """Words of lanes to words of the stream."""
    move, lower, upper = _joints(lane, width)
    m0, m1 = move[0], move[1]
    l0, l1 = lower[0], lower[1]
    u0, u1 = upper[0], upper[1]
    piece = U64(64 // lane * width)
    held, have, at = U64(0), U64(0), 0
    for j in range(codes.size):
        x = codes[j]
        x = (x & l0) | ((x >> m0) & u0)
        x = (x & l1) | ((x >> m1) & u1)
        held |= x << have
        have += piece
        if have >= U64(64):
            out[at] = held
            at += 1
            have -= U64(64)
            held = x >> (piece - have)


@kernel
def _unpack_words(data: Any, lane: Any, width: Any, out: Any) -> None:
    """The inverse of _pack_words."""
    move, lower, upper = _joints(lane, width)
    m0, m1 = move[0], move[1]
    l0, l1 = lower[0], lower[1]
    u0, u1 = upper[0], upper[1]
    piece = U64(64 // lane * width)
    mask = (U64(1) << piece) - U64(1)
    held, have, at = U64(0), U64(0), 0
    for j in range(out.size):
        x = held
        if have < piece:
            after = data[at]
            at += 1
            x = held | (after << have)
            held = after >> (piece - have)
            have += U64(64) - piece
        else:
            held >>= piece
            have -= piece
        x &= mask
        x = (x & l1) | ((x & u1) << m1)
        out[j] = (x & l0) | ((x & u0) << m0)


@kernel
def _pack_slowly(codes: Any, width: Any, out: Any) -> None:
    """Code by code."""
    held, have, at = U64(0), U64(0), 0
    for i in range(codes.size):
        held |= U64(codes[i]) << have
        have += U64(width)
        while have >= U64(8):
            out[at] = np.uint8(held & U64(255))
            held >>= U64(8)
            have -= U64(8)
            at += 1
    if have > U64(0):
        out[at] = np.uint8(held)


@kernel
def _unpack_slowly(data: Any, width: Any, out: Any) -> None:
    """Code by code."""
    held, have, at = U64(0), U64(0), 0
    mask = (U64(1) << U64(width)) - U64(1)
    for i in range(out.size):
        while have < U64(width):
            held |= U64(data[at]) << have
            have += U64(8)
            at += 1
        out[i] = held & mask
        held >>= U64(width)
        have -= U64(width)
