"""Every count of a graph as a column, compiled once and evaluated for any sizes in well under a millisecond."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import sympy
from numpy.typing import NDArray

from mappers.aten import base_name
from mappers.node import Node, Ref
from mappers.symbolic import Size, as_size, compile_sizes, product

NODE_SIZES = (
    "elements_in", "weight_elements", "elements_out", "bits_in", "weight_bits", "bits_out", "vector_elements",
    "soft_elements",
)  # fmt: skip
PRODUCT_SIZES = ("m", "k", "n", "batch", "shared", "a_elements", "b_elements")

DTYPE_BITS = {
    "float64": 64, "float32": 32, "float16": 16, "bfloat16": 16, "int64": 64, "int32": 32, "int16": 16, "int8": 8,
    "uint64": 64, "uint32": 32, "uint16": 16, "uint8": 8, "bool": 8, "complex64": 64, "complex128": 128,
    "float8_e4m3fn": 8, "float8_e5m2": 8, "float8_e4m3fnuz": 8, "float8_e5m2fnuz": 8, "float8_e8m0fnu": 8,
}  # fmt: skip


def dtype_bits(dtype: str) -> int:
    """Bits of one element of a torch dtype, by its name."""
    if dtype not in DTYPE_BITS:
        raise ValueError(f"dtype {dtype!r} has no known width; known: {', '.join(DTYPE_BITS)}")
    return DTYPE_BITS[dtype]


@dataclass(frozen=True, repr=False)
class Bound:
    """The numbers of one graph at one choice of sizes.

    nodes: one row a node, in graph order (all int64 but the names):
        name, kind, module;
        elements_in: activation elements read, each operand once. A view reads nothing, an embedding its indices, an
            append its new elements, attention its q, k, v and mask (the KV cache is read here);
        weight_elements: weight elements read (an embedding reads the rows it returns, not its table);
        elements_out: elements written (an append: its new ones);
        bits_in, weight_bits, bits_out: the same in the dtypes the model was traced in;
        vector_elements: element operations outside the matrix products: an Elementwise's results, what a Norm reads,
            attention's softmax (batch * heads * queries * keys), a bias's additions;
        soft_elements: what a product node's own vector work reads: attention's scores, a bias;
        macs.
    products: one row a matrix product: node (row in `nodes`), label, m, k, n, batch, shared, a_elements, b_elements,
        c_elements, macs, and weight ("a", "b" or "", the operand that is a weight).
    """

    sizes: Mapping[str, Any]
    nodes: Mapping[str, NDArray[Any]]
    products: Mapping[str, NDArray[Any]]

    def __repr__(self) -> str:
        sizes = ", ".join(f"{name}={value}" for name, value in self.sizes.items())
        return f"<Bound {sizes}: {len(self.nodes['name'])} nodes, {len(self.products['node'])} products>"

    @property
    def macs(self) -> int:
        """Total multiply-accumulates (for scalar sizes)."""
        return int(self.products["macs"].sum())


@dataclass(frozen=True)
class Table:
    """The compiled form: unique expressions, one function for all of them, and for every cell its index."""

    evaluate: Callable[..., tuple[Any, ...]]
    node_names: Mapping[str, NDArray[np.str_]]
    node_index: NDArray[np.intp]
    product_names: Mapping[str, NDArray[Any]]
    product_index: NDArray[np.intp]

    @staticmethod
    def of(nodes: Sequence[Node], symbols: tuple[str, ...]) -> Table:
        """Compile the nodes' counts."""
        unique: dict[Size, int] = {}
        counter = _Counter(nodes)
        node_index = [[unique.setdefault(size, len(unique)) for size in counter.row(node)] for node in nodes]
        rows = [(row, item) for row, node in enumerate(nodes) for item in node.products]
        product_index = [
            [unique.setdefault(getattr(item, size), len(unique)) for size in PRODUCT_SIZES] for _, item in rows
        ]
        return Table(
            evaluate=compile_sizes(list(unique), symbols),
            node_names={key: np.array([getattr(node, key) for node in nodes]) for key in ("name", "kind", "module")},
            node_index=np.array(node_index, dtype=np.intp).reshape(-1, len(NODE_SIZES)),
            product_names={
                "node": np.array([row for row, _ in rows], dtype=np.int64),
                "label": np.array([item.label for _, item in rows], dtype=np.str_),
                "weight": np.array([item.weight or "" for _, item in rows], dtype=np.str_),
            },
            product_index=np.array(product_index, dtype=np.intp).reshape(-1, len(PRODUCT_SIZES)),
        )

    def bind(self, sizes: Mapping[str, Any]) -> Bound:
        """Evaluate all expressions at these sizes and fill the columns."""
        arguments = {name: _operand(value) for name, value in sizes.items()}
        results = self.evaluate(**arguments)
        shape = np.broadcast_shapes(*(np.shape(value) for value in arguments.values()))
        values = np.empty((len(results), *shape), dtype=np.int64)
        for index, result in enumerate(results):
            values[index] = result
        products: dict[str, NDArray[Any]] = dict(self.product_names)
        for column, key in enumerate(PRODUCT_SIZES):
            products[key] = values[self.product_index[:, column]]
        products["c_elements"] = products["batch"] * products["m"] * products["n"]
        products["macs"] = products["c_elements"] * products["k"]
        nodes: dict[str, NDArray[Any]] = dict(self.node_names)
        for column, key in enumerate(NODE_SIZES):
            nodes[key] = values[self.node_index[:, column]]
        nodes["macs"] = np.zeros_like(nodes["elements_out"])
        np.add.at(nodes["macs"], products["node"], products["macs"])
        return Bound(dict(sizes), nodes, products)


