"""A module's integer model, cycle by cycle, and its synthesised gates beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from hwsim.circuit import Module, reset, step
from hwsim.rtl.gates import GateSimulator
from hwsim.rtl.writer import verilog
from hwsim.rtl.yosys import CmosGates, synthesise

Columns = Mapping[str, Any]


def ran(module: Module, inputs: Columns, state: dict[str, Any] | None = None) -> dict[str, Any]:
    """Outputs [cycles, n] before each clock edge, by the integer model, from registers of 0. inputs: [cycles, n]."""
    state = reset(module) if state is None else state
    found: dict[str, list[Any]] = {name: [] for name, _ in module.outputs}
    for cycle in range(len(next(iter(inputs.values())))):
        outputs, state = step(module, {name: rows[cycle] for name, rows in inputs.items()}, state)
        for name, value in outputs.items():
            found[name].append(value)
    return {name: np.stack(values) for name, values in found.items()}


def computed(module: Module, inputs: Columns) -> dict[str, Any]:
    """Outputs [n] of a module without registers, by the integer model, and the same from its gates."""
    found = {name: rows[0] for name, rows in ran(module, {name: row[None] for name, row in inputs.items()}).items()}
    check_gates(module, {name: np.asarray(row)[None] for name, row in inputs.items()}, found)
    return found


def check_gates(module: Module, inputs: Columns, found: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The integer model's outputs; raises where the gates that yosys makes of its Verilog give others."""
    expected = ran(module, inputs)
    gates = GateSimulator(synthesise(verilog(module), module.name, CmosGates()).netlist)
    for name, values in gates.run({port: np.asarray(rows) for port, rows in inputs.items()}).items():
        different = np.argwhere(np.asarray(values).astype(object) != np.asarray(expected[name]).astype(object))
        assert not len(different), f"{module.name}: {name} differs first at {different[0]} of {len(different)}"
    assert found is None or all((np.asarray(found[name]) == expected[name][0]).all() for name in found)
    return expected
