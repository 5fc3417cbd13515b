"""DSP-Packing (Sommer, Ozkan, Keszocze, Teich; FPL 2022, arXiv 2203.11028), tables I and II, by enumeration.

    for row in compare(): print(row.printed, row.mae, row.ep_percent, row.wce, row.agrees)

The paper cuts figures to two decimals, each product's and then their mean (its last digits show it): a printed figure
is at most, and less than 0.02 below, the exact one. Two rows are not:

overpacking by two bits prints EP 58.64 % where the enumeration has 64.90 %. 58.64 comes out, to the digit, when the
lowest product is taken to be wrong in 25.00 % of the cases, as with one bit of overlap, and not in its 50.00 %.
Approximate correction prints EP 3.13 %, the mean of the three products that can be wrong; of all four it is 2.35 %.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from hwsim.fpga.packing_errors import PackingErrors, packing_errors
from hwsim.fpga.schemes import PACKINGS


@dataclass(frozen=True, kw_only=True, slots=True)
class Printed:
    """A row: mean absolute error, error probability in percent, worst-case error; LUTs and flip-flops of the
    correction on an XCZU7EV-2FFVC1156, beside one DSP."""

    name: str
    mae: str
    ep_percent: str
    wce: int
    luts: int
    flip_flops: int


# Tables I and II; names of hwsim.fpga.schemes.
TABLE = (
    Printed(name="int4x4", mae="0.37", ep_percent="37.35", wce=1, luts=0, flip_flops=0),
    Printed(name="int4x4_full", mae="0.00", ep_percent="0.00", wce=0, luts=27, flip_flops=32),
    Printed(name="int4x4_approximate", mae="0.02", ep_percent="3.13", wce=1, luts=0, flip_flops=0),
    Printed(name="overpacked-1", mae="24.27", ep_percent="49.85", wce=129, luts=0, flip_flops=0),
    Printed(name="overpacked-2", mae="37.95", ep_percent="58.64", wce=194, luts=0, flip_flops=0),
    Printed(name="overpacked-3", mae="45.53", ep_percent="78.26", wce=228, luts=0, flip_flops=0),
    Printed(name="restored-1", mae="0.37", ep_percent="37.35", wce=1, luts=4, flip_flops=6),
    Printed(name="restored-2", mae="0.47", ep_percent="41.48", wce=2, luts=6, flip_flops=20),
    Printed(name="restored-3", mae="0.78", ep_percent="49.95", wce=4, luts=17, flip_flops=30),
)
# Packing density rho, bits of products by 48: figure 9.
DENSITY = {"int8x2": "0.67", "int4x4": "0.67", "intn_6": "0.88", "restored-2_6": "1.13"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """Printed beside enumerated."""

    printed: Printed
    errors: PackingErrors

    @property
    def mae(self) -> Fraction:
        """Mean absolute error."""
        return self.errors.mean_absolute

    @property
    def ep_percent(self) -> Fraction:
        """Error probability in percent."""
        return 100 * self.errors.error_probability

    @property
    def wce(self) -> int:
        """Worst-case error."""
        return self.errors.worst

    @property
    def agrees(self) -> bool:
        """Whether all three figures are the printed ones, given that two cuts to two decimals take less than 0.02."""
        gaps = (self.mae - Fraction(self.printed.mae), self.ep_percent - Fraction(self.printed.ep_percent))
        return all(0 <= gap < Fraction(2, 100) for gap in gaps) and self.wce == self.printed.wce


def compare() -> tuple[Row, ...]:
    """Every row, enumerated anew (a fraction of a second in all)."""
    return tuple(Row(printed=row, errors=packing_errors(PACKINGS[row.name])) for row in TABLE)


def cut_mean(values: tuple[Fraction, ...]) -> str:
    """Mean of values cut to two decimals, cut to two decimals: how the last digits of the paper come about."""
    mean = sum(int(value * 100) for value in values) // len(values)
    return f"{mean // 100}.{mean % 100:02d}"
