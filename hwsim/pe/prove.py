"""A PE's netlist against the formats' own arithmetic: proved where it can be, else tested on vectors.

    prove(pe.wiring)            # Proof(status="proved", method=..., vectors=..., digest=...)

- Inputs and register of 14 bits together or fewer: every step of finite operands simulated: proved.
- A fixed register, one lane, operands of 20 bits together or fewer, no ranks: by induction (hwsim.rtl.induction). The
  product in its place is simulated for every pair of finite codes, the addition shown by SAT for every register.
- The same with several lanes (hwsim.pe.prove_lanes): what each lane adds is simulated, for every pair of its finite
  codes, the sum of any such rows and the register shown by SAT.
- All others, and registers no wider than the product: vectors, corners and cancellations among them: tested.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

import formats as nf
from hwsim.circuit import Bits, Module, Wire, flat, reset
from hwsim.circuit.bits import Slice
from hwsim.circuit.module import sources
from hwsim.circuit.simulate import rows
from hwsim.pe.circuit import Mac, mac
from hwsim.pe.meaning import every_vector, following, register_bits, values, vectors
from hwsim.pe.prove_lanes import prove_lanes
from hwsim.rtl.aig import FALSE, Graph
from hwsim.rtl.gates import GateSimulator
from hwsim.rtl.induction import Term, prove_step
from hwsim.rtl.models import YOSYS_CELLS, CellModel
from hwsim.rtl.proof import Proof, Subject, check_vectors, conclude
from hwsim.rtl.writer import verilog
from hwsim.rtl.yosys import CmosGates, Synthesis, synthesise

VECTORS = 4096
EXHAUSTIVE_BITS = 14  # inputs and register; the oracle takes a tenth of a millisecond a vector
PRODUCT_BITS = 20
LANES_SECONDS = 60  # of each SAT problem of a sum of lanes, after which it is tested
HELD = "sum"  # the register goes by the shortest name of its wires: the output port's


def prove(
    what: Mac,
    synthesis: Synthesis | None = None,
    *,
    models: Mapping[str, CellModel] = YOSYS_CELLS,
    count: int = VECTORS,
    seed: int = 0,
    seconds: int = 300,
) -> Proof:
    """The synthesised netlist (gates without a library where none is given) does what `meaning` says.

    models: of the netlist's cells. count, seed: vectors where it is tested. seconds: for each SAT problem.
    """
    module = mac(what)
    text = verilog(module)
    made = synthesise(text, module.name, CmosGates()) if synthesis is None else synthesis
    subject = Subject(verilog=text, oracle="hwsim.pe.meaning", yosys_version=made.yosys_version)
    operands = (what.a.bits + what.b.bits) * what.lanes
    if not what.stages and operands + register_bits(what) <= EXHAUSTIVE_BITS:
        return _everything(what, made, models, subject)
    if _adds(what) and operands <= PRODUCT_BITS and adds_apart(made):
        found = _by_induction(what, module, made, models, subject, seconds)
        if found.status != "undecided":
            return found
    if _wraps(what) and what.lanes > 1 and not what.stages and operands <= PRODUCT_BITS * what.lanes:
        lanes = prove_lanes(what, module, made, _codes(what), models, subject, min(seconds, LANES_SECONDS))
        if lanes is not None:
            return lanes
    return _by_vectors(what, made, models, subject, count, seed)


def _wraps(what: Mac) -> bool:
    """Whether products are added to a register modulo its width."""
    how = what.accumulator
    return isinstance(how, nf.Exact) or (isinstance(how, nf.Integer) and how.overflow != "saturate")


def _adds(what: Mac) -> bool:
    """Whether a cycle adds one product to a register that wraps, and does nothing else."""
    return _wraps(what) and what.lanes == 1 and not what.stages


def _everything(what: Mac, made: Synthesis, models: Mapping[str, CellModel], subject: Subject) -> Proof:
    every = every_vector(what)
    found = _checked(made, every.inputs, every.before, every.after, models, subject)
    if found.status != "tested":
        return found
    return conclude("proved", "every step of finite operands, simulated", made.netlist, subject, vectors=found.vectors)


def _by_vectors(
    what: Mac, made: Synthesis, models: Mapping[str, CellModel], subject: Subject, count: int, seed: int
) -> Proof:
    drawn = vectors(what, count, seed)
    named = Subject(verilog=subject.verilog, oracle=subject.oracle, yosys_version=subject.yosys_version, seed=seed)
    if what.stages:
        return _through_ranks(what, made, drawn.inputs, models, named)
    return _checked(made, drawn.inputs, drawn.before, drawn.after, models, named)


def _checked(
    made: Synthesis, inputs: dict[str, Any], before: Any, after: Any, models: Mapping[str, CellModel], subject: Subject
) -> Proof:
    """One step of the netlist on vectors."""
    stimuli = {**inputs, HELD: before}
    return check_vectors(
        made.netlist, lambda given: {"sum": before, f"next {HELD}": after}, stimuli, models=models, subject=subject
    )


def _by_induction(
    what: Mac, module: Module, made: Synthesis, models: Mapping[str, CellModel], subject: Subject, seconds: int
) -> Proof:
    """One lane's products, by prove_sum."""

    def addend(given: Mapping[str, Any]) -> list[int | None]:
        pairs = zip(given["a"].tolist(), given["b"].tolist(), strict=True)
        return [following(what, 0, [x], [y], 1) for x, y in pairs]  # None: a wrapped product is no number

    return prove_sum(module, made, _codes(what), addend, models=models, subject=subject, seconds=seconds)


