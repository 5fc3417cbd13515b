"""Infinities, NaN and overflow: with specials="full" every code of operands and register is as the formats have it."""

from __future__ import annotations

from typing import Any

import pytest

import formats as nf
from formats.cast import DETERMINISTIC, OVERFLOWS, Overflow, Rounding
from hwsim.pe.circuit import Mac, mac
from hwsim.pe.meaning import every_vector, vectors
from hwsim.rtl.writer import verilog
from hwsim.rtl.yosys import CmosGates, synthesise
from tests.hwsim.pe.checks import gates_wrong, wrong
from tests.hwsim.rtl.designs import needs_yosys

FLOAT = nf.FloatChain


def of(a: str, b: str, how: nf.Accumulator, **rest: Any) -> Mac:
    return Mac(a=nf.get(a), b=nf.get(b), accumulator=how, **{"specials": "full", **rest})


PAIRS = {
    "ieee and ieee": ("e2m1:ieee", "e1m1:ieee"),
    "ieee and int": ("e2m1:ieee", "int2"),
    "nan_top and fnuz": ("e1m1:nan_top", "e2m1:fnuz"),
    "extended": ("binary4p2se", "int2"),
    "unsigned extended": ("binary4p2ue", "uint1"),
    "extended without infinity": ("binary4p2sf", "int2"),
    "no specials": ("e2m1fn", "int2"),
    "beyond the register": ("e3m0:ieee", "e2m0:none"),
}


@pytest.mark.parametrize("register", ["e3m1:ieee", "binary5p2se"])
@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_every_code(pair: tuple[str, str], register: str) -> None:
    what = of(*pair, FLOAT(register))
    found = every_vector(what)
    assert len(found.after) >= 2 ** (what.a.bits + what.b.bits + 6) * 3 // 4  # an unused code of a format aside
    assert wrong(mac(what), found) == 0


@pytest.mark.parametrize("overflow", OVERFLOWS)
@pytest.mark.parametrize("rounding", [*DETERMINISTIC, "stochastic_a"])
def test_every_overflow(rounding: Rounding, overflow: Overflow) -> None:
    how = FLOAT("e2m1:ieee", rounding=rounding, overflow=overflow, random_bits=1)
    assert wrong(mac(of("e2m1:ieee", "int2", how)), every_vector(of("e2m1:ieee", "int2", how))) == 0
    saturating = of("e2m1fn", "int2", how, specials="finite")
    assert wrong(mac(saturating), every_vector(saturating)) == 0


@pytest.mark.parametrize("name", ["e4m3fn", "float16", "bfloat16"])
@pytest.mark.parametrize("register", ["float16", "float32"])
def test_vectors_with_specials(name: str, register: str) -> None:
    what = of(name, name, FLOAT(register), lanes=2, stages=1)
    assert wrong(mac(what), vectors(what, 500), what.stages) == 0


@needs_yosys
def test_specials_in_gates_and_what_they_cost() -> None:
    full, finite = (of("e2m1:ieee", "e1m1:ieee", FLOAT("e3m1:ieee"), specials=kind) for kind in ("full", "finite"))
    assert full.name != finite.name
    assert gates_wrong(mac(full), every_vector(full)) == 0
    sizes = [
        synthesise(verilog(mac(what)), mac(what).name, CmosGates()).statistics["gate_equivalents"]
        for what in (finite, full)
    ]
    assert sizes[0] * 1.05 < sizes[1] < sizes[0] * 1.8


def test_fixed_registers_hold_no_specials() -> None:
    with pytest.raises(ValueError, match="holds no infinity and no NaN; use specials='finite' or a FloatChain"):
        of("float16", "float16", nf.Integer(80))
