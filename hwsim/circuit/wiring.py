"""A module with all below it as one list of leaves and rows of signals, for circuit/replay.py.

Signals are numbered from 0: bits of the input ports, then what each REGISTER, ALIAS and LEAF gives. Registers of a
module come before its other parts: their outputs may be read before their place.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hwsim.circuit.bits import Bits, Slice
from hwsim.circuit.module import Module
from hwsim.circuit.program import Program, program
from hwsim.primitives import Leaf
from hwsim.primitives.logic import Register

# REGISTER width owner; ALIAS row: the same signals under new numbers; LEAF start-of-its-program owner row; STOP.
STOP, REGISTER, ALIAS, LEAF = range(4)
CHUNK = 30  # bits of a constant in one part


@dataclass(slots=True)
class Wiring:
    """code: calls, STOP, the row that the registers take, the row of the output ports. A row: see `_append`.

    nodes: the most that can come of it.  largest: of its largest program.
    """

    code: list[int] = field(default_factory=list)
    programs: list[Program] = field(default_factory=list)
    starts: dict[int, tuple[int, Program]] = field(default_factory=dict)  # by the leaf's id
    length: int = 0  # of all programs
    given: int = 0  # bits of the input ports
    signals: int = 0
    leaves: int = 0
    states: int = 0
    nodes: int = 1
    largest: int = 4
    outputs: int = 0  # bits of the output ports
    driven: list[list[int]] = field(default_factory=list)  # what each register takes, as parts of a row


def wired(module: Module) -> Wiring:
    """The module's wiring."""
    w, signals = Wiring(), dict[str, int]()
    for wire in module.inputs:
        signals[wire.name] = w.signals
        w.signals += wire.width
    w.given = w.signals
    w.nodes += w.signals
    _wire(w, module, signals)
    w.code.append(STOP)
    for parts in w.driven:
        w.code += parts
    w.code.append(0)
    for _, row in module.outputs:
        _append(w.code, row, signals)
        w.outputs += row.width
    w.code.append(0)
    return w


def _wire(w: Wiring, module: Module, signals: dict[str, int]) -> None:
    """The module's parts behind what there is; signals: where its input ports begin, and then all its wires."""
    code, owners, first = w.code, [], len(w.driven)
    for part in module.instances:
        if isinstance(part.of, Register):
            wire = part.outputs[0][1]
            signals[wire.name] = w.signals
            owners.append(len(code) + 2)
            code += (REGISTER, wire.width, 0)
            w.driven.append([])
            w.signals += wire.width
            w.states += wire.width
            w.nodes += wire.width
    registers = 0
    for part in module.instances:
        what = part.of
        if isinstance(what, Module):
            inside = {}
            for port, row in part.inputs:
                inside[port] = w.signals
                code.append(ALIAS)
                _append(code, row, signals)
                code.append(0)
                w.signals += row.width
            _wire(w, what, inside)
            for (_, row), (_, wire) in zip(what.outputs, part.outputs, strict=True):
                signals[wire.name] = w.signals
                code.append(ALIAS)
                _append(code, row, inside)
                code.append(0)
                w.signals += wire.width
            continue
        if isinstance(what, Register):
            code[owners[registers]] = w.leaves
            registers += 1
        else:
            held = w.starts.get(id(what)) or _start(w, what)
            code += (LEAF, held[0], w.leaves)
            for _, row in part.inputs:
                _append(code, row, signals)
            code.append(0)
            for _, wire in part.outputs:
                signals[wire.name] = w.signals
                w.signals += wire.width
            w.nodes += held[1].most
        w.leaves += 1
    registers = first
    for part in module.instances:
        if isinstance(part.of, Register):
            _append(w.driven[registers], part.inputs[0][1], signals)
            registers += 1


def _start(w: Wiring, leaf: Leaf) -> tuple[int, Program]:
    """Where the leaf's program begins among the programs, put behind them."""
    made = program(leaf)
    w.starts[id(leaf)] = w.length, made
    w.programs.append(made)
    w.length += len(made.code)
    w.largest = max(w.largest, made.most)
    return w.length - len(made.code), made


def _append(code: list[int], row: Bits, signals: dict[str, int]) -> None:
    """Parts of a row: of each its width, its first signal, how often it stands there; of constants -1 - value."""
    last = None
    for part in row.parts:
        if part is last:  # a bit repeated: most rows of many parts are such
            code[-1] += 1
        elif isinstance(part, Slice):
            code += (part.width, signals[part.wire.name] + part.low, 1)
            last = part
        else:
            value, width = part.value, part.width
            while width > CHUNK:
                code += (CHUNK, -1 - (value & ((1 << CHUNK) - 1)), 1)
                value, width = value >> CHUNK, width - CHUNK
            code += (width, -1 - value, 1)
            last = None
