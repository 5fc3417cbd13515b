"""All 504 published value tables of IEEE P3109, by their sha256: tests/data/p3109_sha256.csv says how."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

import formats as nf

PATH = Path(__file__).parents[1] / "data" / "p3109_sha256.csv"
DIGESTS = dict(line.split(",") for line in PATH.read_text().splitlines()[3:])
WIDTHS = range(3, 17)


def canonical(fmt: nf.Scalar) -> str:
    """One line a code: its hex, and its value as an odd integer times a power of two."""
    lines = []
    for code, value in enumerate(fmt.values()):
        if isinstance(value, nf.Special):
            text = str(value.value)
        elif value.significand == 0:
            text = "-0" if value.negative else "0"
        else:
            shift = (value.significand & -value.significand).bit_length() - 1
            text = f"{'-' if value.negative else ''}{value.significand >> shift}*2^{value.exponent + shift}"
        lines.append(f"{code:x} {text}")
    return "\n".join(lines)


def check(width: int) -> None:
    names = [name for name in DIGESTS if name.startswith(f"binary{width}p")]
    assert len(names) == 4 * width - 2
    for name in names:
        fmt = nf.get(name)
        assert not isinstance(fmt, nf.Scaled | nf.Sum)
        assert hashlib.sha256(canonical(fmt).encode()).hexdigest() == DIGESTS[name], name


def test_all_tables_are_there() -> None:
    assert len(DIGESTS) == 504


@pytest.mark.parametrize("width", [k for k in WIDTHS if k <= 10])
def test_value_tables(width: int) -> None:
    check(width)


@pytest.mark.slow
@pytest.mark.parametrize("width", [k for k in WIDTHS if k > 10])
def test_wide_value_tables(width: int) -> None:
    check(width)


def test_the_check_sees_one_wrong_code() -> None:
    wrong = nf.Minifloat(exponent_bits=4, trailing_significand_bits=3, bias=9, specials="extended")
    assert hashlib.sha256(canonical(wrong).encode()).hexdigest() != DIGESTS["binary8p4se"]
