"""Tracing: exact MACs on random configurations, names, guards, and nothing dropped in silence."""

from __future__ import annotations

import random
from typing import Any

import pytest

torch = pytest.importorskip("torch")

import mappers as mp  # noqa: E402
from mappers.symbolic import symbol  # noqa: E402

from .conftest import bert, llama, tokens, trace_llama  # noqa: E402

B, S = symbol("B"), symbol("S")


def flops_by_torch(model: Any, **inputs: Any) -> int:
    """torch's own FLOP counter, on the CPU (transformers' Llama does not run on the meta device).

    Attention by its plain kernel: the counter knows no formula for the CPU's fused one, and counts it as nothing.
    """
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model(**inputs)
    return counter.get_total_flops()


def random_llama(seed: int) -> dict[str, int]:
    rng = random.Random(seed)
    groups, kv_heads, head_dim = rng.choice([1, 2, 3]), rng.choice([1, 2, 4]), rng.choice([4, 8, 10])
    heads = groups * kv_heads
    return {
        "hidden_size": heads * head_dim,
        "intermediate_size": rng.randrange(8, 90),
        "num_hidden_layers": rng.randrange(1, 4),
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "vocab_size": rng.randrange(20, 99),
    }


def random_bert(seed: int) -> dict[str, int]:
    rng = random.Random(seed)
    heads = rng.choice([1, 2, 3, 4])
    return {
        "hidden_size": heads * rng.choice([4, 8, 16]),
        "intermediate_size": rng.randrange(8, 90),
        "num_hidden_layers": rng.randrange(1, 4),
        "num_attention_heads": heads,
        "vocab_size": rng.randrange(20, 99),
    }


def llama_macs(c: dict[str, int]) -> Any:
    """By hand: q, o square; k, v to the KV heads; gate, up, down; the head; and both products of attention in full."""
    h, kv = c["hidden_size"], c["hidden_size"] // c["num_attention_heads"] * c["num_key_value_heads"]
    layer = 2 * h * h + 2 * h * kv + 3 * h * c["intermediate_size"]
    return B * S * (c["num_hidden_layers"] * layer + h * c["vocab_size"]) + 2 * c["num_hidden_layers"] * B * S**2 * h


def bert_macs(c: dict[str, int]) -> Any:
    """By hand: q, k, v, o; up and down; both products of attention; the pooler on the first token alone."""
    h = c["hidden_size"]
    layer = 4 * h * h + 2 * h * c["intermediate_size"]
    return c["num_hidden_layers"] * (B * S * layer + 2 * B * S**2 * h) + B * h * h


SEEDS = [0, 1, 2, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(3, 15))]


@pytest.mark.parametrize("seed", SEEDS)
def test_llama_macs_equal_the_formula_and_torch(seed):
    config = random_llama(seed)
    model = llama(**config)
    graph = trace_llama(model)
    assert (graph.macs() - llama_macs(config)).expand() == 0
    assert graph.weight_elements() == sum(parameter.numel() for parameter in model.parameters())
    for batch, length in ((1, 7), (3, 12)):
        flops = flops_by_torch(model, input_ids=tokens(batch, length, 20), use_cache=False)
        assert graph.bind(B=batch, S=length).macs * 2 == flops


@pytest.mark.parametrize("seed", SEEDS)
def test_bert_macs_equal_the_formula_and_torch(seed):
    config = random_bert(seed)
    model = bert(**config)
    graph = mp.trace(model, {"input_ids": tokens(2, 8, 20)})
    assert (graph.macs() - bert_macs(config)).expand() == 0
    assert graph.weight_elements() == sum(parameter.numel() for parameter in model.parameters())
    for batch, length in ((1, 7), (3, 12)):
        assert graph.bind(B=batch, S=length).macs * 2 == flops_by_torch(model, input_ids=tokens(batch, length, 20))


def test_eager_attention_shows_two_products_and_the_same_macs():
    config = random_llama(1)
    graph = trace_llama(llama(**config, attn_implementation="eager"))
    assert (graph.macs() - llama_macs(config)).expand() == 0
    assert not [node for node in graph.nodes if node.kind == "Attention"]
    plain = [node for node in graph.nodes if node.kind == "MatMul" and not node.weights]
    assert len(plain) == 2 * config["num_hidden_layers"]
    assert any(node.target.startswith("aten.softmax") and node.kind == "Norm" for node in graph.nodes)


