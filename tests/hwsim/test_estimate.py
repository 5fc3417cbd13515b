"""Estimates: cycles of the closed form, traffic and null models by hand, one GEMM equal to many, errors that help."""

from __future__ import annotations

import time
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import formats as nf
import hwsim as hw
from hwsim import price
from hwsim.array_clock import period_ns, pipeline_ranks
from hwsim.array_cost import array_counts, pe_operands
from hwsim.array_parts import TYPICAL_TERMS, array_parts, row_sum_parts
from hwsim.array_wiring import block_units
from hwsim.cycles import DATAFLOWS, Dataflow, gemm_cycles
from hwsim.pe.edge import edge
from hwsim.pe.series import edge_series
from hwsim.traffic import gemm_traffic, tensor_bytes

INT8 = hw.MacPE("int8", "int8")
IHP130 = hw.get_technology("ihp130")


def array(rows: int = 8, columns: int = 4, dataflow: Dataflow = "weight_stationary", pe: hw.MacPE = INT8) -> Any:
    return hw.SystolicArray(pe, rows, columns, dataflow)


def chip(**changes: Any) -> hw.Accelerator:
    return hw.Accelerator(**{"array": array(), "technology": "ihp130", **changes})


@pytest.mark.parametrize("dataflow", DATAFLOWS)
def test_an_array_alone_takes_the_closed_forms_cycles_and_has_no_stall(dataflow: Dataflow) -> None:
    gemm, grid = hw.Gemm(9, 20, 7, 3), array(dataflow=dataflow)
    report = hw.estimate(gemm, grid)
    assert report.cycles == grid.cycles(gemm)
    assert report.total("stall_cycles") == 0
    parts = sum(report.total(f"{part}_cycles") for part in ("load", "skew", "stream", "drain"))
    assert parts == report.total("compute_cycles") == report.cycles
    assert report.macs == gemm.macs
    assert report.utilization[0] == pytest.approx(gemm.macs / (report.cycles * 32))
    assert report.energy["pe"].value == pytest.approx(gemm.macs * INT8.energy_pj("ihp130", pe_operands(grid)).value)
    assert report.area["PEs"].value == pytest.approx(32 * INT8.area_um2("ihp130").value)


def test_a_lane_cycle_is_one_pe_action() -> None:
    dot = hw.MacPE("int8", "int8", lanes=4)
    report = hw.estimate(hw.Gemm(5, 10, 3), array(pe=dot))
    assert report.counts["pe"].tolist() == [5 * 3 * 3], "ceil(10 / 4) cycles a result"
    assert report.energy["pe"].value == pytest.approx(45 * dot.energy_pj("ihp130", "weight_held").value)


def test_area_of_an_array_counts_every_part() -> None:
    grid = array(rows=4, columns=3)
    parts = {name: [(part.module.name, part.count) for part in parts]
             for name, parts in array_parts(grid, IHP130).items()}  # fmt: skip
    assert parts == {
        "operand registers": [("rank8", 12), ("rank8", 12)],
        "skew registers": [("rank8", 1 + 2 + 3)],
        "fold adders": [("add_sums32", 3)],
    }
    stays = array_parts(array(rows=4, columns=3, dataflow="output_stationary"), IHP130)
    assert set(stays) == {"operand registers", "skew registers"}
    assert [part.count for part in stays["skew registers"]] == [6, 3]


@pytest.mark.parametrize(("rows", "dataflow", "units"), [
    (64, "weight_stationary", 2 * 4), (16, "input_stationary", 4), (33, "weight_stationary", 2 * 4),
    (34, "weight_stationary", 2 * 4), (35, "weight_stationary", 3 * 4), (48, "weight_stationary", 2 * 4),
    (24, "weight_stationary", 2 * 4), (16, "output_stationary", 16 * 4)])  # fmt: skip
def test_block_scale_units_per_column_or_per_pe(rows: int, dataflow: Dataflow, units: int) -> None:
    grid = array(rows=rows, dataflow=dataflow, pe=hw.MacPE("mxfp4", "mxfp4"))
    assert block_units(grid) == units
    assert "fold adders" not in array_parts(grid, IHP130)


def test_block_scale_units_act_once_a_block() -> None:
    mx = hw.MacPE("mxfp4", "mxfp4")
    for rows, dataflow, expected in (
        (64, "weight_stationary", 4),
        (16, "weight_stationary", 7),
        (16, "output_stationary", 4),
    ):
        grid = array(rows=rows, dataflow=dataflow, pe=mx)  # type: ignore[arg-type]
        report = hw.estimate(hw.Gemm(5, 100, 3, 2), grid)
        assert report.counts["block-scale units"].tolist() == [2 * 5 * 3 * expected], (rows, dataflow)


