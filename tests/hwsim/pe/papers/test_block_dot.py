"""Block-scaled dot units against exact sums in fractions, rounded once a block by formats' float32."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

import formats as nf
from formats.exact import Dyadic
from formats.reference import encode_value
from hwsim.pe.papers.block_dot import BlockDot, block_dot, block_dot_of
from tests.hwsim.pe.papers.cycles import check_gates, packed, ran
from tests.hwsim.rtl.designs import needs_yosys

RNG = np.random.default_rng(13)
PAIRS = {
    "mxfp8": ("mxfp8_e4m3", "mxfp8_e4m3", 4),
    "mxfp4": ("mxfp4", "mxfp4", 32),
    "mxint8": ("mxint8", "mxint8", 8),
    "msfp12": ("msfp12", "msfp12", 16),
    "mxfp4_mxfp8": ("mxfp4", "mxfp8_e4m3", 8),
    "nvfp4": ("nvfp4", "nvfp4", 16),
    "nvfp4_serial": ("nvfp4", "nvfp4", 4),
}
CYCLES, ROWS = 9, 30


def described(name: str) -> BlockDot:
    a, b, lanes = PAIRS[name]
    return block_dot_of(nf.get(a), nf.get(b), lanes)


def value(fmt: nf.Scalar, code: int) -> Fraction:
    found = fmt.value(int(code))
    assert isinstance(found, Dyadic)
    return found.fraction


def codes(fmt: nf.Scalar, shape: tuple[int, ...], near: int | None = None) -> np.ndarray:
    pool = np.array([code for code in range(2**fmt.bits) if isinstance(fmt.value(code), Dyadic)])
    if near is not None:  # exponents whose products float32 holds
        pool = pool[(pool >= near - 20) & (pool <= near + 20)] if fmt.bits == 8 else pool
    return RNG.choice(pool, shape)


def stimuli(what: BlockDot) -> dict[str, np.ndarray]:
    scales = [
        codes(fmt, (CYCLES, ROWS), 127 if isinstance(fmt, nf.Minifloat) and not fmt.zero else None)
        for fmt in (what.scale_a, what.scale_b)
    ]
    every = what.block // what.lanes
    take = (np.arange(CYCLES) % min(every, 2) == 0).astype(np.int64)
    clear = np.isin(np.arange(CYCLES), (0, 6)).astype(np.int64)
    found = {"a": codes(what.a, (CYCLES, ROWS, what.lanes)), "b": codes(what.b, (CYCLES, ROWS, what.lanes))}
    found |= {"scale_a": scales[0], "scale_b": scales[1], "clear": np.repeat(clear[:, None], ROWS, axis=1)}
    return found | ({"take": np.repeat(take[:, None], ROWS, axis=1)} if every > 1 else {})


def ports(what: BlockDot, given: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return given | {"a": packed(given["a"], what.a.bits), "b": packed(given["b"], what.b.bits)}


def expected(what: BlockDot, given: dict[str, np.ndarray], row: int) -> list[int]:
    """The register before each clock edge."""
    held, block, found = Fraction(0), Fraction(0), []
    for cycle in range(CYCLES):
        found.append(
            encode_value(what.register, Dyadic(held < 0, abs(held.numerator), 1 - held.denominator.bit_length()))
        )
        one = {name: rows[cycle, row] for name, rows in given.items()}
        dot = sum((value(what.a, x) * value(what.b, y) for x, y in zip(one["a"], one["b"], strict=True)), Fraction(0))
        scale = value(what.scale_a, one["scale_a"]) * value(what.scale_b, one["scale_b"])
        if "take" not in one:
            held = rounded(what, (Fraction(0) if one["clear"] else held) + dot * scale)
        else:
            if one["take"]:
                held = rounded(what, held + block * scale)
            held = Fraction(0) if one["clear"] else held
            block = dot + (Fraction(0) if one["take"] else block)
    return found


def rounded(what: BlockDot, x: Fraction) -> Fraction:
    return value(what.register, encode_value(what.register, exact(x)))


def exact(x: Fraction) -> Dyadic:
    return Dyadic(x < 0, abs(x.numerator), 1 - x.denominator.bit_length())


@pytest.mark.parametrize("name", PAIRS)
def test_sums_are_exact_and_rounded_once(name: str) -> None:
    what = described(name)
    given = stimuli(what)
    found = ran(block_dot(what), ports(what, given))["sum"]
    for row in range(ROWS):
        assert found[:, row].tolist() == expected(what, given, row), f"row {row}"


@needs_yosys
@pytest.mark.parametrize(
    "name", ["mxint8", *(pytest.param(x, marks=pytest.mark.slow) for x in ("mxfp8", "nvfp4_serial"))]
)
def test_gates_agree(name: str) -> None:
    what = described(name)
    check_gates(block_dot(what), ports(what, stimuli(what)))


def test_what_is_no_block_dot_is_refused() -> None:
    with pytest.raises(ValueError, match="lanes must divide the block of 32, got lanes=5"):
        block_dot_of(nf.get("mxfp4"), nf.get("mxfp4"), 5)
    with pytest.raises(ValueError, match=r"blocks of one length along k, got \[16, 32\]"):
        block_dot_of(nf.get("nvfp4"), nf.get("mxfp4"), 4)
    with pytest.raises(TypeError, match="must be block-scaled formats"):
        block_dot_of(nf.get("int8"), nf.get("mxfp4"), 4)