class Convolutions(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.depthwise = torch.nn.Conv2d(8, 8, 3, groups=8, dilation=2, bias=False)
        self.norm = torch.nn.BatchNorm2d(8)
        self.wide = torch.nn.Conv1d(8, 6, 5, groups=2)

    def forward(self, x: Any) -> Any:
        x = torch.relu_(self.norm(self.depthwise(self.first(x))))
        return self.wide(x.mean(-1))


def test_convolutions_lower_to_their_gemm():
    graph = mp.trace(Convolutions().eval(), torch.zeros(2, 3, 33, 40))
    first, depthwise, wide = (node.products[0] for node in graph.nodes if node.kind == "Conv")
    assert (first.m, first.k, first.n, first.batch) == (B * 17 * 20, 27, 8, 1)
    assert (first.a_elements, first.b_elements) == (3 * 33 * 40 * B, 3 * 8 * 9)
    assert (depthwise.m, depthwise.k, depthwise.n, depthwise.batch) == (B * 13 * 16, 9, 1, 8)
    assert (wide.m, wide.k, wide.n, wide.batch) == (B * 9, 20, 3, 2)
    assert graph.bind(B=2).macs * 2 == flops_by_torch(Convolutions().eval(), x=torch.zeros(2, 3, 33, 40))
    assert [node.target for node in graph.nodes if node.kind == "Norm"] == ["aten.batch_norm.default", "aten.mean.dim"]


def test_nodes_keep_target_module_weights_and_attributes(llama_graph):
    node = next(node for node in llama_graph.nodes if node.module == "model.layers.1.mlp.down_proj")
    assert node.target == "aten.linear.default"
    assert node.weights == ("model.layers.1.mlp.down_proj.weight",)
    assert node.operands[1] == mp.Ref("model.layers.1.mlp.down_proj.weight")
    assert node.products[0].weight == "b"
    assert (node.shape, node.dtype) == ((B, S, 64), "float32")
    attention = next(node for node in llama_graph.nodes if node.kind == "Attention")
    assert attention.module == "model.layers.0.self_attn"
    assert dict(attention.attributes)["scale"] == 0.25
    assert dict(llama_graph.provenance)["dropped no-ops"].startswith("aten._assert_tensor_metadata")


def test_casts_that_change_the_dtype_stay():
    class Casts(torch.nn.Module):
        def forward(self, x: Any) -> Any:
            return x.float().to(torch.float32).bfloat16() * 1.0

    graph = mp.trace(Casts(), torch.zeros(2, 4, dtype=torch.bfloat16))
    targets = [(node.target, node.dtype) for node in graph.nodes if node.kind == "Elementwise"]
    assert targets == [("aten.to.dtype", "float32"), ("aten.to.dtype", "bfloat16")]
    assert (
        dict(graph.provenance)["dropped no-ops"]
        == "aten._assert_tensor_metadata.default x3, aten.mul.Tensor x1, aten.to.dtype x1"
    )


class Odd(torch.nn.Module):
    def forward(self, x: Any) -> Any:
        vector = torch.special.bessel_j0(x).sum(-1)
        return torch.dot(vector, vector) + torch.linalg.det(x @ x.transpose(0, 1))


def test_unknown_operations_are_kept_listed_and_run():
    graph = mp.trace(Odd(), torch.zeros(3, 5), dynamic={})
    assert [node.target for node in graph.unknown] == [
        "aten.special_bessel_j0.default", "aten.dot.default", "aten.linalg_det.default",
    ]  # fmt: skip
    assert "3 Unknown" in repr(graph)
    nodes = graph.bind().nodes
    unknown = nodes["kind"] == "Unknown"
    assert nodes["elements_in"][unknown].tolist() == [15, 3, 9]  # so that a report can say what share it left out
    x = torch.randn(3, 5, generator=torch.Generator().manual_seed(0))
    assert torch.equal(mp.execute(graph, x, {}), Odd()(x))


def test_tied_weights_are_one_weight():
    model = llama(tie_word_embeddings=True, num_hidden_layers=1)
    graph = trace_llama(model)
    names = [node.name for node in graph.weights if node.shape == (96, 64) and "mlp" not in node.name]
    assert len(names) == 1
    assert graph[names[0]].aliases
    assert graph.weight_elements() == sum(parameter.numel() for parameter in model.parameters())
    ids = tokens(2, 5)
    weights = {key: value for key, value in model.state_dict().items() if key != "lm_head.weight"}
    assert torch.equal(mp.execute(graph, ids, weights), model(input_ids=ids, use_cache=False).logits)


def test_limits_of_the_model_become_limits_of_the_symbols(bert_graph):
    assert {item.name: item.high for item in bert_graph.symbols} == {"B": None, "S": 40}
    with pytest.raises(ValueError, match="S=41 is above 40, the model's own limit"):
        bert_graph.bind(B=1, S=41)


def test_wrapper_prefix_is_stripped():
    class Wrapper(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.ReLU())

        def forward(self, x: Any) -> Any:
            return self.inner(x)

    graph = mp.trace(Wrapper(), torch.zeros(2, 4), strip="inner")
    assert [node.name for node in graph.weights] == ["0.weight", "0.bias"]
    assert [node.module for node in graph.product_nodes] == ["0"]
    graph = mp.trace(Wrapper(), torch.zeros(2, 4), strip="inn")
    assert [node.name for node in graph.weights] == ["inner.0.weight", "inner.0.bias"]


def test_static_sizes_and_named_axes():
    layer = torch.nn.Linear(4, 6)
    assert mp.trace(layer, torch.zeros(3, 5, 4), dynamic={}).macs() == 3 * 5 * 24
    named = mp.trace(layer, torch.zeros(3, 5, 4), dynamic={"input": {1: "T"}})
    assert named.macs() == 72 * symbol("T")
    assert mp.trace(layer, torch.zeros(3, 5, 4)).macs() == 24 * B * S


@pytest.mark.parametrize(
    ("shape", "dynamic", "message"),
    [
        ((1, 4), None, r"axis 0 \(B\) of the example input has size 1; torch.export fixes sizes 0 and 1"),
        ((3, 1, 4), {"input": {1: "S"}}, r"axis 1 \(S\) of the example input has size 1"),
        ((3, 4), {"x": {0: "B"}}, r"dynamic names 'x'; the example inputs are input"),
        ((3, 4), {"input": {2: "B"}}, r"input has 2 axes, so axis 2 cannot be 'B'"),
        (
            (3, 4),
            {"input": {1: "K"}},
            r"the model fixes axis 1 of input to 4, so it cannot be 'K'; leave that axis out",
        ),
    ],
)
def test_guards_say_what_would_work(shape, dynamic, message):
    with pytest.raises(ValueError, match=message):
        mp.trace(torch.nn.Linear(4, 6), torch.zeros(shape), dynamic)


def test_equal_axes_need_one_name():
    class Add(torch.nn.Module):
        def forward(self, x: Any, y: Any) -> Any:
            return x + y

    inputs = (torch.zeros(3, 4), torch.zeros(3, 4))
    assert mp.trace(Add(), inputs, {"x": {0: "B"}, "y": {0: "B"}}).symbols == (mp.Symbol("B"),)
    with pytest.raises(ValueError, match=r"needs axis 0 of y \('N'\) to equal the axis named 'B'; give both one name"):
        mp.trace(Add(), inputs, {"x": {0: "B"}, "y": {0: "N"}})
    with pytest.raises(TypeError, match="example_inputs must be a tensor, a sequence or a mapping, got int"):
        mp.trace(Add(), 3)


def test_a_model_on_the_meta_device_traces_to_the_same_work(llama_model, llama_graph):
    import transformers

    from .conftest import LLAMA

    with torch.device("meta"):
        model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**LLAMA)).eval()
    inputs = {"input_ids": tokens(2, 8), "use_cache": False}
    (name,) = (node.name for node in llama_graph.nodes if node.kind == "Constant")
    graph = mp.trace(model, inputs, buffers={name: dict(llama_model.named_buffers())[name]})
    assert graph[name] == llama_graph[name]
    # The meta device's attention returns other strides, so that its graph keeps a `contiguous` more in each layer.
    nodes = [node for node in graph.nodes if node.target != "aten.contiguous.default"]
    assert [node.target for node in nodes] == [node.target for node in llama_graph.nodes]
    ids = tokens(3, 11)
    weights = llama_model.state_dict()
    assert torch.equal(mp.execute(graph, ids, weights), llama_model(input_ids=ids, use_cache=False).logits)

    bare = mp.trace(model, inputs)
    assert not bare[name].persistent
    assert bare.weight_elements() == graph.weight_elements()
    message = f"needs weight '{name}'; no state_dict holds it: take it from dict\\(model.named_buffers\\(\\)\\)"
    with pytest.raises(ValueError, match=message):
        mp.execute(bare, ids, weights)


