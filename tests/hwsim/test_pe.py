"""MacPE: the datapath follows from the formats; synthesised designs are met exactly, others have an interval."""

from __future__ import annotations

import contextlib
import math
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import formats as nf
import hwsim as hw
from hwsim import price
from hwsim.circuit.counts import counted
from hwsim.circuit.network import leaf_paths
from hwsim.pe.edge import edge
from hwsim.technology.coefficients import GATE_TERMS

TECHNOLOGIES = hw.technologies()

# The PEs that another RTL of these functions was synthesised for, and the row of that measurement.
FIRST_MEASURED: dict[str, hw.MacPE] = {
    "mac_i8i8": hw.MacPE("int8", "int8", accumulator=nf.Integer(32)),
    "mac_i8i8a24": hw.MacPE("int8", "int8", accumulator=nf.Integer(24)),
    "mac_i4i8": hw.MacPE("int4", "int8", accumulator=nf.Integer(32)),
    "mac_i2i8": hw.MacPE("int2", "int8", accumulator=nf.Integer(32)),
    "mac_i4i4": hw.MacPE("int4", "int4", accumulator=nf.Integer(32)),
    "mac_i4i4a16": hw.MacPE("int4", "int4", accumulator=nf.Integer(16)),
    "dot4_i8i8": hw.MacPE("int8", "int8", accumulator=nf.Integer(32), lanes=4),
    "dot4_i8i4": hw.MacPE("int8", "int4", accumulator=nf.Integer(32), lanes=4),
    "dot4_i8i2": hw.MacPE("int8", "int2", accumulator=nf.Integer(32), lanes=4),
    "dot4_i4i4": hw.MacPE("int4", "int4", accumulator=nf.Integer(32), lanes=4),
    "mac_e4m3_fp32": hw.MacPE("e4m3fn", "e4m3fn", accumulator=nf.FloatChain("float32")),
}


@pytest.mark.parametrize("name", TECHNOLOGIES)
@pytest.mark.parametrize("row", FIRST_MEASURED)
def test_a_synthesised_pe_costs_what_the_table_says(row: str, name: str) -> None:
    pe = FIRST_MEASURED[row]
    held = hw.get_technology(name).rows[pe.module().name]
    for cost, figure in (
        (pe.area_um2(name), held.area_um2),
        (pe.delay_ns(name), held.delay_ps * 1e-3),
        (pe.energy_pj(name), held.energy_fj["normal"] * 1e-3),
        (pe.energy_pj(name, "weight_held"), held.energy_fj["weight_held"] * 1e-3),
        (pe.leakage_mw(name), held.leakage_nw * 1e-6),
    ):
        assert cost.value == figure
        assert cost.status == held.status
        assert cost.node == name
    assert pe.area_um2(name).low == pe.area_um2(name).high
    assert pe.energy_pj(name).high - pe.energy_pj(name).value == pytest.approx(2e-3 * held.energy_error_fj["normal"])


FORMATS = (
    *("int1", "int2", "int3", "uint4", "int8", "uint8", "int16", "e2m1fn", "e3m2fn", "e4m3fn", "e5m2", "e4m3fnuz"),
    *("ue4m3", "e8m0fnu", "bfloat16", "float16", "float32", "nf4"),
)


@pytest.mark.parametrize("a", FORMATS)
def test_any_pair_of_scalar_formats_has_a_price_with_an_interval_and_a_status(a: str) -> None:
    for b in FORMATS:
        pe = hw.MacPE(a, b)
        for name in TECHNOLOGIES:
            quantities = [pe.area_um2(name), pe.delay_ns(name), pe.leakage_mw(name)]
            quantities += [pe.energy_pj(name)] if b in ("int4", "e4m3fn", a) else []
            for cost in quantities:
                assert 0 < cost.low <= cost.value <= cost.high
                assert (cost.low < cost.high) or cost.status != "estimated"
                assert cost.node == name


def test_what_was_not_synthesised_is_estimated_and_says_how_well() -> None:
    pe = hw.MacPE("int8", "int8", accumulator=nf.Integer(28))
    found = pe.area_um2("ihp130")
    assert found.status == "estimated"
    assert "nine of ten PEs within" in found.source
    low, high = (hw.MacPE("int8", "int8", accumulator=nf.Integer(n)).area_um2("ihp130").value for n in (24, 32))
    assert low < found.value < high * 1.05


def minifloat(exponent: int, trailing: int) -> nf.Minifloat:
    return nf.Minifloat(exponent_bits=exponent, trailing_significand_bits=trailing, specials="none")


def first_fall(pes: list[hw.MacPE], quantity: str, name: str, slack: float = 0.0) -> tuple[str, str] | None:
    """Names of two neighbours of which the later one is cheaper by more than `slack`, or None."""
    values = [(pe.name, getattr(pe, quantity)(name).value) for pe in pes]
    falls = [(x, y) for (x, first), (y, second) in pairwise(values) if second < first * (1 - slack)]
    return falls[0] if falls else None


