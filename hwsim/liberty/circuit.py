"""A wired netlist with its library's numbers looked up, flattened into the arrays that the simulation runs over.

Slews and loads do not change while a circuit runs, so every delay and energy of every instance is looked up once:
delays by (pin, its edge, the output's edge), energies by internal_power group and the same two edges. What changes is
the state, which picks the group: for each place where power tables apply, a table over the cell's states names it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hwsim.liberty.function import Function
from hwsim.liberty.model import Cell, Power
from hwsim.liberty.parse import LibertyError
from hwsim.liberty.timing import FALL, RISE, Conditions, Pair, Timing, driven, edges, look_up, timing_of
from hwsim.liberty.wiring import Instance, Wiring
from hwsim.rtl.netlist import ONE, ZERO

I64 = NDArray[np.int64]
F64 = NDArray[np.float64]
NONE = -1
FS_PER_PS = 1000.0


@dataclass(frozen=True, slots=True)
class Places:
    """Where a cell's power tables apply. Sites are offsets into groups, a table over states for each site.

    inputs: pin -> site.  outputs: (output, related pin) -> site.  members: group -> the powers it adds up.
    """

    inputs: Mapping[str, int]
    outputs: Mapping[tuple[str, str], int]
    groups: tuple[int, ...]
    members: tuple[tuple[tuple[str, Power], ...], ...]


class Circuit(NamedTuple):
    """Arrays of a netlist; times in fs, energies in fJ, nets renumbered densely with ZERO and ONE kept.

    gates: a row for each driven output: FIRST row of pins, TABLE, NET, ENERGY, LEAKAGE (-1: counted elsewhere).
    pins: NET, INPUT_SITE, OUTPUT_SITE, then DELAY + 2 (edge of the pin) + (edge of the output).
    registers: FIRST row of data, TABLE of the next state over (data pins, clock, state), FIRST_Q, ENERGY, LEAKAGE,
    CLOCK_SITE.  data: NET, INPUT_SITE.  qs: NET, Q_SITE, VALUE + state, Q_DELAY + edge.  gates and registers end with a
    row that has only the FIRSTs.  inputs: NET, INPUT_DELAY + edge.  outputs: nets.
    half_cv2: (net, edge); clock_half_cv2: (edge).  luts: values; groups: group by site + state; energy: (group, edge of
    the cause, edge of the pin); leakage: nW by LEAKAGE + state.
    """

    gates: I64
    pins: I64
    registers: I64
    data: I64
    qs: I64
    inputs: I64
    outputs: I64
    luts: I64
    groups: I64
    half_cv2: F64
    clock_half_cv2: F64
    energy: F64
    leakage: F64


FIRST, TABLE, NET_OF_GATE, ENERGY, LEAKAGE, CLOCK_SITE = range(6)
FIRST_Q = 2
NET, INPUT_SITE, OUTPUT_SITE, DELAY = range(4)
Q_SITE, VALUE, Q_DELAY = 1, 2, 4
INPUT_DELAY = 1


def places(cell: Cell, names: Sequence[str], values: Mapping[str, Function]) -> Places:
    """The sites of a cell's powers over the states of `names`; values: what else `when` may use, as functions."""
    inputs: dict[str, int] = {}
    outputs: dict[tuple[str, str], int] = {}
    groups: list[int] = []
    members: dict[tuple[int, ...], int] = {}
    listed: list[tuple[tuple[str, Power], ...]] = []
    for pin in cell.pins.values():
        sites: dict[str | None, list[Power]] = {}
        for power in pin.powers:
            sites.setdefault(power.related_pin, []).append(power)
        for related, powers in sites.items():
            if pin.direction == "input" and related is None:
                inputs[pin.name] = len(groups)
            elif pin.direction == "output" and related is not None:
                outputs[pin.name, related] = len(groups)
            else:
                continue
            whens = [None if p.when is None else truth(p.when, names, values, cell.name) for p in powers]
            for state in range(1 << len(names)):
                # The unconditional group holds where no condition does.
                chosen = [p for p, when in zip(powers, whens, strict=True) if when is not None and when >> state & 1]
                chosen = chosen or [p for p, when in zip(powers, whens, strict=True) if when is None]
                key = tuple(id(p) for p in chosen)
                if chosen and key not in members:
                    members[key] = len(listed)
                    listed.append(tuple((pin.name, p) for p in chosen))
                groups.append(members[key] if chosen else NONE)
    return Places(inputs, outputs, tuple(groups), tuple(listed))


def truth(function: Function, names: Sequence[str], values: Mapping[str, Function], cell: str) -> int:
    """Truth table over the states of names (bit i of the state is names[i]) of a function of names and of values."""
    unknown = [pin for pin in function.pins if pin not in names and pin not in values]
    if unknown:
        raise LibertyError(f"cell {cell}: a `when` uses {unknown[0]}, which is no pin of it")
    result = 0
    for state in range(1 << len(names)):
        now = {name: state >> i & 1 for i, name in enumerate(names)}
        now |= {name: f.value(now) for name, f in values.items() if name not in now}
        result |= function.value(now) << state
    return result


