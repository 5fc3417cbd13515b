"""Cast: how a real number becomes a code."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from formats.exact import whole

Rounding = Literal[
    "ties_to_even",
    "ties_away",
    "toward_zero",
    "up",
    "down",
    "to_odd",
    "stochastic_a",
    "stochastic_b",
    "stochastic_c",
]
Overflow = Literal["saturate", "saturate_finite", "overflow"]
NanPolicy = Literal["raise", "zero", "max", "ml_dtypes"]

DETERMINISTIC: tuple[Rounding, ...] = ("ties_to_even", "ties_away", "toward_zero", "up", "down", "to_odd")
STOCHASTIC: tuple[Rounding, ...] = ("stochastic_a", "stochastic_b", "stochastic_c")
ROUNDINGS: tuple[Rounding, ...] = (*DETERMINISTIC, *STOCHASTIC)  # kernels count along this order
OVERFLOWS: tuple[Overflow, ...] = ("saturate", "saturate_finite", "overflow")
NAN_POLICIES: tuple[NanPolicy, ...] = ("raise", "zero", "max", "ml_dtypes")


@dataclass(frozen=True, kw_only=True, slots=True)
class Cast:
    """Rounding, overflow and NaN policy of a conversion.

    rounding: how a real between two neighbouring values becomes one of them.
        "ties_to_even", "ties_away" (from zero): the nearer. A format that states its own tie rule (E8M0, codebooks)
            follows it under "ties_to_even"; one that states where nearest rounding changes its mind (posits, codebooks
            with cuts) follows that under both.
        "toward_zero", "up" (toward plus infinity), "down".
        "to_odd": the one whose code is odd; of two of one parity (tables) the one nearer to zero.
        "stochastic_a", "stochastic_b", "stochastic_c": the one farther from zero if the real's distance nu from the
            other, as a part of the gap, is large for the element's random integer R of N = random_bits bits:
            a  floor(nu * 2**N) + R >= 2**N                   (biased toward zero by half a step of R)
            b  floor(nu * 2**(N + 1)) + 2 * R + 1 >= 2**(N + 1)
            c  round_to_even(nu * 2**N) + R >= 2**N
            These are IEEE P3109's StochasticA, B and C (interim report 3.2, RoundToPrecision).
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
    random_bits: N of the stochastic roundings, 1..32; the others do not look at it.
    seed: 0..2**64 - 1. R is a function of the seed and of an element's place in the array (formats/random_bits.py), so
        that the same array under the same cast always gives the same codes, whatever it is cut into.
    """

    rounding: Rounding = "ties_to_even"
    overflow: Overflow = "saturate"
    nan: NanPolicy = "raise"
    random_bits: int = 16
    seed: int = 0

    def __post_init__(self) -> None:
        for field, value, allowed in (
            ("rounding", self.rounding, ROUNDINGS),
            ("overflow", self.overflow, OVERFLOWS),
            ("nan", self.nan, NAN_POLICIES),
        ):
            if value not in allowed:
                raise ValueError(f"Cast: {field} must be one of {', '.join(allowed)}, got {value!r}")
        for field, low, high in (("random_bits", 1, 32), ("seed", 0, 2**64 - 1)):
            number = whole("Cast", field, getattr(self, field))
            object.__setattr__(self, field, number)
            if not low <= number <= high:
                raise ValueError(f"Cast: {field} must be {low}..{'2**64-1' if high > 32 else high}, got {number}")

    @property
    def stochastic(self) -> bool:
        """Whether the rounding draws random bits."""
        return self.rounding in STOCHASTIC

    @property
    def unseeded(self) -> Cast:
        """The cast without what does not change a plan: plans are kept, and a new seed must not make a new one."""
        if not self.stochastic:
            return self if (self.random_bits, self.seed) == (16, 0) else replace(self, random_bits=16, seed=0)
        return replace(self, seed=0) if self.seed else self


DEFAULT = Cast()
