"""Leaves that add: sums, differences, counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from hwsim.primitives.leaf import (
    Ints,
    Leaf,
    Widths,
    log2_ceil,
    low,
    signed,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Multiplier(Leaf):
    """a * b of m and n bits, whole; signed_a, signed_b: 1 where that side is two's complement."""

    m: int
    n: int
    signed_a: int = 0
    signed_b: int = 0
    kind: ClassVar[str] = "multiplier"

    def inputs(self) -> Widths:
        return {"a": self.m, "b": self.n}

    def outputs(self) -> Widths:
        return {"product": self.m + self.n}

    def verilog(self) -> str:
        return self._rows() if self.in_rows else f"  assign product = {self._whole()};"

    def _whole(self) -> str:
        sides = []
        for name, two in (("a", self.signed_a), ("b", self.signed_b)):
            # An unsigned side beside a signed one is signed with a zero on top: Verilog is signed only where all is.
            mixed = not two and (self.signed_a or self.signed_b)
            sides.append(f"$signed({{1'b0, {name}}})" if mixed else f"$signed({name})" if two else name)
        return f"{sides[0]} * {sides[1]}"

    def _rows(self) -> str:
        """One side under each bit of the other, added; FPGA: the product as it is, which goes to a DSP block."""
        m, n, one, other = (self.m, self.n, "a", "b") if self.m >= self.n else (self.n, self.m, "b", "a")
        two, last = (self.signed_a, self.signed_b) if self.m >= self.n else (self.signed_b, self.signed_a)
        lines, constant = ["`ifdef FPGA", f"  assign product = {self._whole()};", "`else"], 0
        for place in range(n):
            # The bits of negative weight; -x is ~x - 1, the ones gathered in a constant.
            negative = (1 << (m - 1)) * bool(two) ^ ((1 << m) - 1) * bool(last and place == n - 1)
            row = f"{one} & {{{m}{{{other}[{place}]}}}}"
            lines.append(
                f"  wire [{m - 1}:0] row{place} = " + (f"({row}) ^ {m}'d{negative};" if negative else f"{row};")
            )
            constant -= negative << place
        terms = [f"{{row{place}, {place}'d0}}" if place else "row0" for place in range(n)]
        terms += [f"{m + n}'d{low(constant, m + n)}"] if constant else []
        return "\n".join([*lines, f"  assign product = {' + '.join(terms)};", "`endif"])

    def model(self, **ports: Ints) -> dict[str, Ints]:
        a = signed(ports["a"], self.m) if self.signed_a else ports["a"]
        b = signed(ports["b"], self.n) if self.signed_b else ports["b"]
        return {"product": low(a * b, self.m + self.n)}

    def gates(self, g: Any, **ports: list[int]) -> dict[str, list[int]]:
        """Partial products in columns, or those of Booth's radix-4 digits of b, as synthesis makes them."""
        width = self.m + self.n
        columns, constant = (_booth if self.booth else _array)(self, g, ports["a"], ports["b"])
        for place in range(width):
            if constant >> place & 1:
                columns[place].append(1)
        return {"product": g.columns(columns, width)}

    @property
    def booth(self) -> bool:
        """Whether one side is recoded, which synthesis does to `a * b` from 4 x 4 bits on."""
        return min(self.m, self.n) >= 4 and not self.in_rows

    @property
    def in_rows(self) -> bool:
        """Whether rows added are written out.

        They are smaller but for two signed sides to 6 x 6 bits and for wide ones; up to 2 bits, or 3 unsigned ones,
        `a * b` is not recoded and is as small. tests/hwsim/test_primitives.py sets both beside each other.
        """
        short, long = sorted((self.m, self.n))
        both = bool(self.signed_a and self.signed_b)
        if short < 3 or (short == 3 and not (self.signed_a or self.signed_b)):
            return False
        return not (both and short >= 4 and long <= 6) and short < (8 if both else 9)


