"""Answers from the definitions alone, written without formats/reference.py, decisions.py or any kernel.

`definition` decodes, `rounded` casts one real, and `Steps` spreads formats.plans.decisions over an array.
"""

from __future__ import annotations

from bisect import bisect_left
from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

import formats as nf
from formats.plans.decisions import decisions


def definition(fmt: Any, code: int) -> float | Fraction:
    """Value of a code from the text of the format's docstring: a Fraction, or a float for -0, infinities and NaN."""
    if isinstance(fmt, nf.Codebook):
        return Fraction(fmt.entries[code])
    if hasattr(fmt, "es"):
        return posit_value(code, fmt.bits, fmt.es)
    if hasattr(fmt, "wrapped"):  # a format of no class of ours (cases.Bare)
        return definition(fmt.wrapped, code)
    if isinstance(fmt, nf.FixedPoint):
        integer = code - (code >> (fmt.bits - 1) << fmt.bits if fmt.signed else 0)
        return Fraction(integer) / Fraction(2) ** fmt.fraction_bits
    e_bits, m = fmt.exponent_bits, fmt.trailing_significand_bits
    s, e, t = code >> (e_bits + m), code >> m & (2**e_bits - 1), code & (2**m - 1)
    if fmt.specials == "ieee" and e == 2**e_bits - 1:
        return float("nan") if t else float("-inf" if s else "inf")
    if fmt.specials == "fn" and e == 2**e_bits - 1 and t == 2**m - 1:
        return float("nan")
    if fmt.specials == "extended":
        top = 2 ** (e_bits + m) - 1 - (not fmt.signed)
        if code == (2 ** (e_bits + m) if fmt.signed else top + 1):
            return float("nan")
        if code % 2 ** (e_bits + m) == top:
            return float("-inf" if s else "inf")
    if s and e == t == 0 and (fmt.specials == "fnuz" or fmt.zero):
        return float("nan") if fmt.specials == "fnuz" else -0.0
    return (-1) ** s * lattice_value(fmt, e, t)


def lattice_value(fmt: Any, e: int, t: int) -> Fraction:
    """Magnitude of the fields (e, t); e may go on beyond the top of its field."""
    m = fmt.trailing_significand_bits
    if e == t == 0 and fmt.zero:
        return Fraction(0)
    if e == 0 and fmt.subnormals:
        return t * Fraction(2) ** (1 - fmt.bias - m)
    return (2**m + t) * Fraction(2) ** (e - fmt.bias - m)


def posit_value(code: int, bits: int, es: int) -> float | Fraction:
    """A posit by its bit string, as text: sign, run, its end, es bits of exponent, fraction."""
    if code in (0, 2 ** (bits - 1)):
        return Fraction(0) if code == 0 else float("nan")
    negative = code >= 2 ** (bits - 1)
    text = format(2**bits - code if negative else code, f"0{bits}b")[1:]
    run = len(text) - len(text.lstrip(text[0]))
    rest = text[run + 1 :]
    exponent = int((rest[:es] + "0" * es)[:es] or "0", 2)
    regime = run - 1 if text[0] == "1" else -run
    fraction = Fraction(int("1" + rest[es:], 2), 2 ** len(rest[es:]))
    value = Fraction(2) ** (regime * 2**es + exponent) * fraction
    return -value if negative else value


def keeps_zero_sign(fmt: Any) -> bool:
    """Whether -0 and 0 have codes of their own (or the smallest magnitudes of both signs do)."""
    inner = getattr(fmt, "wrapped", fmt)
    return isinstance(inner, nf.Minifloat) and inner.signed and inner.specials not in ("fnuz", "extended")


@cache
def table(fmt: Any) -> tuple[tuple[Fraction, ...], tuple[int, ...]]:
    """Finite values ascending and the code an encoder writes for each (the lowest; no unused int minimum)."""
    lowest: dict[Fraction, int] = {}
    symmetric = getattr(getattr(fmt, "wrapped", fmt), "symmetric", False)
    for code in range(len(fmt.entries) if isinstance(fmt, nf.Codebook) else 2**fmt.bits):
        value = definition(fmt, code)
        if isinstance(value, Fraction) and not (symmetric and code == 2 ** (fmt.bits - 1)):
            lowest.setdefault(value, code)
    values = tuple(sorted(lowest))
    return values, tuple(lowest[value] for value in values)


@cache
def lattice(fmt: Any) -> tuple[tuple[Fraction, ...], tuple[int | None, ...]]:
    """`table`, with one more value (code None) beyond each end to which rounding with unbounded exponent could go."""
    values, codes = table(fmt)
    if not isinstance(fmt, nf.Minifloat):
        return values, codes
    m = fmt.trailing_significand_bits
    magnitude = max(codes) & (2 ** (fmt.exponent_bits + m) - 1)
    beyond = lattice_value(fmt, *divmod(magnitude + 1, 2**m))
    below = -beyond if fmt.signed else -values[1] if fmt.zero else None
    if below is None:
        return (*values, beyond), (*codes, None)
    return (below, *values, beyond), (None, *codes, None)


