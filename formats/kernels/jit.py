"""One place for the compiler's options."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba


def kernel(function: Callable[..., Any]) -> Any:
    """Compile for one thread without bounds checks, keep the machine code on disk, release the GIL while running.

    No fast-math: rounding tricks below rely on IEEE addition being left alone.
    """
    return numba.njit(error_model="numpy", boundscheck=False, nogil=True, cache=True)(function)
