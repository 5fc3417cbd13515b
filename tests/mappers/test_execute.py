"""Graphs on numbers: equal to the model unquantised; every quantised operand recomputed in numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import dataclasses  # noqa: E402

import formats as nf  # noqa: E402
import mappers as mp  # noqa: E402
from mappers.multiply import exact_in_float32  # noqa: E402

from .conftest import LLAMA, tokens  # noqa: E402

E2M1 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6])


def mxfp4(x: np.ndarray) -> np.ndarray:
    """OCP MX with E2M1 along the last axis, written from the specification: floor rule, RNE, saturation."""
    *front, k = x.shape
    padded = np.concatenate([x, np.zeros((*front, -k % 32), np.float32)], -1).astype(np.float64)
    blocks = padded.reshape(*front, -1, 32)
    amax = np.abs(blocks).max(-1, keepdims=True)
    scale = np.ldexp(1.0, np.frexp(np.where(amax > 0, amax, 1.0))[1] - 1 - 2)
    ratio = np.minimum(np.abs(blocks) / scale, 6.0)
    distance = np.abs(ratio[..., None] - E2M1)
    # Ties go to the even code: order candidates by distance, then by the code's last bit.
    code = np.lexsort((np.broadcast_to(np.arange(8) % 2, distance.shape), distance), axis=-1)[..., 0]
    values = np.sign(blocks) * E2M1[code] * scale
    return values.reshape(*front, -1)[..., :k].astype(np.float32)


def int8_rows(x: np.ndarray) -> np.ndarray:
    """Symmetric int8 with one float32 scale a row, amax / 127."""
    amax = np.abs(x).max(-1, keepdims=True).astype(np.float32)
    scale = (amax / np.float32(127)).astype(np.float64)
    steps = np.round(x.astype(np.float64) / np.where(scale > 0, scale, 1.0))
    return (np.clip(steps, -127, 127) * scale).astype(np.float32)


QUANTIZERS = {"mxfp4": mxfp4, "int8:token": int8_rows, "float32": lambda x: x}


def test_the_numpy_quantisers_can_fail():
    x = np.random.default_rng(0).normal(size=(4, 64)).astype(np.float32)
    assert (mxfp4(x) == nf.quantize(x, "mxfp4")).all()
    assert (int8_rows(x) == nf.quantize(x, "int8:token")).all()
    assert (mxfp4(x) != nf.quantize(x, nf.get("mxfp4:rule=ceil"))).any()
    assert (int8_rows(x) != nf.quantize(x, "int8:tensor")).any()


def observed(graph: mp.Graph, inputs: Any, weights: Any, **options: Any) -> tuple[Any, list[tuple[Any, ...]]]:
    """The outputs, and every product with its operands, as numpy arrays."""
    seen: list[tuple[Any, ...]] = []
    run = mp.prepare(graph, weights, **options)
    outputs = run(
        inputs, observe=lambda node, item, a, b, c: seen.append((node, item, *(x.numpy() for x in (a, b, c))))
    )
    return outputs, seen


def values_of(graph: mp.Graph, refs: list[mp.Ref], inputs: Any, weights: Any, **options: Any) -> dict[mp.Ref, Any]:
    """What each Ref held during a run: the same graph with other outputs."""
    probe = dataclasses.replace(graph, outputs=tuple(refs))
    results = mp.execute(probe, inputs, weights, **options)
    return dict(zip(refs, results if isinstance(results, tuple) else (results,), strict=True))


@pytest.mark.parametrize(
    "formats",
    [
        mp.Formats("mxfp4", "int8:token"),
        mp.Formats("int8:token", "mxfp4"),
        mp.Formats("mxfp4", "mxfp4", kv="int8:token"),
    ],
    ids=str,
)
@pytest.mark.parametrize("which", ["llama", "bert"])
def test_every_operand_of_every_product_is_recomputed(which, formats, request):
    model = request.getfixturevalue(f"{which}_model")
    graph = mp.assign(request.getfixturevalue(f"{which}_graph"), {"*": formats})
    ids = tokens(2, 13)
    mask = torch.ones(2, 13, dtype=torch.long)
    mask[1, 9:] = 0
    inputs = {"input_ids": ids} | ({"attention_mask": mask} if which == "bert" else {})
    weights = model.state_dict()
    _, seen = observed(graph, inputs, weights, pad=True)
    assert len(seen) == sum(len(node.products) for node in graph.nodes)
    refs = [ref for node, item, *_ in seen for ref in node.refs() if graph[ref.name].kind != "Weight"]
    refs += [mp.Ref(node.name) for node, *_ in seen]
    values = values_of(graph, list(dict.fromkeys(refs)), inputs, weights, pad=True)
    activation, weight = QUANTIZERS[formats.activation], QUANTIZERS[formats.weight]
    kv = QUANTIZERS[formats.kv or formats.activation]
    logits = None
    for node, item, a, b, c in seen:
        assert (c == (a.astype(np.float64) @ b.astype(np.float64)).astype(np.float32)).all()
        out = values[mp.Ref(node.name)].numpy()
        if item.label == "linear":
            x, w = values[node.operands[0]].numpy(), weights[node.weights[0]].numpy()
            assert (a == activation(x)).all()
            assert (b == weight(w).T).all()
            bias = weights[node.weights[1]].numpy() if len(node.weights) > 1 else np.float32(0)
            assert (out == c + bias).all()
        elif item.label == "qk":
            q, k = (values[ref].numpy() for ref in node.operands[:2])
            assert (a == activation(q)).all()
            assert (b.swapaxes(-1, -2) == np.repeat(kv(k), item.shared, axis=1)).all()
            logits = c
        else:
            scaled = torch.from_numpy(logits) * dict(node.attributes)["scale"]
            if which == "llama":
                scaled = scaled.masked_fill(torch.ones(13, 13).triu(1).bool(), float("-inf"))
            else:
                scaled = scaled.masked_fill(mask[:, None, None, :] == 0, float("-inf"))
            assert (a == activation(torch.softmax(scaled, -1).numpy())).all()
            v = values[node.operands[2]].numpy()
            # Along the keys, the axis summed over, for one scale a row too.
            along_keys = kv(v.swapaxes(-1, -2)).swapaxes(-1, -2)
            assert (b == np.repeat(along_keys, item.shared, axis=1)).all()
            assert (out == c).all()


def test_unquantised_graphs_equal_the_models(llama_model, llama_graph, bert_model, bert_graph):
    ids = tokens(3, 21)
    assert torch.equal(
        mp.execute(llama_graph, ids, llama_model.state_dict()), llama_model(input_ids=ids, use_cache=False).logits
    )
    mask = torch.ones(3, 21, dtype=torch.long)
    mask[1, 15:] = 0
    expected = bert_model(input_ids=ids, attention_mask=mask)
    got = mp.execute(bert_graph, (ids, mask), bert_model.state_dict())
    assert torch.equal(got[0], expected.last_hidden_state)
    assert torch.equal(got[1], expected.pooler_output)


@pytest.mark.parametrize("accumulate", ["float64", "float32"])
def test_float32_formats_change_only_roundings(llama_model, llama_graph, accumulate):
    ids = tokens(3, 21)
    graph = mp.assign(llama_graph, {"*": "float32"})
    difference = mp.execute(graph, ids, llama_model.state_dict(), accumulate=accumulate)
    difference = difference - llama_model(input_ids=ids, use_cache=False).logits
    # Two layers of sums of 96 terms below 1: a few float32 ulps of 1.
    assert difference.abs().max() < 2e-6


def test_a_graph_from_a_file_runs(llama_model, llama_graph, tmp_path):
    llama_graph.save(tmp_path / "graph.json.gz")
    graph = mp.Graph.load(tmp_path / "graph.json.gz")
    ids = tokens(2, 9)
    weights = {name: tensor.numpy() for name, tensor in llama_model.state_dict().items()}
    assert torch.equal(mp.execute(graph, ids.numpy(), weights), llama_model(input_ids=ids, use_cache=False).logits)


def test_decode_continues_a_prefill(llama_model, decode_graph):
    from mappers.graphs.make import Decode

    ids = tokens(2, 9)
    past = llama_model(input_ids=ids[:, :-1], use_cache=True).past_key_values
    cache = [[layer.keys, layer.values] for layer in past.layers]
    flat = [part for pair in cache for part in pair]
    weights = llama_model.state_dict()
    logits, *grown = mp.execute(decode_graph, [ids[:, -1:], *flat], weights)
    expected = Decode(llama_model)(ids[:, -1:], cache)
    assert torch.equal(logits, expected[0])
    assert all(map(torch.equal, grown, expected[1:]))
    whole = llama_model(input_ids=ids, use_cache=False).logits[:, -1:]
    assert (logits - whole).abs().max() < 1e-6
    # A quantised cache: the same step with kv in int8, a scale per row of what is summed.
    quantised = mp.assign(decode_graph, {"*": mp.Formats("float32", "float32", kv="int8:token")})
    moved = (mp.execute(quantised, [ids[:, -1:], *flat], weights)[0] - logits).abs().max()
    assert 0 < moved < 0.01


def test_prepared_weights_are_quantised_once(llama_model, llama_graph, monkeypatch):
    graph = mp.assign(llama_graph, {"*": "mxfp8_e4m3/bfloat16"})
    run = mp.prepare(graph, llama_model.state_dict())
    calls = []
    quantize = nf.quantize
    monkeypatch.setattr(nf, "quantize", lambda x, fmt, **options: calls.append(fmt) or quantize(x, fmt, **options))
    first, second = run(tokens(2, 9)), run(tokens(2, 9))
    assert torch.equal(first, second)
    assert set(calls) == {"bfloat16"}
    assert torch.equal(first, mp.execute(graph, tokens(2, 9), llama_model.state_dict()))


@pytest.mark.parametrize(
    ("a", "b", "k", "expected"),
    [
        ("int4", "int4", 2**18, True),
        ("int4", "int4", 2**18 + 1, False),
        ("int8", "int8", 1024, True),
        ("int8", "int8", 1025, False),
        ("e2m1fn", "e2m1fn", 116508, True),
        ("e2m1fn", "e2m1fn", 116509, False),
        ("e5m2", "e5m2", 1, False),
        ("mxfp4", "mxfp4", 32, False),
        ("float32", "float32", 1, False),
    ],
)
def test_when_float32_is_provably_exact(a, b, k, expected):
    # int8: (-128)**2 * k <= 2**24; e2m1: 6 * 6 / 0.25 = 144 units a product, 2**24 // 144 = 116508 of them.
    assert exact_in_float32(a, b, k) is expected


def test_exact_products_in_float32_equal_float64():
    linear = torch.nn.Linear(512, 16, bias=False)
    linear.weight.data = torch.randint(-8, 8, (16, 512)).float()
    graph = mp.assign(mp.trace(linear, torch.zeros(2, 512)), {"*": "int4/int8"})
    x = torch.randn(5, 512, generator=torch.Generator().manual_seed(0)) * 40
    _, seen = observed(graph, x, linear.state_dict())
    ((_, _, a, b, c),) = seen
    assert (c == a.astype(np.float64) @ b.astype(np.float64)).all()
    assert (a == np.clip(np.round(x.numpy()), -128, 127)).all()


@pytest.mark.parametrize(
    ("formats", "accumulator"),
    [
        (("int8:f5", "int8:f4"), nf.Integer(12, "saturate")),
        (("int8:f5", "int8:f4"), nf.Integer(32)),
        (("e4m3fn", "e4m3fn"), nf.FloatChain("float16")),
        (("e4m3fn", "e4m3fn"), nf.Exact()),
        (("mxfp4", "int8:token"), nf.Exact()),
        (("mxfp4", "mxfp8_e4m3"), nf.FloatChain("float32")),
    ],
    ids=str,
)
def test_accumulators_are_formats_own(formats, accumulator):
    torch.manual_seed(0)
    linear = torch.nn.Linear(64, 8)
    linear.weight.data = torch.randn(8, 64)
    graph = mp.trace(linear, torch.zeros(2, 64))
    graph = mp.assign(graph, {"*": mp.Formats(*formats, accumulator=accumulator)})
    x = torch.randn(5, 64, generator=torch.Generator().manual_seed(0))
    out, seen = observed(graph, x, linear.state_dict())
    ((_, _, a, b, c),) = seen
    names = [formats[1], formats[0]]
    values = [a.astype(np.float64), b.astype(np.float64)]
    if isinstance(accumulator, nf.Integer):
        units = [2.0 ** nf.get(name).ulp_exponent for name in names]
        terms = [(x / unit).astype(np.int64) for x, unit in zip(values, units, strict=True)]
        expected = np.zeros((5, 8), dtype=np.int64)
        for k in range(64):
            expected += terms[0][:, k, None] * terms[1][k]
            if accumulator.overflow == "saturate":
                expected = expected.clip(-(2**11), 2**11 - 1)
        assert (accumulator.bits > 20) or (np.abs(expected) >= 2**11 - 1).any()  # the register is really exercised
        assert (c == expected * units[0] * units[1]).all()
    elif isinstance(accumulator, nf.FloatChain):
        kind = np.float16 if accumulator.format.bits == 16 else np.float32
        total = np.zeros((5, 8), dtype=kind)
        for k in range(64):
            total = (total.astype(np.float64) + values[0][:, k, None] * values[1][k]).astype(kind)
        assert (c == total).all()
    else:
        assert (c == (values[0] @ values[1]).astype(np.float32)).all()
    assert (out.numpy() == c + linear.bias.detach().numpy()).all()


@pytest.mark.parametrize(
    "made",
    [
        {"accumulator": "hopper_fp8"},
        {"accumulator": nf.FloatChain("bfloat16", "toward_zero"), "order": nf.Pairwise()},
        {"multiplier": nf.RoundedProduct("e4m3")},
    ],
    ids=str,
)
def test_a_node_names_its_multiplier_accumulator_and_order(made):
    linear, x = torch.nn.Linear(64, 8), torch.randn(5, 64, generator=torch.Generator().manual_seed(3))
    graph = mp.assign(mp.trace(linear, x), {"*": mp.Formats("e4m3fn", "e4m3fn", **made)})
    out = mp.execute(graph, x, linear.state_dict())
    weight = linear.weight.detach().numpy().T
    expected = nf.matmul(x.numpy(), weight, a_format="e4m3fn", b_format="e4m3fn", quantize=True, **made)
    assert (out.numpy() == expected + linear.bias.detach().numpy()).all()
    assert (expected != nf.matmul(x.numpy(), weight, a_format="e4m3fn", b_format="e4m3fn", quantize=True)).any()


def test_blocks_are_scaled_where_the_node_says():
    linear, x = torch.nn.Linear(64, 8), torch.randn(5, 64, generator=torch.Generator().manual_seed(3))
    made = {"accumulator": nf.FloatChain("float32"), "scaling": "per_block_then_accumulate"}
    graph = mp.assign(mp.trace(linear, x), {"*": mp.Formats("mxfp4", "mxfp8_e4m3", **made)})
    out = mp.execute(graph, x, linear.state_dict())
    weight = linear.weight.detach().numpy().T
    expected = nf.matmul(x.numpy(), weight, a_format="mxfp8_e4m3", b_format="mxfp4", quantize=True, **made)
    assert (out.numpy() == expected + linear.bias.detach().numpy()).all()


@pytest.mark.parametrize("seed", range(4))
def test_scales_of_scales_are_rounded_once(seed):
    """Quantised twice, nvfp4 finds another tensor scale for one draw in five: matmul gets the values as they are."""
    linear, x = torch.nn.Linear(64, 8), torch.randn(5, 64, generator=torch.Generator().manual_seed(seed))
    made = {"accumulator": nf.FloatChain("float32"), "scaling": "per_block_then_accumulate"}
    graph = mp.assign(mp.trace(linear, x), {"*": mp.Formats("nvfp4", "nvfp4", **made)})
    out = mp.execute(graph, x, linear.state_dict())
    left, right = nf.encode(x.numpy(), "nvfp4", -1), nf.encode(linear.weight.detach().numpy().T, "nvfp4", -2)
    assert (out.numpy() == nf.matmul(left, right, **made) + linear.bias.detach().numpy()).all()


class TimesVector(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.w = torch.nn.Parameter(torch.randn(4, generator=torch.Generator().manual_seed(5)))

    def forward(self, x):
        return x @ self.w


def test_a_matrix_times_a_vector_is_emulated_too():
    model, x = TimesVector(), torch.randn(3, 4, generator=torch.Generator().manual_seed(6))
    graph = mp.assign(mp.trace(model, x), {"*": mp.Formats("e4m3fn", "e4m3fn", multiplier="mitchell")})
    out = mp.execute(graph, x, model.state_dict())
    vector = model.w.detach().numpy()[:, None]
    made = {"a_format": "e4m3fn", "b_format": "e4m3fn", "quantize": True, "multiplier": "mitchell"}
    assert out.shape == (3,)
    assert (out.numpy() == nf.matmul(x.numpy(), vector, **made)[:, 0]).all()


def test_what_does_not_go_together_is_refused_where_it_is_said():
    with pytest.raises(ValueError, match="scaling must be one of"):
        mp.Formats("int8", "int8", scaling="bogus")
    for order in ("pairwise", nf.Pairwise):
        with pytest.raises(TypeError, match="order must be Sequential"):
            mp.Formats("int8", "int8", order=order)
    linear, x = torch.nn.Linear(64, 8), torch.zeros(2, 64)
    graph = mp.assign(mp.trace(linear, x), {"*": mp.Formats("e4m3fn", "int8", accumulator=nf.Exact(max_terms=8))})
    with pytest.raises(ValueError, match=r"execute: 'linear.*register for 8 terms, got K = 64"):
        mp.execute(graph, x, linear.state_dict())


def test_unknown_names_of_arithmetic_are_refused():
    with pytest.raises(ValueError, match="no accumulator is called 'hopper_fp9'"):
        mp.Formats("int8", "int8", accumulator="hopper_fp9")
    with pytest.raises(ValueError, match="no multiplier is called 'booth99'"):
        mp.Formats("int8", "int8", multiplier="booth99")


def test_an_integer_register_needs_a_unit():
    linear = torch.nn.Linear(64, 8)
    graph = mp.assign(
        mp.trace(linear, torch.zeros(2, 64)), {"*": mp.Formats("mxfp4", "int8", accumulator=nf.Integer(32))}
    )
    with pytest.raises(ValueError, match=r"scaled formats have no unit to count in: use formats\.Exact"):
        mp.execute(graph, torch.zeros(2, 64), linear.state_dict())


class Everything(torch.nn.Module):
    """Products of every spelling."""

    def __init__(self) -> None:
        super().__init__()
        self.w = torch.nn.Parameter(torch.randn(24, 40, generator=torch.Generator().manual_seed(3)))
        self.bias = torch.nn.Parameter(torch.randn(40, generator=torch.Generator().manual_seed(4)))

    def forward(self, x: Any) -> Any:
        rows = x.reshape(-1, 24)
        first = torch.addmm(self.bias, rows, self.w, beta=0.5, alpha=2.0)
        second = rows @ self.w
        third = torch.matmul(self.w.t(), rows.t())
        fourth = torch.bmm(x, x.transpose(1, 2))
        fifth = torch.baddbmm(fourth, x, x.transpose(1, 2))
        sixth = x @ self.w[:, 0]
        return first, second, third, fourth, fifth, sixth, torch.mm(rows, self.w)


def test_every_spelling_of_a_product():
    model = Everything()
    graph = mp.trace(model, torch.zeros(2, 3, 24))
    assert [item.weight for _, item in graph.gemms()] == ["b", "b", "a", None, None, "b", "b"]
    assert not graph.unknown
    x = torch.randn(4, 5, 24, generator=torch.Generator().manual_seed(0))
    plain = mp.execute(graph, x, model.state_dict())
    assert all(map(torch.equal, plain, model(x)))
    wide = mp.execute(mp.assign(graph, {"*": "float32"}), x, model.state_dict())
    assert all((a - b).abs().max() < 1e-5 for a, b in zip(wide, plain, strict=True))
    # Along K both times: weight blocks of 8 down the rows of w, activation blocks along x's last axis.
    formats = mp.Formats("int4:g8", "int8:token")
    outputs, seen = observed(mp.assign(graph, {"*": formats}), x, model.state_dict())
    w = nf.quantize(model.w.detach().numpy(), "int4:g8", axis=0)
    rows = nf.quantize(x.numpy(), "int8:token").reshape(-1, 24)
    expected = (rows.astype(np.float64) @ w.astype(np.float64)).astype(np.float32)
    assert (outputs[1].numpy() == expected).all()
    assert (outputs[6].numpy() == expected).all()
    assert (outputs[2].numpy() == expected.T).all()
    assert (outputs[0].numpy() == model.bias.detach().numpy() * np.float32(0.5) + expected * np.float32(2)).all()
    assert all(item.m * item.k * item.n for _, item, *_ in seen)


class Convolution(torch.nn.Module):
    def __init__(self, *, kind: Any, groups: int, stride: int, padding: int, dilation: int, bias: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = kind(4, 6, 3, stride=stride, padding=padding, dilation=dilation, groups=groups, bias=bias)

    def forward(self, x: Any) -> Any:
        return self.conv(x)


@pytest.mark.parametrize("kind", [torch.nn.Conv1d, torch.nn.Conv2d], ids=lambda kind: kind.__name__)
@pytest.mark.parametrize(("groups", "stride", "padding", "dilation", "bias"),
                         [(1, 1, 0, 1, True), (2, 2, 1, 1, False), (2, 1, 3, 2, True)])  # fmt: skip
def test_convolutions_by_im2col(kind, groups, stride, padding, dilation, bias):
    model = Convolution(kind=kind, groups=groups, stride=stride, padding=padding, dilation=dilation, bias=bias)
    shape = (3, 4, 11) if kind is torch.nn.Conv1d else (3, 4, 11, 9)
    graph = mp.trace(model, torch.zeros(shape))
    x = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    expected = model(x).detach()
    assert torch.equal(mp.execute(graph, x, model.state_dict()), expected)
    wide, seen = observed(mp.assign(graph, {"*": "float32"}), x, model.state_dict())
    assert (wide - expected).abs().max() < 1e-5
    ((_, item, a, b, _c),) = seen
    bound = graph.bind(B=3).products
    assert a.shape == (bound["batch"][0], bound["m"][0], bound["k"][0])
    assert b.shape == (bound["batch"][0], bound["k"][0], bound["n"][0])
    assert item.weight == "b"
    _, seen = observed(mp.assign(graph, {"*": "int8:channel"}), x, model.state_dict())
    ((_, _, qa, qb, qc),) = seen
    assert (qa == int8_rows(a)).all()
    assert (qb == int8_rows(b.swapaxes(-1, -2)).swapaxes(-1, -2)).all()
    assert (qc == (qa.astype(np.float64) @ qb.astype(np.float64)).astype(np.float32)).all()


def test_a_query_that_sees_nothing_gets_zeros():
    class Attend(torch.nn.Module):
        def forward(self, x: Any, mask: Any) -> Any:
            return torch.nn.functional.scaled_dot_product_attention(x, x, x, attn_mask=mask)

    g = torch.Generator().manual_seed(0)
    x = torch.randn(2, 1, 5, 8, generator=g)
    mask = torch.rand(2, 1, 5, 5, generator=g) < 0.5
    mask[0, 0, 2] = False
    names = {"x": {0: "B", 2: "S"}, "mask": {0: "B", 2: "S", 3: "S"}}
    graph = mp.trace(Attend(), (x, mask), names)
    expected = Attend()(x, mask)
    got = mp.execute(mp.assign(graph, {"": "float32"}), (x, mask), {})
    assert (got - expected).abs().max() < 1e-6
    assert (got[0, 0, 2] == 0).all()
    # The same mask as a float one, added.
    added = torch.zeros(2, 1, 5, 5).masked_fill(~mask, float("-inf"))
    graph = mp.assign(mp.trace(Attend(), (x, added), names), {"": "float32"})
    assert (mp.execute(graph, (x, added), {}) - expected).abs().max() < 1e-6


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"inputs": torch.zeros(2, 3)}, r"input 'input_ids' is float32, the graph was traced with int64"),
        ({"inputs": tokens(2, 3)[0]}, r"input 'input_ids' must be \[B, S\], got \[3\]"),
        ({"inputs": {"ids": tokens(2, 3)}}, r"takes inputs input_ids; got ids"),
        ({"inputs": (tokens(2, 3), tokens(2, 3))}, r"takes 1 inputs \(input_ids\), got 2"),
        ({"weights": {}}, r"needs weight 'model\.embed_tokens\.weight'"),
        ({"accumulate": "float16"}, r"accumulate must be 'float64' or 'float32', got 'float16'"),
        ({"format": "mxfp4"}, r"operand 0 of 'scaled_dot_product_attention' \(module 'model\.layers\.0\.self_attn'\): "
                              r".*block_size 32 does not divide"),
        ({"format": "int8"}, r"q_proj\.weight of 'linear' becomes all zeros in int8, .* such as 'int8:channel'"),
    ],
)  # fmt: skip
def test_errors_say_what_would_work(llama_model, llama_graph, change, message):
    graph = mp.assign(llama_graph, {"*": change["format"]}) if "format" in change else llama_graph
    weights = change.get("weights", llama_model.state_dict())
    options = {"accumulate": change["accumulate"]} if "accumulate" in change else {}
    with pytest.raises(ValueError, match=message):
        mp.execute(graph, change.get("inputs", tokens(2, 3)), weights, **options)


def test_weights_are_checked_and_only_widened(llama_model, llama_graph):
    weights = llama_model.state_dict()
    ids = tokens(2, 5)
    name = "model.layers.0.mlp.up_proj.weight"
    with pytest.raises(ValueError, match=r"shape \(64, 96\), the graph's is \(96, 64\)"):
        mp.execute(llama_graph, ids, {**weights, name: weights[name].T})
    with pytest.raises(ValueError, match=r"is float64, the graph computes in float32; round it yourself"):
        mp.execute(llama_graph, ids, {**weights, name: weights[name].double()})
    half = {key: value.bfloat16() for key, value in weights.items()}
    widened = {key: value.float() for key, value in half.items()}
    assert torch.equal(mp.execute(llama_graph, ids, half), mp.execute(llama_graph, ids, widened))


def test_axes_must_agree_across_inputs(decode_graph, llama_model):
    cache = [torch.zeros(2, 2, 5, 16) for _ in range(2 * LLAMA["num_hidden_layers"])]
    cache[3] = torch.zeros(2, 2, 6, 16)
    with pytest.raises(
        ValueError, match=r"input 'cache_1_1' must be \[B, 2, P, 16\] with B=2, P=5, got \[2, 2, 6, 16\]"
    ):
        mp.execute(decode_graph, [tokens(2, 1), *cache], llama_model.state_dict())
