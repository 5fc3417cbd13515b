"""Bits: wires by name, and what can be made of them without a gate: slices, concatenations, extensions, constants."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Wire:
    """A named bundle of `width` wires of a module."""

    name: str
    width: int


@dataclass(frozen=True, slots=True)
class Slice:
    """`width` wires of a bundle from number `low` on."""

    wire: Wire
    low: int
    width: int


@dataclass(frozen=True, slots=True)
class Constant:
    """`width` wires held at the bits of `value`."""

    value: int
    width: int


Part = Slice | Constant


@dataclass(frozen=True, slots=True)
class Bits:
    """A row of wires and constants, the lowest part first. x[i] is one bit, x[low:high] the bits low .. high - 1."""

    parts: tuple[Part, ...]

    @property
    def width(self) -> int:
        """How many wires."""
        return sum(part.width for part in self.parts)

    def __getitem__(self, place: int | slice) -> Bits:
        if isinstance(place, int):
            place = place + self.width if place < 0 else place
            place = slice(place, place + 1)
        low, high, step = place.indices(self.width)
        if step != 1 or (isinstance(place.stop, int) and place.stop > self.width):
            raise IndexError(f"Bits: [{place.start}:{place.stop}] of {self.width} wires")
        return Bits(tuple(_cut(self.parts, low, high)))

    def zero_extend(self, width: int) -> Bits:
        """Zeros above, up to `width`."""
        return self if width <= self.width else cat(constant(0, width - self.width), self)

    def sign_extend(self, width: int) -> Bits:
        """The top bit repeated above, up to `width`."""
        return self if width <= self.width else cat(self[-1].repeat(width - self.width), self)

    def repeat(self, count: int) -> Bits:
        """These wires `count` times."""
        return Bits(tuple(merged(self.parts * count)))

    def above(self, zeros: int) -> Bits:
        """Moved left: `zeros` zeros below."""
        return cat(self, constant(0, zeros))


def bits(wire: Wire) -> Bits:
    """The whole bundle."""
    return Bits((Slice(wire, 0, wire.width),))


def constant(value: int, width: int) -> Bits:
    """Wires held at the two's complement bits of `value`."""
    return Bits((Constant(value & ((1 << width) - 1), width),) if width else ())


def cat(*rows: Bits) -> Bits:
    """Rows side by side, the highest first, as Verilog's braces have it."""
    return Bits(tuple(merged(part for row in reversed(rows) for part in row.parts)))


def merged(parts: Iterator[Part] | tuple[Part, ...]) -> list[Part]:
    """Neighbours that are one slice, or one constant, written as one."""
    found: list[Part] = []
    for part in parts:
        last = found[-1] if found else None
        if isinstance(last, Constant) and isinstance(part, Constant):
            found[-1] = Constant(last.value | part.value << last.width, last.width + part.width)
        elif (
            isinstance(last, Slice)
            and isinstance(part, Slice)
            and last.wire == part.wire
            and part.low == last.low + last.width
        ):
            found[-1] = Slice(last.wire, last.low, last.width + part.width)
        elif part.width:
            found.append(part)
    return found


def _cut(parts: tuple[Part, ...], low: int, high: int) -> Iterator[Part]:
    place = 0
    for part in parts:
        begin, end = max(low - place, 0), min(high - place, part.width)
        if begin < end:
            if isinstance(part, Slice):
                yield Slice(part.wire, part.low + begin, end - begin)
            else:
                yield Constant((part.value >> begin) & ((1 << (end - begin)) - 1), end - begin)
        place += part.width
