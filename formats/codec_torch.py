"""The same doors for torch: CPU tensors in, CPU tensors out, the gradient straight through.

A tensor's memory is read through numpy, so codes and values are those of the numpy path bit for bit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from formats import codec
from formats.block import Format, Scaled
from formats.cast import Cast
from formats.catalogue import get
from formats.encoded import Encoded
from formats.scalar import Scalar


def to_numpy(x: torch.Tensor, door: str) -> Any:
    """The tensor's values as a numpy array of float32 or float64; float16 and bfloat16 widen exactly."""
    if x.device.type != "cpu":
        raise ValueError(f"{door}: x is on device {x.device}; this path runs on the CPU, pass x.cpu()")
    if x.dtype in (torch.float16, torch.bfloat16):
        x = x.float()
    if x.dtype not in (torch.float32, torch.float64):
        raise TypeError(
            f"{door}: x has dtype {x.dtype}; it takes float16, bfloat16, float32 and float64. Convert it yourself, "
            "for example x.double()"
        )
    return x.detach().contiguous().numpy()


class _StraightThrough(torch.autograd.Function):
    """Forward: quantize. Backward: the gradient where x was not saturated, zero where it was."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, fmt: Format, axis: int, cast: Cast | None, pad: bool) -> torch.Tensor:
        y = torch.from_numpy(np.asarray(codec.quantize(to_numpy(x, "quantize"), fmt, axis, cast, pad)))
        ctx.input_dtype = x.dtype
        if ctx.needs_input_grad[0]:
            ctx.save_for_backward(saturated(x, y, fmt))
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[Any, ...]:
        (clipped,) = ctx.saved_tensors
        return gradients[0].masked_fill(clipped, 0).to(ctx.input_dtype), None, None, None, None


def saturated(x: torch.Tensor, y: torch.Tensor, fmt: Format) -> torch.Tensor:
    """Where quantisation cut a value off: |x| beyond the largest finite value and moved inward.

    For block formats: where |x| lost more than half the widest step, which only saturation does; the element's top
    binade has steps of 2**(e - M), and 3/4 of the largest step separates rounding from clipping.
    """
    scalar = fmt.element if isinstance(fmt, Scaled) else fmt
    high, low = _float(scalar, "max_finite"), _float(scalar, "min_finite")
    wide = x.detach().to(torch.float64)
    if isinstance(fmt, Scaled):
        return (y.abs().double() < wide.abs()) & (_scaled_excess(wide, y.double(), high) > 0)
    return (wide > high) | (wide < low)


def _float(fmt: Scalar, end: str) -> float:
    value = getattr(fmt, end)
    return float(min(max(value, -(2**1023)), 2**1023))


def _scaled_excess(x: torch.Tensor, y: torch.Tensor, high: float) -> torch.Tensor:
    """How far |x| lies beyond |y| as a share of |y|, less what rounding alone can do at the top of the range."""
    magnitude = y.abs()
    return torch.where(magnitude > 0, (x.abs() - magnitude) / magnitude.clamp_min(1e-300) - 0.5 / max(high, 1.0), -1.0)


def quantize(x: torch.Tensor, fmt: Format | str, axis: int, cast: Cast | None, pad: bool) -> torch.Tensor:
    """See formats.quantize."""
    result: torch.Tensor = _StraightThrough.apply(x, get(fmt), axis, cast, pad)  # type: ignore[no-untyped-call]
    return result


def encode(x: torch.Tensor, fmt: Format | str, axis: int, cast: Cast | None, pad: bool, out: Encoded | None) -> Encoded:
    """See formats.encode; the planes are numpy arrays."""
    return codec.encode(to_numpy(x, "encode"), fmt, axis, cast, pad, out)
