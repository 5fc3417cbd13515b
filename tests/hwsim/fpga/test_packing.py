"""Packed products: every operand of every scheme, the published table, chains at their limit and one past it."""

from __future__ import annotations

import re
from dataclasses import replace
from fractions import Fraction
from itertools import product

import numpy as np
import pytest

from hwsim.fpga import packing
from hwsim.fpga.packing import Lane, Packing, failing_operands, grid, multiply, safe_terms
from hwsim.fpga.packing_errors import packing_errors, sum_of_products
from hwsim.fpga.schemes import PACKINGS
from hwsim.published import dsp_packing

ERRORS = packing_errors


def by_hand(scheme: Packing, wide: tuple[int, ...], narrow: tuple[int, ...]) -> list[int]:
    """The products by Python integers and the definition of the schemes, without a slice."""
    p = 1
    for values, lanes in ((wide, scheme.wide), (narrow, scheme.narrow)):
        p *= sum(value << lane.offset for value, lane in zip(values, lanes, strict=True))
    true = [wide[f.wide] * narrow[f.narrow] for f in scheme.products]
    if scheme.correction == "full":
        return true
    found = []
    for k, f in enumerate(scheme.products):
        word = p
        if scheme.correction == "approximate":
            word += sum(
                (wide[g.wide] * narrow[g.narrow] < 0 or (wide[g.wide] < 0 and narrow[g.narrow] == 0)) << h.offset
                for g, h in zip(scheme.products[:k], scheme.products[1:], strict=False)
            )
        word >>= f.offset
        if scheme.correction == "restore" and k + 1 < len(true):
            overlap = -scheme.padding
            word -= true[k + 1] % 2**overlap << (f.bits - overlap)
        found.append((word + (1 << (f.bits - 1))) % (1 << f.bits) - (1 << (f.bits - 1)))
    return found


@pytest.mark.parametrize("name", [n for n in PACKINGS if not n.startswith("int8")])
def test_the_slice_does_what_the_scheme_says(name: str) -> None:
    """Corners of all operands and random ones, against Python integers."""
    scheme = PACKINGS[name]
    lanes = scheme.wide + scheme.narrow
    rng = np.random.default_rng(5)
    corners = list(product(*(sorted({*lane.range, 0, 1}) for lane in lanes)))
    rows = np.array(
        corners[:2000]
        + [[int(rng.integers(lo, hi + 1)) for lo, hi in (lane.range for lane in lanes)] for _ in range(500)]
    )
    count = len(scheme.wide)
    got = multiply(scheme, rows[:, :count], rows[:, count:])
    for row, products in zip(rows.tolist(), got.tolist(), strict=True):
        assert products == by_hand(scheme, tuple(row[:count]), tuple(row[count:])), row


def test_published_table() -> None:
    """All rows of FPL'22 but the two whose error probability disagrees with the enumeration."""
    rows = {row.printed.name: row for row in dsp_packing.compare()}
    assert [name for name, row in rows.items() if not row.agrees] == ["int4x4_approximate", "overpacked-2"]
    assert [f"{float(p):.2%}" for p in rows["int4x4"].errors.field_probabilities] == [
        "0.00%",
        "46.88%",
        "49.80%",
        "52.73%",
    ]
    assert rows["int4x4"].errors.wrong[3] == -rows["int4x4"].errors.signed[3]  # always one too low
    assert (rows["int4x4"].mae, rows["int4x4"].wce) == (Fraction(6120, 16384), 1)
    over = rows["overpacked-2"]
    assert (f"{float(over.mae):.4f}", f"{float(over.ep_percent):.2f}", over.wce) == ("37.9608", "64.90", 194)
    approximate = rows["int4x4_approximate"]
    assert (f"{float(approximate.ep_percent):.2f}", approximate.wce) == ("2.35", 1)


