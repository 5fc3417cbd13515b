"""IEEE P3109: its formats as Minifloats, and their names.

A format is four choices: K bits, precision P (significand bits, the hidden one included), signed or not, and extended
(with infinities) or finite. All have subnormals, one zero and one NaN; the bias is half the exponent field's range.
Source: interim report of the IEEE working group P3109, version 3.2 (March 2026).

What P3109 calls SatFinite, SatPropagate and SatNone are Cast's overflow "saturate", "saturate_finite" and "overflow".
Three things differ, all NaN here: under SatPropagate the infinity of a finite format (there its largest value) and
minus infinity in an unsigned format (there zero); under SatNone, rounding toward zero or up, a real below an unsigned
format's range (there zero).
"""

from __future__ import annotations

import re

from formats.minifloat import Minifloat


def p3109(k: int, p: int, signed: bool = True, extended: bool = True) -> Minifloat:
    """The P3109 format of k bits (3..16) and precision p: 1..k - 1 if signed, 1..k if not.

    Finite signed formats are "fnuz" formats, finite unsigned ones "fn": the same codes, so the same description.
    """
    if not 3 <= k <= 16:
        raise ValueError(f"p3109: k must be 3..16, got {k}")
    top = k - 1 if signed else k
    if not 1 <= p <= top:
        raise ValueError(f"p3109: p must be 1..{top} for {'a signed' if signed else 'an unsigned'} format, got {p}")
    exponent_bits = top - p + 1
    return Minifloat(
        exponent_bits=exponent_bits,
        trailing_significand_bits=p - 1,
        bias=2 ** (exponent_bits - 1),
        signed=signed,
        specials="extended" if extended else "fnuz" if signed else "fn",
    )


def parse_p3109(name: str) -> Minifloat | None:
    """The format of a name such as "binary8p4se" (signed, extended) or "binary8p3uf" (unsigned, finite).

    None for what does not look like one; ValueError for widths and precisions P3109 does not have.
    """
    match = re.fullmatch(r"binary(\d+)p(\d+)([su])([ef])", name)
    if match is None:
        return None
    try:
        return p3109(int(match[1]), int(match[2]), match[3] == "s", match[4] == "e")
    except ValueError as error:
        raise ValueError(f"{name!r} is no P3109 format: {error}") from None


def p3109_name(fmt: Minifloat) -> str | None:
    """P3109's name of a format, or None where it has none ("e4m3fnuz" has: "binary8p4sf")."""
    p = fmt.trailing_significand_bits + 1
    extended = fmt.specials == "extended"
    top = fmt.bits - 1 if fmt.signed else fmt.bits
    if not (3 <= fmt.bits <= 16 and 1 <= p <= top) or p3109(fmt.bits, p, fmt.signed, extended) != fmt:
        return None
    return f"binary{fmt.bits}p{p}{'s' if fmt.signed else 'u'}{'e' if extended else 'f'}"
