"""Block-scaled operands whose elements are multiplied first, and scaled afterwards or as they are aligned."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from formats.arithmetic.accumulators import (
    Accumulator,
    Aligned,
    FloatChain,
    Integer,
    Promotion,
    SplitK,
    result_format,
)
from formats.arithmetic.engines.generic import add_odd
from formats.arithmetic.job import Job, Scales
from formats.arithmetic.matrix_units import AlignedGroups
from formats.arithmetic.multipliers.base import Multiplier
from formats.arithmetic.operands import Operand, in_float32
from formats.arithmetic.orders import Order, Sequential
from formats.block import Scaled
from formats.cast import Cast
from formats.catalogue import get
from formats.codec import decode_codes, quantize
from formats.elements import is_scalar
from formats.minifloat import Minifloat
from formats.scalar import Scalar

Float = NDArray[np.float64]


def scaled_product(
    left: Operand,
    right: Operand,
    c: Any,
    times: Multiplier,
    how: Accumulator,
    order: Order,
    scaling: str,
) -> Float:
    """Sums of element products, scaled block by block or at the end: float64 values of the result's format."""
    from formats.arithmetic.matmul import products, starts

    if scaling == "in_alignment":
        return aligned_product(left, right, c, times, how)
    library = scaling in ("after_sum_b_then_a", "after_sum_product")
    fmt = get("float32") if library else result_format(how) or get("float32")
    assert isinstance(fmt, Minifloat)
    a, scale_a, along_a = _elements(left, "a", -1)
    b, scale_b, along_b = _elements(right, "b", -2)
    terms = a.values.shape[-1]
    block = _common_block(left, right, along_a, along_b, terms)
    if scaling != "per_block_then_accumulate" and block < terms:
        raise ValueError(
            f"matmul: scaling={scaling!r} needs scales that do not change along K; {left.description.name} and "
            f"{right.description.name} have blocks of {block} of K = {terms}; use 'per_block_then_accumulate'"
        )
    times.check(a.scalar, b.scalar)
    chain = how if isinstance(how, FloatChain) else FloatChain(fmt)
    batch = np.broadcast_shapes(a.values.shape[:-2], b.values.shape[:-2])
    total = starts(c, (*batch, a.values.shape[-2], b.values.shape[-1]), FloatChain(fmt), False)
    for begin in range(0, terms, max(block, 1)):
        ks = slice(begin, min(begin + block, terms))
        parts = (
            Operand(a.values[..., ks], a.scalar, a.scalar, None),
            Operand(b.values[..., ks, :], b.scalar, b.scalar, None),
        )
        inner = _value(products(*parts, None, times, how, order, False), how)
        scales = _scale_of(scale_a, begin, along_a, -1), _scale_of(scale_b, begin, along_b, -2)
        term = _scaled(inner, *scales, fmt, scaling)
        total = term if total is None else _round(add_odd(total, term), fmt, chain)
    if total is None:
        total = np.zeros((*batch, a.values.shape[-2], b.values.shape[-1]))
    return total


def _scaled(x: Float, scale_a: Any, scale_b: Any, fmt: Minifloat, scaling: str) -> Float:
    """A sum under both scales, float32 values: rounded once, or as often and in the order that `scaling` says."""
    if scaling == "after_sum_b_then_a":
        return _round(_round(x * scale_b, fmt) * scale_a, fmt)
    if scaling == "after_sum_product":
        return _round(x * _round(np.asarray(scale_a * scale_b, np.float64), fmt), fmt)
    return _round(x * (scale_a * scale_b), fmt)


def aligned_product(left: Operand, right: Operand, c: Any, times: Multiplier, how: Accumulator) -> Float:
    """Sums of element products whose scales take part in the alignment: float64 values of the result's format."""
    from formats.arithmetic.engines import run
    from formats.arithmetic.matmul import starts

    a, scale_a, along_a = _elements(left, "a", -1, whole=False)
    b, scale_b, along_b = _elements(right, "b", -2, whole=False)
    times.check(a.scalar, b.scalar)
    _check_aligned(left, "a", a.values.shape[-1], along_a, how)
    _check_aligned(right, "b", b.values.shape[-2], along_b, how)
    fmt, terms = result_format(how), a.values.shape[-1]
    assert fmt is not None
    batch = np.broadcast_shapes(a.values.shape[:-2], b.values.shape[:-2])
    shape = (*batch, a.values.shape[-2], b.values.shape[-1])
    start = starts(c, shape, how, False)
    if 0 in (terms, *shape):
        return np.zeros(shape) if start is None else start
    sides = (a.values, b.values, _every_k(scale_a, a.values, along_a, -1), _every_k(scale_b, b.values, along_b, -2))
    arrays = [np.broadcast_to(x, batch + x.shape[-2:]).reshape(-1, *x.shape[-2:]) for x in sides]
    starting = None if start is None else start.reshape(-1, *shape[-2:])
    formats = _scale_format(left), _scale_format(right)
    sums = []
    for index, (x, y, of_x, of_y) in enumerate(zip(*arrays, strict=True)):
        first, scales = index * shape[-2] * shape[-1], Scales(of_x, of_y, *formats)
        c_of = None if starting is None else starting[index]
        job = Job(x, y, c_of, a.scalar, b.scalar, times, how, Sequential(), first_output=first, scales=scales)
        sums.append(run(job))
    total = np.stack(sums).reshape(shape).astype(np.float64)
    outer = float(np.float32(_tensor_scale(left) * _tensor_scale(right)))
    return total if outer == 1 else _round(total * outer, fmt)


