"""Block-scaled dot products: elements of a block summed exactly, both scales applied to the sum, a float32 register.

block_dot(block_dot_of(nf.get("mxfp8_e4m3"), nf.get("mxfp8_e4m3"), lanes=8))

MX and block floating point have powers of two for scales: their exponents are added. NVFP4's e4m3 scales are multiplied
with each other and with the block's sum. Either way the register's addition is the only rounding. A scale of a whole
tensor is applied elsewhere. Sources: OCP MX v1.0; NVIDIA's NVFP4 by its format.
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
class BlockDot:
    """a, b: elements; scale_a, scale_b: of a block of `block` products; lanes: products a cycle, a divisor of block.

    register: the float format of the running sum.
    """

    a: nf.Scalar
    b: nf.Scalar
    scale_a: nf.Scalar
    scale_b: nf.Scalar
    block: int
    lanes: int
    register: nf.Minifloat = nf.get("float32")  # type: ignore[assignment]  # noqa: RUF009  # frozen

    def __post_init__(self) -> None:
        if self.lanes < 1 or self.block % self.lanes:
            raise ValueError(f"BlockDot: lanes must divide the block of {self.block}, got lanes={self.lanes}")

    @property
    def sum_bits(self) -> int:
        """Of a block's exact sum."""
        return nf.accumulator_bits(self.a, self.b, nf.Exact(max_terms=self.block))

    @property
    def name(self) -> str:
        """Its module's name."""
        sides = [f"{slug(x.name)}_{slug(s.name)}" for x, s in ((self.a, self.scale_a), (self.b, self.scale_b))]
        return f"block_dot_{'_'.join(sides)}_{self.block}by{self.lanes}_{slug(self.register.name)}"


def block_dot_of(a: nf.Format, b: nf.Format, lanes: int) -> BlockDot:
    """Of two block-scaled formats by their descriptions; a scale that is itself scaled gives its own element."""
    if not isinstance(a, nf.Scaled) or not isinstance(b, nf.Scaled):
        raise TypeError(f"BlockDot: both sides must be block-scaled formats, got {a!r} and {b!r}")
    blocks = {side.block.shape[-1] for side in (a, b)}
    if len(blocks) > 1 or 0 in blocks:
        raise ValueError(f"BlockDot: both sides must have blocks of one length along k, got {sorted(blocks)}")
    scales = [nf.element_of(side.scale.format) for side in (a, b)]
    elements = [nf.element_of(side) for side in (a, b)]
    return BlockDot(a=elements[0], b=elements[1], scale_a=scales[0], scale_b=scales[1], block=blocks.pop(), lanes=lanes)


@cache
def block_dot(what: BlockDot) -> Module:
    """Ports: a, b: `lanes` codes; scale_a, scale_b; clear; sum: the float register.

    lanes = block: every cycle adds a block; clear: 1 starts a new sum with it.
    lanes < block: take: 1 starts a block's sum with this cycle's products, and adds the block before it, under the
    scales of this cycle, to the register; clear: 1 makes the register 0 instead.
    """
    m = Build(what.name)
    terms = _products(m, what)
    scales = [
        decoded(m, f"decode_{side}", fmt, m.input(side, fmt.bits))
        for side, fmt in (("scale_a", what.scale_a), ("scale_b", what.scale_b))
    ]
    clear = m.input("clear", 1)
    size = what.register.bits
    total = m.register("total", size)
    keep = m.leaf("keep", "inverter", width=1, a=clear).repeat(size)
    if what.lanes == what.block:
        held = m.leaf("cleared", "and_gate", width=size, a=total, b=keep)
        m.drive("total", _added(m, what, held, _in_register(m, terms, what), scales))
    else:
        take = m.input("take", 1)
        block = m.register("block", what.sum_bits)
        m.drive("block", fixed.accumulate(m, "accumulate", block, terms, take))
        found = _added(m, what, total, block, scales)
        chosen = m.leaf("next", "multiplexer", width=size, choices=2, words=cat(found, total), select=take)
        m.drive("total", m.leaf("cleared", "and_gate", width=size, a=chosen, b=keep))
    m.output("sum", total)
    return m.done()


def _products(m: Build, what: BlockDot) -> fixed.Placed:
    """The lanes' products in the register's unit, added."""
    codes = [m.input(side, fmt.bits * what.lanes) for side, fmt in (("a", what.a), ("b", what.b))]
    terms = []
    for lane in range(what.lanes):
        pair = [
            decoded(m, f"decode_{side}{lane}", fmt, row[fmt.bits * lane : fmt.bits * (lane + 1)])
            for side, fmt, row in zip("ab", (what.a, what.b), codes, strict=True)
        ]
        terms.append(fixed.placed(m, f"place{lane}", product(m, f"product{lane}", *pair), what.sum_bits))
    return fixed.summed(m, "lanes", terms, what.sum_bits)


def _in_register(m: Build, term: fixed.Placed, what: BlockDot) -> Bits:
    """The lanes' sum as two's complement, where one cycle is a block."""
    if term.sign is None:
        return term.row.sign_extend(what.sum_bits) if term.signed else term.row.zero_extend(what.sum_bits)
    turned = m.leaf("turn", "exclusive_or", width=term.row.width, a=term.row, b=term.sign.repeat(term.row.width))
    row: Bits = m.leaf(
        "negate", "incrementer", width=what.sum_bits, a=cat(term.sign.repeat(what.sum_bits), turned)[: what.sum_bits],
        carry=term.sign,
    )  # fmt: skip
    return row


def _added(m: Build, what: BlockDot, total: Bits, block: Bits, scales: list[Number]) -> Bits:
    """The register and a block's sum under its scales, rounded once."""
    unit = _unit(what)
    x = Number(significand=block, signed=True, below_zero=block[-1], unit=unit, zeros=block.width - 1)
    x = floating.magnitude(m, "size", x)
    # A power of two has one significant bit, a constant: its product is its other factor.
    for place, scale in enumerate(scales):
        x = _scaled(m, f"scale{place}", x, scale)
    return floating.float_add(m, "add", what.register, Style(), total, x)


def _unit(what: BlockDot) -> int:
    return what.a.ulp_exponent + what.b.ulp_exponent


def _scaled(m: Build, name: str, x: Number, scale: Number) -> Number:
    if scale.significand.width > 1:
        return product(m, name, x, scale)
    if x.exponent is None:
        exponent, low, high = scale.exponent, scale.low, scale.high
    else:
        assert scale.exponent is not None
        high, low = x.high + scale.high, x.low + scale.low
        width = max(log2_ceil(high + 1), x.exponent.width + 1, scale.exponent.width + 1)
        exponent = m.leaf(
            name, "adder", width=width, a=x.exponent.zero_extend(width), b=scale.exponent.zero_extend(width)
        )
    return Number(
        significand=x.significand, sign=x.sign, exponent=exponent, low=low, high=high, unit=x.unit + scale.unit,
        zeros=x.zeros,
    )  # fmt: skip
