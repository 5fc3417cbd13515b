"""Tables of powers of two, of sums of them, and of power functions."""

from __future__ import annotations

from formats import families
from formats.catalogue.entry import Entry, Tier
from formats.codebook import Codebook

_APOT = "APoT (ICLR 2020), github.com/yhhhli/APoT_Quantization quant_layer.py"
_DATATYPES = "llm-datatypes (ICML 2024), github.com/cornell-zhang/llm-datatypes weight_only.py"
_POT = "ANT (MICRO 2022), github.com/clevercool/ANT-Quantization pot_value"
_SHIFT = "ShiftAddLLM bcq_shift.py and DeepShift: the exponent rounded to nearest"

MOKEY = families.sign_magnitude("mokey4", (0.0, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 16.0))


def _line(fmt: Codebook, source: str, note: str = "", tier: Tier = "derived") -> Entry:
    return Entry(name=fmt.label, format=fmt, source=source, tier=tier, note=note)


ENTRIES: tuple[Entry, ...] = (
    *(_line(families.apot(bits), _APOT, "largest 1; ties to the lower value, where the source leaves them to a set")
      for bits in (3, 4, 5, 6, 7)),
    _line(families.apot(4, half=True), _DATATYPES, "minus zero is 0.5 (APOT4_SP)"),
    *(_line(families.pot(bits), _POT, "nearest by value; largest 1") for bits in (3, 4, 5, 6)),
    *(_line(families.pot_log(bits), _SHIFT, "nearest by logarithm; the cut to zero is ours") for bits in (3, 4, 5, 6)),
    _line(MOKEY, _DATATYPES, "the list MOKEY there; Mokey (ISCA 2022) fits its dictionary to data"),
    _line(families.pot_scale(), "P2-ViT, github.com/shihuihong214/P2-ViT minmax.py",
          "for scales; P2-ViT then searches the neighbours"),
    _line(families.power(4), "PowerQuant (ICLR 2023), NUPES", "the formula is from secondary text, no code of the "
          "authors was found; exponent 1/2, which they search for: families.power(bits, a)", "unverified"),
)  # fmt: skip
