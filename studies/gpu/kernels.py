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


@triton.jit
def bisect_kernel(x, y, keys, values, n, STEPS: tl.constexpr, BLOCK: tl.constexpr):
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    w = tl.load(x + at, mask=at < n, other=0)
    key = w ^ ((w >> 31) & 0x7FFFFFFF)
    node = tl.full([BLOCK], 1, tl.int32)
    for _ in tl.static_range(STEPS):
        node = 2 * node + (key > tl.load(keys + node)).to(tl.int32)
    out = tl.load(values + (node - (1 << STEPS)))
    out = tl.where((w & 0x7FFFFFFF) > 0x7F800000, 0, out)
    tl.store(y + at, out, mask=at < n)


def bisect(w: Any, y: Any, keys: Any, values: Any, steps: int, block: int = 1024, warps: int = 4) -> None:
    """Table values by bisection in a tree of 2**steps - 1 keys laid out level by level, keys[1] its root."""
    bisect_kernel[(triton.cdiv(w.numel(), block),)](
        w, y, keys, values, w.numel(), STEPS=steps, BLOCK=block, num_warps=warps
    )


@triton.jit
def mx_kernel(x, y, rows, M: tl.constexpr, FIRST: tl.constexpr, TOP: tl.constexpr, EMAX: tl.constexpr, R: tl.constexpr):
    row = tl.program_id(0).to(tl.int64) * R + tl.arange(0, R)
    at = row[:, None] * 32 + tl.arange(0, 32)[None, :]
    w = tl.load(x + at, mask=row[:, None] < rows, other=0)
    u = w & 0x7FFFFFFF
    amax = tl.max(u, axis=1)
    code = tl.maximum((amax >> 23) - EMAX, 0)
    moved = (code - 127)[:, None]
    field = u >> 23
    significand = (u & 0x7FFFFF) | 0x800000
    shift = tl.minimum(tl.maximum(moved + FIRST + 23 - M - field, 23 - M), 25)
    half = tl.full([R, 32], 1, tl.int32) << (shift - 1)
    steps = (significand + half - 1 + ((significand >> shift) & 1)) & -(half + half)
    r = tl.where(steps == 0, 0, u - significand + steps)
    r = tl.minimum(r, TOP + (moved << 23))
    out = tl.where(amax[:, None] >= 0x7F800000, 0x7FC00000, r | (w & -2147483648))
    tl.store(y + at, out, mask=row[:, None] < rows)


def mx(w: Any, y: Any, m: int, first: int, top: int, emax: int, rows_a_program: int = 64, warps: int = 4) -> None:
    """Quantise rows of 32 under rule floor; only for scales that keep every step a normal float32 (to be timed)."""
    rows = w.numel() // 32
    mx_kernel[(triton.cdiv(rows, rows_a_program),)](
        w, y, rows, M=m, FIRST=first, TOP=top, EMAX=emax, R=rows_a_program, num_warps=warps
    )
