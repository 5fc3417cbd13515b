"""Exact sums, rounded to odd at 53 bits: by int8 or BLAS where every partial sum fits, elsewhere in slices."""

from __future__ import annotations

import threading
from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from formats.arithmetic.accumulators import Exact, Integer, Unordered, product_range, product_ulp_exponent
from formats.arithmetic.engines.int8 import digit_sums, int8_sums
from formats.arithmetic.job import Job
from formats.arithmetic.multipliers.base import significant_bits
from formats.arithmetic.orders import Pairwise, runs
from formats.scalar import Scalar

Float = NDArray[np.float64]
BLOCK = 2**21  # entries of a copied block of an operand: 16 MiB of float64
_kept = threading.local()


def run(job: Job) -> NDArray[Any] | None:
    """Exact sums of exact products, and of c: float64 rounded to odd, or float32 where that holds every one of them."""
    if not isinstance(job.accumulator, Exact) or not job.exact_products:
        return None
    ulp = product_ulp_exponent(job.fa, job.fb)
    if job.c is None:
        units = int8_sums(job)
        if units is not None:
            narrow = job.terms <= 2**10 or max(-int(units.min()), int(units.max())) <= 2**24
            sums = units.astype(np.float32 if narrow else np.float64)
            return np.ldexp(sums, ulp) if ulp else sums
    else:
        ulp = min(ulp, _last_place(job.c))
    limit = bound(job.a, job.b) + _largest(job.c)
    if limit < Fraction(2) ** (53 + ulp) and ulp >= -1000:
        # All sums are multiples of the last place and below 2**53 of it: every partial sum is exact, and the order,
        # which BLAS does not tell, cannot matter. float32 does where 24 bits hold them.
        narrow = limit <= Fraction(2) ** (24 + ulp) and ulp >= -149 and limit < Fraction(2) ** 127
        by_digits = None if narrow else digit_sums(job)
        out = blas(job.a, job.b, np.float32 if narrow else np.float64) if by_digits is None else by_digits
        out += out.dtype.type(0.0)  # no minus zero, whatever BLAS starts from
        return out if job.c is None else out + job.c
    check_products(job.fa, job.fb, 48)
    from formats.arithmetic.engines.sliced import run as run_sliced

    return run_sliced(job, limit, ulp)


