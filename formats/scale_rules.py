"""How an encoder chooses a block's scale from its largest magnitude. One function a rule, vectorised over blocks.

Sources: OCP MX v1.0 section 6.3 (floor); torchao's mx_tensor.py for ceil, even and rceil (rceil is cuBLAS's);
TransformerEngine's reference_nvfp4.py for te_nvfp4.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from formats import scalar_codec
from formats.cast import DEFAULT
from formats.exact import floor_log2
from formats.fixed_point import FixedPoint
from formats.minifloat import Minifloat
from formats.scalar import Scalar

E8M0_BIAS = 127


def largest_exponent(element: Scalar) -> int:
    """emax: the exponent of the element's largest value (8 for e4m3fn, 2 for e2m1fn, 0 for MXINT8)."""
    return floor_log2(element.max_finite)


def trailing_bits(element: Scalar) -> int:
    """Significand bits below the leading one in the element's top binade."""
    if isinstance(element, Minifloat):
        return element.trailing_significand_bits
    if isinstance(element, FixedPoint):
        return element.max_integer.bit_length() - 1
    raise ValueError(f"scale rule 'even' needs a minifloat or fixed-point element, got {element.name}")


def power_of_two_codes(amax: NDArray[np.float64], element: Scalar, rule: str) -> NDArray[np.uint8]:
    """E8M0 codes for finite amax >= 0 under floor, ceil, even or rceil; 255 where amax is not finite.

    floor: exponent of amax less emax.  ceil: one more unless amax is a power of two.  even: exponent of amax after
    rounding it to the element's significand width, halves up.  rceil: exponent of float32(amax * float32(1 / max)),
    rounded up; amax is rounded to float32 first, as this rule is defined on float32.
    Codes are clamped to 0..254, so that finite data never become NaN, and to 254 - emax where amax is within float32,
    so that they never become infinite there (rounding up would at amax > 2**127); zero blocks get code 0.
    """
    finite = np.isfinite(amax)
    safe = np.where(finite, amax, 1.0)
    if rule == "rceil":
        inverse = np.float32(1.0) / np.float32(float(element.max_finite))
        with np.errstate(over="ignore", under="ignore"):
            quotient = np.minimum(safe.astype(np.float32), np.finfo(np.float32).max) * inverse
        exponent = _rceil(quotient)
    else:
        fraction, power = np.frexp(safe)  # safe = fraction * 2**power with fraction in [0.5, 1)
        exponent = power.astype(np.int64) - 1
        if rule == "ceil":
            exponent = exponent + (fraction != 0.5)
        elif rule == "even":
            half_ulp = 2.0 ** -(trailing_bits(element) + 2)  # half a last place, in units of fraction
            exponent = exponent + (fraction + half_ulp >= 1.0)
        exponent = exponent - largest_exponent(element)
        exponent = np.where(safe == 0.0, -E8M0_BIAS, exponent)
    top = np.where(safe <= float(np.finfo(np.float32).max), 254 - max(largest_exponent(element), 0), 254)
    codes = np.clip(exponent + E8M0_BIAS, 0, top)
    return np.where(finite, codes, 255).astype(np.uint8)


def _rceil(quotient: NDArray[np.float32]) -> NDArray[np.int64]:
    """Exponent of a float32 rounded up to a power of two, as PTX cvt.rp.satfinite.ue8m0x2 does; unbiased."""
    bits = quotient.view(np.uint32).astype(np.int64)
    field, trailing = bits >> 23, bits & 0x7FFFFF
    up = np.where(field > 0, trailing > 0, trailing > 0x400000)
    return field + up - E8M0_BIAS


def te_nvfp4_scales(
    amax: NDArray[np.float32], amax_tensor: np.float32, block_format: Scalar, element: Scalar
) -> tuple[NDArray[Any], np.float32, NDArray[np.float32]]:
    """TransformerEngine's two levels, in float32 as published.

    amax: per block; amax_tensor: over all. Returns (block scale codes, tensor scale fl(1 / S_enc), encode factors).
    S_enc = min(448 * 6 / amax_tensor, FLT_MAX), or 1 where that is zero or amax_tensor is; the block scale is E4M3 of
    amax * fl(S_enc * fl(1 / 6)); elements are rounded from x * min(1 / (scale * fl(1 / S_enc)), FLT_MAX).
    """
    top = np.finfo(np.float32).max
    block_max, element_max = np.float32(float(block_format.max_finite)), np.float32(float(element.max_finite))
    with np.errstate(divide="ignore", over="ignore", under="ignore"):
        encode = np.float32(1.0)
        if amax_tensor > 0:
            encode = min(block_max * element_max / amax_tensor, top)
        if encode == 0:
            encode = np.float32(1.0)
        per_block = np.clip(amax * (encode * (np.float32(1.0) / element_max)), -block_max, block_max)
        codes = scalar_codec.encode_codes(block_format, per_block.astype(np.float32), DEFAULT)
        tensor_scale = np.float32(1.0) / encode
    decoded = scalar_codec.decode_codes(block_format, codes, np.dtype(np.float32))
    return codes, tensor_scale, te_nvfp4_factors(decoded, tensor_scale)


def te_nvfp4_factors(block_scale: NDArray[np.float32], tensor_scale: np.float32) -> NDArray[np.float32]:
    """What elements are multiplied by before they are rounded: min(1 / (block scale * tensor scale), FLT_MAX)."""
    with np.errstate(divide="ignore", over="ignore", under="ignore"):
        factors: NDArray[np.float32] = np.float32(1.0) / (block_scale * tensor_scale)
    return np.minimum(factors, np.finfo(np.float32).max)
