"""What ends a converter: comparing with a constant, rounding up, the largest value instead of what is beyond it."""

from __future__ import annotations

from hwsim.circuit import Bits, Build, cat, constant


def beyond(m: Build, name: str, row: Bits, end: int) -> Bits:
    """Whether it is larger than `end`."""
    if end < 0:
        return constant(1, 1)
    found: Bits = m.leaf(name, "comparator", width=row.width, a=constant(end, row.width), b=row)
    return found


def from_on(m: Build, row: Bits, first: int) -> Bits | None:
    """Whether it is `first` or more; None where it never is."""
    while first % 2 == 0:
        first, row = first >> 1, row[1:]
    return None if first >= 1 << row.width else beyond(m, "over", row, first - 1)


def rounds_up(m: Build, half: Bits, more: Bits) -> Bits:
    """Whether to round up: the half, and the place above it, or whatever lies below."""
    some = m.leaf("more", "any_bit", width=more.width, a=more)
    found: Bits = m.leaf("up", "and_gate", width=1, a=half, b=some)
    return found


def clamped(m: Build, whole: Bits, end: int, over: Bits | None) -> Bits:
    """`end` where `over`, else the row."""
    if over is None:
        return whole
    width = whole.width
    every: Bits = m.leaf("clamped", "or_gate", width=width, a=whole, b=over.repeat(width))
    within = m.leaf("within", "inverter", width=1, a=over)
    ends = [place for place in range(width) if not end >> place & 1]
    if not ends:
        return every
    minus = m.leaf("cleared", "and_gate", width=width, a=whole, b=within.repeat(width))
    return cat(*reversed([minus[place] if place in ends else every[place] for place in range(width)]))