def blas(a: NDArray[Any], b: NDArray[Any], dtype: Any) -> NDArray[Any]:
    """a @ b computed in dtype; operands of another type are copied, a block at a time."""
    if a.dtype == b.dtype == dtype:
        result: NDArray[Any] = a @ b
        return result
    out = np.empty((a.shape[0], b.shape[1]), dtype)
    size = max(64, BLOCK // max(a.shape[1], 1))
    for left in range(0, b.shape[1], size):
        columns = _copied(b[:, left : left + size], dtype, "b")
        for top in range(0, a.shape[0], size):
            rows = _copied(a[top : top + size], dtype, "a")
            np.matmul(rows, columns, out=out[top : top + size, left : left + size])
    return out


def _copied(x: NDArray[Any], dtype: Any, name: str) -> NDArray[Any]:
    """x as dtype, in memory that this thread keeps: fresh pages cost as much as the copy, several times over."""
    count = x.size * np.dtype(dtype).itemsize
    if count > 8 * BLOCK:
        return x.astype(dtype)
    kept = getattr(_kept, name, None)
    if kept is None or kept.size < count:
        kept = np.empty(count, np.uint8)
        setattr(_kept, name, kept)
    copy: NDArray[Any] = kept[:count].view(dtype).reshape(x.shape)
    copy[...] = x
    return copy


def _largest(x: Float | None) -> Fraction:
    return Fraction(0) if x is None or x.size == 0 else Fraction(float(np.abs(x).max()))


def _last_place(x: Float) -> int:
    """An exponent of which every value is a whole multiple."""
    values = x[x != 0]
    if values.size == 0:
        return 1023
    significand, exponent = np.frexp(values)
    integer = np.abs(np.ldexp(significand, 53)).astype(np.int64)
    trailing = np.frexp((integer & -integer).astype(np.float64))[1] - 1
    return int((exponent - 53 + trailing).min())


def bound(a: NDArray[Any], b: NDArray[Any]) -> Fraction:
    """An upper bound on every partial sum's magnitude."""
    if a.size == 0 or b.size == 0:
        return Fraction(0)
    largest = [max(-float(x.min()), float(x.max()), 0.0) for x in (a, b)]
    return Fraction(largest[0]) * Fraction(largest[1]) * int(a.shape[1])


def format_bound(job: Job) -> Fraction:
    """The same by the formats alone, without a look at the operands."""
    low, high = product_range(job.fa, job.fb)
    return max(-low, high) * job.terms


def check_float64(job: Job) -> None:
    """Refuse formats whose products no float64 holds. Exact sums and registers of exact products look for themselves;
    of Unordered nothing is promised."""
    if job.exact_products and isinstance(job.accumulator, Exact | Integer | Unordered):
        return
    check_products(job.fa, job.fb, 53 if job.exact_products else None)


@lru_cache(maxsize=64)
def check_products(fa: Scalar, fb: Scalar, bits: int | None) -> None:
    """Refuse formats whose products have more significant bits than a path carries (None: the multiplier says how many
    they have), or leave float64's normal range."""
    needed = significant_bits(fa) + significant_bits(fb)
    if bits is not None and needed > bits:
        raise ValueError(
            f"matmul: products of {fa.name} and {fb.name} have up to {needed} significant bits, this sum carries "
            f"{bits}; round a codebook's entries to float32, or use narrower formats"
        )
    low, high = product_range(fa, fb)
    if product_ulp_exponent(fa, fb) < -1000 or max(-low, high) >= Fraction(2) ** 1000:
        raise ValueError(f"matmul: products of {fa.name} and {fb.name} leave float64's range; use formats nearer to 1")


def sum_of_products(job: Job, products: Callable[[int], Float]) -> NDArray[Any]:
    """Sums of any multiplier's products, in Python integers: the meaning itself.

    products(k) gives the k-th product of every output. Registers count in units of ulp(a) * ulp(b), what a product has
    below is cut off.
    """
    from formats.arithmetic.engines.registers import finish
    from formats.arithmetic.reference import register

    how = job.accumulator
    assert isinstance(how, Exact | Integer)
    if isinstance(how, Integer):
        ulp = product_ulp_exponent(job.fa, job.fb)
    else:
        ulp = job.multiplier.output(job.fa, job.fb)[1]
        ulp = ulp if job.c is None else min(ulp, _last_place(job.c))
    terms = [_integers(products(k), ulp, job) for k in range(job.terms)]
    if job.c is None:
        start = np.zeros(job.shape, object)
    else:
        start = np.asarray(np.frompyfunc(int, 1, 1)(job.c)) if job.counts else _integers(job.c, ulp, job)
    if isinstance(how, Exact):
        total = sum(terms, start)
    else:
        order = job.order
        add = np.frompyfunc(lambda x, y: register([y], x, how), 2, 1)
        parts = []
        for number, ks in enumerate(runs(job.terms, order)):
            part = start if number == 0 else np.zeros(job.shape, object)
            for first in range(ks.start, ks.stop, how.every):
                step = terms[first : min(first + how.every, ks.stop)]
                part = add(part, sum(step[1:], step[0]))
            parts.append(part)
        while isinstance(order, Pairwise) and len(parts) > 1:
            odd = parts[len(parts) - len(parts) % 2 :]
            parts = [add(x, y) for x, y in zip(parts[::2], parts[1::2], strict=False)] + odd
        total = parts[0] if parts else start
        for part in parts[1:]:
            total = add(total, part)
    return finish(total, ulp, job.counts)


def _integers(values: Float, ulp: int, job: Job) -> NDArray[Any]:
    if not np.isfinite(values).all():
        raise ValueError(f"matmul: a product is infinite or NaN, which {job.accumulator} cannot hold; use a FloatChain")
    unit = Fraction(2) ** ulp
    whole = np.frompyfunc(lambda v: int(Fraction(float(v)) / unit), 1, 1)
    return np.asarray(whole(values), object).reshape(values.shape)
