"""Steps of matrix units in numpy: every multiplier, scales in the alignment, all outputs at once, in float64 arrays."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from formats.arithmetic.accumulators import Aligned, Steps, product_range, read_format
from formats.arithmetic.job import Job
from formats.arithmetic.matrix_units import AlignedGroups, AlignedLate, PairwiseStep
from formats.cast import Cast
from formats.codec import quantize
from formats.exact import floor_log2
from formats.minifloat import Minifloat
from formats.scalar import Scalar

Float = NDArray[np.float64]
Int = NDArray[np.int64]
AT_ONCE = 2**19  # terms at a time: arrays of 4 MiB
NOTHING = -(2**20)  # the exponent of what takes no part: below every other


@dataclass(frozen=True, slots=True)
class Terms:
    """Terms of all outputs and the exponents they are aligned by, each [terms, M, N]; NOTHING where there is none."""

    values: Float
    exponents: Int


def steps(job: Job, ks: range, total: Float, how: Steps) -> Float:
    """The steps of a run of consecutive k, from `total`: float64 values of how.format."""
    for fmt in (job.fa, job.fb):
        read_format(how, fmt)  # refuses operands that the unit cannot unpack, whatever it does with their products
    if isinstance(how, AlignedGroups):
        check_groups(job, how)
    rows, columns = job.shape
    height = max(1, AT_ONCE // (how.terms * max(columns, 1)))
    out = np.empty(job.shape)
    for top in range(0, rows, height):
        block = slice(top, top + height)
        scales = job.scales
        if scales is not None:
            scales = replace(scales, a=scales.a[block, ks.start : ks.stop], b=scales.b[ks.start : ks.stop])
        part = replace(job, a=job.a[block, ks.start : ks.stop], b=job.b[ks.start : ks.stop], scales=scales)
        out[block] = _rows(part, total[block], how)
    return out


def _rows(job: Job, total: Float, how: Steps) -> Float:
    """All steps of a job's rows."""
    a, b = job.a.astype(np.float64), job.b.astype(np.float64)
    if isinstance(how, PairwiseStep) or (isinstance(how, Aligned) and how.flush):
        flush = isinstance(how, Aligned) or how.flush
        formats = (read_format(how, f) for f in (job.fa, job.fb))
        a, b = (_read(x, f, flush, isinstance(how, PairwiseStep)) for x, f in zip((a, b), formats, strict=True))
    lanes = np.array(how.lanes if isinstance(how, Aligned) and how.lanes else range(how.terms))
    for begin in range(0, a.shape[1], len(lanes)):
        for first in range(0, len(lanes), how.terms):
            total = _step(job, a, b, begin + lanes[first : first + how.terms], total, how)
    return total


def _step(job: Job, a: Float, b: Float, ks: Any, total: Float, how: Steps) -> Float:
    scales, inside = job.scales, ks < a.shape[1]
    x, y = a.T[ks[inside], :, None], b[ks[inside], None, :]
    products = job.multiplier.products(x, y, job.fa, job.fb)
    if isinstance(how, PairwiseStep):
        zeros = np.zeros((how.terms - len(products), *job.shape))
        return _pairwise(np.concatenate([products, zeros]), total, how)
    with np.errstate(invalid="ignore", over="ignore"):
        places = _places(job, x, y, products, how)
        if scales is not None:
            scale, place = scales.values(ks[inside]), scales.exponents(ks[inside])
        if isinstance(how, AlignedLate):
            products = np.where(np.abs(products) >= limit(how.format), np.copysign(np.inf, products), products)
        if isinstance(how, AlignedGroups):
            if not (job.exact_products or tabled(job)):
                check_groups(job, how, _largest(products))
            terms = _groups(products, None if scales is None else (scale, place), how.group)
        elif scales is None:
            terms = Terms(products, places)
        else:
            terms = Terms(products * scale, np.where(products == 0, NOTHING, places + place))
        special = _specials(terms.values, total)
        finite = Terms(np.where(np.isfinite(terms.values), terms.values, 0.0), terms.exponents)
        own = np.where(np.isfinite(total), total, 0.0)
        if isinstance(how, AlignedLate):
            result = _late(finite, own, ks[inside] % how.terms % how.groups, how)
        else:
            result = _aligned(finite, own, how)
        return np.where(special == 0, result, special)


def _specials(values: Float, total: Float) -> Float:
    """Zero where every term is finite; else what infinities and NaN add up to."""
    special: Float = np.where(np.isfinite(values), 0.0, values).sum(axis=0) + np.where(np.isfinite(total), 0.0, total)
    return special


