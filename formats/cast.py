"""Cast: how a real number becomes a code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Rounding = Literal["ties_to_even", "ties_away", "toward_zero", "up", "down"]
Overflow = Literal["saturate", "saturate_finite", "overflow"]
NanPolicy = Literal["raise", "zero", "max", "ml_dtypes"]

ROUNDINGS: tuple[Rounding, ...] = ("ties_to_even", "ties_away", "toward_zero", "up", "down")
OVERFLOWS: tuple[Overflow, ...] = ("saturate", "saturate_finite", "overflow")
NAN_POLICIES: tuple[NanPolicy, ...] = ("raise", "zero", "max", "ml_dtypes")


@dataclass(frozen=True, kw_only=True, slots=True)
class Cast:
    """Rounding, overflow and NaN policy of a conversion.

    rounding: "ties_to_even", "ties_away" (from zero), "toward_zero", "up" (toward plus infinity), "down". Nearest
        rounding of a format that states its own tie rule (E8M0, codebooks) follows that rule under "ties_to_even".
    overflow: what a value becomes whose magnitude, rounded with unbounded exponent, is beyond the largest finite one:
        "saturate"        the largest finite value; infinities too (OFP8's saturating mode);
        "saturate_finite" the largest finite value, infinities stay infinite (NaN where a format has no infinity, and
                          where it has neither the largest finite value: nothing else could stand for them);
        "overflow"        infinity, or NaN where a format has none (OFP8's non-saturating mode); a directed rounding
                          whose direction points back into range gives the largest finite value (IEEE 754-2019, 7.4).
        Negative reals beyond an unsigned format's range go to its smallest value, or to NaN under "overflow".
        A format with neither infinity nor NaN refuses "overflow".
    nan: what NaN becomes in a format without NaN: "raise" (ValueError), "zero", "max" (the largest finite value), or
        "ml_dtypes" (zero with the opposite sign, as ml_dtypes 0.6 does for FP4 and FP6). A format that has NaN keeps
        it, and its sign where there are two. A block under rule absmax or te_nvfp4 has no scale that a NaN could
        set: "raise" refuses it whatever the element, and the other policies leave it out of the scale. A power-of-two
        block with an infinity in it, or with a NaN under "raise" or "ml_dtypes", becomes NaN as a whole, as OCP MX has
        it; "zero" and "max" leave the NaN out of its scale.
    """

    rounding: Rounding = "ties_to_even"
    overflow: Overflow = "saturate"
    nan: NanPolicy = "raise"

    def __post_init__(self) -> None:
        for field, value, allowed in (
            ("rounding", self.rounding, ROUNDINGS),
            ("overflow", self.overflow, OVERFLOWS),
            ("nan", self.nan, NAN_POLICIES),
        ):
            if value not in allowed:
                raise ValueError(f"Cast: {field} must be one of {', '.join(allowed)}, got {value!r}")


DEFAULT = Cast()
