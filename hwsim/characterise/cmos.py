"""The table of `cmos_gates`: what yosys makes of each PE without a library, which anybody can make again."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from hwsim.circuit import Build, Module
from hwsim.pe.catalogue import Listed, catalogue
from hwsim.primitives import Leaf, primitive
from hwsim.rtl.writer import verilog
from hwsim.rtl.yosys import CmosGates, Synthesis, synthesise

_ANY = primitive("adder", {"width": 2})  # to ask yosys for its version and the script


def row(name: str, listed: Listed, held: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """One PE: its gates, its registers, its proof; `held` where that is a row of the same Verilog.

    Raises ArithmeticError where the netlist is wrong.
    """
    module = listed.module()
    text = verilog(module)
    if held is not None and held["source"] == hashlib.sha256(text.encode()).hexdigest():
        return {**held, **about(listed)}
    made = synthesise(text, module.name, CmosGates())
    proof = listed.check(made)
    if proof.status not in ("proved", "tested"):
        raise ArithmeticError(f"characterise: {name} is {proof.status}: {proof.counterexample}")
    return {
        **about(listed),
        **_gates(made),
        "source": hashlib.sha256(text.encode()).hexdigest(),
        "status": proof.status,
        "vectors": proof.vectors,
        "certificate": proof.digest,
    }


def about(listed: Listed) -> dict[str, Any]:
    """What of a row is not synthesised: family; terms, a fraction that is no integer as its text."""
    return {"family": listed.family, "terms": int(listed.terms) if listed.terms.denominator == 1 else str(listed.terms)}


def leaf_row(leaf: Leaf, held: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """One leaf alone; `held` where that is a row of the same Verilog."""
    module = alone(leaf)
    source = hashlib.sha256(verilog(module).encode()).hexdigest()
    if held is not None and held.get("source") == source:
        return {**held, "parameters": _texts(leaf)}
    return {
        "source": source,
        "kind": leaf.kind,
        "parameters": _texts(leaf),
        **_gates(synthesise(verilog(module), module.name, CmosGates())),
    }


def table(
    names: Iterable[str] | None = None,
    *,
    leaves: bool = True,
    held: Mapping[str, Any] | None = None,
    tell: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """PEs (all listed ones where none are named) and every leaf they are made of. One that is wrong is left out.

    held: an older table of the same yosys, whose rows of unchanged Verilog are taken over. tell: gets a line a PE.
    """
    made = synthesise(verilog(alone(_ANY)), "alone", CmosGates())
    tool = f"yosys {made.yosys_version} (pyosys)"
    known: Mapping[str, Any] = held if held is not None and held.get("tool") == tool else {"rows": {}, "leaves": {}}
    listed = {name: catalogue()[name] for name in (catalogue() if names is None else names)}
    rows: dict[str, Any] = {}
    for name, one in listed.items():
        try:
            rows[name] = row(name, one, known["rows"].get(name))
        except ArithmeticError as error:
            tell(str(error))
            continue
        tell(f"{name}: {rows[name]['gate_equivalents']:g} GE, {rows[name]['status']}")
    parts = {leaf.module_name: leaf for one in listed.values() for leaf in one.module().leaves()}
    return {
        "tool": tool,
        "script": list(made.script),
        "rows": rows,
        "leaves": {
            name: leaf_row(leaf, known["leaves"].get(name))
            for name, leaf in sorted(parts.items())
            if leaves and leaf.kind != "register"
        },
    }


def alone(leaf: Leaf) -> Module:
    """A module that is the leaf and nothing else."""
    m = Build("alone")
    rows = {port: m.input(f"{port}_in", width) for port, width in leaf.inputs().items()}
    made = m.leaf("dut", leaf.kind, **leaf.parameters, **rows)
    for port, wires in (made if isinstance(made, dict) else {next(iter(leaf.outputs())): made}).items():
        m.output(f"{port}_out", wires)
    return m.done()


def differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[str]:
    """Rows of the second table that are not those of the first, said one a line."""
    found = []
    for part in ("rows", "leaves"):
        for name, made in second.get(part, {}).items():
            held = first.get(part, {}).get(name)
            if held is None:
                found.append(f"{name}: not in the table")
            elif held != made:
                keys = [key for key in made if held.get(key) != made[key]]
                found.append(f"{name}: " + ", ".join(f"{key} {held.get(key)} -> {made[key]}" for key in keys))
    return found


def _gates(made: Synthesis) -> dict[str, Any]:
    cells = {kind: count for kind, count in sorted(made.netlist.histogram().items())}
    return {
        "gate_equivalents": made.statistics["gate_equivalents"],
        "flip_flops": int(made.statistics["flip_flops"]),
        "cells": cells,
    }


def _texts(leaf: Leaf) -> dict[str, int | str]:
    """Parameters; a table's contents, which no JSON number holds, in hexadecimal."""
    return {name: hex(value) if name == "contents" else value for name, value in leaf.parameters.items()}
