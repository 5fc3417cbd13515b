"""Matrix products of torch tensors: CPU tensors through numpy; a GPU's by kernels compiled at first use.

Tensors of float8_e4m3fn, float8_e5m2, float16, bfloat16 and float32 are taken as they are; the first four say their
format themselves where none is named.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import torch

from formats.arithmetic.accumulators import Exact, Integer, start_format
from formats.arithmetic.multipliers.base import ExactProduct
from formats.arithmetic.named import named_accumulator, named_multiplier
from formats.arithmetic.operands import NEAR, as_asked, in_float32, scales_of_scales
from formats.arithmetic.orders import Sequential
from formats.block import Scaled, Sum
from formats.cast import Cast
from formats.catalogue import get
from formats.codec import quantize as quantize_any
from formats.encoded import Encoded
from formats.fixed_point import FixedPoint
from formats.scalar import Scalar

SMALL = {
    torch.float8_e4m3fn: "e4m3fn",
    torch.float8_e5m2: "e5m2",
    torch.float8_e4m3fnuz: "e4m3fnuz",
    torch.float8_e5m2fnuz: "e5m2fnuz",
    torch.float16: "float16",
    torch.bfloat16: "bfloat16",
}
INTEGERS = {torch.int8: "int8", torch.uint8: "uint8"}


def matmul_tensors(a: Any, b: Any, c: Any, **how: Any) -> Any:
    """`matmul` where a, b or c is a tensor. See matmul for the arguments.

    A tensor of their device where a or b is one, else (c alone) a numpy array.
    """
    from formats.arithmetic.matmul import matmul
    from formats.codec_torch import to_numpy

    devices = {x.device for x in (a, b, c) if isinstance(x, torch.Tensor)}
    if len(devices) > 1:
        raise ValueError(f"matmul: a, b and c must be on one device, got {', '.join(sorted(map(str, devices)))}")
    device = devices.pop()
    for name, x in (("a_format", a), ("b_format", b)):
        if how.get(name) is None and isinstance(x, torch.Tensor):
            how[name] = SMALL.get(x.dtype) or INTEGERS.get(x.dtype)
    if device.type == "cuda":
        return _on_cuda(a, b, c, **how)
    if device.type != "cpu":
        raise ValueError(f"matmul: tensors on {device} are not taken; pass CPU or CUDA tensors, or numpy arrays")
    left, right = (to_numpy(_wide(x), "matmul") if isinstance(x, torch.Tensor) else x for x in (a, b))
    start = c
    if isinstance(c, torch.Tensor):
        whole = not (c.is_floating_point() or c.is_complex())
        start = c.numpy() if whole else to_numpy(_wide(c), "matmul")
    result = matmul(left, right, start, **how)
    given = isinstance(a, torch.Tensor) or isinstance(b, torch.Tensor)
    return torch.from_numpy(np.ascontiguousarray(result)) if given else result


def _wide(x: torch.Tensor) -> torch.Tensor:
    """Small floats and integers as float32, which holds their values."""
    return x.float() if x.dtype in SMALL or x.dtype in INTEGERS else x


def _on_cuda(
    a: Any, b: Any, c: Any, *, a_format: Any, b_format: Any, multiplier: Any, accumulator: Any, order: Any,
    scaling: Any, output: Any, quantize: Any, group: Any,
) -> torch.Tensor:  # fmt: skip
    from formats.arithmetic.cuda.products import Operands, sums
    from formats.arithmetic.matmul import _target, check_kinds

    if group is not None:
        raise ValueError(f"matmul: CUDA tensors have no groups, got group={group!r}; pass CPU tensors")
    how, times = named_accumulator(accumulator), named_multiplier(multiplier)
    sequence = Sequential() if order is None else order
    target = _target(output)
    check_kinds(how, sequence, scaling)
    if not isinstance(times, ExactProduct):
        raise ValueError(f"matmul: CUDA tensors are multiplied exactly, got multiplier {times!r}; pass CPU tensors")
    left, fa = _operand(a, a_format, -1, "a", quantize, scaling)
    right, fb = _operand(b, b_format, -2, "b", quantize, scaling)
    if left.ndim < 2 or right.ndim < 2 or left.shape[-1] != right.shape[-2]:
        raise ValueError(
            f"matmul: a must be [..., M, K] and b [..., K, N], got {tuple(left.shape)} and {tuple(right.shape)}"
        )
    try:
        batch = torch.broadcast_shapes(left.shape[:-2], right.shape[:-2])  # type: ignore[no-untyped-call]
    except RuntimeError:
        raise ValueError(
            f"matmul: leading axes must broadcast, got a {tuple(left.shape)} and b {tuple(right.shape)}"
        ) from None
    terms, shape = left.shape[-1], (left.shape[-2], right.shape[-1])
    if isinstance(how, Exact) and how.max_terms is not None and terms > how.max_terms:
        raise ValueError(f"matmul: {how} is a register for {how.max_terms} terms, got K = {terms}; raise max_terms")
    counts = isinstance(how, Integer) and isinstance(fa, FixedPoint) and isinstance(fb, FixedPoint) and how.bits <= 64
    if isinstance(how, Integer) and not counts:
        raise ValueError(
            f"matmul: CUDA tensors take {how} of integers only, got {fa.name} and {fb.name}; pass CPU tensors"
        )
    start = _start(c, (*batch, *shape), how, left.device)
    if terms == 0 or prod(batch) * prod(shape) == 0:
        result = _empty_sums(c, (*batch, *shape), how, counts, left.device)
    else:
        many, some = left.expand(*batch, *left.shape[-2:]), right.expand(*batch, *right.shape[-2:])
        found = []
        for place in np.ndindex(*batch):
            found.append(
                sums(Operands(many[place], some[place], fa, fb), None if start is None else start[place], how, sequence)
            )
        result = found[0].reshape((*batch, *shape)) if len(found) == 1 else torch.stack(found).reshape((*batch, *shape))
    return _finish(result, how, target, counts, fa, fb)


def _empty_sums(c: Any, shape: tuple[int, ...], how: Any, counts: bool, device: torch.device) -> torch.Tensor:
    """c itself, checked and read as for arrays, or zeros."""
    from formats.arithmetic.matmul import _check_start, starts

    start = starts(_wide(c).cpu().numpy() if isinstance(c, torch.Tensor) else c, shape, how, counts)
    if isinstance(how, Integer) and start is not None:
        _check_start(start, how, 0)
    kind: Any = np.int64 if counts else np.float32
    return torch.as_tensor(np.zeros(shape, kind) if start is None else start.astype(kind), device=device)


def _finish(result: torch.Tensor, how: Any, target: Any, counts: bool, fa: Scalar, fb: Scalar) -> torch.Tensor:
    """Round the accumulated values once to the output format."""
    if counts and target is None:
        return result.to(torch.int32) if how.bits <= 32 else result
    if counts:
        if result.numel() and int(result.abs().max()) >= 2**53:
            raise ValueError(
                f"matmul: sums of {how} of 2**53 or more are not rounded on CUDA tensors; leave output out"
            )
        result = torch.ldexp(result.double(), torch.tensor(fa.ulp_exponent + fb.ulp_exponent, device=result.device))
    if target is None or target == get("float32"):
        return result.to(torch.float32)
    rounded = quantize_any(result.double(), target, -1, Cast(overflow="overflow" if target.has_nan else "saturate"))
    return rounded.to(torch.float32) if target.bits <= 32 else rounded  # type: ignore[no-any-return]


def _operand(
    x: Any, fmt: Any, axis: int, name: str, quantise: bool | Cast, scaling: str
) -> tuple[torch.Tensor, Scalar]:
    """The operand's values, in a dtype the kernels read, and the scalar format they are of."""
    if isinstance(x, Encoded) or not isinstance(x, torch.Tensor):
        raise ValueError(f"matmul: {name} must be a tensor on the GPU like the other operand, got {type(x).__name__}")
    if fmt is None:
        raise ValueError(f"matmul: {name} is an array, so {name}_format must name its format")
    description = get(fmt)
    if isinstance(description, Scaled | Sum):
        if scaling != "dequantize_first":
            raise ValueError(
                f"matmul: CUDA tensors take scaling='dequantize_first' only, got {scaling!r}; pass CPU tensors"
            )
        return _checked(x, description, axis, name, quantise), get("float32")  # type: ignore[return-value]
    if not in_float32(description):
        raise ValueError(f"matmul: CUDA tensors take formats within float32, got {description.name}; pass CPU tensors")
    own = SMALL.get(x.dtype) or ("float32" if x.dtype == torch.float32 else None)
    if own is not None and get(own) == description:
        return (x if "uz" not in own else x.float()), description
    if x.dtype in INTEGERS and get(INTEGERS[x.dtype]) == description:
        return x.float(), description
    return _checked(x, description, axis, name, quantise), description


