"""NVFP4 as its other makers encode it, in float32, operation by operation.

Sources: TransformerEngine d0067d0d, quantize_4over6_nvfp4.cuh and reference_nvfp4.py; torchao 36027d82,
nvfp4_tensor.py; ggml d99724f2, ggml-quants.c and ggml-impl.h; fouroversix dadfad69, reference.py (nvint4).
Every float32 operation below is one rounding, in the order of the source.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from formats.block import Scaled
from formats.blocks.blocking import Cut
from formats.called import called
from formats.cast import DEFAULT
from formats.minifloat import Minifloat
from formats.recipes.common import float32_blocks, magnitudes, tensor_amax
from formats.recipes.tries import one_level
from formats.rules.finite import FLT_MAX
from formats.rules.nvfp4 import block_scales, tensor_scales
from formats.rules.recipe import Blocks, Codes, Places, Recipe, Whole, one_a_block
from formats.scalar import Scalar
from formats.scalars import codec as scalar_codec

F32 = np.float32
FLOAT32 = np.dtype(np.float32)
E4M3_SMALLEST_NORMAL = F32(2.0**-6)  # torchao's E4M3_EPS: torch.finfo(torch.float8_e4m3fn).tiny


def two_levels(fmt: Scaled) -> tuple[Scalar, Scalar]:
    """The formats of the block scales and of the tensor scale."""
    inner = fmt.scale.format
    if (
        not isinstance(inner, Scaled)
        or isinstance(inner.scale.format, Scaled)
        or not isinstance(inner.element, Minifloat)
    ):
        raise ValueError(
            f"encode: rule {fmt.rule!r} needs a block scale and one tensor scale, got {called(fmt.scale.format)}"
        )
    return inner.element, inner.scale.format


def _planes(fmt: Scaled, cut: Cut) -> Places:
    inner, outer = two_levels(fmt)
    return {"scale": one_a_block(inner, cut), "scale.scale": (outer, (1,))}


def _tensor_codes(fmt: Scaled, tensor_scale: Any) -> Codes:
    return {"scale.scale": scalar_codec.encode_codes(two_levels(fmt)[1], np.array([tensor_scale], F32), DEFAULT)}


def _scale_codes(fmt: Scalar, ideal: NDArray[np.float32]) -> tuple[NDArray[Any], NDArray[np.float32]]:
    """Block scales rounded to nearest, saturating: codes and what they decode to."""
    codes = scalar_codec.encode_codes(fmt, ideal.astype(F32, copy=False), DEFAULT)
    return codes, scalar_codec.decode_codes(fmt, codes, FLOAT32)


def _element(fmt: Scaled) -> Scalar:
    if not isinstance(fmt.element, Minifloat) and not hasattr(fmt.element, "max_integer"):
        raise ValueError(f"encode: rule {fmt.rule!r} takes one scalar element, got {called(fmt.element)}")
    return fmt.element  # type: ignore[return-value]


def _tensor_encode_scale(top: np.float32, amax: np.float32) -> np.float32:
    """top / amax, at most FLT_MAX; 1 for a tensor of zeros."""
    with np.errstate(divide="ignore", over="ignore", under="ignore"):
        scale = min(top / amax, FLT_MAX) if amax > 0 else F32(1)
    return F32(scale) if scale != 0 else F32(1)


def _transformer_engine_2d(some: Blocks) -> Codes:
    """TransformerEngine's default recipe with one scale for 16 x 16 elements, stored in each of the tile's 16 rows."""
    x, fmt = float32_blocks(some.x, some.fmt, some.cast), some.fmt
    over = tile_maxima(magnitudes(x), some.cut)
    scale_codes, factor = block_scales(over, some.shared, two_levels(fmt)[0])
    with np.errstate(over="ignore", under="ignore"):
        some.codes[...] = some.rounded(_element(fmt), x * factor[:, None])
    return {"scale": scale_codes}


def _begin_2d(whole: Whole) -> tuple[Any, Codes]:
    inner, _ = two_levels(whole.format)
    tensor = tensor_scales(float(tensor_amax(whole)), inner, _element(whole.format))
    return tensor, _tensor_codes(whole.format, tensor.tensor_scale)


def _tiles(fmt: Scaled, cut: Cut) -> tuple[int, ...]:
    """Rows of tiles are encoded together: whole ones where the words of the rule ask for tiles."""
    if "2d" not in fmt.rule.split("_"):
        return cut.extent
    _check_tiles(cut)
    return (*cut.extent[:-2], 16, cut.extent[-1])


def tile_maxima(amax: NDArray[np.float32], cut: Cut) -> NDArray[np.float32]:
    """For every block of 16 the largest magnitude of its 16 x 16 tile; the last tile may have fewer rows."""
    return _over_tiles(amax, cut, lambda rows: np.broadcast_to(rows.max(axis=-2, keepdims=True), rows.shape))


def _check_tiles(cut: Cut) -> None:
    if len(cut.grid) < 2 or cut.extent[-1] != 16 or any(extent != 1 for extent in cut.extent[:-1]):
        raise ValueError(f"encode: tiles of 16 x 16 need blocks of 16 in an array of two axes or more, got {cut.shape}")


def _over_tiles(
    values: NDArray[np.float32], cut: Cut, function: Callable[[NDArray[np.float32]], NDArray[np.float32]]
) -> NDArray[np.float32]:
    """function of [..., tiles, 16 rows, blocks], applied to one value a block."""
    _check_tiles(cut)
    grid = values.reshape(cut.grid)
    rows = -(-cut.grid[-2] // 16) * 16
    padded = np.pad(grid, [(0, 0)] * (grid.ndim - 2) + [(0, rows - cut.grid[-2]), (0, 0)])
    done = function(padded.reshape(*cut.grid[:-2], rows // 16, 16, cut.grid[-1]))
    return np.ascontiguousarray(done.reshape(padded.shape)[..., : cut.grid[-2], :]).reshape(-1)


def _four_over_six(some: Blocks) -> Codes:
    """Each block at scale amax / 6 or amax / 4, whichever decodes nearer; a tie keeps 6.

    Words of the rule: "448" lets block scales reach 448 instead of 256; "mse" sums squared differences instead of
    absolute ones, in float32 in the order of the elements; "2d" decides for tiles of 16 x 16, whose sixteen row sums
    are added as a tree.
    """
    x = float32_blocks(some.x, some.fmt, some.cast)
    words = some.fmt.rule.split("_")
    inner, _ = two_levels(some.fmt)
    amax = magnitudes(x)
    encode = some.shared[0]
    if "2d" in words:
        amax = tile_maxima(amax, some.cut)
    with np.errstate(over="ignore", under="ignore"):
        base = (amax / F32(6)) * encode
        tried = []
        for ideal in (base, base * F32(1.5)):
            scale_codes, scale = _scale_codes(inner, np.minimum(ideal, F32(448)))
            elements, difference = _attempt(some, x, scale)
            tried.append((scale_codes, elements, _error(difference, words, some.cut)))
    (codes6, q6, error6), (codes4, q4, error4) = tried
    four = error4 < error6
    some.codes[...] = np.where(four[:, None], q4, q6)
    return {"scale": np.where(four, codes4, codes6)}


def _begin_four_over_six(whole: Whole) -> tuple[Any, Codes]:
    """What block scales are multiplied by before they are stored, its inverse, and (largest magnitude, limit)."""
    amax = tensor_amax(whole)
    limit = F32(6 * (448 if "448" in whole.format.rule.split("_") else 256))
    encode = _tensor_encode_scale(limit, amax)
    with np.errstate(over="ignore", under="ignore"):
        tensor_scale = F32(1) / encode
    return (encode, tensor_scale, (amax, limit)), _tensor_codes(whole.format, tensor_scale)


def _attempt(
    some: Blocks, x: NDArray[np.float32], scale: NDArray[np.float32]
) -> tuple[NDArray[Any], NDArray[np.float32]]:
    """Element codes under one scale a block, and how far they decode from x."""
    _, tensor_scale, amax = some.shared
    with np.errstate(divide="ignore", invalid="ignore"):
        factor = np.minimum(F32(1) / (scale * tensor_scale), FLT_MAX)
    codes = some.rounded(_element(some.fmt), x * factor[:, None])
    values = scalar_codec.decode_codes(_element(some.fmt), codes, FLOAT32)
    return codes, ((values * scale[:, None]) * amax[0]) / amax[1] - x


def _error(difference: NDArray[np.float32], words: list[str], cut: Cut) -> NDArray[np.float32]:
    """One error a block, or the tile's for each of its blocks."""
    each = difference * difference if "mse" in words else np.abs(difference)
    sums = np.zeros(each.shape[0], F32)
    for i in range(each.shape[1]):
        sums = sums + each[:, i]
    return _over_tiles(sums, cut, _tree) if "2d" in words else sums


