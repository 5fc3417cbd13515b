"""Triton kernels of this study: a copy to measure against, and conversions by the hardware's own instructions.

Imported only where Triton is installed.
"""

# mypy: ignore-errors
from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl


@triton.jit
def copy_kernel(x, y, n, BLOCK: tl.constexpr):
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    tl.store(y + at, tl.load(x + at, mask=at < n), mask=at < n)


def copy(x: Any, y: Any, block: int = 4096) -> None:
    """y = x, one program a block."""
    copy_kernel[(triton.cdiv(x.numel(), block),)](x, y, x.numel(), BLOCK=block, num_warps=8)


@triton.jit
def e4m3_kernel(x, y, n, BLOCK: tl.constexpr):
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    v = tl.load(x + at, mask=at < n, other=0)
    code = tl.inline_asm_elementwise(
        "{ .reg .b16 p; cvt.rn.satfinite.e4m3x2.f32 p, 0f00000000, $1; cvt.u32.u16 $0, p; }",
        "=r,r", [v], dtype=tl.int32, is_pure=True, pack=1,
    )  # fmt: skip
    tl.store(y + at, (code & 0xFF).to(tl.uint8), mask=at < n)


@triton.jit
def e5m2_kernel(x, y, n, BLOCK: tl.constexpr):
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    v = tl.load(x + at, mask=at < n, other=0)
    code = tl.inline_asm_elementwise(
        "{ .reg .b16 p; cvt.rn.satfinite.e5m2x2.f32 p, 0f00000000, $1; cvt.u32.u16 $0, p; }",
        "=r,r", [v], dtype=tl.int32, is_pure=True, pack=1,
    )  # fmt: skip
    tl.store(y + at, (code & 0xFF).to(tl.uint8), mask=at < n)


def hardware(bits: Any, kind: str) -> Any:
    """Codes of float32 bits (int32) by the cvt instruction; kind: "e4m3" or "e5m2"."""
    codes = torch.empty(bits.shape, dtype=torch.uint8, device=bits.device)
    kernel = {"e4m3": e4m3_kernel, "e5m2": e5m2_kernel}[kind]
    kernel[(triton.cdiv(bits.numel(), 1024),)](bits.view(torch.float32), codes, bits.numel(), BLOCK=1024)
    return codes
