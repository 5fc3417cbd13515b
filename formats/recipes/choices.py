"""Recipes that choose a data type a block, in float32 as their sources compute: BitMoD, RaZeR, ANT; and OliVe's pairs.

Sources: abdelfattah-lab/BitMoD-HPCA-25 auto_dtype.py; yc2367/NVFP4-RaZeR 82ecc9a0 quantizer.py;
clevercool/ANT-Quantization bc840673 quant_modules.py of ant_quantization and olive_quantization.
Quotients are float32 divisions as there; errors are summed in float64, where the sources sum float16 or float32.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from formats.block import Scaled
from formats.blocks.blocking import Cut
from formats.called import called
from formats.cast import Cast
from formats.elements import Choice, is_scalar
from formats.minifloat import Minifloat
from formats.plans.scalar import decode_tables
from formats.recipes.chooser import Chooser, choose, parts_of, selector_plane
from formats.recipes.common import float32_blocks, scalar_element, tensor_amax
from formats.recipes.tries import (
    float32_quotients,
    magnitudes_of,
    one_level,
    searching,
    stored,
    tried,
    write,
)
from formats.rules.recipe import Blocks, Codes, Places, Recipe, Whole, one_a_block
from formats.scalar import Scalar
from formats.scalars import codec as scalar_codec

F32 = np.float32
FLOAT32 = np.dtype(np.float32)
FLOAT64 = np.dtype(np.float64)
Array = NDArray[Any]
E2M1 = Minifloat(exponent_bits=2, trailing_significand_bits=1, specials="none")


def _top(part: Any) -> float:
    """Largest magnitude of a candidate."""
    return float(max(part.max_finite, -part.min_finite))


def _bitmod_tries(some: Blocks, chooser: Chooser) -> tuple[Array, NDArray[np.float64], NDArray[np.float64]]:
    """The blocks, and the smallest errors and the scales of their candidates."""
    x, parts = float32_blocks(some.x, some.fmt, some.cast), parts_of(some.fmt)
    amax = magnitudes_of(x).astype(F32)
    scales = [(amax / F32(_top(part))).astype(np.float64)[None] for part in parts]
    return x, *tried(some, x, parts, scales, chooser.criterion, float32_quotients)


def _bitmod(some: Blocks) -> Codes:
    """Each candidate at amax / largest magnitude; elements are rounded under that float32 scale, which is then stored.

    Scales of two levels: the row's is its largest / 255 (or the largest of whatever unsigned integer they are), a
    group's the nearest multiple, ties to even, which may be zero.
    """
    fmt, parts = some.fmt, parts_of(some.fmt)
    if some.shared is not None:
        pick, kept = some.shared
        x, at = float32_blocks(some.x, fmt, some.cast), some.numbers
        write(some, x, parts, pick[at], kept[at].astype(np.float64), float32_quotients)
        return {}
    chooser = Chooser(fmt, some.cut)
    x, errors, scales = _bitmod_tries(some, chooser)
    pick = chooser.pick(some, errors)
    scale = scales[pick, np.arange(pick.size)]
    write(some, x, parts, pick, scale, float32_quotients)
    return {"scale": stored(one_level(fmt), scale.astype(F32), Cast())[0]} | chooser.selector(some, pick)


def _bitmod_begin(whole: Whole) -> tuple[Any, Codes]:
    """Choices and float32 scales of all blocks where other blocks have a say: 5 bytes a block, and as many a candidate
    where more blocks than fit into a slab choose together.
    """
    fmt, cut = whole.format, whole.cut
    chooser = Chooser(fmt, cut)
    if not (chooser.gathers or isinstance(fmt.scale.format, Scaled)):
        return None, {}
    pick, scale, selector = choose(whole, chooser, F32, lambda some: _bitmod_tries(some, chooser)[1:])
    return (pick, scale), two_level_scales(fmt, scale.reshape(cut.grid)) | selector


def two_level_scales(fmt: Scaled, scale: NDArray[np.float32]) -> Codes:
    """Scales (in the shape of the grid) in their format, or as integers under largest / largest integer a row."""
    inner = fmt.scale.format
    if not isinstance(inner, Scaled):
        return {"scale": stored(inner, scale, Cast())[0]}
    element, outer = _row_levels(fmt)
    largest = scale.max() if inner.block.flat else scale.max(axis=-1, keepdims=True)
    codes, step = stored(outer, np.atleast_1d(largest / F32(float(element.max_finite))), Cast())
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(step > 0, scale / step.astype(F32), F32(0)).astype(F32)
    return {"scale": scalar_codec.encode_codes(element, ratio, Cast()), "scale.scale": codes}


def _row_levels(fmt: Scaled) -> tuple[Scalar, Scalar]:
    """The formats of integer scales and of what is above them."""
    inner = fmt.scale.format
    assert isinstance(inner, Scaled)
    element, outer = inner.element, inner.scale.format
    if isinstance(outer, Scaled) or not is_scalar(element) or not hasattr(element, "max_integer"):
        raise ValueError(
            f"encode: rule {fmt.rule!r} needs integers under one scale a row or a tensor, got {called(inner)}"
        )
    if inner.block.shape != (0,):
        raise ValueError(
            f"encode: rule {fmt.rule!r} needs integers under one scale a row or a tensor, got {called(inner)}"
        )
    return element, outer


def _bitmod_planes(fmt: Scaled, cut: Cut) -> Places:
    parts_of(fmt)
    inner = fmt.scale.format
    if not isinstance(inner, Scaled):
        return {"scale": one_a_block(one_level(fmt), cut)} | selector_plane(fmt, cut)
    element, outer = _row_levels(fmt)
    rows = (1,) if inner.block.flat else (*cut.grid[:-1], 1)
    return {"scale": one_a_block(element, cut), "scale.scale": (outer, rows)} | selector_plane(fmt, cut)


bitmod = Recipe(
    planes=_bitmod_planes, begin=_bitmod_begin, encode=_bitmod,
    together=lambda fmt, cut: Chooser(fmt, cut).together,
)  # fmt: skip


def _tensor_levels(fmt: Scaled) -> tuple[Scalar, Scalar]:
    """The formats of the block scales and of the tensor's."""
    inner = fmt.scale.format
    if not isinstance(inner, Scaled) or isinstance(inner.scale.format, Scaled) or not inner.block.flat:
        raise ValueError(f"encode: rule {fmt.rule!r} needs block scales under one tensor scale, got {called(inner)}")
    return scalar_element(inner), inner.scale.format


