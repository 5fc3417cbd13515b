"""A sum of several lanes' products, proved in parts that each are small enough.

A cycle adds to the register what the instance `lanes` (hwsim.pe.fixed.summed) makes of rows of wires.
1. Every wire that the rows are made of depends on one lane's codes only, by the gates ahead of abc, and for every pair
   of finite codes it is what the integer model has: by exhaustion.
2. For all values of those wires and of the register the gates add the rows, modulo their width, to the register: SAT.
3. With all other lanes 0, the integer model's rows add up to the lane's product as the meaning has it, for every pair
   of codes, and all lanes' products together fit the rows' width. As every row is of one lane, the rows' sum is then
   the sum of the products.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.circuit import Bits, Module, Wire, flat, reset
from hwsim.circuit.bits import Slice
from hwsim.circuit.bits import bits as whole
from hwsim.circuit.module import sources
from hwsim.circuit.simulate import rows
from hwsim.pe.circuit import Mac
from hwsim.pe.meaning import following
from hwsim.rtl.aig import FALSE, Graph
from hwsim.rtl.induction import Term, bits_read, prove_step
from hwsim.rtl.models import CellModel
from hwsim.rtl.proof import Proof, Subject
from hwsim.rtl.yosys import Synthesis

WIDEST_ROWS = 24  # bits; SAT does not end on wider sums
Codes = Mapping[str, NDArray[Any]]


def prove_lanes(
    what: Mac,
    module: Module,
    made: Synthesis,
    codes: Codes,
    models: Mapping[str, CellModel],
    subject: Subject,
    seconds: int,
) -> Proof | None:
    """The proof, or None where a part of it does not come out: the PE may still be right.

    codes: of finite values of a and b. seconds: of each SAT problem.
    """
    adder = next(use for use in flat(module).uses if use.path == "lanes")
    given = dict(adder.inputs)
    width = given["first"].width
    operands = [given["first"]]
    operands += [given["terms"][place : place + width] for place in range(0, given["terms"].width, width)]
    wires = sorted({wire for row in operands for wire in sources(row)}, key=lambda wire: wire.name)
    lanes = {wire: _lane(what, made, wire) for wire in wires} if width <= WIDEST_ROWS else {}
    if not lanes or None in lanes.values() or not _adds_up(what, module, codes, adder.outputs[0][1], width):
        return None
    terms = {_signal(wire): _term(what, module, wire, lane, codes) for wire, lane in lanes.items() if lane is not None}
    into = next(dict(part.inputs)["term"] for part in module.instances if part.name == "accumulate")
    inner = next(part.of for part in module.instances if part.name == "accumulate")
    assert isinstance(inner, Module)
    addend = next(dict(part.inputs)["b"] for part in inner.instances if part.name == "add")

    def step(graph: Graph, words: Mapping[str, list[int]]) -> dict[str, list[int]]:
        found = {wire: words[_signal(wire)] for wire in wires}
        total = [_literals(row, found) for row in operands]
        while len(total) > 1:
            pairs = [graph.add(one, other) for one, other in zip(total[::2], total[1::2], strict=False)]
            total = pairs + total[2 * len(pairs) :]
        term = _literals(into, {wire: total[0] for wire in sources(into)})
        added = _literals(addend, {wire: term for wire in sources(addend)})
        held = words["sum"]
        return {
            "next sum": graph.add([graph.both(words["clear"][0] ^ 1, bit) for bit in held], added, FALSE),
            "sum": list(held),
        }

    found = prove_step(made, terms, step, models=models, subject=subject, seconds=seconds)
    return found if found.status == "proved" else None


def _signal(wire: Wire) -> str:
    """By which yosys has a wire of the flattened module."""
    return wire.name.replace("/", ".")


def _lane(what: Mac, made: Synthesis, wire: Wire) -> int | None:
    """The lane whose codes the wire depends on; None where it is no signal, or of several lanes or other ports."""
    if _signal(wire) not in made.before.signals:
        return None
    read = bits_read(made.before, _signal(wire))
    found = set()
    for port, (low, high) in read.items():
        if port not in ("a", "b"):
            return None
        bits = what.a.bits if port == "a" else what.b.bits
        found |= {low // bits, (high - 1) // bits}
    return found.pop() if len(found) == 1 else None


def _term(what: Mac, module: Module, wire: Wire, lane: int, codes: Codes) -> Term:
    """The wire as the integer model has it, for codes of its own lane."""
    bits = {"a": what.a.bits, "b": what.b.bits}
    idle = {port.name: 0 for port in module.inputs}

    def expected(given: Mapping[str, Any]) -> Any:
        own = {port: values.astype(object) << (bits[port] * lane) for port, values in given.items()}
        return rows(module, {**idle, **own}, reset(module), {"it": whole(wire)})["it"]

    reads = {port: (width * lane, width * (lane + 1)) for port, width in bits.items()}
    return Term(expected=expected, inputs=codes, reads=reads)


def _adds_up(what: Mac, module: Module, codes: Codes, out: Wire, width: int) -> bool:
    """Part 3, of every lane."""
    a, b = (grid.reshape(-1) for grid in np.meshgrid(codes["a"], codes["b"], indexing="ij"))
    nothing = [0] * (what.lanes - 1)
    if following(what, 0, [0, *nothing], [0, *nothing], 1) != 0:
        return False
    top = 1 << (what.register_bits - 1)
    products = []
    for x, y in zip(a.tolist(), b.tolist(), strict=True):
        found = following(what, 0, [x, *nothing], [y, *nothing], 1)
        if found is None:
            return False
        products.append(found - 2 * top if found >= top else found)
    room = (1 << width, 0) if min(products) >= 0 else (1 << (width - 1), 1 << (width - 1))
    fits = max(products) * what.lanes < room[0] and -min(products) * what.lanes <= room[1]
    if not fits and width < what.register_bits:
        return False
    wanted = np.array([product % (1 << width) for product in products], object)
    for lane in range(what.lanes):
        inputs: dict[str, Any] = {wire.name: 0 for wire in module.inputs}
        inputs |= {"a": a.astype(object) << (what.a.bits * lane), "b": b.astype(object) << (what.b.bits * lane)}
        got = rows(module, inputs, reset(module), {"it": whole(out)})["it"]
        if (np.asarray(got).astype(object) != wanted).any():
            return False
    return True


def _literals(row: Bits, words: Mapping[Wire, list[int]]) -> list[int]:
    found: list[int] = []
    for part in row.parts:
        if isinstance(part, Slice):
            found += words[part.wire][part.low : part.low + part.width]
        else:
            found += [part.value >> place & 1 for place in range(part.width)]
    return found
