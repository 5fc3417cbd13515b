"""Makes the shipped graphs: python -m mappers.graphs.make [NAME ...] (all of them by default; about three minutes).

Needs transformers (pip install "bitcost[models]"). Models are built on the meta device from the configurations below:
no weights are read. Everything is traced in bfloat16, as these models are served; MAC counts do not depend on it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
import transformers
from transformers.cache_utils import DynamicCache

from mappers.graph import Graph
from mappers.graphs import FOLDER, SUFFIX
from mappers.trace import trace

# Grattafiori et al., The Llama 3 Herd of Models (arXiv 2407.21783), table 3; config.json of meta-llama/Meta-Llama-3-8B.
LLAMA_3_8B = {
    "vocab_size": 128256,
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "max_position_embeddings": 8192,
    "rms_norm_eps": 1e-5,
    "rope_parameters": {"rope_type": "default", "rope_theta": 500000.0},
}
# Touvron et al., Llama 2 (arXiv 2307.09288), table 1 and appendix; config.json of meta-llama/Llama-2-7b-hf.
LLAMA_2_7B = {
    "vocab_size": 32000,
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 32,
    "max_position_embeddings": 4096,
    "rms_norm_eps": 1e-5,
    "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
}
# Devlin et al., BERT (arXiv 1810.04805), section 3; config.json of google-bert/bert-base-uncased.
BERT_BASE = {
    "vocab_size": 30522,
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
}
# Dosovitskiy et al., ViT (arXiv 2010.11929), table 1; config.json of google/vit-base-patch16-224 (1000 classes).
VIT_B_16 = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "image_size": 224,
    "patch_size": 16,
    "num_labels": 1000,
}


class Decode(torch.nn.Module):
    """One step of generation with the KV cache as plain tensors.

    forward(input_ids [B, 1], cache [layers][keys, values] of [B, kv_heads, P, head_dim]) returns the logits, then each
    layer's keys and values of length P + 1.
    """

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor, cache: list[list[torch.Tensor]]) -> list[torch.Tensor]:
        past = DynamicCache()
        for layer, (keys, values) in enumerate(cache):
            past.update(keys, values, layer)
        out = self.model(input_ids=input_ids, past_key_values=past, use_cache=True)
        return [out.logits, *(part for layer in out.past_key_values.layers for part in (layer.keys, layer.values))]


def _tokens(shape: tuple[int, ...]) -> torch.Tensor:
    return torch.zeros(shape, dtype=torch.long, device="meta")


def _on_meta(auto: Any, config: Any, dtype: torch.dtype) -> torch.nn.Module:
    """The model of that configuration without memory: transformers' Auto classes are untyped."""
    with torch.device("meta"):
        model: torch.nn.Module = auto.from_config(config, dtype=dtype).eval()
    return model


def buffers_of(make: Callable[..., torch.nn.Module], config: Any) -> dict[str, torch.Tensor]:
    """Values of the buffers no checkpoint holds (rotary frequencies, position numbers), from a model without layers."""
    small = type(config)(**{**config.to_dict(), "num_hidden_layers": 0, "vocab_size": 8})
    return dict(make(small).named_buffers())


def llama_prefill(name: str, constants: Mapping[str, Any], dtype: torch.dtype = torch.bfloat16) -> Graph:
    """All positions of a prompt at once: input_ids [B, S], no cache."""
    config = transformers.LlamaConfig(**constants)
    model = _on_meta(transformers.AutoModelForCausalLM, config, dtype)
    inputs = {"input_ids": _tokens((2, 8)), "use_cache": False}
    axes = {"input_ids": {0: "B", 1: "S"}}
    buffers = buffers_of(transformers.LlamaForCausalLM, config)
    return trace(model, inputs, axes, name=name, buffers=buffers)


def llama_decode(name: str, constants: Mapping[str, Any], dtype: torch.dtype = torch.bfloat16) -> Graph:
    """One token a sequence, P cached: see Decode."""
    config = transformers.LlamaConfig(**constants)
    model = _on_meta(transformers.AutoModelForCausalLM, config, dtype)
    shape = (2, constants["num_key_value_heads"], 6, constants["hidden_size"] // constants["num_attention_heads"])
    layers = range(constants["num_hidden_layers"])
    cache = [[torch.zeros(shape, dtype=dtype, device="meta") for _ in "kv"] for _ in layers]
    inputs = {"input_ids": _tokens((2, 1)), "cache": cache}
    axes = {"input_ids": {0: "B"}, "cache": {0: "B", 2: "P"}}
    buffers = {f"model.{key}": value for key, value in buffers_of(transformers.LlamaForCausalLM, config).items()}
    return trace(Decode(model), inputs, axes, name=name, strip="model", buffers=buffers)


def bert(name: str, constants: Mapping[str, Any], dtype: torch.dtype = torch.bfloat16) -> Graph:
    """Encoder and pooler: input_ids [B, S]."""
    config = transformers.BertConfig(**constants)
    model = _on_meta(transformers.AutoModel, config, dtype)
    buffers = buffers_of(transformers.BertModel, config)
    return trace(model, {"input_ids": _tokens((2, 8))}, {"input_ids": {0: "B", 1: "S"}}, name=name, buffers=buffers)


def vit(name: str, constants: Mapping[str, Any], dtype: torch.dtype = torch.bfloat16) -> Graph:
    """Image classifier: pixel_values [B, 3, 224, 224]."""
    config = transformers.ViTConfig(**constants)
    model = _on_meta(transformers.AutoModelForImageClassification, config, dtype)
    pixels = torch.zeros((2, 3, constants["image_size"], constants["image_size"]), dtype=dtype, device="meta")
    return trace(model, {"pixel_values": pixels}, {"pixel_values": {0: "B"}}, name=name)


MODELS: dict[str, tuple[Callable[[str, Mapping[str, Any]], Graph], Mapping[str, Any]]] = {
    "llama-3-8b-prefill": (llama_prefill, LLAMA_3_8B),
    "llama-3-8b-decode": (llama_decode, LLAMA_3_8B),
    "llama-2-7b-prefill": (llama_prefill, LLAMA_2_7B),
    "llama-2-7b-decode": (llama_decode, LLAMA_2_7B),
    "bert-base": (bert, BERT_BASE),
    "vit-b-16": (vit, VIT_B_16),
}


def make(name: str) -> Graph:
    """The graph of that name, its configuration and the versions that made it in its provenance."""
    builder, constants = MODELS[name]
    graph = builder(name, constants)
    facts = (("transformers", transformers.__version__), ("configuration", repr(dict(constants))))
    return replace(graph, provenance=(*facts, *graph.provenance))


def main(names: list[str]) -> None:
    """Make and save the named graphs, or all."""
    for name in names or list(MODELS):
        start = time.perf_counter()
        graph = make(name)
        path = FOLDER / f"{name}{SUFFIX}"
        graph.save(path)
        print(f"{path.name}: {graph}, {path.stat().st_size} bytes, {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main(sys.argv[1:])
