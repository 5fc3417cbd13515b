"""Trying scales and candidates one by one: the smallest error is kept, the first of equals.

Recipes say what to try. Errors are sums over a block of squares (or the largest magnitude) of decoded minus given, in
float64 in the order of the elements.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from formats.block import Field, Scaled
from formats.blocks.blocking import Cut
from formats.blocks.relative import quotients
from formats.called import called
from formats.cast import Cast
from formats.elements import Choice, Pair
from formats.plans.scalar import code_dtype, decode_tables
from formats.recipes.chooser import Chooser, Tried, parts_of, selector_plane
from formats.rules.recipe import Blocks, Codes, Index, Large, Places, Recipe, Whole, WritePiece, one_a_block
from formats.scalar import Scalar
from formats.scalars import codec as scalar_codec

F32 = np.float32
FLOAT64 = np.dtype(np.float64)
FLOAT32_END = 2.0**128 - 2.0**103  # from here on float32 rounds to infinity
HUGE = 2.0**110  # a search of scales beyond it looks whether what it finds is a float32
PIECE = 1 << 16  # elements whose quotients and codes stay in cache together

Array = NDArray[Any]
Divide = Callable[[Array, NDArray[np.float64]], Array]


def float32_quotients(x: Array, scale: NDArray[np.float64]) -> Array:
    """x / scale in float32, as published codes divide; a scale of zero leaves zeros."""
    with np.errstate(over="ignore", under="ignore"):
        step = scale.astype(F32)[:, None]
        if x.dtype == np.float32 and step.all():  # a loop without a mask is made of vectors
            return np.divide(x, step)
        return np.divide(x, step, out=np.zeros(x.shape, F32), where=scale[:, None] != 0)


def magnitudes_of(x: Array) -> NDArray[np.float64]:
    """Largest magnitude of each block, exactly."""
    amax = np.maximum(x.max(axis=1, initial=0), -x.min(axis=1, initial=0))
    return np.asarray(amax, np.float64)


def one_level(fmt: Scaled, field: Field | None = None) -> Scalar:
    """The scalar format of the scales. Raises ValueError for scales that are scaled, or shared by several blocks."""
    field = field or fmt.scale
    if isinstance(field.format, Scaled):
        raise ValueError(f"encode: rule {fmt.rule!r} writes one level of scales, {called(fmt)} has two")
    if field.block not in (None, fmt.block):
        raise ValueError(f"encode: rule {fmt.rule!r} writes a scale for every block, got one for {field.block!r}")
    return field.format


def stored(held: Scalar, ideal: Array, cast: Cast, positive: bool = True) -> tuple[Array, NDArray[np.float64]]:
    """Scales rounded to their format: codes and values. positive: what is above zero stays there."""
    codes = scalar_codec.encode_codes(held, np.ascontiguousarray(ideal), cast)
    values = scalar_codec.decode_codes(held, codes, FLOAT64)
    lost = (ideal > 0) & (values <= 0) if positive else np.zeros(values.shape, np.bool_)
    if lost.any():
        least = np.full(int(lost.sum()), float(held.min_positive))
        codes[lost] = scalar_codec.encode_codes(held, least, Cast())
        values = scalar_codec.decode_codes(held, codes, FLOAT64)
    return codes, values


def absmax_scale(fmt: Scaled, held: Scalar, amax: NDArray[np.float64], steps: float) -> NDArray[np.float64]:
    """amax / steps rounded to the scale's format, rounded down where the largest element would leave float32."""
    ideal = quotients(amax[:, None], np.full(amax.shape, steps)).reshape(-1)
    values = stored(held, ideal, Cast(rounding=fmt.scale.rounding))[1]
    with np.errstate(over="ignore"):
        beyond = (values * steps >= FLOAT32_END) & (amax <= np.finfo(F32).max)
    if beyond.any():
        values[beyond] = stored(held, ideal[beyond], Cast(rounding="down"))[1]
    return values


def codes_of(q: Array, element: Tried, cast: Cast, start: int | Array = 0) -> Array:
    """Element codes of quotients [blocks, size]. start: as in scalar_codec.run."""
    from formats.kernels.elements import join_pairs

    codes = np.empty(q.shape, code_dtype(element.bits))
    flat = np.ascontiguousarray(q).reshape(-1)
    if isinstance(element, Pair):
        outlier = np.empty_like(codes)
        scalar_codec.run(element.normal, flat, cast, codes.reshape(-1), start)
        scalar_codec.run(element.outlier, flat, cast, outlier.reshape(-1), start)
        join_pairs(q, element.threshold, element.marker, outlier, codes)
    else:
        scalar_codec.run(element, flat, cast, codes.reshape(-1), start)
    return codes


