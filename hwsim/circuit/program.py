"""A leaf's gates as a program: written down once on symbols, replayed by a kernel on whatever stands at its inputs.

    program(Adder(width=8))             # for circuit/replay.py

A leaf's `gates` method calls a network's both, choose, ripple, ... (circuit/gates.py). `Recorder` takes the network's
place and only writes the calls down. The kernel then makes the very nodes that Gates would have made.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hwsim.circuit.gates import FALSE, Literal, Row
from hwsim.primitives import Leaf

# Calls: what they take, and how many results they have. Bits are literals of symbols: 2 * symbol + inverted. Symbol 0
# is the constant, then come the leaf's input bits, then results in order.
# Calls of three bits (a 0 is the third of AND and XOR) are named for what they make, as network.py numbers it.
END, AND, XOR, MUX, SUM, TOTAL = 0, 2, 3, 4, 5, 7
RIPPLE, CHOOSE_ROW, ANY, COLUMNS, TABLE = range(9, 14)
REMEMBERED = 65536


class Program(NamedTuple):
    """code: how many output bits there are, calls, END, literals of the output bits.

    most: symbols, and nodes that can come of it, at most.
    """

    code: NDArray[np.int64]
    most: int


class Recorder:
    """In the place of Gates: writes calls down; every result is a new symbol."""

    def __init__(self, given: int) -> None:
        self.code: list[int] = []
        self.next: Literal = 2 * given + 2
        self.extra = 0  # nodes beyond one a symbol, and bits that a call reads

    def both(self, a: Literal, b: Literal) -> Literal:
        """a and b."""
        self.code += (AND, a, b, 0)
        found = self.next
        self.next = found + 2
        return found

    def either(self, a: Literal, b: Literal) -> Literal:
        """a or b."""
        self.code += (AND, a ^ 1, b ^ 1, 0)
        found = self.next
        self.next = found + 2
        return found ^ 1

    def differ(self, a: Literal, b: Literal) -> Literal:
        """a exclusive or b."""
        self.code += (XOR, a, b, 0)
        found = self.next
        self.next = found + 2
        return found

    def choose(self, select: Literal, yes: Literal, no: Literal) -> Literal:
        """yes where select, else no."""
        self.code += (MUX, select, yes, no)
        found = self.next
        self.next = found + 2
        return found

    def full(self, a: Literal, b: Literal, c: Literal, tree: bool = False) -> tuple[Literal, Literal]:
        """Sum and carry of three bits."""
        self.code += (TOTAL if tree else SUM, a, b, c)
        found = self.next
        self.next = found + 4
        return found, found + 2

    def _results(self, count: int) -> Row:
        found = list(range(self.next, self.next + 2 * count, 2))
        self.next += 2 * count
        return found

    def ripple(self, a: Row, b: Row, carry: Literal = FALSE) -> Row:
        """a + b + carry, as wide as a."""
        return self.ripple_out(a, b, carry)[:-1]

    def ripple_out(self, a: Row, b: Row, carry: Literal = FALSE) -> Row:
        """a + b + carry with the carry out on top."""
        if len(a) != len(b):
            raise ValueError(f"ripple: adds rows of one width, got {len(a)} and {len(b)}")
        self.code += (RIPPLE, len(a), carry, *a, *b)
        self.extra += 2 * len(a)
        return self._results(len(a) + 1)

    def columns(self, columns: list[Row], width: int, sparse: bool = False) -> Row:
        """The sum of bits by weight, modulo 2**width."""
        columns = columns[:width]
        self.code += (COLUMNS, width, int(sparse), len(columns))
        for column in columns:
            self.code.append(len(column))
            self.code += column
        self.extra += 2 * (sum(map(len, columns)) + width)  # an adder takes a bit away; then the ripple adder
        return self._results(width)

    def any(self, row: Sequence[Literal]) -> Literal:
        """Whether a bit of the row is 1."""
        self.code += (ANY, len(row), *row)
        self.extra += len(row)
        return self._results(1)[0]

    def shifted(self, row: Row, amount: Row, move: Any) -> Row:
        """A stage of multiplexers for each bit of the amount; move(row, places) moves one."""
        for stage, select in enumerate(amount):
            self.code += (CHOOSE_ROW, len(row), select, *move(row, 1 << stage), *row)
            self.extra += 2 * len(row)
            row = self._results(len(row))
        return row

    def table(self, column: Sequence[int], index: Row) -> Literal:
        """Bit number `index` of the column."""
        self.code += (TABLE, len(index), *index, *column)
        self.extra += 2 * len(column)  # while it tries an order: not all of a try's nodes stay
        return self._results(1)[0]

    def done(self, outputs: Row) -> Program:
        """The program."""
        code = np.array([len(outputs), *self.code, END, *outputs], np.int64)
        return Program(code, (self.next >> 1) + self.extra + 3)


@lru_cache(maxsize=REMEMBERED)
def program(leaf: Leaf) -> Program:
    """What its `gates` calls, once for all patterns of inputs."""
    widths = leaf.inputs()
    given = sum(widths.values())
    recorder, rows, place = Recorder(given), {}, 2
    for port, width in widths.items():
        rows[port] = list(range(place, place + 2 * width, 2))
        place += 2 * width
    found = leaf.gates(recorder, **rows)
    return recorder.done([literal for port in leaf.outputs() for literal in found[port]])
