"""Operands as they come: codes of drawn values, cycle after cycle, for energies.

stimulus(pe.wiring, "normal", 300)      # {"a": ..., "b": ..., "clear": ...}, integers [301]

"uniform"      every finite code as likely as any other
"normal"       a normal distribution whose 3.5 standard deviations reach the format's largest value, rounded to nearest
"student_t"    Student's t with 5 degrees of freedom, scaled to the same standard deviation: weights of language models
"weight_held"  normal, b held for 64 cycles: what a weight-stationary array sees
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

import formats as nf
from hwsim.pe.circuit import Mac

Operands = Literal["uniform", "normal", "student_t", "weight_held"]
OPERANDS: tuple[Operands, ...] = get_args(Operands)
DEVIATIONS = 3.5
FREEDOM = 5
HELD_CYCLES = 64
TERMS = 256  # of a sum, after which clear starts the next


def stimulus(what: Mac, operands: Operands, cycles: int, seed: int = 0) -> dict[str, NDArray[Any]]:
    """Patterns of every input port for cycles + 1 cycles, the first of which only settles the gates."""
    if operands not in OPERANDS:
        raise ValueError(f"stimulus: operands must be one of {', '.join(OPERANDS)}, got {operands!r}")
    rng = np.random.default_rng(seed)
    count = cycles + 1
    a = _codes(what.a, operands, (count, what.lanes), rng)
    b = _codes(what.b, operands, (count, what.lanes), rng)
    if operands == "weight_held":
        b = b[np.arange(count) // HELD_CYCLES * HELD_CYCLES]
    clear = (np.arange(count) % TERMS == 0).astype(np.int64)
    return {"a": _packed(a, what.a.bits), "b": _packed(b, what.b.bits), "clear": clear}


def _codes(fmt: nf.Scalar, operands: Operands, shape: tuple[int, int], rng: np.random.Generator) -> NDArray[Any]:
    if operands == "uniform":
        every = np.arange(2**fmt.bits)
        values = np.asarray(nf.decode_codes(fmt, every[: _length(fmt)], np.float64))
        return np.asarray(rng.choice(every[: _length(fmt)][np.isfinite(values)], shape))
    if operands == "student_t":
        x = rng.standard_t(FREEDOM, shape) * np.sqrt((FREEDOM - 2) / FREEDOM)
    else:
        x = rng.standard_normal(shape)
    low, high = float(fmt.min_finite), float(fmt.max_finite)
    scaled = np.abs(x) * high / DEVIATIONS if low >= 0 else x * min(high, 2.0**60) / DEVIATIONS
    return np.asarray(nf.encode_codes(fmt, scaled, nf.Cast(overflow="saturate_finite")))


def _length(fmt: nf.Scalar) -> int:
    return len(fmt.entries) if isinstance(fmt, nf.Codebook) else int(2**fmt.bits)


def _packed(codes: NDArray[Any], bits: int) -> NDArray[Any]:
    """Lanes side by side, the first lowest."""
    columns = [codes[:, lane].astype(object) << (bits * lane) for lane in range(codes.shape[1])]
    return np.asarray(sum(columns))
