"""What MacPE.name calls an accumulator, a multiplier and a codebook's table: whatever is not usual of them is said."""

from __future__ import annotations

from functools import cache

import numpy as np

import formats as nf
from formats.arithmetic.multipliers.base import Multiplier
from hwsim.pe.float_rounding import style_of


def register_name(how: nf.Accumulator, bits: int) -> str:
    """An accumulator for people: "fixed 46", "float 32", "float 16 bfloat16 toward zero"."""
    if isinstance(how, nf.Aligned):
        return f"aligned {bits} {repr(how).removeprefix('Aligned')}"
    if not isinstance(how, nf.FloatChain):
        return f"fixed {bits}" + (" saturate" if isinstance(how, nf.Integer) and how.overflow == "saturate" else "")
    of_its_width = how.format.name == f"float{bits}"
    style = style_of(how, "finite").name
    words = ["" if of_its_width else how.format.name, "" if style == "ties_to_even" else style.replace("_", " ")]
    return " ".join(["float", str(bits), *(word for word in words if word)])


def multiplier_name(multiplier: Multiplier) -> str:
    """A multiplier for people, what is not usual of it behind it."""
    if isinstance(multiplier, nf.RoundedProduct):
        usual: Multiplier = nf.RoundedProduct(multiplier.format)
        text, short = f"rounded to {multiplier.format.name}", repr(usual)
    elif isinstance(multiplier, nf.LMul):
        usual = nf.LMul(multiplier.form)
        text, short = f"lmul {multiplier.form}", repr(usual)
    else:
        return repr(multiplier)
    return text + repr(multiplier).removeprefix(short[:-1]).removesuffix(")").replace(",", "")


@cache
def table_name(books: tuple[nf.Codebook, ...], factor: nf.Scalar) -> str:
    """Codebooks' tables for people: "looked up in int4 within 0.475, 3 of 16 entries of nf4 apart".

    "within" is the largest error of an entry. Nothing is said of bfloat16 that keeps all entries apart, the usual one.
    """
    largest, merged = 0.0, []
    for book in books:
        entries = nf.decode_codes(book, np.arange(len(book.entries)), np.float64)
        entries = entries[np.isfinite(entries)]
        codes = nf.encode_codes(factor, entries, nf.Cast(overflow="saturate"))
        held = nf.decode_codes(factor, codes, np.float64)
        largest = max(largest, float(np.abs(held - entries).max()))
        apart, among = len(np.unique(held)), len(np.unique(entries))
        if apart < among:
            merged.append(f"{apart} of {among} entries of {book.name} apart")
    if not books or (factor == nf.get("bfloat16") and not merged):
        return ""
    within = f" within {largest:.3g}" if largest else ""
    return ", ".join([f"looked up in {factor.name}{within}", *dict.fromkeys(merged)])
