"""Block formats: cut, scale, encode the elements, and back.

Powers of two go through kernels that shift the element format instead of dividing (`_shifted`); other scales through an
exact quotient (`quotients`). Decoding multiplies the parts exactly and rounds once.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from formats import scalar_codec
from formats.block import POWER_OF_TWO_RULES, Scaled
from formats.blocking import Cut, from_stored, plan_cut, stored_order, to_blocks
from formats.cast import DEFAULT, ROUNDINGS, Cast
from formats.encoded import Encoded, Plane
from formats.fixed_point import FixedPoint
from formats.layout import pack
from formats.minifloat import Minifloat
from formats.plans import FLOAT32, FLOAT64, code_dtype, decode_tables, integer_plan, minifloat_plan, runs_on_bits
from formats.recipes import RECIPES
from formats.reference import check_cast, nan_codes
from formats.scalar import Scalar
from formats.scale_rules import largest_exponent, power_of_two_codes, te_nvfp4_scales, trailing_bits

PIECE = 1 << 16  # elements whose quotients, codes and values stay in cache together


FLOAT32_END = 2.0**128 - 2.0**103  # from here on float32 rounds to infinity


def encode(
    x: NDArray[Any],
    fmt: Scaled,
    axis: int,
    cast: Cast,
    pad: bool,
    out: Encoded | None = None,
    positive: bool = False,
) -> Encoded:
    """Planes of a float32 or float64 array. positive: what is above zero stays there, as scales must."""
    check_cast(fmt.element, cast)
    cut = plan_cut(x.shape, fmt.block, axis, pad)
    blocks = to_blocks(x, cut)
    codes = np.empty(blocks.shape, code_dtype(fmt.element.bits))
    planes = _encode_blocks(blocks, fmt, cast, cut, codes, pad)
    if positive:
        zero = np.zeros((codes.shape[0], 1))
        if fmt.offset is not None:
            plane = planes["offset"]
            zero = scalar_codec.decode_codes(plane.format, plane.codes, np.dtype(np.float64)).reshape(-1, 1)
        _keep_positive(blocks, fmt.element, codes, zero)
    stored = stored_order(codes, cut)
    held = out.planes["codes"].data if out else None
    elements = Plane(fmt.element, stored.shape, pack(stored, fmt.element.bits, held))
    return Encoded(fmt, x.shape, cut.axis, {"codes": elements, **planes})


def quantize(x: NDArray[Any], fmt: Scaled, axis: int, cast: Cast, pad: bool) -> NDArray[Any]:
    """x rounded to what `decode(encode(x))` gives, without packing."""
    check_cast(fmt.element, cast)
    cut = plan_cut(x.shape, fmt.block, axis, pad)
    blocks = to_blocks(x, cut)
    codes = np.empty(blocks.shape, code_dtype(fmt.element.bits))
    planes = _encode_blocks(blocks, fmt, cast, cut, codes, pad)
    values = _decode_blocks(codes, fmt, planes, cut.grid, x.dtype)
    return np.ascontiguousarray(from_stored(stored_order(values, cut), cut)).reshape(cut.shape)  # () would be (1,)


def _encode_blocks(
    blocks: NDArray[Any], fmt: Scaled, cast: Cast, cut: Cut, codes: NDArray[Any], pad: bool
) -> dict[str, Plane]:
    """Element codes into `codes` [blocks, size]; returns the planes of the scales and offsets."""
    if fmt.scale.combine != "product":
        raise ValueError(f"encode: scales combined by {fmt.scale.combine!r} have no codec yet; use combine='product'")
    if fmt.rule in POWER_OF_TWO_RULES:
        scales = _shifted(blocks, fmt, cast, codes)
        return {"scale": _plane(_scalar_scale(fmt), scales.reshape(cut.grid))}
    if fmt.rule in RECIPES:
        return RECIPES[fmt.rule](blocks, fmt, cast, cut, codes)
    if fmt.rule == "te_nvfp4":
        planes = _nvfp4(blocks, fmt, cast, cut, codes)
    else:
        planes = _absmax(blocks, fmt, cast, cut, codes, pad)
    _check_finite(blocks, fmt, cast, cut, codes, planes)
    return planes


def _check_finite(
    blocks: NDArray[Any], fmt: Scaled, cast: Cast, cut: Cut, codes: NDArray[Any], planes: Mapping[str, Plane]
) -> None:
    """Raise where finite float32 numbers would decode to infinities without the cast asking for them."""
    largest = fmt.element.max_finite - (fmt.element.min_finite if fmt.offset else 0)
    scale = scale_values(fmt, planes, cut.grid).reshape(-1)
    with np.errstate(over="ignore"):
        rows = np.flatnonzero(scale * float(largest) >= FLOAT32_END)
    if cast.overflow != "saturate" or not rows.size:
        return
    with np.errstate(over="ignore"):
        infinite = np.isinf(_decode_blocks(codes, fmt, planes, cut.grid, np.dtype(np.float32)))[rows]
    x = blocks[rows]
    if (infinite & (np.abs(x) <= np.finfo(np.float32).max)).any():
        raise ValueError(
            f"encode: x reaches {np.abs(x).max():g}, and rounded to {fmt.name} it is beyond float32, which ends at "
            "3.40282e+38; scale x first"
        )


def _keep_positive(x: NDArray[Any], fmt: Scalar, codes: NDArray[Any], zero: Any = 0.0) -> None:
    """Where x > 0 became zero or less (a codebook may have no zero), write the smallest value above `zero`."""
    values = scalar_codec.decode_codes(fmt, codes, np.dtype(np.float64))
    lost = (x > 0) & (values <= zero)
    if lost.any():
        least = np.broadcast_to(zero + float(fmt.min_positive), codes.shape)[lost]
        codes[lost] = scalar_codec.encode_codes(fmt, least, DEFAULT)


def _scalar_scale(fmt: Scaled) -> Scalar:
    if isinstance(fmt.scale.format, Scaled):
        raise ValueError(f"encode: rule {fmt.rule!r} writes one level of scales, {fmt.name} has two")
    return fmt.scale.format


def _plane(fmt: Scalar, codes: NDArray[Any]) -> Plane:
    return Plane(fmt, codes.shape, pack(codes, fmt.bits))


def _magnitudes(blocks: NDArray[Any]) -> NDArray[Any]:
    from formats.kernels.blocks import largest_magnitude32, largest_magnitude64

    amax = np.empty(blocks.shape[0], blocks.dtype)
    (largest_magnitude32 if blocks.dtype == np.float32 else largest_magnitude64)(blocks, amax)
    return amax


def _shifted(blocks: NDArray[Any], fmt: Scaled, cast: Cast, codes: NDArray[Any]) -> NDArray[np.uint8]:
    """E8M0 codes; elements rounded under a shifted format. A block holding infinity or NaN gets the NaN scale.

    Under an explicit nan="zero" or "max" a NaN leaves the scale alone and becomes what the cast says of the element.
    """
    from formats.kernels.blocks import encode_shifted64

    element, emax = fmt.element, largest_exponent(fmt.element)
    scales = np.empty(blocks.shape[0], np.uint8)
    settled = blocks
    if cast.nan in ("zero", "max") and np.isnan(_magnitudes(blocks)).any():
        settled = np.where(np.isnan(blocks), blocks.dtype.type(0), blocks)
    elif blocks.dtype == np.float32 and emax >= 0 and _shifted32(blocks, fmt, cast, emax, codes, scales):
        return scales
    scales = power_of_two_codes(_magnitudes(settled).astype(np.float64), element, fmt.rule)
    exponents = np.where(scales == 255, 0, scales.astype(np.int64) - 127)
    clean = np.where(scales[:, None] == 255, 0.0, blocks) if (scales == 255).any() else blocks
    # A scale moves the smallest binade down by at most 127; it must stay a normal float64.
    if isinstance(element, Minifloat) and runs_on_bits(element, FLOAT64) and element.min_exponent >= 127 - 1022:
        plan = minifloat_plan(element, cast, FLOAT64)
        encode_shifted64(clean.astype(np.float64, copy=False), plan, exponents, codes)
    else:
        _elements(clean, np.ldexp(1.0, exponents), element, cast, codes)
    return scales


def _shifted32(
    blocks: NDArray[np.float32],
    fmt: Scaled,
    cast: Cast,
    emax: int,
    codes: NDArray[Any],
    scales: NDArray[np.uint8],
) -> bool:
    """The float32 kernels; False where none covers the element, the rounding or the blocks' exponents."""
    from formats.kernels.blocks import encode_mx32, encode_mx32_integer

    element = fmt.element
    rule = POWER_OF_TWO_RULES.index(fmt.rule)
    inverse = np.float32(1.0) / np.float32(float(element.max_finite))
    if isinstance(element, Minifloat) and runs_on_bits(element, FLOAT32):
        half_ulp = 1 << (22 - trailing_bits(element))
        encode_mx32(blocks, minifloat_plan(element, cast, FLOAT32), rule, emax, half_ulp, inverse, codes, scales)
        return True
    if isinstance(element, FixedPoint) and cast.rounding in ("ties_to_even", "ties_away"):
        _, low, high, mask, *_ = integer_plan(element, cast, FLOAT32)
        half_ulp, away = 1 << (22 - trailing_bits(element)), int(cast.rounding == "ties_away")
        fraction = element.fraction_bits
        done = encode_mx32_integer(
            blocks, rule, emax, half_ulp, inverse, fraction, low, high, mask, away, codes, scales
        )
        return bool(done)
    return False


