"""`matmul(..., group=...)`: operands read, the group run, the result rounded."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from formats.arithmetic.accumulators import Accumulator, Exact, Integer
from formats.arithmetic.groups import lookups, popcount, t_mac
from formats.arithmetic.groups.lookup import LookupTable
from formats.arithmetic.groups.popcount import PopcountPlanes
from formats.arithmetic.groups.segments import GroupJob, check_outer
from formats.arithmetic.groups.shift_add import ShiftAdd
from formats.arithmetic.groups.t_mac import TMac
from formats.arithmetic.groups.weights import block_scales, codes_of, read_weights
from formats.arithmetic.multipliers.base import ExactProduct
from formats.arithmetic.named import named_accumulator, named_multiplier
from formats.arithmetic.operands import Operand, operand
from formats.arithmetic.orders import Order, Sequential
from formats.block import Format, Scaled, Sum, element_of
from formats.cast import Cast
from formats.catalogue import get
from formats.codec import decode_codes
from formats.elements import is_scalar
from formats.encoded import Encoded
from formats.scalar import Scalar

ENTRIES = 2**21  # activations, or outputs, of the rows that are computed together
Group = LookupTable | PopcountPlanes | ShiftAdd | TMac


def grouped_matmul(
    a: Any,
    b: Any,
    c: Any,
    group: Any,
    a_format: Format | str | None,
    b_format: Format | str | None,
    multiplier: Any,
    accumulator: Any,
    order: Order | None,
    scaling: str,
    output: Any,
    quantize: bool | Cast,
) -> NDArray[Any]:
    """What `matmul` returns with a group: its docstring and the group's own say what is made.

    a: [..., M, K] activations, b: [K, N] weights. Scales of b always multiply after the table; those of a do with
    scaling="per_block_then_accumulate" or "after_sum", and are part of its values with "dequantize_first".
    """
    from formats.arithmetic.matmul import SCALINGS, _check_start, _target, finish, starts

    if not isinstance(group, Group):
        raise TypeError(f"matmul: group must be a LookupTable, TMac, PopcountPlanes or ShiftAdd, got {group!r}")
    how = named_accumulator(accumulator)
    if not isinstance(named_multiplier(multiplier), ExactProduct) or not isinstance(order, Sequential | None):
        raise ValueError(f"matmul: {group} has products and an order of its own; leave multiplier and order out")
    if scaling not in SCALINGS[:3]:
        raise ValueError(f"matmul: with a group scaling must be one of {', '.join(SCALINGS[:3])}, got {scaling!r}")
    if isinstance(group, TMac) and (how != Exact() or c is not None):
        raise ValueError("matmul: TMac has accumulators of its own; leave accumulator and c out")
    left = operand(a, a_format, -1, "a", quantize, scaling != "dequantize_first" or isinstance(group, PopcountPlanes))
    if left.values.ndim < 2:
        raise ValueError(f"matmul: a must be [..., M, K], got shape {left.values.shape}")
    job = job_of(left, b, b_format, group, how, scaling, quantize)
    unscaled = job.a_scale is None and not _scaled(job) and not (isinstance(group, LookupTable) and group.table)
    check_outer(how, unscaled)
    target, shape = _target(output), (*left.values.shape[:-1], job.shape[1])
    counts = isinstance(how, Integer)
    start = starts(c, shape, how, counts)
    if isinstance(how, Integer) and start is not None:
        _check_start(start, how, 0)
    start = None if start is None else start.astype(np.float64)
    job = replace(job, c=None if start is None else start.reshape(job.shape))
    sums = (job.c if job.c is not None else np.zeros(job.shape)) if job.terms == 0 else _run(group, job)
    if isinstance(how, Integer):
        return _register(sums, how).reshape(shape)
    return finish(sums.reshape(shape), how, target)


def job_of(
    left: Operand, b: Any, b_format: Any, group: Group, how: Accumulator, scaling: str, quantize: bool | Cast
) -> GroupJob:
    """Both operands as the group sees them."""
    states: Any = "signs"
    if isinstance(group, LookupTable):
        states = group.states
    if isinstance(group, PopcountPlanes):
        states = "bits" if group.operation == "and" else "signs"
    values, scalar, scales, size = np.asarray(left.values, np.float64), left.scalar, None, 1
    if left.encoded is not None and (scaling != "dequantize_first" or isinstance(group, PopcountPlanes)):
        values, scalar, scales, size = _elements(left)
    if isinstance(group, PopcountPlanes):
        described = b.format if isinstance(b, Encoded) else get(b_format) if b_format is not None else None
        if isinstance(described, Sum):
            raise ValueError(f"matmul: PopcountPlanes takes integers on both sides, b_format is {described.name}")
        if described is not None:
            group.check(scalar, element_of(described))
    weights = read_weights(b, b_format, quantize, states)
    if isinstance(group, PopcountPlanes) and weights.zero is not None:
        raise ValueError("matmul: PopcountPlanes has no zero points; use a LookupTable, or symmetric weights")
    if isinstance(group, ShiftAdd):
        weights = group.weights(weights)
    if values.shape[-1] != weights.shape[0]:
        raise ValueError(f"matmul: a must be [..., M, K] and b [K, N], got {values.shape} and {weights.shape}")
    rows = values.reshape(prod(values.shape[:-1]), values.shape[-1])
    if not np.isfinite(rows).all():
        raise ValueError("matmul: a holds infinity or NaN, of which tables and bit planes have no sums")
    if scaling == "after_sum" and (weights.size < weights.shape[0] or (scales is not None and size < weights.shape[0])):
        raise ValueError(
            f"matmul: scaling='after_sum' needs scales that do not change along K = {weights.shape[0]}; "
            "use 'per_block_then_accumulate'"
        )
    return GroupJob(rows, scalar, scales, size, weights, how, None)


def _elements(x: Operand) -> tuple[NDArray[np.float64], Scalar, NDArray[np.float64], int]:
    """A block-scaled operand's elements, their format, scales [S, rows] and K per scale."""
    fmt, encoded = x.description, x.encoded
    assert isinstance(fmt, Scaled)
    assert encoded is not None
    if not is_scalar(fmt.element) or fmt.offset is not None or fmt.shift is not None or fmt.negative is not None:
        raise ValueError(
            f"matmul: a_format {fmt.name} is more than elements times scales; use scaling='dequantize_first'"
        )
    if len(encoded.shape) != 2:
        raise ValueError(f"matmul: with a group a block-scaled a must be [M, K], got {encoded.shape}")
    scales, size = block_scales(encoded, np.asarray(encoded.scales, np.float64), "a")
    return np.asarray(decode_codes(fmt.element, codes_of(encoded), np.float64)), fmt.element, scales, size


