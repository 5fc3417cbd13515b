"""What no scale can be found for is refused by one message, whichever rule meets it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from formats.block import Scaled
from formats.called import called
from formats.cast import Cast

FLT_MAX = np.finfo(np.float32).max


def settled(blocks: NDArray[Any], fmt: Scaled, cast: Cast) -> NDArray[Any]:
    """The blocks with NaN read as zero. Raises ValueError for NaN under nan="raise", then for infinities."""
    if np.isnan(blocks).any():
        if cast.nan == "raise":
            raise ValueError(
                f"encode: x holds NaN, and rule {fmt.rule!r} of {called(fmt)} cannot scale a block by it; "
                "pass cast=Cast(nan='zero'), or remove the NaN"
            )
        blocks = np.where(np.isnan(blocks), blocks.dtype.type(0), blocks)
    if np.isinf(blocks).any():
        raise ValueError(
            f"encode: x holds an infinity, and rule {fmt.rule!r} of {called(fmt)} has no finite scale for it; "
            "clip x first"
        )
    return blocks


def check_float32(amax: Any, fmt: Scaled) -> None:
    """Refuse a finite magnitude beyond float32's, for a rule that computes in float32."""
    if np.isfinite(amax) and float(amax) > float(FLT_MAX):
        raise ValueError(
            f"encode: x reaches {amax:g}, and {called(fmt)} is computed in float32, up to 3.40282e+38; scale x first"
        )
