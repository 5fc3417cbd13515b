"""Lookup and add/subtract dot products: against formats' LookupTable, every entry, and the gates."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

import formats as nf
from formats.arithmetic.groups.lookup import LookupTable
from hwsim.pe.papers.lookup import (
    LookupDot,
    lookup_edge,
    lookup_row,
    stored_weights,
)
from hwsim.pe.stimulus import side_by_side as packed
from hwsim.pe.units.lookups import LookupCell, LookupEdge, LookupRow, SignTree, looked_up
from hwsim.pe.units.unit import Unit, random_patterns, signed
from tests.hwsim.pe.papers.cycles import ran
from tests.hwsim.rtl.designs import needs_yosys

INT8, INT2 = nf.get("int8"), nf.get("int2")
assert isinstance(INT8, nf.FixedPoint)
assert isinstance(INT2, nf.FixedPoint)
RNG = np.random.default_rng(5)
SHAPES = [
    LookupDot(activation=INT8),
    LookupDot(activation=INT8, half=False),
    LookupDot(activation=INT8, group=3, register_bits=16),
    LookupDot(activation=INT8, planes=2),
]
IDS = ["8_entries", "16_entries", "3_wide", "2_planes"]


def activations(shape: tuple[int, ...], fmt: nf.FixedPoint = INT8) -> np.ndarray:
    """Any, a third of them the ends of the range."""
    top = 1 << (fmt.bits - 1)
    ends = RNG.choice([-top, top - 1, 0, -1], shape)
    return np.where(RNG.random(shape) < 0.3, ends, RNG.integers(-top, top, shape))


@pytest.mark.parametrize("half", [True, False])
@pytest.mark.parametrize("group", [2, 3, 4])
def test_table_holds_every_sum(group: int, half: bool) -> None:
    """Entry by entry, every pair and triple of two-bit activations, random ones of 8 bits."""
    narrow = np.array(list(product(range(-2, 2), repeat=group)))
    for fmt, rows in ((INT2, narrow), (INT8, activations((500, group)))):
        what = LookupDot(activation=fmt, group=group, half=half)
        found = ran(lookup_edge(what), {"a": [packed(rows, fmt.bits)] * 2, "load": [1, 0]})["entries"][1]
        for i in range(what.entries):
            index = i + (what.entries if half else 0)
            signs = np.array([1 if index >> j & 1 else -1 for j in range(group)])
            entry = signed((found >> (what.bits * i)) & ((1 << what.bits) - 1), what.bits)
            assert (entry == rows @ signs).all(), f"entry {i}"


@pytest.mark.parametrize("what", SHAPES, ids=IDS)
def test_row_is_formats_lookup_table(what: LookupDot) -> None:
    """A table made, then its planes looked up by three columns, 8 groups after each other: nf.matmul's LookupTable.

    Planes of weights q count as the odd integers 2q - (2**planes - 1).
    """
    rows, groups, columns, planes = 5, 8, 3, what.planes
    a = activations((rows, groups * what.group))
    q = RNG.integers(0, 2**planes, (groups * what.group, columns))
    found = _row(what, a, q)
    odd = (2 * q - (2**planes - 1)).astype(np.float64)
    table = LookupTable(group=what.group, half=what.half, register=nf.Integer(what.register_bits))
    expected = nf.matmul(a.astype(np.float64), odd, a_format="int8", b_format="int4", group=table)
    assert (found == expected.astype(np.int64)).all()


def _row(what: LookupDot, a: np.ndarray, q: np.ndarray) -> np.ndarray:
    """The register of every column after all groups; a table is taken in the cycle of the last plane before it."""
    groups, columns = q.shape[0] // what.group, q.shape[1]
    steps: list[dict[str, object]] = []
    for i, plane in [(-1, what.planes - 1), *product(range(groups), range(what.planes)), (groups, 0)]:
        here = q[what.group * max(i, 0) :][: what.group]
        words = [sum(int(bit) << j for j, bit in enumerate(here[:, c] >> plane & 1)) for c in range(columns)]
        coming = a[:, what.group * (i + 1) :][:, : what.group]
        one = {
            "a": packed(coming, what.activation.bits) if coming.size else 0,
            "load": int(plane == what.planes - 1),
            "weights": int(packed(np.array([stored_weights(what, word) for word in words]), what.group)),
            "clear": int(i == plane == 0),
        }
        steps.append(one | ({"plane": plane} if what.planes > 1 else {}))
    found = ran(lookup_row(what, columns), {name: [one[name] for one in steps] for name in steps[0]})["sum"][-1]
    words = [found >> (what.register_bits * c) & ((1 << what.register_bits) - 1) for c in range(columns)]
    return np.stack([signed(word, what.register_bits) for word in words], axis=-1)


@pytest.mark.parametrize("half", [True, False])
@pytest.mark.parametrize("bits", [8, 10])
def test_cell_adds_looked_up_entries_over_cycles(bits: int, half: bool) -> None:
    """Tables of any content (INT8 ones too), and what its formula says is looked up: the list's entry."""
    unit = LookupCell(what=LookupDot(activation=INT8, entry_bits=bits, half=half, register_bits=16))
    inputs = random_patterns(unit.module(), (6, 200), RNG)
    assert (ran(unit.module(), inputs)["sum"] == unit.answers(inputs)["sum"]).all()
    entries = RNG.integers(-100, 100, unit.what.entries)
    whole = [*(-entries[::-1]), *entries] if half else entries.tolist()
    for word in range(16):
        stored = np.array([stored_weights(unit.what, word)])
        assert looked_up(unit.what, entries[None].astype(object), stored)[0] == whole[word]


