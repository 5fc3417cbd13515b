"""Requantiser: a register's sum to a narrow code by one product and one shift, both given at run time.

Source: formats.integer_ops.dyadic, its variant "half_up" (the published one goes through float64, which no such unit
holds).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from hwsim.circuit import Bits, Build, Module, cat
from hwsim.primitives import log2_ceil


@dataclass(frozen=True, kw_only=True, slots=True)
class Requantiser:
    """(sum * multiplier + 2**(shift - 1)) >> shift, clamped to `bits` bits.

    sum_bits: of the two's complement sum. multiplier_bits: of the unsigned multiplier: 32 for nf.integer_ops, whose
    multipliers reach 2**31. most_shift: shifts are 1..most_shift. signed: of the code.
    """

    sum_bits: int = 32
    multiplier_bits: int = 32
    most_shift: int = 63
    bits: int = 8
    signed: bool = True

    def __post_init__(self) -> None:
        if not 2 <= self.bits < self.sum_bits:
            raise ValueError(
                f"Requantiser: the code must be narrower than the sum of {self.sum_bits} bits, got bits={self.bits}"
            )
        if self.multiplier_bits < 1 or self.most_shift < 1:
            raise ValueError(
                f"Requantiser: multiplier_bits and most_shift must be 1 or more, got {self.multiplier_bits} and "
                f"{self.most_shift}"
            )

    @property
    def name(self) -> str:
        """Its module's name."""
        code = f"{'int' if self.signed else 'uint'}{self.bits}"
        return f"requantise_int{self.sum_bits}_by{self.multiplier_bits}_shift{self.most_shift}_to_{code}"


@cache
def requantiser(what: Requantiser) -> Module:
    """Ports: sum, multiplier; shift_less_one: 0..most_shift - 1; code."""
    m = Build(what.name)
    row, multiplier = m.input("sum", what.sum_bits), m.input("multiplier", what.multiplier_bits)
    width = what.sum_bits + what.multiplier_bits
    product = m.leaf("multiply", "multiplier", m=what.sum_bits, n=what.multiplier_bits, signed_a=1, a=row, b=multiplier)
    if what.most_shift > 1:
        amount = m.input("shift_less_one", log2_ceil(what.most_shift))
        product = m.leaf(
            "move", "arithmetic_shifter", width=width, positions=what.most_shift - 1, a=product, amount=amount
        )
    # Half a step added before the last place is dropped is that place added after.
    whole = m.leaf("round", "incrementer", width=width, a=product[1:].sign_extend(width), carry=product[0])
    m.output("code", clamped(m, "clamp", whole, what.bits, what.signed))
    return m.done()


def clamped(m: Build, name: str, x: Bits, bits: int, signed: bool) -> Bits:
    """A two's complement number as a code: the nearest end of its range where it does not fit."""
    top, inside = x[-1], bits - signed
    above = x[inside:-1]
    if not signed:
        over = m.leaf(f"{name}_over", "any_bit", width=above.width, a=above)
        ones = m.leaf(f"{name}_most", "or_gate", width=bits, a=x[:bits], b=over.repeat(bits))
        keep = m.leaf(f"{name}_keep", "inverter", width=1, a=top)
        row: Bits = m.leaf(f"{name}_code", "and_gate", width=bits, a=ones, b=keep.repeat(bits))
        return row
    differ = m.leaf(f"{name}_differ", "exclusive_or", width=above.width, a=above, b=top.repeat(above.width))
    over = m.leaf(f"{name}_over", "any_bit", width=above.width, a=differ)
    end = m.leaf(f"{name}_end", "inverter", width=1, a=top).repeat(inside)
    kept: Bits = m.leaf(f"{name}_code", "multiplexer", width=inside, choices=2, words=cat(end, x[:inside]), select=over)
    return cat(top, kept)
