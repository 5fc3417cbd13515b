"""A byte-level Llama-style language model of 918,656 parameters, its shipped weights, and its loss.

Four layers, width 128, four heads of 32, SwiGLU of 384, RMSNorm before each half, rotary positions, context 256, a
separate output head. Every inner dimension is a multiple of 128 (of 32 per attention head), so that no block format
needs padding on a weight. Module names are Llama's (`layers.0.self_attn.q_proj`, `layers.0.mlp.down_proj`), so one
assignment of formats serves this model and a traced Llama. train_byte_lm.py made data/byte_lm.safetensors;
data/byte_lm_training.json tells how: 2.4e8 bytes, some 260 a parameter. What a coarse format costs grows with the
length of training (the table in train_byte_lm.py), so its loss in bits/byte is this model's, not a large model's.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources

import numpy as np
from numpy.typing import NDArray

try:
    import torch
    from torch import Tensor, nn
    from torch.nn import functional
except ImportError as error:
    raise ImportError("studies.workloads.byte_lm needs torch: pip install 'bitcost[torch]'") from error

PARAMETERS = 918_656
WEIGHTS = "byte_lm.safetensors"


@dataclass(frozen=True, kw_only=True, slots=True)
class Shape:
    """Sizes of the model; the defaults are the shipped ones."""

    vocabulary: int = 256
    width: int = 128
    layers: int = 4
    heads: int = 4
    hidden: int = 384
    context: int = 256
    rope_base: float = 10000.0  # Su et al., RoFormer, 2021

    @property
    def head_width(self) -> int:
        return self.width // self.heads


class RMSNorm(nn.Module):
    """x / sqrt(mean(x^2) + 1e-5) * weight over the last axis, written out as Llama's is."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5))


class Attention(nn.Module):
    """Causal attention, x [batch, length, width] -> same shape; tables [length, head_width]."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads, self.head_width = shape.heads, shape.head_width
        self.q_proj = nn.Linear(shape.width, shape.width, bias=False)
        self.k_proj = nn.Linear(shape.width, shape.width, bias=False)
        self.v_proj = nn.Linear(shape.width, shape.width, bias=False)
        self.o_proj = nn.Linear(shape.width, shape.width, bias=False)

    def forward(self, x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
        q, k, v = (self._split(projection(x)) for projection in (self.q_proj, self.k_proj, self.v_proj))
        q, k = _rotate(q, cosine, sine), _rotate(k, cosine, sine)
        y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        out: Tensor = self.o_proj(y.transpose(1, 2).reshape(x.shape))
        return out

    def _split(self, x: Tensor) -> Tensor:
        return x.view(x.shape[0], x.shape[1], self.heads, self.head_width).transpose(1, 2)


class MLP(nn.Module):
    """SwiGLU: down(silu(gate(x)) * up(x))."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(shape.width, shape.hidden, bias=False)
        self.up_proj = nn.Linear(shape.width, shape.hidden, bias=False)
        self.down_proj = nn.Linear(shape.hidden, shape.width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.down_proj(functional.silu(self.gate_proj(x)) * self.up_proj(x))
        return out


class Layer(nn.Module):
    """Pre-norm attention and MLP, each added to its input."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.input_layernorm = RMSNorm(shape.width)
        self.self_attn = Attention(shape)
        self.post_attention_layernorm = RMSNorm(shape.width)
        self.mlp = MLP(shape)

    def forward(self, x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), cosine, sine)
        out: Tensor = x + self.mlp(self.post_attention_layernorm(x))
        return out


class ByteLM(nn.Module):
    """tokens int64 [batch, length <= 256], each 0..255 -> logits [batch, length, 256] of the next byte."""

    rope_cosine: Tensor
    rope_sine: Tensor

    def __init__(self, shape: Shape | None = None) -> None:
        super().__init__()
        shape = shape or Shape()
        self.embed_tokens = nn.Embedding(shape.vocabulary, shape.width)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.layers))
        self.norm = RMSNorm(shape.width)
        self.lm_head = nn.Linear(shape.width, shape.vocabulary, bias=False)
        cosine, sine = _rope_tables(shape)
        self.register_buffer("rope_cosine", cosine, persistent=False)
        self.register_buffer("rope_sine", sine, persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed_tokens(tokens)
        cosine, sine = self.rope_cosine[: tokens.shape[1]], self.rope_sine[: tokens.shape[1]]
        for layer in self.layers:
            x = layer(x, cosine, sine)
        logits: Tensor = self.lm_head(self.norm(x))
        return logits


def _rope_tables(shape: Shape) -> tuple[Tensor, Tensor]:
    """Cosine and sine [context, head_width], the two halves of a head sharing their angles (Llama's layout)."""
    exponents = torch.arange(0, shape.head_width, 2, dtype=torch.float64) / shape.head_width
    angles = torch.arange(shape.context, dtype=torch.float64)[:, None] * shape.rope_base**-exponents
    both = torch.cat((angles, angles), dim=-1)
    return both.cos().float(), both.sin().float()


def _rotate(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    half = x.shape[-1] // 2
    first, second = x[..., :half], x[..., half:]
    return x * cosine + torch.cat((-second, first), dim=-1) * sine


def load() -> ByteLM:
    """The trained model in float32, weights as shipped in bfloat16 (each exact in float32), in evaluation mode."""
    from safetensors.torch import load as load_safetensors

    weights = load_safetensors((resources.files("studies.workloads") / "data" / WEIGHTS).read_bytes())
    model = ByteLM()
    model.load_state_dict({name: tensor.float() for name, tensor in weights.items()})
    return model.eval()


def bits_per_byte(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean code length of each row: logits [batch, length, 256], targets int64 [batch, length] -> float64 [batch]."""
    nats = functional.cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), reduction="none")
    return nats.view(targets.shape).double().mean(-1) / math.log(2.0)


def window_losses(
    forward: Callable[[Tensor], Tensor], tokens: NDArray[np.uint8], batch: int = 16
) -> NDArray[np.float64]:
    """Bits per byte of each window, in order.

    forward: int64 [batch, length] -> logits, always called with that one shape (the last batch is padded with the
    first windows), so an exported graph with fixed shapes will do.
    tokens: uint8 [windows, length + 1], `Corpus.tokens`.
    Two calls with different `forward` on one corpus give paired samples (scores.paired).
    """
    if batch < 1:
        raise ValueError(f"window_losses: batch {batch}; pass a batch of at least 1")
    if tokens.ndim != 2 or tokens.dtype != np.uint8 or min(tokens.shape, default=0) < 2:
        raise ValueError(
            f"window_losses: tokens uint8 [windows, length + 1] asked for, got {tokens.dtype} {tokens.shape};"
            " pass Corpus.tokens"
        )
    count = len(tokens)
    padded = np.resize(tokens, (-(-count // batch) * batch, tokens.shape[1])).astype(np.int64)
    losses = []
    with torch.no_grad():
        for rows in torch.split(torch.from_numpy(padded), batch):
            losses.append(bits_per_byte(forward(rows[:, :-1].contiguous()), rows[:, 1:]))
    result: NDArray[np.float64] = torch.cat(losses).numpy()[:count]
    return result
