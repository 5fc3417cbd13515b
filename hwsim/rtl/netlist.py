"""A flat netlist as data: ports, cells and the nets between them, as yosys' write_json leaves them.

Nets are integers. ZERO and ONE are the constants; every other net is >= 2 and driven by one input bit or one cell pin.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

ZERO = 0
ONE = 1
_CONSTANTS = {"0": ZERO, "1": ONE}


@dataclass(frozen=True, slots=True)
class Cell:
    """One instance. pins: pin name -> its nets, least significant bit first (gates have one net a pin)."""

    name: str
    kind: str
    pins: Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Netlist:
    """One flat module. inputs, outputs: port name -> its nets, least significant bit first. An output may repeat a net,
    be a constant, or be an input's net."""

    name: str
    inputs: Mapping[str, tuple[int, ...]]
    outputs: Mapping[str, tuple[int, ...]]
    cells: tuple[Cell, ...]

    @classmethod
    def from_yosys_json(cls, data: Mapping[str, Any], top: str) -> Netlist:
        """The netlist of one module of the object that yosys' write_json wrote.

        Raises ValueError for a module that is not there, for bits that are x or z (run `setundef -zero` first) and for
        inout ports.
        """
        modules = data.get("modules", {})
        if top not in modules:
            raise ValueError(f"no module {top!r} in the netlist; it has {', '.join(sorted(modules)) or 'none'}")
        module = modules[top]
        inputs: dict[str, tuple[int, ...]] = {}
        outputs: dict[str, tuple[int, ...]] = {}
        for name, port in module["ports"].items():
            direction = port["direction"]
            if direction not in ("input", "output"):
                raise ValueError(f"port {name!r} of {top!r} is {direction}; a netlist has input and output ports only")
            (inputs if direction == "input" else outputs)[name] = _nets(port["bits"], f"port {name!r} of {top!r}")
        cells = tuple(
            Cell(
                name,
                cell["type"],
                {pin: _nets(bits, f"pin {pin} of {name!r}") for pin, bits in cell["connections"].items()},
            )
            for name, cell in module["cells"].items()
            if cell["type"] != "$scopeinfo"  # where a flattened module was: no logic
        )
        return cls(top, inputs, outputs, cells)

    def histogram(self) -> dict[str, int]:
        """How many cells of each kind, most frequent first (ties by name)."""
        counts = Counter(cell.kind for cell in self.cells)
        return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))

    def lines(self) -> Iterator[str]:
        """The netlist as text, one port or cell a line: everything that decides its function, no instance names."""
        for direction, ports in (("input", self.inputs), ("output", self.outputs)):
            for name, nets in ports.items():
                yield f"{direction} {name} {' '.join(map(str, nets))}"
        for cell in self.cells:
            pins = " ".join(f"{pin}={','.join(map(str, nets))}" for pin, nets in sorted(cell.pins.items()))
            yield f"{cell.kind} {pins}"

    def digest(self) -> str:
        """sha256 of `lines()` in hexadecimal."""
        return hashlib.sha256("\n".join(self.lines()).encode()).hexdigest()


def _nets(bits: list[int | str], place: str) -> tuple[int, ...]:
    """Nets of yosys' bits: integers stay, "0" and "1" become constants."""
    nets = []
    for bit in bits:
        if isinstance(bit, str):
            if bit not in _CONSTANTS:
                raise ValueError(f"{place} has a bit that is {bit}; a netlist needs 0 or 1: run setundef -zero first")
            nets.append(_CONSTANTS[bit])
        else:
            nets.append(bit)
    return tuple(nets)