def errors_of(x: Array, codes: Array, scale: NDArray[np.float64], element: Tried, criterion: str) -> Array:
    """One error a block."""
    from formats.kernels.elements import largest_errors, pair_values, squared_errors

    out = np.empty(x.shape[0])
    if isinstance(element, Pair):
        values = np.empty(x.shape)
        pair_values(decode_tables(element.normal)[1], decode_tables(element.outlier)[1], element.marker, codes, values)
        difference = values * scale[:, None] - x
        error = (difference * difference).sum(axis=1) if criterion == "mse" else np.abs(difference).max(axis=1)
        return np.asarray(error)
    (squared_errors if criterion == "mse" else largest_errors)(x, decode_tables(element)[1], codes, scale, out)
    return out


def _overflows(codes: Array, scale: NDArray[np.float64], element: Tried) -> Array:
    """Whether a block of codes decodes to what float32 cannot hold."""
    from formats.kernels.elements import pair_values

    if isinstance(element, Pair):
        values = np.empty(codes.shape)
        pair_values(decode_tables(element.normal)[1], decode_tables(element.outlier)[1], element.marker, codes, values)
    else:
        values = decode_tables(element)[1][codes]
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(np.abs(values * scale[:, None]).max(axis=1, initial=0) >= FLOAT32_END)


