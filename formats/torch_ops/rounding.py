"""Rounding the bits of floats onto a lattice, by integer arithmetic on tensors.

Magnitudes come in and go out as the bits of floats, so that a rounded value needs no decoding: with the significand
`sig` rounded to a multiple t of 2**shift, the bits of the result are u - sig + t, a carry running into the exponent by
itself.
"""

from __future__ import annotations

from typing import Any

import torch

from formats.cast import Cast
from formats.torch_ops.lattice import Lattice
from formats.torch_ops.words import select

ZERO_EXTENDED = -(149 << 23)  # below every magnitude `extend` makes: 2**-149 has field -22


def rounded(
    u: torch.Tensor,
    negative: torch.Tensor,
    lattice: Lattice,
    cast: Cast,
    moved: Any = 0,
    extended: bool = False,
    random: torch.Tensor | None = None,
) -> torch.Tensor:
    """Magnitude bits u rounded to the lattice, which goes on above its largest value.

    negative: -1 where the sign is set, else 0.  moved: binades the lattice is shifted up by, an int or a tensor.
    extended: u and the result may have exponent fields below 1 (see `extend`); then every significand has its
    leading bit, and zero is ZERO_EXTENDED.  random: R of each element under a stochastic rounding, int64, or int32 of
    up to random_words.SHORT bits.
    Infinities and NaNs give numbers without meaning.
    """
    if lattice.exact:
        return u
    if lattice.first == 0:
        return _powers_of_two(u, negative, lattice, cast, random)
    if random is not None and _noise_fits(lattice, cast, random):
        return _with_noise(u, lattice, cast, random)
    word, m, rounding = lattice.word, lattice.trailing, cast.rounding
    first = moved + lattice.first
    width = word.trailing
    zero = ZERO_EXTENDED if extended else 0
    plain = extended or (lattice.plain and not isinstance(moved, torch.Tensor))
    field = u >> width
    if plain:
        significand = (u & ((1 << width) - 1)) | (1 << width)
    else:  # a float's subnormals have the exponent of its first binade and no leading bit
        field = field.clamp(min=1)
        significand = u - ((field - 1) << width)
    # width + 2: a magnitude below half of the smallest step, where only "is it zero" counts
    distance = (first - field + (width - m)).clamp(min=width - m)
    shift = distance.clamp(max=width + 2)
    nearest = rounding in ("ties_to_even", "ties_away")
    if nearest:
        half = torch.ones_like(u) << (shift - 1)
        if rounding == "ties_away" or lattice.half_up:
            total = significand + half
        else:
            total = significand + (half - 1) + _odd(significand, field, shift, first, lattice)
        steps = total & -(half + half)
        out = select(steps == 0, zero, u - significand + steps)
        return _across_gap(out, u, negative, lattice, rounding, moved, zero)
    step = torch.ones_like(u) << shift
    kept = significand & -step
    if random is None:
        away = _away(negative, rounding, significand, field, shift, first, lattice)
        inexact_away = None if away is None else (kept != significand) & away
    else:
        inexact_away = away = _moves_away(significand - kept, distance, width - m, cast, random)
    if inexact_away is not None:
        kept = torch.where(inexact_away, kept + step, kept)
    out = select(kept == 0, zero, u - significand + kept)
    far = shift == width + 2
    if away is None:
        out = select(far, zero, out)
    elif lattice.floor == 0:
        smallest = torch.zeros_like(u) + ((first - m) << width)
        out = torch.where(far, select(~(away & (u != zero)), zero, smallest), out)
    return _across_gap(out, u, negative, lattice, rounding, moved, zero)


def _odd(significand: torch.Tensor, field: torch.Tensor, shift: torch.Tensor, first: Any, lattice: Lattice) -> Any:
    """1 where the code just below in magnitude is odd."""
    if lattice.trailing == 0:  # neighbours are binades apart, and the code's last bit is the exponent's
        return ((field - first).clamp(min=0) + (significand >> shift) + (lattice.base - 1)) & 1
    return (significand >> shift) & 1


