"""The graphs in the package: exact counts, no torch, fast."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

import mappers as mp
from mappers.graphs import FOLDER
from mappers.symbolic import symbol

B, S, P = symbol("B"), symbol("S"), symbol("P")

# MACs measured with torch 2.13 by four methods that agree; parameters as published for each checkpoint.
EXPECTED = {
    "llama-3-8b-prefill": (262144 * B * S**2 + 7504658432 * B * S, 8_030_261_248),
    "llama-3-8b-decode": (262144 * B * (P + 1) + 7504658432 * B, 8_030_261_248),
    "llama-2-7b-prefill": (262144 * B * S**2 + 6607077376 * B * S, 6_738_415_616),
    "llama-2-7b-decode": (262144 * B * (P + 1) + 6607077376 * B, 6_738_415_616),
    "bert-base": (18432 * B * S**2 + 84934656 * B * S + 589824 * B, 109_482_240),
    "vit-b-16": (17563828224 * B, 86_567_656),
}


def test_the_shipped_graphs_are_these():
    assert set(mp.graphs()) == set(EXPECTED)
    assert sum(path.stat().st_size for path in FOLDER.glob("*.json.gz")) < 200_000


@pytest.mark.parametrize("name", EXPECTED)
def test_macs_and_parameters_are_exact(name):
    graph = mp.load(name)
    macs, parameters = EXPECTED[name]
    assert (graph.macs() - macs).expand() == 0
    assert graph.weight_elements() == parameters
    assert not graph.unknown
    facts = dict(graph.provenance)
    assert facts["torch"] == "2.13.0"
    assert facts["transformers"] == "5.23.0"
    assert "hidden_size" in facts["configuration"]


@pytest.mark.parametrize("name", EXPECTED)
def test_bound_numbers_agree_with_the_formula(name):
    graph = mp.load(name)
    sizes = {"B": 3, "S": 512, "P": 511}
    sizes = {item.name: sizes[item.name] for item in graph.symbols}
    bound = graph.bind(**sizes)
    assert bound.macs == graph.macs().subs({symbol(key): value for key, value in sizes.items()})
    assert bound.nodes["macs"].sum() == bound.macs
    # Every product's stored operand, once, is what its node reads.
    assert all(bound.products["b_elements"] <= bound.products["batch"] * bound.products["k"] * bound.products["n"])


@pytest.mark.parametrize("name", ["llama-3-8b-prefill", "llama-3-8b-decode", "llama-2-7b-prefill", "bert-base"])
def test_every_linear_weight_is_read_once(name):
    graph = mp.load(name)
    bound = graph.bind(**dict.fromkeys((item.name for item in graph.symbols), 16))
    products = bound.nodes["kind"] == "MatMul"
    read = bound.nodes["weight_elements"][products].sum()
    tables = [node for node in graph.weights if "embed" in node.name]
    norms = [node for node in graph.weights if "norm" in node.name.lower() and node not in tables]
    apart = sum(int(node.outputs[0].elements) for node in (*tables, *norms))
    assert read == graph.weight_elements() - apart


def test_decode_reads_the_cache_in_attention_and_writes_one_token():
    graph = mp.load("llama-3-8b-decode")
    batch, cached = 4, 511
    bound = graph.bind(B=batch, P=cached)
    rows = {name: {k: int(bound.nodes[k][i]) for k in ("elements_in", "elements_out")}
            for i, name in enumerate(bound.nodes["name"])}  # fmt: skip
    appends = [node for node in graph.nodes if node.append]
    assert len(appends) == 64
    for node in appends:
        assert rows[node.name] == {"elements_in": batch * 8 * 128, "elements_out": batch * 8 * 128}
    for node in graph.nodes:
        if node.kind == "Attention":
            assert node.attention.kv_heads == 8
            assert node.attention.key_length == P + 1
            q, kv = batch * 32 * 128, 2 * batch * 8 * (cached + 1) * 128
            assert rows[node.name] == {"elements_in": q + kv, "elements_out": q}
    # The caches come back out, so that the next step can read them.
    assert len(graph.outputs) == 65


def test_prefill_attention_is_causal_and_grouped():
    graph = mp.load("llama-3-8b-prefill")
    shapes = [node.attention for node in graph.nodes if node.attention]
    assert len(shapes) == 32
    assert all((shape.causal, shape.heads, shape.kv_heads) == (True, 32, 8) for shape in shapes)
    products = graph.bind(B=2, S=10).products
    scores = products["label"] == "qk"
    assert set(products["shared"][scores]) == {4}
    assert set(products["batch"][scores]) == {64}
    assert set(products["b_elements"][scores]) == {2 * 8 * 10 * 128}


def test_load_and_counts_need_neither_torch_nor_transformers():
    code = (
        "import sys\n"
        "for name in ('torch', 'transformers', 'matplotlib', 'pandas'): sys.modules[name] = None\n"
        "import mappers as mp\n"
        "graph = mp.assign(mp.load('llama-3-8b-prefill'), {'*.mlp.*': 'mxfp4'})\n"
        "print(graph.bind(B=1, S=512).macs, 'torch' in str(sys.modules['torch']))\n"
        "for call in (lambda: mp.trace(None, None), lambda: mp.execute(graph, None, {})):\n"
        "    try: call()\n"
        "    except ImportError as error: print(error)\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0].split()[0] == str(262144 * 512**2 + 7504658432 * 512)
    assert lines[1:] == [
        'trace needs torch: pip install "bitcost[torch]"',
        'execute needs torch: pip install "bitcost[torch]"',
    ]


def test_wrong_names_suggest_near_ones():
    with pytest.raises(ValueError, match=r"no shipped graph 'llama3-8b'; near names: llama-3-8b-"):
        mp.load("llama3-8b")
    with pytest.raises(ValueError, match="near names: bert-base, "):
        mp.load("zzz")


@pytest.mark.slow  # timed: a busy neighbour is no failure of the default run
def test_binding_a_shipped_graph_takes_milliseconds():
    graph = mp.load("llama-3-8b-prefill")
    graph.bind(B=1, S=2)  # compiles
    start = time.process_time()
    for length in range(1, 21):
        graph.bind(B=1, S=length)
    # Measured 0.1 ms each; the bar for a whole evaluation is 50 ms.
    assert (time.process_time() - start) / 20 < 0.005


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPECTED)
def test_the_script_makes_the_shipped_graph(name):
    pytest.importorskip("transformers")
    from mappers.graphs.make import make

    assert make(name) == mp.load(name)
