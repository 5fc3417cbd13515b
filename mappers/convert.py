"""Which values are put into another format before a product, and by how much work.

Weights are stored in their format. Every other operand is written in the graph's value format and converted where the
product's format differs: the largest magnitude, the scale and the rounding take an element operation each; a format
without scales takes the rounding alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import formats as nf
from mappers.aten import matmul_operands
from mappers.node import Node, Product, Ref

SCALED_OPERATIONS = 3  # assumed: largest magnitude, scale, round
SCALAR_OPERATIONS = 1  # assumed: round


def operations(fmt: nf.Format) -> int:
    """Element operations of a conversion into the format, per element."""
    return SCALED_OPERATIONS if isinstance(fmt, nf.Scaled) else SCALAR_OPERATIONS


def operand_refs(node: Node, item: Product) -> Iterator[tuple[str, Ref | None]]:
    """Operands "a" and "b" of a product that are no weights, and the values they are; None for probabilities."""
    if node.attention is not None:
        positions: tuple[int | None, int | None] = (0, 1) if item.label == "qk" else (None, 2)
    elif node.kind == "Conv":
        positions = (0, 1)
    else:
        positions = matmul_operands(node.target)
    for side, position in zip("ab", positions, strict=True):
        if side != item.weight:
            found = node.operands[position] if position is not None else None
            yield side, found if isinstance(found, Ref) else None


def producer(nodes: Mapping[str, Node], ref: Ref) -> Ref:
    """The value behind views that rename all of it; a slice is a value of its own."""
    node = nodes[ref.name]
    below = next(node.refs(), None)
    if not node.is_view or below is None:
        return ref
    # Views look at what they read element by element, or repeat it (expand).
    expands = node.target.startswith("aten.expand")
    same = nodes[below.name].outputs[below.output].elements == node.outputs[ref.output].elements
    return producer(nodes, below) if same or expands else ref


def conversion_key(nodes: Mapping[str, Node], node: Node, item: Product, ref: Ref | None) -> Any:
    """Equal for operands that are the same values: they are converted once."""
    return producer(nodes, ref) if ref is not None else (node.name, item.label)
