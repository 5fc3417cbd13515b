"""What a module computes, on integers: its leaves' models in the order of its wires; registers keep their state.

evaluate(unit, {"a": 3, "b": 250})["total"]              # one clock cycle of a module without registers
outputs, state = step(pe, {"a": a, "b": b}, state)       # one of a module with registers
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from hwsim.circuit.bits import Bits, Slice, Wire, constant
from hwsim.circuit.module import Module, sources
from hwsim.primitives import Leaf
from hwsim.primitives.leaf import low

WIDEST_INT64 = 62
State = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Use:
    """A leaf of the flattened module: its path, its input rows and output wires by the flattened names."""

    path: str
    leaf: Leaf
    inputs: tuple[tuple[str, Bits], ...]
    outputs: tuple[tuple[str, Wire], ...]


@dataclass(frozen=True, slots=True)
class Flat:
    """A module without its tree: leaves in the order they can be computed in, registers apart."""

    uses: tuple[_Use, ...]
    registers: tuple[_Use, ...]
    outputs: tuple[tuple[str, Bits], ...]
    widest: int


@cache
def flat(module: Module) -> Flat:
    """All leaves of the tree. Raises ValueError for a loop without a register."""
    found: list[_Use] = []
    ports: dict[Wire, Bits] = {}
    outputs = _flatten(module, "", {wire: Bits((Slice(wire, 0, wire.width),)) for wire in module.inputs}, found, ports)
    outputs = {name: _through(row, ports) for name, row in outputs.items()}
    uses = [
        _Use(use.path, use.leaf, tuple((port, _through(row, ports)) for port, row in use.inputs), use.outputs)
        for use in found
    ]
    registers = tuple(use for use in uses if use.leaf.kind == "register")
    ready = {wire for wire in module.inputs} | {wire for use in registers for _, wire in use.outputs}
    waiting, ordered = [use for use in uses if use.leaf.kind != "register"], []
    while waiting:
        now = [use for use in waiting if all(wire in ready for _, row in use.inputs for wire in sources(row))]
        if not now:
            raise ValueError(f"{module.name}: a loop without a register through {', '.join(u.path for u in waiting)}")
        ordered += now
        ready |= {wire for use in now for _, wire in use.outputs}
        done = set(map(id, now))
        waiting = [use for use in waiting if id(use) not in done]
    widths = [wire.width for use in uses for _, wire in use.outputs]
    widths += [row.width for use in uses for _, row in use.inputs] + [wire.width for wire in module.inputs]
    widths += [row.width for row in outputs.values()]
    return Flat(tuple(ordered), registers, tuple(outputs.items()), max(widths, default=1))


def _flatten(
    module: Module, prefix: str, given: Mapping[Wire, Bits], uses: list[_Use], ports: dict[Wire, Bits]
) -> dict[str, Bits]:
    """Leaves below `module` appended to `uses`; returns what its output ports are.

    given: what its input wires are. ports: filled with what the wires at output ports of modules below are; a register
    may read one before it is met.
    """
    names: dict[Wire, Bits] = dict(given)
    for part in module.instances:
        for _, wire in part.outputs:
            names[wire] = Bits((Slice(Wire(prefix + wire.name, wire.width), 0, wire.width),))
    for part in module.instances:
        rows = tuple((port, _through(row, names)) for port, row in part.inputs)
        path = prefix + part.name
        own = tuple((port, Wire(prefix + wire.name, wire.width)) for port, wire in part.outputs)
        if isinstance(part.of, Module):
            inner = {wire: row for wire, (_, row) in zip(part.of.inputs, rows, strict=True)}
            made = _flatten(part.of, path + "/", inner, uses, ports)
            ports.update({wire: made[port] for port, wire in own})
        else:
            uses.append(_Use(path, part.of, rows, own))
    return {name: _through(row, names) for name, row in module.outputs}


def _through(row: Bits, names: Mapping[Wire, Bits]) -> Bits:
    """A row with every wire that has another name followed to where it is driven."""
    parts: list[Any] = []
    for part in row.parts:
        if (
            isinstance(part, Slice)
            and part.wire in names
            and names[part.wire].parts != (Slice(part.wire, 0, part.wire.width),)
        ):
            parts += _through(names[part.wire][part.low : part.low + part.width], names).parts
        else:
            parts.append(part)
    return Bits(tuple(parts))


def evaluate(module: Module, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Outputs of a module without registers. inputs: unsigned bit patterns, integers or arrays of one shape."""
    if module.clocked:
        raise ValueError(f"{module.name}: holds registers; use step")
    return step(module, inputs, {})[0]


