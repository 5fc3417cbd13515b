"""What a systolic array is made of beyond its PEs.

operand registers    in each PE: a and b are held or passed on, one word of `lanes` elements each
skew registers       triangles at the edges that delay row i by i cycles (and column j by j, where b enters from the
                     top); sums leave skewed, and the SRAM takes them column by column
block-scale units    per column and block of rows (sums move down), or per PE (sums stay)
block-scale pipeline ranks of registers that cut those units to the PEs' clock
row sums             beside zero points: an adder and a register per row for what streams from the left, shared by
                     all columns; per column for what enters from the top, and where that one is held as many as the
                     column has block-scale units
fold adders          per column, where sums move down: add a fold's result to the partial sum in SRAM
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from hwsim import price
from hwsim.array import SystolicArray
from hwsim.array_clock import fold_adder, ranks_of
from hwsim.array_wiring import block_units, mac_pe, wiring
from hwsim.circuit import Build, Module
from hwsim.cost import Cost
from hwsim.pe import MacPE
from hwsim.pe.edge import Edge, edge
from hwsim.pe.row_sum import row_sum
from hwsim.pe.series import Series, edge_series, row_series, sums
from hwsim.technology import Technology

TYPICAL_TERMS = 1024  # of a result whose sum is scaled once


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
        parts["block-scale units"] = (edge_part(pe, unit, block_units(array)),)
        ranks = pipeline(unit, array, tech, block_units(array))
        if ranks is not None:
            parts["block-scale pipeline"] = (ranks,)
    elif not widths.sums_stay:
        parts["fold adders"] = (Part(fold_adder(pe), columns, _fold_series(pe, array)),)
    sums_of_rows = row_sum_parts(array)
    if sums_of_rows:
        parts["row sums"] = tuple(sums_of_rows.values())
    return parts


@cache
def row_sum_parts(array: SystolicArray) -> dict[str, Part]:
    """By operand, "a" or "b", what sums its elements along k; empty without zero points.

    What streams from the left is summed once for all columns: beside it where sums stay, else by one more column, whose
    rows add their word to what comes from above. What enters from the top is summed per column as it enters; where it
    is then held, its sums are held too, one for each of the column's block-scale units.
    """
    widths = wiring(array)
    top = array.columns if widths.sums_stay else max(array.columns, block_units(array))
    count = {widths.left: array.rows, widths.top: top}
    return {side: Part(row_sum(what), count[side], row_series(what)) for side, what in mac_pe(array).row_sums.items()}


def edge_part(pe: MacPE, unit: Edge, count: int) -> Part:
    """`count` units that scale sums, as normal operands move them."""
    terms = pe.edge_every if unit.blocks and pe.edge_every is not None else TYPICAL_TERMS
    return Part(edge(unit), count, edge_series(pe.wiring, unit, terms))


def pipeline(unit: Edge | None, array: SystolicArray, tech: Technology, count: int = 1) -> Part | None:
    """The ranks of `count` units, each as wide as its result; None where they need none."""
    ranks = ranks_of(unit, array, tech)
    edge_format = mac_pe(array).edge_accumulator
    width = edge_format.format.bits if edge_format is not None else 32  # result scales give a float32
    return Part(rank(width), ranks * count, random(width)) if ranks > 0 else None


def random(width: int) -> Series:
    """A rank's input, new every cycle."""
    rng = np.random.default_rng(0)
    return {"d": np.array([int.from_bytes(rng.bytes(width // 8 + 1), "little") % (1 << width)
                           for _ in range(price.SERIES_CYCLES)], object)}  # fmt: skip


def _fold_series(pe: MacPE, array: SystolicArray) -> Series:
    register = pe.float_register if pe.float_register is not None else pe.accumulator_bits
    made = sums(pe.wiring, register, pe.wiring.unit if pe.float_register is None else 0, array.rows * array.lanes)
    return {"a": made, "b": np.roll(made, 1)}
