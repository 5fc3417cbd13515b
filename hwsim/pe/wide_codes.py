"""Codes of floats too wide for their values to be listed: each is decoded as it occurs, and tests draw from a pool.

The pool has what multipliers and shifters get wrong: zeros, both ends of the subnormals and of the normals, infinities
and NaN where they occur, powers of two with their neighbours, numbers about one, numbers of every size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import formats as nf
from formats.exact import Dyadic, Value

WIDEST_LISTED = 16  # bits of formats that list their values; only minifloats are wider
DRAWS = 512  # of each kind of code in a pool
ABOUT_ONE = 10  # binades: products of such operands meet registers of every format


@dataclass(frozen=True, slots=True)
class Decoded(Sequence[Value | None]):
    """The value of each code, decoded when it is asked for; None for infinities and NaN, but where `full`."""

    fmt: nf.Minifloat
    full: bool

    def __len__(self) -> int:
        return 1 << self.fmt.bits

    def __getitem__(self, code: Any) -> Any:
        value = self.fmt.value(int(code))
        return value if self.full or isinstance(value, Dyadic) else None

    def __iter__(self) -> Iterator[Value | None]:
        return (self[code] for code in range(len(self)))


def adversarial(fmt: nf.Minifloat, full: bool, rng: np.random.Generator) -> NDArray[Any]:
    """A pool of a format's codes, in order and each once: Python integers [n], as codes may have 69 bits.

    full: infinities and NaN are among them.
    """
    decoded = Decoded(fmt, full)
    return np.array([code for code in sorted(_codes(fmt, rng)) if decoded[code] is not None], object)


def _codes(fmt: nf.Minifloat, rng: np.random.Generator) -> set[int]:
    """Magnitudes are exponent field, trailing field; each of them with both signs."""
    trailing, fields = fmt.trailing_significand_bits, 1 << fmt.exponent_bits
    assert fmt.bias is not None  # never, once constructed
    one = min(max(fmt.bias, 1), fields - 2)
    largest = fmt.max_magnitude_code
    ends = [0, 1, (1 << trailing) - 1, 1 << trailing, one << trailing, largest, *range(largest + 1, largest + 3)]
    magnitudes = set(ends) | ({fmt.nan_code} if fmt.nan_code is not None else set())
    for _ in range(DRAWS):
        near = one + int(rng.integers(-ABOUT_ONE, ABOUT_ONE + 1))
        far = int(rng.integers(fields))
        magnitudes |= {(field << trailing) + step for field in (near, far) for step in (-1, 0, 1)}
        magnitudes |= {(field << trailing) + random_integer(rng, trailing) for field in (near, near, far)}
        magnitudes.add(random_integer(rng, trailing) >> int(rng.integers(trailing + 1)))
    signs = (0, 1 << fmt.magnitude_bits) if fmt.signed else (0,)
    return {sign | it for it in magnitudes if 0 <= it < 1 << fmt.magnitude_bits for sign in signs}


def random_integer(rng: np.random.Generator, width: int) -> int:
    """Any integer of so many bits."""
    return int.from_bytes(rng.bytes(width // 8 + 1), "little") % (1 << width)
