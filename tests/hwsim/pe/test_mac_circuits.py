"""The multiply-accumulate's circuit: its integer model and its gates equal the formats' exact reference."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import formats as nf
from formats.cast import ROUNDINGS, STOCHASTIC, Rounding
from hwsim.circuit import reset, step
from hwsim.pe.circuit import Mac, mac
from hwsim.pe.meaning import every_vector, following, vectors
from hwsim.rtl.writer import verilog
from tests.formats.cases import QUICK
from tests.hwsim.pe.checks import REGISTERS, defects, gates_wrong, operands, wrong
from tests.hwsim.rtl.designs import needs_yosys

FLOAT = nf.FloatChain
TINY = nf.get("e2m1:ieee")


def of(a: str, b: str, how: nf.Accumulator, **rest: Any) -> Mac:
    return Mac(a=nf.get(a), b=nf.get(b), accumulator=how, **rest)


EXHAUSTIVE = {
    "e2m0 x int2 -> e2m3": of("e2m0:none", "int2", FLOAT("e2m3:ieee")),
    "e2m1 x uint1 -> e3m2, toward zero": of("e2m1fn", "uint1", FLOAT("e3m2:ieee", rounding="toward_zero")),
    "e2m0 nosub x ue2m0 -> e4m1": of("e2m0:none:nosub", "ue2m0:none", FLOAT("e4m1:ieee")),
    "e2m1 x e1m1 -> e2m2": of("e2m1fn", "e1m1:none", FLOAT("e2m2:ieee")),
    "int3 x int2 -> 6 bits": of("int3", "int2", nf.Integer(6)),
    "uint2 x int2 -> 5 bits, saturated": of("uint2", "int2", nf.Integer(5, "saturate")),
    "e2m1 x int2 -> exact": of("e2m1fn", "int2", nf.Exact(max_terms=2)),
    "int1 x int2, 2 lanes -> 5 bits": of("int1", "int2", nf.Integer(5), lanes=2),
    "e2m0 x uint1, 2 lanes -> e2m2": of("e2m0:none", "uint1", FLOAT("e2m2:ieee"), lanes=2),
}
SAMPLED = {
    "int8 x int8 -> 32": of("int8", "int8", nf.Integer(32)),
    "uint8 x int4 -> 20, saturated": of("uint8", "int4", nf.Integer(20, "saturate")),
    "e4m3fn x e4m3fn -> exact": of("e4m3fn", "e4m3fn", nf.Exact(max_terms=256)),
    "e4m3fn x e2m1fn -> float32": of("e4m3fn", "e2m1fn", FLOAT("float32")),
    "e5m2 x e5m2 -> float16": of("e5m2", "e5m2", FLOAT("float16")),
    "bfloat16 x bfloat16 -> float32": of("bfloat16", "bfloat16", FLOAT("float32")),
    "int8 x int2 -> 24": of("int8", "int2", nf.Integer(24)),
    "float16 x int4 -> float32": of("float16", "int4", FLOAT("float32")),
    "float16 x float16 -> float32, toward zero": of("float16", "float16", FLOAT("float32", rounding="toward_zero")),
    "nf4 x int8 -> e8m13": of("nf4", "int8", FLOAT("e8m13:ieee"), operand_format=nf.get("bfloat16")),
    "e4m3fnuz x ue5m3 -> bfloat16": of("e4m3fnuz", "ue5m3:nan_top", FLOAT("bfloat16")),
    "e8m0 x int8 -> float32": of("e8m0fnu", "int8", FLOAT("float32")),
    "4 lanes of e2m1fn -> exact": of("e2m1fn", "e2m1fn", nf.Exact(max_terms=64), lanes=4),
    "3 lanes of int4 x uint3 -> float16": of("int4", "uint3", FLOAT("float16"), lanes=3),
    "2 lanes, 3 ranks": of("e4m3fn", "int4", FLOAT("float16"), lanes=2, stages=3),
    "4 lanes, 2 ranks, saturated": of("int4", "int4", nf.Integer(10, "saturate", every=4), lanes=4, stages=2),
}
QUICK_IN_GATES = (
    "uint8 x int4 -> 20, saturated",
    "e4m3fn x e4m3fn -> exact",
    "e4m3fn x e2m1fn -> float32",
    "2 lanes, 3 ranks",
    "4 lanes, 2 ranks, saturated",
)
IN_GATES = ("e2m1 x uint1 -> e3m2, toward zero", "int3 x int2 -> 6 bits", "e2m1 x e1m1 -> e2m2")


SAMPLED_IN_GATES = [name if name in QUICK_IN_GATES else pytest.param(name, marks=pytest.mark.slow) for name in SAMPLED]


@pytest.mark.parametrize("what", EXHAUSTIVE.values(), ids=EXHAUSTIVE)
def test_every_vector_of_tiny_formats(what: Mac) -> None:
    found = every_vector(what)
    assert len(found.after) > 500
    assert wrong(mac(what), found) == 0


@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("register", ["e3m1:ieee", "binary5p2se"])
@pytest.mark.parametrize("operand", ["e2m0:none:bias4", "e1m1:none"])
def test_every_vector_of_every_rounding(rounding: Rounding, register: str, operand: str) -> None:
    """With products far below the register's last place, and ones near it; registers with and without minus zero."""
    what = of(operand, "int2", FLOAT(register, rounding=rounding, random_bits=2))
    assert wrong(mac(what), every_vector(what)) == 0


