"""Clocks of PEs placed and routed on open FPGA families: the table clocks.json, made again or checked.

    python -m hwsim.fpga.clocks [--pe NAME] [--family ecp5] [--check]

Needs nextpnr (pip install bitcost[fpga] for ECP5). No DSPs, so that every PE's product is in LUTs; a register at every
pin. The same versions and seeds give the same clocks on any machine. The netlist is that of yosys' flow for the family
and is not proved; the one of hwsim.fpga.characterise is.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from datetime import date
from typing import Any

from hwsim.fpga.clock_table import TABLE, held_rows
from hwsim.fpga.place import DEVICES, OpenFamily, place_and_route
from hwsim.pe.catalogue import catalogue
from hwsim.rtl.writer import verilog

SEEDS = (1, 2, 3)
LISTED = (
    "mac_int8_int8_fixed32",
    "mac_int4_int4_fixed16",
    "mac_int8_e3m0fn_fixed32",
    "mac_e4m3fn_e4m3fn_fixed45",
    "mac_e2m1fn_e2m1fn_fixed17",
    "mac_e4m3fn_e4m3fn_bfloat16",
)


def row(name: str, family: OpenFamily) -> dict[str, Any]:
    """One PE placed and routed now."""
    module = catalogue()[name].module()
    text = verilog(module)
    found = place_and_route(text, module.name, family=family, dsp=False, seeds=SEEDS, seconds=1800)
    return {
        "device": found.device,
        "clocks_mhz": [round(clock / 1e6, 3) for clock in found.clocks_hz],
        "seeds": list(found.seeds),
        "cells": dict(found.cells),
        "frame_flip_flops": found.frame_flip_flops,
        "nextpnr": found.nextpnr_version,
        "yosys": found.yosys_version,
        "source": hashlib.sha256(text.encode()).hexdigest(),
        "date": date.today().isoformat(),
    }


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m hwsim.fpga.clocks", description=__doc__.split("\n")[0])
    parser.add_argument("--pe", action="append", metavar="NAME", help="only this PE (may be given again)")
    parser.add_argument("--family", action="append", choices=sorted(DEVICES), help="only this family, else all")
    parser.add_argument("--check", action="store_true", help="write nothing; fail where a clock is not the table's")
    asked = parser.parse_args(arguments)
    unknown = sorted(set(asked.pe or ()) - set(catalogue()))
    if unknown:
        parser.error(f"no PE is called {', '.join(unknown)}; there are {', '.join(catalogue())}")
    held = {name: dict(families) for name, families in held_rows().items()}
    wrong = 0
    families: list[OpenFamily] = asked.family or list(DEVICES)
    for family in families:
        for name in asked.pe or LISTED:
            made = row(name, family)
            print(f"{name} {family}: {made['clocks_mhz']} MHz", flush=True)
            if asked.check:
                other = held.get(name, {}).get(family, {})
                different = [key for key in made if key != "date" and made[key] != other.get(key)]
                print("\n".join(f"  {key}: {other.get(key)} in the table, {made[key]} now" for key in different))
                wrong += bool(different)
                continue
            held.setdefault(name, {})[family] = made
            TABLE.write_text(json.dumps({"rows": held}, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
