"""Costs of a graph: nothing dropped, bytes and MACs conserved, formats that no PE takes refused by name."""

from __future__ import annotations

import time

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
    assert len(report.rows) == products + vector


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
    report = mp.evaluate(mp.assign(prefill, {"*": "int8"}), chip(("int8", "int8")), B=1, S=16)
    names = {entry.name for entry in report.unpriced}
    assert {"vector operations", "format conversion"} <= names
    assert 0 < report.unpriced_share < 1
    without_energy = mp.evaluate(
        mp.assign(prefill, {"*": "int8"}), chip(("int8", "int8"), technology="sky130hd"), B=1, S=16
    )
    assert "pe" in {entry.name for entry in without_energy.unpriced}


def test_sram_smaller_than_a_tile(prefill: mp.Graph) -> None:
    array = hw.SystolicArray(hw.MacPE("int8", "int8"), rows=64, columns=64)
    small = hw.Accelerator(array=array, sram=hw.sram(4, "ihp130"))
    with pytest.raises(ValueError, match=r"double-buffered tile takes \d+ bytes .*; use an SRAM of at least \d+ bytes"):
        mp.evaluate(mp.assign(prefill, {"*": "int8"}), small, B=1, S=16)


def test_missing_and_wrong_sizes(prefill: mp.Graph) -> None:
    with pytest.raises(ValueError, match="needs sizes for B, S"):
        mp.evaluate(mp.assign(prefill, {"*": "int8"}), chip(("int8", "int8")), B=1)


def test_null_models_by_hand(prefill: mp.Graph) -> None:
    formats = mp.Formats(weight="int4", activation="int8", kv="int4")
    report = mp.evaluate(mp.assign(prefill, {"*": formats}), chip(("int8", "int4")), B=1, S=16)
    assert report.null_models["bits_x_bits"] == report.macs * 8 * 4
    assert report.null_models["bytes_only_energy_pj"] == pytest.approx(report.bytes * 8 * 4.0)
    assert report.null_models["bytes_only_cycles"] <= report.cycles


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
