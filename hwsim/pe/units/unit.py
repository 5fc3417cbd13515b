"""What every listed PE has: a module, a check of its gates, operands for its energies, products a cycle."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

import formats as nf
from formats.exact import Dyadic
from formats.reference import encode_value
from hwsim.circuit import Module
from hwsim.pe.circuit import Mac, mac
from hwsim.pe.prove import VECTORS, prove
from hwsim.pe.stimulus import Operands, check_operands, operands_of, side_by_side
from hwsim.rtl.gates import GateSimulator
from hwsim.rtl.induction import Step, prove_step
from hwsim.rtl.models import YOSYS_CELLS, CellModel
from hwsim.rtl.proof import Proof, Subject, check_vectors, conclude, prove_exhaustive
from hwsim.rtl.writer import verilog
from hwsim.rtl.yosys import CmosGates, Synthesis, synthesise

Columns = dict[str, NDArray[Any]]
Models = Mapping[str, CellModel]
SEED = 0  # of vectors where a PE is tested
SECONDS = 30  # of a SAT problem, after which a PE is tested instead


class Unit(ABC):
    """A listed PE. Its subclasses are frozen descriptions."""

    __slots__ = ()

    @property
    def name(self) -> str:
        """Its module's name."""
        return self.module().name

    @property
    @abstractmethod
    def terms(self) -> Fraction:
        """Products of k a cycle. Of an edge those that it feeds to one cell; of a converter, values."""

    @abstractmethod
    def module(self) -> Module:
        """Its wires."""

    @abstractmethod
    def drawn(self, operands: Operands, cycles: int, rng: np.random.Generator) -> Columns:
        """Patterns [cycles] of every input port: what comes where the PE works."""

    @abstractmethod
    def proof(self, made: Synthesis, models: Models, subject: Subject) -> Proof:
        """The netlist of the module's Verilog against what the PE must do."""

    def stimulus(self, operands: Operands, cycles: int, seed: int = 0) -> Columns:
        """Patterns of every input port for cycles + 1 cycles, the first of which only settles the gates."""
        check_operands(operands)
        return self.drawn(operands, cycles + 1, np.random.default_rng(seed))

    def check(self, made: Synthesis | None = None, models: Models | None = None) -> Proof:
        """Proof, or so many vectors, of a synthesised netlist: gates without a library where none is given."""
        module = self.module()
        text = verilog(module)
        found = synthesise(text, module.name, CmosGates()) if made is None else made
        subject = Subject(verilog=text, oracle=type(self).__module__, yosys_version=found.yosys_version)
        return self.proof(found, models or YOSYS_CELLS, subject)


@dataclass(frozen=True, kw_only=True, slots=True)
class MultiplyAccumulate(Unit):
    """A Mac, against hwsim.pe.meaning."""

    what: Mac

    @property
    def name(self) -> str:
        """Its module's name."""
        return self.what.name

    @property
    def terms(self) -> Fraction:
        """A product a lane."""
        return Fraction(self.what.lanes)

    def module(self) -> Module:
        """Its wires."""
        return mac(self.what)

    def drawn(self, operands: Operands, cycles: int, rng: np.random.Generator) -> Columns:
        """Both sides new every cycle, or b held; a sum of 256 cycles."""
        return operands_of(self.what, operands, cycles, rng)

    def proof(self, made: Synthesis, models: Models, subject: Subject) -> Proof:
        """See hwsim.pe.prove. The reference of a matrix unit's step takes milliseconds: fewer vectors."""
        count = VECTORS // 4 if isinstance(self.what.accumulator, nf.Aligned) else VECTORS
        return prove(self.what, made, models=models, count=count)


def by_every_input(
    made: Synthesis, codes: Columns, answers: Callable[[Columns], Mapping[str, Any]], models: Models, subject: Subject
) -> Proof:
    """All combinations of the ports' codes, of a unit without registers: proved."""
    return prove_exhaustive(made.netlist, answers, codes, models=models, subject=subject)