@pytest.mark.parametrize("rounding", STOCHASTIC)
@pytest.mark.parametrize(("register", "lanes", "stages"), [("float32", 1, 0), ("bfloat16", 2, 2), ("float16", 1, 1)])
def test_vectors_of_registers_that_draw(rounding: Rounding, register: str, lanes: int, stages: int) -> None:
    how = FLOAT(register, rounding=rounding, random_bits=11)
    what = of("e4m3fn", "bfloat16", how, lanes=lanes, stages=stages)
    assert wrong(mac(what), vectors(what, 400), stages) == 0


@needs_yosys
@pytest.mark.parametrize("rounding", ["to_odd", "up", "stochastic_c"])
def test_every_vector_of_roundings_in_gates(rounding: Rounding) -> None:
    what = of("e1m1:none", "int2", FLOAT("e3m1:ieee", rounding=rounding, random_bits=2))
    assert gates_wrong(mac(what), every_vector(what)) == 0


@needs_yosys
@pytest.mark.parametrize("name", IN_GATES)
def test_every_vector_in_gates(name: str) -> None:
    what = EXHAUSTIVE[name]
    assert gates_wrong(mac(what), every_vector(what)) == 0


@pytest.mark.slow
@pytest.mark.parametrize("register", REGISTERS)
def test_every_vector_of_e2m1(register: str) -> None:
    what = of("e2m1fn", "e2m1fn", FLOAT(register))
    found = every_vector(what)
    assert wrong(mac(what), found) == 0
    assert gates_wrong(mac(what), found) == 0


@pytest.mark.parametrize("what", SAMPLED.values(), ids=SAMPLED)
def test_vectors_of_named_formats(what: Mac) -> None:
    assert wrong(mac(what), vectors(what, 600), what.stages) == 0


@needs_yosys
@pytest.mark.parametrize("name", SAMPLED_IN_GATES)
def test_vectors_in_gates(name: str) -> None:
    what = SAMPLED[name]
    assert gates_wrong(mac(what), vectors(what, 300, seed=1), what.stages) == 0


@st.composite
def macs(draw: Any) -> Mac:
    """Any pair of formats, lanes and ranks, a register of any kind that suits them."""
    a, b = draw(operands()), draw(operands())
    lanes, stages = draw(st.sampled_from((1, 1, 2, 3, 4))), draw(st.sampled_from((0, 0, 1, 2, 3)))
    operand = nf.get(draw(st.sampled_from(("bfloat16", "int5:f2", "e4m3fn"))))
    rest = dict(a=a, b=b, lanes=lanes, stages=stages, operand_format=operand)
    bits = draw(st.integers(4, 40))
    registers = st.sampled_from((*REGISTERS, "binary7p3se", "float16", "bfloat16", "float32"))
    rounding = draw(st.sampled_from(("ties_to_even", *ROUNDINGS)))
    random_bits = draw(st.integers(1, 12))
    kinds: list[nf.Accumulator] = [
        nf.Integer(bits),
        nf.Integer(bits, "saturate", every=lanes),
        nf.Exact(max_terms=draw(st.integers(lanes, 50))),
        *[FLOAT(draw(registers), rounding=rounding, random_bits=random_bits)] * 3,
    ]
    return Mac(accumulator=draw(st.sampled_from(kinds)), **rest)


