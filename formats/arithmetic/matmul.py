"""Matrix products on formats: a stated multiplier, a stated accumulator, a stated order."""

from __future__ import annotations

from fractions import Fraction
from math import prod
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from formats.arithmetic.accumulators import (
    Accumulator,
    Exact,
    FloatChain,
    Integer,
    Kahan,
    aligns,
    has_own_order,
    product_ulp_exponent,
    start_format,
)
from formats.arithmetic.job import Job
from formats.arithmetic.multipliers.base import Multiplier
from formats.arithmetic.named import named_accumulator, named_multiplier
from formats.arithmetic.operands import Operand, operand
from formats.arithmetic.orders import Chunked, Order, Pairwise, Sequential, Tree, leaves_of
from formats.arithmetic.threads import run_rows
from formats.block import Format
from formats.cast import Cast
from formats.catalogue import get
from formats.codec import quantize as quantize_array
from formats.encoded import Encoded
from formats.fixed_point import FixedPoint
from formats.minifloat import Minifloat

Scaling = Literal[
    "dequantize_first",
    "per_block_then_accumulate",
    "after_sum",
    "after_sum_b_then_a",
    "after_sum_product",
    "in_alignment",
]
SCALINGS: tuple[str, ...] = get_args(Scaling)


def matmul(
    a: Any,
    b: Any,
    c: Any = None,
    *,
    a_format: Format | str | None = None,
    b_format: Format | str | None = None,
    multiplier: Multiplier | str = "exact",
    accumulator: Accumulator | str = "exact",
    order: Order | None = None,
    scaling: Scaling = "dequantize_first",
    output: Minifloat | str | None = None,
    quantize: bool | Cast = False,
    group: Any = None,
) -> Any:
    """a @ b + c as hardware makes it: stated products, a stated accumulator, a stated order, bit for bit.

    a: [..., M, K], b: [..., K, N], values or `Encoded`; leading axes broadcast. c: [..., M, N] values of the
        accumulator's format (integers for an integer register) that the sums start from, or None for +0.
    a_format, b_format: the operands' formats, by name or description; may be left out for an Encoded, which has one.
    multiplier: "exact", or a name or description of formats.arithmetic.multipliers.
    accumulator: "exact" (Exact()), Integer, FloatChain, Kahan, Aligned, AlignedGroups, AlignedLate, PairwiseStep,
        Promotion or SplitK, or a name ("hopper_fp8"; `formats.accumulators` lists them): a name stands for the
        accumulator alone; the instruction's operands and scaling are for the caller to give. order: Sequential()
        (default), Chunked(size), Pairwise(base) or Tree.
    scaling: what becomes of block-scaled operands. "dequantize_first": element times scale, rounded to float32, is the
        operand. "per_block_then_accumulate": each block's sum of element products in `accumulator`, times both scales,
        rounded to the result's format and added there, blocks ascending. "after_sum": scales that do not change along
        K multiply the whole sum, rounded once. "after_sum_b_then_a": as libraries do, the sum times b's scale, rounded
        to float32, times a's, rounded to float32 (torch._scaled_mm with a scale a row and a column, on the H200).
        "after_sum_product": times the product of both scales, each product rounded to float32 (with one scale a
        tensor). "in_alignment": for Aligned and AlignedGroups (and Promotion and SplitK
        of them): the scales' exponents take part in the alignment, nothing is rounded by them; a scale of the scales
        (NVFP4's, one a tensor) multiplies the finished sum, c included, rounded once to its format.
    output: float format the accumulated value is rounded to once; at most 50 trailing bits. None: the accumulator's own
        (int32 for Integer(32 or fewer) with two integer formats, int64 up to 64, float32 for Exact).
    quantize: False: operands must be values of their formats; under scales of scales, the last of which is found anew
        from the array, they may be within 2**-22 of such and are used as they are. True, or a Cast: they are quantised
        first, along K.
    group: a LookupTable, TMac, PopcountPlanes or ShiftAdd: several terms of K at once; b then holds weights [K, N], and
        `accumulator` (Exact, FloatChain or Integer) adds what the group makes of runs of K. formats.arithmetic.groups.
    K that is no multiple of an accumulator's step, or of a group, is filled up with zeros of the sum: lanes without a k
        take no part, whatever the multiplier makes of 0 * 0.

    Returns [..., M, N], a numpy array, or a tensor where a or b is one; an empty sum is c, or zero.
    Raises ValueError for shapes that do not match, operands that are not values of their format, operands that are not
        finite under Exact or Integer, sums longer than Exact(max_terms), register overflow under
        Integer(overflow="error") with the first output's index, and products that do not fit.
    """
    if not isinstance(quantize, bool | Cast):
        raise TypeError(f"matmul: quantize must be True, False or a Cast, got {quantize!r}")
    if _is_tensor(a) or _is_tensor(b) or _is_tensor(c):
        from formats.arithmetic.tensors import matmul_tensors

        return matmul_tensors(
            a, b, c, a_format=a_format, b_format=b_format, multiplier=multiplier, accumulator=accumulator,
            order=order, scaling=scaling, output=output, quantize=quantize, group=group,
        )  # fmt: skip
    if group is not None:
        from formats.arithmetic.groups.door import grouped_matmul

        return grouped_matmul(
            a, b, c, group, a_format, b_format, multiplier, accumulator, order, scaling, output, quantize
        )
    how = named_accumulator(accumulator)
    times = named_multiplier(multiplier)
    sequence = Sequential() if order is None else order
    target = _target(output)
    check_kinds(how, sequence, scaling)
    parts = scaling != "dequantize_first"
    left = operand(a, a_format, -1, "a", quantize, parts)
    right = operand(b, b_format, -2, "b", quantize, parts)
    _check_shapes(left.values, right.values, how)
    _check_tree(sequence, left.values.shape[-1])
    if parts and (left.encoded is not None or right.encoded is not None):
        from formats.arithmetic.scaling import scaled_product

        sums = scaled_product(left, right, c, times, how, sequence, scaling)
        return finish(sums, how, target)
    _check_register(left, right, how, accumulator)
    times.check(left.scalar, right.scalar)
    counts = _counts(left, right, how)
    sums = products(left, right, c, times, how, sequence, counts)
    if counts:
        if target is None:
            return sums.astype(np.int32) if isinstance(how, Integer) and how.bits <= 32 else sums
        from formats.arithmetic.engines.registers import finish as register_values

        sums = register_values(sums, left.scalar.ulp_exponent + right.scalar.ulp_exponent, False)
    return finish(sums, how, target)


