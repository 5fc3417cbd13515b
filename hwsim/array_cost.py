"""What a systolic array is made of beyond its PEs, and how often each part is used.

    PEs                  rows x columns cells
    operand registers    in each PE: a and b are held or passed on, one word of `lanes` elements each
    skew registers       triangles at the edges that delay row i by i cycles (and column j by j, where b enters from the
    top);
                         sums leave skewed, and the SRAM takes them column by column
    block-scale units    per column and block of rows (sums move down), or per PE (sums stay)
    block-scale pipeline ranks of registers that cut those units to the PEs' clock
    fold adders          per column, where sums move down: add a fold's result to the partial sum in SRAM

Uses are counted from `hwsim.cycles.gemm_cycles`; idle PEs and registers are assumed clock-gated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from math import ceil, gcd
from typing import Any

import numpy as np
from numpy.typing import NDArray

import formats as nf
from hwsim.array import SystolicArray
from hwsim.component import Component, leaf, tree
from hwsim.cost import Cost
from hwsim.pe import MacPE
from hwsim.pe.datapath import FloatRegister, float_adder
from hwsim.technology import Technology

Ints = NDArray[np.int64]
Counts = dict[str, NDArray[np.int64] | NDArray[np.float64]]

ASSUMPTIONS = (
    "assumed: idle PEs and registers are clock-gated and cost no energy; no clock tree, no wires between PEs",
    "PE energy is for operands that both change every cycle; "
    "holding one still saves 18-38 % of an int8 MAC (not applied)",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Wiring:
    """Word widths of an array in bits. left: streamed from the left; top: from the top, or held; result: of a sum."""

    left_bits: int
    top_bits: int
    result_bits: int
    sums_stay: bool


def mac_pe(array: SystolicArray) -> MacPE:
    """The array's PE. Raises TypeError for a PE that has no price."""
    if not isinstance(array.pe, MacPE):
        raise TypeError(f"estimate: array.pe must be a MacPE to have a price, got {array.pe!r}")
    return array.pe


@cache
def wiring(array: SystolicArray) -> Wiring:
    """Which operand enters where: input_stationary streams b from the left and holds a."""
    pe = mac_pe(array)
    a, b = (nf.element_of(fmt).bits * pe.lanes for fmt in (pe.a_format, pe.b_format))
    held_a = array.dataflow == "input_stationary"
    edge = pe.edge_accumulator
    result = edge.format.bits if edge is not None and pe.edge_every is not None else pe.accumulator_bits
    return Wiring(
        left_bits=b if held_a else a,
        top_bits=a if held_a else b,
        result_bits=result,
        sums_stay=array.dataflow == "output_stationary",
    )


