"""Boolean functions as Liberty writes them, kept as truth tables.

parse_function("!(A*B)") -> Function(pins=("A", "B"), table=0b0111)
Operators, binding tightest first: ' (after) and ! (before); ^; & * and juxtaposition; + |. Constants 0 and 1.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from hwsim.liberty.parse import LibertyError

MOST_PINS = 12
_TOKEN = re.compile(r"\s*([A-Za-z_]\w*(?:\[\d+\])?|[01]|[!'^&*|+()])")


@dataclass(frozen=True, slots=True)
class Function:
    """pins: the variables, sorted by name.  table: bit k is the value when pin i is bit i of k."""

    pins: tuple[str, ...]
    table: int

    def value(self, state: Mapping[str, int]) -> int:
        """0 or 1 for one assignment of (at least) the pins."""
        return self.table >> sum((state[pin] & 1) << i for i, pin in enumerate(self.pins)) & 1

    def over(self, pins: tuple[str, ...]) -> int:
        """The truth table over other pins, which must include the function's own: bit k as for `table`."""
        places = [pins.index(pin) for pin in self.pins]
        result = 0
        for k in range(1 << len(pins)):
            own = sum((k >> place & 1) << i for i, place in enumerate(places))
            result |= (self.table >> own & 1) << k
        return result

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
    tokens, position = [], 0
    body = text.strip()
    while position < len(body):
        match = _TOKEN.match(body, position)
        if match is None:
            raise LibertyError(f"{where}function {text!r}: {body[position:].strip()[:20]!r} is no operator or pin")
        tokens.append(match[1])
        position = match.end()
    pins = tuple(sorted({token for token in tokens if token[0].isalpha() or token[0] == "_"}))
    if len(pins) > MOST_PINS:
        raise LibertyError(f"{where}function {text!r} has {len(pins)} pins; at most {MOST_PINS} are supported")
    return Function(pins, _Reader(tokens, pins, f"{where}function {text!r}").whole())


class _Reader:
    """Recursive descent; every value is a truth table over all pins."""

    def __init__(self, tokens: list[str], pins: tuple[str, ...], where: str) -> None:
        self.tokens, self.at, self.where = tokens, 0, where
        size = 1 << len(pins)
        self.all = (1 << size) - 1
        self.columns = {pin: sum(1 << k for k in range(size) if k >> i & 1) for i, pin in enumerate(pins)}

    def peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self) -> str:
        self.at += 1
        return self.tokens[self.at - 1]

    def whole(self) -> int:
        value = self.either()
        if self.peek():
            raise LibertyError(f"{self.where}: {self.peek()!r} does not belong there")
        return value

    def either(self) -> int:
        value = self.both()
        while self.peek() in ("+", "|") and self.peek():
            self.take()
            value |= self.both()
        return value

    def both(self) -> int:
        value = self.differ()
        while self.peek() and self.peek() not in "+|)^'":
            if self.peek() in "&*":
                self.take()
            value &= self.differ()
        return value

    def differ(self) -> int:
        value = self.negated()
        while self.peek() == "^":
            self.take()
            value ^= self.negated()
        return value

    def negated(self) -> int:
        if self.peek() == "!":
            self.take()
            return self.all & ~self.negated()
        value = self.atom()
        while self.peek() == "'":
            self.take()
            value = self.all & ~value
        return value

    def atom(self) -> int:
        token = self.take() if self.peek() else ""
        if token == "(":
            value = self.either()
            if not self.peek() or self.take() != ")":
                raise LibertyError(f"{self.where}: a closing parenthesis is missing")
            return value
        if token in ("0", "1"):
            return self.all if token == "1" else 0
        if token in self.columns:
            return self.columns[token]
        raise LibertyError(f"{self.where}: {token!r} where a pin, constant or parenthesis belongs")
