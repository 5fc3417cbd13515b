"""Bit-serial dot products: whole codes times a bit of each other code, at the bit's place."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

import formats as nf
from hwsim.circuit import Module
from hwsim.pe.papers.serial import SerialDot, serial_dot
from hwsim.pe.stimulus import TERMS, Operands, codes, kept, side_by_side
from hwsim.pe.units.unit import Columns, Models, Unit, by_cycles, by_steps, lanes, random_patterns, running
from hwsim.pe.units.words import extended, kept_where, moved_up, negated_where, slices, total
from hwsim.primitives import log2_ceil
from hwsim.rtl.aig import Graph
from hwsim.rtl.proof import Proof, Subject
from hwsim.rtl.yosys import Synthesis

MOST_PROVED_LANES = 4  # SAT does not end on larger sums of lanes


@dataclass(frozen=True, kw_only=True, slots=True)
class Serial(Unit):
    """A SerialDot; energies are of two's complement serial codes of all its bits, the weights."""

    what: SerialDot

    @property
    def terms(self) -> Fraction:
        """A lane's product takes a cycle a bit."""
        return Fraction(self.what.lanes, self.what.serial_bits)

    def module(self) -> Module:
        """Its wires."""
        return serial_dot(self.what)

    def drawn(self, operands: Operands, cycles: int, rng: np.random.Generator) -> Columns:
        """New codes every serial_bits cycles; weights held for some of those; a sum of 256 such products."""
        what, every = self.what, self.what.serial_bits
        groups = -(-cycles // every)
        serial = nf.FixedPoint(bits=every, signed=True)
        a = codes(what.whole, operands, (groups, what.lanes), rng)
        w = kept(codes(serial, operands, (groups, what.lanes), rng), operands)
        group, place = np.arange(cycles) // every, np.arange(cycles) % every
        return {
            "a": side_by_side(a, what.whole.bits)[group],
            "bits": side_by_side(w[group] >> place[:, None] & 1, 1),
            "place": place,
            "minus": (place == every - 1).astype(np.int64),
            "clear": (np.arange(cycles) % (TERMS * every) == 0).astype(np.int64),
        }

    def answers(self, inputs: Columns) -> Columns:
        """The register [cycles, n] before each edge."""
        what = self.what
        values = nf.decode_codes(what.whole, lanes(inputs["a"], what.whole.bits, what.lanes).astype(np.int64), float)
        dots = (values.astype(np.int64) * lanes(inputs["bits"], 1, what.lanes).astype(np.int64)).sum(axis=-1)
        addends = dots.astype(object) * (1 - 2 * inputs["minus"].astype(object)) * 2 ** inputs["place"].astype(object)
        return {"sum": running(addends, inputs["clear"], what.register_bits)}

    def proof(self, made: Synthesis, models: Models, subject: Subject) -> Proof:
        """The step by SAT, of few lanes; else cycles."""
        if self.what.lanes <= MOST_PROVED_LANES:
            found = by_steps(made, self._step, models, subject)
            if found.status != "undecided":
                return found
        inputs = random_patterns(self.module(), (6, 1000), np.random.default_rng(0))
        inputs["place"] %= self.what.serial_bits
        return by_cycles(made, inputs, self.answers(inputs), models, subject)

    def _step(self, graph: Graph, words: Any) -> Any:
        what, held = self.what, words["sum"]
        width = what.whole.bits + log2_ceil(what.lanes) + 1
        rows = [
            extended(kept_where(graph, row, bit), width, what.whole.signed)
            for row, bit in zip(slices(words["a"], what.whole.bits), words["bits"], strict=True)
        ]
        dot = extended(total(graph, rows), len(held))
        term = negated_where(graph, moved_up(graph, dot, words["place"]), words["minus"][0])
        after = graph.add(kept_where(graph, held, words["clear"][0] ^ 1), term)
        return {"next sum": after, "sum": held}
