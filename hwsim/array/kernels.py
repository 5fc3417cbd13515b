"""The registers of a systolic array, stepped cycle by cycle in numba. Imported only when something is simulated.

Two machines: `step_stationary` (weight and input stationary) and `step_output`. Each runs one fold, described by a
`StationaryFold` or `OutputFold`, from its first load to its last result; no formula for cycles appears here. A cycle is
one clock edge: every register takes a value computed from the registers before the edge, which is why rows are walked
from the bottom up and columns from the right.

A word that streams carries a tag beside it: EMPTY where there is none, else how many of its `lanes` hold a term (a
fold's last word may hold fewer, padding none at all). A PE adds exactly the terms that are there; a padded PE forwards
its sum unchanged, because adding the product +0 would turn a sum of -0 into +0.

Sums come in three kinds, told apart by their array: int64 [row, column], int64 limbs of 32 bits [row, column, limb],
float64 [row, column]. See datapath.py for what each stands for. `rules` is (OVERFLOW_*, bits) for the integer kinds;
`magic` the rounding table of `round_float` for the last.

Copies are loops and not slices: numba compiles them several times faster.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

import numba
import numpy as np
from numba.extending import overload
from numpy.typing import NDArray

from formats.kernels.jit import kernel
from hwsim.array.registers import (
    CYCLE,
    DONE,
    DRAIN,
    EMPTY,
    FED,
    FINISHED,
    LOAD,
    OVERFLOW_ERROR,
    OVERFLOW_NONE,
    OVERFLOW_SATURATE,
    OVERFLOW_WRAP,
    OVERFLOWED,
    READ_BACK,
    READ_MOVING,
    READ_STILL,
    RESULTS,
    RUNNING,
    STATE,
    STREAM,
    WRITTEN,
    OutputFold,
    StationaryFold,
)

F = TypeVar("F", bound=Callable[..., Any])
Array = NDArray[Any]

_MASK = (1 << 32) - 1


# ---------------------------------------------------------------- one PE: sums


@kernel
def limit_integer(total: Any, overflow: Any, bits: Any) -> Any:
    """An exact int64 total as the register keeps it. OVERFLOW_ERROR is the caller's: see `fits_integer`."""
    if overflow == OVERFLOW_WRAP:
        return (total << (64 - bits)) >> (64 - bits)
    if overflow == OVERFLOW_SATURATE:
        top = (np.int64(1) << (bits - 1)) - 1
        return min(max(total, -top - 1), top)
    return total


@kernel
def fits_integer(total: Any, overflow: Any, bits: Any) -> Any:
    """Whether a total lies in the register; only OVERFLOW_ERROR asks."""
    return overflow != OVERFLOW_ERROR or total == (total << (64 - bits)) >> (64 - bits)


@kernel
def round_float(exact_high: Any, exact_low: Any, magic: Array) -> Any:
    """high + low, a TwoSum, rounded once to the format of `magic`: to nearest, ties to even, overflow to infinity.

    First to odd in float64: where the sum was inexact and its last bit even, step to the neighbour on the side of the
    rest. Rounding that to at most 53 - 2 bits equals rounding the exact sum (Boldo and Melquiond, 2008). magic[e], for
    the biased float64 exponent e, is 1.5 * 2**52 times the format's quantum there: adding it leaves no bit below the
    quantum, taking it away again is exact. magic[2048] is the largest finite value.
    """
    rounded = exact_high
    if exact_low != 0.0 and math.isfinite(exact_high):
        bits = np.float64(exact_high).view(np.int64)
        if bits & 1 == 0:
            rounded = np.int64(bits + (1 if (exact_low > 0.0) == (exact_high > 0.0) else -1)).view(np.float64)
    exponent = (np.float64(rounded).view(np.int64) >> 52) & 2047
    result = (rounded + magic[exponent]) - magic[exponent]
    if abs(result) > magic[2048]:
        result = math.inf
    return math.copysign(result, rounded)


