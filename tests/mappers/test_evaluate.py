"""Costs of a graph: nothing dropped, bytes and MACs conserved, formats that no PE takes refused by name."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest

import formats as nf
import hwsim as hw
import mappers as mp


def chip(*pairs: tuple[str, str], technology: str = "ihp130", size: int = 64) -> hw.Accelerator:
    arrays = [hw.SystolicArray(hw.MacPE(a, b), rows=size, columns=size) for a, b in pairs]
    return hw.Accelerator(array=arrays[0], others=tuple(arrays[1:]), technology=technology, clock_hz=100e6)


@pytest.fixture(scope="module")
def prefill() -> mp.Graph:
    return mp.load("llama-3-8b-prefill")


def test_every_mac_is_counted_once(prefill: mp.Graph) -> None:
    graph = mp.assign(prefill, {"*": "int8"})
    report = mp.evaluate(graph, chip(("int8", "int8")), B=2, S=128)
    assert report.macs == graph.bind(B=2, S=128).macs
    assert report.counts["pe"].sum() == report.macs  # one lane: one PE action a MAC
    assert (report.columns["cycles"] == report.columns["compute_cycles"] + report.columns["stall_cycles"]).all()
    assert report.cycles >= report.macs / report.peak_macs_per_cycle


def test_every_node_that_does_something_has_a_row(prefill: mp.Graph) -> None:
    graph = mp.assign(prefill, {"*": "int8"})
    report = mp.evaluate(graph, chip(("int8", "int8")), B=1, S=64)
    products = sum(len(node.products) for node in graph.nodes)
    nodes = graph.bind(B=1, S=64).nodes
    vector = sum(
        1
        for index, node in enumerate(graph.nodes)
        if not node.is_view
        and (nodes["vector_elements"][index] > 0 or (not node.products and nodes["bits_out"][index] > 0))
    )
    # Per layer one conversion for q, k and v, then qk, pv, o, one for gate and up, down; and the head's.
    conversions = [name for name in report.rows if name.endswith(" quantise")]
    assert len(conversions) == 32 * 6 + 1
    assert len(report.rows) == products + vector + len(conversions)


def test_weight_bytes_follow_the_format(prefill: mp.Graph) -> None:
    # One token, so weights dominate; no refetch because the single row of activations fits the SRAM.
    decode = mp.load("llama-3-8b-decode")
    linear = 0.0
    for weight in ("int8", "int4"):
        formats = mp.Formats(weight=weight, activation="int8", kv="int8")
        graph = mp.assign(decode, {"*": formats}, default="bfloat16")
        report = mp.evaluate(graph, chip(("int8", "int8")), B=1, P=16)
        rows = [name.endswith("linear") for name in report.rows]
        moved = float(report.columns["bytes"][rows].sum())
        if weight == "int4":
            weights = 8_030_261_248 - 128_256 * 4096 - (2 * 32 + 1) * 4096  # all but the embedding and the norms
            assert linear - moved == pytest.approx(weights / 2)
        linear = moved


def test_query_heads_share_their_keys() -> None:
    decode = mp.assign(mp.load("llama-3-8b-decode"), {"*": "int8"})
    report = mp.evaluate(decode, chip(("int8", "int8")), B=1, P=1023)
    scores = next(i for i, name in enumerate(report.rows) if name.endswith(" qk"))
    # 8 key-value heads of 1024 keys and 128 wide at one byte, 32 queries of 128, 32 x 1024 scores of 16 bits
    assert report.columns["bytes"][scores] == 8 * 1024 * 128 + 32 * 128 + 32 * 1024 * 2
    assert report.columns["m"][scores] == 4


def test_a_pair_no_pe_takes_is_named(prefill: mp.Graph) -> None:
    graph = mp.assign(prefill, {"*": "e4m3fn"})
    with pytest.raises(ValueError, match=r"q_proj.*no PE takes e4m3fn x e4m3fn; the accelerator has int8 x int8"):
        mp.evaluate(graph, chip(("int8", "int8")), B=1, S=16)


def test_a_second_array_takes_the_pairs_the_first_cannot(prefill: mp.Graph) -> None:
    rules = {"*": "int8", "*.mlp.*": "e4m3fn"}
    report = mp.evaluate(mp.assign(prefill, rules), chip(("int8", "int8"), ("e4m3fn", "e4m3fn")), B=1, S=16)
    assert report.counts["pe"].sum() + report.counts["pe 1"].sum() == report.macs
    assert "PEs 1" in report.area
    # MLPs of Llama-3-8B: 3 * 4096 * 14336 weights a layer, 32 layers, 16 tokens
    assert report.counts["pe 1"].sum() == 16 * 32 * 3 * 4096 * 14336


def test_weight_on_the_left_runs_transposed() -> None:
    pe = hw.MacPE("int8", "int4")
    assert pe.takes("int8", "int4")
    assert not pe.takes("int4", "int8")
    assert pe.supports("int4", "int8")


def test_what_has_no_price_is_listed(prefill: mp.Graph) -> None:
    bare = replace(chip(("int8", "int8")), vector_unit=hw.VectorUnit(lanes=8))
    report = mp.evaluate(mp.assign(prefill, {"*": "int8"}), bare, B=1, S=16)
    names = {entry.name for entry in report.unpriced}
    assert {"area of the vector unit", "vector operations"} <= names


def row(report: hw.Report, ending: str) -> int:
    """The first row whose name ends so."""
    return next(i for i, name in enumerate(report.rows) if name.endswith(ending))


def test_conversions_are_counted_by_hand(prefill: mp.Graph) -> None:
    formats = mp.Formats(weight="int8", activation="mxfp8_e4m3", kv="int8")
    chips = chip(("mxfp8_e4m3", "int8"))
    report = mp.evaluate(mp.assign(prefill, {"*": formats}), chips, B=2, S=64)
    work = report.counts["vector operations"]
    tokens = 2 * 64
    # q, k and v projections read one value: three operations for each of its elements, once.
    assert work[row(report, "q_proj linear quantise")] == 3 * tokens * 4096
    assert not any(name.endswith(("k_proj linear quantise", "up_proj linear quantise")) for name in report.rows)
    # Queries in blocks of 32 with scales; keys (8 heads of 128) in plain int8.
    assert work[row(report, "qk quantise")] == 3 * tokens * 4096 + 1 * tokens * 1024
    assert work[row(report, "pv quantise")] == 3 * 2 * 32 * 64 * 64 + 1 * tokens * 1024
    assert work[row(report, "down_proj linear quantise")] == 3 * tokens * 14336
    assert report.columns["bytes"][row(report, "qk quantise")] == 0
    assert report.columns["cycles"][row(report, "down_proj linear quantise")] == -(-3 * tokens * 14336 // 64)
    assert "format conversion" not in {entry.name for entry in report.unpriced}
    assert any("3 element operations" in line and line.startswith("assumed") for line in report.assumptions)


def test_the_value_format_needs_no_conversion(prefill: mp.Graph) -> None:
    array = chip(("bfloat16", "bfloat16"))
    for graph in (prefill, mp.assign(prefill, {"*": "bfloat16"}), mp.assign(prefill, {"*": "bf16"})):
        assert not any(name.endswith("quantise") for name in mp.evaluate(graph, array, B=1, S=16).rows)
    # Same width, other format.
    report = mp.evaluate(mp.assign(prefill, {"*": "bfloat16"}, default="float16"), array, B=1, S=16)
    assert sum(name.endswith("quantise") for name in report.rows) == 32 * 6 + 1


def test_a_cache_converts_its_new_entries_only() -> None:
    decode = mp.assign(mp.load("llama-3-8b-decode"), {"*": "int8"})
    report = mp.evaluate(decode, chip(("int8", "int8")), B=1, P=1023)
    work = report.counts["vector operations"]
    assert work[row(report, "qk quantise")] == 4096 + 1024  # q, and one token of 8 key heads
    assert work[row(report, "pv quantise")] == 32 * 1024 + 1024


def test_softmax_reads_scores_and_writes_probabilities(prefill: mp.Graph) -> None:
    graph = mp.assign(prefill, {"*": "int8"})
    report = mp.evaluate(graph, chip(("int8", "int8")), B=2, S=64)
    softmax = row(report, "scaled_dot_product_attention vector")
    scores = 2 * 32 * 64 * 64
    assert report.counts["DRAM reads"][softmax] == 16 * scores
    assert report.counts["DRAM writes"][softmax] == 8 * scores
    # Blocks of 32 along 65 keys: three scales of 8 bits a row.
    graph = mp.assign(prefill, {"*": "mxfp4"})
    report = mp.evaluate(graph, chip(("mxfp4", "mxfp4")), B=1, S=65)
    assert report.counts["DRAM writes"][row(report, "attention vector")] == pytest.approx(
        32 * 65 * (65 * 4 + 24), abs=8
    )


def test_biases_are_read() -> None:
    bert = mp.assign(mp.load("bert-base"), {"*": "int8"}, default="bfloat16")
    report = mp.evaluate(bert, chip(("int8", "int8")), B=1, S=16)
    bias = row(report, "layer.0.attention.self.query linear vector")
    assert report.counts["DRAM reads"][bias] == 768 * 16
    assert report.counts["vector operations"][bias] == 16 * 768


def test_distinct_elements_and_their_own_bits(prefill: mp.Graph) -> None:
    vit = mp.assign(mp.load("vit-b-16"), {"*": "int8"}, default="bfloat16")
    report = mp.evaluate(vit, chip(("int8", "int8")), B=1)
    patches = row(report, " conv")
    assert report.columns["tensor_bytes"][patches] == 3 * 224 * 224 + 768 * 3 * 16 * 16 + 2 * 196 * 768
    # int4 weights on an int8 PE: the null model counts the operands' own bits.
    report = mp.evaluate(mp.assign(prefill, {"*": "int4/int8"}), chip(("int8", "int8")), B=1, S=16)
    linear = row(report, "q_proj linear")
    assert report.columns["bits_x_bits"][linear] == report.columns["macs"][linear] * 8 * 4
    assert report.columns["bits_x_bits"][row(report, " qk")] == report.columns["macs"][row(report, " qk")] * 64


def test_what_no_kind_covers_moves_its_bytes() -> None:
    x = mp.Node(name="x", kind="Input", outputs=(mp.Tensor((4, 64), "float32"),))
    y = mp.Node(
        name="y", kind="Unknown", target="other.thing", operands=(mp.Ref("x"),), outputs=(mp.Tensor((4, 8), "float32"),)
    )
    weight = mp.Node(name="w", kind="Weight", target="parameter", outputs=(mp.Tensor((4, 8), "float32"),))
    item = mp.node.Product(label="linear", m=4, k=8, n=4, weight="b", a_elements=32, b_elements=32)
    z = mp.Node(
        name="z",
        kind="MatMul",
        target="aten.linear.default",
        operands=(mp.Ref("y"), mp.Ref("w")),
        outputs=(mp.Tensor((4, 4), "float32"),),
        products=(item,),
    )
    graph = mp.Graph(name="g", nodes=(x, y, weight, z), outputs=(mp.Ref("z"),))
    report = mp.evaluate(mp.assign(graph, {"": "int8"}), chip(("int8", "int8")))
    place = report.rows.index("other.thing in the model")
    assert report.columns["bytes"][place] == 4 * (4 * 64 + 4 * 8)
    assert report.columns["cycles"][place] > 0
    assert "other.thing in the model" in {entry.name for entry in report.unpriced}


def test_sram_smaller_than_a_tile(prefill: mp.Graph) -> None:
    array = hw.SystolicArray(hw.MacPE("int8", "int8"), rows=64, columns=64)
    small = hw.Accelerator(array=array, sram=hw.sram(4, "ihp130"))
    with pytest.raises(ValueError, match=r"double-buffered tile takes \d+ bytes .*; use an SRAM of at least \d+ bytes"):
        mp.evaluate(mp.assign(prefill, {"*": "int8"}), small, B=1, S=16)


def test_missing_and_wrong_sizes(prefill: mp.Graph) -> None:
    with pytest.raises(ValueError, match="needs sizes for B, S"):
        mp.evaluate(mp.assign(prefill, {"*": "int8"}), chip(("int8", "int8")), B=1)


def test_what_is_no_accelerator_or_no_size(prefill: mp.Graph) -> None:
    graph, accelerator = mp.assign(prefill, {"*": "int8"}), chip(("int8", "int8"))
    with pytest.raises(TypeError, match=r"needs an Accelerator .* got SystolicArray; use Accelerator\(array=array\)"):
        mp.evaluate(graph, accelerator.array, B=1, S=16)  # type: ignore[arg-type]
    for sizes in ([128, 512], np.array([128, 512]), 12.5, "12"):
        with pytest.raises(
            TypeError, match=r"S must be one integer, got .*; evaluate once per size, .*graph\.bind\(S="
        ):
            mp.evaluate(graph, accelerator, B=1, S=sizes)  # type: ignore[arg-type]
    one = mp.evaluate(graph, accelerator, B=np.int64(1), S=np.array(16))  # type: ignore[arg-type]
    assert one.macs == mp.evaluate(graph, accelerator, B=1, S=16).macs


@pytest.mark.slow  # timed: a busy neighbour is no failure of the default run
def test_fresh_formats_take_milliseconds(prefill: mp.Graph) -> None:
    accelerator = chip(("int8", "int8"))
    mp.evaluate(mp.assign(prefill, {"*": "int8"}), accelerator, B=1, S=64)
    times = []
    for rules in ("int4/int8", "int8/int4", "int4"):
        start = time.process_time()
        mp.evaluate(mp.assign(prefill, {"*": rules}), accelerator, B=1, S=64)
        times.append(time.process_time() - start)
    # Some 4 ms where written; 50 ms is what is asked of it.
    assert min(times) < 0.05


def test_null_models_by_hand(prefill: mp.Graph) -> None:
    formats = mp.Formats(weight="int4", activation="int8", kv="int4")
    report = mp.evaluate(mp.assign(prefill, {"*": formats}), chip(("int8", "int4")), B=1, S=16)
    assert report.null_models["bits_x_bits"] == report.macs * 8 * 4
    assert report.null_models["bytes_only_energy_pj"] == pytest.approx(report.bytes * 8 * 4.0)
    assert report.null_models["bytes_only_cycles"] <= report.cycles


@pytest.mark.slow  # timed: a busy neighbour is no failure of the default run
def test_evaluating_llama_takes_milliseconds(prefill: mp.Graph) -> None:
    # The bar (50 ms) is measured by `python -m studies speed`; here only that nothing is redone node by node.
    graph = mp.assign(prefill, {"*": "int8"})
    accelerator = chip(("int8", "int8"))
    first = mp.evaluate(graph, accelerator, B=1, S=64)
    start = time.process_time()
    again = mp.evaluate(graph, accelerator, B=1, S=64)
    assert np.array_equal(first.columns["cycles"], again.columns["cycles"])
    assert time.process_time() - start < 2.0


def test_formats_of_the_pe_may_be_wider() -> None:
    assert hw.MacPE("int8", "int8").supports("int4", nf.FixedPoint(bits=6))
    assert not hw.MacPE("int4", "int4").supports("int8", "int4")
