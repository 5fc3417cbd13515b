"""Steps of matrix units: aligned, cut off, added and rounded as the formats' reference has them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import formats as nf
from hwsim.pe.circuit import Mac, mac
from hwsim.pe.meaning import every_vector, vectors
from tests.formats.cases import QUICK
from tests.hwsim.pe.checks import defects, gates_wrong, minifloats, wrong
from tests.hwsim.rtl.designs import needs_yosys


def of(a: str, b: str, how: nf.Aligned, **rest: Any) -> Mac:
    return Mac(a=nf.get(a), b=nf.get(b), accumulator=how, **{"lanes": how.terms, **rest})


EXHAUSTIVE = {
    "one term": nf.Aligned(1, 3, "e3m1:ieee"),
    "few places": nf.Aligned(1, 1, "e3m2:ieee"),
    "to even": nf.Aligned(1, 2, "e3m1:ieee", rounding="ties_to_even"),
    "down": nf.Aligned(1, 2, "e3m1:ieee", truncation="down"),
    "floor": nf.Aligned(1, 3, "e3m1:ieee", minimum_exponent=1),
    "normalised": nf.Aligned(1, 2, "e3m1:ieee", normalized=True),
    "register apart": nf.Aligned(1, 2, "e3m1:ieee", register_aligned=False),
}


@pytest.mark.parametrize("pair", [("e2m1fn", "e2m1fn"), ("e2m1:none:nosub", "ue2m1:none"), ("e1m2:none", "e2m0:none")])
@pytest.mark.parametrize("how", EXHAUSTIVE.values(), ids=EXHAUSTIVE)
def test_every_vector(how: nf.Aligned, pair: tuple[str, str]) -> None:
    what = of(*pair, how)
    assert wrong(mac(what), every_vector(what)) == 0


def test_every_vector_of_two_terms() -> None:
    what = of("e1m1:none", "e2m0:none", nf.Aligned(2, 2, "e2m1:ieee"))
    assert wrong(mac(what), every_vector(what)) == 0


def _smaller(name: str, terms: int) -> nf.Aligned:
    """A chip's step with fewer products."""
    found = next(item.accumulator for item in nf.accumulators() if item.name == name)
    assert isinstance(found, nf.Aligned)
    usual = ("rounding", "minimum_exponent", "register_aligned", "normalized", "truncation")
    return nf.Aligned(terms, found.fraction_bits, found.format, **{field: getattr(found, field) for field in usual})


CHIPS = {
    "hopper_fp8": ("e4m3fn", 4),
    "hopper_fp8_f16": ("e5m2", 4),
    "hopper_f16": ("float16", 4),
    "ampere_bf16": ("bfloat16", 3),
    "volta_f16": ("float16", 4),
    "volta_f16_f16": ("float16", 4),
    "blackwell_f8f6f4": ("e2m3fn", 5),
}


@pytest.mark.parametrize("name", CHIPS)
def test_vectors_of_chips(name: str) -> None:
    operand, terms = CHIPS[name]
    what = of(operand, operand, _smaller(name, terms), stages=2 if terms == 3 else 0)
    assert wrong(mac(what), vectors(what, 400), what.stages) == 0


@st.composite
def steps(draw: Any) -> Mac:
    terms = draw(st.integers(1, 4))
    how = nf.Aligned(
        terms,
        draw(st.integers(1, 12)),
        draw(st.sampled_from(("e3m2:ieee", "e4m3:ieee", "float16", "e8m13:ieee"))),
        rounding=draw(st.sampled_from(("toward_zero", "ties_to_even"))),
        minimum_exponent=draw(st.sampled_from((None, -3, 0, -20))),
        register_aligned=draw(st.booleans()),
        normalized=draw(st.booleans()),
        truncation=draw(st.sampled_from(("toward_zero", "down"))),
    )
    return Mac(a=draw(minifloats(4, 3)), b=draw(minifloats(4, 3)), accumulator=how, lanes=terms)


@QUICK
@given(steps())
def test_vectors_of_any_step(what: Mac) -> None:
    assert wrong(mac(what), vectors(what, 40)) == 0


def test_integers_have_exponents_once_normalised() -> None:
    what = of("int4", "e2m1fn", nf.Aligned(2, 6, "e4m3:ieee", normalized=True))
    assert wrong(mac(what), vectors(what, 300)) == 0


@needs_yosys
@pytest.mark.parametrize("how", [EXHAUSTIVE["to even"], EXHAUSTIVE["down"]], ids=["to even", "down"])
def test_every_vector_in_gates(how: nf.Aligned) -> None:
    what = of("e2m1fn", "ue2m0:none", how)
    assert gates_wrong(mac(what), every_vector(what)) == 0


@needs_yosys
def test_a_chips_step_in_gates() -> None:
    what = of("e4m3fn", "e4m3fn", _smaller("hopper_fp8", 4))
    assert gates_wrong(mac(what), vectors(what, 500)) == 0


def test_seeded_defects_are_caught() -> None:
    what = of("e2m1fn", "e2m0:none", nf.Aligned(1, 3, "e3m2:ieee", rounding="ties_to_even"))
    found = every_vector(what)
    seeded = defects(mac(what))
    assert len(seeded) >= 10
    assert [label for label, broken in seeded if not wrong(broken, found)] == []


def test_steps_without_wires_are_refused() -> None:
    how = nf.Aligned(4, 8, "float16")
    with pytest.raises(ValueError, match="takes 4 products, got lanes=2"):
        of("e2m1fn", "e2m1fn", how, lanes=2)
    with pytest.raises(ValueError, match="exponents are read off float operands, got int4 and e2m1fn"):
        of("int4", "e2m1fn", how)
    with pytest.raises(ValueError, match="no wires for unpacked operands"):
        of("e2m1fn", "e2m1fn", nf.Aligned(4, 8, "float16", unpacked="float16"))
    with pytest.raises(ValueError, match="at most 2 ranks"):
        mac(replace(of("e2m1fn", "e2m1fn", how), stages=3))
    with pytest.raises(ValueError, match="wires for Integer, Exact, FloatChain and Aligned"):
        Mac(a=nf.get("int4"), b=nf.get("int4"), accumulator=nf.Kahan("float32"))  # type: ignore[arg-type]
