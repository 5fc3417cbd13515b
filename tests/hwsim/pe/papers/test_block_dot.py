"""Block-scaled dot units against exact sums in fractions, rounded once a block by formats' float32."""

from __future__ import annotations

import numpy as np
import pytest

import formats as nf
from hwsim.pe.papers.block_dot import BlockDot, block_dot_of
from hwsim.pe.stimulus import side_by_side
from hwsim.pe.units.blocks import Block
from tests.hwsim.pe.papers.cycles import ran
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


def described(name: str) -> BlockDot:
    a, b, lanes = PAIRS[name]
    return block_dot_of(nf.get(a), nf.get(b), lanes)


@pytest.mark.parametrize("name", PAIRS)
def test_sums_are_exact_and_rounded_once(name: str) -> None:
    unit = Block(what=described(name))
    inputs = unit.vectors(9, 30, RNG)
    assert (ran(unit.module(), inputs)["sum"] == unit.answers(inputs)["sum"]).all()


def test_the_answers_are_dot_products() -> None:
    """Two blocks of float64's sums, which are exact here."""
    unit = Block(what=described("mxint8"))
    rng = np.random.default_rng(3)
    a, b = rng.integers(-127, 128, (2, 9, 1, 8))
    take = (np.arange(9) % 4 == 0).astype(np.int64)[:, None]
    inputs = {"a": side_by_side(a, 8), "b": side_by_side(b, 8), "scale_a": np.full((9, 1), 126)}
    inputs |= {"scale_b": np.full((9, 1), 130), "take": take, "clear": (np.arange(9) == 0).astype(np.int64)[:, None]}
    code = int(unit.answers(inputs | {"take": np.concatenate([take, take[:1]])[:9]})["sum"][-1, 0])
    wanted = (a[:4] * b[:4]).sum() * 2.0**-12 * 2.0 ** (126 + 130 - 254)
    assert nf.decode_codes("float32", code, np.float64) == wanted


@needs_yosys
@pytest.mark.parametrize(
    "name", ["mxint8", *(pytest.param(x, marks=pytest.mark.slow) for x in ("mxfp8", "nvfp4_serial"))]
)
def test_gates_are_tested(name: str) -> None:
    assert Block(what=described(name)).check().status == "tested"


def test_what_is_no_block_dot_is_refused() -> None:
    with pytest.raises(ValueError, match="lanes must divide the block of 32, got lanes=5"):
        block_dot_of(nf.get("mxfp4"), nf.get("mxfp4"), 5)
    with pytest.raises(ValueError, match=r"blocks of one length along k, got \[16, 32\]"):
        block_dot_of(nf.get("nvfp4"), nf.get("mxfp4"), 4)
    with pytest.raises(TypeError, match="must be block-scaled formats"):
        block_dot_of(nf.get("int8"), nf.get("mxfp4"), 4)
