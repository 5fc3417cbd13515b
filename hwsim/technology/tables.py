"""Technology: the synthesised figures of one standard-cell library, each with its interval, status and provenance."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from math import sqrt
from typing import Any

from hwsim.cost import Cost, Status

# What the flow is good for. The absolute figure is within a factor of the first number; the ratio of two figures of one
# library within the second. Sources: our own runs of the same RTL under different options and libraries.
AREA_OPTIONS = 0.15  # booth on/off and abc -D 300..100000 ps move the area by 10-15 %; so does the ratio of two PEs
ENERGY_ABSOLUTE, ENERGY_RATIO = (
    2.0,
    1.3,
)  # vectorless OpenSTA differs 1.4x in total, 1.8x in internal power; ratios by 20-30 %
DELAY_OPTIONS = 1.3  # abc -D extremes move the delay by 11-31 %; no wires
UNCHECKED = 1.25  # a netlist whose function was not simulated: a sign-extension bug once made MACs 20 % too small


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One synthesised design. energy_fj is per clock cycle; None where it was not simulated.

    checked: the netlist was simulated bit for bit against an exact model.
    """

    name: str
    area_um2: float
    gate_equivalents: float
    delay_ps: float
    sequential_um2: float
    checked: bool
    energy_fj: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Technology:
    """One standard-cell library at one corner, as data. nand2_um2: area of the gate equivalent (GE).

    Figures of two technologies are never added; see hwsim.cost.Scaling.
    """

    name: str
    title: str
    node_nm: float
    voltage_v: float
    nand2_um2: float
    licence: str
    library: str
    library_sha256: str

    @property
    def rows(self) -> Mapping[str, Row]:
        """The synthesised designs, by name."""
        return _rows(self.name)

    @property
    def has_energy(self) -> bool:
        """Whether any energy was simulated with this library."""
        return any(row.energy_fj is not None for row in self.rows.values())

    def row(self, name: str) -> Row:
        """One design. Raises ValueError naming the rows there are."""
        if name not in self.rows:
            raise ValueError(f"technology {self.name!r} has no row {name!r}; rows: {', '.join(self.rows)}")
        return self.rows[name]

    def area_um2(self, name: str) -> Cost:
        """Area of a synthesised design."""
        row = self.row(name)
        # Half of the options' spread (in the logarithm) is common to every figure of the library, so that the ratio of
        # two figures is again within 15 %.
        low, high = 1 - AREA_OPTIONS, 1 + AREA_OPTIONS
        return self._cost(row, row.area_um2, low, high, sqrt(high), "um2", "area")

    def energy_pj(self, name: str) -> Cost:
        """Energy of one clock cycle. Raises ValueError where none was simulated, naming what has figures."""
        row = self.row(name)
        self.check_energy()
        if row.energy_fj is None:
            known = ", ".join(other.name for other in self.rows.values() if other.energy_fj is not None)
            raise ValueError(f"technology {self.name!r}: row {name!r} has no energy; rows that have: {known}")
        shared = ENERGY_ABSOLUTE / sqrt(ENERGY_RATIO)
        return self._cost(row, row.energy_fj * 1e-3, 1 / ENERGY_ABSOLUTE, ENERGY_ABSOLUTE, shared, "pJ", "energy")

    def delay_ns(self, name: str) -> Cost:
        """Longest path of the logic as abc reports it, without wires."""
        row = self.row(name)
        return self._cost(
            row, row.delay_ps * 1e-3, 1 / DELAY_OPTIONS, DELAY_OPTIONS, sqrt(DELAY_OPTIONS), "ns", "delay by abc"
        )

    def check_energy(self) -> None:
        """Raise ValueError naming the technologies with energy figures unless this is one of them."""
        if not self.has_energy:
            known = ", ".join(name for name in technologies() if technology(name).has_energy)
            raise ValueError(
                f"energy: technology {self.name!r} has area and delay only; technologies with energy: {known}"
            )

    def _cost(self, row: Row, value: float, low: float, high: float, shared: float, unit: str, what: str) -> Cost:
        status: Status = "tested" if row.checked else "estimated"
        if row.checked:
            check = f"netlist simulated against an exact model, {_metadata()['function_check_vectors']} vectors"
        else:
            check, low, high = "synthesised; function not checked", low / UNCHECKED, high * UNCHECKED
        return Cost(
            value=value,
            low=value * low,
            high=value * high,
            unit=unit,
            source=f"{self.name} row {row.name}: {what}, {_metadata()['flow'].split(':')[0]}, {check}",
            status=status,
            node=self.name,
            shared=shared,
        )


def technologies() -> tuple[str, ...]:
    """Names `technology` takes."""
    return tuple(_metadata()["technologies"])


def technology(name: str | Technology) -> Technology:
    """The technology of that name; a Technology is returned as it is. Raises ValueError naming those there are."""
    if isinstance(name, Technology):
        return name
    if name not in technologies():
        raise ValueError(f"technology: unknown technology {name!r}; use one of {', '.join(technologies())}")
    return _technology(name)


@cache
def _technology(name: str) -> Technology:
    return Technology(name=name, **_metadata()["technologies"][name])


@cache
def _rows(name: str) -> dict[str, Row]:
    measured = load("measured.json")
    energy = measured["energy_timed_fJ"].get(name, {})
    return {
        row: Row(
            name=row,
            area_um2=figures["area_um2"],
            gate_equivalents=figures["ge"],
            delay_ps=figures["delay_ps"],
            sequential_um2=figures["seq_um2"],
            checked=figures["proved"],
            energy_fj=energy.get(row),
        )
        for row, figures in measured["area"][name].items()
    }


@cache
def _metadata() -> dict[str, Any]:
    return load("technologies.json")


def load(name: str) -> dict[str, Any]:
    """A JSON table of this folder."""
    table: dict[str, Any] = json.loads(files("hwsim.technology").joinpath(name).read_text(encoding="utf-8"))
    return table