def _scaled(job: GroupJob) -> bool:
    """Whether the weights have scales or zero points beyond those of their planes' reading."""
    return any((scale != scale.reshape(-1)[:1]).any() or abs(float(scale.reshape(-1)[0])) not in (0.5, 1.0)
               for scale in job.weights.scales if scale.size)  # fmt: skip


def _run(group: Group, job: GroupJob) -> NDArray[np.float64]:
    """All rows, as many at a time as keeps tables and sums small."""
    most = max(64, ENTRIES // max(job.terms, job.shape[1], 1))
    if job.shape[0] <= most:
        return _rows(group, job)
    out = np.empty(job.shape)
    for top in range(0, job.shape[0], most):
        rows = slice(top, top + most)
        a_scale = None if job.a_scale is None else job.a_scale[:, rows]
        c = None if job.c is None else job.c[rows]
        out[rows] = _rows(group, replace(job, a=job.a[rows], a_scale=a_scale, c=c))
    return out


def _rows(group: Group, job: GroupJob) -> NDArray[np.float64]:
    if isinstance(group, LookupTable):
        return lookups.run(group, job)
    if isinstance(group, ShiftAdd):
        return lookups.run(group.table, job)
    return popcount.run(group, job) if isinstance(group, PopcountPlanes) else t_mac.run(group, job)


def _register(sums: NDArray[np.float64], how: Integer) -> NDArray[Any]:
    """Whole sums as the contents of an integer register."""
    from formats.arithmetic.groups.registers import integer_steps

    if (sums != np.trunc(sums)).any() or (np.abs(sums) >= 2.0**53).any():
        raise ValueError(f"matmul: with a group {how} holds whole sums below 2**53; use Exact() or a FloatChain")
    held = integer_steps([sums.astype(np.int64)], how) if how.bits <= 53 else sums.astype(np.int64)
    return held.astype(np.int32) if how.bits <= 32 else held
