"""Traced models as work: an immutable op graph, its formats, its costs on an accelerator, its numbers.

    import mappers as mp
    graph = mp.assign(mp.load("llama-3-8b-prefill"), {"*.mlp.*": "mxfp4", "*.self_attn.*": "int8/e4m3fn"})
    graph.macs(), graph.bind(B=1, S=512).products["m"]

`load` and costs need no torch; `trace` and `execute` do (pip install "bitcost[torch]").
"""

from mappers.assign import assign
from mappers.evaluate import evaluate
from mappers.execute import Executor, execute, prepare
from mappers.graph import Bound, Graph, Symbol
from mappers.graphs import graphs, load
from mappers.node import AttentionShape, Formats, Node, Product, Ref, Tensor
from mappers.trace import trace

__all__ = [
    "AttentionShape",
    "Bound",
    "Executor",
    "Formats",
    "Graph",
    "Node",
    "Product",
    "Ref",
    "Symbol",
    "Tensor",
    "assign",
    "evaluate",
    "execute",
    "graphs",
    "load",
    "prepare",
    "trace",
]
