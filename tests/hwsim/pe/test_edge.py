"""Units at the array's edge against exact sums in fractions, rounded once where the unit rounds once."""

from __future__ import annotations

from fractions import Fraction
from math import prod
from typing import Any

import numpy as np
import pytest

import formats as nf
import hwsim as hw
from formats.exact import Dyadic, Special
from formats.reference import encode_value
from hwsim.circuit import step
from hwsim.circuit.simulate import reset
from hwsim.pe.edge import Edge, edge, other_side
from hwsim.pe.row_sum import RowSum, row_sum
from hwsim.pe.series import edge_series, row_series

CYCLES = 200
PAIRS = {
    "mxfp4": ("mxfp4", "mxfp4"),
    "mxint8": ("mxint8", "mxint8"),
    "nvfp4": ("nvfp4", "nvfp4"),
    "integer group": ("int8", "int4:g128"),
    "zero point": ("int8", "uint4:g128:asym"),
    "two groups": ("int8:g32", "int4:g32"),
    "float register": ("bfloat16", "nf4:b64"),
    "zero points on both sides": ("uint8:g32:asym", "uint4:g128:asym"),
    "a zero point for the whole of k": ("uint8:token:asym", "int4:g128"),
    "one for the whole of k, one a block": ("uint8:token:asym", "uint4:g128:asym"),
    "shift": ("int8", "q4_1"),
    "shift beside the other side's scales": ("mxfp8_e4m3", "q5_1"),
    "shift on the left": ("q4_1", "int8:g32"),
    "shift, floats": ("bfloat16", "q4_1"),
    "zero point, floats": ("bfloat16", "uint4:g128:asym"),
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


def correction(what: Edge, series: dict[str, Any], cycle: int) -> Fraction:
    """What zero points make of the sum: za * sum(b) + zb * sum(a) - terms * za * zb."""
    points = {zero.side: value(zero.fmt, series[f"zero_{zero.side}"][cycle]) for zero in what.zero_points}
    found = -prod(points.values()) * int(series["count"][cycle]) if len(points) > 1 else Fraction(0)
    for zero in what.zero_points:
        other = other_side(zero.side)
        found += points[zero.side] * summed(zero.other, series[f"row_sum_{other}"][cycle])
    return found


def moved(what: Edge, series: dict[str, Any], cycle: int) -> Fraction:
    """What a shift adds: itself times the sum of the other side's elements under their own scales."""
    if what.shift is None:
        return Fraction(0)
    row = summed(what.shift.other, series[f"row_sum_{other_side(what.shift.side)}"][cycle])
    own = 0 if what.shift.side == "a" else len(what.scales) - 1
    beside = [value(fmt, series[f"scale{place}"][cycle]) for place, fmt in enumerate(what.scales) if place != own]
    return value(what.shift.fmt, series["shift"][cycle]) * row * prod(beside)


def summed(what: RowSum, code: Any) -> Fraction:
    """What a row sum's register says."""
    if what.register is not None:
        return value(what.register, code)
    whole = int(code)
    return (whole - (whole >> (what.bits - 1) << what.bits)) * Fraction(2) ** what.element.ulp_exponent


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
    compared = 0
    for cycle in range(CYCLES - 1):
        if series["clear"][cycle]:
            total = Fraction(0)
        addend = held(what, series["sum"][cycle]) - correction(what, series, cycle)
        for place, fmt in enumerate(what.scales):
            addend *= value(fmt, series[f"scale{place}"][cycle])
        shifted = moved(what, series, cycle)
        exact = total + addend + shifted
        made = what.total.value(found[cycle + 1])
        assert not isinstance(made, Special)
        assert isinstance(made, Dyadic)
        near = abs(exact) * Fraction(1, 2**23) + Fraction(2) ** what.total.ulp_exponent
        once = what.shift is None and len([fmt for fmt in what.scales if fmt.bits > 8]) < 2
        if once and isinstance(what.register, int):
            want = what.total.value(int(encode_value(what.total, dyadic(exact))))
            assert isinstance(want, Dyadic)
            assert made.fraction == want.fraction, (cycle, name)
            compared += 1
        else:  # rounded on the way: within three roundings
            parts = abs(addend) + abs(shifted) + sum(abs(part) for part in scaled_parts(what, series, cycle))
            bound = 4 * (near + parts * Fraction(1, 2**23))
            assert abs(made.fraction - exact) <= bound, (cycle, name)
            compared += 1
        total = made.fraction
    assert compared == CYCLES - 1


def scaled_parts(what: Edge, series: dict[str, Any], cycle: int) -> list[Fraction]:
    """The sum and what a zero point takes off it, which a float unit adds one after another."""
    if not what.zero_points:
        return []
    parts = [held(what, series["sum"][cycle]), correction(what, series, cycle)]
    scale = prod(value(fmt, series[f"scale{place}"][cycle]) for place, fmt in enumerate(what.scales))
    return [part * scale for part in parts]


def dyadic(x: Fraction) -> Dyadic:
    from formats.arithmetic.exact_values import dyadic as made

    return made(x)


@pytest.mark.parametrize("pair", [
    ("int8:token", "int8:channel"), ("nvfp4", "nvfp4"), ("int8:token", "int4:g128"),
    ("int8:token", "uint8:channel:asym"), ("uint8:token:asym", "uint4:channel:asym")])  # fmt: skip
def test_a_result_is_scaled_once(pair: tuple[str, str]) -> None:
    pe = hw.MacPE(*pair)
    what = pe.result_edge
    assert what is not None
    series = edge_series(pe.wiring, what, 1024)
    found = run(what, series)
    for cycle in range(CYCLES):
        exact = held(what, series["sum"][cycle]) - correction(what, series, cycle)
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


@pytest.mark.parametrize("lanes", [1, 4])
@pytest.mark.parametrize("element", ["int8", "uint4", "e4m3fn", "e2m1fn"])
def test_a_row_sum_is_exact(element: str, lanes: int) -> None:
    fmt = nf.element_of(nf.get(element))
    what = RowSum(element=fmt, terms=32, lanes=lanes)
    series, state, want = row_series(what), reset(row_sum(what)), Fraction(0)
    for cycle in range(CYCLES):
        given = {name: int(row[cycle]) for name, row in series.items()}
        outputs, state = step(row_sum(what), given, state)
        assert not cycle or summed(what, outputs["sum"]) == want
        codes = [given["x"] >> fmt.bits * lane & (1 << fmt.bits) - 1 for lane in range(lanes)]
        want = (Fraction(0) if given["clear"] else want) + sum(value(fmt, code) for code in codes)


@pytest.mark.parametrize("element", ["int8", "uint4", "e4m3fn", "int7:symmetric"])
@pytest.mark.parametrize("end", ["max_finite", "min_finite"])
def test_a_row_sum_of_ends_has_room_and_no_bit_too_many(element: str, end: str) -> None:
    fmt = nf.element_of(nf.get(element))
    what = RowSum(element=fmt, terms=24)
    code = next(code for code in range(1 << fmt.bits) if isinstance(fmt.value(code), Dyadic)
                and value(fmt, code) == getattr(fmt, end))  # fmt: skip
    module, state = row_sum(what), reset(row_sum(what))
    for cycle in range(what.terms + 1):
        outputs, state = step(module, {"x": code, "clear": int(cycle == 0)}, state)
    assert summed(what, outputs["sum"]) == 24 * value(fmt, code)
    wider = max(abs(fmt.max_finite * 24 / Fraction(2) ** fmt.ulp_exponent), 1) > 1 << what.bits - 2
    assert wider or -fmt.min_finite * 24 / Fraction(2) ** fmt.ulp_exponent > 1 << what.bits - 2


def test_a_row_sum_of_floats_beside_a_float_register_rounds_as_the_pe_does() -> None:
    what = hw.MacPE("bfloat16", "uint4:g128:asym").row_sums["a"]
    assert what.register == nf.get("float32")
    series, state, want = row_series(what), reset(row_sum(what)), np.float32(0)
    for cycle in range(CYCLES):
        given = {name: int(row[cycle]) for name, row in series.items()}
        outputs, state = step(row_sum(what), given, state)
        assert not cycle or summed(what, outputs["sum"]) == Fraction(float(want))
        x = np.float32(float(value(what.element, given["x"])))
        want = x if given["clear"] else np.float32(want + x)


@pytest.mark.parametrize("k", [128, 100])
def test_two_asymmetric_operands_give_the_product_of_what_they_decode_to(k: int) -> None:
    """From real numbers to the total, a short last block too: only the register's additions round."""
    rng = np.random.default_rng(3)
    pe = hw.MacPE("uint8:g32:asym", "uint4:g32:asym")
    what = pe.block_edge
    assert what is not None
    sides = [operand(fmt, rng.standard_normal(k) + 0.5) for fmt in (pe.a, pe.b)]
    codes, scales, zeros, values = zip(*sides, strict=True)
    module, state = edge(what), reset(edge(what))
    want, most = Fraction(0), Fraction(0)
    for block in range(-(-k // 32)):
        here = slice(32 * block, min(32 * block + 32, k))
        a, b = (row[here] for row in codes)
        given = {"sum": int(a @ b), "row_sum_a": int(a.sum()), "row_sum_b": int(b.sum()), "count": len(a)}
        given |= {"zero_a": int(zeros[0][block]), "zero_b": int(zeros[1][block]), "clear": int(block == 0)}
        given |= {f"scale{side}": int(scales[side][block]) for side in (0, 1)}
        _, state = step(module, given, state)
        want += sum(
            Fraction(float(x)) * Fraction(float(y)) for x, y in zip(values[0][here], values[1][here], strict=True)
        )
        most = max(most, abs(want))
    made = what.total.value(int(step(module, given, state)[0]["total_out"]))
    assert isinstance(made, Dyadic)
    assert abs(made.fraction - want) <= most * Fraction(-(-k // 32), 2**23)


@pytest.mark.parametrize("other", ["int8:g32", "mxfp8_e4m3"])
def test_a_shifted_operand_gives_the_product_of_what_it_decodes_to(other: str) -> None:
    rng, k = np.random.default_rng(4), 96
    pe = hw.MacPE(other, "q4_1")
    what = pe.block_edge
    assert what is not None
    sides = [operand(fmt, rng.standard_normal(k) + 0.5) for fmt in (pe.a, pe.b)]
    codes, scales, shifts, values = zip(*sides, strict=True)
    module, state = edge(what), reset(edge(what))
    want, most = Fraction(0), Fraction(0)
    factors = [[value(nf.element_of(fmt), code) for code in row] for fmt, row in zip((pe.a, pe.b), codes, strict=True)]
    for block in range(k // 32):
        here = slice(32 * block, 32 * block + 32)
        total = sum(x * y for x, y in zip(factors[0][here], factors[1][here], strict=True)) / Fraction(2) ** what.unit
        row = sum(factors[0][here]) / Fraction(2) ** what.row_sums["a"].element.ulp_exponent
        given = {"sum": int(total) % (1 << what.bits), "row_sum_a": int(row) % (1 << what.row_sums["a"].bits)}
        given |= {"shift": int(shifts[1][block]), "clear": int(block == 0)}
        given |= {f"scale{side}": int(scales[side][block]) for side in (0, 1)}
        _, state = step(module, given, state)
        pairs = zip(values[0][here], values[1][here], strict=True)
        want += sum(Fraction(float(x)) * Fraction(float(y)) for x, y in pairs)
        most = max(most, abs(want), *(abs(part) for part in (total * Fraction(2) ** what.unit, want)))
    made = what.total.value(int(step(module, given, state)[0]["total_out"]))
    assert isinstance(made, Dyadic)
    assert abs(made.fraction - want) <= most * Fraction(2 * k // 32, 2**22)


def operand(fmt: Any, x: Any) -> tuple[Any, Any, Any, Any]:
    """Codes, scales' codes, those of zero points or shifts, and values of a row along k."""
    encoded = nf.encode(x.astype(np.float32)[None], fmt, axis=1, pad=True)
    names = [name for name in ("offset", "shift", "scale") if name in encoded.planes]
    codes, scales, moves = (encoded.planes[name].codes[0].astype(int) for name in ("codes", "scale", names[0]))
    return codes[: len(x)], scales, moves, nf.decode(encoded)[0]
