"""A netlist and the models of its cells as one list of assignments, each after the nets it reads, and its registers.

Every way of evaluating a netlist (simulation, SAT, Verilog) starts from here, so what a cell means is said once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hwsim.rtl.boolean import Tree, names, parse
from hwsim.rtl.models import CellModel, FlipFlop
from hwsim.rtl.netlist import ONE, ZERO, Cell, Netlist


@dataclass(frozen=True, slots=True)
class Assignment:
    """net = tree, the names of the tree being keys of pins."""

    net: int
    tree: Tree
    pins: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Register:
    """One flip-flop: at the clock's edge its state becomes next_state. state: a net above the netlist's own nets."""

    name: str
    state: int
    next_state: Tree
    pins: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Levelised:
    """assignments: in an order in which each may be computed. clock: its net, None where nothing is clocked.

    rising: whether its rising edge counts.
    """

    netlist: Netlist
    assignments: tuple[Assignment, ...]
    registers: tuple[Register, ...]
    clock: int | None
    rising: bool = True

    @property
    def nets(self) -> int:
        """One more than the highest net."""
        tops = [ONE] + [net for nets in (*self.netlist.inputs.values(), *self.netlist.outputs.values()) for net in nets]
        tops += [one.net for one in self.assignments] + [register.state for register in self.registers]
        return max(tops) + 1

    def data_inputs(self) -> dict[str, tuple[int, ...]]:
        """The input ports, without the clock."""
        return {name: nets for name, nets in self.netlist.inputs.items() if nets != (self.clock,)}


def levelise(netlist: Netlist, models: Mapping[str, CellModel]) -> Levelised:
    """Raises ValueError, naming the cells or nets, for a kind without a model, an undriven or doubly driven net, a loop
    without a register, two clocks, a gated clock, and an asynchronous set or reset that constants do not switch off.
    """
    unknown = sorted({cell.kind for cell in netlist.cells} - set(models))
    if unknown:
        raise ValueError(f"no model for the cells {', '.join(unknown)} of {netlist.name!r}; pass models that hold them")
    top = max([ONE, *(net for cell in netlist.cells for nets in cell.pins.values() for net in nets)], default=ONE)
    top = max([top, *(net for nets in (*netlist.inputs.values(), *netlist.outputs.values()) for net in nets)])
    registers: list[Register] = []
    waiting: list[tuple[Assignment, str]] = []
    clocks: dict[tuple[int, bool], str] = {}
    for cell in netlist.cells:
        model = models[cell.kind]
        pins = {pin: nets[0] for pin, nets in cell.pins.items() if len(nets) == 1}
        inverse: str | None = None
        if model.flip_flop is not None:
            flip_flop, top = model.flip_flop, top + 1
            _check_asynchronous(cell, flip_flop, pins)
            clocks.setdefault(_clock(cell, flip_flop, pins), cell.name)
            pins[flip_flop.state], inverse = top, flip_flop.inverse
            next_state = _without_inverse(parse(flip_flop.next_state), inverse, flip_flop.state)
            registers.append(Register(cell.name, top, next_state, _read(cell, next_state, pins)))
        for pin, function in model.outputs.items():
            if pin in pins:
                tree = parse(function)
                if model.flip_flop is not None:
                    tree = _without_inverse(tree, inverse, model.flip_flop.state)
                waiting.append((Assignment(pins[pin], tree, _read(cell, tree, pins)), cell.name))
    if len(clocks) > 1:
        shown = ", ".join(f"{'the rising' if rising else 'the falling'} edge of net {net} at {name}"
                          for (net, rising), name in clocks.items())  # fmt: skip
        raise ValueError(f"{netlist.name!r} has more than one clock: {shown}; one clock and one edge are simulated")
    clock, rising = next(iter(clocks)) if clocks else (None, True)
    ordered = _order(netlist, waiting, registers, clock)
    return Levelised(netlist, ordered, tuple(registers), clock, rising)


def _order(
    netlist: Netlist, waiting: list[tuple[Assignment, str]], registers: list[Register], clock: int | None
) -> tuple[Assignment, ...]:
    """Kahn's order, in which cells keep the netlist's order where they may."""
    known = {ZERO, ONE, *(net for nets in netlist.inputs.values() for net in nets)}
    known |= {register.state for register in registers}
    driver: dict[int, int] = {}
    for index, (one, name) in enumerate(waiting):
        if one.net in driver or one.net in known:
            raise ValueError(f"net {one.net} of {netlist.name!r} has a second driver, {name!r}")
        driver[one.net] = index
    readers: dict[int, list[int]] = {}
    missing: list[int] = []
    for index, (one, name) in enumerate(waiting):
        sources = set(one.pins.values())
        missing.append(0)
        for net in sources:
            if net == clock:
                raise ValueError(
                    f"cell {name!r} of {netlist.name!r} reads the clock as data; a gated clock is not simulated"
                )
            if net in driver:
                readers.setdefault(net, []).append(index)
                missing[index] += 1
            elif net not in known:
                raise ValueError(f"net {net} of {netlist.name!r} is read by {name!r} but nothing drives it")
    for where, nets in (
        *((f"output {name!r}", nets) for name, nets in netlist.outputs.items()),
        *((f"register {one.name!r}", tuple(one.pins.values())) for one in registers),
    ):
        for net in nets:
            if net not in driver and net not in known:
                raise ValueError(f"net {net} of {netlist.name!r} is read by {where} but nothing drives it")
    ready = [index for index, count in enumerate(missing) if count == 0][::-1]
    order: list[Assignment] = []
    while ready:
        index = ready.pop()
        order.append(waiting[index][0])
        for reader in readers.get(waiting[index][0].net, ()):
            missing[reader] -= 1
            if missing[reader] == 0:
                ready.append(reader)
    if len(order) < len(waiting):
        stuck = [name for index, (_, name) in enumerate(waiting) if missing[index] > 0][:5]
        raise ValueError(f"{netlist.name!r} has a loop without a register through {', '.join(map(repr, stuck))}")
    return tuple(order)


def _read(cell: Cell, tree: Tree, pins: Mapping[str, int]) -> dict[str, int]:
    """The pins the tree reads."""
    read = names(tree)
    absent = sorted(read - set(pins))
    if absent:
        raise ValueError(
            f"cell {cell.name!r} ({cell.kind}) does not connect {', '.join(absent)}, which its model reads"
        )
    return {name: pins[name] for name in sorted(read)}


def _without_inverse(tree: Tree, inverse: str | None, state: str) -> Tree:
    """The tree with the inverted state written as the state's complement."""
    if tree[0] == "pin":
        return ("not", ("pin", state)) if tree[1] == inverse else tree
    parts = [_without_inverse(part, inverse, state) for part in tree[1:] if isinstance(part, tuple)]
    if len(parts) == 2:
        return (tree[0], parts[0], parts[1])
    return (tree[0], parts[0]) if parts else tree