def test_why_two_printed_probabilities_differ() -> None:
    """58.64 is 64.89 with the lowest product's 25.00 % of one bit of overlap; 3.13 leaves the exact product out."""
    rows = {row.printed.name: row.errors.field_probabilities for row in dsp_packing.compare()}
    percent = {name: tuple(100 * p for p in probabilities) for name, probabilities in rows.items()}
    one, two = percent["overpacked-1"], percent["overpacked-2"]
    assert (one[0], two[0]) == (25, 50)
    assert dsp_packing.cut_mean((one[0], *two[1:])) == "58.64"
    assert dsp_packing.cut_mean(percent["int4x4_approximate"][1:]) == "3.13"
    # Cuts, not rounding: these are what the exact means 41.491, 49.962 and 78.266 are printed as.
    for name, printed in (("restored-2", "41.48"), ("restored-3", "49.95"), ("overpacked-3", "78.26")):
        assert dsp_packing.cut_mean(percent[name]) == printed


def test_a_wrong_table_is_seen() -> None:
    row = dsp_packing.compare()[0]
    for changed in ({"mae": "0.38"}, {"ep_percent": "37.36"}, {"ep_percent": "37.33"}, {"wce": 2}):
        assert not replace(row, printed=replace(row.printed, **changed)).agrees
    assert row.agrees


def test_a_wrong_correction_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The slice's model decides: with its pre-adder off by one lane the full correction is not exact."""
    monkeypatch.setattr(packing, "A_PLUS_D", 0b01100)
    assert ERRORS(PACKINGS["int4x4_full"]).worst > 0


@pytest.mark.parametrize("name", ["int4x4_full", "overpacked-1_full", "overpacked-2_full", "overpacked-3_full"])
def test_full_correction_is_exact(name: str) -> None:
    """Of overlapping fields too, when the low bits of the product above and what lies below are subtracted."""
    found = ERRORS(PACKINGS[name])
    assert (found.inputs, found.worst, found.error_probability) == (1 << 16, 0, 0)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["int8x2", "int8x2_symmetric", "int8x2_unsigned"])
def test_two_int8_are_exact_for_all_operands(name: str) -> None:
    found = ERRORS(PACKINGS[name])
    assert found.inputs == (255**3 if "symmetric" in name else 1 << 24)
    assert found.worst == 0


@pytest.mark.parametrize("name", ["int8x2", "int8x2_symmetric", "int8x2_unsigned"])
def test_two_int8_are_exact(name: str) -> None:
    """All of the lower product's operands beside the corners of the upper one's: its borrow is all they share."""
    scheme = PACKINGS[name]
    (low, high), (least, most) = scheme.wide[0].range, scheme.narrow[0].range
    upper = [low, -1, 0, 1, high]
    rows = np.stack(np.meshgrid(np.arange(low, high + 1), upper, np.arange(least, most + 1), indexing="ij"), -1)
    rows = rows.reshape(-1, 3)
    assert (multiply(scheme, rows[:, :2], rows[:, 2:]) == packing.exact(scheme, rows[:, :2], rows[:, 2:])).all()
    if name == "int8x2":
        raw = replace(scheme, correction="none")
        error = multiply(raw, rows[:, :2], rows[:, 2:]) - packing.exact(raw, rows[:, :2], rows[:, 2:])
        assert np.array_equal(error[:, 1], -(rows[:, 0] * rows[:, 2] < 0).astype(int))


def test_densities() -> None:
    for name, printed in dsp_packing.DENSITY.items():
        assert abs(Fraction(printed) - Fraction(PACKINGS[name].density)) <= Fraction(1, 200)
    assert {n: len(PACKINGS[n].products) for n in ("restored-2_6", "restored-2_int6")} == {
        "restored-2_6": 6,
        "restored-2_int6": 4,
    }


SAFE = {"int8x2": 7, "int8x2_symmetric": 8, "int8x2_unsigned": 4, "int4x4_full": 8}


