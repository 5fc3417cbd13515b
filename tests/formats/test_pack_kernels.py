"""The bit stream against one large integer, for every width, type and length that packs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from formats.kernels import pack as kernels
from formats.layout import packed_size

TYPES = (np.uint8, np.uint16, np.uint32, np.uint64, np.int16, np.int64)
CASES = [(width, dtype) for width in range(1, 33) for dtype in TYPES if width <= np.iinfo(dtype).max.bit_length()]
SIZES = (0, 1, 2, 3, 7, 8, 9, 15, 63, 64, 65, 127, 128, 200, 1031)


def stream(codes: NDArray[Any], width: int) -> bytes:
    """The definition: code i times 2**(i * width), all added up."""
    digits = "".join(f"{int(code):0{width}b}" for code in codes[::-1])  # their sum, written down in base 2
    return int(digits or "0", 2).to_bytes(packed_size(codes.size, width), "little")


def some_codes(width: int, dtype: Any, size: int) -> NDArray[Any]:
    """Random codes, the largest among them."""
    codes = np.random.default_rng(width * 1000 + size).integers(0, 2**width, size, dtype=np.uint64).astype(dtype)
    codes[size // 2 : size // 2 + 3] = 2**width - 1
    return codes


@pytest.mark.parametrize(("width", "dtype"), CASES, ids=lambda case: getattr(case, "__name__", str(case)))
def test_packing_equals_one_large_integer_and_back(width: int, dtype: Any) -> None:
    for size in SIZES:
        codes = some_codes(width, dtype, size)
        out = np.full(packed_size(size, width), 0xEE, np.uint8)
        kernels.pack_bits(codes, width, out)
        assert out.tobytes() == stream(codes, width)
        back = np.full(size, 1, dtype)
        kernels.unpack_bits(out, width, back)
        assert (back == codes).all()


def test_a_wide_type_over_several_pieces() -> None:
    codes = some_codes(5, np.int64, 2 * kernels.PIECE + 13)
    narrow, wide = (np.empty(packed_size(codes.size, 5), np.uint8) for _ in range(2))
    kernels.pack_bits(codes, 5, wide)
    kernels.pack_bits(codes.astype(np.uint8), 5, narrow)
    assert (wide == narrow).all()


def test_nibbles_and_six_are_those_widths() -> None:
    codes = some_codes(4, np.uint8, 101)
    out, back = np.empty(51, np.uint8), np.empty(101, np.uint8)
    kernels.pack_nibbles(codes, out)
    kernels.unpack_nibbles(out, back)
    assert out.tobytes() == stream(codes, 4)
    assert (back == codes).all()
    out = np.empty(76, np.uint8)
    kernels.pack_six(codes, out)
    assert out.tobytes() == stream(codes, 6)


def test_the_comparison_sees_swapped_neighbours() -> None:
    codes = np.arange(16, dtype=np.uint8)
    out = np.empty(8, np.uint8)
    kernels.pack_bits(codes[np.arange(16) ^ 1], 4, out)
    assert out.tobytes() != stream(codes, 4)