INTEGER = nf.Integer(32)
FAMILIES: dict[str, list[hw.MacPE]] = {
    "int8 x int1..8": [hw.MacPE("int8", f"int{bits}", accumulator=INTEGER) for bits in range(1, 9)],
    "int1..8 both": [hw.MacPE(f"int{bits}", f"int{bits}", accumulator=INTEGER) for bits in range(1, 9)],
    "int4 x int1..8, 16 bits": [hw.MacPE("int4", f"int{b}", accumulator=nf.Integer(16)) for b in range(1, 9)],
    "int8, register": [hw.MacPE("int8", "int8", accumulator=nf.Integer(bits)) for bits in range(16, 65, 4)],
    "int8, lanes": [hw.MacPE("int8", "int8", lanes=lanes) for lanes in (1, 2, 4, 8, 16)],
    "e2m1fn, register": [hw.MacPE("e2m1fn", "e2m1fn", accumulator=nf.Integer(bits)) for bits in range(14, 65, 5)],
    "e4m0..5 exact": [hw.MacPE(*[minifloat(4, bits)] * 2, accumulator=nf.Exact(1024)) for bits in range(6)],
    "e1..5m2 exact": [hw.MacPE(*[minifloat(bits, 2)] * 2, accumulator=nf.Exact(1024)) for bits in range(1, 6)],
    "e1..5m3 exact": [hw.MacPE(*[minifloat(bits, 3)] * 2, accumulator=nf.Exact(1024)) for bits in range(1, 6)],
    "e4m3fn x e1..5m1": [hw.MacPE("e4m3fn", minifloat(bits, 1), accumulator=nf.Exact(64)) for bits in range(1, 6)],
}


@pytest.mark.parametrize("name", TECHNOLOGIES)
@pytest.mark.parametrize("family", FAMILIES)
def test_more_bits_are_hardly_ever_cheaper(family: str, name: str) -> None:
    """Recoding starts to pay at four bits, and synthesised PEs stand beside estimated ones: within their interval."""
    assert first_fall(FAMILIES[family], "area_um2", name, slack=0.08) is None


def test_the_monotone_check_sees_a_fall() -> None:
    assert first_fall(FAMILIES["int1..8 both"][::-1], "area_um2", "gt2n") is not None


@pytest.mark.parametrize(
    ("a", "b", "accumulator"),
    [
        ("int8", "int8", nf.Integer(32)),
        ("int12", "int12", nf.Integer(38)),  # 16384 products of up to 2**22, and a sign
        ("uint8", "uint8", nf.Integer(32)),
        ("e2m1fn", "e2m1fn", nf.Exact(16384)),
        ("e4m3fn", "e4m3fn", nf.Exact(16384)),
        ("int8", "e4m3fn", nf.Exact(16384)),
        ("e5m2", "e5m2", nf.Exact(16384)),  # 79 bits
        ("e6m1:none", "e5m2", nf.FloatChain("float32")),  # 108 bits
        ("bfloat16", "bfloat16", nf.FloatChain("float32")),
        ("float16", "int8", nf.FloatChain("float32")),
        ("bfloat16", "nf4", nf.FloatChain("float32")),
        ("mxfp4", "mxfp4", nf.Exact(32)),
        ("mxfp8_e4m3", "mxfp4", nf.Exact(32)),
        ("mxfp8_e5m2", "mxfp8_e5m2", nf.Exact(32)),
        ("nvfp4", "nvfp4", nf.Exact(16)),
        ("nvfp4", "mxfp4", nf.Exact(16)),
        ("int8", "int4:g128", nf.Exact(128)),
        ("int8:token", "int8:channel", nf.Integer(32)),
        ("bfloat16", "nf4:b64", nf.FloatChain("float32")),
    ],
)
def test_the_default_accumulator_is_the_documented_one(a: str, b: str, accumulator: nf.Accumulator) -> None:
    assert hw.MacPE(a, b).accumulator == accumulator


@pytest.mark.parametrize("name", TECHNOLOGIES)
def test_the_exact_register_of_e5m2_takes_less_energy_than_float32(name: str) -> None:
    fixed, chain = hw.MacPE("e5m2", "e5m2"), hw.MacPE("e5m2", "e5m2", accumulator=nf.FloatChain("float32"))
    assert fixed.accumulator_bits == 79
    assert fixed.energy_pj(name).high < chain.energy_pj(name).low


@pytest.mark.parametrize(
    ("a", "b", "every", "per_result"),
    [
        ("int8", "int8", None, False),
        ("mxfp4", "mxfp4", 32, False),
        ("nvfp4", "nvfp4", 16, True),  # the tensor's float32 scale
        ("int8", "int4:g128", 128, False),
        ("int8:token", "int4:g128", 128, True),
        ("int8:token", "int8:channel", None, True),
        ("int8", "uint4:g128:asym", 128, False),
        ("bfloat16", "nf4:b64", 64, False),
        ("e4m3fn:g48", "e4m3fn:g32", 16, False),
        ("e4m3fn:t128x128", "e4m3fn", 128, False),
    ],
)
def test_scales_become_edge_units(a: str, b: str, every: int | None, per_result: bool) -> None:
    pe = hw.MacPE(a, b)
    assert pe.edge_every == every
    assert (pe.block_edge is not None) == (every is not None)
    assert (pe.result_edge is not None) == per_result
    assert (pe.edge_accumulator is not None) == (every is not None)


