"""A netlist's one clock step as a function of integers: ports and registers in, ports and next registers out."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hwsim.rtl.bits import pack, unpack, words_of
from hwsim.rtl.gates import GateSimulator
from hwsim.rtl.models import YOSYS_CELLS, CellModel
from hwsim.rtl.netlist import Netlist

Integers = NDArray[np.int64] | NDArray[np.object_]
_BIT = re.compile(r"(.*)\[(\d+)\]$")


class StepFunction:
    """inputs: data port or register word -> width; outputs: port, or `next WORD` -> width.

    A register word `acc` is made of the flip-flops `acc[0]`, `acc[1]`, ...; present[word] are the bits that have one.
    Synthesis may drop a flip-flop (a constant, a copy of another): its bit is neither set nor compared.
    """

    def __init__(self, netlist: Netlist, models: Mapping[str, CellModel] = YOSYS_CELLS) -> None:
        self.gates = GateSimulator(netlist, models)
        self.registers: dict[str, dict[int, int]] = {}
        for index, name in enumerate(self.gates.registers):
            match = _BIT.match(name)
            word, bit = (match.group(1), int(match.group(2))) if match else (name, 0)
            self.registers.setdefault(word, {})[bit] = index
        ports = {name: len(nets) for name, nets in self.gates.inputs.items()}
        twice = sorted(set(ports) & set(self.registers))
        if twice:
            raise ValueError(f"{', '.join(twice)} of {netlist.name!r} are both input and register; name them apart")
        words = {word: max(bits) + 1 for word, bits in self.registers.items()}
        self.inputs = ports | words
        self.outputs = {name: len(nets) for name, nets in netlist.outputs.items()}
        self.outputs |= {f"next {word}": width for word, width in words.items()}

    def masks(self) -> dict[str, int]:
        """Output -> the bits that are compared."""
        masks = {name: (1 << width) - 1 for name, width in self.outputs.items()}
        return masks | {f"next {word}": sum(1 << bit for bit in bits) for word, bits in self.registers.items()}

    def __call__(self, values: Mapping[str, ArrayLike]) -> dict[str, Integers]:
        """Outputs [n], unsigned, for integers [n] (modulo 2**width) of every input."""
        if set(values) != set(self.inputs):
            raise ValueError(f"values for {sorted(values)} arrived; the step reads {sorted(self.inputs)}")
        arrays = {name: np.asarray(array) for name, array in values.items()}
        lengths = {len(array) for array in arrays.values()}
        if len(lengths) > 1:
            raise ValueError(f"{sorted(lengths)} vectors arrived; all inputs need the same number")
        vectors = lengths.pop() if lengths else 1
        planes = {name: pack(arrays[name], self.inputs[name]) for name in self.inputs}
        state = np.zeros((len(self.gates.registers), words_of(vectors)), np.uint64)
        for word, bits in self.registers.items():
            for bit, index in bits.items():
                state[index] = planes[word][bit]
        outputs, after, _ = self.gates.transition({name: planes[name] for name in self.gates.inputs}, state)
        results = {name: unpack(value, vectors) for name, value in outputs.items()}
        for word, bits in self.registers.items():
            following = np.zeros((self.inputs[word], state.shape[1]), np.uint64)
            for bit, index in bits.items():
                following[bit] = after[index]
            results[f"next {word}"] = unpack(following, vectors)
        return results
