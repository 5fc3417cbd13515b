"""MixPE's W4A8: unsigned weights times activations by shifts and adds, scale and zero point once a group.

The cell sums a group's products in integers; the edge sums the activations that a row shares; the epilogue makes of
both (sum - zero * activations) * scale, and adds it to a float32 register, rounding once.
Source: MixPE (arXiv 2411.16158): integer sums of a group, scale and zero applied once, four shift-adds for 4 bits. Its
float PE is not here: what it does beyond adding exponents could not be read.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import formats as nf
from hwsim.circuit import Bits, Build, Module, cat
from hwsim.pe import fixed, floating
from hwsim.pe.float_rounding import Style
from hwsim.pe.multiply import product
from hwsim.pe.number import Number, decoded, slug
from hwsim.primitives import log2_ceil


@dataclass(frozen=True, kw_only=True, slots=True)
class MixPe:
    """activation: a signed integer format; weight_bits: of unsigned weights and zero points; group: products under one.

    scale: a minifloat. register: the float format of the running sum.
    """

    activation: nf.FixedPoint
    weight_bits: int = 4
    group: int = 128
    scale: nf.Scalar = nf.get("float16")  # type: ignore[assignment]  # noqa: RUF009  # frozen
    register: nf.Minifloat = nf.get("float32")  # type: ignore[assignment]  # noqa: RUF009  # frozen

    def __post_init__(self) -> None:
        if not isinstance(self.activation, nf.FixedPoint) or not self.activation.signed:
            raise ValueError(f"MixPe: activation must be a signed integer format, got {self.activation!r}")

    @property
    def activation_sum_bits(self) -> int:
        """Of the activations of a group."""
        return self.activation.bits + log2_ceil(self.group)

    @property
    def sum_bits(self) -> int:
        """Of a group's products, and of what the zero point takes off them."""
        return self.activation_sum_bits + self.weight_bits

    @property
    def name(self) -> str:
        """Part of its modules' names."""
        return f"{slug(self.activation.name)}_uint{self.weight_bits}_group{self.group}"


@cache
def mixpe_cell(what: MixPe) -> Module:
    """Ports: a, w: codes; clear: 1 starts a group; sum: the register."""
    m = Build(f"mixpe_cell_{what.name}")
    a, w, clear = m.input("a", what.activation.bits), m.input("w", what.weight_bits), m.input("clear", 1)
    terms = []
    for place in range(what.weight_bits):
        taken = m.leaf(f"taken{place}", "and_gate", width=a.width, a=a, b=w[place].repeat(a.width))
        terms.append(fixed.Placed(taken.above(place), True, None))
    _summed(m, fixed.summed(m, "terms", terms, a.width + what.weight_bits), what.sum_bits, clear)
    return m.done()


@cache
def activation_sum(what: MixPe) -> Module:
    """The edge: what a row shares. Ports: a; clear: 1 starts a group; sum: the register."""
    m = Build(f"mixpe_activations_{what.name}")
    a, clear = m.input("a", what.activation.bits), m.input("clear", 1)
    _summed(m, fixed.Placed(a, True, None), what.activation_sum_bits, clear)
    return m.done()


def _summed(m: Build, term: fixed.Placed, width: int, clear: Bits) -> None:
    total = m.register("total", width)
    m.drive("total", fixed.accumulate(m, "accumulate", total, term, clear))
    m.output("sum", total)


@cache
def group_epilogue(what: MixPe) -> Module:
    """Ports: sum, activations, zero, scale: of a group; take: 1 adds it; clear: 1 makes the register 0; total."""
    m = Build(f"mixpe_epilogue_{what.name}_{slug(what.scale.name)}_{slug(what.register.name)}")
    row, activations = m.input("sum", what.sum_bits), m.input("activations", what.activation_sum_bits)
    zero, code = m.input("zero", what.weight_bits), m.input("scale", what.scale.bits)
    take, clear = m.input("take", 1), m.input("clear", 1)
    off = m.leaf("zero_times", "multiplier", m=activations.width, n=zero.width, signed_a=1, a=activations, b=zero)
    width = what.sum_bits + 1
    rest = m.leaf("less_zero", "subtractor", width=width, a=row.sign_extend(width), b=off.sign_extend(width))
    x = floating.magnitude(m, "size", Number(significand=rest, signed=True, below_zero=rest[-1], zeros=width - 1))
    x = product(m, "scaled", x, decoded(m, "decode_scale", what.scale, code))
    size = what.register.bits
    total = m.register("held", size)
    found = floating.float_add(m, "add", what.register, Style(), total, x)
    chosen = m.leaf("next", "multiplexer", width=size, choices=2, words=cat(found, total), select=take)
    keep = m.leaf("keep", "inverter", width=1, a=clear)
    m.drive("held", m.leaf("cleared", "and_gate", width=size, a=chosen, b=keep.repeat(size)))
    m.output("total", total)
    return m.done()
