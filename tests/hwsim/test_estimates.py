"""Estimates of PEs: the tables made again, the fit made again, families left out, pairs drawn at random."""

from __future__ import annotations

import hashlib
from itertools import product

import numpy as np
import pytest

import formats as nf
import hwsim as hw
from hwsim import price
from hwsim.characterise import fit
from hwsim.circuit.counts import counted
from hwsim.circuit.network import network
from hwsim.pe.catalogue import catalogue
from hwsim.pe.papers.convert import Converter
from hwsim.pe.units.converters import Conversion
from hwsim.technology.coefficients import GATE_TERMS
from hwsim.technology.tables import load
from tests.hwsim.rtl.designs import skip_without_yosys

COEFFICIENTS = load("coefficients.json")
TABLE = load("cmos_gates.json")


def test_every_row_is_proved_or_tested_and_of_the_verilog_of_today() -> None:
    from hwsim.rtl.writer import verilog

    assert set(TABLE["rows"]) == set(catalogue())
    for name, row in TABLE["rows"].items():
        assert row["status"] in ("proved", "tested")
        assert row["source"] == hashlib.sha256(verilog(catalogue()[name].module()).encode()).hexdigest(), name
    assert sum(row["status"] == "proved" for row in TABLE["rows"].values()) >= 40


@pytest.mark.parametrize("name", hw.technologies())
def test_a_librarys_rows_are_of_the_same_verilog_and_checked(name: str) -> None:
    rows = hw.get_technology(name).rows
    assert set(rows) <= set(catalogue())
    assert len(rows) >= 90
    for row in rows.values():
        assert row.status in ("proved", "tested")
        assert row.source == TABLE["rows"][row.name]["source"], row.name
        assert row.flip_flops == TABLE["rows"][row.name]["flip_flops"]
        assert row.leakage_nw > 0
        assert all(row.zero_delay_fj[operands] <= row.energy_fj[operands] * 1.02 for operands in row.energy_fj)


def test_the_coefficients_are_the_fit() -> None:
    """Gates, areas and delays made again; energies too where their series are short (the slow test has them all)."""
    assert same(fit.gates_fit().entry(tuple(COEFFICIENTS["nodes"]["cmos_gates"]["gates"]["coefficients"])),
                COEFFICIENTS["nodes"]["cmos_gates"]["gates"])  # fmt: skip
    held = COEFFICIENTS["nodes"]["ihp130"]["area"]
    made = fit.area_fit(fit.sample("ihp130")).entry(tuple(held["coefficients"]))
    assert same(made, held)
    assert not same({**made, "interval": made["interval"] * 1.01}, held), "the checker must see one per cent"
    assert same(fit.between_libraries(), COEFFICIENTS["between_libraries"])


@pytest.mark.slow
def test_the_whole_fit_is_the_committed_one() -> None:
    assert same(fit.fit(), COEFFICIENTS)


def same(first: object, second: object) -> bool:
    """Equal, numbers within what another linear algebra library may round differently."""
    if isinstance(first, dict) and isinstance(second, dict):
        return first.keys() == second.keys() and all(same(first[key], second[key]) for key in first)
    if isinstance(first, float) and isinstance(second, float):
        return abs(first - second) <= 1e-3 * abs(second)
    return first == second


def test_flip_flops_are_those_that_synthesis_leaves() -> None:
    """Four rows have one or two bits less: they are constant, or unread, on drawn patterns."""
    counts = {name: counted(listed.module()).flip_flops for name, listed in catalogue().items()}
    apart = {name: TABLE["rows"][name]["flip_flops"] - count for name, count in counts.items()}
    different = [bits for bits in apart.values() if bits]
    assert len(different) <= 5
    assert set(different) <= {1, 2}
    plain = sum(network(listed.module()).states.size != counts[name] for name, listed in catalogue().items())
    assert plain >= 10, "the catalogue has registers that synthesis drops"


# Of errors with the family left out: the median over all PEs, and the worst of a family.
BARS = {"gates": (0.10, 0.25), "area": (0.10, 0.25), "energy": (0.25, None), "delay": (0.20, None)}
# Beyond the bar of 25 % in area, three converters: int32 to bfloat16 (0.32..0.35 too large), float16 to float32 in
# SkyWater's library (0.29), e4m3fn to bfloat16 on gates (0.30), which has 22 that cells of three and four inputs fit.
KNOWN_WORST = {"converter": 0.36}


