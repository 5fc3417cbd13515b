"""Quantise-dequantise against copies of the same bytes in the same run."""

from __future__ import annotations

import time
from typing import Any

import torch

import formats as nf
from formats import torch_ops
from formats.cast import DEFAULT, Cast
from studies.gpu.clock import seconds_of
from studies.gpu.equality import BOOK, guarded
from studies.gpu.variants import by_addition, by_tree, by_upper_half, mx_by_products, tree_tables

ZERO = Cast(nan="zero")
LINES: tuple[tuple[str, Any, Cast, float | None], ...] = (
    ("e4m3fn", "e4m3fn", DEFAULT, None),
    ("e4m3fn overflow", "e4m3fn", Cast(overflow="overflow"), None),
    ("e4m3fn toward_zero", "e4m3fn", Cast(rounding="toward_zero"), None),
    ("e4m3fn up", "e4m3fn", Cast(rounding="up"), None),
    ("e4m3fn stochastic_a", "e4m3fn", Cast(rounding="stochastic_a"), None),
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
    ("mxfp4", "mxfp4", DEFAULT, None),
    ("mxfp8_e4m3", "mxfp8_e4m3", DEFAULT, None),
    ("mxfp8_e5m2", "mxfp8_e5m2", DEFAULT, None),
    ("mxfp6_e2m3", "mxfp6_e2m3", DEFAULT, None),
    ("mxint8", "mxint8", DEFAULT, None),
    ("mxfp4 rceil", "mxfp4:rule=rceil", DEFAULT, None),
    ("nvfp4, tensor scale given", "nvfp4", ZERO, 8.0),
    ("nvfp4, tensor scale derived", "nvfp4", ZERO, None),
    ("int4:g32", "int4:g32", ZERO, None),
    ("uint4:g32:asym", "uint4:g32:asym", ZERO, None),
    ("nf4:b64", "nf4:b64", ZERO, None),
    ("int8:channel", "int8:channel", ZERO, None),
)
FIRST = (0, 6, 16, 18, 23)  # the lines of a quick run


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
    """All lines: compiled, and the variants."""
    repeats = 3 if quick else 20
    x = torch.randn(elements // 4096, 4096, device=device)
    y = torch.empty_like(x)
    out: dict[str, Any] = {"elements": x.numel(), "copies": copies(x, y, device, repeats), "lines": {}, "variants": {}}
    del y
    size = 8 * x.numel()
    lines = [LINES[i] for i in FIRST] if quick else LINES
    for name, fmt, cast, amax in lines:
        if time.monotonic() > deadline:
            out["stopped"] = f"out of time before {name}"
            break
        out["lines"][name] = guarded({}, lambda f=fmt, c=cast, a=amax: _line(x, f, c, a, device, repeats, size))
    for name, variant in variants(x, device, quick).items():
        if time.monotonic() > deadline:
            break
        out["variants"][name] = guarded({}, lambda v=variant: _variant(x, v, device, repeats, size))
    out["copies again"] = copies(x, torch.empty_like(x), device, repeats)
    return out


def _line(
    x: torch.Tensor, fmt: Any, cast: Cast, amax: float | None, device: str, repeats: int, size: int
) -> dict[str, Any]:
    torch._dynamo.reset()
    start = time.monotonic()
    given = None if amax is None else torch.tensor(amax, device=device)
    compiled = torch.compile(
        lambda t, g=given: torch_ops.quantize(t, fmt, -1, cast, False, g), fullgraph=True, dynamic=False
    )
    got = compiled(x)
    spent = time.monotonic() - start
    part = x[: min(x.shape[0], 4096)]
    want = torch_ops.quantize(part, fmt, -1, cast, False, given)
    whole = isinstance(fmt, str) and fmt == "nvfp4" and amax is None  # its scale comes from all of x
    differ = -1 if whole else int((got[: part.shape[0]].view(torch.int32) != want.view(torch.int32)).sum())
    del got, want
    row: dict[str, Any] = _rate(lambda: compiled(x), size, device, repeats)
    return {**row, "differs_from_eager": differ, "compile_s": round(spent, 1)}


def variants(x: torch.Tensor, device: str, quick: bool) -> dict[str, Any]:
    """Functions of x to be timed, each with what it should equal."""
    e4m3, nf4, mx = nf.get("e4m3fn"), nf.get("nf4"), nf.get("mxfp8_e4m3")
    found: dict[str, Any] = {
        "e4m3fn by addition": (torch.compile(by_addition(e4m3), dynamic=False), e4m3, DEFAULT),
        "mxfp8_e4m3 by products": (torch.compile(mx_by_products(nf.element_of(mx), 8), dynamic=False), mx, DEFAULT),
    }
    if quick:
        return found
    found |= {
        "nf4 by tree": (torch.compile(by_tree(nf4, ZERO, device), dynamic=False), nf4, ZERO),
        "256 by tree": (torch.compile(by_tree(BOOK, ZERO, device), dynamic=False), BOOK, ZERO),
        "256 by upper half": (torch.compile(by_upper_half(BOOK, ZERO, device), dynamic=False), BOOK, ZERO),
    }
    if device == "cuda":
        found |= _triton_variants(x, device)
    return found


def _triton_variants(x: torch.Tensor, device: str) -> dict[str, Any]:
    from studies.gpu import kernels

    mx: Any = nf.get("mxfp8_e4m3")
    top = 0x43E00000  # 448
    found: dict[str, Any] = {}
    for rows, warps in ((16, 1), (32, 2), (64, 4), (128, 4), (128, 8)):

        def one(t: torch.Tensor, r: int = rows, n: int = warps) -> torch.Tensor:
            y = torch.empty_like(t)
            kernels.mx(t.view(torch.int32), y.view(torch.int32), 3, 121, top, 8, r, n)
            return y

        found[f"triton mxfp8_e4m3 {rows} rows {warps} warps"] = (one, mx, DEFAULT)
    for fmt in (BOOK, nf.get("nf4")):
        keys, values, steps = tree_tables(fmt, ZERO, device)
        for block, warps in ((512, 4), (1024, 4), (1024, 8), (2048, 8)):

            def two(t: torch.Tensor, a: Any = (keys, values, steps, block, warps)) -> torch.Tensor:
                y = torch.empty_like(t)
                kernels.bisect(t.view(torch.int32), y.view(torch.int32), *a)
                return y

            found[f"triton tree {len(values)} block {block} warps {warps}"] = (two, fmt, ZERO)
    return found


def _variant(x: torch.Tensor, variant: Any, device: str, repeats: int, size: int) -> dict[str, Any]:
    call, fmt, cast = variant
    got = call(x)
    part = x[: min(x.shape[0], 4096)]
    want = torch_ops.quantize(part, fmt, -1, cast)
    differ = int((got[: part.shape[0]].view(torch.int32) != want.view(torch.int32)).sum())
    del got, want
    return {**_rate(lambda: call(x), size, device, repeats), "differs": differ}
