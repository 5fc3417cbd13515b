"""The multiply-accumulate as a wired module: operands decoded, multiplied, accumulated, held."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import formats as nf
from hwsim.circuit import Build, Module
from hwsim.pe import fixed, floating
from hwsim.pe.multiply import product
from hwsim.pe.number import Number, decoded, slug


@dataclass(frozen=True, kw_only=True, slots=True)
class Mac:
    """What decides a multiply-accumulate's wires: formats of the operands, the register, products a cycle."""

    a: nf.Scalar
    b: nf.Scalar
    accumulator: nf.Accumulator
    lanes: int = 1


@cache
def mac(what: Mac) -> Module:
    """Ports: a and b, `lanes` codes each, the first lowest; clear: 1 starts a new sum; sum: the register."""
    if isinstance(what.accumulator, nf.FloatChain):
        return _floating(what, what.accumulator)
    return _fixed(what)


def _fixed(what: Mac) -> Module:
    width = nf.accumulator_bits(what.a, what.b, what.accumulator)
    lanes = f"_{what.lanes}lanes" if what.lanes > 1 else ""
    m = Build(f"mac_{slug(what.a.name)}_{slug(what.b.name)}_fixed{width}{lanes}")
    numbers = products(m, what)
    clear = m.input("clear", 1)
    terms = [fixed.placed(m, f"place{_lane(what, lane)}", number, width) for lane, number in enumerate(numbers)]
    total = m.register("total", width)
    m.drive("total", fixed.accumulate(m, "accumulate", total, fixed.summed(m, "lanes", terms, width), clear))
    m.output("sum", total)
    return m.done()


def _floating(what: Mac, chain: nf.FloatChain) -> Module:
    fmt = chain.format
    lanes = f"_{what.lanes}lanes" if what.lanes > 1 else ""
    rounding = "" if chain.rounding == "ties_to_even" else f"_{chain.rounding}"
    m = Build(f"mac_{slug(what.a.name)}_{slug(what.b.name)}_{slug(fmt.name)}{rounding}{lanes}")
    numbers = products(m, what)
    clear = m.input("clear", 1)
    total = m.register("total", fmt.bits)
    keep = m.leaf("keep", "inverter", width=1, a=clear)
    value = m.leaf("cleared", "and_gate", width=fmt.bits, a=total, b=keep.repeat(fmt.bits))
    for lane, number in enumerate(numbers):
        addend = floating.magnitude(m, f"magnitude{_lane(what, lane)}", number)
        value = floating.float_add(m, f"add{_lane(what, lane)}", fmt, chain.rounding, value, addend)
    m.drive("total", value)
    m.output("sum", total)
    return m.done()


def products(m: Build, what: Mac) -> list[Number]:
    """Every lane's exact product."""
    rows = [m.input(side, fmt.bits * what.lanes) for side, fmt in (("a", what.a), ("b", what.b))]
    found = []
    for lane in range(what.lanes):
        pair = []
        for side, fmt, row in zip("ab", (what.a, what.b), rows, strict=True):
            code = row[fmt.bits * lane : fmt.bits * (lane + 1)]
            pair.append(decoded(m, f"decode_{side}{_lane(what, lane)}", fmt, code))
        found.append(product(m, f"product{_lane(what, lane)}", *pair))
    return found


def _lane(what: Mac, lane: int) -> str:
    return str(lane) if what.lanes > 1 else ""
