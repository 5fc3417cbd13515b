"""A Liberty library understood: kind -> Cell.

read_library(path) reads; a cell's tables are converted when the cell is first asked for, so a 13 MB library costs
little more than its syntax.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from hashlib import sha256
from itertools import pairwise
from math import prod
from pathlib import Path

from hwsim.liberty.function import Function, parse_function
from hwsim.liberty.model import Arc, Cell, Constraint, FlipFlop, Pin, Power, Table, Units
from hwsim.liberty.parse import Group, LibertyError, arguments, numbers, parse, read_text

NAND2 = 0b0111  # truth table over two pins
_EXPONENT = {"": 0, "m": -3, "u": -6, "n": -9, "p": -12, "f": -15, "a": -18}
# The two places of a table: what the first and the second index are, whatever order the template has.
_FIRST = ("input_net_transition", "input_transition_time", "constrained_pin_transition")
_SECOND = ("total_output_net_capacitance", "related_pin_transition")


class Library(Mapping[str, Cell]):
    """kind -> Cell, and what holds for all. sha256: of the decompressed file."""

    def __init__(self, group: Group, digest: str, source: str) -> None:
        self.name = group.arguments[0] if group.arguments else ""
        self.sha256 = digest
        self.source = source
        self.units = _units(group, source)
        corner = group.simple.get("default_operating_conditions", "")
        conditions = [c for c in group.of("operating_conditions") if not corner or c.arguments == (corner,)]
        given = conditions[0].simple if conditions else {}
        self.corner = conditions[0].arguments[0] if conditions else corner
        voltage = given.get("voltage", group.simple.get("nom_voltage"))
        if voltage is None:
            raise LibertyError(f"{source} states no voltage: nom_voltage and operating_conditions are both missing")
        self.voltage_v = float(voltage) * self.units.voltage_v
        self.temperature_c = float(given.get("temperature", group.simple.get("nom_temperature", "25")))
        self.default_pin_ff = float(group.simple.get("default_input_pin_cap", "0")) * self.units.capacitance_ff
        self.templates = {t.arguments[0]: t for t in group.of("lu_table_template", "power_lut_template") if t.arguments}
        self.default_leakage = float(group.simple.get("default_cell_leakage_power", "0"))
        self.groups = {cell.arguments[0]: cell for cell in group.of("cell") if cell.arguments}
        self._cells: dict[str, Cell] = {}
        self._unusable: dict[str, str] = {}
        if not self.groups:
            raise LibertyError(f"{source} has no cells; give a standard cell library")

    def __getitem__(self, kind: str) -> Cell:
        if kind not in self._cells:
            if kind not in self.groups:
                raise KeyError(kind)
            self._cells[kind] = _cell(self.groups[kind], self)
        return self._cells[kind]

    def __iter__(self) -> Iterator[str]:
        return iter(self.groups)

    def __len__(self) -> int:
        return len(self.groups)

    def usable(self, kind: str) -> Cell:
        """The cell, if a netlist of gates and rising-edge flip-flops can use it; else LibertyError says why not."""
        if kind not in self.groups:
            close = ", ".join(sorted(self.groups)[:6])
            raise LibertyError(
                f"library {self.name} has no cell {kind!r} (it has {close}, ...); "
                "give the library that the netlist was mapped to"
            )
        reason = self.unusable(kind)
        if reason:
            raise LibertyError(f"cell {kind} of {self.name}: {reason}; keep it out of the synthesis with dont_use")
        return self[kind]

    @cached_property
    def nand2(self) -> Cell:
        """The 2-input NAND of smallest area, first by name: the gate equivalent. LibertyError if there is none."""
        found = []
        for kind, group in self.groups.items():
            outputs = [p for p in group.of("pin") if p.simple.get("direction") == "output"]
            inputs = [p for p in group.of("pin") if p.simple.get("direction") == "input"]
            if len(outputs) == 1 and len(inputs) == 2 and "function" in outputs[0].simple and not self.unusable(kind):
                function = parse_function(outputs[0].simple["function"], f"{group.title}: ")
                if len(function.pins) == 2 and function.table == NAND2:
                    found.append((float(group.simple.get("area", "inf")), kind))
        if not found:
            raise LibertyError(
                f"library {self.name} has no 2-input NAND, so areas cannot be given in gate equivalents; "
                "give a library of logic gates"
            )
        return self[min(found)[1]]

    @cached_property
    def flip_flops(self) -> tuple[str, ...]:
        """Kinds of rising-edge D flip-flops that can be used. LibertyError if there is none."""
        kinds = [kind for kind, group in self.groups.items() if any(group.of("ff"))]
        found = tuple(kind for kind in kinds if not self.unusable(kind))
        if not found:
            reasons = "".join(f"; {kind}: {self.unusable(kind)}" for kind in kinds[:3])
            raise LibertyError(
                f"library {self.name} has no usable flip-flop{reasons}. Registers need a rising-edge D flip-flop: "
                "read the file that has the sequential cells (some libraries keep them apart), or cost a PE that has "
                "no registers"
            )
        return found

    def unusable(self, kind: str) -> str:
        """Why a netlist of gates and rising-edge flip-flops cannot use a cell; empty if it can."""
        if kind not in self._unusable:
            self._unusable[kind] = _unusable(self.groups[kind])
        return self._unusable[kind]


def read_library(path: str | Path) -> Library:
    """A Liberty file, plain or gzip. Raises LibertyError that says what is wrong, and where."""
    text, digest = read_text(path)
    source = Path(path).name
    return Library(parse(text, source), digest, source)


def parse_library(text: str, source: str = "the text") -> Library:
    """A library from its text (tests, small libraries of one's own). sha256 is that of the UTF-8 text."""
    return Library(parse(text, source), sha256(text.encode()).hexdigest(), source)


def _unusable(group: Group) -> str:
    for kinds, reason in (
        (("latch", "latch_bank"), "it is a latch"),
        (("statetable",), "it is described by a state table"),
        (("ff_bank", "bus", "bundle"), "it has bus pins"),
    ):
        if any(group.of(*kinds)):
            return reason
    flip_flops = list(group.of("ff"))
    if len(flip_flops) > 1:
        return "it holds more than one flip-flop"
    if flip_flops:
        try:
            _flip_flop(flip_flops[0]).clock  # noqa: B018
        except LibertyError as error:
            return str(error)
    for pin in group.of("pin"):
        if "three_state" in pin.simple:
            return f"output {' '.join(pin.arguments)} is three-state"
        if pin.simple.get("direction") == "inout":
            return f"pin {' '.join(pin.arguments)} is inout"
    return ""


def _units(group: Group, source: str) -> Units:
    def unit(name: str, symbol: str, default: str, ours: int) -> float:
        """The file's unit in units of 10**ours."""
        text = group.simple.get(name, default)
        match = re.fullmatch(rf"\s*([\d.eE+-]*?)\s*([munpfa]?){symbol}\s*", text, re.I)
        try:
            if match:
                return float(match[1] or 1) * 10.0 ** (_EXPONENT[match[2].lower()] - ours)
        except ValueError:
            pass
        raise LibertyError(f"{source}: {name} {text!r} is not a number with a unit such as {default!r}")

    volt, ampere = unit("voltage_unit", "V", "1V", 0), unit("current_unit", "A", "1mA", 0)
    # Without a unit of its own, leakage is in voltage unit times current unit (as OpenSTA reads it).
    own = "leakage_power_unit" in group.simple
    leakage = unit("leakage_power_unit", "W", "1nW", -9) if own else volt * ampere * 1e9
    load = arguments(group.complex.get("capacitive_load_unit", ["1, pf"])[-1])
    try:
        capacitance = float(load[0]) * {"ff": 1.0, "pf": 1000.0}[load[1].lower()]
    except (ValueError, KeyError, IndexError):
        raise LibertyError(f"{source}: capacitive_load_unit {load!r} is not like (1, pf)") from None
    return Units(unit("time_unit", "s", "1ns", -12), capacitance, volt, leakage)


def _cell(group: Group, library: Library) -> Cell:
    units = library.units
    pins = {}
    for pin in group.of("pin"):
        for name in pin.arguments:
            pins[name] = _pin(name, pin, group, library)
    flip_flops = list(group.of("ff"))
    leakages, plain = [], None
    for leak in group.of("leakage_power"):
        value = _number(leak, "value", "0") * units.leakage_nw
        if "when" in leak.simple:
            leakages.append((parse_function(leak.simple["when"], f"{leak.title}: "), value))
        else:
            plain = value
    mean = plain if plain is not None else library.default_leakage * units.leakage_nw
    if "cell_leakage_power" in group.simple:
        mean = _number(group, "cell_leakage_power", "0") * units.leakage_nw
    return Cell(
        name=group.arguments[0],
        area_um2=_number(group, "area", "0"),
        leakage_nw=mean,
        leakages=tuple(leakages),
        pins=pins,
        flip_flop=_flip_flop(flip_flops[0]) if flip_flops else None,
    )


def _flip_flop(group: Group) -> FlipFlop:
    def function(name: str) -> Function | None:
        return parse_function(group.simple[name], f"{group.title}: {name} ") if name in group.simple else None

    clocked_on, next_state = function("clocked_on"), function("next_state")
    if clocked_on is None or next_state is None or len(group.arguments) != 2:
        raise LibertyError(f"{group.title}: needs two state names, clocked_on and next_state")
    return FlipFlop(
        state=group.arguments[0],
        inverted=group.arguments[1],
        clocked_on=clocked_on,
        next_state=next_state,
        clear=function("clear"),
        preset=function("preset"),
    )


def _pin(name: str, group: Group, cell: Group, library: Library) -> Pin:
    units = library.units
    where = f"pin {name} of {cell.title}: "
    direction = group.simple.get("direction", "")
    if direction not in ("input", "output", "inout", "internal"):
        raise LibertyError(f"{where}direction is {direction or 'missing'}; it must be input, output, inout or internal")
    function = parse_function(group.simple["function"], where) if "function" in group.simple else None
    default = library.default_pin_ff / units.capacitance_ff if direction == "input" else 0.0
    plain = _number(group, "capacitance", str(default)) * units.capacitance_ff
    fall = _number(group, "fall_capacitance", str(plain / units.capacitance_ff)) * units.capacitance_ff
    rise = _number(group, "rise_capacitance", str(plain / units.capacitance_ff)) * units.capacitance_ff
    arcs: list[Arc] = []
    constraints: list[Constraint] = []
    for timing in group.of("timing"):
        when = parse_function(timing.simple["when"], f"{timing.title}: ") if "when" in timing.simple else None
        kind = timing.simple.get("timing_type", "combinational")
        tables = {table.kind: table for table in timing.groups}
        for related in timing.simple.get("related_pin", "").split():
            limits = [_table(tables.get(f"{e}_constraint"), library, units.time_ps) for e in ("fall", "rise")]
            if any(limits):
                constraints.append(Constraint(related_pin=related, kind=kind, when=when, limit=(limits[0], limits[1])))
                continue
            delays = [_table(tables.get(f"cell_{e}"), library, units.time_ps) for e in ("fall", "rise")]
            slews = [_table(tables.get(f"{e}_transition"), library, units.time_ps) for e in ("fall", "rise")]
            sense = timing.simple.get("timing_sense", "")
            if not sense:
                known = function is not None and related in function.pins
                sense = function.sense(related) if function is not None and known else "non_unate"
            if any(delays):
                arcs.append(
                    Arc(
                        related_pin=related,
                        kind=kind,
                        sense=sense,
                        when=when,
                        delay=(delays[0], delays[1]),
                        slew=(slews[0], slews[1]),
                    )
                )
    limit = group.simple.get("max_capacitance")
    return Pin(
        name=name,
        direction=direction,
        capacitance_ff=plain,
        edge_capacitance_ff=(fall, rise),
        max_capacitance_ff=None if limit is None else _number(group, "max_capacitance", "0") * units.capacitance_ff,
        function=function,
        arcs=tuple(arcs),
        constraints=tuple(constraints),
        powers=tuple(_powers(group, library)),
    )


def _powers(pin: Group, library: Library) -> Iterator[Power]:
    for group in pin.of("internal_power"):
        when = parse_function(group.simple["when"], f"{group.title}: ") if "when" in group.simple else None
        tables = {table.kind: table for table in group.groups}
        both = tables.get("power")  # one table for either edge
        energy = [_table(tables.get(f"{e}_power", both), library, library.units.energy_fj) for e in ("fall", "rise")]
        related: list[str | None] = [*group.simple.get("related_pin", "").split()] or [None]
        for name in related:
            yield Power(related_pin=name, when=when, energy=(energy[0], energy[1]))


def _table(group: Group | None, library: Library, scale: float) -> Table | None:
    """A table group in our units: slews to ps, loads to fF, values by scale. None stays None."""
    if group is None:
        return None
    template = library.templates.get(group.arguments[0]) if group.arguments else None
    axes: list[list[float]] = []
    names: list[str] = []
    try:
        values = [x for raw in group.complex.get("values", []) for x in numbers(raw)]
        for i in (1, 2, 3):
            raw = group.complex.get(f"index_{i}") or (template.complex.get(f"index_{i}") if template else None)
            name = template.simple.get(f"variable_{i}") if template else None
            if name is None:
                break
            if raw is None:
                raise LibertyError(f"{group.title}: no index_{i}, here or in its template")
            axes.append(numbers(raw[0]))
            names.append(name)
    except ValueError as error:
        if isinstance(error, LibertyError):
            raise
        raise LibertyError(f"{group.title}: {error}") from None
    sizes = [len(axis) for axis in axes]
    if len(values) != prod(sizes):
        shape = " x ".join(map(str, sizes)) or "1 (scalar)"
        raise LibertyError(f"{group.title}: {len(values)} values where the indices say {shape}")
    for axis in axes:
        if any(b <= a for a, b in pairwise(axis)):
            raise LibertyError(f"{group.title}: an index does not rise: {axis}")
    place = {"first": -1, "second": -1}
    for i, name in enumerate(names):
        which = "first" if name in _FIRST else "second" if name in _SECOND else ""
        # A constraint that depends on the related pin's slew alone, or a delay on the load alone, leaves one axis out.
        if not which or place[which] >= 0:
            raise LibertyError(f"{group.title}: tables over {', '.join(names)} are not supported; only NLDM tables are")
        place[which] = i
    slew, load = library.units.time_ps, library.units.capacitance_ff
    first = [x * slew for x in axes[place["first"]]] if place["first"] >= 0 else [0.0]
    if place["second"] >= 0:
        unit = load if names[place["second"]] == "total_output_net_capacitance" else slew
        second = [x * unit for x in axes[place["second"]]]
    else:
        second = [0.0]
    if place["first"] == 1:  # the file's rows run over the second variable
        rows = tuple(tuple(values[j * len(first) + i] * scale for j in range(len(second))) for i in range(len(first)))
    else:
        rows = tuple(tuple(values[i * len(second) + j] * scale for j in range(len(second))) for i in range(len(first)))
    return Table(tuple(first), tuple(second), rows)


def _number(group: Group, name: str, default: str) -> float:
    text = group.simple.get(name, default)
    try:
        return float(text)
    except ValueError:
        raise LibertyError(f"{group.title}: {name} is {text!r}, not a number") from None
