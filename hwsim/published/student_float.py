"""Learning from Students (Dotzel et al., ICML 2024), table 10: MACs of 4-bit formats in TSMC 28 nm, 256 terms.

    for row in TABLE: print(row.name, row.accumulator_bits, width(row.name), row.overhead_percent, overhead(row))

Follows from the values of table 15: the accumulator of seven of ten rows. Does not: E2M1-I and E2M1-B, which need 23
and 25 bits for lossless sums and have 20 and 23 (20 is what E2M1-I needs when 0.0625 * 0.0625 alone is dropped), and
E2M1+SP, whose extra value 5 needs no bit and which has 19 for 17.
The overhead column is arithmetic on the areas, as the footnote has it: MACs are 10 % of the chip and memory 60 %.
Not so in the text: "the MAC area of INT5 only increases by 2.7 % over INT4" is 26.7 %, of which the chip sees 2.7 %.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from formats.analysis.overflow import register_bits

TERMS = 256
MAC_SHARE, MEMORY_SHARE = Fraction(1, 10), Fraction(6, 10)  # of the chip's area; table 10, footnote 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Mac:
    """A row: accumulator width, areas in um2, power in uW, area overhead of the chip over INT4's in percent."""

    name: str
    accumulator_bits: int
    multiplier_um2: str
    accumulator_um2: str
    mac_um2: str
    power_uw: str
    overhead_percent: str


def _row(line: str) -> Mac:
    name, bits, multiplier, accumulator, mac, power, overhead = line.split()
    return Mac(
        name=name, accumulator_bits=int(bits), multiplier_um2=multiplier, accumulator_um2=accumulator, mac_um2=mac,
        power_uw=power, overhead_percent=overhead,
    )  # fmt: skip


TABLE = tuple(
    _row(line)
    for line in (
        "INT4 16 75.3 85.4 160.7 48.5 0.0",
        "INT5 18 106.6 97 203.6 59.8 17.7",
        "E2M1-I 20 119.1 109.1 228.2 59.7 4.2",
        "E2M1-B 23 137.9 131 268.9 67.9 6.7",
        "E2M1 17 79.7 90.7 170.4 49.6 0.6",
        "E2M1+SR 18 96.8 94.5 191.3 53.5 1.9",
        "E2M1+SP 19 121.5 96.5 218.0 54.6 3.6",
        "E3M0 22 98.0 119.7 217.7 59.5 3.6",
        "APoT4 16 96.2 85.4 181.6 47.2 1.3",
        "APoT4+SP 16 99.7 85.4 185.1 45.5 1.5",
    )
)
ROWS = {row.name: row for row in TABLE}


def _mirrored(*magnitudes: str, extra: str | None = None) -> tuple[Fraction, ...]:
    values = [Fraction(m) for m in magnitudes]
    return tuple(sorted({*values, *(-v for v in values)} | ({Fraction(extra)} if extra else set())))


_E2M1 = ("0", "0.5", "1", "1.5", "2", "3", "4", "6")
_APOT4 = ("0", "0.1", "0.2", "0.3", "0.4", "0.6", "0.8", "1")
# Table 15; 0.062 there is 0.0625.
VALUES = {
    "INT4": tuple(Fraction(v) for v in range(-8, 8)),
    "INT5": tuple(Fraction(v) for v in range(-16, 16)),
    "E2M1-I": _mirrored("0", "0.0625", *_E2M1[2:]),
    "E2M1-B": _mirrored("0", "0.0625", "2", "3", "4", "6", "8", "12"),
    "E2M1": _mirrored(*_E2M1),
    "E2M1+SR": _mirrored(*_E2M1, extra="8"),
    "E2M1+SP": _mirrored(*_E2M1, extra="5"),
    "E3M0": _mirrored("0", "0.25", "0.5", "1", "2", "4", "8", "16"),
    "APoT4": _mirrored(*_APOT4),
    "APoT4+SP": _mirrored(*_APOT4, extra="0.5"),
}


def width(name: str, terms: int = TERMS) -> int:
    """Bits of the narrowest two's complement register for lossless sums of products of two values of the row's format.

    The register's unit is any rational number (tenths squared, for APoT4). Raises ValueError for an unknown name.
    """
    if name not in VALUES:
        raise ValueError(f"student_float: no format {name!r}; table 15 has {', '.join(VALUES)}")
    products = {x * y for x in VALUES[name] for y in VALUES[name]}
    unit = _unit(products)
    low, high = (int(terms * end / unit) for end in (min(products), max(products)))
    return register_bits(low, high)


def _unit(products: set[Fraction]) -> Fraction:
    """Greatest common divisor of rationals."""
    unit = Fraction(0)
    for value in products:
        while value:
            unit, value = value, unit % value
    return abs(unit)


def follows(name: str) -> bool:
    """Whether the printed width is the one the values need."""
    return width(name) == ROWS[name].accumulator_bits


def overhead(row: Mac) -> tuple[Fraction, Fraction, Fraction]:
    """Chip overhead over INT4 in percent: from the printed areas, and the ends they allow, being rounded to 0.1 um2."""
    memory = MEMORY_SHARE * (Fraction(5, 4) - 1) if row.name == "INT5" else Fraction(0)
    mac, base, half = Fraction(row.mac_um2), Fraction(ROWS["INT4"].mac_um2), Fraction(5, 100)
    ratios = (mac / base, (mac - half) / (base + half), (mac + half) / (base - half))
    middle, low, high = (100 * (MAC_SHARE * (ratio - 1) + memory) for ratio in ratios)
    return (middle, low, high) if row.name != "INT4" else (Fraction(0),) * 3
