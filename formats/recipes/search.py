"""Recipes that search: the candidates of a Choice at absmax, grids of scales, powers of two, real exponent biases.

Sources: GPTQ's quantizer ("mse", its grid of 80 ratios, under squared error), P2-ViT c891f6e7 minmax.py and ptf.py,
LLM-FP4 0598c95c fp_linear.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from formats.block import Scaled
from formats.blocks.blocking import Cut, plan_cut
from formats.blocks.relative import quotients
from formats.called import called
from formats.cast import Cast
from formats.elements import Pair, candidates_of, is_scalar
from formats.exact import floor_log2
from formats.plans.scalar import code_dtype
from formats.recipes.chooser import Chooser, choose, parts_of, selector_plane
from formats.recipes.common import finite_blocks, float32_blocks, scalar_element, tensor_amax
from formats.recipes.tries import (
    absmax_scale,
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
FLOAT64 = np.dtype(np.float64)
Array = NDArray[Any]


def _absmax_tops(fmt: Scaled) -> list[Any]:
    if fmt.rule == "absmax_magnitude":
        return [max(part.max_finite, -part.min_finite) for part in parts_of(fmt)]
    return [part.max_finite for part in parts_of(fmt)]


def _absmax_tries(x: Array, fmt: Scaled) -> list[NDArray[np.float64]]:
    """Every candidate at its own amax / largest value; "absmax_magnitude" divides by its largest magnitude."""
    amax, held = magnitudes_of(x), one_level(fmt)
    return [absmax_scale(fmt, held, amax, float(top))[None] for top in _absmax_tops(fmt)]


_one_level = searching(_absmax_tries, finite_blocks)


def _absmax_planes(fmt: Scaled, cut: Cut) -> Places:
    inner = fmt.scale.format
    if not isinstance(inner, Scaled):
        return _one_level.planes(fmt, cut)
    parts_of(fmt)
    places: Places = {}
    key, grid, held = "scale", cut.grid, inner
    while True:
        outer = plan_cut(grid, held.block, -1, True)
        places[key] = scalar_element(held), outer.padded
        if held.offset or held.shift or held.layout != "dense":
            raise ValueError(f"encode: rule {fmt.rule!r} has no encoder for scales that are {called(held)}")
        key, grid = f"{key}.scale", outer.grid
        if not isinstance(held.scale.format, Scaled):
            return places | {key: (held.scale.format, grid)} | selector_plane(fmt, cut)
        held = held.scale.format


def _absmax_begin(whole: Whole) -> tuple[Any, Codes]:
    """Scales that are scaled in their turn are not known before the candidates are.

    Each candidate is tried at its unrounded scale, the chosen ones' scales are encoded, and the elements are rounded
    under what those decode to. Held for it: 8 bytes a block and a candidate, of one candidate where groups are small.
    """
    from formats.blocks import codec as block_codec  # block_codec imports the recipes

    fmt, inner, cut = whole.format, whole.format.scale.format, whole.cut
    assert _one_level.begin
    if not isinstance(inner, Scaled):
        return _one_level.begin(whole)
    chooser, parts, tops = Chooser(fmt, cut), parts_of(fmt), _absmax_tops(fmt)

    def best(some: Blocks) -> tuple[Array, Array]:
        x = finite_blocks(some.x, fmt, some.cast)
        amax = magnitudes_of(x)
        ideal = [quotients(amax[:, None], np.full(amax.shape, float(top))).reshape(1, -1) for top in tops]
        return tried(some, x, parts, ideal, chooser.criterion)

    pick, scale, selector = choose(whole, chooser, FLOAT64, best)
    held = block_codec.encode(scale.reshape(cut.grid), inner, -1, Cast(), True, positive=True)
    named = {"scale" + ("" if key == "codes" else f".{key}"): plane for key, plane in held.planes.items()}
    found = {key: plane.codes for key, plane in named.items()} | selector
    return (pick, block_codec.Part(fmt.scale, "scale", named, cut)), found


def _absmax_encode(some: Blocks) -> Codes:
    if not isinstance(some.fmt.scale.format, Scaled):
        return _one_level.encode(some)
    pick, part = some.shared
    x = finite_blocks(some.x, some.fmt, some.cast)
    write(some, x, parts_of(some.fmt), pick[some.numbers], part.of(some.first, x.shape[0]))
    return {}


absmax = Recipe(planes=_absmax_planes, begin=_absmax_begin, encode=_absmax_encode, together=_one_level.together)


def _mse_tries(x: Array, fmt: Scaled) -> list[NDArray[np.float64]]:
    """absmax times 1.00, 0.99, ... 0.21, each rounded to the scale's format: 80 tries a candidate."""
    amax, held = magnitudes_of(x), one_level(fmt)
    scales = []
    for part in parts_of(fmt):
        whole = absmax_scale(fmt, held, amax, float(part.max_finite))
        ideal = quotients(amax[:, None], np.full(amax.shape, float(part.max_finite))).reshape(-1)
        less = [stored(held, ideal * ((100 - i) / 100), Cast(rounding=fmt.scale.rounding))[1] for i in range(1, 80)]
        scales.append(np.minimum(np.stack([whole, *less]), whole))
    return scales


