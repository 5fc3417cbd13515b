"""AMD's cells as plain gates: against their definitions, the exact model of the slice, and yosys' own model of one."""

from __future__ import annotations

import copy
import importlib.util
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwsim.fpga.cells import plain
from hwsim.fpga.dsp48e2 import (
    MULTIPLY,
    X_AB,
    X_P,
    X_ZERO,
    Y_C,
    Y_ONES,
    Y_ZERO,
    Z_C,
    Z_P,
    Z_PCIN,
    Z_ZERO,
    Dsp48e2,
    Inputs,
)
from hwsim.rtl.gates import GateSimulator
from hwsim.rtl.yosys import elaborate

Module = dict[str, Any]


def unit(kind: str, pins: dict[str, int], outputs: tuple[str, ...], parameters: dict[str, str] | None = None) -> Module:
    """One cell whose pins, of so many bits, are ports."""
    top, nets = 2, {}
    for pin, width in pins.items():
        nets[pin] = list(range(top, top + width))
        top += width
    ports = {pin: {"direction": "output" if pin in outputs else "input", "bits": bits} for pin, bits in nets.items()}
    cell = {"type": kind, "parameters": parameters or {}, "connections": nets}
    return {"ports": ports, "cells": {"it": cell}, "netnames": {}}


def simulator(module: Module) -> GateSimulator:
    return GateSimulator(plain(module, "unit")[0])


@pytest.mark.parametrize("inputs", range(1, 7))
def test_every_lut(inputs: int) -> None:
    """Output = bit of INIT at the number that the inputs are, I0 the lowest."""
    rng = np.random.default_rng(inputs)
    for _ in range(4):
        contents = [int(bit) for bit in rng.integers(0, 2, 1 << inputs)]
        text = "".join(map(str, reversed(contents)))
        pins = {f"I{place}": 1 for place in range(inputs)} | {"O": 1}
        codes = np.arange(1 << inputs)
        given = {f"I{place}": codes >> place & 1 for place in range(inputs)}
        got = simulator(unit(f"LUT{inputs}", pins, ("O",), {"INIT": text})).evaluate(given)["O"]
        assert got.tolist() == contents


@pytest.mark.parametrize(("kind", "width"), [("CARRY4", 4), ("CARRY8", 8)])
def test_carries_add(kind: str, width: int) -> None:
    """With S the operands' exclusive or and DI one of them, O is their sum and CO its carries."""
    pins = {"CI": 1, "DI": width, "S": width, "O": width, "CO": width}
    cell = simulator(unit(kind, pins | ({"CYINIT": 1} if width == 4 else {}), ("O", "CO")))
    a, b, c = (grid.reshape(-1) for grid in np.meshgrid(*[np.arange(1 << min(width, 6))] * 2, [0, 1], indexing="ij"))
    given = {"CI": c, "DI": a, "S": a ^ b} | ({"CYINIT": c * 0} if width == 4 else {})
    got = cell.evaluate(given)
    total = a + b + c
    assert (got["O"] == total % (1 << width)).all()
    assert (got["CO"] >> (width - 1) == total >> width).all()
    for place in range(width):
        low = (1 << (place + 1)) - 1
        assert ((got["CO"] >> place & 1) == ((a & low) + (b & low) + c) >> (place + 1)).all()


@pytest.mark.parametrize(("kind", "reset", "value"), [("FDRE", "R", 0), ("FDSE", "S", 1)])
def test_flip_flops(kind: str, reset: str, value: int) -> None:
    """Reset over enable over data."""
    cell = simulator(unit(kind, {"C": 1, "CE": 1, "D": 1, reset: 1, "Q": 1}, ("Q",)))
    rng = np.random.default_rng(0)
    given = {pin: rng.integers(0, 2, (30, 64)) for pin in ("CE", "D", reset)}
    got = cell.run(given)["Q"]
    held = np.zeros(64, int)
    for cycle in range(30):
        assert (got[cycle] == held).all()
        held = np.where(given[reset][cycle], value, np.where(given["CE"][cycle], given["D"][cycle], held))