@dataclass(slots=True)
class _Kind:
    """What instances of one cell share: offsets of its tables."""

    sites: Places
    groups: int
    leakage: int
    luts: dict[str, int]
    names: tuple[str, ...]

    def site(self, pin: str, related: str | None = None) -> int:
        """Where the kernel finds a site of this cell, or NONE."""
        here = self.sites.inputs.get(pin) if related is None else self.sites.outputs.get((pin, related))
        return NONE if here is None else self.groups + here


class Builder:
    """Collects the rows of a circuit. build(wiring, conditions, ...) is the door."""

    def __init__(self, wiring: Wiring, conditions: Conditions, input_arrival_ps: float) -> None:
        self.wiring, self.conditions = wiring, conditions
        self.timing = timing_of(wiring, conditions)
        self.input_arrival_ps = input_arrival_ps
        self.kinds: dict[str, _Kind] = {}
        self.lut: list[int] = []
        self.groups: list[int] = []
        self.leakage: list[float] = []
        self.energy: list[tuple[float, float, float, float]] = []
        used = {ZERO, ONE, *wiring.inputs, *wiring.outputs}
        used |= {net for gate in (*wiring.gates, *wiring.registers) for net in gate.nets.values()}
        self.net_of = {net: i for i, net in enumerate(sorted(used))}

    def slew(self, net: int) -> Pair:
        return self.timing.slew_ps.get(net, (0.0, 0.0))

    def load(self, net: int) -> Pair:
        return self.timing.load_ff.get(net, (0.0, 0.0))

    def kind(self, cell: Cell) -> _Kind:
        """The shared tables of a cell, made when it is first met."""
        if cell.name in self.kinds:
            return self.kinds[cell.name]
        flip_flop = cell.flip_flop
        functions = {name: f for name in cell.outputs if (f := cell.pins[name].function) is not None}
        values: dict[str, Function] = dict(functions)
        if flip_flop is None:
            names = cell.inputs
        else:  # pins without the clock, the clock, the state
            names = (*(p for p in cell.inputs if p != flip_flop.clock), flip_flop.clock, flip_flop.state)
            values = {flip_flop.inverted: Function((flip_flop.state,), 0b01)} | values
            functions = {"next": flip_flop.next_state}
        sites = places(cell, names, values)
        luts = {}
        for name, function in functions.items():
            luts[name] = len(self.lut)
            table = truth(function, names, values if flip_flop else {}, cell.name)
            self.lut += [table >> state & 1 for state in range(1 << len(names))]
        whens = [(truth(when, names, values, cell.name), nw) for when, nw in cell.leakages]
        made = _Kind(sites, len(self.groups), len(self.leakage), luts, names)
        for state in range(1 << len(names)):
            self.leakage.append(next((nw for when, nw in whens if when >> state & 1), cell.leakage_nw))
        self.groups += sites.groups
        self.kinds[cell.name] = made
        return made

    def energies(self, instance: Instance, kind: _Kind) -> int:
        """Look up the instance's energies, (pin edge, output edge) for each group; their offset."""
        base = len(self.energy)
        clock = instance.cell.flip_flop.clock if instance.cell.flip_flop else ""
        clock_slew = (self.conditions.clock_slew_ps, self.conditions.clock_slew_ps)
        for members in kind.sites.members:
            total = [0.0, 0.0, 0.0, 0.0]
            for pin, power in members:
                source = power.related_pin or pin
                slew = clock_slew if source == clock else self.slew(instance.nets.get(source, ZERO))
                load = self.load(instance.nets[pin]) if power.related_pin and pin in instance.nets else (0.0, 0.0)
                for into in (FALL, RISE):
                    for out in (FALL, RISE):
                        total[2 * into + out] += look_up(power.energy[out], slew[into], load[out])
            self.energy.append((total[0], total[1], total[2], total[3]))
        return base

    def delays(self, gate: Instance, output: str, pin: str) -> list[int]:
        """(pin edge, output edge) in fs; an edge pair without an arc takes the slowest that there is."""
        found = [[-1.0, -1.0], [-1.0, -1.0]]
        slew, load = self.slew(gate.nets[pin]), self.load(gate.nets[output])
        for arc in gate.cell.pins[output].arcs:
            if arc.related_pin == pin:
                for into, out in edges(arc):
                    found[into][out] = max(found[into][out], look_up(arc.delay[out], slew[into], load[out]), 0.0)
        for out in (FALL, RISE):
            slowest = max(found[FALL][out], found[RISE][out], 0.0)
            for into in (FALL, RISE):
                if found[into][out] < 0:
                    found[into][out] = slowest
        return [round(x * FS_PER_PS) for row in found for x in row]