def dot(a: Any, b: Any, c: Any = None, **how: Any) -> Any:
    """The dot product of two vectors of one length, as `matmul` makes it of [1, K] and [K, 1]; its keywords.

    a, b: [K] values, arrays or tensors. c: a number, or None. Returns a number of the output's type (an array, or a
    tensor, of no axes).
    """
    if isinstance(a, Encoded) or isinstance(b, Encoded):
        raise TypeError(
            "dot: a and b must be vectors of values, got an Encoded; pass formats.decode of it, or use matmul"
        )
    left, right = (x if _is_tensor(x) else np.asarray(x) for x in (a, b))
    if left.ndim != 1 or tuple(left.shape) != tuple(right.shape):
        raise ValueError(
            f"dot: a and b must be vectors of one length, got {tuple(left.shape)} and {tuple(right.shape)}"
        )
    if c is not None and np.ndim(c) != 0:
        raise ValueError(f"dot: c must be a number, got {c!r}")
    return matmul(left[None, :], right[:, None], c, **how)[0, 0]


def _is_tensor(x: Any) -> bool:
    return type(x).__module__.partition(".")[0] == "torch"


def products(
    left: Operand, right: Operand, c: Any, times: Multiplier, how: Accumulator, order: Order, counts: bool
) -> NDArray[Any]:
    """The sums of all products of a batch, as the engines leave them."""
    rows, columns = left.values.shape[-2], right.values.shape[-1]
    batch = np.broadcast_shapes(left.values.shape[:-2], right.values.shape[:-2])
    start = starts(c, (*batch, rows, columns), how, counts)
    if isinstance(how, Integer) and start is not None:
        _check_start(start, how, 0 if counts else product_ulp_exponent(left.scalar, right.scalar))
    lefts = np.broadcast_to(left.values, batch + left.values.shape[-2:]).reshape(
        (prod(batch), rows, left.values.shape[-1])
    )
    rights = np.broadcast_to(right.values, batch + right.values.shape[-2:]).reshape(
        (prod(batch), left.values.shape[-1], columns)
    )
    if left.values.shape[-1] == 0 or rows * columns * prod(batch) == 0:
        kind = np.int64 if counts else np.float64
        return np.zeros((*batch, rows, columns), kind) if start is None else start.astype(kind)
    sums = []
    for index in range(prod(batch)):
        job = Job(
            lefts[index], rights[index], None if start is None else start.reshape(-1, rows, columns)[index],
            left.scalar, right.scalar, times, how, order, counts, index * rows * columns,
        )  # fmt: skip
        _check_finite(job)
        sums.append(run_rows(job))
    if len(sums) == 1:
        return sums[0].reshape((*batch, rows, columns))
    return np.stack(sums).reshape((*batch, rows, columns))