@pytest.mark.parametrize("address", [0, 5, 15])
def test_shift_registers(address: int) -> None:
    module = unit("SRL16E", {"CLK": 1, "CE": 1, "D": 1, "A0": 1, "A1": 1, "A2": 1, "A3": 1, "Q": 1}, ("Q",))
    for place in range(4):
        del module["ports"][f"A{place}"]
        module["cells"]["it"]["connections"][f"A{place}"] = [str(address >> place & 1)]
    data = np.random.default_rng(1).integers(0, 2, (40, 8))
    got = simulator(module).run({"CE": np.ones_like(data), "D": data})["Q"]
    assert (got[address + 1 :] == data[: -address - 1]).all()


def test_multiplexers_and_inverters() -> None:
    i0, i1, s = (np.arange(8) >> place & 1 for place in range(3))
    for kind in ("MUXF7", "MUXF8", "MUXF9"):
        cell = simulator(unit(kind, {"I0": 1, "I1": 1, "S": 1, "O": 1}, ("O",)))
        assert (cell.evaluate({"I0": i0, "I1": i1, "S": s})["O"] == np.where(s, i1, i0)).all()
    assert simulator(unit("INV", {"I": 1, "O": 1}, ("O",))).evaluate({"I": i0})["O"].tolist() == (1 - i0).tolist()


def digits(number: int) -> str:
    return f"{number:032b}"


SLICE_PINS = {"CLK": 1, "A": 30, "B": 18, "C": 48, "D": 27, "PCIN": 48, "CARRYIN": 1, "P": 48, "PCOUT": 48}
ENABLES = [f"CE{name}" for name in ("A1", "A2", "B1", "B2", "C", "D", "AD", "M", "P")]
RESETS = [f"RST{name}" for name in ("A", "B", "C", "D", "M", "P")]
CONFIGURATIONS = [
    # As yosys makes them, then what a column at full speed is, then sums and differences of all kinds.
    {"opmode": MULTIPLY},
    {"preg": 1, "opmode": MULTIPLY | Z_C},
    {"areg": 1, "breg": 1, "mreg": 1, "preg": 1, "opmode": MULTIPLY | Z_P},
    {"areg": 1, "breg": 2, "dreg": 1, "adreg": 1, "mreg": 1, "preg": 1, "amultsel": "ad", "opmode": MULTIPLY | Z_PCIN},
    {"areg": 2, "breg": 1, "creg": 1, "preg": 1, "opmode": X_AB | Y_C | Z_ZERO},
    {"preg": 1, "creg": 1, "opmode": X_P | Y_C | Z_PCIN, "alumode": 3},
    {"preg": 1, "opmode": X_ZERO | Y_ONES | (6 << 4)},
    {"preg": 1, "opmode": X_P | Y_ZERO | (5 << 4)},
]


def slice_module(kind: str, configuration: dict[str, Any], wide: int) -> Module:
    """A DSP slice of that configuration, its modes constant."""
    said = {f"{name}reg": 0 for name in ("a", "ad", "b", "c", "d", "m", "p")} | configuration
    modes = {"OPMODE": (said.pop("opmode"), 9 if wide == 27 else 7), "ALUMODE": (said.pop("alumode", 0), 4)}
    modes |= {"INMODE": (4 if "amultsel" in said else 0, 5), "CARRYINSEL": (0, 3)}
    joined = said.pop("amultsel", "a") == "ad"
    said |= {"acascreg": said["areg"], "bcascreg": said["breg"]}
    said |= dict.fromkeys(("alumodereg", "carryinreg", "carryinselreg", "inmodereg", "opmodereg"), 0)
    parameters = {name.upper(): digits(value) for name, value in said.items()}
    parameters |= {"AMULTSEL": "AD" if joined else "A"} if wide == 27 else {"USE_DPORT": "TRUE" if joined else "FALSE"}
    module = unit(kind, SLICE_PINS | {"D": wide if wide == 27 else 25}, ("P", "PCOUT"), parameters)
    pins = module["cells"]["it"]["connections"]
    pins |= {pin: ["1"] for pin in ENABLES} | {pin: ["0"] for pin in RESETS}
    pins |= {pin: [str(value >> place & 1) for place in range(width)] for pin, (value, width) in modes.items()}
    return module


