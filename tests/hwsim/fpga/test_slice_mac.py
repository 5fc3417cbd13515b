"""A multiply-accumulate in one slice: against Python integers, and its netlist against the model."""

from __future__ import annotations

import importlib.util
import re
from typing import Any

import numpy as np
import pytest

from hwsim.fpga import slice_mac
from hwsim.fpga.dsp48e2 import Z_C
from hwsim.fpga.slice_mac import SliceMac
from hwsim.fpga.synthesis import mapped
from hwsim.rtl.gates import GateSimulator

MACS = [
    SliceMac(a_bits=8, b_bits=8, register_bits=32),
    SliceMac(a_bits=8, b_bits=8, register_bits=16, a_signed=False),
    SliceMac(a_bits=16, b_bits=26, register_bits=48, b_signed=False),
    SliceMac(a_bits=27, b_bits=18, register_bits=48),
    SliceMac(a_bits=1, b_bits=4, register_bits=3, a_signed=False),
]


def drawn(mac: SliceMac) -> dict[str, Any]:
    """Bit patterns, half of them corners, in 40 cycles of 16 streams; one clear in eight."""
    rng = np.random.default_rng(0)
    shape = (40, 16)
    given = {}
    for port, bits in (("a", mac.a_bits), ("b", mac.b_bits)):
        corners = rng.choice([0, 1, 1 << (bits - 1), (1 << bits) - 1], shape) % (1 << bits)
        given[port] = np.where(rng.random(shape) < 0.5, corners, rng.integers(0, 1 << bits, shape))
    return given | {"clear": (rng.random(shape) < 0.125).astype(np.int64)}


def by_integers(mac: SliceMac, given: dict[str, Any]) -> Any:
    """Python's own arithmetic, a stream after another."""
    found = np.zeros((40, 16), np.int64)
    for stream in range(16):
        total = 0
        for cycle in range(40):
            top = 1 << (mac.register_bits - 1)
            found[cycle, stream] = (total + top) % (2 * top) - top
            a, b = int(given["a"][cycle, stream]), int(given["b"][cycle, stream])
            a -= (a >> (mac.a_bits - 1) << mac.a_bits) if mac.a_signed else 0
            b -= (b >> (mac.b_bits - 1) << mac.b_bits) if mac.b_signed else 0
            total = (0 if given["clear"][cycle, stream] else total) + a * b
    return found


@pytest.mark.parametrize("mac", MACS, ids=lambda mac: mac.name)
def test_the_slice_sums_exactly(mac: SliceMac) -> None:
    given = drawn(mac)
    assert np.array_equal(mac.run(**given), by_integers(mac, given))


def test_a_wrong_slice_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    given = drawn(MACS[0])
    monkeypatch.setattr(slice_mac, "Z_P", Z_C)
    assert not np.array_equal(MACS[0].run(**given), by_integers(MACS[0], given))


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("pyosys") is None, reason="needs pip install bitcost[rtl]")
@pytest.mark.parametrize("mac", MACS[:4], ids=lambda mac: mac.name)
def test_netlists_are_the_model(mac: SliceMac) -> None:
    (made,) = mapped(mac.verilog(), mac.name, (("xcup", True),))
    given = drawn(mac)
    got = GateSimulator(made.synthesis.netlist).run(given, signed=("sum",))["sum"]
    assert np.array_equal(got, mac.run(**given))
    counts, said = made.counts, mac.resources
    assert (counts.dsps, counts.luts, counts.flip_flops) == (said.dsps, said.luts.value, said.flip_flops)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"a_bits": 24, "b_bits": 24}, "multiplies 18 x 27 signed bits (an unsigned operand takes one more), got 24"),
        ({"a_bits": 18, "a_signed": False, "b_bits": 27}, "got 19 x 27; use narrower operands"),
        ({"register_bits": 49}, "register_bits must be 1 to 48, got 49"),
    ],
)
def test_bad_input(change: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)):
        SliceMac(**({"a_bits": 8, "b_bits": 8, "register_bits": 32} | change))
