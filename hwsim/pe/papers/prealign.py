"""Pre-alignment: floats of a group become integers under the largest exponent among them (iFPU, FIGNA, FIGLUT-I).

The integers then go through integer units: `lookup` tables, add/subtract trees, multipliers.
FIGLUT (HPCA 2025) says that activations become integer significands of one exponent, the largest. How many places
are kept below the significand, and what becomes of those beyond, it does not say: here `kept` is a parameter, and
magnitudes are cut off (assumed).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import formats as nf
from hwsim.circuit import Bits, Build, Module, cat
from hwsim.pe.number import decoded, slug


@dataclass(frozen=True, kw_only=True, slots=True)
class PreAlign:
    """source: a signed minifloat with subnormals. lanes: of the group. kept: places below the significand's own."""

    source: nf.Minifloat
    lanes: int
    kept: int = 0

    def __post_init__(self) -> None:
        fmt = self.source
        if not isinstance(fmt, nf.Minifloat) or not (fmt.signed and fmt.subnormals):
            raise ValueError(f"PreAlign: source must be a signed minifloat with subnormals, got {fmt!r}")
        if self.lanes < 2 or self.kept < 0:
            raise ValueError(f"PreAlign: 2 lanes or more and kept >= 0, got lanes={self.lanes}, kept={self.kept}")

    @property
    def magnitude_bits(self) -> int:
        """Of an aligned significand, its sign apart."""
        return self.source.trailing_significand_bits + 1 + self.kept

    @property
    def name(self) -> str:
        """Its module's name."""
        return f"prealign_{slug(self.source.name)}_{self.lanes}lanes_kept{self.kept}"


@cache
def prealign(what: PreAlign) -> Module:
    """Ports: a: codes, the first lowest; aligned: two's complement, magnitude_bits + 1 each; largest: exponent field.

    A lane is worth aligned * 2**(largest - 1 + source.ulp_exponent - kept), cut off. Infinities and NaN are the numbers
    their fields spell.
    """
    m = Build(what.name)
    fmt, size = what.source, what.magnitude_bits
    row = m.input("a", fmt.bits * what.lanes)
    numbers = [decoded(m, f"decode{i}", fmt, row[fmt.bits * i : fmt.bits * (i + 1)]) for i in range(what.lanes)]
    exponents = [x.exponent for x in numbers if x.exponent is not None]
    largest, rank = exponents, 0
    while len(largest) > 1:
        pairs = [largest[i : i + 2] for i in range(0, len(largest), 2)]
        largest = [_larger(m, f"larger{rank}_{i}", *p) if len(p) > 1 else p[0] for i, p in enumerate(pairs)]
        rank += 1
    found = []
    for i, (x, exponent) in enumerate(zip(numbers, exponents, strict=True)):
        assert x.sign is not None
        down = m.leaf(f"distance{i}", "subtractor", width=exponent.width, a=largest[0], b=exponent)
        moved = m.leaf(
            f"align{i}", "shifter", width=size, positions=(1 << down.width) - 1, a=x.significand.above(what.kept),
            amount=down,
        )  # fmt: skip
        turned = m.leaf(
            f"turn{i}", "exclusive_or", width=size + 1, a=moved.zero_extend(size + 1), b=x.sign.repeat(size + 1)
        )
        found.append(m.leaf(f"aligned{i}", "incrementer", width=size + 1, a=turned, carry=x.sign))
    m.output("aligned", cat(*reversed(found)))
    m.output("largest", largest[0])
    return m.done()


def _larger(m: Build, name: str, a: Bits, b: Bits) -> Bits:
    less = m.leaf(f"{name}_less", "comparator", width=a.width, a=a, b=b)
    row: Bits = m.leaf(name, "multiplexer", width=a.width, choices=2, words=cat(b, a), select=less)
    return row
