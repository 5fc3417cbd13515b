"""LUT Tensor Core's float16 cell: a looked-up entry, its sign, the weight bit's place added to its exponent, a sum.

variant: "as_published": the place is added to the exponent field and nothing looks whether the entry is zero or
subnormal, or whether the field runs over: a zero at place 1 is worth 2**-14, and fields wrap. "corrected": the entry
times 2**place, exactly, rounded once with the sum.
Source: microsoft/T-MAC, branch LUTTensorCore_ISCA25, sv_lut_array/rtl: float16 entries and register, rounding to
nearest even, the sign from weight bit 0, no registers for the table.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Literal

import formats as nf
from hwsim.circuit import Build, Module, cat
from hwsim.pe import floating
from hwsim.pe.float_rounding import Style
from hwsim.pe.number import Number, decoded, slug
from hwsim.primitives import log2_ceil

GROUP = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class LookupFloat:
    """format: of entries and register. planes: weight bits, one a cycle."""

    planes: int
    variant: Literal["as_published", "corrected"] = "as_published"
    format: nf.Minifloat = nf.get("float16")  # type: ignore[assignment]  # noqa: RUF009  # frozen

    def __post_init__(self) -> None:
        if self.variant not in ("as_published", "corrected"):
            raise ValueError(f"LookupFloat: variant must be as_published or corrected, got {self.variant!r}")
        if not 1 <= self.planes <= 8:
            raise ValueError(f"LookupFloat: 1..8 weight bits, got planes={self.planes}")

    @property
    def name(self) -> str:
        """Its module's name."""
        return f"lookup_{slug(self.format.name)}_{self.planes}planes_{self.variant}"


@cache
def lookup_float(what: LookupFloat) -> Module:
    """Ports: entries: 8 codes, the first lowest; weights: bit 0 turns the sign, the others choose; plane (where there
    are several): 0 for the lowest bit; clear; sum: the register. Sums beyond the format's range are not treated.
    """
    m = Build(what.name)
    fmt = what.format
    count, trailing, field = 1 << (GROUP - 1), fmt.trailing_significand_bits, fmt.exponent_bits
    entries, weights = m.input("entries", fmt.bits * count), m.input("weights", GROUP)
    plane = m.input("plane", log2_ceil(what.planes)) if what.planes > 1 else None
    clear = m.input("clear", 1)
    entry = m.leaf("choose", "multiplexer", width=fmt.bits, choices=count, words=entries, select=weights[1:])
    sign = m.leaf("turn", "exclusive_or", width=1, a=entry[-1], b=weights[0])
    entry = cat(sign, entry[:-1])
    if plane is not None and what.variant == "as_published":
        raised = m.leaf("raise_field", "adder", width=field, a=entry[trailing:-1], b=plane.zero_extend(field)[:field])
        entry = cat(sign, raised, entry[:trailing])
    x = decoded(m, "decode", fmt, entry)
    if plane is not None and what.variant == "corrected":
        assert x.exponent is not None
        width = field + 1
        raised = m.leaf(
            "raise_exponent", "adder", width=width, a=x.exponent.zero_extend(width), b=plane.zero_extend(width)
        )
        x = Number(
            significand=x.significand, sign=x.sign, exponent=raised, low=x.low, high=x.high + what.planes - 1,
            unit=x.unit, zeros=x.zeros,
        )  # fmt: skip
    total = m.register("total", fmt.bits)
    keep = m.leaf("keep", "inverter", width=1, a=clear)
    held = m.leaf("cleared", "and_gate", width=fmt.bits, a=total, b=keep.repeat(fmt.bits))
    m.drive("total", floating.float_add(m, "add", fmt, Style(), held, x))
    m.output("sum", total)
    return m.done()