def test_power_of_two_scales_need_no_multiplier_and_others_do() -> None:
    units = [hw.MacPE(name, name).block_edge for name in ("mxfp4", "nvfp4")]
    modules = [edge(unit) for unit in units if unit is not None]
    scales, products = (dict(zip(GATE_TERMS, price.gate_terms(module), strict=True)) for module in modules)
    assert scales["tree"] == 0, "no tree of full adders: nothing is multiplied"
    assert products["tree"] > 0
    assert price.area_um2(modules[0], "ihp130").value < price.area_um2(modules[1], "ihp130").value


def test_a_zero_point_adds_the_other_sides_row_sum() -> None:
    plain, asymmetric = (hw.MacPE("int8", name).block_edge for name in ("int4:g128", "uint4:g128:asym"))
    assert plain is not None
    assert asymmetric is not None
    assert plain.zero_points == ()
    assert [(zero.side, zero.other.element.name, zero.other.terms) for zero in asymmetric.zero_points] == [
        ("b", "int8", 128)
    ]
    extra = set(leaf_paths(edge(asymmetric))) - set(leaf_paths(edge(plain)))
    assert {"zero_product_b_multiply", "less_b"} <= extra
    assert counted(edge(asymmetric)).flip_flops == counted(edge(plain)).flip_flops, "the sum is made once for a row"
    assert set(hw.MacPE("int8", "uint4:g128:asym").row_sums) == {"a"}
    assert set(hw.MacPE("uint8:g32:asym", "uint4:g128:asym").row_sums) == {"a", "b"}
    assert hw.MacPE("int8", "int4:g128").row_sums == {}


def test_a_codebook_is_a_lookup_and_a_mac_of_its_operand_format() -> None:
    pe, plain = hw.MacPE("bfloat16", "nf4"), hw.MacPE("bfloat16", "bfloat16")
    assert set(leaf_paths(pe.module())) - set(leaf_paths(plain.module())) == {"lookup_b"}
    # What its table never gives, the rest need not hold: the looked-up PE can be the smaller one.
    assert pe.gate_equivalents().value != plain.gate_equivalents().value


PARTED = [FIRST_MEASURED["mac_i8i8"], hw.MacPE("bfloat16", "nf4", stages=2, lanes=3)]


@pytest.mark.parametrize("pe", PARTED, ids=str)
def test_a_breakdown_sums_to_the_whole(pe: hw.MacPE) -> None:
    for quantity, whole in (("area", pe.area_um2("ihp130")), ("energy", pe.energy_pj("ihp130"))):
        parts = pe.breakdown("ihp130", quantity)  # type: ignore[arg-type]
        assert sums_to(parts, whole.value)
        assert not sums_to(dict(list(parts.items())[1:]), whole.value), "the checker must see a missing leaf"
        assert tuple(parts) == leaf_paths(pe.module())
        assert all(cost.status == "estimated" for cost in parts.values())
    with pytest.raises(ValueError, match="'delay'; delays do not add over leaves"):
        pe.breakdown("ihp130", "delay")  # type: ignore[arg-type]


def sums_to(parts: dict[str, hw.Cost], value: float) -> bool:
    return math.isclose(math.fsum(part.value for part in parts.values()), value, rel_tol=1e-12)


def test_stages_cut_the_delay_before_the_loop_and_cost_registers() -> None:
    pes = [hw.MacPE("e4m3fn", "e4m3fn", accumulator=nf.Integer(46), stages=stages) for stages in range(4)]
    delays = [pe.delay_ns("ihp130").value for pe in pes]
    areas = [pe.area_um2("ihp130").value for pe in pes]
    assert delays == sorted(delays, reverse=True)
    assert delays[1] < delays[0]
    assert areas == sorted(set(areas))


def test_a_pe_is_pipelined_to_a_clock() -> None:
    pe = hw.MacPE("e4m3fn", "e4m3fn", accumulator=nf.Integer(46))
    alone = pe.delay_ns("ihp130").value
    assert pe.pipelined("ihp130", alone + 1) == pe
    made = pe.pipelined("ihp130", 0.9 * alone)
    assert made.stages >= 1
    assert made.delay_ns("ihp130").value <= 0.9 * alone
    with pytest.raises(ValueError, match=r"cannot run at 0.5 ns in ihp130; with up to 3 stages it takes .* ns"):
        pe.pipelined("ihp130", 0.5)


MATRICES = np.random.default_rng(1).standard_normal((2, 96, 96))


