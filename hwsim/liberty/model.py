"""What a Liberty library says about a cell, in ps, fF, fJ (= fF V2), nW, um2 and V, whatever units the file uses.

Pairs are (fall, rise) throughout: index them with the value that the pin goes to.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass

from hwsim.liberty.function import Function
from hwsim.liberty.parse import LibertyError


@dataclass(frozen=True, slots=True)
class Table:
    """A function of two numbers on a grid. Delays and energies: first = input slew (ps), second = output load (fF);
    constraints: first = slew of the constrained pin, second = slew of the related pin (ps). An axis of length 1: the
    table does not depend on it."""

    first: tuple[float, ...]
    second: tuple[float, ...]
    values: tuple[tuple[float, ...], ...]

    def at(self, first: float, second: float) -> float:
        """Bilinear between grid points; beyond the grid the outermost cell goes on linearly (as OpenSTA and abc do)."""
        row, x = _place(self.first, first)
        column, y = _place(self.second, second)
        low, high = self.values[row], self.values[row if x == 0.0 else row + 1]
        if y == 0.0:
            return low[column] + x * (high[column] - low[column])
        a = low[column] + y * (low[column + 1] - low[column])
        b = high[column] + y * (high[column + 1] - high[column])
        return a + x * (b - a)


def _place(axis: tuple[float, ...], value: float) -> tuple[int, float]:
    if len(axis) == 1:
        return 0, 0.0
    i = min(max(bisect_right(axis, value) - 1, 0), len(axis) - 2)
    return i, (value - axis[i]) / (axis[i + 1] - axis[i])


@dataclass(frozen=True, kw_only=True, slots=True)
class Arc:
    """One timing() group of an output: from related_pin. kind: combinational, rising_edge, falling_edge, clear, ...
    delay and slew: (fall, rise) of the output, None where the library has none."""

    related_pin: str
    kind: str
    sense: str
    when: Function | None
    delay: tuple[Table | None, Table | None]
    slew: tuple[Table | None, Table | None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Constraint:
    """One timing() group of an input, e.g. kind setup_rising. limit: (fall, rise) of the constrained pin, ps."""

    related_pin: str
    kind: str
    when: Function | None
    limit: tuple[Table | None, Table | None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Power:
    """One internal_power() group. related_pin: None in an input pin's. energy: (fall, rise) of the pin, fJ each."""

    related_pin: str | None
    when: Function | None
    energy: tuple[Table | None, Table | None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Pin:
    """direction: input, output, inout or internal. Capacitances in fF: (fall, rise) and the plain one."""

    name: str
    direction: str
    capacitance_ff: float
    edge_capacitance_ff: tuple[float, float]
    max_capacitance_ff: float | None
    function: Function | None
    arcs: tuple[Arc, ...]
    constraints: tuple[Constraint, ...]
    powers: tuple[Power, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class FlipFlop:
    """state, inverted: the names that output functions use. The rest are functions of the cell's pins."""

    state: str
    inverted: str
    clocked_on: Function
    next_state: Function
    clear: Function | None
    preset: Function | None

    @property
    def clock(self) -> str:
        """The clock pin of a rising-edge flip-flop. Raises LibertyError for any other clock."""
        if len(self.clocked_on.pins) != 1 or self.clocked_on.table != 0b10:
            raise LibertyError("it is not clocked by the rising edge of one pin")
        return self.clocked_on.pins[0]


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """leakage_nw: the mean the library states. leakages: (state, nW), of which the matching one holds."""

    name: str
    area_um2: float
    leakage_nw: float
    leakages: tuple[tuple[Function, float], ...]
    pins: Mapping[str, Pin]
    flip_flop: FlipFlop | None

    @property
    def inputs(self) -> tuple[str, ...]:
        """Input pins in the file's order."""
        return tuple(pin.name for pin in self.pins.values() if pin.direction == "input")

    @property
    def outputs(self) -> tuple[str, ...]:
        """Output pins that have a function, in the file's order."""
        return tuple(pin.name for pin in self.pins.values() if pin.direction == "output" and pin.function is not None)


@dataclass(frozen=True, slots=True)
class Units:
    """What the file's numbers are multiplied by."""

    time_ps: float
    capacitance_ff: float
    voltage_v: float
    leakage_nw: float

    @property
    def energy_fj(self) -> float:
        """Power tables are in voltage unit squared times capacitance unit."""
        return self.voltage_v**2 * self.capacitance_ff