@cache
def block_units(array: SystolicArray) -> int:
    """How many block-scale units the array has: per PE where sums stay, else per column as many as a fold can touch
    blocks. Folds of rows * lanes terms start at multiples of gcd(rows * lanes, block) into a block."""
    every = mac_pe(array).edge_every
    if every is None:
        return 0
    if array.dataflow == "output_stationary":
        return array.rows * array.columns
    depth = array.rows * array.lanes
    return -(-(depth + every - gcd(depth, every)) // every) * array.columns


def block_sums(array: SystolicArray, k: Ints) -> Ints:
    """Uses of block-scale units a result: every block, and once more for each that a fold's end cuts in two."""
    every = mac_pe(array).edge_every
    if every is None:
        return np.zeros_like(k)
    uses = -(-k // every)
    if array.dataflow == "output_stationary":
        return uses
    depth = array.rows * array.lanes
    ends = -(-k // depth) - 1  # of folds, the last one left out; every `whole`-th meets a block's end
    whole = every // gcd(depth, every)
    return np.asarray(uses + ends - ends // whole)


@cache
def period_ns(array: SystolicArray, tech: Technology) -> float:
    """Shortest clock period: of the PE; of a fold adder, should it be slower; and, where sums stay, of the block sums'
    float addition, a loop that no register can cut and that is used once a block."""
    pe = mac_pe(array)
    period = pe.delay_ns(tech).value
    if array.dataflow != "output_stationary":
        return period if pe.edge_every is not None else max(period, _fold_adder(pe).delay_ns(tech).value)
    unit = pe.edge_components()
    if unit is None or pe.edge_every is None:
        return period
    loop = next(child for child in unit.children if child.name == "accumulate").delay_ns(tech).value
    return max(period, loop / -(-pe.edge_every // array.lanes))


@cache
def pipeline_ranks(array: SystolicArray, tech: Technology) -> int:
    """Ranks of registers in a block-scale unit, so that no part of it is slower than the PEs' clock; 0 without one."""
    unit = mac_pe(array).edge_components()
    return _ranks(unit, array, tech)


def _ranks(unit: Component | None, array: SystolicArray, tech: Technology) -> int:
    return ceil(unit.delay_ns(tech).value / period_ns(array, tech)) - 1 if unit is not None else 0


def _pipeline(unit: Component | None, array: SystolicArray, tech: Technology) -> Component | None:
    """The ranks of one unit, each as wide as its result; None where it needs none."""
    ranks = _ranks(unit, array, tech)
    edge = mac_pe(array).edge_accumulator
    width = edge.format.bits if edge is not None else 32  # result scales give a float32
    return tree("pipeline", leaf("rank", "register", width=width, count=ranks)) if ranks > 0 else None


def pipeline_assumptions(array: SystolicArray, tech: Technology) -> tuple[str, ...]:
    """What is assumed of units slower than the PEs."""
    lines = []
    ranks = pipeline_ranks(array, tech)
    if ranks > 0:
        lines.append(
            f"block-scale units are pipelined to the clock in {ranks} ranks of registers, priced; their latency "
            f"({ranks} cycles a block of rows and fold) is not in the cycles"
        )
    ranks = _ranks(mac_pe(array).output_components(), array, tech)
    if ranks > 0:
        lines.append(
            f"result scales run in the vector unit, pipelined to the clock in {ranks} ranks of registers whose energy "
            "is priced; their latency is not in the cycles"
        )
    return tuple(lines)


@cache
def array_parts(array: SystolicArray, tech: Technology) -> dict[str, Component]:
    """Everything but the PEs, as trees, by name. tech: its delays say how deep units are pipelined."""
    widths = wiring(array)
    rows, columns = array.rows, array.columns
    triangle_rows, triangle_columns = rows * (rows - 1) // 2, columns * (columns - 1) // 2
    parts = {
        "operand registers": tree(
            "operand_registers",
            leaf("left", "register", width=widths.left_bits, count=rows * columns),
            leaf("top", "register", width=widths.top_bits, count=rows * columns),
        ),
        "skew registers": tree(
            "skew_registers",
            leaf("rows", "register", width=widths.left_bits, count=triangle_rows),
            leaf("columns", "register", width=widths.top_bits, count=triangle_columns) if widths.sums_stay else None,
        ),
    }
    unit = mac_pe(array).edge_components()
    if unit is not None:
        parts["block-scale units"] = unit.times(block_units(array))
        pipeline = _pipeline(unit, array, tech)
        if pipeline is not None:
            parts["block-scale pipeline"] = pipeline.times(block_units(array))
    elif not widths.sums_stay:
        parts["fold adders"] = tree("fold_adders", _fold_adder(mac_pe(array)), count=columns)
    return parts


def _fold_adder(pe: MacPE) -> Component:
    register = pe.register
    if isinstance(register, FloatRegister):
        return float_adder("add", register.significand_bits, register)
    return leaf("add", "adder", width=register.bits)


def array_area(array: SystolicArray, tech: Technology) -> dict[str, Cost]:
    """Area of the PEs and of every other part, in um2."""
    pes = mac_pe(array).area_um2(tech) * (array.rows * array.columns)
    return {"PEs": pes, **{name: part.area_um2(tech) for name, part in array_parts(array, tech).items()}}


def array_prices(array: SystolicArray, tech: Technology) -> dict[str, Cost]:
    """Energy of one of each action of `array_counts`; empty where the technology has no energy figures."""
    if not tech.has_energy:
        return {}
    pe = mac_pe(array)
    bit = leaf("bit", "register", width=1).energy_pj(tech)
    prices = {
        "pe": pe.energy_pj(tech),
        "operand registers": replace(bit, unit="pJ/bit"),
        "skew registers": replace(bit, unit="pJ/bit"),
    }
    unit, output = pe.edge_components(), pe.output_components()
    if unit is not None:
        prices["block-scale units"] = unit.energy_pj(tech)
        pipeline = _pipeline(unit, array, tech)
        if pipeline is not None:
            prices["block-scale pipeline"] = pipeline.energy_pj(tech)
    elif array.dataflow != "output_stationary":
        prices["fold adders"] = _fold_adder(pe).energy_pj(tech)
    if output is not None:
        prices["result scales"] = tree("scaled", output, _pipeline(output, array, tech)).energy_pj(tech)
    return prices


def array_counts(
    array: SystolicArray, tech: Technology, m: Ints, k: Ints, n: Ints, batch: Ints, cycles: Mapping[str, Any]
) -> Counts:
    """How often each action happens in whole GEMMs; `cycles` from gemm_cycles for the same shapes.

    Registers in bits, as float64 (exact to 2**53): rows x columns x bits x cycles may leave int64.
    """
    widths, pe = wiring(array), mac_pe(array)
    results = m * n * batch
    steps = results * -(-k // array.lanes)
    counts: Counts = {"pe": steps}
    streamed = widths.left_bits + (widths.top_bits if widths.sums_stay else 0)
    # Loading shifts every held register of the array once a cycle; draining shifts every sum.
    loading = cycles["load_cycles"] * float(array.rows * array.columns * widths.top_bits)
    draining = (
        cycles["drain_cycles"] * float(array.rows * array.columns * widths.result_bits) if widths.sums_stay else 0
    )
    counts["operand registers"] = steps * float(streamed) + loading + draining
    left, top = ("b", "a") if array.dataflow == "input_stationary" else ("a", "b")
    left_words = cycles[f"{left}_read_words"] * (widths.left_bits / array.lanes)
    waiting = left_words * (array.rows - 1)
    if widths.sums_stay:
        waiting += cycles[f"{top}_read_words"] * (widths.top_bits / array.lanes) * (array.columns - 1)
    # Row i waits i cycles: (rows - 1) / 2 on average.
    counts["skew registers"] = waiting / 2
    if pe.edge_every is not None:
        counts["block-scale units"] = results * block_sums(array, k)
        if pipeline_ranks(array, tech) > 0:
            counts["block-scale pipeline"] = counts["block-scale units"]
    elif not widths.sums_stay:
        counts["fold adders"] = cycles["partial_read_words"]
    if pe.output_components() is not None:
        counts["result scales"] = results
    return counts