def test_energy_of_a_users_own_matrices() -> None:
    pe = hw.MacPE("int8", "int8", accumulator=nf.Integer(30))
    named, uniform = (pe.energy_pj("gt2n", name) for name in ("normal", "uniform"))  # type: ignore[arg-type]
    own = pe.energy_pj("gt2n", (MATRICES[0] * 127 / 3.5, MATRICES[1] * 127 / 3.5))
    assert own.value == pytest.approx(named.value, rel=0.06), "the same distribution, other draws"
    quiet = pe.energy_pj("gt2n", (MATRICES[0], MATRICES[1]))
    assert quiet.value < 0.7 * own.value, "small numbers leave high bits still"
    zero = pe.energy_pj("gt2n", (np.zeros((4, 50)), MATRICES[1][:50]))
    assert zero.value < quiet.value < uniform.value
    lanes = hw.MacPE("e4m3fn", "e2m1fn", lanes=4).energy_pj("gt2n", (MATRICES[0], MATRICES[1]))
    assert lanes.value > 0


def test_scales_of_the_formats_are_applied_to_a_users_matrices() -> None:
    """Elements under scales do not depend on the tensors' size."""
    a, b = np.random.default_rng(2).standard_normal((2, 128, 128))
    for names in (("int8:token", "int4:g128"), ("mxfp4", "mxfp4"), ("nvfp4", "nvfp4"), ("bfloat16", "nf4:b64")):
        pe = hw.MacPE(*names)
        small, large = (pe.energy_pj("gt2n", (a, scale * b)).value for scale in (1.0, 2.0**6))
        assert small == pytest.approx(large, rel=0.02)
    assert (
        hw.MacPE("int8:token", "int8:channel").energy_pj("gt2n", (a, b)).value
        > 1.5 * hw.MacPE("int8", "int8").energy_pj("gt2n", (a, b)).value
    ), "without a scale the same numbers are -2 .. 2"


def test_short_matrices_give_new_sums_and_every_term_counts() -> None:
    pe = hw.MacPE("int8", "int8", accumulator=nf.Integer(30), lanes=4)
    idle = pe.energy_pj("gt2n", (np.zeros((8, 7)), np.zeros((7, 8)))).value
    a, b = 30 * np.random.default_rng(3).standard_normal((2, 64, 64))
    for k in (1, 3, 4, 7):
        assert pe.energy_pj("gt2n", (a[:, :k], b[:k])).value > 1.3 * idle, k
    tail = np.zeros((64, 7))
    tail[:, 4:] = a[:, :3]
    assert pe.energy_pj("gt2n", (tail, b[:7])).value > 1.2 * idle


def test_tensors_are_matrices_too() -> None:
    torch = pytest.importorskip("torch", reason="needs torch")
    a, b = torch.randn(4, 64, dtype=torch.bfloat16), torch.randn(64, 4, requires_grad=True)
    assert hw.MacPE("e4m3fn", "e4m3fn").energy_pj("gt2n", (a, b)).value > 0


def test_a_series_that_is_handed_out_again_cannot_be_written_to() -> None:
    from hwsim.pe.series import series

    with pytest.raises(ValueError, match="read-only"):
        series(hw.MacPE("int8", "int8").wiring, "normal")["a"][0] = 1


@pytest.mark.parametrize(
    ("period", "error", "message"),
    [("1", TypeError, "period_ns must be a number of ns"), (0, ValueError, "period_ns must be above 0, got 0"),
     (float("nan"), ValueError, "must be above 0, got nan"), (1e-3, ValueError, "cannot run at 0.001 ns in gt2n")],
)  # fmt: skip
def test_an_impossible_period_is_refused(period: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        hw.MacPE("int8", "int8").pipelined("gt2n", period)


def test_a_breakdown_under_own_tensors_is_of_the_energy_under_them() -> None:
    rng = np.random.default_rng(0)
    own = rng.standard_normal((4, 64)) * 100, rng.standard_normal((64, 4))
    pe = hw.MacPE("mxfp4", "mxfp4")
    parts, whole = pe.breakdown("gt2n", "energy", own), pe.energy_pj("gt2n", own)
    assert sum(cost.value for cost in parts.values()) == pytest.approx(whole.value)
    elements = hw.MacPE("e2m1fn", "e2m1fn", accumulator=pe.accumulator)
    assert elements.module() == pe.module()
    without = elements.breakdown("gt2n", "energy", own)
    shares = [{path: part.value / sum(p.value for p in held.values()) for path, part in held.items()}
              for held in (parts, without)]  # fmt: skip
    assert shares[0] != pytest.approx(shares[1], rel=0.01), "scales decide which codes the leaves see"


def test_tensors_that_are_no_real_numbers_are_refused() -> None:
    torch = pytest.importorskip("torch")
    pe, b = hw.MacPE("int8", "int8"), torch.ones(4, 2)
    with pytest.raises(ValueError, match=r"got a tensor of dtype torch\.complex64"):
        pe.energy_pj("gt2n", (torch.ones(3, 4, dtype=torch.complex64), b))
    with pytest.raises(ValueError, match=r"got a tensor of no values \(device meta\)"):
        pe.energy_pj("gt2n", (torch.ones(3, 4, device="meta"), b))


def test_tensors_that_scales_cannot_be_found_for_are_refused() -> None:
    with pytest.raises(ValueError, match=r"under scales must be float32 numbers, got one of size 1e\+300"):
        hw.MacPE("mxfp4", "mxfp4").energy_pj("gt2n", (np.full((2, 32), 1e300), np.ones((32, 2))))


def test_two_pes_are_compared_in_pairs() -> None:
    int8, int4 = hw.MacPE("int8", "int8"), hw.MacPE("int4", "int4")
    found = hw.compare_pes(int4, int8)
    assert found.verdict == "better"
    assert set(found.ratios) == set(TECHNOLOGIES)
    for name in TECHNOLOGIES:
        rows = hw.get_technology(name).rows
        ratio = rows["mac_int4_int4_fixed32"].area_um2 / rows["mac_int8_int8_fixed32"].area_um2
        assert found.ratios[name].value == pytest.approx(ratio)
    assert hw.compare_pes(int8, int4).verdict == "worse"
    near = hw.MacPE("int8", "int8", accumulator=nf.Integer(31))
    assert hw.compare_pes(near, int8, "energy").verdict == "undecided"
    inverse = (
        hw.compare_pes(int8, near, "energy", tech="gt2n").ratio,
        hw.compare_pes(near, int8, "energy", tech="gt2n").ratio,
    )
    assert inverse[0].low == pytest.approx(1 / inverse[1].high)
    same = hw.compare_pes(*(hw.MacPE(name, "int7") for name in ("int7:token", "int7:symmetric")))
    assert (same.ratio.low, same.ratio.high) == (1.0, 1.0), "scales do not change the cell"
    lanes = hw.MacPE("int8", "int8", accumulator=nf.Integer(32), lanes=4)
    assert hw.compare_pes(lanes, int8).verdict == "better", "a tree shares its register"
    with pytest.raises(ValueError, match="quantity must be one of area, energy, delay, got 'power'"):
        hw.compare_pes(int8, int4, "power")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="takes two MacPEs, got 'int8'"):
        hw.compare_pes(int8, "int8")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="tech is empty"):
        hw.compare_pes(int8, int4, tech=[])
    with pytest.raises(TypeError, match="tech must be a technology or a list of some, got 5"):
        hw.compare_pes(int8, int4, tech=5)  # type: ignore[arg-type]
    once, twice = (hw.compare_pes(int8, int4, tech=["gt2n"] * times).ratio for times in (1, 2))
    assert once == twice, "one library, however often"


