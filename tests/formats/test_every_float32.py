"""All 2**32 float32 inputs: the codes change at the thresholds of the cast and nowhere else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import formats as nf
from tests.formats.cases import around, readable, thresholds
from tests.formats.oracle import Steps

CHUNK = 1 << 24
RNE = nf.Cast(nan="zero")
SWEEPS = [
    *[(name, RNE) for name in ("e4m3fn", "e5m2", "e2m1fn", "e8m0fnu", "int8", "nf4")],
    *[(name, nf.Cast(overflow="overflow")) for name in ("e4m3fn", "e5m2", "e4m3fnuz")],
    ("int8", nf.Cast(rounding="to_odd", nan="zero")),
    *[("e4m3fn", nf.Cast(rounding=rounding)) for rounding in ("ties_away", "up", "to_odd")],  # type: ignore[arg-type]
]


def changes(codes: NDArray[Any], first: int, before: int) -> list[tuple[int, int]]:
    """(bits, new code) wherever the code differs from that of the bits before."""
    at = np.flatnonzero(codes[1:] != codes[:-1]) + 1
    found = [(first + int(i), int(codes[i])) for i in at]
    return [(first, int(codes[0])), *found] if int(codes[0]) != before else found


def expected_changes(fmt: Any, cast: nf.Cast, sign: int) -> list[tuple[int, int]]:
    """The same from the thresholds alone: between two of them, and among all NaNs, the code is one."""
    near = around(thresholds(fmt), np.float32)
    near = near[np.signbit(near) == bool(sign)]
    bits = {int(b) & 0x7FFFFFFF for b in near.view(np.uint32)} | {0, 1, 0x7F800000, 0x7F800001}
    steps = Steps(fmt, cast)

    def code(b: int) -> int:
        return int(steps(np.array([b | sign], np.uint32).view(np.float32))[0])

    return [(b, code(b)) for b in sorted(bits) if b == 0 or code(b) != code(b - 1)]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "cast"), SWEEPS, ids=readable)
def test_every_float32_is_encoded_right(name: str, cast: nf.Cast) -> None:
    """Proved for these formats and casts: every input of every sign, NaN payloads and subnormals included."""
    fmt: Any = nf.get(name)
    codes = np.empty(CHUNK, np.uint8)
    for sign in (0, 1 << 31):
        found: list[tuple[int, int]] = []
        before = -1
        for first in range(0, 1 << 31, CHUNK):
            x = np.arange(first | sign, (first | sign) + CHUNK, dtype=np.uint32).view(np.float32)
            nf.encode_codes(fmt, x, cast, out=codes)
            found += changes(codes, first, before)
            before = int(codes[-1])
            if len(found) > 600:
                raise AssertionError(f"{name} {cast}: more than 600 changes of code: {found[-5:]}")
        assert found == expected_changes(fmt, cast, sign)


def test_the_sweep_sees_one_wrong_input() -> None:
    codes = np.zeros(100, np.uint8)
    codes[40:] = 3
    assert changes(codes, 1000, 0) == [(1040, 3)]
    codes[17] = 1
    assert changes(codes, 1000, 0) == [(1017, 1), (1018, 0), (1040, 3)]
    assert changes(codes, 1000, 9)[0] == (1000, 0)


@pytest.mark.parametrize(("name", "cast"), SWEEPS, ids=readable)
def test_the_sweep_on_the_inputs_around_each_threshold(name: str, cast: nf.Cast) -> None:
    """What the slow sweep expects, on 2**8 inputs each side of every change it expects."""
    fmt: Any = nf.get(name)
    for sign in (0, 1 << 31):
        expected = expected_changes(fmt, cast, sign)
        starts = [b for b, _ in expected]
        for (bits, _), (_, before) in zip(expected[1:], expected, strict=False):
            low, high = max(bits - 256, 0), min(bits + 256, 1 << 31)
            low = max([low, *[s for s in starts if low < s < bits]])
            high = min([high, *[s for s in starts if bits < s < high]])
            x = np.arange(low | sign, high | sign, dtype=np.uint64).astype(np.uint32).view(np.float32)
            assert changes(nf.encode_codes(fmt, x, cast), low, before) == [item for item in expected if item[0] == bits]
