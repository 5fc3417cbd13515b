"""Five trits in a byte, the first the most significant."""

from __future__ import annotations

from typing import Any

from formats.kernels.jit import kernel


@kernel
def pack_base3(codes: Any, out: Any) -> None:
    """codes: 5 a byte of out, each 0, 1 or 2."""
    for j in range(out.size):
        v = codes[5 * j]
        for k in range(1, 5):
            v = 3 * v + codes[5 * j + k]
        out[j] = v
