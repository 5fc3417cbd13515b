"""What every recipe needs: clean float32 blocks, and their largest magnitudes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from formats.block import Scaled
from formats.called import called
from formats.cast import Cast
from formats.elements import is_scalar
from formats.rules.finite import check_float32, settled
from formats.rules.recipe import Whole
from formats.scalar import Scalar


def float32_blocks(blocks: NDArray[Any], fmt: Scaled, cast: Cast) -> NDArray[np.float32]:
    """The blocks as float32, NaN read as zero; refuses NaN under nan="raise", infinities, and what float32 cannot hold.

    float64 input is rounded to float32 first: published recipes are defined on it.
    """
    blocks = settled(blocks, fmt, cast)
    if blocks.size:
        check_float32(np.abs(blocks).max(), fmt)
    return blocks.astype(np.float32, copy=False)


def magnitudes(blocks: NDArray[np.float32]) -> NDArray[np.float32]:
    """Largest magnitude of each block."""
    largest: NDArray[np.float32] = np.abs(blocks).max(axis=1, initial=np.float32(0))
    return largest


def finite_blocks(blocks: NDArray[Any], fmt: Scaled, cast: Cast) -> NDArray[Any]:
    """The blocks with NaN read as zero; refuses NaN under nan="raise", and infinities. float64 stays float64."""
    finite = np.isfinite(blocks)
    if finite.all():
        return blocks
    float32_blocks(np.where(finite, 0, blocks).astype(np.float32), fmt, cast)  # raises what there is to raise
    return np.where(finite, blocks, blocks.dtype.type(0))


def tensor_amax(whole: Whole) -> np.float32:
    """The largest magnitude of an array for a recipe that computes in float32; 0 for an array of zeros.

    1 where it is infinite: that is refused with its block, after any NaN.
    """
    amax = whole.amax()
    check_float32(amax, whole.format)
    return np.float32(amax if np.isfinite(amax) else 1.0)


def scalar_element(fmt: Scaled) -> Scalar:
    """The element. Raises ValueError for one that is no scalar."""
    if not is_scalar(fmt.element):
        raise ValueError(f"encode: rule {fmt.rule!r} takes one scalar element, got {called(fmt.element)}")
    return fmt.element
