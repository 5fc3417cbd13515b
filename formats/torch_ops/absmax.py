"""Blocks scaled by their largest magnitude or their range, on tensors, in float64."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import torch

from formats.block import Scaled
from formats.called import called
from formats.cast import DEFAULT, Cast
from formats.fixed_point import FixedPoint
from formats.plans.decisions import decisions, range_cuts
from formats.plans.scalar import FLOAT32
from formats.torch_ops.lattice import lattice_of
from formats.torch_ops.quotients import DOUBLE, bits_of_real, odd_sum, quotient, significant_bits
from formats.torch_ops.scalar import beyond, value_bits_of
from formats.torch_ops.words import FLOAT32_MAX, W32, W64, bits_of, key_of, select

FLOAT32_END = 2.0**128 - 2.0**103  # from here on float32 rounds to infinity
RANGE = 2.0**20  # far beyond 16 bits and their zero point, as formats.blocks.codec.with_offset has it


def check_absmax(fmt: Scaled, cast: Cast, dtype: torch.dtype) -> None:
    """Raise NotImplementedError where float64 is not wide enough to be exact, or a part has no tensor path."""
    scale: Any = fmt.scale.format
    if dtype == torch.float64:
        raise NotImplementedError(
            f"quantize: rule {fmt.rule!r} of {called(fmt)} takes float16, bfloat16 and float32 tensors here, got "
            "float64; pass x.float() or x.cpu()"
        )
    if isinstance(scale, Scaled) or lattice_of(scale, W64) is None:
        raise NotImplementedError(f"quantize: scales in {scale.name} have no tensor path; pass x.cpu()")
    bits = significant_bits(scale)
    element: Any = fmt.element
    if bits + _finest(element, cast) > DOUBLE - 1 or significant_bits(element) > FLOAT32.trailing + 1:
        raise NotImplementedError(
            f"quantize: {called(element)} under scales of {bits} significant bits needs more than float64; pass x.cpu()"
        )


def _finest(element: Any, cast: Cast) -> int:
    """Significant bits of the finest threshold between two values."""
    if lattice_of(element, W64) is not None:
        return significant_bits(element) + 2
    every = [*decisions(element, cast).thresholds, *(cut for cut, _ in range_cuts(element, cast.rounding))]
    return max(bits_of_real(Fraction(threshold)) for threshold in every)


def quantize_absmax(
    blocks: torch.Tensor,
    fmt: Scaled,
    cast: Cast,
    tensor_amax: torch.Tensor | float | None,
    mask: bool,
    tables: tuple[torch.Tensor, ...],
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """float32 values of [blocks, size], and where they are saturated. An infinity makes its block NaN."""
    w = bits_of(blocks)
    u = w & W32.magnitude
    nan = u > W32.infinity
    settled = select(nan, 0, w)
    amax = (settled & W32.magnitude).amax(dim=-1, keepdim=True)
    infinite = amax == W32.infinity  # whatever is computed of such a block does not count
    x = settled.view(torch.float32).double()
    if fmt.offset is not None:
        values, clipped = _with_zero_point(x, settled, nan, fmt, cast, mask)
        clipped = clipped & ~infinite if clipped is not None else None
    else:
        extent = _extent(select(infinite, 0, amax), tensor_amax)
        scale = _scale(extent, fmt.element.max_finite, fmt, tensor_amax is None)
        if not mask and cast.nan == "zero" and counts(fmt, cast, fmt.element.bits):
            whole = nearest_integers(x, scale, fmt.element, fmt.element.bits)  # a NaN is 0 in x
            held = whole.clamp(fmt.element.min_integer, fmt.element.max_integer)  # type: ignore[union-attr]
            return torch.where(infinite, float("nan"), times_scale(held, fmt.element, scale)), None
        q = _scaled(x, scale, fmt)
        q = torch.where(nan, _nan_of_sign(w), q.view(torch.int64)).view(torch.float64)
        held = value_bits_of(q, fmt.element, cast, tables)  # type: ignore[arg-type]
        product = bits_of((held.view(torch.float64) * scale).to(torch.float32))
        lost = (held & W64.magnitude) > W64.infinity
        sign = torch.where(held < 0, W32.of(-float("nan")), torch.full_like(w, W32.of(float("nan"))))
        values = torch.where(lost, sign, product).view(torch.float32)
        clipped = beyond(q, fmt.element, cast) & ~infinite if mask else None  # type: ignore[arg-type]
    # Numbers, not bits, from here on: Inductor keeps bits that a reshape follows, and copies them.
    return torch.where(infinite, float("nan"), values), clipped


def counts(fmt: Scaled, cast: Cast, bits: int) -> bool:
    """Whether `nearest_integers` serves a format: integers of up to 20 bits, scales of up to 24 and within float32."""
    scale: Any = fmt.scale.format
    return (
        isinstance(fmt.element, FixedPoint)
        and bits <= 20
        and cast.rounding == "ties_to_even"
        and lattice_of(scale, W32) is not None
        and significant_bits(scale) <= FLOAT32.trailing + 1
    )


def nearest_integers(x: torch.Tensor, scale: torch.Tensor, element: Any, b: int) -> torch.Tensor:
    """x / scale in last places of the element to the nearest integer, ties to even, without a division an element.

    In float32; right below 2**(b + 1), and beyond that no smaller than it. x: float64 holding float32s. scale: float64
    of up to 24 bits, or zero, where x is zero. b: up to 20.

    x times 1 / scale is off by less than 2**-52 of itself, so by less than 2**(b - 51). The exact quotient is halfway
    between two integers, or further than 2**-26 from it: x >= scale / 2 has its last place above scale * 2**-25, the
    halfway number times scale is a multiple of half the scale's, and they differ by the smaller one at least. So
    rounding to multiples of 2**(b - 50) first gives the halfway number in the one case, and in the other stays on its
    side. A compiler may fuse the product and the first sum, which is then nearer still.
    """
    inverse = 2.0**element.fraction_bits / torch.where(scale == 0, torch.ones_like(scale), scale)
    # Adding 1.5 * 2**(k + 52) rounds to multiples of 2**k; the difference of two such numbers is exact.
    fine, whole = 1.5 * 2.0 ** (b + 2), 1.5 * 2.0**52
    found: torch.Tensor = (((x * inverse + fine) + (whole - fine)) - whole).to(torch.float32)
    return found


def times_scale(whole: torch.Tensor, element: Any, scale: torch.Tensor) -> torch.Tensor:
    """Integers of up to 24 bits as values of the element times the scale, rounded once: in float32."""
    step = 2.0**-element.fraction_bits
    return (whole * step if element.fraction_bits else whole) * scale.to(torch.float32)


def _extent(amax: torch.Tensor, tensor_amax: torch.Tensor | float | None) -> torch.Tensor:
    """Each block's largest magnitude in float64, or the one given."""
    if tensor_amax is None:
        return amax.view(torch.float32).double()
    if isinstance(tensor_amax, torch.Tensor):
        return tensor_amax.detach().to(device=amax.device).double().reshape(1, 1)
    return torch.full((1, 1), tensor_amax, dtype=torch.float64, device=amax.device)


