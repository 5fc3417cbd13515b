"""How products are summed fast: one file a kind of accumulator or multiplier, and `generic`, which takes every pair.

An engine looks at a job and returns its result, or None where it does not take it; `run` asks them in turn.
"""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from formats.arithmetic.job import Job

ENGINES = ("serial", "unordered", "exact", "registers", "chains", "lmul", "tables", "aligned", "generic")


def run(job: Job) -> NDArray[Any]:
    """The sums of a job: float64 values (exact sums rounded to odd), float32 values, or int64 register contents."""
    from importlib import import_module

    from formats.arithmetic.engines.exact import check_float64

    check_float64(job)
    for name in ENGINES if job.scales is None else ("serial", "generic"):
        out = import_module(f"formats.arithmetic.engines.{name}").run(job)
        if out is not None:
            result: NDArray[Any] = out
            return result
    raise AssertionError("the generic engine takes every job")