def prove_sum(
    module: Module,
    made: Synthesis,
    codes: Mapping[str, NDArray[Any]],
    addend: Callable[[Mapping[str, Any]], Sequence[int | None]],
    *,
    models: Mapping[str, CellModel] = YOSYS_CELLS,
    subject: Subject,
    seconds: int = 300,
) -> Proof:
    """A register `sum` to which a cycle adds a function of input ports; a one at `clear` starts anew.

    What is added, for every combination of the ports' codes: gates = integer model = addend; then the addition itself.
    codes: of the ports that the addend depends on, 2**20 combinations at most. addend: from codes [n] of them to
    integers, modulo the register; None where nothing is said. The module's addition is its instance `accumulate`
    (hwsim.pe.fixed); its term must be a signal ahead of abc (`adds_apart`).
    """
    inner = next(part.of for part in module.instances if part.name == "accumulate")
    assert isinstance(inner, Module)
    adder = next(dict(part.inputs) for part in inner.instances if part.name == "add")
    use = next(use for use in flat(module).uses if use.path == "accumulate/add")
    added = {port: row for port, row in use.inputs if port in ("b", "subtract")}
    width = next(wire.width for wire in inner.inputs if wire.name == "term")
    given = {"term": added["b"][:width]} | ({"sign": added["subtract"]} if "subtract" in added else {})
    terms = {f"accumulate.{name}": _term(codes, module, row) for name, row in given.items()}

    def step(graph: Graph, words: Mapping[str, list[int]]) -> dict[str, list[int]]:
        held = words[HELD]
        total = [graph.both(words["clear"][0] ^ 1, bit) for bit in held]
        addend, negative = _literals(adder["b"], words), FALSE
        if "subtract" in added:
            (negative,) = _literals(adder["subtract"], words)
            addend = [graph.differ(bit, negative) for bit in addend]
        return {f"next {HELD}": graph.add(total, addend, negative), "sum": list(held)}

    proof = prove_step(made, terms, step, models=models, subject=subject, seconds=seconds)
    wrong = _wrong_addend(codes, addend, module, added) if proof.status == "proved" else None
    if wrong is None:
        return proof
    return conclude(
        "refuted", proof.method, made.netlist, subject, vectors=proof.vectors, mismatches=1, counterexample=wrong
    )


def adds_apart(made: Synthesis) -> bool:
    """Whether what is added is a signal. It is none where the register is no wider: synthesis makes one sum of both."""
    return "accumulate.term" in made.before.signals


