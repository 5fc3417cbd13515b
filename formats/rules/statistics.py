"""Scales that are a number of the block over a constant of the element, rounded to the scale's own format."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from formats.block import Scaled
from formats.blocks.blocking import CODES, SLAB, Piece, block_range
from formats.blocks.relative import quotients, relative_codes, with_offset
from formats.called import called
from formats.cast import Cast
from formats.fixed_point import FixedPoint
from formats.plans.scalar import code_dtype
from formats.rules.finite import settled
from formats.rules.job import Job, PlaneWriter, check_written
from formats.rules.scales import FLOAT32_END, ScaleStore
from formats.scalar import Scalar
from formats.scalars import codec as scalar_codec

Parts = tuple[NDArray[Any], ...]


@dataclass(frozen=True, slots=True)
class Statistic:
    """measure: [n, size] blocks (any floats, NaN read as zero by now) -> numbers per block.

    merge: how the numbers of two parts of a block make those of the whole, one ufunc a number; None where they do not,
    and blocks are measured whole.  extent: those numbers -> what is divided by `steps`, float64 or exact float32.
    steps: the constant of the format.
    """

    measure: Callable[[NDArray[Any]], Parts]
    merge: tuple[np.ufunc, ...] | None
    extent: Callable[[Parts], NDArray[Any]]
    steps: Callable[[Scaled], Fraction]


def magnitudes(blocks: NDArray[Any], leave_nan: bool = False) -> NDArray[Any]:
    """Largest magnitude of each block, NaN where one holds NaN (unless NaN is to be left out)."""
    from formats.kernels.blocks import largest_magnitude32, largest_magnitude64

    amax = np.empty(blocks.shape[0], blocks.dtype)
    kernel = largest_magnitude32 if blocks.dtype == np.float32 else largest_magnitude64
    kernel(blocks, amax)
    if leave_nan and np.isnan(amax).any():
        kernel(np.where(np.isnan(blocks), blocks.dtype.type(0), blocks), amax)
    return amax


def _range(blocks: NDArray[Any]) -> Parts:
    """Smallest and largest number of each block and zero; NaN where it holds one."""
    from formats.kernels.blocks import range32, range64

    low, high = np.empty(blocks.shape[0], blocks.dtype), np.empty(blocks.shape[0], blocks.dtype)
    (range32 if blocks.dtype == np.float32 else range64)(blocks, low, high)
    return low, high


def _odd_difference(high: NDArray[Any], low: NDArray[Any]) -> NDArray[np.float64]:
    """high - low for high >= 0 >= low in float64, rounded to odd where inexact (TwoSum gives the error exactly)."""
    a, b = high.astype(np.float64), -low.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        total = a + b
        back = total - a
        error = (a - (total - back)) + (b - back)
    bits = total.view(np.int64)
    odd = np.where(error != 0, np.where(bits & 1, bits, bits + np.sign(error).astype(np.int64)), bits)
    return np.where(np.isfinite(total), odd.view(np.float64), np.finfo(np.float64).max)


absmax = Statistic(
    measure=lambda blocks: (magnitudes(blocks),),
    merge=(np.maximum,),
    extent=lambda parts: parts[0],
    steps=lambda fmt: fmt.element.max_finite,
)
# What absmax is with a zero point: range over range.
extent = Statistic(
    measure=_range,
    merge=(np.minimum, np.maximum),
    extent=lambda parts: _odd_difference(parts[1], parts[0]),
    steps=lambda fmt: fmt.element.max_finite - fmt.element.min_finite,
)


class StatisticEncoder:
    """Measure blocks, store scales (and zero points), then round elements relative to what was stored."""

    limit = SLAB
    unit: tuple[int, ...] | None = None

    def __init__(self, job: Job, statistic: Statistic) -> None:
        _check_fields(job.fmt)
        self._job, self._statistic = job, statistic
        self._steps = statistic.steps(job.fmt)
        self._store = ScaleStore(job, self._steps)
        self.local = not self._store.nested
        self._offset: PlaneWriter | None = None
        self._offset_cast = Cast()
        if job.fmt.offset is not None:
            if isinstance(job.fmt.offset.format, Scaled):
                raise ValueError("encode: offsets are stored in a scalar format")
            self._offset_cast = Cast(rounding=job.fmt.offset.rounding)
            self._offset = job.writer("offset", job.fmt.offset.format, job.cut.grid)
        self._given = _given_extent(job)
        if self._store.nested:
            self._store.prepare(lambda slab: statistic.extent(self._measure(slab)[0]), self.limit)

    def planes(self) -> dict[str, PlaneWriter]:
        """Scales and zero points."""
        return self._store.planes() | ({"offset": self._offset} if self._offset else {})

    def encode(self, slab: Piece) -> Iterator[tuple[Piece, NDArray[Any]]]:
        """Scales first, then the elements."""
        job = self._job
        first, count = block_range(job.cut, slab)
        parts, finite = self._measure(slab)
        extent = self._statistic.extent(parts) if self._given is None else self._given
        scale = self._store.store(first, count, extent)
        offset = None
        if self._offset is not None:
            ratio = quotients(-parts[0][:, None], scale)
            rounding = self._offset_cast
            codes = _zero_points(ratio, job.element, self._offset.format, rounding)
            self._offset.write(first, codes)
            offset = scalar_codec.decode_codes(self._offset.format, codes, np.dtype(np.float64)).reshape(-1)
        for piece, runs in job.pieces(slab, CODES):
            rows = job.rows(slab, piece)
            codes = job.room(piece)
            zero = None if offset is None else offset[rows]
            bits, index = self._store.significant_bits, job.indices(piece)
            relative_codes(runs, scale[rows], job.element, job.cast, codes, zero, finite, bits, index)
            _check_finite(runs, scale[rows], zero, codes, job.fmt, job.cast)
            yield piece, codes

    def _measure(self, slab: Piece) -> tuple[Parts, bool]:
        """The statistic of each block of a slab, and whether all its elements are finite."""
        job, statistic = self._job, self._statistic
        count = block_range(job.cut, slab)[1]
        if statistic.merge is None:
            return self._settled(job.reader.blocks(slab))
        totals: list[NDArray[Any]] = []
        finite = True
        for piece, runs in job.pieces(slab):
            parts, clean = self._settled(runs)
            finite &= clean
            rows = job.rows(slab, piece)
            if piece.size == slab.size and isinstance(rows, slice):
                return parts, finite
            if not totals:
                totals = [np.zeros(count, part.dtype) for part in parts]
            for total, part, merge in zip(totals, parts, statistic.merge, strict=True):
                if isinstance(rows, slice):
                    total[rows] = part
                else:
                    merge.at(total, rows, part)
        return tuple(totals), finite

    def _settled(self, blocks: NDArray[Any]) -> tuple[Parts, bool]:
        """The statistic, NaN read as zero; infinities are refused, for no scale reaches them."""
        fmt, cast = self._job.fmt, self._job.cast
        parts = self._statistic.measure(blocks)
        if all(np.isfinite(part).all() for part in parts):
            return parts, True
        return self._statistic.measure(settled(blocks, fmt, cast)), False


def _check_fields(fmt: Scaled) -> None:
    """Statistics are of the blocks that share the scale, and leave nothing to add.

    A shift would have to be chosen beside the scale (GGUF's range and CVXQ's median are recipes): it is refused.
    """
    for key, field in (("scale", fmt.scale), ("offset", fmt.offset)):
        if field is not None and field.block is not None:
            raise ValueError(
                f"encode: rule {fmt.rule!r} writes a {key} a block, and the {key} of {called(fmt)} has a block of "
                "its own"
            )
    check_written(fmt, ("offset",))


def _given_extent(job: Job) -> NDArray[np.float64] | None:
    """The caller's largest magnitude, for a block that is the whole tensor."""
    if job.tensor_amax is None or isinstance(job.fmt.scale.format, Scaled):
        return None
    return np.array([job.tensor_amax])


