"""Each rewrite, on the form it is for and on near forms it must leave alone."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")

import mappers as mp  # noqa: E402

from .conftest import llama, tokens  # noqa: E402

attention = torch.nn.functional.scaled_dot_product_attention


class Masked(torch.nn.Module):
    """Self-attention over x [B, S, 8] with a mask made by a function of its length."""

    def __init__(self, mask: Any) -> None:
        super().__init__()
        self.mask = mask

    def forward(self, x: Any) -> Any:
        x = x.unsqueeze(1)
        return attention(x, x, x, attn_mask=self.mask(x.shape[-2]))


def positions(length: int) -> tuple[Any, Any]:
    return torch.arange(length)[:, None], torch.arange(length)[None, :]


def causal(length: int) -> Any:
    row, column = positions(length)
    return column <= row


def everything(length: int) -> Any:
    row, column = positions(length)
    return (column >= 0) & (row >= 0)


def strict(length: int) -> Any:
    row, column = positions(length)
    return column < row + (row == 0)


def window(length: int) -> Any:
    row, column = positions(length)
    return (column <= row) & (column > row - 4096)


def narrow_window(length: int) -> Any:
    row, column = positions(length)
    return (column <= row) & (column > row - 3)


def trace(mask: Any) -> mp.Node:
    graph = mp.trace(Masked(mask), torch.zeros(2, 6, 8))
    (node,) = (node for node in graph.nodes if node.kind == "Attention")
    x = torch.randn(3, 7, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(mp.execute(graph, x, {}), Masked(mask)(x))
    return node


def test_causal_and_empty_masks_fold():
    node = trace(causal)
    assert len(node.operands) == 3
    assert ("is_causal", True) in node.attributes
    assert node.attention.causal
    node = trace(everything)
    assert len(node.operands) == 3
    assert not node.attention.causal


@pytest.mark.parametrize("mask", [strict, narrow_window, window], ids=lambda mask: mask.__name__)
def test_other_masks_stay(mask):
    # A window of 4096 equals the causal mask at every size tested: the number itself keeps it.
    node = trace(mask)
    assert isinstance(dict(enumerate(node.operands)).get(3) or dict(node.attributes)["attn_mask"], mp.Ref)
    assert not node.attention.causal


def test_a_mask_that_depends_on_data_stays(bert_graph):
    nodes = [node for node in bert_graph.nodes if node.kind == "Attention"]
    assert all(isinstance(node.operands[3], mp.Ref) for node in nodes)


class Chunk(torch.nn.Module):
    """Queries of length S at the end of P + S keys: causal, counted from the last key."""

    def forward(self, q: Any, cache: Any, k: Any) -> Any:
        keys = torch.cat([cache, k], dim=-2)
        row = torch.arange(q.shape[-2])[:, None] + cache.shape[-2]
        column = torch.arange(keys.shape[-2])[None, :]
        return attention(q, keys, keys, attn_mask=column <= row), keys


def test_a_chunk_after_a_cache_is_causal_but_keeps_its_mask():
    shapes = {"q": (2, 3, 4, 8), "cache": (2, 3, 5, 8), "k": (2, 3, 4, 8)}
    inputs = {name: torch.zeros(shape) for name, shape in shapes.items()}
    dynamic = {"q": {0: "B", 2: "S"}, "cache": {0: "B", 2: "P"}, "k": {0: "B", 2: "S"}}
    graph = mp.trace(Chunk(), inputs, dynamic)
    node = next(node for node in graph.nodes if node.kind == "Attention")
    assert node.attention.causal
    assert len([ref for ref in node.refs()]) == 4
    append = next(node for node in graph.nodes if node.append)
    bound = graph.bind(B=2, S=4, P=100)
    at = {name: i for i, name in enumerate(bound.nodes["name"])}
    assert bound.nodes["elements_out"][at[append.name]] == 2 * 3 * 4 * 8
    g = torch.Generator().manual_seed(0)
    values = {name: torch.randn(shape, generator=g) for name, shape in shapes.items()}
    assert all(map(torch.equal, mp.execute(graph, values, {}), Chunk()(**values)))


def test_a_cat_that_is_no_cache_is_a_copy():
    class Cat(torch.nn.Module):
        def forward(self, x: Any, y: Any) -> Any:
            return torch.cat([x, y], dim=1).relu()

    graph = mp.trace(Cat(), (torch.zeros(2, 3), torch.zeros(2, 4)), {"x": {0: "B"}, "y": {0: "B"}})
    node = next(node for node in graph.nodes if node.kind == "Layout")
    assert (node.append, node.moves) == (False, True)
    row = graph.nodes.index(node)
    nodes = graph.bind(B=5).nodes
    assert (nodes["elements_in"][row], nodes["elements_out"][row]) == (35, 35)


@pytest.mark.parametrize("how", ["expand", "repeat_interleave"])
def test_repeated_kv_heads_are_read_once(how):
    class Grouped(torch.nn.Module):
        def forward(self, q: Any, k: Any, v: Any) -> Any:
            if how == "expand":
                k, v = (x[:, :, None].expand(-1, -1, 3, -1, -1).reshape(x.shape[0], 6, -1, 8) for x in (k, v))
            else:
                k, v = (x.repeat_interleave(3, dim=1) for x in (k, v))
            return attention(q, k, v)

    g = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, heads, 5, 8, generator=g) for heads in (6, 2, 2))
    graph = mp.trace(Grouped(), (q, k, v), {name: {0: "B", 2: "S"} for name in "qkv"})
    node = next(node for node in graph.nodes if node.kind == "Attention")
    assert node.attention.kv_heads == 2
    assert node.products[0].shared == 3
    assert [node.kind for node in graph.nodes] == ["Input"] * 3 + ["Attention"]
    assert torch.equal(mp.execute(graph, (q, k, v), {}), Grouped()(q, k, v))
    assert mp.Ref("q") == node.operands[0]


def test_interleaved_heads_are_not_mistaken_for_groups():
    class Tiled(torch.nn.Module):
        def forward(self, q: Any, k: Any) -> Any:
            k = k[:, None].expand(-1, 3, -1, -1, -1).reshape(k.shape[0], 6, -1, 8)  # 0 1 0 1 0 1, not 0 0 0 1 1 1
            return attention(q, k, k)

    graph = mp.trace(Tiled(), (torch.zeros(2, 6, 5, 8), torch.zeros(2, 2, 5, 8)))
    assert next(node for node in graph.nodes if node.kind == "Attention").attention.kv_heads == 6


class Norm(torch.nn.Module):
    def __init__(self, form: str) -> None:
        super().__init__()
        self.form = form
        self.weight = torch.nn.Parameter(torch.linspace(0.5, 1.5, 8))

    def forward(self, x: Any) -> Any:
        wide = x.float()
        power = 4 if self.form == "fourth power" else 2
        axis = 0 if self.form == "first axis" else -1
        mean = wide.pow(power).mean(axis, keepdim=True)
        scaled = wide * torch.rsqrt(mean + 1e-5)
        if self.form == "one plus weight":
            return (1 + self.weight) * scaled.to(x.dtype)
        result = self.weight * scaled.to(x.dtype)
        return result + mean.to(x.dtype) if self.form == "mean used" else result


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("form", ["plain", "fourth power", "first axis", "one plus weight", "mean used"])
def test_rms_norms_fuse_and_near_forms_do_not(form, dtype):
    model = Norm(form).to(dtype)
    graph = mp.trace(model, torch.zeros(2, 5, 8, dtype=dtype))
    fused = [node for node in graph.nodes if node.target == "bitcost.rms_norm"]
    assert len(fused) == (form == "plain")
    x = torch.randn(3, 4, 8, generator=torch.Generator().manual_seed(0)).to(dtype)
    assert torch.equal(mp.execute(graph, x, model.state_dict()), model(x))


def test_rotary_embeddings_fuse(llama_graph):
    fused = [node for node in llama_graph.nodes if node.target == "bitcost.rotary"]
    assert len(fused) == 4
    assert not [node for node in llama_graph.nodes if node.target == "aten.neg.default"]


def test_half_rotated_the_other_way_stays():
    class Other(torch.nn.Module):
        def forward(self, x: Any, cos: Any, sin: Any) -> Any:
            return x * cos + torch.cat((x[..., 4:], -x[..., :4]), dim=-1) * sin

    inputs = (torch.zeros(2, 5, 8), torch.zeros(5, 8), torch.zeros(5, 8))
    graph = mp.trace(Other(), inputs, {"x": {0: "B"}})
    assert not [node for node in graph.nodes if node.target == "bitcost.rotary"]


def test_what_no_output_needs_is_left_out_and_in_place_writes_are_not():
    class Dead(torch.nn.Module):
        def forward(self, x: Any) -> Any:
            x.sin()
            y = x * 2
            y.add_(1)
            return y

    graph = mp.trace(Dead(), torch.zeros(2, 3))
    assert [node.target for node in graph.nodes if node.target] == ["aten.mul.Tensor", "aten.add_.Tensor"]
    x = torch.ones(4, 3)
    assert torch.equal(mp.execute(graph, x, {}), torch.full((4, 3), 3.0))
    assert torch.equal(x, torch.ones(4, 3))


def test_sliding_window_models_keep_their_mask():
    import transformers

    torch.manual_seed(0)
    config = transformers.MistralConfig(
        vocab_size=96, hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=64, sliding_window=16,
    )  # fmt: skip
    model = transformers.MistralForCausalLM(config).eval()
    graph = mp.trace(model, {"input_ids": tokens(2, 8), "use_cache": False})
    assert not next(node for node in graph.nodes if node.kind == "Attention").attention.causal
    ids = tokens(2, 30)
    difference = mp.execute(graph, ids, model.state_dict()) - model(input_ids=ids, use_cache=False).logits
    assert difference.abs().max() < 1e-6


def test_passes_leave_the_result_alone(llama_model, llama_graph):
    # The fused and folded graph against eager, at sizes no pass looked at.
    for batch, length in ((1, 1), (1, 64), (3, 33)):
        ids = tokens(batch, length)
        logits = llama_model(input_ids=ids, use_cache=False).logits
        assert torch.equal(mp.execute(llama_graph, ids, llama_model.state_dict()), logits)


def test_bfloat16_models_too():
    model = llama().to(torch.bfloat16)
    inputs = {"input_ids": tokens(2, 8), "use_cache": False}
    graph = mp.trace(model, inputs)
    ids = tokens(2, 19)
    got = mp.execute(graph, ids, model.state_dict())
    assert got.dtype == torch.bfloat16
    assert torch.equal(got, model(input_ids=ids, use_cache=False).logits)