def test_block_scales_are_in_a_comparison_by_their_share_of_a_block() -> None:
    mx, plain = hw.MacPE("mxfp4", "mxfp4"), hw.MacPE("e2m1fn", "e2m1fn", accumulator=nf.Exact(max_terms=32))
    assert mx.module() == plain.module()
    unit = mx.block_edge
    assert unit is not None
    cells = hw.compare_pes(mx, plain, edges=False).ratio
    assert (cells.low, cells.high) == (1.0, 1.0)
    for name in TECHNOLOGIES:
        found = hw.compare_pes(mx, plain, tech=name)
        cell, share = mx.area_um2(name).value, price.area_um2(edge(unit), name).value / 32
        assert found.ratios[name].value == pytest.approx((cell + share) / cell)
        assert {side: cost.value for side, cost in found.parts[name][0].items()} == pytest.approx(
            {"cell": cell, "block scales": share}
        )
        assert set(found.parts[name][1]) == {"cell"}
    for quantity in ("area", "energy"):
        found = hw.compare_pes(mx, plain, quantity)  # type: ignore[arg-type]
        assert found.verdict == "worse", quantity
        assert "and 0% of it" in str(found)
    assert hw.compare_pes(mx, plain, "delay").ratio.value == 1.0, "units are pipelined"
    same = hw.compare_pes(mx, hw.MacPE("mxfp4", "mxfp4")).ratio
    assert (same.low, same.high) == (1.0, 1.0)
    # Four lanes take a block in a quarter of the cycles: a unit is shared by a quarter of the PEs, with as many MACs.
    lanes = hw.compare_pes(hw.MacPE("mxfp4", "mxfp4", lanes=4), mx, tech="gt2n").parts["gt2n"]
    assert lanes[0]["block scales"].value == pytest.approx(lanes[1]["block scales"].value, rel=0.05)


def test_a_cell_on_both_sides_has_one_error() -> None:
    """What differs is the edge alone: as uncertain as the edges are, and not as cells are."""
    mx, power = hw.MacPE("mxfp4", "mxfp4"), hw.MacPE("e2m1fn:g32", "e2m1fn:g32")
    assert mx.module() == power.module()
    found = hw.compare_pes(mx, power, tech="ihp130")
    ours, theirs = found.parts["ihp130"]
    assert ours["cell"] == theirs["cell"]
    for cell in (ours["cell"].low, ours["cell"].value, ours["cell"].high):
        for x in (ours["block scales"].low, ours["block scales"].high):
            for y in (theirs["block scales"].low, theirs["block scales"].high):
                assert found.ratios["ihp130"].low <= (cell + x) / (cell + y) <= found.ratios["ihp130"].high


