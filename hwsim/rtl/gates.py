"""Bit-parallel simulation of a netlist: 64 vectors a word, one pass over the gates for any number of vectors.

gates = GateSimulator(netlist)
gates.evaluate({"a": a, "b": b})["p"]                       combinational: integers [n] in, integers [n] out
gates.step({"a": a, "b": b}, {"acc[0]": ...})               one clock edge from any state: outputs and next state
gates.run({"a": a, "b": b})["acc"]                          cycles: integers [cycles, n] in and out
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from formats.kernels.jit import kernel
from hwsim.rtl.bits import Planes, pack, unpack
from hwsim.rtl.boolean import Tree
from hwsim.rtl.levelise import levelise
from hwsim.rtl.models import YOSYS_CELLS, CellModel
from hwsim.rtl.netlist import ONE, ZERO, Netlist

_COPY, _NOT, _AND, _OR, _XOR, _NAND, _NOR, _XNOR, _ANDNOT = range(9)
_BLOCK_WORDS = 128  # 1 KiB a net: a thousand nets stay in the second-level cache


@kernel
def _run_operations(operations: Any, values: Any) -> None:
    """operations int32 [n, 4]: code, first, second, result; values uint64 [nets, words], changed in place."""
    words = values.shape[1]
    for at in range(operations.shape[0]):
        code = operations[at, 0]
        a = values[operations[at, 1]]
        b = values[operations[at, 2]]
        y = values[operations[at, 3]]
        if code == 0:
            for w in range(words):
                y[w] = a[w]
        elif code == 1:
            for w in range(words):
                y[w] = ~a[w]
        elif code == 2:
            for w in range(words):
                y[w] = a[w] & b[w]
        elif code == 3:
            for w in range(words):
                y[w] = a[w] | b[w]
        elif code == 4:
            for w in range(words):
                y[w] = a[w] ^ b[w]
        elif code == 5:
            for w in range(words):
                y[w] = ~(a[w] & b[w])
        elif code == 6:
            for w in range(words):
                y[w] = ~(a[w] | b[w])
        elif code == 7:
            for w in range(words):
                y[w] = ~(a[w] ^ b[w])
        else:
            for w in range(words):
                y[w] = a[w] & ~b[w]


class GateSimulator:
    """A netlist ready to be evaluated. registers: names of its flip-flops, the order of state planes."""

    def __init__(self, netlist: Netlist, models: Mapping[str, CellModel] = YOSYS_CELLS) -> None:
        self.netlist = netlist
        self.levelised = levelise(netlist, models)
        self.inputs = self.levelised.data_inputs()
        self.registers: tuple[str, ...] = tuple(register.name for register in self.levelised.registers)
        self._states = np.array([register.state for register in self.levelised.registers], np.int64)
        self.nets = self.levelised.nets
        self._slots = self.nets
        operations: list[tuple[int, int, int, int]] = []
        for one in self.levelised.assignments:
            self._emit(operations, one.tree, one.pins, one.net)
        next_states = []
        for register in self.levelised.registers:
            next_states.append(self._slots)
            self._slots += 1
            self._emit(operations, register.next_state, register.pins, next_states[-1])
        self._next_states = np.array(next_states, np.int64)
        self._operations = np.array(operations, np.int32).reshape(-1, 4)

    def _emit(self, operations: list[tuple[int, int, int, int]], tree: Tree, pins: Mapping[str, int], to: int) -> None:
        """Operations that leave the tree's value in slot `to`; complements join the gate below or above them."""
        kind, *parts = tree
        first, second = (*parts, None, None)[:2]
        if isinstance(first, tuple) and kind == "not":
            inner = {"and": _NAND, "or": _NOR, "xor": _XNOR}.get(first[0])
            if inner is None:
                slot = self._slot(operations, first, pins)
                operations.append((_NOT, slot, slot, to))
            else:
                a, b = (self._slot(operations, part, pins) for part in first[1:] if isinstance(part, tuple))
                operations.append((inner, a, b, to))
        elif isinstance(first, tuple) and isinstance(second, tuple):
            code = {"and": _AND, "or": _OR, "xor": _XOR}[kind]
            if kind == "and" and first[0] == "not":
                first, second = second, first
            if kind == "and" and second[0] == "not" and isinstance(second[1], tuple):
                code, second = _ANDNOT, second[1]
            operations.append((code, self._slot(operations, first, pins), self._slot(operations, second, pins), to))
        else:
            slot = self._slot(operations, tree, pins)
            operations.append((_COPY, slot, slot, to))

    def _slot(self, operations: list[tuple[int, int, int, int]], tree: Tree, pins: Mapping[str, int]) -> int:
        if tree[0] == "pin":
            return pins[str(tree[1])]
        if tree[0] in "01":
            return ONE if tree[0] == "1" else ZERO
        slot = self._slots
        self._slots += 1
        self._emit(operations, tree, pins, slot)
        return slot

    def transition(
        self, inputs: Mapping[str, Planes], state: Planes | None = None, *, keep_nets: bool = False
    ) -> tuple[dict[str, Planes], Planes, Planes | None]:
        """One pass on planes: outputs, the registers' next state and, if kept, the value of every net [nets, words].

        inputs: every input port but the clock, planes [width, words]; state: [registers, words], zeros where left out.
        """
        words = self._check_inputs(inputs)
        if state is None:
            state = np.zeros((len(self.registers), words), np.uint64)
        if state.shape != (len(self.registers), words):
            raise ValueError(f"state of shape {state.shape} arrived; {(len(self.registers), words)} is needed")
        outputs = {name: np.empty((len(nets), words), np.uint64) for name, nets in self.netlist.outputs.items()}
        rows = {name: np.array(nets, np.int64) for name, nets in self.netlist.outputs.items()}
        after = np.empty((len(self.registers), words), np.uint64)
        kept = np.empty((self.nets, words), np.uint64) if keep_nets else None
        for begin in range(0, words, _BLOCK_WORDS):
            part = slice(begin, min(begin + _BLOCK_WORDS, words))
            values = np.zeros((self._slots, part.stop - part.start), np.uint64)
            values[ONE] = ~np.uint64(0)
            for name, nets in self.inputs.items():
                values[list(nets)] = inputs[name][:, part]
            values[self._states] = state[:, part]
            _run_operations(self._operations, values)
            for name, planes in outputs.items():
                planes[:, part] = values[rows[name]]
            after[:, part] = values[self._next_states]
            if kept is not None:
                kept[:, part] = values[: self.nets]
        return outputs, after, kept

    def _check_inputs(self, inputs: Mapping[str, Planes]) -> int:
        if set(inputs) != set(self.inputs):
            raise ValueError(f"inputs {sorted(inputs)} arrived; {self.netlist.name!r} has {sorted(self.inputs)}")
        counts = {planes.shape[1] for planes in inputs.values()}
        if len(counts) > 1:
            raise ValueError(f"inputs of {sorted(counts)} words arrived; all ports need the same number of vectors")
        for name, planes in inputs.items():
            if len(planes) != len(self.inputs[name]):
                raise ValueError(f"input {name!r} has {len(planes)} planes; the port is {len(self.inputs[name])} wide")
        return counts.pop() if counts else 1

    def evaluate(
        self, inputs: Mapping[str, ArrayLike], *, signed: Sequence[str] = ()
    ) -> dict[str, NDArray[np.int64] | NDArray[np.object_]]:
        """Outputs [n] of a combinational netlist, or of a sequential one with every register 0.

        inputs: integers [n] a port, modulo 2**width. signed: the outputs to be read as two's complement.
        """
        planes, vectors = self._pack(inputs)
        outputs, _, _ = self.transition(planes)
        return {name: unpack(value, vectors, signed=name in signed) for name, value in outputs.items()}

    def run(
        self, inputs: Mapping[str, ArrayLike], state: Planes | None = None, *, signed: Sequence[str] = ()
    ) -> dict[str, NDArray[Any]]:
        """Outputs [cycles, n] before each clock edge, from integers [cycles, n] a port.

        state: planes [registers, words] before the first cycle, zeros where left out.
        """
        arrays = {name: np.asarray(values) for name, values in inputs.items()}
        shapes = {array.shape for array in arrays.values()}
        if len(shapes) != 1 or len(next(iter(shapes))) != 2:
            raise ValueError(f"inputs of shapes {sorted(shapes)} arrived; all ports need one shape [cycles, n]")
        cycles, vectors = shapes.pop()
        results: dict[str, list[Any]] = {name: [] for name in self.netlist.outputs}
        for cycle in range(cycles):
            planes = {name: pack(array[cycle], len(self.inputs.get(name, ()))) for name, array in arrays.items()}
            outputs, state, _ = self.transition(planes, state)
            for name, value in outputs.items():
                results[name].append(unpack(value, vectors, signed=name in signed))
        return {name: np.stack(values) for name, values in results.items()}

    def _pack(self, inputs: Mapping[str, ArrayLike]) -> tuple[dict[str, Planes], int]:
        arrays = {name: np.asarray(values) for name, values in inputs.items()}
        lengths = {len(array) for array in arrays.values()}
        if len(lengths) > 1:
            raise ValueError(f"inputs of {sorted(lengths)} vectors arrived; all ports need the same number")
        vectors = lengths.pop() if lengths else 1
        return {name: pack(array, len(self.inputs.get(name, ()))) for name, array in arrays.items()}, vectors
