"""What every rewrite of a graph needs: who reads a value, what made it, and exchanging nodes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from mappers.graph import Graph
from mappers.node import Node, Ref

END = 2**63 - 1  # "to the end" in aten.slice


def noted(graph: Graph, key: str, text: str) -> Graph:
    """The graph with one more fact in its provenance."""
    return replace(graph, provenance=(*graph.provenance, (key, text)))


def users_of(graph: Graph) -> dict[str, list[Node]]:
    """The nodes that read each node; the graph's outputs count as a read without a node."""
    users: dict[str, list[Node]] = {node.name: [] for node in graph.nodes}
    for node in graph.nodes:
        for name in dict.fromkeys(ref.name for ref in node.refs()):
            users[name].append(node)
    return users


def ancestors(graph: Graph, ref: Ref) -> list[Node]:
    """Everything a value is computed from, itself included."""
    found: dict[str, Node] = {}
    pending = [ref.name]
    while pending:
        node = graph[pending.pop()]
        if node.name not in found:
            found[node.name] = node
            pending += [below.name for below in node.refs()]
    return list(found.values())


def replace_nodes(graph: Graph, nodes: Mapping[str, Node]) -> Graph:
    """The graph with some nodes exchanged, by name."""
    return replace(graph, nodes=tuple(nodes.get(node.name, node) for node in graph.nodes))
