"""What an array asks of its wires: which operand enters where, how wide its words are, how many edge units it has."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from math import gcd

import numpy as np
from numpy.typing import NDArray

import formats as nf
from hwsim.array import SystolicArray
from hwsim.pe import MacPE

Ints = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Wiring:
    """left, top: which operand, "a" or "b", streams from the left, and which one enters from the top (and is held where
    sums move). Word widths in bits; result: of a sum."""

    left: str
    top: str
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
        left="b" if held_a else "a",
        top="a" if held_a else "b",
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
