"""The hardware's conversions over all 2**32 float32 inputs as run-length codes, and ours beside them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import formats as nf
from formats import torch_ops

Codes = Callable[[torch.Tensor], torch.Tensor]
FLOAT8 = {
    "e4m3fn": torch.float8_e4m3fn,
    "e5m2": torch.float8_e5m2,
    "e4m3fnuz": torch.float8_e4m3fnuz,
    "e5m2fnuz": torch.float8_e5m2fnuz,
}


def ours(name: str, overflow: str) -> Codes:
    """Our codes of float32 bits, eager."""
    cast = nf.Cast(overflow=overflow)  # type: ignore[arg-type]
    return lambda w: torch_ops.encode_codes(name, w.view(torch.float32), cast)


def torchs(name: str) -> Codes:
    """torch's conversion."""
    return lambda w: w.view(torch.float32).to(FLOAT8[name]).view(torch.uint8)


def hardwares(kind: str) -> Codes:
    """The cvt.rn.satfinite instruction's."""
    from studies.gpu.kernels import hardware

    return lambda w: hardware(w, kind)


def sources(device: str) -> dict[str, Codes]:
    """What is measured, by its key."""
    found = {f"torch_{name}": torchs(name) for name in FLOAT8}
    if device == "cuda":
        found |= {f"cvt_satfinite_{kind}": hardwares(kind) for kind in ("e4m3", "e5m2")}
    for name in FLOAT8:
        found |= {f"ours_{name}_overflow": ours(name, "overflow"), f"ours_{name}_saturate": ours(name, "saturate")}
    return found


# Pairs that should differ on NaN inputs alone: the hardware writes one NaN, 0x7F; torch and we keep the sign.
PAIRS = (
    ("cvt_satfinite_e4m3", "ours_e4m3fn_saturate"),
    ("cvt_satfinite_e5m2", "ours_e5m2_saturate"),
    *((f"torch_{name}", f"ours_{name}_overflow") for name in FLOAT8),
)


def sweep(device: str, bits: int, piece: int, deadline: float) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Codes of all floats (of 2**bits evenly spaced ones): a report of differences, and run-length tables.

    Tables: start_<key> the first input of each run as its bits (uint32), code_<key> the code (uint8).
    """
    report: dict[str, Any] = {"inputs": 2**bits, "pairs": {}, "errors": {}}
    starts: dict[str, list[NDArray[Any]]] = {}
    codes: dict[str, list[NDArray[Any]]] = {}
    found = sources(device)
    last: dict[str, int] = {}
    count, step = 1 << min(piece, bits), 1 << (32 - bits)
    for begin in range(0, 1 << bits, count):
        if time.monotonic() > deadline:
            report["stopped"] = f"out of time at {begin}"
            break
        index = torch.arange(begin, begin + count, dtype=torch.int64, device=device) * step
        w = index.to(torch.int32)
        made: dict[str, torch.Tensor] = {}
        for key, function in list(found.items()):
            try:
                made[key] = function(w)
            except Exception as error:
                report["errors"][key] = f"{type(error).__name__}: {error}"[:400]
                del found[key]
        for key, got in made.items():
            changes = torch.nonzero(got[1:] != got[:-1]).reshape(-1) + 1
            first = int(got[0])
            if last.get(key) != first:
                changes = torch.cat([torch.zeros_like(changes[:1]) if changes.numel() else index[:1] * 0, changes])
            starts.setdefault(key, []).append(index[changes].cpu().numpy().astype(np.uint32))
            codes.setdefault(key, []).append(got[changes].cpu().numpy())
            last[key] = int(got[-1])
        nan = (w & 0x7FFFFFFF) > 0x7F800000
        for left, right in PAIRS:
            if left in made and right in made:
                differ = made[left] != made[right]
                row = report["pairs"].setdefault(f"{left} / {right}", {"numbers": 0, "nans": 0})
                row["numbers"] += int((differ & ~nan).sum())
                row["nans"] += int((differ & nan).sum())
    tables: dict[str, NDArray[Any]] = {}
    for key in starts:
        if not key.startswith("ours"):
            tables[f"start_{key}"] = np.concatenate(starts[key])
            tables[f"code_{key}"] = np.concatenate(codes[key])
    report["runs"] = {key: int(sum(map(len, parts))) for key, parts in starts.items()}
    return report, tables
