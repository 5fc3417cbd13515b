"""The sums of a LookupTable, many outputs at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from formats.arithmetic.accumulators import FloatChain, Integer
from formats.arithmetic.engines.generic import add_odd
from formats.arithmetic.groups.exact_terms import Float, top, whole_product
from formats.arithmetic.groups.lookup import ROW, LookupTable
from formats.arithmetic.groups.registers import BEYOND, integer_steps, wrapped
from formats.arithmetic.groups.segments import GroupJob, Segment, accumulate, rounded, segments
from formats.arithmetic.groups.tables import Table, entries, groups_of, integer_entries, table_scale

# Registers whose additions the processor has.
NATIVE: dict[FloatChain, Any] = {FloatChain("float32"): np.float32, FloatChain("float16"): np.float16}
SELECTED = 2**23  # entries of a matrix of selectors
GATHER = 5  # from this group on entries are gathered one by one; below, a product with rows of one 1 is faster


def run(group: LookupTable, job: GroupJob) -> Float:
    """float64, exact sums rounded to odd at 53 bits."""
    return accumulate(job, lambda: _terms(group, job))


def _terms(group: LookupTable, job: GroupJob) -> Iterator[Segment]:
    weights, run = job.weights, group.scale_run
    sizes = () if run is None else (job.terms if run == ROW else run,)
    for begin, end in segments(job, group.group, *sizes):
        planes = [slice(p, p + 1) for p in range(len(weights.worth))] if weights.apart else [slice(None)]
        table = None if _linear(group) else make_table(group, job.a[:, begin:end])
        others = ones(group, job, begin, end, table)
        for number, which in enumerate(planes):
            parts = _sums(group, job, begin, end, which, table)
            yield Segment(parts, None if table is None else table.scale, others, begin, number)


def _linear(group: LookupTable) -> bool:
    """Whether sums of entries are sums of products: nothing was rounded, and no register is looked at in between."""
    return group.exact_entries and not isinstance(group.register, FloatChain)


def make_table(group: LookupTable, a: Float) -> Table:
    """The tables of activations [M, K] that share their dynamic scale."""
    found, exact = entries(groups_of(a, group.group), group.states, group.entry, group.additions)
    whole = found[..., -1]
    if group.table is None:
        return Table(found, None, whole, exact)
    scale = table_scale(np.abs(found).max(axis=(1, 2), initial=0.0), group.table, group.table_scale)
    return Table(integer_entries(found, scale[:, None, None], group.table), scale[:, None], whole, True)


def ones(group: LookupTable, job: GroupJob, begin: int, end: int, table: Table | None) -> list[Float]:
    """What zero points multiply, [M, 1]: the sum of the entries of all ones, before they became integers."""
    if job.weights.zero is None:
        return []
    a = job.a[:, begin:end]
    if table is not None and group.entry is not None:
        a = table.ones
    return whole_product(a, np.ones((a.shape[1], 1)))


def _sums(group: LookupTable, job: GroupJob, begin: int, end: int, which: slice, table: Table | None) -> list[Float]:
    """The planes' sums, joined: arrays [M, N] that add up to them exactly."""
    how, weights = group.register, job.weights
    worth = weights.worth[which]
    if isinstance(how, FloatChain):
        assert table is not None
        if not table.exact:
            raise ValueError(
                f"matmul: exact entries of {job.fa.name} may have more than 53 bits, which {how} cannot add once "
                "rounded; give LookupTable an entry format"
            )
        return [_chain(how, table.values, index_planes(group, job, begin, end, which), worth)]
    place = table_place(group, job)
    if isinstance(how, Integer):
        values = job.a[:, begin:end] if table is None else table.values
        # Each activation, or each group's largest entry, is added once for every plane at most.
        most = np.abs(values) if table is None else np.abs(values).max(axis=-1)
        reach = most.sum(axis=1).max(initial=0.0) * sum(abs(w) for w in worth)
        limit = np.ldexp(2.0 ** (how.bits - 1) - 1, place)
        if not reach * (1 + 2.0**-40) <= limit:
            if how.overflow != "wrap":
                full = table if table is not None else make_table(group, job.a[:, begin:end])
                return [_steps(how, full.values, index_planes(group, job, begin, end, which), worth, place)]
            parts = _exact(group, job, begin, end, which, table, place)
            return [wrapped(parts, place, how)]
    return _exact(group, job, begin, end, which, table, place)


def table_place(group: LookupTable, job: GroupJob) -> int:
    """The exponent of the last place that entries, and an Integer register, count in."""
    if group.table is not None:
        return 0
    return group.entry.ulp_exponent if group.entry is not None else job.fa.ulp_exponent


def index_planes(group: LookupTable, job: GroupJob, begin: int, end: int, which: slice) -> NDArray[np.uint8]:
    """What every plane, group and column looks up: [planes, groups, N]."""
    codes = job.weights.codes[begin:end]
    codes = np.pad(codes, ((0, -codes.shape[0] % group.group), (0, 0))).reshape(-1, group.group, codes.shape[1])
    found = []
    for plane in range(len(job.weights.worth))[which]:
        index = np.zeros((codes.shape[0], codes.shape[2]), np.uint8)
        for j in range(group.group):
            index |= (codes[:, j] >> np.uint8(plane) & np.uint8(1)) << np.uint8(j)
        found.append(index)
    return np.stack(found)


