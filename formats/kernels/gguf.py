"""ggml's choice of E2M1 codes: the smallest float32 error, the first of equals."""

from __future__ import annotations

from typing import Any

import numpy as np

from formats.kernels.jit import kernel

F32 = np.float32


@kernel
def nearest_e2m1(x: Any, step: Any, doubled: Any, codes: Any) -> None:
    """codes[b, i] = the first of 16 codes whose doubled value times step[b] is nearest to x[b, i] in float32.

    doubled: the eight magnitudes 0, 1, 2, 3, 4, 6, 8, 12. Errors of a negative number are those of its magnitude, with
    the codes 8 higher; zero is always code 0.
    """
    size = x.shape[1]
    error, code = np.empty(size, np.float32), np.empty(size, np.int32)
    for b in range(x.shape[0]):
        row, out = x[b], codes[b]
        for i in range(size):
            error[i] = abs(row[i])
            code[i] = 0
        for k in range(1, 8):
            value = F32(doubled[k] * step[b])
            for i in range(size):
                e = F32(abs(F32(value - abs(row[i]))))
                nearer = e < error[i]
                error[i] = e if nearer else error[i]
                code[i] = k if nearer else code[i]
        for i in range(size):
            out[i] = code[i] + (8 if row[i] < 0 and code[i] > 0 else 0)
