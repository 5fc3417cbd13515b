"""Integer registers: exact products counted in units of their last place, added in two's complement."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from formats.arithmetic.accumulators import Integer, product_ulp_exponent
from formats.arithmetic.engines.exact import blas, bound, format_bound
from formats.arithmetic.engines.int8 import int8_sums
from formats.arithmetic.job import Job
from formats.arithmetic.orders import Pairwise, Tree, run_length, runs
from formats.arithmetic.reference import register


def run(job: Job) -> NDArray[Any] | None:
    """Register contents (job.counts) or their values, rounded to odd at 53 bits."""
    how = job.accumulator
    if not isinstance(how, Integer) or not job.exact_products or isinstance(job.order, Pairwise | Tree):
        return None
    from formats.arithmetic.kernels import sums

    ulp = product_ulp_exponent(job.fa, job.fb)
    unit = Fraction(2) ** ulp
    low, high = -(2 ** (how.bits - 1)), 2 ** (how.bits - 1) - 1
    fits = min(high, 2**53 - 1)
    largest = format_bound(job) / unit
    if largest > fits:
        largest = bound(job.a, job.b) / unit
    if how.bits > 64 or largest >= 2**62 or job.c is not None:
        return _wide(job, how, ulp)
    if largest <= fits or (largest < 2**53 and how.overflow == "wrap"):
        # No partial sum, in any order, leaves the register; or addition modulo 2**bits, which does not care for one.
        total = _plain(job)
        if how.bits > 32:
            total = total.astype(np.int64, copy=False)
        if largest > high:
            total = (total.astype(np.int64) - low) % 2**how.bits + low
        return finish(total, ulp, job.counts)
    if how.every > 1 and how.overflow == "saturate" and largest < 2**52:
        return finish(_clamped(job, how.every, low, high), ulp, job.counts)
    if how.every > 1 and how.overflow != "wrap":
        return _wide(job, how, ulp)
    ia, ib = (
        np.ascontiguousarray(np.ldexp(x.astype(np.float64), -f.ulp_exponent).astype(np.int64))
        for x, f in ((job.a, job.fa), (job.b, job.fb))
    )
    out = np.empty(job.shape, np.int64)
    size = run_length(job.order, job.terms)
    if sums.chain_integer(ia, ib, size, low, high, how.overflow == "saturate", out) and how.overflow == "error":
        _raise_first(ia, ib, job, low, high)
    if how.overflow == "wrap" and how.bits < 63:  # wider registers hold every sum below 2**62
        out = (out - low) % 2**how.bits + low  # addition modulo 2**bits does not care when it is reduced
    return finish(out, ulp, job.counts)


def _plain(job: Job) -> NDArray[Any]:
    """Integer sums that fit everywhere, by int8 instructions or BLAS: int32 or int64."""
    units = int8_sums(job)
    if units is not None:
        return units
    a, b = job.a, job.b
    if not bound(a, b):  # one operand is zero; the other, in units of its last place, may be beyond every float
        return np.zeros(job.shape, np.int32)
    if job.fa.ulp_exponent or job.fb.ulp_exponent:
        a, b = (np.ldexp(x, -f.ulp_exponent) for x, f in ((a, job.fa), (b, job.fb)))
    narrow = bound(a, b) <= 2**24
    sums = blas(a, b, np.float32 if narrow else np.float64)
    return sums.astype(np.int32 if narrow else np.int64)


def _clamped(job: Job, every: int, low: int, high: int) -> NDArray[np.int64]:
    """Registers clamped after every so many products: whole numbers below 2**53, so float64 adds them exactly."""
    a, b = (np.ldexp(x.astype(np.float64), -f.ulp_exponent) for x, f in ((job.a, job.fa), (job.b, job.fb)))
    total = np.zeros(job.shape)
    for begin in range(0, job.terms, every):
        total += a[:, begin : begin + every] @ b[begin : begin + every]
        np.clip(total, low, high, out=total)
    return total.astype(np.int64)


def _raise_first(ia: NDArray[np.int64], ib: NDArray[np.int64], job: Job, low: int, high: int) -> None:
    """Name the first output whose partial sum leaves the register, and the k at which it does."""
    for i, row in enumerate(ia):
        for j, column in enumerate(ib.T):
            total = 0
            for k, term in enumerate((row * column).tolist()):
                if k % run_length(job.order, job.terms) == 0:
                    total = 0
                total += term
                if not low <= total <= high:
                    raise ValueError(
                        f"matmul: the partial sum {total} of output [{i}, {j}] at k = {k} leaves {job.accumulator}'s "
                        f"range {low}..{high}; use a wider register, or overflow='wrap' or 'saturate'"
                    )
    raise ValueError(f"matmul: a sum of partial sums leaves {job.accumulator}'s range {low}..{high}; use a wider one")


def _wide(job: Job, how: Integer, ulp: int) -> NDArray[Any]:
    """Registers beyond int64, or with a start, in Python integers: the reference itself."""
    ua, ub, unit = (Fraction(2) ** e for e in (job.fa.ulp_exponent, job.fb.ulp_exponent, ulp))
    ia = [[int(Fraction(float(v)) / ua) for v in row] for row in job.a]
    ib = [[int(Fraction(float(v)) / ub) for v in column] for column in job.b.T]
    total = np.zeros(job.shape, object)
    for i, row in enumerate(ia):
        for j, column in enumerate(ib):
            start = 0
            if job.c is not None:
                start = int(job.c[i, j]) if job.counts else int(Fraction(float(job.c[i, j])) / unit)
            parts = [
                register([row[k] * column[k] for k in ks], start if number == 0 else 0, how)
                for number, ks in enumerate(runs(job.terms, job.order))
            ]
            total[i, j] = register(parts[1:], parts[0], how) if parts else start
    return finish(total, ulp, job.counts)


def finish(total: NDArray[Any], ulp: int, counts: bool) -> NDArray[Any]:
    """Integers as the register's contents, or times 2**ulp as float64 rounded to odd."""
    if counts:
        return total if total.dtype == np.int32 else total.astype(np.int64, copy=False)
    if total.dtype != object:
        return np.ldexp(_odd(total.astype(np.int64, copy=False)), ulp)
    rounded = np.frompyfunc(lambda integer: _to_odd(integer, ulp), 1, 1)
    return np.asarray(rounded(total), np.float64).reshape(total.shape)


def _odd(integers: NDArray[np.int64]) -> NDArray[np.float64]:
    """int64 to float64, rounded to odd."""
    near = integers.astype(np.float64)
    error = integers - near.astype(np.int64)
    bits = near.view(np.int64)
    step = np.where((error > 0) == (near > 0), 1, -1)
    return np.where((error != 0) & (bits & 1 == 0), bits + step, bits).view(np.float64)


def _to_odd(integer: int, exponent: int) -> float:
    """integer * 2**exponent as a float64 rounded to odd."""
    magnitude, drop = abs(integer), max(abs(integer).bit_length() - 53, 0)
    kept = magnitude >> drop
    if magnitude & ((1 << drop) - 1):
        kept |= 1
    return float(np.ldexp(float(-kept if integer < 0 else kept), exponent + drop))