def _check_start(start: NDArray[Any], how: Integer, ulp: int) -> None:
    """Refuse what the register, which counts in 2**ulp, cannot hold."""
    unit, high = Fraction(2) ** ulp, 2 ** (how.bits - 1) - 1
    values = start.reshape(-1).tolist()
    for number, held in enumerate(Fraction(value) / unit for value in values):
        if held.denominator != 1 or not -high - 1 <= held <= high:
            where = [int(i) for i in np.unravel_index(number, start.shape)]
            raise ValueError(
                f"matmul: c{where} is {values[number]!r}, which {how} does not hold: whole multiples of "
                f"2**{ulp} from {-high - 1} to {high} of them"
            )


def starts(c: Any, shape: tuple[int, ...], how: Accumulator, counts: bool) -> NDArray[Any] | None:
    """c as values of the accumulator's format in the output's shape: float64, or int64 where a register is counted."""
    if c is None:
        return None
    if isinstance(c, Encoded):
        raise TypeError("matmul: c must be an array of numbers, got an Encoded; pass formats.decode of it")
    try:
        given = np.asarray(c)
    except ValueError:
        raise ValueError(f"matmul: c must be an array of numbers, got {type(c).__name__} of unequal lengths") from None
    if given.dtype.kind not in "biuf":
        raise TypeError(f"matmul: c must be an array of real numbers, got dtype {given.dtype}")
    if isinstance(how, Exact | Integer) and given.dtype.kind == "f" and not np.isfinite(given).all():
        raise ValueError(f"matmul: c holds infinity or NaN, which {how} cannot hold; use a FloatChain")
    if counts and given.dtype.kind in "biu":
        given = given.astype(object)
    try:
        with np.errstate(invalid="ignore"):
            start = np.broadcast_to(given, shape)
            start = start if start.dtype == object else start.astype(np.float64)
    except ValueError:
        raise ValueError(
            f"matmul: c must have the output's shape {shape}, or broadcast to it; got {given.shape}"
        ) from None
    fmt = start_format(how)
    if fmt is not None:
        held = np.asarray(quantize_array(start, fmt, -1, Cast(overflow="overflow")), np.float64)
        changed = (held != start) & ~np.isnan(start)
        if changed.any():
            where = tuple(int(i) for i in np.argwhere(changed)[0])
            raise ValueError(
                f"matmul: c{list(where)} is {float(start[where])!r}, which the accumulator's format {fmt.name} does "
                f"not hold; round it first, by formats.quantize"
            )
    return start


def _check_shapes(left: NDArray[Any], right: NDArray[Any], how: Accumulator) -> None:
    if left.ndim < 2 or right.ndim < 2 or left.shape[-1] != right.shape[-2]:
        raise ValueError(f"matmul: a must be [..., M, K] and b [..., K, N], got {left.shape} and {right.shape}")
    try:
        np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    except ValueError:
        raise ValueError(f"matmul: leading axes must broadcast, got a {left.shape} and b {right.shape}") from None
    terms = left.shape[-1]
    if isinstance(how, Exact) and how.max_terms is not None and terms > how.max_terms:
        raise ValueError(f"matmul: {how} is a register for {how.max_terms} terms, got K = {terms}; raise max_terms")


