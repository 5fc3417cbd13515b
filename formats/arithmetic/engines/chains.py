"""Float chains, compiled: one rounding a step, of products that are exact or rounded before they are added."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from formats.arithmetic.accumulators import (
    Accumulator,
    FloatChain,
    Kahan,
    Promotion,
    SplitK,
    product_range,
    product_ulp_exponent,
)
from formats.arithmetic.engines.additions import PLAIN, Addition, Terms, addition, compiled, terms_of
from formats.arithmetic.engines.generic import _Sum
from formats.arithmetic.job import Job
from formats.arithmetic.multipliers.base import ExactProduct, RoundedProduct, significant_bits
from formats.arithmetic.orders import Chunked, Pairwise, runs
from formats.cast import Cast
from formats.minifloat import Minifloat
from formats.random_bits import GOLDEN, key_of

Array = NDArray[Any]
COLUMNS = 512  # outputs of one row that are summed together: their totals stay in the first-level cache
SCRATCH = 2**26  # bytes of partial sums and of operands in another type, at a time


def run(job: Job) -> Array | None:
    """Jobs whose registers are float chains or Kahan's, with exact or rounded products."""
    if not isinstance(job.multiplier, ExactProduct | RoundedProduct) or not takes(job.accumulator):
        return None
    if isinstance(job.multiplier, RoundedProduct) and not compiled(job.multiplier.format):
        return None
    if job.shape[1] < 16 <= job.shape[0] and not stochastic(job.accumulator):
        # Lanes run along the outputs of a row: with few columns, the other way round. Products commute.
        c = None if job.c is None else job.c.T
        turned = replace(job, a=job.b.T, b=job.a.T, c=c, fa=job.fb, fb=job.fa)
        return np.ascontiguousarray(in_slabs(turned, Chains).T)
    return in_slabs(job, Chains)


def registers(how: Accumulator) -> list[FloatChain | Kahan] | None:
    """The chains an accumulator is built of; None if there are others."""
    if isinstance(how, FloatChain | Kahan):
        return [how]
    if isinstance(how, Promotion | SplitK):
        inner = registers(how.inner)
        return None if inner is None else [*inner, how.outer]
    return None


def takes(how: Accumulator) -> bool:
    """Whether the kernels know all chains of an accumulator."""
    chains = registers(how)
    return chains is not None and all(compiled(chain.format) for chain in chains)


def stochastic(how: Accumulator) -> bool:
    """Whether some addition draws random bits."""
    return any(isinstance(chain, FloatChain) and chain.cast.stochastic for chain in registers(how) or [])


