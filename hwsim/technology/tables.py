"""Technology: one standard-cell library's synthesised PEs with their provenance."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from os import PathLike
from pathlib import Path
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
    """The shipped technologies: names `technology` takes."""
    return tuple(_metadata()["technologies"])


_added: dict[str, dict[str, Any]] = {}


def add_technology(path: str | PathLike[str]) -> Technology:
    """A table of one's own library as a technology of this process, by its file's name without ending.

    path: what `python -m hwsim.characterise --liberty ... --output path` wrote and `python -m hwsim.characterise.fit
    --table path` fitted.  Raises TypeError for what is no path, ValueError for other files and for the name of a
    shipped technology.
    """
    if not isinstance(path, str | PathLike):
        raise TypeError(f"add_technology: needs the path of a table, got {path!r}; {_WRITE}")
    file = Path(path)
    name = file.stem
    if name in technologies() or name == GATES:
        raise ValueError(f"add_technology: {name!r} is a shipped technology; give the file another name")
    table = _read(file)
    if _added.setdefault(name, table) != table:
        raise ValueError(f"add_technology: there is another {name!r} in this process; give the file another name")
    return technology(name)


_WRITE = (
    "write it with python -m hwsim.characterise --liberty PATH --driving-cell C --load-ff F --period-ps P "
    "--output TABLE, and then python -m hwsim.characterise.fit --table TABLE"
)
_KEYS = {"rows", "library", "sha256", "nand2_um2", "voltage_v"}
_FITTED = {"area", "delay", "energy", "flip_flop_um2", "leakage_nw_per_um2", "between_operands"}


def _read(file: Path) -> dict[str, Any]:
    """A table that characterise wrote. Raises ValueError saying what keeps a file from being one."""
    if not file.is_file():
        raise ValueError(f"add_technology: there is no file {file}; {_WRITE}")
    try:
        table: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"add_technology: {file} is no JSON: {error}; {_WRITE}") from None
    lacking = _lacking(table, _KEYS)
    if not lacking and not isinstance(table["rows"], dict):
        lacking = ["rows by name"]
    if not lacking:
        wanted = set(Row.__dataclass_fields__) - {"name"}
        by_row = {name: _lacking(row, wanted) for name, row in table["rows"].items()}
        lacking = [f"{', '.join(keys)} of {name}" for name, keys in by_row.items() if keys][:1]
    if not lacking and "coefficients" in table:
        lacking = [f"coefficients of {key}" for key in _lacking(table["coefficients"], _FITTED)]
    if lacking:
        raise ValueError(f"add_technology: {file} has no {', '.join(lacking)}; {_WRITE}")
    for name, row in table["rows"].items():
        for figure, value in _figures(row):
            above = figure in ("area_um2", "gate_equivalents", "delay_ps") or figure.startswith("energy_fj")
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if not is_number or not (value > 0 if above else value >= 0):
                least = "above 0" if above else "of at least 0"
                raise ValueError(
                    f"add_technology: {file}: {figure} of {name} must be a number {least}, got {value!r}; {_WRITE}"
                )
    return table


def _figures(row: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """What must be numbers in a row, by name; None where there is nothing."""
    from hwsim.pe.stimulus import OPERANDS

    for name in ("area_um2", "sequential_um2", "gate_equivalents", "flip_flops", "delay_ps", "leakage_nw"):
        yield name, row[name]
    for name in ("energy_fj", "zero_delay_fj", "energy_error_fj"):
        by_kind = row[name] if isinstance(row[name], dict) else {}
        yield from ((f"{name} by {kind} operands", by_kind.get(kind)) for kind in OPERANDS)


def _lacking(table: object, keys: set[str]) -> list[str]:
    return sorted(keys - set(table)) if isinstance(table, dict) else sorted(keys)


def added(name: str) -> dict[str, Any] | None:
    """The table of a technology that was added."""
    return _added.get(name)


def technology(name: str | Technology) -> Technology:
    """The technology of that name; a Technology is returned as it is. Raises ValueError naming those there are."""
    if isinstance(name, Technology):
        return name
    if not isinstance(name, str):
        raise TypeError(
            f"technology: needs a name or a Technology, got {name!r}; use one of {', '.join(technologies())}"
        )
    if name not in technologies() and name not in _added:
        known = ", ".join([*technologies(), *_added])
        raise ValueError(f"technology: unknown technology {name!r}; use one of {known}")
    return _technology(name)


@cache
def gate_rows() -> Mapping[str, GateRow]:
    """The PEs synthesised without a library, by name."""
    rows = load(f"{GATES}.json")["rows"]
    return {name: GateRow(name=name, **_picked(GateRow, row)) for name, row in rows.items()}


@cache
def _technology(name: str) -> Technology:
    table = _added.get(name)
    if table is None:
        return Technology(name=name, **_metadata()["technologies"][name])
    return Technology(
        name=name, title=table["library"], node_nm=0.0, voltage_v=table["voltage_v"], nand2_um2=table["nand2_um2"],
        licence="", library=table["library"], library_sha256=table["sha256"],
    )  # fmt: skip


@cache
def _rows(name: str) -> Mapping[str, Row]:
    rows = (_added.get(name) or load(f"{name}.json"))["rows"]
    return {row: Row(name=row, **_picked(Row, figures)) for row, figures in rows.items()}


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
