"""What a step of a matrix unit means: several products and the register become the register, in Fractions."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Literal, NamedTuple

from formats.arithmetic.accumulators import Aligned, Steps, read_format
from formats.arithmetic.exact_values import ZERO, add, dyadic, round_to
from formats.arithmetic.matrix_units import AlignedGroups, AlignedLate, PairwiseStep
from formats.arithmetic.multipliers.base import ExactProduct, Multiplier, multiply
from formats.cast import Cast
from formats.exact import Dyadic, Special, Value, floor_log2
from formats.minifloat import Minifloat
from formats.scalar import Scalar


class Term(NamedTuple):
    """A number and the exponent it is aligned by (None: it takes no part in the choice of the largest)."""

    value: Value
    exponent: int | None


ONE = Term(Dyadic(False, 1, 0), 0)


class Pair(NamedTuple):
    """The operands of one product, and the product of their blocks' scales with the sum of the scales' exponents."""

    x: Value
    y: Value
    scale: Term = ONE


Formats = tuple[Scalar, Scalar]


def both_scales(x: Value, y: Value, formats: Formats) -> Term:
    """Scales of a and of b, of the formats given, as one. A zero or NaN scale has no exponent."""
    exponents = [operand_exponent(v, f) for v, f in zip((x, y), formats, strict=True)]
    return Term(multiply(x, y), None if None in exponents else sum(e for e in exponents if e is not None))


def operand_exponent(x: Value, fmt: Scalar) -> int | None:
    """The exponent a matrix unit reads off an operand: subnormals have that of the smallest normal value."""
    if isinstance(x, Special) or x.significand == 0:
        return None
    own = floor_log2(abs(x.fraction))
    return max(own, fmt.min_exponent) if isinstance(fmt, Minifloat) and fmt.subnormals else own


def steps(pairs: Sequence[Pair], start: Value, formats: Formats, how: Steps, multiplier: Multiplier) -> Value:
    """Steps of `how.terms` products each. Lanes beyond K are gated off: terms of zero, whatever 0 * 0 is."""
    lanes = how.lanes if isinstance(how, Aligned) else ()
    period = len(lanes) or how.terms
    total = start
    for begin in range(0, len(pairs), period):
        ordered = [begin + lane for lane in lanes or range(period)]
        for first in range(0, period, how.terms):
            inside = [pairs[k] for k in ordered[first : first + how.terms] if k < len(pairs)]
            total = step(inside, total, formats, how, multiplier)
    return total


def step(pairs: Sequence[Pair], total: Value, formats: Formats, how: Steps, multiplier: Multiplier) -> Value:
    """One step of `how.terms` products or, where K ends in it, fewer: the lanes that are left add zeros."""
    if isinstance(how, PairwiseStep):
        return pairwise(pairs, total, formats, how, multiplier)
    if isinstance(how, AlignedGroups):
        groups = [pairs[i : i + how.group] for i in range(0, len(pairs), how.group)]
        terms = [group_term(group, formats, multiplier) for group in groups]
    else:
        terms = [term(pair, formats, how, multiplier) for pair in pairs]
    own = Term(total, operand_exponent(total, how.format))
    specials = {t.value for t in (*terms, own) if isinstance(t.value, Special)}
    if specials:
        return specials.pop() if len(specials) == 1 else Special.NAN
    if isinstance(how, AlignedLate):
        return late(terms, own, how)
    registered = isinstance(how, AlignedGroups) or how.register_aligned
    truncation = "toward_zero" if isinstance(how, AlignedGroups) else how.truncation
    kept = aligned_sum([*terms, own] if registered else terms, how.fraction_bits, how.minimum_exponent, truncation)[0]
    result = round_sum(kept, how.format, how.rounding)
    if registered or isinstance(result, Special):
        return result
    assert isinstance(total, Dyadic)
    return round_sum(result.fraction + total.fraction, how.format, how.rounding)


def aligned_sum(
    terms: Sequence[Term], fraction_bits: int, floor: int | None, truncation: Literal["toward_zero", "down"]
) -> tuple[Fraction, int | None]:
    """Terms cut off `fraction_bits` below their largest exponent, added; and that exponent."""
    exponents = [t.exponent for t in terms if t.exponent is not None]
    if not exponents:
        return Fraction(0), None
    top = max(exponents) if floor is None else max(*exponents, floor)
    unit = Fraction(2) ** (top - fraction_bits)
    return sum((cut(t.value, unit, truncation) for t in terms), Fraction(0)), top


def cut(x: Value, unit: Fraction, truncation: Literal["toward_zero", "down"]) -> Fraction:
    """x as a whole multiple of unit: toward zero, or down."""
    assert isinstance(x, Dyadic)
    floor = (abs(x.fraction) if truncation == "toward_zero" else x.fraction) // unit * unit
    return -floor if truncation == "toward_zero" and x.negative else floor


def round_sum(x: Fraction, fmt: Minifloat, rounding: Literal["toward_zero", "ties_to_even"]) -> Value:
    """The sum in the register's format: no minus zero, and infinite from twice the largest binade's start on."""
    if abs(x) >= 2 ** (floor_log2(Fraction(fmt.max_finite)) + 1):
        return Special.NEGATIVE_INFINITY if x < 0 else Special.POSITIVE_INFINITY
    result = round_to(fmt, dyadic(x), Cast(rounding=rounding, overflow="overflow"))
    return ZERO if isinstance(result, Dyadic) and result.significand == 0 else result


def term(pair: Pair, formats: Formats, how: Aligned | AlignedLate, multiplier: Multiplier) -> Term:
    """A product as one term of an aligned sum."""
    flush = isinstance(how, Aligned) and how.flush
    read = tuple(read_format(how, f) for f in formats)
    x, y = (flushed(v, f) if flush else v for v, f in zip(pair[:2], read, strict=True))
    value = multiplier.product(x, y, *formats)
    if isinstance(how, AlignedLate) and isinstance(value, Dyadic):
        value = infinite_beyond(value, how.format)
    scaled = multiply(value, pair.scale.value)
    if isinstance(scaled, Special) or scaled.significand == 0:
        return Term(scaled, None)
    assert isinstance(value, Dyadic)
    assert pair.scale.exponent is not None
    if (isinstance(how, Aligned) and how.normalized) or not isinstance(multiplier, ExactProduct):
        return Term(scaled, floor_log2(abs(value.fraction)) + pair.scale.exponent)
    exponents = [operand_exponent(v, f) for v, f in zip((x, y), read, strict=True)]
    assert exponents[0] is not None
    assert exponents[1] is not None
    return Term(scaled, exponents[0] + exponents[1] + pair.scale.exponent)


def is_subnormal(x: Value, fmt: Scalar) -> bool:
    """Whether x is a value of the format below its smallest normal one, and not zero."""
    if not (isinstance(x, Dyadic) and isinstance(fmt, Minifloat)) or x.significand == 0:
        return False
    return abs(x.fraction) < Fraction(2) ** fmt.min_exponent


def flushed(x: Value, fmt: Scalar) -> Value:
    """x, or the zero of its sign where it is subnormal."""
    return Dyadic(x.negative, 0, 0) if isinstance(x, Dyadic) and is_subnormal(x, fmt) else x


def infinite_beyond(x: Dyadic, fmt: Minifloat) -> Value:
    """x, or the infinity of its sign where it lies beyond the format's largest binade."""
    if abs(x.fraction) < 2 ** (floor_log2(Fraction(fmt.max_finite)) + 1):
        return x
    return Special.NEGATIVE_INFINITY if x.negative else Special.POSITIVE_INFINITY