@cache
def _floats(fmt: Any) -> tuple[float, ...]:
    """The values of `lattice`, as floats: where to begin to look for a place among them."""
    return tuple(_near(value) for value in lattice(fmt)[0])


def _near(value: Fraction) -> float:
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


def place(fmt: Any, x: Fraction) -> int:
    """The number of lattice values below x."""
    values = lattice(fmt)[0]
    at = bisect_left(_floats(fmt), _near(x))
    while at > 0 and values[at - 1] >= x:
        at -= 1
    while at < len(values) and values[at] < x:
        at += 1
    return at


def rounded(fmt: Any, x: Fraction, negative: bool, cast: nf.Cast, random: int = 0) -> int:
    """The code of the real x under a cast; `negative` also tells -0 from 0. random: R of stochastic roundings."""
    values, codes = lattice(fmt)
    keeps_sign = keeps_zero_sign(fmt)
    if isinstance(fmt, nf.Minifloat) and not fmt.signed and not fmt.zero and x < 0:
        return _beyond(fmt, True, cast, directed_inward=False)
    if x < values[0] or x > values[-1]:
        value, code = (values[0], codes[0]) if x < values[0] else (values[-1], codes[-1])
        if getattr(fmt, "wrapped", None) and fmt.finite_overflows and cast.overflow == "overflow":
            return _beyond(fmt, x < 0, cast, cast.rounding in ("toward_zero", "up" if x < 0 else "down"))
    else:
        at = place(fmt, x)
        pair = (at, at) if values[at] == x else (at - 1, at)
        at = _choose(fmt, x, negative, [(values[i], codes[i], i) for i in pair], cast, random)
        value, code = values[at], codes[at]
    if code is None:
        inward = cast.rounding in ("toward_zero", "up" if x < 0 else "down")
        return _beyond(fmt, x < 0, cast, directed_inward=inward and (fmt.signed or x > 0))
    return code | (2 ** (fmt.bits - 1) if value == 0 and negative and keeps_sign else 0)


def _choose(
    fmt: Any, x: Fraction, negative: bool, pair: list[tuple[Fraction, int | None, int]], cast: nf.Cast, random: int
) -> int:
    """Index of the neighbour a rounding picks among the two around x (or x twice)."""
    (low, low_code, below), (high, high_code, above) = pair
    rounding = cast.rounding
    if low == high:
        return below
    if rounding in ("down", "up"):
        return below if rounding == "down" else above
    if low < 0 < high and (rounding == "toward_zero" or isinstance(fmt, nf.Minifloat)):
        return below if negative and (x or isinstance(fmt, nf.Minifloat)) else above  # no zero: the sign is kept
    if rounding == "toward_zero":
        return above if high <= 0 else below
    near, far = (below, above) if abs(low) <= abs(high) else (above, below)
    if rounding == "to_odd":
        odd = [code % 2 if code is not None else 1 - (other or 0) % 2
               for code, other in ((low_code, high_code), (high_code, low_code))]  # fmt: skip
        return near if odd[0] == odd[1] else below if odd[0] else above
    if rounding.startswith("stochastic"):
        nu = (x - low if near == below else high - x) / (high - low)
        return far if _goes_far(nu, rounding[-1], cast.random_bits, random) else near
    if hasattr(fmt, "es"):
        if 0 in (low, high):
            return below if high == 0 else above
        between = posit_value(2 * (low_code or 0) + 1, fmt.bits + 1, fmt.es)
        if x != between:
            return below if x < between else above
    elif getattr(fmt, "cuts", None) is not None:
        between = Fraction(fmt.cuts[sorted(set(fmt.entries)).index(float(low))])
        if x != between:
            return below if x < between else above
    elif x - low != high - x:
        return below if x - low < high - x else above
    rule = "away" if rounding == "ties_away" else getattr(fmt, "ties", "even")
    if rule == "up" or rule == "away":  # a Minifloat's "up" speaks of the magnitude
        return above if x >= 0 else below
    if rule == "even":
        even = low_code % 2 == 0 if low_code is not None else (high_code or 0) % 2 == 1
        return below if even else above
    return below if rule == "lower" else above


def _goes_far(nu: Fraction, kind: str, bits: int, random: int) -> bool:
    """P3109's stochastic roundings, R turned round: of the 2**bits draws, the largest go away from zero."""
    draws = 2**bits - random  # 1 .. 2**bits, and nu away from zero moves if it reaches that many steps
    if kind == "a":
        return nu * 2**bits >= draws
    if kind == "b":
        return nu * 2**bits + Fraction(1, 2) >= draws
    steps = nu * 2**bits
    return steps > draws - Fraction(1, 2) or (steps == draws - Fraction(1, 2) and draws % 2 == 0)


