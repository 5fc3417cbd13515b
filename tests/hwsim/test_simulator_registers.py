"""The registers themselves: 2x2 traces written by hand, and what happens to an array that lacks a skew register."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

import formats as nf
from hwsim.array import Gemm, SystolicArray
from hwsim.array.machine import Skew
from hwsim.cycles import DATAFLOWS
from hwsim.simulator import SimulationResult, simulate, simulate_with

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class DotPE:
    """As much of a PE as an array looks at."""

    a: Any = "int8"
    b: Any = "int8"
    accumulator: Any = nf.Integer(32)  # noqa: RUF009  # frozen
    macs_per_cycle: int = 1


A, B = np.array([[1, 2], [3, 4]]), np.array([[5, 6], [7, 8]])  # a @ b = [[19, 22], [43, 50]]
BITS = {
    "integer": DotPE(),
    "float": DotPE(accumulator=nf.FloatChain("float32")),
    "limbs": DotPE("e5m2", "e5m2", nf.Integer(80)),
}

# One row a cycle: state | a of PE 00 01 10 11 | b of the same | sums of the same. `-` is an empty register.
TABLES = {
    # b shifts down from the top for two cycles, row 1 first; row 1 of a comes a cycle after row 0
    "weight_stationary": """
        load   | - - - - | 7 8 - - | -  -  -  -
        load   | - - - - | 5 6 7 8 | -  -  -  -
        stream | 1 - - - | 5 6 7 8 | 5  -  -  -
        stream | 3 1 2 - | 5 6 7 8 | 15 6  19 -
        stream | - 3 4 2 | 5 6 7 8 | -  18 43 22
        stream | - - - 4 | 5 6 7 8 | -  -  -  50
    """,
    # a stays, transposed: K down the rows, M along the columns; the columns of b stream through
    "input_stationary": """
        load   | 2 4 - - | - - - - | -  -  -  -
        load   | 1 3 2 4 | - - - - | -  -  -  -
        stream | 1 3 2 4 | 5 - - - | 5  -  -  -
        stream | 1 3 2 4 | 6 5 7 - | 6  15 19 -
        stream | 1 3 2 4 | - 6 8 7 | -  18 22 43
        stream | 1 3 2 4 | - - - 8 | -  -  -  50
    """,
    # a moves right, b moves down, sums stay; then they shift out, bottom row first, while the operands hold
    "output_stationary": """
        stream | 1 - - - | 5 - - - | 5  -  -  -
        stream | 2 1 3 - | 7 6 5 - | 19 6  15 -
        stream | - 2 4 3 | - 8 7 6 | 19 22 43 18
        stream | - - - 4 | - - - 8 | 19 22 43 50
        drain  | - - - 4 | - - - 8 | -  -  19 22
        drain  | - - - 4 | - - - 8 | -  -  -  -
    """,
}


def table(result: SimulationResult) -> list[list[str]]:
    """A trace as a table of words."""
    assert result.trace is not None
    trace = result.trace
    return [
        [str(state), *(cell for part in (a[..., 0], b[..., 0], sums) for cell in ("|", *_cells(part)))]
        for state, a, b, sums in zip(trace.state, trace.a, trace.b, trace.sums, strict=True)
    ]


def _cells(registers: Array) -> list[str]:
    return ["-" if np.isnan(value) else str(int(value)) for value in registers.ravel()]


@pytest.mark.parametrize("dataflow", DATAFLOWS)
@pytest.mark.parametrize("pe", BITS.values(), ids=BITS)
def test_a_2x2_trace_equals_the_table_written_by_hand(dataflow: Any, pe: DotPE) -> None:
    result = simulate(Gemm(2, 2, 2), SystolicArray(pe, 2, 2, dataflow), A, B, trace=True)
    expected = [line.split() for line in TABLES[dataflow].strip().splitlines()]
    assert table(result) == expected
    assert result.cycles == len(expected) == 2 * 2 + 2 + 2 - 2
    assert result.output.tolist() == [[19, 22], [43, 50]]


def test_without_drain_the_trace_ends_with_the_last_sum() -> None:
    result = simulate(Gemm(2, 2, 2), SystolicArray(DotPE(), 2, 2, "output_stationary", drain=False), A, B, trace=True)
    assert table(result) == [line.split() for line in TABLES["output_stationary"].strip().splitlines()[:4]]
    assert result.output.tolist() == [[19, 22], [43, 50]]


def test_a_trace_of_two_folds_and_two_lanes() -> None:
    # k = 3 over one row of two lanes: fold 0 holds b[0:2], fold 1 holds b[2] and an empty lane; one column, so no skew
    array = SystolicArray(DotPE(macs_per_cycle=2), 1, 1)
    result = simulate(Gemm(1, 3, 1), array, np.array([[2, 3, 5]]), np.array([[7], [11], [13]]), trace=True)
    assert result.trace is not None
    assert result.trace.fold.tolist() == [0, 0, 1, 1]
    assert result.trace.state.tolist() == ["load", "stream", "load", "stream"]
    np.testing.assert_array_equal(result.trace.b[:, 0, 0], [[7, 11], [7, 11], [13, np.nan], [13, np.nan]])
    np.testing.assert_array_equal(result.trace.a[:, 0, 0], [[np.nan] * 2, [2, 3], [np.nan] * 2, [5, np.nan]])
    np.testing.assert_array_equal(result.trace.sums[:, 0, 0], [np.nan, 2 * 7 + 3 * 11, np.nan, 5 * 13])
    assert result.output == 2 * 7 + 3 * 11 + 5 * 13


@pytest.mark.parametrize("dataflow", DATAFLOWS)
def test_tracing_changes_nothing(dataflow: Any) -> None:
    rng = np.random.default_rng(4)
    a, b = rng.integers(-128, 128, (5, 11)), rng.integers(-128, 128, (11, 7))
    array = SystolicArray(DotPE(macs_per_cycle=2), 3, 4, dataflow)
    plain, traced = (simulate(Gemm(5, 11, 7), array, a, b, trace=trace) for trace in (False, True))
    assert traced.trace is not None
    assert plain.trace is None
    assert (plain.output == traced.output).all()
    assert plain.cycles == traced.cycles == len(traced.trace.state)
    assert plain.counts == traced.counts


# ---------------------------------------------------------------- arrays that lack a skew register

R, C = 4, 5


def shortened(array: SystolicArray, rows: list[int], columns: list[int]) -> Skew:
    """The skew lines of the array less one register in each of the lines named."""
    skew = Skew.of(array)
    skew.rows[rows] -= 1
    skew.columns[columns] -= 1
    return skew


def faulty(dataflow: Any, pe: DotPE, rows: list[int], columns: list[int]) -> tuple[bool, int]:
    """Whether the result is wrong, and how many cycles too few it took a fold, without the registers named."""
    rng = np.random.default_rng(9)
    gemm = Gemm(5, 4, 6) if dataflow == "input_stationary" else Gemm(6, 4, 5)
    a, b = rng.integers(1, 8, (gemm.m, gemm.k)), rng.integers(1, 8, (gemm.k, gemm.n))
    array = SystolicArray(pe, R, C, dataflow)
    result = simulate_with(shortened(array, rows, columns), gemm, array, a, b)
    return bool((result.output != a @ b).any()), (array.cycles(gemm) - result.cycles) // result.counts["folds"]


@pytest.mark.parametrize("dataflow", DATAFLOWS)
@pytest.mark.parametrize("pe", BITS.values(), ids=BITS)
def test_with_all_its_skew_registers_the_array_works(dataflow: Any, pe: DotPE) -> None:
    assert faulty(dataflow, pe, [], []) == (False, 0)


@pytest.mark.parametrize("dataflow", ["weight_stationary", "input_stationary"])
@pytest.mark.parametrize("pe", BITS.values(), ids=BITS)
@pytest.mark.parametrize("row", range(1, R))
def test_removing_any_one_skew_register_breaks_values_and_cycles(dataflow: Any, pe: DotPE, row: int) -> None:
    # that row's words come a cycle early: a first sum without the other rows' terms, and the last one never waited for
    assert faulty(dataflow, pe, [row], []) == (True, 1)


@pytest.mark.parametrize("pe", BITS.values(), ids=BITS)
@pytest.mark.parametrize(("rows", "columns"), [([R - 1], []), ([], [C - 1])], ids=["last row", "last column"])
def test_removing_one_of_the_last_skew_registers_of_output_stationary_breaks_both(
    pe: DotPE, rows: list[int], columns: list[int]
) -> None:
    # the last PE starts a cycle early, on a word that meets none, and ends a cycle early
    assert faulty("output_stationary", pe, rows, columns) == (True, 1)


@pytest.mark.parametrize("stage", range(1, R))
def test_removing_a_whole_stage_of_output_stationary_skew_breaks_both(stage: int) -> None:
    # a stage is one register in every line that has as many: all later rows run a cycle ahead of b
    assert faulty("output_stationary", DotPE(), list(range(stage, R)), []) == (True, 1)


@pytest.mark.parametrize(("rows", "columns"), [([1], []), ([2], []), ([], [1]), ([], [3])])
def test_removing_an_inner_skew_register_of_output_stationary_breaks_values(
    rows: list[int], columns: list[int]
) -> None:
    # its row or column ends early, but the last PE does not: the fold takes as long as ever
    assert faulty("output_stationary", DotPE(), rows, columns) == (True, 0)


@pytest.mark.parametrize("dataflow", DATAFLOWS)
def test_a_register_too_many_breaks_values_as_well(dataflow: Any) -> None:
    rng = np.random.default_rng(9)
    a, b = rng.integers(1, 8, (6, 4)), rng.integers(1, 8, (4, 5))
    array = SystolicArray(DotPE(), R, C, dataflow)
    skew = replace(Skew.of(array), rows=np.arange(R) * 2)
    assert (simulate_with(skew, Gemm(6, 4, 5), array, a, b).output != a @ b).any()


def test_an_array_that_never_finishes_is_stopped() -> None:
    array = SystolicArray(DotPE(), R, C)
    skew = replace(Skew.of(array), rows=np.full(R, 1000))
    with pytest.raises(RuntimeError, match=r"no last result in 72 cycles \(k 0..3, columns from 0\)"):
        simulate_with(skew, Gemm(5, 4, 5), array, np.ones((5, 4)), np.ones((4, 5)))
