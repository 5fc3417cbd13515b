"""A number rounded to a float format: what a multiplier does whose output has fewer bits than the product."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import formats as nf
from hwsim.circuit import Build, Module, cat, constant
from hwsim.pe.floating import Addend, Style, addend_of, coded, field_of, limited, normalised, packed_up, rounded_up
from hwsim.pe.number import Number, decoded, slug
from hwsim.pe.specials import marked


@dataclass(frozen=True, slots=True)
class Rounder:
    """A format whose codes are made, and how."""

    fmt: nf.Minifloat
    style: Style


@cache
def float_rounder(how: Rounder, x: Addend) -> Module:
    """Ports: significand, exponent (where there is one), sign, infinite and nan where it can be; code: it rounded.

    The magnitude's top goes to the hidden bit; below the smallest normal exponent it moves down by what is missing.
    """
    fmt, style = how.fmt, how.style
    p = fmt.trailing_significand_bits + 1
    special = "_nan" * x.nan + "_infinite" * x.infinite
    shape = f"{x.bits}x{x.exponent_bits}_{x.low}to{x.high}_{x.zeros}zeros_unit{'m' if x.unit < 0 else ''}{abs(x.unit)}"
    m = Build(f"round_{slug(fmt.name)}_{style.name}_{shape}{special}")
    significand = m.input("significand", x.bits)
    exponent = m.input("exponent", x.exponent_bits) if x.exponent_bits else constant(x.low, 1)
    sign = m.input("sign", 1)
    nan = m.input("nan", 1) if x.nan else None
    infinite = m.input("infinite", 1) if x.infinite else None
    normal, zeros = normalised(m, significand, x.zeros)
    offset = x.unit + x.bits - (fmt.ulp_exponent + p)  # of the exponent field less one
    most, least = max(2**fmt.exponent_bits, x.high + offset), min(-1, x.low + offset - x.zeros)
    width = max(most.bit_length(), (-least).bit_length()) + 1
    below = field_of(m, exponent, zeros, offset, width)
    window = max(p + 1, x.bits)
    row = normal.above(window - x.bits)
    lost = constant(0, 0)
    if x.low + offset - x.zeros < 0:
        tiny = below[-1]  # by -below places; one of them wired, since all bits turned are -below - 1
        words = cat(row[1:].zero_extend(window), row)
        row = m.leaf("one_down", "multiplexer", width=window, choices=2, words=words, select=tiny)
        turned = m.leaf("missing", "inverter", width=width - 1, a=below[:-1])
        far = m.leaf("down", "and_gate", width=width - 1, a=turned, b=tiny.repeat(width - 1))
        amount = limited(m, far, window)
        moved = m.leaf("lower", "sticky_shifter", width=window, positions=2**amount.width - 1, a=row, amount=amount)
        one_lost = m.leaf("one_lost", "and_gate", width=1, a=normal[0], b=tiny) if x.bits == window else constant(0, 1)
        row, lost = moved["shifted"], m.leaf("lost", "or_gate", width=1, a=moved["lost"], b=one_lost)
    rest = cat(row[: window - p], lost)
    up = rounded_up(m, style, None, rest, row[window - p], sign)
    packed = packed_up(m, fmt, style, below, row[window - p :], up)
    m.output("code", coded(m, fmt, style, sign, packed, nan, infinite))
    return m.done()


def rounded(m: Build, name: str, how: nf.RoundedProduct, x: Number, full: bool) -> Number:
    """The number rounded to the multiplier's format, and decoded again. full: with infinities and NaN."""
    fmt = how.format
    style = Style(how.rounding, 0, how.overflow, full)
    rows = {"significand": x.significand, "sign": constant(0, 1) if x.sign is None else x.sign}
    optional = {"exponent": x.exponent, "nan": x.nan, "infinite": x.infinite}
    rows |= {port: row for port, row in optional.items() if row is not None}
    code = m.module(f"{name}_rounded", float_rounder(Rounder(fmt, style), addend_of(x)), **rows)
    made = decoded(m, f"{name}_read", fmt, code)
    return marked(m, f"{name}_special", fmt, code, made) if full else made
