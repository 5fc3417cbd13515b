"""Columns of slices: sums against Python's, the Verilog's netlist against the model, LUTs beside yosys'."""

from __future__ import annotations

import importlib.util
import re
from typing import Any

import numpy as np
import pytest

from hwsim.fpga import dot
from hwsim.fpga.dot import DspChain
from hwsim.fpga.packing import Lane
from hwsim.fpga.schemes import PACKINGS
from hwsim.fpga.synthesis import Mapped, mapped
from hwsim.rtl.gates import GateSimulator

needs_yosys = pytest.mark.skipif(importlib.util.find_spec("pyosys") is None, reason="needs pip install bitcost[rtl]")
CHAINS = [("int8x2", 7), ("int8x2", 16), ("int8x2_symmetric", 8), ("int8x2_unsigned", 9), ("int4x4_full", 1),
          ("int4x4_full", 8), ("int4x4_full", 20)]  # fmt: skip


def drawn(chain: DspChain, sets: int, seed: int = 0) -> tuple[Any, Any]:
    """Operands, half of them corners; the first sets are all corners."""
    rng = np.random.default_rng(seed)

    def lane(one: Lane) -> Any:
        low, high = one.range
        shape = (sets, chain.terms)
        words = np.where(rng.random(shape) < 0.5, rng.choice([low, high, 0], shape), rng.integers(low, high + 1, shape))
        words[0], words[1] = low, high
        return words

    scheme = chain.packing
    return np.stack([lane(one) for one in scheme.wide], -1), np.stack([lane(one) for one in scheme.narrow], -1)


@pytest.mark.parametrize(("name", "terms"), CHAINS)
def test_sums_are_exact(name: str, terms: int) -> None:
    chain = DspChain(packing=PACKINGS[name], terms=terms)
    wide, narrow = drawn(chain, 12)
    exact = np.stack([(wide[..., p.wide] * narrow[..., p.narrow]).sum(1) for p in chain.packing.products], -1)
    assert np.array_equal(chain.run(wide, narrow), exact)
    for place, width in enumerate(chain.result_bits):
        low, high = exact[:, place].min(), exact[:, place].max()
        assert -(1 << (width - 1)) <= low
        assert high < 1 << (width - 1)


def test_a_chain_by_hand() -> None:
    """Sixteen terms of two INT8: three segments, since seven terms are safe and eight are not."""
    chain = DspChain(packing=PACKINGS["int8x2"], terms=16)
    assert (chain.safe_terms, chain.segments, chain.dsps, chain.multiplications_per_dsp) == (7, (6, 5, 5), 16, 2)
    # Four registers in a slice, five more slices, the correction's register, two levels of adders.
    assert chain.latency_cycles == 4 + 5 + 1 + 2
    assert chain.entry_cycles == (0, 1, 2, 3, 4, 5, 1, 2, 3, 4, 5, 1, 2, 3, 4, 5)
    assert DspChain(packing=PACKINGS["int8x2_symmetric"], terms=8).segments == (8,)
    assert DspChain(packing=PACKINGS["int8x2"], terms=8).segments == (4, 4)


def test_four_int4_cost_what_is_published() -> None:
    """FPL'22: 27 LUTs and 32 flip-flops for the full correction of one slice."""
    chain = DspChain(packing=PACKINGS["int4x4_full"], terms=1)
    assert (chain.luts, chain.flip_flops, chain.dsps) == (27, 32, 1)


def test_a_segment_too_long_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    chain = DspChain(packing=PACKINGS["int8x2"], terms=8)
    operands = np.full((1, 8, 2), -128), np.full((1, 8, 1), -128)
    assert chain.run(*operands).tolist() == [[8 << 14, 8 << 14]]
    monkeypatch.setattr(dot, "safe_terms", lambda scheme: 8)
    assert chain.segments == (8,)
    assert chain.run(*operands).tolist() != [[8 << 14, 8 << 14]]


def differs(chain: DspChain, made: Mapped) -> bool:
    """Whether the netlist of AMD cells and the model differ on any set of operands, eight streams of them."""
    sets, streams = 6, 8
    total = sets + chain.latency_cycles
    pairs = [drawn(chain, sets, seed) for seed in range(streams)]
    buses = {}
    for place, (port, lanes) in enumerate((("wide", chain.packing.wide), ("narrow", chain.packing.narrow))):
        bus = np.zeros((total, streams), object)
        bits = sum(lane.bits for lane in lanes)
        for term, late in enumerate(chain.entry_cycles):
            low = term * bits
            for index, lane in enumerate(lanes):
                for stream, pair in enumerate(pairs):
                    words = pair[place][:, term, index] % (1 << lane.bits)
                    bus[late : late + sets, stream] += words.astype(object) << low
                low += lane.bits
        buses[port] = bus
    got = GateSimulator(made.synthesis.netlist).run(buses)["result"]
    for stream, pair in enumerate(pairs):
        for index, sums in enumerate(chain.run(*pair).tolist()):
            word = low = 0
            for value, width in zip(sums, chain.result_bits, strict=True):
                word |= value % (1 << width) << low
                low += width
            if word != int(got[index + chain.latency_cycles, stream]):
                return True
    return False


def built(chain: DspChain, text: str) -> Mapped:
    (made,) = mapped(text, chain.name, (("xcup", True),))
    return made


@needs_yosys
@pytest.mark.slow
@pytest.mark.parametrize(("name", "terms"), [("int8x2", 3), ("int4x4_full", 9), ("int8x2_symmetric", 10)])
def test_netlists_are_the_model(name: str, terms: int) -> None:
    """Slices, flip-flops and carries of yosys' netlist, and LUTs: yosys counts none for a carry that only passes a
    wire, which on a device takes one a position."""
    chain = DspChain(packing=PACKINGS[name], terms=terms)
    made = built(chain, chain.verilog())
    assert not differs(chain, made)
    counts = made.counts
    assert (counts.dsps, counts.flip_flops) == (chain.dsps, chain.flip_flops)
    assert counts.luts <= chain.luts <= 4 * counts.carries


@needs_yosys
@pytest.mark.slow
def test_wrong_verilog_is_seen() -> None:
    chain = DspChain(packing=PACKINGS["int8x2"], terms=2)
    text = chain.verilog()
    assert not differs(chain, built(chain, text))
    wrong = text.replace(" + p1[17]", "")
    assert wrong != text
    assert differs(chain, built(chain, wrong))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: DspChain(packing=PACKINGS["int8x2"], terms=0), "terms must be at least 1, got 0"),
        (lambda: DspChain(packing=PACKINGS["int4x4"], terms=4), "take correction='full'"),
        (lambda: DspChain(packing=PACKINGS["overpacked-1_full"], terms=4), "'overpacked-1_full' makes no exact sums"),
        (
            lambda: DspChain(packing=PACKINGS["int8x2"], terms=3).run(np.zeros((1, 2, 2)), np.zeros((1, 3, 1))),
            "operands are (sets, 3 terms, lanes), got (1, 2, 2) and (1, 3, 1)",
        ),
    ],
)  # fmt: skip
def test_bad_input(make: Any, says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)):
        make()


def test_chains_rebuild() -> None:
    from hwsim.fpga import Packing

    chain = DspChain(packing=PACKINGS["int8x2"], terms=3)
    assert eval(repr(chain), {"DspChain": DspChain, "Packing": Packing, "Lane": Lane}) == chain
