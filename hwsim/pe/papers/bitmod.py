"""BitMoD's bit-serial PE: float16 activations times one-bit terms of weights, four lanes, four stages.

A weight is a sum of terms (-1)**sign * man * 2**(exp + bsig), one a cycle (`terms`). An activation is worth
(-1)**sign * significand * 2**exponent, its significand the 11 bits with the hidden one.
1. exponent match: each lane's exponent, the largest of them, and each lane's distance from it;
2. multiply: significands moved down by the distance (3 places more are kept, the rest is cut off), negated, added;
3. group sum: moved up by bsig, added to a sum of 15 bits and a 6-bit exponent, normalised by 0 to 8 places, cut off;
4. dequantise: the group's sum times a scale of 8 bits, the highest first, a bit a cycle.

variant: "as_published": to the bit what the RTL does (hardware/pe of github.com/yc2367/BitMoD). Two things in it cannot
be meant, and "as_intended" has them right:
- the exponent of the new sum is the larger of the old sum's and the activations', but only the old sum is moved there,
  so that terms below the old sum's exponent count too much. Here they are moved down, by their floor;
- an `else` is missing where stage 4 starts: nothing clears the product of the scale before.
The scale's product is kept in 21 bits in both, where 15 by 8 bits take 23: it wraps for large sums and scales.
The RTL's decoder of weights is not here: its leading-one detector finds other terms than the paper's; `terms` gives
those of the paper (and of nf.BitSerial).
Source: BitMoD (HPCA 2025, arXiv 2411.11745) and its repository.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np

import formats as nf
from hwsim.circuit import Bits, Build, Module, cat, constant
from hwsim.pe.number import slug

LANES, ACTIVATION_EXPONENT, TERM_EXPONENT, EXPONENT = 4, 5, 2, 6
SIGNIFICAND, ALIGNED, PRODUCT, PLACED, SUM, SCALED = 11, 14, 17, 23, 15, 21
MOST_BSIG, MOST_NORMALISED, MOST_SUM_SHIFT = 6, 8, 13


@dataclass(frozen=True, kw_only=True, slots=True)
class BitMod:
    """The PE; see the module."""

    variant: Literal["as_published", "as_intended"] = "as_published"

    def __post_init__(self) -> None:
        if self.variant not in ("as_published", "as_intended"):
            raise ValueError(f"BitMod: variant must be as_published or as_intended, got {self.variant!r}")


def _lane(row: Bits, lane: int) -> Bits:
    width = row.width // LANES
    return row[width * lane : width * (lane + 1)]


def _larger(m: Build, name: str, a: Bits, b: Bits) -> Bits:
    less = m.leaf(f"{name}_less", "comparator", width=a.width, a=a, b=b)
    row: Bits = m.leaf(name, "multiplexer", width=a.width, choices=2, words=cat(b, a), select=less)
    return row


@cache
def exponent_match() -> Module:
    """Stage 1. Ports: a_exp, w_exp, a_sign, w_sign, four lanes each; sign, delta: four lanes; largest."""
    m = Build("bitmod_exponent_match")
    a, w = m.input("a_exp", LANES * ACTIVATION_EXPONENT), m.input("w_exp", LANES * TERM_EXPONENT)
    signs = [m.input(name, LANES) for name in ("a_sign", "w_sign")]
    sums = [
        m.leaf(
            f"exponent{i}", "adder", width=EXPONENT, a=_lane(a, i).zero_extend(EXPONENT),
            b=_lane(w, i).zero_extend(EXPONENT),
        )
        for i in range(LANES)
    ]  # fmt: skip
    pairs = [_larger(m, f"larger{i}", sums[2 * i], sums[2 * i + 1]) for i in range(LANES // 2)]
    largest = _larger(m, "largest_of_all", *pairs)
    deltas = [m.leaf(f"delta{i}", "subtractor", width=EXPONENT, a=largest, b=x) for i, x in enumerate(sums)]
    m.output("sign", m.leaf("signs", "exclusive_or", width=LANES, a=signs[0], b=signs[1]))
    m.output("delta", cat(*reversed(deltas)))
    m.output("largest", largest)
    return m.done()


@cache
def serial_multiply() -> Module:
    """Stage 2. Ports: a_man, w_man, delta, sign, four lanes each; product: their aligned sum, 17 bits."""
    m = Build("bitmod_serial_multiply")
    a, w = m.input("a_man", LANES * SIGNIFICAND), m.input("w_man", LANES)
    delta, sign = m.input("delta", LANES * EXPONENT), m.input("sign", LANES)
    rows: list[Bits] = []
    for i in range(LANES):
        taken = m.leaf(f"and{i}", "and_gate", width=SIGNIFICAND, a=_lane(a, i), b=w[i].repeat(SIGNIFICAND))
        moved = m.leaf(
            f"align{i}", "shifter", width=ALIGNED, positions=2**EXPONENT - 1, a=taken.above(ALIGNED - SIGNIFICAND),
            amount=_lane(delta, i),
        )  # fmt: skip
        turned = m.leaf(f"turn{i}", "exclusive_or", width=ALIGNED, a=moved, b=sign[i].repeat(ALIGNED))
        rows += [cat(sign[i].repeat(PRODUCT - ALIGNED), turned), sign[i].zero_extend(PRODUCT)]
    total = m.leaf(
        "add", "compressor", width=PRODUCT, operands=len(rows) - 1, first=rows[0], terms=cat(*reversed(rows[1:]))
    )
    m.output("product", total)
    return m.done()


@cache
def group_sum(what: BitMod) -> Module:
    """Stage 3's logic. Ports: product, largest, bsig (0..6), exponent, sum; next_sum, next_exponent, next_sign."""
    m = Build(f"bitmod_group_sum_{what.variant}")
    product, largest = m.input("product", PRODUCT), m.input("largest", EXPONENT)
    bsig, exponent, held = m.input("bsig", 3), m.input("exponent", EXPONENT), m.input("sum", SUM)
    top = _larger(m, "top", exponent, largest)
    placed = m.leaf(
        "place", "expanding_shifter", width=PRODUCT, positions=MOST_BSIG, limit=PLACED, signed_a=1, a=product,
        amount=bsig,
    )  # fmt: skip
    if what.variant == "as_intended":
        down = m.leaf("down", "subtractor", width=EXPONENT, a=top, b=largest)
        placed = m.leaf(
            "align_product", "arithmetic_shifter", width=PLACED, positions=2**EXPONENT - 1, a=placed, amount=down
        )
    far = m.leaf("distance", "subtractor", width=EXPONENT, a=top, b=exponent)
    moved = m.leaf("align_sum", "arithmetic_shifter", width=SUM, positions=2**EXPONENT - 1, a=held, amount=far)
    near = m.leaf("near", "comparator", width=EXPONENT, a=far, b=constant(MOST_SUM_SHIFT + 1, EXPONENT))
    moved = m.leaf("or_nothing", "and_gate", width=SUM, a=moved, b=near.repeat(SUM))
    total = m.leaf("add", "adder", width=PLACED, a=placed, b=moved.sign_extend(PLACED))
    row, up = _normalised(m, total)
    m.output("next_sum", row)
    m.output("next_exponent", m.leaf("raise", "adder", width=EXPONENT, a=top, b=up.zero_extend(EXPONENT)))
    m.output("next_sign", total[-1])
    return m.done()