def group_term(group: Sequence[Pair], formats: Formats, multiplier: Multiplier) -> Term:
    """A group's exact sum under its one scale. It has the scale's exponent, also where it cancels to zero."""
    scale = group[0].scale
    products = [multiplier.product(p.x, p.y, *formats) for p in group]
    total: Value = ZERO
    for product in products:
        total = add(total, product)
    scaled = multiply(total, scale.value)
    nothing = all(isinstance(p, Dyadic) and p.significand == 0 for p in products)
    return Term(scaled, None if nothing or isinstance(scaled, Special) else scale.exponent)


def late(terms: Sequence[Term], own: Term, how: AlignedLate) -> Value:
    """Products aligned by themselves; the register joins, rounded down."""
    sums = [aligned_sum(terms[g :: how.groups], how.fraction_bits, None, "toward_zero") for g in range(how.groups)]
    tops = [top for _, top in sums if top is not None]
    register = how.format.min_exponent if own.exponent is None else own.exponent
    largest = max([register, *tops])
    total = Fraction(0)
    if tops:
        joint = Fraction(2) ** (max(tops) - how.fraction_bits)
        joined = sum((down(part, joint) for part, _ in sums), Fraction(0))
        total = down(joined, Fraction(2) ** (largest - how.sum_bits))
    if how.register_reach is None or register >= largest - how.register_reach:
        assert isinstance(own.value, Dyadic)
        total += down(own.value.fraction, Fraction(2) ** (largest - how.fraction_bits))
    if how.total_bits is not None and total:
        leading = max(floor_log2(abs(total)), how.format.min_exponent)
        total = down(total, Fraction(2) ** (leading - how.total_bits))
    return round_to(how.format, dyadic(total))


def down(x: Fraction, unit: Fraction) -> Fraction:
    """The largest multiple of unit that is not above x."""
    return x // unit * unit


def pairwise(pairs: Sequence[Pair], total: Value, formats: Formats, how: PairwiseStep, multiplier: Multiplier) -> Value:
    """Products and sums each rounded; a tree of neighbours, then the register."""

    def rounded(x: Value) -> Value:
        value = round_to(how.format, x)
        return flushed(value, how.format) if how.flush else value

    def read(x: Value, fmt: Scalar) -> Value:
        return ZERO if how.flush and is_subnormal(x, fmt) else x

    level = [rounded(multiplier.product(read(p.x, formats[0]), read(p.y, formats[1]), *formats)) for p in pairs]
    level += [ZERO] * (how.terms - len(pairs))
    while len(level) > 1:
        joined = [rounded(add(x, y)) for x, y in zip(level[::2], level[1::2], strict=False)]
        level = joined + level[len(level) - len(level) % 2 :]
    return rounded(add(read(total, how.format), level[0]))
