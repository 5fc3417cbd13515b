"""Dot products of one-bit weights: by adding and subtracting activations, and by looking up their sums.

what = LookupDot(activation=nf.get("int8"))
lookup_edge(what), lookup_cell(what)        # the table of four activations, shared by a row; a column's lookup and sum
sign_tree(what)                             # the same dot product without a table

A weight bit of 1 is +1, of 0 is -1. Sources: LUT Tensor Core (arXiv 2408.06003): tables of 2**(K - 1) entries, K = 4,
negation folded into the stored weights, planes of wider weights one after another; FIGLUT (HPCA 2025): a half table's
generator with shared sums.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import formats as nf
from hwsim.circuit import Bits, Build, Module, cat, constant
from hwsim.pe import fixed
from hwsim.pe.number import slug
from hwsim.primitives import log2_ceil

GROUPS = (2, 3, 4, 5, 6)


@dataclass(frozen=True, kw_only=True, slots=True)
class LookupDot:
    """A dot product of `group` activations with as many one-bit weights, a cycle.

    activation: a signed integer format. half: whether the table has the entries of positive top weights only.
    entry_bits: of a table entry; None: as many as exact sums take. Fewer are for tables rounded elsewhere (INT8).
    register_bits: of the cell's sum, modulo 2**register_bits. planes: weight bits that a cell can take one after
    another: plane p counts 2**p.
    """

    activation: nf.FixedPoint
    group: int = 4
    half: bool = True
    entry_bits: int | None = None
    register_bits: int = 32
    planes: int = 1

    def __post_init__(self) -> None:
        if not isinstance(self.activation, nf.FixedPoint) or not self.activation.signed:
            raise ValueError(f"LookupDot: activation must be a signed integer format, got {self.activation!r}")
        if self.group not in GROUPS:
            raise ValueError(f"LookupDot: group must be one of {', '.join(map(str, GROUPS))}, got {self.group}")
        if self.entry_bits is not None and not 2 <= self.entry_bits <= self.exact_bits:
            raise ValueError(f"LookupDot: entries have 2..{self.exact_bits} bits, got entry_bits={self.entry_bits}")
        if self.register_bits < self.bits + self.planes - 1:
            raise ValueError(
                f"LookupDot: the register must hold an entry, {self.bits + self.planes - 1} bits, "
                f"got register_bits={self.register_bits}"
            )

    @property
    def exact_bits(self) -> int:
        """Bits of an exact entry."""
        # A positive last sign bounds entries by -group * 2**(bits - 1) and one less than its negative.
        return ((self.group << (self.activation.bits - 1)) - self.half).bit_length() + 1

    @property
    def bits(self) -> int:
        """Bits of an entry as the cells get it."""
        return self.exact_bits if self.entry_bits is None else self.entry_bits

    @property
    def entries(self) -> int:
        """Of the table."""
        return 1 << (self.group - self.half)

    @property
    def name(self) -> str:
        """Part of its modules' names."""
        parts = [slug(self.activation.name), f"group{self.group}", f"{self.entries}entries{self.bits}b"]
        return "_".join(parts)


def stored_weights(what: LookupDot, bits: int) -> int:
    """The weight bits as a cell reads them: under a half table the low ones inverted where the top one is 0."""
    top = bits >> (what.group - 1)
    return bits if top or not what.half else bits ^ ((1 << (what.group - 1)) - 1)


@cache
def table_generator(what: LookupDot) -> Module:
    """Ports: a, `group` activations, the first lowest; entries: exact, the first lowest.

    Entry i of a whole table has plus signs where i has ones, of a half one too, with the last activation's always plus.
    Sums of the lower activations' pairs of signs are made once and used for every sign of those above.
    """
    m = Build(f"table_{what.name}")
    width = what.activation.bits
    row = m.input("a", width * what.group)
    values = [row[width * i : width * (i + 1)].sign_extend(what.exact_bits) for i in range(what.group)]
    sums = _sums(m, "sum", values, what.exact_bits)
    if not what.half:
        rest = [_negative(m, f"negative{i}", sums[len(sums) - 1 - i]) for i in range(len(sums))]
        sums = rest + sums
    m.output("entries", cat(*reversed(sums)))
    return m.done()


def _sums(m: Build, name: str, values: list[Bits], width: int) -> list[Bits]:
    """All sums with the last value positive, entry i with plus signs where i has ones."""
    if len(values) == 1:
        return values
    half = len(values) // 2
    lower, upper = _sums(m, f"{name}_low", values[:half], width), _sums(m, f"{name}_high", values[half:], width)
    found: list[Bits] = []
    for i, high in enumerate(upper):
        # An index of the lower values whose last sign is minus is the negative of the sum of all signs turned.
        for j in range(2 * len(lower)):
            if j < len(lower):
                low = lower[len(lower) - 1 - j]
                found.append(m.leaf(f"{name}_{i}_{j}", "subtractor", width=width, a=high, b=low))
            else:
                found.append(m.leaf(f"{name}_{i}_{j}", "adder", width=width, a=high, b=lower[j - len(lower)]))
    return found


