"""Datapath: what the words and sums in an array's registers stand for, exactly.

Operands are quantised values; a product of two is a whole multiple of `unit`, 2**(ulp_exponent of a + that of b).

| sums    | register           | used for                                   | stands for                          |
|---------|--------------------|--------------------------------------------|-------------------------------------|
| integer | int64              | Integer, Exact up to 63 bits               | sum * unit                          |
| limbs   | int64 x 32-bit each| Integer, Exact beyond (e5m2 exact: 76 bits)| sum(limb[j] * 2**(32 j)) * unit     |
| float   | float64            | FloatChain                                 | the value, always one of its format |
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

import formats as nf
from formats.arithmetic.accumulators import product_range, product_ulp_exponent
from hwsim.array.systolic import ProcessingElement

Array = NDArray[Any]

_FLOAT64_PRECISION = 53
_INTEGER_BITS = 62  # a product, and with one bit more a sum, of this many bits cannot leave int64 when added
Overflow = Literal["exact", "wrap", "saturate", "error"]


@dataclass(frozen=True, slots=True)
class Datapath:
    """How the registers of one simulation represent numbers. See the module's table.

    bits: width of the sum register.  limbs: of the "limbs" kind, else 1.  overflow: a key of the kernels' rules.
    """

    a: nf.Scalar
    b: nf.Scalar
    accumulator: nf.Accumulator
    kind: Literal["integer", "limbs", "float"]
    bits: int
    limbs: int
    overflow: Overflow

    @property
    def unit_exponent(self) -> int:
        """Integer sums count in units of two to this power."""
        return product_ulp_exponent(self.a, self.b)

    def words(self, values: NDArray[np.float64], operand: Literal["a", "b"]) -> Array:
        """Quantised values of operand a or b as its registers hold them: float64, int64, or packed int64.

        Packed ("limbs"): significand << 10 | exponent, worth significand * 2**exponent units in the last place.
        """
        ulp_exponent = (self.a if operand == "a" else self.b).ulp_exponent
        if self.kind == "float":
            return values
        if self.kind == "integer":
            integers: Array = np.ldexp(values, -ulp_exponent).astype(np.int64)  # exact: whole and below 2**62
            return integers
        mantissa, exponent = np.frexp(values)
        significand: Array = np.ldexp(mantissa, _FLOAT64_PRECISION).astype(np.int64)
        zeros = np.frexp((significand & -significand).astype(np.float64))[1] - 1  # trailing; -1 where it is zero
        zeros = np.maximum(zeros, 0)
        exponent = np.where(significand == 0, 0, exponent - _FLOAT64_PRECISION + zeros - ulp_exponent)
        return np.asarray((significand >> zeros) << 10 | exponent, np.int64)

    def word_values(self, words: Array, operand: Literal["a", "b"]) -> NDArray[np.float64]:
        """The values of words: `words` read backwards, exactly."""
        ulp_exponent = (self.a if operand == "a" else self.b).ulp_exponent
        if self.kind == "float":
            return words
        packed = self.kind == "limbs"
        significand, exponent = (words >> 10, words & 1023) if packed else (words, 0)
        values: NDArray[np.float64] = np.ldexp(significand.astype(np.float64), exponent + ulp_exponent)
        return values

    def sums(self, *shape: int) -> Array:
        """Sum registers of this shape, all zero."""
        if self.kind == "float":
            return np.zeros(shape)
        return np.zeros(shape if self.kind == "integer" else (*shape, self.limbs), np.int64)

    def integers(self, sums: Array) -> Array:
        """Integer sums in units, as Python integers where they are wider than int64."""
        if self.kind == "integer":
            return sums
        weights = np.array([1 << 32 * j for j in range(self.limbs)], object)
        return np.asarray((sums.astype(object) * weights).sum(axis=-1), object)

    def sum_values(self, sums: Array) -> NDArray[np.float64]:
        """The values of sums, rounded once to float64 where an integer sum is wider (for a trace)."""
        if self.kind == "float":
            return sums.astype(np.float64)
        return _scaled(self.integers(sums), self.unit_exponent, np.float64)

    def results(self, sums: Array) -> Array:
        """What leaves the array: float32, rounded once (ties to even, overflow to infinity) where it must be; for an
        nf.Integer register of up to 63 bits on two integer formats what it counts, int32 where its bits fit, or int64.
        """
        if self.kind == "float":
            return sums.astype(np.float32)  # exact: FloatChain's formats are subsets of float32
        fixed = isinstance(self.a, nf.FixedPoint) and isinstance(self.b, nf.FixedPoint)
        if isinstance(self.accumulator, nf.Integer) and fixed and self.bits <= 63:
            return self.integers(sums).astype(np.int32 if self.bits <= 32 else np.int64)
        return _scaled(self.integers(sums), self.unit_exponent, np.float32)

    def magic(self) -> NDArray[np.float64]:
        """The rounding table of kernels.round_float, empty unless sums are floats."""
        if not isinstance(self.accumulator, nf.FloatChain):
            return np.zeros(0)
        return rounding_table(self.accumulator.format)


def operand_formats(pe: ProcessingElement, operand: Literal["a", "b"]) -> tuple[nf.Scalar, nf.Scalar]:
    """The format an operand is stored in and the one that reaches the multiplier.

    They differ where a PE with an `operand_format` looks a codebook up: its table holds the entries in that format,
    rounded where it is narrower than they are.
    """
    stored = _scalar(operand, getattr(pe, operand))
    table = getattr(pe, "operand_format", None)
    return stored, _scalar("operand_format", table) if table is not None and isinstance(stored, nf.Codebook) else stored


def datapath(pe: ProcessingElement, terms: int) -> Datapath:
    """The registers that add `terms` products of pe.a and pe.b as pe.accumulator says.

    Raises TypeError for what is no accumulator or no scalar format, naming what would work; ValueError where the sum
    is longer than the accumulator is built for, or the exact product is wider than the simulator's registers.
    """
    (_, fa), (_, fb), accumulator = operand_formats(pe, "a"), operand_formats(pe, "b"), pe.accumulator
    multiplier = getattr(pe, "multiplier", nf.ExactProduct())
    if not isinstance(multiplier, nf.ExactProduct):
        raise ValueError(
            f"simulate: pe.multiplier is {multiplier!r}; the simulated registers add exact products; use "
            "formats.matmul(..., multiplier=...) for the numbers"
        )
    if isinstance(accumulator, nf.FloatChain):
        _check_float(fa, fb, accumulator)
        return Datapath(fa, fb, accumulator, "float", accumulator.format.bits, 1, "exact")
    if not isinstance(accumulator, nf.Exact | nf.Integer):
        raise TypeError(
            f"simulate: pe.accumulator is {accumulator!r}; pass one of nf.Exact(), nf.Integer(bits), nf.FloatChain()"
        )
    if isinstance(accumulator, nf.Integer):
        bits: int = accumulator.bits
        overflow: Overflow = accumulator.overflow
    else:
        if accumulator.max_terms is not None and terms > accumulator.max_terms:
            raise ValueError(
                f"simulate: {accumulator!r} holds sums of {accumulator.max_terms} products, this GEMM adds k={terms}; "
                f"use nf.Exact(max_terms={terms}) or split k"
            )
        bits, overflow = nf.accumulator_bits(fa, fb, nf.Exact(max_terms=terms)), "exact"
    unit = Fraction(2) ** product_ulp_exponent(fa, fb)
    product_bits = max(int(abs(corner) / unit).bit_length() for corner in product_range(fa, fb))
    if product_bits <= _INTEGER_BITS and bits <= _INTEGER_BITS + 1:
        return Datapath(fa, fb, accumulator, "integer", bits, 1, overflow)
    _check_limbs(fa, fb)
    # one bit for the sign of a product, one more for its sum with a full register
    limbs = -(-(max(product_bits + 1, bits) + 1) // 32)
    return Datapath(fa, fb, accumulator, "limbs", bits, limbs, overflow)


def rounding_table(fmt: nf.Minifloat) -> NDArray[np.float64]:
    """Entry e: 1.5 * 2**52 quanta of fmt for float64s of biased exponent e; entry 2048: the largest finite value.

    1.5 * 2**52 and not 2**52, so that a negative addend does not leave the binade whose last place is the quantum.
    """
    table = np.zeros(2049)
    exponents = np.maximum(np.arange(2047) - 1023, fmt.min_exponent)
    table[:2047] = np.ldexp(1.5, np.minimum(exponents - fmt.trailing_significand_bits + 52, 1000))
    table[2048] = float(fmt.max_finite)
    return table


def _scalar(name: str, fmt: object) -> nf.Scalar:
    fmt = nf.get(fmt)  # type: ignore[arg-type]  # get says what it takes
    if isinstance(fmt, nf.Sum):
        raise TypeError(f"simulate: pe.{name} is a sum of encodings, {fmt.name}; simulate a term at a time")
    if isinstance(fmt, nf.Scaled):
        element = nf.element_of(fmt).name
        raise TypeError(
            f"simulate: pe.{name} is {fmt.name}, elements with shared scales; the registers hold elements only. "
            f"Simulate the elements (pe.{name}={element!r}) and scale outside the array, or use formats.matmul"
        )
    if not isinstance(fmt, nf.Scalar):
        raise TypeError(f"simulate: pe.{name} must be a scalar format such as 'int8' or 'e4m3fn', got {fmt!r}")
    return fmt


def _check_float(a: nf.Scalar, b: nf.Scalar, accumulator: nf.FloatChain) -> None:
    """The registers round to nearest even, and float64 must hold every product and every TwoSum rest exactly."""
    if (accumulator.rounding, accumulator.overflow) != ("ties_to_even", "overflow"):
        raise ValueError(
            f"simulate: {accumulator!r} rounds or overflows in a way the simulated registers do not; use "
            f"nf.FloatChain({accumulator.format.name!r}), or formats.matmul for the numbers alone"
        )
    precision = _precision(a) + _precision(b)
    lowest = min(product_ulp_exponent(a, b), accumulator.format.ulp_exponent)
    largest = max(*(abs(corner) for corner in product_range(a, b)), accumulator.format.max_finite)
    if precision > _FLOAT64_PRECISION or lowest < -1000 or largest > Fraction(2) ** 900:
        raise ValueError(
            f"simulate: {accumulator!r} needs products of {a.name} and {b.name} that float64 holds exactly, at most "
            f"{_FLOAT64_PRECISION} bits within 2**-1000..2**900; these have {precision} bits from 2**{lowest} to "
            f"{float(min(largest, Fraction(2) ** 1000)):.3g}. Formats up to float32 work"
        )


def _check_limbs(a: nf.Scalar, b: nf.Scalar) -> None:
    """The packed words hold 10 bits of exponent, and the product of two significands must fit in int64."""
    precision = _precision(a) + _precision(b)
    spans = [
        int(max(abs(f.max_finite), abs(f.min_finite)) / Fraction(2) ** f.ulp_exponent).bit_length() for f in (a, b)
    ]
    if precision > _INTEGER_BITS or max(spans) > 1023:
        raise ValueError(
            f"simulate: products of {a.name} and {b.name} have {precision} bits, their factors span {spans[0]} and "
            f"{spans[1]} bits; the registers hold products of {_INTEGER_BITS} bits and spans of 1023. Formats up to "
            "float32 work"
        )


def _precision(fmt: nf.Scalar) -> int:
    """Bits of the longest significand of a value."""
    if isinstance(fmt, nf.Minifloat):
        return fmt.trailing_significand_bits + 1
    if isinstance(fmt, nf.FixedPoint):
        return fmt.bits
    odd = [_odd(value.significand) for value in fmt.values() if isinstance(value, nf.Dyadic)]
    return max(integer.bit_length() for integer in odd)


def _odd(integer: int) -> int:
    return integer // (integer & -integer) if integer else 0


def _scaled(integers: Array, exponent: int, dtype: type[np.float32] | type[np.float64]) -> Array:
    """integers * 2**exponent in float32 or float64, rounded once, ties to even, overflow to infinity."""
    lowest = -126 if dtype is np.float32 else -1022
    if integers.dtype != object and lowest <= exponent <= 64:
        # one rounding, int64 to float; the shift is exact: a whole number of 2**lowest is no subnormal, and
        # 2**63 * 2**64 no overflow
        return np.asarray(np.ldexp(integers.astype(dtype), exponent), dtype)
    flat = [_round_once(int(integer), exponent, dtype is np.float32) for integer in integers.flat]
    return np.array(flat, dtype).reshape(integers.shape)


def _round_once(integer: int, exponent: int, single: bool) -> float:
    """integer * 2**exponent as a float32 or float64 value, by integer arithmetic alone."""
    precision, lowest, highest = (24, -149, 128) if single else (53, -1074, 1024)
    magnitude = abs(integer)
    quantum = max(magnitude.bit_length() + exponent - precision, lowest)
    dropped = quantum - exponent
    steps = magnitude << max(-dropped, 0)
    if dropped > 0:
        steps = magnitude >> dropped
        twice_rest = (magnitude - (steps << dropped)) << 1
        steps += twice_rest > 1 << dropped or (twice_rest == 1 << dropped and steps & 1)
    value = math.inf if steps.bit_length() + quantum > highest else math.ldexp(steps, quantum)
    return -value if integer < 0 else value