@kernel
def add_float(x: Any, y: Any, magic: Array) -> Any:
    """x + y, both exact in float64, rounded once. TwoSum (Knuth): no condition on the magnitudes."""
    high = x + y
    z = high - x
    low = (x - (high - z)) + (y - z)
    return round_float(high, low, magic)


@kernel
def add_shifted(limbs: Array, integer: Any, shift: Any) -> None:
    """limbs += integer * 2**shift. Limbs are in 0..2**32-1 but the last, which is signed; |integer| < 2**62."""
    count = limbs.shape[0]
    first, inner = shift >> 5, shift & 31
    low = (integer & _MASK) << inner  # below 2**63
    rest = ((integer >> 32) << inner) + (low >> 32)
    carry = np.int64(0)
    for j in range(first, count):
        if j == count - 1:  # the last limb takes all that is left, sign included
            if j == first:
                carry += (low & _MASK) + (rest << 32)
            elif j == first + 1:
                carry += rest
            elif j == first + 2:
                carry += rest >> 32
            limbs[j] += carry
        else:
            if j == first:
                carry += low & _MASK
            elif j == first + 1:
                carry += rest & _MASK
            elif j == first + 2:
                carry += rest >> 32
            carry += limbs[j]
            limbs[j] = carry & _MASK
            carry >>= 32


@kernel
def limit_limbs(limbs: Array, rules: Array) -> Any:
    """Bring limbs into the register as its rules say; False where OVERFLOW_ERROR finds it outside."""
    if rules[0] == OVERFLOW_NONE:
        return True
    last = limbs.shape[0] - 1
    top, inner = (rules[1] - 1) >> 5, (rules[1] - 1) & 31
    negative = (limbs[top] >> inner) & 1  # the sign bit of the register
    fill = -negative
    inside = limbs[top] >> inner == (fill if top == last else fill & (_MASK >> inner))
    for j in range(top + 1, last + 1):
        inside &= limbs[j] == (fill if j == last else fill & _MASK)
    if inside or rules[0] == OVERFLOW_ERROR:
        return inside
    low = (np.int64(1) << inner) - 1
    if rules[0] == OVERFLOW_SATURATE:
        fill = np.int64(-1) if limbs[last] < 0 else np.int64(0)
        for j in range(top):
            limbs[j] = ~fill & _MASK
        limbs[top] = ~fill & low
    limbs[top] = (limbs[top] & low) | (fill << inner)
    if top < last:
        limbs[top] &= _MASK
        for j in range(top + 1, last):
            limbs[j] = fill & _MASK
        limbs[last] = fill
    return True


def add_terms(sums: Array, start: Array, a: Array, b: Array, tags: Array, rules: Array, magic: Array) -> Any:
    """One row of PEs: sums[c] = start[c] + the terms a[lane, c] * b[lane, c], lane 0 first; False on overflow error.

    tags[c]: how many lanes of column c hold a term. Chosen by the type of `sums`; the bodies follow.
    """
    raise NotImplementedError


def combine(buffer: Array, sums: Array, c: int, first: bool, rules: Array, magic: Array) -> Any:
    """Accumulator buffer, one entry: buffer[c] = sums[c] on the first K fold, else buffer[c] + sums[c]."""
    raise NotImplementedError


def _add_terms_integer(sums: Array, start: Array, a: Array, b: Array, tags: Array, rules: Array, magic: Array) -> Any:
    overflow, bits = rules[0], rules[1]  # read once: the compiler must assume that `sums` may alias `rules`
    fits = True
    for lane in range(b.shape[0]):
        for c in range(b.shape[1]):
            before = start[c] if lane == 0 else sums[c]
            total = before + (a[lane, c] * b[lane, c] if lane < tags[c] else 0)
            fits &= fits_integer(total, overflow, bits)
            sums[c] = limit_integer(total, overflow, bits)
    return fits


