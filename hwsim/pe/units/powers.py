"""Weights that are sums of powers of two, and codes that are an integer and an exponent (ANT, OliVe)."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

import formats as nf
from hwsim.circuit import Module
from hwsim.pe.papers.exponent_integer import (
    MARKER,
    ExponentInteger,
    ant_decoder,
    ant_pe,
    exponent_integer_mac,
    olive_decoder,
    olive_pe,
)
from hwsim.pe.papers.power_sum import PowerSum, power_sum
from hwsim.pe.prove import adds_apart, prove_sum
from hwsim.pe.stimulus import Operands, codes, kept, side_by_side, starts
from hwsim.pe.units.unit import Columns, Models, Unit, by_cycles, by_every_input, random_patterns, running, signed
from hwsim.rtl.proof import Proof, Subject
from hwsim.rtl.yosys import Synthesis


def every_code(**bits: int) -> Columns:
    """All codes of ports of so many bits."""
    return {port: np.arange(1 << width) for port, width in bits.items()}


def whole_values(fmt: nf.Scalar) -> Any:
    """The values of all codes in their least common unit, as integers; 0 for codes that do not exist."""
    values = [Fraction(float(x)) for x in np.nan_to_num(nf.decode_codes(fmt, np.arange(2**fmt.bits), np.float64))]
    # Values such as tenths are float32's nearest to them; no family has denominators beyond.
    exact = [x.limit_denominator(1 << 12) for x in values]
    unit = Fraction(np.gcd.reduce([int(x * 720720 * 4096) for x in exact]), 720720 * 4096)
    assert all((x / unit).denominator == 1 for x in exact)
    return np.array([int(x / unit) for x in exact], object)


class Summed(Unit):
    """A unit whose register `sum` takes one addend a cycle, a function of few input bits."""

    __slots__ = ()

    def codes(self) -> Columns:
        """Ports of the addend, and their codes."""
        raise NotImplementedError

    def addends(self, inputs: Columns) -> Any:
        """What is added, from codes of any shape."""
        raise NotImplementedError

    def register_bits(self) -> int:
        """Width of the register."""
        raise NotImplementedError

    @property
    def terms(self) -> Fraction:
        """A product a cycle."""
        return Fraction(1)

    def answers(self, inputs: Columns) -> Columns:
        """The register [cycles, n] before each edge."""
        return {"sum": running(self.addends(inputs), inputs["clear"], self.register_bits())}

    def proof(self, made: Synthesis, models: Models, subject: Subject) -> Proof:
        """By induction where the addend is a signal."""
        if adds_apart(made):
            found = prove_sum(
                self.module(), made, self.codes(), lambda given: list(self.addends(dict(given))), models=models,
                subject=subject,
            )  # fmt: skip
            if found.status != "undecided":
                return found
        inputs = random_patterns(self.module(), (6, 2000), np.random.default_rng(0))
        return by_cycles(made, inputs, self.answers(inputs), models, subject)


@dataclass(frozen=True, kw_only=True, slots=True)
class Powers(Summed):
    """A PowerSum."""

    what: PowerSum

    def module(self) -> Module:
        """Its wires."""
        return power_sum(self.what)

    def drawn(self, operands: Operands, cycles: int, rng: np.random.Generator) -> Columns:
        """Both sides new every cycle, or w held."""
        a, w = (codes(fmt, operands, (cycles,), rng) for fmt in (self.what.activation, self.what.weight))
        return {"a": a, "w": kept(w, operands), "clear": starts(cycles)}

    def codes(self) -> Columns:
        """All."""
        return every_code(a=self.what.activation.bits, w=self.what.weight.bits)

    def addends(self, inputs: Columns) -> Any:
        """Activation times weight, in the weights' unit."""
        a = signed(inputs["a"], self.what.activation.bits)
        return a * whole_values(self.what.weight)[inputs["w"].astype(np.int64)]

    def register_bits(self) -> int:
        """Width of the register."""
        return self.what.register_bits


