"""Tables of few integers: bipolar integers, ternary, binary."""

from __future__ import annotations

from formats import families
from formats.catalogue.entry import Entry

ENTRIES: tuple[Entry, ...] = (
    *(
        Entry(name=f"bipolar{bits}", format=families.bipolar(bits), tier="derived",
              source="APT-LLM (arXiv 2508.19087), read in a review", note="odd integers, every bit plus or minus")
        for bits in range(1, 9)
    ),
    Entry(name="ternary", format=families.ternary(), tier="derived", source="GGUF TQ1_0 and TQ2_0, gguf quants.py",
          note="code = value + 1; ties away from zero, BitNet's to even are int2:symmetric"),
    Entry(name="binary_pm1", format=families.binary(), tier="derived", source="sign(x), sign(0) = 1: BitStack"),
    Entry(name="binary_01", format=families.binary(0.0), tier="derived", source="bit planes; DB-LLM's dual binaries"),
)  # fmt: skip
