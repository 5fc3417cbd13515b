"""Values between products are stored in the graph's default format, bit for bit as formats.quantize rounds."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

import dataclasses  # noqa: E402
from typing import Any  # noqa: E402

import formats as nf  # noqa: E402
import mappers as mp  # noqa: E402
from mappers.rounding import stored  # noqa: E402

from .conftest import tokens  # noqa: E402

NODE = mp.Node(name="x", kind="Elementwise", outputs=(mp.Tensor((1,), "float32"),))


def test_the_short_path_for_bfloat16_is_formats_quantize() -> None:
    codes = torch.arange(0, 2**32, 99_991, dtype=torch.int64)
    ties = (torch.arange(2**16, dtype=torch.int64) << 16) + 2**15  # halfway between any two neighbours
    bits = torch.cat([codes, ties, ties - 1, ties + 1])
    x = torch.where(bits < 2**31, bits, bits - 2**32).to(torch.int32).view(torch.float32)
    x = x[torch.isfinite(x)]
    assert torch.equal(stored(NODE, x, "bf16"), nf.quantize(x, "bfloat16"))
    assert torch.equal(stored(NODE, x, "bfloat16"), nf.quantize(x, "bfloat16"))


def test_what_is_stored_as_it_is() -> None:
    x = torch.randn(3, 40, generator=torch.Generator().manual_seed(0))
    assert stored(NODE, x, None) is x
    assert stored(NODE, x, "float32") is x
    assert stored(NODE, x.bfloat16(), "bfloat16").dtype == torch.bfloat16
    whole = torch.arange(5)
    assert stored(NODE, whole, "bfloat16") is whole
    assert torch.equal(stored(NODE, x, "mxfp8_e4m3"), nf.quantize(x, "mxfp8_e4m3", pad=True))
    mask = torch.tensor([0.0, float("-inf"), 0.3])
    assert torch.equal(stored(NODE, mask, "float16"), torch.tensor([0.0, float("-inf"), 0.3]).half().float())
    assert torch.equal(stored(NODE, mask, "bfloat16"), mask.bfloat16().float())
    assert stored(NODE, torch.tensor(0.3), "float16").shape == ()


class Attend(torch.nn.Module):
    """A projection, attention, an activation."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.linear = torch.nn.Linear(16, 16)

    def forward(self, x: Any) -> Any:
        y = self.linear(x)
        return torch.nn.functional.silu(torch.nn.functional.scaled_dot_product_attention(y, y, y))


def test_every_value_is_rounded_once_by_hand() -> None:
    model = Attend()
    x = torch.randn(2, 1, 5, 16, generator=torch.Generator().manual_seed(0))
    names = {"x": {0: "B", 2: "S"}}
    graph = mp.assign(mp.trace(model, (x,), names), {"*": "float32"}, default="bfloat16")

    def half(value: Any) -> Any:
        return value.bfloat16().float()

    with torch.no_grad():
        y = (x.double() @ model.linear.weight.double().T).float() + model.linear.bias
        y = half(y)
        scores = half((y.double() @ y.double().transpose(-1, -2)).float())
        p = torch.softmax(scores * 16**-0.5, -1)
        expected = half(torch.nn.functional.silu(half((p.double() @ y.double()).float())))
    assert torch.equal(mp.execute(graph, (x,), model.state_dict()), expected)


def test_every_node_of_a_llama_holds_values_of_the_default(llama_model: Any, llama_graph: mp.Graph) -> None:
    graph = mp.assign(llama_graph, {"*": "int8:channel/int8:token"}, default="bfloat16")
    computed = [node for node in graph.nodes if node.kind in ("MatMul", "Attention", "Elementwise", "Norm", "Gather")]
    probe = dataclasses.replace(graph, outputs=tuple(mp.Ref(node.name) for node in computed))
    values = mp.execute(probe, tokens(2, 9), llama_model.state_dict())
    floats = [value for value in values if value.is_floating_point()]
    assert len(floats) > 20
    assert all(torch.equal(value, value.bfloat16().float()) for value in floats)
    plain = mp.execute(dataclasses.replace(graph, default=None), tokens(2, 9), llama_model.state_dict())
    assert not torch.equal(plain, plain.bfloat16().float())
