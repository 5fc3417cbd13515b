"""Static timing of a gate netlist from a library's NLDM tables: the worst delay and the path that has it.

static_timing(netlist, library) -> Timing. Before layout: a net is a capacitance and has no delay of its own.

Rise and fall apart, by each arc's unateness; arrival and slew are maxima over arcs separately (graph-based, as abc and
OpenSTA do); arcs under a `when` all count. The clock is ideal: it arrives everywhere at 0 with `clock_slew_ps`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf

from hwsim.liberty.cells import Library
from hwsim.liberty.model import Arc, Cell, Table
from hwsim.liberty.parse import LibertyError
from hwsim.liberty.wiring import Instance, Wiring, wire
from hwsim.rtl.netlist import ONE, ZERO, Netlist

FALL, RISE = 0, 1
Pair = tuple[float, float]
GROUPS = ("register_to_register", "input_to_register", "input_to_output", "register_to_output")


@dataclass(frozen=True, kw_only=True, slots=True)
class Conditions:
    """What surrounds the netlist.

    driving_cell: kind that drives every input bit, None for an ideal step. Its delay without load is not counted.
    input_slew_ps: slew at the driving cell's input, or at the inputs themselves without one.
    clock_slew_ps: at every register.  output_load_ff: on every output bit.  wire_ff_per_fanout: a constant each pin or
    output bit adds to its net.
    """

    driving_cell: str | None = None
    input_slew_ps: float = 0.0
    clock_slew_ps: float = 0.0
    output_load_ff: float = 0.0
    wire_ff_per_fanout: float = 0.0

    def __post_init__(self) -> None:
        for name in ("input_slew_ps", "clock_slew_ps", "output_load_ff", "wire_ff_per_fanout"):
            value = getattr(self, name)
            if not 0.0 <= value < inf:
                raise ValueError(f"Conditions: {name} must be zero or more and finite, got {value!r}")


@dataclass(frozen=True, slots=True)
class Step:
    """One stage of a path: instance (or port), its kind, the pins passed, the output's edge, and times in ps."""

    instance: str
    kind: str
    pins: tuple[str, str]
    edge: str
    arrival_ps: float
    delay_ps: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Timing:
    """delay_ps: the shortest clock period (setup included), or the longest input-to-output delay if that is longer; 0.0
    for a netlist without paths.  path: the steps that make it, `setup` as the last where it ends at a register.
    groups: worst delay by kind of path, only those that exist.  slew_ps, load_ff: net -> (fall, rise)."""

    delay_ps: float
    path: tuple[Step, ...]
    groups: Mapping[str, float]
    slew_ps: Mapping[int, Pair]
    load_ff: Mapping[int, Pair]


def static_timing(netlist: Netlist, library: Library, conditions: Conditions | None = None) -> Timing:
    """Worst delay of a mapped netlist. Raises LibertyError where netlist and library do not fit (see wiring.wire)."""
    return timing_of(wire(netlist, library), conditions or Conditions())


def timing_of(wiring: Wiring, conditions: Conditions) -> Timing:
    """The same for a netlist already wired."""
    return _Analysis(wiring, conditions).run()


def edges(arc: Arc) -> tuple[tuple[int, int], ...]:
    """The (input edge, output edge) pairs of a combinational arc."""
    if not arc.kind.startswith("combinational"):
        return ()
    outs = {"combinational_rise": (RISE,), "combinational_fall": (FALL,)}.get(arc.kind, (FALL, RISE))
    ins = {"positive_unate": (0,), "negative_unate": (1,)}.get(arc.sense, (0, 1))
    return tuple((out ^ flip, out) for out in outs for flip in ins if arc.delay[out] is not None)


def look_up(table: Table | None, slew: float, load: float) -> float:
    """A table's value; 0 where the library has no table."""
    return 0.0 if table is None else table.at(slew, load)