def _operand(value: Any) -> Any:
    return int(value) if np.ndim(value) == 0 else np.asarray(value, dtype=np.int64)


class _Counter:
    """Reads, writes and vector work of each node, from the nodes it reads."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        self.nodes = {node.name: node for node in nodes}
        self.sources: dict[Ref, tuple[Node, Size]] = {}

    def source(self, ref: Ref) -> tuple[Node, Size]:
        """The node that made a value, views seen through, and how many distinct elements of it are read.

        A view never has more distinct elements than what it looks at, nor more than it has places.
        """
        if ref not in self.sources:
            node = self.nodes[ref.name]
            elements = node.outputs[ref.output].elements
            if node.is_view and (below := next(node.refs(), None)) is not None:
                node, stored = self.source(below)
                elements = _fewer(elements, stored)
            self.sources[ref] = node, elements
        return self.sources[ref]

    def row(self, node: Node) -> tuple[Size, ...]:
        """The NODE_SIZES of one node."""
        if node.kind in ("Input", "Weight", "Constant") or node.is_view:
            return (0,) * len(NODE_SIZES)
        reads = [
            (self.source(ref), self.nodes[ref.name].outputs[ref.output].dtype) for ref in dict.fromkeys(node.refs())
        ]
        outputs = [(tensor.elements, tensor.dtype) for tensor in node.outputs]
        if node.append:
            reads = reads[1:]
            # An indexed write also reads where to write; only what has the cache's dtype is written.
            outputs = [(_sum(elements for (_, elements), dtype in reads if dtype == node.dtype), node.dtype)]
        if node.kind == "Gather":
            # Of its table it reads the rows it returns; the rest of what it reads are indices.
            (table, _), dtype = reads[0]
            reads[0] = (table, node.outputs[0].elements), dtype
        stored = ("Weight", "Constant")
        activations = [(size, dtype) for (made, size), dtype in reads if made.kind not in stored]
        weights = [(size, dtype) for (made, size), dtype in reads if made.kind in stored]
        groups = (activations, weights, outputs)
        elements = [_sum(size for size, _ in group) for group in groups]
        bits = [_sum(product((size, dtype_bits(dtype))) for size, dtype in group) for group in groups]
        return (*elements, *bits, _vector_elements(node, elements[0]), self.soft(node))

    def soft(self, node: Node) -> Size:
        """Elements that a product node's vector work reads: attention's scores, or a bias."""
        if node.attention is not None:
            return _vector_elements(node, 0)
        bias = _bias(node)
        return self.source(bias)[1] if bias is not None else 0


def _vector_elements(node: Node, elements_in: Size) -> Size:
    out = node.outputs[0].elements
    if node.attention is not None:
        shape = node.attention
        return product((shape.batch, shape.heads, shape.query_length, shape.key_length))
    if node.kind == "Norm":
        return elements_in
    if node.kind == "Elementwise":
        return out
    return out if _bias(node) is not None else 0


def _bias(node: Node) -> Ref | None:
    """What a MatMul or Conv adds to its product, if anything."""
    if not node.products or node.attention is not None:
        return None
    name = base_name(node.target)
    position = 0 if name in ("addmm", "baddbmm") else 2
    if name not in ("addmm", "baddbmm", "linear") and node.kind != "Conv":
        return None
    found = node.operands[position] if len(node.operands) > position else dict(node.attributes).get("bias")
    return found if isinstance(found, Ref) else None


def _sum(sizes: Any) -> Size:
    items = list(sizes)
    return as_size(sum(items)) if items else 0


def _fewer(a: Size, b: Size) -> Size:
    """The smaller size where one is smaller for all values of the symbols; a otherwise."""
    if isinstance(a, int) and isinstance(b, int):
        return min(a, b)
    # Symbols are at least 1: with s = 1 + t, t >= 0, a polynomial without negative coefficients is nowhere negative.
    difference = sympy.sympify(a - b)
    shifted = sympy.expand(difference.subs({free: free + 1 for free in difference.free_symbols}, simultaneous=True))
    return b if all(coefficient >= 0 for coefficient in shifted.as_coefficients_dict().values()) else a
