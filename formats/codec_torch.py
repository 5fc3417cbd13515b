"""The same doors for torch: CPU tensors in, CPU tensors out, the gradient straight through.

A tensor's memory is read through numpy, so codes and values are those of the numpy path bit for bit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch._subclasses.fake_tensor import FakeTensor

from formats import codec, torch_ops
from formats.block import Format
from formats.cast import Cast
from formats.saturation import saturated
from formats.scalar import Scalar


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


def on_tensors(x: torch.Tensor) -> bool:
    """Whether x must be computed on by tensor operations: traced, transformed, or not in the CPU's memory."""
    if torch.compiler.is_compiling() or x.device.type not in ("cpu", "meta"):
        return True
    return isinstance(x, FakeTensor) or torch._C._functorch.is_functorch_wrapped_tensor(x)


class _StraightThrough(torch.autograd.Function):
    """Forward: quantize. Backward: the gradient where x was not saturated, zero where it was."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, fmt: Format, axis: int, cast: Cast, pad: bool, amax: Any) -> torch.Tensor:
        source = to_numpy(x, "quantize")
        ctx.input_dtype = x.dtype
        if not ctx.needs_input_grad[0]:
            return torch.from_numpy(np.asarray(codec.quantize(source, fmt, axis, cast, pad, tensor_amax=amax)))
        encoded = codec.encode(source, fmt, axis, cast, pad, tensor_amax=amax)
        ctx.save_for_backward(torch.from_numpy(saturated(source, encoded, cast)))
        return torch.from_numpy(np.ascontiguousarray(codec.decode(encoded, source.dtype)).reshape(source.shape))

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[Any, ...]:
        (clipped,) = ctx.saved_tensors
        return gradients[0].masked_fill(clipped, 0).to(ctx.input_dtype), *(None,) * 5


def quantize(
    x: torch.Tensor,
    fmt: Format | str,
    axis: int,
    cast: Any,
    pad: bool,
    tensor_amax: torch.Tensor | float | None = None,
) -> torch.Tensor:
    """See formats.quantize. tensor_amax may be a tensor of one number where x is traced or on a GPU."""
    if on_tensors(x):
        return torch_ops.quantize(x, fmt, axis, cast, pad, tensor_amax)
    description, how = codec.described(fmt, cast, "quantize")
    if isinstance(tensor_amax, torch.Tensor):
        tensor_amax = float(tensor_amax)
    result: torch.Tensor = _StraightThrough.apply(x, description, axis, how, pad, tensor_amax)  # type: ignore[no-untyped-call]
    return result


def decode_codes(fmt: Scalar | str, codes: torch.Tensor, dtype: Any) -> torch.Tensor:
    """See formats.decode_codes, for codes on a GPU or being compiled."""
    wide = dtype in (torch.float64, np.float64) or (
        not isinstance(dtype, torch.dtype) and np.dtype(dtype) == np.float64
    )
    return torch_ops.decode_codes(fmt, codes, torch.float64 if wide else torch.float32)