def test_the_interval_of_a_comparison_with_edges_holds_the_ends_of_all_parts() -> None:
    """Of synthesised cells only the edges are uncertain, and all of that is in the interval."""
    nvfp4, plain = hw.MacPE("nvfp4", "nvfp4"), hw.MacPE("int8", "int8")
    found = hw.compare_pes(nvfp4, plain, tech="ihp130")
    ours, theirs = found.parts["ihp130"]
    low = sum(cost.low for cost in ours.values()) / sum(cost.high for cost in theirs.values())
    high = sum(cost.high for cost in ours.values()) / sum(cost.low for cost in theirs.values())
    ratio = found.ratios["ihp130"]
    assert ratio.low <= low * (1 + 1e-12)
    assert ratio.high >= high * (1 - 1e-12)
    assert ratio.low < ratio.value < ratio.high


@pytest.mark.parametrize(
    ("operands", "message"),
    [
        ("gaussian", "operands must be one of uniform, normal, student_t, weight_held, or a pair of matrices"),
        ((MATRICES[0], MATRICES[1][:9]), r"must have shapes \(m, k\) and \(k, n\), got \(96, 96\) and \(9, 96\)"),
        ((MATRICES[0] * np.nan, MATRICES[1]), "operands must be finite"),
        (MATRICES, "operands are a name or a pair"),
        (([[1], [1, 2]], np.ones((1, 2))), "operands must be matrices: .*inhomogeneous"),
    ],
)
def test_operands_that_are_none_are_refused(operands: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        hw.MacPE("int8", "int8").energy_pj("ihp130", operands)


def test_other_multipliers_and_registers_have_prices() -> None:
    exact = hw.MacPE("e4m3fn", "e4m3fn", accumulator=nf.FloatChain("float32"))
    lmul = hw.MacPE("e4m3fn", "e4m3fn", accumulator=nf.FloatChain("float32"), multiplier="lmul_formula")
    full = hw.MacPE("e4m3fn", "e4m3fn", accumulator=nf.FloatChain("float32"), specials="full")
    unit = hw.MacPE("e4m3fn", "e4m3fn", accumulator="hopper_fp8")
    assert lmul.area_um2("gt2n").value < exact.area_um2("gt2n").value
    assert price.estimated_gates(exact.module()).value < price.estimated_gates(full.module()).value
    assert unit.lanes == 32
    assert unit.area_um2("gt2n").value > 5 * exact.area_um2("gt2n").value
    assert lmul.name == "e4m3fn x e4m3fn, lmul formula, float 32"
    assert full.name.endswith("specials")
    for pe in (lmul, unit):
        with pytest.raises((TypeError, ValueError), match="simulate: pe"):
            hw.simulate(hw.Gemm(m=2, k=4, n=2), hw.SystolicArray(pe, 2, 2), np.ones((2, 4)), np.ones((4, 2)))


def test_formats_that_differ_only_in_meaning_share_their_hardware() -> None:
    pes = [
        hw.MacPE(*[nf.Minifloat(exponent_bits=4, trailing_significand_bits=3, specials="fn", bias=bias)] * 2)
        for bias in (7, 11)
    ]
    assert pes[0].gate_equivalents().value == pytest.approx(pes[1].gate_equivalents().value, rel=0.1)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("mx9", "its scales must be integers or minifloats, not halver"),
        ("hif4", "its scales are scaled more than once, and units for two levels are all there are"),
        ("nvfp4_gguf", "its scales must be integers or minifloats, not ue4m3_ggml"),
        ("nf4_double", "its scales must be integers or minifloats, not de8"),
        ("zeroquant_fp4_m2", "its scales must be integers or minifloats, not halvings4"),
        ("bitmod4", "the elements of bitmod4 are not of one scalar format; use one of its parts: bitmod_fp4_er_pos"),
        ("bcq2", "no element reads a sum of encodings at once; use a PE for each of its terms"),
        ("posit8es1", "a multiplier takes integers and minifloats, and .*; posit8es1 is a Posit"),
    ],
)
def test_what_cannot_be_an_operand_is_named(name: str, why: str) -> None:
    for operands, side in (((name, "int8"), "a"), (("int8", name), "b")):
        with pytest.raises((TypeError, ValueError), match=f"MacPE: {name} cannot be operand {side}: {why}"):
            hw.MacPE(*operands)


def test_most_names_are_operands() -> None:
    """As many as the README says."""
    taken = 0
    names = [name for name in nf.names() if getattr(nf.entry(name), "tier", "") != "user"]  # other tests register some
    for name in names:
        with contextlib.suppress(TypeError, ValueError):
            taken += hw.MacPE(name, "int8").lanes
    text = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    assert f"{taken} of the {len(names)} names of `nf.names()`" in " ".join(text.split())


def test_a_pe_supports_formats_whose_values_it_has() -> None:
    pe = hw.MacPE("int8", "int8")
    assert pe.supports("int6", "int8")
    assert pe.supports("uint7", "int4")
    assert not pe.supports("uint8", "int8")
    assert not pe.supports("int8", "e4m3fn")
    mixed = hw.MacPE("e4m3fn", "e2m1fn")
    assert mixed.supports("e2m1fn", "e4m3fn"), "sides may be swapped"
    assert not mixed.supports("e4m3fn", "e4m3fn")
    assert hw.MacPE("e4m3fn", "e4m3fn").supports("e2m3fn", "e3m2fn")
    assert hw.MacPE("mxfp8_e4m3", "mxfp8_e4m3").supports("mxfp4", "mxfp6_e2m3")
    assert not hw.MacPE("mxfp8_e4m3", "mxfp8_e4m3").supports("nvfp4", "mxfp4")


