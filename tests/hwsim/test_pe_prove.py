"""Proofs of PEs: pairs nobody named are proved, and a netlist with one gate wrong is not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import formats as nf
import hwsim as hw
from hwsim.pe.circuit import Mac, mac
from hwsim.pe.prove import prove
from hwsim.rtl.netlist import Cell, Netlist
from hwsim.rtl.writer import verilog
from hwsim.rtl.yosys import CmosGates, Synthesis, synthesise
from tests.hwsim.rtl.designs import needs_yosys

pytestmark = needs_yosys

PAIR = hw.MacPE(
    a=nf.Minifloat(exponent_bits=3, trailing_significand_bits=3, specials="none"),
    b="int5",
    accumulator=nf.Exact(max_terms=256),
)
SMALL = Mac(a=nf.get("e2m1fn"), b=nf.get("int3"), accumulator=nf.Integer(6))  # type: ignore[arg-type]
LANES = Mac(a=nf.get("int4"), b=nf.get("int4"), accumulator=nf.Integer(20), lanes=3)  # type: ignore[arg-type]
WIDE = Mac(a=nf.get("e8m9:ieee"), b=nf.get("e2m1fn"), accumulator=nf.FloatChain("bfloat16"))  # type: ignore[arg-type]
CHAIN = Mac(a=nf.get("e3m2fn"), b=nf.get("e2m1fn"), accumulator=nf.FloatChain("float16"))  # type: ignore[arg-type]


def made(what: Mac) -> Synthesis:
    module = mac(what)
    return synthesise(verilog(module), module.name, CmosGates())


def test_a_pair_nobody_priced_is_proved_by_induction() -> None:
    proof = prove(PAIR.wiring)
    assert (proof.status, proof.mismatches, proof.counterexample) == ("proved", 0, None)
    assert proof.vectors == 128 * 32 + 128  # every product in its place, and its sign
    assert proof.digest == prove(PAIR.wiring).digest


def test_small_ones_are_proved_by_all_their_steps() -> None:
    proof = prove(SMALL)
    assert proof.status == "proved"
    assert proof.vectors == 2 ** (4 + 3 + 6 + 1)


def test_lanes_are_proved_in_parts() -> None:
    proof = prove(LANES)
    assert (proof.status, proof.vectors) == ("proved", 3 * 2**8)
    assert all(f"product{lane}_multiply_out" in proof.method for lane in range(3))


@pytest.mark.parametrize("stages", [0, 1, 3])
def test_float_registers_are_tested(stages: int) -> None:
    proof = prove(replace(CHAIN, stages=stages), count=600)
    assert (proof.status, proof.vectors) == ("tested", 600)


@pytest.mark.parametrize(
    "pe",
    [
        hw.MacPE("tf32", "tf32"),
        hw.MacPE("float32", "int4"),
        pytest.param(hw.MacPE("uint13", "float64"), marks=pytest.mark.slow),
        hw.MacPE("nf4", "int4", operand_format="tf32", stages=2),
        hw.MacPE("tf32", "e2m1fn", specials="full"),
        hw.MacPE("tf32", "e4m3fn", accumulator=nf.Exact(max_terms=16)),
    ],
    ids=lambda pe: pe.name,
)
def test_operands_too_wide_to_list_are_tested(pe: hw.MacPE) -> None:
    proof = prove(pe.wiring, count=300)
    assert (proof.status, proof.vectors) == ("tested", 300)
    assert proof.digest == prove(pe.wiring, count=300).digest


def test_lanes_whose_signs_are_one_operands_are_proved() -> None:
    """The register holds what one operand alone decides: rows read b, and the products' lowest places nothing."""
    proof = prove(hw.MacPE("int4", "nf4", accumulator=nf.Integer(10), lanes=2).wiring)
    assert (proof.status, proof.vectors) == ("proved", 2 * 2 * 2**8)
    nothing = prove(hw.MacPE("int8", "log_sqrt2_8", accumulator=nf.Integer(15)).wiring)
    assert (nothing.status, nothing.mismatches) == ("proved", 0)


SWAP = {"$_AND_": "$_OR_", "$_NAND_": "$_NOR_", "$_XOR_": "$_XNOR_", "$_XNOR_": "$_XOR_", "$_NOR_": "$_NAND_",
        "$_OR_": "$_AND_", "$_NOT_": "$_BUF_", "$_AOI3_": "$_OAI3_", "$_OAI3_": "$_AOI3_"}  # fmt: skip


def wrong(synthesis: Synthesis, seed: int) -> Synthesis:
    """One gate of the netlist changed to another of the same pins."""
    netlist = synthesis.netlist
    places = [i for i, cell in enumerate(netlist.cells) if cell.kind in SWAP]
    place = int(np.random.default_rng(seed).choice(places))
    old = netlist.cells[place]
    cells = (*netlist.cells[:place], Cell(old.name, SWAP[old.kind], old.pins), *netlist.cells[place + 1 :])
    return replace(synthesis, netlist=Netlist(netlist.name, netlist.inputs, netlist.outputs, cells))


@pytest.mark.parametrize(
    "what", [PAIR.wiring, SMALL, LANES, WIDE, CHAIN, replace(CHAIN, stages=2)], ids=lambda w: w.name
)
@pytest.mark.parametrize("seed", range(3))
def test_one_wrong_gate_is_found(what: Mac, seed: int) -> None:
    proof = prove(what, wrong(made(what), seed), count=1000)
    assert proof.status == "refuted"
    assert proof.mismatches > 0


@pytest.mark.parametrize("seed", range(3))
def test_pairs_drawn_at_random_are_proved(seed: int) -> None:
    rng = np.random.default_rng([seed, 20261122])
    sides = []
    for _ in range(2):
        if rng.random() < 0.4:
            sides.append(nf.FixedPoint(bits=int(rng.integers(2, 8)), signed=bool(rng.integers(2))))
        else:
            exponent, trailing = int(rng.integers(1, 5)), int(rng.integers(0, 4))
            sides.append(nf.Minifloat(exponent_bits=exponent, trailing_significand_bits=trailing, specials="none"))
    pe = hw.MacPE(a=sides[0], b=sides[1], accumulator=nf.Exact(max_terms=int(rng.integers(2, 300))))
    assert prove(pe.wiring).status == "proved"


def test_approximate_products_and_matrix_units_are_what_they_mean() -> None:
    e4m3 = nf.get("e4m3fn")
    lmul = Mac(a=e4m3, b=e4m3, accumulator=nf.Exact(max_terms=16), multiplier=nf.LMul("integer_add"))  # type: ignore[arg-type]
    assert prove(lmul, count=300).status == "proved"
    unit = Mac(a=e4m3, b=e4m3, accumulator=nf.Aligned(1, 13, "float16"))  # type: ignore[arg-type]
    assert prove(unit, count=300).status == "tested"
    drawn = replace(CHAIN, accumulator=nf.FloatChain("float16", "stochastic_a", random_bits=4), stages=1)
    assert prove(drawn, count=300).status == "tested"