@dataclass(frozen=True, kw_only=True, slots=True)
class PairMac(Summed):
    """The cell of ANT and OliVe: pairs of an integer and an exponent, already decoded from codes of `fmt`."""

    what: ExponentInteger
    fmt: nf.Codebook

    def module(self) -> Module:
        """Its wires."""
        return exponent_integer_mac(self.what)

    def drawn(self, operands: Operands, cycles: int, rng: np.random.Generator) -> Columns:
        """Pairs of codes of the format."""
        found = {"clear": starts(cycles)}
        values = whole_values(self.fmt)
        for side in "ab":
            code = codes(self.fmt, operands, (cycles,), rng)
            value = values[kept(code, operands) if side == "b" else code]
            exponent = [_exponent(int(x), self.what.integer_bits) for x in value]
            whole = [int(x) >> e for x, e in zip(value, exponent, strict=True)]
            found[f"{side}_integer"] = np.array(whole) % (1 << self.what.integer_bits)
            found[f"{side}_exponent"] = np.array(exponent)
        return found

    def codes(self) -> Columns:
        """All pairs of pairs."""
        i, e = self.what.integer_bits, self.what.exponent_bits
        return every_code(a_integer=i, a_exponent=e, b_integer=i, b_exponent=e)

    def addends(self, inputs: Columns) -> Any:
        """The integers' product at the exponents' sum."""
        a, b = (signed(inputs[f"{side}_integer"], self.what.integer_bits) for side in "ab")
        return a * b * 2 ** (inputs["a_exponent"].astype(object) + inputs["b_exponent"].astype(object))

    def register_bits(self) -> int:
        """Width of the register."""
        return self.what.register_bits


def _exponent(value: int, bits: int) -> int:
    """The least that leaves an integer of so many bits."""
    exponent = 0
    while not -(1 << (bits - 1)) <= value >> exponent < 1 << (bits - 1):
        exponent += 1
    return exponent


@dataclass(frozen=True, kw_only=True, slots=True)
class AntPe(Summed):
    """Both decoders and the cell."""

    what: ExponentInteger
    a: nf.Scalar
    b: nf.Scalar

    def module(self) -> Module:
        """Its wires."""
        return ant_pe(self.what, self.a, self.b)

    def drawn(self, operands: Operands, cycles: int, rng: np.random.Generator) -> Columns:
        """Both sides new every cycle, or b held."""
        a, b = (codes(fmt, operands, (cycles,), rng) for fmt in (self.a, self.b))
        return {"a": a, "b": kept(b, operands), "clear": starts(cycles)}

    def codes(self) -> Columns:
        """All."""
        return every_code(a=self.a.bits, b=self.b.bits)

    def addends(self, inputs: Columns) -> Any:
        """Products of the codes' values."""
        return whole_values(self.a)[inputs["a"].astype(int)] * whole_values(self.b)[inputs["b"].astype(int)]

    def register_bits(self) -> int:
        """Width of the register."""
        return self.what.register_bits


def olive_values(normal: nf.Scalar, outlier: nf.Scalar, byte: Any) -> Any:
    """The values [..., 2] of bytes: beside a marker an outlier, else normal ones; a marker itself is 0."""
    halves = [byte & 15, byte >> 4 & 15]
    tables = [
        np.nan_to_num(nf.decode_codes(fmt, np.arange(16), np.float64)).astype(np.int64) for fmt in (normal, outlier)
    ]
    found = [
        np.where(own == MARKER, 0, np.where(other == MARKER, tables[1][own], tables[0][own]))
        for own, other in (halves, halves[::-1])
    ]
    return np.stack(found, axis=-1).astype(object)


def _olive_bytes(normal: nf.Scalar, operands: Operands, cycles: int, rng: np.random.Generator) -> Any:
    """Pairs of normal codes, one pair in fifty with an outlier: OliVe finds about that many."""
    pairs = codes(normal, operands, (cycles, 2), rng)
    pairs = np.where(pairs == MARKER, 0, pairs)
    out = rng.random(cycles) < 0.02
    pairs[out, 0], pairs[out, 1] = MARKER, rng.integers(0, 8, int(out.sum()))
    return pairs[:, 0] | pairs[:, 1] << 4


