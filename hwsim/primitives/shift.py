"""Leaves that move and choose bits: shifters, multiplexers, constant tables."""

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
    shifted_left,
    shifted_right,
    signed,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Shifter(Leaf):
    """a moved right by `amount`, zeros above; the bits below its last place are dropped.

    positions: the largest amount that is meant; `amount` has as many bits as that takes.
    """

    width: int
    positions: int
    kind: ClassVar[str] = "shifter"

    def inputs(self) -> Widths:
        return {"a": self.width, "amount": log2_ceil(self.positions + 1)}

    def outputs(self) -> Widths:
        return {"shifted": self.width}

    def verilog(self) -> str:
        return "  assign shifted = a >> amount;"

    def model(self, **ports: Ints) -> dict[str, Ints]:
        return {"shifted": shifted_right(ports["a"], ports["amount"], self.width)}

    def gates(self, g: Any, **ports: list[int]) -> dict[str, list[int]]:
        return {
            "shifted": g.shifted(ports["a"], ports["amount"], lambda row, by: [*row[by:], *[0] * min(by, len(row))])
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class ArithmeticShifter(Leaf):
    """A two's complement a moved right by `amount`, its sign above: the floor of a / 2**amount."""

    width: int
    positions: int
    kind: ClassVar[str] = "arithmetic_shifter"

    def inputs(self) -> Widths:
        return {"a": self.width, "amount": log2_ceil(self.positions + 1)}

    def outputs(self) -> Widths:
        return {"shifted": self.width}

    def verilog(self) -> str:
        return "  assign shifted = $signed(a) >>> amount;"

    def model(self, **ports: Ints) -> dict[str, Ints]:
        a = signed(ports["a"], self.width)
        return {"shifted": low(a >> np.minimum(ports["amount"], self.width), self.width)}

    def gates(self, g: Any, **ports: list[int]) -> dict[str, list[int]]:
        top = ports["a"][-1]
        return {
            "shifted": g.shifted(ports["a"], ports["amount"], lambda row, by: [*row[by:], *[top] * min(by, len(row))])
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class StickyShifter(Leaf):
    """a moved right by `amount`, zeros above; lost: whether a one was dropped below its last place."""

    width: int
    positions: int
    kind: ClassVar[str] = "sticky_shifter"

    def inputs(self) -> Widths:
        return {"a": self.width, "amount": log2_ceil(self.positions + 1)}

    def outputs(self) -> Widths:
        return {"shifted": self.width, "lost": 1}

    def verilog(self) -> str:
        """A stage for each bit of the amount: what it drops is seen before it moves on."""
        w, stages = self.width, log2_ceil(self.positions + 1)
        lines, row, lost = [], "a", []
        for stage in range(stages):
            reach, bit = min(1 << stage, w), f"amount[{stage}]" if stages > 1 else "amount"
            cut = row if w == 1 else f"{row}[{reach - 1}:0]"
            lines += [
                f"  wire [{w - 1}:0] moved{stage} = {bit} ? {row} >> {1 << stage} : {row};",
                f"  wire lost{stage} = {bit} & (|{cut});",
            ]
            row = f"moved{stage}"
            lost.append(f"lost{stage}")
        return "\n".join([*lines, f"  assign shifted = {row};", f"  assign lost = {' | '.join(lost)};"])

    def model(self, **ports: Ints) -> dict[str, Ints]:
        a, amount = ports["a"], np.minimum(ports["amount"], self.width)
        moved = a >> amount
        return {"shifted": moved, "lost": ((moved << amount) != a) * (a * 0 + 1)}

    def gates(self, g: Any, **ports: list[int]) -> dict[str, list[int]]:
        row, lost = ports["a"], []
        for stage, select in enumerate(ports["amount"]):
            lost.append(g.both(select, g.any(row[: 1 << stage])))
            moved = [*row[1 << stage :], *[0] * min(1 << stage, len(row))]
            row = [g.choose(select, yes, no) for yes, no in zip(moved, row, strict=True)]
        return {"shifted": row, "lost": [g.any(lost)]}


@dataclass(frozen=True, kw_only=True, slots=True)
class ExpandingShifter(Leaf):
    """`width` bits moved left by `amount`, up to `positions`, into `limit` bits; signed_a: 1 repeats a's sign above."""

    width: int
    positions: int
    limit: int
    signed_a: int = 0
    kind: ClassVar[str] = "expanding_shifter"

    def inputs(self) -> Widths:
        return {"a": self.width, "amount": log2_ceil(self.positions + 1)}

    def outputs(self) -> Widths:
        return {"shifted": self.limit}

    def verilog(self) -> str:
        # As wide as its target: Verilog widens a first, by its sign where it is signed.
        return f"  assign shifted = {'$signed(a)' if self.signed_a else 'a'} << amount;"

    def model(self, **ports: Ints) -> dict[str, Ints]:
        a = low(signed(ports["a"], self.width), self.limit) if self.signed_a else ports["a"]
        return {"shifted": shifted_left(a, ports["amount"], self.limit)}

    def gates(self, g: Any, **ports: list[int]) -> dict[str, list[int]]:
        above = ports["a"][-1] if self.signed_a else 0
        wide = [*ports["a"], *[above] * max(self.limit - self.width, 0)][: self.limit]
        return {
            "shifted": g.shifted(wide, ports["amount"], lambda row, by: [*[0] * min(by, len(row)), *row][: len(row)])
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Multiplexer(Leaf):
    """The chosen one of `inputs` words of `width` bits that lie side by side in `words`, the first lowest."""

    width: int
    choices: int
    kind: ClassVar[str] = "multiplexer"

    def inputs(self) -> Widths:
        return {"words": self.width * self.choices, "select": max(log2_ceil(self.choices), 1)}

    def outputs(self) -> Widths:
        return {"chosen": self.width}

    def verilog(self) -> str:
        w = self.width
        if self.choices == 2:
            return f"  assign chosen = select ? words[{2 * w - 1}:{w}] : words[{w - 1}:0];"
        return f"  assign chosen = words >> (select * {w});"

    def model(self, **ports: Ints) -> dict[str, Ints]:
        words, select = ports["words"], ports["select"]
        found = words * 0
        for place in range(self.choices):
            found = np.where(select == place, low(words >> (self.width * place), self.width), found)
        return {"chosen": found}

    def gates(self, g: Any, **ports: list[int]) -> dict[str, list[int]]:
        words = [ports["words"][self.width * i :][: self.width] for i in range(self.choices)]
        words += [[0] * self.width] * (2 ** len(ports["select"]) - self.choices)
        for select in ports["select"]:
            words = [
                [g.choose(select, yes, no) for yes, no in zip(words[i + 1], words[i], strict=True)]
                for i in range(0, len(words), 2)
            ]
        return {"chosen": words[0]}


@dataclass(frozen=True, kw_only=True, slots=True)
class Lookup(Leaf):
    """A constant table of 2**address words: contents holds them side by side, the first lowest.

    Each output bit is a fixed function of the address; a writable table would add a flip-flop a bit.
    """

    address: int
    width: int
    contents: int = 0
    kind: ClassVar[str] = "lookup"

    def inputs(self) -> Widths:
        return {"index": self.address}

    def outputs(self) -> Widths:
        return {"word": self.width}

    def words(self) -> list[int]:
        """The table."""
        return [(self.contents >> (self.width * i)) & ((1 << self.width) - 1) for i in range(2**self.address)]

    def verilog(self) -> str:
        digits = -(-self.width // 4)
        lines = [
            f"      {self.address}'d{i}: found = {self.width}'h{w:0{digits}x};" for i, w in enumerate(self.words())
        ]
        return "\n".join(
            [
                f"  reg [{self.width - 1}:0] found;",
                "  always @*",
                "    case (index)",
                *lines,
                f"      default: found = {self.width}'h{0:0{digits}x};",
                "    endcase",
                "  assign word = found;",
            ]
        )

    def model(self, **ports: Ints) -> dict[str, Ints]:
        index = np.asarray(ports["index"])
        # Python integers stay such: a wider row may be made of the word.
        table = np.array(self.words(), dtype=object if self.width > 62 else index.dtype)
        return {"word": table[index.astype(np.int64)]}

    def gates(self, g: Any, **ports: list[int]) -> dict[str, list[int]]:
        """A bit after the other."""
        words = self.words()
        return {"word": [g.table([word >> bit & 1 for word in words], ports["index"]) for bit in range(self.width)]}
