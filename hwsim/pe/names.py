"""What MacPE.name calls an accumulator and a multiplier: whatever is not usual of them is said."""

from __future__ import annotations

import formats as nf
from formats.arithmetic.multipliers.base import Multiplier
from hwsim.pe.floating import style_of


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
