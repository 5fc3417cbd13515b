"""Integer arithmetic on the literals of an and-inverter graph, for steps that SAT compares with a netlist's.

Rows are lists of literals, the least significant bit first.
"""

from __future__ import annotations

from collections.abc import Sequence

from hwsim.rtl.aig import FALSE, Graph

Row = list[int]


def extended(row: Row, width: int, signed: bool = True) -> Row:
    """Two's complement in `width` bits, or the lower bits of it."""
    return row[:width] + [row[-1] if signed else FALSE] * (width - len(row))


def kept_where(graph: Graph, row: Row, bit: int) -> Row:
    """The row where the bit is 1, else 0."""
    return [graph.both(x, bit) for x in row]


def chosen(graph: Graph, rows: Sequence[Row], index: Row) -> Row:
    """rows[index]."""
    found = list(rows)
    for bit in index:
        found = [
            [graph.choose(bit, x, y) for x, y in zip(odd, even, strict=True)]
            for even, odd in zip(found[::2], found[1::2], strict=True)
        ]
    return found[0]


def negated_where(graph: Graph, row: Row, bit: int) -> Row:
    """-row where the bit is 1, modulo its width."""
    turned = [graph.differ(x, bit) for x in row]
    return graph.add(turned, [FALSE] * len(row), bit)


def moved_up(graph: Graph, row: Row, amount: Row) -> Row:
    """row * 2**amount, modulo its width."""
    for place, bit in enumerate(amount):
        far = ([FALSE] * (1 << place) + row)[: len(row)]
        row = [graph.choose(bit, x, y) for x, y in zip(far, row, strict=True)]
    return row


def total(graph: Graph, rows: Sequence[Row]) -> Row:
    """The sum of equally wide rows, in pairs as adder trees are."""
    rows = list(rows)
    while len(rows) > 1:
        pairs = [graph.add(x, y) for x, y in zip(rows[::2], rows[1::2], strict=False)]
        rows = pairs + rows[2 * len(pairs) :]
    return rows[0]


def slices(row: Row, width: int) -> list[Row]:
    """The row cut into rows of `width`."""
    return [row[place : place + width] for place in range(0, len(row), width)]
