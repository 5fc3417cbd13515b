"""Layouts against loops over their definitions, published bytes, and what their sources' code wrote.

The two digests of fp6_llm are of the bytes weight_matrix_prepacking_fp_eXmY wrote (usyd-fsalab/fp6_llm 9802c5ab,
weight_prepacking.h, compiled with g++ 12 and run on 2026-11-22) for 128 x 192 codes of `hashed`.
"""

from __future__ import annotations

import hashlib
from itertools import product
from math import prod
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from formats.layout_names import LAYOUT_NAMES, stored_bits
from formats.layouts import LAYOUTS, Layout
from tests.formats.cases import QUICK

gguf_quants = pytest.importorskip("gguf.quants", reason="gguf is not installed")

# Widths a layout takes, a shape it takes, and the number of digits its codes have.
CASES = [
    ("high_first", 4, (5, 7), 16),
    ("base3", 2, (7, 3), 3),
    ("segments", 6, (3, 5), 64),
    ("segments", 5, (3, 5), 32),
    ("fp6_llm", 6, (2, 64, 128), 64),
    ("fp6_llm", 5, (128, 64), 32),
    ("qserve", 4, (2, 32, 64), 16),
    ("gguf_q4", 4, (3, 32), 16),
    ("gguf_q5", 5, (3, 32), 32),
    ("gguf_q8", 8, (3, 32), 256),
    ("gguf_nvfp4", 4, (3, 64), 16),
    ("gguf_q4_k", 4, (3, 256), 16),
    ("gguf_tq1_0", 2, (3, 256), 3),
    ("gguf_tq2_0", 2, (3, 256), 4),
    *(("planes", bits, (3, 7), 2**bits) for bits in (1, 2, 3, 8, 11, 16)),
]


def hashed(count: int, bits: int) -> NDArray[np.uint8]:
    """Codes anyone can write down again: bits 16 and up of n * 2654435761 mod 2**32."""
    n = np.arange(count, dtype=np.uint32)
    return (n * np.uint32(2654435761) >> np.uint32(16) & np.uint32(2**bits - 1)).astype(np.uint8)


def check_round_trip(layout: Layout, bits: int, shape: tuple[int, ...], digits: int) -> None:
    """Size, and every code back in its place; one changed code changes the bytes."""
    codes = np.random.default_rng(4).integers(0, digits, shape).astype(np.uint16 if bits > 8 else np.uint8)
    data = layout.pack(codes, bits)
    assert data.dtype == np.uint8
    assert data.size == layout.size(shape, bits)
    back = layout.unpack(data, bits, shape)
    assert back.shape == shape
    np.testing.assert_array_equal(back, codes)
    changed = codes.copy()
    changed.reshape(-1)[-1] = (int(codes.reshape(-1)[-1]) + 1) % digits
    assert (layout.pack(changed, bits) != data).any()


def test_every_layout_has_a_name_and_every_name_a_layout() -> None:
    assert set(LAYOUT_NAMES) == {"dense", *LAYOUTS}
    assert {name for name, *_ in CASES} == set(LAYOUTS)


@pytest.mark.parametrize(("name", "bits", "shape", "digits"), CASES)
def test_round_trip(name: str, bits: int, shape: tuple[int, ...], digits: int) -> None:
    check_round_trip(LAYOUTS[name], bits, shape, digits)
    assert stored_bits(name, bits) * prod(shape) <= 8 * LAYOUTS[name].size(shape, bits)
    known = LAYOUT_NAMES[name]
    if known.codes is not None and known.nbytes is not None:
        assert LAYOUTS[name].size((known.codes,), bits) == known.nbytes
        assert LAYOUTS[name].size((known.codes + 1,), bits) == 2 * known.nbytes


def test_the_round_trip_check_sees_a_lost_code() -> None:
    class Lossy:
        def size(self, shape: tuple[int, ...], bits: int) -> int:
            return prod(shape)

        def pack(self, codes: NDArray[Any], bits: int) -> NDArray[np.uint8]:
            return codes.reshape(-1) & np.uint8(7)

        def unpack(self, data: NDArray[np.uint8], bits: int, shape: tuple[int, ...]) -> NDArray[Any]:
            return data.reshape(shape)

    with pytest.raises(AssertionError):
        check_round_trip(Lossy(), 4, (8, 8), 16)


@QUICK
@given(st.sampled_from([case for case in CASES if case[0] not in ("fp6_llm", "qserve")]), st.integers(0, 600))
def test_any_number_of_codes(case: tuple[str, int, tuple[int, ...], int], count: int) -> None:
    name, bits, _, digits = case
    codes = np.random.default_rng(count).integers(0, digits, count).astype(np.uint16)
    back = LAYOUTS[name].unpack(LAYOUTS[name].pack(codes, bits), bits, (count,))
    np.testing.assert_array_equal(back, codes)


def test_nibbles() -> None:
    codes = np.arange(32, dtype=np.uint8) % 16
    assert LAYOUTS["high_first"].pack(codes[:4], 4).tobytes() == bytes([0x01, 0x23])
    block = np.random.default_rng(1).integers(0, 16, 32).astype(np.uint8)
    assert LAYOUTS["gguf_q4"].pack(block, 4).tobytes() == bytes(block[j] | block[j + 16] << 4 for j in range(16))
    super_block = np.random.default_rng(2).integers(0, 16, 64).astype(np.uint8)
    expected = bytes(super_block[16 * s + j] | super_block[16 * s + j + 8] << 4 for s in range(4) for j in range(8))
    assert LAYOUTS["gguf_nvfp4"].pack(super_block, 4).tobytes() == expected


