"""Multipliers that are not exact: L-Mul in its readings, products rounded before they are added."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import formats as nf
from formats.arithmetic.multipliers.base import Multiplier
from formats.cast import DETERMINISTIC
from hwsim.pe.circuit import Mac, mac
from hwsim.pe.meaning import every_vector, vectors
from tests.formats.cases import QUICK
from tests.hwsim.pe.checks import defects, gates_wrong, wrong
from tests.hwsim.rtl.designs import needs_yosys

FLOAT = nf.FloatChain
LMULS = {
    "wrap": nf.LMul("integer_add"),
    "wrap, l = 0": nf.LMul("integer_add", offset=0),
    "flush": nf.LMul("integer_add", policy="flush_and_saturate"),
    "formula": nf.LMul("formula"),
    "formula, l = 5": nf.LMul("formula", offset=5),
}


def of(a: str, b: str, how: nf.Accumulator, multiplier: Multiplier, **rest: Any) -> Mac:
    return Mac(a=nf.get(a), b=nf.get(b), accumulator=how, multiplier=multiplier, **rest)


@pytest.mark.parametrize("specials", ["finite", "full"])
@pytest.mark.parametrize("name", ["e2m1fn", "e2m1:ieee", "e2m1:nan_top", "e2m1:fnuz", "ue2m1:nan_top", "e1m2:none"])
@pytest.mark.parametrize("multiplier", LMULS.values(), ids=LMULS)
def test_every_vector_of_lmul_into_a_float(multiplier: nf.LMul, name: str, specials: Any) -> None:
    what = of(name, name, FLOAT("e3m1:ieee"), multiplier, specials=specials)
    assert wrong(mac(what), every_vector(what)) == 0


@pytest.mark.parametrize("how", [nf.Integer(7), nf.Integer(6, "saturate"), nf.Exact(max_terms=3)], ids=repr)
@pytest.mark.parametrize("multiplier", LMULS.values(), ids=LMULS)
def test_vectors_of_lmul_into_a_fixed_register(multiplier: nf.LMul, how: nf.Accumulator) -> None:
    for name in ("e2m1fn", "ue3m1:nan_top", "e3m2:ieee"):
        what = of(name, name, how, multiplier)
        assert wrong(mac(what), vectors(what, 500)) == 0


@pytest.mark.parametrize("multiplier", LMULS.values(), ids=LMULS)
@pytest.mark.parametrize(
    ("name", "how"),
    [("e4m3fn", nf.Exact(max_terms=256)), ("e4m3fn", FLOAT("float32")), ("bfloat16", FLOAT("float32"))],
    ids=["e4m3fn fixed", "e4m3fn float32", "bfloat16 float32"],
)
def test_vectors_of_lmul(multiplier: nf.LMul, name: str, how: nf.Accumulator) -> None:
    what = of(name, name, how, multiplier, lanes=2, stages=3)
    assert wrong(mac(what), vectors(what, 300), what.stages) == 0


PRODUCTS = {
    "wider": ("e2m1fn", "int2", "e3m2:ieee"),
    "narrower": ("e2m2:none", "e1m1:none", "e2m1fn"),
    "small": ("e3m0:none", "e2m0:none", "e2m1:ieee"),
    "unsigned": ("ue2m1:none", "uint2", "e2m1fn"),
    "fnuz": ("e2m1fn", "int2", "e2m1:fnuz"),
    "specials": ("e2m0:nan_top", "e1m1:ieee", "e2m1:nan_top"),
}


@pytest.mark.parametrize("specials", ["finite", "full"])
@pytest.mark.parametrize("pair", PRODUCTS.values(), ids=PRODUCTS)
def test_every_vector_of_rounded_products(pair: tuple[str, str, str], specials: Any) -> None:
    a, b, rounded = pair
    overflow = "overflow" if nf.get(rounded).has_nan else "saturate"  # type: ignore[union-attr]
    for rounding in DETERMINISTIC if pair in (PRODUCTS["narrower"], PRODUCTS["fnuz"]) else ("ties_to_even",):
        multiplier = nf.RoundedProduct(rounded, rounding, overflow)  # type: ignore[arg-type]
        what = of(a, b, FLOAT("e3m1:ieee"), multiplier, specials=specials)
        assert wrong(mac(what), every_vector(what)) == 0
        if specials == "finite":
            fixed = of(a, b, nf.Exact(max_terms=2), multiplier, stages=2, lanes=2)
            assert wrong(mac(fixed), vectors(fixed, 200), 2) == 0


@QUICK
@given(st.sampled_from(("float16", "bfloat16", "e5m2", "e4m3fn")), st.sampled_from(("float16", "e4m3fn", "bfloat16")))
def test_vectors_of_rounded_products(operand: str, rounded: str) -> None:
    what = of(operand, "e4m3fn", FLOAT("float32"), nf.RoundedProduct(rounded), specials="full")
    assert wrong(mac(what), vectors(what, 40)) == 0


def test_shifting_is_the_exact_product() -> None:
    shift, exact = (of("int4", "e3m0:none", nf.Integer(20), how) for how in (nf.ShiftOnly(), nf.ExactProduct()))
    assert shift.name == exact.name
    assert wrong(mac(shift), vectors(shift, 300)) == 0


@needs_yosys
@pytest.mark.parametrize("multiplier", [*LMULS.values(), nf.RoundedProduct("e2m1:ieee")], ids=repr)
def test_vectors_in_gates(multiplier: Multiplier) -> None:
    what = of("e2m1fn", "e2m1fn", nf.Integer(5), multiplier)
    assert gates_wrong(mac(what), vectors(what, 1000)) == 0


@pytest.mark.parametrize("multiplier", [*LMULS.values(), nf.RoundedProduct("e2m1:ieee")], ids=repr)
def test_seeded_defects_are_caught(multiplier: Multiplier) -> None:
    what = of("e2m1:ieee", "e2m1:ieee", FLOAT("e3m1:ieee"), multiplier)
    found = every_vector(what)
    seeded = defects(mac(what))
    missed = [label for label, broken in seeded if label.startswith("product") and not wrong(broken, found)]
    assert missed in ([], ["product_over: constant of a"])  # whether the largest code itself becomes the largest
    assert len(seeded) >= 15


def test_other_multipliers_are_refused() -> None:
    with pytest.raises(ValueError, match="there are wires for ExactProduct, ShiftOnly"):
        of("e2m1fn", "e2m1fn", nf.Integer(8), nf.Mitchell())
    with pytest.raises(ValueError, match="a signed format with subnormals, got ue4m3"):
        of("e2m1fn", "e2m1fn", nf.Integer(8), nf.RoundedProduct("ue4m3:none", overflow="saturate"))
