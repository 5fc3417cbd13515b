"""Formats that are their table."""

from __future__ import annotations

from formats.catalogue.entry import Entry
from formats.codebook import Codebook

# The constants are the definition: rederiving them from normal quantiles reproduces only seven digits.
NF4 = Codebook(
    label="nf4",
    bits=4,
    ties="lower",
    entries=(
        -1.0,
        -0.6961928009986877,
        -0.5250730514526367,
        -0.39491748809814453,
        -0.28444138169288635,
        -0.18477343022823334,
        -0.09105003625154495,
        0.0,
        0.07958029955625534,
        0.16093020141124725,
        0.24611230194568634,
        0.33791524171829224,
        0.44070982933044434,
        0.5626170039176941,
        0.7229568362236023,
        1.0,
    ),
)

ENTRIES: tuple[Entry, ...] = (
    Entry(
        name="nf4", format=NF4, source="Dettmers et al., QLoRA; bitsandbytes functional.py", tier="derived",
        note="ties go to the lower entry, as in bitsandbytes; scale it as nf4:b64",
    ),
)  # fmt: skip
