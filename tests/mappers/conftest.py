"""Tiny models with random weights, built and traced once a session."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

import mappers as mp  # noqa: E402

LLAMA = {
    "vocab_size": 96,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
}
BERT = {
    "vocab_size": 96,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 40,
}


def llama(**changes: Any) -> Any:
    """A Llama with random weights on the CPU, in eval mode."""
    torch.manual_seed(0)
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**{**LLAMA, **changes})).eval()


def bert(**changes: Any) -> Any:
    """A BERT with random weights on the CPU, in eval mode."""
    torch.manual_seed(0)
    return transformers.BertModel(transformers.BertConfig(**{**BERT, **changes})).eval()


def tokens(batch: int, length: int, vocabulary: int = 96) -> Any:
    """Random token numbers, the same every time."""
    return torch.randint(0, vocabulary, (batch, length), generator=torch.Generator().manual_seed(1))


def trace_llama(model: Any) -> mp.Graph:
    """The prefill graph of a Llama."""
    return mp.trace(model, {"input_ids": tokens(2, 8), "use_cache": False}, name="tiny-llama")


@pytest.fixture(scope="session")
def llama_model() -> Any:
    return llama()


@pytest.fixture(scope="session")
def llama_graph(llama_model: Any) -> mp.Graph:
    return trace_llama(llama_model)


@pytest.fixture(scope="session")
def bert_model() -> Any:
    return bert()


@pytest.fixture(scope="session")
def bert_graph(bert_model: Any) -> mp.Graph:
    inputs = {"input_ids": tokens(2, 8), "attention_mask": torch.ones(2, 8, dtype=torch.long)}
    return mp.trace(bert_model, inputs, name="tiny-bert")


@pytest.fixture(scope="session")
def decode_graph() -> mp.Graph:
    from mappers.graphs.make import llama_decode

    return llama_decode("tiny-decode", LLAMA, torch.float32)
