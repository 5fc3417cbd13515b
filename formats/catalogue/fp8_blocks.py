"""FP8 under float32 scales of blocks, as mixed-precision training uses them, and LLM-FP4's shifted exponents."""

from __future__ import annotations

from formats.block import WHOLE, Block, Field, Scaled
from formats.catalogue.entry import Entry
from formats.catalogue.minifloats import minifloat
from formats.codebook import Codebook

_DEEPSEEK = "DeepSeek-V3 technical report, arXiv 2412.19437, section 3.3"
SHIFTS = Codebook(label="halvings4", bits=2, entries=(1.0, 0.5, 0.25, 0.125))


def _fp8(name: str, shape: tuple[int, ...], what: str) -> Entry:
    return Entry(
        name=name, source=_DEEPSEEK, tier="derived", note=f"float32 scales, amax / 448, for {what}",
        format=Scaled(element=minifloat(4, 3, "fn"), scale=Field(format=minifloat(8, 23)), block=Block(shape=shape)),
    )  # fmt: skip


def shifted_exponents() -> Scaled:
    """LLM-FP4's activations: E2M1 with one real exponent bias a tensor and an integer of two bits a channel.

    Channels lie along the axes that are not `axis`: encode activations [tokens, channels] with axis=0.
    """
    tensor = Block(shape=(WHOLE,), flat=True)
    channels = Scaled(element=SHIFTS, scale=Field(format=minifloat(8, 23)), block=tensor)
    return Scaled(
        element=minifloat(2, 1, "none"), scale=Field(format=channels), block=Block(shape=(WHOLE,)), rule="llm_fp4"
    )


ENTRIES: tuple[Entry, ...] = (
    _fp8("fp8_128x128", (128, 128), "tiles of 128 x 128: weights"),
    _fp8("fp8_1x128", (128,), "128 elements along the axis: activations"),
    Entry(
        name="llm_fp4_a4", format=shifted_exponents(), source="nbasyl/LLM-FP4 quant_layers/fp_linear.py",
        tier="derived", note="pre-shifted exponent biases; encode activations [tokens, channels] with axis=0",
    ),
)  # fmt: skip
