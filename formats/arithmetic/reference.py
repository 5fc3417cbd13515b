"""What a dot product on a format means, in Fractions and Python integers: slow, exact, obvious."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from formats.arithmetic.accumulate import (
    Accumulator,
    Chunked,
    Exact,
    FloatChain,
    Integer,
    Order,
    product_ulp_exponent,
)
from formats.cast import Cast
from formats.exact import Dyadic, Special, Value
from formats.minifloat import Minifloat
from formats.reference import encode_value
from formats.scalar import Scalar

TO_INFINITY = Cast(overflow="overflow")


def dyadic(x: Fraction) -> Dyadic:
    """A dyadic Fraction as a Dyadic (zero is plus zero)."""
    return Dyadic(x < 0, abs(x.numerator), 1 - x.denominator.bit_length())


def round_to(fmt: Minifloat, x: Dyadic) -> Value:
    """x rounded once to nearest even; beyond the range, infinity; what rounds to zero keeps its sign."""
    return fmt.value(encode_value(fmt, x, TO_INFINITY))


def add(x: Dyadic, y: Dyadic) -> Dyadic:
    """x + y exactly. A zero sum is plus zero unless both are minus zero (IEEE 754-2019, 6.3)."""
    total = x.fraction + y.fraction
    if total == 0:
        return Dyadic(x.negative and y.negative and x.significand == y.significand == 0, 0, 0)
    return dyadic(total)


def multiply(x: Dyadic, y: Dyadic) -> Dyadic:
    """x * y exactly, the sign of a zero included."""
    return Dyadic(x.negative != y.negative, x.significand * y.significand, x.exponent + y.exponent)


def chain(terms: Sequence[Dyadic], start: Value, fmt: Minifloat) -> Value:
    """start + t0 + t1 + ..., rounded to fmt after every term. An infinite total stays (terms are finite)."""
    total = start
    for term in terms:
        if isinstance(total, Special):
            return total
        total = round_to(fmt, add(total, term))
    return total


def register(terms: Sequence[int], start: int, accumulator: Integer) -> int:
    """An integer register after adding the terms in order."""
    low, high = -(2 ** (accumulator.bits - 1)), 2 ** (accumulator.bits - 1) - 1
    total = start
    for term in terms:
        total += term
        if accumulator.overflow == "wrap":
            total = (total - low) % 2**accumulator.bits + low
        elif accumulator.overflow == "saturate":
            total = max(low, min(high, total))
        elif not low <= total <= high:
            raise ValueError(f"{accumulator}: a partial sum of {total} leaves {low}..{high}; use a wider register")
    return total


def chunks(count: int, order: Order) -> list[range]:
    """The runs of consecutive k that form one chain each."""
    size = order.size if isinstance(order, Chunked) else max(count, 1)
    return [range(start, min(start + size, count)) for start in range(0, count, size)]


def dot(
    a: Sequence[Dyadic], b: Sequence[Dyadic], formats: tuple[Scalar, Scalar], accumulator: Accumulator, order: Order
) -> Value:
    """One output: the value left in the accumulator. a, b: finite values of the two formats, of one length."""
    products = [multiply(x, y) for x, y in zip(a, b, strict=True)]
    if isinstance(accumulator, Exact):
        return dyadic(sum((product.fraction for product in products), Fraction(0)))
    if isinstance(accumulator, Integer):
        unit = Fraction(2) ** product_ulp_exponent(*formats)
        parts = [
            register([int(products[k].fraction / unit) for k in run], 0, accumulator) for run in chunks(len(a), order)
        ]
        return dyadic(register(parts[1:], parts[0], accumulator) * unit)
    zero = Dyadic(False, 0, 0)
    totals = [chain([products[k] for k in run], zero, accumulator.format) for run in chunks(len(a), order)]
    return _add_up(totals, accumulator)


def _add_up(totals: list[Value], accumulator: FloatChain) -> Value:
    """Chunk results added in ascending order, infinities by IEEE 754."""
    total = totals[0]
    for part in totals[1:]:
        if isinstance(total, Special) or isinstance(part, Special):
            infinite = {value for value in (total, part) if isinstance(value, Special)}
            total = infinite.pop() if len(infinite) == 1 else Special.NAN
        else:
            total = round_to(accumulator.format, add(total, part))
    return total
