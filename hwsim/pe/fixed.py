"""Numbers summed in a two's complement register that counts in the product's last place."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from hwsim.circuit import Bits, Build, Module, cat
from hwsim.pe.number import Number
from hwsim.primitives import log2_ceil


@dataclass(frozen=True, slots=True)
class Placed:
    """A term in the register's unit: row, two's complement where `signed`; negated where `sign` is there and 1."""

    row: Bits
    signed: bool
    sign: Bits | None


def placed(m: Build, name: str, x: Number, width: int | None, unit: int | None = None) -> Placed:
    """The number moved to its place, in as many bits as it can take; at most `width` where only those count.

    unit: of the register, where it is not the number's own: what a magnitude has below it is dropped.
    """
    row = x.significand
    beside = 0 if unit is None else x.unit + x.low - unit
    row = row.above(max(beside, 0))
    width = width if width is None or beside >= 0 else width - beside
    if x.exponent is not None and x.positions:
        needed = min(row.width + x.positions, width or row.width + x.positions)
        # The least exponent is low, not 0: that many places below the register's last are made and dropped, since a
        # subtraction of it would cost more than wires that are always zero.
        moved = m.leaf(
            name,
            "expanding_shifter",
            width=row.width,
            positions=x.high,
            limit=needed + x.low,
            **({"signed_a": 1} if x.signed else {}),
            a=row,
            amount=x.exponent[: log2_ceil(x.high + 1)],
        )
        row = moved[x.low :]
    row = row[: min(row.width, width or row.width)]
    row = row[min(-beside, row.width - 1) :] if beside < 0 else row
    return Placed(row, x.signed, x.sign)


@cache
def accumulator(width: int, term: int, signed: bool, with_sign: bool, saturate: bool) -> Module:
    """total + term, or 0 + term where clear is 1: the next content of a register of `width` bits.

    Modulo 2**width; with `saturate` the nearest end of the range where the sum is beyond it.
    """
    kind = "magnitude" if with_sign else "signed" if signed else "unsigned"
    m = Build(f"accumulate{width}_{kind}{term}{'_saturate' if saturate else ''}")
    total, row, clear = m.input("total", width), m.input("term", term), m.input("clear", 1)
    sign = m.input("sign", 1) if with_sign else None
    keep = m.leaf("keep", "inverter", width=1, a=clear)
    kept = m.leaf("cleared", "and_gate", width=width, a=total, b=keep.repeat(width))
    wide = max(width, term + (not signed)) + 1 if saturate else width
    addend = row.sign_extend(wide) if signed else row.zero_extend(wide)
    kept = kept.sign_extend(wide)
    if sign is None:
        found = m.leaf("add", "adder", width=wide, a=kept, b=addend)
    else:
        found = m.leaf("add", "add_subtract", width=wide, a=kept, b=addend, subtract=sign)
    m.output("next", _clamped(m, found, width) if saturate else found)
    return m.done()


def _clamped(m: Build, x: Bits, width: int) -> Bits:
    """A two's complement number in `width` bits: the nearest end of their range where it does not fit."""
    top = x[-1]
    above = x[width - 1 : x.width - 1]
    differ = m.leaf("differ", "exclusive_or", width=above.width, a=above, b=top.repeat(above.width))
    beyond = m.leaf("beyond", "any_bit", width=differ.width, a=differ)
    low = m.leaf("low_end", "inverter", width=1, a=top).repeat(width - 1)
    row: Bits = m.leaf("clamp", "multiplexer", width=width, choices=2, words=cat(top, low, x[:width]), select=beyond)
    return row


def accumulate(m: Build, name: str, total: Bits, term: Placed, clear: Bits, saturate: bool = False) -> Bits:
    """The register's next content."""
    with_sign = term.sign is not None
    signs = {"sign": term.sign} if term.sign is not None else {}
    what = accumulator(total.width, term.row.width, term.signed, with_sign, saturate)
    row: Bits = m.module(name, what, total=total, term=term.row, clear=clear, **signs)
    return row


def summed(m: Build, name: str, terms: list[Placed], width: int | None) -> Placed:
    """Lanes' terms as one two's complement term: magnitudes inverted where negative, their carries added with them."""
    if len(terms) == 1:
        return terms[0]
    negative = any(term.signed or term.sign is not None for term in terms)
    wide = max(term.row.width for term in terms) + log2_ceil(len(terms)) + negative
    wide = min(wide, width or wide)
    rows: list[Bits] = []
    for place, term in enumerate(terms):
        if term.sign is None:
            rows.append(term.row.sign_extend(wide)[:wide] if term.signed else term.row.zero_extend(wide)[:wide])
            continue
        flipped = m.leaf(
            f"{name}_flip{place}",
            "exclusive_or",
            width=term.row.width,
            a=term.row,
            b=term.sign.repeat(term.row.width),
        )
        above = flipped[-1] if term.signed else term.sign
        filled = cat(above.repeat(max(wide - term.row.width, 0)), flipped)[:wide]
        rows += [filled, term.sign.zero_extend(wide)]
    total = m.leaf(
        name, "compressor", width=wide, operands=len(rows) - 1, first=rows[0], terms=cat(*reversed(rows[1:]))
    )
    return Placed(total, negative, None)
