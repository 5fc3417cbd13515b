"""Elements of block formats that are more than one scalar.

Choice: one of several formats for a block. Pair: neighbours of which one may take the other's code. Promoted: a block's
largest in a format of its own. Nested: elements that are scaled themselves, in integers, before the owner's scale.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, TypeGuard

from formats.exact import whole
from formats.scalar import Scalar

if TYPE_CHECKING:
    from formats.block import Block, Scaled

Criterion = Literal["mse", "max_error"]
CRITERIA = ("mse", "max_error")


_OFFERS = ("bits", "name", "signed", "nan_code", "max_finite", "min_positive", "ulp_exponent", "value", "values")


def is_scalar(fmt: Any) -> TypeGuard[Scalar]:
    """Whether fmt offers what a Scalar does. Unlike isinstance it looks at names only and evaluates none of them."""
    if isinstance(fmt, type):
        return False
    kind: Any = type(fmt)
    lacking = _lacking(kind)
    return not lacking or lacking <= getattr(fmt, "__dict__", {}).keys()


@lru_cache(maxsize=1024)
def _lacking(kind: type) -> frozenset[str]:
    """What a class does not offer; its instances may."""
    return frozenset(name for name in _OFFERS if not hasattr(kind, name))


def read_scalar(fmt: Scalar | str, what: str) -> Scalar:
    """The scalar format, by its name too. Raises TypeError for anything with scales, and for what is no format."""
    from formats.block import read_format

    read = read_format(fmt, what)
    if not is_scalar(read):
        raise TypeError(f"{what} must be a scalar format such as 'int4', got {getattr(read, 'name', read)!r}")
    return read


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """One of several scalar formats, chosen anew for every block; a plane of selectors says which.

    candidates: scalar formats or their names; the selector is the index. Each block takes the candidate whose error
        is smallest, the first of equals.
    criterion: "mse" (sum of squared errors of the decoded block) or "max_error".
    block: which elements share a selector; None takes the block of the scale.
    Source: BitMoD (HPCA 2025), ANT (MICRO 2022) and RaZeR choose a data type for each group or tensor this way.
    """

    candidates: tuple[Scalar, ...]
    criterion: Criterion = "mse"
    block: Block | None = None

    def __post_init__(self) -> None:
        candidates = self.candidates if isinstance(self.candidates, tuple | list) else (self.candidates,)
        read = tuple(read_scalar(candidate, "Choice: every candidate") for candidate in candidates)
        object.__setattr__(self, "candidates", read)
        if len(read) < 2:
            raise ValueError(f"Choice: there must be two candidates or more, got {len(read)}")
        if self.criterion not in CRITERIA:
            raise ValueError(f"Choice: criterion must be one of {', '.join(CRITERIA)}, got {self.criterion!r}")
        if len({candidate.bits for candidate in read}) > 1:
            widths = ", ".join(f"{candidate.name} has {candidate.bits}" for candidate in read)
            raise ValueError(f"Choice: candidates must have codes of one width; {widths}")

    @property
    def bits(self) -> int:
        """Width of an element's code."""
        return self.candidates[0].bits

    @property
    def selector_bits(self) -> int:
        """Width of a selector."""
        return (len(self.candidates) - 1).bit_length()

    @property
    def name(self) -> str:
        """The candidates' names; no name of the catalogue."""
        return "choice(" + ", ".join(candidate.name for candidate in self.candidates) + ")"

    @property
    def max_finite(self) -> Fraction:
        """The largest value of any candidate."""
        return max(candidate.max_finite for candidate in self.candidates)

    @property
    def min_finite(self) -> Fraction:
        """The smallest value of any candidate."""
        return min(candidate.min_finite for candidate in self.candidates)


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """Two neighbours that share their codes: where one is an outlier, the other's code is given up for it.

    normal: format of ordinary elements; one of its codes, `marker`, it never writes.
    outlier: format of an outlier's code, of the same width; both in the same units.
    threshold: from this magnitude on an element is an outlier.
    marker: the code that says "zero here, an outlier beside me".
    Of elements 2j and 2j + 1 of a block the second is the victim if the first is an outlier, be it one itself; else the
    first, if the second is. The last element of a block of odd size has no partner and is always ordinary.
    Source: OliVe (ISCA 2023), github.com/clevercool/ANT-Quantization, olive_quantization.
    """

    normal: Scalar
    outlier: Scalar
    threshold: float
    marker: int

    def __post_init__(self) -> None:
        for field in ("normal", "outlier"):
            object.__setattr__(self, field, read_scalar(getattr(self, field), f"Pair: {field}"))
        object.__setattr__(self, "marker", whole("Pair", "marker", self.marker))
        object.__setattr__(self, "threshold", float(self.threshold))
        if self.normal.bits != self.outlier.bits:
            raise ValueError(
                f"Pair: both formats need codes of one width; {self.normal.name} has {self.normal.bits} bits, "
                f"{self.outlier.name} {self.outlier.bits}"
            )
        if not 0 <= self.marker < 1 << self.normal.bits:
            raise ValueError(f"Pair: marker must be a code of {self.normal.bits} bits, got {self.marker}")
        if not self.threshold > 0:
            raise ValueError(f"Pair: threshold must be positive, got {self.threshold}")

    @property
    def bits(self) -> int:
        """Width of an element's code."""
        return self.normal.bits

    @property
    def name(self) -> str:
        """Both formats' names; no name of the catalogue."""
        return f"pair({self.normal.name}, {self.outlier.name})"

    @property
    def max_finite(self) -> Fraction:
        """The largest ordinary value: scales are chosen for these."""
        return self.normal.max_finite

    @property
    def min_finite(self) -> Fraction:
        """The smallest ordinary value."""
        return self.normal.min_finite


