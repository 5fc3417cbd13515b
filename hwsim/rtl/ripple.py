"""A ripple adder on literals of anything that makes gates: and-inverter graphs, netlists in the making."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Gates(Protocol):
    """What makes gates of two literals, a literal each."""

    def both(self, a: int, b: int) -> int:
        """a and b."""

    def either(self, a: int, b: int) -> int:
        """a or b."""

    def differ(self, a: int, b: int) -> int:
        """a exclusive or b."""


def ripple(gates: Gates, a: Sequence[int], b: Sequence[int], carry: int) -> list[int]:
    """Sum of two equally wide numbers and a carry, least significant bit first, modulo their width."""
    total = []
    for x, y in zip(a, b, strict=True):
        half = gates.differ(x, y)
        total.append(gates.differ(half, carry))
        carry = gates.either(gates.both(x, y), gates.both(half, carry))
    return total
