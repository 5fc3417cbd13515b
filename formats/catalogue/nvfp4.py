"""NVFP4: 16 E2M1 elements under one E4M3 scale, and one float32 scale a tensor, as its several makers encode it."""

from __future__ import annotations

from formats.block import WHOLE, Block, Field, Scaled
from formats.catalogue.entry import Entry
from formats.catalogue.minifloats import minifloat

TENSOR = Block(shape=(WHOLE,), flat=True)
TWO_LEVEL = Field(format=Scaled(element=minifloat(4, 3, "fn"), scale=Field(format=minifloat(8, 23)), block=TENSOR))

NVFP4 = Scaled(element=minifloat(2, 1, "none"), scale=TWO_LEVEL, block=Block(shape=(16,)), rule="te_nvfp4")

ENTRIES: tuple[Entry, ...] = (
    Entry(
        name="nvfp4", format=NVFP4, source="TransformerEngine reference_nvfp4.py and core_nvfp4.cuh", tier="derived",
        note="the recipe in float32 throughout, as published; 16 elements along the axis",
    ),
)  # fmt: skip