def _tree(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sixteen rows added as (0..7) + (8..15), then halves again: the order of a shuffle-down."""
    total = rows
    for half in (8, 4, 2, 1):
        total = total[..., :half, :] + total[..., half : 2 * half, :]
    return np.broadcast_to(total, rows.shape)


def _torchao(some: Blocks) -> Codes:
    """torchao's nvfp4_quantize, with a tensor scale or, where the scale is one E4M3 a block, without.

    Block scales stop at 2**-6, the smallest normal E4M3: a block of zeros stores that.
    """
    x, fmt, tensor_scale = float32_blocks(some.x, some.fmt, some.cast), some.fmt, some.shared
    per_block = magnitudes(x) / F32(6)
    if not isinstance(fmt.scale.format, Scaled):
        scale_codes, scale = _scale_codes(fmt.scale.format, np.clip(per_block, E4M3_SMALLEST_NORMAL, F32(448)))
        some.codes[...] = some.rounded(_element(fmt), x * (F32(1) / scale)[:, None])
        return {"scale": scale_codes}
    inner, _ = two_levels(fmt)
    with np.errstate(divide="ignore", over="ignore", under="ignore", invalid="ignore"):
        ideal = per_block / tensor_scale if tensor_scale > 0 else np.zeros_like(per_block)
        scale_codes, scale = _scale_codes(inner, np.clip(ideal, E4M3_SMALLEST_NORMAL, F32(448)))
        factor = (F32(1) / tensor_scale) / scale if tensor_scale > 0 else np.zeros_like(scale)
        scaled = np.clip(np.nan_to_num(x * factor[:, None], nan=0.0), F32(-6), F32(6))
    some.codes[...] = some.rounded(_element(fmt), scaled)
    return {"scale": scale_codes}


def _torchao_planes(fmt: Scaled, cut: Cut) -> Places:
    return _planes(fmt, cut) if isinstance(fmt.scale.format, Scaled) else {"scale": one_a_block(one_level(fmt), cut)}


def _begin_torchao(whole: Whole) -> tuple[Any, Codes]:
    if not isinstance(whole.format.scale.format, Scaled):
        return None, {}
    with np.errstate(under="ignore"):
        tensor_scale = tensor_amax(whole) / F32(448 * 6)
    return tensor_scale, _tensor_codes(whole.format, tensor_scale)


def ggml_ue4m3(x: NDArray[np.float32]) -> NDArray[np.uint8]:
    """ggml's fp32_to_ue4m3: half up on one bit, subnormals capped at code 7, everything from 248 up to 0x7E."""
    clipped = np.where(x > 0, np.minimum(x, F32(448)), F32(0))
    bits = clipped.view(np.uint32).astype(np.int64)
    exponent = (bits >> 23) - 127 + 7
    trailing = (bits >> 20) & 7
    rounded = trailing + ((bits >> 19) & 1)
    normal = (np.minimum(exponent + (rounded == 8), 15) << 3) | (rounded & 7)
    normal = np.where((exponent >= 15) | (normal >= 15 << 3), 0x7E, normal)
    subnormal = np.minimum((clipped * F32(512) + F32(0.5)).astype(np.int64), 7)
    return np.where(clipped == 0, 0, np.where(exponent <= 0, subnormal, normal)).astype(np.uint8)


def _gguf(some: Blocks) -> Codes:
    """ggml's quantize_row_nvfp4_ref: one UE4M3 a block, no tensor scale, elements by smallest float32 error.

    Ties go to the smaller magnitude and minus zero is never written, whatever the cast says of rounding.
    """
    from formats.kernels.gguf import nearest_e2m1

    x, held = float32_blocks(some.x, some.fmt, some.cast), one_level(some.fmt)
    scale_codes = ggml_ue4m3(magnitudes(x) / F32(6))
    nearest_e2m1(x, scalar_codec.decode_codes(held, scale_codes, FLOAT32) * F32(0.5), DOUBLED_E2M1[:8], some.codes)
    return {"scale": scale_codes}


DOUBLED_E2M1 = np.array([0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12], np.float32)


def nearest_doubled_e2m1(x: NDArray[np.float32], step: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The first of the sixteen codes whose value times step is nearest in float32: ggml's best_index_mxfp4.

    The definition of kernels.gguf.nearest_e2m1, which the encoders run.
    """
    best = np.zeros(x.shape, np.uint8)
    with np.errstate(over="ignore", invalid="ignore"):
        smallest = np.abs(DOUBLED_E2M1[0] * step[:, None] - x)
        for code in range(1, 16):
            error = np.abs(DOUBLED_E2M1[code] * step[:, None] - x)
            nearer = error < smallest
            best[nearer] = code
            smallest = np.where(nearer, error, smallest)
    return best


def _static_levels(some: Blocks) -> Codes:
    """fouroversix's compute_nv_scale_factors with one fixed target: NVINT4, whose largest element is 7.

    Block scale: fl(fl(amax / top) * fl(top * 448 / amax of the tensor)) in E4M3; a scale of zero leaves zeros.
    """
    x, fmt = float32_blocks(some.x, some.fmt, some.cast), some.fmt
    inner, _ = two_levels(fmt)
    encode, decode = some.shared
    with np.errstate(divide="ignore", over="ignore", under="ignore", invalid="ignore"):
        scale_codes, scale = _scale_codes(inner, (magnitudes(x) / F32(float(fmt.element.max_finite))) * encode)
        factor = F32(1) / (decode * scale)
        scaled = np.where(scale[:, None] != 0, x * factor[:, None], F32(0))
    some.codes[...] = some.rounded(_element(fmt), scaled.astype(F32, copy=False))
    return {"scale": scale_codes}


def _begin_static(whole: Whole) -> tuple[Any, Codes]:
    """top * 448 / amax and its inverse; zeros for a tensor of zeros."""
    inner, _ = two_levels(whole.format)
    limit, amax = F32(float(whole.format.element.max_finite * inner.max_finite)), tensor_amax(whole)
    with np.errstate(divide="ignore", over="ignore", under="ignore", invalid="ignore"):
        encode = min(limit / amax, FLT_MAX) if amax > 0 else F32(0)  # ours: the source's is infinite for subnormals
        decode = F32(1) / encode if amax > 0 else F32(0)
    return (encode, decode), _tensor_codes(whole.format, decode)


transformer_engine_2d = Recipe(planes=_planes, begin=_begin_2d, encode=_transformer_engine_2d, together=_tiles)
four_over_six = Recipe(planes=_planes, begin=_begin_four_over_six, encode=_four_over_six, together=_tiles)
torchao = Recipe(planes=_torchao_planes, begin=_begin_torchao, encode=_torchao)
gguf = Recipe(planes=lambda fmt, cut: {"scale": one_a_block(one_level(fmt), cut)}, encode=_gguf)
static_levels = Recipe(planes=_planes, begin=_begin_static, encode=_static_levels)
