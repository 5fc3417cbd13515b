"""LUTs, flip-flops, DSPs and carries of the catalogue's PEs on AMD families: the table amd.json, made again or checked.

    python -m hwsim.fpga.characterise [--pe NAME] [--check]

No row enters before its netlist of AMD cells was proved, or tested on vectors, against what the PE must do. The builds
of a row are `logic` (no DSPs; 7 series and UltraScale+ get the same cells), and, for integer PEs with a multiplier
large enough for a slice, `xc7` and `xcup`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from hwsim.fpga.resources import TABLE, slice_multipliers
from hwsim.fpga.synthesis import Family, Mapped, mapped, script
from hwsim.pe.catalogue import Listed, catalogue
from hwsim.rtl.session import yosys_version
from hwsim.rtl.writer import verilog

BUILDS: dict[str, tuple[Family, bool]] = {"logic": ("xcup", False), "xc7": ("xc7", True), "xcup": ("xcup", True)}


def builds(listed: Listed) -> tuple[str, ...]:
    """What a PE is built as: with DSPs where it adds integers and yosys uses a slice for a multiplier."""
    return tuple(BUILDS) if listed.family == "int" and slice_multipliers(listed.module()) else ("logic",)


def row(name: str, listed: Listed, held: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """One PE with all its builds; `held` where that is a row of the same Verilog. Raises ArithmeticError where a
    netlist is wrong."""
    module = listed.module()
    text = verilog(module)
    source = hashlib.sha256(text.encode()).hexdigest()
    if held is not None and held["source"] == source:
        return dict(held)
    wanted = builds(listed)
    made = mapped(text, module.name, tuple(BUILDS[build] for build in wanted), seconds=1200)
    return {
        "family": listed.family,
        "source": source,
        "builds": {build: _build(name, build, listed, one) for build, one in zip(wanted, made, strict=True)},
    }


def _build(name: str, build: str, listed: Listed, made: Mapped) -> dict[str, Any]:
    proof = listed.check(made.synthesis)
    if proof.status not in ("proved", "tested"):
        raise ArithmeticError(f"characterise: {name} built as {build} is {proof.status}: {proof.counterexample}")
    counts = made.counts
    return {
        "luts": counts.luts,
        "flip_flops": counts.flip_flops,
        "dsps": counts.dsps,
        "carries": counts.carries,
        "cells": dict(counts.cells),
        "status": proof.status,
        "vectors": proof.vectors,
        "certificate": proof.digest,
    }


def table(
    names: Iterable[str], held: Mapping[str, Any] | None = None, tell: Callable[[str], None] = lambda line: None
) -> dict[str, Any]:
    """The rows of these PEs. held: an older table of the same yosys, whose rows of unchanged Verilog are taken over."""
    tool = f"yosys {yosys_version()} (pyosys)"
    known = held["rows"] if held is not None and held.get("tool") == tool else {}
    rows: dict[str, Any] = {}
    for name in names:
        rows[name] = row(name, catalogue()[name], known.get(name))
        for build, made in rows[name]["builds"].items():
            cells = ", ".join(f"{made[key]} {key}" for key in ("luts", "flip_flops", "dsps", "carries"))
            tell(f"{name} {build}: {cells}, {made['status']}")
    scripts = {build: list(script("TOP", family, dsp)) for build, (family, dsp) in BUILDS.items()}
    return {"tool": tool, "script": scripts, "rows": rows}


def differences(held: Mapping[str, Any], made: Mapping[str, Any]) -> list[str]:
    """Rows of the second table that are not those of the first, said one a line."""
    found = []
    for name, one in made["rows"].items():
        other = held["rows"].get(name)
        if other is None:
            found.append(f"{name}: not in the table")
        elif other != one:
            found.append(f"{name}: {json.dumps(other, sort_keys=True)} -> {json.dumps(one, sort_keys=True)}")
    return found


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m hwsim.fpga.characterise", description=__doc__.split("\n")[0])
    parser.add_argument("--pe", action="append", metavar="NAME", help="only this PE (may be given again)")
    parser.add_argument("--check", action="store_true", help="write nothing; fail where a row is not the table's")
    asked = parser.parse_args(arguments)
    unknown = sorted(set(asked.pe or ()) - set(catalogue()))
    if unknown:
        parser.error(f"no PE is called {', '.join(unknown)}; there are {', '.join(catalogue())}")
    held: dict[str, Any] = json.loads(TABLE.read_text(encoding="utf-8")) if TABLE.exists() else {"rows": {}}
    names = asked.pe or [name for name in held["rows"] if name in catalogue()]
    if asked.check:
        made = table(names, tell=_tell)
        wrong = differences(held, made)
        print("\n".join(wrong) or f"{len(names)} PEs as in {TABLE.name}")
        return int(bool(wrong))
    for name in names:  # written after every PE: a run takes an hour, and may be ended
        made = table([name], held, _tell)
        rows = held["rows"] if held.get("tool", made["tool"]) == made["tool"] else {}
        held = {**made, "rows": rows | made["rows"]}
        TABLE.write_text(json.dumps(held, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    print(f"{len(held['rows'])} PEs in {TABLE.name}")
    return 0


def _tell(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
