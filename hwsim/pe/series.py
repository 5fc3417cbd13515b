"""Operands for energies, by name or as a user's own matrices: patterns of a multiply-accumulate's ports over time.

series(what, "normal")          # as hwsim.pe.stimulus draws them
series(what, (a, b))            # a: (m, k), b: (k, n), any numbers: quantised, k after k of drawn outputs
"""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache
from math import pi, sqrt
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

import formats as nf
from hwsim.circuit.activity import CYCLES, STREAMS
from hwsim.pe.circuit import Mac
from hwsim.pe.edge import Edge
from hwsim.pe.row_sum import RowSum
from hwsim.pe.stimulus import OPERANDS, Operands, stimulus

Series = dict[str, NDArray[Any]]
Matrices = tuple[ArrayLike, ArrayLike]
SEED = 20261122
LARGEST_SCALE = 512.0  # wide formats hold scales near e4m3fn's, so that two of them and a sum stay in float32


def series(what: Mac, operands: Operands | Matrices, stored: tuple[nf.Format, nf.Format] | None = None) -> Series:
    """Patterns of every port for as many cycles as an energy looks at.

    stored: the operands' formats with their scales, under which matrices are quantised; None: what.a and what.b.
    Raises ValueError for other names, and for matrices whose k differ or that are no matrices of finite numbers.
    """
    if isinstance(operands, str):
        if operands not in OPERANDS:
            raise ValueError(
                f"energy_pj: operands must be one of {', '.join(OPERANDS)}, or a pair of matrices (a, b) of shapes "
                f"(m, k) and (k, n); got {operands!r}"
            )
        return _named(what, operands)
    if not isinstance(operands, tuple) or len(operands) != 2:
        raise ValueError(f"energy_pj: operands are a name or a pair (a, b) of matrices, got {type(operands).__name__}")
    a, b = (_numbers(x) for x in operands)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[0] or not a.size or not b.size:
        raise ValueError(f"energy_pj: operands must have shapes (m, k) and (k, n), got {a.shape} and {b.shape}")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("energy_pj: operands must be finite; remove or replace infinities and NaN")
    formats = (what.a, what.b) if stored is None else stored
    return _drawn(what, _codes_of(formats[0], a), _codes_of(formats[1], b.T))


def _numbers(x: Any) -> NDArray[np.float64]:
    """A matrix as float64; tensors too."""
    if hasattr(x, "detach"):
        if x.is_complex() or x.is_meta:
            held = "no values (device meta)" if x.is_meta else f"dtype {x.dtype}"
            raise ValueError(f"energy_pj: operands must be matrices of real numbers, got a tensor of {held}")
        x = x.detach().double().cpu().numpy()
    try:
        array = np.asarray(x)
    except ValueError as error:  # rows of several lengths
        raise ValueError(f"energy_pj: operands must be matrices: {error}") from None
    if array.dtype.kind not in "iufb" and array.dtype.name != "bfloat16":
        raise ValueError(f"energy_pj: operands must be matrices of real numbers, got dtype {array.dtype}")
    return array.astype(np.float64)


def _codes_of(fmt: nf.Format, rows: NDArray[np.float64]) -> NDArray[Any]:
    """Codes of the elements of rows along k. [rows, k]"""
    if isinstance(fmt, nf.Scaled):
        largest = float(np.abs(rows).max())
        if largest > float(np.finfo(np.float32).max):
            raise ValueError(f"energy_pj: operands under scales must be float32 numbers, got one of size {largest:.3g}")
        found = nf.encode(rows.astype(np.float32), fmt, axis=1, pad=True).codes
        return np.asarray(found).reshape(len(rows), -1)[:, : rows.shape[1]]
    return np.asarray(nf.encode_codes(fmt, rows, nf.Cast(overflow="saturate_finite")))  # type: ignore[arg-type]


@lru_cache(maxsize=512)
def _named(what: Mac, operands: Operands) -> Series:
    found = stimulus(what, operands, STREAMS * CYCLES - 1)
    for row in found.values():
        row.setflags(write=False)  # it is handed out again
    return found


