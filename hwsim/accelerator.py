"""Accelerator: arrays, a vector unit, an SRAM and a DRAM in one technology, at one clock.

chip = Accelerator(array=SystolicArray(MacPE("int8", "int8"), 64, 64), technology="ihp130")
chip.clock_hz, chip.area_um2, chip.area
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from numbers import Real

import formats as nf
from hwsim.array import SystolicArray
from hwsim.array_clock import period_ns
from hwsim.array_cost import array_area, array_leakage
from hwsim.array_wiring import mac_pe
from hwsim.cost import Cost
from hwsim.memory import Memory, lpddr5, sram
from hwsim.pe import MacPE
from hwsim.technology import Technology, technology

ASSUMED_OPERATION = "assumed: an element operation costs a bfloat16 multiply-add with float32 sum"


@dataclass(frozen=True, kw_only=True, slots=True)
class VectorUnit:
    """`lanes` elementwise operations a cycle (softmax, norms, activations, scaling results).

    energy_pj_per_operation, area_um2, leakage_mw: None where unknown; a report then lists them as unpriced.
    """

    lanes: int = 64
    energy_pj_per_operation: Cost | None = None
    area_um2: Cost | None = None
    leakage_mw: Cost | None = None

    def __post_init__(self) -> None:
        if isinstance(self.lanes, bool) or not hasattr(self.lanes, "__index__"):
            raise TypeError(
                f"VectorUnit: lanes must be an integer, got {self.lanes!r} of type {type(self.lanes).__name__}"
            )
        if self.lanes < 1:
            raise ValueError(f"VectorUnit: lanes must be at least 1, got {self.lanes}")
        units = (("energy_pj_per_operation", "pJ"), ("area_um2", "um2"), ("leakage_mw", "mW"))
        for name, unit in units:
            cost = getattr(self, name)
            if cost is not None and cost.unit != unit:
                raise ValueError(f"VectorUnit: {name} must be in {unit}, got {cost.unit}")


def assumed_vector_unit(lanes: int, tech: str | Technology) -> VectorUnit:
    """A vector unit whose element operation is priced as a bfloat16 multiply-add into float32.

    Intervals are a factor two wider than that unit's.
    """
    model, unit = technology(tech), MacPE("bfloat16", "bfloat16", accumulator=nf.FloatChain("float32"))
    area = unit.area_um2(model).widened(2.0, ASSUMED_OPERATION) * lanes
    energy = unit.energy_pj(model).widened(2.0, ASSUMED_OPERATION)
    leakage = unit.leakage_mw(model).widened(2.0, ASSUMED_OPERATION) * lanes
    return VectorUnit(lanes=lanes, energy_pj_per_operation=energy, area_um2=area, leakage_mw=leakage)


@dataclass(frozen=True, kw_only=True, slots=True)
class Accelerator:
    """array: the array; others: further arrays for other pairs of formats (only one array works at a time).
    vector_unit: None for assumed_vector_unit with as many lanes as the array has columns.
    sram: None for 512 KiB of 28 nm SRAM scaled to the technology; a Memory of another node is refused.
    dram: None for lpddr5().
    technology: name or Technology.
    clock_hz: None for the clock of the slowest PE, 1 / delay, as synthesised without wires; what is slower than a PE
        (block-scale units) is pipelined.
    """

    array: SystolicArray
    others: tuple[SystolicArray, ...] = ()
    vector_unit: VectorUnit | None = None
    sram: Memory | None = None
    dram: Memory | None = None
    technology: str | Technology = "ihp130"
    clock_hz: float | None = None

    def __post_init__(self) -> None:
        tech = technology(self.technology)
        if not isinstance(self.others, tuple | list):
            raise TypeError(f"Accelerator: others must be a tuple of SystolicArrays, got {self.others!r}")
        object.__setattr__(self, "others", tuple(self.others))
        for array in self.arrays:
            _check_kind("array", array, SystolicArray)
            mac_pe(array)
        object.__setattr__(self, "technology", tech.name)
        defaults = {
            "vector_unit": lambda: assumed_vector_unit(self.array.columns, tech),
            "sram": lambda: sram(512, tech),
            "dram": lpddr5,
        }
        for name, default in defaults.items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, default())
        for name, kind in (("vector_unit", VectorUnit), ("sram", Memory), ("dram", Memory)):
            _check_kind(name, getattr(self, name), kind)
        for name in ("sram", "dram"):
            node = getattr(self, name).read_pj_per_bit.node
            if node not in (None, tech.name):
                raise ValueError(
                    f"Accelerator: {name} is priced at node {node!r}, the technology is {tech.name!r}; "
                    f"scale it first: Memory.scaled(Scaling(...)), or sram(kib, {tech.name!r})"
                )
        unit = self.levels[0]
        for cost in (unit.energy_pj_per_operation, unit.area_um2, unit.leakage_mw):
            if cost is not None and cost.node not in (None, tech.name):
                raise ValueError(
                    f"Accelerator: vector_unit is priced at node {cost.node!r}, the technology is {tech.name!r}; "
                    f"use assumed_vector_unit(lanes, {tech.name!r})"
                )
        if self.clock_hz is None:
            slowest = max(period_ns(array, tech) for array in self.arrays)
            object.__setattr__(self, "clock_hz", 1e9 / slowest)
        if isinstance(self.clock_hz, bool) or not isinstance(self.clock_hz, Real):
            raise TypeError(f"Accelerator: clock_hz must be a number of Hz such as 1e9, got {self.clock_hz!r}")
        if not 0 < self.clock < inf:
            raise ValueError(f"Accelerator: clock_hz must be positive, got {self.clock_hz!r}")

    @property
    def arrays(self) -> tuple[SystolicArray, ...]:
        """All arrays."""
        return (self.array, *self.others)

    @property
    def tech(self) -> Technology:
        """The technology."""
        return technology(self.technology)

    @property
    def clock(self) -> float:
        """Clock in Hz."""
        return float(self.clock_hz or 0.0)

    @property
    def levels(self) -> tuple[VectorUnit, Memory, Memory]:
        """Vector unit, SRAM and DRAM."""
        if self.vector_unit is None or self.sram is None or self.dram is None:
            raise TypeError("Accelerator: a level is None")  # cannot happen: __post_init__ set them
        return self.vector_unit, self.sram, self.dram

    @property
    def name(self) -> str:
        """Short, for tables."""
        arrays = " + ".join(array_name(array) for array in self.arrays)
        _, sram_level, dram = self.levels
        return f"{arrays}, {sram_level.name}, {dram.name}, {self.technology}"

    @property
    def peak_macs_per_cycle(self) -> int:
        """Of the largest array: one works at a time."""
        return max(array.peak_macs_per_cycle for array in self.arrays)

    @property
    def area(self) -> dict[str, Cost]:
        """Area by part, um2: PEs and the rest of each array, SRAM, the vector unit where known. No wires, no pads."""
        parts: dict[str, Cost] = {}
        for index, array in enumerate(self.arrays):
            mark = f" {index}" if index else ""
            parts |= {f"{name}{mark}": cost for name, cost in array_area(array, self.tech).items()}
        vector, sram_level, _ = self.levels
        for name, cost in (("SRAM", sram_level.area_um2), ("vector unit", vector.area_um2)):
            if cost is not None:
                parts[name] = cost
        return parts

    @property
    def area_um2(self) -> Cost:
        """Sum of `area`."""
        first, *rest = self.area.values()
        return sum(rest, first)

    @property
    def leakage(self) -> dict[str, Cost]:
        """Leakage by part, mW, where known."""
        vector, sram_level, _ = self.levels
        levels = (("SRAM", sram_level.leakage_mw), ("vector unit", vector.leakage_mw))
        parts = {name: cost for name, cost in levels if cost is not None}
        for index, array in enumerate(self.arrays):
            mark = f" {index}" if index else ""
            parts |= {f"{name}{mark}": cost for name, cost in array_leakage(array, self.tech).items()}
        return parts

    @property
    def assumptions(self) -> tuple[str, ...]:
        """What figures of the vector unit rest on, where they are assumed, and a clock that is faster than the PEs."""
        vector, _, _ = self.levels
        costs = (vector.energy_pj_per_operation, vector.area_um2, vector.leakage_mw)
        sources = dict.fromkeys(cost.source for cost in costs if cost is not None and "assumed" in cost.source)
        lines = [f"vector unit: {source}" for source in sources]
        allowed = 1e9 / max(period_ns(array, self.tech) for array in self.arrays)
        if self.clock > 1.001 * allowed:
            lines.append(
                f"assumed: a clock of {self.clock / 1e6:.4g} MHz, above the {allowed / 1e6:.4g} MHz at which the "
                "arrays run as priced; what it takes to get there is not priced"
            )
        return tuple(lines)

    def array_for(self, a: nf.Format | str, b: nf.Format | str) -> SystolicArray:
        """The first array whose PE takes operands of these formats. Raises ValueError naming both and what there is."""
        for array in self.arrays:
            if mac_pe(array).supports(a, b):
                return array
        pairs = ", ".join(mac_pe(array).name for array in self.arrays)
        raise ValueError(
            f"no PE takes {nf.get(a).name} x {nf.get(b).name}; the accelerator has {pairs}; "
            "add an array for the pair with others=(...)"
        )


def _check_kind(name: str, value: object, kind: type) -> None:
    if not isinstance(value, kind):
        raise TypeError(f"Accelerator: {name} must be a {kind.__name__}, got {value!r}")


def array_name(array: SystolicArray) -> str:
    """Short, for tables: "64x64 weight_stationary [int8 x int8, fixed 32]"."""
    return f"{array.rows}x{array.columns} {array.dataflow} [{mac_pe(array).name}]"
