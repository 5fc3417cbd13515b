"""A module's wires written down once: its leaves, the modules below it, and rows of signals, for circuit/replay.py.

    wirings.of(pe.module())             # where it begins in wirings.code, and its sizes

Signals of a module are numbered from 0: bits of its input ports, then what each REGISTER, LEAF and CALL gives, in
order. Registers come before other parts: their outputs may be read before their place. A CALL's module has its signals
where the caller's stand that far, then come its outputs in the caller's own.
"""

from __future__ import annotations

from threading import RLock
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hwsim.circuit.bits import Bits, Slice
from hwsim.circuit.module import Module
from hwsim.circuit.program import program
from hwsim.primitives import Leaf
from hwsim.primitives.logic import Register

# REGISTER width owner; LEAF program owner row; CALL module owners row; STOP, the row that the module's registers take,
# the row of its output ports. Programs and modules by where they begin; leaves, owners, numbered within the module.
STOP, REGISTER, LEAF, CALL = range(4)
CHUNK = 30  # bits of a constant in one part
FIRST_CODE, MOST_CODE = 1 << 16, 1 << 25  # entries: room at first, and beyond what all is forgotten


class Wired(NamedTuple):
    """Where a module begins, bits of its input and output ports, and its sizes with all below it.

    nodes: the most that can come of it, beside its inputs.  largest: of its largest program.  depth: modules within
    modules.
    """

    start: int
    given: int
    outputs: int
    signals: int
    leaves: int
    states: int
    nodes: int
    largest: int
    depth: int


class Wirings:
    """Programs of leaves and wirings of modules behind one another in one array, `code`."""

    def __init__(self) -> None:
        self.lock = RLock()
        self._forget()

    def _forget(self) -> None:
        self.code: NDArray[np.int64] = np.empty(FIRST_CODE, np.int64)
        self._length = 0
        self._modules: dict[Module, Wired] = {}
        self._leaves: dict[int, tuple[int, int, Leaf]] = {}  # by id, which is the leaf's as long as it is held here

    def of(self, module: Module) -> tuple[Wired, NDArray[np.int64]]:
        """The module's wiring, and the code that it is in."""
        with self.lock:
            if self._length > MOST_CODE:
                self._forget()
            return self._of(module), self.code

    def _of(self, module: Module) -> Wired:
        found = self._modules.get(module)
        if found is None:
            found = self._modules[module] = self._wired(module)
        return found

    def _put(self, code: NDArray[np.int64]) -> int:
        """Where the code begins, put behind all other."""
        start, self._length = self._length, self._length + len(code)
        if self._length > len(self.code):
            wider = np.empty(2 * self._length, np.int64)
            wider[:start] = self.code[:start]
            self.code = wider
        self.code[start : self._length] = code
        return start

    def _leaf(self, leaf: Leaf) -> tuple[int, int, Leaf]:
        made = program(leaf)
        found = self._leaves[id(leaf)] = self._put(made.code), made.most, leaf
        return found

    def _wired(self, module: Module) -> Wired:
        code: list[int] = []
        signals: dict[str, int] = {}
        count = leaves = states = nodes = 0
        largest, depth = 4, 1
        for wire in module.inputs:
            signals[wire.name] = count
            count += wire.width
        given = count
        registers = []
        for part in module.instances:
            if isinstance(part.of, Register):
                wire = part.outputs[0][1]
                signals[wire.name] = count
                registers.append((part, len(code) + 2))
                code += (REGISTER, wire.width, 0)
                count += wire.width
        states = nodes = count - given
        register = 0
        for part in module.instances:
            what = part.of
            if isinstance(what, Module):
                below = self._of(what)
                code += (CALL, below.start, leaves)
                count += below.signals
                nodes += below.nodes
                leaves += below.leaves
                states += below.states
                largest, depth = max(largest, below.largest), max(depth, below.depth + 1)
            elif isinstance(what, Register):
                code[registers[register][1]] = leaves
                register, leaves = register + 1, leaves + 1
                continue
            else:
                held = self._leaves.get(id(what)) or self._leaf(what)
                code += (LEAF, held[0], leaves)
                nodes += held[1]
                if held[1] > largest:
                    largest = held[1]
                leaves += 1
            for _, row in part.inputs:
                _append(code, row, signals)
            code.append(0)
            for _, wire in part.outputs:
                signals[wire.name] = count
                count += wire.width
        code.append(STOP)
        for part, _ in registers:
            _append(code, part.inputs[0][1], signals)
        code.append(0)
        for _, row in module.outputs:
            _append(code, row, signals)
        code.append(0)
        outputs = sum(row.width for _, row in module.outputs)
        start = self._put(np.array(code, np.int64))
        return Wired(start, given, outputs, count, leaves, states, nodes, largest, depth)


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


wirings = Wirings()
