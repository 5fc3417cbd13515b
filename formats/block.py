"""Scaled: elements that share scales. Which elements share is a Block; how a scale is stored is a Field."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import prod
from typing import Any, Literal

from formats.codebook import Codebook
from formats.exact import whole
from formats.fixed_point import FixedPoint
from formats.minifloat import Minifloat
from formats.scalar import Scalar

Rule = Literal["floor", "ceil", "even", "rceil", "absmax", "te_nvfp4"]
RULES: tuple[Rule, ...] = ("floor", "ceil", "even", "rceil", "absmax", "te_nvfp4")
POWER_OF_TWO_RULES = ("floor", "ceil", "even", "rceil")
WHOLE = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Block:
    """Which elements share one scale.

    shape: extents, the last along the `axis` an encoder is given, those before it along the axes that precede it once
        `axis` is moved to the end. WHOLE (0) is the whole extent: (0,) is one scale a row (per channel, per token).
    flat: the array is flattened first; shape then has one entry, and (0,) is one scale a tensor.
    """

    shape: tuple[int, ...]
    flat: bool = False

    def __post_init__(self) -> None:
        shape = self.shape if isinstance(self.shape, tuple | list) else (self.shape,)
        object.__setattr__(self, "shape", tuple(whole("Block", "shape", extent) for extent in shape))
        if not self.shape or any(extent < 0 for extent in self.shape):
            raise ValueError(f"Block: shape needs extents >= 1, or 0 for a whole axis, got {self.shape}")
        if self.flat and len(self.shape) != 1:
            raise ValueError(f"Block: a flat block has one extent, got {self.shape}")

    @property
    def size(self) -> int | None:
        """Elements per scale, or None where it depends on the array's shape."""
        return None if WHOLE in self.shape else prod(self.shape)