def _every_k(scales: Float | None, values: NDArray[Any], size: int, axis: int) -> Float:
    """Scales beside each element: [..., M, K] or [..., K, N]. Signs of scales are not read."""
    if scales is None:
        return np.ones(values.shape, np.float64)
    repeated = np.abs(np.repeat(scales, size, axis=-1)[..., : values.shape[axis]])
    return np.broadcast_to(repeated if axis == -1 else np.swapaxes(repeated, -1, -2), values.shape)


def _scale_format(x: Operand) -> Scalar:
    """The scalar format of the blocks' scales; of an operand without any, that of ones."""
    one = get("e8m0fnu")
    assert is_scalar(one)
    return one if x.encoded is None else x.encoded.planes["scale"].format


def _tensor_scale(x: Operand) -> float:
    """The scale of the scales, where there is one: the same for the whole tensor."""
    plane = None if x.encoded is None else x.encoded.planes.get("scale.scale")
    if plane is None:
        return 1.0
    if plane.size != 1:
        raise ValueError(
            f"matmul: scaling='in_alignment' takes one scale of scales a tensor; {x.description.name} has {plane.size}"
        )
    return float(decode_codes(plane.format, plane.codes, np.float64).reshape(()))


def _check_aligned(x: Operand, name: str, terms: int, size: int, how: Accumulator) -> None:
    """Aligned takes powers of two; a group of AlignedGroups has one scale of each operand."""
    while isinstance(how, Promotion | SplitK):
        how = how.inner
    if x.encoded is None:
        return
    fmt = _scale_format(x)
    if isinstance(how, Aligned) and not (isinstance(fmt, Minifloat) and fmt.trailing_significand_bits == 0):
        raise ValueError(
            f"matmul: {how} aligns scales that are powers of two, {name}_format {x.description.name} has {fmt.name}; "
            "use an AlignedGroups"
        )
    if isinstance(how, AlignedGroups) and size < terms and size % how.group:
        raise ValueError(
            f"matmul: {how} sums {how.group} products under one scale; {name}_format {x.description.name} has "
            f"blocks of {size} along K"
        )


def _value(sums: NDArray[Any], how: Accumulator) -> Float:
    """A block's sum as the float32-or-narrower value that meets the scale; a register's as its exact value."""
    if result_format(how) is not None or isinstance(how, Integer):
        return sums.astype(np.float64)
    return sums.astype(np.float32).astype(np.float64)


def _round(x: Float, fmt: Minifloat, chain: FloatChain | None = None) -> Float:
    """Once, to nearest even unless the chain says otherwise. Stochastic chains are refused by _elements' caller."""
    rounding = "ties_to_even" if chain is None or chain.cast.stochastic else chain.rounding
    return np.asarray(quantize(x, fmt, cast=Cast(rounding=rounding, overflow="overflow")), np.float64)


def _elements(x: Operand, name: str, axis: int, whole: bool = True) -> tuple[Operand, Float | None, int]:
    """An operand's elements without their scales, the scales [..., rows, blocks] (axis last), and K per scale.

    whole: whether scales are products of all their parts, or without the scale of scales.
    """
    if x.encoded is None:
        return x, None, 0
    fmt = x.encoded.format
    assert isinstance(fmt, Scaled)
    plain = is_scalar(fmt.element) and fmt.offset is None and fmt.shift is None and fmt.negative is None
    if not plain:
        raise ValueError(
            f"matmul: {name}_format {fmt.name} is more than elements times scales; use scaling='dequantize_first'"
        )
    element: Scalar = fmt.element  # type: ignore[assignment]
    codes, shape = x.encoded.codes, x.encoded.shape
    plane = x.encoded.planes["scale"]
    scales = x.encoded.scales if whole else decode_codes(plane.format, plane.codes, np.float64)
    if scales.size == 1 and codes.ndim != len(shape):  # one scale for all: of every row, and of all of K
        codes, scales = codes[: prod(shape)].reshape(shape), scales.reshape((1,) * len(shape))
    values = decode_codes(element, codes, np.float32 if in_float32(element) else np.float64)
    terms = x.values.shape[axis]
    values = values[..., :terms] if axis == -1 else values[..., :terms, :]
    rows = x.values.shape[-2 if axis == -1 else -1]
    if scales.ndim != x.values.ndim or (scales.shape[-1] > 1 and scales.shape[-2] not in (1, rows)):
        raise ValueError(
            f"matmul: scales of {name}_format {fmt.name} lie as {scales.shape}, not as blocks along K of each row; use "
            "scaling='dequantize_first'"
        )
    size = -(-codes.shape[axis] // scales.shape[-1]) if scales.shape[-1] else terms
    return Operand(values, element, element, None), scales, size


def _common_block(left: Operand, right: Operand, along_a: int, along_b: int, terms: int) -> int:
    """Consecutive k with one scale on both sides."""
    sizes = sorted({min(size, terms) for size in (along_a, along_b) if size})
    if len(sizes) == 2 and sizes[1] % sizes[0]:
        raise ValueError(
            f"matmul: blocks of {left.description.name} ({along_a}) and {right.description.name} ({along_b}) along K "
            "do not nest; choose one size a multiple of the other"
        )
    return max(sizes[0], 1) if sizes else max(terms, 1)


def _scale_of(scales: Float | None, k: int, size: int, axis: int) -> Any:
    """Scales of the block that k is in, shaped to meet [..., M, N]."""
    if scales is None:
        return 1.0
    at = scales[..., min(k // size, scales.shape[-1] - 1)]
    return at[..., :, None] if axis == -1 else at[..., None, :]
