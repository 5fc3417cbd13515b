"""Small products packed into one DSP48E2: operands at offsets in its multiplier inputs, products at sums of offsets.

    scheme = PACKINGS["int4x4"]            # of hwsim/fpga/schemes.py
    scheme.products                       # which product lies where
    multiply(scheme, wide, narrow)        # (..., products), by the slice's model, corrections applied
    safe_terms(PACKINGS["int8x2"])        # 7 products may be summed in P before a field can overflow

A signed product borrows from the field above it, so that field reads one too low; `correction` says what is done about
that, and about fields that overlap (negative padding). packing_errors.py counts what remains.

Sources: AMD WP486 and WP487 (two INT8), WP521 (four INT4); Sommer et al., DSP-Packing, FPL 2022, arXiv 2203.11028
(offsets in general, negative padding, corrections).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hwsim.fpga.dsp48e2 import MULTIPLY, Z_C, Dsp48e2, Inputs

Words = NDArray[np.int64]
Correction = Literal["none", "approximate", "restore", "full"]
CORRECTIONS = ("none", "approximate", "restore", "full")

WIDE, NARROW, P_BITS = 27, 18, 48  # the multiplier's inputs and the result


@dataclass(frozen=True, kw_only=True, slots=True)
class Lane:
    """One small operand: bits, offset of its lowest bit, signed or not; symmetric: without the most negative value."""

    bits: int
    offset: int = 0
    signed: bool = True
    symmetric: bool = False

    def __post_init__(self) -> None:
        if self.bits < 1 or self.offset < 0:
            raise ValueError(f"Lane: bits must be 1 or more and offset 0 or more, got {self.bits} and {self.offset}")
        if self.symmetric and not self.signed:
            raise ValueError("Lane: symmetric=True is for signed operands; an unsigned one has no negative values")

    @property
    def range(self) -> tuple[int, int]:
        """Smallest and largest value."""
        if not self.signed:
            return 0, (1 << self.bits) - 1
        return -(1 << (self.bits - 1)) + self.symmetric, (1 << (self.bits - 1)) - 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Product:
    """A product in P: of which lanes, at which offset, in how many bits; spacing: bits up to the next product's offset
    (of the top one: up to P's end)."""

    wide: int
    narrow: int
    offset: int
    bits: int
    signed: bool
    spacing: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Packing:
    """A packing scheme. wide: lanes of the 27-bit input (the top one enters at D, the others at A, the pre-adder joins
    them); narrow: lanes of the 18-bit input. Lanes ascend by offset.

    correction: "none"; "approximate": the sign each product below is expected to have, from its operands' signs, is
    added through the C port; "restore" (MR-overpacking): the low bits of the product above, computed beside the slice,
    are subtracted from where they overlap a product's high bits; "full": exact, by subtracting what lies below as well
    (without overlap: adding the bit below the field). Raises ValueError for lanes that do not fit.
    """

    name: str
    wide: tuple[Lane, ...]
    narrow: tuple[Lane, ...]
    correction: Correction = "none"
    source: str = ""

    def __post_init__(self) -> None:
        if self.correction not in CORRECTIONS:
            raise ValueError(f"Packing: correction must be one of {', '.join(CORRECTIONS)}, got {self.correction!r}")
        for name, lanes, port in (("wide", self.wide, WIDE), ("narrow", self.narrow, NARROW)):
            if not lanes:
                raise ValueError(f"Packing {self.name!r}: needs at least one {name} lane, got none")
            low, high = _packed_range(lanes)
            # An 18-bit unsigned word fits B too: the C port puts right what its top bit, a sign there, takes away.
            top = 1 << port if name == "narrow" and low == 0 else 1 << (port - 1)
            if low < -(1 << (port - 1)) or high >= top:
                raise ValueError(
                    f"Packing {self.name!r}: the {name} lanes reach {low} to {high}, and the multiplier's input has "
                    f"{port} bits; use fewer or narrower lanes, or less padding"
                )
        offsets = [product.offset for product in self.products]
        if len(set(offsets)) != len(offsets):
            raise ValueError(f"Packing {self.name!r}: two products share an offset ({offsets}); spread the lanes")
        top_product = self.products[-1]
        if top_product.offset + top_product.bits > P_BITS:
            raise ValueError(
                f"Packing {self.name!r}: the top product ends at bit {top_product.offset + top_product.bits}, P has 48"
            )
        if self.correction == "approximate" and self.padding < 0:
            raise ValueError(
                f"Packing {self.name!r}: correction='approximate' foretells one borrow a field; overlapping fields "
                f"(padding {self.padding}) take 'restore' or 'full'"
            )

    @property
    def products(self) -> tuple[Product, ...]:
        """From the lowest offset up."""
        found = [
            (w.offset + n.offset, w.bits + n.bits, w.signed or n.signed, i, j)
            for i, w in enumerate(self.wide)
            for j, n in enumerate(self.narrow)
        ]
        found.sort()
        ends = [offset for offset, *_ in found[1:]] + [P_BITS]
        return tuple(
            Product(wide=i, narrow=j, offset=offset, bits=bits, signed=signed, spacing=end - offset)
            for (offset, bits, signed, i, j), end in zip(found, ends, strict=True)
        )

    @property
    def padding(self) -> int:
        """Bits between a product and the next, the least of all; negative where products overlap."""
        products = self.products
        return min((p.spacing - p.bits for p in products[:-1]), default=P_BITS - products[-1].bits)

    @property
    def density(self) -> float:
        """Bits of all products by the 48 of P: rho of FPL'22; above 1 where they overlap."""
        return sum(p.bits for p in self.products) / P_BITS


def grid(
    name: str, wide: tuple[int, ...], narrow: tuple[int, ...], padding: int, source: str = "", **options: Any
) -> Packing:
    """The INT-N arrangement: signed wide lanes and unsigned narrow ones of the given widths, products in steps of the
    widest product plus `padding`. options: of Packing."""
    step = max(wide) + max(narrow) + padding
    return Packing(
        name=name,
        wide=tuple(Lane(bits=b, offset=i * step * len(narrow)) for i, b in enumerate(wide)),
        narrow=tuple(Lane(bits=b, offset=i * step, signed=False) for i, b in enumerate(narrow)),
        source=source,
        **options,
    )


# The pre-adder joins the wide lanes; no registers: a packed product is read in the cycle it is asked for.
SLICE = Dsp48e2(
    areg=0, breg=0, creg=0, dreg=0, adreg=0, mreg=0, preg=0, amultsel="ad",
    opmodereg=0, carryinselreg=0, alumodereg=0, inmodereg=0, carryinreg=0,
)  # fmt: skip
A_PLUS_D = 0b00100  # INMODE


def pins(scheme: Packing, wide: Words, narrow: Words) -> Inputs:
    """What the slice is given: wide (..., lanes) and narrow (..., lanes), values in their lanes' ranges.

    C carries the approximate correction, and what an 18-bit unsigned word at B lacks. Raises ValueError for values
    outside a lane and for the wrong number of lanes.
    """
    _check(scheme, "wide", scheme.wide, wide)
    _check(scheme, "narrow", scheme.narrow, narrow)
    shape = np.broadcast_shapes(wide.shape[:-1], narrow.shape[:-1])
    low = sum((wide[..., i] << lane.offset for i, lane in enumerate(scheme.wide[:-1])), np.zeros(shape, np.int64))
    top = wide[..., -1] << scheme.wide[-1].offset
    word = sum((narrow[..., j] << lane.offset for j, lane in enumerate(scheme.narrow)), np.zeros(shape, np.int64))
    c = np.where(word >> (NARROW - 1) == 1, (low + top) << NARROW, 0)
    if scheme.correction == "approximate":
        for below, product in zip(scheme.products, scheme.products[1:], strict=False):
            negative = (wide[..., below.wide] < 0) ^ (narrow[..., below.narrow] < 0)
            c = c + (negative.astype(np.int64) << product.offset)
    return Inputs(a=low, d=top, b=word, c=c, opmode=MULTIPLY | Z_C, inmode=A_PLUS_D)


def multiply(scheme: Packing, wide: Words, narrow: Words) -> Words:
    """The products as the slice and the scheme's correction give them: (..., products) in the order of `products`."""
    wide, narrow = np.asarray(wide, np.int64), np.asarray(narrow, np.int64)
    out, _ = SLICE.step(SLICE.reset(), pins(scheme, wide, narrow))
    return extract(scheme, out.p, wide, narrow)


def exact(scheme: Packing, wide: Words, narrow: Words) -> Words:
    """The products as they should be."""
    return np.stack([wide[..., p.wide] * narrow[..., p.narrow] for p in scheme.products], -1)


def extract(scheme: Packing, p: Words, wide: Words, narrow: Words, *, terms: int = 1) -> Words:
    """The fields of P after the scheme's correction. terms: how many products P sums; fields then fill their spacing.

    Of wide and narrow only the low bits count, for the two corrections that look at them; overlapping fields cannot be
    summed.
    """
    if terms > 1 and scheme.padding < 0:
        raise ValueError(f"Packing {scheme.name!r}: its fields overlap by {-scheme.padding} bits; terms must be 1")
    fields: list[Words] = []
    rest = p
    for k, field in enumerate(scheme.products):
        # Without sums a field is as wide as its product; with them it is as wide as its room.
        bits = field.bits if terms == 1 else field.spacing
        raw = rest if scheme.correction == "full" else p >> field.offset
        overlap = max(field.bits - field.spacing, 0)
        if overlap and scheme.correction in ("restore", "full"):
            above = scheme.products[k + 1]
            low_bits = wide[..., above.wide] * narrow[..., above.narrow] & ((1 << overlap) - 1)
            raw = raw - (low_bits << field.spacing)
        value = _field(raw, bits, field.signed)
        fields.append(value)
        rest = (rest - value) >> field.spacing
    return np.stack(fields, -1)


def safe_terms(scheme: Packing) -> int:
    """Products that may be summed in P for all operands: the proof is the range of every field's sum.

    A field of s bits below another holds sums of -2**(s-1) to 2**(s-1) - 1 (unsigned ones 0 to 2**s - 1); the extremes
    are reached by repeating one product, so one term more fails for `failing_operands`. 0 where fields overlap.
    """
    fitting = []
    for product in scheme.products:
        (low, high), (least, most) = product_range(scheme, product), _room(product)
        counts = [most // high] if high > 0 else []
        counts += [least // low] if low < 0 else []
        fitting.append(min(counts))
    return min(fitting)


def failing_operands(scheme: Packing, terms: int) -> tuple[Words, Words] | None:
    """Operands (wide lanes, narrow lanes) that overflow a field when their products are summed `terms` times; None if
    there are none."""
    for product in scheme.products:
        (low, high), (least, most) = product_range(scheme, product), _room(product)
        if terms * low >= least and terms * high <= most:
            continue
        target = low if terms * low < least else high
        corners = [(w, n) for w in scheme.wide[product.wide].range for n in scheme.narrow[product.narrow].range]
        w, n = next((w, n) for w, n in corners if w * n == target)
        wide, narrow = np.zeros(len(scheme.wide), np.int64), np.zeros(len(scheme.narrow), np.int64)
        wide[product.wide], narrow[product.narrow] = w, n
        return wide, narrow
    return None


def product_range(scheme: Packing, product: Product) -> tuple[int, int]:
    """Smallest and largest value of one product."""
    corners = [w * n for w in scheme.wide[product.wide].range for n in scheme.narrow[product.narrow].range]
    return min(corners), max(corners)


def _room(product: Product) -> tuple[int, int]:
    if not product.signed:
        return 0, (1 << product.spacing) - 1
    return -(1 << (product.spacing - 1)), (1 << (product.spacing - 1)) - 1


def _field(word: Words, bits: int, signed: bool) -> Words:
    low = word & ((1 << bits) - 1)
    return low - (low >> (bits - 1) << bits) if signed else low


def _packed_range(lanes: tuple[Lane, ...]) -> tuple[int, int]:
    return sum(lane.range[0] << lane.offset for lane in lanes), sum(lane.range[1] << lane.offset for lane in lanes)


def _check(scheme: Packing, name: str, lanes: tuple[Lane, ...], values: Words) -> None:
    if values.ndim == 0 or values.shape[-1] != len(lanes):
        raise ValueError(
            f"Packing {scheme.name!r}: {name} needs {len(lanes)} values on its last axis, got shape {values.shape}"
        )
    for k, lane in enumerate(lanes):
        low, high = lane.range
        bad = values[..., k][(values[..., k] < low) | (values[..., k] > high)]
        if bad.size:
            raise ValueError(f"Packing {scheme.name!r}: {name} lane {k} takes {low} to {high}, got {int(bad.flat[0])}")