def driven(cell: Cell, slew_ps: float, load_ff: Pair) -> tuple[Pair, Pair]:
    """What a driving cell adds to an input: (arrival, slew), each (fall, rise). Arrival is delay(load) - delay(0)."""
    outputs = cell.outputs
    if not outputs or cell.flip_flop is not None:
        raise LibertyError(f"{cell.name} cannot drive inputs; name a buffer or an inverter")
    arrival, slew = [-inf, -inf], [0.0, 0.0]
    for arc in cell.pins[outputs[0]].arcs:
        for _, out in edges(arc):
            loaded = look_up(arc.delay[out], slew_ps, load_ff[out])
            arrival[out] = max(arrival[out], loaded - look_up(arc.delay[out], slew_ps, 0.0))
            slew[out] = max(slew[out], look_up(arc.slew[out], slew_ps, load_ff[out]))
    if -inf in arrival:
        raise LibertyError(f"{cell.name} has no rise and fall delay; name a buffer or an inverter to drive inputs")
    return (arrival[0], arrival[1]), (slew[0], slew[1])


class _Analysis:
    """Arrivals from inputs (source 0) and from registers (source 1), so that the kinds of paths come apart."""

    def __init__(self, wiring: Wiring, conditions: Conditions) -> None:
        self.wiring, self.conditions = wiring, conditions
        nets = {net for gate in (*wiring.gates, *wiring.registers) for net in gate.nets.values()}
        nets |= {*wiring.inputs, *wiring.outputs} - {ZERO, ONE}
        load, wire_load = conditions.output_load_ff, conditions.wire_ff_per_fanout
        self.load = {net: wiring.capacitance_ff(net, load, wire_load) for net in nets}
        self.slew: dict[int, list[float]] = {}
        # (source, net) -> arrival of the (fall, rise); the step that caused it, for the path
        self.arrival: dict[tuple[int, int], list[float]] = {}
        self.cause: dict[tuple[int, int, int], tuple[Instance | str, str, str, int, int, float]] = {}

    def run(self) -> Timing:
        for net in dict.fromkeys(self.wiring.inputs):
            self._start_input(net)
        for register in self.wiring.registers:
            self._start_register(register)
        for gate in self.wiring.gates:
            self._gate(gate)
        groups: dict[str, float] = {}
        worst: tuple[float, tuple[int, int, int] | None, float, str] = (0.0, None, 0.0, "")
        for end in self._ends():
            delay, key, setup, name = end
            group = GROUPS[(0 if setup is not None else 3) if key[0] else (1 if setup is not None else 2)]
            groups[group] = max(groups.get(group, -inf), delay)
            if worst[1] is None or delay > worst[0]:
                worst = (delay, key, setup if setup is not None else 0.0, name if setup is not None else "")
        path = self._path(worst[1]) if worst[1] else []
        if worst[3]:
            path.append(Step(worst[3], "setup", ("", ""), path[-1].edge if path else "", worst[0], worst[2]))
        return Timing(
            delay_ps=worst[0],
            path=tuple(path),
            groups={name: groups[name] for name in GROUPS if name in groups},
            slew_ps={net: (s[0], s[1]) for net, s in self.slew.items()},
            load_ff=self.load,
        )

    def _start_input(self, net: int) -> None:
        conditions = self.conditions
        if conditions.driving_cell is None:
            arrival, slew = (0.0, 0.0), (conditions.input_slew_ps, conditions.input_slew_ps)
        else:
            cell = self.wiring.library.usable(conditions.driving_cell)
            arrival, slew = driven(cell, conditions.input_slew_ps, self.load[net])
        for edge in (FALL, RISE):
            self._arrive(0, net, edge, arrival[edge], slew[edge], ("input", "", "", -1, edge, arrival[edge]))

    def _start_register(self, register: Instance) -> None:
        flip_flop = register.cell.flip_flop
        assert flip_flop is not None
        for pin in register.cell.outputs:
            if pin not in register.nets:
                continue
            net = register.nets[pin]
            for arc in register.cell.pins[pin].arcs:
                if arc.related_pin != flip_flop.clock or arc.kind != "rising_edge":
                    continue
                for out in (FALL, RISE):
                    if arc.delay[out] is None:
                        continue
                    delay = look_up(arc.delay[out], self.conditions.clock_slew_ps, self.load[net][out])
                    slew = look_up(arc.slew[out], self.conditions.clock_slew_ps, self.load[net][out])
                    self._arrive(1, net, out, delay, slew, (register, flip_flop.clock, pin, -1, out, delay))

    def _gate(self, gate: Instance) -> None:
        for pin in gate.cell.outputs:
            if pin not in gate.nets:
                continue
            net = gate.nets[pin]
            load = self.load[net]
            for arc in gate.cell.pins[pin].arcs:
                source_net = gate.nets.get(arc.related_pin, ZERO)
                if source_net not in self.slew:
                    continue  # a constant, or driven by constants
                slews = self.slew[source_net]
                for into, out in edges(arc):
                    delay = look_up(arc.delay[out], slews[into], load[out])
                    slew = look_up(arc.slew[out], slews[into], load[out])
                    for source in (0, 1):
                        before = self.arrival.get((source, source_net))
                        if before is not None and before[into] > -inf:
                            cause = (gate, arc.related_pin, pin, source_net, into, delay)
                            self._arrive(source, net, out, before[into] + delay, slew, cause)

    def _arrive(
        self,
        source: int,
        net: int,
        edge: int,
        time: float,
        slew: float,
        cause: tuple[Instance | str, str, str, int, int, float],
    ) -> None:
        slews = self.slew.setdefault(net, [0.0, 0.0])
        slews[edge] = max(slews[edge], slew)
        times = self.arrival.setdefault((source, net), [-inf, -inf])
        if time > times[edge]:
            times[edge] = time
            self.cause[source, net, edge] = cause

    def _ends(self) -> list[tuple[float, tuple[int, int, int], float | None, str]]:
        """(delay, (source, net, edge), setup or None at an output, register) of every end of a path."""
        found: list[tuple[float, tuple[int, int, int], float | None, str]] = []
        for source in (0, 1):
            for net in self.wiring.outputs:
                for edge, time in enumerate(self.arrival.get((source, net), ())):
                    if time > -inf:
                        found.append((time, (source, net, edge), None, ""))
            for register in self.wiring.registers:
                flip_flop = register.cell.flip_flop
                assert flip_flop is not None
                for pin in flip_flop.next_state.pins:
                    if pin not in register.nets:  # its own state, of a register with an enable
                        continue
                    net = register.nets[pin]
                    for edge, time in enumerate(self.arrival.get((source, net), ())):
                        if time > -inf:
                            setup = self._setup(register, pin, flip_flop.clock, edge, self.slew[net][edge])
                            found.append((time + setup, (source, net, edge), setup, register.name))
        return found

    def _setup(self, register: Instance, pin: str, clock: str, edge: int, slew: float) -> float:
        limits = [
            look_up(constraint.limit[edge], slew, self.conditions.clock_slew_ps)
            for constraint in register.cell.pins[pin].constraints
            if constraint.related_pin == clock and constraint.kind == "setup_rising"
        ]
        return max(limits, default=0.0)

    def _path(self, end: tuple[int, int, int]) -> list[Step]:
        source, net, edge = end
        steps: list[Step] = []
        while True:
            instance, pin_in, pin_out, before, into, delay = self.cause[source, net, edge]
            name = "fall" if edge == FALL else "rise"
            time = self.arrival[source, net][edge]
            if isinstance(instance, str):
                kind = self.conditions.driving_cell or ""
                steps.append(Step(self._port(net), kind, ("", ""), name, time, delay))
            else:
                steps.append(Step(instance.name, instance.cell.name, (pin_in, pin_out), name, time, delay))
            if before < 0:
                return steps[::-1]
            net, edge = before, into

    def _port(self, net: int) -> str:
        for port, nets in self.wiring.netlist.inputs.items():
            if net in nets:
                return port if len(nets) == 1 else f"{port}[{nets.index(net)}]"
        return ""
