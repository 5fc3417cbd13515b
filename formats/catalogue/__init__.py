"""Every named format: one line each, with its source, what has been shown of it, and by what.

    import formats as nf
    nf.get("mxfp4"); nf.entry("mxfp4").source; nf.register("mine", nf.Codebook(...)); nf.get("mine:g32")

A file a family holds the lines; grammar.py reads and writes names.
"""

from formats.catalogue.codebooks import NF4
from formats.catalogue.entry import Entry, Tier
from formats.catalogue.grammar import (
    codebook_name,
    entries,
    entry,
    get,
    minifloat_name,
    names,
    register,
    scaled_name,
    sum_name,
)
from formats.catalogue.minifloats import E8M0
from formats.catalogue.nvfp4 import NVFP4

__all__ = [
    "E8M0",
    "NF4",
    "NVFP4",
    "Entry",
    "Tier",
    "codebook_name",
    "entries",
    "entry",
    "get",
    "minifloat_name",
    "names",
    "register",
    "scaled_name",
    "sum_name",
]
