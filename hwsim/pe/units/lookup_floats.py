"""LUT Tensor Core's float cell: an entry, its sign, its plane, and a float sum, as published and corrected."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

import formats as nf
from hwsim.circuit import Module
from hwsim.pe.papers.lookup_float import GROUP, LookupFloat, lookup_float
from hwsim.pe.stimulus import Operands, codes, drawn, kept, side_by_side, starts
from hwsim.pe.units.unit import Columns, Models, Unit, by_cycles, lanes
from hwsim.rtl.proof import Proof, Subject
from hwsim.rtl.yosys import Synthesis

ENTRIES = 1 << (GROUP - 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class FloatLookup(Unit):
    """A LookupFloat of float16."""

    what: LookupFloat

    @property
    def terms(self) -> Fraction:
        """A group in `planes` cycles."""
        return Fraction(GROUP, self.what.planes)

    def module(self) -> Module:
        """Its wires."""
        return lookup_float(self.what)

    def drawn(self, operands: Operands, cycles: int, rng: np.random.Generator) -> Columns:
        """A table of four new activations of deviation 1 with every first plane."""
        what = self.what
        group = np.arange(cycles) // what.planes * what.planes
        signs = 2 * ((np.arange(ENTRIES)[:, None] + ENTRIES) >> np.arange(GROUP) & 1) - 1
        entries = nf.encode_codes(what.format, drawn(operands, (cycles, GROUP), rng) @ signs.T)[group]
        if operands == "uniform":
            entries = codes(what.format, operands, (cycles, ENTRIES), rng)[group] & 0xBFFF  # below 2: no sum overflows
        found = {"entries": side_by_side(entries, what.format.bits), "clear": starts(cycles, 256 * what.planes)}
        found["weights"] = kept(rng.integers(0, 1 << GROUP, cycles), operands)
        return found | ({"plane": np.arange(cycles) % what.planes} if what.planes > 1 else {})

    def vectors(self, cycles: int, rows: int, rng: np.random.Generator) -> Columns:
        """Entries of every size below 2**8, zeros and subnormals among them: no sum leaves the range."""
        entries = rng.integers(0, 24 << 10, (cycles, rows, ENTRIES))
        small = np.where(rng.random(entries.shape) < 0.1, entries & 1023, entries)
        entries = np.where(rng.random(entries.shape) < 0.1, 0, small) | rng.integers(0, 2, entries.shape) << 15
        found = {"entries": side_by_side(entries, 16), "weights": rng.integers(0, 1 << GROUP, (cycles, rows))}
        found["clear"] = (rng.random((cycles, rows)) < 0.2).astype(np.int64) | (np.arange(cycles) == 0)[:, None]
        planes = self.what.planes
        return found | ({"plane": rng.integers(0, planes, (cycles, rows))} if planes > 1 else {})

    def answers(self, inputs: Columns) -> Columns:
        """The register [cycles, n] before each edge.

        Each sum is exact in float64, or so far apart that rounding it twice is rounding it once (53 > 2 * 11 + 2).
        """
        fmt, held, found = self.what.format, np.zeros(inputs["weights"].shape[1]), []
        for cycle, weight in enumerate(inputs["weights"]):
            found.append(nf.encode_codes(fmt, held))
            entries = lanes(inputs["entries"][cycle], 16, ENTRIES).astype(np.int64)
            code = np.take_along_axis(entries, (weight >> 1)[:, None], axis=1)[:, 0] ^ (weight & 1) << 15
            plane = inputs["plane"][cycle] if "plane" in inputs else np.zeros(len(weight), np.int64)
            total = np.where(inputs["clear"][cycle] == 1, 0.0, held) + self._addend(code, plane)
            held = nf.decode_codes(fmt, nf.encode_codes(fmt, total), np.float64)
        return {"sum": np.stack(found)}

    def _addend(self, code: Any, plane: Any) -> Any:
        """A looked-up code at its plane, in float64. As published the plane is added to the field of the exponent."""
        if self.what.variant == "corrected":
            return nf.decode_codes(self.what.format, code, np.float64) * 2.0**plane
        return nf.decode_codes(self.what.format, code & 0x83FF | ((code >> 10 & 31) + plane & 31) << 10, np.float64)

    def proof(self, made: Synthesis, models: Models, subject: Subject) -> Proof:
        """Cycles."""
        inputs = self.vectors(8, 600, np.random.default_rng(0))
        return by_cycles(made, inputs, self.answers(inputs), models, subject)