def test_families_left_out_are_within_the_bars() -> None:
    for node, quantities in COEFFICIENTS["nodes"].items():
        for quantity, (median, worst) in BARS.items():
            if quantity not in quantities:
                continue
            entry = quantities[quantity]
            assert entry["median"] <= median, (node, quantity)
            assert quantity not in ("gates", "area") or entry["interval_clocked"] <= 0.20
            assert sum(part["count"] for part in entry["left_out"].values()) >= 90
            for family, part in entry["left_out"].items():
                if worst is not None:
                    assert part["worst"] <= KNOWN_WORST.get(family, worst), (node, quantity, family)


def test_the_judgement_sees_a_model_that_knows_little() -> None:
    """Multiplexers alone, fitted to the same areas, are far off."""
    seen = fit.sample("ihp130")
    terms = np.array([price.gate_terms(module) for module in seen.modules])[:, [GATE_TERMS.index("mux")]]
    whole = np.array([row.area_um2 for row in seen.rows])

    def solve(kept: fit.Kept) -> fit.Vector:
        return fit.nonnegative(terms[kept] / whole[kept, None], np.ones(kept.sum()))

    found = fit.judged(seen.families, seen.clocked, solve, lambda coefficients: terms @ coefficients / whole - 1)
    assert np.median(np.abs(found.errors)) > 0.3


def test_left_out_predictions_do_not_know_the_family() -> None:
    """Doubling a family's figures moves its own left-out coefficients not at all."""
    kept = {}
    for factor in (1.0, 2.0):
        families = ("x", "x", "y", "z")
        figures = np.array([3.0, 4.0, 5.0, 6.0]) * [factor, factor, 1, 1]

        def solve(chosen: fit.Kept, figures: fit.Vector = figures) -> fit.Vector:
            return np.array([figures[chosen].mean()])

        kept[factor] = fit.judged(families, np.ones(4, bool), solve, lambda found, figures=figures: found / figures - 1)  # type: ignore[misc]
    predicted = {factor: (kept[factor].errors[:2] + 1) * np.array([3.0, 4.0]) * factor for factor in kept}
    np.testing.assert_allclose(predicted[1.0], predicted[2.0])
    np.testing.assert_allclose(predicted[1.0], [5.5, 5.5])


@pytest.mark.parametrize("seed", range(20))
def test_nonnegative_least_squares_finds_the_best_active_set(seed: int) -> None:
    """Against every choice of which coefficients are free, tried one by one."""
    rng = np.random.default_rng(seed)
    matrix, right = rng.normal(size=(12, 4)), rng.normal(size=12)
    found = fit.nonnegative(matrix, right)
    best = np.inf
    for free in product([False, True], repeat=4):
        columns = np.flatnonzero(free)
        x = np.zeros(4)
        x[columns] = np.linalg.lstsq(matrix[:, columns], right, rcond=None)[0] if columns.size else []
        if (x >= 0).all():
            best = min(best, float(np.linalg.norm(matrix @ x - right)))
    assert (found >= 0).all()
    assert np.linalg.norm(matrix @ found - right) == pytest.approx(best, rel=1e-9)


def test_a_pe_of_the_table_has_its_gates_and_others_an_interval() -> None:
    held = hw.MacPE("int8", "int8", accumulator=nf.Integer(32)).gate_equivalents()
    assert (held.value, held.low, held.high, held.status) == (846.0, 846.0, 846.0, "proved")
    pe = hw.MacPE("int7", "e2m2:none", accumulator=nf.Exact(max_terms=100))
    found = pe.gate_equivalents()
    assert found.status == "estimated"
    assert found.low < found.value < found.high
    assert pe.flip_flops == pe.accumulator_bits


SLICE = [
    *("mac_int8_int8_fixed32", "mac_int4_int4_fixed16", "mac_int3_int5_fixed24", "mac_uint8_int8_fixed24"),
    *("mac_e4m3fn_e4m3fn_fixed45", "mac_e2m1fn_e2m1fn_fixed17", "mac_e3m3_none_int5_fixed23"),
    *("mac_e2m1fn_int4_fixed16", "mac_e2m1fn_e2m1fn_bfloat16", "mac_e3m2fn_e3m2fn_bfloat16"),
    *("mac_int8_e3m0fn_fixed32", "mac_int4_e2m0_none_fixed24"),
]


