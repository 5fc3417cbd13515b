"""Times on a GPU (or, to test the script, on a CPU): medians of single launches, as bandwidth of the bytes named."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch


def seconds_of(call: Callable[[], Any], device: str, repeats: int = 20, warmup: int = 3) -> dict[str, float]:
    """Median, least and largest time of one call, in seconds, by device events where there are any."""
    for _ in range(warmup):
        call()
    times = _events(call, repeats) if device == "cuda" else _wall(call, repeats)
    return {"median": statistics.median(times), "least": min(times), "largest": max(times)}


def _events(call: Callable[[], Any], repeats: int) -> list[float]:
    event: Any = torch.cuda.Event
    pairs = [(event(enable_timing=True), event(enable_timing=True)) for _ in range(repeats)]
    torch.cuda.synchronize()
    for start, end in pairs:
        start.record()
        call()
        end.record()
    torch.cuda.synchronize()
    return [start.elapsed_time(end) / 1e3 for start, end in pairs]


def _wall(call: Callable[[], Any], repeats: int) -> list[float]:
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return times
