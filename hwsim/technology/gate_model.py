"""Gates of a PE that was never synthesised: counted where they stand, priced by five coefficients.

    gates(pe.module())          # 1173 GE (1094..1252, estimated)

The coefficients, gate_coefficients.json, are those that `python -m hwsim.characterise.fit` fits on cmos_gates.json. The
interval is the error within which nine of ten PEs were predicted with their whole family left out of the fit.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from hwsim.circuit import Module
from hwsim.circuit.counts import counted
from hwsim.cost import Cost, Status

HERE = Path(__file__).parent
TERMS = ("and", "xor", "mux", "chain", "tree")
NODE = "cmos_gates"


def terms(module: Module) -> list[float]:
    """ANDs, XORs, multiplexers, full adders of carry chains, full adders of trees."""
    kinds = counted(module).kinds
    return [
        kinds["and"],
        kinds["xor"],
        kinds["mux"],
        (kinds["sum"] + kinds["carry"]) / 2,
        (kinds["total"] + kinds["over"]) / 2,
    ]


def gates(module: Module) -> Cost:
    """Combinational gates in GE (NAND2 equivalents): as synthesised where the table has the module, else estimated."""
    from hwsim.rtl.writer import verilog

    held = _synthesised().get(hashlib.sha256(verilog(module).encode()).hexdigest())
    if held is not None:
        value, status = held
        return Cost(
            value=value, low=value, high=value, unit="GE", status=status, node=NODE,
            source=f"{NODE}: synthesised, its netlist {status}",
        )  # fmt: skip
    return estimate(module)


def estimate(module: Module) -> Cost:
    """The estimate, whether the module is in the table or not."""
    model = _model()
    value = float(np.dot(terms(module), [model["coefficients"][term] for term in TERMS]))
    band = model["interval"]
    return Cost(
        value=value, low=value * (1 - band), high=value * (1 + band), unit="GE", status="estimated", node=NODE,
        source=f"{NODE}: gates counted, 90 % of PEs within {band:.1%} with their family left out",
    )  # fmt: skip


@cache
def _model() -> dict[str, Any]:
    held: dict[str, Any] = json.loads((HERE / "gate_coefficients.json").read_text(encoding="utf-8"))
    return held


@cache
def _synthesised() -> Mapping[str, tuple[float, Status]]:
    table = json.loads((HERE / "cmos_gates.json").read_text(encoding="utf-8"))
    return {row["source"]: (row["gate_equivalents"], row["status"]) for row in table["rows"].values()}
