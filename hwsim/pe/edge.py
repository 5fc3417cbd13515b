"""Units at the edge of an array, as wires: a PE's sum under its scales, less zero points, added to a float register.

edge(block_edge(...))          # used once a block: next total = total + (sum - zero points) * scales, rounded once
edge(result_edge(...))         # used once a result: the sum under its scales, in the output's format

What a format adds to a block's values (a shift) comes to the total as the other side's row sum times it.

Scales of few bits are multiplied exactly, so the register's addition is the only rounding; where that would take a
significand of more than 40 bits, the sum, the scales' product and theirs are each rounded to the output's format first.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

import formats as nf
from hwsim.circuit import Bits, Build, Module, constant
from hwsim.pe import floating
from hwsim.pe.multiply import product
from hwsim.pe.number import Number, decoded, slug
from hwsim.pe.papers import convert
from hwsim.pe.rounded import rounded
from hwsim.pe.row_sum import RowSum
from hwsim.pe.scales import MAX_TERMS, Scales, edge_every
from hwsim.primitives import log2_ceil

WIDEST_EXACT = 40  # bits of a product that is not rounded on the way


@dataclass(frozen=True, kw_only=True, slots=True)
class ZeroPoint:
    """fmt: of the zero point, an integer; side: "a" or "b"; other: the sum of the other side's elements."""

    side: str
    fmt: nf.Scalar
    other: RowSum


