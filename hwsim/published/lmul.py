"""L-Mul (Luo and Sun, "Addition is All You Need", arXiv 2410.00907): its energy claims are ratios of Horowitz's table.

    for claim in CLAIMS: print(claim.what, claim.published_percent, float(claim.saved))

An operation table counts no decoders, registers, wires or toggles and takes an integer adder to stand for all of
L-Mul; what a synthesised multiply-accumulate saves is another question.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

# pJ an operation, 45 nm, 0.9 V: Horowitz, ISSCC 2014, figure 1.1.9.
HOROWITZ_PJ = {
    "int8 add": Fraction("0.03"),
    "int16 add": Fraction("0.05"),
    "int32 add": Fraction("0.1"),
    "int8 multiply": Fraction("0.2"),
    "int32 multiply": Fraction("3.1"),
    "fp16 add": Fraction("0.4"),
    "fp32 add": Fraction("0.9"),
    "fp16 multiply": Fraction("1.1"),
    "fp32 multiply": Fraction("3.7"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """Energy of `new` operations in place of `old` ones; published_percent: saving in the abstract, None where the
    paper has only the operations."""

    what: str
    new: tuple[str, ...]
    old: tuple[str, ...]
    published_percent: int | None

    @property
    def saved(self) -> Fraction:
        """Share of the energy saved, by the table."""
        new, old = (sum((HOROWITZ_PJ[name] for name in names), Fraction(0)) for names in (self.new, self.old))
        return 1 - new / old


CLAIMS = (
    Claim(what="element-wise products, fp16", new=("int16 add",), old=("fp16 multiply",), published_percent=95),
    Claim(what="element-wise products, fp32", new=("int32 add",), old=("fp32 multiply",), published_percent=None),
    Claim(
        what="dot products, fp32",
        new=("int32 add", "fp32 add"),
        old=("fp32 multiply", "fp32 add"),
        published_percent=80,
    ),
)
