"""ANT's and OliVe's PE: codes decoded to an exponent and an integer, <a, b> x <c, d> = <a + c, b * d>, a 32-bit sum.

Decoders stand at the edge of the array; each cell gets pairs. `ant_pe` and `olive_pe` are a cell and all its decoders,
for comparisons with PEs that are given codes. Sources: ANT (MICRO 2022), OliVe (ISCA 2023) and their
repository; the values of the codes are those of formats.families.ant.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

import formats as nf
from formats.called import called
from hwsim.circuit import Bits, Build, Module, cat, constant
from hwsim.pe import fixed
from hwsim.pe.multiply import product
from hwsim.pe.number import Number, slug

MARKER = 0b1000  # OliVe's identifier: this code's value gave way to its neighbour's outlier


def pairs_of(fmt: nf.Scalar, integer_bits: int) -> tuple[tuple[int, int], ...]:
    """Of each code (exponent, integer): value = integer * 2**exponent, the least exponent whose integer fits.

    integer_bits: of the two's complement integer. Raises ValueError for a value without such a pair.
    """
    found = []
    for value in np.nan_to_num(nf.decode_codes(fmt, np.arange(2**fmt.bits), np.float64)):
        whole, exponent = int(value), 0
        while not -(1 << (integer_bits - 1)) <= whole < 1 << (integer_bits - 1) and whole % 2 == 0:
            whole, exponent = whole // 2, exponent + 1
        if whole * 2.0**exponent != value or not -(1 << (integer_bits - 1)) <= whole < 1 << (integer_bits - 1):
            raise ValueError(
                f"ExponentInteger: {called(fmt)} has {value}, which no integer of {integer_bits} bits times a power of "
                "two is; scale the values to integers, or give the integer more bits"
            )
        found.append((exponent, whole))
    return tuple(found)


@dataclass(frozen=True, kw_only=True, slots=True)
class ExponentInteger:
    """integer_bits, exponent_bits: of a decoded value; register_bits: of the sum, modulo 2**register_bits."""

    integer_bits: int = 4
    exponent_bits: int = 3
    register_bits: int = 32

    @property
    def name(self) -> str:
        """Part of its modules' names."""
        return f"{self.integer_bits}i{self.exponent_bits}e"


def _table(m: Build, name: str, what: ExponentInteger, fmt: nf.Scalar, code: Bits) -> Bits:
    width, contents = what.integer_bits + what.exponent_bits, 0
    for place, (exponent, whole) in enumerate(pairs_of(fmt, what.integer_bits)):
        if exponent >> what.exponent_bits:
            raise ValueError(f"ExponentInteger: {called(fmt)} takes exponents up to {exponent}; use more exponent_bits")
        contents |= (whole % (1 << what.integer_bits) | exponent << what.integer_bits) << (width * place)
    row: Bits = m.leaf(name, "lookup", address=fmt.bits, width=width, contents=contents, index=code)
    return row


@cache
def ant_decoder(what: ExponentInteger, fmt: nf.Scalar) -> Module:
    """Ports: code; whole: the integer; exponent."""
    m = Build(f"ant_decode_{slug(fmt.name)}_{what.name}")
    word = _table(m, "pairs", what, fmt, m.input("code", fmt.bits))
    m.output("whole", word[: what.integer_bits])
    m.output("exponent", word[what.integer_bits :])
    return m.done()


