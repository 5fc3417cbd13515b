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
}


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
