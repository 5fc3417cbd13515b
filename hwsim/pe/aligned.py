"""A matrix unit's step in wires: products and register aligned to the largest exponent, cut off, added, rounded once.

What formats.Aligned says, for finite operands and sums: exponents are read off the operands (a zero has none), the
largest is found by a tree of comparisons, every magnitude is moved down to it and loses what falls below the window.
"""

from __future__ import annotations

from dataclasses import dataclass

import formats as nf
from hwsim.circuit import Bits, Build, cat, constant
from hwsim.pe.fixed import Placed, summed
from hwsim.pe.float_rounding import Style
from hwsim.pe.floating import Addend, float_add, limited, magnitude, normalised
from hwsim.pe.number import Number, decoded
from hwsim.pe.rounded import Rounder, float_rounder
from hwsim.primitives import log2_ceil


@dataclass(frozen=True, slots=True)
class _Term:
    """A magnitude whose bit `one` has the weight 2**(exponent + offset); low, high: the range of exponent."""

    row: Bits
    sign: Bits | None
    one: int
    exponent: Bits
    offset: int
    low: int
    high: int


def check_aligned(how: nf.Aligned, factors: tuple[nf.Scalar, nf.Scalar], lanes: int) -> None:
    """Raise ValueError for steps that there are no wires for."""
    if lanes != how.terms:
        raise ValueError(f"MacPE: a step of {how} takes {how.terms} products, got lanes={lanes}")
    if how.unpacked is not None or how.flush:
        raise ValueError(f"MacPE: there are no wires for unpacked operands and flushed ones, got {how}")
    if not how.normalized and not all(isinstance(fmt, nf.Minifloat) for fmt in factors):
        names = " and ".join(fmt.name for fmt in factors)
        raise ValueError(f"MacPE: exponents are read off float operands, got {names}; use normalized=True or floats")


def aligned_step(m: Build, how: nf.Aligned, numbers: list[Number], total: Bits) -> Bits:
    """The register after a step."""
    fmt, style = how.format, Style(how.rounding)
    terms = [_product(m, f"term{lane}", x, how.normalized) for lane, x in enumerate(numbers)]
    if how.register_aligned:
        terms.append(_register(m, fmt, total))
    x = _sum(m, how, terms)
    code = _coded(m, "round_sum", fmt, style, x)
    if how.register_aligned:
        return code
    both = float_add(m, "add", fmt, style, total, decoded(m, "sum_read", fmt, code))
    return _no_minus_zero(m, "total_sign", both)


def _product(m: Build, name: str, x: Number, normalise: bool) -> _Term:
    """A product: the leading bits of its operands' significands have the weight of their exponents."""
    x = magnitude(m, name, x)
    row, low, high = x.significand, x.low, x.high
    exponent = constant(x.low, max(x.low.bit_length(), 1)) if x.exponent is None else x.exponent
    if not normalise:
        one = row.width - 2
        return _Term(row, x.sign, one, exponent, x.unit + one, low, high)
    inner = Build(f"normal{row.width}_{x.zeros}zeros")
    given = inner.input("a", row.width)
    normal, zeros = normalised(inner, given, x.zeros)
    inner.output("normal", normal)
    one = row.width - 1
    if zeros is None:
        return _Term(row, x.sign, one, exponent, x.unit + one, low, high)
    inner.output("zeros", zeros)
    made = m.module(f"{name}_normal", inner.done(), a=row)
    # exponent - zeros, `most` more so that it is no negative number
    most = max(x.zeros - low, 0)
    width = (high + most).bit_length() + 1
    less = m.leaf(f"{name}_less", "inverter", width=zeros.width, a=made["zeros"])
    ones = constant(-1, width)[zeros.width :]
    lifted = m.leaf(
        f"{name}_exponent", "compressor", width=width, operands=2, first=exponent.zero_extend(width)[:width],
        terms=cat(constant(most + 1, width), ones, less),
    )  # fmt: skip
    return _Term(made["normal"], x.sign, one, lifted, x.unit + one - most, low - x.zeros + most, high + most)


def _register(m: Build, fmt: nf.Minifloat, total: Bits) -> _Term:
    x = decoded(m, "read", fmt, total)
    one = x.significand.width - 1
    assert x.exponent is not None
    return _Term(x.significand, x.sign, one, x.exponent, x.unit + one, x.low, x.high)


