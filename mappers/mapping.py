"""Which work of a graph goes where: matrix products to arrays, everything else to the vector unit.

A `Plan` depends on the graph's formats and the accelerator, not on batch or sequence: it is made once, and `evaluate`
fills in the sizes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import formats as nf
import hwsim as hw
from mappers.graph import Graph
from mappers.node import FormatName, Node, Product

VECTOR_KINDS = ("Elementwise", "Norm", "Gather", "Layout")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Products:
    """Matrix products that run on one array. rows: indices into `Bound.products`. swapped: those whose left operand is
    the PE's right one, so that the transposed product runs. left_bits, right_bits: stored bits per element of the
    array's left and right operand, scales included."""

    array: hw.SystolicArray
    index: int
    rows: NDArray[np.intp]
    swapped: NDArray[np.bool_]
    left_bits: NDArray[np.float64]
    right_bits: NDArray[np.float64]
    names: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Plan:
    """products: one entry an array in use. vector: rows of `Bound.nodes` for the vector unit. soft: product nodes with
    vector work of their own (softmax, bias). unknown: rows of nodes nobody prices."""

    products: tuple[Products, ...]
    vector: NDArray[np.intp]
    vector_names: tuple[str, ...]
    soft: NDArray[np.intp]
    soft_names: tuple[str, ...]
    unknown: NDArray[np.intp]
    unknown_names: tuple[str, ...]


def plan(graph: Graph, accelerator: hw.Accelerator) -> Plan:
    """Place every node. Raises ValueError naming the node and both formats where no PE takes the pair."""
    pairs: dict[tuple[FormatName, FormatName], tuple[int, bool]] = {}
    placed: list[tuple[int, bool, FormatName, FormatName, str]] = []
    for node, item in graph.gemms():
        pair = operand_formats(graph, node, item)
        if pair not in pairs:
            pairs[pair] = _place(node, pair, accelerator)
        index, swapped = pairs[pair]
        placed.append((index, swapped, *pair, f"{node.module or node.name} {item.label}"))
    rows = {
        kind: [i for i, node in enumerate(graph.nodes) if _is(node, kind)] for kind in ("vector", "soft", "unknown")
    }
    return Plan(
        products=tuple(
            _products(index, array, placed)
            for index, array in enumerate(accelerator.arrays)
            if any(entry[0] == index for entry in placed)
        ),
        vector=np.array(rows["vector"], np.intp),
        vector_names=tuple(_label(graph.nodes[i]) for i in rows["vector"]),
        soft=np.array(rows["soft"], np.intp),
        soft_names=tuple(f"{_label(graph.nodes[i])} vector" for i in rows["soft"]),
        unknown=np.array(rows["unknown"], np.intp),
        unknown_names=tuple(
            f"{graph.nodes[i].target} in {graph.nodes[i].module or 'the model'}" for i in rows["unknown"]
        ),
    )


def operand_formats(graph: Graph, node: Node, item: Product) -> tuple[FormatName, FormatName]:
    """Formats of a product's operands: assigned, the graph's default, or the dtype it was traced in."""
    assigned = node.operand_formats(item)
    if assigned is not None:
        return assigned
    traced = graph.default if graph.default is not None else node.dtype
    return traced, traced


def _is(node: Node, kind: str) -> bool:
    if kind == "unknown":
        return node.kind == "Unknown"
    if kind == "soft":
        return bool(node.products)
    return node.kind in VECTOR_KINDS and not node.is_view


def _label(node: Node) -> str:
    """module and operator, short: "model.layers.0.mlp silu"."""
    operator = node.target.removeprefix("aten.").split(".")[0] or node.kind
    return f"{node.module} {operator}" if node.module else operator


def _place(node: Node, pair: tuple[FormatName, FormatName], accelerator: hw.Accelerator) -> tuple[int, bool]:
    """The array for a pair of formats, and whether its operands must change sides."""
    try:
        array = accelerator.array_for(*pair)
    except ValueError as error:
        raise ValueError(f"evaluate: {_label(node)}: {error}") from error
    index = next(i for i, candidate in enumerate(accelerator.arrays) if candidate is array)
    pe = array.pe
    if not isinstance(pe, hw.MacPE):
        raise TypeError(f"evaluate: {pe!r} has no price; use a MacPE")
    return index, not pe.takes(*pair)


def _products(
    index: int, array: hw.SystolicArray, placed: list[tuple[int, bool, FormatName, FormatName, str]]
) -> Products:
    own = [(row, entry) for row, entry in enumerate(placed) if entry[0] == index]
    swapped = np.array([entry[1] for _, entry in own], np.bool_)
    bits: dict[Any, float] = {}
    for _, entry in own:
        for name in entry[2:4]:
            bits.setdefault(name, float(nf.bits_per_element(nf.get(name))))
    a = np.array([bits[entry[2]] for _, entry in own])
    b = np.array([bits[entry[3]] for _, entry in own])
    return Products(
        array=array,
        index=index,
        rows=np.array([row for row, _ in own], np.intp),
        swapped=swapped,
        left_bits=np.where(swapped, b, a),
        right_bits=np.where(swapped, a, b),
        names=tuple(entry[4] for _, entry in own),
    )
