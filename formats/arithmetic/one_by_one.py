"""Accumulators that take one product after another, and the one that says nothing of their order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from formats.arithmetic.register_format import accumulator_format, described
from formats.cast import ROUNDINGS, Cast, Overflow, Rounding
from formats.exact import whole
from formats.minifloat import Minifloat


@dataclass(frozen=True, slots=True)
class Exact:
    """The exact sum, rounded once to the output format. The order of the terms does not matter.

    max_terms: the longest sum the hardware's register is built for, or None where no register is meant.
    """

    max_terms: int | None = None

    def __post_init__(self) -> None:
        if self.max_terms is not None:
            object.__setattr__(self, "max_terms", whole("Exact", "max_terms", self.max_terms))
        if self.max_terms is not None and self.max_terms < 1:
            raise ValueError(f"Exact: max_terms must be at least 1, got {self.max_terms}")


@dataclass(frozen=True, slots=True)
class Integer:
    """A two's complement register of `bits` bits, counting in units of ulp(a) * ulp(b), the product's last place.

    For integers these are plain integers; for minifloats it is a fixed-point (Kulisch) register of stated width. What a
    multiplier that is not exact makes below that place is cut off, toward zero.
    overflow: "wrap" (modulo 2**bits), "saturate" (clamped after every addition), or "error" (ValueError).
    every: products added at once, 1..2**20: the register, and with it the overflow, is looked at after each such step
        of consecutive k (the last one may be shorter).
    """

    bits: int
    overflow: Literal["wrap", "saturate", "error"] = "wrap"
    every: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "bits", whole("Integer", "bits", self.bits))
        object.__setattr__(self, "every", whole("Integer", "every", self.every))
        if not 1 <= self.every <= 2**20:
            raise ValueError(f"Integer: every must be 1..2**20, got {self.every}")
        if not 2 <= self.bits <= 1024:
            raise ValueError(f"Integer: bits must be 2..1024, got {self.bits}")
        if self.overflow not in ("wrap", "saturate", "error"):
            raise ValueError(f"Integer: overflow must be wrap, saturate or error, got {self.overflow!r}")

    def __repr__(self) -> str:
        every = f", every={self.every}" if self.every != 1 else ""
        return f"Integer(bits={self.bits}, overflow={self.overflow!r}{every})"


def _check_cast(owner: str, rounding: str, overflow: str) -> None:
    if rounding not in ROUNDINGS:
        raise ValueError(f"{owner}: rounding must be one of {', '.join(ROUNDINGS)}, got {rounding!r}")
    if overflow not in ("overflow", "saturate", "saturate_finite"):
        raise ValueError(f"{owner}: overflow must be overflow, saturate or saturate_finite, got {overflow!r}")


@dataclass(frozen=True, slots=True)
class FloatChain:
    """acc = round(acc + product), term after term. With an exact product this is a fused multiply-add.

    format: a signed Minifloat with infinity, NaN and subnormals, or its name; up to 24 bits of precision.
    rounding, overflow, random_bits, seed: as of `Cast`; overflow gives infinity by default. The random integer of a
        stochastic addition is that of place (flat index of the output) * 2**32 + (number of the addition), additions of
        an output counted from 0 in the order they are made.
    The register starts from +0, or from `c`.
    """

    format: Minifloat
    rounding: Rounding
    overflow: Overflow
    random_bits: int
    seed: int

    def __init__(
        self,
        format: Minifloat | str = "float32",
        rounding: Rounding = "ties_to_even",
        overflow: Overflow = "overflow",
        random_bits: int = 16,
        seed: int = 0,
    ) -> None:
        _check_cast("FloatChain", rounding, overflow)
        cast = Cast(rounding=rounding, overflow=overflow, random_bits=random_bits, seed=seed)
        fmt = accumulator_format("FloatChain", format)
        if cast.stochastic and fmt.trailing_significand_bits + cast.random_bits > 50:
            # Sums arrive rounded to odd at 53 bits; a draw looks that far below the last place, and one bit more.
            raise ValueError(
                f"FloatChain: trailing bits and random bits must be 50 or fewer together, got {fmt.name} and "
                f"random_bits={cast.random_bits}"
            )
        object.__setattr__(self, "format", fmt)
        object.__setattr__(self, "rounding", cast.rounding)
        object.__setattr__(self, "overflow", cast.overflow)
        object.__setattr__(self, "random_bits", cast.random_bits)
        object.__setattr__(self, "seed", cast.seed)

    @property
    def cast(self) -> Cast:
        """What an addition's exact sum goes through."""
        return Cast(rounding=self.rounding, overflow=self.overflow, random_bits=self.random_bits, seed=self.seed)

    def __repr__(self) -> str:
        usual = {"rounding": "ties_to_even", "overflow": "overflow", "random_bits": 16, "seed": 0}
        return described(self, ("format",), usual)


@dataclass(frozen=True, slots=True)
class Kahan:
    """Compensated summation, every operation rounded to the format, to nearest even:

        y = product - lost;  t = acc + y;  lost = (t - acc) - y;  acc = t

    Source: W. Kahan, Further remarks on reducing truncation errors, CACM 8(1), 1965. Once acc is infinite or NaN it
    stays, and `lost` counts no more. format: as FloatChain's.
    """

    format: Minifloat

    def __init__(self, format: Minifloat | str = "float32") -> None:
        object.__setattr__(self, "format", accumulator_format("Kahan", format))

    def __repr__(self) -> str:
        return described(self, ("format",), {})


@dataclass(frozen=True, slots=True)
class Unordered:
    """A float32 register, but nothing is said of the order of the additions: whatever BLAS does.

    Not defined bit by bit: the same job may give other last bits on another machine, and products of multipliers other
    than the exact one may themselves be rounded to float32. For speed where that is enough; the reference refuses it.
    """

    format: Minifloat

    def __init__(self, format: Minifloat | str = "float32") -> None:
        fmt = accumulator_format("Unordered", format)
        if fmt.name != "float32":
            raise ValueError(f"Unordered: format must be float32, which BLAS sums in, got {fmt.name}; use a FloatChain")
        object.__setattr__(self, "format", fmt)

    def __repr__(self) -> str:
        return "Unordered()"
