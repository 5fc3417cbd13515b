"""What a systolic array is made of beyond its PEs, and how often each part is used.

    PEs                  rows x columns cells
    operand registers    in each PE: a and b are held or passed on, one word of `lanes` elements each
    skew registers       triangles at the edges that delay row i by i cycles (and column j by j, where b enters from the
    top);
                         sums leave skewed, and the SRAM takes them column by column
    block-scale units    per column and block of rows (sums move down), or per PE (sums stay)
    fold adders          per column, where sums move down: add a fold's result to the partial sum in SRAM

Uses are counted from `hwsim.cycles.gemm_cycles`; idle PEs and registers are assumed clock-gated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
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
    """How many block-scale units the array has."""
    every = mac_pe(array).edge_every
    if every is None:
        return 0
    if array.dataflow == "output_stationary":
        return array.rows * array.columns
    return -(-array.rows * array.lanes // every) * array.columns


@cache
def terms_per_block_sum(array: SystolicArray) -> int | None:
    """k values summed before a block-scale unit is used: a block, or a whole column where it is shorter."""
    every = mac_pe(array).edge_every
    if every is None or array.dataflow == "output_stationary":
        return every
    return min(every, array.rows * array.lanes)


@cache
def array_parts(array: SystolicArray) -> dict[str, Component]:
    """Everything but the PEs, as trees, by name."""
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
    return {"PEs": pes, **{name: part.area_um2(tech) for name, part in array_parts(array).items()}}


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
    elif array.dataflow != "output_stationary":
        prices["fold adders"] = _fold_adder(pe).energy_pj(tech)
    if output is not None:
        prices["result scales"] = output.energy_pj(tech)
    return prices


def array_counts(array: SystolicArray, m: Ints, k: Ints, n: Ints, batch: Ints, cycles: Mapping[str, Any]) -> Counts:
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
    terms = terms_per_block_sum(array)
    if terms is not None:
        counts["block-scale units"] = results * -(-k // terms)
    elif not widths.sums_stay:
        counts["fold adders"] = cycles["partial_read_words"]
    if pe.output_components() is not None:
        counts["result scales"] = results
    return counts
