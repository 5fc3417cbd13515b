"""Chains of elementwise operations that hardware runs as one pass, found by their exact form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from mappers.aten import base_name
from mappers.graph import Graph
from mappers.node import Node, Ref
from mappers.rewrite import END, noted, replace_nodes, users_of


def fuse_rms_norm(graph: Graph) -> Graph:
    """weight * (x32 * rsqrt(mean(x32**2) + eps)).to(dtype) becomes one Norm, executed in that very order.

    x32 is x in float32. Seven passes over the activations become the one that hardware makes.
    """
    users = users_of(graph)
    returned = {ref.name for ref in graph.outputs}
    nodes: dict[str, Node] = {}
    for node in graph.nodes:
        if base_name(node.target) != "rsqrt":
            continue
        match = _rms_norm(graph, node, users, returned)
        if match is not None:
            nodes[match.name] = match
    if not nodes:
        return graph
    return noted(replace_nodes(graph, nodes), "fused norms", f"{len(nodes)} RMSNorms written out became one node each")


def _rms_norm(graph: Graph, rsqrt: Node, users: Mapping[str, list[Node]], returned: set[str]) -> Node | None:
    """The Norm that replaces the last multiplication of the chain around a rsqrt, if the chain is an RMSNorm."""

    def below(node: Node | None, name: str, position: int = 0) -> Node | None:
        ref = node.operands[position] if node else None
        found = graph[ref.name] if isinstance(ref, Ref) else None
        return found if found and base_name(found.target) == name and single(found) else None

    def single(node: Node) -> bool:
        return len(users[node.name]) == 1 and node.name not in returned

    add = below(rsqrt, "add")
    mean = below(add, "mean")
    power = below(mean, "pow")
    if not (add and mean and power and isinstance(power.operands[0], Ref) and single(rsqrt)):
        return None
    if mean.operands[1:] != ((-1,), True) or power.operands[1] != 2 or len(add.operands) != 2:
        return None
    wide, eps = power.operands[0], add.operands[1]
    scaled = users[rsqrt.name][0]
    if base_name(scaled.target) != "mul" or set(scaled.operands) != {wide, Ref(rsqrt.name)} or not single(scaled):
        return None
    last = users[scaled.name][0]
    cast = graph[wide.name]
    x = wide
    if base_name(last.target) == "to" and base_name(cast.target) == "to" and isinstance(cast.operands[0], Ref):
        if not single(last) or {user.name for user in users[cast.name]} != {power.name, scaled.name}:
            return None
        x, scaled, last = cast.operands[0], last, users[last.name][0]
    if base_name(last.target) != "mul" or len(last.operands) != 2 or Ref(scaled.name) not in last.operands:
        return None
    weight = next((operand for operand in last.operands if operand != Ref(scaled.name)), None)
    if not isinstance(weight, Ref) or graph[weight.name].kind != "Weight" or not isinstance(eps, float):
        return None
    narrow = graph[x.name].outputs[x.output]
    if (
        graph[weight.name].shape != narrow.shape[-1:]
        or last.outputs != (narrow,)
        or graph[wide.name].dtype != "float32"
    ):
        return None
    return replace(
        last, kind="Norm", target="bitcost.rms_norm", operands=(x, weight, eps), attributes=(), module=rsqrt.module
    )


def fuse_rotary(graph: Graph) -> Graph:
    """x * cos + cat(-x[half:], x[:half]) * sin becomes one Elementwise, executed in that very order.

    A rotary position embedding is one pass over the queries or keys, not six.
    """
    users = users_of(graph)
    returned = {ref.name for ref in graph.outputs}
    nodes: dict[str, Node] = {}
    for node in graph.nodes:
        if base_name(node.target) == "cat" and (match := _rotary(graph, node, users, returned)) is not None:
            nodes[match.name] = match
    if not nodes:
        return graph
    return noted(replace_nodes(graph, nodes), "fused rotary", f"{len(nodes)} rotary embeddings became one node each")


def _rotary(graph: Graph, cat: Node, users: Mapping[str, list[Node]], returned: set[str]) -> Node | None:
    """The node that replaces the final addition of a rotary embedding around this cat, if it is one."""
    parts = cat.operands[0]
    if not (isinstance(parts, tuple) and len(parts) == 2 and cat.operands[1:] in ((-1,), (len(cat.shape) - 1,))):
        return None
    neg, low = (graph[part.name] for part in parts if isinstance(part, Ref))
    if base_name(neg.target) != "neg" or base_name(low.target) != "slice" or not isinstance(neg.operands[0], Ref):
        return None
    high, x, dim = graph[neg.operands[0].name], low.operands[0], cat.shape[-1]
    last = len(cat.shape) - 1
    if not isinstance(dim, int) or not isinstance(x, Ref) or base_name(high.target) != "slice":
        return None
    if low.operands[1:] not in ((last, 0, dim // 2), (-1, 0, dim // 2)) or high.operands[0] != x:
        return None
    if high.operands[1:] not in ((last, dim // 2, END), (last, dim // 2, dim), (-1, dim // 2, END)):
        return None
    chain = [cat]
    for name in ("mul", "add"):
        readers = users[chain[-1].name]
        if len(readers) != 1 or chain[-1].name in returned or base_name(readers[0].target) != name:
            return None
        chain.append(readers[0])
    _, mul, add = chain
    other = [graph[ref.name] for ref in add.refs() if ref.name != mul.name]
    if (
        len(add.operands) != 2
        or len(other) != 1
        or base_name(other[0].target) != "mul"
        or users[other[0].name] != [add]
    ):
        return None
    cos = [operand for operand in other[0].operands if operand != x]
    sin = [operand for operand in mul.operands if operand != Ref(cat.name)]
    if len(cos) != 1 or len(sin) != 1 or add.outputs != (graph[x.name].outputs[x.output],):
        return None
    return replace(add, target="bitcost.rotary", operands=(x, cos[0], sin[0]), attributes=())
