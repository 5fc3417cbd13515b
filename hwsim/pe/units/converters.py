"""Converters, requantisers and pre-alignment, against formats' casts."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

import formats as nf
from formats.integer_ops import reference
from hwsim.circuit import Module
from hwsim.pe.papers.convert import Converter, converter
from hwsim.pe.papers.prealign import PreAlign, prealign
from hwsim.pe.papers.requantise import Requantiser, requantiser
from hwsim.pe.stimulus import Operands, codes, drawn, kept, side_by_side
from hwsim.pe.units.unit import Columns, Models, Unit, by_every_input, by_vectors, lanes, signed
from hwsim.rtl.proof import Proof, Subject
from hwsim.rtl.yosys import Synthesis

SATURATE = nf.Cast(overflow="saturate")
EXHAUSTIVE_BITS = 16
VECTORS = 20000


@dataclass(frozen=True, kw_only=True, slots=True)
class Conversion(Unit):
    """A Converter."""

    what: Converter

    @property
    def terms(self) -> Fraction:
        """A value a cycle."""
        return Fraction(1)

    def module(self) -> Module:
        """Its wires."""
        return converter(self.what)

    def drawn(self, operands: Operands, cycles: int, rng: np.random.Generator) -> Columns:
        """Values whose 3.5 standard deviations reach the narrower range, scales within a binade of 1 or less."""
        what = self.what
        if isinstance(what.source, nf.Integer):
            found = {"code": _sums(what.source.bits, operands, cycles, rng) % (1 << what.source.bits)}
        else:
            reach = float(what.source.max_finite)
            reach = reach if what.scale is not None else min(reach, float(what.target.max_finite))
            found = {"code": codes(what.source, operands, (cycles,), rng, reach=min(reach, 2.0**60))}
        if what.scale is None:
            return found
        scales = codes(what.scale, "normal", (cycles,), rng, reach=min(1.0, float(what.scale.max_finite)))
        return found | {"scale": kept(scales, operands)}

    def answers(self, inputs: Columns) -> Columns:
        """The target's codes, of finite values. A zero has the sign of its factors, an integer's +."""
        what = self.what
        values = self._values(inputs)
        if what.scale is not None:
            values = values * nf.decode_codes(what.scale, inputs["scale"].astype(np.int64), np.float64)
        return {"converted": np.asarray(nf.encode_codes(what.target, values, SATURATE))}

    def _values(self, inputs: Columns) -> Any:
        code = np.asarray(inputs["code"]).astype(np.int64)
        if isinstance(self.what.source, nf.Integer):
            return signed(code, self.what.source.bits).astype(np.float64)
        return np.asarray(nf.decode_codes(self.what.source, code, np.float64))

    def proof(self, made: Synthesis, models: Models, subject: Subject) -> Proof:
        """Every finite code of 16 bits; else a few ten thousand of them, at and beside the target's values."""
        what = self.what
        scale_bits = 0 if what.scale is None else what.scale.bits
        if what.source_bits + scale_bits <= EXHAUSTIVE_BITS:
            given = {} if isinstance(what.source, nf.Integer) else {"code": _finite(what.source)}
            if what.scale is not None:
                given["scale"] = _finite(what.scale)
            return by_every_input(made, given, self.answers, models, subject)
        rng = np.random.default_rng(0)
        if isinstance(what.source, nf.Integer):
            inputs = {"code": _near_powers(what.source.bits, rng)}
            if what.scale is not None:
                inputs["scale"] = codes(what.scale, "normal", inputs["code"].shape, rng, reach=4.0)
        elif what.scale is None:
            inputs = {"code": _near(what.source, what.target, rng)}
        else:
            inputs = {"code": codes(what.source, "uniform", (VECTORS,), rng)}
            inputs["scale"] = codes(what.scale, "uniform", (VECTORS,), rng)
            # float64 holds the products of 24 and 8 bits, or of 8 and 24.
            half = VECTORS // 2
            inputs["scale"][:half] = codes(what.scale, "normal", (half,), rng, reach=4.0)
        return by_vectors(made, inputs, self.answers, models, subject)


