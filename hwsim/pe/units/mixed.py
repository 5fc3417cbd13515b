"""MixPE's integer cell and edge, and BitFusion's unit of bricks."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

import formats as nf
from hwsim.circuit import Module
from hwsim.pe.papers.bitfusion import WIDTHS, BitFusion, fusion_unit, mode, products, spread
from hwsim.pe.papers.mixpe import MixPe, activation_sum, mixpe_cell
from hwsim.pe.stimulus import Operands, codes, kept, starts
from hwsim.pe.units.powers import Summed, every_code
from hwsim.pe.units.unit import Columns, Models, Unit, by_cycles, running, signed
from hwsim.rtl.proof import Proof, Subject
from hwsim.rtl.yosys import Synthesis


@dataclass(frozen=True, kw_only=True, slots=True)
class MixedCell(Summed):
    """Activations times unsigned weights by shifts and adds."""

    what: MixPe

    def module(self) -> Module:
        """Its wires."""
        return mixpe_cell(self.what)

    def drawn(self, operands: Operands, cycles: int, rng: np.random.Generator) -> Columns:
        """Weights around the middle of their range, as an asymmetric quantiser has them."""
        a = codes(self.what.activation, operands, (cycles,), rng)
        signed_weight = nf.FixedPoint(bits=self.what.weight_bits, signed=True)
        w = codes(signed_weight, operands, (cycles,), rng) ^ 1 << (self.what.weight_bits - 1)
        return {"a": a, "w": kept(w, operands), "clear": starts(cycles, self.what.group)}

    def codes(self) -> Columns:
        """All."""
        return every_code(a=self.what.activation.bits, w=self.what.weight_bits)

    def addends(self, inputs: Columns) -> Any:
        """Products."""
        return signed(inputs["a"], self.what.activation.bits) * np.asarray(inputs["w"]).astype(object)

    def register_bits(self) -> int:
        """Width of the register."""
        return self.what.sum_bits


@dataclass(frozen=True, kw_only=True, slots=True)
class ActivationSum(Summed):
    """The sum of a group's activations, shared by a row."""

    what: MixPe

    def module(self) -> Module:
        """Its wires."""
        return activation_sum(self.what)

    def drawn(self, operands: Operands, cycles: int, rng: np.random.Generator) -> Columns:
        """An activation a cycle."""
        return {"a": codes(self.what.activation, operands, (cycles,), rng), "clear": starts(cycles, self.what.group)}

    def codes(self) -> Columns:
        """All."""
        return every_code(a=self.what.activation.bits)

    def addends(self, inputs: Columns) -> Any:
        """Activations."""
        return signed(inputs["a"], self.what.activation.bits)

    def register_bits(self) -> int:
        """Width of the register."""
        return self.what.activation_sum_bits


@dataclass(frozen=True, kw_only=True, slots=True)
class Fusion(Unit):
    """BitFusion's unit; its energies are those of signed products of a_bits by b_bits. It is checked in all modes."""

    what: BitFusion
    a_bits: int = 8
    b_bits: int = 8

    @property
    def name(self) -> str:
        """The module's, and the mode."""
        return f"{self.module().name}_{self.a_bits}x{self.b_bits}"

    @property
    def terms(self) -> Fraction:
        """Of the mode."""
        return Fraction(products(self.a_bits, self.b_bits))

    def module(self) -> Module:
        """Its wires."""
        return fusion_unit(self.what)

    def drawn(self, operands: Operands, cycles: int, rng: np.random.Generator) -> Columns:
        """Signed codes in the unit's own mode."""
        count = products(self.a_bits, self.b_bits)
        a, b = (codes(nf.FixedPoint(bits=bits, signed=True), operands, (cycles, count), rng)
                for bits in (self.a_bits, self.b_bits))  # fmt: skip
        found = spread(a.T, kept(b, operands).T, self.a_bits, self.b_bits)
        found |= {port: np.full(cycles, value) for port, value in mode(self.a_bits, self.b_bits).items()}
        ones = np.ones(cycles, np.int64)
        return found | {"a_signed": ones, "b_signed": ones, "clear": starts(cycles)}

    def vectors(self, rows: int, rng: np.random.Generator) -> tuple[Columns, Any]:
        """Two cycles a mode, signed and not, [2 * 36, rows] with their sums of products."""
        cycles: list[dict[str, Any]] = []
        sums = []
        for a_bits in WIDTHS:
            for b_bits in WIDTHS:
                for signs in ((0, 0), (0, 1), (1, 0), (1, 1)):
                    for clear in (1, 0):
                        sides = [_codes(bits, products(a_bits, b_bits), rows, rng) for bits in (a_bits, b_bits)]
                        one = spread(sides[0], sides[1], a_bits, b_bits)
                        one |= mode(a_bits, b_bits) | {"clear": clear, "a_signed": signs[0], "b_signed": signs[1]}
                        cycles.append(one)
                        values = [
                            signed(side, bits) if sign else side.astype(object)
                            for side, bits, sign in zip(sides, (a_bits, b_bits), signs, strict=True)
                        ]
                        sums.append((values[0] * values[1]).sum(axis=0))
        # The last cycle's sum shows a cycle later.
        cycles.append(cycles[-1])
        sums.append(sums[-1])
        inputs = {port: np.stack([np.broadcast_to(one[port], (rows,)) for one in cycles]) for port in cycles[0]}
        return inputs, np.stack(sums)

    def proof(self, made: Synthesis, models: Models, subject: Subject) -> Proof:
        """Cycles in all modes."""
        inputs, sums = self.vectors(200, np.random.default_rng(0))
        return by_cycles(
            made, inputs, {"sum": running(sums, inputs["clear"], self.what.register_bits)}, models, subject
        )


def _codes(bits: int, count: int, rows: int, rng: np.random.Generator) -> Any:
    """[count, rows], a third of them the ends."""
    ends = rng.choice([0, 2**bits - 1, 2 ** (bits - 1), 2 ** (bits - 1) - 1], (count, rows))
    return np.where(rng.random((count, rows)) < 0.3, ends, rng.integers(0, 2**bits, (count, rows)))
