"""Boolean functions of cells as truth tables: parse_function("!(A*B)") -> Function(pins=("A", "B"), table=0b0111).

The text's grammar is rtl.boolean's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hwsim.liberty.parse import LibertyError
from hwsim.rtl.boolean import Tree, names, parse

MOST_PINS = 12


@dataclass(frozen=True, slots=True)
class Function:
    """pins: the variables, sorted by name.  table: bit k is the value when pin i is bit i of k."""

    pins: tuple[str, ...]
    table: int

    def value(self, state: Mapping[str, int]) -> int:
        """0 or 1 for one assignment of (at least) the pins."""
        return self.table >> sum((state[pin] & 1) << i for i, pin in enumerate(self.pins)) & 1

    def sense(self, pin: str) -> str:
        """positive_unate, negative_unate, non_unate, or independent."""
        i = self.pins.index(pin)
        low = [self.table >> k & 1 for k in range(1 << len(self.pins)) if not k >> i & 1]
        high = [self.table >> k & 1 for k in range(1 << len(self.pins)) if k >> i & 1]
        rises = any(a < b for a, b in zip(low, high, strict=True))
        falls = any(a > b for a, b in zip(low, high, strict=True))
        if rises and falls:
            return "non_unate"
        return "positive_unate" if rises else "negative_unate" if falls else "independent"


def parse_function(text: str, where: str = "") -> Function:
    """The function of a Liberty expression. where: put in front of error messages.

    Raises LibertyError for what is no expression and for more than 12 pins.
    """
    try:
        tree = parse(text)
    except ValueError as error:
        raise LibertyError(f"{where}{error}") from None
    pins = tuple(sorted(names(tree)))
    if len(pins) > MOST_PINS:
        raise LibertyError(f"{where}function {text!r} has {len(pins)} pins; at most {MOST_PINS} are supported")
    size = 1 << len(pins)
    columns = {pin: sum(1 << k for k in range(size) if k >> i & 1) for i, pin in enumerate(pins)}
    return Function(pins, _table(tree, columns, (1 << size) - 1))


def _table(tree: Tree, columns: Mapping[str, int], everything: int) -> int:
    """All assignments at once: a bit for each."""
    kind = tree[0]
    if kind == "pin":
        return columns[str(tree[1])]
    parts = [_table(part, columns, everything) for part in tree[1:] if isinstance(part, tuple)]
    if kind in ("0", "1"):
        return everything if kind == "1" else 0
    if kind == "not":
        return everything & ~parts[0]
    a, b = parts
    return a & b if kind == "and" else a | b if kind == "or" else a ^ b