def test_a_pe_is_hashable_and_rebuilt_by_its_repr() -> None:
    names: dict[str, Any] = {**vars(nf), "MacPE": hw.MacPE}
    for pe in (hw.MacPE("int8", "int8"), hw.MacPE("mxfp4", "nf4:b32", lanes=2, stages=1), hw.MacPE("bf16", "nvfp4")):
        assert eval(repr(pe), names) == pe
        assert hash(eval(repr(pe), names)) == hash(pe)
    assert hw.MacPE("int8", "int8") == hw.MacPE(nf.get("int8"), nf.get("int8"), accumulator=nf.Integer(32))
    assert hw.MacPE("e4m3fn", "e2m1fn", lanes=4, stages=1).name == "e4m3fn x e2m1fn, fixed 37, 4 lanes, 1 stages"


def test_pes_of_other_wires_have_other_names() -> None:
    chain, rounded = nf.FloatChain, nf.RoundedProduct
    registers = [chain("float32"), chain("float32", rounding="toward_zero"), chain("float16"), chain("bfloat16")]
    registers += [chain("float32", rounding="stochastic_a", random_bits=bits) for bits in (8, 9)]
    registers += [chain("float16", overflow="saturate"), nf.Exact(max_terms=256), "hopper_fp8"]  # type: ignore[list-item]
    registers += [nf.Aligned(32, 13, "e8m13:ieee", minimum_exponent=-133, rounding="ties_to_even")]  # type: ignore[list-item]
    multipliers = [rounded("float16"), rounded("float16", rounding="toward_zero"), rounded("bfloat16")]
    multipliers += [nf.LMul(), nf.LMul("integer_add"), nf.LMul("integer_add", policy="flush_and_saturate")]  # type: ignore[list-item]
    pes = [hw.MacPE("e4m3fn", "e4m3fn", accumulator=how) for how in registers]
    pes += [hw.MacPE("e4m3fn", "e4m3fn", multiplier=how, accumulator=chain("float32")) for how in multipliers]
    pes += [hw.MacPE("nf4", "nf4", operand_format=fmt, accumulator=chain("float32")) for fmt in ("bfloat16", "e4m3fn")]
    pes += [hw.MacPE("mxfp4", "mxfp4", edge_accumulator=how) for how in (None, chain("bfloat16"))]
    pes += [hw.MacPE("int8", "int8", accumulator=nf.Integer(24, overflow=how)) for how in ("wrap", "saturate")]
    assert len({pe.name for pe in pes}) == len({(pe.module(), pe.block_edge) for pe in pes}) == len(pes)
    # What is usual stays unsaid.
    assert [pes[0].name, pes[2].name] == ["e4m3fn x e4m3fn, float 32", "e4m3fn x e4m3fn, float 16"]
    assert pes[1].name == "e4m3fn x e4m3fn, float 32 toward zero"


def test_listed_macs_of_other_wires_have_other_names() -> None:
    from hwsim.pe.catalogue import catalogue
    from hwsim.pe.units.unit import MultiplyAccumulate

    listed = [one.what.what for one in catalogue().values() if isinstance(one.what, MultiplyAccumulate)]
    names = {
        hw.MacPE(
            mac.a, mac.b, accumulator=mac.accumulator, lanes=mac.lanes, stages=mac.stages, specials=mac.specials,
            multiplier=mac.multiplier, operand_format=mac.operand_format or "bfloat16",
        ).name
        for mac in listed
    }  # fmt: skip
    assert len(names) == len(listed)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"a": "mxfp4", "edge_accumulator": nf.FloatChain("float32", rounding="toward_zero")},
            "block sums are added rounded to nearest even",
        ),
        ({"multiplier": "lmul"}, "MacPE: no multiplier is called 'lmul'; there are exact, lmul_formula"),
        ({"multiplier": "mitchell"}, "there are wires for ExactProduct, ShiftOnly"),
        ({"accumulator": "hopper"}, "MacPE: no accumulator is called 'hopper'; near names"),
        ({"accumulator": "hopper_fp8", "lanes": 4}, "takes 32 products, got lanes=4"),
        ({"accumulator": nf.Exact(max_terms=4), "lanes": 8}, r"sums of 8 products .* use nf.Exact\(max_terms=8\)"),
        ({"a": "mxfp4", "accumulator": nf.Exact(max_terms=16)}, "sums of 32 products go into the register"),
        ({"a": "mxfp4", "lanes": 24}, "32 products share their scales, which lanes=24 does not divide"),
        ({"a": "mxfp4", "lanes": 64}, "32 products share their scales, which lanes=64 does not divide"),
        ({"a": "nvfp4", "b": "nvfp4", "accumulator": "hopper_fp8"}, "16 products share their scales, which lanes=32"),
        ({"a": "q4_1", "b": "q4_1"}, "q4_1 x q4_1: there are units for a shift on one side alone"),
        ({"a": "q4_1", "b": "uint4:g32:asym"}, "units for a shift on one side alone; use a symmetric format"),
        (
            {"a": "shiftlog4", "b": "int4:g32"},
            "added to a whole row has no units beside scales of",
        ),
        ({"specials": "full", "accumulator": nf.Integer(32)}, "holds no infinity and no NaN"),
        ({"lanes": 0}, "needs lanes >= 1 and stages 0..3, got lanes=0"),
        ({"stages": 4}, "needs lanes >= 1 and stages 0..3, got lanes=1, stages=4"),
        ({"stages": -1}, "stages=-1"),
        ({"accumulator": nf.Exact()}, r"Exact\(\) has no width"),
        ({"operand_format": "nf4"}, "operand_format must be an integer or a minifloat, got 'nf4'"),
        ({"operand_format": "mxfp4"}, "operand_format must be an integer or a minifloat, got 'mxfp4'"),
        ({"operand_format": "posit8es2"}, "operand_format must be an integer or a minifloat, got 'posit8es2'"),
    ],
)
def test_nonsense_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        hw.MacPE(**{"a": "int8", "b": "int8", **arguments})


