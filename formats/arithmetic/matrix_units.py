"""Steps of matrix units that are no Aligned: groups aligned by their scales, a late register, a tree that flushes.

Descriptions only; reference.py says what they mean, named.py which chips they are of.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from formats.arithmetic.aligned import Aligned
from formats.arithmetic.register_format import accumulator_format, described
from formats.exact import whole
from formats.minifloat import Minifloat

_BOUNDS = {
    "AlignedGroups": {"terms": (1, 1024), "group": (1, 1024), "fraction_bits": (1, 50)},
    "AlignedLate": {
        "terms": (1, 1024),
        "fraction_bits": (1, 40),
        "sum_bits": (1, 40),
        "total_bits": (1, 40),
        "groups": (1, 1024),
        "register_reach": (0, 1024),
    },
    "PairwiseStep": {"terms": (1, 1024)},
}


def _set(record: Any, format: Minifloat | str, **fields: int | None) -> None:
    """Set a record's format and its integers, within their bounds; None stays."""
    owner = type(record).__name__
    for field, given in fields.items():
        low, high = _BOUNDS[owner][field]
        value = None if given is None else whole(owner, field, given)
        if value is not None and not low <= value <= high:
            raise ValueError(f"{owner}: {field} must be {low}..{high}, got {value}")
        object.__setattr__(record, field, value)
    object.__setattr__(record, "format", accumulator_format(owner, format))


@dataclass(frozen=True, slots=True, repr=False)
class AlignedGroups:
    """Groups of products summed exactly, scaled, then aligned by the exponents of their scales, cut off and added.

    One step takes `terms` consecutive k (the last step is filled with zeros) in groups of `group`, each with one scale
    of a and one of b (1 where operands have none):
    1. a group's products are added exactly, and the sum multiplied by the significands of both scales;
    2. its exponent is the sum of the scales' exponents, whatever its sum (a subnormal scale has the exponent of the
       smallest normal one); a group whose products are all zero, or that has a zero scale, has none;
    3. the largest exponent of the groups and of the register (where it is not zero), not below `minimum_exponent`, is
       the step's; all are cut off toward zero below 2**(step's exponent - fraction_bits) and added exactly;
    4. the sum is rounded once to `format`; one of zero is +0, one of 2**(e + 1) or more, e the exponent of the
       format's largest value, is infinite. A scale that is NaN makes the sum NaN.

    terms: a multiple of group, up to 1024. fraction_bits: 1..50. format: a name or Minifloat, as FloatChain's.
    """

    terms: int
    group: int
    fraction_bits: int
    format: Minifloat
    rounding: Literal["toward_zero", "ties_to_even"]
    minimum_exponent: int | None

    def __init__(
        self,
        terms: int,
        group: int,
        fraction_bits: int,
        format: Minifloat | str = "float32",
        rounding: Literal["toward_zero", "ties_to_even"] = "toward_zero",
        minimum_exponent: int | None = None,
    ) -> None:
        if minimum_exponent is not None:
            minimum_exponent = whole("AlignedGroups", "minimum_exponent", minimum_exponent)
        _set(self, format, terms=terms, group=group, fraction_bits=fraction_bits)
        object.__setattr__(self, "rounding", rounding)
        object.__setattr__(self, "minimum_exponent", minimum_exponent)
        if self.terms % self.group:
            raise ValueError(f"AlignedGroups: terms must be a multiple of group = {self.group}, got {self.terms}")
        if self.rounding not in ("toward_zero", "ties_to_even"):
            raise ValueError(f"AlignedGroups: rounding must be toward_zero or ties_to_even, got {self.rounding!r}")
        if self.minimum_exponent is not None:
            object.__setattr__(
                self, "minimum_exponent", whole("AlignedGroups", "minimum_exponent", self.minimum_exponent)
            )

    def __repr__(self) -> str:
        usual = {"rounding": "toward_zero", "minimum_exponent": None}
        return described(self, ("terms", "group", "fraction_bits", "format"), usual)


@dataclass(frozen=True, slots=True, repr=False)
class AlignedLate:
    """Products aligned and cut off among themselves; the register joins late, and rounding down makes the joint.

    One step takes `terms` consecutive k (the last step is filled with zeros) in `groups` groups, k % groups:
    1. a product of 2**(e + 1) or more in magnitude, e the exponent of the format's largest value, is infinite;
    2. each group's products are aligned to its largest exponent, that of operands added and not normalised, cut off
       toward zero `fraction_bits` below it and added; zeros are ignored;
    3. with several groups, each sum is rounded down to a multiple of 2**(largest group's exponent - fraction_bits), and
       they are added;
    4. E is the largest exponent of the groups and of the register, where a zero or subnormal register counts as the
       smallest normal one; the products' sum is rounded down to a multiple of 2**(E - sum_bits), the register to one of
       2**(E - fraction_bits), and they are added; a register whose exponent is below E - register_reach is left out;
    5. with total_bits, the total is rounded down to that many bits below its own leading one (of a subnormal, below the
       smallest normal one's);
    6. it is rounded to `format`, to nearest even. An exact zero is +0.

    terms: a multiple of groups, up to 1024. fraction_bits, sum_bits, total_bits: 1..40.
    """

    terms: int
    fraction_bits: int
    sum_bits: int
    format: Minifloat
    total_bits: int | None
    groups: int
    register_reach: int | None

    def __init__(
        self,
        terms: int,
        fraction_bits: int,
        sum_bits: int,
        format: Minifloat | str = "float32",
        total_bits: int | None = None,
        groups: int = 1,
        register_reach: int | None = None,
    ) -> None:
        _set(
            self, format, terms=terms, fraction_bits=fraction_bits, sum_bits=sum_bits, total_bits=total_bits,
            groups=groups, register_reach=register_reach,
        )  # fmt: skip
        if self.terms % self.groups:
            raise ValueError(f"AlignedLate: terms must be a multiple of groups = {self.groups}, got {self.terms}")

    def __repr__(self) -> str:
        usual = {"total_bits": None, "groups": 1, "register_reach": None}
        return described(self, ("terms", "fraction_bits", "sum_bits", "format"), usual)


@dataclass(frozen=True, slots=True, repr=False)
class PairwiseStep:
    """`terms` products rounded to the format, added as a binary tree, neighbours first; then added to the register.

    Every product and every addition is rounded to nearest even. Where a level has an odd number of parts, its last one
    passes on. The last step is filled with zeros.
    flush: subnormal operands and registers count as +0, and what a rounding leaves subnormal becomes zero of its sign.
    terms: 1..1024.
    """

    terms: int
    format: Minifloat
    flush: bool

    def __init__(self, terms: int, format: Minifloat | str = "float32", flush: bool = False) -> None:
        _set(self, format, terms=terms)
        object.__setattr__(self, "flush", bool(flush))

    def __repr__(self) -> str:
        return described(self, ("terms", "format"), {"flush": False})


Steps = Aligned | AlignedGroups | AlignedLate | PairwiseStep  # take several products at once
