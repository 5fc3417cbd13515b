"""Gates of a leaf where it stands: built bit by bit, constants folded, equal gates made once, dead ones left out.

A textbook count knows a leaf's parameters; this one also knows which of its inputs are constants or the same wire, and
which of its outputs anybody reads. That is most of what a synthesiser gains over the sum of a design's parts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import permutations
from typing import Any

import numpy as np

# A literal is 2 * node + (1 where inverted). Node 0 is the constant: literal 0 is false, 1 is true.
FALSE, TRUE = 0, 1
Literal = int
Row = list[Literal]
# "sum" and "carry" are bits of a carry chain, "total" and "over" of a tree that compresses columns.
KINDS = ("and", "xor", "mux", "sum", "carry", "total", "over")

MOST_ORDERED = 5  # address bits of a table whose every order is tried


class Gates:
    """A network of two-input ANDs and XORs, multiplexers and full adders (their sum and their carry apart)."""

    def __init__(self) -> None:
        self.nodes: list[tuple[str, Literal, Literal, Literal]] = [("constant", 0, 0, 0)]
        self._known: dict[tuple[str, Literal, Literal, Literal], Literal] = {}

    def fresh(self) -> Literal:
        """An input."""
        self.nodes.append(("input", 0, 0, 0))
        return 2 * (len(self.nodes) - 1)

    def _node(self, kind: str, a: Literal, b: Literal, c: Literal = 0) -> Literal:
        key = (kind, a, b, c)
        found = self._known.get(key)
        if found is None:
            self.nodes.append(key)
            found = self._known[key] = 2 * (len(self.nodes) - 1)
        return found

    def tried(self, make: Callable[..., object], *arguments: object) -> int:
        """Roughly how many gates make(self, *arguments) would add, without adding them: a multiplexer or XOR as two."""
        before = len(self.nodes)
        make(self, *arguments)
        added = self.nodes[before:]
        for node in added:
            del self._known[node]
        del self.nodes[before:]
        return sum(1 if node[0] == "and" else 2 for node in added)

    def both(self, a: Literal, b: Literal) -> Literal:
        """a and b."""
        if a > b:
            a, b = b, a
        if a == FALSE or a ^ 1 == b:
            return FALSE
        if a in (TRUE, b):
            return b
        return self._node("and", a, b)

    def either(self, a: Literal, b: Literal) -> Literal:
        """a or b."""
        return self.both(a ^ 1, b ^ 1) ^ 1

    def differ(self, a: Literal, b: Literal) -> Literal:
        """a exclusive or b."""
        turned = (a & 1) ^ (b & 1)
        a, b = sorted((a & ~1, b & ~1))
        if a == b:
            return turned
        return (b if a == FALSE else self._node("xor", a, b)) ^ turned

    def choose(self, select: Literal, yes: Literal, no: Literal) -> Literal:
        """yes where select, else no."""
        if select == TRUE or yes == no:
            return yes
        if select == FALSE:
            return no
        if select & 1:
            select, yes, no = select ^ 1, no, yes
        if yes in (FALSE, TRUE, select, select ^ 1):
            return self.either(select, no) if yes in (TRUE, select) else self.both(select ^ 1, no)
        if no in (FALSE, TRUE, select, select ^ 1):
            return self.either(select ^ 1, yes) if no in (TRUE, select ^ 1) else self.both(select, yes)
        if yes == no ^ 1:
            return self.differ(select, no)
        if yes & 1:
            return self._node("mux", select, yes ^ 1, no ^ 1) ^ 1
        return self._node("mux", select, yes, no)

    def full(self, a: Literal, b: Literal, c: Literal, tree: bool = False) -> tuple[Literal, Literal]:
        """Sum and carry of three bits, in a carry chain or a tree."""
        a, b, c = sorted((a, b, c))
        if a <= TRUE:  # a constant: half an adder
            carry = self.either(b, c) if a == TRUE else self.both(b, c)
            return self.differ(self.differ(b, c), a), carry
        for x, y, z in ((a, b, c), (b, c, a)):
            if x == y:
                return z, x
            if x == y ^ 1:
                return z ^ 1, z
        for x, y, z in ((a, b, c), (a, c, b), (b, c, a)):
            below = self._third(x, y, z)
            if below is not None:  # the carry of these very bits: sign extensions; it stays what it is
                return self.choose(self.differ(x, y), below ^ 1, x), z
        turned = (a & 1) ^ (b & 1) ^ (c & 1)
        plain = sorted((a & ~1, b & ~1, c & ~1))
        total = self._node("total" if tree else "sum", *plain) ^ turned
        if (a & 1) + (b & 1) + (c & 1) >= 2:  # the majority of three inverted bits is the majority inverted
            return total, self._node("over" if tree else "carry", *sorted((a ^ 1, b ^ 1, c ^ 1))) ^ 1
        return total, self._node("over" if tree else "carry", a, b, c)

    def _third(self, a: Literal, b: Literal, carry: Literal) -> Literal | None:
        """Where `carry` is the carry of a, b and a third bit: that bit."""
        kind, *inputs = self.nodes[carry >> 1]
        if kind not in ("carry", "over"):
            return None
        bits = [literal ^ (carry & 1) for literal in inputs]
        if a not in bits or b not in bits:
            return None
        bits.remove(a)
        bits.remove(b)
        return bits[0]

    def ripple(self, a: Row, b: Row, carry: Literal = FALSE) -> Row:
        """a + b + carry, as wide as a; the carry out is the last of `ripple_out`."""
        return self.ripple_out(a, b, carry)[:-1]

    def ripple_out(self, a: Row, b: Row, carry: Literal = FALSE) -> Row:
        """a + b + carry with the carry out on top."""
        found = []
        for x, y in zip(a, b, strict=True):
            total, carry = self.full(x, y, carry)
            found.append(total)
        return [*found, carry]

    def columns(self, columns: list[Row], width: int, sparse: bool = False) -> Row:
        """The sum of bits by weight, modulo 2**width: columns compressed three to two, then a ripple adder.

        sparse: zeros are left out from the start, and not only after the first stage.
        """
        columns = [*columns, *([] for _ in range(width))][:width]
        if sparse:
            columns = [[bit for bit in column if bit != FALSE] for column in columns]
        while any(len(column) > 2 for column in columns):
            after: list[Row] = [[] for _ in range(width + 1)]
            for place, column in enumerate(columns):
                rest = column
                while len(rest) > 2:
                    total, carry = self.full(rest[0], rest[1], rest[2], tree=True)
                    after[place].append(total)
                    after[place + 1].append(carry)
                    rest = rest[3:]
                after[place] = rest + after[place]
            columns = [[bit for bit in column if bit != FALSE] for column in after[:width]]
        rows = [[column[i] if len(column) > i else FALSE for column in columns] for i in (0, 1)]
        return self.ripple(rows[0], rows[1])

    def any(self, row: Sequence[Literal]) -> Literal:
        """Whether a bit of the row is 1: a balanced tree."""
        level = list(row)
        while len(level) > 1:
            level = [
                self.either(*level[i : i + 2]) if i + 1 < len(level) else level[i] for i in range(0, len(level), 2)
            ]
        return level[0] if level else FALSE

    def shifted(self, row: Row, amount: Row, move: Any) -> Row:
        """A stage of multiplexers for each bit of the amount; move(row, places) moves one."""
        for stage, select in enumerate(amount):
            row = [self.choose(select, yes, no) for yes, no in zip(move(row, 1 << stage), row, strict=True)]
        return row

    def table(self, column: Sequence[int], index: Row) -> Literal:
        """Bit number `index` of the column, in the order of address bits that adds the fewest gates."""
        address = range(len(index))
        orders = list(permutations(address)) if len(index) <= MOST_ORDERED else [tuple(address)]
        costs = [self.tried(_decided, column, order, index) for order in orders]
        return _decided(self, column, orders[costs.index(min(costs))], index)

    def live(self, outputs: Iterable[Literal]) -> set[int]:
        """The nodes that the outputs are made of."""
        seen: set[int] = set()
        waiting = [literal >> 1 for literal in outputs]
        while waiting:
            node = waiting.pop()
            if node in seen:
                continue
            seen.add(node)
            kind, *inputs = self.nodes[node]
            if kind in KINDS:
                waiting += [literal >> 1 for literal in inputs]
        return seen

    def levels(self) -> list[int]:
        """Gates in series up to each node; a full adder's sum counts two, its carry and all others one."""
        found = [0] * len(self.nodes)
        for place, (kind, a, b, c) in enumerate(self.nodes):
            if kind in KINDS:
                found[place] = max(found[a >> 1], found[b >> 1], found[c >> 1]) + (2 if kind in ("sum", "total") else 1)
        return found

    def values(self, given: dict[Literal, Any], size: int) -> list[Any]:
        """Booleans [size] of every node, for inputs given by literal: what the network means."""
        found: list[Any] = [np.zeros(size, bool)] * len(self.nodes)

        def of(literal: Literal) -> Any:
            return found[literal >> 1] ^ bool(literal & 1)

        for place, (kind, a, b, c) in enumerate(self.nodes):
            if kind == "input":
                found[place] = given[2 * place]
            elif kind == "and":
                found[place] = of(a) & of(b)
            elif kind == "xor":
                found[place] = of(a) ^ of(b)
            elif kind == "mux":
                found[place] = np.where(of(a), of(b), of(c))
            elif kind in ("sum", "total"):
                found[place] = of(a) ^ of(b) ^ of(c)
            elif kind in ("carry", "over"):
                found[place] = (of(a) & of(b)) | (of(c) & (of(a) | of(b)))
        return found


def _decided(g: Gates, column: Sequence[int], order: Sequence[int], index: Row) -> Literal:
    """A column of a table as multiplexers, the first address bit of the order next to the constants."""
    places = [sum((i >> at & 1) << bit for at, bit in enumerate(order)) for i in range(len(column))]
    level = [column[place] for place in places]
    for bit in order:
        level = [g.choose(index[bit], level[i + 1], level[i]) for i in range(0, len(level), 2)]
    return level[0]
