"""The table of a standard-cell library: area, delay, energy and leakage of every listed PE, its netlist checked."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any

from hwsim.characterise.cmos import about
from hwsim.characterise.libraries import Constraints
from hwsim.liberty.cells import Library, read_library
from hwsim.liberty.energy import energy_per_cycle
from hwsim.liberty.models import functions
from hwsim.liberty.timing import Conditions, static_timing
from hwsim.pe.catalogue import Listed, catalogue
from hwsim.pe.stimulus import OPERANDS, Operands
from hwsim.pe.units.unit import Columns
from hwsim.rtl.writer import verilog
from hwsim.rtl.yosys import Liberty, Synthesis, synthesise

CYCLES = 300
WARM_UP_CYCLES = 8
FIGURES = 6  # significant digits kept


def table(
    path: str,
    constraints: Constraints,
    names: Iterable[str] | None = None,
    *,
    held: Mapping[str, Any] | None = None,
    tell: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Every listed PE (those named) by the library at `path`. A PE that is wrong is left out.

    held: an older table, whose rows of unchanged Verilog, operands, library and constraints are taken over. tell: gets
    a line a PE. Raises LibertyError for a broken library.
    """
    library = _library(path)
    about: dict[str, Any] = {
        "library": library.name,
        "sha256": library.sha256,
        "corner": library.corner,
        "voltage_v": library.voltage_v,
        "temperature_c": library.temperature_c,
        "nand2_um2": library.nand2.area_um2,
        "constraints": {
            "period_ps": constraints.period_ps,
            "driving_cell": constraints.driving_cell,
            "load_ff": constraints.load_ff,
        },
        "cycles": CYCLES,
    }
    target = Liberty(path, constraints.period_ps, constraints.driving_cell, constraints.load_ff)
    same = held is not None and all(held.get(key) == value for key, value in about.items())
    known: Mapping[str, Any] = held["rows"] if same and held is not None else {}
    rows: dict[str, Any] = {}
    for name in catalogue() if names is None else names:
        try:
            rows[name] = row(name, catalogue()[name], library, target, known.get(name))
        except ArithmeticError as error:
            tell(str(error))
            continue
        tell(f"{name}: {rows[name]['area_um2']:g} um2, {rows[name]['delay_ps']:g} ps, {rows[name]['status']}")
    tool = next(iter(rows.values()), {"tool": ""})["tool"]
    return {**about, "tool": tool, "rows": rows}


@cache
def _library(path: str) -> Library:
    return read_library(path)


def row(
    name: str, listed: Listed, library: Library, target: Liberty, held: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """One PE. Raises ArithmeticError where its netlist is wrong."""
    module = listed.module()
    text = verilog(module)
    source = hashlib.sha256(text.encode()).hexdigest()
    operands = operands_digest(listed)
    if held is not None and (held["source"], held.get("operands")) == (source, operands):
        return {**held, **about(listed)}
    made = synthesise(text, module.name, target)
    proof = listed.check(made, functions(library))
    if proof.status not in ("proved", "tested"):
        raise ArithmeticError(f"characterise: {name} is {proof.status}: {proof.counterexample}")
    conditions = Conditions(driving_cell=target.driving_cell, output_load_ff=target.load_ff)
    timing = static_timing(made.netlist, library, conditions)
    area = made.statistics["area_um2"]
    return {
        **about(listed),
        "area_um2": _rounded(area),
        "gate_equivalents": _rounded(area / library.nand2.area_um2),
        "sequential_um2": _rounded(made.statistics["sequential_area_um2"]),
        "flip_flops": int(made.statistics["flip_flops"]),
        "delay_ps": _rounded(timing.delay_ps),
        "abc_delay_ps": _rounded(made.statistics["abc_delay_ps"]) if "abc_delay_ps" in made.statistics else None,
        "cells": dict(sorted(made.netlist.histogram().items())),
        **_energies(listed, made, library, conditions),
        "source": source,
        "operands": operands,
        "status": proof.status,
        "vectors": proof.vectors,
        "certificate": proof.digest,
        "tool": f"yosys {made.yosys_version} (pyosys)",
    }


def operands_digest(listed: Listed) -> str:
    """Of all patterns that its energies are simulated with: other ones make a row old as other Verilog does."""
    digest = hashlib.sha256()
    for operands in OPERANDS:
        for port, patterns in sorted(_vectors(listed, operands).items()):
            digest.update(f"{operands} {port} {patterns.tolist()}".encode())
    return digest.hexdigest()


def _vectors(listed: Listed, operands: Operands) -> Columns:
    return listed.stimulus(operands, CYCLES + WARM_UP_CYCLES)


def _energies(listed: Listed, made: Synthesis, library: Library, conditions: Conditions) -> dict[str, Any]:
    """fJ a cycle by operands, with delays and without; leakage by normal operands."""
    found: dict[str, Any] = {"energy_fj": {}, "zero_delay_fj": {}, "energy_error_fj": {}}
    for operands in OPERANDS:
        vectors = _vectors(listed, operands)
        for key, timed in (("energy_fj", True), ("zero_delay_fj", False)):
            energy = energy_per_cycle(
                made.netlist, library, vectors, conditions, timed=timed, warm_up_cycles=WARM_UP_CYCLES
            )
            found[key][operands] = _rounded(energy.total_fj)
            if timed:
                found["energy_error_fj"][operands] = _rounded(energy.standard_error_fj)
                if operands == "normal":
                    found["leakage_nw"] = _rounded(energy.leakage_nw)
                    found["clock_fj"] = _rounded(energy.clock_fj)
    return found


def _rounded(x: float) -> float:
    return float(f"{x:.{FIGURES}g}")
