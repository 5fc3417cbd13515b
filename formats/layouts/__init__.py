"""Layouts: how element codes lie in memory, byte for byte as the kernels or files of their sources have them.

    LAYOUTS["high_first"].pack(codes, 4)        # bytes
    LAYOUTS["high_first"].unpack(data, 4, codes.shape)

formats/layout_names.py says what each means; "dense", a plain bit stream, is formats/layout.py itself.
"""

from formats.layouts.base import Grouped, Layout
from formats.layouts.nibbles import EIGHTS, FIVES, HIGH_FIRST, halves
from formats.layouts.planes import PLANES
from formats.layouts.segments import FP6_LLM, SEGMENTS
from formats.layouts.tiles import QSERVE
from formats.layouts.trits import BASE3, TQ1_0, TQ2_0

__all__ = ["LAYOUTS", "Grouped", "Layout"]

LAYOUTS: dict[str, Layout] = {
    "high_first": HIGH_FIRST,
    "base3": BASE3,
    "planes": PLANES,
    "segments": SEGMENTS,
    "fp6_llm": FP6_LLM,
    "qserve": QSERVE,
    "gguf_q4": halves("gguf_q4", 32),
    "gguf_q5": FIVES,
    "gguf_q8": EIGHTS,
    "gguf_nvfp4": halves("gguf_nvfp4", 16, 64),
    "gguf_q4_k": halves("gguf_q4_k", 64, 256),
    "gguf_tq1_0": TQ1_0,
    "gguf_tq2_0": TQ2_0,
}