def reset(module: Module, value: int = 0) -> State:
    """A state in which every register holds `value`."""
    return {use.path: value for use in flat(module).registers}


def step(module: Module, inputs: Mapping[str, Any], state: State) -> tuple[dict[str, Any], State]:
    """One clock cycle: outputs as they are before the edge, and the registers' contents after it.

    inputs: by port; state: by register path, as `reset` and `step` give it. Integers, or arrays of one shape, all
    unsigned patterns. Results are int64 arrays where every width is at most 62, else arrays of Python integers.
    Raises ValueError for a missing port and for patterns that do not fit one.
    """
    values, kind, shape, scalar = _settled(module, inputs, state)
    whole = flat(module)
    outputs = {name: _row(row, values, kind, shape) for name, row in whole.outputs}
    after = {use.path: _row(use.inputs[0][1], values, kind, shape) for use in whole.registers}
    return (_first(outputs), _first(after)) if scalar else (outputs, after)


def rows(module: Module, inputs: Mapping[str, Any], state: State, wanted: Mapping[str, Bits]) -> dict[str, Any]:
    """What lies on rows of the flattened module's wires (`flat`) in a clock cycle; otherwise as `step`."""
    values, kind, shape, scalar = _settled(module, inputs, state)
    found = {name: _row(row, values, kind, shape) for name, row in wanted.items()}
    return _first(found) if scalar else found


def _first(found: dict[str, Any]) -> dict[str, Any]:
    return {name: array[0] for name, array in found.items()}


def _settled(
    module: Module, inputs: Mapping[str, Any], state: State
) -> tuple[dict[Wire, Any], Any, tuple[int, ...], bool]:
    """The integer on every wire, the arrays' dtype, their shape, and whether single integers were given.

    Those are arrays of one here: numpy makes int64 of a single Python integer, which wide words leave.
    """
    whole = flat(module)
    kind: Any = np.int64 if whole.widest <= WIDEST_INT64 else object
    values: dict[Wire, Any] = {}
    if {wire.name for wire in module.inputs} != set(inputs):
        raise ValueError(
            f"{module.name}: takes {', '.join(wire.name for wire in module.inputs)}, got {', '.join(inputs)}"
        )
    shape = np.broadcast_shapes(*(np.shape(x) for x in (*inputs.values(), *state.values())))
    scalar = shape == ()
    shape = shape or (1,)
    for wire in module.inputs:
        values[wire] = _pattern(module, wire.name, inputs[wire.name], wire.width, kind, shape)
    for use in whole.registers:
        (_, wire), *_ = use.outputs
        values[wire] = _pattern(module, use.path, state[use.path], wire.width, kind, shape)
    for use in whole.uses:
        found = use.leaf.model(**{port: _row(row, values, kind, shape) for port, row in use.inputs})
        values.update({wire: found[port] for port, wire in use.outputs})
    return values, kind, shape, scalar


def _pattern(module: Module, name: str, given: Any, width: int, kind: Any, shape: tuple[int, ...]) -> Any:
    array = np.broadcast_to(np.asarray(given), shape)
    array = array.astype(kind) if array.dtype != kind else array
    if array.size and (min(array.reshape(-1).tolist()) < 0 or max(array.reshape(-1).tolist()) >> width):
        raise ValueError(f"{module.name}: {name} takes patterns of {width} bits, got {array.min()} .. {array.max()}")
    return array


def _row(row: Bits, values: Mapping[Wire, Any], kind: Any, shape: tuple[int, ...]) -> Any:
    """The integer on a row of wires."""
    if row == constant(0, row.width) or not row.parts:
        return np.zeros(shape, kind)
    total: Any = 0
    place = 0
    for part in row.parts:
        if isinstance(part, Slice):
            whole = values[part.wire]
            piece = whole if part.width == part.wire.width else low(whole >> part.low, part.width)
        else:
            piece = np.full(shape, part.value, kind)
        total = total + (piece << place) if place else piece
        place += part.width
    return total
