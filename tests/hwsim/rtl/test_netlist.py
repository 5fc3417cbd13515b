"""Netlists from yosys' JSON."""

from __future__ import annotations

from typing import Any

import pytest

from hwsim.rtl.netlist import ONE, ZERO, Cell, Netlist


def half_adder(**changes: Any) -> dict[str, Any]:
    module: dict[str, Any] = {
        "ports": {
            "a": {"direction": "input", "bits": [2, 3]},
            "s": {"direction": "output", "bits": [4, 5, "0", "1", 2]},
        },
        "cells": {
            "x": {"type": "$_XOR_", "connections": {"A": [2], "B": [3], "Y": [4]}},
            "y": {"type": "$_AND_", "connections": {"A": [2], "B": [3], "Y": [5]}},
            "scope": {"type": "$scopeinfo", "connections": {}},
            "z": {"type": "$_AND_", "connections": {"A": [2], "B": ["1"], "Y": [6]}},
        },
    }
    return {"modules": {"half": module | changes}}


def test_ports_cells_and_constants() -> None:
    netlist = Netlist.from_yosys_json(half_adder(), "half")
    assert netlist.inputs == {"a": (2, 3)}
    assert netlist.outputs == {"s": (4, 5, ZERO, ONE, 2)}
    assert netlist.cells[0] == Cell("x", "$_XOR_", {"A": (2,), "B": (3,), "Y": (4,)})
    assert netlist.cells[2].pins["B"] == (ONE,)
    assert netlist.histogram() == {"$_AND_": 2, "$_XOR_": 1}


def test_digest_follows_function_not_instance_names() -> None:
    netlist = Netlist.from_yosys_json(half_adder(), "half")
    renamed = Netlist(
        netlist.name, netlist.inputs, netlist.outputs, (Cell("q", *_rest(netlist.cells[0])), *netlist.cells[1:])
    )
    rewired = Netlist(netlist.name, netlist.inputs, {"s": (5, 4, 0, 1, 2)}, netlist.cells)
    assert renamed.digest() == netlist.digest()
    assert rewired.digest() != netlist.digest()


def _rest(cell: Cell) -> tuple[str, Any]:
    return cell.kind, cell.pins


def test_refusals_say_what_arrived() -> None:
    with pytest.raises(ValueError, match="no module 'full' in the netlist; it has half"):
        Netlist.from_yosys_json(half_adder(), "full")
    with pytest.raises(ValueError, match=r"port 's' of 'half' has a bit that is x.*setundef -zero"):
        Netlist.from_yosys_json(half_adder(ports={"s": {"direction": "output", "bits": ["x"]}}), "half")
    with pytest.raises(ValueError, match="port 's' of 'half' is inout"):
        Netlist.from_yosys_json(half_adder(ports={"s": {"direction": "inout", "bits": [2]}}), "half")
