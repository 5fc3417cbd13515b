"""Bytes: codes packed into a dense stream, and nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from formats.plans import code_dtype


def packed_size(count: int, bits: int) -> int:
    """Bytes that `count` codes of `bits` bits take."""
    return (count * bits + 7) // 8


def pack(codes: NDArray[Any], bits: int, out: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
    """Codes of any shape as a little-endian bit stream in C order: code i sits in bits i*bits .. (i+1)*bits - 1.

    So 4-bit codes go low nibble first, and 8-bit codes are themselves. The last byte is padded with zeros.
    """
    from formats.kernels import pack as kernels

    flat = np.ascontiguousarray(codes).reshape(-1)
    if out is None:
        out = np.empty(packed_size(flat.size, bits), np.uint8)
    if bits % 8 == 0 and bits <= 32 and flat.dtype.itemsize * 8 == bits:
        out[:] = flat.astype(flat.dtype.newbyteorder("<"), copy=False).view(np.uint8)
    elif bits == 4:
        kernels.pack_nibbles(flat, out)
    elif bits == 6 and flat.size % 4 == 0 and flat.dtype == np.uint8:
        kernels.pack_six(flat, out)
    elif bits == 64:
        out[:] = flat.view(np.uint8)
    else:
        kernels.pack_bits(flat, bits, out)
    return out


def unpack(data: NDArray[np.uint8], bits: int, count: int) -> NDArray[Any]:
    """The first `count` codes of a packed stream, in the smallest unsigned type that holds one."""
    from formats.kernels import pack as kernels

    if data.size != packed_size(count, bits):
        raise ValueError(f"unpack: {count} codes of {bits} bits take {packed_size(count, bits)} bytes, got {data.size}")
    dtype = code_dtype(bits)
    if bits in (8, 16, 32, 64):
        stored: NDArray[Any] = np.ascontiguousarray(data).view(np.dtype(dtype).newbyteorder("<"))
        return stored.astype(dtype, copy=False)
    out = np.empty(count, dtype)
    if bits == 4:
        kernels.unpack_nibbles(data, out)
    else:
        kernels.unpack_bits(data, bits, out)
    return out