def test_a_mixture_of_experts_counts_the_experts_each_token_meets():
    import transformers

    torch.manual_seed(0)
    config = {
        "vocab_size": 96, "hidden_size": 32, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 4,
        "num_key_value_heads": 2, "num_local_experts": 4, "num_experts_per_tok": 2,
    }  # fmt: skip
    model = transformers.MixtralForCausalLM(transformers.MixtralConfig(**config)).eval()
    graph = trace_llama(model)
    per_token = 2 * 32 * 32 + 2 * 32 * 16 + 32 * 4 + 2 * 3 * 32 * 24 + 32 * 96
    assert (graph.macs() - (B * S * per_token + 2 * B * S**2 * 32)).expand() == 0
    grouped = [(node, item) for node, item in graph.gemms() if item.label == "grouped"]
    assert [(item.m, item.k, item.n, item.b_elements) for _, item in grouped] == [
        (2 * B * S, 32, 48, 4 * 32 * 48), (2 * B * S, 24, 32, 4 * 24 * 32),
    ]  # fmt: skip
    ids = tokens(3, 7)
    expected = model(input_ids=ids, use_cache=False).logits
    assert torch.equal(mp.execute(graph, ids, model.state_dict()), expected)
    wide = mp.execute(mp.assign(graph, {"*": "float32"}), ids, model.state_dict())
    assert (wide - expected).abs().max() < 1e-6


