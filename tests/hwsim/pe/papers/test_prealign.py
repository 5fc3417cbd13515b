"""Pre-alignment against values cut off in float64, and its gates."""

from __future__ import annotations

import numpy as np
import pytest

import formats as nf
from hwsim.circuit import evaluate
from hwsim.pe.papers.prealign import PreAlign
from hwsim.pe.units.converters import Alignment
from tests.hwsim.rtl.designs import needs_yosys

RNG = np.random.default_rng(41)


def described(name: str, lanes: int, kept: int) -> PreAlign:
    fmt = nf.get(name)
    assert isinstance(fmt, nf.Minifloat)
    return PreAlign(source=fmt, lanes=lanes, kept=kept)


@pytest.mark.parametrize("case", [("float16", 4, 0), ("float16", 4, 4), ("bfloat16", 3, 2), ("e4m3fn", 2, 0)])
def test_values_are_cut_off_at_one_place(case: tuple[str, int, int]) -> None:
    unit = Alignment(what=described(*case))
    inputs = {"a": unit.vectors(2000, RNG)}
    found, wanted = evaluate(unit.module(), inputs), unit.answers(inputs)
    assert all((found[port] == wanted[port]).all() for port in ("aligned", "largest"))


def test_one_and_a_half_beside_a_half() -> None:
    """float16's 1.5 and 0.5 at exponent 15: 1536 and 512 places of 2**-10."""
    found = Alignment(what=described("float16", 2, 0)).answers({"a": np.array([0x3E00 | 0x3800 << 16], object)})
    assert found["largest"].tolist() == [15]
    assert found["aligned"].tolist() == [1536 | 512 << 12]


@needs_yosys
def test_gates_are_tested() -> None:
    assert Alignment(what=described("float16", 4, 2)).check().status == "tested"


def test_nonsense_is_refused() -> None:
    with pytest.raises(ValueError, match="signed minifloat with subnormals"):
        PreAlign(source=nf.get("int8"), lanes=4)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="got lanes=1, kept=0"):
        described("float16", 1, 0)
