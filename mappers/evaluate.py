"""What a graph costs on an accelerator: every matrix product on an array, the rest on the vector unit and the memory.

    report = evaluate(assign(load("llama-3-8b-prefill"), {"*": "int8"}), accelerator, B=1, S=512)
    report.latency_s, report.energy_pj, report.pe_energy_share; print(report)

Operations run one after another. Query heads that share a key-value head are stacked into one product, so that its keys
are read once. Softmax, norms, activations and data movement take the longer of their element operations on the vector
unit and their bytes on the DRAM.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

import formats as nf
import hwsim as hw
from mappers.graph import Bound, Graph
from mappers.mapping import Plan, Products, plan
from mappers.table import PRODUCT_SIZES

ASSUMPTIONS = (
    "operations run one after another, each from DRAM and back to it; attention's scores are read back at the value "
    "format's width and probabilities written in theirs; biases are read",
    "attention is counted in full, causal or not; query heads sharing a key-value head are one product",
    "an element operation (a softmax, norm or activation per element) takes one lane of the vector unit one cycle",
    "values between products move at the graph's default format; new cache entries are written in it",
    "assumed: putting an activation, key, value or probability into a product's format takes 3 element operations "
    "(largest magnitude, scale, round; 1 without scales) where it differs from the value format, once per value and "
    "format, of a cache its new entries only; no bytes: fused with what wrote them",
    "an operation of no known kind moves its bytes in the dtypes traced; its own work is unpriced",
)


def evaluate(graph: Graph, accelerator: hw.Accelerator, **sizes: int) -> hw.Report:
    """Latency, energy and area of a graph, one row an operation.

    graph: with formats assigned, or not: then products are in the dtype they were traced in. sizes: the graph's
        symbols, as `graph.bind` takes them (B=1, S=512).
    Raises ValueError for a product whose pair of formats no PE takes (naming both), for sizes the graph does not have,
    and for an SRAM smaller than a tile. Raises TypeError for an array without memories around it, and for sizes that
    are not single integers.
    """
    _check(accelerator, sizes)
    placed = _plan(graph, accelerator)
    bound = graph.bind(**sizes)
    values = _value_bits(graph)
    reports = [_product_report(accelerator, placed, group, bound, values) for group in placed.products]
    reports.append(_vector_report(accelerator, placed, bound, graph, values))
    total = reports[0]
    for report in reports[1:]:
        total = total + report
    return replace(total, unpriced=(*total.unpriced, *_unpriced(placed, bound)))


def _check(accelerator: object, sizes: Mapping[str, object]) -> None:
    """Raise TypeError for what is no accelerator, or for sizes that are not single integers."""
    if not isinstance(accelerator, hw.Accelerator):
        hint = "Accelerator(array=array)" if isinstance(accelerator, hw.SystolicArray) else "Accelerator(array=...)"
        raise TypeError(
            f"evaluate: needs an Accelerator (memories and a vector unit around an array), got "
            f"{type(accelerator).__name__}; use {hint}"
        )
    for name, value in sizes.items():
        if np.ndim(value) != 0 or not isinstance(value, int | np.integer | np.ndarray):  # type: ignore[arg-type]
            raise TypeError(
                f"evaluate: {name} must be one integer, got {type(value).__name__} {value!r}; evaluate once per size, "
                f"or sweep the counts alone with graph.bind({name}=np.array([128, 512]))"
            )


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


def _product_report(
    accelerator: hw.Accelerator, placed: Plan, group: Products, bound: Bound, values: float
) -> hw.Report:
    """The products of one array, a row each."""
    columns = {key: column[group.rows] for key, column in bound.products.items() if key in PRODUCT_SIZES}
    m, k, n = columns["m"] * columns["shared"], columns["k"], columns["n"]
    a_bits, b_bits = placed.bits(group.a, k), placed.bits(group.b, k)
    a, b = columns["a_elements"], columns["b_elements"]
    return hw.gemm_report(
        group.names,
        np.where(group.swapped, n, m),
        k,
        np.where(group.swapped, m, n),
        hw.setting(accelerator, array=group.array),
        batch=columns["batch"] // columns["shared"],
        bits_a=np.where(group.swapped, b_bits, a_bits),
        bits_b=np.where(group.swapped, a_bits, b_bits),
        output_bits=values,
        a_elements=np.where(group.swapped, b, a),
        b_elements=np.where(group.swapped, a, b),
        mac_bits=group.mac_bits,
    )


def _bits(bound: Bound, rows: NDArray[np.intp], graph: Graph) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Bits read and written by nodes: in the dtypes traced, or at the graph's default format where it has one."""
    nodes = bound.nodes
    if graph.default is None:
        return (nodes["bits_in"] + nodes["weight_bits"])[rows] * 1.0, nodes["bits_out"][rows] * 1.0
    width = float(nf.bits_per_element(nf.get(graph.default)))
    return (nodes["elements_in"] + nodes["weight_elements"])[rows] * width, nodes["elements_out"][rows] * width