def answers(module: Module, wide: int, seed: int) -> tuple[dict[str, Any], Any]:
    """Operands (12 cycles, 64 streams), a third of them corners, and P."""
    rng = np.random.default_rng(seed)
    widths = {"A": 30, "B": 18, "C": 48, "D": wide, "PCIN": 48, "CARRYIN": 1}
    given = {}
    for pin, width in widths.items():
        corners = rng.choice([0, 1, (1 << width) - 1, 1 << (width - 1)], (12, 64))
        given[pin] = np.where(rng.random((12, 64)) < 0.3, corners, rng.integers(0, 1 << width, (12, 64)))
    return given, run(simulator(module), given)


def run(cell: GateSimulator, given: dict[str, Any]) -> Any:
    """P, signed; a slice without registers has a clock that nothing reads."""
    all_pins = {**given, "CLK": np.zeros_like(given["A"])}
    return cell.run({pin: all_pins[pin] for pin in cell.inputs}, signed=("P",))["P"]


@pytest.mark.parametrize("configuration", CONFIGURATIONS, ids=str)
def test_slices_are_the_exact_model(configuration: dict[str, Any]) -> None:
    """DSP48E2 as gates and as hwsim.fpga.dsp48e2, which is held to the vendor's model."""
    given, got = answers(slice_module("DSP48E2", configuration, 27), 27, 5)
    said = {name: value for name, value in configuration.items() if name not in ("opmode", "alumode")}
    off = dict.fromkeys(("areg", "breg", "creg", "dreg", "adreg", "mreg", "preg"), 0)
    off |= dict.fromkeys(("opmodereg", "carryinselreg", "alumodereg", "inmodereg", "carryinreg"), 0)
    part = Dsp48e2(**(off | said))
    state = part.reset((64,))
    for cycle in range(12):
        pins = {name.lower(): words[cycle] for name, words in given.items()}
        modes = {"opmode": configuration["opmode"], "alumode": configuration.get("alumode", 0)}
        out, state = part.step(state, Inputs(**pins, **modes, inmode=4 if "amultsel" in said else 0))
        assert (got[cycle] == out.p).all(), cycle


needs_yosys = pytest.mark.skipif(importlib.util.find_spec("pyosys") is None, reason="needs pip install bitcost[rtl]")


@needs_yosys
@pytest.mark.slow
@pytest.mark.parametrize("configuration", CONFIGURATIONS[:6], ids=str)
def test_older_slices_are_yosys_model(configuration: dict[str, Any]) -> None:
    """DSP48E1 as gates and as yosys' own behavioural model of it, elaborated."""
    spec = importlib.util.find_spec("pyosys")
    assert spec is not None
    assert spec.origin is not None
    library = (Path(spec.origin).parent / "share/xilinx/cells_sim.v").read_text(encoding="utf-8")
    match = re.search(r"^module DSP48E1 .*?^endmodule", library, re.MULTILINE | re.DOTALL)
    assert match is not None
    model = re.sub(r"`ifdef YOSYS.*?`endif", "", match.group(0), flags=re.DOTALL)
    model = re.sub(r"`ifndef YOSYS.*?`endif", "", model, flags=re.DOTALL)
    module = slice_module("DSP48E1", configuration, 25)
    cell, ports = module["cells"]["it"], SLICE_PINS | {"D": 25}
    said = {k: str(int(v, 2)) if set(v) <= {"0", "1"} else f'"{v}"' for k, v in cell["parameters"].items()}
    pins = {pin: f"{len(b)}'b{''.join(reversed(b))}" for pin, b in cell["connections"].items() if pin not in ports}
    pins |= {pin: pin for pin in ports}
    pins |= {"ACIN": "30'd0", "BCIN": "18'd0", "CARRYCASCIN": "1'd0", "MULTSIGNIN": "1'd0", "RSTALLCARRYIN": "1'd0"}
    way = {pin: "output" if pin in ("P", "PCOUT") else "input" for pin in ports}
    head = ", ".join(f"{way[pin]} [{width - 1}:0] {pin}" for pin, width in ports.items())
    settings = ", ".join(f".{name}({value})" for name, value in said.items())
    wired = ", ".join(f".{pin}({wire})" for pin, wire in pins.items())
    text = f"{model}\nmodule unit({head});\n  DSP48E1 #({settings}) it ({wired});\nendmodule\n"
    given, ours = answers(module, 25, 6)
    assert (run(GateSimulator(elaborate(text, "unit").netlist), given) == ours).all()


