"""TransformerEngine's NVFP4 on tensors: the published float32 recipe, with divisions a compiler cannot approximate."""

from __future__ import annotations

from typing import Any

import torch

from formats.block import Scaled
from formats.cast import DEFAULT, Cast
from formats.torch_ops.lattice import lattice_of
from formats.torch_ops.scalar import beyond, value_bits_of
from formats.torch_ops.words import FLOAT32_MAX, W32, W64, bits_of, select, to_float32


def check_nvfp4(fmt: Scaled, cast: Cast) -> None:
    """Raise NotImplementedError for scales or elements without a tensor path."""
    inner: Any = fmt.scale.format
    if lattice_of(inner.element, W32) is None or lattice_of(fmt.element, W32) is None:
        raise NotImplementedError(f"quantize: the parts of {fmt.name} have no tensor path; pass x.cpu()")


def divided(a: Any, b: torch.Tensor) -> torch.Tensor:
    """a / b in float32, correctly rounded: through float64, whose 53 bits make the second rounding harmless.

    A compiled float32 division may be a reciprocal and a product; a float64 one is not.
    """
    wide = a.double() if isinstance(a, torch.Tensor) else a
    return (wide / b.double()).to(torch.float32)


def quantize_nvfp4(
    blocks: torch.Tensor, fmt: Scaled, cast: Cast, tensor_amax: torch.Tensor | float | None, mask: bool
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Values of [blocks, size] in their type, and where they are saturated. An infinity makes its block NaN."""
    inner: Any = fmt.scale.format
    element: Any = fmt.element
    x = blocks.to(torch.float32)
    w = bits_of(x)
    u = w & W32.magnitude
    settled = select(u > W32.infinity, 0, u)
    amax = settled.amax(dim=-1, keepdim=True)
    if tensor_amax is None:
        largest = amax.amax().view(torch.float32)
    elif isinstance(tensor_amax, torch.Tensor):
        largest = tensor_amax.detach().to(device=x.device, dtype=torch.float32).reshape(())
    else:
        largest = torch.full((), tensor_amax, dtype=torch.float32, device=x.device)
    block_max, element_max = float(inner.element.max_finite), float(element.max_finite)
    encode = divided(to_float32(block_max * element_max), largest).clamp(max=FLOAT32_MAX)
    encode = torch.where((encode == 0) | (largest <= 0), torch.ones_like(encode), encode)
    per_block = (amax.view(torch.float32) * (encode * to_float32(1.0 / element_max))).clamp(-block_max, block_max)
    block_scale = value_bits_of(per_block, inner.element, DEFAULT, ()).view(torch.float32)
    tensor_scale = divided(1.0, encode)
    factors = divided(1.0, block_scale * tensor_scale).clamp(max=FLOAT32_MAX)
    scaled = x * factors
    # NaN keeps its sign, which a product on a GPU would lose.
    scaled = torch.where(u > W32.infinity, x, scaled)
    bits = value_bits_of(scaled, element, cast, ())
    infinite = (amax >= W32.infinity) | (largest.view(torch.int32) >= W32.infinity)
    clipped = beyond(scaled, element, cast) & ~infinite if mask else None
    lost = infinite | ((bits & W32.magnitude) > W32.infinity)
    kept = torch.where(infinite, torch.full_like(bits, W32.of(float("nan"))), bits).view(torch.float32)
    if blocks.dtype == torch.float64:
        exact = kept.double() * (block_scale.double() * tensor_scale.double())
        return torch.where(lost, nan_double(kept), exact), clipped
    # The first product is exact, 6 significant bits of an element and a block scale; only the last one rounds.
    return torch.where(lost, kept, kept * block_scale * tensor_scale), clipped


def nan_double(x: torch.Tensor) -> torch.Tensor:
    """float64 NaNs of the signs of x, a float32 tensor."""
    quiet = W64.of(float("nan"))
    sign = bits_of(x) < 0
    return torch.where(sign, quiet + W64.sign, torch.full_like(x, quiet, dtype=torch.int64)).view(torch.float64)
