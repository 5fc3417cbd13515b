"""Clocks of PEs placed and routed on open FPGA families, from the table that `python -m hwsim.fpga.clocks` makes."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from hwsim.fpga.place import OpenFamily, Placed

TABLE = Path(__file__).with_name("clocks.json")


def clock(name: str, family: OpenFamily = "ecp5") -> Placed:
    """A PE of the table. Raises ValueError naming those there are."""
    rows = held_rows()
    if name not in rows or family not in rows[name]:
        known = ", ".join(other for other, families in rows.items() if family in families)
        raise ValueError(
            f"clock: {name!r} was not placed on {family!r}; there are {known or 'none'}; "
            f"python -m hwsim.fpga.clocks --pe {name} --family ecp5 adds it"
        )
    one = rows[name][family]
    hertz = tuple(1e6 * mhz for mhz in one["clocks_mhz"])
    return Placed(
        family=family,
        device=one["device"],
        clocks_hz=hertz,
        seeds=tuple(one["seeds"]),
        critical_ns=1e9 / sorted(hertz)[(len(hertz) - 1) // 2],
        cells=tuple(sorted(one["cells"].items())),
        frame_flip_flops=one["frame_flip_flops"],
        nextpnr_version=one["nextpnr"],
        yosys_version=one["yosys"],
    )


@cache
def held_rows() -> dict[str, Any]:
    """By PE and family."""
    held: dict[str, Any] = json.loads(TABLE.read_text(encoding="utf-8")) if TABLE.exists() else {"rows": {}}
    rows: dict[str, Any] = held["rows"]
    return rows