def build(wiring: Wiring, conditions: Conditions, input_arrival_ps: float) -> tuple[Circuit, dict[int, int], Timing]:
    """Look everything up: the arrays, net -> its row, and the static timing it rests on.

    input_arrival_ps: when the data inputs change, after the clock edge.
    """
    made = Builder(wiring, conditions, input_arrival_ps)
    gates: list[list[int]] = []
    pins: list[list[int]] = []
    for gate in wiring.gates:
        kind = made.kind(gate.cell)
        base = made.energies(gate, kind)
        connected = [output for output in gate.cell.outputs if output in gate.nets]
        for i, output in enumerate(connected):
            # Cells with several outputs pay for input pins and leakage once.
            net = made.net_of[gate.nets[output]]
            gates.append([len(pins), kind.luts[output], net, base, NONE if i else kind.leakage])
            for pin in gate.cell.inputs:
                sites = [NONE if i else kind.site(pin), kind.site(output, pin)]
                pins.append([made.net_of[gate.nets[pin]], *sites, *made.delays(gate, output, pin)])
    registers: list[list[int]] = []
    data: list[list[int]] = []
    qs: list[list[int]] = []
    for register in wiring.registers:
        kind = made.kind(register.cell)
        base = made.energies(register, kind)
        site = kind.site(kind.names[-2])
        registers.append([len(data), kind.luts["next"], len(qs), base, kind.leakage, site])
        data += [[made.net_of[register.nets[pin]], kind.site(pin)] for pin in kind.names[:-2]]
        qs += [_q(made, register, kind, output) for output in register.cell.outputs if output in register.nets]
    square = wiring.library.voltage_v**2 / 2
    half_cv2 = np.zeros((len(made.net_of), 2))
    for net, i in made.net_of.items():
        if net not in (ZERO, ONE):
            half_cv2[i] = np.array(made.load(net)) * square
    clocks = [r.cell.pins[r.cell.flip_flop.clock] for r in wiring.registers if r.cell.flip_flop]
    circuit = Circuit(
        gates=_rows([*gates, [len(pins), 0, 0, 0, 0]], 5),
        pins=_rows(pins, 7),
        registers=_rows([*registers, [len(data), 0, len(qs), 0, 0, 0]], 6),
        data=_rows(data, 2),
        qs=_rows(qs, 6),
        inputs=_rows([[made.net_of[net], *_input_delay(made, net)] for net in dict.fromkeys(wiring.inputs)], 3),
        outputs=np.array([made.net_of[n] for nets in wiring.netlist.outputs.values() for n in nets], np.int64),
        luts=np.array(made.lut, np.int64),
        groups=np.array(made.groups, np.int64),
        half_cv2=half_cv2,
        clock_half_cv2=np.array([sum(pin.edge_capacitance_ff[e] for pin in clocks) * square for e in (FALL, RISE)]),
        energy=np.array(made.energy).reshape(-1, 2, 2),
        leakage=np.array(made.leakage),
    )
    return circuit, made.net_of, made.timing


def _rows(rows: list[list[int]], columns: int) -> I64:
    return np.array(rows, np.int64).reshape(-1, columns)


def _q(made: Builder, register: Instance, kind: _Kind, output: str) -> list[int]:
    """A row of qs: net, site, value by state, clock-to-output delay by edge (fs)."""
    flip_flop = register.cell.flip_flop
    function = register.cell.pins[output].function
    assert flip_flop is not None
    assert function is not None
    inverted = {flip_flop.inverted: Function((flip_flop.state,), 0b01)}
    table = truth(function, (flip_flop.state,), inverted, register.cell.name)
    load = made.load(register.nets[output])
    delay = [0.0, 0.0]
    for arc in register.cell.pins[output].arcs:
        if arc.related_pin == flip_flop.clock and arc.kind == "rising_edge":
            for out in (FALL, RISE):
                delay[out] = max(delay[out], look_up(arc.delay[out], made.conditions.clock_slew_ps, load[out]))
    net, site = made.net_of[register.nets[output]], kind.site(output, flip_flop.clock)
    return [net, site, table & 1, table >> 1 & 1, *(round(x * FS_PER_PS) for x in delay)]


def _input_delay(made: Builder, net: int) -> list[int]:
    """When an input falls and rises after the clock edge, fs."""
    arrival: Pair = (0.0, 0.0)
    if made.conditions.driving_cell is not None:
        cell = made.wiring.library.usable(made.conditions.driving_cell)
        arrival, _ = driven(cell, made.conditions.input_slew_ps, made.load(net))
    return [round(max(made.input_arrival_ps + x, 0.0) * FS_PER_PS) for x in arrival]
