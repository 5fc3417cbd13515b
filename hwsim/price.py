"""Prices of any module: as synthesised where a table has it, else estimated with an interval.

    price.area_um2(unit, "ihp130"), price.delay_ns(unit, "ihp130"), price.energy_pj(unit, "ihp130", series)

Area: gates counted where they stand (circuit/counts.py) times seven coefficients, and its flip-flops. Delay: the
slowest path (circuit/paths.py). Energy: toggles under the given operands (circuit/activity.py), settled and with
glitches, and a clock's worth a flip-flop. An interval is the error within which nine of ten tabled PEs lay with their
family left out. What is like none of them may be further off: lanes and ranks under looked-up codebooks,
exact registers of hundreds of bits.
All figures are those of one flow (yosys, abc, no wires): what other flows and libraries say of a *ratio* is in
hwsim.compare.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache, lru_cache
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hwsim.circuit.activity import CYCLES, STREAMS, toggled
from hwsim.circuit.counts import COLUMNS, columns, counted
from hwsim.circuit.module import Module
from hwsim.circuit.network import FIRST_GATE
from hwsim.circuit.paths import slowest
from hwsim.circuit.simplify import priced
from hwsim.cost import Cost
from hwsim.technology.coefficients import GATE_TERMS, between_operands, fitted, flip_flop_um2, leakage_nw_per_um2
from hwsim.technology.tables import GATES, GateRow, Row, Technology, gate_rows, technology

SERIES_CYCLES = STREAMS * CYCLES  # of operands that an energy looks at
Held = TypeVar("Held", Row, GateRow)
# A full adder is a sum and a carry; each counts half of its term. A twin sum has one of the chain's XORs for nothing.
_TERMS = {column: {column: 1.0} for column in ("and", "nested_and", "xor", "mux", "nested_mux")} | {
    "sum": {"chain": 0.5}, "carry": {"chain": 0.5}, "twin_sum": {"chain": 0.5, "xor": -1.0},
    "total": {"tree": 0.5}, "over": {"tree": 0.5},
}  # fmt: skip
TERMS_OF_COLUMN = np.array([[_TERMS[column].get(term, 0.0) for term in GATE_TERMS] for column in COLUMNS])


def gate_terms(module: Module) -> NDArray[np.float64]:
    """Gates by GATE_TERMS. [7]"""
    return np.asarray(counted(module).by_leaf.sum(axis=0) @ TERMS_OF_COLUMN)


def gate_equivalents(module: Module) -> Cost:
    """Combinational gates in GE (NAND2 equivalents), without a library; flip-flops are counted apart."""
    held = _same(gate_rows(), module)
    if held is not None:
        return _synthesised(held, held.gate_equivalents, 0.0, "GE", GATES)
    return estimated_gates(module)


def estimated_gates(module: Module) -> Cost:
    """The estimate of `gate_equivalents`, whether the table has the module or not."""
    value = float(gate_terms(module) @ fitted(GATES, "gates").coefficients)
    return _estimated(module, value, "gates", "GE", GATES)


def area_um2(module: Module, tech: str | Technology) -> Cost:
    """Cells of the module, flip-flops included; no wires."""
    node = technology(tech).name
    held = _same(technology(tech).rows, module)
    if held is not None:
        return _synthesised(held, held.area_um2, 0.0, "um2", node)
    area = estimated_um2(module, node)
    return _estimated(module, area.sum(), "area", "um2", node)


def estimated_um2(module: Module, node: str) -> NDArray[np.float64]:
    """The estimate of every leaf, in the order of its paths, whether a table has the module or not. [leaves]"""
    here = counted(module)
    gates = here.by_leaf @ (TERMS_OF_COLUMN @ fitted(node, "area").coefficients)
    return np.asarray(gates + flip_flop_um2(node) * here.flip_flops_by_leaf)


def delay_ns(module: Module, tech: str | Technology) -> Cost:
    """The slowest path between ports and registers, without wires and set-up time."""
    node = technology(tech).name
    held = _same(technology(tech).rows, module)
    if held is not None:
        return _synthesised(held, held.delay_ps * 1e-3, 0.0, "ns", node)
    weights = fitted(node, "delay").coefficients
    return _estimated(module, float(slowest(module, weights[:-1]) @ weights) * 1e-3, "delay", "ns", node)


def energy_pj(
    module: Module,
    tech: str | Technology,
    series: Mapping[str, ArrayLike],
    operands: str | None = None,
    normal: Mapping[str, ArrayLike] | None = None,
) -> Cost:
    """Energy of a clock cycle, glitches included.

    series: patterns of every port (`toggled`).  operands: the tables' name for these, "normal" say, where they have
    one; a module in the table is then as simulated, gate by gate.  normal: the series of normal operands; with it a
    module in the table moves under other operands from what was simulated with those as its estimate does.
    """
    node = technology(tech).name
    held = _same(technology(tech).rows, module)
    if held is not None and operands is not None and operands in held.energy_fj:
        error = 2 * held.energy_error_fj[operands] * 1e-3
        return _synthesised(held, held.energy_fj[operands] * 1e-3, error, "pJ", node)
    here = float(estimated_fj(module, node, series).sum())
    if held is None or normal is None:
        return _estimated(module, here * 1e-3, "energy", "pJ", node)
    value = held.energy_fj["normal"] * 1e-3 * here / float(estimated_fj(module, node, normal).sum())
    band = between_operands(node)
    return Cost(
        value=value, low=value * (1 - band), high=value * (1 + band), unit="pJ", status="estimated", node=node,
        source=f"{node}: {held.name} as synthesised with normal operands, moved to these within {band:.1%}",
    )  # fmt: skip


def estimated_fj(module: Module, node: str, series: Mapping[str, ArrayLike]) -> NDArray[np.float64]:
    """Energy of a cycle by leaf. [leaves]"""
    net, _ = priced(module)
    settled, glitches, held = _switched(module, _Same(series))
    terms = fitted(node, "energy").coefficients
    owned = net.owner >= 0
    by_node = terms[0] * settled + terms[1] * glitches + terms[3] * held
    found = np.bincount(net.owner[owned], weights=by_node[owned], minlength=net.leaves)
    return np.asarray(found + terms[2] * counted(module).flip_flops_by_leaf)


class _Same:
    """A series as a key: equal to itself alone. Named operands are one object each, whatever the library."""

    __slots__ = ("series",)

    def __init__(self, series: Mapping[str, ArrayLike]) -> None:
        self.series = series

    def __hash__(self) -> int:
        return id(self.series)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.series is self.series


@lru_cache(maxsize=256)
def _switched(module: Module, same: _Same) -> tuple[NDArray[np.float64], ...]:
    return switched(module, same.series)


def switched(module: Module, series: Mapping[str, ArrayLike]) -> tuple[NDArray[np.float64], ...]:
    """Toggles a cycle of every node: settled, and those of glitches beyond them, each times its gate's size in GE; and
    of registers' outputs. [n] each"""
    from hwsim.circuit.registers import kept

    (net, _), seen = priced(module), toggled(module, series)
    held, stays = np.zeros(len(net.kind)), net.states[kept(module).flip_flops]
    held[stays] = seen.settled[stays]
    sizes = np.concatenate([np.zeros(FIRST_GATE), TERMS_OF_COLUMN @ fitted(GATES, "gates").coefficients])
    size = sizes[columns(module)]
    return size * seen.settled, size * np.maximum(seen.glitching - seen.settled, 0), held