def test_wrong_cells_are_seen() -> None:
    """A turned bit of a LUT, operands of a carry exchanged, a register too many: none gives the right answers."""
    codes = {"I0": np.array([0, 1, 0, 1]), "I1": np.array([0, 0, 1, 1])}
    lut = unit("LUT2", {"I0": 1, "I1": 1, "O": 1}, ("O",), {"INIT": "0110"})
    assert simulator(lut).evaluate(codes)["O"].tolist() == [0, 1, 1, 0]
    wrong = copy.deepcopy(lut)
    wrong["cells"]["it"]["parameters"]["INIT"] = "1110"
    assert simulator(wrong).evaluate(codes)["O"].tolist() != [0, 1, 1, 0]
    _, right = answers(slice_module("DSP48E2", {"preg": 1, "opmode": MULTIPLY | Z_P}, 27), 27, 5)
    for other in ({"preg": 1, "mreg": 1, "opmode": MULTIPLY | Z_P}, {"preg": 1, "opmode": MULTIPLY | Z_C}):
        assert (answers(slice_module("DSP48E2", other, 27), 27, 5)[1] != right).any()


@pytest.mark.parametrize(
    ("kind", "change", "says"),
    [
        ("DSP48E2", {"parameters": {"USE_SIMD": "TWO24"}}, "no model for the DSP48E2 'it' with USE_SIMD=TWO24"),
        ("DSP48E2", {"connections": {"INMODE": ["1", "0", "0", "0", "0"]}}, "with INMODE"),
        ("DSP48E2", {"connections": {"ALUMODE": ["1", "0", "0", "0"]}}, "with ALUMODE"),
        ("DSP48E2", {"connections": {"OPMODE": ["1", "0", "1", "0", "0", "0", "0", "1", "0"]}}, "with W of OPMODE"),
        ("DSP48E2", {"parameters": {"OPMODEREG": digits(1)}}, "with OPMODEREG=1"),
        ("DSP48E2", {"parameters": {"ACASCREG": digits(1)}}, "with ACASCREG"),
    ],
)
def test_slices_that_have_no_model(kind: str, change: dict[str, Any], says: str) -> None:
    module = slice_module(kind, {"opmode": MULTIPLY}, 27)
    for part, values in change.items():
        module["cells"]["it"][part] |= values
    with pytest.raises(ValueError, match=re.escape(says)):
        plain(module, "unit")


def test_other_cells_that_have_no_model() -> None:
    with pytest.raises(ValueError, match=re.escape("no model for the cell RAMB36E2 ('it' of 'unit')")):
        plain(unit("RAMB36E2", {"A": 1, "O": 1}, ("O",)), "unit")
    turned = unit("FDRE", {"C": 1, "CE": 1, "D": 1, "R": 1, "Q": 1}, ("Q",), {"IS_C_INVERTED": "1"})
    with pytest.raises(ValueError, match=re.escape("no model for the flip-flop 'it' with IS_C_INVERTED")):
        plain(turned, "unit")
    loose = unit("SRL16E", {"CLK": 1, "CE": 1, "D": 1, "A0": 1, "A1": 1, "A2": 1, "A3": 1, "Q": 1}, ("Q",))
    with pytest.raises(ValueError, match="at an address that is no constant"):
        plain(loose, "unit")