def _away(
    negative: torch.Tensor,
    rounding: str,
    significand: torch.Tensor,
    field: torch.Tensor,
    shift: torch.Tensor,
    first: Any,
    lattice: Lattice,
) -> Any:
    """Where an inexact magnitude grows; None for nowhere."""
    if rounding == "toward_zero":
        return None
    if rounding in ("up", "down"):
        return (negative != 0) == (rounding == "down")
    if rounding == "to_odd":
        return _odd(significand, field, shift, first, lattice) == 0
    raise NotImplementedError(f"quantize: rounding {rounding!r} has no tensor path here; pass x.cpu()")


def _moves_away(
    rest: torch.Tensor, distance: torch.Tensor | int, least: int, cast: Cast, random: torch.Tensor
) -> torch.Tensor:
    """Where the part rest / 2**distance of a gap is large for the random bits: see formats.cast.Cast. Never for 0.

    least: the smallest distance. rest < 2**24 under int32 random bits, so that a shift by 30 leaves nothing of it.
    """
    n = cast.random_bits + (cast.rounding == "stochastic_b")
    wide, most = rest.to(random.dtype), 30 if random.dtype == torch.int32 else 62
    excess = distance - n if isinstance(distance, int) else distance.to(random.dtype) - n
    if isinstance(excess, int):
        excess = torch.full_like(wide, excess)
    part, down = wide, excess.clamp(max=most)
    if least < n:
        part, down = wide << (-excess).clamp(min=0), down.clamp(min=0)
    part = part >> down
    if cast.rounding == "stochastic_a":
        return part >= (1 << n) - random
    if cast.rounding == "stochastic_b":
        return part >= (1 << n) - 1 - 2 * random
    lost = wide - (part << down)
    half = (torch.ones_like(wide) << down) >> 1
    up = (lost > half) | ((lost == half) & ((part & 1) == 1))
    return part + (up & (excess > 0)).to(random.dtype) >= (1 << n) - random


def _noise(cast: Cast, random: torch.Tensor) -> tuple[torch.Tensor, int]:
    """What stochastic roundings a and b add to the part of a gap, in units of 2**-n gaps, before cutting off; and n."""
    if cast.rounding == "stochastic_b":
        return random + random + 1, cast.random_bits + 1
    return random, cast.random_bits


def _noise_fits(lattice: Lattice, cast: Cast, random: torch.Tensor) -> bool:
    """Whether `_with_noise` has room: noise no finer than a float, and zeros that stay zero under any."""
    n = cast.random_bits + (cast.rounding == "stochastic_b")
    width, m = lattice.word.trailing, lattice.trailing
    return (
        cast.rounding in ("stochastic_a", "stochastic_b")
        and random.dtype == torch.int32
        and lattice.floor == 0
        and n <= width - m
        and lattice.first - m > width + 4
    )


def _with_noise(u: torch.Tensor, lattice: Lattice, cast: Cast, random: torch.Tensor) -> torch.Tensor:
    """`rounded` by adding noise below the last place and cutting it off, with half the instructions of comparing.

    Below half of the smallest step the significand itself is moved down, so that the sum stays in 25 bits: what falls
    off is finer than the noise, so that the carry is the same.
    """
    noise, n = _noise(cast, random)
    width, m, first = lattice.word.trailing, lattice.trailing, lattice.first
    lead = 1 << width
    significand = (u & (lead - 1)) | lead
    distance = (first + width - m - (u >> width)).clamp(min=width - m)
    shift = distance.clamp(max=width + 1)
    seen = significand >> (distance - shift).clamp(max=31)
    steps = (seen + (noise << (shift - n))) & (torch.full_like(u, -1) << shift)
    below = (u - significand).clamp(
        min=(first - m - 2) << width
    )  # the binade from which one step is the smallest value
    return select(steps == 0, 0, below + steps)