def _finite(fmt: nf.Scalar) -> Any:
    every = np.arange(2**fmt.bits)
    return every[np.isfinite(nf.decode_codes(fmt, every, np.float64))]


def _near(source: nf.Scalar, target: nf.Scalar, rng: np.random.Generator) -> Any:
    """Codes at and beside the target's values and the midpoints between them; and any finite ones."""
    every = _finite(target) if target.bits <= EXHAUSTIVE_BITS else codes(target, "uniform", (VECTORS,), rng)
    values = np.unique(nf.decode_codes(target, every, np.float64))
    values = np.concatenate([values, (values[1:] + values[:-1]) / 2])
    points = np.asarray(nf.encode_codes(source, rng.permutation(values)[:VECTORS], SATURATE)).astype(np.int64)
    steps = np.concatenate([points - 1, points, points + 1, points ^ (1 << (source.bits - 1))])
    steps = steps[(steps >= 0) & (steps < 2**source.bits)]
    steps = steps[np.isfinite(nf.decode_codes(source, steps, np.float64))]
    return np.concatenate([steps[: 2 * VECTORS], codes(source, "uniform", (VECTORS,), rng)])


def _near_powers(bits: int, rng: np.random.Generator) -> Any:
    """Two's complement sums: powers of two and their neighbours, any magnitude."""
    top = 2 ** (bits - 1)
    ends = [s * 2**k + d for k in range(bits - 1) for d in range(-2, 3) for s in (1, -1)]
    size = rng.integers(0, top, VECTORS // 2) >> rng.integers(0, bits - 1, VECTORS // 2)
    sums = np.concatenate([ends, [-top, top - 1], size, -size])
    return sums[(sums >= -top) & (sums < top)] % 2**bits


def _sums(bits: int, operands: Operands, count: int, rng: np.random.Generator) -> Any:
    """A register's sums: those of some thousand products of 8 bits."""
    if operands == "uniform":
        return rng.integers(-(2 ** (bits - 1)), 2 ** (bits - 1), count)
    top = 2 ** (bits - 1) - 1
    return np.clip(np.rint(drawn(operands, (count,), rng) * 2 ** (bits * 5 // 8)).astype(np.int64), -top, top)


@dataclass(frozen=True, kw_only=True, slots=True)
class Requantisation(Unit):
    """A Requantiser, against formats.integer_ops."""

    what: Requantiser

    @property
    def terms(self) -> Fraction:
        """A sum a cycle."""
        return Fraction(1)

    def module(self) -> Module:
        """Its wires."""
        return requantiser(self.what)

    def drawn(self, operands: Operands, cycles: int, rng: np.random.Generator) -> Columns:
        """Multipliers of the upper half of their range, and the shift that brings sums into the code's."""
        what = self.what
        by = rng.integers(1 << (what.multiplier_bits - 1), 1 << what.multiplier_bits, cycles)
        found = {"sum": _sums(what.sum_bits, operands, cycles, rng) % (1 << what.sum_bits)}
        found["multiplier"] = kept(by, operands)
        if what.most_shift > 1:
            down = what.sum_bits * 5 // 8 + what.multiplier_bits - what.bits + 2
            shifts = np.clip(down + rng.integers(-1, 2, cycles), 1, what.most_shift) - 1
            found["shift_less_one"] = kept(shifts, operands)
        return found

    def vectors(self, count: int, rng: np.random.Generator) -> Columns:
        """Half of the sums near the middle between two codes."""
        what = self.what
        top = 2 ** (what.sum_bits - 1)
        multiplier = rng.integers(1, 1 << what.multiplier_bits, count)
        large = rng.integers(1 << (what.multiplier_bits - 1), 1 << what.multiplier_bits, count)
        multiplier = np.where(rng.random(count) < 0.7, large, multiplier)
        shift = rng.integers(1, what.most_shift + 1, count)
        middle = (2.0 * rng.integers(-130, 130, count) + 1) * np.ldexp(1.0, shift - 1) / multiplier
        near = np.clip(np.rint(middle), -top, top - 1).astype(np.int64) + rng.integers(-1, 2, count)
        every = rng.integers(-top, top, count) >> rng.integers(0, what.sum_bits, count)
        sums = np.clip(np.where(rng.random(count) < 0.5, near, every), -top, top - 1)
        sums[:4] = [-top, top - 1, 0, -1]
        found = {"sum": sums % (2 * top), "multiplier": multiplier}
        return found | ({"shift_less_one": shift - 1} if what.most_shift > 1 else {})

    def answers(self, inputs: Columns) -> Columns:
        """Half a step up, as formats.integer_ops has it."""
        what = self.what
        low, high = (-(2 ** (what.bits - 1)), 2 ** (what.bits - 1) - 1) if what.signed else (0, 2**what.bits - 1)
        sums = signed(inputs["sum"], what.sum_bits).tolist()
        shifts = inputs["shift_less_one"].tolist() if what.most_shift > 1 else [0] * len(sums)
        rows = zip(sums, np.asarray(inputs["multiplier"]).tolist(), shifts, strict=True)
        codes_ = [reference.requantize(q, by, s + 1, low, high, "half_up") % (1 << what.bits) for q, by, s in rows]
        return {"code": np.array(codes_)}

    def proof(self, made: Synthesis, models: Models, subject: Subject) -> Proof:
        """Vectors."""
        return by_vectors(made, self.vectors(8000, np.random.default_rng(0)), self.answers, models, subject)


@dataclass(frozen=True, kw_only=True, slots=True)
class Alignment(Unit):
    """A PreAlign: values cut off at one place."""

    what: PreAlign

    @property
    def terms(self) -> Fraction:
        """A value a lane."""
        return Fraction(self.what.lanes)

    def module(self) -> Module:
        """Its wires."""
        return prealign(self.what)

    def drawn(self, operands: Operands, cycles: int, rng: np.random.Generator) -> Columns:
        """Activations, new every cycle."""
        fmt = self.what.source
        return {"a": side_by_side(codes(fmt, operands, (cycles, self.what.lanes), rng), fmt.bits)}

    def answers(self, inputs: Columns) -> Columns:
        """Magnitudes in the unit of the largest exponent, cut off."""
        what, fmt = self.what, self.what.source
        given = lanes(inputs["a"], fmt.bits, what.lanes).astype(np.int64)
        field = (given >> fmt.trailing_significand_bits) & ((1 << fmt.exponent_bits) - 1)
        largest = np.maximum(field, 1).max(axis=-1)
        values = nf.decode_codes(fmt, given, np.float64)
        wanted = np.trunc(np.ldexp(values, (what.kept + 1 - fmt.ulp_exponent - largest)[..., None]))
        return {"aligned": side_by_side(wanted.astype(np.int64), what.magnitude_bits + 1), "largest": largest}

    def vectors(self, count: int, rng: np.random.Generator) -> Any:
        """Patterns [count] of finite codes, exponents near one another in half of them."""
        fmt = self.what.source
        most = fmt.max_magnitude_code
        base = rng.integers(0, most + 1, (count, 1))
        reach = 4 << fmt.trailing_significand_bits
        near = np.clip(base + rng.integers(-reach, reach, (count, self.what.lanes)), 0, most)
        found = np.where(rng.random((count, 1)) < 0.5, near, rng.integers(0, most + 1, (count, self.what.lanes)))
        return side_by_side(found | rng.integers(0, 2, found.shape) << (fmt.bits - 1), fmt.bits)

    def proof(self, made: Synthesis, models: Models, subject: Subject) -> Proof:
        """Vectors."""
        inputs = {"a": self.vectors(8000, np.random.default_rng(0))}
        return by_vectors(made, inputs, self.answers, models, subject)
