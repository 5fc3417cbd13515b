"""How wrong a packing scheme is: every operand there is, through the slice's model, field by field.

found = packing_errors(PACKINGS["int4x4"])
found.mean_absolute, found.error_probability, found.worst      # 0.3735, 0.3735, 1
sum_of_products(PACKINGS["int8x2"], wide, narrow)              # a chain of slices, read once at its end
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import prod

import numpy as np
from numpy.typing import NDArray

from hwsim.fpga.chain import Chain
from hwsim.fpga.dsp48e2 import MULTIPLY, Z_C, Z_PCIN, Inputs
from hwsim.fpga.packing import SLICE, Packing, exact, extract, multiply, pins

Words = NDArray[np.int64]

MOST = 1 << 26  # combinations of operands that are gone through
_CHUNK = 1 << 16


@dataclass(frozen=True, kw_only=True, slots=True)
class PackingErrors:
    """Exact counts over all `inputs`, one entry a product, lowest offset first: wrong results, sum of absolute errors,
    sum of errors, largest absolute error."""

    inputs: int
    wrong: tuple[int, ...]
    absolute: tuple[int, ...]
    signed: tuple[int, ...]
    largest: tuple[int, ...]

    @property
    def field_probabilities(self) -> tuple[Fraction, ...]:
        """How often each product is wrong."""
        return tuple(Fraction(count, self.inputs) for count in self.wrong)

    @property
    def field_mean_absolute(self) -> tuple[Fraction, ...]:
        """Mean absolute error of each product."""
        return tuple(Fraction(total, self.inputs) for total in self.absolute)

    @property
    def error_probability(self) -> Fraction:
        """EP: mean of the products' probabilities to be wrong."""
        return sum(self.field_probabilities, Fraction(0)) / len(self.wrong)

    @property
    def mean_absolute(self) -> Fraction:
        """MAE: mean over products and inputs."""
        return sum(self.field_mean_absolute, Fraction(0)) / len(self.wrong)

    @property
    def worst(self) -> int:
        """WCE: largest absolute error of any product."""
        return max(self.largest)


def packing_errors(scheme: Packing) -> PackingErrors:
    """By exhaustive enumeration of all operands. Raises ValueError where there are more than 2**26 combinations."""
    count = len(scheme.products)
    wrong, absolute, total, largest = (np.zeros(count, np.int64) for _ in range(4))
    inputs = 0
    for wide, narrow in every_operand(scheme):
        error = multiply(scheme, wide, narrow) - exact(scheme, wide, narrow)
        inputs += len(error)
        wrong += (error != 0).sum(0)
        absolute += np.abs(error).sum(0)
        total += error.sum(0)
        largest = np.maximum(largest, np.abs(error).max(0))
    return PackingErrors(
        inputs=inputs,
        wrong=tuple(wrong.tolist()),
        absolute=tuple(absolute.tolist()),
        signed=tuple(total.tolist()),
        largest=tuple(largest.tolist()),
    )


def every_operand(scheme: Packing) -> Iterator[tuple[Words, Words]]:
    """All combinations of operands, in pieces: wide (n, lanes) and narrow (n, lanes)."""
    ranges = [lane.range for lane in scheme.wide + scheme.narrow]
    sizes = [high - low + 1 for low, high in ranges]
    total = prod(sizes)
    if total > MOST:
        raise ValueError(
            f"packing_errors: {scheme.name!r} has {total} combinations of operands, at most {MOST} are gone through; "
            f"a scheme of narrower lanes, or of one lane a side, has the same errors in its fields"
        )
    lows = np.array([low for low, _ in ranges])
    for start in range(0, total, _CHUNK):
        index = np.unravel_index(np.arange(start, min(start + _CHUNK, total)), sizes)
        values = np.stack(index, -1).astype(np.int64) + lows
        yield values[:, : len(scheme.wide)], values[:, len(scheme.wide) :]


def sum_of_products(scheme: Packing, wide: Words, narrow: Words) -> Words:
    """Sums of products made by a chain of slices, P passed up the cascade, fields read at the end.

    wide, narrow: (terms, ..., lanes); returns (..., products). Right for up to `safe_terms(scheme)` terms; beyond that
    a field may run over, which is what the hardware does. Schemes whose correction adds at C or overlap cannot be
    chained. Raises ValueError for those.
    """
    wide, narrow = np.asarray(wide, np.int64), np.asarray(narrow, np.int64)
    if scheme.correction == "approximate" or scheme.padding < 0:
        raise ValueError(
            f"Packing {scheme.name!r}: chains need products apart and corrected at the end; "
            f"take correction='full' and padding of 0 or more"
        )
    terms = len(wide)
    chain = Chain(slices=(SLICE,) * terms)
    shape = np.broadcast_shapes(wide.shape[1:-1], narrow.shape[1:-1])
    given = [pins(scheme, wide[i], narrow[i]) for i in range(terms)]
    chained = [
        Inputs(a=g.a, d=g.d, b=g.b, c=g.c, inmode=g.inmode, opmode=MULTIPLY | (Z_PCIN if i else Z_C))
        for i, g in enumerate(given)
    ]
    if any(np.any(g.c) for g in given):
        raise ValueError(
            f"Packing {scheme.name!r}: its narrow word fills all 18 bits and needs C, which a chain's Z has"
        )
    outs, _ = chain.step(chain.reset(shape), chained)
    return extract(scheme, outs[-1].p, wide[-1], narrow[-1], terms=terms)
