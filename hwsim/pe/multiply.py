"""The exact product of two numbers on wires."""

from __future__ import annotations

import formats as nf
from hwsim.circuit import Bits, Build, cat
from hwsim.pe.number import Number
from hwsim.pe.specials import product_specials
from hwsim.primitives import log2_ceil


def product(m: Build, name: str, a: Number, b: Number) -> Number:
    """Significands multiplied, signs met, exponents added; not normalised."""
    signed = a.signed or b.signed
    # An unsigned side beside a two's complement one: the product needs no bit more than both have together.
    significand = m.leaf(
        f"{name}_multiply",
        "multiplier",
        m=a.significand.width,
        n=b.significand.width,
        **_signs(a.signed, b.signed),
        a=a.significand,
        b=b.significand,
    )
    nan, infinite = product_specials(m, name, a, b)
    exponent, low, high = _added(m, f"{name}_exponent", a, b)
    return Number(
        significand=significand,
        signed=signed,
        below_zero=_met(m, f"{name}_below_zero", a.below_zero, b.below_zero),
        sign=_met(m, f"{name}_sign", a.sign, b.sign),
        exponent=exponent,
        low=low,
        high=high,
        unit=a.unit + b.unit,
        zeros=min(a.zeros + b.zeros + 1, significand.width - 1),
        factors=(a, b),
        nan=nan,
        infinite=infinite,
    )


def _signs(a: bool, b: bool) -> dict[str, int]:
    return {name: 1 for name, two in (("signed_a", a), ("signed_b", b)) if two}


def _met(m: Build, name: str, a: Bits | None, b: Bits | None) -> Bits | None:
    """The product's sign."""
    if a is None or b is None:
        return a if b is None else b
    row: Bits = m.leaf(name, "exclusive_or", width=1, a=a, b=b)
    return row


def _added(m: Build, name: str, a: Number, b: Number) -> tuple[Bits | None, int, int]:
    """The product's exponent with its range."""
    if a.exponent is None or b.exponent is None:
        one = b if a.exponent is None else a
        return one.exponent, one.low, one.high
    high = a.high + b.high
    width = max(log2_ceil(high + 1), a.exponent.width, b.exponent.width)
    rows = (x.exponent.zero_extend(width) for x in (a, b) if x.exponent is not None)
    first, second = rows
    return m.leaf(name, "adder", width=width, a=first, b=second), a.low + b.low, high


def leading_zeros(m: Build, name: str, fmt: nf.Minifloat, x: Number) -> Bits | None:
    """The leading zeros of a product, or one less, from its factors: those of the one that is subnormal.

    None where both being so does not make the product smaller than the format's smallest normal number, or where
    factors have other zeros.
    """
    if x.factors is None or x.signed or not x.zeros:
        return None
    a, b = x.factors
    both = x.low + x.unit + x.significand.width - (fmt.ulp_exponent + fmt.trailing_significand_bits + 1) < 0
    if not (a.canonical and b.canonical and both) or a.significand.width != b.significand.width or a.zeros != b.zeros:
        return None
    words = cat(b.significand, a.significand)
    row = m.leaf(
        f"{name}_subnormal", "multiplexer", width=a.significand.width, choices=2, words=words, select=a.significand[-1]
    )
    seen = row[row.width - a.zeros :]
    count: Bits = m.leaf(f"{name}_zeros", "leading_zero_counter", width=seen.width, a=seen)
    return count.zero_extend(log2_ceil(x.zeros + 1))[: log2_ceil(x.zeros + 1)]
