"""Bits: wires by name, and what can be made of them without a gate: slices, concatenations, extensions, constants."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

_set = object.__setattr__  # how a frozen description gets its fields


class Wire(NamedTuple):
    """A named bundle of `width` wires of a module."""

    name: str
    width: int


class Slice(NamedTuple):
    """`width` wires of a bundle from number `low` on."""

    wire: Wire
    low: int
    width: int


class Constant(NamedTuple):
    """`width` wires held at the bits of `value`."""

    value: int
    width: int


Part = Slice | Constant


@dataclass(frozen=True, slots=True, init=False)
class Bits:
    """A row of wires and constants, the lowest part first. x[i] is one bit, x[low:high] the bits low .. high - 1.

    width: how many wires.
    """

    parts: tuple[Part, ...]
    width: int = field(repr=False, compare=False)

    def __init__(self, parts: tuple[Part, ...]) -> None:
        width = 0
        for part in parts:
            width += part.width
        _set(self, "parts", parts)
        _set(self, "width", width)

    def __getitem__(self, place: int | slice) -> Bits:
        width = self.width
        if isinstance(place, int):
            low = place + width if place < 0 else place
            high, wrong = low + 1, not 0 <= low < width
        else:
            low, high, step = place.indices(width)
            wrong = step != 1 or (isinstance(place.stop, int) and place.stop > width)
        if wrong:
            asked = place if isinstance(place, int) else f"{place.start}:{place.stop}"
            raise IndexError(f"Bits: [{asked}] of {width} wires")
        if low == 0 and high == width:
            return self
        part = self.parts[0] if len(self.parts) == 1 and low < high else None
        if isinstance(part, Slice):
            return Bits((Slice(part.wire, part.low + low, high - low),))
        return Bits(tuple(_cut(self.parts, low, high)))

    def zero_extend(self, width: int) -> Bits:
        """Zeros above, up to `width`."""
        return self if width <= self.width else cat(constant(0, width - self.width), self)

    def sign_extend(self, width: int) -> Bits:
        """The top bit repeated above, up to `width`."""
        return self if width <= self.width else cat(self[-1].repeat(width - self.width), self)

    def repeat(self, count: int) -> Bits:
        """These wires `count` times."""
        if len(self.parts) == 1 and isinstance(self.parts[0], Slice):  # no slice goes on with its own beginning
            return Bits(self.parts * count)
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


def merged(parts: Iterable[Part]) -> list[Part]:
    """Neighbours that are one slice, or one constant, written as one."""
    found: list[Part] = []
    last: Part | None = None
    for part in parts:
        if not part.width:
            continue
        if isinstance(part, Slice):
            if isinstance(last, Slice) and part.low == last.low + last.width and last.wire == part.wire:
                last = found[-1] = Slice(last.wire, last.low, last.width + part.width)
                continue
        elif isinstance(last, Constant):
            last = found[-1] = Constant(last.value | part.value << last.width, last.width + part.width)
            continue
        found.append(part)
        last = part
    return found


def _cut(parts: tuple[Part, ...], low: int, high: int) -> list[Part]:
    """The parts of places low .. high - 1."""
    found: list[Part] = []
    for part in parts:
        if high <= 0:
            break
        width = part.width
        if low < width and low < high:
            begin, end = max(low, 0), min(high, width)
            if begin == 0 and end == width:
                found.append(part)
            elif isinstance(part, Slice):
                found.append(Slice(part.wire, part.low + begin, end - begin))
            else:
                found.append(Constant((part.value >> begin) & ((1 << (end - begin)) - 1), end - begin))
        low, high = low - width, high - width
    return found