def _tensor_scale(whole: Whole, limit: float) -> tuple[np.float32, Codes]:
    """amax / limit as it is stored (1 for a tensor of zeros), by which x is divided."""
    amax, (_, outer) = tensor_amax(whole), _tensor_levels(whole.format)
    # one that float32 cannot hold, of an array of subnormals, is the smallest instead of zero
    scale = max(amax / F32(limit), np.finfo(F32).smallest_subnormal) if amax > 0 else F32(1)
    codes, value = stored(outer, np.array([scale], F32), Cast())
    return F32(value[0]), {"scale.scale": codes}


def _razer_planes(fmt: Scaled, cut: Cut) -> Places:
    if not isinstance(fmt.element, Choice) or fmt.element.block not in (None, fmt.block):
        raise ValueError(
            f"encode: rule {fmt.rule!r} takes a Choice of tables for every block, got {called(fmt.element)}"
        )
    held, outer = _tensor_levels(fmt)
    return {"scale": one_a_block(held, cut), "scale.scale": (outer, (1,))} | selector_plane(fmt, cut)


RAZER_TRIES = (0, 2, 1, 3)  # +5, -5, +8, -8 among candidates that count as the scale byte's two top bits do


def _razer(some: Blocks) -> Codes:
    """RaZeR weights: four special values, block scales of six bits from 2**-5 to 28 under amax / 168 of the tensor.

    Candidates are +5, +8, -5, -8, so that the selector is the two top bits of the published scale byte; they are tried
    in the published order. The source rounds scales below 1/4 to E4M3, finer than the six bits it exports; here they
    are E3M3 throughout.
    """
    x, parts, (held, _) = float32_blocks(some.x, some.fmt, some.cast), parts_of(some.fmt), _tensor_levels(some.fmt)
    scaled = x / some.shared
    amax = magnitudes_of(scaled).astype(F32)
    turns = [parts[k] for k in RAZER_TRIES]
    ideal = [np.clip(amax / F32(_top(part)), F32(2.0**-5), F32(28)) for part in turns]
    scales = [stored(held, each, Cast())[1][None] for each in ideal]
    errors, kept = tried(some, scaled, turns, scales, divide=float32_quotients)
    turn = errors.argmin(axis=0)
    pick, scale = np.array(RAZER_TRIES)[turn], kept[turn, np.arange(turn.size)]
    write(some, scaled, parts, pick, scale, float32_quotients)
    return {"scale": scalar_codec.encode_codes(held, scale, Cast()), "selector": pick.astype(np.uint8)}


def _four_tables(fmt: Scaled, cut: Cut) -> Places:
    if not isinstance(fmt.element, Choice) or len(parts_of(fmt)) != 4:
        raise ValueError(f"encode: rule {fmt.rule!r} takes a Choice of four tables, got {called(fmt.element)}")
    return _razer_planes(fmt, cut)


