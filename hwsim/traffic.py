"""DRAM and SRAM traffic of a GEMM: which bytes move, and how often, when an operand does not fit.

The SRAM is split in two halves: one for operands, one for partial sums and results; both are filled while the array
works (double buffering), so memory time hides behind compute time and a row takes the longer of the two.

    one operand fits its half      every tensor moves once
    neither fits                   hold a part of one and stream the other past each part; the cheaper choice
    partial sums of one strip of   the streamed rows are split until they fit, and the held operand is then fetched
    columns do not fit             once per split unless it stays resident

Every operand comes from DRAM and every result goes back: nothing is kept for the next operation.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

import formats as nf

Ints = NDArray[np.int64]
Bits = int | float | Fraction
_DENOMINATOR = 2**17  # of bits per element: rows of up to that many elements with a short last block are exact

ASSUMPTIONS = (
    "DRAM traffic: every operand once if one of the two fits half the SRAM, else the cheaper refetch; results once; "
    "double buffering hides memory time behind compute time",
    "block scales are stored along k for each row, a short last block with its own; one scale per row or tensor adds "
    "no bytes; operands come from DRAM and results return to it",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Traffic:
    """Arrays of one shape. bytes of each tensor stored once, and the times a and b are read from DRAM."""

    a_bytes: Ints
    b_bytes: Ints
    output_bytes: Ints
    a_fetches: Ints
    b_fetches: Ints

    @property
    def dram_read_bytes(self) -> Ints:
        """Operand bytes read."""
        return self.a_bytes * self.a_fetches + self.b_bytes * self.b_fetches

    @property
    def dram_bytes(self) -> Ints:
        """All bytes to and from DRAM."""
        return self.dram_read_bytes + self.output_bytes

    @property
    def once_bytes(self) -> Ints:
        """Bytes if every tensor moved once."""
        return self.a_bytes + self.b_bytes + self.output_bytes


def tensor_bytes(elements: Any, bits: Any) -> Ints:
    """elements x bits per element in whole bytes, rounded up once per tensor, exactly.

    bits: a number or a sequence of numbers broadcasting with elements; 4.25 and Fraction(13, 3) are taken as they are.
    """
    if np.ndim(bits):
        distinct, which = np.unique(np.asarray(bits, dtype=np.float64), return_inverse=True)
        ratios = [as_fraction(float(value)) for value in distinct]
        numerator = np.array([ratio.numerator for ratio in ratios], dtype=np.int64)[which]
        denominator = np.array([8 * ratio.denominator for ratio in ratios], dtype=np.int64)[which]
    else:
        ratio = as_fraction(bits)
        numerator, denominator = np.asarray(ratio.numerator), np.asarray(8 * ratio.denominator)
    return np.asarray(-(-(np.asarray(elements, dtype=np.int64) * numerator) // denominator))


def stored_bits(fmt: nf.Format | str, k: ArrayLike) -> NDArray[np.float64]:
    """Bits per element of a tensor whose rows of k elements are stored in `fmt`, an array of k's shape.

    Every block along k has its scale (and offset), the short last one too: element bits + scale bits * ceil(k / block)
    / k. Flat blocks run across rows and have no short ones. One scale a row or a tensor adds nothing.
    k: integers >= 1.
    """
    description, rows = nf.get(fmt), np.asarray(k)
    if rows.dtype.kind not in "iu":
        raise TypeError(f"stored_bits: k must be an integer or an array of integers, got {rows.dtype} {k!r}")
    if (rows < 1).any():
        raise ValueError(f"stored_bits: k must be at least 1, got {rows.min()}")
    element, whole = nf.element_of(description).bits, nf.bits_per_element(description)
    if not isinstance(description, nf.Scaled) or description.block.flat or whole == element:
        return np.full(rows.shape, float(whole))
    along = description.block.shape[-1]
    scales = float((whole - element) * along)  # bits of the scales of one block, a share where rows share them
    return np.asarray(element + scales * -(-rows // along) / rows)


def as_fraction(bits: Bits) -> Fraction:
    """Bits per element as a fraction with a denominator up to 2**17. Raises ValueError below zero."""
    exact = bits if isinstance(bits, Fraction) else Fraction(bits).limit_denominator(_DENOMINATOR)
    if exact < 0:
        raise ValueError(f"bits per element must be 0 or more, got {bits!r}")
    return exact


def gemm_traffic(
    m: Ints,
    k: Ints,
    n: Ints,
    batch: Ints,
    bits: tuple[Any, Any, Any],
    sram_bits: int,
    strip_bits: Ints,
    sums_move_for: str,
    stored_elements: tuple[Any, Any] = (None, None),
) -> Traffic:
    """Traffic of `batch` products. bits: per element of a, b and the result.

    strip_bits: partial sums of one strip of columns, all streamed rows.  sums_move_for: "a" or "b", the operand that
    streams through the array (its rows are what is split), or "" where sums stay in the PEs.
    stored_elements: of a and b as they lie in DRAM, all products together; None: batch m k and batch k n. Fewer where
    products share an operand (grouped heads) or overlap in it (convolutions); how often it is fetched is decided by
    m k and k n all the same.
    """
    half = sram_bits // 16  # bytes of one half
    one_a, one_b = tensor_bytes(m * k, bits[0]), tensor_bytes(k * n, bits[1])
    splits = np.maximum(-(-strip_bits // (8 * half)), 1)
    parts_a, parts_b = np.maximum(-(-one_a // half), 1), np.maximum(-(-one_b // half), 1)
    # Holding (a part of) x means streaming the other operand past it; where x itself streams through the array, it is
    # also split so that the partial sums of a strip fit.
    b_times = np.maximum(parts_a, splits) if sums_move_for == "a" else parts_a
    a_times = np.maximum(parts_b, splits) if sums_move_for == "b" else parts_b
    hold_b_cheaper = one_a * a_times + one_b <= one_b * b_times + one_a
    a_elements, b_elements = stored_elements
    return Traffic(
        a_bytes=tensor_bytes(batch * m * k if a_elements is None else a_elements, bits[0]),
        b_bytes=tensor_bytes(batch * k * n if b_elements is None else b_elements, bits[1]),
        output_bytes=tensor_bytes(batch * m * n, bits[2]),
        a_fetches=np.where(hold_b_cheaper, a_times, 1),
        b_fetches=np.where(hold_b_cheaper, 1, b_times),
    )
