"""Stochastic rounding of scalars: every element with its own random bits, by kernels or from the format's values."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from formats.cast import Cast
from formats.decisions import stochastic_cut, stochastic_points
from formats.fixed_point import FixedPoint
from formats.minifloat import Minifloat
from formats.plans import (
    FLOAT32,
    FLOAT64,
    code_dtype,
    draws_in_float32,
    last_float,
    last_floats,
    layout_of,
    minifloat_plan,
    random_plan,
    runs_on_bits,
    stochastic_integer_plan,
)
from formats.points import minus_zero_code
from formats.random_bits import GOLDEN, key_of, salt_of
from formats.reference import check_cast
from formats.scalar import Scalar
from formats.scalar_table import run_table

PIECE = 1 << 16  # elements whose neighbours and thresholds stay in cache together
NONE_DRAWN = np.empty(0, np.uint32)


def run(fmt: Scalar, flat: NDArray[Any], cast: Cast, out: NDArray[Any], start: int | NDArray[Any]) -> bool:
    """Write the codes of a contiguous vector under a stochastic cast; see scalar_codec.run."""
    check_cast(fmt, cast)
    if isinstance(start, np.ndarray):
        return _encode(fmt, flat, cast, out, draws_of(cast.seed, start.reshape(-1)), 0, 0)
    seen, done = False, 0
    while done < flat.size:  # the salt holds up to the next multiple of 2**32
        high, low = divmod(start + done, 2**32)
        count = min(flat.size - done, 2**32 - low)
        salt = salt_of(cast.seed, high)
        seen |= _encode(fmt, flat[done : done + count], cast, out[done : done + count], NONE_DRAWN, low, salt)
        done += count
    return seen


def draws_of(seed: int, indices: NDArray[Any]) -> NDArray[np.uint32]:
    """All 32 random bits of the elements with those indices: random_bits_of(seed, indices, 32), by a kernel."""
    from formats.kernels.random import fill_indexed

    out = np.empty(indices.size, np.uint32)
    fill_indexed(np.ascontiguousarray(indices, np.int64).reshape(-1), np.uint32(key_of(seed)), np.uint32(GOLDEN), out)
    return out


def _encode(
    fmt: Scalar, flat: NDArray[Any], cast: Cast, out: NDArray[Any], draws: NDArray[np.uint32], first: int, salt: int
) -> bool:
    """Codes of elements whose random bits are given, or follow from their numbers first, first + 1, ..."""
    layout = layout_of(flat)
    bits = (random_plan(cast.rounding, cast.random_bits), draws, np.uint32(first), np.uint32(salt))
    if isinstance(fmt, FixedPoint):
        from formats.kernels.fixed_point import encode_integer_stochastic32, encode_integer_stochastic64

        if layout is FLOAT32 and (fmt.fraction_bits < 0 or not draws_in_float32(fmt, cast)):
            flat, layout = widened(flat), FLOAT64
        integer = encode_integer_stochastic32 if layout is FLOAT32 else encode_integer_stochastic64
        plan = stochastic_integer_plan(fmt, cast, layout)
        return bool(integer(not_too_small(fmt, flat), *plan, *bits, out))
    if isinstance(fmt, Minifloat) and runs_on_bits(fmt, FLOAT64):
        from formats.kernels.minifloat import encode32_stochastic, encode64_stochastic

        if layout is FLOAT32 and not (runs_on_bits(fmt, FLOAT32) and draws_in_float32(fmt, cast)):
            flat, layout = widened(flat), FLOAT64
        kernel = encode32_stochastic if layout is FLOAT32 else encode64_stochastic
        return bool(kernel(flat, minifloat_plan(fmt, cast, layout), *bits, out))
    return _encode_table(fmt, flat, cast, out, draws, first, salt)


def _encode_table(
    fmt: Scalar, flat: NDArray[Any], cast: Cast, out: NDArray[Any], draws: NDArray[np.uint32], first: int, salt: int
) -> bool:
    """Formats that are their values: find the two neighbours, then compare the distance with the random bits."""
    from formats.kernels.random import fill

    nearest = replace(cast, rounding="ties_away")  # right wherever there is no choice
    seen = run_table(fmt, flat, nearest, out)
    table = _table(fmt, cast.unseeded)
    room = np.empty(min(PIECE, flat.size), np.uint32)
    for begin in range(0, flat.size, PIECE):
        x = widened(flat[begin : begin + PIECE])
        r = draws[begin : begin + x.size] if draws.size else room[: x.size]
        if not draws.size:
            fill(np.uint32(first + begin), np.uint32(salt), r)
        table.choose(x, r >> np.uint32(32 - cast.random_bits), out[begin : begin + x.size])
    return seen


class _Table:
    """The values of a format as float64s, and how random bits choose between two neighbours."""

    def __init__(self, fmt: Scalar, cast: Cast) -> None:
        points = stochastic_points(fmt, cast)
        self.cast, self.exact = cast, [value for value, _ in points]
        self.codes = np.array([code for _, code in points], code_dtype(fmt.bits))
        self.values = np.array([_float_or_nan(value) for value in self.exact])  # NaN: left to exact arithmetic
        # x lies at or above value j + 1 if it is above this.
        self.below = last_floats(self.exact[1:], [False] * (len(points) - 1), FLOAT64)
        low, high = self.exact[:-1], self.exact[1:]
        pairs = list(zip(low, high, strict=True))  # empty where all entries of a codebook are one value
        self.near = np.array([i + (abs(a) > abs(b)) for i, (a, b) in enumerate(pairs)], np.int64)
        keeps_sign = isinstance(fmt, Minifloat) and not fmt.zero  # no value is nearer to zero there: no choice
        self.open = np.array([not (keeps_sign and a < 0 < b) for a, b in pairs], bool)
        self.minus_zero = minus_zero_code(fmt)

    def choose(self, x: NDArray[np.float64], random: NDArray[np.uint32], out: NDArray[Any]) -> None:
        """Write the codes of those elements of x that lie strictly between two values. random: R of each element."""
        at = np.searchsorted(self.below, x, side="left")  # value `at` <= x < value `at + 1`, but for both ends
        place = np.flatnonzero((at < self.open.size) & (x > last_float(self.exact[0], True, FLOAT64)))
        place = place[self.open[at[place]]]
        at, x, random = at[place], x[place], random[place].astype(np.int64)
        near = self.near[at]
        half_place = int(self.cast.rounding != "stochastic_a")
        parts = (1 << (self.cast.random_bits + half_place)) - (random << half_place) - half_place
        with np.errstate(over="ignore", invalid="ignore"):
            distance = np.abs(x - self.values[near])
            gap = self.values[at + 1] - self.values[at]
            needed = np.ldexp(gap, -self.cast.random_bits - half_place) * parts
            away = distance > needed
            # Two roundings on either side, and one more place for good measure; NaN and infinity are never sure.
            sure = np.abs(distance - needed) > needed * 2.0**-50 + 2.0**-1000
        for i in np.flatnonzero(~sure):
            away[i] = self._moves_away(float(x[i]), int(at[i]), int(random[i]))
        away &= x != self.values[at]  # a value stays what it is
        chosen = np.where(away, 2 * at + 1 - near, near)
        codes = self.codes[chosen]
        if self.minus_zero is not None:
            codes[(x < 0) & (self.values[chosen] == 0)] = self.minus_zero
        inexact = x != self.values[at]
        out[place[inexact]] = codes[inexact]

    def _moves_away(self, x: float, at: int, random: int) -> bool:
        """The same choice in exact arithmetic."""
        part, moves_there = stochastic_cut(self.cast, random)
        nu = abs(Fraction(x) - self.exact[self.near[at]]) / (self.exact[at + 1] - self.exact[at])
        return nu > part or (nu == part and moves_there)


@cache
def _table(fmt: Scalar, cast: Cast) -> _Table:
    return _Table(fmt, cast)


def _float_or_nan(x: Fraction) -> float:
    """x where it is a float64 exactly."""
    try:
        near = float(x)
    except OverflowError:
        return math.nan
    return near if Fraction(near) == x else math.nan


def widened(flat: NDArray[Any]) -> NDArray[np.float64]:
    """float32 as float64."""
    with np.errstate(invalid="ignore"):  # a signalling NaN becomes a quiet one
        return flat.astype(np.float64)


def not_too_small(fmt: FixedPoint, flat: NDArray[Any]) -> NDArray[Any]:
    """x such that x * 2**fraction_bits does not underflow: directed rounding asks for its sign."""
    if fmt.fraction_bits >= 0:
        return flat
    tiny = np.copysign(2.0**-900, flat)
    return np.where((np.abs(flat) < 2.0**-900) & (flat != 0), tiny, flat)