SMALL = {"vocab_size": 96, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
OTHERS = {
    "Qwen2ForCausalLM": {**SMALL, "intermediate_size": 48, "num_key_value_heads": 2},
    "PhiForCausalLM": {**SMALL, "intermediate_size": 48},
    "Gemma2ForCausalLM": {**SMALL, "intermediate_size": 48, "num_key_value_heads": 2, "head_dim": 8},
    "GPT2LMHeadModel": {
        "vocab_size": 96,
        "n_embd": 32,
        "n_layer": 2,
        "n_head": 4,
        "bos_token_id": 0,
        "eos_token_id": 0,
    },
    "OPTForCausalLM": {**SMALL, "ffn_dim": 48, "word_embed_proj_dim": 32},
    "ResNetForImageClassification": {"embedding_size": 8, "hidden_sizes": [16, 32], "depths": [1, 1]},
    "MobileNetV2ForImageClassification": {"depth_multiplier": 0.35},
    "ViTForImageClassification": {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "image_size": 32,
    },
}


@pytest.mark.slow
@pytest.mark.parametrize("name", OTHERS)
def test_other_architectures_run_bit_equal_with_nothing_unknown(name):
    import transformers

    torch.manual_seed(0)
    kind = getattr(transformers, name)
    model = kind(kind.config_class(**OTHERS[name])).eval()
    if "Image" in name:
        size = getattr(model.config, "image_size", 64)
        example, other = ({"pixel_values": torch.randn(batch, 3, size, size)} for batch in (2, 3))
    else:
        example, other = ({"input_ids": tokens(*shape), "use_cache": False} for shape in ((2, 8), (3, 11)))
    graph = mp.trace(model, example)
    assert not graph.unknown
    assert graph.weight_elements() == sum(parameter.numel() for parameter in model.parameters())
    tensors = {key: value for key, value in other.items() if isinstance(value, torch.Tensor)}
    assert torch.equal(mp.execute(graph, tensors, model.state_dict()), model(**other).logits)
    sizes = {item.name: {"B": 3, "S": 11}[item.name] for item in graph.symbols}
    assert graph.bind(**sizes).macs * 2 == flops_by_torch(model, **other)