mse = searching(_mse_tries, finite_blocks)


def _p2vit_tries(x: Array, fmt: Scaled) -> list[NDArray[np.float64]]:
    """Powers of two: of 2**(a - 1) to 2**(a + 2) the one of the smallest squared error, a = floor(log2(amax / half)).

    half is half the number of steps of the element, (127 + 128) / 2 for int8. A block of zeros has scale 1. The source
    compares layer outputs where it has them; this compares the block.
    """
    half = F32(float(max(part.max_finite - part.min_finite for part in candidates_of(fmt.element))) / 2)
    ratio = magnitudes_of(x).astype(F32) / half
    exponent = np.where(ratio > 0, np.frexp(ratio.astype(np.float64))[1] - 1, 1)
    powers = np.ldexp(1.0, np.where(ratio > 0, exponent + np.arange(-1, 3)[:, None], 0))
    held = one_level(fmt)
    scales = np.stack([stored(held, power, Cast())[1] for power in powers])
    return [scales] * len(parts_of(fmt))


p2vit = searching(_p2vit_tries, float32_blocks)


def _factors(some: Blocks) -> Codes:
    """Power-of-two factors of a channel (PTF): 1, 2, 4 or 8 times one float32 scale of the tensor, by squared error.

    The tensor's scale times 8 is 2 * amax / (number of steps), in float32 and no less than float32's epsilon.
    """
    fmt, elements = some.fmt, parts_of(some.fmt)
    x, (held, _) = float32_blocks(some.x, fmt, some.cast), _factor_levels(fmt)
    table = scalar_codec.decode_codes(held, np.arange(len(held.values())), FLOAT64)
    steps = np.broadcast_to((table * some.shared)[:, None], (table.size, x.shape[0]))
    _, scale = tried(some, x, elements, [steps])
    write(some, x, elements, np.zeros(x.shape[0], np.int64), scale[0])
    return {"scale": np.searchsorted(table * some.shared, scale[0]).astype(code_dtype(held.bits))}


def _factor_levels(fmt: Scaled) -> tuple[Scalar, Scalar]:
    """The formats of the factors and of the tensor's scale."""
    inner, elements = fmt.scale.format, parts_of(fmt)
    if not isinstance(inner, Scaled) or not is_scalar(inner.element) or isinstance(inner.scale.format, Scaled):
        raise ValueError(f"encode: rule {fmt.rule!r} needs a factor a block under one scale, got {called(inner)}")
    if len(elements) > 1:
        raise ValueError(f"encode: rule {fmt.rule!r} takes one element, got {called(fmt.element)}")
    return inner.element, inner.scale.format


def _factors_begin(whole: Whole) -> tuple[Any, Codes]:
    (element,), outer = parts_of(whole.format), _factor_levels(whole.format)[1]
    steps = F32(float(element.max_finite - element.min_finite))
    largest = np.maximum(F32(2) * (tensor_amax(whole) / steps), np.finfo(F32).eps)  # doubling last: it cannot overflow
    codes, base = stored(outer, np.array([largest / F32(8)]), Cast())
    return base, {"scale.scale": codes}


factors = Recipe(
    planes=lambda fmt, cut: {
        "scale": one_a_block(_factor_levels(fmt)[0], cut),
        "scale.scale": (_factor_levels(fmt)[1], (1,)),
    },
    begin=_factors_begin,
    encode=_factors,
)


def _llm_fp4_tries(x: Array, fmt: Scaled) -> list[NDArray[np.float64]]:
    """LLM-FP4's search of a real exponent bias: b * g for g = 0.01 to 1.1881 in 100 steps, b the bias of absmax.

    A bias b puts the largest value at top * 2**(ceiling - b), so the scale at 2**(ceiling - b) (units of the element,
    whose own bias is an integer). Logarithms and powers are float64, each scale then rounded to its format. The source
    measures a layer's output, over three rounds with its input; this measures the block.
    """
    amax, held = magnitudes_of(x), one_level(fmt)
    gamma = 0.01 + np.arange(100)[:, None] * (1.2 - 0.01) / 100
    scales = []
    for part in parts_of(fmt):
        if isinstance(part, Pair) or not hasattr(part, "exponent_bits"):
            raise ValueError(f"encode: rule {fmt.rule!r} takes minifloat elements, got {called(part)}")
        # maxval(b) = (2 - 2**-M) * 2**(2**E - 1 - b), and the element's own is (2 - 2**-M) * 2**floor_log2(max)
        ceiling = 2**part.exponent_bits - 1 - floor_log2(part.max_finite)
        bias = ceiling - np.log2(np.where(amax > 0, amax, 1.0) / float(part.max_finite))
        ideal = np.where(amax > 0, np.exp2(ceiling - gamma * bias), 0.0)
        scales.append(np.stack([stored(held, each, Cast())[1] for each in np.clip(ideal, 0, 2.0**120)]))
    return scales


llm_fp4 = searching(_llm_fp4_tries, float32_blocks)
