"""The datapath of a multiply-accumulate, from its operands and its register, as a tree of primitives.

fixed register: decode, multiply, shift the product to its place, negate, (adder tree over lanes,) add, hold
float register: decode, multiply, then one float adder per lane in ascending k, each rounding once, hold
"""

from __future__ import annotations

from dataclasses import dataclass

from hwsim.component import Component, leaf, tree
from hwsim.pe.operand import Operand
from hwsim.primitives import log2_ceil


@dataclass(frozen=True, kw_only=True, slots=True)
class FixedRegister:
    """A two's complement register in units of the product's last place (Integer and Exact accumulators)."""

    bits: int


@dataclass(frozen=True, kw_only=True, slots=True)
class FloatRegister:
    """A float accumulator with one rounding an addition; significand_bits counts the hidden bit."""

    significand_bits: int
    exponent_bits: int

    @property
    def bits(self) -> int:
        """Flip-flops it takes."""
        return self.significand_bits + self.exponent_bits  # the sign takes the hidden bit's place


@dataclass(frozen=True, kw_only=True, slots=True)
class Design:
    """What decides the gates of a multiply-accumulate. lanes: products a cycle into one register."""

    a: Operand
    b: Operand
    register: FixedRegister | FloatRegister
    lanes: int = 1

    @property
    def multiplier_bits(self) -> tuple[int, int]:
        """Inputs of the multiplier; an unsigned integer beside a signed one needs a sign bit."""
        a, b = self.a, self.b
        mixed = a.kind == b.kind == "integer" and a.signed != b.signed
        return a.significand_bits + (mixed and not a.signed), b.significand_bits + (mixed and not b.signed)

    @property
    def product_bits(self) -> int:
        """Significand bits of the exact product."""
        return sum(self.multiplier_bits)

    @property
    def sign_magnitude(self) -> bool:
        """Whether the product comes with a separate sign."""
        return (self.a.kind == "float" and self.a.signed) or (self.b.kind == "float" and self.b.signed)

    def core(self) -> Component:
        """The tree; its children are the part before the accumulation and the accumulation loop."""
        return _fixed(self) if isinstance(self.register, FixedRegister) else _floating(self, self.register)


def _product(design: Design, count: int = 1, critical: bool = True) -> Component:
    m, n = design.multiplier_bits
    a, b = design.a, design.b
    exponents = max(a.exponent_bits, b.exponent_bits)
    return tree(
        "product",
        leaf("decode_a", "float_decoder", exponent=a.exponent_bits) if a.subnormals else None,
        leaf("decode_b", "float_decoder", exponent=b.exponent_bits, critical=not a.subnormals)
        if b.subnormals
        else None,
        leaf("multiply", "multiplier", m=m, n=n),
        leaf("sign", "exclusive_or", width=1, critical=False) if design.sign_magnitude else None,
        # The exponents' sum is ready before the significands' product.
        leaf("exponent", "adder", width=exponents + 1, critical=False) if a.exponent_bits and b.exponent_bits else None,
        count=count,
        critical=critical,
    )


def _fixed(design: Design) -> Component:
    width, positions = design.register.bits, design.a.positions + design.b.positions
    placed = min(design.product_bits + positions, width)
    lanes = design.lanes
    shift = leaf(
        "place",
        "expanding_shifter",
        width=min(design.product_bits, width),
        positions=min(positions, width - 1),
        limit=width,
    )
    summed = min(placed + log2_ceil(lanes), width)
    return tree(
        "mac",
        tree(
            "terms",
            _product(design, count=lanes),
            tree("align", shift, count=lanes) if positions else None,
            leaf("negate", "exclusive_or", width=placed, count=lanes) if design.sign_magnitude else None,
            leaf("sum_lanes", "compressor", width=summed, operands=lanes - 1) if lanes > 1 else None,
        ),
        tree("accumulate", leaf("add", "adder", width=width), leaf("hold", "register", width=width)),
    )


def _floating(design: Design, register: FloatRegister) -> Component:
    lanes = design.lanes
    two_complement = not design.sign_magnitude and (design.a.signed or design.b.signed)
    magnitude = tree(
        "magnitude",
        leaf("invert", "exclusive_or", width=design.product_bits),
        leaf("increment", "incrementer", width=design.product_bits),
        count=lanes,
    )
    adders = [float_adder(f"add{lane}", design.product_bits, register) for lane in range(lanes)]
    return tree(
        "mac",
        tree("terms", _product(design, count=lanes), magnitude if two_complement else None),
        tree("accumulate", *adders, leaf("hold", "register", width=register.bits)),
    )


def float_adder(name: str, addend_bits: int, register: FloatRegister) -> Component:
    """register + an exact addend of `addend_bits` significand bits, rounded once to the register's format.

    Single path: swap by exponent, align with guard, round and sticky bits, add, take the magnitude, count leading
    zeros, normalise, round, adjust the exponent.
    """
    width = max(register.significand_bits, addend_bits) + 3  # guard, round, sticky
    exponent = register.exponent_bits
    return tree(
        name,
        leaf("compare", "adder", width=exponent),
        leaf("swap", "multiplexer", width=width, choices=2, count=2),
        leaf("align", "shifter", width=width, positions=width, active=addend_bits),
        leaf("sticky", "and_gate", width=width, critical=False),
        leaf("complement", "exclusive_or", width=width),
        leaf("add", "adder", width=width),
        leaf("magnitude", "incrementer", width=width),
        leaf("leading_zeros", "leading_zero_counter", width=width),
        leaf("normalise", "shifter", width=width, positions=width, active=addend_bits),
        leaf("round", "incrementer", width=register.significand_bits),
        leaf("exponent", "adder", width=exponent, count=2, critical=False),
    )


def float_multiplier(name: str, first: Operand, second: Operand, significand_bits: int) -> Component:
    """A float product rounded to `significand_bits`: multiply, normalise by one place, round, add the exponents."""
    m, n = first.significand_bits, second.significand_bits
    exponent = max(first.exponent_bits, second.exponent_bits)
    return tree(
        name,
        leaf("multiply", "multiplier", m=m, n=n),
        leaf("normalise", "multiplexer", width=significand_bits + 2, choices=2),
        leaf("round", "incrementer", width=significand_bits),
        leaf("exponent", "adder", width=exponent + 1, count=2, critical=False),
    )