@QUICK
@given(macs())
def test_vectors_of_any_formats(what: Mac) -> None:
    try:
        found = vectors(what, 60)
    except OverflowError:
        assume(False)
    assert wrong(mac(what), found, what.stages) == 0


@pytest.mark.parametrize("stages", range(4))
@pytest.mark.parametrize("how", [FLOAT("e4m3:ieee"), nf.Integer(9)], ids=["float", "fixed"])
def test_a_stream_leaves_its_ranks_in_order(how: nf.Accumulator, stages: int) -> None:
    """New operands and clears every cycle: the register follows the chain, `stages` cycles behind."""
    what = of("e2m1fn", "int3", how, stages=stages)
    rng = np.random.default_rng(3)
    length, module = 60, mac(what)
    inputs = {"a": rng.integers(16, size=length), "b": rng.integers(8, size=length), "clear": rng.random(length) < 0.3}
    state = reset(module)
    seen = []
    for cycle in range(length):
        outputs, state = step(module, {name: int(values[cycle]) for name, values in inputs.items()}, state)
        seen.append(int(outputs["sum"]))
    inputs["clear"][0] = True  # whatever the ranks held at first
    total, wanted = 0, []
    for a, b, clear in zip(*(values.tolist() for values in inputs.values()), strict=True):
        found = following(what, total, [a], [b], int(clear))
        assert found is not None
        wanted.append(total := found)
    first = int(np.flatnonzero(inputs["clear"][1:])[0]) + 1
    assert seen[first + stages + 1 :] == wanted[first : length - stages - 1]


@pytest.mark.parametrize("name", ["e4m3fn x e2m1fn -> float32", "4 lanes of e2m1fn -> exact", "2 lanes, 3 ranks"])
def test_the_text_has_the_trees_leaves(name: str) -> None:
    module = mac(SAMPLED[name])
    text = verilog(module)
    uses: Counter[str] = Counter()
    bodies = {part.name: _body(text, part.name) for part in module.modules()}
    counts = {name: Counter(re.findall(r"^  (\w+) \w+ \(\.", body, re.M)) for name, body in bodies.items()}

    def tally(top: str, times: int) -> None:
        for kind, count in counts[top].items():
            if kind in counts:
                tally(kind, times * count)
            else:
                uses[kind] += times * count

    tally(module.name, 1)
    assert uses == {leaf.module_name: count for leaf, count in module.leaves().items()}
    assert sum(uses.values()) > 10


def _body(text: str, name: str) -> str:
    return text.split(f"\nmodule {name} (\n", 1)[1].split("\nendmodule\n", 1)[0]


@pytest.mark.parametrize(
    ("name", "most"),
    [("e2m1 x uint1 -> e3m2, toward zero", 15), ("e2m1 x e1m1 -> e2m2", 15), ("uint2 x int2 -> 5 bits, saturated", 2)],
)
def test_seeded_defects_are_caught(name: str, most: int) -> None:
    what = EXHAUSTIVE[name]
    found = every_vector(what)
    seeded = defects(mac(what))
    missed = [label for label, broken in seeded if not wrong(broken, found)]
    assert len(seeded) >= most
    assert missed == []


@needs_yosys
def test_seeded_defects_are_caught_in_gates() -> None:
    what = of("e2m1fn", "int2", nf.Integer(8))
    found = every_vector(what)
    seeded = defects(mac(what))
    assert len(seeded) >= 3
    assert all(gates_wrong(broken, found) for _, broken in seeded)