def _normalised(m: Build, total: Bits) -> tuple[Bits, Bits]:
    """Moved down until the magnitude has 14 bits, and by how much."""
    negative = total[-1]
    turned = m.leaf("turn", "exclusive_or", width=PLACED, a=total, b=negative.repeat(PLACED))
    size = m.leaf("size", "incrementer", width=PLACED, a=turned, carry=negative)
    # The lowest number of all has no magnitude here, and is not moved.
    zeros = m.leaf("zeros", "leading_zero_counter", width=MOST_NORMALISED, a=size[SUM - 1 : PLACED - 1])
    up = m.leaf("up", "subtractor", width=4, a=constant(MOST_NORMALISED, 4), b=zeros)
    some = m.leaf("not_lowest", "inverter", width=1, a=size[-1])
    up = m.leaf("places", "and_gate", width=4, a=up, b=some.repeat(4))
    moved = m.leaf("normalise", "arithmetic_shifter", width=PLACED, positions=MOST_NORMALISED, a=total, amount=up)
    return moved[:SUM], up


@cache
def scale_step(what: BitMod) -> Module:
    """Stage 4's logic. Ports: sum (of the group), bit (of the scale), start, product; next_product: 21 bits."""
    m = Build(f"bitmod_scale_step_{what.variant}")
    row, bit, start, held = m.input("sum", SUM), m.input("bit", 1), m.input("start", 1), m.input("product", SCALED)
    taken = m.leaf("taken", "and_gate", width=SUM, a=row, b=bit.repeat(SUM))
    doubled = held[:-1].above(1)
    if what.variant == "as_intended":
        keep = m.leaf("keep", "inverter", width=1, a=start)
        doubled = m.leaf("cleared", "and_gate", width=SCALED, a=doubled, b=keep.repeat(SCALED))
    m.output("next_product", m.leaf("add", "adder", width=SCALED, a=doubled, b=taken.sign_extend(SCALED)))
    return m.done()