def _ports_read(module: Module) -> dict[Wire, set[str]]:
    """The input ports that each wire of the flattened module depends on, registers aside."""
    found: dict[Wire, set[str]] = {wire: {wire.name} for wire in module.inputs}
    whole = flat(module)
    found |= {wire: set() for use in whole.registers for _, wire in use.outputs}
    for use in whole.uses:
        read = {port for _, row in use.inputs for wire in sources(row) for port in found[wire]}
        found |= {wire: read for _, wire in use.outputs}
    return found


def _term(codes: Mapping[str, NDArray[Any]], module: Module, row: Bits) -> Term:
    """A row of the flattened module that depends on operands only, as the integer model has it."""
    ports = _ports_read(module)
    read = {port for wire in sources(row) for port in ports[wire]}

    def expected(given: Mapping[str, Any]) -> Any:
        inputs = {wire.name: given.get(wire.name, 0) for wire in module.inputs}
        return rows(module, inputs, reset(module), {"it": row})["it"]

    return Term(expected=expected, inputs={port: own for port, own in codes.items() if port in read})


def _literals(row: Bits, words: Mapping[str, list[int]]) -> list[int]:
    """A row of wires inside the module `accumulate`."""
    found: list[int] = []
    for part in row.parts:
        if isinstance(part, Slice):
            found += words[f"accumulate.{part.wire.name}"][part.low : part.low + part.width]
        else:
            found += [part.value >> place & 1 for place in range(part.width)]
    return found


def _wrong_addend(
    codes: Mapping[str, NDArray[Any]],
    addend: Callable[[Mapping[str, Any]], Sequence[int | None]],
    module: Module,
    added: Mapping[str, Bits],
) -> dict[str, int] | None:
    """Codes for which the integer model does not add what is meant; None where there are none."""
    width = added["b"].width
    grids = np.meshgrid(*codes.values(), indexing="ij")
    given = {name: grid.reshape(-1) for name, grid in zip(codes, grids, strict=True)}
    rest = {wire.name: 0 for wire in module.inputs if wire.name not in given}
    on = rows(module, given | rest, reset(module), added)
    got = [int(x) for x in on["b"]]
    if "subtract" in added:
        got = [-x if negative else x for x, negative in zip(got, on["subtract"].tolist(), strict=True)]
    for place, (found, expected) in enumerate(zip(got, addend(given), strict=True)):
        if expected is not None and (expected - found) % (1 << width):
            one = {name: int(column[place]) for name, column in given.items()}
            return one | {"got addend": found % (1 << width), "expected addend": expected % (1 << width)}
    return None


def _codes(what: Mac) -> dict[str, Any]:
    """The codes of finite values of each operand."""
    sides = zip(("a", "b"), (what.a, what.b), what.factors, strict=True)
    return {
        name: np.array([code for code, value in enumerate(values(fmt, factor)) if value is not None])
        for name, fmt, factor in sides
    }


def _through_ranks(
    what: Mac, made: Synthesis, inputs: dict[str, Any], models: Mapping[str, CellModel], subject: Subject
) -> Proof:
    """Vectors one a clock cycle through the ranks: every sum against the meaning of all that came before it."""
    cycles = len(inputs["clear"])
    inputs = {**inputs, "clear": inputs["clear"].copy()}
    inputs["clear"][0] = 1
    got = GateSimulator(made.netlist, models).run({name: column.reshape(-1, 1) for name, column in inputs.items()})[
        "sum"
    ]
    total, wrong = 0, 0
    for cycle in range(cycles - what.stages - 1):
        lanes = [
            [(int(inputs[side][cycle]) >> (fmt.bits * lane)) & ((1 << fmt.bits) - 1) for lane in range(what.lanes)]
            for side, fmt in (("a", what.a), ("b", what.b))
        ]
        random = int(inputs["random"][cycle]) if "random" in inputs else 0
        after = following(what, total, lanes[0], lanes[1], int(inputs["clear"][cycle]), random)
        if after is None:
            break
        total = after
        wrong += int(got[cycle + what.stages + 1, 0]) != total
    method = f"simulation, a vector a cycle through {what.stages} ranks"
    return conclude("refuted" if wrong else "tested", method, made.netlist, subject, vectors=cycles, mismatches=wrong)