@dataclass(frozen=True, kw_only=True, slots=True)
class OlivePe(Summed):
    """A byte of two codes each side, decoded; both products added."""

    what: ExponentInteger
    normal: nf.Scalar
    outlier: nf.Scalar

    @property
    def terms(self) -> Fraction:
        """A byte is two codes."""
        return Fraction(2)

    def module(self) -> Module:
        """Its wires."""
        return olive_pe(self.what, self.normal, self.outlier)

    def drawn(self, operands: Operands, cycles: int, rng: np.random.Generator) -> Columns:
        """Both sides new every cycle, or b held."""
        a, b = (_olive_bytes(self.normal, operands, cycles, rng) for _ in "ab")
        return {"a": a, "b": kept(b, operands), "clear": starts(cycles)}

    def codes(self) -> Columns:
        """All."""
        return every_code(a=8, b=8)

    def addends(self, inputs: Columns) -> Any:
        """The two products of the bytes' values."""
        a, b = (olive_values(self.normal, self.outlier, inputs[side].astype(np.int64)) for side in "ab")
        return (a * b).sum(axis=-1)

    def register_bits(self) -> int:
        """Width of the register."""
        return self.what.register_bits


@dataclass(frozen=True, kw_only=True, slots=True)
class AntDecoder(Unit):
    """A code's integer and exponent; stands at the edge of an array."""

    what: ExponentInteger
    fmt: nf.Scalar

    @property
    def terms(self) -> Fraction:
        """A code a cycle."""
        return Fraction(1)

    def module(self) -> Module:
        """Its wires."""
        return ant_decoder(self.what, self.fmt)

    def drawn(self, operands: Operands, cycles: int, rng: np.random.Generator) -> Columns:
        """A code a cycle."""
        return {"code": kept(codes(self.fmt, operands, (cycles,), rng), operands)}

    def answers(self, inputs: Columns) -> Columns:
        """The least exponent whose integer fits."""
        values = [int(x) for x in whole_values(self.fmt)[np.asarray(inputs["code"]).astype(np.int64)]]
        exponents = [_exponent(x, self.what.integer_bits) for x in values]
        wholes = [(x >> e) % (1 << self.what.integer_bits) for x, e in zip(values, exponents, strict=True)]
        return {"whole": np.array(wholes), "exponent": np.array(exponents)}

    def proof(self, made: Synthesis, models: Models, subject: Subject) -> Proof:
        """Every code."""
        return by_every_input(made, every_code(code=self.fmt.bits), self.answers, models, subject)


@dataclass(frozen=True, kw_only=True, slots=True)
class OliveDecoder(Unit):
    """A byte's two codes; stands at the edge of an array."""

    what: ExponentInteger
    normal: nf.Scalar
    outlier: nf.Scalar

    @property
    def terms(self) -> Fraction:
        """Two codes a cycle."""
        return Fraction(2)

    def module(self) -> Module:
        """Its wires."""
        return olive_decoder(self.what, self.normal, self.outlier)

    def drawn(self, operands: Operands, cycles: int, rng: np.random.Generator) -> Columns:
        """A byte a cycle."""
        return {"codes": kept(_olive_bytes(self.normal, operands, cycles, rng), operands)}

    def answers(self, inputs: Columns) -> Columns:
        """Two integers, two exponents: the least whose integers fit."""
        values = olive_values(self.normal, self.outlier, np.asarray(inputs["codes"]).astype(np.int64))
        exponents = np.vectorize(lambda x: _exponent(int(x), self.what.integer_bits))(values)
        return {
            "integers": side_by_side(values >> exponents.astype(object), self.what.integer_bits),
            "exponents": side_by_side(exponents, self.what.exponent_bits),
        }

    def proof(self, made: Synthesis, models: Models, subject: Subject) -> Proof:
        """Every byte."""
        return by_every_input(made, every_code(codes=8), self.answers, models, subject)
