"""The same doors for torch: CPU tensors in, CPU tensors out, the gradient straight through.

A tensor's memory is read through numpy, so codes and values are those of the numpy path bit for bit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from formats import codec
from formats.block import Format
from formats.cast import DEFAULT, Cast
from formats.catalogue import get
from formats.encoded import Encoded
from formats.saturation import saturated


def to_numpy(x: torch.Tensor, door: str) -> Any:
    """The tensor's values as a numpy array of float32 or float64; float16 and bfloat16 widen exactly."""
    if x.device.type == "meta":
        raise ValueError(f"{door}: x is on device meta and holds no values; make it on the CPU")
    if x.device.type != "cpu":
        raise ValueError(f"{door}: x is on device {x.device}; this path runs on the CPU, pass x.cpu()")
    if x.dtype in (torch.float16, torch.bfloat16):
        x = x.float()
    if x.dtype not in (torch.float32, torch.float64):
        raise TypeError(
            f"{door}: x has dtype {x.dtype}; it takes float16, bfloat16, float32 and float64. Convert it yourself, "
            "for example x.double()"
        )
    return x.detach().contiguous().resolve_neg().numpy()


class _StraightThrough(torch.autograd.Function):
    """Forward: quantize. Backward: the gradient where x was not saturated, zero where it was."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, fmt: Format, axis: int, cast: Cast | None, pad: bool) -> torch.Tensor:
        source = to_numpy(x, "quantize")
        ctx.input_dtype = x.dtype
        if not ctx.needs_input_grad[0]:
            return torch.from_numpy(np.asarray(codec.quantize(source, fmt, axis, cast, pad)))
        encoded = codec.encode(source, fmt, axis, cast, pad)
        ctx.save_for_backward(torch.from_numpy(saturated(source, encoded, cast or DEFAULT)))
        return torch.from_numpy(np.ascontiguousarray(codec.decode(encoded, source.dtype)).reshape(source.shape))

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[Any, ...]:
        (clipped,) = ctx.saved_tensors
        return gradients[0].masked_fill(clipped, 0).to(ctx.input_dtype), None, None, None, None


def quantize(x: torch.Tensor, fmt: Format | str, axis: int, cast: Cast | None, pad: bool) -> torch.Tensor:
    """See formats.quantize."""
    result: torch.Tensor = _StraightThrough.apply(x, get(fmt), axis, cast, pad)  # type: ignore[no-untyped-call]
    return result


def encode(x: torch.Tensor, fmt: Format | str, axis: int, cast: Cast | None, pad: bool, out: Encoded | None) -> Encoded:
    """See formats.encode; the planes are numpy arrays."""
    return codec.encode(to_numpy(x, "encode"), fmt, axis, cast, pad, out)
