"""Logarithmic tables of softmax outputs, and tables companded by a distribution or a tangent."""

from __future__ import annotations

from formats import families
from formats.catalogue.entry import Entry
from formats.codebook import Codebook

_LOG2 = "FQ-ViT, P2-ViT; as in AdaLog, github.com/GoatWu/AdaLog quantizers/logarithm.py"
_SQRT2 = "RepQ-ViT; as in AdaLog, github.com/GoatWu/AdaLog quantizers/logarithm.py"
_ADALOG = "AdaLog (ECCV 2024), github.com/GoatWu/AdaLog quantizers/logarithm.py"
_CVXQ = "CVXQ, github.com/seannz/cvxq quantizer.py"
_TOP = "of 0..1; the last code is zero"
_MASK = "of 0..1; zero is a code of its own, which takes one bit more, for the mask beside the published codes"

# families.tangent computes this with mpmath, which is not imported here; tests compare.
TAN4 = Codebook(
    label="tan4",
    bits=4,
    ties="upper",
    entries=(
        *(0.0, 0.10345648974180222, 0.20474457740783691, 0.30195674300193787),
        *(0.39363351464271545, 0.47883889079093933, 0.5571332573890686, 0.6284806728363037),
        *(0.6931332945823669, 0.7515226602554321, 0.8041725754737854, 0.8516374230384827),
        *(0.8944624662399292, 0.933160126209259, 0.9681991338729858, 1.0),
    ),
    cuts=(
        *(0.051867030017117344, 0.15449961184124028, 0.25396332707000724, 0.34855793179545635),
        *(0.4370833451790954, 0.5188603053217342, 0.5936649427135983, 0.6616199318501792),
        *(0.7230794840628221, 0.7785305401557672, 0.8285185029576709, 0.8735969515229485),
        *(0.9142968021982405, 0.9511095566178156, 0.9844799485103799),
    ),
)


def _line(fmt: Codebook, source: str, note: str = "", name: str = "") -> Entry:
    return Entry(name=name or fmt.label, format=fmt, source=source, tier="derived", note=note)


ENTRIES: tuple[Entry, ...] = (
    *(_line(families.log2(bits), _LOG2, _TOP) for bits in (4, 8)),
    *(_line(families.log2(bits, zero="mask"), _LOG2, _MASK) for bits in (4, 8)),
    *(_line(families.log_sqrt2(bits), _SQRT2, _TOP) for bits in (4, 8)),
    *(_line(families.log_sqrt2(bits, zero="mask"), _SQRT2, _MASK) for bits in (4, 8)),
    _line(families.adalog(4, 18), _ADALOG, f"{_TOP}; base 2**(18/37), which is searched for every layer: "
          "families.adalog(bits, q)", "adalog4"),
    _line(families.adalog(4, 18, zero="mask"), _ADALOG, f"{_MASK}; base 2**(18/37)", "adalog4_mask"),
    *(_line(families.cvxq(bits), _CVXQ, "for mean 0, deviation 1; every group has its bits") for bits in range(2, 9)),
    Entry(name="tan4", format=TAN4, source="no paper: a compander with slope growing towards 1", tier="unverified",
          note="DopQ-ViT (arXiv 2408.03291) has a tangent quantiser whose definition could not be read; this is "
          "tan(x) / tan(1), families.tangent(bits, a)"),
)  # fmt: skip
