"""The clock of an array, and how deep what is slower than its PEs is pipelined to it."""

from __future__ import annotations

from functools import cache
from math import ceil

import formats as nf
from hwsim import price
from hwsim.array import SystolicArray
from hwsim.array_wiring import mac_pe
from hwsim.circuit import Build, Module
from hwsim.pe import MacPE
from hwsim.pe.edge import Edge, edge
from hwsim.pe.floating import float_add
from hwsim.pe.number import decoded, slug
from hwsim.technology import Technology


@cache
def period_ns(array: SystolicArray, tech: Technology) -> float:
    """Shortest clock period: of the PE; of a fold adder, should it be slower; and, where sums stay, of the block sums'
    float addition, a loop that no register can cut and that is used once a block."""
    pe = mac_pe(array)
    period = pe.delay_ns(tech).value
    if array.dataflow != "output_stationary":
        return period if pe.edge_every is not None else max(period, price.delay_ns(fold_adder(pe), tech).value)
    if pe.edge_every is None or pe.edge_accumulator is None:
        return period
    loop = price.delay_ns(sum_adder(pe.edge_accumulator.format), tech).value
    return max(period, loop / -(-pe.edge_every // array.lanes))


@cache
def pipeline_ranks(array: SystolicArray, tech: Technology) -> int:
    """Ranks of registers in a block-scale unit, so that no part of it is slower than the PEs' clock; 0 without one."""
    return ranks_of(mac_pe(array).block_edge, array, tech)


def ranks_of(unit: Edge | None, array: SystolicArray, tech: Technology) -> int:
    """Ranks of registers that cut a unit to the clock; 0 for none."""
    return ceil(price.delay_ns(edge(unit), tech).value / period_ns(array, tech)) - 1 if unit is not None else 0


def pipeline_assumptions(array: SystolicArray, tech: Technology) -> tuple[str, ...]:
    """What is assumed of units slower than the PEs."""
    lines = []
    ranks = pipeline_ranks(array, tech)
    if ranks > 0:
        lines.append(
            f"block-scale units are pipelined to the clock in {ranks} ranks of registers, priced; their latency "
            f"({ranks} cycles a block of rows and fold) is not in the cycles"
        )
    ranks = ranks_of(mac_pe(array).result_edge, array, tech)
    if ranks > 0:
        lines.append(
            f"result scales run in the vector unit, pipelined to the clock in {ranks} ranks of registers whose energy "
            "is priced; their latency is not in the cycles"
        )
    return tuple(lines)


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


def fold_adder(pe: MacPE) -> Module:
    """What adds a fold's result to a partial sum."""
    return sum_adder(pe.float_register if pe.float_register is not None else pe.accumulator_bits)
