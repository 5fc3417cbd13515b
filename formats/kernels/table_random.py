"""Stochastic rounding between the values of a table: the comparison in float64, where that is sure to be right."""

from __future__ import annotations

from typing import Any

import numpy as np

from formats.kernels.jit import kernel

I64 = np.int64


@kernel
def choose(
    x: Any, intervals: Any, draws: Any, n: Any, half_place: Any, value: Any, near: Any, unit: Any, near_code: Any,
    far_code: Any, out: Any, unsure: Any,
) -> Any:  # fmt: skip
    """Write the codes of the elements of x that lie strictly between two values; returns how many it left.

    intervals: the interval of each element; the first and the last lie outside the values.
    draws: 32 random bits an element, of which n are used.  half_place: 1 for b and c, whose thresholds are odd halves.
    Of each interval:  value: its lower end, which belongs to it;  near: its end nearer to zero, NaN where there is no
    choice;  unit: the gap in units of the thresholds, NaN where an end is no float64;  near_code, far_code: what is
    written.  unsure: room for the indices of elements whose comparison needs more than float64.
    """
    left = I64(0)
    all_parts = (I64(1) << (n + half_place)) - half_place
    for i in range(x.size):
        v, at = np.float64(x[i]), intervals[i]
        parts = all_parts - ((I64(draws[i]) >> (I64(32) - n)) << half_place)
        distance, needed = abs(v - near[at]), unit[at] * parts
        # Two roundings on either side, and one more place for good measure; NaN and infinity are never sure.
        sure = abs(distance - needed) > needed * 2.0**-50 + 2.0**-1000
        chosen = far_code[at] if distance > needed else near_code[at]
        choice = (v != value[at]) & (near[at] == near[at])
        out[i] = chosen if choice & sure else out[i]
        unsure[left] = i
        left += I64(choice & (not sure))
    return left
