"""What a multiply-accumulate must do, by the formats' own exact definitions; no wires in here.

following(what, total, a, b, clear)     # the register's next content, a code for a float register
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

import formats as nf
from formats.arithmetic.exact_values import add
from formats.arithmetic.reference_steps import Pair, step
from formats.exact import Dyadic, Special, Value
from formats.reference import encode_value
from hwsim.pe.circuit import Mac, table
from hwsim.pe.wide_codes import WIDEST_LISTED, Decoded, adversarial, random_integer


@cache
def values(fmt: nf.Scalar, factor: nf.Scalar, full: bool = False) -> Sequence[Value | None]:
    """The value of each code as it meets the multiplier; None for codes that do not exist.

    full: with infinities and NaN, which are None otherwise. Of formats too wide to list, decoded as they are asked for.
    """
    if isinstance(fmt, nf.Codebook):
        words, own = table(fmt, factor), values(factor, factor, full)
        codes = [(words >> (factor.bits * place)) & ((1 << factor.bits) - 1) for place in range(2**fmt.bits)]
        return tuple(own[code] if place < len(fmt.entries) else None for place, code in enumerate(codes))
    if isinstance(fmt, nf.Minifloat) and fmt.bits > WIDEST_LISTED:
        return Decoded(fmt, full)
    return tuple(value if full or isinstance(value, Dyadic) else None for value in fmt.values())


def following(what: Mac, total: int, a: Sequence[int], b: Sequence[int], clear: int, random: int = 0) -> int | None:
    """The register's next content from its content and one code a lane; None where a sum is not finite.

    random: the lanes' random integers, the first lowest.
    """
    terms = products(what, a, b)
    return None if terms is None else _next(what, terms, 0 if clear else total, random)


def products(what: Mac, a: Sequence[int], b: Sequence[int]) -> tuple[Any, ...] | None:
    """What the multiplier makes of one code a lane; None where a code has no value to multiply."""
    full = what.specials == "full"
    sides = zip((a, b), (what.a, what.b), what.factors, strict=True)
    left, right = ([values(fmt, factor, full)[code] for code in codes] for codes, fmt, factor in sides)
    pairs = [(x, y) for x, y in zip(left, right, strict=True) if x is not None and y is not None]
    if len(pairs) < what.lanes:
        return None
    if isinstance(what.accumulator, nf.Aligned):  # aligns by its operands' exponents
        return tuple(Pair(x, y) for x, y in pairs)
    return tuple(product_value(what, x, y) for x, y in pairs)


def _next(what: Mac, terms: tuple[Any, ...], total: int, random: int) -> int | None:
    """The register after the products are added to it."""
    if isinstance(what.accumulator, nf.FloatChain):
        return _floating(what, what.accumulator, total, terms, random)
    if isinstance(what.accumulator, nf.Aligned):
        how = what.accumulator
        after = step(terms, register_value(how.format, total), what.factors, how, what.multiplier)
        return int(encode_value(how.format, after)) if isinstance(after, Dyadic) else None
    width = what.register_bits
    unit = Fraction(2) ** what.unit
    found = total - (total >> (width - 1) << width)
    for term in terms:
        if not isinstance(term, Dyadic):
            return None
        count = term.fraction / unit
        assert count.denominator == 1 or not isinstance(what.multiplier, nf.ExactProduct)
        found += int(count)  # toward zero
    if isinstance(what.accumulator, nf.Integer) and what.accumulator.overflow == "saturate":
        found = min(max(found, -(2 ** (width - 1))), 2 ** (width - 1) - 1)
    return found % (1 << width)


def product_value(what: Mac, x: Any, y: Any) -> Value:
    """What the multiplier makes of two values; NaN for a product outside a rounded product's range, if finite."""
    how = what.multiplier
    if isinstance(how, nf.RoundedProduct) and what.specials == "finite" and how.overflow == "overflow":
        exact = x.fraction * y.fraction
        if abs(exact) >= _beyond(how.format):
            return Special.NAN
    return how.product(x, y, *what.factors)


def _floating(what: Mac, chain: nf.FloatChain, total: int, terms: tuple[Value, ...], random: int) -> int | None:
    """Lane after lane. A sum that needs an ulp more than the largest value is outside, however it is rounded."""
    held, bits = register_value(chain.format, total), draws(what)
    code = total
    for term in terms:
        exact = add(held, term)
        code = encode_value(chain.format, exact, chain.cast, random & ((1 << bits) - 1))
        held, random = register_value(chain.format, code), random >> bits
        if what.specials == "finite" and not (isinstance(held, Dyadic) and _within(chain, exact)):
            return None
    return int(code)


def _within(chain: nf.FloatChain, exact: Value) -> bool:
    """Whether a sum is in the register's range, or may be beyond it since it saturates."""
    if not isinstance(exact, Dyadic):
        return False
    return chain.overflow != "overflow" or abs(exact.fraction) < _beyond(chain.format)


@cache
def _beyond(fmt: nf.Minifloat) -> Fraction:
    """What comes after the largest finite value."""
    return Fraction(fmt.max_finite) + Fraction(2) ** (fmt.max_exponent - fmt.trailing_significand_bits)


def draws(what: Mac) -> int:
    """Bits of the random integer of one addition; 0 where none is drawn."""
    return chain.random_bits if isinstance(chain := what.accumulator, nf.FloatChain) and chain.cast.stochastic else 0


@cache
def register_value(fmt: nf.Minifloat, code: int) -> Value:
    """The value of a float register's content."""
    return fmt.value(code)


