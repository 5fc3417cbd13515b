"""The accumulator of matrix units that align their terms to the largest exponent, and what it reads of operands."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Literal

from formats.arithmetic.register_format import accumulator_format, described
from formats.cast import Cast
from formats.exact import Dyadic, whole
from formats.minifloat import Minifloat
from formats.reference import encode_value
from formats.scalar import Scalar


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
            "unpacked": None,
        }
        return described(self, ("terms", "fraction_bits", "format"), usual)


def read_format(accumulator: object, operand: Scalar) -> Scalar:
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
