"""The bit-serial dot product against whole products, and its gates."""

from __future__ import annotations

import numpy as np
import pytest

import formats as nf
from hwsim.pe.papers.serial import SerialDot, serial_dot
from hwsim.pe.stimulus import side_by_side as packed
from hwsim.pe.units.serial import Serial
from hwsim.pe.units.unit import signed
from tests.hwsim.pe.papers.cycles import ran
from tests.hwsim.rtl.designs import needs_yosys

RNG = np.random.default_rng(19)


@pytest.mark.parametrize("whole", ["int8", "uint8", "int4"])
@pytest.mark.parametrize("bits", [2, 4, 8])
def test_sums_are_dot_products(whole: str, bits: int) -> None:
    """Three groups of signed serial integers, one after another, the register cleared before the first."""
    fmt = nf.get(whole)
    assert isinstance(fmt, nf.FixedPoint)
    what = SerialDot(whole=fmt, lanes=4, register_bits=24)
    codes = RNG.integers(0, 2**fmt.bits, (3, 50, 4))
    other = RNG.integers(-(2 ** (bits - 1)), 2 ** (bits - 1), (3, 50, 4))
    order = [(group, place) for group in range(3) for place in range(bits)]
    inputs = {
        "a": [packed(codes[g], fmt.bits) for g, _ in order] + [0],
        "bits": [packed(other[g] >> p & 1, 1) for g, p in order] + [0],
        "place": [p for _, p in order] + [0],
        "minus": [int(p == bits - 1) for _, p in order] + [0],
        "clear": [1, *[0] * len(order)],
    }
    found = signed(ran(serial_dot(what), inputs)["sum"][-1], 24)
    values = nf.decode_codes(fmt, codes, np.float64).astype(np.int64)
    assert (found == (values * other).sum(axis=(0, 2))).all()


@needs_yosys
@pytest.mark.parametrize("lanes", [2, 16])
def test_gates_are_checked(lanes: int) -> None:
    int8 = nf.get("int8")
    assert isinstance(int8, nf.FixedPoint)
    assert Serial(what=SerialDot(whole=int8, lanes=lanes)).check().status == ("proved" if lanes == 2 else "tested")


def test_nonsense_is_refused() -> None:
    with pytest.raises(ValueError, match="whole must be an integer format"):
        SerialDot(whole=nf.get("e4m3fn"))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="got serial_bits=1, lanes=4"):
        SerialDot(whole=nf.get("int8"), serial_bits=1, lanes=4)  # type: ignore[arg-type]