@dataclass(frozen=True, slots=True)
class Vectors:
    """Stimuli with their answers, [n] each: the ports' patterns, the register before, the register after."""

    inputs: dict[str, NDArray[Any]]
    before: NDArray[Any]
    after: NDArray[Any]


def vectors(what: Mac, count: int, seed: int = 0) -> Vectors:
    """Random finite codes with a third of corners, and registers of every size, half of them near the products.

    Vectors whose sum is not finite are drawn again. Codes of operands wider than 16 bits are adversarial ones.
    """
    rng = np.random.default_rng(seed)
    pools = [
        _pool(fmt, factor, what.specials == "full", rng)
        for fmt, factor in zip((what.a, what.b), what.factors, strict=True)
    ]
    rows: list[tuple[int, ...]] = []
    width = draws(what) * what.lanes
    while len(rows) < count:
        a, b = (_drawn(rng, pool, what.lanes) for pool in pools)
        clear = int(rng.random() < 0.1)
        total = _register(what, rng, a, b)
        random = random_integer(rng, width)
        after = following(what, total, a, b, clear, random)
        if after is not None:
            rows.append((_packed(a, what.a.bits), _packed(b, what.b.bits), clear, random, total, after))
    return _columns(what, rows, object)


def _pool(fmt: nf.Scalar, factor: nf.Scalar, full: bool, rng: np.random.Generator) -> NDArray[Any]:
    """Codes to draw from, in order: all that have a value, where they are few enough."""
    if isinstance(listed := values(fmt, factor, full), Decoded):
        return adversarial(listed.fmt, full, rng)
    return np.array([code for code, value in enumerate(listed) if value is not None])


def _columns(what: Mac, rows: Sequence[tuple[int, ...]], kind: Any) -> Vectors:
    names = ("a", "b", "clear", "random") if draws(what) else ("a", "b", "clear")
    columns = [np.array(column, dtype=kind) for column in zip(*rows, strict=True)]
    return Vectors(dict(zip(names, columns, strict=False)), columns[-2], columns[-1])


def every_vector(what: Mac) -> Vectors:
    """All finite operands, registers and clears. For a few ten bits of inputs and register together."""
    rows = []
    added: dict[tuple[Any, ...], int | None] = {}  # many operands have one product
    registers, draw = range(2 ** register_bits(what)), range(2 ** (draws(what) * what.lanes))
    for a, b in product(*(range(2 ** (fmt.bits * what.lanes)) for fmt in (what.a, what.b))):
        terms = products(what, _lanes(a, what.a.bits, what.lanes), _lanes(b, what.b.bits, what.lanes))
        if terms is None:
            continue
        for total, clear, random in product(registers, (0, 1), draw):
            key = (terms, 0 if clear else total, random)
            if key not in added:
                added[key] = _next(what, *key)
            after = added[key]
            if after is not None:
                rows.append((a, b, clear, random, total, after))
    return _columns(what, rows, np.int64)


def _lanes(packed: int, bits: int, lanes: int) -> list[int]:
    return [(packed >> (bits * lane)) & ((1 << bits) - 1) for lane in range(lanes)]


def register_bits(what: Mac) -> int:
    """Flip-flops of the register."""
    return what.register_bits


def _packed(codes: Sequence[int], bits: int) -> int:
    return sum(code << (bits * lane) for lane, code in enumerate(codes))


def _drawn(rng: np.random.Generator, pool: NDArray[Any], count: int) -> list[int]:
    corners = np.array([pool[0], pool[-1], pool[len(pool) // 2], pool[len(pool) // 2 - 1], pool[1 % len(pool)]])
    chosen = np.where(rng.random(count) < 0.3, rng.choice(corners, count), rng.choice(pool, count))
    return [int(code) for code in chosen]


def _register(what: Mac, rng: np.random.Generator, a: list[int], b: list[int]) -> int:
    """A register's content: anything, or something about as large as the products with the opposite sign."""
    width = register_bits(what)
    kind = rng.random()
    if kind < 0.4:
        return _reached(what, random_integer(rng, width))
    answer = following(what, 0, a, b, 1)
    if kind < 0.5 or answer is None:
        ends = [0, 1, 1 << (width - 1), (1 << width) - 1, (1 << (width - 1)) - 1]
        return _reached(what, ends[int(rng.integers(5))])
    near = int(rng.integers(-3, 4))
    if isinstance(what.accumulator, nf.FloatChain | nf.Aligned):
        top = 1 << (width - 1)
        return _reached(what, ((answer + near) % (2 * top)) ^ top)
    return (near - answer) % (1 << width)


def _reached(what: Mac, total: int) -> int:
    """The register without the last places that a matrix unit never fills: its sums have few places."""
    how = what.accumulator
    if not isinstance(how, nf.Aligned) or not how.register_aligned:
        return total
    # Products of the largest significands at the largest exponent, a register of less than 2: cut off below
    # fraction_bits, their sum has these places behind its leading one.
    largest = Fraction(2 * how.terms) if how.normalized else how.terms * _top(what.factors[0]) * _top(what.factors[1])
    places = how.fraction_bits + int(largest + 2 - Fraction(1, 2**50)).bit_length() - 1
    empty = max(how.format.trailing_significand_bits - places, 0)
    return total >> empty << empty


def _top(fmt: nf.Scalar) -> Fraction:
    """The largest significand."""
    return 2 - Fraction(1, 2**fmt.trailing_significand_bits) if isinstance(fmt, nf.Minifloat) else Fraction(2)