def _clock(cell: Cell, flip_flop: FlipFlop, pins: Mapping[str, int]) -> tuple[int, bool]:
    """Net of the clock and whether its rising edge counts."""
    tree, rising = parse(flip_flop.clocked_on), True
    while tree[0] == "not" and isinstance(tree[1], tuple):
        tree, rising = tree[1], not rising
    if tree[0] != "pin":
        raise ValueError(
            f"cell {cell.name!r} ({cell.kind}) is clocked on {flip_flop.clocked_on!r}; one pin is simulated"
        )
    return pins[str(tree[1])], rising


def _check_asynchronous(cell: Cell, flip_flop: FlipFlop, pins: Mapping[str, int]) -> None:
    for function, action in ((flip_flop.clear, "clear"), (flip_flop.preset, "preset")):
        if _constant(parse(function), pins) is not False:
            raise ValueError(
                f"cell {cell.name!r} ({cell.kind}) has an asynchronous {action} ({function}) that constants do not "
                "switch off; one clock step is simulated: use a synchronous reset"
            )


def _constant(tree: Tree, pins: Mapping[str, int]) -> bool | None:
    """The tree's value as far as constant pins decide it."""
    if tree[0] in "01":
        return tree[0] == "1"
    if tree[0] == "pin":
        return {ZERO: False, ONE: True}.get(pins.get(str(tree[1]), -1))
    values = [_constant(part, pins) for part in tree[1:] if isinstance(part, tuple)]
    if tree[0] == "not":
        return None if values[0] is None else not values[0]
    if tree[0] == "xor":
        return None if None in values else values[0] != values[1]
    strong = tree[0] == "or"  # one true input decides an or, one false input an and
    if strong in values:
        return strong
    return None if None in values else not strong
