"""A netlist seen through a library: who drives a net, who loads it, in which order gates settle.

wire(netlist, library) -> Wiring. Everything a costing must refuse is refused here: cells the library lacks, nets with
two drivers or none, loops, gated clocks, registers with a live asynchronous pin.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from hwsim.liberty.cells import Library
from hwsim.liberty.model import Cell
from hwsim.liberty.parse import LibertyError
from hwsim.rtl.netlist import ONE, ZERO, Netlist


@dataclass(frozen=True, slots=True)
class Instance:
    """One cell of the netlist. nets: pin -> net, connected pins only."""

    name: str
    cell: Cell
    nets: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Wiring:
    """gates: combinational instances, drivers before loads.  registers: flip-flops.

    clock: the registers' clock net, None without registers.  loads: net -> [(instance, pin)], clock pins included.
    outputs: net -> how many output bits it is.
    """

    netlist: Netlist
    library: Library
    gates: tuple[Instance, ...]
    registers: tuple[Instance, ...]
    clock: int | None
    loads: Mapping[int, tuple[tuple[Instance, str], ...]]
    outputs: Mapping[int, int]

    @property
    def inputs(self) -> tuple[int, ...]:
        """Nets of the input ports without the clock."""
        return tuple(net for nets in self.netlist.inputs.values() for net in nets if net != self.clock)

    @property
    def area_um2(self) -> float:
        """Sum of the cells' areas, in um2."""
        return sum(instance.cell.area_um2 for instance in (*self.gates, *self.registers))

    def capacitance_ff(self, net: int, output_load_ff: float, wire_ff_per_fanout: float) -> tuple[float, float]:
        """What the net's driver sees when it falls and when it rises: pins, output loads, a constant a fanout."""
        pins = self.loads.get(net, ())
        bits = self.outputs.get(net, 0)
        rest = bits * output_load_ff + (len(pins) + bits) * wire_ff_per_fanout
        fall = sum(instance.cell.pins[pin].edge_capacitance_ff[0] for instance, pin in pins)
        rise = sum(instance.cell.pins[pin].edge_capacitance_ff[1] for instance, pin in pins)
        return fall + rest, rise + rest


def wire(netlist: Netlist, library: Library) -> Wiring:
    """Look the netlist's cells up and order them. Raises LibertyError that names the cell or net at fault."""
    gates: list[Instance] = []
    registers: list[Instance] = []
    driver: dict[int, str] = {ZERO: "constant 0", ONE: "constant 1"}
    loads: dict[int, list[tuple[Instance, str]]] = {}
    for port, nets in netlist.inputs.items():
        for net in nets:
            _drive(driver, net, f"input {port}")
    for item in netlist.cells:
        cell = library.usable(item.kind)
        nets_of: dict[str, int] = {}
        for pin, bits in item.pins.items():
            if pin not in cell.pins or len(bits) != 1:
                raise LibertyError(
                    f"instance {item.name} connects pin {pin} with {len(bits)} nets, which {item.kind} lacks"
                )
            nets_of[pin] = bits[0]
        instance = Instance(item.name, cell, nets_of)
        for pin in cell.inputs:
            if pin not in nets_of:
                raise LibertyError(f"instance {item.name} ({item.kind}) leaves input {pin} open")
            loads.setdefault(nets_of[pin], []).append((instance, pin))
        for pin in cell.outputs:
            if pin in nets_of:
                _drive(driver, nets_of[pin], f"{item.name} pin {pin}")
        (gates if cell.flip_flop is None else registers).append(instance)
    for net, places in loads.items():
        if net not in driver:
            raise LibertyError(f"net {net} at {places[0][0].name} pin {places[0][1]} has no driver")
    outputs: dict[int, int] = {}
    for port, nets in netlist.outputs.items():
        for net in nets:
            if net not in driver:
                raise LibertyError(f"output {port} has net {net}, which has no driver")
            outputs[net] = outputs.get(net, 0) + 1
    return Wiring(
        netlist,
        library,
        _ordered(gates),
        tuple(registers),
        _clock(netlist, registers, gates),
        {net: tuple(places) for net, places in loads.items()},
        outputs,
    )


def _drive(driver: dict[int, str], net: int, by: str) -> None:
    if net in driver:
        raise LibertyError(f"net {net} has two drivers: {driver[net]} and {by}")
    driver[net] = by


def _ordered(gates: list[Instance]) -> tuple[Instance, ...]:
    source = {gate.nets[pin]: i for i, gate in enumerate(gates) for pin in gate.cell.outputs if pin in gate.nets}
    graph = {
        i: {source[gate.nets[p]] for p in gate.cell.inputs if gate.nets[p] in source} for i, gate in enumerate(gates)
    }
    try:
        return tuple(gates[i] for i in TopologicalSorter(graph).static_order())
    except CycleError as error:
        names = " -> ".join(gates[i].name for i in error.args[1])
        raise LibertyError(f"combinational loop: {names}; a costed netlist needs a register in every loop") from None


def _clock(netlist: Netlist, registers: list[Instance], gates: list[Instance]) -> int | None:
    """The one clock net. Asynchronous pins must be tied to their idle value."""
    clocks = set()
    for register in registers:
        flip_flop = register.cell.flip_flop
        assert flip_flop is not None
        clocks.add(register.nets[flip_flop.clock])
        for name, function in (("clear", flip_flop.clear), ("preset", flip_flop.preset)):
            if function is None:
                continue
            state = {pin: register.nets[pin] for pin in function.pins}
            if any(net not in (ZERO, ONE) for net in state.values()) or function.value(state):
                raise LibertyError(
                    f"register {register.name} ({register.cell.name}) has its asynchronous {name} in use; "
                    "give the registers a synchronous reset"
                )
    if not clocks:
        return None
    ports = {net for nets in netlist.inputs.values() for net in nets}
    if len(clocks) > 1 or not clocks <= ports:
        raise LibertyError(
            f"the registers are clocked by nets {sorted(clocks)}; "
            "a costed netlist has one clock, straight from an input"
        )
    (clock,) = clocks
    data = [
        gate.name
        for gate in (*gates, *registers)
        for pin, net in gate.nets.items()
        if net == clock and pin != _clock_pin(gate)
    ]
    if data:
        raise LibertyError(f"the clock is data at {data[0]}; a costed netlist uses it at clock pins only")
    return clock


def _clock_pin(instance: Instance) -> str:
    return instance.cell.flip_flop.clock if instance.cell.flip_flop else ""
