"""Published widths, overheads and ratios made again from their own inputs."""

from __future__ import annotations

import re
from fractions import Fraction
from itertools import product

import pytest

import formats as nf
from hwsim.fpga.accumulator import compare_width, excess_range
from hwsim.published import lmul
from hwsim.published.student_float import ROWS, TABLE, VALUES, Mac, follows, overhead, width

# FPL'24's formula at 4,608 terms (ResNet-18), what the values need, and the same with the top binade for Inf and NaN.
FPL24 = {(2, 3): (26, 25, 23), (3, 2): (32, 31, 29), (3, 3): (34, 33, 31)}


@pytest.mark.parametrize(("bits", "widths"), FPL24.items(), ids=lambda v: str(v))
def test_minifloat_widths(bits: tuple[int, int], widths: tuple[int, int, int]) -> None:
    """The formula is three bits wide only where a quarter of the products' range is given to Inf and NaN."""
    published, finite, ieee = widths
    e, m = bits
    for specials, exact in (("none", finite), ("ieee", ieee)):
        fmt = nf.Minifloat(exponent_bits=e, trailing_significand_bits=m, specials=specials)
        found = compare_width(fmt, fmt, 4608)
        assert (found.published, found.exact) == (published, exact)
        # Over all lengths: never too narrow, and exact where the length is a power of two (no specials).
        assert excess_range(fmt, fmt, 1 << 14) == ((0, 1) if specials == "none" else (2, 3))
        assert nf.accumulator_bits(fmt, fmt, nf.Exact(max_terms=4608)) == exact


@pytest.mark.parametrize(("name", "ends"), {"int8": (1, 2), "int4": (1, 2), "int8:symmetric": (2, 3)}.items())
def test_integer_widths(name: str, ends: tuple[int, int]) -> None:
    assert excess_range(name, name, 1 << 14) == ends
    brute = [compare_width(name, name, n).excess for n in range(1, 600)]
    assert (min(brute), max(brute)) == excess_range(name, name, 599)


def test_the_exact_width_is_the_least() -> None:
    """By all pairs of codes: the extreme sum fits, and does not in a bit less."""
    fmt = nf.Minifloat(exponent_bits=2, trailing_significand_bits=3, specials="none")
    values = [v.fraction for v in fmt.values() if hasattr(v, "fraction")]
    largest = max(x * y for x, y in product(values, values)) / min(
        abs(x * y) for x, y in product(values, values) if x * y
    )
    bits = compare_width(fmt, fmt, 4608).exact
    assert 4608 * largest <= 2 ** (bits - 1) - 1
    assert 4608 * largest > 2 ** (bits - 2) - 1


def test_student_float_widths() -> None:
    """Seven of ten rows follow from the values; the three others are pinned with what they need."""
    assert [row.name for row in TABLE if follows(row.name)] == [
        "INT4",
        "INT5",
        "E2M1",
        "E2M1+SR",
        "E3M0",
        "APoT4",
        "APoT4+SP",
    ]
    assert {row.name: (row.accumulator_bits, width(row.name)) for row in TABLE if not follows(row.name)} == {
        "E2M1-I": (20, 23),
        "E2M1-B": (23, 25),
        "E2M1+SP": (19, 17),
    }
    # Our formats agree where they are in binary units.
    formats = {
        "INT4": "int4",
        "INT5": "int5",
        "E2M1": "e2m1fn",
        "E3M0": "e3m0:none",
        "E2M1+SR": "fp4_sr",
        "E2M1-I": "fp4_inc",
    }
    for row, name in formats.items():
        assert nf.analysis.exact_width(name, name, 256).bits == width(row)
    # E2M1-I's 20: with its smallest square lost, the unit is 2**-5.
    products = {x * y for x, y in product(VALUES["E2M1-I"], repeat=2)} - {Fraction(1, 256), -Fraction(1, 256)}
    assert all((32 * p).denominator == 1 for p in products)
    assert 1 + int(256 * 32 * max(products)).bit_length() == 20


def test_student_float_overheads() -> None:
    """Every printed overhead is the footnote's arithmetic on the printed areas, which are rounded themselves."""
    for row in TABLE:
        assert Fraction(row.mac_um2) == Fraction(row.multiplier_um2) + Fraction(row.accumulator_um2), row
        middle, low, high = overhead(row)
        printed, half = Fraction(row.overhead_percent), Fraction(5, 100)
        assert low - half <= printed <= high + half, row
        if (
            row.name != "E3M0"
        ):  # 3.547 is printed 3.6: within what the areas' rounding allows, and no other row needs it
            assert abs(middle - printed) <= half, row
    assert [f"{float(overhead(ROWS[name])[0]):.2f}" for name in ("E2M1", "E2M1+SP", "INT5")] == [
        "0.60",
        "3.57",
        "17.67",
    ]


def test_a_wrong_overhead_is_seen() -> None:
    wrong = Mac(**{**{f: getattr(ROWS["E2M1"], f) for f in Mac.__slots__}, "mac_um2": "171.4"})
    assert overhead(wrong)[1] - Fraction(5, 100) > Fraction(wrong.overhead_percent)


def test_lmul_ratios() -> None:
    assert [f"{float(claim.saved):.1%}" for claim in lmul.CLAIMS] == ["95.5%", "97.3%", "78.3%"]
    assert [claim.saved for claim in lmul.CLAIMS] == [Fraction(21, 22), Fraction(36, 37), Fraction(18, 23)]


def test_bad_input() -> None:
    with pytest.raises(
        ValueError, match=re.escape("FPL'24 has formulas for two minifloats or two integers, got 'int8' and 'e4m3fn'")
    ):
        compare_width("int8", "e4m3fn", 16)
    with pytest.raises(ValueError, match="most_terms must be at least 1, got 0"):
        excess_range("int8", "int8", 0)
    with pytest.raises(ValueError, match=re.escape("no format 'NF4'; table 15 has INT4, INT5")):
        width("NF4")