@dataclass(frozen=True, kw_only=True, slots=True)
class Shift:
    """fmt: of what is added to the values of a block of `side`; other: the sum of the other side's elements.

    beside: places among the unit's scales of those of the other side.
    """

    side: str
    fmt: nf.Scalar
    other: RowSum
    beside: tuple[int, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Edge:
    """register: what the PE holds, a float format or bits of two's complement in units of 2**unit.

    scales: formats, one a side that has one.  total: the float format it ends in.  blocks: whether blocks are summed in
    a register here; else one result is scaled.
    """

    register: nf.Minifloat | int
    unit: int
    scales: tuple[nf.Scalar, ...]
    total: nf.Minifloat
    blocks: bool
    zero_points: tuple[ZeroPoint, ...] = ()
    shift: Shift | None = None

    @property
    def row_sums(self) -> dict[str, RowSum]:
        """By side, "a" or "b", the sums of elements it is given."""
        found = {other_side(zero.side): zero.other for zero in self.zero_points}
        return found if self.shift is None else found | {other_side(self.shift.side): self.shift.other}

    @property
    def bits(self) -> int:
        """Of the sum it is given."""
        return self.register if isinstance(self.register, int) else self.register.bits

    @property
    def name(self) -> str:
        """Its module's name."""
        kind = f"fixed{self.register}" if isinstance(self.register, int) else slug(self.register.name)
        unit = f"_unit{'m' if self.unit < 0 else ''}{abs(self.unit)}" if isinstance(self.register, int) else ""
        scales = "".join(f"_by_{slug(fmt.name)}" for fmt in self.scales)
        zeros = "".join(f"_zero_{z.side}_{slug(z.fmt.name)}_{z.other.name}" for z in self.zero_points)
        if self.shift is not None:
            zeros += f"_shift_{self.shift.side}_{slug(self.shift.fmt.name)}_{self.shift.other.name}"
        return f"{'block' if self.blocks else 'result'}_scale_{kind}{unit}{scales}{zeros}_to_{slug(self.total.name)}"


def other_side(side: str) -> str:
    """b of a, a of b."""
    return "b" if side == "a" else "a"


def block_edge(
    a: Scales, b: Scales, register: nf.Minifloat | int, unit: int, total: nf.Minifloat, lanes: int = 1
) -> Edge | None:
    """What is used once per block; None without block scales. It has all zero points: one that is the same for a whole
    row of k is still multiplied by elements under scales that change along k."""
    every = edge_every(a, b)
    if every is None:
        return None
    scales = tuple(side.block_scale for side in (a, b) if side.block_scale is not None)
    zeros, shift = _zero_points(a, b, every, register, lanes), _shift(a, b, every, register, lanes)
    return Edge(register=register, unit=unit, scales=scales, total=total, blocks=True, zero_points=zeros, shift=shift)


def result_edge(
    a: Scales, b: Scales, register: nf.Minifloat | int, unit: int, total: nf.Minifloat, lanes: int = 1
) -> Edge | None:
    """What is used once per result; None without scales that span the whole of k."""
    scales = tuple(side.result_scale for side in (a, b) if side.result_scale is not None)
    if not scales:
        return None
    if edge_every(a, b) is not None:  # the result is then already a float, and corrected
        return Edge(register=total, unit=0, scales=scales, total=total, blocks=False)
    zeros, shift = _zero_points(a, b, MAX_TERMS, register, lanes), _shift(a, b, MAX_TERMS, register, lanes)
    return Edge(register=register, unit=unit, scales=scales, total=total, blocks=False, zero_points=zeros, shift=shift)


def _zero_points(a: Scales, b: Scales, terms: int, register: nf.Minifloat | int, lanes: int) -> tuple[ZeroPoint, ...]:
    return tuple(
        ZeroPoint(side=name, fmt=side.offset, other=_row_sum(other, terms, register, lanes))
        for name, side, other in (("a", a, b), ("b", b, a))
        if side.offset is not None
    )


def _shift(a: Scales, b: Scales, terms: int, register: nf.Minifloat | int, lanes: int) -> Shift | None:
    """MacPE allows one, and no zero point beside it."""
    for name, side, other in (("a", a, b), ("b", b, a)):
        if side.shift is not None:
            theirs = other.block_scale if side.block is not None else other.result_scale
            beside = () if theirs is None else (1,) if name == "a" else (0,)
            row = _row_sum(other, terms, register, lanes)
            return Shift(side=name, fmt=side.shift, other=row, beside=beside)
    return None


def _row_sum(side: Scales, terms: int, register: nf.Minifloat | int, lanes: int) -> RowSum:
    """Floats are summed in the PE's own kind of float register; integers, and floats beside a fixed one, exactly."""
    floats = register if isinstance(register, nf.Minifloat) and isinstance(side.element, nf.Minifloat) else None
    return RowSum(element=side.element, terms=terms, lanes=lanes, register=floats)


@cache
def edge(what: Edge) -> Module:
    """Ports: sum; scale0, scale1: codes; for a zero point of side a: zero_a, its code, and row_sum_b, the sum of b's
    elements (row_sum.py); with two zero points count, how many terms were summed; shift, its code, and the other side's
    row sum; clear of block units: 1 starts a new total. Gives total, or scaled."""
    m = Build(what.name)
    x = _number(m, what, m.input("sum", what.bits))
    clear = m.input("clear", 1) if what.blocks else None
    addends = [floating.magnitude(m, f"size{place}", addend) for place, addend in enumerate(_corrected(m, what, x))]
    scales = [
        decoded(m, f"decode_scale{place}", fmt, m.input(f"scale{place}", fmt.bits))
        for place, fmt in enumerate(what.scales)
    ]
    found = [_scaled(m, f"scaled{place}", what, addend, scales) for place, addend in enumerate(addends)]
    found += [_shifted(m, what, what.shift, scales)] if what.shift is not None else []
    if clear is None:
        value = convert.rounded(m, "round", what.total, found[0], low_only=False)
        for place, addend in enumerate(found[1:]):
            value = floating.float_add(m, f"correct{place}", what.total, "ties_to_even", value, addend)
        m.output("scaled", value)
        return m.done()
    total = m.register("total", what.total.bits)
    keep = m.leaf("keep", "inverter", width=1, a=clear)
    value = m.leaf("cleared", "and_gate", width=total.width, a=total, b=keep.repeat(total.width))
    for place, addend in enumerate(found):
        value = floating.float_add(m, f"add{place}", what.total, "ties_to_even", value, addend)
    m.drive("total", value)
    m.output("total_out", total)
    return m.done()


def _number(m: Build, what: Edge, row: Bits) -> Number:
    if isinstance(what.register, int):
        return Number(significand=row, signed=True, below_zero=row[-1], unit=what.unit, zeros=row.width - 1)
    return decoded(m, "decode_sum", what.register, row)


def _corrected(m: Build, what: Edge, x: Number) -> list[Number]:
    """What is left of the sum without its zero points; as several addends where they have no common unit.

    sum((a - za) * (b - zb)) = sum(a * b) - zb * sum(a) - za * (sum(b) - terms * zb).
    """
    points = {
        zero.side: decoded(m, f"decode_zero_{zero.side}", zero.fmt, m.input(f"zero_{zero.side}", zero.fmt.bits))
        for zero in what.zero_points
    }
    addends = [x]
    for zero in what.zero_points:
        other = other_side(zero.side)
        total = zero.other.number(m, f"decode_row_sum_{other}", m.input(f"row_sum_{other}", zero.other.bits))
        if zero.side == "a" and "b" in points:  # both sides are integers, and so is this sum
            width = log2_ceil(zero.other.terms + 1)
            terms = Number(significand=m.input("count", width), zeros=width - 1)
            total = _less(m, "less_both", total, product(m, "both", terms, points["b"]))
        y = product(m, f"zero_product_{zero.side}", total, points[zero.side])
        if x.exponent is None and y.exponent is None and y.unit == x.unit and not isinstance(y.sign, Bits):
            addends[0] = _less(m, f"less_{zero.side}", addends[0], y)
        else:
            addends.append(_negated(m, f"negated_{zero.side}", y))
    return addends


def _shifted(m: Build, what: Edge, shift: Shift, scales: list[Number]) -> Number:
    """The shift times the other side's sum, under the other side's scales."""
    other = other_side(shift.side)
    total = shift.other.number(m, f"decode_row_sum_{other}", m.input(f"row_sum_{other}", shift.other.bits))
    point = decoded(m, "decode_shift", shift.fmt, m.input("shift", shift.fmt.bits))
    x = floating.magnitude(m, "size_shift", product(m, "shift_product", total, point))
    return _scaled(m, "scaled_shift", what, x, [scales[place] for place in shift.beside])


def _less(m: Build, name: str, x: Number, y: Number) -> Number:
    """x - y of two two's complement numbers in one unit."""
    width = max(x.significand.width, y.significand.width) + 1
    rows = [one.significand.sign_extend(width) if one.signed else one.significand.zero_extend(width) for one in (x, y)]
    row = m.leaf(name, "subtractor", width=width, a=rows[0], b=rows[1])
    return Number(significand=row, signed=True, below_zero=row[-1], unit=x.unit, zeros=width - 1)


def _negated(m: Build, name: str, x: Number) -> Number:
    x = floating.magnitude(m, name, x)
    sign = constant(1, 1) if x.sign is None else m.leaf(f"{name}_sign", "inverter", width=1, a=x.sign)
    return replace(x, sign=sign)


def _scaled(m: Build, name: str, what: Edge, x: Number, scales: list[Number]) -> Number:
    """x times the scales."""
    if not scales or x.significand.width + sum(scale.significand.width for scale in scales) <= WIDEST_EXACT:
        for place, scale in enumerate(scales):
            x = product(m, f"{name}_{place}", x, scale)
        return x
    how = nf.RoundedProduct(what.total)
    factor = scales[0]
    if len(scales) > 1:
        factor = rounded(m, f"{name}_factor", how, product(m, f"{name}_scales", *scales), False)
    x = rounded(m, f"{name}_sum", how, x, False)
    return rounded(m, f"{name}_round", how, product(m, f"{name}_product", x, factor), False)
