"""Dot products of one-bit weights by lookup: cell, edge, row, and the tree of signs that needs no table.

A table's entry under the weight bits W is the sum of the activations, plus where W has ones; a half table holds those
with the top bit 1, and its cells are given weight bits with the others turned where the top bit is 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from hwsim.circuit import Module
from hwsim.pe.papers.lookup import LookupDot, lookup_cell, lookup_edge, lookup_row, sign_tree, stored_weights
from hwsim.pe.stimulus import Operands, codes, kept, side_by_side, starts
from hwsim.pe.units.unit import (
    Columns,
    Models,
    Unit,
    by_cycles,
    by_steps,
    lanes,
    random_patterns,
    running,
    signed,
)
from hwsim.pe.units.words import chosen, extended, kept_where, moved_up, negated_where, slices, total
from hwsim.rtl.aig import Graph
from hwsim.rtl.proof import Proof, Subject
from hwsim.rtl.yosys import Synthesis


def entries_of(what: LookupDot, activations: Any) -> Any:
    """Exact table entries [..., entries] of activations [..., group]."""
    index = np.arange(what.entries) + (what.entries if what.half else 0)
    signs = 2 * (index[:, None] >> np.arange(what.group) & 1) - 1
    return np.asarray(activations).astype(object) @ signs.T.astype(object)


def looked_up(what: LookupDot, entries: Any, weights: Any) -> Any:
    """What stored weight bits [...] choose of entries [..., entries]."""
    half = what.group - 1
    index = weights & ((1 << half) - 1) if what.half else weights
    entry = np.take_along_axis(entries, index[..., None].astype(np.int64), axis=-1)[..., 0]
    return np.where(weights >> half == 1, entry, -entry) if what.half else entry


def _activations(what: LookupDot, operands: Operands, cycles: int, rng: np.random.Generator) -> Any:
    """Codes [cycles, group], new with every first plane."""
    found = codes(what.activation, operands, (cycles, what.group), rng)
    return found[np.arange(cycles) // what.planes * what.planes]


def _weights(what: LookupDot, operands: Operands, shape: tuple[int, ...], rng: np.random.Generator) -> Any:
    """Weight bits [cycles, ...], as likely 1 as 0: those of weights around zero are."""
    return kept(rng.integers(0, 1 << what.group, shape), operands)


def _stored(what: LookupDot, words: Any) -> Any:
    return np.array([stored_weights(what, word) for word in range(1 << what.group)])[words]


def _shared(what: LookupDot, cycles: int) -> Columns:
    """clear, and plane where there are several."""
    found = {"clear": starts(cycles, 256 * what.planes)}
    return found | ({"plane": np.arange(cycles) % what.planes} if what.planes > 1 else {})


def _placed(inputs: Columns, addends: Any) -> Any:
    return addends * 2 ** inputs["plane"].astype(object) if "plane" in inputs else addends


def _vectors(what: LookupDot, module: Module, shape: tuple[int, int]) -> Columns:
    found = random_patterns(module, shape, np.random.default_rng(0))
    if "plane" in found:
        found["plane"] %= what.planes
    return found


@dataclass(frozen=True, kw_only=True, slots=True)
class LookupCell(Unit):
    """A column's cell; energies are of exact tables, or of tables rounded to fewer bits."""

    what: LookupDot

    @property
    def terms(self) -> Fraction:
        """A group in `planes` cycles."""
        return Fraction(self.what.group, self.what.planes)

    def module(self) -> Module:
        """Its wires."""
        return lookup_cell(self.what)

    def drawn(self, operands: Operands, cycles: int, rng: np.random.Generator) -> Columns:
        """A table of new activations with every first plane."""
        what = self.what
        entries = entries_of(what, signed(_activations(what, operands, cycles, rng), what.activation.bits))
        entries = entries >> (what.exact_bits - what.bits)
        weights = _stored(what, _weights(what, operands, (cycles,), rng))
        return {"entries": side_by_side(entries, what.bits), "weights": weights, **_shared(what, cycles)}

    def answers(self, inputs: Columns) -> Columns:
        """The register [cycles, n] before each edge."""
        what = self.what
        entries = signed(lanes(inputs["entries"], what.bits, what.entries), what.bits)
        addends = _placed(inputs, looked_up(what, entries, inputs["weights"].astype(np.int64)))
        return {"sum": running(addends, inputs["clear"], what.register_bits)}

    def proof(self, made: Synthesis, models: Models, subject: Subject) -> Proof:
        """The step by SAT."""
        found = by_steps(made, self._step, models, subject)
        if found.status != "undecided":
            return found
        inputs = _vectors(self.what, self.module(), (6, 1000))
        return by_cycles(made, inputs, self.answers(inputs), models, subject)

    def _step(self, graph: Graph, words: Any) -> Any:
        what, held, weights = self.what, words["sum"], words["weights"]
        entry = chosen(graph, slices(words["entries"], what.bits), weights[: what.group - what.half])
        term = extended(entry, len(held))
        if what.half:
            term = negated_where(graph, term, weights[-1] ^ 1)
        term = moved_up(graph, term, words["plane"]) if what.planes > 1 else term
        after = graph.add(kept_where(graph, held, words["clear"][0] ^ 1), term)
        return {"next sum": after, "sum": held}