def _check_tree(order: Order, terms: int) -> None:
    if isinstance(order, Tree) and len(leaves_of(order.shape)) != terms:
        raise ValueError(f"matmul: the Tree is one of {len(leaves_of(order.shape))} terms, got K = {terms}")


def check_kinds(how: Any, order: Any, scaling: Any) -> None:
    if not isinstance(order, Sequential | Chunked | Pairwise | Tree):
        raise TypeError(
            f"matmul: order must be Sequential(), Chunked(size), Pairwise(base) or Tree(shape), got {order!r}"
        )
    if isinstance(order, Tree) and not isinstance(how, FloatChain | Kahan):
        raise ValueError(f"matmul: {order!r} is for FloatChain and Kahan, got {how!r}")
    if has_own_order(how) and not isinstance(order, Sequential):
        raise ValueError(f"matmul: {how} has an order of its own; leave order out, got {order!r}")
    if scaling not in SCALINGS:
        raise ValueError(f"matmul: scaling must be one of {', '.join(SCALINGS)}, got {scaling!r}")
    if scaling == "in_alignment" and not aligns(how):
        raise ValueError(
            f"matmul: scaling='in_alignment' needs an accumulator that aligns its terms, Aligned or AlignedGroups, "
            f"got {how}"
        )


def _check_register(left: Operand, right: Operand, how: Accumulator, asked: Any) -> None:
    if isinstance(how, Integer) and isinstance(asked, str) and not _counts(left, right, how):
        raise ValueError(
            f"matmul: {asked!r} takes integers, got {left.description.name} and {right.description.name}; pass an "
            f"Integer register of the width you mean, or other formats"
        )
    if isinstance(how, Integer) and any(x.description != x.scalar for x in (left, right)):
        raise ValueError(
            f"matmul: block-scaled operands have no unit for {how} to count in; use Exact() or a FloatChain, or "
            "scaling='per_block_then_accumulate'"
        )


def _check_finite(job: Job) -> None:
    if not isinstance(job.accumulator, Exact | Integer):
        return
    if not (np.isfinite(job.a).all() and np.isfinite(job.b).all()):
        raise ValueError(
            f"matmul: an operand holds infinity or NaN, which {job.accumulator} cannot hold; use a FloatChain"
        )


def _target(output: Minifloat | str | None) -> Minifloat | None:
    """The output format, if one was asked for."""
    if output is None:
        return None
    target = get(output)
    if not isinstance(target, Minifloat) or target.trailing_significand_bits > 50:
        # Sums arrive rounded to odd at 53 bits: rounding them again is exact up to 51.
        raise ValueError(f"matmul: output must be a float format of at most 50 trailing bits, got {output!r}")
    return target


def _counts(left: Operand, right: Operand, how: Accumulator) -> bool:
    """Whether the result is a plain integer register."""
    integers = isinstance(left.scalar, FixedPoint) and isinstance(right.scalar, FixedPoint)
    return isinstance(how, Integer) and integers and how.bits <= 64


def finish(out: NDArray[Any], how: Accumulator, target: Minifloat | None) -> NDArray[Any]:
    """Round the accumulated value once to the output format. Sums rounded to odd make this the only rounding."""
    if target is None or target == get("float32"):
        with np.errstate(over="ignore"):
            return out.astype(np.float32, copy=False)  # a chain's format is within float32: its own values stay
    if not target.has_nan and np.isnan(out).any():
        where = [int(i) for i in np.argwhere(np.isnan(out))[0]]
        raise ValueError(f"matmul: the sum at {where} is NaN, which output {target.name} does not hold; choose another")
    rounded: NDArray[Any] = quantize_array(
        out.astype(np.float64), target, -1, Cast(overflow="overflow" if target.has_nan else "saturate")
    )
    return rounded.astype(np.float32) if target.bits <= 32 else rounded
