"""Which synthesised designs speak for one that was not, and how loudly.

The structural estimate of a design is multiplied by how far the estimate was off on its neighbours (a weighted
geometric mean, weights 1 / distance**2), so that it meets every synthesised design exactly and moves smoothly between
them.
Distances are in doublings: of a multiplier input, of the register, of the exponent range's bits, of the lanes.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import log2

from hwsim.pe.datapath import Design, FixedRegister
from hwsim.pe.measured import designs
from hwsim.technology.coefficients import Method


def neighbours(design: Design, rows: Iterable[str]) -> tuple[Method, dict[str, float]]:
    """The method, and the weight of every row that speaks (they sum to 1); rows: the ones that have the figure.

    Every row with the same kind of register speaks; a row that is the design itself speaks alone. The method is "width"
    where a row has the same operands and lanes and only another register, "neighbours" elsewhere, "structural" where no
    row has that kind of register.
    """
    distances = {row: _distance(design, designs()[row]) for row in rows if _same_kind(design, designs()[row])}
    if not distances:
        return "structural", {}
    exact = [row for row, distance in distances.items() if distance == 0]
    weights = {row: 1.0 for row in exact} or {row: distance**-2 for row, distance in distances.items()}
    total = sum(weights.values())
    method: Method = "width" if any(_same_operands(design, designs()[row]) for row in distances) else "neighbours"
    return method, {row: weight / total for row, weight in weights.items()}


def _same_kind(first: Design, second: Design) -> bool:
    return type(first.register) is type(second.register)


def _same_operands(first: Design, second: Design) -> bool:
    return first.lanes == second.lanes and _operands(first) == _operands(second)


def _operands(design: Design) -> list[tuple[float, ...]]:
    """Coordinates of both operands, the wider one first: a product does not care which side is which."""
    points = []
    for operand in (design.a, design.b):
        integer = operand.kind == "integer"
        points.append(
            (log2(operand.significand_bits + 1), log2(operand.exponent_bits + 1), 1.0 * integer, 0.5 * operand.signed)
        )
    return sorted(points, reverse=True)


def _register(design: Design) -> tuple[float, float]:
    if isinstance(design.register, FixedRegister):
        return log2(design.register.bits), 0.0
    return log2(design.register.significand_bits), log2(design.register.exponent_bits)


def _distance(first: Design, second: Design) -> float:
    squares = [
        (x - y) ** 2
        for p, q in zip(_operands(first), _operands(second), strict=True)
        for x, y in zip(p, q, strict=True)
    ]
    squares += [(x - y) ** 2 for x, y in zip(_register(first), _register(second), strict=True)]
    squares.append((log2(first.lanes) - log2(second.lanes)) ** 2)
    return float(sum(squares) ** 0.5)
