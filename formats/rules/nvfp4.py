"""NVFP4 as TransformerEngine encodes it: one scale a tensor, one a block, in float32 throughout.

Source: TransformerEngine's reference_nvfp4.py and core_nvfp4.cuh.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from formats.block import Scaled
from formats.blocks.relative import cast_run
from formats.called import called
from formats.cast import DEFAULT, Cast
from formats.minifloat import Minifloat
from formats.plans.scalar import FLOAT32, decode_tables, minifloat_plan, runs_on_bits
from formats.rules.finite import FLT_MAX, check_float32, settled
from formats.rules.recipe import Index, Recipe, Whole, one_a_block
from formats.rules.statistics import magnitudes
from formats.scalar import Scalar
from formats.scalars import codec as scalar_codec


@dataclass(frozen=True, slots=True)
class Tensor:
    """What all blocks share: S_enc and fl(1 / S_enc), fl(S_enc * fl(1 / largest element))."""

    tensor_scale: np.float32
    to_scale: np.float32


def _levels(fmt: Scaled) -> tuple[Any, Any]:
    """Formats of the block scales and of the tensor scale."""
    inner = fmt.scale.format
    if not isinstance(inner, Scaled) or isinstance(inner.scale.format, Scaled):
        raise ValueError(f"encode: rule {fmt.rule!r} needs a block scale and one tensor scale, got {called(inner)}")
    return inner.element, inner.scale.format


def tensor_scales(amax: float, block_format: Scalar, element: Scalar) -> Tensor:
    """S_enc = min(448 * 6 / amax, FLT_MAX), or 1 where that is zero or amax is."""
    block_max, element_max = np.float32(float(block_format.max_finite)), np.float32(float(element.max_finite))
    with np.errstate(divide="ignore", over="ignore", under="ignore"):
        encode = np.float32(1.0)
        if amax > 0:
            encode = min(block_max * element_max / np.float32(amax), FLT_MAX)
        if encode == 0:
            encode = np.float32(1.0)
        return Tensor(np.float32(1.0) / encode, encode * (np.float32(1.0) / element_max))


def block_scales(
    amax: NDArray[np.float32], tensor: Tensor, block_format: Scalar
) -> tuple[NDArray[Any], NDArray[np.float32]]:
    """Codes of the block scales, E4M3 of amax * to_scale, and what elements are multiplied by."""
    block_max = np.float32(float(block_format.max_finite))
    with np.errstate(over="ignore", under="ignore"):
        per_block = np.clip(amax * tensor.to_scale, -block_max, block_max)
    codes = scalar_codec.encode_codes(block_format, per_block.astype(np.float32), DEFAULT)
    decoded = scalar_codec.decode_codes(block_format, codes, np.dtype(np.float32))
    return codes, factors(decoded, tensor.tensor_scale)


def factors(block_scale: NDArray[np.float32], tensor_scale: np.float32) -> NDArray[np.float32]:
    """What elements are multiplied by before they are rounded: min(1 / (block scale * tensor scale), FLT_MAX)."""
    with np.errstate(divide="ignore", over="ignore", under="ignore"):
        return np.asarray(np.minimum(np.float32(1.0) / (block_scale * tensor_scale), FLT_MAX))


def _begin(whole: Whole) -> tuple[Any, dict[str, NDArray[Any]]]:
    inner, outer = _levels(whole.format)
    element: Any = whole.format.element
    amax = whole.amax()
    check_float32(amax, whole.format)
    # An infinity is refused with its block, after any NaN.
    tensor = tensor_scales(amax if np.isfinite(amax) else 1.0, inner, element)
    codes = scalar_codec.encode_codes(outer, np.array([tensor.tensor_scale], np.float32), DEFAULT)
    return tensor, {"scale.scale": codes}


def _encode(
    blocks: NDArray[Any], fmt: Scaled, cast: Cast, codes: NDArray[Any], tensor: Tensor, index: Index
) -> dict[str, NDArray[Any]]:
    """float64 input is rounded to float32 first."""
    inner, _ = _levels(fmt)
    if blocks.dtype == np.float32:
        scales = _fused(blocks, fmt, cast, inner, codes, tensor)
        if scales is not None:
            return {"scale": scales}
    finite = settled(blocks, fmt, cast)
    with np.errstate(over="ignore"):
        single = np.clip(finite, -FLT_MAX, FLT_MAX).astype(np.float32)
        amax = magnitudes(single)
        scale_codes, factor = block_scales(amax, tensor, inner)
        scaled = blocks.astype(np.float32, copy=False) * factor[:, None]
    element: Any = fmt.element
    cast_run(element, scaled, cast, codes, index)
    return {"scale": scale_codes}


def _fused(
    blocks: NDArray[np.float32], fmt: Scaled, cast: Cast, inner: Scalar, codes: NDArray[Any], tensor: Tensor
) -> NDArray[Any] | None:
    """Codes of the block scales, elements in `codes`; None where the kernel does not cover the format or the blocks."""
    from formats.kernels.nvfp4 import encode_nvfp4

    element = fmt.element
    if not (isinstance(element, Minifloat) and isinstance(inner, Minifloat) and inner.bits <= 8):
        return None
    if cast.stochastic or not (runs_on_bits(element, FLOAT32) and runs_on_bits(inner, FLOAT32)):
        return None
    plan = minifloat_plan(element, cast, FLOAT32)
    if plan[10] != plan[12] or plan[11] != plan[13]:  # a product beyond float32 is an infinity, no finite overflow
        return None
    scales = np.empty(blocks.shape[0], np.uint8)
    finite = encode_nvfp4(
        blocks,
        tensor.to_scale,
        tensor.tensor_scale,
        np.float32(float(inner.max_finite)),
        minifloat_plan(inner, DEFAULT, FLOAT32),
        decode_tables(inner)[0],
        plan,
        codes,
        scales,
    )
    return scales if finite else None


te_nvfp4 = Recipe(
    planes=lambda fmt, cut: {"scale": one_a_block(_levels(fmt)[0], cut), "scale.scale": (_levels(fmt)[1], (1,))},
    begin=_begin,
    encode=lambda some: _encode(some.x, some.fmt, some.cast, some.codes, some.shared, some.index),
)