def _zero_points(ratio: NDArray[np.float64], element: Scalar, held: Scalar, cast: Cast) -> NDArray[Any]:
    """Codes of element.min_integer + round(ratio), ratio = -low / scale: low itself takes the smallest integer."""
    if not isinstance(element, FixedPoint) or not isinstance(held, FixedPoint):
        raise ValueError(f"encode: a zero point needs integers, got {called(element)} and {called(held)}")
    places = with_offset(ratio, np.full(ratio.shape[0], float(element.min_finite)), element, cast)
    clipped = np.clip(places, held.min_integer, held.max_integer)
    return np.asarray(clipped % (1 << held.bits)).astype(code_dtype(held.bits)).reshape(-1)


def _check_finite(
    x: NDArray[Any],
    scale: NDArray[np.float64],
    offset: NDArray[np.float64] | None,
    codes: NDArray[Any],
    fmt: Scaled,
    cast: Cast,
) -> None:
    """Raise where finite float32 numbers would decode to infinities without the cast asking for them."""
    largest = float(fmt.element.max_finite - (fmt.element.min_finite if fmt.offset else 0))
    if cast.overflow != "saturate" or scale.max(initial=0) < FLOAT32_END / max(2 * largest, 1.0):
        return
    with np.errstate(over="ignore"):
        rows = np.flatnonzero(scale * largest >= FLOAT32_END)
        element: Any = fmt.element
        values = scalar_codec.decode_codes(element, codes[rows], np.dtype(np.float64))
        values = (values - (0 if offset is None else offset[rows, None])) * scale[rows, None]
    x = x[rows]
    if ((np.abs(values) >= FLOAT32_END) & (np.abs(x) <= np.finfo(np.float32).max)).any():
        raise ValueError(
            f"encode: x reaches {np.abs(x).max():g}, and rounded to {called(fmt)} it is beyond float32, which ends at "
            "3.40282e+38; scale x first"
        )
