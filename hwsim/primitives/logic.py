"""Leaves of plain logic, and the flip-flop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from hwsim.primitives.leaf import Ints, Leaf, Widths, log2_ceil, low


@dataclass(frozen=True, kw_only=True, slots=True)
class _Gate(Leaf):
    """Two words, bit by bit."""

    width: int

    def inputs(self) -> Widths:
        return {"a": self.width, "b": self.width}

    def outputs(self) -> Widths:
        return {"y": self.width}


@dataclass(frozen=True, kw_only=True, slots=True)
class AndGate(_Gate):
    """a & b: masks, clears."""

    kind: ClassVar[str] = "and_gate"

    def verilog(self) -> str:
        return "  assign y = a & b;"

    def model(self, **ports: Ints) -> dict[str, Ints]:
        return {"y": ports["a"] & ports["b"]}

    def gates(self, g: Any, **ports: list[int]) -> dict[str, list[int]]:
        return {"y": [g.both(a, b) for a, b in zip(ports["a"], ports["b"], strict=True)]}


@dataclass(frozen=True, kw_only=True, slots=True)
class OrGate(_Gate):
    """a | b."""

    kind: ClassVar[str] = "or_gate"

    def verilog(self) -> str:
        return "  assign y = a | b;"

    def model(self, **ports: Ints) -> dict[str, Ints]:
        return {"y": ports["a"] | ports["b"]}

    def gates(self, g: Any, **ports: list[int]) -> dict[str, list[int]]:
        return {"y": [g.either(a, b) for a, b in zip(ports["a"], ports["b"], strict=True)]}


@dataclass(frozen=True, kw_only=True, slots=True)
class ExclusiveOr(_Gate):
    """a ^ b: a sign, or with b all alike a conditional one's complement."""

    kind: ClassVar[str] = "exclusive_or"

    def verilog(self) -> str:
        return "  assign y = a ^ b;"

    def model(self, **ports: Ints) -> dict[str, Ints]:
        return {"y": ports["a"] ^ ports["b"]}

    def gates(self, g: Any, **ports: list[int]) -> dict[str, list[int]]:
        return {"y": [g.differ(a, b) for a, b in zip(ports["a"], ports["b"], strict=True)]}


@dataclass(frozen=True, kw_only=True, slots=True)
class Inverter(Leaf):
    """~a."""

    width: int
    kind: ClassVar[str] = "inverter"

    def inputs(self) -> Widths:
        return {"a": self.width}

    def outputs(self) -> Widths:
        return {"y": self.width}

    def verilog(self) -> str:
        return "  assign y = ~a;"

    def model(self, **ports: Ints) -> dict[str, Ints]:
        return {"y": low(~ports["a"], self.width)}

    def gates(self, g: Any, **ports: list[int]) -> dict[str, list[int]]:
        return {"y": [bit ^ 1 for bit in ports["a"]]}


@dataclass(frozen=True, kw_only=True, slots=True)
class AnyBit(Leaf):
    """Whether a bit of a is 1."""

    width: int
    kind: ClassVar[str] = "any_bit"

    def inputs(self) -> Widths:
        return {"a": self.width}

    def outputs(self) -> Widths:
        return {"y": 1}

    def verilog(self) -> str:
        return "  assign y = |a;"

    def model(self, **ports: Ints) -> dict[str, Ints]:
        return {"y": (ports["a"] != 0) * (ports["a"] * 0 + 1)}

    def gates(self, g: Any, **ports: list[int]) -> dict[str, list[int]]:
        return {"y": [g.any(ports["a"])]}


@dataclass(frozen=True, kw_only=True, slots=True)
class EveryBit(Leaf):
    """Whether all bits of a are 1."""

    width: int
    kind: ClassVar[str] = "every_bit"

    def inputs(self) -> Widths:
        return {"a": self.width}

    def outputs(self) -> Widths:
        return {"y": 1}

    def verilog(self) -> str:
        return "  assign y = &a;"

    def model(self, **ports: Ints) -> dict[str, Ints]:
        return {"y": (ports["a"] == (1 << self.width) - 1) * (ports["a"] * 0 + 1)}

    def gates(self, g: Any, **ports: list[int]) -> dict[str, list[int]]:
        return {"y": [g.any([bit ^ 1 for bit in ports["a"]]) ^ 1]}