def leakage_mw(module: Module, tech: str | Technology) -> Cost:
    """Static power."""
    node = technology(tech).name
    held = _same(technology(tech).rows, module)
    if held is not None:
        return _synthesised(held, held.leakage_nw * 1e-6, 0.0, "mW", node)
    area, (per_um2, band) = area_um2(module, tech), leakage_nw_per_um2(node)
    made = area.value * per_um2 * 1e-6
    return Cost(
        value=made, low=area.low * per_um2 * (1 - band) * 1e-6, high=area.high * per_um2 * (1 + band) * 1e-6, unit="mW",
        source=f"{node}: leakage for the area", status="estimated", node=node,
    )  # fmt: skip


@cache
def _digest(module: Module) -> str:
    from hwsim.rtl.writer import verilog

    return hashlib.sha256(verilog(module).encode()).hexdigest()


def _same(rows: Mapping[str, Held], module: Module) -> Held | None:
    """The row of this very Verilog."""
    held = rows.get(module.name)
    return held if held is not None and held.source == _digest(module) else None


def _synthesised(held: Row | GateRow, value: float, error: float, unit: str, node: str) -> Cost:
    return Cost(
        value=value, low=max(value - error, 0.0), high=value + error, unit=unit, status=held.status, node=node,
        source=f"{node}: {held.name} synthesised, its netlist {held.status}",
    )  # fmt: skip


def _estimated(module: Module, value: float, quantity: str, unit: str, node: str) -> Cost:
    """With the interval of modules with registers, or of those without. The area of flip-flops is known."""
    model, value, flip_flops = fitted(node, quantity), float(value), counted(module).flip_flops
    interval = model.clocked if flip_flops else model.combinational
    known = flip_flop_um2(node) * flip_flops if quantity == "area" else 0.0
    band = interval * (value if known < value else 0.0)
    return Cost(
        value=value, low=max(value - band, known), high=value + band, unit=unit, status="estimated", node=node,
        source=f"{node}: {quantity} estimated; nine of ten PEs within {interval:.1%}, their family left out",
    )  # fmt: skip
