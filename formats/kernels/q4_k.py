"""Lines fitted to sub-blocks of Q4_K: formats/recipes/q4_k.py has the same as array operations, and the reasons."""

from __future__ import annotations

import math
from typing import Any

from formats.kernels.jit import kernel


@kernel
def fit_lines(x: Any, steps: Any, top: Any, scale: Any, lowering: Any, weight: Any) -> None:
    """scale[b], lowering[b] >= 0 of each float64 row x[b]. weight: room for one row."""
    size = x.shape[1]
    for b in range(x.shape[0]):
        row = x[b]
        low, high, squares = min(row[0], 0.0), row[0], 0.0
        for i in range(size):
            low, high = min(low, row[i]), max(high, row[i])
            squares += row[i] * row[i]
        extent = high - low
        scale[b], lowering[b] = 0.0, -low
        if extent <= 0:
            continue
        typical = math.sqrt(squares / size)
        w, wx = 0.0, 0.0
        for i in range(size):
            weight[i] = typical + abs(row[i])
            w += weight[i]
            wx += weight[i] * row[i]
        best = math.inf
        for number in range(steps.size):
            inverse = steps[number] / extent
            slope, below = 1 / inverse, low
            if number > 0:
                wq, wqq, wqx = 0.0, 0.0, 0.0
                for i in range(size):
                    q = min(max(round(inverse * (row[i] - low)), 0.0), top)
                    wq += weight[i] * q
                    wqq += weight[i] * q * q
                    wqx += weight[i] * q * row[i]
                determinant = w * wqq - wq * wq
                if not determinant > 0:
                    continue
                slope, below = (w * wqx - wq * wx) / determinant, (wqq * wx - wq * wqx) / determinant
                if below > 0:
                    slope, below = wqx / wqq, 0.0
            error = 0.0
            for i in range(size):
                q = min(max(round(inverse * (row[i] - low)), 0.0), top)
                difference = slope * q + below - row[i]
                error += weight[i] * (difference * difference)
            if error < best and slope >= 0:
                best = error
                scale[b], lowering[b] = slope, -below