def _checked(x: torch.Tensor, fmt: Any, axis: int, name: str, quantise: bool | Cast) -> torch.Tensor:
    """float32 values of the format: checked, or quantised where that was asked for."""
    cast = quantise if isinstance(quantise, Cast) else Cast(overflow="saturate" if quantise else "saturate_finite")
    if x.dtype not in (torch.float32, torch.float64) and x.dtype not in SMALL and x.dtype not in INTEGERS:
        raise TypeError(
            f"matmul: {name} has dtype {x.dtype}; it takes float8, float16, bfloat16, float32, float64, int8 and uint8"
        )
    wide = _wide(x)
    if quantise is False and not fmt.has_nan if hasattr(fmt, "has_nan") else False:
        cast = Cast(overflow=cast.overflow, nan="zero")  # a NaN then differs from its zero, and is named
    values = quantize_any(wide, fmt, axis, cast)
    if quantise is False:
        changed = (values != wide) & ~(torch.isnan(values) & torch.isnan(wide))
        if bool(changed.any()):
            near = (values - wide).abs() <= NEAR * wide.abs()
            if scales_of_scales(fmt) and bool(near[changed].all()):  # see operands._checked
                return wide.to(torch.float32)
            where = tuple(int(i) for i in torch.nonzero(changed)[0])
            raise ValueError(
                f"matmul: {name}{list(where)} is {float(wide[where])!r}, which {fmt.name} does not hold (the nearest "
                f"is {float(values[where])!r}); {as_asked(fmt, name)}"
            )
    result: torch.Tensor = values.to(torch.float32)
    return result


def _start(c: Any, shape: tuple[int, ...], how: Any, device: torch.device) -> torch.Tensor | None:
    """c as float32 values of the accumulator's format, in the output's shape."""
    if c is None:
        return None
    given = torch.as_tensor(c, device=device)
    if given.is_complex():
        raise TypeError(f"matmul: c must be an array of real numbers, got dtype {given.dtype}")
    wide = given.double()
    try:
        start = wide.broadcast_to(shape)
    except RuntimeError:
        raise ValueError(
            f"matmul: c must have the output's shape {shape}, or broadcast to it; got {tuple(given.shape)}"
        ) from None
    fmt = start_format(how)
    if fmt is not None:
        held = quantize_any(start, fmt, -1, Cast(overflow="overflow"))
        changed = (held != start) & ~torch.isnan(start)
        if bool(changed.any()):
            where = tuple(int(i) for i in torch.nonzero(changed)[0])
            raise ValueError(
                f"matmul: c{list(where)} is {float(start[where])!r}, which the accumulator's format {fmt.name} does "
                f"not hold; round it first, by formats.quantize"
            )
    return start.to(torch.float32) if fmt is not None else start
