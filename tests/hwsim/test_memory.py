"""Memories: the cited points, what lies between, bandwidth, and another node only by a named scaling."""

from __future__ import annotations

import re
from dataclasses import replace
from math import inf, sqrt
from typing import Any

import numpy as np
import pytest

import hwsim as hw
from hwsim.memory import CACTI_NODE, sram_scaling

# CACTI sweep of the ANT simulator, 28 nm, 64 B accesses, and the 512 KiB of the BitMoD simulator, as cited.
CITED = {4: (16.9, 20.3, 2.97, 0.0461), 8: (17.8, 24.9, 5.50, 0.0556), 512: (92.79, None, None, 1.602)}


@pytest.mark.parametrize("kib", CITED)
def test_cited_points_are_met(kib: int) -> None:
    read, write, leakage, area = CITED[kib]
    memory = hw.sram(kib)
    assert memory.capacity_bits == kib * 1024 * 8
    assert memory.read_pj_per_bit.value * 512 == pytest.approx(read, rel=3e-3)
    assert memory.area_um2 is not None
    assert memory.area_um2.value == pytest.approx(area * 1e6, rel=2e-3)
    if write is not None:
        assert memory.write_pj_per_bit.value * 512 == pytest.approx(write, rel=3e-3)
    if leakage is not None:
        assert memory.leakage_mw is not None
        # The record quotes the bank's leakage; gate leakage, 5 % more, is included here.
        assert leakage < memory.leakage_mw.value < 1.06 * leakage
    for cost in (memory.read_pj_per_bit, memory.write_pj_per_bit, memory.area_um2):
        assert cost.low < cost.value < cost.high
        assert (cost.status, cost.node) == ("estimated", CACTI_NODE)


def test_between_and_beyond_the_points_figures_rise_and_intervals_are_wider() -> None:
    sizes = [4, 5, 8, 16, 64, 256, 511, 512, 513, 1024, 4096]
    memories = [hw.sram(kib) for kib in sizes]
    for figure in ("read_pj_per_bit", "write_pj_per_bit", "area_um2", "leakage_mw"):
        values = [getattr(memory, figure).value for memory in memories]
        assert values == sorted(values), figure
    cited, between = hw.sram(8).read_pj_per_bit, hw.sram(64).read_pj_per_bit
    assert between.high / between.low > cited.high / cited.low
    assert "power law" in between.source
    assert "cited" in cited.source
    # Geometric mean of 8 and 512 KiB is 64 KiB: so is its energy.
    ends = [hw.sram(kib).read_pj_per_bit.value for kib in (8, 512)]
    assert between.value == pytest.approx(sqrt(ends[0] * ends[1]))
    assert any("2 macros of 512 KiB" in text for text in hw.sram(1024).assumptions)


def test_too_small_an_sram_is_refused() -> None:
    with pytest.raises(ValueError, match="the table starts at 4 KiB, got 2 KiB"):
        hw.sram(2)


def test_beyond_the_last_point_an_access_says_that_it_is_extrapolated() -> None:
    """The energy goes on with the power law (8 to 512 KiB: a factor 5.222 for 64 times), from one macro's alone up."""
    one, many = hw.sram(512), hw.sram(512 * 64)
    for here, there in (
        (one.read_pj_per_bit, many.read_pj_per_bit),
        (one.write_pj_per_bit, many.write_pj_per_bit),
    ):
        assert there.value == pytest.approx(here.value * 92.79 / 17.7688)
        assert there.low <= here.value / 1.5
        assert there.high == pytest.approx(2 * there.value)
        assert "extrapolated by the power law from 8 to 512 KiB" in there.source
        assert "extrapolated" not in here.source
    assert "extrapolated" in many.assumptions[0]
    assert many.area_um2 is not None
    assert one.area_um2 is not None
    assert many.area_um2.value == pytest.approx(64 * one.area_um2.value)


@pytest.mark.parametrize("kib", ["512", None, 512.0, 1e9, True, float("nan")])
def test_a_capacity_is_an_integer(kib: object) -> None:
    with pytest.raises(TypeError, match="sram: kib must be an integer number of KiB such as 512, got"):
        hw.sram(kib)  # type: ignore[arg-type]
    assert hw.sram(np.int64(512)) == hw.sram(512)  # type: ignore[arg-type]