def tried(
    some: Blocks,
    x: Array,
    elements: Sequence[Tried],
    scales: Sequence[NDArray[np.float64]],
    criterion: str = "mse",
    divide: Divide = quotients,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The smallest error of each block in each element, and the scale that makes it: [elements, blocks] each.

    x: the blocks, made finite.  scales: per element [steps, blocks], as they are stored; a block takes its best step,
    the first of equals.
    """
    best = np.full((len(elements), x.shape[0]), np.inf)
    kept = np.stack([steps[0] for steps in scales])
    reach = max(float(x.max(initial=0)), -float(x.min(initial=0)))
    rows = max(1, PIECE // x.shape[1])
    for first in range(0, x.shape[0], rows):
        piece = slice(first, min(first + rows, x.shape[0]))
        start = some.index_of(piece)
        huge = reach > HUGE and float(np.abs(x[piece]).max(initial=0)) > HUGE
        for k, (element, steps) in enumerate(zip(elements, scales, strict=True)):
            for scale in steps[:, piece]:
                codes = codes_of(divide(x[piece], scale), element, some.cast, start)
                with np.errstate(over="ignore", invalid="ignore"):
                    error = errors_of(x[piece], codes, scale, element, criterion)
                if huge:
                    error = np.where(_overflows(codes, scale, element), np.inf, error)
                better = error < best[k, piece]
                best[k, piece] = np.where(better, error, best[k, piece])
                kept[k, piece] = np.where(better, scale, kept[k, piece])
    return best, kept


def write(
    some: Blocks,
    x: Array,
    elements: Sequence[Tried],
    pick: NDArray[np.int64],
    scale: NDArray[np.float64],
    divide: Divide = quotients,
) -> None:
    """The codes of every block in the element it chose."""
    rows = max(1, PIECE // x.shape[1])
    for k, element in enumerate(elements):
        chosen = np.flatnonzero(pick == k)
        top = _largest(element)
        for first in range(0, chosen.size, rows):
            at = chosen[first : first + rows]
            codes = codes_of(divide(x[at], scale[at]), element, some.cast, some.index_of(at))
            if float(scale[at].max(initial=0)) * top >= FLOAT32_END:
                _check_float32(x[at], codes, scale[at], element, some.fmt)
            some.codes[at] = codes


def _largest(element: Tried) -> float:
    """The largest magnitude of an element's values."""
    parts = (element.normal, element.outlier) if isinstance(element, Pair) else (element,)
    return max(float(max(part.max_finite, -part.min_finite)) for part in parts)


def _check_float32(x: Array, codes: Array, scale: NDArray[np.float64], element: Tried, fmt: Scaled) -> None:
    """Refuse blocks that float32 holds and whose codes decode to what it does not."""
    held = np.abs(x).max(axis=1, initial=0) <= np.finfo(F32).max
    if (_overflows(codes, scale, element) & held).any():
        raise ValueError(
            f"encode: x reaches {np.abs(x).max():g}, and under every scale that {fmt.rule!r} tries for {called(fmt)} "
            "its codes would decode to more than float32 holds; scale x first"
        )


# Blocks, made finite, and the format -> per element the scales to try, [steps, blocks], as they are stored.
Tries = Callable[[Array, Scaled], Sequence[NDArray[np.float64]]]
Clean = Callable[[Array, Scaled, Cast], Array]


def piece_error(x: Array, codes: Array, scale: float, element: Scalar, criterion: str, before: float) -> float:
    """The error of one block up to and with a piece [1, n], from that before it."""
    from formats.kernels.searches import add_squared_errors

    if criterion == "mse":
        return float(add_squared_errors(x[0], decode_tables(element)[1], codes[0], scale, before))
    return max(before, float(errors_of(x, codes, np.array([scale]), element, criterion)[0]))


def searching(tries: Tries, clean: Clean, divide: Divide = quotients, *, of_amax: bool = True) -> Recipe:
    """The recipe that tries scales in a format's own parts and stores the best, in one level, and what was chosen.

    of_amax: whether `tries` looks at nothing but the largest magnitude: of a block too large to be held only pieces are
    then. Otherwise blocks are held whole, as are blocks of pairs, whose errors are NumPy's pairwise sums.
    """

    def planes(fmt: Scaled, cut: Cut) -> Places:
        parts_of(fmt)
        return {"scale": one_a_block(one_level(fmt), cut)} | selector_plane(fmt, cut)

    def begin(whole: Whole) -> tuple[Any, Codes]:
        fmt, chooser = whole.format, Chooser(whole.format, whole.cut)
        if not chooser.gathers:
            return None, {}
        parts, held = parts_of(fmt), one_level(fmt)
        kept = np.empty((len(parts), prod(whole.cut.grid)), code_dtype(held.bits))
        for some in whole.parts():
            x = clean(some.x, fmt, some.cast)
            errors, scales = tried(some, x, parts, tries(x, fmt), chooser.criterion, divide)
            chooser.gather(some, errors)
            kept[:, some.numbers] = scalar_codec.encode_codes(held, scales, Cast())
        return (chooser, kept), chooser.gathered()

    def encode(some: Blocks) -> Codes:
        fmt, parts, held = some.fmt, parts_of(some.fmt), one_level(some.fmt)
        x = clean(some.x, fmt, some.cast)
        if some.shared is not None:
            chooser, kept = some.shared
            pick = chooser.picked(some)
            codes = kept[:, some.numbers][pick, np.arange(pick.size)]
            write(some, x, parts, pick, scalar_codec.decode_codes(held, codes, FLOAT64), divide)
            return {"scale": codes}
        chooser = Chooser(fmt, some.cut)
        errors, scales = tried(some, x, parts, tries(x, fmt), chooser.criterion, divide)
        pick = chooser.pick(some, errors)
        scale = scales[pick, np.arange(pick.size)]
        write(some, x, parts, pick, scale, divide)
        return {"scale": scalar_codec.encode_codes(held, scale, Cast())} | chooser.selector(some, pick)

    def large(block: Large) -> tuple[Codes, WritePiece]:
        fmt, cast, held = block.fmt, block.cast, one_level(block.fmt)
        parts = [part for part in parts_of(fmt) if not isinstance(part, Pair)]
        criterion = fmt.element.criterion if isinstance(fmt.element, Choice) else "mse"
        amax = np.concatenate([magnitudes_of(clean(x, fmt, cast)) for x in block.pieces()]).max()
        scales = [steps[:, 0] for steps in tries(np.array([[amax]], block.dtype), fmt)]
        errors = [np.zeros(steps.size) for steps in scales]
        for x, index in block.indexed():
            real = clean(x, fmt, cast)
            for part, steps, error in zip(parts, scales, errors, strict=True):
                for i, scale in enumerate(steps):
                    codes = codes_of(divide(real, steps[i : i + 1]), part, cast, index)
                    with np.errstate(over="ignore", invalid="ignore"):
                        error[i] = piece_error(real, codes, scale, part, criterion, error[i])
                    if amax > HUGE and _overflows(codes, steps[i : i + 1], part).any():
                        error[i] = np.inf
        best = [int(np.where(np.isnan(error), np.inf, error).argmin()) for error in errors]
        pick = int(np.argmin([_or_infinity(error[at]) for error, at in zip(errors, best, strict=True)]))
        chosen = scales[pick][best[pick] : best[pick] + 1]

        def write_piece(x: Array, out: Array, index: Index) -> None:
            real = clean(x, fmt, cast)
            out[...] = codes_of(divide(real, chosen), parts[pick], cast, index)
            if chosen[0] * _largest(parts[pick]) >= FLOAT32_END:
                _check_float32(real, out, chosen, parts[pick], fmt)

        found = {"scale": scalar_codec.encode_codes(held, chosen, Cast())}
        if isinstance(fmt.element, Choice):
            found["selector"] = np.array([pick], code_dtype(fmt.element.selector_bits))
        return found, write_piece

    return Recipe(
        planes=planes,
        begin=begin,
        encode=encode,
        together=lambda fmt, cut: Chooser(fmt, cut).together,
        large=large if of_amax else None,
    )


def _or_infinity(error: float) -> float:
    """Errors that are NaN are no better than any."""
    return np.inf if np.isnan(error) else error