def _beyond(fmt: Any, negative: bool, cast: nf.Cast, directed_inward: bool) -> int:
    codes = table(fmt)[1]
    if hasattr(fmt, "es"):
        return codes[0] if negative else codes[-1]
    if hasattr(fmt, "wrapped") and not fmt.has_infinity and not directed_inward:
        return int(fmt.nan_code)
    if cast.overflow != "overflow" or directed_inward:
        return codes[0] if negative else codes[-1]
    fmt = getattr(fmt, "wrapped", fmt)
    sign = 2 ** (fmt.bits - 1) if negative and fmt.signed else 0
    top = max(code & ~(2 ** (fmt.bits - 1)) if fmt.signed else code for code in codes)
    if fmt.specials == "fnuz":
        return int(2 ** (fmt.bits - 1))
    if fmt.specials == "extended":
        return int(top + 2 if negative and not fmt.signed else (top + 1) | sign)
    if fmt.specials == "fn":
        return (top + 1) | sign
    if negative and not fmt.signed:  # an unsigned format has no minus infinity; quiet NaN, where it has one
        m = fmt.trailing_significand_bits
        return top + 1 + 2 ** (m - 1) if m else codes[0]
    return (top + 1) | sign


def special(fmt: Any, kind: str, negative: bool, cast: nf.Cast) -> int:
    """The code of an infinity ("inf") or NaN ("nan") with that sign."""
    codes = table(fmt)[1]
    if hasattr(fmt, "es"):
        nar = 2 ** (fmt.bits - 1)
        saturates = kind == "inf" and cast.overflow == "saturate"
        return (codes[0] if negative else codes[-1]) if saturates else nar
    if kind == "inf":
        if cast.overflow == "saturate" or not (fmt.has_nan or fmt.has_infinity):
            return codes[0] if negative else codes[-1]
        return _beyond(fmt, negative, nf.Cast(overflow="overflow"), directed_inward=False)
    if hasattr(fmt, "wrapped") and fmt.has_nan:
        return int(fmt.nan_code)  # of several NaNs the one it names
    if isinstance(fmt, nf.Minifloat) and fmt.has_nan:
        sign = 1 << (fmt.bits - 1) if negative and fmt.signed else 0
        if fmt.specials == "fnuz" or (fmt.specials == "extended" and fmt.signed):
            return 1 << (fmt.bits - 1)
        if fmt.specials == "extended":
            return (1 << fmt.bits) - 1
        ones = (1 << fmt.magnitude_bits) - 1
        m = fmt.trailing_significand_bits
        return sign | (ones if fmt.specials == "fn" else (ones >> m << m) | 1 << (m - 1))  # quiet: top trailing bit
    if cast.nan == "raise":
        raise ValueError("NaN")
    if cast.nan == "max":
        return codes[-1]
    zero = [rounded(fmt, Fraction(0), sign, nf.Cast()) for sign in (False, True)]
    return zero[not negative] if cast.nan == "ml_dtypes" else zero[0]


class Steps:
    """formats.plans.decisions of one cast over arrays: exact, as every interval is kept by the last float64 within it.

    random: R of stochastic roundings, the same for every element.
    """

    def __init__(self, fmt: Any, cast: nf.Cast, random: int = 0) -> None:
        cut = decisions(fmt, cast, random)
        self.codes = np.array(cut.codes, np.int64)
        # The last float64 of each interval: the threshold itself, or the float below it.
        self.last = np.array([_last(t, owned) for t, owned in zip(cut.thresholds, cut.lower_owns, strict=True)])
        assert (np.diff(self.last) >= 0).all()
        self.fmt, self.cast, self.random = fmt, cast, random

    def __call__(self, x: NDArray[Any]) -> NDArray[np.int64]:
        """Codes of floats, zeros and specials included."""
        with np.errstate(invalid="ignore"):  # signalling NaNs
            wide, negative = x.astype(np.float64), np.signbit(x)
        codes = self.codes[np.searchsorted(self.last, wide, side="left")]
        for sign in (False, True):
            codes[(wide == 0) & (negative == sign)] = rounded(self.fmt, Fraction(0), sign, self.cast, self.random)
            codes[np.isinf(wide) & (negative == sign)] = special(self.fmt, "inf", sign, self.cast)
            at = np.isnan(wide) & (negative == sign)
            if at.any():
                codes[at] = special(self.fmt, "nan", sign, self.cast)
        return codes


def _last(threshold: Fraction, owned: bool) -> float:
    near = _near(threshold)
    if np.isinf(near):
        return near
    if Fraction(near) > threshold or (Fraction(near) == threshold and not owned):
        near = float(np.nextafter(near, -np.inf))
    return near