def exponents(x: Float, fmt: Scalar) -> Int:
    """Exponent of each value, that of the smallest normal one for subnormals, NOTHING for zeros and no numbers."""
    field = np.frexp(np.where(np.isfinite(x), x, 0.0))[1].astype(np.int64) - 1
    if isinstance(fmt, Minifloat) and fmt.subnormals:
        field = np.maximum(field, fmt.min_exponent)
    return np.where((x == 0) | ~np.isfinite(x), NOTHING, field)


def _places(job: Job, x: Float, y: Float, products: Float, how: Steps) -> Int:
    """Exponents of products: their operands' sum, or their own where the unit, or the multiplier, normalises."""
    if (isinstance(how, Aligned) and how.normalized) or not job.exact_products:
        place = np.frexp(np.where(np.isfinite(products), products, 0.0))[1].astype(np.int64) - 1
        return np.where(products == 0, NOTHING, place)
    fa, fb = read_format(how, job.fa), read_format(how, job.fb)
    return np.where(products == 0, NOTHING, exponents(x, fa) + exponents(y, fb))


def _groups(products: Float, scales: tuple[Float, Int] | None, group: int) -> Terms:
    """Exact sums of groups, at their scales' exponents."""
    starts = range(0, len(products), group)
    sums = np.stack([products[i : i + group].sum(axis=0) for i in starts])
    nothing = np.stack([(products[i : i + group] == 0).all(axis=0) for i in starts])
    if scales is None:
        return Terms(sums, np.where(nothing, NOTHING, 0))
    scale, place = scales[0][::group], scales[1][::group]
    return Terms(sums * scale, np.where(nothing, NOTHING, place))