@cache
def olive_decoder(what: ExponentInteger, normal: nf.Scalar, outlier: nf.Scalar) -> Module:
    """A byte's two codes. Ports: codes, the first lowest; integers, exponents: two each.

    A code that is the marker is 0, and the other of the pair is then an outlier.
    """
    m = Build(f"olive_decode_{slug(normal.name)}_{slug(outlier.name)}_{what.name}")
    codes = m.input("codes", 8)
    halves = [codes[:4], codes[4:]]
    marked = []
    for i, half in enumerate(halves):
        off = m.leaf(f"difference{i}", "exclusive_or", width=4, a=half, b=constant(MARKER ^ 15, 4))
        marked.append(m.leaf(f"marked{i}", "every_bit", width=4, a=off))
    words = []
    for i, half in enumerate(halves):
        pair = [_table(m, f"{kind}{i}", what, fmt, half) for kind, fmt in (("normal", normal), ("outlier", outlier))]
        width = pair[0].width
        word = m.leaf(
            f"kind{i}", "multiplexer", width=width, choices=2, words=cat(pair[1], pair[0]), select=marked[1 - i]
        )
        keep = m.leaf(f"keep{i}", "inverter", width=1, a=marked[i])
        words.append(m.leaf(f"word{i}", "and_gate", width=width, a=word, b=keep.repeat(width)))
    m.output("integers", cat(*(word[: what.integer_bits] for word in reversed(words))))
    m.output("exponents", cat(*(word[what.integer_bits :] for word in reversed(words))))
    return m.done()


@cache
def exponent_integer_mac(what: ExponentInteger) -> Module:
    """The cell. Ports: a_integer, a_exponent, b_integer, b_exponent; clear; sum: the register."""
    m = Build(f"exponent_integer_mac_{what.name}_acc{what.register_bits}")
    sides = []
    for side in "ab":
        whole, exponent = m.input(f"{side}_integer", what.integer_bits), m.input(f"{side}_exponent", what.exponent_bits)
        sides.append(_number(what, whole, exponent))
    clear = m.input("clear", 1)
    _accumulated(m, what, fixed.placed(m, "place", product(m, "product", *sides), what.register_bits), clear)
    return m.done()


@cache
def ant_pe(what: ExponentInteger, a: nf.Scalar, b: nf.Scalar) -> Module:
    """A cell with its own two decoders. Ports: a, b: codes; clear; sum: the register."""
    m = Build(f"ant_pe_{slug(a.name)}_{slug(b.name)}_{what.name}_acc{what.register_bits}")
    pairs = [m.module(f"decode_{side}", ant_decoder(what, fmt), code=m.input(side, fmt.bits))
             for side, fmt in (("a", a), ("b", b))]  # fmt: skip
    numbers = [_number(what, pair["whole"], pair["exponent"]) for pair in pairs]
    term = fixed.placed(m, "place", product(m, "product", *numbers), what.register_bits)
    _accumulated(m, what, term, m.input("clear", 1))
    return m.done()


@cache
def olive_pe(what: ExponentInteger, normal: nf.Scalar, outlier: nf.Scalar) -> Module:
    """Two products of two bytes, with their decoders. Ports: a, b: a byte of two codes; clear; sum: the register."""
    m = Build(f"olive_pe_{slug(normal.name)}_{slug(outlier.name)}_{what.name}_acc{what.register_bits}")
    unit = olive_decoder(what, normal, outlier)
    bytes_ = [m.module(f"decode_{side}", unit, codes=m.input(side, 8)) for side in "ab"]
    i, e = what.integer_bits, what.exponent_bits
    terms = []
    for lane in range(2):
        numbers = [
            _number(what, row["integers"][i * lane : i * (lane + 1)], row["exponents"][e * lane : e * (lane + 1)])
            for row in bytes_
        ]
        terms.append(fixed.placed(m, f"place{lane}", product(m, f"product{lane}", *numbers), what.register_bits))
    _accumulated(m, what, fixed.summed(m, "lanes", terms, what.register_bits), m.input("clear", 1))
    return m.done()


def _number(what: ExponentInteger, whole: Bits, exponent: Bits) -> Number:
    return Number(significand=whole, signed=True, exponent=exponent, high=(1 << what.exponent_bits) - 1)


def _accumulated(m: Build, what: ExponentInteger, term: fixed.Placed, clear: Bits) -> None:
    total = m.register("total", what.register_bits)
    m.drive("total", fixed.accumulate(m, "accumulate", total, term, clear))
    m.output("sum", total)
