"""Units at the array's edge against exact sums in fractions, rounded once where the unit rounds once."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import formats as nf
import hwsim as hw
from formats.exact import Dyadic, Special
from formats.reference import encode_value
from hwsim.circuit import step
from hwsim.circuit.simulate import reset
from hwsim.pe.edge import Edge, edge
from hwsim.pe.series import edge_series

CYCLES = 200
PAIRS = {
    "mxfp4": ("mxfp4", "mxfp4"),
    "mxint8": ("mxint8", "mxint8"),
    "nvfp4": ("nvfp4", "nvfp4"),
    "integer group": ("int8", "int4:g128"),
    "zero point": ("int8", "uint4:g128:asym"),
    "two groups": ("int8:g32", "int4:g32"),
    "float register": ("bfloat16", "nf4:b64"),
}


def value(fmt: nf.Scalar, code: Any) -> Fraction:
    found = fmt.value(int(code))
    assert isinstance(found, Dyadic)
    return found.fraction


def held(what: Edge, code: Any) -> Fraction:
    """What the PE's register says."""
    if not isinstance(what.register, int):
        return value(what.register, code)
    whole = int(code)
    return (whole - (whole >> (what.register - 1) << what.register)) * Fraction(2) ** what.unit


def rounded(fmt: nf.Minifloat, x: Fraction, zero: int = 0) -> int:
    return int(encode_value(fmt, nf.exact.dyadic(x))) if x else zero


def run(what: Edge, series: dict[str, Any]) -> list[int]:
    """The unit's output in every cycle."""
    module, found = edge(what), []
    state = reset(module)
    for cycle in range(CYCLES):
        outputs, state = step(module, {name: int(row[cycle]) for name, row in series.items()}, state)
        found.append(int(next(iter(outputs.values()))))
    return found


@pytest.mark.parametrize("name", PAIRS)
def test_a_block_is_scaled_and_added_with_one_rounding(name: str) -> None:
    pe = hw.MacPE(*PAIRS[name])
    what = pe.block_edge
    assert what is not None
    assert pe.edge_every is not None
    series = edge_series(pe.wiring, what, pe.edge_every)
    series["clear"] = (np.arange(CYCLES) % 7 == 0).astype(int)
    found = run(what, series)
    total: Fraction = Fraction(0)
    rows = dict.fromkeys([zero.side for zero in what.zero_points], Fraction(0))
    compared = 0
    for cycle in range(CYCLES - 1):
        if series["clear"][cycle]:
            total = Fraction(0)
        addend = held(what, series["sum"][cycle])
        for zero in what.zero_points:  # the elements summed before this cycle
            addend -= value(zero.fmt, series[f"zero_{zero.side}"][cycle]) * rows[zero.side]
            before = Fraction(0) if series["clear"][cycle] else rows[zero.side]
            rows[zero.side] = before + value(zero.other, series[f"other_{zero.side}"][cycle])
        for place, fmt in enumerate(what.scales):
            addend *= value(fmt, series[f"scale{place}"][cycle])
        exact = total + addend
        made = what.total.value(found[cycle + 1])
        assert not isinstance(made, Special)
        assert isinstance(made, Dyadic)
        near = abs(exact) * Fraction(1, 2**23) + Fraction(2) ** what.total.ulp_exponent
        if len([fmt for fmt in what.scales if fmt.bits > 8]) < 2 and isinstance(what.register, int):
            want = what.total.value(int(encode_value(what.total, dyadic(exact))))
            assert isinstance(want, Dyadic)
            assert made.fraction == want.fraction, (cycle, name)
            compared += 1
        else:  # rounded on the way: within three roundings
            bound = 4 * (near + abs(addend) * Fraction(1, 2**23))
            assert abs(made.fraction - exact) <= bound, (cycle, name)
            compared += 1
        total = made.fraction
    assert compared == CYCLES - 1


def dyadic(x: Fraction) -> Dyadic:
    from formats.arithmetic.exact_values import dyadic as made

    return made(x)


@pytest.mark.parametrize("pair", [("int8:token", "int8:channel"), ("nvfp4", "nvfp4"), ("int8:token", "int4:g128")])
def test_a_result_is_scaled_once(pair: tuple[str, str]) -> None:
    pe = hw.MacPE(*pair)
    what = pe.result_edge
    assert what is not None
    series = edge_series(pe.wiring, what, 1024)
    found = run(what, series)
    for cycle in range(CYCLES):
        exact = held(what, series["sum"][cycle])
        for place, fmt in enumerate(what.scales):
            exact *= value(fmt, series[f"scale{place}"][cycle])
        made = what.total.value(found[cycle])
        assert isinstance(made, Dyadic)
        assert (
            abs(made.fraction - exact) <= 3 * abs(exact) * Fraction(1, 2**23) + Fraction(2) ** what.total.ulp_exponent
        )


def test_the_check_sees_a_scale_left_out() -> None:
    pe = hw.MacPE("mxfp4", "mxfp4")
    what = pe.block_edge
    assert what is not None
    assert pe.edge_every is not None
    series = edge_series(pe.wiring, what, pe.edge_every)
    right = run(what, series)
    series["scale1"] = np.full_like(series["scale1"], 127)
    assert run(what, series) != right
