"""What a format is, in words and as a table of its codes."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from formats.block import Block, Field, Format, Scaled, Sum
from formats.cast import Cast
from formats.catalogue import entry, get
from formats.catalogue.entry import Entry
from formats.elements import Choice, Nested, Pair, Promoted, candidates_of
from formats.exact import Dyadic, Special, Value, floor_log2
from formats.rule_names import RULES
from formats.scalar import Scalar


@dataclass(frozen=True, slots=True)
class TableRow:
    """One code: the integer, its bits, and its exact value."""

    code: int
    bits: str
    value: Value

    @property
    def text(self) -> str:
        """The value in decimal where that is short and exact, otherwise as significand * 2**exponent."""
        return value_text(self.value)


@dataclass(frozen=True, slots=True)
class Table:
    """Every code of a scalar format, in code order."""

    name: str
    rows: tuple[TableRow, ...]

    def __len__(self) -> int:
        return len(self.rows)

    def __str__(self) -> str:
        width = max(len(row.bits) for row in self.rows)
        lines = [f"{row.code:>6} {row.bits:>{width}}  {row.text}" for row in self.rows]
        return "\n".join([f"{self.name}: {len(self.rows)} codes", *lines])


def table(fmt: Format | str) -> Table:
    """Every code of a scalar format of up to 16 bits with its exact value; of a block format, its element's.

    Raises ValueError for formats whose elements are of several scalar formats (take one of them), and for wider ones.
    """
    from formats.block import element_of

    scalar = element_of(get(fmt))
    rows = tuple(TableRow(code, format(code, f"0{scalar.bits}b"), value) for code, value in enumerate(scalar.values()))
    return Table(scalar.name, rows)


def value_text(value: Value) -> str:
    """An exact value as text: "nan", "-inf", "-0", "0.375", or "5 * 2**-40"."""
    if isinstance(value, Special):
        return str(value.value)
    sign = "-" if value.negative else ""
    if value.significand == 0:
        return f"{sign}0"
    fraction = abs(value.fraction)
    if -20 <= floor_log2(fraction) <= 40 and fraction.denominator <= 2**20:
        return f"{sign}{_decimal(fraction)}"
    shift = (value.significand & -value.significand).bit_length() - 1
    odd, exponent = value.significand >> shift, value.exponent + shift
    return f"{sign}{f'{odd} * ' if odd != 1 else ''}2**{exponent}"


def _decimal(x: Fraction) -> str:
    """A dyadic fraction in decimal, exactly."""
    places = x.denominator.bit_length() - 1
    digits = str(x.numerator * 5**places).rjust(places + 1, "0")
    return digits if places == 0 else f"{digits[:-places]}.{digits[-places:]}"


def describe(fmt: Format | str) -> str:
    """A format in a few lines: what it is made of, its range, its bits per element, and what has been shown of it."""
    description = get(fmt)
    known = entry(description)
    head = f"{known.name if known else description.name}"
    lines = (
        _sum(description)
        if isinstance(description, Sum)
        else _scaled(description)
        if isinstance(description, Scaled)
        else _scalar(description)
    )
    return "\n".join([head, *(f"  {line}" for line in [*lines, *(_provenance(known) if known else [])])])


def _provenance(line: Entry) -> list[str]:
    shown = f"{line.tier}, against {line.oracle}" if line.oracle else line.tier
    cast = [f"its source rounds: {cast_text(line.cast)}"] if line.cast else []
    return [f"source: {line.source} ({shown})", *cast, *([f"note: {line.note}"] if line.note else [])]


def cast_text(cast: Cast) -> str:
    """A cast as the arguments that differ from the default."""
    default = Cast()
    words = [
        f"{name}={getattr(cast, name)!r}"
        for name in cast.__dataclass_fields__
        if getattr(cast, name) != getattr(default, name)
    ]
    return f"Cast({', '.join(words)})"


def _scalar(fmt: Scalar) -> list[str]:
    lines = [f"{type(fmt).__name__} of {fmt.bits} bits, {'signed' if fmt.signed else 'unsigned'}"]
    lines.append(f"range {real_text(fmt.min_finite)} to {real_text(fmt.max_finite)}, smallest {_smallest(fmt)}")
    if fmt.bits <= 16:
        values = fmt.values()
        finite = {value.fraction for value in values if isinstance(value, Dyadic)}
        specials = [f"{sum(value is s for value in values)} {s.value}" for s in Special if s in values]
        minus_zero = any(isinstance(v, Dyadic) and v.negative and v.significand == 0 for v in values)
        extras = [*specials, *(["a minus zero"] if minus_zero else [])]
        lines.append(f"{len(values)} codes, {len(finite)} values" + (f", {', '.join(extras)}" if extras else ""))
    return lines


def _smallest(fmt: Scalar) -> str:
    return f"above zero {real_text(fmt.min_positive)}" if fmt.min_positive > 0 else "none above zero"


def real_text(x: Fraction) -> str:
    """A dyadic rational as text, for reading: exact where short, else six digits, else a power of two."""
    if x == 0 or (x.denominator <= 2**12 and abs(x) < 2**24):
        return ("-" if x < 0 else "") + _decimal(abs(x))
    exponent = floor_log2(abs(x))
    if abs(x) == Fraction(2) ** exponent:
        return f"{'-' if x < 0 else ''}2**{exponent}"
    if -1000 < exponent < 1024:
        return f"{float(x):.6g}"
    return f"{'-' if x < 0 else ''}{float(abs(x) / Fraction(2) ** exponent):.6g} * 2**{exponent}"


def _scaled(fmt: Scaled) -> list[str]:
    element = fmt.element
    lines = [_element_text(element, fmt.block)]
    lines.append(f"one scale for {_block_text(fmt.block)}: {_field_text(fmt.scale)}")
    lines.append(f"scale rule {fmt.rule}: {RULES[fmt.rule].means} ({RULES[fmt.rule].source})")
    if fmt.offset is not None:
        lines.append(f"zero point: {_field_text(fmt.offset)}")
    if fmt.shift is not None:
        lines.append(f"shift added: {_field_text(fmt.shift)}")
    if fmt.negative is not None:
        lines.append(f"negative elements have scales of their own: {_field_text(fmt.negative)}")
    if fmt.layout != "dense":
        lines.append(f"codes lie as {fmt.layout}")
    return [*lines, f"{_bits_text(fmt.bits_per_element)} bits per element"]


def _element_text(element: Any, block: Block) -> str:
    if isinstance(element, Choice):
        chosen = " or ".join(candidate.name for candidate in element.candidates)
        return f"elements {chosen}, chosen for {_block_text(element.block or block)} by {element.criterion}"
    if isinstance(element, Pair):
        normal, outlier = (candidate.name for candidate in candidates_of(element))
        return f"pairs of {normal}, an outlier, from {element.threshold:g} on, as {outlier} in the place of both"
    if isinstance(element, Promoted):
        normal, largest = (candidate.name for candidate in candidates_of(element))
        return f"elements {normal}, the largest of a block in {largest}, found by an index of {element.index_bits} bits"
    if isinstance(element, Nested):
        inner = [line for line in _scaled(element.format) if not line.startswith(("scale rule", "codes lie"))]
        return "integers made of " + "; ".join(inner[:-1])
    return f"elements {element.name}, {real_text(element.min_finite)} to {real_text(element.max_finite)}"


def _block_text(block: Block) -> str:
    if block.flat:
        return f"{block.shape[0]} elements of the flattened array" if block.shape[0] else "the whole tensor"
    if block.shape == (0,):
        return "each row along the axis"
    extents = " x ".join(str(extent) if extent else "all" for extent in block.shape)
    return f"{extents} elements along the axis" if len(block.shape) == 1 else f"tiles of {extents}"


def _field_text(field: Field) -> str:
    fmt = field.format
    text = (
        fmt.name
        if not isinstance(fmt, Scaled)
        else (f"{fmt.element.name}, themselves under a scale for {_block_text(fmt.block)} in {_field_text(fmt.scale)}")
    )
    where = f", one for {_block_text(field.block)}" if field.block is not None else ""
    rounding = f", rounded {field.rounding}" if field.rounding != "ties_to_even" else ""
    return text + where + rounding


def _bits_text(bits: Fraction) -> str:
    return f"{float(bits):.6g}"


def _sum(fmt: Sum) -> list[str]:
    lines = [f"the sum of {len(fmt.terms)} encodings, {_bits_text(fmt.bits_per_element)} bits per element"]
    for number, term in enumerate(fmt.terms):
        lines += [f"term {number}: {term.name if len(term.name) < 60 else 'block format'}"]
        lines += [f"  {line}" for line in _scaled(term)]
    return lines