def _nan_of_sign(w: torch.Tensor) -> torch.Tensor:
    quiet = W64.of(float("nan"))
    return torch.where(w < 0, quiet + W64.sign, torch.full_like(w, quiet, dtype=torch.int64))


def _scaled(x: torch.Tensor, scale: torch.Tensor, fmt: Scaled) -> torch.Tensor:
    """x / scale; a zero scale has zeros only."""
    scalar: Any = fmt.scale.format
    return quotient(x, torch.where(scale == 0, torch.ones_like(scale), scale), significant_bits(scalar))


def _scale(extent: torch.Tensor, steps: Fraction, fmt: Scaled, single: bool) -> torch.Tensor:
    """extent / steps in the scale's format, in float64: never zero where extent is not, and down a step where the
    largest element would leave float32. single: extent is a float32, which makes a product do.
    """
    scalar: Any = fmt.scale.format
    bits = bits_of_real(steps)
    ideal = _near_quotient(extent, steps) if single and bits <= 14 else quotient(extent, float(steps), bits)
    held = _stored(ideal, scalar, DEFAULT)
    held = torch.where((extent > 0) & (held <= 0), float(scalar.min_positive), held)
    if float(scalar.max_finite) * float(steps) < FLOAT32_END:
        return held
    down = _stored(ideal, scalar, Cast(rounding="down"))
    over = (held * float(steps) >= FLOAT32_END) & (extent <= W32.value(W32.infinity - 1))
    return torch.where(over, down, held)


