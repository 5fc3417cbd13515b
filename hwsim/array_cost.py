"""What a systolic array costs: area and leakage of its parts, the price of its actions, and how often each happens.

Row sums beside zero points: an operand's elements are added once each time that they enter the array, m * k additions a
pass of a and k * n of b, shared by all results of the row or column; sums are not kept from pass to pass.

Parts are hwsim.array_parts'. Uses are counted from `hwsim.cycles.gemm_cycles`; idle PEs and registers are assumed
clock-gated.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache, reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.array import SystolicArray
from hwsim.array_clock import pipeline_ranks
from hwsim.array_parts import Part, array_parts, edge_part, pipeline, random, rank, row_sum_parts
from hwsim.array_wiring import Ints, block_sums, mac_pe, wiring
from hwsim.cost import Cost
from hwsim.pe.stimulus import Operands
from hwsim.technology import Technology

Counts = dict[str, NDArray[np.int64] | NDArray[np.float64]]

ROW_SUMS = (
    "assumed: a row sum reaches the units of its row or column on a bus; of several folds of k, its partial sums "
    "(one a row, beside one a result) are not in the SRAM's traffic"
)
ASSUMPTIONS = (
    "assumed: idle PEs and registers are clock-gated and cost no energy; no clock tree, no wires between PEs",
    "assumed: normal operands, both new every cycle where sums stay; else the held one for 64 cycles",
)


def row_sum_assumptions(array: SystolicArray) -> tuple[str, ...]:
    """What is assumed beside zero points."""
    return (ROW_SUMS,) if mac_pe(array).row_sums else ()


def array_area(array: SystolicArray, tech: Technology) -> dict[str, Cost]:
    """Area of the PEs and of every other part, in um2."""
    pes = mac_pe(array).area_um2(tech) * (array.rows * array.columns)
    return {"PEs": pes, **{name: _total(part.area_um2(tech) for part in parts)
                           for name, parts in array_parts(array, tech).items()}}  # fmt: skip


def array_leakage(array: SystolicArray, tech: Technology) -> dict[str, Cost]:
    """Static power of the PEs and of every other part, in mW."""
    pes = mac_pe(array).leakage_mw(tech) * (array.rows * array.columns)
    return {"PEs": pes, **{name: _total(part.leakage_mw(tech) for part in parts)
                           for name, parts in array_parts(array, tech).items()}}  # fmt: skip


def _total(costs: Iterable[Cost]) -> Cost:
    return reduce(operator.add, costs)


def pe_operands(array: SystolicArray) -> Operands:
    """How a PE's operands come in this dataflow."""
    return "normal" if array.dataflow == "output_stationary" else "weight_held"


@cache
def array_prices(array: SystolicArray, tech: Technology) -> dict[str, Cost]:
    """Energy of one of each action of `array_counts`."""
    pe = mac_pe(array)
    word = Part(rank(64), 1, random(64))
    bit = replace(word.energy_pj(tech) * (1 / 64), unit="pJ/bit")
    prices = {"pe": pe.energy_pj(tech, pe_operands(array)), "operand registers": bit, "skew registers": bit}
    for name, parts in array_parts(array, tech).items():
        if name in ("block-scale units", "fold adders"):
            prices[name] = parts[0].energy_pj(tech)
        elif name == "block-scale pipeline":
            prices[name] = parts[0].energy_pj(tech) * pipeline_ranks(array, tech)
    prices |= {f"row sums of {side}": part.energy_pj(tech) for side, part in row_sum_parts(array).items()}
    output = pe.result_edge
    if output is not None:
        ranks = pipeline(output, array, tech)
        prices["result scales"] = edge_part(pe, output, 1).energy_pj(tech)
        if ranks is not None:
            prices["result scales"] += ranks.energy_pj(tech) * ranks.count
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
    left_words = cycles[f"{widths.left}_read_words"] * (widths.left_bits / array.lanes)
    waiting = left_words * (array.rows - 1)
    if widths.sums_stay:
        waiting += cycles[f"{widths.top}_read_words"] * (widths.top_bits / array.lanes) * (array.columns - 1)
    # Row i waits i cycles: (rows - 1) / 2 on average.
    counts["skew registers"] = waiting / 2
    if pe.edge_every is not None:
        counts["block-scale units"] = results * block_sums(array, k)
        if pipeline_ranks(array, tech) > 0:
            counts["block-scale pipeline"] = counts["block-scale units"]
    elif not widths.sums_stay:
        counts["fold adders"] = cycles["partial_read_words"]
    if pe.result_edge is not None:
        counts["result scales"] = results
    for side in pe.row_sums:
        # Words read are whole rows of k: m * k of a each time that it passes through the array, k * n of b.
        counts[f"row sums of {side}"] = cycles[f"{side}_read_words"] // k * -(-k // array.lanes)
    return counts