@dataclass(frozen=True, kw_only=True, slots=True)
class Field:
    """How the scales (or offsets) themselves are stored: in a scalar format, or scaled in their turn.

    format: a description or its name.
    combine: how the parts of a nested scale make one number; "product", or "min" (rank-1 optimizer states).
    """

    format: Scalar | Scaled
    combine: Literal["product", "min"] = "product"

    def __post_init__(self) -> None:
        object.__setattr__(self, "format", _read(self.format, "Field: format"))
        if self.combine not in ("product", "min"):
            raise ValueError(f"Field: combine must be 'product' or 'min', got {self.combine!r}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Scaled:
    """Elements in a scalar format times a scale shared by a block: value = (element - offset) * scale.

    rule: how an encoder chooses the scale of a block whose largest magnitude is amax.
        floor, ceil, even, rceil: a power of two, from the bits of amax (see formats.scale_rules);
        absmax: amax / element.max_finite, rounded once to the scale's format, saturating there and never zero where
            amax is not (a float16 scale stops at 65504: larger elements are clipped); with an offset,
            (max - min) / (element.max_finite - element.min_finite) over the block's range with zero in it;
        te_nvfp4: TransformerEngine's two-level float32 recipe.
    In a block float32 could hold, no scale makes an element decode to infinity in float32: powers of two stop where
    element.max_finite * scale would, an absmax scale that would is rounded down, and where that does not help (scales
    of scales, zero points, te_nvfp4) the encoder raises ValueError.
    offset: an integer zero point in the element's own units, or None. The encoder writes
        element.min_finite + round(-min / scale), so that the block's smallest value takes the smallest integer.
    Source: OCP MX v1.0 for blocks of 32 with E8M0; the catalogue gives each named format's.
    """

    # Names are read: element="int4", scale="float16" (also a bare format), block=(32,).
    element: Scalar
    scale: Field
    block: Block
    rule: Rule = "absmax"
    offset: Field | None = None

    def __post_init__(self) -> None:
        self._read_names()
        if self.rule not in RULES:
            raise ValueError(f"Scaled: rule must be one of {', '.join(RULES)}, got {self.rule!r}")
        if self.rule in POWER_OF_TWO_RULES and not _is_e8m0(self.scale.format):
            raise ValueError(f"Scaled: rule {self.rule!r} writes powers of two, as e8m0fnu; got {self.scale.format!r}")
        if self.rule == "te_nvfp4" and not _is_two_level(self.scale.format):
            raise ValueError(
                "Scaled: rule 'te_nvfp4' needs two-level scales, minifloats under one float32 a tensor; "
                f"got {self.scale.format!r}"
            )
        if self.offset is not None:
            self._check_offset(self.offset.format)
        if self.element.bits > 16:
            raise ValueError(f"Scaled: elements have at most 16 bits, {self.element.name} has {self.element.bits}")
        if not isinstance(self.scale.format, Scaled) and self.scale.format.max_finite <= 0:
            raise ValueError(f"Scaled: scale format {self.scale.format.name} has no positive value")
        if self.element.max_finite <= 0:
            raise ValueError(f"Scaled: {self.element.name} has no positive value to scale to")

    def _read_names(self) -> None:
        """Names and bare formats become descriptions; what is neither is a TypeError."""
        element = _read(self.element, "Scaled: element")
        if isinstance(element, Scaled):
            raise TypeError(f"Scaled: element must be a scalar format such as 'int4', got {element.name}")
        object.__setattr__(self, "element", element)
        fields: tuple[tuple[str, Any], ...] = (("scale", self.scale), ("offset", self.offset))
        for name, value in fields:
            if not isinstance(value, Field) and not (name == "offset" and value is None):
                object.__setattr__(self, name, Field(format=_read(value, f"Scaled: {name}")))
        if isinstance(self.block, tuple | list):
            object.__setattr__(self, "block", Block(shape=tuple(self.block)))
        if not isinstance(self.block, Block):
            raise TypeError(f"Scaled: block must be a Block or its shape, such as (32,), got {self.block!r}")

    def _check_offset(self, offset: Scalar | Scaled) -> None:
        if self.rule != "absmax":
            raise ValueError(f"Scaled: an offset needs rule 'absmax', got rule {self.rule!r}")
        element, held = self.element, offset
        integers = isinstance(element, FixedPoint) and isinstance(held, FixedPoint)
        if not integers or isinstance(held, Scaled) or held.ulp_exponent != element.ulp_exponent:
            raise ValueError(
                f"Scaled: an offset counts last places of an integer element; got element {self.element.name} "
                f"and offset {offset.name}"
            )
        if held.min_finite > element.min_finite or held.max_finite < element.max_finite:
            raise ValueError(
                f"Scaled: zero points run over the element's whole range, {element.min_finite}..{element.max_finite} "
                f"for {element.name}; offset {held.name} holds {held.min_finite}..{held.max_finite}. "
                f"Use Field(format={element.name!r}) or a wider one"
            )

    @property
    def name(self) -> str:
        """The name `formats.get` reads back as this very format."""
        from formats.catalogue import scaled_name

        return scaled_name(self)

    @property
    def bits_per_element(self) -> Fraction:
        """Stored bits per element: the element's and its share of every scale whose block has a fixed size.

        One scale a row or a tensor adds nothing here; `Encoded.nbytes` counts it.
        """
        bits = Fraction(self.element.bits)
        for field in (self.scale, self.offset):
            if field is not None and self.block.size is not None:
                inner = field.format
                bits += (inner.bits_per_element if isinstance(inner, Scaled) else inner.bits) / Fraction(
                    self.block.size
                )
        return bits


Format = Scalar | Scaled


def _read(fmt: Format | str, what: str) -> Format:
    """The format, by its name too. Raises TypeError for what is neither."""
    if isinstance(fmt, Minifloat | FixedPoint | Codebook | Scaled):
        return fmt
    if isinstance(fmt, str):
        from formats.catalogue import get

        return get(fmt)
    if isinstance(fmt, type) or not isinstance(fmt, Scalar):
        raise TypeError(f"{what} must be a format or its name, such as 'float16', got {fmt!r}")
    return fmt


def _is_e8m0(fmt: Format) -> bool:
    """Whether code c is worth 2**(c - 127) and the last one NaN; how E8M0 itself would round is another matter."""
    if not isinstance(fmt, Minifloat) or fmt.signed or fmt.zero or fmt.specials != "fn":
        return False
    return (fmt.exponent_bits, fmt.trailing_significand_bits, fmt.bias) == (8, 0, 127)


def _is_two_level(fmt: Format) -> bool:
    """Whether scales are minifloats that share one float32 scale over the whole tensor."""
    if not isinstance(fmt, Scaled) or isinstance(fmt.scale.format, Scaled) or fmt.offset is not None:
        return False
    float32 = Minifloat(exponent_bits=8, trailing_significand_bits=23)
    whole_tensor = fmt.block == Block(shape=(WHOLE,), flat=True)
    return isinstance(fmt.element, Minifloat) and fmt.scale.format == float32 and whole_tensor


def bits_per_element(fmt: Format) -> Fraction:
    """Stored bits per element of any format, shares of block scales included."""
    return fmt.bits_per_element if isinstance(fmt, Scaled) else Fraction(fmt.bits)


def element_of(fmt: Format) -> Scalar:
    """The scalar format of the elements: the format itself, or what a Scaled scales."""
    return fmt.element if isinstance(fmt, Scaled) else fmt