def _array(leaf: Multiplier, g: Any, a: list[int], b: list[int]) -> tuple[list[list[int]], int]:
    """Every bit of a with every bit of b. A negative weight -x is ~x - 1: inverted, and its constants gathered."""
    columns: list[list[int]] = [[] for _ in range(leaf.m + leaf.n)]
    constant = 0
    for i, left in enumerate(a):
        for j, right in enumerate(b):
            negative = (leaf.signed_a and i == leaf.m - 1) != (leaf.signed_b and j == leaf.n - 1)
            columns[i + j].append(g.both(left, right) ^ int(negative))
            constant -= (1 << (i + j)) if negative else 0
    return columns, constant


def _booth(leaf: Multiplier, g: Any, a: list[int], b: list[int]) -> tuple[list[list[int]], int]:
    """a times digits -2 .. 2 of b: a row a digit, inverted where it is negative and a one added at its last place."""
    width = leaf.m + leaf.n
    columns: list[list[int]] = [[] for _ in range(width + 2)]
    constant = 0
    digits = (leaf.n + (0 if leaf.signed_b else 1) + 1) // 2
    top = b[-1] if leaf.signed_b else 0
    code = [0, *b, *[top] * (2 * digits - leaf.n)]
    sign = a[-1] if leaf.signed_a else 0
    row = [0, *a, sign, sign]  # bit i - 1 and bit i of a, two bits above
    for digit in range(digits):
        low_, middle, high = code[2 * digit : 2 * digit + 3]
        one = g.differ(middle, low_)
        two = g.both(one ^ 1, g.differ(high, middle))
        for i in range(leaf.m + 2):
            bit = g.differ(g.either(g.both(one, row[i + 1]), g.both(two, row[i])), high)
            place = 2 * digit + i
            if place < width:
                last = i == leaf.m + 1  # the sign of the row: its weight is negative
                columns[place].append(bit ^ int(last))
                constant -= (1 << place) if last else 0
        columns[2 * digit].append(high)
    return columns[:width], constant


@dataclass(frozen=True, kw_only=True, slots=True)
class Adder(Leaf):
    """a + b, its low `width` bits."""

    width: int
    kind: ClassVar[str] = "adder"

    def inputs(self) -> Widths:
        return {"a": self.width, "b": self.width}

    def outputs(self) -> Widths:
        return {"sum": self.width}

    def verilog(self) -> str:
        return "  assign sum = a + b;"

    def model(self, **ports: Ints) -> dict[str, Ints]:
        return {"sum": low(ports["a"] + ports["b"], self.width)}

    def gates(self, g: Any, **ports: list[int]) -> dict[str, list[int]]:
        return {"sum": g.ripple(ports["a"], ports["b"])}


@dataclass(frozen=True, kw_only=True, slots=True)
class Subtractor(Leaf):
    """a - b, its low `width` bits."""

    width: int
    kind: ClassVar[str] = "subtractor"

    def inputs(self) -> Widths:
        return {"a": self.width, "b": self.width}

    def outputs(self) -> Widths:
        return {"difference": self.width}

    def verilog(self) -> str:
        return "  assign difference = a - b;"

    def model(self, **ports: Ints) -> dict[str, Ints]:
        return {"difference": low(ports["a"] - ports["b"], self.width)}

    def gates(self, g: Any, **ports: list[int]) -> dict[str, list[int]]:
        return {"difference": g.ripple(ports["a"], [bit ^ 1 for bit in ports["b"]], 1)}


@dataclass(frozen=True, kw_only=True, slots=True)
class AddSubtract(Leaf):
    """a + b, or a - b where subtract is 1; its low `width` bits."""

    width: int
    kind: ClassVar[str] = "add_subtract"

    def inputs(self) -> Widths:
        return {"a": self.width, "b": self.width, "subtract": 1}

    def outputs(self) -> Widths:
        return {"sum": self.width}

    def verilog(self) -> str:
        w = self.width
        # The carry enters through a bit below the sum, so that one adder is made and not two.
        return (
            f"  wire [{w}:0] whole = {{a, 1'b1}} + {{b ^ {{{w}{{subtract}}}}, subtract}};\n  assign sum = whole[{w}:1];"
        )

    def model(self, **ports: Ints) -> dict[str, Ints]:
        a, b, subtract = ports["a"], ports["b"], ports["subtract"]
        return {"sum": low(a + np.where(subtract == 1, -b, b), self.width)}

    def gates(self, g: Any, **ports: list[int]) -> dict[str, list[int]]:
        (subtract,) = ports["subtract"]
        return {"sum": g.ripple(ports["a"], [g.differ(bit, subtract) for bit in ports["b"]], subtract)}