@pytest.mark.parametrize("rows", [8, 16, 24, 31, 32, 33, 48, 64, 80])
@pytest.mark.parametrize("k", [1, 31, 96, 100, 320])
def test_a_block_cut_by_a_folds_end_is_scaled_in_both_folds(rows: int, k: int) -> None:
    grid = array(rows=rows, pe=hw.MacPE("mxfp4", "mxfp4"))
    folds = [range(start, min(start + rows, k)) for start in range(0, k, rows)]
    touched = [len({index // 32 for index in fold}) for fold in folds]
    report = hw.estimate(hw.Gemm(8, k, 8), grid)
    assert report.counts["block-scale units"].tolist() == [64 * sum(touched)]
    assert max(touched) * grid.columns <= block_units(grid)
    if (rows, k) == (48, 96):
        assert sum(touched) == 4, "two folds of 48 touch two blocks each"


@pytest.mark.parametrize("name", hw.technologies())
@pytest.mark.parametrize("dataflow", DATAFLOWS)
@pytest.mark.parametrize("pair", [("mxfp4", "mxfp4"), ("nvfp4", "nvfp4"), ("int8", "uint4:g128:asym")])
def test_block_scale_units_are_pipelined_to_the_clock(pair: tuple[str, str], dataflow: Dataflow, name: str) -> None:
    pe, tech = hw.MacPE(*pair), hw.get_technology(name)
    grid = array(rows=64, dataflow=dataflow, pe=pe)
    unit, ranks = pe.block_edge, pipeline_ranks(grid, tech)
    assert unit is not None
    clock = hw.estimate(hw.Gemm(8, 128, 8), grid, technology=name).clock_hz
    assert clock == pytest.approx(1e9 / pe.delay_ns(name).value)
    slices = price.delay_ns(edge(unit), name).value / (1e9 / clock)
    assert ranks < slices <= ranks + 1
    (part,) = array_parts(grid, tech)["block-scale pipeline"]
    assert (part.module.name, part.count) == ("rank32", block_units(grid) * ranks)
    report = hw.estimate(hw.Gemm(8, 128, 8), grid, technology=name)
    assert report.area["block-scale pipeline"].value > 0
    assert f"pipelined to the clock in {ranks} ranks" in str(report)
    bit = report.prices["skew registers"].value
    assert report.prices["block-scale pipeline"].value == pytest.approx(ranks * 32 * bit, rel=0.01)
    assert report.counts["block-scale pipeline"].tolist() == report.counts["block-scale units"].tolist()


BOTH = hw.MacPE("uint8:g32:asym", "uint4:g32:asym")


@pytest.mark.parametrize(("dataflow", "units"), [
    ("weight_stationary", {"a": 64, "b": 2 * 4}), ("input_stationary", {"a": 2 * 4, "b": 64}),
    ("output_stationary", {"a": 64, "b": 4})])  # fmt: skip
def test_a_row_sum_is_made_once_for_a_row_not_once_a_result(dataflow: Dataflow, units: dict[str, int]) -> None:
    """m * k additions for a, k * n for b, each shared by all results of the row or the column."""
    grid = array(rows=64, dataflow=dataflow, pe=BOTH)
    report = hw.estimate(hw.Gemm(4, 100, 4, 2), grid)
    assert {side: part.count for side, part in row_sum_parts(grid).items()} == units
    assert {part.count for part in array_parts(grid, IHP130)["row sums"]} == set(units.values())
    for side in "ab":
        assert report.counts[f"row sums of {side}"].tolist() == [2 * 4 * 100]
        assert report.energy[f"row sums of {side}"].value > 0
    assert report.area["row sums"].value > 0
    assert report.leakage["row sums"].value > 0
    assert "a row sum reaches" in str(report)
    again = hw.estimate(hw.Gemm(8, 100, 8, 1), array(rows=64, dataflow="weight_stationary", pe=BOTH))
    assert again.counts["row sums of a"].tolist() == [2 * 8 * 100], "a passes through four columns twice"
    assert again.counts["row sums of b"].tolist() == [8 * 100]


def test_lanes_are_summed_in_one_cycle() -> None:
    dot = hw.MacPE("int8", "uint4:g32:asym", lanes=4)
    report = hw.estimate(hw.Gemm(3, 10, 4), array(pe=dot))
    assert report.counts["row sums of a"].tolist() == [3 * 3], "ceil(10 / 4) cycles a row"
    assert "row sums of b" not in report.counts
    plain = hw.estimate(hw.Gemm(3, 10, 4), array(pe=hw.MacPE("int8", "int4:g32", lanes=4)))
    assert not any("row sums" in name for name in (*plain.counts, *plain.area, *plain.leakage))


def test_nothing_on_the_array_is_slower_than_its_clock() -> None:
    # A float sum used every cycle is a loop that no register cuts: 16 lanes take a block of 16 each cycle.
    wide = array(dataflow="output_stationary", pe=hw.MacPE("nvfp4", "nvfp4", lanes=16))
    assert period_ns(wide, IHP130) > wide.pe.delay_ns("ihp130").value
    assert period_ns(wide, IHP130) == pytest.approx(1e9 / hw.estimate(hw.Gemm(1, 16, 1), wide).clock_hz)
    for pair in (("int1", "int1"), ("int8", "int8"), ("e4m3fn", "e4m3fn"), ("bfloat16", "bfloat16")):
        grid = array(pe=hw.MacPE(*pair, stages=2))
        (adders,) = array_parts(grid, IHP130)["fold adders"]
        assert price.delay_ns(adders.module, "ihp130").value <= period_ns(grid, IHP130)


def test_the_clock_of_pipelined_result_scales_is_the_pes() -> None:
    grid = array(pe=hw.MacPE("int8:token", "int8:channel"))
    report = hw.estimate(hw.Gemm(5, 100, 3), grid)
    output = grid.pe.result_edge
    alone = price.energy_pj(edge(output), "ihp130", edge_series(grid.pe.wiring, output, TYPICAL_TERMS))
    assert report.prices["result scales"].value > alone.value
    assert "result scales run in the vector unit, pipelined" in str(report)


def test_result_scales_act_once_a_result() -> None:
    report = hw.estimate(hw.Gemm(5, 100, 3), array(pe=hw.MacPE("int8:token", "int8:channel")))
    assert report.counts["result scales"].tolist() == [15]
    assert report.energy["result scales"].value > 0
    assert "result scales" not in hw.estimate(hw.Gemm(5, 100, 3), array()).counts


def test_one_accelerators_memory_is_not_anothers() -> None:
    gemm, grid = hw.Gemm(64, 128, 128), array()
    large, small = (chip(array=grid, sram=hw.sram(kib, "ihp130")) for kib in (512, 64))
    before = hw.estimate(gemm, large).energy_pj
    assert hw.estimate(gemm, small).energy_pj.value != before.value
    assert hw.estimate(gemm, large).energy_pj == before


def test_a_clock_above_the_pes_is_said() -> None:
    assert "above the" in str(hw.estimate(hw.Gemm(8, 8, 8), chip(clock_hz=1e9)))
    assert "above the" not in str(hw.estimate(hw.Gemm(8, 8, 8), chip(clock_hz=50e6)))
    assert "above the" not in str(hw.estimate(hw.Gemm(8, 8, 8), chip()))


def test_register_counts_by_hand() -> None:
    # 2 x 2 weight stationary, m=3, k=2, n=2: one fold. Each of 12 MACs passes 8 bits on; loading shifts 4 registers of
    # 8 bits for 2 cycles; the 6 words of A wait half a cycle on average.
    grid = array(rows=2, columns=2)
    sizes = [np.array([size]) for size in (3, 2, 2, 1)]
    m, k, n, batch = sizes
    counts = array_counts(grid, IHP130, m, k, n, batch, gemm_cycles(m, k, n, batch, 2, 2))
    assert counts["pe"].tolist() == [12]
    assert counts["operand registers"].tolist() == [12 * 8 + 2 * 4 * 8]
    assert counts["skew registers"].tolist() == [6 * 8 * 1 / 2]
    assert counts["fold adders"].tolist() == [0]


def test_an_accelerators_traffic_by_hand() -> None:
    report = hw.estimate(hw.Gemm(10, 20, 30), chip(), output_bits=16)
    a, b, out = 200, 600, 600
    assert report.bytes == report.total("tensor_bytes") == a + b + out
    assert report.counts["DRAM reads"].tolist() == [8 * (a + b)]
    assert report.counts["DRAM writes"].tolist() == [8 * out]
    folds_n, folds_k = 8, 3  # ceil(30 / 4), ceil(20 / 8)
    partial = 10 * 30 * (folds_k - 1) * 32
    assert report.counts["SRAM reads"].tolist() == [8 * (a * folds_n + b) + partial + 8 * out]
    assert report.counts["SRAM writes"].tolist() == [8 * (a + b) + partial + 8 * out]
    energy = report.energy["DRAM reads"]
    assert energy.value == pytest.approx(8 * (a + b) * 4.0)


def test_null_models_by_hand() -> None:
    report = hw.estimate(hw.Gemm(10, 20, 30), chip(clock_hz=1e9), output_bits=16)
    per_cycle = 51.2e9 * 8 / 1e9
    assert report.null_models == {
        "bytes_only_cycles": np.ceil(1400 * 8 / per_cycle),
        "bytes_only_energy_pj": pytest.approx(1400 * 8 * 4.0),
        "bits_x_bits": 6000 * 64.0,
    }
    blocked = hw.estimate(hw.Gemm(1, 64, 1), array(rows=64, pe=hw.MacPE("mxfp4", "nvfp4")))
    assert blocked.null_models["bits_x_bits"] == 64 * 4 * 4, "element bits, without scales"
    assert blocked.bytes == 34 + 36 + 2, "stored bits, with them: 4.25 and 4.5 a value"


def test_stalls_appear_when_the_memory_is_slower_than_the_array() -> None:
    gemm = hw.Gemm(8, 512, 512)
    fast, slow = (hw.estimate(gemm, chip(clock_hz=clock)) for clock in (1e6, 1e12))
    assert fast.total("stall_cycles") == 0
    assert slow.cycles == np.ceil(slow.bytes * 8 / (51.2e9 * 8 / 1e12))
    assert slow.cycles == slow.total("compute_cycles") + slow.total("stall_cycles")
    assert fast.total("compute_cycles") == slow.total("compute_cycles")
    assert slow.bound == {"dram": 1.0}
    assert set(fast.bound) <= {"compute", "fill"}


def test_a_narrow_sram_port_stalls_too() -> None:
    narrow = hw.estimate(hw.Gemm(64, 64, 64), chip(sram=hw.sram(512, "ihp130", bits_per_cycle=1), clock_hz=1e6))
    assert narrow.bound == {"sram": 1.0}
    assert narrow.cycles == max(narrow.counts["SRAM reads"][0], narrow.counts["SRAM writes"][0])


def test_what_binds_is_fill_when_little_streams() -> None:
    # Loading 8 rows and draining 3 columns, against streaming one row.
    assert hw.estimate(hw.Gemm(1, 64, 64), array()).bound == {"fill": 1.0}
    assert hw.estimate(hw.Gemm(100, 64, 64), array()).bound == {"compute": 1.0}


def once(m: int, k: int, n: int, sram_bits: int, strip: int = 0, moving: str = "a") -> tuple[int, int]:
    one = [np.array([size]) for size in (m, k, n, 1)]
    moved = gemm_traffic(*one, (8, 8, 8), sram_bits, np.array([strip]), moving)  # type: ignore[arg-type]
    return int(moved.a_fetches[0]), int(moved.b_fetches[0])


def test_refetches_by_hand() -> None:
    half = 1000  # bytes
    assert once(10, 100, 5000, 16 * half) == (1, 1), "a fits"
    assert once(5000, 100, 10, 16 * half) == (1, 1), "b fits"
    # a = 4000 bytes, b = 6000: hold b in 6 parts and read a 6 times (30000), or hold a in 4, read b 4 times (28000).
    assert once(40, 100, 60, 16 * half) == (1, 4)
    assert once(60, 100, 40, 16 * half) == (4, 1)
    # a = 4000 bytes, b = 6000: hold b in 6 parts, a read 6 times (30000); or hold a in 4, b read 4 times (28000).
    assert once(10, 100, 20, 16 * half) == (1, 1)
    assert once(10, 100, 20, 16 * half, strip=2 * 8 * half) == (2, 1)
    assert once(10, 100, 20, 16 * half, strip=2 * 8 * half, moving="b") == (1, 1)
    # a = 1000 in two passes (b = 1500 twice: 4000) against a past 2 parts of b (3500).
    assert once(10, 100, 15, 16 * half, strip=2 * 8 * half) == (2, 1)
    # a = 4000 in 4 parts anyway, 5 passes for its sums: b = 3000 five times (19000), or a past 3 parts of b (15000).
    assert once(40, 100, 30, 16 * half, strip=5 * 8 * half) == (3, 1)


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 60), st.integers(16, 4000))
def test_traffic_is_at_least_every_byte_and_falls_with_the_sram(m: int, k: int, n: int, half: int) -> None:
    fetches = [once(m, k, n, 16 * size) for size in (half, 2 * half)]
    small, large = (m * k * a + k * n * b for a, b in fetches)
    assert small >= large >= m * k + k * n


@given(st.integers(0, 10**6), st.sampled_from([4, 4.25, 4.5, 3.5, Fraction(13, 3), 8, 16]))
def test_bytes_are_rounded_up_exactly(elements: int, bits: Any) -> None:
    exact = Fraction(elements) * Fraction(bits)
    assert int(tensor_bytes(elements, bits)) == -(-exact.numerator // (8 * exact.denominator))
    if not isinstance(bits, Fraction):
        assert tensor_bytes(np.array([elements, elements]), [bits, 8]).tolist() == [
            int(tensor_bytes(elements, bits)),
            elements,
        ]


@pytest.mark.parametrize("name", ["mxfp4", "nvfp4", "int4:g128", "uint4:g128:asym", "e4m3fn:g48", "mxint8"])
@pytest.mark.parametrize("k", [1, 31, 32, 33, 100, 128, 14337])
def test_a_short_last_block_is_stored_with_its_scale(name: str, k: int) -> None:
    fmt = nf.get(name)
    assert isinstance(fmt, nf.Scaled)
    fields = sum(nf.element_of(field.format).bits for field in (fmt.scale, fmt.offset) if field is not None)
    row = k * fmt.element.bits + fields * -(-k // fmt.block.shape[-1])
    assert hw.stored_bits(name, k) == pytest.approx(row / k, rel=1e-15)
    for rows in (1, 7, 4096):
        assert int(tensor_bytes(rows * k, [float(hw.stored_bits(name, k))])[0]) == -(-rows * row // 8)
    pe = hw.MacPE("e2m1fn" if fmt.element.bits == 4 and "int" not in name else "int8", name)
    report = hw.estimate(hw.Gemm(1, k, 7), array(rows=16, pe=pe), output_bits=0)
    assert report.bytes == -(-k * nf.element_of(pe.a_format).bits // 8) + -(-7 * row // 8)


def test_other_formats_are_stored_as_they_say() -> None:
    assert hw.stored_bits("int8", [1, 2]).tolist() == [8.0, 8.0]
    assert hw.stored_bits("int8:token", 5) == 8.0
    assert hw.stored_bits("nf4:b64", [5, 64]).tolist() == [float(nf.bits_per_element(nf.get("nf4:b64")))] * 2
    tiled = hw.stored_bits("e4m3fn:t128x128", [128, 129])
    one = float(nf.bits_per_element(nf.get("e4m3fn:t128x128"))) - 8
    assert tiled.tolist() == pytest.approx([8 + one, 8 + one * 256 / 129])
    with pytest.raises(TypeError, match=r"stored_bits: k must be an integer or an array of integers, got float64 1.5"):
        hw.stored_bits("mxfp4", 1.5)
    with pytest.raises(ValueError, match="stored_bits: k must be at least 1, got 0"):
        hw.stored_bits("mxfp4", [4, 0])


def test_partial_sums_that_do_not_fit_split_the_streamed_rows() -> None:
    # 4 KiB: half holds 2048 bytes, 128 rows of 4 sums of 32 bits. 300 rows run in 3 passes, each loading its weights.
    small = hw.estimate(hw.Gemm(300, 64, 8), chip(sram=hw.sram(4, "ihp130")))
    large = hw.estimate(hw.Gemm(300, 64, 8), chip())
    assert small.total("load_cycles") == 3 * large.total("load_cycles")
    assert small.macs == large.macs
    assert small.total("stream_cycles") == large.total("stream_cycles")
    # One fold along k leaves no partial sums to keep.
    assert hw.estimate(hw.Gemm(300, 8, 8), chip(sram=hw.sram(4, "ihp130"))).total("load_cycles") == 2 * 8


def test_an_sram_smaller_than_a_tile_names_both_sizes() -> None:
    big = hw.Accelerator(array=array(rows=64, columns=64), sram=hw.sram(8, "ihp130"), technology="ihp130")
    # Two tiles of 64 x 64 weights and 64 activations, 8 bits each, in half of 8 KiB.
    with pytest.raises(
        ValueError, match=r"takes 8320 bytes of half the SRAM, which has 8192 bytes .* at least 16640 bytes"
    ):
        hw.estimate(hw.Gemm(512, 512, 512), big)
    hw.estimate(hw.Gemm(512, 16, 16), big)
    with pytest.raises(ValueError, match="GEMM 5x64x64 on 64x64 weight_stationary"):
        hw.estimate_many([5, 5], [16, 64], [16, 64], big)


sizes = st.lists(st.integers(1, 300), min_size=3, max_size=3)


@given(st.lists(sizes, min_size=1, max_size=5), st.sampled_from(DATAFLOWS))
def test_many_equal_one_by_one(shapes: list[list[int]], dataflow: Dataflow) -> None:
    target = chip(array=array(dataflow=dataflow, pe=hw.MacPE("int8", "int4:g128")), technology="gt2n")
    m, k, n = np.array(shapes).T
    many = hw.estimate_many(m, k, n, target)
    for index, shape in enumerate(shapes):
        one = hw.estimate(hw.Gemm(*shape), target)
        for name in ("cycles", "macs", "bytes", "stall_cycles"):
            assert many[name][index] == one.total(name)
        moving = [cost for part, cost in one.energy.items() if not part.startswith("leakage")]
        assert many["energy_pj"][index] == pytest.approx(sum(cost.value for cost in moving))
        assert many["energy_low_pj"][index] == pytest.approx(sum(cost.low for cost in moving))


def test_many_keep_their_shape_and_broadcast() -> None:
    columns = hw.estimate_many(np.arange(1, 7).reshape(2, 3), 16, 16, array(), batch=2)
    assert {column.shape for column in columns.values()} == {(2, 3)}
    assert columns["macs"].tolist() == [[512 * m for m in row] for row in [[1, 2, 3], [4, 5, 6]]]


def test_bits_per_row_override_the_formats() -> None:
    where = hw.setting(chip())
    columns, _ = hw.gemm_columns([16, 16], [16, 16], [16, 16], 1, where, bits_a=[8, 4.5], bits_b=8, output_bits=[8, 16])
    assert columns["bytes"].tolist() == [256 + 256 + 256, 144 + 256 + 512]


def test_shared_operands_are_stored_once_and_read_by_the_array_as_before() -> None:
    where = hw.setting(chip())
    sizes: tuple[Any, ...] = ([16, 16], [16, 16], [16, 16], 4, where)
    plain, before = hw.gemm_columns(*sizes, output_bits=8)
    shared, after = hw.gemm_columns(*sizes, output_bits=8, a_elements=[1024, 100], b_elements=256, mac_bits=[64, 32])
    assert plain["bytes"].tolist() == [3072, 3072]
    assert shared["bytes"].tolist() == shared["tensor_bytes"].tolist() == [1024 + 256 + 1024, 100 + 256 + 1024]
    assert shared["bits_x_bits"].tolist() == [64 * 16384, 32 * 16384]
    assert after["DRAM reads"].tolist() == [8 * 1280, 8 * 356]
    assert (after["SRAM reads"] == before["SRAM reads"]).all()
    assert (before["SRAM writes"] - after["SRAM writes"]).tolist() == [8 * 768, 8 * 1692], "only what DRAM brings"
    report = hw.gemm_report(["x"], [16], [16], [16], where, batch=4, b_elements=256, mac_bits=1)
    assert report.null_models["bits_x_bits"] == 16384
    assert report.total("tensor_bytes") == 1024 + 256 + 2048


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"a_elements": [1, 2, 3]}, ValueError, r"a_elements needs one value or shape \(2,\), got \(3,\)"),
        ({"b_elements": 1.5}, TypeError, "b_elements must be integers, one or one per GEMM, got float64 1.5"),
        ({"b_elements": -1}, ValueError, "b_elements must be 0 or more, got -1"),
        ({"mac_bits": "64"}, TypeError, "mac_bits must be numbers, one or one per GEMM, got <U2 '64'"),
    ],
)
def test_what_is_no_count_of_elements_is_refused(arguments: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        hw.gemm_columns([1, 2], 3, 4, 1, hw.setting(chip()), **arguments)


def test_every_part_of_an_array_leaks() -> None:
    report = hw.estimate(hw.Gemm(10, 20, 30), chip(technology="sky130hd"))
    leaking = {name.removeprefix("leakage ") for name in report.energy if name.startswith("leakage ")}
    assert leaking >= set(array_parts(array(), hw.get_technology("sky130hd"))) | {"PEs"}
    pes = hw.MacPE("int8", "int8").leakage_mw("sky130hd") * (array().rows * array().columns)
    assert report.energy["leakage PEs"].value == pytest.approx(pes.value * 1e9 * report.latency_s)


def test_the_vector_unit_leaks_as_the_unit_that_its_other_figures_are_of() -> None:
    report = hw.estimate(hw.Gemm(10, 20, 30), chip())
    unit = hw.MacPE("bfloat16", "bfloat16", accumulator=nf.FloatChain("float32"))
    found, one = report.leakage["vector unit"], unit.leakage_mw("ihp130")
    assert found.value == pytest.approx(array().columns * one.value)
    assert (found.low, found.high) == pytest.approx((array().columns * one.low / 2, array().columns * one.high * 2))
    assert report.energy["leakage vector unit"].value == pytest.approx(found.value * 1e9 * report.latency_s)
    assert "leakage of the vector unit" not in {entry.name for entry in report.unpriced}
    bare = hw.estimate(hw.Gemm(10, 20, 30), chip(vector_unit=hw.VectorUnit(lanes=4)))
    assert {"leakage of the vector unit", "area of the vector unit"} <= {entry.name for entry in bare.unpriced}
    assert "vector unit" not in bare.leakage


def test_the_clock_is_the_slowest_pes_delay_unless_given() -> None:
    slow = hw.MacPE("bfloat16", "bfloat16")
    both = chip(others=(array(pe=slow),))
    assert both.clock_hz == pytest.approx(1e9 / slow.delay_ns("ihp130").value)
    assert chip(clock_hz=5e8).clock_hz == 5e8
    assert hw.estimate(hw.Gemm(1, 2, 3), array(), technology="gt2n").clock_hz == pytest.approx(
        1e9 / INT8.delay_ns("gt2n").value
    )


def test_an_accelerators_area_is_the_sum_of_its_parts() -> None:
    both = chip(others=(array(pe=hw.MacPE("mxfp4", "mxfp4")),))
    assert {"PEs", "PEs 1", "SRAM", "block-scale units 1"} <= set(both.area)
    assert both.area_um2.value == pytest.approx(sum(part.value for part in both.area.values()))
    assert hw.estimate(hw.Gemm(1, 2, 3), both).area == both.area


def test_an_accelerator_finds_the_array_for_a_pair_or_names_both() -> None:
    both = chip(others=(array(pe=hw.MacPE("e4m3fn", "e4m3fn")),))
    assert both.array_for("int6", "int8") is both.array
    assert both.array_for("e2m1fn", "e4m3fn") is both.others[0]
    with pytest.raises(
        ValueError, match=r"no PE takes float16 x int8; the accelerator has int8 x int8, fixed 32, e4m3fn"
    ):
        both.array_for("float16", "int8")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: chip(sram=hw.sram(8)), r"sram is priced at node '28nm CACTI', the technology is 'ihp130'; scale it"),
        (lambda: chip(clock_hz=0.0), "clock_hz must be positive, got 0.0"),
        (lambda: hw.VectorUnit(leakage_mw=hw.lpddr5().read_pj_per_bit), "leakage_mw must be in mW, got pJ/bit"),
        (lambda: hw.VectorUnit(lanes=0), "lanes must be at least 1, got 0"),
        (lambda: hw.VectorUnit(area_um2=hw.lpddr5().read_pj_per_bit), "area_um2 must be in um2, got pJ/bit"),
        (lambda: hw.estimate(hw.Gemm(1, 2, 3), chip(), technology="gt2n"), "the accelerator is in 'ihp130', got"),
        (lambda: tensor_bytes(1, -1), "bits per element must be 0 or more, got -1"),
        (lambda: hw.vector_report(["x"], [-1], [0], [0], chip()), "operations and bytes must be 0 or more"),
        (lambda: hw.vector_report(["x"], [np.nan], [0], [0], chip()), "must be 0 or more, and finite"),
        (lambda: hw.vector_report(["x", "y"], [1, 2, 3], [0], [0], chip()), r"one value .* got \(3,\)"),
        (lambda: hw.estimate(hw.Gemm(1, 2, 3), chip(), output_bits=np.nan), "output_bits must be a finite number"),
        (lambda: chip(vector_unit=hw.assumed_vector_unit(4, "gt2n")), "vector_unit is priced at node 'gt2n', the tech"),
    ],
)  # fmt: skip
def test_nonsense_is_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: hw.estimate((256, 512, 512), array()), r"needs a Gemm, got \(256, 512, 512\); say Gemm\(m=256"),  # type: ignore[arg-type]
        (lambda: hw.VectorUnit(lanes=1.5), "lanes must be an integer, got 1.5 of type float"),  # type: ignore[arg-type]
        (lambda: chip(others=array()), "others must be a tuple of SystolicArrays, got SystolicArray"),
        (lambda: hw.vector_report(["x"], [1], [0], [0], array()), "needs an Accelerator, whose vector unit"),
        (lambda: hw.gemm_columns(1, 2, 3, 1, array()), r"where must be a Setting, .* say setting\(array\)"),  # type: ignore[arg-type]
        (lambda: hw.parallel(hw.estimate(hw.Gemm(1, 2, 3), array()), 1), "takes two Reports, got 1"),  # type: ignore[arg-type]
        (lambda: hw.energy_ratio(hw.estimate(hw.Gemm(1, 2, 3), array()), 1), "takes two Reports, got 1"),  # type: ignore[arg-type]
        (lambda: chip(sram=512), "Accelerator: sram must be a Memory, got 512"),
        (lambda: chip(vector_unit=4), "Accelerator: vector_unit must be a VectorUnit, got 4"),
        (lambda: chip(array=INT8), "Accelerator: array must be a SystolicArray, got MacPE"),
        (lambda: chip(clock_hz="1GHz"), "clock_hz must be a number of Hz such as 1e9, got '1GHz'"),
        (lambda: hw.estimate(hw.Gemm(1, 2, 3), array(), output_bits="bf16"),  # type: ignore[arg-type]
         r"output_bits must be a number of bits such as 16, got 'bf16'; bits_per_element\('bf16'\) of formats"),
        (lambda: hw.gemm_columns(1, 2, 3, 1, hw.setting(array()), bits_a=[[8]]),
         r"bits_a must be a number .* got \[8\]"),
    ],
)  # fmt: skip
def test_wrong_types_are_refused(make: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        make()


@pytest.mark.parametrize("target", [array(), chip()], ids=["array", "chip"])
def test_no_gemms_give_empty_columns(target: Any) -> None:
    columns = hw.estimate_many([], [], [], target)
    assert {column.shape for column in columns.values()} == {(0,)}
    assert columns.keys() == hw.estimate_many([1], [2], [3], target).keys()
    with pytest.raises(ValueError, match=r"must broadcast together, got m \(2,\), k \(3,\), n \(1,\), batch \(\)"):
        hw.estimate_many([1, 2], [1, 2, 3], [1], target)


def test_a_pe_without_a_price_is_refused() -> None:
    class Bare:
        a = b = "int8"
        accumulator = nf.Integer(32)
        macs_per_cycle = 1

    with pytest.raises(TypeError, match=r"array.pe must be a MacPE to have a price"):
        hw.estimate(hw.Gemm(1, 2, 3), hw.SystolicArray(Bare(), 2, 2))
    with pytest.raises(TypeError, match="needs a SystolicArray or an Accelerator, got str 'int8'"):
        hw.estimate(hw.Gemm(1, 2, 3), "int8")  # type: ignore[arg-type]


def test_vector_work_takes_the_longer_of_operations_and_bytes() -> None:
    target = chip(clock_hz=1e9, vector_unit=hw.VectorUnit(lanes=4))
    report = hw.vector_report(["busy", "wide"], [1001, 4], [0, 40_000], [0, 960], target)
    assert report.columns["cycles"].tolist() == [251, 800]  # ceil(1001 / 4); 40960 B at 51.2 B a cycle
    assert report.columns["bound"].tolist() == ["vector", "dram"]
    assert report.unpriced_share == 1.0
    priced = hw.VectorUnit(lanes=4, energy_pj_per_operation=hw.Cost(
        value=7.0, low=6.0, high=8.0, unit="pJ", source="typed here", status="tested", node="ihp130"))  # fmt: skip
    energy = hw.vector_report(["busy"], [10], [0], [0], chip(vector_unit=priced)).energy["vector operations"]
    assert energy.value == pytest.approx(70.0)
    total = hw.estimate(hw.Gemm(10, 20, 30), target) + report
    assert total.cycles == report.cycles + hw.estimate(hw.Gemm(10, 20, 30), target).cycles


def test_the_default_vector_unit_has_an_assumed_price() -> None:
    unit, lane = chip().levels[0], hw.MacPE("bfloat16", "bfloat16")
    assert unit == hw.assumed_vector_unit(4, "ihp130")
    assert unit.lanes == 4
    assert unit.energy_pj_per_operation is not None
    assert unit.area_um2 is not None
    for cost, plain in (
        (unit.energy_pj_per_operation, lane.energy_pj("ihp130")),
        (unit.area_um2, lane.area_um2("ihp130") * 4),
    ):
        assert (cost.value, cost.low, cost.high) == pytest.approx((plain.value, plain.low / 2, plain.high * 2))
        assert cost.source == "assumed: an element operation costs a bfloat16 multiply-add with float32 sum"
        assert cost.status == "estimated"
    report = hw.vector_report(["busy"], [10], [0], [8], chip())
    assert report.energy["vector operations"].value == pytest.approx(10 * lane.energy_pj("ihp130").value)
    assert report.unpriced_share == 0.0
    assert "vector unit: assumed: an element operation" in str(report)
    assert "vector unit: assumed" not in str(hw.estimate(hw.Gemm(1, 2, 3), chip(vector_unit=hw.VectorUnit())))


def test_descriptions_are_hashable_and_rebuilt_by_their_repr() -> None:
    names = {**vars(nf), **vars(hw)}
    both = chip(others=(array(pe=hw.MacPE("mxfp4", "mxfp4")),))
    assert eval(repr(both), names) == both
    assert hash(eval(repr(both), names)) == hash(both)


@pytest.mark.slow  # timed: a busy neighbour is no failure of the default run
def test_a_hundred_thousand_estimates_a_second() -> None:
    """Measured: millions; the bar is 100,000 GEMMs/s in process time on one thread."""
    rng = np.random.default_rng(0)
    m, k, n = rng.integers(1, 8192, size=(3, 50_000))
    target = chip(array=array(rows=64, columns=64))
    hw.estimate_many(m[:10], k[:10], n[:10], target)
    rates = []
    for _ in range(3):
        start = time.process_time()
        hw.estimate_many(m, k, n, target)
        rates.append(m.size / max(time.process_time() - start, 1e-9))
    assert max(rates) > 100_000
