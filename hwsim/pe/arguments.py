"""What MacPE is given, read: names become descriptions, what is left out is chosen, nonsense is refused."""

from __future__ import annotations

from collections.abc import Callable
from operator import index
from typing import Literal, SupportsIndex, cast

import formats as nf
from formats.arithmetic.multipliers.base import Multiplier
from formats.arithmetic.named import named_accumulator, named_multiplier
from formats.called import called
from hwsim.pe.circuit import CUTS, Mac
from hwsim.pe.number import check_multiplied
from hwsim.pe.scales import MAX_TERMS, scales_of

WIDEST_FIXED_REGISTER = 80  # bits; the exact one of e5m2 x e5m2 takes 79, and less energy than float32
FLOAT32 = nf.FloatChain("float32")


def read_operand_format(fmt: nf.Format | str) -> nf.Scalar:
    """The format that codebooks are looked up in."""
    found = nf.get(fmt)
    if not isinstance(found, nf.FixedPoint | nf.Minifloat):
        raise ValueError(f"MacPE: operand_format must be an integer or a minifloat, got {fmt!r}")
    return found


def read_multiplier(multiplier: object) -> Multiplier:
    """A multiplier by name or description."""
    try:
        return named_multiplier(multiplier)
    except (TypeError, ValueError) as error:
        raise type(error)(f"MacPE: {str(error).partition(': ')[2]}") from None


def read_count(name: str, value: object) -> int:
    """`lanes` or `stages`."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"MacPE: {name} must be an integer, got {value!r} of type {type(value).__name__}")
    return index(cast(SupportsIndex, value))


def read_accumulator(accumulator: object) -> nf.Accumulator | None:
    """An accumulator by name or description. Raises TypeError saying how a bare format name or width is written."""
    if accumulator is None or isinstance(accumulator, nf.Exact | nf.Integer | nf.FloatChain | nf.Aligned):
        return accumulator
    if isinstance(accumulator, str):
        try:
            return named_accumulator(accumulator)
        except ValueError as error:
            named = error
        try:
            nf.get(accumulator)
        except (TypeError, ValueError):
            raise ValueError(f"MacPE: {str(named).partition(': ')[2]}") from None
    meant = "nf.FloatChain('float32')"
    if isinstance(accumulator, int) and not isinstance(accumulator, bool):
        meant = f"nf.Integer({accumulator})"
    elif isinstance(accumulator, str | nf.Minifloat):
        meant = f"nf.FloatChain({accumulator!r})"
    raise TypeError(
        f"MacPE: accumulator must be nf.Exact, nf.Integer, nf.FloatChain or nf.Aligned, or a name of one, got "
        f"{accumulator!r}; say {meant}"
    )


def default_accumulator(
    wired: Callable[[nf.Accumulator], Mac], every: int | None, specials: Literal["finite", "full"]
) -> nf.Accumulator:
    """What MacPE says of accumulator=None. wired: the cell with a register; every: terms of a block, None without."""
    if specials == "full":  # only a float register holds them
        return FLOAT32
    exact = nf.Exact(max_terms=every or MAX_TERMS)
    what = wired(exact)
    integers = all(isinstance(fmt, nf.FixedPoint) for fmt in what.factors)
    wide = any(isinstance(fmt, nf.Minifloat) and fmt.bits >= 16 for fmt in what.factors)
    if integers and every is None:
        return nf.Integer(max(32, what.register_bits))
    return exact if integers or (what.register_bits <= WIDEST_FIXED_REGISTER and not wide) else FLOAT32


def check_edge_accumulator(given: object) -> None:
    """Raise for a register that no edge unit ends in."""
    if not isinstance(given, nf.FloatChain | None):
        raise TypeError(
            f"MacPE: edge_accumulator must be an nf.FloatChain, got {given!r}; say nf.FloatChain('float32')"
        )
    if given not in (None, usual := nf.FloatChain((given or FLOAT32).format)):
        raise ValueError(
            f"MacPE: block sums are added rounded to nearest even, got edge_accumulator={given!r}; "
            f"say nf.FloatChain({usual.format.name!r})"
        )


def check_counts(lanes: int, stages: int) -> None:
    """Raise for counts that no cell has."""
    if lanes < 1 or not 0 <= stages <= len(CUTS):
        raise ValueError(f"MacPE: needs lanes >= 1 and stages 0..{len(CUTS)}, got lanes={lanes}, stages={stages}")


def check_operand(side: str, fmt: nf.Format, operand_format: nf.Scalar) -> None:
    """Raise what keeps a format from being an operand, under its name."""
    try:
        scales_of(fmt)
        element = nf.element_of(fmt)
        check_multiplied(operand_format if isinstance(element, nf.Codebook) else element)
    except (TypeError, ValueError) as error:
        why = str(error).partition(": ")[2]
        raise type(error)(f"MacPE: {called(fmt)} cannot be operand {side}: {why}") from None


def check_row_sums(a_format: nf.Format, b_format: nf.Format) -> None:
    """Raise for zero points and shifts that there are no units for (hwsim.pe.edge)."""
    a, b = scales_of(a_format), scales_of(b_format)
    pair = _pair(a_format, b_format)
    for one, other, fmt in ((a, b, b_format), (b, a, a_format)):
        moved = one.offset is not None or one.shift is not None
        if moved and isinstance(nf.element_of(fmt), nf.Codebook):
            raise TypeError(
                f"MacPE: {pair}: beside a zero point or a shift the other side's elements are summed; "
                f"{called(fmt)} is a table"
            )
        if one.shift is not None and (one.offset, other.offset, other.shift) != (None, None, None):
            raise ValueError(
                f"MacPE: {pair}: there are units for a shift on one side alone; use a symmetric format on the other"
            )
        if one.shift is not None and None not in (one.block_scale, one.result_scale):
            raise ValueError(f"MacPE: {pair}: there are units for a shift beside scales of one level alone")
        if one.shift is not None and one.block is None and other.block is not None:
            raise ValueError(
                f"MacPE: {pair}: what is added to a whole row has no units beside scales of the other side's "
                "blocks; use a format with one scale a row there"
            )


def check_terms(a_format: nf.Format, b_format: nf.Format, every: int | None, lanes: int, how: nf.Accumulator) -> None:
    """Raise where a block's products do not go into the register one cycle after another, or not all of them."""
    pair = _pair(a_format, b_format)
    if every is not None and every % lanes:
        raise ValueError(
            f"MacPE: {pair}: {every} products share their scales, which lanes={lanes} does not divide; there "
            "are wires for scales of whole sums, so use lanes (or an aligned register's terms) that divide it"
        )
    terms = max(lanes, every or 1)
    if isinstance(how, nf.Exact) and how.max_terms is not None and how.max_terms < terms:
        raise ValueError(
            f"MacPE: {pair}: sums of {terms} products go into the register, {how!r} holds {how.max_terms}; "
            f"use nf.Exact(max_terms={terms}) or more"
        )


def _pair(a_format: nf.Format, b_format: nf.Format) -> str:
    return f"{called(a_format)} x {called(b_format)}"