@dataclass(frozen=True, kw_only=True, slots=True)
class Compressor(Leaf):
    """`operands` more numbers, side by side in `terms`, added to a sum; its low `width` bits."""

    width: int
    operands: int
    kind: ClassVar[str] = "compressor"

    def inputs(self) -> Widths:
        return {"first": self.width, "terms": self.width * self.operands}

    def outputs(self) -> Widths:
        return {"sum": self.width}

    def verilog(self) -> str:
        w = self.width
        parts = [f"terms[{w * (i + 1) - 1}:{w * i}]" for i in range(self.operands)]
        return f"  assign sum = {' + '.join(['first', *parts])};"

    def model(self, **ports: Ints) -> dict[str, Ints]:
        total = ports["first"]
        for i in range(self.operands):
            total = low(total + low(ports["terms"] >> (self.width * i), self.width), self.width)
        return {"sum": total}

    def gates(self, g: Any, **ports: list[int]) -> dict[str, list[int]]:
        rows = [ports["first"], *(ports["terms"][self.width * i :][: self.width] for i in range(self.operands))]
        columns = [[row[place] for row in rows] for place in range(self.width)]
        return {"sum": g.columns(columns, self.width, sparse=True)}


@dataclass(frozen=True, kw_only=True, slots=True)
class Incrementer(Leaf):
    """a + carry, its low `width` bits: adds a rounding bit, or completes a two's complement negation."""

    width: int
    kind: ClassVar[str] = "incrementer"

    def inputs(self) -> Widths:
        return {"a": self.width, "carry": 1}

    def outputs(self) -> Widths:
        return {"sum": self.width}

    def verilog(self) -> str:
        return "  assign sum = a + carry;"

    def model(self, **ports: Ints) -> dict[str, Ints]:
        return {"sum": low(ports["a"] + ports["carry"], self.width)}

    def gates(self, g: Any, **ports: list[int]) -> dict[str, list[int]]:
        return {"sum": g.ripple(ports["a"], [0] * self.width, ports["carry"][0])}


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparator(Leaf):
    """less: whether a < b, both unsigned."""

    width: int
    kind: ClassVar[str] = "comparator"

    def inputs(self) -> Widths:
        return {"a": self.width, "b": self.width}

    def outputs(self) -> Widths:
        return {"less": 1}

    def verilog(self) -> str:
        return "  assign less = a < b;"

    def model(self, **ports: Ints) -> dict[str, Ints]:
        return {"less": (ports["a"] < ports["b"]) * (ports["a"] * 0 + 1)}

    def gates(self, g: Any, **ports: list[int]) -> dict[str, list[int]]:
        """The carry of a + ~b + 1 is 0 where a < b."""
        return {"less": [g.ripple_out(ports["a"], [bit ^ 1 for bit in ports["b"]], 1)[-1] ^ 1]}


@dataclass(frozen=True, kw_only=True, slots=True)
class PopulationCount(Leaf):
    """How many bits of a are 1."""

    width: int
    kind: ClassVar[str] = "population_count"

    def inputs(self) -> Widths:
        return {"a": self.width}

    def outputs(self) -> Widths:
        return {"count": log2_ceil(self.width + 1)}

    def verilog(self) -> str:
        return f"  assign count = {' + '.join(f'a[{i}]' if self.width > 1 else 'a' for i in range(self.width))};"

    def model(self, **ports: Ints) -> dict[str, Ints]:
        return {"count": sum((ports["a"] >> i) & 1 for i in range(self.width))}

    def gates(self, g: Any, **ports: list[int]) -> dict[str, list[int]]:
        return {"count": g.columns([list(ports["a"])], log2_ceil(self.width + 1))}