Columns = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[Any]]


def _soft(placed: Plan, bound: Bound, values: float) -> Columns:
    """Bits read and written, and operations, of product nodes' own vector work: softmax and bias."""
    rows = placed.layout.soft
    elements = bound.nodes["soft_elements"][rows]
    writes = np.zeros(rows.size)
    attention = placed.layout.pv >= 0
    second = placed.layout.pv[attention]
    widths = placed.bits(placed.a_formats[second], bound.products["k"][second])
    writes[attention] = elements[attention] * widths
    return elements * values, writes, bound.nodes["vector_elements"][rows]


def _unknown(placed: Plan, bound: Bound) -> Columns:
    """Bits of operations of no known kind, in the dtypes traced."""
    rows, nodes = placed.layout.unknown, bound.nodes
    reads, writes = (nodes["bits_in"] + nodes["weight_bits"])[rows] * 1.0, nodes["bits_out"][rows] * 1.0
    return reads, writes, np.zeros(rows.size, np.int64)


def _converted(placed: Plan, bound: Bound) -> tuple[list[str], Columns]:
    """Conversions into the products' formats, a row a product."""
    what = placed.conversions
    sides = bound.products["a_elements"][what.product], bound.products["b_elements"][what.product]
    elements = np.where(what.side == 0, *sides)
    elements = np.where(what.append >= 0, bound.nodes["elements_out"][what.append], elements)
    work = np.zeros(len(placed.layout.product_names), np.int64)
    np.add.at(work, what.product, elements * what.operations)
    rows = np.unique(what.product)
    none = np.zeros(rows.size)
    return [f"{placed.layout.product_names[row]} quantise" for row in rows], (none, none, work[rows])


def _vector_report(accelerator: hw.Accelerator, placed: Plan, bound: Bound, graph: Graph, values: float) -> hw.Report:
    """Everything that is no matrix product."""
    fixed = placed.layout
    plain = (*_bits(bound, fixed.vector, graph), bound.nodes["vector_elements"][fixed.vector])
    quantise, converted = _converted(placed, bound)
    parts = (plain, _soft(placed, bound, values), _unknown(placed, bound), converted)
    reads, writes, work = (np.concatenate(column) for column in zip(*parts, strict=True))
    keep = np.flatnonzero((work > 0) | (reads + writes > 0))
    names = (*fixed.vector_names, *fixed.soft_names, *fixed.unknown_names, *quantise)
    report = hw.vector_report(
        [names[i] for i in keep],
        work[keep],
        np.ceil(reads[keep] / 8).astype(np.int64),
        np.ceil(writes[keep] / 8).astype(np.int64),
        accelerator,
    )
    return replace(report, assumptions=(*report.assumptions, *ASSUMPTIONS))


def _unpriced(placed: Plan, bound: Bound) -> tuple[hw.Unpriced, ...]:
    """Operations of no known kind: their bytes are rows, their work is not."""
    entries = []
    nodes = bound.nodes
    for row, name in zip(placed.layout.unknown, placed.layout.unknown_names, strict=True):
        size = float(nodes["bits_in"][row] + nodes["weight_bits"][row] + nodes["bits_out"][row]) / 8
        entries.append(hw.Unpriced(name=name, reason="an operation of no known kind", bytes=size))
    return tuple(entries)