def _drawn(what: Mac, a: NDArray[Any], b: NDArray[Any]) -> Series:
    """64 stretches: drawn outputs (i, j) one after another, each from its first step of k to its last.

    a [m, k], b [n, k]: codes. A stretch begins in the middle of its first output. Terms that the last step lacks are
    code 0.
    """
    rng = np.random.default_rng(SEED)
    lanes, steps = what.lanes, -(-a.shape[1] // what.lanes)
    a, b = (np.pad(x, ((0, 0), (0, steps * lanes - x.shape[1]))).reshape(len(x), steps, lanes) for x in (a, b))
    at = rng.integers(steps, size=(STREAMS, 1)) + np.arange(CYCLES)  # steps since the first output's first
    step, output = at % steps, at // steps
    rows, columns = (rng.integers(len(x), size=(STREAMS, int(output.max()) + 1)) for x in (a, b))
    stream = np.arange(STREAMS)[:, None]
    found = {
        side: np.asarray(
            sum(codes[..., lane].astype(object) << (fmt.bits * lane) for lane in range(lanes)), object
        ).reshape(-1)
        for side, fmt, codes in (
            ("a", what.a, a[rows[stream, output], step]),
            ("b", what.b, b[columns[stream, output], step]),
        )
    }
    random = {name: row for name, row in _named(what, "normal").items() if name == "random"}
    return found | {"clear": (step == 0).astype(np.int64).reshape(-1)} | random


def edge_series(what: Mac, unit: Edge, terms: int) -> Series:
    """Sums of `terms` products of normal operands under scales of a few binades, use after use."""
    rng = np.random.default_rng(SEED)
    count = STREAMS * CYCLES
    found: Series = {"sum": sums(what, unit.register, unit.unit, terms)}
    for place, fmt in enumerate(unit.scales):
        found[f"scale{place}"] = _scale_codes(fmt, rng, count)
    for zero in unit.zero_points:
        found[f"zero_{zero.side}"] = rng.integers(2**zero.fmt.bits, size=count)
    for side, what_sum in unit.row_sums.items():
        found[f"row_sum_{side}"] = _row_sums(what_sum, terms, rng, count)
    if unit.shift is not None:
        found["shift"] = _codes(unit.shift.fmt, rng.standard_normal(count), 3.5 * 16)
    if len(unit.zero_points) > 1:
        found["count"] = np.full(count, terms)
    if unit.blocks:
        found["clear"] = (np.arange(count) % 32 == 0).astype(np.int64)
    return found


def row_series(what: RowSum) -> Series:
    """Normal elements, a new sum every `terms`."""
    rng = np.random.default_rng(SEED)
    count, lane = STREAMS * CYCLES, what.element.bits
    codes = [_codes(what.element, rng.standard_normal(count), 3.5).astype(object) for _ in range(what.lanes)]
    steps = -(-what.terms // what.lanes)
    return {
        "x": np.asarray(sum(row << (lane * place) for place, row in enumerate(codes)), object),
        "clear": (np.arange(count) % steps == 0).astype(np.int64),
    }


def _row_sums(what: RowSum, terms: int, rng: np.random.Generator, count: int) -> NDArray[Any]:
    """Sums of `terms` normal elements, in the register that holds them."""
    unit = min(float(what.element.max_finite), 2.0**60) / 3.5
    unsigned = float(what.element.min_finite) >= 0
    mean, deviation = (sqrt(2 / pi), sqrt(1 - 2 / pi)) if unsigned else (0.0, 1.0)  # of |x| and of x
    values = unit * (mean * terms + deviation * sqrt(terms) * rng.standard_normal(count))
    if what.register is not None:
        return np.asarray(nf.encode_codes(what.register, values, nf.Cast(overflow="saturate_finite")))
    return _two_s_complement(values, what.bits, what.element.ulp_exponent)


def _two_s_complement(values: NDArray[np.float64], bits: int, unit: int) -> NDArray[Any]:
    """The nearest codes in units of 2**unit, the ends where there is none."""
    scale, most = Fraction(2) ** unit, (1 << (bits - 1)) - 1
    whole = [round(Fraction(x) / scale) for x in values.tolist()]
    return np.array([min(max(x, -most - 1), most) % (1 << bits) for x in whole], object)


def sums(what: Mac, register: nf.Minifloat | int, unit: int, terms: int) -> NDArray[Any]:
    """Codes of sums of normal products: two's complement in units of 2**unit, or of a float format."""
    rng = np.random.default_rng(SEED + 1)
    deviation = float(np.sqrt(terms))
    most_of_one = 2.0**12 if isinstance(register, nf.Minifloat) else 2.0**60  # so that scales do not leave float32
    for fmt in what.factors:
        deviation *= min(float(fmt.max_finite), most_of_one) / 3.5
    values = rng.standard_normal(STREAMS * CYCLES) * deviation
    if isinstance(register, nf.Minifloat):
        return np.asarray(nf.encode_codes(register, values, nf.Cast(overflow="saturate_finite")))
    return _two_s_complement(values, register, unit)


def _scale_codes(fmt: nf.Scalar, rng: np.random.Generator, count: int) -> NDArray[Any]:
    if isinstance(fmt, nf.Minifloat) and not fmt.zero:  # a power of two: 1, and a few binades around it
        return np.asarray(np.clip(fmt.bias + np.rint(1.5 * rng.standard_normal(count)), 0, 2**fmt.bits - 2), np.int64)
    return _codes(fmt, np.abs(rng.standard_normal(count)), 3.5 * 16, LARGEST_SCALE)


def _codes(fmt: nf.Scalar, x: NDArray[np.float64], deviations: float, most: float = 2.0**60) -> NDArray[Any]:
    """Codes of values whose `deviations` standard deviations reach the format's largest, or `most`."""
    scaled = (np.abs(x) if float(fmt.min_finite) >= 0 else x) * min(float(fmt.max_finite), most) / deviations
    return np.asarray(nf.encode_codes(fmt, scaled, nf.Cast(overflow="saturate_finite")))
