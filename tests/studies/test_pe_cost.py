"""Cost of PEs: a small run, the committed tables made again, the claims' rule, netlists that are wrong.

The tables of hwsim/technology change; then `python -m studies pe_cost --out studies/results` makes these results anew.
"""

from __future__ import annotations

import math
from pathlib import Path

import pytest

pytest.importorskip("matplotlib", reason="studies draw with matplotlib")

from hwsim.characterise.compare import Point
from hwsim.characterise.libraries import LIBRARIES, Constraints
from hwsim.liberty.cells import parse_library
from hwsim.pe.catalogue import catalogue
from hwsim.pe.compare import compare_pes
from hwsim.pe.mac import MacPE
from hwsim.rtl.writer import verilog
from hwsim.rtl.yosys import Liberty, synthesise
from hwsim.technology import technologies, technology
from hwsim.technology.tables import load
from studies import pe_cost, pe_cost_claims, pe_cost_curves, pe_cost_designs, pe_cost_periods
from studies.__main__ import main
from studies.common import Row, read_csv
from studies.pe_cost_designs import Design
from tests.hwsim.liberty.tiny import TEXT
from tests.hwsim.rtl.designs import needs_yosys

RESULTS = Path(pe_cost.__file__).parent / "results"
AGAIN = "make it again: python -m studies pe_cost --out studies/results"


def committed(name: str = "") -> list[Row]:
    return list(read_csv(RESULTS / f"pe_cost{name}.csv").rows)


def different(made: list[Row], held: list[Row]) -> list[str]:
    """Where two tables differ; floats may by what sums in another order do."""
    if len(made) != len(held):
        return [f"{len(made)} rows for {len(held)}"]
    wrong = []
    for place, (one, other) in enumerate(zip(made, held, strict=True)):
        if list(one) != list(other):
            wrong.append(f"row {place} has other columns")
            continue
        for key, value in one.items():
            same = (
                math.isclose(value, float(str(other[key])), rel_tol=2e-3)
                if isinstance(value, float) and other[key] is not None
                else value == other[key]
            )
            if not same:
                wrong.append(f"row {place}, {key}: {value!r} for {other[key]!r}")
    return wrong


def test_the_comparison_of_tables_sees_a_changed_cell() -> None:
    rows = committed("_claims")
    assert not different(rows, committed("_claims"))
    assert different(rows[1:], rows) == [f"{len(rows) - 1} rows for {len(rows)}"]
    flipped = [{**rows[0], "verdict": "holds" if rows[0]["verdict"] != "holds" else "undecided"}, *rows[1:]]
    assert "verdict" in different(flipped, rows)[0]
    moved = [{**rows[0], "ours": float(str(rows[0]["ours"])) * 1.01}, *rows[1:]]
    assert "ours" in different(moved, rows)[0]


def test_the_claims_come_out_as_committed() -> None:
    assert not different(pe_cost_claims.claim_rows(), committed("_claims")), AGAIN


def test_a_small_run_writes_all_tables_and_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    some = ("mac_int8_int8_fixed32", "mac_e4m3fn_e4m3fn_float32")
    rows = list(pe_cost.synthesised_rows(some))
    monkeypatch.setattr(pe_cost, "synthesised_rows", lambda: rows)
    monkeypatch.setattr(pe_cost_claims, "claim_rows", lambda: committed("_claims"))
    assert main(["pe_cost", "--out", str(tmp_path), "--formats", "int8", "e2m1fn", "float16"]) == 0
    for name in ("pe_cost", "pe_cost_synthesised", "pe_cost_periods"):
        for suffix in ("csv", "png", "svg"):
            assert (tmp_path / f"{name}.{suffix}").stat().st_size > 500
    pairs = read_csv(tmp_path / "pe_cost.csv").rows
    assert [(row["a"], row["b"]) for row in pairs[:3]] == [("int8", "int8"), ("int8", "e2m1fn"), ("int8", "float16")]
    speed = read_csv(tmp_path / "pe_cost_speed.csv").rows
    assert sum(int(str(row["calls"])) for row in speed) == 9 * (1 + 2 + 3 + 1 + 2 + 1)
    for row in speed:
        assert row["met"] is (float(str(row["ms_each"])) < pe_cost.BAR_MS)
    assert "FP8 MACs are 50 % to 180 % less efficient" in capsys.readouterr().out
    held = technology("ihp130").rows["mac_int8_int8_fixed32"]
    (beside,) = [row for row in rows if row["technology"] == "ihp130" and row["pe"] == held.name]
    assert beside["area_um2"] == pytest.approx(held.area_um2, rel=1e-4)
    assert beside["estimated_area_um2"] == pytest.approx(held.area_um2, rel=0.3)


