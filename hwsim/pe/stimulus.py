"""Operands as they come: codes of drawn values, cycle after cycle, for energies.

stimulus(pe.wiring, "normal", 300)      # {"a": ..., "b": ..., "clear": ...}, integers [301]

"uniform"      every finite code as likely as any other; sums of floats may leave a float register
"normal"       a normal distribution whose 3.5 standard deviations (2 for formats of one and two bits, which would be
               zeros else) reach the format's largest value, rounded to nearest; smaller where sums of 256 products
               would leave a float register
"student_t"    Student's t with 5 degrees of freedom, scaled to the same standard deviation: weights of language models
"weight_held"  normal, b held for 64 cycles: what a weight-stationary array sees
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

import formats as nf
from hwsim.pe.circuit import Mac
from hwsim.pe.meaning import draws

Operands = Literal["uniform", "normal", "student_t", "weight_held"]
OPERANDS: tuple[Operands, ...] = get_args(Operands)
DEVIATIONS = 3.5
NARROW = 2  # bits up to which 2 standard deviations reach the end: int2's levels a deviation apart err nearly least
NARROW_DEVIATIONS = 2.0
ROOM = 4.0  # standard deviations of a whole sum that a float register holds
FREEDOM = 5
HELD_CYCLES = 64
TERMS = 256  # of a sum, after which clear starts the next
WIDEST_LISTED = 16  # bits of formats whose finite codes are listed to draw from


def stimulus(what: Mac, operands: Operands, cycles: int, seed: int = 0) -> dict[str, NDArray[Any]]:
    """Patterns of every input port for cycles + 1 cycles, the first of which only settles the gates."""
    check_operands(operands)
    return operands_of(what, operands, cycles + 1, np.random.default_rng(seed))


def operands_of(what: Mac, operands: Operands, count: int, rng: np.random.Generator) -> dict[str, NDArray[Any]]:
    """Patterns [count] of a Mac's input ports."""
    reach_a, reach_b = reaches(what)
    a = codes(what.a, operands, (count, what.lanes), rng, reach_a)
    b = kept(codes(what.b, operands, (count, what.lanes), rng, reach_b), operands)
    found = {"a": side_by_side(a, what.a.bits), "b": side_by_side(b, what.b.bits), "clear": starts(count)}
    width = draws(what) * what.lanes
    return found | ({"random": _random(rng, width, count)} if width else {})


def reaches(what: Mac) -> tuple[float, float]:
    """What the deviations of a and of b reach: their largest values; the larger of the two, then both, less where
    sums would leave a float register."""
    a, b = _largest(what.a), _largest(what.b)
    register = getattr(what.accumulator, "format", None)
    if not isinstance(register, nf.Minifloat):
        return a, b
    most = float(register.max_finite) / ROOM / float(np.sqrt(TERMS)) * _deviations(what.a) * _deviations(what.b)
    both = max(float(np.sqrt(most)), most / min(a, b))
    return min(a, both), min(b, both)


def _largest(fmt: nf.Scalar) -> float:
    """The largest magnitude of a code, at most 2**60; of formats of more than two bits the largest value."""
    high = max(float(fmt.max_finite), -float(fmt.min_finite) if fmt.bits <= NARROW else 0.0)
    return min(high, 2.0**60)


def _deviations(fmt: nf.Scalar) -> float:
    return NARROW_DEVIATIONS if fmt.bits <= NARROW else DEVIATIONS


def _random(rng: np.random.Generator, width: int, count: int) -> NDArray[Any]:
    """Integers of any width."""
    if width <= 62:
        return np.asarray(rng.integers(0, 1 << width, count))
    return np.array([int.from_bytes(rng.bytes(width // 8 + 1), "little") % (1 << width) for _ in range(count)], object)


def check_operands(operands: str) -> None:
    """Raise ValueError for a kind that there is not."""
    if operands not in OPERANDS:
        raise ValueError(f"stimulus: operands must be one of {', '.join(OPERANDS)}, got {operands!r}")


def starts(count: int, terms: int = TERMS) -> NDArray[Any]:
    """1 in the cycles in which a sum starts."""
    return np.asarray(np.arange(count) % terms == 0, np.int64)


def kept(rows: NDArray[Any], operands: Operands, cycles: int = HELD_CYCLES) -> NDArray[Any]:
    """Weights [cycles, ...]: where they are held, one of `cycles` cycles for all of them."""
    return rows[np.arange(len(rows)) // cycles * cycles] if operands == "weight_held" else rows


def drawn(operands: Operands, shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[Any]:
    """Values of standard deviation 1, heavy-tailed for student_t, else normal."""
    if operands == "student_t":
        return np.asarray(rng.standard_t(FREEDOM, shape) * np.sqrt((FREEDOM - 2) / FREEDOM))
    return np.asarray(rng.standard_normal(shape))


def codes(
    fmt: nf.Scalar, operands: Operands, shape: tuple[int, ...], rng: np.random.Generator, reach: float | None = None
) -> NDArray[Any]:
    """Codes of drawn values. reach: what the deviations reach, where not the format's largest value."""
    if operands == "uniform" and fmt.bits <= WIDEST_LISTED:
        every = np.arange(_length(fmt))
        return np.asarray(rng.choice(every[np.isfinite(np.asarray(nf.decode_codes(fmt, every, np.float64)))], shape))
    if operands == "uniform":
        kind = np.int64 if fmt.bits < 64 else np.uint64
        found = rng.integers(0, 1 << fmt.bits, shape, kind)
        while (odd := ~np.isfinite(nf.decode_codes(fmt, found, np.float64))).any():
            found[odd] = rng.integers(0, 1 << fmt.bits, int(odd.sum()), kind)
        return found
    x = drawn(operands, shape, rng)
    scaled = (np.abs(x) if fmt.min_finite >= 0 else x) * (_largest(fmt) if reach is None else reach) / _deviations(fmt)
    return np.asarray(nf.encode_codes(fmt, scaled, nf.Cast(overflow="saturate_finite")))


def _length(fmt: nf.Scalar) -> int:
    return len(fmt.entries) if isinstance(fmt, nf.Codebook) else int(2**fmt.bits)


def side_by_side(codes: NDArray[Any], bits: int) -> NDArray[Any]:
    """Codes [..., lanes], modulo 2**bits each, as patterns of lanes * bits bits, the first lane lowest."""
    codes = np.asarray(codes).astype(object)
    lanes = codes.shape[-1]
    return np.asarray(sum((codes[..., lane] % (1 << bits)) << (bits * lane) for lane in range(lanes)))