@dataclass(frozen=True, kw_only=True, slots=True)
class LeadingZeroCounter(Leaf):
    """Zeros above the highest 1 of a; width where there is none."""

    width: int
    kind: ClassVar[str] = "leading_zero_counter"

    def inputs(self) -> Widths:
        return {"a": self.width}

    def outputs(self) -> Widths:
        return {"count": log2_ceil(self.width + 1)}

    def verilog(self) -> str:
        """A tree of halves: whether a one is there, and the count from the upper half that has one."""
        bits, lines = log2_ceil(self.width), list[str]()
        pad = (1 << bits) - self.width  # ones below make the count of an empty a end at width

        def half(low: int, level: int) -> tuple[str, list[str]]:
            """Whether a one is among 2**level bits from `low`, and the count's bits, the lowest first."""
            if not level:
                return ("1'b1" if low < pad else f"a[{low - pad}]" if self.width > 1 else "a"), []
            size = 1 << (level - 1)
            (upper, above), (lower, below) = half(low + size, level - 1), half(low, level - 1)
            name = f"{low}_{low + 2 * size - 1}"
            lines.append(f"  wire any{name} = {upper} | {lower};")
            for place, (yes, no) in enumerate(zip(above, below, strict=True)):
                lines.append(f"  wire count{name}_{place} = {upper} ? {yes} : {no};")
            lines.append(f"  wire count{name}_{level - 1} = ~{upper};")
            return f"any{name}", [f"count{name}_{place}" for place in range(level)]

        some, found = half(0, bits)
        row = ", ".join(reversed(found))
        if pad:
            lines.append(f"  assign count = {{{row}}};")
        elif bits:
            lines.append(f"  assign count = {some} ? {{1'b0, {row}}} : {bits + 1}'d{self.width};")
        else:
            lines.append("  assign count = ~a;")
        return "\n".join(lines)

    def model(self, **ports: Ints) -> dict[str, Ints]:
        a = ports["a"]
        count, found = a * 0, a * 0
        for place in range(self.width - 1, -1, -1):
            found = found | ((a >> place) & 1)
            count = count + (1 - found)
        return {"count": count}

    def gates(self, g: Any, **ports: list[int]) -> dict[str, list[int]]:
        """As the Verilog has it."""
        stages = log2_ceil(self.width)
        row = [*[1] * ((1 << stages) - self.width), *ports["a"]]
        found = []
        for level in range(stages, 0, -1):
            half = 1 << (level - 1)
            empty = g.any(row[half:]) ^ 1
            found.append(empty)
            row = [g.choose(empty, low_, high) for low_, high in zip(row[:half], row[half:], strict=True)]
        found.reverse()
        if self.width == 1 << stages:  # an empty word counts all of it
            found = [g.both(bit, row[0]) for bit in found] + [row[0] ^ 1]
        return {"count": found}


@dataclass(frozen=True, kw_only=True, slots=True)
class FloatDecoder(Leaf):
    """A float's exponent field read: `hidden`, its leading bit, and the exponent, that of a subnormal made 1."""

    exponent: int
    kind: ClassVar[str] = "float_decoder"

    def inputs(self) -> Widths:
        return {"field": self.exponent}

    def outputs(self) -> Widths:
        return {"hidden": 1, "effective": self.exponent}

    def verilog(self) -> str:
        upper = f"field[{self.exponent - 1}:1], field[0]" if self.exponent > 1 else "field"
        return f"  assign hidden = |field;\n  assign effective = {{{upper} | ~hidden}};"

    def model(self, **ports: Ints) -> dict[str, Ints]:
        field = ports["field"]
        return {"hidden": (field != 0) * (field * 0 + 1), "effective": np.where(field == 0, field * 0 + 1, field)}

    def gates(self, g: Any, **ports: list[int]) -> dict[str, list[int]]:
        field = ports["field"]
        hidden = g.any(field)
        return {"hidden": [hidden], "effective": [g.either(field[0], hidden ^ 1), *field[1:]]}


@dataclass(frozen=True, kw_only=True, slots=True)
class Register(Leaf):
    """`width` flip-flops: q is what d was before the clock's rising edge."""

    width: int
    kind: ClassVar[str] = "register"

    def inputs(self) -> Widths:
        return {"d": self.width}

    def outputs(self) -> Widths:
        return {"q": self.width}

    def verilog(self) -> str:
        return f"  reg [{self.width - 1}:0] held;\n  always @(posedge clk) held <= d;\n  assign q = held;"

    def model(self, **ports: Ints) -> dict[str, Ints]:
        raise TypeError("register: has a state; circuit.step keeps it")

    def gates(self, g: Any, **ports: list[int]) -> dict[str, list[int]]:
        raise TypeError("register: has a state, and no gates but its flip-flops")