def _exact(
    group: LookupTable, job: GroupJob, begin: int, end: int, which: slice, table: Table | None, place: int
) -> list[Float]:
    if table is None:
        return whole_product(job.a[:, begin:end], job.weights.integers(which, slice(begin, end)), place)
    index, worth = index_planes(group, job, begin, end, which), job.weights.worth[which]
    if group.group >= GATHER and top(table.values) - place + 3 + len(index[0]).bit_length() <= 53:
        return [_gathered(table.values, index, worth)]
    values = table.values
    if group.states == "signs":
        values = values[..., : values.shape[-1] // 2]
    rows = values.reshape(values.shape[0], -1)
    width = max(64, SELECTED // max(rows.shape[1], 1))
    columns = [index[..., left : left + width] for left in range(0, index.shape[-1], width)]
    heaviest = float(index.shape[1] * sum(abs(times) for times in worth))  # every group adds each plane's worth once
    found = []
    for few in columns:
        chosen = selectors(few, worth, 2**group.group, group.states == "signs")
        found.append(whole_product(rows, chosen, place, heaviest))
    return [np.concatenate(parts, axis=1) for parts in zip(*found, strict=True)]


def selectors(index: NDArray[np.uint8], worth: tuple[int, ...], entries: int, half: bool) -> NDArray[np.float32]:
    """A matrix [groups * stored entries, N] whose product with tables is the joined sum of what is looked up.

    Every plane adds its worth at the row it looks up; in half a table, minus its worth where the top bit is set, at the
    row of the other bits inverted.
    """
    stored = entries // 2 if half else entries
    groups, columns = index.shape[1:]
    matrix = np.zeros((groups, stored, columns), np.float32)
    at = np.arange(groups)[:, None], np.arange(columns)[None, :]
    for plane, times in zip(index.astype(np.intp), worth, strict=True):
        mirrored = plane >= stored
        place = np.where(mirrored, entries - 1 - plane, plane)
        matrix[at[0], place, at[1]] += np.where(mirrored, -times, times)
    return matrix.reshape(groups * stored, columns)


def _gathered(values: Float, index: NDArray[np.uint8], worth: tuple[int, ...]) -> Float:
    from formats.arithmetic.kernels.lookups import gather

    out = np.zeros((values.shape[0], index.shape[-1]))
    gather(np.ascontiguousarray(values), index, np.array(worth, np.float64), out)
    return out


def _chain(how: FloatChain, values: Float, index: NDArray[np.uint8], worth: tuple[int, ...]) -> Float:
    dtype, parts = NATIVE.get(how), None
    if dtype is not None:
        with np.errstate(over="ignore"):
            own = values.astype(dtype)
        if (own == values).all():
            parts = _native_parts(own, index)
    if parts is None:
        parts = [np.zeros((values.shape[0], index.shape[-1])) for _ in index]
        for plane, picks in enumerate(index):
            for number, picked in enumerate(picks):
                parts[plane] = rounded(add_odd(parts[plane], values[:, number][:, picked]), how.format, how.cast)
    total = np.zeros_like(parts[0])
    for part, times in zip(parts, worth, strict=True):
        total = rounded(add_odd(total, part * times), how.format, how.cast)
    return total


def _native_parts(values: NDArray[Any], index: NDArray[np.uint8]) -> list[Float]:
    """Planes' sums by float32 additions, where entries are of the register's own format.

    A sum of two float16 rounded to float32 rounds to float16 as the sum itself does: 24 bits are 2 * 11 + 2 (Figueroa,
    When is double rounding innocuous?, 1995), and subnormal sums are exact.
    """
    entries = np.ascontiguousarray(values.astype(np.float32).transpose(1, 2, 0))
    parts = []
    with np.errstate(over="ignore", invalid="ignore"):
        for picks in index:
            part = np.zeros((index.shape[-1], values.shape[0]), np.float32)
            for number, picked in enumerate(picks):
                part += entries[number][picked]
                if values.dtype != part.dtype:
                    part = part.astype(values.dtype).astype(np.float32)
            parts.append(np.asarray(part.T, np.float64))
    return parts


def _steps(how: Integer, values: Float, index: NDArray[np.uint8], worth: tuple[int, ...], place: int) -> Float:
    """One addition after another, each saturated or checked."""
    # Far beyond any such register an entry's size does not matter, and int64 must hold it.
    counts = np.clip(np.ldexp(values, -place), -BEYOND, BEYOND).astype(np.int64)
    parts: list[NDArray[Any]] = []
    for plane in index:
        parts.append(integer_steps((counts[:, g][:, picked] for g, picked in enumerate(plane)), how))
    joined = integer_steps((part * times for part, times in zip(parts, worth, strict=True)), how)
    return np.ldexp(joined.astype(np.float64), place)