def check_groups(job: Job, how: AlignedGroups, most: float | None = None) -> None:
    """Refuse operands whose groups' sums, scaled and shifted, this engine would not keep exact.

    The largest product is known of exact ones and, by its table, of any multiplier of two formats of at most 8 bits; of
    others, `most` is the largest finite one at hand.
    """
    if most is not None:
        reach = Fraction(most)
    elif job.exact_products:
        low, high = product_range(job.fa, job.fb)
        reach = max(-low, high)
    elif tabled(job):
        times: Any = job.multiplier  # frozen records all
        reach = Fraction(_largest_entry(times, job.fa, job.fb))
    else:
        return  # every step's products are looked at
    if not reach:
        return
    last = job.multiplier.output(job.fa, job.fb)[1]
    largest = floor_log2(reach) + 1 + how.group.bit_length()
    widths = [0, 0] if job.scales is None else [_width(f) for f in (job.scales.fa, job.scales.fb)]
    groups = (how.terms // how.group + 1).bit_length()
    if largest - last + sum(widths) > 53 or largest + 2 + how.fraction_bits + groups > 62:
        raise ValueError(
            f"matmul: sums of {how.group} products of {job.fa.name} and {job.fb.name}, which reach {float(reach):.6g}, "
            f"under scales take more bits than {how} is computed with; use narrower operands or scales (and "
            "scaling='in_alignment' for blocks)"
        )


def tabled(job: Job) -> bool:
    """Whether all products of the job's formats are few enough to be looked at beforehand."""
    return max(job.fa.bits, job.fb.bits) <= 8


@lru_cache(maxsize=32)
def _largest_entry(times: Any, fa: Scalar, fb: Scalar) -> float:
    from formats.arithmetic.multipliers.table import product_table

    return _largest(product_table(times, fa, fb).array)


def _largest(products: Float) -> float:
    """The largest finite magnitude."""
    return float(np.abs(np.where(np.isfinite(products), products, 0.0)).max(initial=0.0))


def _width(fmt: Scalar) -> int:
    return fmt.trailing_significand_bits + 1 if isinstance(fmt, Minifloat) else fmt.bits


def _aligned(terms: Terms, own: Float, how: Aligned | AlignedGroups) -> Float:
    """Finite terms and the register aligned, cut off, added and rounded."""
    registered = isinstance(how, AlignedGroups) or how.register_aligned
    down = isinstance(how, Aligned) and how.truncation == "down"
    places = exponents(own, how.format) if registered else np.full(own.shape, NOTHING)
    top = np.maximum(terms.exponents.max(axis=0, initial=NOTHING), places)
    if how.minimum_exponent is not None:
        top = np.maximum(top, how.minimum_exponent)
    shift = how.fraction_bits - top
    shift = np.where(top == NOTHING, 0, shift)
    cut = np.floor if down else np.trunc
    kept = np.zeros(own.shape, np.int64)  # Aligned: 1024 terms below 4 * 2**50 units fit
    for term in (*terms.values, *([own] if registered else [])):
        kept += cut(np.ldexp(term, shift)).astype(np.int64)
    result = _rounded_sum(_scaled(kept, -shift), how.format, how.rounding)
    if registered:
        return result
    from formats.arithmetic.engines.generic import add_odd

    return _rounded_sum(add_odd(result, own), how.format, how.rounding)


def _scaled(kept: Int, exponent: Int) -> Float:
    """kept * 2**exponent, rounded to odd at 53 bits."""
    from formats.arithmetic.engines.registers import finish

    return np.asarray(np.ldexp(finish(kept, 0, False), exponent), np.float64)


def limit(fmt: Minifloat) -> float:
    """Sums from here on are infinite, whatever the rounding: where the binade after the largest value's starts."""
    return float(Fraction(2) ** (floor_log2(Fraction(fmt.max_finite)) + 1))


def _rounded_sum(x: Float, fmt: Minifloat, rounding: Literal["toward_zero", "ties_to_even"]) -> Float:
    """See reference_steps.round_sum."""
    value = np.asarray(quantize(x, fmt, cast=Cast(rounding=rounding, overflow="overflow")), np.float64)
    beyond = np.where(np.abs(x) >= limit(fmt), np.copysign(np.inf, x), value)
    return np.where(beyond == 0, 0.0, beyond)


def _late(terms: Terms, own: Float, lanes: Any, how: AlignedLate) -> Float:
    """See reference_steps.late. At most 1024 terms below 4 * 2**40 units: float64 holds every sum."""
    register = np.where(own == 0, how.format.min_exponent, exponents(own, how.format))
    sums, tops = [], []
    for group in range(how.groups):
        values, places = terms.values[lanes == group], terms.exponents[lanes == group]
        top = places.max(axis=0, initial=NOTHING)
        shift = np.where(top == NOTHING, 0, how.fraction_bits - top)
        kept = sum((np.trunc(np.ldexp(v, shift)) for v in values), np.zeros(own.shape))
        sums.append(np.ldexp(kept, -shift))
        tops.append(top)
    joint = np.max(np.stack(tops), axis=0)
    bounded = np.where(joint == NOTHING, 0, joint)
    joined = sum((_down(part, bounded - how.fraction_bits) for part in sums), np.zeros(own.shape))
    largest = np.maximum(register, joint)
    total = _down(joined, largest - how.sum_bits)
    late = _down(own, largest - how.fraction_bits)
    if how.register_reach is not None:
        late = np.where(register < largest - how.register_reach, 0.0, late)
    total = total + late
    if how.total_bits is not None:
        leading = np.maximum(np.frexp(total)[1].astype(np.int64) - 1, how.format.min_exponent)
        total = np.where(total == 0, 0.0, _down(total, leading - how.total_bits))
    return _nearest(total, how.format)


def _down(x: Float, exponent: Int) -> Float:
    """x rounded down to a multiple of 2**exponent."""
    return np.ldexp(np.floor(np.ldexp(x, -exponent)), exponent)


def _nearest(x: Float, fmt: Minifloat) -> Float:
    return np.asarray(quantize(x, fmt, cast=Cast(overflow="overflow")), np.float64)


def _read(x: Float, fmt: Scalar, flush: bool, unsigned: bool) -> Float:
    """Operands with subnormals as zeros: of their sign, or plus zero."""
    if not flush or not isinstance(fmt, Minifloat):
        return x
    small = (np.abs(x) < float(Fraction(2) ** fmt.min_exponent)) & (x != 0)
    return np.where(small, 0.0 if unsigned else np.copysign(0.0, x), x)


def _pairwise(products: Float, total: Float, how: PairwiseStep) -> Float:
    """See reference_steps.pairwise."""
    from formats.arithmetic.engines.generic import add_odd

    def rounded(x: Float) -> Float:
        return _read(_nearest(x, how.format), how.format, how.flush, False)

    level = list(rounded(products))
    while len(level) > 1:
        joined = [rounded(add_odd(x, y)) for x, y in zip(level[::2], level[1::2], strict=False)]
        level = joined + level[len(level) - len(level) % 2 :]
    return rounded(add_odd(_read(total, how.format, how.flush, True), level[0]))
