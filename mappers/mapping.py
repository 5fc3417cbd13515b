"""Which work of a graph goes where: matrix products to arrays, everything else to the vector unit.

A `Plan` depends on the graph's formats and the accelerator, not on batch or sequence: it is made once, and `evaluate`
fills in the sizes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

import formats as nf
import hwsim as hw
from mappers.convert import conversion_key, operand_refs, operations
from mappers.graph import Graph
from mappers.node import FormatName, Node, Product, Ref

VECTOR_KINDS = ("Elementwise", "Norm", "Gather", "Layout")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Products:
    """Matrix products that run on one array. rows: indices into `Bound.products`. swapped: those whose left operand is
    the PE's right one, so that the transposed product runs. a, b: index of each operand's format in `Plan.formats`.
    mac_bits: bits of an element of a times those of one of b."""

    array: hw.SystolicArray
    rows: NDArray[np.intp]
    swapped: NDArray[np.bool_]
    a: NDArray[np.intp]
    b: NDArray[np.intp]
    mac_bits: NDArray[np.int64]
    names: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Conversions:
    """Operands put into a product's format, an entry each. product: its row in `Bound.products`. side: 0 for operand
    a, 1 for b. append: row in `Bound.nodes` of the append whose new elements alone are converted, else -1."""

    product: NDArray[np.intp]
    side: NDArray[np.intp]
    append: NDArray[np.intp]
    operations: NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Plan:
    """products: one entry an array in use. formats: those of operands. a_formats: index of every product's operand a.
    conversions: what is put into another format first."""

    layout: Layout
    formats: tuple[nf.Format, ...]
    products: tuple[Products, ...]
    a_formats: NDArray[np.intp]
    conversions: Conversions

    def bits(self, which: NDArray[np.intp], k: NDArray[np.int64]) -> NDArray[np.float64]:
        """Stored bits per element of operands in formats[which] with rows of k elements."""
        result = np.empty(which.size)
        for index in np.unique(which):
            chosen = which == index
            result[chosen] = hw.stored_bits(self.formats[index], k[chosen])
        return result


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Layout:
    """What of a plan no format changes. vector: rows of `Bound.nodes` for the vector unit. soft: product nodes with
    vector work of their own (softmax, bias). pv: row in `Bound.products` of each soft node's second product, or -1.
    unknown: rows of nodes nobody prices. operands: (product row, side, key, append row) of those that are no weight."""

    vector: NDArray[np.intp]
    vector_names: tuple[str, ...]
    soft: NDArray[np.intp]
    soft_names: tuple[str, ...]
    pv: NDArray[np.intp]
    unknown: NDArray[np.intp]
    unknown_names: tuple[str, ...]
    product_names: tuple[str, ...]
    operands: tuple[tuple[int, int, object, int], ...]


def layout(graph: Graph) -> Layout:
    """The layout, kept with the graph and with copies of it in other formats."""
    held: Layout | None = graph.derived.get("layout")
    if held is None:
        held = graph.derived["layout"] = _layout(graph)
    return held


def _layout(graph: Graph) -> Layout:
    nodes = {node.name: node for node in graph.nodes}
    index = {node.name: i for i, node in enumerate(graph.nodes)}
    rows = {
        kind: [i for i, node in enumerate(graph.nodes) if _is(node, kind)] for kind in ("vector", "soft", "unknown")
    }
    last: dict[str, int] = {}
    operands: list[tuple[int, int, object, int]] = []
    for row, (node, item) in enumerate(graph.gemms()):
        if item.label == "pv":
            last[node.name] = row
        for side, ref in operand_refs(node, item):
            key = conversion_key(nodes, node, item, ref)
            made = nodes[key.name] if isinstance(key, Ref) else None
            append = index[made.name] if made is not None and made.append else -1
            operands.append((row, "ab".index(side), key, append))
    return Layout(
        vector=np.array(rows["vector"], np.intp),
        vector_names=tuple(_label(graph.nodes[i]) for i in rows["vector"]),
        soft=np.array(rows["soft"], np.intp),
        soft_names=tuple(f"{_label(graph.nodes[i])} vector" for i in rows["soft"]),
        pv=np.array([last.get(graph.nodes[i].name, -1) for i in rows["soft"]], np.intp),
        unknown=np.array(rows["unknown"], np.intp),
        unknown_names=tuple(
            f"{graph.nodes[i].target} in {graph.nodes[i].module or 'the model'}" for i in rows["unknown"]
        ),
        product_names=tuple(f"{node.module or node.name} {item.label}" for node, item in graph.gemms()),
        operands=tuple(operands),
    )


def plan(graph: Graph, accelerator: hw.Accelerator) -> Plan:
    """Place every node. Raises ValueError naming the node and both formats where no PE takes the pair."""
    fixed = layout(graph)
    known: dict[FormatName, int] = {}
    pairs: dict[tuple[FormatName, FormatName], tuple[int, bool, int, int, int]] = {}
    placed: list[tuple[int, bool, int, int, int]] = []
    values: list[nf.Format] = []
    for node, item in graph.gemms():
        pair = operand_formats(graph, node, item)
        if pair not in pairs:
            a, b = (known.setdefault(name, len(known)) for name in pair)
            pairs[pair] = (*_place(node, pair, accelerator), a, b, _mac_bits(*pair))
        placed.append(pairs[pair])
        values.append(_format(graph.default if graph.default is not None else node.dtype))
    formats = tuple(_format(name) for name in known)
    entries = np.array(placed, dtype=np.int64).reshape(-1, 5)
    return Plan(
        layout=fixed,
        formats=formats,
        products=tuple(
            _products(array, np.flatnonzero(entries[:, 0] == index), entries, fixed)
            for index, array in enumerate(accelerator.arrays)
            if (entries[:, 0] == index).any()
        ),
        a_formats=entries[:, 2].astype(np.intp),
        conversions=_conversions(fixed, entries, formats, values),
    )


def _conversions(
    fixed: Layout, entries: NDArray[np.int64], formats: tuple[nf.Format, ...], values: list[nf.Format]
) -> Conversions:
    """Every operand whose format is not that of values, each value once a format."""
    differs: dict[tuple[int, int], bool] = {}
    seen: set[tuple[object, int]] = set()
    found: list[tuple[int, int, int, int]] = []
    for row, side, key, append in fixed.operands:
        which = int(entries[row, 2 + side])
        pair = which, id(values[row])
        if pair not in differs:
            differs[pair] = formats[which] != values[row]
        if differs[pair] and (key, which) not in seen:
            seen.add((key, which))
            found.append((row, side, append, operations(formats[which])))
    columns = np.array(found, dtype=np.int64).reshape(-1, 4)
    return Conversions(
        product=columns[:, 0].astype(np.intp),
        side=columns[:, 1].astype(np.intp),
        append=columns[:, 2].astype(np.intp),
        operations=columns[:, 3],
    )


@lru_cache(maxsize=1024)
def _format(name: FormatName) -> nf.Format:
    return nf.get(name)


@lru_cache(maxsize=1024)
def _mac_bits(a: FormatName, b: FormatName) -> int:
    return nf.element_of(_format(a)).bits * nf.element_of(_format(b)).bits


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


def _products(array: hw.SystolicArray, rows: NDArray[np.intp], entries: NDArray[np.int64], fixed: Layout) -> Products:
    own = entries[rows]
    return Products(
        array=array,
        rows=rows,
        swapped=own[:, 1].astype(np.bool_),
        a=own[:, 2].astype(np.intp),
        b=own[:, 3].astype(np.intp),
        mac_bits=own[:, 4],
        names=tuple(fixed.product_names[row] for row in rows),
    )
