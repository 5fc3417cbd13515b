"""Blocks scaled by their largest magnitude or their range, on tensors, in float64."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import torch

from formats.block import Scaled
from formats.cast import DEFAULT, Cast
from formats.decisions import decisions, range_cuts
from formats.fixed_point import FixedPoint
from formats.plans import FLOAT32
from formats.torch_ops.lattice import lattice_of
from formats.torch_ops.quotients import DOUBLE, bits_of_real, odd_sum, quotient, significant_bits
from formats.torch_ops.scalar import beyond, value_bits_of
from formats.torch_ops.words import W32, W64, bits_of, key_of, select

FLOAT32_END = 2.0**128 - 2.0**103  # from here on float32 rounds to infinity
RANGE = 2.0**20  # far beyond 16 bits and their zero point, as formats.block_codec.with_offset has it


def check_absmax(fmt: Scaled, cast: Cast, dtype: torch.dtype) -> None:
    """Raise NotImplementedError where float64 is not wide enough to be exact, or a part has no tensor path."""
    scale: Any = fmt.scale.format
    if dtype == torch.float64:
        raise NotImplementedError(
            f"quantize: rule {fmt.rule!r} of {fmt.name} takes float16, bfloat16 and float32 tensors here, got float64; "
            "pass x.float() or x.cpu()"
        )
    if isinstance(scale, Scaled) or lattice_of(scale, W64) is None:
        raise NotImplementedError(f"quantize: scales in {scale.name} have no tensor path; pass x.cpu()")
    bits = significant_bits(scale)
    element: Any = fmt.element
    if bits + _finest(element, cast) > DOUBLE - 1 or significant_bits(element) > FLOAT32.trailing + 1:
        raise NotImplementedError(
            f"quantize: {element.name} under scales of {bits} significant bits needs more than float64; pass x.cpu()"
        )


def _finest(element: Any, cast: Cast) -> int:
    """Significant bits of the finest threshold between two values."""
    if lattice_of(element, W64) is not None:
        return significant_bits(element) + 2
    every = [*decisions(element, cast).thresholds, *(cut for cut, _ in range_cuts(element, cast.rounding))]
    return max(bits_of_real(Fraction(threshold)) for threshold in every)


def quantize_absmax(
    blocks: torch.Tensor,
    fmt: Scaled,
    cast: Cast,
    tensor_amax: torch.Tensor | float | None,
    mask: bool,
    tables: tuple[torch.Tensor, ...],
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """float32 values of [blocks, size], and where they are saturated. An infinity makes its block NaN."""
    w = bits_of(blocks)
    u = w & W32.magnitude
    nan = u > W32.infinity
    settled = select(nan, 0, w)
    infinite = (settled & W32.magnitude).amax(dim=-1, keepdim=True) >= W32.infinity
    tame = select(nan | (u == W32.infinity), 0, w)
    x = tame.view(torch.float32).double()
    if fmt.offset is not None:
        values, clipped = _with_zero_point(x, tame, nan, fmt, cast, mask)
    else:
        extent = _extent(tame, tensor_amax)
        scale = _scale(extent, fmt.element.max_finite, fmt)
        q = _scaled(x, scale, fmt)
        q = torch.where(nan, _nan_of_sign(w), q.view(torch.int64)).view(torch.float64)
        held = value_bits_of(q, fmt.element, cast, tables)  # type: ignore[arg-type]
        product = bits_of((held.view(torch.float64) * scale).to(torch.float32))
        lost = (held & W64.magnitude) > W64.infinity
        sign = torch.where(held < 0, W32.of(-float("nan")), torch.full_like(w, W32.of(float("nan"))))
        values = torch.where(lost, sign, product).view(torch.float32)
        clipped = beyond(q, fmt.element, cast) & ~infinite if mask else None  # type: ignore[arg-type]
    # Numbers, not bits, from here on: Inductor keeps bits that a reshape follows, and copies them.
    return torch.where(infinite, float("nan"), values), clipped


def _extent(w: torch.Tensor, tensor_amax: torch.Tensor | float | None) -> torch.Tensor:
    """Each block's largest magnitude in float64, or the one given."""
    if tensor_amax is None:
        return (w & W32.magnitude).amax(dim=-1, keepdim=True).view(torch.float32).double()
    if isinstance(tensor_amax, torch.Tensor):
        return tensor_amax.detach().to(device=w.device).double().reshape(1, 1)
    return torch.full((1, 1), tensor_amax, dtype=torch.float64, device=w.device)


