"""BitFusion's unit: sixteen bricks of 2 by 2 bits make one 8 x 8, two 8 x 4, ... or sixteen 2 x 2 products.

Brick (I, J, i, j) takes 2 bits of each side. Four bricks (i, j) are joined under shifts of 2, four such groups (I, J)
under shifts of 4; where a side is narrower, bricks are of other products and not shifted; all products are added.
Source: BitFusion (ISCA 2018).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import product as every
from typing import Any

from hwsim.circuit import Bits, Build, Module, cat
from hwsim.pe import fixed

BRICKS = tuple(every((0, 1), repeat=4))  # (I, J, i, j)
WIDTHS = (2, 4, 8)


@dataclass(frozen=True, kw_only=True, slots=True)
class BitFusion:
    """register_bits: of the sum, modulo 2**register_bits."""

    register_bits: int = 32


def products(a_bits: int, b_bits: int) -> int:
    """How many products a cycle makes."""
    return (8 // a_bits) * (8 // b_bits)


def mode(a_bits: int, b_bits: int) -> dict[str, int]:
    """The unit's mode ports. a_bits, b_bits: 2, 4 or 8; raises ValueError for others."""
    if a_bits not in WIDTHS or b_bits not in WIDTHS:
        raise ValueError(f"BitFusion: sides have 2, 4 or 8 bits, got {a_bits} and {b_bits}")
    return {"a_wide": (a_bits >= 4) | (a_bits == 8) << 1, "b_wide": (b_bits >= 4) | (b_bits == 8) << 1}


def spread(a: Any, b: Any, a_bits: int, b_bits: int) -> dict[str, Any]:
    """Codes of each product's sides, [products], as the unit's ports a and b: 2 bits a brick."""
    ports = {"a": 0, "b": 0}
    for place, (big_i, big_j, i, j) in enumerate(BRICKS):
        index = [(big_i, 8, a_bits), (i, 4, a_bits), (big_j, 8, b_bits), (j, 4, b_bits)]
        own = [bit for bit, wide, bits in index if bits < wide]
        which = sum(bit << k for k, bit in enumerate(own))
        for side, codes, bits, high, low in (("a", a, a_bits, big_i, i), ("b", b, b_bits, big_j, j)):
            chunk = (2 * high if bits == 8 else 0) + (low if bits >= 4 else 0)
            ports[side] = ports[side] | (codes[which] >> (2 * chunk) & 3) << (2 * place)
    return ports


@cache
def fusion_unit(what: BitFusion) -> Module:
    """Ports: a, b: 2 bits a brick (`spread`); a_wide, b_wide (`mode`); a_signed, b_signed; clear; sum: the register."""
    m = Build(f"fusion_unit_acc{what.register_bits}")
    rows = {side: m.input(side, 32) for side in "ab"}
    wide = {side: m.input(f"{side}_wide", 2) for side in "ab"}
    signed = {side: m.input(f"{side}_signed", 1) for side in "ab"}
    clear = m.input("clear", 1)
    # A brick's bits are a sign's where they are the top of their operand.
    tops: dict[tuple[str, int, int], Bits] = {}
    for side in "ab":
        narrow = m.leaf(f"{side}_narrow", "inverter", width=2, a=wide[side])
        inner = m.leaf(f"{side}_inner", "and_gate", width=1, a=signed[side], b=narrow[0])
        outer = m.leaf(f"{side}_outer", "and_gate", width=1, a=signed[side], b=narrow[1])
        none = m.leaf(f"{side}_none", "and_gate", width=1, a=inner, b=narrow[1])
        tops |= {(side, 1, 1): signed[side], (side, 0, 1): outer, (side, 1, 0): inner, (side, 0, 0): none}
    groups: dict[tuple[int, int], list[Bits]] = {}
    for place, (big_i, big_j, i, j) in enumerate(BRICKS):
        sides = []
        for side, high, low in (("a", big_i, i), ("b", big_j, j)):
            bits = rows[side][2 * place : 2 * place + 2]
            top = m.leaf(f"{side}_top{place}", "and_gate", width=1, a=bits[1], b=tops[side, high, low])
            sides.append(cat(top, bits))
        brick = m.leaf(f"brick{place}", "multiplier", m=3, n=3, signed_a=1, signed_b=1, a=sides[0], b=sides[1])
        moves = [wide["a"][0]] * i + [wide["b"][0]] * j
        groups.setdefault((big_i, big_j), []).append(_moved(m, f"move{place}", brick, moves, 2))
    found = []
    for (big_i, big_j), terms in groups.items():
        total = fixed.summed(m, f"group{big_i}{big_j}", [fixed.Placed(x, True, None) for x in terms], None)
        moves = [wide["a"][1]] * big_i + [wide["b"][1]] * big_j
        found.append(_moved(m, f"move_group{big_i}{big_j}", total.row, moves, 4))
    term = fixed.summed(m, "all", [fixed.Placed(x, True, None) for x in found], None)
    register = m.register("total", what.register_bits)
    m.drive("total", fixed.accumulate(m, "accumulate", register, term, clear))
    m.output("sum", register)
    return m.done()


def _moved(m: Build, name: str, row: Bits, moves: list[Bits], step: int) -> Bits:
    """Up by `step` for each of the moves that is 1."""
    for k, move in enumerate(moves):
        width = row.width + step
        row = m.leaf(
            f"{name}_{k}", "multiplexer", width=width, choices=2, words=cat(row.above(step), row.sign_extend(width)),
            select=move,
        )  # fmt: skip
    return row
