"""Technology: one standard-cell library's synthesised PEs with their provenance."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from hwsim.cost import Status

GATES = "cmos_gates"  # the node of figures in gate equivalents, which need no library


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One synthesised module. source: sha256 of its Verilog.  status: "proved" or "tested", its netlist against its
    function.  energy_fj: a cycle, by kind of operands; energy_error_fj: their standard errors.  leakage_nw: with normal
    operands.  gate_equivalents: with the flip-flops, in NAND2 areas of the library.
    """

    name: str
    family: str
    source: str
    status: Status
    area_um2: float
    sequential_um2: float
    gate_equivalents: float
    flip_flops: int
    delay_ps: float
    energy_fj: Mapping[str, float]
    zero_delay_fj: Mapping[str, float]
    energy_error_fj: Mapping[str, float]
    leakage_nw: float


@dataclass(frozen=True, kw_only=True, slots=True)
class GateRow:
    """One module synthesised without a library. gate_equivalents: combinational, transistors / 4."""

    name: str
    family: str
    source: str
    status: Status
    gate_equivalents: float
    flip_flops: int


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
        """The synthesised PEs, by name."""
        return _rows(self.name)


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
def gate_rows() -> Mapping[str, GateRow]:
    """The PEs synthesised without a library, by name."""
    rows = load(f"{GATES}.json")["rows"]
    return {name: GateRow(name=name, **_picked(GateRow, row)) for name, row in rows.items()}


@cache
def _technology(name: str) -> Technology:
    return Technology(name=name, **_metadata()["technologies"][name])


@cache
def _rows(name: str) -> Mapping[str, Row]:
    return {row: Row(name=row, **_picked(Row, figures)) for row, figures in load(f"{name}.json")["rows"].items()}


def _picked(kind: type, row: Mapping[str, Any]) -> dict[str, Any]:
    """The columns that a row class has."""
    return {name: row[name] for name in kind.__dataclass_fields__ if name != "name"}  # type: ignore[attr-defined]


@cache
def _metadata() -> dict[str, Any]:
    return load("technologies.json")


def load(name: str) -> dict[str, Any]:
    """A JSON table of this folder."""
    table: dict[str, Any] = json.loads(files("hwsim.technology").joinpath(name).read_text(encoding="utf-8"))
    return table
