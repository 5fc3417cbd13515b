"""What other backends need of the scale rules; the rules themselves are in formats/rules."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from formats.rules.nvfp4 import block_scales, tensor_scales
from formats.rules.powers import E8M0_BIAS, largest_exponent, trailing_bits
from formats.scalar import Scalar

__all__ = ["E8M0_BIAS", "largest_exponent", "te_nvfp4_scales", "trailing_bits"]


def te_nvfp4_scales(
    amax: NDArray[np.float32], amax_tensor: np.float32, block_format: Scalar, element: Scalar
) -> tuple[NDArray[Any], np.float32, NDArray[np.float32]]:
    """(block scale codes, tensor scale, what elements are multiplied by) for the amax of each block and of all."""
    tensor = tensor_scales(float(amax_tensor), block_format, element)
    codes, factors = block_scales(amax, tensor, block_format)
    return codes, tensor.tensor_scale, factors