@cache
def bitmod_pe(what: BitMod) -> Module:
    """The four stages behind each other, a rank of registers before each.

    Ports: a_exp, a_man, a_sign, w_exp, w_man, w_sign: four lanes; bsig; clear: the group's sum is 0 after this cycle;
    latch: stage 4 takes the group's sum and its exponent, sign; scale_bit, scale_sign: of stage 4, taken at every
    clock; start: of a scale; step: stage 4 takes a bit; out_sum, out_exp, out_sign: of the group times its scale.
    bsig and the lanes come in the same cycle and reach stage 3 three clocks later; clear and latch, start and step act
    at once, on stages 3 and 4.
    """
    m = Build(f"bitmod_pe_{what.variant}")
    widths = {"a_exp": 20, "a_man": 44, "a_sign": 4, "w_exp": 8, "w_man": 4, "w_sign": 4, "bsig": 3}
    first = {name: _later(m, f"first_{name}", m.input(name, width)) for name, width in widths.items()}
    clear, latch, scale_bit, scale_sign, start, step = (
        m.input(name, 1) for name in ("clear", "latch", "scale_bit", "scale_sign", "start", "step")
    )
    match = m.module("match", exponent_match(), **{x: first[x] for x in ("a_exp", "w_exp", "a_sign", "w_sign")})
    second = {name: _later(m, f"second_{name}", row) for name, row in match.items()}
    second |= {name: _later(m, f"second_{name}", first[name]) for name in ("a_man", "w_man", "bsig")}
    product = m.module(
        "multiply", serial_multiply(), **{name: second[name] for name in ("a_man", "w_man", "delta", "sign")}
    )
    third = {name: _later(m, f"third_{name}", second[name]) for name in ("largest", "bsig")}
    keep = m.leaf("keep", "inverter", width=1, a=clear)
    held = {name: m.register(name, width) for name, width in (("total", SUM), ("exponent", EXPONENT), ("negative", 1))}
    made = m.module(
        "accumulate", group_sum(what), product=_later(m, "third_product", product), sum=held["total"],
        exponent=held["exponent"], **third,
    )  # fmt: skip
    for name, port in (("total", "next_sum"), ("exponent", "next_exponent"), ("negative", "next_sign")):
        row: Bits = made[port]
        m.drive(name, m.leaf(f"{name}_cleared", "and_gate", width=row.width, a=row, b=keep.repeat(row.width)))
    taken = {name: _taken(m, f"group_{name}", row, latch) for name, row in held.items()}
    bit, sign = _later(m, "bit_of_scale", scale_bit), _later(m, "sign_of_scale", scale_sign)
    out = m.register("out", SCALED)
    scaled = m.module("scale", scale_step(what), sum=taken["total"], bit=bit, start=start, product=out)
    m.drive("out", m.leaf("out_next", "multiplexer", width=SCALED, choices=2, words=cat(scaled, out), select=step))
    m.output("out_sum", out)
    m.output("out_exp", _taken(m, "scaled_exponent", taken["exponent"], start))
    turned = m.leaf("turn", "exclusive_or", width=1, a=sign, b=taken["negative"])
    m.output("out_sign", _taken(m, "scaled_sign", turned, start))
    return m.done()


def _later(m: Build, name: str, row: Bits) -> Bits:
    found = m.register(name, row.width)
    m.drive(name, row)
    return found


def _taken(m: Build, name: str, row: Bits, when: Bits) -> Bits:
    """A register that takes a row where `when` is 1 and holds it elsewhere."""
    found = m.register(name, row.width)
    m.drive(name, m.leaf(f"{name}_next", "multiplexer", width=row.width, choices=2, words=cat(row, found), select=when))
    return found


@cache
def terms(fmt: nf.Scalar) -> tuple[tuple[tuple[int, int, int, int], ...], ...]:
    """Of each code (sign, exp, man, bsig), a term a cycle: nf.BitSerial("bitmod")'s in units of the last place."""
    how, found = nf.BitSerial("bitmod"), []
    values = nf.decode_codes(fmt, np.arange(2**fmt.bits), np.float64)
    for row in np.ldexp(how.term_values(np.nan_to_num(values), fmt), -fmt.ulp_exponent).T:
        found.append(tuple(_term(int(x)) for x in row))
    return tuple(found)


def _term(x: int) -> tuple[int, int, int, int]:
    place = max(abs(x).bit_length() - 1, 0)
    exponent = min(place, 2**TERM_EXPONENT - 1) if place <= 4 else place & 1  # FP4's exponent, or Booth's 1 or 2
    return int(x < 0), exponent, int(x != 0), place - exponent


@cache
def decoder(fmt: nf.Scalar) -> Module:
    """The terms of a weight as the PE takes them. Ports: code, term (its number); sign, exp, man, bsig."""
    table = terms(fmt)
    count = len(table[0])
    address = fmt.bits + max((count - 1).bit_length(), 1)
    contents = 0
    for code, row in enumerate(table):
        for number, (sign, exponent, man, bsig) in enumerate(row):
            contents |= (sign | exponent << 1 | man << 3 | bsig << 4) << (7 * (code | number << fmt.bits))
    m = Build(f"bitmod_decode_{slug(fmt.name)}")
    bits, place = m.input("code", fmt.bits), m.input("term", address - fmt.bits)
    word = m.leaf("look_up", "lookup", address=address, width=7, contents=contents, index=cat(place, bits))
    for name, low, high in (("sign", 0, 1), ("exp", 1, 3), ("man", 3, 4), ("bsig", 4, 7)):
        m.output(name, word[low:high])
    return m.done()
