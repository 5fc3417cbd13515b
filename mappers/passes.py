"""Rewrites of a freshly traced graph, each of which leaves what the model computes unchanged.

What each found is written in the graph's provenance.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from mappers.aten import base_name
from mappers.fuse import fuse_rms_norm, fuse_rotary
from mappers.graph import Graph
from mappers.node import Argument, Node, Ref
from mappers.rewrite import END, ancestors, noted, replace_nodes, users_of
from mappers.symbolic import product

# Sizes at which a mask is compared: coprime, on both sides of each other, and 1.
MASK_SIZES = ((2, 3, 5, 7), (1, 1, 1, 1), (3, 8, 4, 2), (1, 9, 2, 6))


def simplify(graph: Graph) -> Graph:
    """All passes, in the order they need."""
    for rewrite in (
        drop_dead,
        fold_masks,
        group_kv_heads,
        drop_dead,
        fuse_rms_norm,
        fuse_rotary,
        mark_appends,
        drop_dead,
    ):
        graph = rewrite(graph)
    return graph


def drop_dead(graph: Graph) -> Graph:
    """Leave out what no output needs. Inputs stay, and so does an in-place operation on a value that is needed."""
    live = {ref.name for ref in graph.outputs}
    kept: list[Node] = []
    for node in reversed(graph.nodes):
        writes = node.target.startswith("aten.") and node.target.split(".")[1] != base_name(node.target)
        touched = writes and any(ref.name in live for ref in node.refs())
        if node.name in live or touched or node.kind == "Input":
            live |= {ref.name for ref in node.refs()}
            kept.append(node)
    return graph if len(kept) == len(graph.nodes) else replace(graph, nodes=tuple(reversed(kept)))


def fold_masks(graph: Graph) -> Graph:
    """Boolean attention masks that hide nothing, or just the future, become no mask, or `is_causal`.

    Models build such masks from position numbers: many operations on [B, 1, S, S] that no accelerator runs. A mask
    qualifies if it depends on sizes alone, if its construction names no number that could be a window or threshold,
    and if it equals the causal (or all-true) mask at MASK_SIZES. A causal mask of more keys than queries keeps its
    operand (aten counts is_causal from the first key, not the last) and is marked causal.
    """
    # Positional arguments after the mask are dropout and is_causal: set, they make it another operation.
    masked = [node for node in graph.nodes if node.attention and _mask(node) and not any(node.operands[4:])]
    masks = dict.fromkeys(mask for mask in map(_mask, masked) if mask is not None)
    kinds = {mask: _mask_kind(graph, mask) for mask in masks}
    nodes: dict[str, Node] = {}
    for node in masked:
        mask, shape = _mask(node), node.attention
        kind = kinds.get(mask) if mask is not None else None
        if shape is None or kind is None:
            continue
        square = shape.query_length == shape.key_length
        attention = replace(shape, causal=kind == "causal")
        operands, attributes = node.operands, node.attributes
        if kind == "empty" or square:
            operands, attributes = operands[:3], _carried(node)
            attributes += (("is_causal", True),) if kind == "causal" else ()
        nodes[node.name] = replace(
            node, operands=operands, attributes=attributes, attention=attention, products=attention.products()
        )
    if not nodes:
        return graph
    text = f"{len(nodes)} attention masks found {' or '.join(sorted({k for k in kinds.values() if k}))} at "
    text += "; ".join(str(sizes[: max(1, len(graph.symbols))]) for sizes in MASK_SIZES)
    return noted(replace_nodes(graph, nodes), "folded masks", text)


def _mask(node: Node) -> Ref | None:
    mask = node.operands[3] if len(node.operands) > 3 else dict(node.attributes).get("attn_mask")
    return mask if isinstance(mask, Ref) else None


def _carried(node: Node) -> tuple[tuple[str, Argument], ...]:
    """Keyword arguments of an attention that loses its mask."""
    return tuple((key, value) for key, value in node.attributes if key not in ("attn_mask", "is_causal"))


def _mask_kind(graph: Graph, mask: Ref) -> str | None:
    """ "empty", "causal", or None for any other mask."""
    import torch

    from mappers.execute import evaluate_sizes

    nodes = ancestors(graph, mask)
    made = graph[mask.name].outputs[mask.output]
    sources = ("Input", "Weight", "Constant", "Unknown")
    if made.dtype != "bool" or len(made.shape) < 2 or any(node.kind in sources for node in nodes):
        return None
    allowed = {size for size in made.shape if isinstance(size, int)}
    numbers = {abs(x) for node in nodes for x in _numbers((*node.operands, *(value for _, value in node.attributes)))}
    # A number such as 4096 may be a sliding window, which no small size would show.
    if any(number > 8 and number < END - 1 and number not in allowed for number in numbers):
        return None
    kinds = {"empty", "causal"}
    for sizes in MASK_SIZES:
        bound = {s.name: min(size, s.high or size) for s, size in zip(graph.symbols, sizes * 4, strict=False)}
        value = evaluate_sizes(graph, mask, bound)
        queries, keys = value.shape[-2:]
        causal = torch.ones(queries, keys, dtype=torch.bool).tril(keys - queries)
        kinds &= {name for name, same in (("empty", value.all()), ("causal", (value == causal).all())) if same}
    return "empty" if "empty" in kinds else "causal" if kinds else None


def _numbers(argument: Argument) -> Iterator[float]:
    if isinstance(argument, tuple):
        for item in argument:
            yield from _numbers(item)
    elif isinstance(argument, int | float) and not isinstance(argument, bool) and not math.isinf(argument):
        yield argument


def group_kv_heads(graph: Graph) -> Graph:
    """Attention reads grouped keys and values as they are stored, not repeated once per query head.

    Models repeat them by unsqueeze, expand, reshape (or repeat_interleave) before an attention that knows no groups;
    aten's own `enable_gqa` computes the same.
    """
    nodes: dict[str, Node] = {}
    for node in graph.nodes:
        if node.attention is None:
            continue
        stored = [_before_repeat(graph, ref) for ref in node.operands[1:3] if isinstance(ref, Ref)]
        if len(stored) != 2 or stored[0] is None or stored[1] is None:
            continue
        heads = [graph[ref.name].outputs[ref.output].shape[-3] for ref in stored if ref]
        if heads[0] != heads[1]:
            continue
        attention = replace(node.attention, kv_heads=heads[0])
        nodes[node.name] = replace(
            node,
            operands=(node.operands[0], stored[0], stored[1], *node.operands[3:]),
            attributes=(*(pair for pair in node.attributes if pair[0] != "enable_gqa"), ("enable_gqa", True)),
            attention=attention,
            products=attention.products(),
        )
    if not nodes:
        return graph
    return noted(
        replace_nodes(graph, nodes), "grouped KV heads", f"{len(nodes)} attentions read unrepeated keys and values"
    )


def _before_repeat(graph: Graph, ref: Ref) -> Ref | None:
    """x of [..., heads, length, dim], if ref is x with each head repeated n times in a row."""
    node = graph[ref.name]
    name = base_name(node.target)
    if name == "repeat_interleave" and len(node.operands) == 3 and isinstance(node.operands[0], Ref):
        shape = graph[node.operands[0].name].shape
        return node.operands[0] if node.operands[2] in (len(shape) - 3, -3) else None
    if name not in ("reshape", "view", "_unsafe_view") or not isinstance(node.operands[0], Ref):
        return None
    expand = graph[node.operands[0].name]
    if base_name(expand.target) != "expand" or not isinstance(expand.operands[0], Ref):
        return None
    single = graph[expand.operands[0].name]
    if base_name(single.target) != "unsqueeze" or not isinstance(single.operands[0], Ref):
        return None
    x = graph[single.operands[0].name].outputs[single.operands[0].output].shape
    *front, heads, length, dim = x
    repeats = expand.shape[-3] if len(expand.shape) == len(x) + 1 else 0
    merged = (*front, product((heads, repeats)), length, dim)
    same = single.shape == (*front, heads, 1, length, dim) and expand.shape == (*front, heads, repeats, length, dim)
    return single.operands[0] if same and node.shape == merged else None


def mark_appends(graph: Graph) -> Graph:
    """A cat whose first part is a model input and whose result attention or a product reads, is a cache's append.

    So is an indexed write into such an input. See Node.append for what it then costs.
    """
    users = users_of(graph)
    nodes = {}
    for node in graph.nodes:
        name = base_name(node.target)
        if name in ("cat", "concat") and isinstance(node.operands[0], tuple) and len(node.operands[0]) == 2:
            cache = node.operands[0][0]
        elif name in ("index_copy", "index_put", "slice_scatter"):
            cache = node.operands[0]
        else:
            continue
        grown = isinstance(cache, Ref) and _through_views(graph, cache).kind == "Input"
        if grown and any(user.products for user in _readers(users, node)):
            nodes[node.name] = replace(node, append=True)
    if not nodes:
        return graph
    return noted(replace_nodes(graph, nodes), "appends", f"{len(nodes)} operations grow a cache in place")


def _through_views(graph: Graph, ref: Ref) -> Node:
    node = graph[ref.name]
    while node.is_view and (below := next(node.refs(), None)) is not None:
        node = graph[below.name]
    return node


def _readers(users: Mapping[str, list[Node]], node: Node) -> Iterable[Node]:
    """The nodes that read a value, directly or through views."""
    for user in users[node.name]:
        if user.is_view:
            yield from _readers(users, user)
        else:
            yield user
