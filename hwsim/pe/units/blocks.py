"""Block-scaled dot products and MixPE's group epilogue: exact sums, rounded once a block into a float register."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

import formats as nf
from hwsim.circuit import Module
from hwsim.pe.papers.block_dot import BlockDot, block_dot
from hwsim.pe.papers.mixpe import MixPe, group_epilogue
from hwsim.pe.stimulus import TERMS, Operands, codes, drawn, kept, side_by_side
from hwsim.pe.units.unit import Columns, Models, Unit, by_cycles, fractions_of, lanes, rounded, signed
from hwsim.rtl.proof import Proof, Subject
from hwsim.rtl.yosys import Synthesis


@dataclass(frozen=True, kw_only=True, slots=True)
class Block(Unit):
    """A BlockDot."""

    what: BlockDot

    @property
    def terms(self) -> Fraction:
        """A product a lane."""
        return Fraction(self.what.lanes)

    def module(self) -> Module:
        """Its wires."""
        return block_dot(self.what)

    @property
    def _cycles(self) -> int:
        """Of a block."""
        return self.what.block // self.what.lanes

    def drawn(self, operands: Operands, cycles: int, rng: np.random.Generator) -> Columns:
        """New elements every cycle, new scales every block; a sum of 256 cycles."""
        what, every = self.what, self._cycles
        number = np.arange(cycles)
        found = {}
        for side, fmt, scale in (("a", what.a, what.scale_a), ("b", what.b, what.scale_b)):
            elements = side_by_side(codes(fmt, operands, (cycles, what.lanes), rng), fmt.bits)
            scales = _scales(scale, operands, cycles, rng)[number // every]
            held = side == "b"
            found[side] = kept(elements, operands) if held else elements
            found[f"scale_{side}"] = kept(scales, operands) if held else scales
        clear = (number % max(TERMS, every) == 0).astype(np.int64)
        return found | {"clear": clear} | ({"take": (number % every == 0).astype(np.int64)} if every > 1 else {})

    def vectors(self, cycles: int, rows: int, rng: np.random.Generator) -> Columns:
        """Any finite elements, scales whose sums the register holds; a block of two cycles or of all its own."""
        what, shape = self.what, (cycles, rows)
        found = {
            side: side_by_side(codes(fmt, "uniform", (*shape, what.lanes), rng), fmt.bits)
            for side, fmt in (("a", what.a), ("b", what.b))
        }
        for side, fmt in (("scale_a", what.scale_a), ("scale_b", what.scale_b)):
            found[side] = rng.integers(107, 148, shape) if _power(fmt) else codes(fmt, "uniform", shape, rng)
        found["clear"] = np.repeat(np.isin(np.arange(cycles), (0, 6))[:, None], rows, axis=1).astype(np.int64)
        take = np.arange(cycles) % min(self._cycles, 2) == 0
        if self._cycles > 1:
            found["take"] = np.repeat(take[:, None], rows, axis=1).astype(np.int64)
        return found

    def answers(self, inputs: Columns) -> Columns:
        """The register [cycles, n] before each edge, in fractions."""
        what = self.what
        unit = Fraction(2) ** (what.a.ulp_exponent + what.b.ulp_exponent)
        sides = []
        for side, fmt in (("a", what.a), ("b", what.b)):
            whole = [0 if x is None else int(x / Fraction(2) ** fmt.ulp_exponent) for x in fractions_of(fmt)]
            sides.append(np.array(whole, object)[lanes(inputs[side], fmt.bits, what.lanes).astype(np.int64)])
        dots = (sides[0] * sides[1]).sum(axis=-1)
        first, second = fractions_of(what.scale_a), fractions_of(what.scale_b)
        cycles, rows = dots.shape
        found = np.zeros((cycles, rows), np.int64)
        for row in range(rows):
            code, held, block = 0, Fraction(0), Fraction(0)
            for cycle in range(cycles):
                found[cycle, row] = code
                dot = int(dots[cycle, row]) * unit
                one, other = (
                    table[int(inputs[name][cycle, row])] for table, name in ((first, "scale_a"), (second, "scale_b"))
                )
                assert one is not None
                assert other is not None
                clear = bool(inputs["clear"][cycle, row])
                if self._cycles == 1:
                    code, held = rounded(what.register, (Fraction(0) if clear else held) + dot * one * other)
                    continue
                take = bool(inputs["take"][cycle, row])
                if take:
                    code, held = rounded(what.register, held + block * one * other)
                if clear:
                    code, held = 0, Fraction(0)
                block = dot + (Fraction(0) if take else block)
        return {"sum": found}

    def proof(self, made: Synthesis, models: Models, subject: Subject) -> Proof:
        """Cycles."""
        inputs = self.vectors(10, 300, np.random.default_rng(0))
        return by_cycles(made, inputs, self.answers(inputs), models, subject)


def _power(fmt: nf.Scalar) -> bool:
    """Whether all values are powers of two."""
    return isinstance(fmt, nf.Minifloat) and not fmt.zero


def _scales(fmt: nf.Scalar, operands: Operands, count: int, rng: np.random.Generator) -> Any:
    """Powers of two within a few binades, as blocks of one tensor have them; others as values are drawn."""
    if not _power(fmt):
        found = codes(fmt, operands, (count,), rng)
        return found % (1 << (fmt.bits - 1)) if fmt.signed else found
    if operands == "uniform":
        return rng.integers(117, 138, count)
    return 127 + np.clip(np.rint(drawn(operands, (count,), rng)).astype(np.int64), -20, 20)


@dataclass(frozen=True, kw_only=True, slots=True)
class Epilogue(Unit):
    """A MixPe's: a group's sums, zero point and scale into a float register."""

    what: MixPe

    @property
    def terms(self) -> Fraction:
        """A group's products a cycle."""
        return Fraction(self.what.group)

    def module(self) -> Module:
        """Its wires."""
        return group_epilogue(self.what)

    def drawn(self, operands: Operands, cycles: int, rng: np.random.Generator) -> Columns:
        """A group every cycle."""
        what, number = self.what, np.arange(cycles)
        a = codes(what.activation, operands, (cycles, what.group), rng)
        a = signed(a, what.activation.bits).astype(np.int64)
        w = kept(rng.integers(0, 1 << what.weight_bits, (cycles, what.group)), operands)
        scale = codes(what.scale, "normal", (cycles,), rng, reach=2.0**-3) & 0x7FFF
        zero = rng.integers((1 << what.weight_bits) // 2 - 1, (1 << what.weight_bits) // 2 + 2, cycles)
        return {
            "sum": (a * w).sum(axis=1) % (1 << what.sum_bits),
            "activations": a.sum(axis=1) % (1 << what.activation_sum_bits),
            "zero": kept(zero, operands),
            "scale": kept(scale, operands),
            "take": np.ones(cycles, np.int64),
            "clear": (number % 32 == 0).astype(np.int64),
        }

    def vectors(self, cycles: int, rows: int, rng: np.random.Generator) -> Columns:
        """Sums of the whole range, finite scales of both signs."""
        what, shape = self.what, (cycles, rows)
        top = 1 << (what.activation_sum_bits - 1)
        most = (1 << what.weight_bits) - 1
        found = {
            "sum": rng.integers(-top * most, top * most, shape) % (1 << what.sum_bits),
            "activations": rng.integers(0, 2 * top, shape),
            "zero": rng.integers(0, most + 1, shape),
            "scale": codes(what.scale, "uniform", shape, rng),
            "take": rng.integers(0, 2, shape),
            "clear": (rng.random(shape) < 0.1).astype(np.int64),
        }
        found["clear"][0] = 1
        return found

    def answers(self, inputs: Columns) -> Columns:
        """The register [cycles, n] before each edge, in fractions."""
        what, scales = self.what, fractions_of(self.what.scale)
        rest = signed(inputs["sum"], what.sum_bits)
        rest = rest - inputs["zero"].astype(object) * signed(inputs["activations"], what.activation_sum_bits)
        cycles, rows = rest.shape
        found = np.zeros((cycles, rows), np.int64)
        for row in range(rows):
            code, held = 0, Fraction(0)
            for cycle in range(cycles):
                found[cycle, row] = code
                if inputs["clear"][cycle, row]:
                    code, held = 0, Fraction(0)
                elif inputs["take"][cycle, row]:
                    scale = scales[int(inputs["scale"][cycle, row])]
                    assert scale is not None
                    code, held = rounded(what.register, held + int(rest[cycle, row]) * scale)
        return {"total": found}

    def proof(self, made: Synthesis, models: Models, subject: Subject) -> Proof:
        """Cycles."""
        inputs = self.vectors(10, 300, np.random.default_rng(0))
        return by_cycles(made, inputs, self.answers(inputs), models, subject)