def _add_terms_limbs(sums: Array, start: Array, a: Array, b: Array, tags: Array, rules: Array, magic: Array) -> Any:
    fits = True
    for c in range(b.shape[1]):
        for j in range(sums.shape[1]):
            sums[c, j] = start[c, j]
        for lane in range(tags[c]):
            # an operand is significand << 10 | exponent above the format's last place
            significand = (a[lane, c] >> 10) * (b[lane, c] >> 10)
            add_shifted(sums[c], significand, (a[lane, c] & 1023) + (b[lane, c] & 1023))
            fits &= limit_limbs(sums[c], rules)
    return fits


def _add_terms_float(sums: Array, start: Array, a: Array, b: Array, tags: Array, rules: Array, magic: Array) -> Any:
    for c in range(b.shape[1]):
        total = start[c]
        for lane in range(tags[c]):
            total = add_float(total, a[lane, c] * b[lane, c], magic)
        sums[c] = total
    return True


def _combine_integer(buffer: Array, sums: Array, c: int, first: bool, rules: Array, magic: Array) -> Any:
    total = sums[c] if first else buffer[c] + sums[c]
    buffer[c] = limit_integer(total, rules[0], rules[1])
    return fits_integer(total, rules[0], rules[1])


def _combine_limbs(buffer: Array, sums: Array, c: int, first: bool, rules: Array, magic: Array) -> Any:
    if first:
        for j in range(sums.shape[1]):
            buffer[c, j] = sums[c, j]
        return True
    carry = np.int64(0)
    last = sums.shape[1] - 1
    for j in range(last):
        carry += buffer[c, j] + sums[c, j]
        buffer[c, j] = carry & _MASK
        carry >>= 32
    buffer[c, last] += sums[c, last] + carry
    return limit_limbs(buffer[c], rules)


def _combine_float(buffer: Array, sums: Array, c: int, first: bool, rules: Array, magic: Array) -> Any:
    buffer[c] = sums[c] if first else add_float(buffer[c], sums[c], magic)
    return True


def _by_kind(sums: Any, integer: F, limbs: F, floats: F) -> F:
    """The body for a row of sums of this numba type. numba wants the annotations of a choice and its bodies alike."""
    if isinstance(sums.dtype, numba.types.Float):
        return floats
    return limbs if sums.ndim == 2 else integer


@overload(add_terms)
def _choose_add_terms(sums: Array, start: Array, a: Array, b: Array, tags: Array, rules: Array, magic: Array) -> Any:
    return _by_kind(sums, _add_terms_integer, _add_terms_limbs, _add_terms_float)


@overload(combine)
def _choose_combine(buffer: Array, sums: Array, c: int, first: bool, rules: Array, magic: Array) -> Any:
    return _by_kind(sums, _combine_integer, _combine_limbs, _combine_float)


# ---------------------------------------------------------------- edges and wires


@kernel
def enter(words: Array, tag: int, depth: int, line: Array, line_tags: Array, wires: Array, c: int) -> Any:
    """Clock one skew line of `depth` registers: `words` go in, what comes out drives wires[:, c]; returns its tag.

    words: [lanes], ignored where the tag is EMPTY.  line: [>= depth, lanes].
    """
    out = tag if depth == 0 else line_tags[depth - 1]
    for lane in range(words.shape[0]):
        word = words[lane] if tag != EMPTY else words[lane] * 0
        wires[lane, c] = word if depth == 0 else line[depth - 1, lane]
        for d in range(depth - 1, 0, -1):
            line[d, lane] = line[d - 1, lane]
        line[0, lane] = word
    for d in range(depth - 1, 0, -1):
        line_tags[d] = line_tags[d - 1]
    line_tags[0] = tag
    return out


@kernel
def shift_right(wires: Array, tags: Array) -> None:
    """Clock one row of operand registers: wires[:, 0] is the wire into the row, wires[:, 1:] the PEs' registers."""
    for c in range(tags.shape[0] - 1, 0, -1):
        tags[c] = tags[c - 1]
    for lane in range(wires.shape[0]):
        for c in range(wires.shape[1] - 1, 0, -1):
            wires[lane, c] = wires[lane, c - 1]