@pytest.mark.parametrize(("name", "terms"), SAFE.items())
def test_safe_chains_and_the_first_that_is_not(name: str, terms: int) -> None:
    """By proof (ranges), and in a chain of slices: right at the limit for the worst operands, wrong one past it."""
    scheme = PACKINGS[name]
    assert safe_terms(scheme) == terms
    assert failing_operands(scheme, terms) is None
    corner = failing_operands(scheme, terms + 1)
    assert corner is not None
    for count, right in ((terms, True), (terms + 1, False)):
        wide, narrow = (np.tile(lanes, (count, 1)) for lanes in corner)
        expected = sum(packing.exact(scheme, wide[i], narrow[i]) for i in range(count))
        assert np.array_equal(sum_of_products(scheme, wide, narrow), expected) == right
    if name == "int8x2":
        # The one corner: 8 x 2**14 = 2**17, and the next largest product is 2**14 - 2**7.
        assert [lanes.tolist() for lanes in corner] == [[-128, 0], [-128]]


@pytest.mark.parametrize(("name", "terms"), SAFE.items())
def test_chains_sum_all_corners(name: str, terms: int) -> None:
    scheme = PACKINGS[name]
    lanes = scheme.wide + scheme.narrow
    rng = np.random.default_rng(3)
    picks = np.stack([rng.choice([*lane.range, 0, 1], (terms, 3000)) for lane in lanes], -1)
    picks[:, :1000] = picks[:1, :1000]  # the same product again and again
    wide, narrow = picks[..., : len(scheme.wide)], picks[..., len(scheme.wide) :]
    assert np.array_equal(sum_of_products(scheme, wide, narrow), packing.exact(scheme, wide, narrow).sum(0))


INT4X4, PAIR = PACKINGS["int4x4"], np.array([0, 0])
NINE = Packing(name="y", wide=(Lane(bits=9), Lane(bits=9, offset=17)), narrow=(Lane(bits=9),))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Lane(bits=0), "bits must be 1 or more"),
        (lambda: Lane(bits=4, signed=False, symmetric=True), "symmetric=True is for signed operands"),
        (lambda: Packing(name="x", wide=(), narrow=(Lane(bits=4),)), "needs at least one wide lane"),
        (
            lambda: grid("x", (8, 8), (8,), 3),
            "the wide lanes reach -67108992 to 66584703, and the multiplier's input has 27 bits",
        ),
        (
            lambda: grid("x", (4,), (4, 4, 4), 3),
            "the narrow lanes reach 0 to 62945295, and the multiplier's input has 18",
        ),
        (lambda: grid("x", (4, 4), (4, 4), -8), "two products share an offset"),
        (lambda: grid("x", (4, 4), (4, 4), -1, correction="approximate"), "overlapping fields (padding -1)"),
        (
            lambda: grid("x", (4, 4), (4, 4), 3, correction="best"),
            "one of none, approximate, restore, full, got 'best'",
        ),
        (lambda: multiply(INT4X4, np.array([8, 0]), PAIR), "wide lane 0 takes -8 to 7, got 8"),
        (lambda: multiply(INT4X4, PAIR, np.array([0, -1])), "narrow lane 1 takes 0 to 15, got -1"),
        (lambda: multiply(INT4X4, np.array([0]), PAIR), "wide needs 2 values on its last axis, got shape (1,)"),
        (lambda: ERRORS(NINE), "has 134217728 combinations"),
        (lambda: sum_of_products(PACKINGS["overpacked-1"], PAIR, PAIR), "chains need products apart"),
        (lambda: sum_of_products(PACKINGS["int4x4_approximate"], PAIR, PAIR), "take correction='full'"),
        (lambda: sum_of_products(PACKINGS["intn_6"], PAIR[None] + 1, np.array([[0, 0, 15]])), "fills all 18 bits"),
    ],
)
def test_bad_input(make: object, says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)):
        make()  # type: ignore[operator]


def test_descriptions_rebuild() -> None:
    for scheme in PACKINGS.values():
        assert eval(repr(scheme)) == scheme
        assert hash(scheme) == hash(eval(repr(scheme)))