def _near_quotient(extent: torch.Tensor, steps: Fraction) -> torch.Tensor:
    """extent / steps, extent a float32 and steps of up to 14 bits, to 43 bits.

    Compares as the exact one with every real of up to 25 bits: such a real times steps has 39 bits and extent 24, so
    that they are equal, or apart by 2**-40 of themselves; the product (Inductor makes one of a division by a constant)
    is off by 2**-52.
    """
    bits = (extent * (1.0 / float(steps))).view(torch.int64)
    return ((bits + (1 << 9)) & -(1 << 10)).view(torch.float64)


def _stored(ideal: torch.Tensor, scalar: Any, cast: Cast) -> torch.Tensor:
    """float64 numbers rounded to a scale's format, by way of float32 rounded to odd, which later roundings overlook."""
    lattice = lattice_of(scalar, W32)
    if lattice is None or (lattice.trailing + 2 > W32.trailing and not lattice.exact):
        return value_bits_of(ideal, scalar, cast, ()).view(torch.float64)
    # Through bits that something is done to: a compiler takes float64 to float32 to float64 for nothing at all, and
    # leaves it out, looking through views.
    near = ideal.to(torch.float32).view(torch.int32) & -1
    back = near.view(torch.float32).double()
    if lattice.exact and cast == DEFAULT:
        return back.clamp(max=FLOAT32_MAX)
    if lattice.exact:
        return (near - (back > ideal).to(torch.int32)).view(torch.float32).double()
    odd = (near - (back > ideal).to(torch.int32)) | (back != ideal).to(torch.int32)
    return value_bits_of(odd.view(torch.float32), scalar, cast, ()).view(torch.float32).double()


def _with_zero_point(
    x: torch.Tensor, w: torch.Tensor, nan: torch.Tensor, fmt: Scaled, cast: Cast, mask: bool
) -> tuple[torch.Tensor, torch.Tensor | None]:
    element, scalar = fmt.element, fmt.offset and fmt.offset.format
    assert isinstance(element, FixedPoint)
    assert isinstance(scalar, FixedPoint)
    key = key_of(w, W32)
    low = key_of(key.amin(dim=-1, keepdim=True).clamp(max=0), W32).view(torch.float32).double()
    high = key.amax(dim=-1, keepdim=True).clamp(min=0).view(torch.float32).double()
    scale = _scale(odd_sum(high, -low), element.max_finite - element.min_finite, fmt, False)
    step = 2.0**element.fraction_bits
    zero = _integers(_scaled(-low, scale, fmt) * step, "ties_to_even") + element.min_integer
    zero = zero.clamp(scalar.min_integer, scalar.max_integer)
    wide = max(element.bits, scalar.bits) + 1
    if counts(fmt, cast, wide):
        q = nearest_integers(x, scale, element, wide).clamp(-RANGE, RANGE)
        zero = zero.to(torch.float32)
    else:
        q = _integers(_scaled(x, scale, fmt) * step, cast.rounding)
    moved = torch.where(nan, RANGE if cast.nan == "max" else 0.0, q) + zero
    held = moved.clamp(element.min_integer, element.max_integer)
    if q.dtype == torch.float32:
        values = times_scale(held - zero, element, scale)
    else:
        values = ((held - zero) * (1.0 / step) * scale).to(torch.float32)
    clipped = ((moved < element.min_integer) | (moved > element.max_integer)) & ~nan if mask else None
    return values, clipped


def _integers(q: torch.Tensor, rounding: str) -> torch.Tensor:
    """q rounded to integers within +-RANGE, in float64."""
    q = q.clamp(-RANGE, RANGE)
    if rounding == "ties_to_even":
        return torch.round(q)
    if rounding in ("up", "down", "toward_zero"):
        return {"up": torch.ceil, "down": torch.floor, "toward_zero": torch.trunc}[rounding](q)
    if rounding != "ties_away":
        raise NotImplementedError(f"quantize: rounding {rounding!r} with a zero point has no tensor path; pass x.cpu()")
    size = q.abs()
    whole = torch.floor(size)
    return torch.copysign(whole + (size - whole >= 0.5).double(), q)
