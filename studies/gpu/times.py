"""Quantise-dequantise against copies of the same bytes in the same run."""

from __future__ import annotations

import time
from typing import Any

import torch
from torch._inductor import metrics

from formats import torch_ops
from formats.cast import DEFAULT, Cast
from studies.gpu.clock import seconds_of
from studies.gpu.equality import BOOK, guarded

ZERO = Cast(nan="zero")
LINES: tuple[tuple[str, Any, Cast, float | None], ...] = (
    ("e4m3fn", "e4m3fn", DEFAULT, None),
    ("e4m3fn overflow", "e4m3fn", Cast(overflow="overflow"), None),
    ("e4m3fn toward_zero", "e4m3fn", Cast(rounding="toward_zero"), None),
    ("e4m3fn up", "e4m3fn", Cast(rounding="up"), None),
    ("e4m3fn stochastic_a", "e4m3fn", Cast(rounding="stochastic_a"), None),
    ("e4m3fn stochastic_b", "e4m3fn", Cast(rounding="stochastic_b"), None),
    ("e5m2", "e5m2", DEFAULT, None),
    ("e4m3fnuz", "e4m3fnuz", DEFAULT, None),
    ("e2m1fn", "e2m1fn", ZERO, None),
    ("e3m0:none", "e3m0:none", ZERO, None),
    ("e8m0fnu", "e8m0fnu", DEFAULT, None),
    ("bfloat16", "bfloat16", DEFAULT, None),
    ("float16", "float16", DEFAULT, None),
    ("tf32", "tf32", DEFAULT, None),
    ("int8", "int8", ZERO, None),
    ("uint4", "uint4", ZERO, None),
    ("nf4", "nf4", ZERO, None),
    ("codebook of 256", BOOK, ZERO, None),
    ("posit8es2", "posit8es2", ZERO, None),
    ("posit16es1", "posit16es1", ZERO, None),
    ("mxfp4", "mxfp4", DEFAULT, None),
    ("mxfp8_e4m3", "mxfp8_e4m3", DEFAULT, None),
    ("mxfp8_e5m2", "mxfp8_e5m2", DEFAULT, None),
    ("mxfp6_e3m2", "mxfp6_e3m2", DEFAULT, None),
    ("mxfp6_e2m3", "mxfp6_e2m3", DEFAULT, None),
    ("mxint8", "mxint8", DEFAULT, None),
    ("mxfp4 rceil", "mxfp4:rule=rceil", DEFAULT, None),
    ("mxfp8_e4m3 ceil", "mxfp8_e4m3:rule=ceil", DEFAULT, None),
    ("mxfp6_e2m3 even", "mxfp6_e2m3:rule=even", DEFAULT, None),
    ("nvfp4, tensor scale given", "nvfp4", ZERO, 8.0),
    ("nvfp4, tensor scale derived", "nvfp4", ZERO, None),
    ("int4:g32", "int4:g32", ZERO, None),
    ("uint4:g32:asym", "uint4:g32:asym", ZERO, None),
    ("nf4:b64", "nf4:b64", ZERO, None),
    ("int8:channel", "int8:channel", ZERO, None),
)
QUICK = ("e4m3fn", "e8m0fnu", "codebook of 256", "mxfp8_e4m3", "nvfp4, tensor scale derived")


def copies(x: torch.Tensor, y: torch.Tensor, device: str, repeats: int) -> dict[str, Any]:
    """Bandwidth of several copies, in GB/s of bytes read and written."""
    size = 2 * x.numel() * x.element_size()
    found: dict[str, Any] = {"torch copy_": lambda: y.copy_(x)}
    if device == "cuda":
        from studies.gpu.kernels import copy

        for block in (1024, 4096, 16384):
            found[f"triton copy {block}"] = lambda b=block: copy(x, y, b)
        negate = torch.compile(lambda t: (t.view(torch.int32) ^ -(2**31)).view(torch.float32), dynamic=False)
        found["compiled sign flip"] = lambda: negate(x)
    rows = {}
    for name, call in found.items():
        rows[name] = guarded({}, lambda c=call: _rate(c, size, device, repeats))
    return rows


def _rate(call: Any, size: int, device: str, repeats: int) -> dict[str, float]:
    seconds = seconds_of(call, device, repeats)
    return {"gb_per_s": round(size / seconds["median"] / 1e9, 1), "ms": round(seconds["median"] * 1e3, 4)}


def run(device: str, elements: int, quick: bool, deadline: float) -> dict[str, Any]:
    """All lines, compiled, between two rounds of copies."""
    repeats = 3 if quick else 20
    x = torch.randn(elements // 4096, 4096, device=device)
    y = torch.empty_like(x)
    out: dict[str, Any] = {"elements": x.numel(), "copies": copies(x, y, device, repeats), "lines": {}}
    del y
    size = 8 * x.numel()
    for name, fmt, cast, amax in LINES:
        if quick and name not in QUICK:
            continue
        if time.monotonic() > deadline:
            out["stopped"] = f"out of time before {name}"
            break
        out["lines"][name] = guarded({}, lambda f=fmt, c=cast, a=amax: _line(x, f, c, a, device, repeats, size))
    out["copies again"] = copies(x, torch.empty_like(x), device, repeats)
    return out


def _line(
    x: torch.Tensor, fmt: Any, cast: Cast, amax: float | None, device: str, repeats: int, size: int
) -> dict[str, Any]:
    torch._dynamo.reset()
    metrics.reset()
    start = time.monotonic()
    given = None if amax is None else torch.tensor(amax, device=device)
    compiled = torch.compile(
        lambda t, g=given: torch_ops.quantize(t, fmt, -1, cast, False, g), fullgraph=True, dynamic=False
    )
    got = compiled(x)
    spent, kernels = time.monotonic() - start, metrics.generated_kernel_count
    part = x[: min(x.shape[0], 4096)]
    want = torch_ops.quantize(part, fmt, -1, cast, False, given)
    whole = isinstance(fmt, str) and fmt == "nvfp4" and amax is None  # its scale comes from all of x
    differ = -1 if whole else int((got[: part.shape[0]].view(torch.int32) != want.view(torch.int32)).sum())
    del got, want
    row: dict[str, Any] = _rate(lambda: compiled(x), size, device, repeats)
    return {**row, "differs_from_eager": differ, "kernels": kernels, "compile_s": round(spent, 1)}
