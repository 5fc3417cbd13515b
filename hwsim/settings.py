"""What an estimate is made of: an array with its memories, technology and clock; its prices, areas and assumptions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from hwsim import array_cost, traffic
from hwsim.accelerator import Accelerator, array_name
from hwsim.array import SystolicArray
from hwsim.array_clock import period_ns, pipeline_assumptions
from hwsim.cost import Cost
from hwsim.memory import Memory
from hwsim.report import Unpriced
from hwsim.technology import Technology, technology

OUTPUT_BITS = 16  # assumed: results are written as bfloat16 unless output_bits says otherwise
DEFAULT_TECHNOLOGY = "ihp130"  # a manufacturable library with area, delay and energy


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """An array with what surrounds it; without memories for an array alone."""

    array: SystolicArray
    tech: Technology
    clock_hz: float
    sram: Memory | None = None
    dram: Memory | None = None
    label: str = ""
    chip: Accelerator | None = None


def setting(
    target: SystolicArray | Accelerator, tech: str | Technology | None = None, array: SystolicArray | None = None
) -> Setting:
    """The setting a target stands for.

    tech: of an array alone (an accelerator has its own); default ihp130.  array: which of an accelerator's arrays.
    """
    if isinstance(target, Accelerator):
        if tech is not None and technology(tech).name != target.technology:
            raise ValueError(f"estimate: the accelerator is in {target.technology!r}, got technology={tech!r}")
        _, sram, dram = target.levels
        chosen = array if array is not None else target.array
        return Setting(
            array=chosen, tech=target.tech, clock_hz=target.clock, sram=sram, dram=dram, label=target.name, chip=target
        )
    if not isinstance(target, SystolicArray):
        raise TypeError(f"estimate: needs a SystolicArray or an Accelerator, got {type(target).__name__} {target!r}")
    model = technology(tech if tech is not None else DEFAULT_TECHNOLOGY)
    return Setting(
        array=target, tech=model, clock_hz=1e9 / period_ns(target, model), label=f"{array_name(target)}, {model.name}"
    )


@cache
def setting_prices(where: Setting) -> Mapping[str, Cost]:
    """Price of every action that has one."""
    prices = dict(array_cost.array_prices(where.array, where.tech))
    if where.sram is not None and where.dram is not None:
        prices |= {
            "SRAM reads": where.sram.read_pj_per_bit,
            "SRAM writes": where.sram.write_pj_per_bit,
            "DRAM reads": where.dram.read_pj_per_bit,
            "DRAM writes": where.dram.write_pj_per_bit,
        }
    return prices


@cache
def setting_area(where: Setting) -> Mapping[str, Cost]:
    """Area by part."""
    return where.chip.area if where.chip is not None else array_cost.array_area(where.array, where.tech)


@cache
def assumptions(where: Setting) -> tuple[str, ...]:
    """What every figure of this setting rests on."""
    lines = [
        f"{where.tech.name}: {where.tech.title}; pre-layout synthesis, delays by abc, no wires",
        f"clock {where.clock_hz / 1e6:.4g} MHz",
        *array_cost.ASSUMPTIONS,
        *array_cost.row_sum_assumptions(where.array),
        *pipeline_assumptions(where.array, where.tech),
        f"assumed: results are written at {OUTPUT_BITS} bits unless output_bits says otherwise",
    ]
    if where.sram is not None and where.dram is not None:
        lines += [*traffic.ASSUMPTIONS, *where.sram.assumptions, *where.dram.assumptions]
    if where.chip is not None:
        lines += where.chip.assumptions
    return tuple(lines)


def unpriced(where: Setting) -> tuple[Unpriced, ...]:
    """What happens without a price."""
    return tuple(chip_unpriced(where.chip)) if where.chip is not None else ()


def chip_unpriced(chip: Accelerator) -> list[Unpriced]:
    """Parts of an accelerator without a figure."""
    vector, sram, _ = chip.levels
    entries = []
    if sram.leakage_mw is None:
        entries.append(Unpriced(name="leakage of the SRAM", reason="unknown at this node"))
    for name, cost in (("leakage", vector.leakage_mw), ("area", vector.area_um2)):
        if cost is None:
            entries.append(Unpriced(name=f"{name} of the vector unit", reason="no figure"))
    return entries