def _powers_of_two(
    u: torch.Tensor, negative: torch.Tensor, lattice: Lattice, cast: Cast, random: torch.Tensor | None
) -> torch.Tensor:
    """`rounded` for powers of two from half the smallest normal float on (E8M0): one binade more goes on below field 1.

    Everything below the lowest becomes the lowest, for there is no zero.
    """
    width = lattice.word.trailing
    lead = 1 << width
    extended = torch.where(u < lead, (u + u - lead).clamp(min=0), u)
    odd = (extended >> width) & 1  # codes are exponent fields
    rest = extended & (lead - 1)
    if cast.rounding in ("ties_to_even", "ties_away"):
        away = cast.rounding == "ties_away" or lattice.half_up
        out = (extended + (lead >> 1 if away else odd + (lead >> 1) - 1)) & -lead
    else:
        out = extended - rest
        if random is not None:
            out = torch.where(_moves_away(rest, width, width, cast, random), out + lead, out)
        elif cast.rounding != "toward_zero":
            grows = odd == 0 if cast.rounding == "to_odd" else (negative != 0) == (cast.rounding == "down")
            out = torch.where((rest != 0) & grows, out + lead, out)
    return select(out == 0, lattice.floor, out)


def _across_gap(
    out: torch.Tensor,
    u: torch.Tensor,
    negative: torch.Tensor,
    lattice: Lattice,
    rounding: str,
    moved: Any,
    zero: int,
) -> torch.Tensor:
    """Below the smallest value of a format without subnormals there is zero, or nothing."""
    if lattice.floor == 0:
        return out
    floor = torch.zeros_like(u) + ((moved << lattice.word.trailing) + lattice.floor)
    half = (moved << lattice.word.trailing) + lattice.half
    if not lattice.zero:
        return torch.where(u < floor, floor, out)
    if rounding == "toward_zero":
        return select(u < floor, zero, out)
    if rounding in ("ties_to_even", "ties_away"):
        goes_up = u >= half if rounding == "ties_away" or lattice.half_up else u > half
    else:
        goes_up = u != zero
        if rounding in ("up", "down"):
            goes_up = goes_up & ((negative != 0) == (rounding == "down"))
    return torch.where(u < floor, select(~goes_up, zero, floor), out)


def extend(u: torch.Tensor) -> torch.Tensor:
    """float32 magnitude bits with subnormals as if the exponent went on below 1: field 0, -1, ... and a leading bit.

    The integer u of a subnormal is its value in units of 2**-149, and an exact float32. Zero becomes ZERO_EXTENDED.
    """
    return torch.where(u < 0x800000, u.to(torch.float32).view(torch.int32) - (149 << 23), u)


def contract(r: torch.Tensor) -> torch.Tensor:
    """`extend` undone; r must be ZERO_EXTENDED or a multiple of 2**-149."""
    significand = (r & 0x7FFFFF) | 0x800000
    return torch.where(r < 0x800000, significand >> (1 - (r >> 23)).clamp(min=0, max=24), r)


def ordinal(r: torch.Tensor, lattice: Lattice) -> torch.Tensor:
    """The magnitude code of bits that lie on the lattice."""
    if lattice.exact:
        return r
    width, m = lattice.word.trailing, lattice.trailing
    first = lattice.first
    code = (r >> (width - m)) - (first << m) + lattice.base
    if lattice.floor:
        return select(r == 0, 0, code) if lattice.zero else code
    field = r >> width
    leading = (r & ((1 << width) - 1)) | (1 << width)
    below = leading >> (first - field + (width - m)).clamp(min=0, max=width + 1)
    if not lattice.plain:
        below = torch.where(field < 1, r >> (first - 1 + width - m), below)
    return torch.where(field < first, select(r == 0, 0, below), code)