razer = Recipe(planes=_four_tables, begin=lambda whole: _tensor_scale(whole, 6.0 * 28), encode=_razer)


def razer_bytes(scale: Array, selector: Array) -> NDArray[np.uint8]:
    """RaZeR's published scale bytes: six bits of scale, bit 6 for 8 instead of 5, bit 7 for a negative special."""
    return (scale.astype(np.uint8) | (selector.astype(np.uint8) << 6)).astype(np.uint8)


def _razer_activations(some: Blocks) -> Codes:
    """RaZeR activations: NVFP4 scales, specials -5 and +5, chosen as published, which is not by error.

    E2M1 halves go away from zero (whatever the cast); the special is written wherever E2M1 is not strictly nearer. The
    source compares sum((element - block scale)**2), not the elements with what they stand for: so does this. E2M1
    saturates at 6 here; there it runs on where a block scale was rounded down by more than a sixth.
    """
    x, parts, (held, _) = float32_blocks(some.x, some.fmt, some.cast), parts_of(some.fmt), _tensor_levels(some.fmt)
    scaled = x / some.shared
    ideal = np.clip(magnitudes_of(scaled).astype(F32) / F32(6), F32(2.0**-9), F32(448))
    scale_codes, scale = stored(held, ideal, Cast())
    q = float32_quotients(scaled, scale)
    plain = scalar_codec.encode_codes(E2M1, q, Cast(rounding="ties_away"))
    plain = np.where(plain == 8, 0, plain).astype(plain.dtype)  # the code of minus zero is the special's
    value = scalar_codec.decode_codes(E2M1, plain, FLOAT32)
    best, pick = np.full(x.shape[0], np.inf), np.zeros(x.shape[0], np.int64)
    for k, part in enumerate(parts):
        special = F32(decode_tables(part)[0][8])
        own = np.where(np.abs(q - value) < np.abs(q - special), plain, np.uint8(8))
        each = decode_tables(part)[1][own] - scale[:, None]
        error = (each * each).sum(axis=1)
        better = error < best
        best, pick = np.where(better, error, best), np.where(better, k, pick)
        some.codes[better] = own[better]
    return {"scale": scale_codes, "selector": pick.astype(np.uint8)}


razer_activations = Recipe(
    planes=_razer_planes, begin=lambda whole: _tensor_scale(whole, 6.0 * 448), encode=_razer_activations
)


def _alphas(base: Array, percents: range) -> NDArray[np.float32]:
    """[steps, blocks]: base times whole percents, in float32 as PyTorch multiplies by a Python number."""
    with np.errstate(over="ignore"):  # what leaves float32 stops at its end, and is no nearer for that
        return np.stack([np.minimum(base.astype(F32) * F32(i * 0.01), np.finfo(F32).max) for i in percents])


def _ant_tries(x: Array, fmt: Scaled) -> list[NDArray[np.float64]]:
    """ANT: every type at amax times 0.75 to 1.49 (0.95 on, beyond six bits) over its largest value; the best of each.

    A group of blocks (the Choice's own block) takes one type, by the sum of the errors of its blocks' best scales.
    """
    held = one_level(fmt)
    alphas = _alphas(magnitudes_of(x), range(75 if fmt.element.bits <= 6 else 95, 150))
    return [stored(held, alphas / F32(float(part.max_finite)), Cast())[1] for part in parts_of(fmt)]


def _olive_tries(x: Array, fmt: Scaled) -> list[NDArray[np.float64]]:
    """OliVe: max |mean +- 3 sigma| times 0.75 to 2.49 in steps of 0.02 over the largest ordinary value, by error.

    sigma is the unbiased estimate, mean and sigma rounded to float32 once; a block of one element has sigma 0. Errors
    count victims. The published ranges of percents are arguments; these are the scripts' for weights. Blocks are held
    whole, however large: mean and sigma are NumPy's pairwise sums.
    """
    held = one_level(fmt)
    mean = x.mean(axis=1, dtype=np.float64)
    wide = x.astype(np.float64) - mean[:, None]
    with np.errstate(over="ignore"):
        sigma = np.sqrt((wide * wide).sum(axis=1) / max(1, x.shape[1] - 1)).astype(F32)
        reach = np.maximum(np.abs(mean.astype(F32) + F32(3) * sigma), np.abs(mean.astype(F32) - F32(3) * sigma))
    alphas = _alphas(reach, range(75, 250, 2))
    return [stored(held, alphas / F32(float(part.max_finite)), Cast())[1] for part in parts_of(fmt)]


ant = searching(_ant_tries, float32_blocks, float32_quotients)
olive = searching(_olive_tries, float32_blocks, float32_quotients, of_amax=False)
