"""Which formats the products of a graph use: rules over module paths."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from fnmatch import fnmatchcase

import formats as nf
from mappers.graph import Graph
from mappers.node import FormatName, Formats, Node


def assign(graph: Graph, rules: Mapping[str, str | nf.Format | Formats], *, default: FormatName | None = None) -> Graph:
    """A new graph whose matrix products read their operands in the given formats.

    rules: glob over module paths -> formats; later rules win. "*.mlp.*" covers everything in a module named mlp, the
        module itself included; "*" covers all. A value is Formats, one format for weight and activation both, or
        "weight/activation" ("int4:g128/int8").
    default: format of products no rule has ever matched, and of all values between products; None is the dtype each
        was traced in ("bfloat16" for the shipped graphs). It is written into the graph, not implied.

    Both operands of every MatMul and Conv and both products of every Attention get formats. Embeddings, norms and
    elementwise operations have none of their own: they read and write `default`.

    Raises ValueError for a rule that matches no product (naming near module paths), and for an unknown format.
    Raises TypeError for rules that are no mapping, and for a value that is no format.
    """
    if not isinstance(rules, Mapping):
        shown = repr(rules) if isinstance(rules, str) else f"{type(rules).__name__} {rules!r}"
        works = f'{{"*": {rules!r}}}' if isinstance(rules, str) else '{"*": "int8"}'
        raise TypeError(f"assign: rules must map globs over module paths to formats, got {shown}; say {works}")
    products = graph.product_nodes
    chosen: dict[str, Formats | None] = {}
    for pattern, value in rules.items():
        if not isinstance(value, str | nf.Scalar | nf.Scaled | Formats):
            raise TypeError(
                f"assign: rule {pattern!r} expected a format or its name such as 'int8', "
                f"or mappers.Formats, got {value!r}; a rule is left out by not naming it"
            )
        formats = as_formats(value)
        matched = [node for node in products if _matches(pattern, node.module)]
        if not matched:
            raise ValueError(_nothing_matched(pattern, graph))
        chosen.update({node.name: formats for node in matched})
    for node in products:
        if node.name not in chosen and node.formats is None:
            traced = default if default is not None else _traced(node, graph)
            chosen[node.name] = Formats(weight=traced, activation=traced)
    return graph.with_formats(chosen, default)


def as_formats(value: str | nf.Format | Formats) -> Formats:
    """Formats from the short forms `assign` takes."""
    if isinstance(value, Formats):
        return value
    if isinstance(value, str) and "/" in value:
        parts = [part.strip() for part in value.split("/")]
        if len(parts) != 2 or not all(parts):
            raise ValueError(f"assign: {value!r} must be one format, or weight/activation such as 'int4:g128/int8'")
        return Formats(weight=parts[0], activation=parts[1])
    return Formats(weight=value, activation=value)


def _matches(pattern: str, module: str) -> bool:
    # With a dot on both ends, "*.mlp.*" covers "mlp" and "layers.0.mlp" as well as what is inside them.
    return fnmatchcase(module, pattern) or fnmatchcase(f".{module}.", pattern)


def _traced(node: Node, graph: Graph) -> str:
    ref = next(node.refs())
    return graph[ref.name].outputs[ref.output].dtype


def _nothing_matched(pattern: str, graph: Graph) -> str:
    modules = list(dict.fromkeys(node.module for node in graph.product_nodes))
    # Nearness by the words of the pattern, each against the parts of every path.
    words = [word for word in pattern.replace("*", ".").split(".") if word]
    parts = list(dict.fromkeys(part for module in modules for part in module.split(".")))
    near = [part for word in words for part in difflib.get_close_matches(word, parts, n=3, cutoff=0.4)]
    near += [part for word in words for part in parts if word in part and part not in near]
    paths = [next(module for module in modules if part in module.split(".")) for part in dict.fromkeys(near)]
    some = list(dict.fromkeys(paths))[:4] or modules[:4]
    elsewhere = any(_matches(pattern, node.module) for node in graph.nodes)
    what = "matches only modules without a matrix product" if elsewhere else "matches no module"
    return f"assign: rule {pattern!r} {what} of graph {graph.name!r}; near paths: {', '.join(some)}"
