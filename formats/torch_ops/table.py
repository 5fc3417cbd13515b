"""Formats that are their table, on tensors: thresholds compared as integers, values and codes picked by interval."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch

from formats.cast import Cast
from formats.decisions import decisions
from formats.exact import Dyadic, Special
from formats.plans import last_float, quiet
from formats.reference import encode_value, nan_codes
from formats.scalar import Scalar
from formats.torch_ops.lattice import value_bits
from formats.torch_ops.words import Word, key_of, key_of_value, select

FEW = 16  # intervals that are compared one by one


class Table:
    """A cast cut into intervals of keys (see words.key_of). keys[i] is the last key of interval i.

    codes, values: one per interval, values as bits.  special_codes, special_values: of NaN with a clear and with a set
    sign bit, and of both infinities.  plain_ends: whether the infinities go with the first and last interval.
    """

    def __init__(self, fmt: Scalar, cast: Cast, word: Word) -> None:
        how = quiet(cast)
        cut = decisions(fmt, how)
        ends = zip(cut.thresholds, cut.lower_owns, strict=True)
        keys = [key_of_value(float(last_float(threshold, owned, word.layout)), word) for threshold, owned in ends]
        codes = list(cut.codes)
        # Thresholds cannot tell -0 from 0; as keys they do, and a code of its own makes -0 an interval of its own.
        minus_zero = encode_value(fmt, Dyadic(True, 0, 0), how)
        if minus_zero != codes[int(np.searchsorted(keys, -1))]:
            keys, codes = _split(keys, codes, minus_zero)
        self.keys, self.codes = keys, codes
        infinite = [encode_value(fmt, s, how) for s in (Special.POSITIVE_INFINITY, Special.NEGATIVE_INFINITY)]
        self.special_codes = (*nan_codes(fmt, how), *infinite)
        self.values = [value_bits(fmt, code, word) for code in codes]
        self.special_values = tuple(value_bits(fmt, code, word) for code in self.special_codes)
        self.plain_ends = infinite == [codes[-1], codes[0]]


def _split(keys: list[int], codes: list[int], code: int) -> tuple[list[int], list[int]]:
    """Give -0, whose key is -1, an interval of its own."""
    at = int(np.searchsorted(keys, -1))
    follows = at > 0 and keys[at - 1] == -2
    ends = at < len(keys) and keys[at] == -1
    before, after = [] if follows else [-2], [] if ends else [-1]
    head = codes[:at] if follows else codes[: at + 1]
    return keys[:at] + before + after + keys[at:], [*head, code, *codes[at + ends :]]


@cache
def table_of(fmt: Scalar, cast: Cast, word: Word) -> Table:
    """The table of a cast. Raises ValueError for formats of more than 16 bits, which have none."""
    if fmt.bits > 16:
        raise ValueError(f"encode: {fmt.name} of {fmt.bits} bits has no kernel for {word.floating} input")
    return Table(fmt, cast, word)


def needs_tensors(fmt: Scalar, cast: Cast, word: Word) -> bool:
    """Whether a table is too large to be written out."""
    return len(table_of(fmt, cast, word).codes) > FEW


def tensors_of(fmt: Scalar, cast: Cast, word: Word, device: torch.device | str) -> tuple[torch.Tensor, ...]:
    """Keys, values and codes as tensors, for `table_values` and `table_codes`."""
    table = table_of(fmt, cast, word)
    signed = [code - (1 << word.bits) if code >> (word.bits - 1) else code for code in table.codes]
    return tuple(torch.tensor(data, dtype=word.integer, device=device) for data in (table.keys, table.values, signed))


def table_values(
    w: torch.Tensor, fmt: Scalar, cast: Cast, word: Word, tables: tuple[torch.Tensor, ...]
) -> torch.Tensor:
    """The bits of the values of the intervals that w lies in."""
    table = table_of(fmt, cast, word)
    out = _looked_up(w, table, word, table.values, tables, 1)
    return _with_specials(out, w, table, word, table.special_values)


def table_codes(w: torch.Tensor, fmt: Scalar, cast: Cast, word: Word, tables: tuple[torch.Tensor, ...]) -> torch.Tensor:
    """The codes of the intervals that w lies in."""
    table = table_of(fmt, cast, word)
    out = _looked_up(w, table, word, table.codes, tables, 2)
    return _with_specials(out, w, table, word, table.special_codes)


def _looked_up(
    w: torch.Tensor, table: Table, word: Word, chosen: list[int], tables: tuple[torch.Tensor, ...], which: int
) -> torch.Tensor:
    key = key_of(w, word)
    if not tables:
        out = torch.full_like(w, chosen[0])
        for last, value in zip(table.keys, chosen[1:], strict=True):
            out = select(key > last, value, out)
        return out
    return tables[which][torch.bucketize(key, tables[0])]


def _with_specials(
    out: torch.Tensor, w: torch.Tensor, table: Table, word: Word, special: tuple[int, ...]
) -> torch.Tensor:
    nan, minus_nan, infinity, minus_infinity = special
    if not table.plain_ends:
        out = select(w == word.infinity, infinity, out)
        out = select(w == word.infinity + word.sign, minus_infinity, out)
    u = w & word.magnitude
    return (
        select(u > word.infinity, nan, out)
        if nan == minus_nan
        else torch.where(
            u > word.infinity, torch.where(w < 0, torch.full_like(w, minus_nan), torch.full_like(w, nan)), out
        )
    )
