"""Operands drawn for energies: two-bit formats are no zeros, and normal sums stay inside float registers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import formats as nf
from hwsim.pe import stimulus
from hwsim.pe.catalogue import catalogue
from hwsim.pe.circuit import Mac
from hwsim.pe.units.unit import MultiplyAccumulate

MACS = [
    listed.what.what
    for listed in catalogue().values()
    if isinstance(listed.what, MultiplyAccumulate)
    and isinstance(getattr(listed.what.what.accumulator, "format", None), nf.Minifloat)
]


def largest_sum(what: Mac, reach: tuple[float, float]) -> float:
    """Over 40 sums of 256 products of normal operands whose deviations reach so far, at any of their terms."""
    rng = np.random.default_rng(7)
    a, b = (
        np.asarray(nf.decode_codes(fmt, stimulus.codes(fmt, "normal", (40, stimulus.TERMS), rng, end), np.float64))
        for fmt, end in zip((what.a, what.b), reach, strict=True)
    )
    return float(np.abs(np.cumsum(a * b, axis=1)).max())


@pytest.mark.parametrize("what", MACS, ids=lambda what: what.name)
def test_normal_sums_stay_inside_float_registers(what: Mac) -> None:
    register = what.accumulator.format  # type: ignore[union-attr]
    assert largest_sum(what, stimulus.reaches(what)) <= float(register.max_finite)


def test_at_the_formats_own_reach_sums_would_leave() -> None:
    """The check sees it: e4m3fn's whole range under a float16 register."""
    what = next(what for what in MACS if what.name == "mac_e4m3fn_e4m3fn_float16")
    assert stimulus.reaches(replace(what, accumulator=nf.Exact(max_terms=256))) == (448.0, 448.0)
    assert largest_sum(what, (448.0, 448.0)) > 65504


def test_two_bits_are_drawn_near_their_least_squared_error() -> None:
    """Of steps of int2, the one of a deviation that "normal" draws with is within 2 % of the best."""
    x = np.random.default_rng(8).standard_normal(100_000)
    levels = np.arange(-2, 2)

    def error(step: float) -> float:
        return float(np.mean((x - step * levels[np.argmin(np.abs(x[:, None] - step * levels), axis=1)]) ** 2))

    assert error(stimulus.NARROW_DEVIATIONS / 2) < 1.02 * min(error(step) for step in np.arange(0.5, 2, 0.05))
    codes = stimulus.codes(nf.element_of(nf.get("int2")), "normal", (100_000,), np.random.default_rng(9))
    assert (codes == 0).mean() < 0.45