def test_an_sram_larger_than_a_die_is_refused() -> None:
    assert hw.sram(256 * 1024).area_um2.value < 26e3 * 33e3  # type: ignore[union-attr]
    with pytest.raises(ValueError, match=r"1000000000 KiB do not fit a die at 28 nm, .*; use at most 262144 KiB, or"):
        hw.sram(10**9)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"capacity_bits": "4096"}, "Memory 'SRAM 8 KiB': capacity_bits must be an integer, got '4096'"),
        ({"capacity_bits": 4096.5}, "capacity_bits must be an integer, got 4096.5"),
        ({"bits_per_cycle": "512"}, "bits_per_cycle must be a number, got '512'"),
        ({"read_pj_per_bit": 0.2}, "read_pj_per_bit must be a Cost in pJ/bit, got 0.2"),
        ({"read_pj_per_bit": None}, "read_pj_per_bit must be a Cost in pJ/bit, got None"),
        ({"area_um2": 5}, "area_um2 must be a Cost in um2, got 5"),
    ],
)
def test_figures_of_a_level_have_their_types(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError, match=re.escape(message)):
        replace(hw.sram(8), **wrong)


def test_dram_says_that_it_is_assumed() -> None:
    memory = hw.lpddr5()
    assert memory.bits_each_cycle(1e9) == pytest.approx(51.2 * 8)
    assert memory.read_pj_per_bit.value == 4.0
    assert memory.read_pj_per_bit.source.startswith("assumed")
    assert memory.assumptions[0].startswith("assumed")
    assert memory.read_pj_per_bit.node is None


def test_bandwidth_is_per_second_per_cycle_or_unlimited() -> None:
    base = hw.sram(8)
    assert base.bits_each_cycle(1e9) == inf
    assert hw.sram(8, bits_per_cycle=512).bits_each_cycle(1e9) == 512
    assert replace(base, bandwidth_bits_per_s=1e9).bits_each_cycle(2e9) == 0.5
    with pytest.raises(ValueError, match="give bandwidth_bits_per_s or bits_per_cycle, not both"):
        replace(base, bandwidth_bits_per_s=1e9, bits_per_cycle=8)
    with pytest.raises(ValueError, match="bits_per_cycle must be positive, got 0"):
        replace(base, bits_per_cycle=0)
    with pytest.raises(ValueError, match="capacity_bits must be at least 1 or None, got 0"):
        replace(base, capacity_bits=0)
    with pytest.raises(ValueError, match="read_pj_per_bit must be in pJ/bit, got um2"):
        replace(base, read_pj_per_bit=base.area_um2)


@pytest.mark.parametrize("name", hw.technologies())
def test_another_node_is_reached_by_a_named_scaling_only(name: str) -> None:
    tech, plain = hw.get_technology(name), hw.sram(512)
    scaled = hw.sram(512, name)
    rule = sram_scaling(tech)
    factors = dict(rule.factors)
    assert scaled.area_um2 is not None
    assert plain.area_um2 is not None
    assert scaled.area_um2.value == pytest.approx(plain.area_um2.value * factors["um2"])
    assert scaled.area_um2.high / scaled.area_um2.value == pytest.approx(3 * 1.5)
    assert scaled.leakage_mw is None
    assert rule.name in scaled.read_pj_per_bit.source
    assert any(rule.name in text for text in scaled.assumptions)
    assert (scaled.area_um2 + hw.MacPE("int8", "int8").area_um2(tech)).node == name
    with pytest.raises(ValueError, match="apply a Scaling"):
        plain.area_um2 + hw.MacPE("int8", "int8").area_um2(tech)


def test_the_scaling_reproduces_the_measured_density_ratio() -> None:
    # One PE synthesised with sky130 and at 28 nm: 10.75 times the area.
    assert dict(sram_scaling(hw.get_technology("sky130hd")).factors)["um2"] == pytest.approx(10.75)
    energy = dict(sram_scaling(hw.get_technology("sky130hd")).factors)["pJ/bit"]
    assert energy == pytest.approx(sqrt(10.75) * (1.8 / 0.9) ** 2)
