"""Scales of two levels whose source has an encoder of its own: QServe, DGQ, bitsandbytes' double quantisation.

Sources: mit-han-lab/deepcompressor 69f3473f quantizer/impl (QServe's QoQ), ilur98/DGQ 141eef7e quantizer_helper.py and
quant_linear.py, bitsandbytes 95f9af30 functional.py, ZeroQuant-FP (arXiv 2307.09782). float32 arithmetic as there.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from formats.block import Scaled
from formats.blocks.blocking import Cut, plan_cut
from formats.called import called
from formats.cast import Cast
from formats.elements import Nested, is_scalar
from formats.plans.scalar import code_dtype
from formats.recipes.common import float32_blocks
from formats.recipes.tries import FLOAT32_END, PIECE, float32_quotients, magnitudes_of, one_level, stored, write
from formats.rules.finite import FLT_MAX
from formats.rules.recipe import Blocks, Codes, Places, Recipe, Whole, one_a_block
from formats.scalar import Scalar
from formats.scalars import codec as scalar_codec

F32 = np.float32
FLOAT64 = np.dtype(np.float64)
Array = NDArray[Any]


def _nested(fmt: Scaled) -> Scaled:
    if not isinstance(fmt.element, Nested):
        raise ValueError(f"encode: rule {fmt.rule!r} takes a Nested element, got {called(fmt.element)}")
    return fmt.element.format


def _groups(x: Array, fmt: Scaled, inner: Scaled) -> Array:
    """Rows cut into the groups of a nested format: [blocks, groups, size]."""
    return x.reshape(x.shape[0], _number_of_groups(fmt, inner, x.shape[1]), -1)


def _number_of_groups(fmt: Scaled, inner: Scaled, length: int) -> int:
    size = inner.block.shape[-1]
    if length % size:
        raise ValueError(
            f"encode: groups of {size} in {called(fmt)} do not divide its blocks of {length}; pad x along the axis"
        )
    return length // size


def _integers(fmt: Any, values: Array) -> Array:
    """Codes of whole numbers in an integer format."""
    return np.asarray((values.astype(np.int64) % (1 << fmt.bits)).astype(code_dtype(fmt.bits)))


def _nested_planes(fmt: Scaled, cut: Cut, keys: tuple[str, ...]) -> Places:
    """A scale a block, and of every group within what `keys` say."""
    inner: Any = _nested(fmt)
    groups = (*cut.grid[:-1], cut.grid[-1] * _number_of_groups(fmt, inner, cut.size))
    places = {f"element.{key}": (getattr(inner, key).format, groups) for key in keys}
    return {"scale": one_a_block(one_level(fmt), cut)} | places


def _qserve(some: Blocks) -> Codes:
    """QServe's progressive quantisation: a row's scale, then groups of 4-bit numbers whose products are 8-bit integers.

    With a shift (the published configuration's PostScale) the row's largest is put at 120 and a group is q * s + z, z
    the rounded minimum; with an offset (PreScale, the paper's) at 119 and a group is (q - z) * s, its range widened to
    hold zero, as z is one of 0..15. Both limits keep every product in -127..127. The row is not rounded to integers in
    between. A scale of zero is 1.
    """
    fmt = some.fmt
    x, inner = float32_blocks(some.x, fmt, some.cast), _nested(fmt)
    moved = _moved(fmt)
    top = F32(120 if moved == "shift" else 119)
    held = one_level(fmt)
    scale = stored(held, magnitudes_of(x).astype(F32) / top, Cast())[1]
    scale = np.where(scale > 0, scale, 1.0)
    row = np.clip(float32_quotients(x, scale), -top, top)
    t = _groups(row, fmt, inner)
    low, high = t.min(axis=2), t.max(axis=2)
    if moved == "offset":  # DynamicRange.measure: a range before the scale has zero in it
        low, high = np.minimum(low, F32(0)), np.maximum(high, F32(0))
    step = np.minimum(np.rint((high - low) / F32(15)), F32(127))
    step = np.where(step > 0, step, F32(1)).astype(F32)
    if moved == "shift":
        zero = np.rint(-low)
        q = np.rint((t + zero[:, :, None]) / step[:, :, None])
        zero = -zero
    else:
        zero = np.clip(np.rint(-low / step), 0, 15)
        q = np.rint(t / step[:, :, None] + zero[:, :, None])
    some.codes[...] = np.clip(q, 0, 15).reshape(x.shape)
    return {
        "scale": scalar_codec.encode_codes(held, scale, Cast()),
        "element.scale": _integers(inner.scale.format, step),
        f"element.{moved}": _integers(getattr(inner, moved).format, zero),
    }


def _moved(fmt: Scaled) -> str:
    inner = _nested(fmt)
    if (inner.shift is None) == (inner.offset is None):
        raise ValueError(
            f"encode: rule {fmt.rule!r} needs groups with either a shift or an offset, got {called(inner)}"
        )
    return "offset" if inner.shift is None else "shift"


qserve = Recipe(planes=lambda fmt, cut: _nested_planes(fmt, cut, ("scale", _moved(fmt))), encode=_qserve)


def _dgq(some: Blocks) -> Codes:
    """DGQ: a group's range shrunk in 20 steps, then a row's 8-bit scale in 80, each by squared error.

    Group scales become integers S >= 1 under the row's; q - z is held within floor(127 / S), so that products stay in
    8 bits. The source compares outputs of calibration data; this compares the weights. A group of one value has scale
    and zero point of 1 and 0.
    """
    fmt = some.fmt
    x, inner = float32_blocks(some.x, fmt, some.cast), _nested(fmt)
    held, w = one_level(fmt), _groups(x, fmt, inner)
    kept = np.empty(x.shape[0], F32)
    steps, zeros = (np.empty(w.shape[:2], F32) for _ in range(2))
    rows = max(1, PIECE // x.shape[1])  # each is searched for itself, so that what is tried stays in cache
    for first in range(0, x.shape[0], rows):
        these = slice(first, first + rows)
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):  # what leaves float32 is not taken
            q, steps[these], zeros[these], kept[these] = _dgq_rows(w[these], held)
        some.codes[these] = q.reshape(-1, x.shape[1])
    return {
        "scale": stored(held, kept, Cast())[0],
        "element.scale": _integers(inner.scale.format, steps),
        "element.offset": _integers(_offset(fmt), zeros),
    }


def _offset(fmt: Scaled) -> Any:
    inner = _nested(fmt)
    if inner.offset is None or inner.shift is not None:
        raise ValueError(f"encode: rule {fmt.rule!r} needs groups with an offset, got {called(inner)}")
    return inner.offset.format


def _dgq_planes(fmt: Scaled, cut: Cut) -> Places:
    _offset(fmt)
    return _nested_planes(fmt, cut, ("scale", "offset"))


dgq = Recipe(planes=_dgq_planes, encode=_dgq)


def _dgq_rows(w: NDArray[np.float32], held: Scalar) -> tuple[Array, Array, Array, Array]:
    """Codes, integer scales and zero points of the groups, and the scales of the rows."""
    scale, zero = _dgq_groups(w, held)
    amax = np.abs(w).max(axis=(1, 2), initial=0)
    best, kept = np.full(w.shape[0], np.inf), np.ones(w.shape[0], F32)
    for i in range(80):
        limit = np.minimum(amax * F32(1.02 - (i + 1) / 80 * 0.82), FLT_MAX)
        row = np.where(amax > 0, np.maximum(limit / F32(127), np.finfo(F32).smallest_subnormal), F32(1))
        q, step = _dgq_codes(w, scale, zero, row)
        value = (step * row[:, None])[:, :, None] * (q - zero[:, :, None])
        error = ((value.astype(np.float64) - w) ** 2).sum(axis=(1, 2))
        better = error < best
        best, kept = np.where(better, error, best), np.where(better, row, kept).astype(F32)
    kept = stored(held, kept, Cast())[1].astype(F32)
    return *_dgq_codes(w, scale, zero, kept, held), zero, kept


def _dgq_groups(w: NDArray[np.float32], held: Scalar) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Scale (in the row scale's format, bfloat16 as published) and zero point of every group."""
    low, high = w.min(axis=2), w.max(axis=2)
    best = np.full(low.shape, np.inf)
    scale, zero = np.ones(low.shape, F32), np.zeros(low.shape, F32)
    for i in range(20):
        ratio = F32(1.02 - (i + 1) / 20 * 0.22)
        step = (high * ratio - low * ratio) / F32(15)
        step = np.where(np.isfinite(step), step, np.nan)  # its error is none, and it is not taken
        flat = step == 0
        step = np.where(flat, F32(1), step)
        z = np.where(flat, F32(0), np.clip(np.rint(-low * ratio / step), -128, 127)).astype(F32)
        inside = np.clip(w, (low * ratio)[:, :, None], (high * ratio)[:, :, None])
        q = np.clip(np.rint(inside / step[:, :, None]) + z[:, :, None], 0, 15)
        error = ((step[:, :, None] * (q - z[:, :, None]) - w).astype(np.float64) ** 2).sum(axis=2)
        better = error < best
        best = np.where(better, error, best)
        scale, zero = np.where(better, step, scale).astype(F32), np.where(better, z, zero).astype(F32)
    if np.isinf(best).any():
        raise ValueError(
            f"encode: a group of x spans {float(high.max()) - float(low.min()):g}, and rule 'dgq' is computed in "
            "float32; scale x first"
        )
    return stored(held, scale, Cast())[1].astype(F32), zero


def _dgq_codes(
    w: Array, scale: Array, zero: Array, row: Array, held: Scalar | None = None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Codes and integer group scales under the rows' scales. held: what their quotients and products are rounded to
    once the source has chosen (bfloat16); None for float32, while it searches.
    """

    def rounded(values: Array) -> NDArray[np.float32]:
        return values.astype(F32) if held is None else stored(held, values, Cast())[1].astype(F32)

    step = np.clip(np.rint(rounded(scale / row[:, None])), F32(1), F32(127))
    reach = np.floor(F32(127) / step)
    upper, lower = np.minimum(zero + reach, F32(15)), np.maximum(zero - reach, F32(0))
    limit = (F32(127) * row)[:, None, None]
    q = np.rint(np.clip(w, -limit, limit) / rounded(step * row[:, None])[:, :, None]) + zero[:, :, None]
    return np.clip(q, lower[:, :, None], upper[:, :, None]), step


def _double_levels(fmt: Scaled) -> tuple[Scaled, Scalar, Scalar, Scalar]:
    """The format of the scales, and its element, scale and shift."""
    inner = fmt.scale.format
    if not isinstance(inner, Scaled) or inner.shift is None or isinstance(inner.scale.format, Scaled):
        raise ValueError(
            f"encode: rule {fmt.rule!r} needs scales with a scale and a shift of their own, got {called(inner)}"
        )
    if not is_scalar(fmt.element) or not is_scalar(inner.element) or isinstance(inner.shift.format, Scaled):
        raise ValueError(f"encode: rule {fmt.rule!r} takes scalar elements and scales, got {called(fmt)}")
    return inner, inner.element, inner.scale.format, inner.shift.format


def _double_planes(fmt: Scaled, cut: Cut) -> Places:
    inner, element, outer, shift = _double_levels(fmt)
    second = plan_cut(cut.grid, inner.block, -1, True)
    return {"scale": (element, second.padded), "scale.scale": (outer, second.grid), "scale.shift": (shift, (1,))}


def _double_begin(whole: Whole) -> tuple[Any, Codes]:
    """All scales: amax in float64 (8 bytes a block are held), less their mean, as 8-bit codes in blocks.

    The mean is rounded to float32 once (the source's depends on how PyTorch sums). The last block of scales is filled
    up with the mean.
    """
    fmt, cut = whole.format, whole.cut
    inner, element, outer_format, shift_format = _double_levels(fmt)
    scale = _magnitudes(whole) / float(fmt.element.max_finite)
    shift_codes, shift = stored(shift_format, scale.mean(keepdims=True), Cast(), False)
    second = plan_cut(cut.grid, inner.block, -1, True)
    rest = np.zeros((prod(second.grid), second.size), F32)
    rest.reshape(-1)[: scale.size] = scale.astype(F32) - F32(shift[0])
    outer_codes, outer = stored(outer_format, np.abs(rest).max(axis=1), Cast())
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        inverse = F32(1) / outer.astype(F32)[:, None]
        # Below 2**-128 the inverse is infinite at the source; there this divides.
        ratio = np.where(np.isfinite(inverse), rest * inverse, rest / outer.astype(F32)[:, None])
        ratio = np.where(outer[:, None] > 0, ratio, F32(0)).astype(F32)
    codes = scalar_codec.encode_codes(element, ratio, Cast())
    _check_scales(scalar_codec.decode_codes(element, codes, FLOAT64) * outer[:, None] + shift[0], fmt)
    return scale, {"scale": codes, "scale.scale": outer_codes, "scale.shift": shift_codes}


def _check_scales(scale: Array, fmt: Scaled) -> None:
    """Refuse scales that make the largest element more than float32 holds: the sum of their parts may."""
    if float(scale.max()) * float(fmt.element.max_finite) >= FLOAT32_END:
        raise ValueError(
            f"encode: x reaches {float(scale.max()):g}, where scales of {called(fmt)} leave float32; scale x first"
        )


def _magnitudes(whole: Whole) -> NDArray[np.float64]:
    """Largest magnitude of every block."""
    amax = np.empty(prod(whole.cut.grid))
    for some in whole.parts():
        amax[some.numbers] = magnitudes_of(float32_blocks(some.x, some.fmt, some.cast))
    return amax


def _double(some: Blocks) -> Codes:
    """Elements under the scale that `begin` found for their block: bitsandbytes' own amax, whatever is stored of it."""
    assert is_scalar(some.fmt.element)
    x = float32_blocks(some.x, some.fmt, some.cast)
    write(some, x, [some.fmt.element], np.zeros(x.shape[0], np.int64), some.shared[some.numbers])
    return {}


double = Recipe(planes=_double_planes, begin=_double_begin, encode=_double)


def _m2_levels(fmt: Scaled) -> tuple[Scaled, Scalar, Scalar]:
    """The format of the scales, its halvings, and the scale above them."""
    inner = fmt.scale.format
    if not isinstance(inner, Scaled) or not is_scalar(inner.element) or isinstance(inner.scale.format, Scaled):
        raise ValueError(
            f"encode: rule {fmt.rule!r} needs powers of two under one scale a row or tensor, got {called(inner)}"
        )
    if not is_scalar(fmt.element):
        raise ValueError(f"encode: rule {fmt.rule!r} takes one scalar element, got {called(fmt.element)}")
    return inner, inner.element, inner.scale.format


def _m2_planes(fmt: Scaled, cut: Cut) -> Places:
    inner, element, outer = _m2_levels(fmt)
    one = (1,) if inner.block.flat else (*cut.grid[:-1], 1)
    return {"scale": one_a_block(element, cut), "scale.scale": (outer, one)}


def _m2_begin(whole: Whole) -> tuple[Any, Codes]:
    """ZeroQuant-FP's M2: scales that are the group's largest over 2**k, k = ceil(log2(largest / own)).

    Such a scale is the block's own or less, down to half of it: its largest elements saturate. k is exact, from the
    largest magnitudes; beyond the table of halvings it stops there, and a block of zeros takes the last. Some 40 bytes
    a block are held.
    """
    fmt, cut = whole.format, whole.cut
    inner, element, outer_format = _m2_levels(fmt)
    amax = _magnitudes(whole).reshape(cut.grid)
    largest = np.broadcast_to(amax.max() if inner.block.flat else amax.max(axis=-1, keepdims=True), amax.shape)
    ftop, etop = np.frexp(largest)
    fown, eown = np.frexp(np.where(amax > 0, amax, 2.0**-1000))
    k = np.clip(etop - eown + (ftop > fown), 0, len(element.values()) - 1)  # smallest with own * 2**k >= largest
    one = largest.reshape(-1)[:1] if inner.block.flat else largest[..., :1]
    outer_codes, outer = stored(outer_format, one / float(fmt.element.max_finite), Cast())
    above = np.broadcast_to(outer.reshape(-1) if inner.block.flat else outer, amax.shape)
    scale = (above * np.ldexp(1.0, -k)).reshape(-1)
    return scale, {"scale": k.astype(code_dtype(element.bits)), "scale.scale": outer_codes}


zeroquant_m2 = Recipe(planes=_m2_planes, begin=_m2_begin, encode=_double)