def by_vectors(
    made: Synthesis, inputs: Columns, answers: Callable[[Columns], Mapping[str, Any]], models: Models, subject: Subject
) -> Proof:
    """Inputs [n] of a unit without registers: tested."""
    return check_vectors(made.netlist, answers, inputs, models=models, subject=replace(subject, seed=SEED))


def by_cycles(
    made: Synthesis, inputs: Columns, expected: Mapping[str, NDArray[Any]], models: Models, subject: Subject
) -> Proof:
    """Inputs [cycles, n] from registers of 0; expected: every output before each clock edge: tested."""
    got = GateSimulator(made.netlist, models).run(inputs)
    if set(got) != set(expected):
        raise ValueError(f"expected gives {sorted(expected)}; the netlist has {sorted(got)}")
    subject = replace(subject, seed=SEED)
    method = f"simulation of {len(next(iter(inputs.values())))} cycles"
    wrong = {
        name: np.argwhere(got[name].astype(object) != np.asarray(rows).astype(object))
        for name, rows in expected.items()
    }
    vectors = int(next(iter(inputs.values())).size)
    mismatches = sum(map(len, wrong.values()))
    if not mismatches:
        return conclude("tested", method, made.netlist, subject, vectors=vectors)
    name = next(name for name, places in wrong.items() if len(places))
    cycle, row = (int(x) for x in wrong[name][0])
    example = {"cycle": cycle} | {port: int(rows[cycle, row]) for port, rows in inputs.items()}
    example |= {f"got {name}": int(got[name][cycle, row]), f"expected {name}": int(expected[name][cycle, row])}
    return conclude(
        "refuted", method, made.netlist, subject, vectors=vectors, mismatches=mismatches, counterexample=example
    )


def by_steps(made: Synthesis, step: Step, models: Models, subject: Subject) -> Proof:
    """The step from every state under all inputs, by SAT: proved, or undecided."""
    return prove_step(made, {}, step, models=models, subject=subject, seconds=SECONDS)


def running(addends: NDArray[Any], clear: NDArray[Any], bits: int) -> NDArray[Any]:
    """A register's contents [cycles, n] before each edge, from 0: addends added modulo 2**bits, or anew at a clear."""
    held = np.zeros(addends.shape[1:], object)
    found = []
    for added, start in zip(addends.astype(object), clear, strict=True):
        found.append(held)
        held = (np.where(start == 1, 0, held) + added) % (1 << bits)
    return np.stack(found)


def signed(patterns: Any, bits: int) -> Any:
    """Patterns as two's complement."""
    patterns = np.asarray(patterns).astype(object)
    return np.where(patterns >> (bits - 1) == 1, patterns - (1 << bits), patterns)


def lanes(patterns: Any, bits: int, count: int) -> Any:
    """Patterns [...] apart into [..., count], the first lowest."""
    patterns = np.asarray(patterns).astype(object)
    return np.stack([patterns >> (bits * lane) & ((1 << bits) - 1) for lane in range(count)], axis=-1)


def random_patterns(module: Module, shape: tuple[int, ...], rng: np.random.Generator) -> Columns:
    """Of every input port any pattern, a third of the bytes all zeros or all ones."""
    found = {}
    for wire in module.inputs:
        count = -(-wire.width // 8)
        rows = rng.integers(0, 256, (*shape, count))
        ends = rng.choice([0, 255], rows.shape)
        found[wire.name] = side_by_side(np.where(rng.random(rows.shape) < 1 / 3, ends, rows), 8) % (1 << wire.width)
    return found


def rounded(fmt: nf.Minifloat, x: Fraction) -> tuple[int, Fraction]:
    """A dyadic number's code, rounded to nearest even, and that code's value."""
    code = int(encode_value(fmt, Dyadic(x < 0, abs(x.numerator), 1 - x.denominator.bit_length())))
    value = fmt.value(code)
    if not isinstance(value, Dyadic):
        raise OverflowError(f"{x} is beyond the range of {fmt.name}: give vectors that stay in it")
    return code, value.fraction


@cache
def fractions_of(fmt: nf.Scalar) -> tuple[Fraction | None, ...]:
    """The value of each code; None for infinities and NaN."""
    return tuple(value.fraction if isinstance(value, Dyadic) else None for value in fmt.values())