@dataclass(frozen=True, kw_only=True, slots=True)
class LookupEdge(Unit):
    """Generator and registers of a table that a row shares."""

    what: LookupDot

    @property
    def terms(self) -> Fraction:
        """A group in `planes` cycles."""
        return Fraction(self.what.group, self.what.planes)

    def module(self) -> Module:
        """Its wires."""
        return lookup_edge(self.what)

    def drawn(self, operands: Operands, cycles: int, rng: np.random.Generator) -> Columns:
        """New activations with every first plane; the table taken with every last one."""
        what = self.what
        a = side_by_side(_activations(what, operands, cycles, rng), what.activation.bits)
        return {"a": a, "load": (np.arange(cycles) % what.planes == what.planes - 1).astype(np.int64)}

    def answers(self, inputs: Columns) -> Columns:
        """The table [cycles, n] before each edge."""
        what = self.what
        a = signed(lanes(inputs["a"], what.activation.bits, what.group), what.activation.bits)
        made = side_by_side(entries_of(what, a), what.bits)
        held, found = np.zeros(made.shape[1:], object), []
        for table, load in zip(made, inputs["load"], strict=True):
            found.append(held)
            held = np.where(load == 1, table, held)
        return {"entries": np.stack(found)}

    def proof(self, made: Synthesis, models: Models, subject: Subject) -> Proof:
        """Cycles: synthesis makes one register of entries' equal low bits, so that states do not pair."""
        inputs = _vectors(self.what, self.module(), (6, 2000))
        return by_cycles(made, inputs, self.answers(inputs), models, subject)


@dataclass(frozen=True, kw_only=True, slots=True)
class LookupRow(Unit):
    """An edge and its columns."""

    what: LookupDot
    columns: int

    @property
    def terms(self) -> Fraction:
        """A group a column in `planes` cycles."""
        return Fraction(self.what.group * self.columns, self.what.planes)

    def module(self) -> Module:
        """Its wires."""
        return lookup_row(self.what, self.columns)

    def drawn(self, operands: Operands, cycles: int, rng: np.random.Generator) -> Columns:
        """As for the edge, each column's weights its own."""
        what = self.what
        edge = LookupEdge(what=what).drawn(operands, cycles, rng)
        words = _stored(what, _weights(what, operands, (cycles, self.columns), rng))
        return {**edge, "weights": side_by_side(words, what.group), **_shared(what, cycles)}

    def answers(self, inputs: Columns) -> Columns:
        """The registers [cycles, n] before each edge."""
        what = self.what
        entries = LookupEdge(what=what).answers(inputs)["entries"]
        words = lanes(inputs["weights"], what.group, self.columns)
        sums = []
        for column in range(self.columns):
            own = inputs | {"entries": entries, "weights": words[..., column]}
            sums.append(LookupCell(what=what).answers(own)["sum"])
        return {"sum": side_by_side(np.stack(sums, axis=-1), what.register_bits)}

    def proof(self, made: Synthesis, models: Models, subject: Subject) -> Proof:
        """Cycles."""
        inputs = _vectors(self.what, self.module(), (8, 1000))
        return by_cycles(made, inputs, self.answers(inputs), models, subject)


@dataclass(frozen=True, kw_only=True, slots=True)
class SignTree(Unit):
    """Activations added and subtracted."""

    what: LookupDot

    @property
    def terms(self) -> Fraction:
        """A group in `planes` cycles."""
        return Fraction(self.what.group, self.what.planes)

    def module(self) -> Module:
        """Its wires."""
        return sign_tree(self.what)

    def drawn(self, operands: Operands, cycles: int, rng: np.random.Generator) -> Columns:
        """New activations with every first plane."""
        what = self.what
        a = side_by_side(_activations(what, operands, cycles, rng), what.activation.bits)
        return {"a": a, "weights": _weights(what, operands, (cycles,), rng), **_shared(what, cycles)}

    def answers(self, inputs: Columns) -> Columns:
        """The register [cycles, n] before each edge."""
        what = self.what
        a = signed(lanes(inputs["a"], what.activation.bits, what.group), what.activation.bits)
        signs = 2 * lanes(inputs["weights"], 1, what.group) - 1
        return {"sum": running(_placed(inputs, (a * signs).sum(axis=-1)), inputs["clear"], what.register_bits)}

    def proof(self, made: Synthesis, models: Models, subject: Subject) -> Proof:
        """The step by SAT."""
        found = by_steps(made, self._step, models, subject)
        if found.status != "undecided":
            return found
        inputs = _vectors(self.what, self.module(), (6, 1000))
        return by_cycles(made, inputs, self.answers(inputs), models, subject)

    def _step(self, graph: Graph, words: Any) -> Any:
        what, held = self.what, words["sum"]
        width = what.exact_bits + 1
        values = [extended(row, width) for row in slices(words["a"], what.activation.bits)]
        rows = [negated_where(graph, row, bit ^ 1) for row, bit in zip(values, words["weights"], strict=True)]
        dot = extended(total(graph, rows), len(held))
        dot = moved_up(graph, dot, words["plane"]) if what.planes > 1 else dot
        after = graph.add(kept_where(graph, held, words["clear"][0] ^ 1), dot)
        return {"next sum": after, "sum": held}