@pytest.mark.parametrize("what", [SHAPES[0], SHAPES[2], SHAPES[3]], ids=["dot4", "dot3", "2_planes"])
def test_sign_tree_is_the_dot_product(what: LookupDot) -> None:
    unit = SignTree(what=what)
    inputs = random_patterns(unit.module(), (4, 200), RNG)
    assert (ran(unit.module(), inputs)["sum"] == unit.answers(inputs)["sum"]).all()


UNITS: dict[str, Unit] = {
    "edge": LookupEdge(what=SHAPES[1]),
    "cell": LookupCell(what=SHAPES[0]),
    "cell_16": LookupCell(what=SHAPES[1]),
    "planes": LookupCell(what=SHAPES[3]),
    "tree": SignTree(what=SHAPES[0]),
    "row": LookupRow(what=SHAPES[0], columns=2),
}


@needs_yosys
@pytest.mark.parametrize("kind", UNITS)
def test_gates_are_checked(kind: str) -> None:
    """Cells and trees from every state, edges and rows on vectors."""
    assert UNITS[kind].check().status == ("tested" if kind in ("edge", "row") else "proved")


def test_a_wrong_table_is_seen() -> None:
    """The order of entries matters: weights stored for a half table give another sum from a whole one."""
    half, whole = LookupDot(activation=INT8), LookupDot(activation=INT8, half=False)
    assert any(stored_weights(half, word) != stored_weights(whole, word) for word in range(16))


def test_bad_descriptions_say_what_to_do() -> None:
    with pytest.raises(ValueError, match="signed integer format"):
        LookupDot(activation=nf.get("uint8"))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="group must be one of 2, 3, 4, 5, 6, got 9"):
        LookupDot(activation=INT8, group=9)
    with pytest.raises(ValueError, match=r"entries have 2\.\.10 bits, got entry_bits=11"):
        LookupDot(activation=INT8, entry_bits=11)
    with pytest.raises(ValueError, match="must hold an entry, 10 bits"):
        LookupDot(activation=INT8, register_bits=9)
    with pytest.raises(ValueError, match="exact entries of 10 bits, got 8"):
        lookup_edge(LookupDot(activation=INT8, entry_bits=8))