def test_rows_are_made_again_to_the_gate() -> None:
    skip_without_yosys()
    from hwsim.characterise.cmos import differences, table

    made = table(SLICE, leaves=False)
    assert len(made["rows"]) >= 12
    if made["tool"] != TABLE["tool"]:
        pytest.skip(f"the table is of {TABLE['tool']}, here is {made['tool']}")
    assert differences(TABLE, made) == []
    doctored = {**TABLE, "rows": {**TABLE["rows"], SLICE[0]: {**TABLE["rows"][SLICE[0]], "gate_equivalents": 800.0}}}
    assert differences(doctored, made) == [f"{SLICE[0]}: gate_equivalents 800.0 -> 846.0"]


def drawn(seed: int) -> hw.MacPE:
    """A pair of formats and a register that nobody chose."""
    rng = np.random.default_rng([seed, 40])
    sides: list[nf.Scalar] = []
    for _ in range(2):
        if rng.random() < 0.4:
            sides.append(nf.FixedPoint(bits=int(rng.integers(2, 9)), signed=bool(rng.integers(2))))
        else:
            exponent, trailing = int(rng.integers(2, 6)), int(rng.integers(0, 4))
            sides.append(nf.Minifloat(exponent_bits=exponent, trailing_significand_bits=trailing, specials="none"))
    how = [nf.Exact(max_terms=int(rng.integers(2, 1000))), nf.FloatChain("float16"), nf.FloatChain("float32")]
    return hw.MacPE(a=sides[0], b=sides[1], accumulator=how[int(rng.choice(3, p=[0.6, 0.2, 0.2]))])


def inside(seed: int) -> bool:
    """A pair nobody ever priced prints its Verilog and is checked; whether its gates lie in the estimate's interval."""
    from hwsim.pe.prove import prove
    from hwsim.rtl.yosys import CmosGates, synthesise

    pe = drawn(seed)
    text = pe.verilog()
    assert f"module {pe.module().name} " in text.replace("(", " (")
    made = synthesise(text, pe.module().name, CmosGates())
    assert prove(pe.wiring, made).status in ("proved", "tested")
    guess = price.estimated_gates(pe.module())
    return guess.low <= made.statistics["gate_equivalents"] <= guess.high


def test_most_of_eight_random_pairs_lie_in_their_interval() -> None:
    skip_without_yosys()
    assert sum(inside(seed) for seed in range(8)) >= 6


@pytest.mark.slow
def test_thirty_four_of_forty_random_pairs_lie_in_their_interval() -> None:
    skip_without_yosys()
    assert sum(inside(seed) for seed in range(40)) >= 34


@pytest.mark.slow
def test_converters_drawn_at_random_are_told_as_well_as_the_tables() -> None:
    """Units of 30 to 300 gates. Two of integers into floats of few values are far smaller than yosys finds."""
    skip_without_yosys()
    from hwsim.rtl.writer import verilog
    from hwsim.rtl.yosys import CmosGates, synthesise

    rng = np.random.default_rng(7)

    def side() -> nf.Scalar:
        if rng.random() < 0.3:
            return nf.FixedPoint(bits=int(rng.integers(3, 9)), signed=bool(rng.integers(2)))
        exponent, trailing = int(rng.integers(2, 9)), int(rng.integers(0, 11))
        return nf.Minifloat(exponent_bits=exponent, trailing_significand_bits=trailing, specials="none")

    errors: list[float] = []
    while len(errors) < 30:
        source, target = side(), side()
        try:
            module = Conversion(what=Converter(source=source, target=target)).module()
        except ValueError:  # a pair that needs no gates, or that nobody converts
            continue
        made = synthesise(verilog(module), module.name, CmosGates()).statistics["gate_equivalents"]
        if made >= 10:
            errors.append(abs(price.estimated_gates(module).value / made - 1))
    assert np.median(errors) <= 0.12
    assert sum(error <= 0.25 for error in errors) >= 26


def test_the_pair_of_the_readme() -> None:
    skip_without_yosys()
    odd = nf.Minifloat(exponent_bits=3, trailing_significand_bits=3, specials="none")
    pe = hw.MacPE(a=odd, b="int5", accumulator=nf.Exact(max_terms=200))
    assert "endmodule" in pe.verilog()
    assert pe.prove().status == "proved"
    assert pe.gate_equivalents().status in ("estimated", "proved")