def _negative(m: Build, name: str, x: Bits) -> Bits:
    row: Bits = m.leaf(name, "subtractor", width=x.width, a=constant(0, x.width), b=x)
    return row


@cache
def lookup_edge(what: LookupDot) -> Module:
    """What a row shares: the generator and the table's registers. Ports: a; load: 1 takes a new table; entries.

    The table's registers hold while cells use it for their planes. Only for exact entries: what an INT8 table's scale
    is divided by, no source says.
    """
    if what.bits != what.exact_bits:
        raise ValueError(f"LookupDot: the edge makes exact entries of {what.exact_bits} bits, got {what.entry_bits}")
    m = Build(f"edge_{what.name}")
    a, load = m.input("a", what.activation.bits * what.group), m.input("load", 1)
    made = m.module("generator", table_generator(what), a=a)
    held = m.register("held", made.width)
    m.drive("held", m.leaf("next", "multiplexer", width=made.width, choices=2, words=cat(made, held), select=load))
    m.output("entries", held)
    return m.done()


@cache
def lookup_cell(what: LookupDot) -> Module:
    """A column. Ports: entries; weights: stored bits; plane (where there are several); clear; sum: the register."""
    m = Build(f"lookup_{what.name}_acc{what.register_bits}{f'_{what.planes}planes' if what.planes > 1 else ''}")
    entries, weights = m.input("entries", what.bits * what.entries), m.input("weights", what.group)
    plane = m.input("plane", log2_ceil(what.planes)) if what.planes > 1 else None
    clear = m.input("clear", 1)
    index = weights[: what.group - what.half]
    entry = m.leaf("choose", "multiplexer", width=what.bits, choices=what.entries, words=entries, select=index)
    minus = m.leaf("minus", "inverter", width=1, a=weights[-1]) if what.half else None
    term = fixed.Placed(_moved(m, entry, plane, what), True, minus)
    total = m.register("total", what.register_bits)
    m.drive("total", fixed.accumulate(m, "accumulate", total, term, clear))
    m.output("sum", total)
    return m.done()


def _moved(m: Build, entry: Bits, plane: Bits | None, what: LookupDot) -> Bits:
    if plane is None:
        return entry
    limit = entry.width + what.planes - 1
    row: Bits = m.leaf(
        "place", "expanding_shifter", width=entry.width, positions=what.planes - 1, limit=limit, signed_a=1,
        a=entry, amount=plane,
    )  # fmt: skip
    return row


@cache
def sign_tree(what: LookupDot) -> Module:
    """Activations added or subtracted. Ports: a; weights: bits, 1 for plus; plane; clear; sum: the register."""
    several = f"_{what.planes}planes" if what.planes > 1 else ""
    m = Build(f"signs_{slug(what.activation.name)}_group{what.group}_acc{what.register_bits}{several}")
    width = what.activation.bits
    row, weights = m.input("a", width * what.group), m.input("weights", what.group)
    plane = m.input("plane", log2_ceil(what.planes)) if what.planes > 1 else None
    clear = m.input("clear", 1)
    minus = m.leaf("minus", "inverter", width=what.group, a=weights)
    total = m.register("total", what.register_bits)
    terms = [fixed.Placed(row[width * i : width * (i + 1)], True, minus[i]) for i in range(what.group)]
    found = fixed.summed(m, "lanes", terms, None).row
    term = fixed.Placed(_moved(m, found, plane, what), True, None)
    m.drive("total", fixed.accumulate(m, "accumulate", total, term, clear))
    m.output("sum", total)
    return m.done()


@cache
def lookup_row(what: LookupDot, columns: int) -> Module:
    """An edge and `columns` cells. Ports: a, load; weights: a column's beside the next's; plane; clear; sum."""
    m = Build(f"row_{what.name}_{columns}columns")
    a, load = m.input("a", what.activation.bits * what.group), m.input("load", 1)
    weights, clear = m.input("weights", what.group * columns), m.input("clear", 1)
    shared = {"clear": clear} | ({"plane": m.input("plane", log2_ceil(what.planes))} if what.planes > 1 else {})
    entries = m.module("shared", lookup_edge(what), a=a, load=load)
    sums = [
        m.module(
            f"cell{i}", lookup_cell(what), entries=entries, weights=weights[what.group * i : what.group * (i + 1)],
            **shared,
        )
        for i in range(columns)
    ]  # fmt: skip
    m.output("sum", cat(*reversed(sums)))
    return m.done()
