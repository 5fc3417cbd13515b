"""The op graph: immutable, topologically ordered, symbolic in batch and sequence, quick to turn into numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mappers.node import KINDS, PRODUCT_KINDS, FormatName, Formats, Node, Product, Ref, sizes_in
from mappers.symbolic import Size, as_size, product, symbols_of
from mappers.table import Bound, Table

if TYPE_CHECKING:
    import networkx as nx

__all__ = ["Bound", "Graph", "Symbol"]


@dataclass(frozen=True, slots=True)
class Symbol:
    """A size left open: name, and the largest value the model accepts (position table, say), or None."""

    name: str
    high: int | None = None


# Not slots=True: the compiled tables live in the instance's dictionary, outside equality.
@dataclass(frozen=True, kw_only=True)
class Graph:
    """A model as a tuple of nodes, each after everything it reads.

    outputs: the values the model returns, nested results flattened.
    default: format of values that are no operand of a product, or None for the dtype they were traced in.
    provenance: facts about how it was made (versions, configuration, operations dropped as no-ops, and why).

    Raises ValueError for a name used twice, a value read before it is made, or a size symbol not declared.
    """

    name: str
    nodes: tuple[Node, ...]
    outputs: tuple[Ref, ...]
    symbols: tuple[Symbol, ...] = ()
    default: FormatName | None = None
    provenance: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        seen: dict[str, int] = {}
        for node in self.nodes:
            for ref in node.refs():
                if ref.name not in seen or ref.output >= seen[ref.name]:
                    raise ValueError(
                        f"Graph {self.name!r}: node {node.name!r} reads {ref}, which no earlier node makes"
                    )
            if node.name in seen:
                raise ValueError(f"Graph {self.name!r}: two nodes are named {node.name!r}")
            seen[node.name] = len(node.outputs)
        if bad := [ref for ref in self.outputs if ref.name not in seen]:
            raise ValueError(f"Graph {self.name!r}: output {bad[0].name!r} is no node")
        used = symbols_of(size for node in self.nodes for tensor in node.outputs for size in tensor.shape)
        used |= symbols_of(size for node in self.nodes for argument in node.operands for size in sizes_in(argument))
        if undeclared := used - {symbol.name for symbol in self.symbols}:
            raise ValueError(f"Graph {self.name!r}: size {min(undeclared)!r} is not among its symbols")

    def __repr__(self) -> str:
        counts: Counter[str] = Counter(node.kind for node in self.nodes)
        kinds = ", ".join(f"{counts[kind]} {kind}" for kind in KINDS if counts[kind])
        sizes = ", ".join(symbol.name for symbol in self.symbols)
        return f"<Graph {self.name!r} over ({sizes}): {kinds}>"

    def __len__(self) -> int:
        return len(self.nodes)

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes)

    def __getitem__(self, name: str) -> Node:
        """The node of that name; KeyError names it."""
        return self._by_name[name]

    @cached_property
    def _by_name(self) -> dict[str, Node]:
        return {node.name: node for node in self.nodes}

    @property
    def inputs(self) -> tuple[Node, ...]:
        """The model's arguments, in order."""
        return tuple(node for node in self.nodes if node.kind == "Input")

    @property
    def weights(self) -> tuple[Node, ...]:
        """Parameters and buffers; a shared one appears once."""
        return tuple(node for node in self.nodes if node.kind == "Weight")

    @property
    def unknown(self) -> tuple[Node, ...]:
        """Operations of no known kind: executed as they are, priced by nobody."""
        return tuple(node for node in self.nodes if node.kind == "Unknown")

    def gemms(self) -> Iterator[tuple[Node, Product]]:
        """Every matrix product with its node, in graph order: two for each Attention."""
        for node in self.nodes:
            for item in node.products:
                yield node, item

    def macs(self) -> Size:
        """Multiply-accumulates of all matrix products, attention counted in full (causal or not)."""
        counts = Counter((item.batch, item.m, item.k, item.n) for _, item in self.gemms())
        return as_size(sum(product((*shape, count)) for shape, count in counts.items()))

    def weight_elements(self, buffers: bool = False) -> int:
        """Stored parameters, each once; buffers: those of the state dict too."""
        chosen = [node for node in self.weights if node.target == "parameter" or (buffers and node.persistent)]
        return sum(int(node.outputs[0].elements) for node in chosen)

    def networkx(self) -> nx.DiGraph:
        """Nodes by name with their `Node` as attribute "node"; an edge carries the number of times it is read."""
        import networkx as nx

        graph = nx.DiGraph(name=self.name)
        for node in self.nodes:
            graph.add_node(node.name, kind=node.kind, target=node.target, module=node.module, node=node)
            for name, count in Counter(ref.name for ref in node.refs()).items():
                graph.add_edge(name, node.name, reads=count)
        return graph

    @property
    def derived(self) -> dict[str, Any]:
        """What follows from nodes and edges alone, by name; one dictionary for this graph and its copies in other
        formats, whichever needs an entry first."""
        held: dict[str, Any] = self.__dict__.setdefault("_derived", {})
        return held

    @property
    def _table(self) -> Table:
        derived = self.derived
        if "table" not in derived:
            derived["table"] = Table.of(self.nodes, tuple(symbol.name for symbol in self.symbols))
        table: Table = derived["table"]
        return table

    def bind(self, **sizes: int | NDArray[np.integer[Any]]) -> Bound:
        """Numbers for these sizes: `bind(B=1, S=512)`; see Bound for the columns.

        Sizes may be int64 arrays that broadcast; the columns then have those axes after the first.
        Raises ValueError for a missing, unknown, non-positive or too large size.
        """
        self._check_sizes(sizes)
        return self._table.bind(sizes)

    def columns(self, **sizes: int | NDArray[np.integer[Any]]) -> Mapping[str, NDArray[Any]]:
        """`bind(...).nodes`: one row a node."""
        return self.bind(**sizes).nodes

    def _check_sizes(self, sizes: Mapping[str, object]) -> None:
        names = [symbol.name for symbol in self.symbols]
        if set(sizes) != set(names):
            asked = ", ".join(f"{name}={value}" for name, value in sizes.items()) or "nothing"
            raise ValueError(f"bind: graph {self.name!r} needs sizes for {', '.join(names) or 'nothing'}; got {asked}")
        for symbol in self.symbols:
            value = np.asarray(sizes[symbol.name])
            if value.dtype.kind not in "iu" or value.size == 0 or value.min() < 1:
                raise ValueError(f"bind: {symbol.name} must be a positive integer, got {sizes[symbol.name]!r}")
            if symbol.high is not None and value.max() > symbol.high:
                raise ValueError(f"bind: {symbol.name}={value.max()} is above {symbol.high}, the model's own limit")

    def with_formats(self, formats: Mapping[str, Formats | None], default: FormatName | None = None) -> Graph:
        """A new graph whose named nodes have these formats; `mappers.assign` is the usual door."""
        changed = (_in_formats(node, formats[node.name]) if node.name in formats else node for node in self.nodes)
        # Formats change no size and no edge, so neither checks nor what is derived from those need to be redone.
        graph = object.__new__(Graph)
        self.__dict__.setdefault("_derived", {})
        graph.__dict__.update(self.__dict__)
        for stale in ("_by_name", "_plans"):
            graph.__dict__.pop(stale, None)
        graph.__dict__.update(nodes=tuple(changed), default=self.default if default is None else default)
        return graph

    def save(self, path: str | PathLike[str]) -> None:
        """Write JSON (gzip'd for a name ending in .gz), read back exactly by `Graph.load`."""
        from mappers.schema import save

        save(self, path)

    @staticmethod
    def load(path: str | PathLike[str]) -> Graph:
        """Read what `save` wrote; ValueError for another schema or version."""
        from mappers.schema import load

        return load(path)

    @property
    def product_nodes(self) -> tuple[Node, ...]:
        """MatMul, Attention and Conv nodes."""
        return tuple(node for node in self.nodes if node.kind in PRODUCT_KINDS)


def _in_formats(node: Node, formats: Formats | None) -> Node:
    """The node with other formats; a copy without the checks of its construction."""
    result = copy(node)
    object.__setattr__(result, "formats", formats)
    return result
