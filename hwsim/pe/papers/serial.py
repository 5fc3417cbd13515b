"""A bit-serial integer dot product: one operand whole, the other a bit a cycle (as in Stripes, MICRO 2016)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import formats as nf
from hwsim.circuit import Build, Module
from hwsim.pe import fixed
from hwsim.pe.number import slug
from hwsim.primitives import log2_ceil


@dataclass(frozen=True, kw_only=True, slots=True)
class SerialDot:
    """whole: an integer format. serial_bits: the most bits of the serial side. lanes: products at once.

    register_bits: of the sum, modulo 2**register_bits.
    """

    whole: nf.FixedPoint
    serial_bits: int = 8
    lanes: int = 16
    register_bits: int = 32

    def __post_init__(self) -> None:
        if not isinstance(self.whole, nf.FixedPoint):
            raise ValueError(f"SerialDot: whole must be an integer format, got {self.whole!r}")
        if self.serial_bits < 2 or self.lanes < 1:
            raise ValueError(
                f"SerialDot: at least 2 serial bits and a lane, got serial_bits={self.serial_bits}, lanes={self.lanes}"
            )

    @property
    def name(self) -> str:
        """Its module's name."""
        return f"serial_{slug(self.whole.name)}_by{self.serial_bits}_{self.lanes}lanes_acc{self.register_bits}"


@cache
def serial_dot(what: SerialDot) -> Module:
    """Ports: a: `lanes` codes; bits: one of each lane's; place: the bits' number; minus: 1 where they are the sign bits
    of two's complement; clear; sum: the register.
    """
    m = Build(what.name)
    width = what.whole.bits
    row, bits, place = m.input("a", width * what.lanes), m.input("bits", what.lanes), log2_ceil(what.serial_bits)
    amount, minus, clear = m.input("place", place), m.input("minus", 1), m.input("clear", 1)
    terms = [
        fixed.Placed(
            m.leaf(f"and{i}", "and_gate", width=width, a=row[width * i : width * (i + 1)], b=bits[i].repeat(width)),
            what.whole.signed,
            None,
        )
        for i in range(what.lanes)
    ]
    found = fixed.summed(m, "lanes", terms, None)
    limit = min(found.row.width + what.serial_bits - 1, what.register_bits)
    moved = m.leaf(
        "move", "expanding_shifter", width=found.row.width, positions=what.serial_bits - 1, limit=limit,
        **({"signed_a": 1} if found.signed else {}), a=found.row, amount=amount,
    )  # fmt: skip
    total = m.register("total", what.register_bits)
    m.drive("total", fixed.accumulate(m, "accumulate", total, fixed.Placed(moved, found.signed, minus), clear))
    m.output("sum", total)
    return m.done()