def test_base3_takes_five_trits_in_order() -> None:
    for trits in product(range(3), repeat=5):
        value = int("".join(map(str, trits)), 3)
        assert LAYOUTS["base3"].pack(np.array(trits, np.uint8), 2).tolist() == [value]
    assert LAYOUTS["base3"].size((243,), 2) == 49


def test_tq1_stores_all_243_numbers_as_published() -> None:
    # Recorded from gguf 0.19: (2,2,2,2,2) 255, (1,1,1,1,1) 128, (0,1,2,2,0) 54, (2,0,0,0,1) 172.
    for trits, byte in (((2,) * 5, 255), ((1,) * 5, 128), ((0, 1, 2, 2, 0), 54), ((2, 0, 0, 0, 1), 172)):
        codes = np.zeros(256, np.uint8)
        codes[0:160:32] = trits
        assert LAYOUTS["gguf_tq1_0"].pack(codes, 2)[0] == byte
    for trits in product(range(3), repeat=5):
        codes = np.tile(np.repeat(np.array(trits, np.uint8), 32), 2)[:256]
        data = LAYOUTS["gguf_tq1_0"].pack(codes, 2)
        np.testing.assert_array_equal(LAYOUTS["gguf_tq1_0"].unpack(data, 2, (256,)), codes)


@pytest.mark.parametrize("name", ["gguf_tq1_0", "gguf_tq2_0"])
def test_trits_of_any_bytes_are_read_as_gguf_reads_them(name: str) -> None:
    data = np.random.default_rng(5).integers(0, 256, (200, 52 if "1" in name else 64)).astype(np.uint8)
    data[:, 0] = np.arange(200)
    kind = gguf_quants.TQ1_0 if "tq1" in name else gguf_quants.TQ2_0
    one = np.broadcast_to(np.array([0x00, 0x3C], np.uint8), (200, 2))  # float16 one
    values = kind.dequantize_blocks(np.concatenate([data, one], axis=1))
    codes = LAYOUTS[name].unpack(data.reshape(-1), 2, values.shape)
    np.testing.assert_array_equal(codes.astype(np.float32) - 1, values)


def test_segments_of_fp6_and_fp5() -> None:
    # 1, -1, 3.5 and 28 in E3M2 are 00|1100, 10|1100, 01|0011, 01|1111.
    codes = np.array([0b001100, 0b101100, 0b010011, 0b011111], np.uint8)
    assert LAYOUTS["segments"].pack(codes, 6).tobytes() == bytes([0b01_01_10_00, 0xCC, 0xF3])
    assert LAYOUTS["segments"].pack(np.array([0b10001, 0b00010], np.uint8), 5).tobytes() == bytes([0b01, 0x21])


FP6_LLM_DIGESTS = {
    6: "4e9a57cb57f61f4fd03c1fb8b1d8cb33738b0f529ace60a1c2242422c2794b78",
    5: "8a0883cb09e6a33c925b310d5a1ae037990da01cdfa51d26bdff1ed40d2ad1d0",
}


@pytest.mark.parametrize("bits", [5, 6])
def test_fp6_llm_writes_the_bytes_of_its_source(bits: int) -> None:
    codes = hashed(128 * 192, bits).reshape(128, 192)
    assert hashlib.sha256(LAYOUTS["fp6_llm"].pack(codes, bits).tobytes()).hexdigest() == FP6_LLM_DIGESTS[bits]


def test_qserve_tiles() -> None:
    codes = np.random.default_rng(6).integers(0, 16, (64, 96)).astype(np.uint8)
    data = LAYOUTS["qserve"].pack(codes, 4)
    at = 0
    for i, k in product(range(2), range(3)):
        tile = codes[32 * i :, 32 * k :]
        for n8, k4, c, b, k_in in product(range(8), range(4), range(2), range(2), range(4)):
            column = 16 * c + 4 * k4 + k_in
            assert data[at] == tile[8 * b + n8, column] | tile[16 + 8 * b + n8, column] << 4
            at += 1
    assert at == data.size


def test_planes_hold_one_bit_of_every_code() -> None:
    codes = np.array([[5, 2, 7], [0, 1, 6]], np.uint8)
    assert LAYOUTS["planes"].pack(codes, 3).tobytes() == bytes([0b010101, 0b100110, 0b100101])


@pytest.mark.parametrize(
    ("name", "bits", "shape", "message"),
    [
        ("base3", 4, (5,), "base3: it takes codes of 2 bits, got 4"),
        ("segments", 4, (5,), "segments: it takes codes of 5 or 6 bits, got 4"),
        ("qserve", 4, (32, 40), r"qserve: it holds tiles of 32 x 32: .* multiples of 32, got shape \(32, 40\)"),
        ("fp6_llm", 6, (64,), r"fp6_llm: it holds tiles of 64 x 64: .* got shape \(64,\)"),
    ],
)
def test_what_a_layout_cannot_hold(name: str, bits: int, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LAYOUTS[name].pack(np.zeros(shape, np.uint8), bits)


def test_bytes_of_the_wrong_number_are_refused() -> None:
    for name, bits, shape, _ in CASES:
        size = LAYOUTS[name].size(shape, bits)
        with pytest.raises(ValueError, match=f"{name}: codes of {bits} bits and shape .* take {size} bytes, got 1 of"):
            LAYOUTS[name].unpack(np.zeros(1, np.uint8), bits, shape)
