"""What each kind of cell computes: the gates and flip-flops of yosys, and any others as data.

A liberty file's cells become models by their `function` strings and `ff` groups:

    CellModel(outputs={"Y": "!(A & B)"})
    CellModel(outputs={"Q": "IQ"}, flip_flop=FlipFlop(clocked_on="CLK", next_state="D", state="IQ", inverse="IQN"))
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import product


@dataclass(frozen=True, slots=True, kw_only=True)
class FlipFlop:
    """The `ff` group of a cell. All but state and inverse are boolean functions of pins; next_state may read the state.

    clear and preset are asynchronous: a netlist may use the cell where constants keep both inactive.
    """

    clocked_on: str
    next_state: str
    state: str = "IQ"
    inverse: str = "IQN"
    clear: str = "0"
    preset: str = "0"


@dataclass(frozen=True, slots=True, kw_only=True)
class CellModel:
    """outputs: output pin -> boolean function of the input pins and, in a flip-flop, of its state and inverse."""

    outputs: Mapping[str, str] = field(default_factory=dict)
    flip_flop: FlipFlop | None = None


def _flip_flop(clock: str, next_state: str) -> CellModel:
    return CellModel(
        outputs={"Q": "IQ"}, flip_flop=FlipFlop(clocked_on="C" if clock == "P" else "!C", next_state=next_state)
    )


def _yosys_flip_flops() -> dict[str, CellModel]:
    """$_DFF_P_ and its relatives with enable and synchronous reset; their names hold clock, reset, value, enable."""
    models: dict[str, CellModel] = {}
    for clock in "PN":
        models[f"$_DFF_{clock}_"] = _flip_flop(clock, "D")
        for enable in "PN":
            on = "E" if enable == "P" else "!E"
            models[f"$_DFFE_{clock}{enable}_"] = _flip_flop(clock, f"({on}) & D | !({on}) & IQ")
        for reset, value in product("PN", "01"):
            on = "R" if reset == "P" else "!R"
            models[f"$_SDFF_{clock}{reset}{value}_"] = _flip_flop(clock, f"({on}) & {value} | !({on}) & D")
            for enable in "PN":
                go = "E" if enable == "P" else "!E"
                reset_first = f"({on}) & {value} | !({on}) & (({go}) & D | !({go}) & IQ)"
                enable_first = f"({go}) & (({on}) & {value} | !({on}) & D) | !({go}) & IQ"
                models[f"$_SDFFE_{clock}{reset}{value}{enable}_"] = _flip_flop(clock, reset_first)
                models[f"$_SDFFCE_{clock}{reset}{value}{enable}_"] = _flip_flop(clock, enable_first)
    return models


def _gate(function: str) -> CellModel:
    return CellModel(outputs={"Y": function})


# Yosys' manual, "Internal cell library", gate-level cells.
YOSYS_CELLS: Mapping[str, CellModel] = {
    "$_BUF_": _gate("A"),
    "$_NOT_": _gate("!A"),
    "$_AND_": _gate("A & B"),
    "$_NAND_": _gate("!(A & B)"),
    "$_OR_": _gate("A | B"),
    "$_NOR_": _gate("!(A | B)"),
    "$_XOR_": _gate("A ^ B"),
    "$_XNOR_": _gate("!(A ^ B)"),
    "$_ANDNOT_": _gate("A & !B"),
    "$_ORNOT_": _gate("A | !B"),
    "$_MUX_": _gate("S & B | !S & A"),
    "$_NMUX_": _gate("!(S & B | !S & A)"),
    "$_MUX4_": _gate("!T & (!S & A | S & B) | T & (!S & C | S & D)"),
    "$_AOI3_": _gate("!(A & B | C)"),
    "$_OAI3_": _gate("!((A | B) & C)"),
    "$_AOI4_": _gate("!(A & B | C & D)"),
    "$_OAI4_": _gate("!((A | B) & (C | D))"),
    **_yosys_flip_flops(),
}
