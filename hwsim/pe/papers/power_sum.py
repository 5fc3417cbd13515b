"""Multipliers of powers of two and of their sums (PoT, APoT): an activation shifted once for each term of a weight."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from math import gcd

import numpy as np

import formats as nf
from formats.called import called
from hwsim.circuit import Bits, Build, Module
from hwsim.pe import fixed
from hwsim.pe.number import slug
from hwsim.primitives import log2_ceil


@dataclass(frozen=True, kw_only=True, slots=True)
class PowerSum:
    """weight: signed values that are, in their common unit, integers of at most `terms` binary ones.

    activation: a signed integer format. register_bits: of the sum, in the unit, modulo 2**register_bits.
    """

    activation: nf.FixedPoint
    weight: nf.Codebook
    terms: int = 1
    register_bits: int = 32

    def __post_init__(self) -> None:
        if not isinstance(self.activation, nf.FixedPoint) or not self.activation.signed:
            raise ValueError(f"PowerSum: activation must be a signed integer format, got {self.activation!r}")
        most = max(abs(x).bit_count() for x in integers_of(self.weight))
        if most > self.terms:
            raise ValueError(
                f"PowerSum: values of {called(self.weight)} are sums of up to {most} powers; pass terms={most}"
            )

    @property
    def name(self) -> str:
        """Its module's name."""
        return f"powers_{slug(self.activation.name)}_{slug(self.weight.name)}_{self.terms}terms_acc{self.register_bits}"


@cache
def integers_of(fmt: nf.Codebook) -> tuple[int, ...]:
    """The values of the codes in their common unit."""
    values = np.nan_to_num(nf.decode_codes(fmt, np.arange(2**fmt.bits), np.float64))
    # Values such as tenths are float32's nearest to them; no family here has denominators beyond.
    exact = [Fraction(float(x)).limit_denominator(1 << 12) for x in values]
    denominator = np.lcm.reduce([x.denominator for x in exact])
    whole = [int(x * int(denominator)) for x in exact]
    unit = gcd(*whole)
    return tuple(x // unit for x in whole)


@cache
def power_sum(what: PowerSum) -> Module:
    """Ports: a, w: codes; clear; sum: the register.

    A weight's decoder is a table: its sign, and of each term whether there is one and how far it shifts.
    """
    m = Build(what.name)
    a, w, clear = m.input("a", what.activation.bits), m.input("w", what.weight.bits), m.input("clear", 1)
    whole = integers_of(what.weight)
    places = [[p for p in range(abs(x).bit_length()) if abs(x) >> p & 1] for x in whole]
    sign = _table(m, "sign", w, [int(x < 0) for x in whole], 1)
    terms = []
    for t in range(what.terms):
        own = [one[len(one) - 1 - t] if len(one) > t else None for one in places]  # the largest first
        low = min(p for p in own if p is not None)
        reach = max(p for p in own if p is not None) - low
        there = _table(m, f"there{t}", w, [int(p is not None) for p in own], 1)
        row = m.leaf(f"taken{t}", "and_gate", width=a.width, a=a, b=there.repeat(a.width))
        if reach:
            bits = log2_ceil(reach + 1)
            amount = _table(m, f"far{t}", w, [0 if p is None else p - low for p in own], bits)
            row = m.leaf(
                f"move{t}", "expanding_shifter", width=row.width, positions=reach, limit=row.width + reach, signed_a=1,
                a=row, amount=amount,
            )  # fmt: skip
        terms.append(fixed.Placed(row.above(low), True, None))
    found = fixed.summed(m, "terms", terms, None)
    total = m.register("total", what.register_bits)
    term = fixed.Placed(found.row, True, sign)
    m.drive("total", fixed.accumulate(m, "accumulate", total, term, clear))
    m.output("sum", total)
    return m.done()


def _table(m: Build, name: str, code: Bits, words: list[int], width: int) -> Bits:
    contents = sum(word << (width * place) for place, word in enumerate(words))
    row: Bits = m.leaf(name, "lookup", address=code.width, width=width, contents=contents, index=code)
    return row
