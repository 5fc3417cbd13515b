"""What the tests of circuits share: a circuit's answers beside what they must be, formats to draw, seeded defects."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

import formats as nf
from hwsim.circuit import Bits, Module, cat, constant, reset, step
from hwsim.circuit.bits import Constant
from hwsim.circuit.module import Instance
from hwsim.pe.meaning import Vectors
from hwsim.primitives import Leaf, primitive
from hwsim.rtl.bits import pack, unpack
from hwsim.rtl.gates import GateSimulator
from hwsim.rtl.writer import verilog
from hwsim.rtl.yosys import CmosGates, synthesise

REGISTERS = ("e3m2:ieee", "e4m1:ieee", "e2m3:ieee", "e4m3:ieee", "e5m2:ieee")


def after(module: Module, found: Vectors, stages: int = 0) -> NDArray[Any]:
    """The register once the operands have reached it, `stages` cycles late, with `before` in it at that time."""
    state = reset(module)
    for _ in range(stages):
        _, state = step(module, found.inputs, state)
    _, state = step(module, found.inputs, {**state, "total_register": found.before})
    return np.asarray(state["total_register"])


def wrong(module: Module, found: Vectors, stages: int = 0) -> int:
    """How many vectors a module's integer model gets wrong."""
    return int(np.count_nonzero(after(module, found, stages) != found.after))


def gates_of(module: Module) -> GateSimulator:
    """What yosys makes of a module's Verilog."""
    return GateSimulator(synthesise(verilog(module), module.name, CmosGates()).netlist)


def gates_wrong(module: Module, found: Vectors, stages: int = 0, gates: GateSimulator | None = None) -> int:
    """How many vectors the gates get wrong."""
    gates = gates or gates_of(module)
    inputs = {
        name: pack(values, len(gates.inputs[name])) for name, values in found.inputs.items() if name in gates.inputs
    }
    width = len(gates.netlist.outputs["sum"])
    places = {f"sum[{place}]": place for place in range(width)}
    held = pack(found.before, width)
    state = np.zeros((len(gates.registers), held.shape[1]), np.uint64)
    for _ in range(stages):
        _, state, _ = gates.transition(inputs, state)
    rows = [(row, places[name]) for row, name in enumerate(gates.registers) if name in places]
    assert len(rows) == width, f"registers of {module.name} have other names: {gates.registers}"
    for row, place in rows:
        state[row] = held[place]
    _, state, _ = gates.transition(inputs, state)
    ordered = np.zeros((width, held.shape[1]), np.uint64)
    for row, place in rows:
        ordered[place] = state[row]
    return int(np.count_nonzero(unpack(ordered, len(found.before)) != found.after))


def minifloats(most_exponent: int = 5, most_trailing: int = 4) -> st.SearchStrategy[nf.Minifloat]:
    """Minifloats with and without sign, subnormals, zero and specials of every kind."""

    def made(exponent: int, trailing: int, signed: bool, subnormals: bool, zero: bool, specials: Any) -> Any:
        try:
            return nf.Minifloat(
                exponent_bits=exponent,
                trailing_significand_bits=trailing,
                signed=signed,
                subnormals=subnormals,
                zero=zero,
                specials=specials,
            )
        except ValueError:
            return None  # fnuz without a sign, e1m0:ieee without a finite value, ...

    return st.builds(
        made,
        st.integers(1, most_exponent),
        st.integers(0, most_trailing),
        st.booleans(),
        st.booleans(),
        st.sampled_from((True, True, True, False)),
        st.sampled_from(("ieee", "fn", "fnuz", "extended", "none")),
    ).filter(lambda fmt: fmt is not None)


def integers(most: int = 6) -> st.SearchStrategy[nf.FixedPoint]:
    """Integers with and without sign and binary point."""
    return st.builds(
        lambda bits, signed, point: nf.FixedPoint(bits=bits, signed=signed, fraction_bits=point),
        st.integers(1, most),
        st.booleans(),
        st.sampled_from((0, 0, 2, -1)),
    )


def tables() -> st.SearchStrategy[nf.Codebook]:
    """Codebooks of 2..8 small entries."""
    return st.lists(st.sampled_from([x / 4 for x in range(-16, 17)]), min_size=2, max_size=8).map(
        lambda entries: nf.Codebook(label="drawn", bits=3, entries=tuple(entries))
    )


def operands() -> st.SearchStrategy[nf.Scalar]:
    """Operands of every kind."""
    return st.one_of(minifloats(), minifloats(), integers(), tables())


def defects(module: Module) -> list[tuple[str, Module]]:
    """Copies of a module and of those below it with one thing wrong: a constant, swapped wires, a dropped sign."""
    found = []
    for place, part in enumerate(module.instances):
        if isinstance(part.of, Module):
            for label, broken in defects(part.of):
                found.append((f"{part.name}/{label}", _with(module, place, replace(part, of=broken))))
            continue
        for label, other in _broken(part):
            found.append((f"{part.name}: {label}", _with(module, place, other)))
    return found


def _with(module: Module, place: int, part: Instance) -> Module:
    instances = (*module.instances[:place], part, *module.instances[place + 1 :])
    return Module(module.name, module.inputs, module.outputs, instances)


def _broken(part: Instance) -> list[tuple[str, Instance]]:
    """Defects of one leaf's instance."""
    assert isinstance(part.of, Leaf)
    rows, kind, parameters = dict(part.inputs), part.of.kind, dict(part.of.parameters)
    made: list[tuple[str, dict[str, Bits]]] = []
    for port, row in part.inputs:
        for number, piece in enumerate(row.parts):
            if isinstance(piece, Constant):
                other = Constant(piece.value ^ 1, piece.width)
                changed = Bits((*row.parts[:number], other, *row.parts[number + 1 :]))
                made.append((f"constant of {port}", {port: changed}))
                break
    if kind in ("subtractor", "comparator"):
        made.append(("swapped", {"a": rows["b"], "b": rows["a"]}))
    if kind == "multiplexer" and parameters["choices"] == 2:
        half = parameters["width"]
        made.append(("swapped", {"words": cat(rows["words"][:half], rows["words"][half:])}))
    if kind == "add_subtract":
        made.append(("sign dropped", {"subtract": constant(0, 1)}))
    found = [
        (label, replace(part, inputs=tuple((port, new.get(port, row)) for port, row in part.inputs)))
        for label, new in made
    ]
    for name in ("signed_a", "signed_b"):
        if parameters.get(name):
            found.append((f"{name} dropped", replace(part, of=primitive(kind, {**parameters, name: 0}))))
    return found
