"""Random descriptions, casts and reals for hypothesis."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy, composite

import formats as nf
from formats.block import RULES
from formats.cast import DETERMINISTIC, NAN_POLICIES, OVERFLOWS, STOCHASTIC


@composite
def minifloats(draw: DrawFn, max_bits: int = 34, max_bias: int = 60) -> nf.Minifloat:
    """Any minifloat a description can be made of, up to a width."""
    specials: Any = draw(st.sampled_from(["ieee", "fn", "fnuz", "extended", "none"]))
    signed = specials == "fnuz" or draw(st.booleans())
    zero = specials in ("fnuz", "extended") or draw(st.integers(0, 4)) > 0
    e = draw(st.integers(1, min(11, max_bits - 2)))
    m = draw(st.integers(1 if e == 1 and specials in ("ieee", "extended") else 0, max_bits - 1 - e))
    if e == 1 and m == 0 and specials == "fn":
        m = 1
    return nf.Minifloat(
        exponent_bits=e,
        trailing_significand_bits=m,
        bias=draw(st.none() | st.integers(-max_bias, max_bias)),
        signed=signed,
        subnormals=zero and draw(st.booleans()),
        zero=zero,
        specials=specials,
        ties=draw(st.sampled_from(["even", "even", "up"])),
    )


@composite
def fixed_points(draw: DrawFn, max_bits: int = 16) -> nf.FixedPoint:
    """Any integer or fixed-point format."""
    bits, signed = draw(st.integers(1, max_bits)), draw(st.booleans())
    symmetric = signed and bits > 1 and draw(st.booleans())
    fraction = draw(st.just(0) | st.integers(-64, 64))
    return nf.FixedPoint(bits=bits, signed=signed, symmetric=symmetric, fraction_bits=fraction)


@composite
def codebooks(draw: DrawFn, max_bits: int = 4) -> nf.Codebook:
    """Tables of any finite floats, in any order, repeated or not."""
    bits = draw(st.integers(1, max_bits))
    entries = draw(st.lists(st.floats(-(2.0**60), 2.0**60, width=32), min_size=2, max_size=2**bits))
    ties: Any = draw(st.sampled_from(["lower", "upper", "even", "away"]))
    values = sorted(set(entries))
    cuts = tuple(low * 0.625 + high * 0.375 for low, high in pairwise(values))
    given = all(low < cut < high for (low, high), cut in zip(pairwise(values), cuts, strict=True))
    own = cuts if given and draw(st.booleans()) else None
    return nf.Codebook(label="drawn", bits=bits, entries=tuple(entries), ties=ties, cuts=own)


def scalars(max_bits: int = 8) -> SearchStrategy[Any]:
    """Any scalar format of few bits."""
    return minifloats(max_bits=max_bits) | fixed_points(max_bits=max_bits) | codebooks(max_bits=4)


@composite
def blocks(draw: DrawFn) -> nf.Scaled:
    """Any block format of one level of scales."""
    rule: Any = draw(st.sampled_from([name for name, rule in RULES.items() if rule.kind != "recipe"]))
    element: Any = draw(scalars().filter(lambda fmt: fmt.max_finite > 0))
    flat = draw(st.booleans())
    shape = draw(st.lists(st.integers(0, 40), min_size=1, max_size=1 if flat else 3))
    floats = ["float16", "float32", "bfloat16", "e5m2", "e4m3fn", "ue4m3", "e8m0fnu", "ue5m3:nan_top:nozero"]
    scale = draw(st.sampled_from(floats)) if rule == "absmax" else "e8m0fnu"
    integer = isinstance(element, nf.FixedPoint) and not element.signed
    offset = nf.Field(format=element) if integer and rule == "absmax" and draw(st.booleans()) else None
    return nf.Scaled(
        element=element,
        scale=nf.Field(format=nf.get(scale)),
        block=nf.Block(shape=tuple(shape), flat=flat),
        rule=rule,
        offset=offset,
    )


def casts() -> SearchStrategy[nf.Cast]:
    """Any deterministic cast."""
    return st.builds(
        nf.Cast,
        rounding=st.sampled_from(DETERMINISTIC),
        overflow=st.sampled_from(OVERFLOWS),
        nan=st.sampled_from(NAN_POLICIES),
    )


def stochastic_casts() -> SearchStrategy[nf.Cast]:
    """Any stochastic cast that leaves NaN its code or makes it zero."""
    return st.builds(
        nf.Cast,
        rounding=st.sampled_from(STOCHASTIC),
        overflow=st.sampled_from(OVERFLOWS),
        nan=st.just("zero"),
        random_bits=st.integers(1, 32),
        seed=st.integers(0, 2**64 - 1),
    )


@composite
def reals(draw: DrawFn, fmt: Any) -> float:
    """Floats of every kind, half of them near a value or a midpoint of the format."""
    if draw(st.booleans()):
        return draw(st.floats(allow_nan=False))
    count = len(fmt.entries) if isinstance(fmt, nf.Codebook) else 2**fmt.bits
    value = fmt.value(draw(st.integers(0, count - 1)))
    other = fmt.value(draw(st.integers(0, count - 1)))
    pair = [v.fraction for v in (value, other) if hasattr(v, "fraction")]
    try:
        x = float(sum(pair) / len(pair)) if pair else draw(st.floats(allow_nan=False))
    except OverflowError:
        x = float("inf")
    step = draw(st.sampled_from([-np.inf, 0, np.inf]))
    with np.errstate(over="ignore"):
        return float(np.nextafter(x, step)) if step else x
