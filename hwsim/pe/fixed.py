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


def placed(m: Build, name: str, x: Number, width: int) -> Placed:
    """The number moved to its place, in as many bits as it can take, at most `width` (the register's)."""
    row = x.significand
    if x.exponent is not None and x.positions:
        needed = min(row.width + x.positions, width)
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
    return Placed(row[: min(row.width, width)], x.signed, x.sign)


@cache
def accumulator(width: int, term: int, signed: bool, with_sign: bool) -> Module:
    """total + term, or 0 + term where clear is 1: the next content of a register of `width` bits, modulo 2**width."""
    kind = "magnitude" if with_sign else "signed" if signed else "unsigned"
    m = Build(f"accumulate{width}_{kind}{term}")
    total, row, clear = m.input("total", width), m.input("term", term), m.input("clear", 1)
    sign = m.input("sign", 1) if with_sign else None
    keep = m.leaf("keep", "inverter", width=1, a=clear)
    kept = m.leaf("cleared", "and_gate", width=width, a=total, b=keep.repeat(width))
    addend = row.sign_extend(width) if signed else row.zero_extend(width)
    if sign is None:
        m.output("next", m.leaf("add", "adder", width=width, a=kept, b=addend))
    else:
        m.output("next", m.leaf("add", "add_subtract", width=width, a=kept, b=addend, subtract=sign))
    return m.done()


def accumulate(m: Build, name: str, total: Bits, term: Placed, clear: Bits) -> Bits:
    """The register's next content."""
    with_sign = term.sign is not None
    signs = {"sign": term.sign} if term.sign is not None else {}
    what = accumulator(total.width, term.row.width, term.signed, with_sign)
    row: Bits = m.module(name, what, total=total, term=term.row, clear=clear, **signs)
    return row


def summed(m: Build, name: str, terms: list[Placed], width: int) -> Placed:
    """Lanes' terms as one two's complement term: magnitudes inverted where negative, their carries added with them."""
    if len(terms) == 1:
        return terms[0]
    most = max(term.row.width for term in terms)
    extra = (2 * len(terms) - 1).bit_length()
    wide = (
        min(most + 1 + extra, width) if any(t.signed or t.sign is not None for t in terms) else min(most + extra, width)
    )
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
    return Placed(total, any(t.signed or t.sign is not None for t in terms), None)
