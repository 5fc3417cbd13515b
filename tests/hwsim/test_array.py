"""Gemm and SystolicArray: what they accept, and what an array says of itself."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, dataclass
from typing import Any

import numpy as np
import pytest

import formats as nf
from hwsim.array import Gemm, SystolicArray
from hwsim.cycles import DATAFLOWS


@dataclass(frozen=True)
class DotPE:
    """As much of a PE as an array looks at."""

    a: Any = "int8"
    b: Any = "int8"
    accumulator: Any = nf.Exact(max_terms=64)  # noqa: RUF009  # frozen
    macs_per_cycle: int = 1


def test_descriptions_are_frozen_hashable_and_rebuilt_by_their_repr() -> None:
    gemm, array = Gemm(9, 20, n=np.int64(7)), SystolicArray(DotPE(), 4, columns=8, dataflow="output_stationary")
    assert repr(gemm) == "Gemm(m=9, k=20, n=7, batch=1)"
    assert eval(repr(gemm)) == gemm
    assert len({gemm, Gemm(9, 20, 7)}) == len({array, SystolicArray(DotPE(), 4, 8, "output_stationary", True)}) == 1
    with pytest.raises(FrozenInstanceError):
        array.rows = 3  # type: ignore[misc]
    assert gemm.macs == 9 * 20 * 7
    assert array.peak_macs_per_cycle == 32


@pytest.mark.parametrize("dataflow", DATAFLOWS)
@pytest.mark.parametrize("lanes", [1, 4])
def test_an_array_publishes_its_cycles_and_order(dataflow: Any, lanes: int) -> None:
    array = SystolicArray(DotPE(macs_per_cycle=lanes), 4, 8, dataflow=dataflow)
    gemm = Gemm(9, 20, 7, batch=3)
    folds = {
        "weight_stationary": -(-20 // (4 * lanes)),
        "input_stationary": -(-20 // (4 * lanes)) * 2,
        "output_stationary": 3,
    }[dataflow]
    steps = {"weight_stationary": 9, "input_stationary": 7, "output_stationary": -(-20 // lanes)}[dataflow]
    assert array.cycles(gemm) == 3 * folds * (2 * 4 + 8 + steps - 2)
    assert type(array.cycles(gemm)) is int
    assert array.counts(gemm)["utilization"] == pytest.approx(gemm.macs / array.cycles(gemm) / (32 * lanes))
    expected = nf.Sequential() if dataflow == "output_stationary" else nf.Chunked(4 * lanes)
    assert array.order(gemm) == expected


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((0, 1, 1), ValueError, "Gemm: m must be at least 1, got 0"),
        ((1, -3, 1), ValueError, "Gemm: k must be at least 1, got -3"),
        ((1, 1, 2.0), TypeError, "Gemm: n must be an integer, got 2.0 of type float"),
        ((1, 1, 1, True), TypeError, "Gemm: batch must be an integer, got the bool True"),
    ],
)
def test_gemm_refuses(arguments: tuple[Any, ...], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Gemm(*arguments)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"rows": 0}, ValueError, "SystolicArray: rows must be at least 1, got 0"),
        ({"columns": "8"}, TypeError, "SystolicArray: columns must be an integer, got '8' of type str"),
        (
            {"dataflow": "ws"},
            ValueError,
            "SystolicArray: dataflow must be one of weight_stationary, output_",
        ),
        ({"drain": None}, TypeError, "SystolicArray: drain must be True or False, got None"),
        ({"pe": "int8"}, TypeError, r"pe must have a, b, accumulator, macs_per_cycle, got 'int8'; pass a PE such as"),
        ({"pe": DotPE(macs_per_cycle=0)}, ValueError, "pe: macs_per_cycle must be at least 1, got 0"),
    ],
)
def test_systolic_array_refuses(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        SystolicArray(**{"pe": DotPE(), "rows": 2, "columns": 2, **arguments})