def test_the_pairs_are_forty_formats_and_what_a_pe_says() -> None:
    rows = committed()
    assert len(pe_cost.FORMATS) == len(set(pe_cost.FORMATS)) == 40
    assert [(row["a"], row["b"]) for row in rows] == [(a, b) for a in pe_cost.FORMATS for b in pe_cost.FORMATS]
    made = [pe_cost.pair_row(str(row["a"]), str(row["b"]), pe_cost.Clock()) for row in rows[::149]]
    assert not different(made, rows[::149]), AGAIN
    (plain,) = [row for row in rows if (row["a"], row["b"]) == ("int8", "int8")]
    assert plain["ihp130_status"] in ("tested", "proved")
    assert plain["gt2n_delay_ns"] == pytest.approx(MacPE("int8", "int8").delay_ns("gt2n").value, rel=1e-4)
    for row in rows:
        for node in technologies():
            low, value, high = (float(str(row[f"{node}_area_{key}"])) for key in ("low", "um2", "high"))
            assert 0 < low <= value <= high
            assert min(float(str(row[f"{node}_{key}"])) for key in ("delay_ns", "energy_pj")) > 0


def test_every_tabled_pe_has_its_point() -> None:
    rows = committed("_synthesised")
    assert len(rows) >= 120
    assert {str(row["technology"]) for row in rows} == set(technologies())
    for node in technologies():
        own = [row["pe"] for row in rows if row["technology"] == node]
        assert own == [name for name in technology(node).rows if name in catalogue()], AGAIN
    names = [str(row["pe"]) for row in rows][::50]
    made = {(row["technology"], row["pe"]): row for row in pe_cost.synthesised_rows(names)}
    held = [row for row in rows if row["pe"] in names]
    assert not different([made[row["technology"], row["pe"]] for row in held], held), AGAIN


def test_errors_are_those_of_the_fit() -> None:
    rows = committed("_left_out")
    assert not different(pe_cost.left_out_rows(), rows), AGAIN
    (area,) = [
        r for r in rows if (r["technology"], r["quantity"], r["family"]) == ("ihp130", "area", "minifloat-exact")
    ]
    entry = load("coefficients.json")["nodes"]["ihp130"]["area"]["left_out"]["minifloat-exact"]
    assert (area["count"], area["median"], area["worst"]) == (entry["count"], entry["median"], entry["worst"])


@pytest.mark.parametrize(
    ("ours", "published", "expected"),
    [
        ((1.6, 2.0), (1.5, 2.8), "holds"),
        ((1.5, 2.8), (1.5, 2.8), "holds"),
        ((1.1, 1.4), (1.5, 2.8), "does not hold"),
        ((3.0, 3.4), (1.5, 2.8), "does not hold"),
        ((1.4, 2.0), (1.5, 2.8), "undecided"),
        ((1.0, 9.0), (1.5, 2.8), "undecided"),
        ((1.1, 9.0), (1.0, None), "holds"),
        ((0.2, 0.3), (None, 0.25), "undecided"),
        ((0.3, 0.4), (None, 0.25), "does not hold"),
    ],
)
def test_a_verdict_is_where_intervals_lie(
    ours: tuple[float, float], published: tuple[float | None, float | None], expected: str
) -> None:
    assert pe_cost_claims.verdict(*ours, *published) == expected


def test_claims_are_published_figures_and_their_readings() -> None:
    rows = committed("_claims")
    sources = " ".join({str(row["source"]) for row in rows})
    for paper in ("2303.17951", "2410.00907", "2408.06003", "ICML 2024", "HPCA 2025"):
        assert paper in sources
    for row in rows:
        low, value, high = (float(str(row[key])) for key in ("low", "ours", "high"))
        assert low <= value <= high
        ends = [None if row[key] is None else float(str(row[key])) for key in ("published_low", "published_high")]
        assert row["verdict"] == pe_cost_claims.verdict(low, high, ends[0], ends[1])
        assert row["assumption"]
    # Another reading of the same claim that comes out otherwise is named, and none that does not.
    by_case = {(row["claim"], row["quantity"], row["case"]): row["verdict"] for row in rows}
    assert len(by_case) == len(rows)
    for row in rows:
        for flipped in filter(None, str(row["flipped_by"] or "").split(" | ")):
            reading, _, verdict = flipped.rstrip(")").rpartition(" (")
            case, _, quantity = reading.rpartition(", ")
            assert verdict != row["verdict"]
            assert by_case[row["claim"], quantity, case] == verdict
            assert case == row["case"] or quantity == row["quantity"]
    exact = by_case["FP8 MACs are 50 % to 180 % less efficient than INT8 MACs", "area", "e4m3fn, exact register"]
    single = by_case["FP8 MACs are 50 % to 180 % less efficient than INT8 MACs", "area", "e4m3fn, float32 register"]
    assert (exact, single) == ("does not hold", "holds"), "the register decides"


