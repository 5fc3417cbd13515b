"""Paired energy ratios: what two designs have in common cancels, what is a design's own does not."""

from __future__ import annotations

import pytest

import formats as nf
import hwsim as hw

GEMM = hw.Gemm(m=256, k=1024, n=1024)


def chip(a: str, b: str, technology: str = "ihp130", kib: int = 512) -> hw.Accelerator:
    array = hw.SystolicArray(hw.MacPE(a, b), rows=32, columns=32)
    return hw.Accelerator(array=array, technology=technology, sram=hw.sram(kib, technology), clock_hz=50e6)


def test_a_design_against_itself_is_exactly_one() -> None:
    report = hw.estimate(GEMM, chip("e4m3fn", "e4m3fn"))
    ratio = hw.energy_ratio(report, report)
    assert (ratio.low, ratio.value, ratio.high) == (1.0, 1.0, 1.0)


def test_two_designs_of_one_name_are_two() -> None:
    """A codebook's name does not say its entries."""
    books = [
        nf.Codebook(label="unregistered", bits=2, entries=entries, ties="even")
        for entries in ((-1, 0, 1, 2), (0, 1, 2, 7))
    ]
    grids = [hw.SystolicArray(hw.MacPE("int8", book, accumulator=nf.FloatChain("float32")), 8, 8) for book in books]
    chips = [hw.Accelerator(array=grid, technology="ihp130", clock_hz=10e6) for grid in grids]
    reports = [hw.estimate(GEMM, one) for one in chips]
    assert reports[0].accelerator == reports[1].accelerator
    ratio = hw.energy_ratio(*reports)
    assert ratio.low < ratio.value < ratio.high


def test_pairing_is_narrower_than_dividing_and_holds_the_value() -> None:
    narrow, wide = hw.estimate(GEMM, chip("int4", "int8")), hw.estimate(GEMM, chip("int8", "int8"))
    paired, divided = hw.energy_ratio(narrow, wide), narrow.energy_pj.ratio(wide.energy_pj)
    assert paired.value == pytest.approx(divided.value)
    assert paired.low <= paired.value <= paired.high
    assert paired.high / paired.low < divided.high / divided.low


def test_the_inverse_ratio_has_the_inverse_interval() -> None:
    a, b = hw.estimate(GEMM, chip("int4", "int8")), hw.estimate(GEMM, chip("e4m3fn", "e4m3fn"))
    forth, back = hw.energy_ratio(a, b), hw.energy_ratio(b, a)
    assert forth.low == pytest.approx(1 / back.high)
    assert forth.high == pytest.approx(1 / back.low)


def test_memory_alone_has_no_uncertainty_left() -> None:
    # With PEs free of charge both energies are bits times one price: the price cancels.
    a, b = hw.estimate(GEMM, chip("int4", "int8")), hw.estimate(GEMM, chip("int8", "int8"))
    import dataclasses

    def memory_only(report: hw.Report) -> hw.Report:
        names = ("DRAM reads", "DRAM writes")
        return dataclasses.replace(
            report,
            counts={name: report.counts[name] for name in names},
            prices={name: report.prices[name] for name in names},
            leakage={},
        )

    ratio = hw.energy_ratio(memory_only(a), memory_only(b))
    assert ratio.low == pytest.approx(ratio.high)


def test_other_nodes_and_other_memories_are_refused() -> None:
    report = hw.estimate(GEMM, chip("int8", "int8"))
    with pytest.raises(ValueError, match="one node, got 'ihp130' and 'gt2n'"):
        hw.energy_ratio(report, hw.estimate(GEMM, chip("int8", "int8", "gt2n")))
    with pytest.raises(ValueError, match="pairs need one memory"):
        hw.energy_ratio(report, hw.estimate(GEMM, chip("int8", "int8", kib=256)))