def _nan_of_sign(w: torch.Tensor) -> torch.Tensor:
    quiet = W64.of(float("nan"))
    return torch.where(w < 0, quiet + W64.sign, torch.full_like(w, quiet, dtype=torch.int64))


def _scaled(x: torch.Tensor, scale: torch.Tensor, fmt: Scaled) -> torch.Tensor:
    """x / scale; a zero scale has zeros only."""
    scalar: Any = fmt.scale.format
    return quotient(x, torch.where(scale == 0, torch.ones_like(scale), scale), significant_bits(scalar))


def _scale(extent: torch.Tensor, steps: Fraction, fmt: Scaled) -> torch.Tensor:
    """extent / steps in the scale's format, in float64: never zero where extent is not, and down a step where the
    largest element would leave float32."""
    scalar: Any = fmt.scale.format
    ideal = quotient(extent, float(steps), bits_of_real(Fraction(float(steps))))
    held = value_bits_of(ideal, scalar, DEFAULT, ()).view(torch.float64)
    held = torch.where((extent > 0) & (held <= 0), float(scalar.min_positive), held)
    down = value_bits_of(ideal, scalar, Cast(rounding="down"), ()).view(torch.float64)
    over = (held * float(steps) >= FLOAT32_END) & (extent <= W32.value(W32.infinity - 1))
    return torch.where(over, down, held)


def _with_zero_point(
    x: torch.Tensor, w: torch.Tensor, nan: torch.Tensor, fmt: Scaled, cast: Cast, mask: bool
) -> tuple[torch.Tensor, torch.Tensor | None]:
    element, scalar = fmt.element, fmt.offset and fmt.offset.format
    assert isinstance(element, FixedPoint)
    assert isinstance(scalar, FixedPoint)
    key = key_of(w, W32)
    low = key_of(key.amin(dim=-1, keepdim=True).clamp(max=0), W32).view(torch.float32).double()
    high = key.amax(dim=-1, keepdim=True).clamp(min=0).view(torch.float32).double()
    scale = _scale(odd_sum(high, -low), element.max_finite - element.min_finite, fmt)
    step = 2.0**element.fraction_bits
    zero = _integers(_scaled(-low, scale, fmt) * step, "ties_to_even") + element.min_integer
    zero = zero.clamp(scalar.min_integer, scalar.max_integer)
    q = _integers(_scaled(x, scale, fmt) * step, cast.rounding)
    moved = torch.where(nan, RANGE if cast.nan == "max" else 0.0, q) + zero
    held = moved.clamp(element.min_integer, element.max_integer)
    values = ((held - zero) * (1.0 / step) * scale).to(torch.float32)
    clipped = ((moved < element.min_integer) | (moved > element.max_integer)) & ~nan if mask else None
    return values, clipped


def _integers(q: torch.Tensor, rounding: str) -> torch.Tensor:
    """q rounded to integers within +-RANGE, in float64."""
    q = q.clamp(-RANGE, RANGE)
    if rounding == "ties_to_even":
        return torch.round(q)
    if rounding in ("up", "down", "toward_zero"):
        return {"up": torch.ceil, "down": torch.floor, "toward_zero": torch.trunc}[rounding](q)
    if rounding != "ties_away":
        raise NotImplementedError(f"quantize: rounding {rounding!r} with a zero point has no tensor path; pass x.cpu()")
    size = q.abs()
    whole = torch.floor(size)
    return torch.copysign(whole + (size - whole >= 0.5).double(), q)