def test_ratios_are_those_of_the_paired_comparison() -> None:
    pairs = [
        (MacPE("int8", "int8"), MacPE("int4", "int8")),
        (MacPE("int8", "int8"), MacPE("int5", "int8")),
        (MacPE("e3m3:none", "int5"), MacPE("e2m2:none", "int6")),
    ]
    for first, second in pairs:
        for quantity in ("area", "energy"):
            paired = compare_pes(first, second, quantity).ratio  # type: ignore[arg-type]
            ours = pe_cost_designs.ratio(Design.of(first), Design.of(second), quantity)  # type: ignore[arg-type]
            assert (ours.value, ours.low, ours.high) == pytest.approx((paired.value, paired.low, paired.high), rel=1e-9)
            assert ours.status == paired.status


def test_a_shared_edge_counts_by_its_share() -> None:
    alone, many, few = (pe_cost_claims.lookup(columns).figure("ihp130", "area").value for columns in (None, 64, 16))
    edge = Design.of("edge_int8_group4_8entries10b").figure("ihp130", "area").value
    # Four activations and two planes: two products a column and cycle; `edge` is a quarter of the edge.
    assert few - alone == pytest.approx(4 * edge / (2 * 16), rel=1e-6)
    assert many - alone == pytest.approx(4 * edge / (2 * 64), rel=1e-6)
    # A cell that can move its entry by one place lies between the tabled ones that move it by none and by three.
    least, most = (
        Design.of(f"lookup_int8_group4_8entries10b_acc32{planes}", 2).figure("ihp130", "area").value
        for planes in ("", "_4planes")
    )
    assert 0.95 * least < alone < 1.05 * most


def test_area_and_delay_are_taken_together_at_the_slowest_part() -> None:
    one, edge = Design.of("mac_int8_int8_fixed32"), Design.of("edge_int8_group4_8entries10b")
    for design in (one, edge + one):
        area, both = (design.figure("gt2n", quantity) for quantity in ("area", "area x delay"))  # type: ignore[arg-type]
        assert both.value / area.value == pytest.approx(MacPE("int8", "int8").delay_ns("gt2n").value)
    assert pe_cost_designs.pairs("gt2n", "area x delay") > pe_cost_designs.pairs("gt2n", "delay")


def test_periods_are_six_and_more_of_checked_netlists() -> None:
    rows = committed("_periods")
    assert {row["library_sha256"] for row in rows} == {technology("ihp130").library_sha256}
    for name in pe_cost_curves.PES:
        plain = [row for row in rows if row["pe"] == name and row["stages"] == 0]
        assert len({row["period_ps"] for row in plain}) >= 6
        assert {row["stages"] for row in rows if row["pe"] == name} == {0, 1, 2}
    assert {row["status"] for row in rows} <= {"proved", "tested"}
    # The table of the library was made for 2500 ps: as tight as the tightest here.
    (fastest,) = {
        row["area_um2"] for row in rows if row["pe"] == "mac_int8_int8_fixed32" and row["period_ps"] in (2418.0,)
    }
    assert fastest == pytest.approx(technology("ihp130").rows["mac_int8_int8_fixed32"].area_um2, rel=0.01)


def test_equal_delay_is_the_slower_ones_fastest() -> None:
    fast = [Point(1, 100, 1000), Point(2, 80, 2000)]
    slow = [Point(1, 300, 1500), Point(2, 200, 4000)]
    assert pe_cost_curves.at_equal_delay(slow, fast) == pytest.approx(300 / 90)
    assert pe_cost_curves.edge([*fast, Point(3, 120, 1500)]) == ([1.0, 2.0], [100, 80])


@needs_yosys
def test_netlists_are_made_for_periods_and_wrong_ones_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "tiny.lib"
    path.write_text(TEXT, encoding="utf-8")
    with pytest.raises(ValueError, match="is not one of sky130_fd_sc_hd"):
        pe_cost_periods.known(str(path))
    library = parse_library(TEXT)
    monkeypatch.setitem(
        LIBRARIES, library.name, Constraints(table="tiny", period_ps=1000, driving_cell="BUF", load_ff=1.0)
    )
    name = "mac_int2_int8_fixed16"
    relaxed, tight, ranked, _ = pe_cost_periods.rows(str(path), [name], shares=(0.5,), stages=(1,))
    assert (relaxed["period_ps"], relaxed["stages"], ranked["stages"]) == (pe_cost_periods.RELAXED_PS, 0, 1)
    assert tight["period_ps"] == round(0.5 * float(str(relaxed["delay_ps"])))
    assert float(str(ranked["area_um2"])) > float(str(relaxed["area_um2"])), "a rank of registers"
    # A PE that subtracts where it should add.
    text = verilog(catalogue()[name].module())
    broken = text.replace("a + b", "a - b")
    assert broken != text
    made = synthesise(broken, catalogue()[name].module().name, Liberty(str(path), 1000, "BUF", 1.0))
    with pytest.raises(ArithmeticError, match=f"{name} is refuted"):
        pe_cost_periods.checked(name, catalogue()[name], made, library)
