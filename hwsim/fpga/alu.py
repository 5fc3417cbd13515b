"""The 48-bit ALU of a DSP48E2: four operands, a carry, sums or two-operand logic, in one, two or four lanes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.int64]

MASK48 = (1 << 48) - 1
LANES = {"one48": 48, "two24": 24, "four12": 12}  # bits of a lane


class Result(NamedTuple):
    """p: 48 bits, unsigned. carryout: bit 3 for the top lane, lower bits for lower lanes. multsign: the second carry
    of the top lane, which a wider accumulator takes as MULTSIGNIN."""

    p: Words
    carryout: Words
    multsign: Words


def signed(word: Words, bits: int) -> Words:
    """Two's complement value of the low `bits` bits."""
    shift = 64 - bits
    return (word << shift) >> shift


def alu(w: Words, x: Words, y: Words, z: Words, carry: Words, alumode: Words, simd: str) -> Result:
    """W + X + Y + carry joined with Z as ALUMODE says; operands are 48-bit patterns.

    Bit 0 of ALUMODE inverts Z before, bit 1 the result after, which makes Z - S of both; bits 2 and 3 select logic: the
    exclusive or of X, Y and Z, or their majority (and, or, as Y is all zeros or ones), to which W is added.
    """
    z = np.where(alumode & 1, z ^ MASK48, z)
    logic = alumode >> 2 != 0
    # Logic has no carries between X, Y and Z: their bitwise result takes the place of the three.
    bitwise = np.where(alumode & 8, (x & y) | (z & y) | (x & z), x ^ y ^ z)
    x, y, z = np.where(logic, bitwise, x), np.where(logic, 0, y), np.where(logic, 0, z)
    carry = np.where(logic, 0, carry)
    width = LANES[simd]
    lane = (1 << width) - 1
    both = (alumode & 3 == 3).astype(np.int64)  # a subtraction shows its borrow inverted
    p = np.zeros_like(x)
    carryout = np.zeros_like(x)
    total = x
    for low in range(0, 48, width):
        total = (w >> low & lane) + (x >> low & lane) + (y >> low & lane) + (z >> low & lane)
        if low == 0:
            total = total + carry
        p = p | (total & lane) << low
        carryout = carryout | ((total >> width & 1) ^ both) << ((low + width) // 12 - 1)
    return Result(np.where(alumode & 2, p ^ MASK48, p), carryout, total >> (width + 1) & 1)
