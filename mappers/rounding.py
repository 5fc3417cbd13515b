"""Values between products, rounded to the format in which a graph stores them (`Graph.default`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import formats as nf
from mappers.node import FormatName, Node

if TYPE_CHECKING:
    import torch

BFLOAT16 = nf.get("bfloat16")
FLOAT32 = nf.get("float32")


def rounds(node: Node) -> bool:
    """Whether a node computes what it writes; inputs, weights and data movement hand on what they were given."""
    return node.kind not in ("Input", "Weight", "Constant", "Layout")


def stored(node: Node, x: torch.Tensor, fmt: FormatName | None) -> torch.Tensor:
    """x as it is read back from memory in `fmt`, in its own dtype; nothing happens without a format or to integers.

    Blocks lie along the last axis, a short one padded. Infinities and NaNs (a mask's) stay what they are.
    """
    import torch

    if fmt is None or not x.is_floating_point() or not x.numel():
        return x
    description = nf.get(fmt)
    if description == FLOAT32 or (description == BFLOAT16 and x.dtype == torch.bfloat16):
        return x
    if description == BFLOAT16:
        return _bfloat16(x)
    finite = torch.isfinite(x)
    whole = bool(finite.all())
    rows = (x if whole else torch.where(finite, x, 0)).reshape(x.shape or (1,))
    try:
        result: torch.Tensor = nf.quantize(rows.float() if x.dtype != torch.float64 else rows, fmt, pad=True)
    except (ValueError, TypeError) as error:
        raise type(error)(f"execute: value of {node.name!r} (module {node.module!r}): {error}") from error
    result = result.reshape(x.shape).to(x.dtype)
    return result if whole else torch.where(finite, result, x)


def _bfloat16(x: torch.Tensor) -> torch.Tensor:
    """What `formats.quantize` gives (ties to even, saturating), by torch's own cast, many times faster."""
    import torch

    result = x.to(torch.bfloat16).to(x.dtype)
    # Finite values that torch rounds to infinity are rare: one sum, which is finite unless a value is not (or the sum
    # itself overflows, which only costs the longer look), is all that watching for them costs.
    if not bool(torch.isfinite(result.sum())):
        largest = torch.finfo(torch.bfloat16).max
        result = torch.where(torch.isfinite(x), result.clamp(-largest, largest), result)
    return result
