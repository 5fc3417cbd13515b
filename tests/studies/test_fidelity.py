"""The fidelity runs: what a pair does to the models is what the study says, whichever way products are summed."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="the models are torch models")

import mappers as mp
from studies.workloads import byte_lm, corpus, fidelity
from studies.workloads.fidelity import Pair

MXFP4 = Pair(label="mxfp4/mxfp4", weight="mxfp4", activation="mxfp4")
INT8 = Pair(label="int8/int8", weight="int8:channel", activation="int8:token")


def losses(pair: Pair | None, accumulate: str, windows: int) -> np.ndarray:
    graph, weights = fidelity.traced("byte_lm")
    if pair is not None:
        graph = mp.assign(graph, {"*": pair.formats})
    run = mp.prepare(graph, weights, accumulate="float64" if accumulate == "float64" else "float32", pad=True)
    return byte_lm.window_losses(run, corpus.load().tokens[:windows], batch=fidelity.BYTE_LM_BATCH)


@pytest.mark.parametrize("pair", [MXFP4, INT8], ids=lambda pair: pair.label)
def test_summing_in_float32_changes_the_loss_by_less_than_it_is_read_to(pair: Pair) -> None:
    single, double = losses(pair, "float32", 16), losses(pair, "float64", 16)
    # Rounding differences can flip a code of the next layer, so windows differ; their mean must not, at 1e-3 bits/byte.
    assert abs(single.mean() - double.mean()) < 1e-3


def test_the_traced_graph_without_formats_is_the_model() -> None:
    tokens = corpus.load().tokens[:8]
    eager = byte_lm.window_losses(byte_lm.load(), tokens, batch=fidelity.BYTE_LM_BATCH)
    assert np.allclose(losses(None, "float32", 8), eager, atol=1e-4)


def test_formats_reach_every_product_and_matter() -> None:
    reference, int8, mxfp4 = (losses(pair, "float32", 16).mean() for pair in (None, INT8, MXFP4))
    assert reference < int8 < mxfp4
    graph, _ = fidelity.traced("byte_lm")
    assigned = mp.assign(graph, {"*": MXFP4.formats})
    assert all(node.operand_formats(item) == ("mxfp4", "mxfp4") for node, item in assigned.gemms())


def test_keys_and_values_take_the_weights_format() -> None:
    pair = Pair(label="int4:g128/int8", weight="int4:g128", activation="int8:token")
    graph, _ = fidelity.traced("byte_lm")
    labels = {item.label: node.operand_formats(item) for node, item in mp.assign(graph, {"*": pair.formats}).gemms()}
    assert labels["qk"] == labels["pv"] == labels["linear"] == ("int8:token", "int4:g128")
