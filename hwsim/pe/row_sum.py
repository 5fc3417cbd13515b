"""The sum of one side's elements along k, by which the other side's zero point is corrected.

row_sum(RowSum(element=nf.get("int8"), terms=128))      # register' = (0 where clear, else register) + x

sum((a - za) * b) = sum(a * b) - za * sum(b): the sum of b is the same for every row of a, and that of a for every
column of b, so one unit serves a whole row or column of an array (hwsim.array_parts says where it stands).
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cache

import formats as nf
from hwsim.circuit import Bits, Build, Module
from hwsim.pe import fixed
from hwsim.pe.floating import float_add
from hwsim.pe.number import Number, decoded, slug


@dataclass(frozen=True, kw_only=True, slots=True)
class RowSum:
    """element: an integer or a minifloat.  lanes: elements a cycle.  terms: the longest sum.

    register: a float format the elements are added in one after another, each sum rounded to nearest even, as a float
    PE adds its products; None: exactly, in two's complement that counts in the element's last place.
    """

    element: nf.Scalar
    terms: int
    lanes: int = 1
    register: nf.Minifloat | None = None

    @property
    def name(self) -> str:
        """Its module's name."""
        lanes = f"_{self.lanes}lanes" if self.lanes > 1 else ""
        register = f"_in_{slug(self.register.name)}" if self.register is not None else ""
        return f"row_sum_{slug(self.element.name)}_of{self.terms}{lanes}{register}"

    @property
    def bits(self) -> int:
        """Width of the sum: of the float format, or the fewest in which every sum of `terms` elements has room."""
        if self.register is not None:
            return self.register.bits
        ulp = Fraction(2) ** self.element.ulp_exponent
        least, most = (int(self.terms * end / ulp) for end in (self.element.min_finite, self.element.max_finite))
        return 1 + max((-1 - least).bit_length() if least < 0 else 0, most.bit_length())

    def number(self, m: Build, name: str, row: Bits) -> Number:
        """The sum's bits as a number."""
        if self.register is not None:
            return decoded(m, name, self.register, row)
        return Number(
            significand=row, signed=True, below_zero=row[-1], unit=self.element.ulp_exponent, zeros=row.width - 1
        )


@cache
def row_sum(what: RowSum) -> Module:
    """Ports: x, codes of all lanes, the first lowest; clear: 1 starts a new sum with these; sum: the register."""
    m = Build(what.name)
    width, lane = what.bits, what.element.bits
    x, clear = m.input("x", lane * what.lanes), m.input("clear", 1)
    codes = [x[lane * place : lane * (place + 1)] for place in range(what.lanes)]
    numbers = [decoded(m, f"decode{place}", what.element, code) for place, code in enumerate(codes)]
    held = m.register("held", width)
    if what.register is None:
        terms = [fixed.placed(m, f"place{place}", number, width) for place, number in enumerate(numbers)]
        following = fixed.accumulate(m, "add", held, fixed.summed(m, "tree", terms, width), clear)
    else:
        keep = m.leaf("keep", "inverter", width=1, a=clear)
        following = m.leaf("cleared", "and_gate", width=width, a=held, b=keep.repeat(width))
        for place, number in enumerate(numbers):
            following = float_add(m, f"add{place}", what.register, "ties_to_even", following, number)
    m.drive("held", following)
    m.output("sum", held)
    return m.done()
