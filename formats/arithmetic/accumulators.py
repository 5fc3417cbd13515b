"""Accumulators: how K products become one number. Descriptions only; reference.py says what they mean.

Exact, Integer, FloatChain and Kahan take one product after another; Aligned, and AlignedGroups, AlignedLate and
PairwiseStep of matrix_units.py, take several at once. Promotion and SplitK are built of them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache
from typing import Literal

from formats.arithmetic.matrix_units import AlignedGroups, AlignedLate, PairwiseStep
from formats.arithmetic.register_format import accumulator_format
from formats.block import Format
from formats.cast import ROUNDINGS, Cast, Overflow, Rounding
from formats.catalogue import get
from formats.exact import Dyadic, whole
from formats.minifloat import Minifloat
from formats.reference import encode_value
from formats.scalar import Scalar


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
        rest = {"rounding": "ties_to_even", "overflow": "overflow", "random_bits": 16, "seed": 0}
        changed = "".join(f", {k}={getattr(self, k)!r}" for k, usual in rest.items() if getattr(self, k) != usual)
        return f"FloatChain({self.format.name!r}{changed})"


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
        return f"Kahan({self.format.name!r})"


@dataclass(frozen=True, slots=True)
class Aligned:
    """The sum of matrix units: `terms` products and the register, aligned to the largest exponent, cut off, added.

    One step takes `terms` consecutive k (the last step is filled with zeros):
    1. every product exact and not normalised: its exponent is the sum of its operands' exponents, where a subnormal
       operand has the exponent of the smallest normal one; the register has the exponent of its value (that of the
       smallest normal one where it is subnormal);
    2. the largest exponent of all terms that are not zero, and not below `minimum_exponent`, is the step's;
    3. every term is cut off below 2**(step's exponent - fraction_bits), as `truncation` says;
    4. what is left is added exactly, and the sum rounded once to `format`, as `rounding` says.
    A sum of zero is +0. One of 2**(e + 1) or more, e the exponent of the format's largest value, is infinite, whatever
    the rounding. An infinite term makes the sum infinite; NaN, inf * 0 and inf - inf make it NaN.

    terms: products of one step, 1..1024. fraction_bits: 1..50. format: as FloatChain's.
    register_aligned: whether the register takes part in steps 1 to 4 (else the sum of the products is rounded to the
        format first and then added to the register, rounded again).
    lanes: the order in which k meets the steps: a permutation of 0..n-1, n a multiple of `terms`, applied to every n
        consecutive k; () for ascending.
    normalized: whether products are normalised before step 2, so that 1.5 * 1.5 has the exponent 1.
    truncation: "toward_zero" (sign and magnitude) or "down" (two's complement).
    flush: whether subnormal operands count as zero.
    nan: the NaN the unit leaves, in the bits of the float32 result (a NaN either way): "ones", sign clear and all else
        set, in 16 bits for formats of 5 exponent bits (0x7fffffff, and 0x7fff widened: NVIDIA's, as measured
        on the H200), or "quiet", the usual quiet NaN of CPUs (0x7fc00000).
    unpacked: the format operands are converted to before step 1, which holds all their values, or None. Exponents are
        then read off that format: a subnormal number of e4m3 is a normal one of float16. `flush` means its subnormals.
    """

    terms: int
    fraction_bits: int
    format: Minifloat
    rounding: Literal["toward_zero", "ties_to_even"]
    minimum_exponent: int | None
    register_aligned: bool
    lanes: tuple[int, ...]
    normalized: bool
    truncation: Literal["toward_zero", "down"]
    flush: bool
    nan: Literal["ones", "quiet"]
    unpacked: Minifloat | None

    def __init__(
        self,
        terms: int,
        fraction_bits: int,
        format: Minifloat | str = "float32",
        rounding: Literal["toward_zero", "ties_to_even"] = "toward_zero",
        minimum_exponent: int | None = None,
        register_aligned: bool = True,
        lanes: tuple[int, ...] = (),
        normalized: bool = False,
        truncation: Literal["toward_zero", "down"] = "toward_zero",
        flush: bool = False,
        nan: Literal["ones", "quiet"] = "ones",
        unpacked: Minifloat | str | None = None,
    ) -> None:
        terms, fraction_bits = whole("Aligned", "terms", terms), whole("Aligned", "fraction_bits", fraction_bits)
        for field, value, low, high in (("terms", terms, 1, 1024), ("fraction_bits", fraction_bits, 1, 50)):
            if not low <= value <= high:
                raise ValueError(f"Aligned: {field} must be {low}..{high}, got {value}")
        if rounding not in ("toward_zero", "ties_to_even"):
            raise ValueError(f"Aligned: rounding must be toward_zero or ties_to_even, got {rounding!r}")
        if truncation not in ("toward_zero", "down"):
            raise ValueError(f"Aligned: truncation must be toward_zero or down, got {truncation!r}")
        if lanes and (sorted(lanes) != list(range(len(lanes))) or len(lanes) % terms):
            raise ValueError(
                f"Aligned: lanes must be a permutation of 0..n-1 with n a multiple of terms = {terms}, got {lanes!r}"
            )
        if minimum_exponent is not None:
            minimum_exponent = whole("Aligned", "minimum_exponent", minimum_exponent)
        object.__setattr__(self, "terms", terms)
        object.__setattr__(self, "fraction_bits", fraction_bits)
        object.__setattr__(self, "format", accumulator_format("Aligned", format))
        object.__setattr__(self, "rounding", rounding)
        object.__setattr__(self, "minimum_exponent", minimum_exponent)
        object.__setattr__(self, "register_aligned", bool(register_aligned))
        object.__setattr__(self, "lanes", tuple(lanes))
        object.__setattr__(self, "normalized", bool(normalized))
        object.__setattr__(self, "truncation", truncation)
        object.__setattr__(self, "flush", bool(flush))
        if nan not in ("ones", "quiet"):
            raise ValueError(f"Aligned: nan must be ones or quiet, got {nan!r}")
        object.__setattr__(self, "nan", nan)
        wider = None if unpacked is None else accumulator_format("Aligned: unpacked", unpacked)
        object.__setattr__(self, "unpacked", wider)

    @property
    def nan_bits(self) -> int:
        """The bits of the float32 NaN a sum leaves. A register of 8 exponent bits is 32 bits wide whatever it keeps."""
        kept = 23 if self.format.exponent_bits == 8 else self.format.trailing_significand_bits
        return 0x7FC00000 if self.nan == "quiet" else 0x7F800000 | ((1 << kept) - 1) << (23 - kept)

    def __repr__(self) -> str:
        usual = {
            "rounding": "toward_zero",
            "minimum_exponent": None,
            "register_aligned": True,
            "lanes": (),
            "normalized": False,
            "truncation": "toward_zero",
            "flush": False,
            "nan": "ones",
        }
        changed = "".join(f", {k}={getattr(self, k)!r}" for k, v in usual.items() if getattr(self, k) != v)
        changed += "" if self.unpacked is None else f", unpacked={self.unpacked.name!r}"
        return f"Aligned({self.terms}, {self.fraction_bits}, {self.format.name!r}{changed})"


def read_format(accumulator: Accumulator, operand: Scalar) -> Scalar:
    """The format an operand's exponent is read off: its own, or the one it is unpacked to. ValueError if too narrow."""
    wider = accumulator.unpacked if isinstance(accumulator, Aligned) else None
    if wider is None:
        return operand
    if not _holds(wider, operand):
        raise ValueError(
            f"matmul: {accumulator} unpacks operands to {wider.name}, which does not hold every value of "
            f"{operand.name}; use a narrower format, or unpacked=None"
        )
    return wider


@cache
def _holds(wider: Minifloat, fmt: Scalar) -> bool:
    """Whether every finite value of fmt is one of wider."""
    if isinstance(fmt, Minifloat):
        narrow = fmt.trailing_significand_bits <= wider.trailing_significand_bits
        return narrow and fmt.ulp_exponent >= wider.ulp_exponent and fmt.max_finite <= wider.max_finite
    if fmt.bits > 16:
        return False
    numbers = (value for value in fmt.values() if isinstance(value, Dyadic))
    found = ((value.fraction, wider.value(encode_value(wider, value, Cast()))) for value in numbers)
    return all(isinstance(held, Dyadic) and held.fraction == fraction for fraction, held in found)


Steps = Aligned | AlignedGroups | AlignedLate | PairwiseStep  # take several products at once


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


@dataclass(frozen=True, slots=True)
class Promotion:
    """`inner` sums `every` consecutive k from zero; each such sum is then added to `outer`, which starts from c.

    Where K ends inside a run, the last one is shorter. The sum of an Exact is added with all its bits: one rounding.
    """

    inner: Steps | FloatChain | Exact
    every: int
    outer: FloatChain = FloatChain("float32")

    def __post_init__(self) -> None:
        object.__setattr__(self, "every", whole("Promotion", "every", self.every))
        if not isinstance(self.inner, Steps | FloatChain | Exact) or not isinstance(self.outer, FloatChain):
            raise TypeError(
                f"Promotion: inner must be Exact, FloatChain, Aligned, AlignedGroups, AlignedLate or PairwiseStep and "
                f"outer a FloatChain, got {self.inner!r} and {self.outer!r}"
            )
        longest = self.inner.max_terms if isinstance(self.inner, Exact) else None
        if self.every < 1 or (longest is not None and self.every > longest):
            raise ValueError(
                "Promotion: every must be at least 1"
                + (f" and at most max_terms = {longest}" if longest else "")
                + f", got {self.every}"
            )


@dataclass(frozen=True, slots=True)
class SplitK:
    """K cut into `parts` runs of whole iterations, each summed by `inner` from zero; the sums added in ascending order.

    With n = ceil(K / iteration) iterations, a run takes ceil(n / parts) of them; runs left without any are not added.
    Every run's sum is rounded to `partials` (None: outer's format), to nearest even; the first is `outer`'s start, each
    later one is one addition; c is added last.
    reduction: "ascending", or "pairwise": neighbours are added first, ((0 + 1) + (2 + 3)), the last of an odd number
        passing on.
    """

    inner: Steps | FloatChain | Promotion
    parts: int
    iteration: int = 64
    outer: FloatChain = FloatChain("float32")
    partials: Minifloat | str | None = None
    reduction: Literal["ascending", "pairwise"] = "ascending"

    def __post_init__(self) -> None:
        if self.reduction not in ("ascending", "pairwise"):
            raise ValueError(f"SplitK: reduction must be ascending or pairwise, got {self.reduction!r}")
        for field in ("parts", "iteration"):
            number = whole("SplitK", field, getattr(self, field))
            object.__setattr__(self, field, number)
            if number < 1:
                raise ValueError(f"SplitK: {field} must be at least 1, got {number}")
        if not isinstance(self.inner, Steps | FloatChain | Promotion) or not isinstance(self.outer, FloatChain):
            raise TypeError(
                f"SplitK: inner must be FloatChain, Promotion, Aligned, AlignedGroups, AlignedLate or PairwiseStep and "
                f"outer a FloatChain, got {self.inner!r} and {self.outer!r}"
            )
        if self.partials is not None:
            object.__setattr__(self, "partials", accumulator_format("SplitK: partials", self.partials))

    @property
    def partial_format(self) -> Minifloat:
        """What a run's sum is rounded to before it is added."""
        return self.outer.format if self.partials is None else accumulator_format("SplitK: partials", self.partials)

    def run_length(self, terms: int) -> int:
        """Consecutive k of one part of a sum of `terms`."""
        iterations = -(-terms // self.iteration)
        return max(-(-iterations // self.parts), 1) * self.iteration


Accumulator = Exact | Integer | FloatChain | Kahan | Steps | Promotion | SplitK | Unordered
ACCUMULATORS = (
    Exact, Integer, FloatChain, Kahan, Aligned, AlignedGroups, AlignedLate, PairwiseStep, Promotion, SplitK, Unordered,
)  # fmt: skip


def has_own_order(accumulator: Accumulator) -> bool:
    """Whether the accumulator itself says which terms meet first."""
    stepped = isinstance(accumulator, Integer) and accumulator.every > 1
    return stepped or isinstance(accumulator, Steps | Promotion | SplitK | Unordered)


def aligns(accumulator: Accumulator) -> bool:
    """Whether terms are aligned by exponents that a block's scale can take part in."""
    if isinstance(accumulator, Promotion | SplitK):
        return aligns(accumulator.inner)
    return isinstance(accumulator, Aligned | AlignedGroups)


def result_format(accumulator: Accumulator) -> Minifloat | None:
    """The float format the accumulator leaves its sum in; None for Exact and Integer, whose sums are no floats."""
    if isinstance(accumulator, FloatChain | Kahan | Steps | Unordered):
        return accumulator.format
    return accumulator.outer.format if isinstance(accumulator, Promotion | SplitK) else None


def start_format(accumulator: Accumulator) -> Minifloat | None:
    """The float format a start value c must be of: the result's, but any float32 for an Aligned register of 8 exponent
    bits, which lies in 32 bits and is cut off like every other term."""
    fmt = result_format(accumulator)
    if isinstance(accumulator, Aligned) and accumulator.format.exponent_bits == 8:
        fmt = accumulator_format("Aligned", "float32")
    return fmt


def with_seed(accumulator: Accumulator, seed: int) -> Accumulator:
    """The accumulator with the seed of its stochastic additions."""
    if isinstance(accumulator, FloatChain):
        return FloatChain(accumulator.format, accumulator.rounding, accumulator.overflow, accumulator.random_bits, seed)
    if isinstance(accumulator, Promotion | SplitK):
        inner, outer = with_seed(accumulator.inner, seed), with_seed(accumulator.outer, seed)
        return replace(accumulator, inner=inner, outer=outer)  # type: ignore[arg-type]
    return accumulator


def product_ulp_exponent(a: Scalar, b: Scalar) -> int:
    """Every product of finite values of a and b is a whole multiple of 2**this."""
    return a.ulp_exponent + b.ulp_exponent


def product_range(a: Scalar, b: Scalar) -> tuple[Fraction, Fraction]:
    """Smallest and largest product of values an encoder of a and an encoder of b produce."""
    corners = [x * y for x in (a.min_finite, a.max_finite) for y in (b.min_finite, b.max_finite)]
    return min(corners), max(corners)


def accumulator_bits(a: Scalar | str, b: Scalar | str, accumulator: Accumulator) -> int:
    """Width of the register in bits.

    Exact(max_terms=n): the narrowest two's complement register, in units of the product's last place, that holds every
    sum of n products. It follows from the formats' extremes; one more bit for the sign and none for luck.
    Raises ValueError for Exact() without max_terms: such a register has no width.
    """
    return _bits(get(a), get(b), accumulator)


@cache
def _bits(fa: Format, fb: Format, accumulator: Accumulator) -> int:
    if not (isinstance(fa, Scalar) and isinstance(fb, Scalar)):
        raise ValueError(f"accumulator_bits: needs scalar formats, got {fa!r} and {fb!r}; pass their elements")
    if isinstance(accumulator, Integer):
        return accumulator.bits
    if isinstance(accumulator, Promotion | SplitK):
        return accumulator_bits(fa, fb, accumulator.outer)
    if isinstance(accumulator, FloatChain | Steps | Unordered):
        return accumulator.format.bits
    if isinstance(accumulator, Kahan):
        return 2 * accumulator.format.bits
    if accumulator.max_terms is None:
        raise ValueError("accumulator_bits: Exact() has no width; pass Exact(max_terms=...)")
    unit = Fraction(2) ** product_ulp_exponent(fa, fb)
    low, high = (int(corner / unit) * accumulator.max_terms for corner in product_range(fa, fb))
    return 1 + max(high.bit_length(), (-low - 1).bit_length() if low < 0 else 0)