@pytest.mark.parametrize(
    ("a", "b", "operand_format", "said"),
    [
        ("int8", "nf4", "int4", "looked up in int4 within 0.475, 3 of 16 entries of nf4 apart,"),  # -1, 0 and 1
        ("int8", "nf4", "e2m3fn", "looked up in e2m3fn within 0.0624, 14 of 16 entries of nf4 apart,"),
        ("nf4", "int8", "e4m3fn", "looked up in e4m3fn within 0.027, "),
        ("nf4", "sf4", "e2m3fn", "within 0.0624, 14 of 16 entries of nf4 apart, 13 of 16 entries of sf4 apart,"),
        ("int8", "flint4", "e4m3fn", "int8 x flint4, looked up in e4m3fn, "),
        ("int8", "nf4", "bfloat16", "int8 x nf4, float 32"),
    ],
)
def test_a_name_says_what_a_table_rounds_off(a: str, b: str, operand_format: str, said: str) -> None:
    """Beside the entries and values counted with fractions."""
    pe = hw.MacPE(a, b, operand_format=operand_format)
    assert said in pe.name
    kept = sorted(set(finite_values(operand_format)))
    for fmt in (a, b):
        book = nf.element_of(nf.get(fmt))
        if not isinstance(book, nf.Codebook):
            continue
        entries = set(finite_values(fmt))
        nearest = {entry: min(kept, key=lambda value: abs(value - entry)) for entry in entries}
        apart = len(set(nearest.values()))
        assert (f"{apart} of {len(entries)} entries of {fmt} apart" in pe.name) == (apart < len(entries))


def finite_values(fmt: str) -> list[Fraction]:
    scalar = nf.element_of(nf.get(fmt))
    entries = scalar.entries if isinstance(scalar, nf.Codebook) else range(1 << scalar.bits)
    values = nf.decode_codes(scalar, np.arange(len(entries)), np.float64)
    return [Fraction(float(value)) for value in values if np.isfinite(value)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"accumulator": "float32"}, r"accumulator must be .* got 'float32'; say nf.FloatChain\('float32'\)"),
        ({"accumulator": nf.Integer}, r"accumulator must .* say nf.FloatChain\('float32'\)"),
        ({"accumulator": 32}, r"accumulator must be .* got 32; say nf.Integer\(32\)"),
        ({"accumulator": True}, r"accumulator must be .* got True; say nf.FloatChain\('float32'\)"),
        (
            {"edge_accumulator": "float32"},
            r"edge_accumulator must be an nf.FloatChain, got 'float32'; say nf.FloatChain",
        ),
        ({"lanes": 2.0}, "lanes must be an integer, got 2.0 of type float"),
        ({"stages": "1"}, "stages must be an integer, got '1' of type str"),
    ],
)
def test_wrong_types_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        hw.MacPE("mxfp4", "mxfp4", **arguments)


def test_what_scales_there_are_no_units_for_is_refused() -> None:
    with pytest.raises(TypeError, match="amxfp4 cannot be operand b: its negative elements have scales of their own"):
        hw.MacPE("int8", "amxfp4")
    with pytest.raises(TypeError, match="q4_k cannot be operand a: what is added to its blocks has scales of its own"):
        hw.MacPE("q4_k", "int8")
    with pytest.raises(TypeError, match="beside a zero point or a shift the other side's elements are summed; nf4"):
        hw.MacPE("nf4", "q4_1")
    assert set(hw.MacPE("int8", "q4_1").row_sums) == {"a"}


def test_pe_files_hold_no_verilog_and_no_area_figure() -> None:
    for path in Path(str(hw.__file__)).parent.joinpath("pe").glob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert "endmodule" not in text
        assert "_um2=" not in text
        assert "_pj=" not in text