@kernel
def shift_down(registers: Array) -> None:
    """Clock a chain of rows: each takes the one above it; the top one keeps its own. registers: [rows, any length]."""
    for r in range(registers.shape[0] - 1, 0, -1):
        for c in range(registers.shape[1]):
            registers[r, c] = registers[r - 1, c]


# ---------------------------------------------------------------- weight and input stationary


@kernel
def step_stationary(fold: StationaryFold, cycles: int) -> int:
    """Clock the fold up to `cycles` times; returns RUNNING, FINISHED or OVERFLOWED.

    LOAD shifts `still` in from the top until the row of words fed first has reached the bottom. Then each cycle feeds a
    word into every row's skew line. A sum is a result when it enters the bottom register with its tag set, which it is
    when any row on its way had a word; the fold is finished when every column, padded ones too, gave `steps` results.
    """
    for _ in range(cycles):
        if fold.control[STATE] == LOAD:
            _load(fold)
        elif not _stream(fold):
            return OVERFLOWED
        fold.control[CYCLE] += 1
        if fold.control[STATE] == DONE:
            return FINISHED
    return RUNNING


@kernel
def _load(fold: StationaryFold) -> None:
    """One cycle of LOAD: every row of held words moves down, the next one enters at the top."""
    rows, lanes, columns = fold.still.shape
    row = rows - 1 - fold.control[FED]
    shift_down(fold.held_tags)
    for r in range(rows - 1, -1, -1):
        for lane in range(lanes):
            for c in range(columns):
                fold.held[r, lane, c] = fold.held[r - 1, lane, c] if r else fold.still[row, lane, c]
    for c in range(columns):
        fold.held_tags[0, c] = fold.terms[row]
    fold.moved[READ_STILL] += fold.terms[row] * fold.active
    fold.control[FED] += 1
    if fold.held_tags[rows - 1, 0] != EMPTY:
        fold.control[STATE], fold.control[FED] = STREAM, 0


@kernel
def _stream(fold: StationaryFold) -> Any:
    """One cycle of STREAM; False where a sum does not fit under OVERFLOW_ERROR."""
    rows, _, columns = fold.still.shape
    steps, fed = fold.moving.shape[0], fold.control[FED]
    step = min(fed, steps - 1)
    for r in range(rows - 1, -1, -1):
        tag = fold.terms[r] if fed < steps else EMPTY
        fold.moved[READ_MOVING] += max(tag, 0)
        line, line_tags, wires, tags = fold.line[r], fold.line_tags[r], fold.wires[r], fold.tags[r]
        tags[0] = enter(fold.moving[step, r], tag, fold.depths[r], line, line_tags, wires, 0)
        if not add_terms(fold.sums[r + 1], fold.sums[r], wires, fold.held[r], tags, fold.rules, fold.magic):
            return False
        for c in range(columns):
            fold.sum_tags[r + 1, c] = max(fold.sum_tags[r, c], min(tags[c], 0))
        shift_right(wires, tags)
    fold.control[FED] += 1
    for c in range(columns):
        t = fold.taken[c]
        if fold.sum_tags[rows, c] == EMPTY or t == steps:
            continue
        if c < fold.active:
            if not combine(fold.buffer[t], fold.sums[rows], c, fold.first, fold.rules, fold.magic):
                return False
            fold.moved[WRITTEN] += 1
            fold.moved[READ_BACK] += 0 if fold.first else 1
        fold.taken[c] += 1
        fold.control[RESULTS] += 1
    if fold.control[RESULTS] == steps * columns:
        fold.control[STATE] = DONE
    return True


# ---------------------------------------------------------------- output stationary


