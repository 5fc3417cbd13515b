"""Which elements a cast cut off at the ends of the range: there a straight-through gradient stops."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from formats.block import Scaled
from formats.block_codec import grid_of, quotients, scale_values, with_offset
from formats.blocking import from_stored, plan_cut, stored_order, to_blocks
from formats.cast import DEFAULT, Cast
from formats.decisions import range_cuts
from formats.encoded import Encoded
from formats.fixed_point import FixedPoint
from formats.plans import FLOAT64, last_float
from formats.scalar import Scalar
from formats.scalar_codec import decode_codes
from formats.scale_rules import te_nvfp4_factors


def saturated(x: NDArray[Any], encoded: Encoded, cast: Cast = DEFAULT) -> NDArray[np.bool_]:
    """Where x, rounded with unbounded exponent, is beyond the largest or smallest value it could have been written as.

    x: the float32 or float64 array that `encoded` was made of under `cast`; its shape is returned. In block formats x
    is first divided by its block's scale, as the encoder did. What rounds back into range (448.1 in e4m3fn) is not
    saturated, an infinity is, NaN is not. A codebook ends at its last entries.
    """
    fmt = encoded.format
    if not isinstance(fmt, Scaled):
        return _beyond(x.astype(np.float64), fmt, cast)
    cut = plan_cut(encoded.shape, fmt.block, encoded.axis, True)
    blocks = to_blocks(x, cut)
    scale = scale_values(fmt, encoded.planes, grid_of(encoded)).reshape(-1)
    if fmt.offset is not None:
        out = _beyond_with_offset(quotients(blocks, scale), fmt, encoded, cast)
    elif fmt.rule == "te_nvfp4":
        out = _beyond(_as_transformer_engine(blocks, encoded), fmt.element, cast)
    else:
        out = _beyond(quotients(blocks, scale), fmt.element, cast)
    return np.ascontiguousarray(from_stored(stored_order(out, cut), cut)).reshape(cut.shape)


@cache
def _ends(fmt: Scalar, cast: Cast) -> tuple[float, float]:
    """The last float64 below the range, and the last one within it."""
    (low, low_owned), (high, high_owned) = range_cuts(fmt, cast.rounding)
    return float(last_float(low, low_owned, FLOAT64)), float(last_float(high, high_owned, FLOAT64))


def _beyond(q: NDArray[np.float64], fmt: Scalar, cast: Cast) -> NDArray[np.bool_]:
    below, last = _ends(fmt, cast)
    return np.asarray((q <= below) | (q > last) | np.isinf(q))


def _beyond_with_offset(q: NDArray[np.float64], fmt: Scaled, encoded: Encoded, cast: Cast) -> NDArray[np.bool_]:
    plane, element = encoded.planes["offset"], fmt.element
    if not isinstance(element, FixedPoint):
        raise ValueError(f"saturated: a zero point needs an integer element, got {element.name}")
    offset = decode_codes(plane.format, plane.codes, np.dtype(np.float64)).reshape(-1)
    moved = with_offset(q, offset, element, cast)
    return np.asarray(((moved < element.min_integer) | (moved > element.max_integer)) & ~np.isnan(q))


def _as_transformer_engine(blocks: NDArray[Any], encoded: Encoded) -> NDArray[np.float64]:
    """What the element format was given under rule te_nvfp4: a float32 product, not a quotient."""
    inner, outer = (encoded.planes[key] for key in ("scale", "scale.scale"))
    block_scale = decode_codes(inner.format, inner.codes, np.dtype(np.float32)).reshape(-1)
    tensor_scale = decode_codes(outer.format, outer.codes, np.dtype(np.float32)).reshape(-1)[0]
    factors = te_nvfp4_factors(block_scale, tensor_scale)
    with np.errstate(over="ignore", under="ignore"):
        scaled = blocks.astype(np.float32, copy=False) * factors[:, None]
    return scaled.astype(np.float64)