def _sum(m: Build, how: nf.Aligned, terms: list[_Term]) -> Number:
    """The terms' sum in units of 2**(largest exponent - fraction_bits)."""
    least = min(term.low + term.offset for term in terms)
    floor = how.minimum_exponent if how.minimum_exponent is not None and how.minimum_exponent > least else None
    base = min([term.offset for term in terms] + ([] if floor is None else [floor]))
    tops = [term.high + term.offset - base for term in terms] + ([] if floor is None else [floor - base])
    width = max(tops).bit_length()
    exponents = []
    for place, term in enumerate(terms):
        row, extra = term.exponent.zero_extend(width)[:width], term.offset - base
        if extra:
            row = m.leaf(f"exponent{place}", "adder", width=width, a=row, b=constant(extra, width))
        some = m.leaf(f"some{place}", "any_bit", width=term.row.width, a=term.row)
        exponents.append(m.leaf(f"of_some{place}", "and_gate", width=width, a=row, b=some.repeat(width)))
    top = _largest(m, exponents, None if floor is None else constant(floor - base, width))
    rows = [_cut(m, how, f"cut{place}", x, e, top) for place, (x, e) in enumerate(zip(terms, exponents, strict=True))]
    whole = summed(m, "whole", rows, None)
    unit = base - how.fraction_bits
    x = Number(significand=whole.row, signed=whole.signed, sign=whole.sign, exponent=top, high=max(tops), unit=unit)
    return magnitude(m, "size", x)


def _largest(m: Build, exponents: list[Bits], floor: Bits | None) -> Bits:
    """A tree of comparisons."""
    level = exponents if floor is None else [*exponents, floor]
    depth = 0
    while len(level) > 1:
        joined = []
        for place, (x, y) in enumerate(zip(level[::2], level[1::2], strict=False)):
            less = m.leaf(f"less{depth}_{place}", "comparator", width=x.width, a=x, b=y)
            words = cat(y, x)
            joined.append(
                m.leaf(f"top{depth}_{place}", "multiplexer", width=x.width, choices=2, words=words, select=less)
            )
        level, depth = joined + level[len(level) - len(level) % 2 :], depth + 1
    return level[0]


def _cut(m: Build, how: nf.Aligned, name: str, x: _Term, exponent: Bits, top: Bits) -> Placed:
    """The term in the window, its bit `one` at place fraction_bits, moved down to the largest exponent."""
    spare = how.fraction_bits - x.one
    row = x.row.above(max(spare, 0))[max(-spare, 0) :]
    lost = x.row[: min(max(-spare, 0), x.row.width)]
    far = m.leaf(f"{name}_far", "subtractor", width=top.width, a=top, b=exponent)
    if how.truncation == "toward_zero" or x.sign is None:
        reach = min(2**far.width - 1, row.width)
        amount = limited(m, far, row.width, f"{name}_")
        amount = amount[: log2_ceil(reach + 1)]
        moved = m.leaf(f"{name}_moved", "shifter", width=row.width, positions=2**amount.width - 1, a=row, amount=amount)
        return Placed(moved, False, x.sign)
    # Two's complement first: what is lost then makes the number smaller, not its magnitude.
    full = cat(constant(0, 1), row, lost)
    turned = m.leaf(f"{name}_turned", "exclusive_or", width=full.width, a=full, b=x.sign.repeat(full.width))
    signed = m.leaf(f"{name}_signed", "incrementer", width=full.width, a=turned, carry=x.sign)[lost.width :]
    amount = limited(m, far, signed.width, f"{name}_")
    return Placed(
        m.leaf(
            f"{name}_moved", "arithmetic_shifter", width=signed.width, positions=2**amount.width - 1, a=signed,
            amount=amount,
        ),
        True,
        None,
    )  # fmt: skip


def _coded(m: Build, name: str, fmt: nf.Minifloat, style: Style, x: Number) -> Bits:
    """The sum in the register's format; no minus zero."""
    assert x.exponent is not None
    shape = Addend(x.significand.width, x.exponent.width, x.low, x.high, x.unit, x.significand.width - 1)
    sign = constant(0, 1) if x.sign is None else x.sign
    unit = float_rounder(Rounder(fmt, style), shape)
    code = m.module(name, unit, significand=x.significand, exponent=x.exponent, sign=sign)
    return _no_minus_zero(m, f"{name}_sign", code)


def _no_minus_zero(m: Build, name: str, code: Bits) -> Bits:
    some = m.leaf(f"{name}_some", "any_bit", width=code.width - 1, a=code[:-1])
    return cat(m.leaf(name, "and_gate", width=1, a=code[-1], b=some), code[:-1])
