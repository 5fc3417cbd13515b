"""Networks by kernels against those built gate by gate in Python: every leaf at odd inputs, every kind of PE."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import formats as nf
import hwsim as hw
from hwsim.circuit import Bits, Build, Module, cat, constant, wiring
from hwsim.circuit.network import PATTERN_WORDS, built, few_patterns, needed, network, patterns_of, seen_patterns
from hwsim.pe.catalogue import catalogue
from hwsim.primitives import PRIMITIVES, primitive
from tests.formats.cases import QUICK
from tests.hwsim.circuit.obvious import Obvious, alike, in_runs

TABLE = sum((7 * i * i + 3 * i + 1) % 32 << (5 * i) for i in range(64))
CASES: dict[str, list[dict[str, int]]] = {
    "multiplier": [
        {"m": m, "n": n, "signed_a": a, "signed_b": b}
        for m, n in ((5, 3), (1, 4), (5, 6), (7, 4), (9, 9))
        for a in (0, 1)
        for b in (0, 1)
    ],
    "compressor": [{"width": 3, "operands": 3}, {"width": 9, "operands": 6}, {"width": 5, "operands": 1}],
    "shifter": [{"width": 6, "positions": 9}, {"width": 1, "positions": 1}],
    "arithmetic_shifter": [{"width": 6, "positions": 9}, {"width": 5, "positions": 3}],
    "sticky_shifter": [{"width": 6, "positions": 9}, {"width": 5, "positions": 1}],
    "expanding_shifter": [{"width": 4, "positions": 9, "limit": 11, "signed_a": s} for s in (0, 1)],
    "multiplexer": [{"width": 3, "choices": 2}, {"width": 2, "choices": 5}],
    "lookup": [
        {"address": 4, "width": 5, "contents": TABLE},
        {"address": 1, "width": 5, "contents": TABLE % 1024},
        {"address": 6, "width": 5, "contents": TABLE},  # beyond those whose orders are tried
    ],
    "float_decoder": [{"exponent": 4}, {"exponent": 1}],
}
USUAL = [{"width": width} for width in (1, 2, 5, 11)]
LEAVES = [
    pytest.param(kind, parameters, id=primitive(kind, parameters).module_name)
    for kind in PRIMITIVES
    for parameters in CASES.get(kind, USUAL)
    if kind != "register"
]


def odd(kind: str, parameters: dict[str, int], choice: Any) -> Module:
    """The leaf at wires, inverted wires, wires twice and constants, as `choice` (a number below its argument) has it;
    behind it the leaf once more, at its own outputs among others."""
    leaf = primitive(kind, parameters)
    widths = leaf.inputs()
    m = Build("odd")
    wires = m.input("wires", sum(widths.values()))
    turned = m.leaf("turned", "inverter", width=wires.width, a=wires)
    pool = [row[place] for row in (wires, turned) for place in range(wires.width)]
    for use in range(2):
        rows: dict[str, Bits] = {}
        for port, width in widths.items():
            bits = []
            for place in range(width):
                what = choice(8)
                straight = wires[place] if place < wires.width and what > 3 else pool[choice(len(pool))]
                bits.append(constant(choice(2), 1) if what == 0 else straight)
            rows[port] = cat(*reversed(bits))
        found = m.leaf(f"use{use}", kind, **parameters, **rows)
        for port, row in (found if isinstance(found, dict) else {next(iter(leaf.outputs())): found}).items():
            m.output(f"{port}_of{use}", row)
            pool += [row[place] for place in range(row.width)]
    return m.done()


@pytest.mark.parametrize(("kind", "parameters"), LEAVES)
def test_leaves_are_built_as_gate_by_gate(kind: str, parameters: dict[str, int]) -> None:
    rng = np.random.default_rng(sum(parameters.values()) % 1000)
    for _ in range(12):
        module = odd(kind, parameters, lambda below: int(rng.integers(below)))
        Obvious(module).check(built(module))


@QUICK
@given(st.data())
def test_leaves_at_any_inputs_are_built_as_gate_by_gate(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from([kind for kind in PRIMITIVES if kind != "register"]))
    parameters = data.draw(st.sampled_from(CASES.get(kind, USUAL)))
    module = odd(kind, parameters, lambda below: data.draw(st.integers(0, below - 1)))
    Obvious(module).check(built(module))


PES = {
    "int3 x int2": hw.MacPE("int3", "int2", accumulator=nf.Integer(8)),
    "e2m1fn, two lanes": hw.MacPE("e2m1fn", "e2m1fn", accumulator=nf.Exact(max_terms=8), lanes=2),
    "e3m2fn, float16": hw.MacPE("e3m2fn", "e3m2fn", accumulator=nf.FloatChain("float16")),
    "bfloat16 x int8": hw.MacPE("bfloat16", "int8", accumulator=nf.FloatChain("float32"), stages=3),
    "specials": hw.MacPE("e5m2", "e4m3fn", accumulator=nf.FloatChain("bfloat16"), specials="full"),
    "ranks": hw.MacPE("e4m3fn", "e2m1fn", accumulator=nf.Exact(max_terms=16), stages=3),
    "codebook": hw.MacPE("int4", "nf4", accumulator=nf.Exact(max_terms=8), operand_format="e2m3fn"),
    "l-mul": hw.MacPE("e4m3fn", "e4m3fn", multiplier="lmul_formula", accumulator=nf.FloatChain("float32")),
    "aligned": hw.MacPE("e4m3fn", "e4m3fn", accumulator="hopper_fp8", lanes=32),
}
LISTED = list(catalogue())[::9]


@pytest.mark.parametrize("name", [*PES, *LISTED])
def test_modules_are_built_as_leaf_by_leaf(name: str) -> None:
    module = PES[name].module() if name in PES else catalogue()[name].module()
    Obvious(module).check(built(module))


@pytest.mark.parametrize("name", [name for name in PES if name not in ("aligned",)])
def test_nodes_are_merged_where_their_words_are_the_same(name: str) -> None:
    module = PES[name].module()
    plain, net = built(module), network(module)
    literal = np.array(alike(plain, *patterns_of(plain)))
    gates = plain.kind >= 2
    there = plain.inputs[gates]
    assert (net.inputs[gates] == literal[there >> 1] ^ (there & 1)).all()
    assert (net.outputs == literal[plain.outputs >> 1] ^ (plain.outputs & 1)).all()
    assert (net.driven == literal[plain.driven >> 1] ^ (plain.driven & 1)).all()
    if "float" in name:
        assert (literal >> 1 < np.arange(len(literal)))[gates].any()  # some were


@pytest.mark.parametrize("sources", [1, 2, 7, 40, 111])
def test_patterns_are_those_that_numpy_draws(sources: int) -> None:
    assert (seen_patterns(sources) == in_runs(sources, PATTERN_WORDS)).all()
    first, second, third = np.random.default_rng(4097).integers(0, 1 << 64, (3, sources, PATTERN_WORDS), np.uint64)
    assert (few_patterns(sources) == first & second & third).all()


def test_wirings_that_grow_or_are_forgotten_are_written_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Code moves to a wider array where it is full, and begins anew beyond MOST_CODE."""
    monkeypatch.setattr(wiring, "FIRST_CODE", 100)
    monkeypatch.setattr(wiring, "MOST_CODE", 4000)
    fresh, lengths = wiring.Wirings(), []
    monkeypatch.setattr("hwsim.circuit.network.wirings", fresh)
    for _ in range(2):
        for pe in PES.values():
            Obvious(pe.module()).check(built.__wrapped__(pe.module()))
            lengths.append(len(fresh.code))
    assert max(lengths) > 4000
    assert sorted(lengths) != lengths


def test_a_network_that_is_not_the_same_is_seen() -> None:
    """The comparison itself: an inverted input of one gate."""
    plain = built(PES["int3 x int2"].module())
    plain.inputs[-1, 0] ^= 1
    try:
        with pytest.raises(AssertionError):
            Obvious(PES["int3 x int2"].module()).check(plain)
    finally:
        plain.inputs[-1, 0] ^= 1


def test_a_clamp_of_a_wide_register_is_no_constant() -> None:
    """Registers near the ends of their range are among the patterns: else saturation would cost nothing."""
    clamped, wrapping = (
        hw.MacPE("int3", "int2", accumulator=nf.Integer(34, overflow=overflow)).module()  # type: ignore[arg-type]
        for overflow in ("saturate", "wrap")
    )
    assert needed(clamped).sum() > needed(wrapping).sum() + 34  # a multiplexer a bit