@dataclass(frozen=True, kw_only=True, slots=True)
class Promoted:
    """One element of a block, its largest, has a format of its own; a plane "index" says which element.

    normal: format of the others.  largest: format of that one, of the same width and in the same units.
    index_bits: width of an index; one that is no element's place, as the first beyond the block, promotes none.
    Source: MX+ (arXiv 2510.14557) spends the exponent bits of a block's largest element on its significand.
    """

    normal: Scalar
    largest: Scalar
    index_bits: int

    def __post_init__(self) -> None:
        for field in ("normal", "largest"):
            object.__setattr__(self, field, read_scalar(getattr(self, field), f"Promoted: {field}"))
        object.__setattr__(self, "index_bits", whole("Promoted", "index_bits", self.index_bits))
        if self.normal.bits != self.largest.bits:
            raise ValueError(
                f"Promoted: both formats need codes of one width; {self.normal.name} has {self.normal.bits} bits, "
                f"{self.largest.name} {self.largest.bits}"
            )
        if not 1 <= self.index_bits <= 16:
            raise ValueError(f"Promoted: index_bits must be 1..16, got {self.index_bits}")

    @property
    def bits(self) -> int:
        """Width of an element's code."""
        return self.normal.bits

    @property
    def name(self) -> str:
        """Both formats' names; no name of the catalogue."""
        return f"promoted({self.normal.name}, {self.largest.name})"

    @property
    def max_finite(self) -> Fraction:
        """The largest value of either format."""
        return max(self.normal.max_finite, self.largest.max_finite)

    @property
    def min_finite(self) -> Fraction:
        """The smallest value of either format."""
        return min(self.normal.min_finite, self.largest.min_finite)


@dataclass(frozen=True, kw_only=True, slots=True)
class Nested:
    """Elements that are scaled themselves: wide integers made of narrow ones, under the owner's scale.

    format: a block format of integers, its scales, zero points and shifts integers too, its block a run along the axis
        that divides the owner's. Its planes are the owner's "codes", and "element.scale", "element.offset" or
        "element.shift".
    Source: progressive quantisation of QServe and DGQ: 8-bit weights of a row,
    themselves 4-bit numbers under integer scales of groups, so that a product runs on 8-bit integers throughout.
    """

    format: Scaled

    def __post_init__(self) -> None:
        from formats.block import Scaled, read_format
        from formats.fixed_point import FixedPoint

        fmt = read_format(self.format, "Nested: format")
        object.__setattr__(self, "format", fmt)
        fields = (fmt.element, fmt.scale, fmt.offset, fmt.shift) if isinstance(fmt, Scaled) else (None,)
        parts = [getattr(field, "format", field) for field in fields]
        if not isinstance(fmt, Scaled) or not all(isinstance(part, FixedPoint | None) for part in parts):
            raise TypeError(f"Nested: format must be a block format of integers throughout, got {fmt!r}")
        if fmt.block.flat or len(fmt.block.shape) != 1 or fmt.block.size is None:
            raise ValueError(f"Nested: blocks must be runs of a fixed size along the axis, got {fmt.block!r}")

    @property
    def bits(self) -> int:
        """Width of an element's code."""
        return self.format.element.bits

    @property
    def name(self) -> str:
        """The format's name; no name of the catalogue."""
        return f"nested({self.format.name})"

    @property
    def max_finite(self) -> Fraction:
        """The largest product of an integer and its scale; zero points and shifts come on top."""
        return self.format.element.max_finite * _scalar_part(self.format.scale.format).max_finite

    @property
    def min_finite(self) -> Fraction:
        """The smallest such product, or its counterpart below zero where offsets or shifts move it there."""
        moved = self.format.offset is not None or self.format.shift is not None
        return (
            -self.max_finite
            if moved
            else self.format.element.min_finite * _scalar_part(self.format.scale.format).max_finite
        )


def _scalar_part(fmt: Any) -> Scalar:
    if not is_scalar(fmt):
        raise TypeError(f"Nested: scales must be integers, got {fmt!r}")
    return fmt


Compound = Choice | Pair | Promoted | Nested
Element = Scalar | Compound


def candidates_of(element: Any) -> tuple[Scalar, ...]:
    """The scalar formats an element's code may be read in."""
    if isinstance(element, Choice):
        return element.candidates
    if isinstance(element, Nested):
        return candidates_of(element.format.element)
    if isinstance(element, Promoted):
        return (element.normal, element.largest)
    return (element.normal, element.outlier) if isinstance(element, Pair) else (element,)
