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

import operator
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache, reduce
from math import ceil, gcd
from typing import Any

import numpy as np
from numpy.typing import NDArray

import formats as nf
from hwsim import price
from hwsim.array import SystolicArray
from hwsim.circuit import Build, Module
from hwsim.cost import Cost
from hwsim.pe import MacPE
from hwsim.pe.edge import Edge, edge
from hwsim.pe.floating import float_add
from hwsim.pe.number import decoded, slug
from hwsim.pe.series import Series, edge_series, sums
from hwsim.pe.stimulus import Operands
from hwsim.technology import Technology

TYPICAL_TERMS = 1024  # of a result whose sum is scaled once
Ints = NDArray[np.int64]
Counts = dict[str, NDArray[np.int64] | NDArray[np.float64]]

ASSUMPTIONS = (
    "assumed: idle PEs and registers are clock-gated and cost no energy; no clock tree, no wires between PEs",
    "assumed: normal operands, both new every cycle where sums stay; else the held one for 64 cycles",
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


@dataclass(frozen=True, slots=True)
class Part:
    """`count` copies of a module. uses: how its ports move when it works."""

    module: Module
    count: int
    uses: Series | None = None

    def area_um2(self, tech: Technology) -> Cost:
        """Of all copies."""
        return price.area_um2(self.module, tech) * self.count

    def leakage_mw(self, tech: Technology) -> Cost:
        """Of all copies."""
        return price.leakage_mw(self.module, tech) * self.count

    def energy_pj(self, tech: Technology) -> Cost:
        """Of one use of one copy."""
        assert self.uses is not None
        return price.energy_pj(self.module, tech, self.uses)


@cache
def rank(width: int) -> Module:
    """A row of flip-flops."""
    m = Build(f"rank{width}")
    held = m.register("held", width)
    m.drive("held", m.input("d", width))
    m.output("q", held)
    return m.done()


@cache
def sum_adder(register: nf.Minifloat | int) -> Module:
    """Two sums added: float codes, rounded to nearest even, or two's complement of so many bits."""
    if isinstance(register, int):
        m = Build(f"add_sums{register}")
        a, b = m.input("a", register), m.input("b", register)
        m.output("sum", m.leaf("add", "adder", width=register, a=a, b=b))
        return m.done()
    m = Build(f"add_sums_{slug(register.name)}")
    a, b = m.input("a", register.bits), m.input("b", register.bits)
    m.output("sum", float_add(m, "add", register, "ties_to_even", a, decoded(m, "read", register, b)))
    return m.done()


@cache
def period_ns(array: SystolicArray, tech: Technology) -> float:
    """Shortest clock period: of the PE; of a fold adder, should it be slower; and, where sums stay, of the block sums'
    float addition, a loop that no register can cut and that is used once a block."""
    pe = mac_pe(array)
    period = pe.delay_ns(tech).value
    if array.dataflow != "output_stationary":
        return period if pe.edge_every is not None else max(period, price.delay_ns(_fold_adder(pe), tech).value)
    if pe.edge_every is None or pe.edge_accumulator is None:
        return period
    loop = price.delay_ns(sum_adder(pe.edge_accumulator.format), tech).value
    return max(period, loop / -(-pe.edge_every // array.lanes))


@cache
def pipeline_ranks(array: SystolicArray, tech: Technology) -> int:
    """Ranks of registers in a block-scale unit, so that no part of it is slower than the PEs' clock; 0 without one."""
    return _ranks(mac_pe(array).block_edge, array, tech)


def _ranks(unit: Edge | None, array: SystolicArray, tech: Technology) -> int:
    return ceil(price.delay_ns(edge(unit), tech).value / period_ns(array, tech)) - 1 if unit is not None else 0


def _pipeline(unit: Edge | None, array: SystolicArray, tech: Technology, count: int = 1) -> Part | None:
    """The ranks of `count` units, each as wide as its result; None where they need none."""
    ranks = _ranks(unit, array, tech)
    edge_format = mac_pe(array).edge_accumulator
    width = edge_format.format.bits if edge_format is not None else 32  # result scales give a float32
    return Part(rank(width), ranks * count, _random(width)) if ranks > 0 else None


def _random(width: int) -> Series:
    rng = np.random.default_rng(0)
    return {"d": np.array([int.from_bytes(rng.bytes(width // 8 + 1), "little") % (1 << width)
                           for _ in range(price.SERIES_CYCLES)], object)}  # fmt: skip


def pipeline_assumptions(array: SystolicArray, tech: Technology) -> tuple[str, ...]:
    """What is assumed of units slower than the PEs."""
    lines = []
    ranks = pipeline_ranks(array, tech)
    if ranks > 0:
        lines.append(
            f"block-scale units are pipelined to the clock in {ranks} ranks of registers, priced; their latency "
            f"({ranks} cycles a block of rows and fold) is not in the cycles"
        )
    ranks = _ranks(mac_pe(array).result_edge, array, tech)
    if ranks > 0:
        lines.append(
            f"result scales run in the vector unit, pipelined to the clock in {ranks} ranks of registers whose energy "
            "is priced; their latency is not in the cycles"
        )
    return tuple(lines)


@cache
def array_parts(array: SystolicArray, tech: Technology) -> dict[str, tuple[Part, ...]]:
    """Everything but the PEs, by name. tech: its delays say how deep units are pipelined."""
    widths, pe = wiring(array), mac_pe(array)
    rows, columns = array.rows, array.columns
    triangle_rows, triangle_columns = rows * (rows - 1) // 2, columns * (columns - 1) // 2
    skew = [Part(rank(widths.left_bits), triangle_rows)]
    skew += [Part(rank(widths.top_bits), triangle_columns)] if widths.sums_stay else []
    parts: dict[str, tuple[Part, ...]] = {
        "operand registers": (
            Part(rank(widths.left_bits), rows * columns),
            Part(rank(widths.top_bits), rows * columns),
        ),
        "skew registers": tuple(skew),
    }
    unit = pe.block_edge
    if unit is not None:
        parts["block-scale units"] = (_edge_part(pe, unit, block_units(array)),)
        pipeline = _pipeline(unit, array, tech, block_units(array))
        if pipeline is not None:
            parts["block-scale pipeline"] = (pipeline,)
    elif not widths.sums_stay:
        parts["fold adders"] = (Part(_fold_adder(pe), columns, _fold_series(pe, array)),)
    return parts


def _edge_part(pe: MacPE, unit: Edge, count: int) -> Part:
    terms = pe.edge_every if unit.blocks and pe.edge_every is not None else TYPICAL_TERMS
    return Part(edge(unit), count, edge_series(pe.wiring, unit, terms))


def _fold_adder(pe: MacPE) -> Module:
    return sum_adder(pe.float_register if pe.float_register is not None else pe.accumulator_bits)


def _fold_series(pe: MacPE, array: SystolicArray) -> Series:
    register = pe.float_register if pe.float_register is not None else pe.accumulator_bits
    made = sums(pe.wiring, register, pe.wiring.unit if pe.float_register is None else 0, array.rows * array.lanes)
    return {"a": made, "b": np.roll(made, 1)}


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
    word = Part(rank(64), 1, _random(64))
    bit = replace(word.energy_pj(tech) * (1 / 64), unit="pJ/bit")
    prices = {"pe": pe.energy_pj(tech, pe_operands(array)), "operand registers": bit, "skew registers": bit}
    for name, parts in array_parts(array, tech).items():
        if name in ("block-scale units", "fold adders"):
            prices[name] = parts[0].energy_pj(tech)
        elif name == "block-scale pipeline":
            prices[name] = parts[0].energy_pj(tech) * pipeline_ranks(array, tech)
    output = pe.result_edge
    if output is not None:
        pipeline = _pipeline(output, array, tech)
        prices["result scales"] = _edge_part(pe, output, 1).energy_pj(tech)
        if pipeline is not None:
            prices["result scales"] += pipeline.energy_pj(tech) * pipeline.count
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
    if pe.result_edge is not None:
        counts["result scales"] = results
    return counts