@kernel
def step_output(fold: OutputFold, cycles: int) -> int:
    """Clock the fold up to `cycles` times; returns RUNNING, FINISHED or OVERFLOWED.

    A PE starts with the first word that reaches it from either side and is complete after `steps` cycles with a word.
    Once all are, the sums leave: with `drain` one row a cycle through the bottom, else they have left already.
    """
    for _ in range(cycles):
        if fold.control[STATE] == DRAIN:
            _drain(fold)
        elif not _accumulate(fold):
            return OVERFLOWED
        fold.control[CYCLE] += 1
        if fold.control[STATE] == DONE:
            return FINISHED
    return RUNNING


@kernel
def _accumulate(fold: OutputFold) -> Any:
    """One cycle of STREAM; False where a sum does not fit under OVERFLOW_ERROR."""
    steps, rows, lanes = fold.a.shape
    columns, fed = fold.b.shape[1], fold.control[FED]
    step, tag = min(fed, steps - 1), fold.terms[fed] if fed < steps else EMPTY
    for c in range(columns):
        fold.moved[READ_STILL] += max(tag, 0) if c < fold.active_columns else 0
        line, line_tags = fold.b_line[c], fold.b_line_tags[c]
        fold.b_tags[0, c] = enter(fold.b[step, c], tag, fold.b_depths[c], line, line_tags, fold.b_wires[0], c)
    for r in range(rows - 1, -1, -1):
        fold.moved[READ_MOVING] += max(tag, 0) if r < fold.active_rows else 0
        wires, tags, line, line_tags = fold.a_wires[r], fold.a_tags[r], fold.a_line[r], fold.a_line_tags[r]
        tags[0] = enter(fold.a[step, r], tag, fold.a_depths[r], line, line_tags, wires, 0)
        for c in range(columns):
            meets = max(tags[c], fold.b_tags[r, c]) != EMPTY and fold.taken[r, c] < steps
            fold.step_tags[c] = min(tags[c], fold.b_tags[r, c]) if meets else EMPTY
            if meets:
                fold.taken[r, c] += 1
                fold.sum_tags[r, c] = 0
                if fold.taken[r, c] == steps:
                    fold.control[RESULTS] += 1
        if not add_terms(fold.sums[r], fold.sums[r], wires, fold.b_wires[r], fold.step_tags, fold.rules, fold.magic):
            return False
        shift_right(wires, tags)
        for c in range(columns):
            fold.b_tags[r + 1, c] = fold.b_tags[r, c]
            for lane in range(lanes):
                fold.b_wires[r + 1, lane, c] = fold.b_wires[r, lane, c]
    fold.control[FED] += 1
    if fold.control[RESULTS] == rows * columns:
        fold.control[STATE], fold.control[RESULTS] = DRAIN, 0
        if not fold.drain:
            for r in range(rows):
                _leave(fold, r, r)
            fold.control[STATE] = DONE
    return True


@kernel
def _leave(fold: OutputFold, row: int, register: int) -> None:
    """The sums in a row of registers leave as the results of `row`."""
    for c in range(fold.taken.shape[1]):
        combine(fold.out[row], fold.sums[register], c, True, fold.rules, fold.magic)
    fold.moved[WRITTEN] += fold.active_columns if row < fold.active_rows else 0


@kernel
def _drain(fold: OutputFold) -> None:
    """One cycle of DRAIN: the bottom row leaves, every other moves down."""
    rows = fold.sums.shape[0]
    _leave(fold, rows - 1 - fold.control[RESULTS], rows - 1)
    for r in range(rows - 1, 0, -1):
        for c in range(fold.taken.shape[1]):
            combine(fold.sums[r], fold.sums[r - 1], c, True, fold.rules, fold.magic)
    shift_down(fold.sum_tags)
    for c in range(fold.sum_tags.shape[1]):
        fold.sum_tags[0, c] = EMPTY
    fold.control[RESULTS] += 1
    if fold.control[RESULTS] == rows:
        fold.control[STATE] = DONE