def _elements(
    blocks: NDArray[Any],
    scale: NDArray[np.float64],
    element: Scalar,
    cast: Cast,
    codes: NDArray[Any],
    offset: NDArray[np.float64] | None = None,
) -> None:
    """codes = element codes of blocks / scale (+ offset), a cache-sized piece of rows at a time."""
    rows = max(1, PIECE // blocks.shape[1])
    quotient = np.empty((min(rows, blocks.shape[0]), blocks.shape[1]), np.float64)
    for start in range(0, blocks.shape[0], rows):
        piece = blocks[start : start + rows]
        q = quotients(piece, scale[start : start + rows], quotient[: piece.shape[0]])
        held = codes[start : start + rows]
        if offset is not None:
            _add_offset(q, offset[start : start + rows], element, cast, held)
        elif scalar_codec.run(element, q.reshape(-1), cast, held.reshape(-1)) and element.nan_code is None:
            nan_codes(element, cast)


def quotients(
    blocks: NDArray[Any], scale: NDArray[np.float64], out: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """blocks / scale, inexact quotients rounded to odd: a later rounding to fewer bits is then the only one."""
    from formats.kernels.blocks import divide, divide_any

    out = np.empty(blocks.shape) if out is None else out
    safe = blocks.dtype == np.float32 and ((scale == 0) | ((scale > 2.0**-500) & (scale < 2.0**500))).all()
    (divide if safe else divide_any)(blocks, scale, out)
    return out


def _add_offset(
    q: NDArray[np.float64], offset: NDArray[np.float64], element: Scalar, cast: Cast, codes: NDArray[Any]
) -> None:
    """Round the quotient to an integer first, then move it by the zero point: round(x / s) + z, clamped."""
    if not isinstance(element, FixedPoint):
        raise ValueError(f"encode: a zero point needs an integer element, got {element.name}")
    moved = with_offset(q, offset, element, cast)
    codes[...] = np.clip(moved, element.min_integer, element.max_integer) % (1 << element.bits)


def with_offset(
    q: NDArray[np.float64], offset: NDArray[np.float64], element: FixedPoint, cast: Cast
) -> NDArray[np.int64]:
    """round(q) + offset in the element's last places, not yet clamped to its range."""
    from formats.kernels.fixed_point import encode_integer

    limit, magic = FLOAT64.dtype(2.0**20), FLOAT64.dtype(FLOAT64.magic)  # far beyond 16 bits and their zero point
    nan = limit if cast.nan == "max" else FLOAT64.dtype(0.0)
    step = FLOAT64.dtype(2.0**element.fraction_bits)
    integers = np.empty(q.shape, np.int32)
    rounding = ROUNDINGS.index(cast.rounding)
    encode_integer(q.reshape(-1), step, -limit, limit, np.int32(-1), magic, rounding, nan, integers.reshape(-1))
    moved: NDArray[np.int64] = integers + (offset[:, None] * step).astype(np.int64)
    return moved


def _finite_range(blocks: NDArray[Any], fmt: Scaled, cast: Cast) -> NDArray[Any]:
    """The blocks as their scales see them, NaN read as zero; infinities are refused, for no scale reaches them."""
    amax = _magnitudes(blocks)
    if np.isfinite(amax).all():
        return blocks
    if np.isnan(amax).any():
        if cast.nan == "raise":
            raise ValueError(
                f"encode: x holds NaN, and rule {fmt.rule!r} of {fmt.name} cannot scale a block by it; "
                "pass cast=Cast(nan='zero'), or remove the NaN"
            )
        blocks = np.where(np.isnan(blocks), blocks.dtype.type(0), blocks)
    if np.isinf(blocks).any():
        raise ValueError(
            f"encode: x holds an infinity, and rule {fmt.rule!r} of {fmt.name} has no finite scale for it; clip x first"
        )
    return blocks


def _absmax(
    blocks: NDArray[Any], fmt: Scaled, cast: Cast, cut: Cut, codes: NDArray[Any], pad: bool
) -> dict[str, Plane]:
    """Scale = amax / largest element value (or range over range), rounded to the scale's format, never to zero."""
    from formats.kernels.blocks import smallest_and_largest

    settled = _finite_range(blocks, fmt, cast)
    if fmt.offset is None:
        planes, scale = _store_scales(_magnitudes(settled), fmt.element.max_finite, fmt, cut, pad)
        _elements(blocks, scale, fmt.element, cast, codes)
        return planes
    if isinstance(fmt.offset.format, Scaled):
        raise ValueError("encode: offsets are stored in a scalar format")
    low, high = np.empty(blocks.shape[0], blocks.dtype), np.empty(blocks.shape[0], blocks.dtype)
    smallest_and_largest(settled, low, high)
    steps = fmt.element.max_finite - fmt.element.min_finite
    planes, scale = _store_scales(_odd_difference(high, low), steps, fmt, cut, pad)
    offset_codes = _zero_points(quotients(-low[:, None], scale), fmt.element, fmt.offset.format)
    offset = scalar_codec.decode_codes(fmt.offset.format, offset_codes, np.dtype(np.float64)).reshape(-1)
    _elements(blocks, scale, fmt.element, cast, codes, offset)
    return {**planes, "offset": _plane(fmt.offset.format, offset_codes.reshape(cut.grid))}


def _zero_points(ratio: NDArray[np.float64], element: Scalar, held: Scalar) -> NDArray[Any]:
    """Codes of element.min_integer + round(ratio), ratio = -low / scale: low itself takes the smallest integer."""
    if not isinstance(element, FixedPoint) or not isinstance(held, FixedPoint):
        raise ValueError(f"encode: a zero point needs integers, got {element.name} and {held.name}")
    places = with_offset(ratio, np.full(ratio.shape[0], float(element.min_finite)), element, DEFAULT)
    clipped = np.clip(places, held.min_integer, held.max_integer)
    return np.asarray(clipped % (1 << held.bits)).astype(code_dtype(held.bits))


def _odd_difference(high: NDArray[Any], low: NDArray[Any]) -> NDArray[np.float64]:
    """high - low for high >= 0 >= low in float64, rounded to odd where inexact (TwoSum gives the error exactly)."""
    a, b = high.astype(np.float64), -low.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        total = a + b
        back = total - a
        error = (a - (total - back)) + (b - back)
    bits = total.view(np.int64)
    odd = np.where(error != 0, np.where(bits & 1, bits, bits + np.sign(error).astype(np.int64)), bits)
    return np.where(np.isfinite(total), odd.view(np.float64), np.finfo(np.float64).max)


def _store_scales(
    extent: NDArray[Any], steps: Fraction, fmt: Scaled, cut: Cut, pad: bool
) -> tuple[dict[str, Plane], NDArray[np.float64]]:
    """Planes of the scales extent / steps, and the values they decode to, one per block.

    A positive scale that would round to zero takes the format's smallest positive value instead; one whose rounding
    would put the largest element beyond float32 is rounded down.
    """
    inner = fmt.scale.format
    ideal = quotients(extent[:, None], np.full(extent.size, float(steps))).reshape(cut.grid)
    if isinstance(inner, Scaled):
        try:
            held = encode(ideal, inner, -1, DEFAULT, pad, positive=True)
        except ValueError as error:
            raise ValueError(f"encode: the scales of {fmt.name} are scaled in their turn; {error}") from error
        planes = {"scale" + ("" if key == "codes" else f".{key}"): plane for key, plane in held.planes.items()}
        return planes, np.asarray(decode(held, np.dtype(np.float64)), np.float64).reshape(-1)
    if isinstance(inner, Minifloat) and inner.trailing_significand_bits > 50:  # to odd is for fewer bits than these
        ideal = (extent.astype(np.float64) / float(steps)).reshape(cut.grid)
    codes = scalar_codec.encode_codes(inner, ideal, DEFAULT)
    _keep_positive(extent.reshape(cut.grid), inner, codes)
    values = scalar_codec.decode_codes(inner, codes, np.dtype(np.float64))
    with np.errstate(over="ignore"):
        beyond = (values * float(steps) >= FLOAT32_END) & (extent.reshape(cut.grid) <= np.finfo(np.float32).max)
    if beyond.any():
        codes[beyond] = scalar_codec.encode_codes(inner, ideal[beyond], Cast(rounding="down"))
        values = scalar_codec.decode_codes(inner, codes, np.dtype(np.float64))
    return {"scale": _plane(inner, codes)}, values.reshape(-1)


def _nvfp4(blocks: NDArray[Any], fmt: Scaled, cast: Cast, cut: Cut, codes: NDArray[Any]) -> dict[str, Plane]:
    """TransformerEngine's recipe, in float32 throughout as published (float64 input is rounded to float32 first)."""
    inner = fmt.scale.format
    if not isinstance(inner, Scaled) or isinstance(inner.scale.format, Scaled):
        raise ValueError(f"encode: rule 'te_nvfp4' needs a block scale and one tensor scale, got {inner!r}")
    amax = _magnitudes(_finite_range(blocks, fmt, cast))
    if (amax > np.finfo(np.float32).max).any():
        raise ValueError(
            f"encode: x reaches {amax.max():g}, and {fmt.name} is computed in float32, up to 3.40282e+38; scale x first"
        )
    blocks, amax = blocks.astype(np.float32, copy=False), amax.astype(np.float32, copy=False)
    scale_codes, tensor_scale, factors = te_nvfp4_scales(amax, amax.max(), inner.element, fmt.element)
    rows = max(1, PIECE // blocks.shape[1])
    for start in range(0, blocks.shape[0], rows):
        with np.errstate(over="ignore", under="ignore"):
            scaled = blocks[start : start + rows] * factors[start : start + rows, None]
        scalar_codec.run(fmt.element, scaled.reshape(-1), cast, codes[start : start + rows].reshape(-1))
    outer = scalar_codec.encode_codes(inner.scale.format, np.array([tensor_scale], np.float32), DEFAULT)
    return {
        "scale": _plane(inner.element, scale_codes.reshape(cut.grid)),
        "scale.scale": _plane(inner.scale.format, outer),
    }


def scale_values(fmt: Scaled, planes: Mapping[str, Plane], grid: tuple[int, ...]) -> NDArray[np.float64]:
    """Values of the scales, one per block in the shape of the grid of blocks; nested scales multiplied in float64.

    Exact for the catalogue: at most 4 + 24 significant bits.
    """
    plane, inner = planes["scale"], fmt.scale.format
    if not isinstance(inner, Scaled):
        return scalar_codec.decode_codes(inner, plane.codes, np.dtype(np.float64))
    parts = {"codes": plane, **{k.removeprefix("scale."): v for k, v in planes.items() if k.startswith("scale.")}}
    return np.asarray(decode(Encoded(inner, grid, len(grid) - 1, parts), np.dtype(np.float64)), np.float64)


def grid_of(encoded: Encoded) -> tuple[int, ...]:
    """Number of blocks per axis of an Encoded of a Scaled format, its axis last."""
    if not isinstance(encoded.format, Scaled):
        raise ValueError(f"scales: {encoded.format.name} has none; only block formats share scales")
    return plan_cut(encoded.shape, encoded.format.block, encoded.axis, True).grid


def _decode_blocks(
    codes: NDArray[Any], fmt: Scaled, planes: Mapping[str, Plane], grid: tuple[int, ...], dtype: np.dtype[Any]
) -> NDArray[Any]:
    """[blocks, size] values: (element - offset) * scale, rounded once to dtype."""
    from formats.kernels.blocks import multiply32, multiply64, multiply_odd

    scale = scale_values(fmt, planes, grid).reshape(-1)
    table32, table64 = decode_tables(fmt.element)
    out = np.empty(codes.shape, dtype)
    single = dtype == np.float32 and fmt.offset is None
    few_bits = _fits_float32(fmt.element) and (isinstance(fmt.scale.format, Scaled) or _fits_float32(fmt.scale.format))
    if single and few_bits and not isinstance(fmt.scale.format, Scaled):
        multiply32(table32, codes, scale.astype(np.float32), out)
        return out
    offset = np.zeros(scale.shape)
    if fmt.offset is not None:
        plane = planes["offset"]
        offset = scalar_codec.decode_codes(plane.format, plane.codes, np.dtype(np.float64)).reshape(-1)
    # At most 24 + 28 bits leave the float64 product exact; wider parts round it to odd before float32 rounds it.
    (multiply64 if few_bits or dtype == np.float64 else multiply_odd)(table64, codes, offset, scale, out)
    return out


def _fits_float32(fmt: Scalar) -> bool:
    """Whether every value of the format is a float32, so that a float32 product of two is rounded once."""
    if isinstance(fmt, Minifloat):
        return fmt.trailing_significand_bits <= 23 and fmt.ulp_exponent >= -149 and fmt.max_finite < 2**128
    return isinstance(fmt, FixedPoint) or all(float(np.float32(float(v))) == float(v) for v in fmt.values())


def decode(encoded: Encoded, dtype: np.dtype[Any]) -> NDArray[Any]:
    """The values of an Encoded of a Scaled format."""
    fmt = encoded.format
    if not isinstance(fmt, Scaled):
        raise TypeError(f"decode: {fmt!r} has no scales")
    codes = encoded.planes["codes"].codes
    cut = plan_cut(encoded.shape, fmt.block, encoded.axis, True)
    _check_planes(encoded, fmt, codes, cut)
    values = _decode_blocks(to_blocks_stored(codes, cut), fmt, encoded.planes, cut.grid, dtype)
    return np.ascontiguousarray(from_stored(stored_order(values, cut), cut)).reshape(cut.shape)  # () would be (1,)


def _check_planes(encoded: Encoded, fmt: Scaled, codes: NDArray[Any], cut: Cut) -> None:
    """Kernels read without bounds checks: an Encoded put together by hand must fit its own shape and format."""
    if codes.size != int(np.prod(cut.padded, dtype=np.int64)):
        raise ValueError(f"decode: codes of x with shape {encoded.shape} are stored as {cut.padded}, got {codes.shape}")
    for key in ("scale", "offset") if fmt.offset is not None else ("scale",):
        stored = encoded.planes[key].shape
        if stored != cut.grid and not isinstance(fmt.scale.format, Scaled):
            raise ValueError(f"decode: {fmt.name} has a {key} per block, stored as {cut.grid}, got {stored}")
    if len(fmt.element.values()) < 1 << fmt.element.bits:  # a codebook with codes to spare
        scalar_codec.decode_codes(fmt.element, codes, np.dtype(np.float32))


def to_blocks_stored(codes: NDArray[Any], cut: Cut) -> NDArray[Any]:
    """Codes in stored order (axis last, padded) as [blocks, size]."""
    return to_blocks(codes, Cut(cut.padded, len(cut.padded) - 1, cut.flat, cut.padded, cut.grid, cut.extent))
