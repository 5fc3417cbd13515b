"""What the tests of formats run over: formats with readable ids, casts, and the inputs where a codec goes wrong."""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from itertools import product
from typing import Any

import ml_dtypes
import numpy as np
from hypothesis import settings
from numpy.typing import NDArray

import formats as nf
from formats.cast import OVERFLOWS, ROUNDINGS
from formats.decisions import decisions

QUICK = settings(deadline=None, derandomize=True, database=None, max_examples=60)

NAMED = tuple(name for name in nf.names() if not isinstance(nf.get(name), nf.Scaled))
NAMED_TO_12_BITS = tuple(name for name in NAMED if nf.get(name).bits <= 12)
NAMED_TO_8_BITS = tuple(name for name in NAMED if nf.get(name).bits <= 8)
BLOCKS = tuple(name for name in nf.names() if isinstance(nf.get(name), nf.Scaled))

# One of every turn a description can take that no named format takes.
PARAMETRIC = (
    "e3m0:none",
    "e4m0:none",
    "e4m0:ieee",
    "e3m0:none:nosub",
    "e3m1:ieee:nosub",
    "e3m2:nan_top:nosub",
    "e2m3:none:nosub",
    "e3m2:fnuz:nosub",
    "ue3m2:nan_top:nosub",
    "ue4m0:none:nozero",
    "ue3m2:ieee:nozero",
    "e2m2:nan_top:nozero",
    "e3m1:none:nozero",
    "ue5m3:nan_top",
    "ue4m4:none",
    "ue4m2:ieee",
    "e1m2:ieee",
    "e1m3:none",
    "e1m0:none",
    "e2m0:nan_top",
    "e2m5:fnuz",
    "e3m3:none:bias0",
    "e3m3:nan_top:bias-5",
    "e4m2:ieee:bias20",
    "e3m2:none:ties_up",
    "e3m0:none:nosub:ties_up",
    "ue4m1:ieee:ties_up",
    "e8m0:nan_top",
    "e8m1:none:bias149",
    "e4m3:nan_top:bias127",
    "e8m3:ieee",
    "e5m4:ieee",
    "e6m5:nan_top",
    "e11m0:ieee",
    "int4:symmetric",
    "int8:symmetric:f6",
    "int6:f-3",
    "uint5:f7",
    "int7:f64",
    "uint3:f-64",
)


def _codebook(label: str, entries: tuple[float, ...], ties: Any, bits: int = 3) -> nf.Codebook:
    return nf.Codebook(label=label, bits=bits, entries=entries, ties=ties)


CODEBOOKS = {
    fmt.label: fmt
    for fmt in (
        _codebook("table_lower", (-2.0, -0.75, 0.0, 0.5, 3.0), "lower"),
        _codebook("table_upper", (-2.0, -0.75, 0.0, 0.5, 3.0), "upper"),
        _codebook("table_even", (-2.0, -0.75, 0.0, 0.5, 3.0), "even"),
        _codebook("table_away", (-2.0, -0.75, 0.0, 0.5, 3.0), "away"),
        _codebook("table_no_zero", (-3.0, -1.0, 1.0, 2.0), "even", 2),
        _codebook("table_unsorted_twice", (0.0, 8.0, 4.0, 8.0, 0.0, -2.0), "lower"),
        _codebook("table_minus_zero", (-0.0, 1.0, 2.0), "even", 2),
        _codebook("table_tenths", tuple(i / 10 for i in range(-8, 8)), "even", 4),
        _codebook("table_positive", (0.25, 1.0, 7.0), "upper", 2),
        _codebook("table_of_17", tuple(float(i * abs(i)) for i in range(-8, 9)), "upper", 5),
    )
}

SCALARS = (*NAMED_TO_8_BITS, *PARAMETRIC, *(f"int{n}" for n in range(9, 13)), "uint9", "uint12", *CODEBOOKS)
CASTS = tuple(nf.Cast(rounding=r, overflow=o) for r, o in product(ROUNDINGS, OVERFLOWS))


def readable(value: Any) -> str:
    """A test id: the name of a function, type or format, the rounding of a cast."""
    for attribute in ("__name__", "name", "rounding"):
        if hasattr(value, attribute):
            return str(getattr(value, attribute))
    return str(value).replace(" ", "")


def scalar(name: str) -> Any:
    """The scalar format of a test id."""
    return CODEBOOKS[name] if name in CODEBOOKS else nf.get(name)


def casts_of(fmt: Any, casts: tuple[nf.Cast, ...] = CASTS) -> list[nf.Cast]:
    """The casts a format can express."""
    expressible = fmt.has_nan or fmt.has_infinity
    return [cast for cast in casts if expressible or cast.overflow != "overflow"]


def bfloat16_values() -> NDArray[Any]:
    """All 65,536 bfloat16 values, in code order."""
    return np.arange(65536, dtype=np.uint16).view(ml_dtypes.bfloat16)


def finite_bfloat16() -> NDArray[np.float64]:
    """All finite bfloat16 values as float64, ascending from each zero."""
    exponents = np.arange(65536) & 0x7F80
    return np.asarray(bfloat16_values()[exponents != 0x7F80].astype(np.float64))


def float16_values() -> NDArray[np.float16]:
    """All 65,536 float16 values, in code order."""
    return np.arange(65536, dtype=np.uint16).view(np.float16)


@cache
def thresholds(fmt: Any) -> tuple[Fraction, ...]:
    """Every real at which some cast changes its mind: midpoints, values, and the edges of overflow."""
    cuts: set[Fraction] = set()
    for cast in casts_of(fmt):
        cuts.update(decisions(fmt, cast).thresholds)
    return tuple(sorted(cuts))


def around(reals: tuple[Fraction, ...], dtype: Any) -> NDArray[Any]:
    """The floats of that type at and next to each real: two bracket one that is no float itself."""
    with np.errstate(over="ignore"):
        near = np.array([float_or_infinity(x) for x in reals], np.float64).astype(dtype)
        both = (np.nextafter(near, dtype(-np.inf)), near, np.nextafter(near, dtype(np.inf)))
    return np.unique(np.concatenate(both))


def float_or_infinity(x: Fraction) -> float:
    """The nearest float64, infinite beyond its range."""
    try:
        return float(x)
    except OverflowError:
        return np.inf if x > 0 else -np.inf


@cache
def probes(fmt: Any, dtype: Any) -> NDArray[Any]:
    """Inputs of one type: every bfloat16 value, all thresholds with their neighbours, both zeros, the type's ends."""
    info = np.finfo(dtype)
    ends = np.array([info.max, info.tiny, info.smallest_subnormal, np.inf, 0.0], dtype)
    signed = np.concatenate([ends, -ends, [dtype(np.nan), np.copysign(dtype(np.nan), dtype(-1))]]).astype(dtype)
    if dtype == np.float32:
        signed = np.concatenate([bfloat16_values().astype(np.float32), signed])
    return np.concatenate([signed, around(thresholds(fmt), dtype)])
