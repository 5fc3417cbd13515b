"""The names of the byte layouts of element codes: what each means and how much room it takes. No packing here."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True, kw_only=True, slots=True)
class LayoutName:
    """One way codes lie in memory.

    bits: width of the codes it takes, or None for any.  codes, nbytes: this many codes take this many bytes (both None
        for a plain stream of `bits` bits a code).  The stream is padded to whole groups of `codes`.
    record: whether `Encoded.to_bytes` interleaves the planes block by block, fields in the order of `record`.
    """

    means: str
    source: str
    bits: int | None = None
    codes: int | None = None
    nbytes: int | None = None
    record: tuple[str, ...] = ()


LAYOUT_NAMES: dict[str, LayoutName] = {
    "dense": LayoutName(
        means="little-endian bit stream, code i in bits i * width and up; 4-bit codes low nibble first",
        source="this project; TransformerEngine and torchao have the same for 4 bits",
    ),
    "high_first": LayoutName(
        means="two codes a byte, the first in the high nibble", source="bitsandbytes 95f9af30",
        bits=4, codes=2, nbytes=1,
    ),
    "base3": LayoutName(
        means="five trits a byte, the first the most significant digit", source="base 3 in order; 243 of 256 bytes",
        bits=2, codes=5, nbytes=1,
    ),
    "planes": LayoutName(
        means="all lowest bits, then all next ones; eight codes a byte, the first lowest",
        source="ABQ-LLM aq_bmma_kernel.h",
    ),
    "segments": LayoutName(
        means="the bits above the low four of every code, then all low nibbles", source="FP6-LLM, before interleaving"
    ),
    "fp6_llm": LayoutName(
        means="both segments in the order of a tensor core's threads, words permuted; 64 x 64 tiles",
        source="fp6_llm 9802c5ab weight_prepacking.h",
    ),
    "qserve": LayoutName(
        means="32 x 32 tiles, rows n and n + 16 in a byte", source="omniserve 02b2925a w4a8_linear.py", bits=4,
    ),
    "gguf_q4": LayoutName(
        means="byte j holds codes j and j + 16 of 32", source="ggml block_q4_0, block_q4_1, block_mxfp4",
        bits=4, codes=32, nbytes=16, record=("scale", "shift", "codes"),
    ),
    "gguf_q5": LayoutName(
        means="the fifth bits of 32 codes, then their nibbles as gguf_q4", source="ggml block_q5_0, block_q5_1",
        bits=5, codes=32, nbytes=20, record=("scale", "shift", "codes"),
    ),
    "gguf_q8": LayoutName(
        means="bytes in order", source="ggml block_q8_0", bits=8, codes=32, nbytes=32, record=("scale", "codes")
    ),
    "gguf_nvfp4": LayoutName(
        means="byte j of 16 codes holds codes j and j + 8; four blocks a record", source="ggml block_nvfp4",
        bits=4, codes=64, nbytes=32, record=("scale", "codes"),
    ),
    "gguf_q4_k": LayoutName(
        means="byte j of 64 codes holds codes j and j + 32; eight blocks a record, 6-bit scales and shifts in 12 bytes",
        source="ggml block_q4_K", bits=4, codes=256, nbytes=128,
        record=("scale.scale", "shift.scale", "scale+shift", "codes"),
    ),
    "gguf_tq1_0": LayoutName(
        means="five trits a byte, 32 or 16 codes apart, spread over 0..255", source="ggml block_tq1_0",
        bits=2, codes=256, nbytes=52, record=("codes", "scale"),
    ),
    "gguf_tq2_0": LayoutName(
        means="four codes a byte, 32 apart", source="ggml block_tq2_0",
        bits=2, codes=256, nbytes=64, record=("codes", "scale"),
    ),
}  # fmt: skip


def stored_bits(layout: str, bits: int) -> Fraction:
    """Bits an element's code takes in memory."""
    known = LAYOUT_NAMES[layout]
    if known.codes is None or known.nbytes is None:
        return Fraction(bits)
    return Fraction(8 * known.nbytes, known.codes)


def check_layout(layout: str, bits: int) -> None:
    """Raise ValueError for a layout that does not exist or does not take codes of that width."""
    if layout not in LAYOUT_NAMES:
        raise ValueError(f"Scaled: layout must be one of {', '.join(LAYOUT_NAMES)}, got {layout!r}")
    width = LAYOUT_NAMES[layout].bits
    if width is not None and width != bits:
        raise ValueError(f"Scaled: layout {layout!r} takes codes of {width} bits, the element has {bits}")