def in_slabs(job: Job, engine: type[Chains]) -> Array:
    """The sums, some rows at a time: copies and partial sums stay small."""
    rows, columns = job.shape
    parts = 1
    if isinstance(job.order, Chunked | Pairwise):
        count = len(runs(job.terms, job.order))
        parts = count if stochastic(job.accumulator) else count.bit_length() + 2
    elif isinstance(job.accumulator, SplitK):
        parts = min(job.accumulator.parts, job.terms)
    size = max(SCRATCH // (8 * max(parts * columns, job.terms)), 1)
    if size >= rows:
        return engine(job).total()
    slabs = []
    for first in range(0, rows, size):
        some = slice(first, first + size)
        c = None if job.c is None else job.c[some]
        slabs.append(engine(replace(job, a=job.a[some], c=c, first_output=job.first_output + first * columns)).total())
    return np.concatenate(slabs)


def product_terms(job: Job) -> Terms:
    """What is known of exact products, from the formats or, where they promise too little, from the values."""
    bits = significant_bits(job.fa) + significant_bits(job.fb)
    low, high = product_range(job.fa, job.fb)
    terms = Terms(bits, product_ulp_exponent(job.fa, job.fb), max(-low, high))
    if terms.in_float32 or bits > 24:
        return terms
    ends = [_ends(job.a), _ends(job.b)]
    # The smallest magnitude's exponent bounds its last place, and with it that of all others.
    ulp = sum(
        max(fmt.ulp_exponent, exponent - significant_bits(fmt) + 1)
        for fmt, (exponent, _) in zip((job.fa, job.fb), ends, strict=True)
    )
    return Terms(bits, ulp, ends[0][1] * ends[1][1])


def _ends(x: Array) -> tuple[int, Fraction]:
    """Exponent of the smallest magnitude that is not zero, and the largest finite magnitude."""
    magnitude = np.abs(x[np.isfinite(x) & (x != 0)])
    if magnitude.size == 0:
        return 0, Fraction(0)
    return int(np.frexp(magnitude.min())[1]) - 1, Fraction(float(magnitude.max()))


class Chains(_Sum):
    """The registers of all outputs of a job, as `generic` keeps them, with compiled runs and additions."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.additions = 0
        self.known: dict[Any, Addition] = {}
        chains = registers(job.accumulator)
        assert chains is not None
        # Whatever is added to a later register is a value of one of these formats.
        widest = [terms_of(chain.format) for chain in chains]
        self.sums = Terms(24, min(t.ulp for t in widest), max(t.largest for t in widest))
        self.prepare()

    def total(self) -> Array:
        """As generic's, but parts are added as soon as they can be: few are kept."""
        order, how = self.job.order, self.job.accumulator
        if not isinstance(order, Chunked | Pairwise) or not self.job.terms or stochastic(how):
            return super().total()
        chain = FloatChain(how.format) if isinstance(how, Kahan) else how
        assert isinstance(chain, FloatChain)
        waiting: list[tuple[int, Array]] = []  # sums of 2**level runs each, levels falling: a number in binary
        for number, ks in enumerate(runs(self.job.terms, order)):
            level, part = 0, self.run(ks, self.job.c if number == 0 else None, how)
            while waiting and (waiting[-1][0] == level or isinstance(order, Chunked)):
                level, part = level + isinstance(order, Pairwise), self.add(waiting.pop()[1], part, chain)
            waiting.append((level, part))
        total = waiting.pop()[1]
        while waiting:  # a part left over at its level passes on to the next
            total = self.add(waiting.pop()[1], total, chain)
        return total

    def prepare(self) -> None:
        """What products are, and what rounds them."""
        job, multiplier = self.job, self.job.multiplier
        exact = product_terms(job)
        single = job.a.dtype == job.b.dtype == np.float32
        self.rounding: tuple[Minifloat, Cast] | None = None
        self.terms, self.single = exact, single
        if isinstance(multiplier, RoundedProduct):
            self.rounding = (multiplier.format, multiplier.cast)
            self.terms, self.single = terms_of(multiplier.format), single and exact.in_float32

    def kernel(self, how: FloatChain, wide: bool = False) -> tuple[Addition, Addition | None]:
        """How terms are added, and how products are rounded before."""
        key = (how, wide)
        if key not in self.known:
            self.known[key] = addition(how.format, how.cast, self.terms, wide=wide or not self.single)
        add = self.known[key]
        rounded = None
        if self.rounding is not None:
            # Adding to minus zero is exact: no sum is rounded before.
            rounded = addition(*self.rounding, Terms(1, 0, self.terms.largest), wide=add.wide)
            if rounded.wide and not add.wide:
                return self.kernel(how, True)
        return add, rounded

    def run(self, ks: range, start: Array | None, how: Accumulator) -> Array:
        if isinstance(how, FloatChain):
            return self.chain(ks, start, how)
        if isinstance(how, Kahan):
            return self.kahan(ks, start, how)
        return super().run(ks, start, how)

    def chain(self, ks: range, start: Array | None, how: FloatChain) -> Array:
        """One chain, slab after slab of columns."""
        add, rounded = self.kernel(how)
        dtype = np.float64 if add.wide else np.float32
        out = np.zeros(self.job.shape, dtype) if start is None else start.astype(dtype)
        left, right = self.left(ks, dtype), self.right(ks, dtype)
        for first in range(0, out.shape[1], COLUMNS):
            columns = slice(first, first + COLUMNS)
            slab = np.ascontiguousarray(out[:, columns])
            some = tuple(np.ascontiguousarray(x[:, columns]) for x in right)
            self.accumulate(left, some, slab, add, rounded, self.draws(how, first))
            out[:, columns] = slab
        self.additions += len(ks)
        return out

    def left(self, ks: range, dtype: Any) -> tuple[Array, ...]:
        """What the kernels read of a, [M, len(ks)]."""
        return (np.ascontiguousarray(self.job.a[:, ks.start : ks.stop], dtype),)

    def right(self, ks: range, dtype: Any) -> tuple[Array, ...]:
        """What the kernels read of b, [len(ks), N]."""
        return (np.asarray(self.job.b[ks.start : ks.stop], dtype),)

    def accumulate(
        self,
        left: tuple[Array, ...],
        right: tuple[Array, ...],
        out: Array,
        add: Addition,
        rounded: Addition | None,
        draws: Array,
    ) -> None:
        """out += left @ right, rounded as stated, in ascending k."""
        (a,), (b,) = left, right
        index = np.arange(a.shape[1], dtype=np.uint64)[None]
        after = (-1, add.constants, add.top) if rounded is None else (rounded.kind, rounded.constants, rounded.top)
        if add.wide:
            from formats.arithmetic.kernels.chains64 import chain64

            chain64(add.kind, after[0], a, b, index, out, add.constants, add.top, after[1], after[2], draws)
        else:
            from formats.arithmetic.kernels.chains32 import chain32

            chain32(add.kind, after[0], a, b, index, out, add.constants, add.top, after[1], after[2])

    def draws(self, how: FloatChain, column: int) -> Array:
        """Where a slab's additions stand among all: see kernels.chains64.chain64."""
        first = self.job.first_output + column
        return np.array([first, self.job.shape[1], self.additions, key_of(how.seed), GOLDEN], np.uint64)

    def kahan(self, ks: range, start: Array | None, how: Kahan) -> Array:
        """Compensated sums."""
        from formats.arithmetic.kernels.chains64 import kahan64

        add = addition(how.format, PLAIN, self.terms, wide=True)
        # In C order, whatever c lies in: the flat views below must not be copies.
        out = np.zeros(self.job.shape) if start is None else np.array(start, np.float64, order="C")
        lost = np.zeros(out.shape)
        if not self.job.exact_products:
            for k in ks:
                y = self.products(k)
                kahan64(
                    np.ones((1, 1)), y.reshape(1, -1), out.reshape(1, -1), lost.reshape(1, -1), add.constants, add.top
                )
            return out
        a, b = (
            np.ascontiguousarray(x, np.float64)
            for x in (self.job.a[:, ks.start : ks.stop], self.job.b[ks.start : ks.stop])
        )
        kahan64(a, b, out, lost, add.constants, add.top)
        return out

    def products(self, k: int) -> NDArray[np.float64]:
        job = self.job
        x, y = job.a[:, k, None].astype(np.float64), job.b[None, k, :].astype(np.float64)
        return job.multiplier.products(x, y, job.fa, job.fb)

    def add(self, x: Array, y: Array, how: FloatChain) -> Array:
        key = ("sums", how)
        if key not in self.known:
            self.known[key] = addition(how.format, how.cast, self.sums, self.sums)
        add = self.known[key]
        dtype = np.float64 if add.wide else np.float32
        out, terms = x.astype(dtype), np.ascontiguousarray(y, dtype)
        if add.wide:
            from formats.arithmetic.kernels.chains64 import add64

            add64(add.kind, out, terms, add.constants, add.top, self.draws(how, 0))
        else:
            from formats.arithmetic.kernels.chains32 import add32

            add32(add.kind, out, terms, add.constants, add.top)
        self.additions += 1
        return out
