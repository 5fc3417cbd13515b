"""What a graph costs on an accelerator: every matrix product on an array, the rest on the vector unit and the memory.

    report = evaluate(assign(load("llama-3-8b-prefill"), {"*": "int8"}), accelerator, B=1, S=512)
    report.latency_s, report.energy_pj, report.pe_energy_share; print(report)

Operations run one after another. Query heads that share a key-value head are stacked into one product, so that its keys
are read once. Softmax, norms, activations and data movement take the longer of their element operations on the vector
unit and their bytes on the DRAM.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

import formats as nf
import hwsim as hw
from mappers.graph import Bound, Graph
from mappers.mapping import Plan, Products, plan

ASSUMPTIONS = (
    "operations run one after another, each from DRAM and back to it, attention's scores too",
    "attention is counted in full, causal or not; query heads sharing a key-value head are one product",
    "an element operation (a softmax, norm or activation per element) takes one lane of the vector unit one cycle",
    "values between products move at the graph's default format; new cache entries are written in it",
)


def evaluate(graph: Graph, accelerator: hw.Accelerator, **sizes: int) -> hw.Report:
    """Latency, energy and area of a graph, one row an operation.

    graph: with formats assigned, or not: then products are in the dtype they were traced in. sizes: the graph's
        symbols, as `graph.bind` takes them (B=1, S=512).
    Raises ValueError for a product whose pair of formats no PE takes (naming both), for sizes the graph does not have,
    and for an SRAM smaller than a tile.
    """
    placed = _plan(graph, accelerator)
    bound = graph.bind(**sizes)
    values = _value_bits(graph)
    reports = [_product_report(accelerator, group, bound, values) for group in placed.products]
    reports.append(_vector_report(accelerator, placed, bound, graph))
    total = reports[0]
    for report in reports[1:]:
        total = total + report
    return replace(total, unpriced=(*total.unpriced, *_unpriced(placed, bound, values)))


def _plan(graph: Graph, accelerator: hw.Accelerator) -> Plan:
    """The plan, kept with the graph: placing a thousand nodes takes longer than pricing them."""
    held: dict[hw.Accelerator, Plan] = graph.__dict__.setdefault("_plans", {})
    if accelerator not in held:
        held[accelerator] = plan(graph, accelerator)
    return held[accelerator]


def _value_bits(graph: Graph) -> float:
    """Bits of a value between products."""
    if graph.default is not None:
        return float(nf.bits_per_element(nf.get(graph.default)))
    product = next((node for node in graph.nodes if node.products), None)
    return float(nf.bits_per_element(nf.get(product.dtype))) if product is not None else 16.0


def _product_report(accelerator: hw.Accelerator, group: Products, bound: Bound, values: float) -> hw.Report:
    """The products of one array, a row each."""
    columns = {key: bound.products[key][group.rows] for key in ("m", "k", "n", "batch", "shared")}
    m, k, n = columns["m"] * columns["shared"], columns["k"], columns["n"]
    return hw.gemm_report(
        group.names,
        np.where(group.swapped, n, m),
        k,
        np.where(group.swapped, m, n),
        hw.setting(accelerator, array=group.array),
        batch=columns["batch"] // columns["shared"],
        bits_a=group.left_bits,
        bits_b=group.right_bits,
        output_bits=values,
    )


def _bits(bound: Bound, rows: NDArray[np.intp], graph: Graph) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Bits read and written by nodes: in the dtypes traced, or at the graph's default format where it has one."""
    nodes = bound.nodes
    if graph.default is None:
        return (nodes["bits_in"] + nodes["weight_bits"])[rows] * 1.0, nodes["bits_out"][rows] * 1.0
    width = float(nf.bits_per_element(nf.get(graph.default)))
    return (nodes["elements_in"] + nodes["weight_elements"])[rows] * width, nodes["elements_out"][rows] * width


def _vector_report(accelerator: hw.Accelerator, placed: Plan, bound: Bound, graph: Graph) -> hw.Report:
    """Everything that is no matrix product. Softmax and bias of product nodes move no bytes of their own here."""
    reads, writes = _bits(bound, placed.vector, graph)
    none = np.zeros(placed.soft.size)
    reads, writes = np.concatenate([reads, none]), np.concatenate([writes, none])
    operations = bound.nodes["vector_elements"][np.concatenate([placed.vector, placed.soft])]
    keep = np.flatnonzero((operations > 0) | (reads + writes > 0))
    names = (*placed.vector_names, *placed.soft_names)
    report = hw.vector_report(
        [names[i] for i in keep],
        operations[keep],
        np.ceil(reads[keep] / 8).astype(np.int64),
        np.ceil(writes[keep] / 8).astype(np.int64),
        accelerator,
    )
    return replace(report, assumptions=(*report.assumptions, *ASSUMPTIONS))


def _unpriced(placed: Plan, bound: Bound, values: float) -> tuple[hw.Unpriced, ...]:
    """Conversions between formats, and operations of no known kind."""
    entries = []
    converted = 0.0
    for group in placed.products:
        m, k, n, batch = (bound.products[key][group.rows] for key in ("m", "k", "n", "batch"))
        activations = np.where(group.swapped, n, m) * k * batch
        narrow = group.left_bits != values
        converted += float((activations * group.left_bits)[narrow].sum()) / 8
    if converted:
        reason = "turning activations into codes and scales has no price yet"
        entries.append(hw.Unpriced(name="format conversion", reason=reason, bytes=converted))
    nodes = bound.nodes
    for row, name in zip(placed.unknown, placed.unknown_names, strict=True):
        size = float(nodes["bits_in"][row] + nodes["weight_bits"][row] + nodes["bits_out"][row]) / 8
        entries.append(hw.Unpriced(name=name, reason="an operation of no known kind", bytes=size))
    return tuple(entries)
