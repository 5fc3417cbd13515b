"""The DSP48E2 model: the vendor's own model on 118,272 vectors, then arithmetic that does not look like it."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwsim.fpga import Chain, Dsp48e2, Inputs, alu, dsp48e2, stimulus, unisim
from hwsim.fpga.dsp48e2 import (
    ADD,
    HOLD,
    MULTIPLY,
    NEGATE_ALL,
    NEGATE_Z,
    SUBTRACT,
    W_C,
    W_RND,
    X_AB,
    X_M,
    Y_C,
    Y_ONES,
    Z_C,
    Z_MACC_EXTEND,
    Z_P,
    Z_PCIN,
    Z_PCIN_SHIFTED,
)

GOLDEN = Path(__file__).parent / "data" / "dsp48e2.npz"
BARE = Dsp48e2(
    areg=0, breg=0, creg=0, dreg=0, adreg=0, mreg=0, preg=0,
    opmodereg=0, carryinselreg=0, alumodereg=0, inmodereg=0, carryinreg=0,
)  # fmt: skip

a27 = st.integers(-(1 << 26), (1 << 26) - 1)
b18 = st.integers(-(1 << 17), (1 << 17) - 1)
c48 = st.integers(-(1 << 47), (1 << 47) - 1)


def wrap(value: int, bits: int = 48) -> int:
    return (value + (1 << (bits - 1))) % (1 << bits) - (1 << (bits - 1))


def once(part: Dsp48e2, inputs: Inputs) -> dsp48e2.Outputs:
    return part.step(part.reset(), inputs)[0]


def golden_differs() -> bool:
    with np.load(GOLDEN) as golden:
        digests = golden["digests"].tolist()
    return any(unisim.digest(answers) != digest for answers, digest in zip(unisim.modelled(), digests, strict=True))


def test_the_vendors_model_answers_the_same() -> None:
    """118,272 vectors with their pins, registers and opcodes drawn; every output of every cycle."""
    with np.load(GOLDEN) as golden:
        configurations = [repr(part) for column in stimulus.columns() for part in column]
        assert golden["configurations"].tolist() == configurations, (
            "the golden is of other configurations: write it anew"
        )
        assert len(configurations) * stimulus.EPISODES * stimulus.CYCLES >= 100_000
        low = np.zeros((*golden["p"].shape[:-1], 8), np.uint8)
        low[..., :6] = golden["p"]
        for index, answers in enumerate(unisim.modelled()):
            theirs = alu.signed(low[index].view("<u8")[..., 0].astype(np.int64), 48)
            bad = np.argwhere(answers[: unisim.SHOWN, :, 0] != theirs)
            assert len(bad) == 0, f"slice {index} ({configurations[index]}): P from (episode, cycle) {bad[0]}"
            assert unisim.digest(answers) == golden["digests"][index], f"slice {index}: an output or a later episode"


@pytest.mark.skipif("BITCOST_UNISIM" not in os.environ, reason="needs the vendor's DSP48E2.v: BITCOST_UNISIM=PATH")
@pytest.mark.skipif(shutil.which("iverilog") is None, reason="needs Icarus Verilog: apt install iverilog")
@pytest.mark.slow
def test_the_vendors_model_run_again() -> None:
    assert unisim.main(["--unisim", os.environ["BITCOST_UNISIM"]]) == 0


@pytest.mark.parametrize("defect", ["pre-adder of 26 bits", "logic added", "carry lost", "lanes joined", "Z first"])
def test_a_wrong_model_is_seen(defect: str, monkeypatch: pytest.MonkeyPatch) -> None:
    right_alu, right_signed = alu.alu, alu.signed
    if defect == "pre-adder of 26 bits":
        monkeypatch.setattr(dsp48e2, "signed", lambda w, n: right_signed(w, 26 if n == 27 else n))
    elif defect == "logic added":
        monkeypatch.setattr(dsp48e2, "alu", lambda w, x, y, z, c, m, s: right_alu(w, x, y, z, c, m & 3, s))
    elif defect == "carry lost":
        monkeypatch.setattr(dsp48e2, "alu", lambda w, x, y, z, c, m, s: right_alu(w, x, y, z, c * 0, m, s))
    elif defect == "lanes joined":
        monkeypatch.setattr(dsp48e2, "alu", lambda w, x, y, z, c, m, s: right_alu(w, x, y, z, c, m, "one48"))
    else:
        monkeypatch.setattr(dsp48e2, "alu", lambda w, x, y, z, c, m, s: right_alu(w, z, y, x, c, m, s))
    assert golden_differs()


@given(a27, b18, a27, c48, st.booleans())
def test_multiply_add_with_the_pre_adder(a: int, b: int, d: int, c: int, minus: bool) -> None:
    part = replace(BARE, amultsel="ad")
    pins = Inputs(a=a, b=b, d=d, c=c, opmode=MULTIPLY | Z_C, inmode=0b01100 if minus else 0b00100)
    assert once(part, pins).p == wrap(wrap(d - a if minus else d + a, 27) * b + c)


@given(
    st.lists(st.tuples(a27, b18, c48), min_size=3, max_size=3), st.sampled_from([ADD, NEGATE_Z, NEGATE_ALL, SUBTRACT])
)
def test_sums_by_alumode(words: list[tuple[int, int, int]], alumode: int) -> None:
    (a, b, c), (_, _, z), (_, _, rnd) = words
    part = replace(BARE, rnd=rnd % (1 << 48))
    for opmode, s in (
        (MULTIPLY | W_C, a * b + c),
        (MULTIPLY | W_RND, a * b + rnd),
        (X_AB | Y_C, ((a % (1 << 30)) << 18 | b % (1 << 18)) + c),
    ):
        for carry in (0, 1):
            for source, value in ((Z_PCIN, z), (Z_PCIN_SHIFTED, z >> 17)):
                pins = Inputs(a=a, b=b, c=c, pcin=z, opmode=opmode | source, alumode=alumode, carryin=carry)
                total = s + carry
                expected = {ADD: value + total, SUBTRACT: value - total, NEGATE_Z: total - value - 1}
                assert once(part, pins).p == wrap(expected.get(alumode, -value - total - 1))


LOGIC = {
    (4, 0): lambda x, z: x ^ z,
    (5, 0): lambda x, z: ~(x ^ z),
    (6, 0): lambda x, z: ~(x ^ z),
    (7, 0): lambda x, z: x ^ z,
    (12, 0): lambda x, z: x & z,
    (13, 0): lambda x, z: x & ~z,
    (14, 0): lambda x, z: ~(x & z),
    (15, 0): lambda x, z: ~x | z,
    (4, 8): lambda x, z: ~(x ^ z),
    (5, 8): lambda x, z: x ^ z,
    (6, 8): lambda x, z: x ^ z,
    (7, 8): lambda x, z: ~(x ^ z),
    (12, 8): lambda x, z: x | z,
    (13, 8): lambda x, z: x | ~z,
    (14, 8): lambda x, z: ~(x | z),
    (15, 8): lambda x, z: ~x & z,
}


@pytest.mark.parametrize(("alumode", "y"), LOGIC)
def test_logic_is_the_table_of_the_user_guide(alumode: int, y: int) -> None:
    """UG579, table of two-operand logic: sixteen rows, by ALUMODE and by what Y passes."""
    x, z = np.int64(0b0011), np.int64(0b0101)
    pins = Inputs(b=np.asarray(x), c=np.asarray(z), opmode=X_AB | y | Z_C, alumode=alumode)
    assert once(BARE, pins).p == LOGIC[alumode, y](x, z)


@given(
    st.lists(st.integers(0, (1 << 48) - 1), min_size=2, max_size=2), st.sampled_from(["two24", "four12"]), st.booleans()
)
def test_lanes_do_not_meet(words: list[int], simd: str, minus: bool) -> None:
    x, z = words
    part = replace(BARE, use_simd=simd)
    pins = Inputs(a=x >> 18, b=x & 0x3FFFF, c=z, opmode=X_AB | Z_C, alumode=SUBTRACT if minus else ADD)
    out, width = once(part, pins), alu.LANES[simd]
    for low in range(0, 48, width):
        lanes = [word >> low & ((1 << width) - 1) for word in (x, z)]
        expected = lanes[1] - lanes[0] if minus else lanes[1] + lanes[0]
        assert int(out.p) >> low & ((1 << width) - 1) == expected % (1 << width)
        # A subtraction's carry is its borrow, inverted.
        assert int(out.carryout) >> ((low + width) // 12 - 1) & 1 == (expected >= 0 if minus else expected >> width)


@pytest.mark.parametrize("registers", [(0, 0, 0), (1, 0, 0), (1, 1, 0), (1, 1, 1), (2, 1, 1)])
def test_latency(registers: tuple[int, int, int]) -> None:
    """An operand shows in P as many steps later as registers lie on its way, for each step of a stream."""
    ab, m, p = registers
    part = Dsp48e2(areg=ab, breg=ab, mreg=m, preg=p, opmodereg=0)
    assert part.latency == ab + m + p
    state, seen = part.reset((2,)), []
    for step in range(1, 9):
        out, state = part.step(state, Inputs(a=np.array([step, -step]), b=100 + step))
        seen.append(out.p.tolist())
    expected = [[step * (100 + step), -step * (100 + step)] for step in range(1, 9)]
    assert seen[part.latency :] == expected[: 8 - part.latency]


def test_latency_of_the_pre_adder() -> None:
    part = Dsp48e2(amultsel="ad", areg=1, breg=2, dreg=1, adreg=1, mreg=1, preg=1, opmodereg=0, inmodereg=0)
    state, seen = part.reset(), []
    for step in range(1, 9):
        out, state = part.step(state, Inputs(a=step, d=7, b=step, inmode=0b00100))
        seen.append(int(out.p))
    assert part.latency == 4
    assert seen[4:] == [step * (step + 7) for step in range(1, 5)]


def test_held_registers_keep_their_content() -> None:
    """A weight stays in B while activations pass."""
    part = Dsp48e2(mreg=0, preg=0, opmodereg=0)
    _, state = part.step(part.reset(), Inputs(a=3, b=5))
    for a, shown in ((4, 15), (6, 20)):
        out, state = part.step(state, Inputs(a=a, b=77, hold=HOLD["b2"]))
        assert out.p == shown


@settings(max_examples=30)
@given(st.lists(st.tuples(a27, b18), min_size=1, max_size=12))
def test_a_column_sums_a_dot_product(terms: list[tuple[int, int]]) -> None:
    """A systolic dot product: term i enters i cycles later, P runs up the cascade, one result after the last."""
    first = Dsp48e2(opmodereg=0)
    column = Chain(slices=(first,) * len(terms))
    states, seen = column.reset(), 0
    for cycle in range(len(terms) + 3):
        pins = [
            Inputs(
                a=a if cycle == i else 0,
                b=b if cycle == i else 0,
                opmode=MULTIPLY | (Z_PCIN if i else 0),
            )
            for i, (a, b) in enumerate(terms)
        ]
        outs, states = column.step(states, pins)
        seen = int(outs[-1].p)
        if cycle == len(terms) - 1 + first.latency:
            break
    assert seen == wrap(sum(a * b for a, b in terms))


@settings(max_examples=30)
@given(st.lists(st.tuples(a27, b18, st.integers(0, 3)), min_size=1, max_size=20))
def test_two_slices_accumulate_96_bits(terms: list[tuple[int, int, int]]) -> None:
    """UG579, MACC extend: carry and product sign of the lower slice make the upper one count exactly.

    The start is large, so that the lower word overflows often.
    """
    column = Chain(slices=(Dsp48e2(opmodereg=0), Dsp48e2(opmodereg=0, carryinselreg=0)))
    states = column.reset()
    start = (1 << 47) - 1 - (1 << 40)
    low = states[0]._replace(p=np.asarray(start, np.int64))
    states = (low, states[1])
    upper = Inputs(opmode=Y_ONES | Z_MACC_EXTEND, carryinsel=2)
    idle = Inputs(opmode=0)
    total = start
    stream = [(a, b) for a, b, _ in terms]
    for cycle in range(len(stream) + 3):
        a, b = stream[cycle] if cycle < len(stream) else (0, 0)
        total += a * b
        lower = Inputs(a=a, b=b, opmode=MULTIPLY | Z_P)
        # The upper slice starts when the first product has passed the lower one's P.
        _, states = column.step(states, (lower, upper if cycle >= 3 else idle))
    _, states = column.step(states, (Inputs(opmode=Z_P), upper))
    assert (int(alu.signed(states[1].p, 48)) << 48) + int(states[0].p) == total


def test_patterns() -> None:
    """A result of 0 in the low bits, as convergent rounding asks; masked bits do not count."""
    part = Dsp48e2(
        **{
            **{f: getattr(BARE, f) for f in BARE.__slots__},
            "use_pattern_detect": True,
            "pattern": 0,
            "mask": 2**48 - 16,
        }
    )
    for c, found, opposite in ((0x120, 1, 0), (0x121, 0, 0), (0x12F, 0, 1)):
        out = once(part, Inputs(c=c, opmode=Z_C))
        assert (out.patterndetect, out.patternbdetect) == (found, opposite)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Dsp48e2(areg=3), "Dsp48e2: areg must be 0 to 2, got 3"),
        (lambda: Dsp48e2(mreg=2), "Dsp48e2: mreg must be 0 to 1, got 2"),
        (lambda: Dsp48e2(areg=1, acascreg=2), "Dsp48e2: acascreg=2 with areg=1; the cascade has 1 register there"),
        (
            lambda: Dsp48e2(breg=2, bcascreg=0),
            "Dsp48e2: bcascreg=0 with breg=2; the cascade has 1 or 2 registers there",
        ),
        (lambda: Dsp48e2(use_mult="none"), "use_mult='none' needs mreg=0"),
        (lambda: Dsp48e2(use_simd="two12"), "use_simd must be one of one48, two24, four12, got 'two12'"),  # type: ignore[arg-type]
        (lambda: Dsp48e2(rnd=1 << 48), "rnd is a word of 48 bits, 0 to 2**48 - 1, got 281474976710656"),
        (lambda: once(BARE, Inputs(b=1 << 18)), "b has 18 bits, -131072 to 262143; got 262144"),
        (lambda: once(BARE, Inputs(b=np.array([0, -131073]))), "b has 18 bits, -131072 to 262143; got -131073"),
        (lambda: once(BARE, Inputs(opmode=X_M)), "X_M and Y_M go together: use MULTIPLY"),
        (lambda: once(BARE, Inputs(alumode=8)), "ALUMODE 8 to 11 are not defined"),
        (lambda: Chain(slices=()), "Chain: needs at least one slice"),
        (
            lambda: Chain(slices=(BARE,)).step((), ()),
            "Chain: has 1 slices and needs as many states and inputs, got 0 and 0",
        ),
    ],
)
def test_bad_input(make: object, says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)):
        make()  # type: ignore[operator]


def test_floats_are_refused() -> None:
    with pytest.raises(TypeError, match="a takes integers or integer arrays, got float"):
        once(BARE, Inputs(a=1.5))  # type: ignore[arg-type]


def test_unisim_missing(tmp_path: Path) -> None:
    if shutil.which("iverilog") is None:
        says = "needs Icarus Verilog"
    else:
        says = "fetch it from github.com/Xilinx/XilinxUnisimLibrary"
    with pytest.raises(FileNotFoundError, match=says):
        unisim.simulated(tmp_path / "DSP48E2.v", tmp_path / "glbl.v")


def test_descriptions_rebuild() -> None:
    for column in stimulus.columns():
        assert eval(repr(column[0])) == column[0]
        assert hash(column[0]) == hash(eval(repr(column[0])))
