"""Dot products in a column of DSP48E2 slices, several packed side by side: exact sums, slices, cycles, LUTs.

    chain = DspChain(packing=PACKINGS["int8x2"], terms=16)      # two dot products of 16 terms that share an operand
    chain.dsps, chain.segments, chain.latency_cycles            # 16, (6, 5, 5), 12
    sums = chain.run(wide, narrow)                              # slice by slice and cycle by cycle

A slice holds one term of every product; partial sums go up the column through PCOUT. A column longer than the packing
allows is cut into segments (the reduction nodes of FlightLLM, FPGA'24), whose sums are taken apart, corrected and added
in LUTs. One set of dot products enters a cycle, each term a cycle after the one below it (`entry_cycles`).

Not modelled: the wires of a column that ends and goes on in the next, clocks, and yosys' own packing, which makes no
such columns for UltraScale+.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, log2

import numpy as np
from numpy.typing import NDArray

from hwsim.fpga.chain import Chain
from hwsim.fpga.dsp48e2 import MULTIPLY, Z_PCIN, Z_ZERO, Dsp48e2, Inputs
from hwsim.fpga.packed_verilog import parameters
from hwsim.fpga.packing import A_PLUS_D, NARROW, Lane, Packing, extract, pins, product_range, safe_terms

Words = NDArray[np.int64]

# The pre-adder joins the wide lanes; every register a column at full speed has is on.
SLICE = Dsp48e2(
    areg=1, dreg=1, adreg=1, breg=2, mreg=1, preg=1, creg=0, amultsel="ad",
    opmodereg=0, carryinselreg=0, alumodereg=0, inmodereg=0, carryinreg=0,
)  # fmt: skip
_ENABLES = ("A1", "A2", "B1", "B2", "C", "D", "AD", "M", "P", "CTRL", "ALUMODE", "INMODE", "CARRYIN")
_RESETS = ("A", "B", "C", "D", "M", "P", "CTRL", "ALUMODE", "INMODE", "ALLCARRYIN")


@dataclass(frozen=True, kw_only=True, slots=True)
class DspChain:
    """packing: of hwsim.fpga.PACKINGS, corrected in full, with products apart. terms: of each dot product.

    Raises ValueError for a packing whose sums a column cannot hold, saying which can.
    """

    packing: Packing
    terms: int

    def __post_init__(self) -> None:
        scheme = self.packing
        if self.terms < 1:
            raise ValueError(f"DspChain: terms must be at least 1, got {self.terms}")
        word = sum(lane.range[1] << lane.offset for lane in scheme.narrow)
        if scheme.correction != "full" or scheme.padding < 0 or word >= 1 << (NARROW - 1) or not safe_terms(scheme):
            raise ValueError(
                f"DspChain: packing {scheme.name!r} makes no exact sums in a column; take correction='full', products "
                f"apart (padding 0 or more) and a narrow word below 2**17, as int8x2 and int4x4_full have"
            )

    @property
    def safe_terms(self) -> int:
        """Terms that a segment may have for all operands."""
        return safe_terms(self.packing)

    @property
    def segments(self) -> tuple[int, ...]:
        """Terms of each segment, as equal as can be."""
        count = ceil(self.terms / self.safe_terms)
        return tuple(len(part) for part in np.array_split(np.arange(self.terms), count))

    @property
    def entry_cycles(self) -> tuple[int, ...]:
        """Cycles after the first operands of a set at which each term's enter: segments end together."""
        longest = max(self.segments)
        return tuple(place + longest - count for count in self.segments for place in range(count))

    @property
    def dsps(self) -> int:
        """Slices: one a term."""
        return self.terms

    @property
    def multiplications_per_dsp(self) -> int:
        """Products of a slice in a cycle."""
        return len(self.packing.products)

    @property
    def latency_cycles(self) -> int:
        """Clock edges from the first term's operands to the sums at the outputs."""
        return SLICE.latency + max(self.segments) - 1 + 1 + self._tree_ranks

    @property
    def cycles_per_result(self) -> int:
        """Cycles from one set of dot products to the next."""
        return 1

    @property
    def luts(self) -> int:
        """Of the corrections and of the adders that join segments: a LUT a bit, as an adder has them on a device.

        A correction adds the bit below a field; its first carry takes a LUT as well: of four INT4 27, as published.
        """
        widths = self._widths(self.segments)
        corrections = sum(row[k] + 1 for row in widths for k in self._corrected)
        return corrections + sum(width for level in self._tree for width in level)

    @property
    def flip_flops(self) -> int:
        """Behind the corrections, and behind every level of adders."""
        held = sum(sum(row) for row in self._widths(self.segments))
        counts = self.segments
        for _ in range(self._tree_ranks):
            counts = _joined(counts)
            held += sum(sum(row) for row in self._widths(counts))
        return held

    @property
    def result_bits(self) -> tuple[int, ...]:
        """Width of each sum, lowest offset first."""
        return self._widths((self.terms,))[0]

    @property
    def _tree_ranks(self) -> int:
        return ceil(log2(len(self.segments)))

    @property
    def _tree(self) -> list[list[int]]:
        """Bits of the adders of each level."""
        levels, counts = [], self.segments
        for _ in range(self._tree_ranks):
            sums = [a + b for a, b in zip(counts[::2], counts[1::2], strict=False)]
            levels.append([width for row in self._widths(tuple(sums)) for width in row])
            counts = _joined(counts)
        return levels

    @property
    def _corrected(self) -> list[int]:
        """Products above one that may be negative."""
        return [k + 1 for k, product in enumerate(self.packing.products[:-1]) if product.signed]

    def _widths(self, counts: tuple[int, ...]) -> list[tuple[int, ...]]:
        """Bits of each product's sum of so many terms."""
        found = []
        for count in counts:
            ranges = [product_range(self.packing, product) for product in self.packing.products]
            # A field of one term has its product's width, whatever the operands.
            found.append(
                tuple(
                    product.bits
                    if count == 1
                    else max((count * high).bit_length(), (-count * low - 1).bit_length() if low < 0 else 0)
                    + product.signed
                    for product, (low, high) in zip(self.packing.products, ranges, strict=True)
                )
            )
        return found

    def run(self, wide: Words, narrow: Words) -> Words:
        """Sums (sets, products) of the operands (sets, terms, lanes), a set a cycle through the slices' registers.

        Raises ValueError for operands outside their lanes, and for other shapes.
        """
        wide, narrow = np.asarray(wide, np.int64), np.asarray(narrow, np.int64)
        if wide.ndim != 3 or narrow.ndim != 3 or not wide.shape[1] == narrow.shape[1] == self.terms:
            raise ValueError(
                f"DspChain: operands are (sets, {self.terms} terms, lanes), got {wide.shape} and {narrow.shape}"
            )
        total: Words = np.zeros((len(wide), len(self.packing.products)), np.int64)
        first = 0
        for count in self.segments:
            part = slice(first, first + count)
            total = total + self._segment(wide[:, part], narrow[:, part])
            first += count
        return total

    def _segment(self, wide: Words, narrow: Words) -> Words:
        sets, count = wide.shape[:2]
        given = pins(self.packing, wide, narrow)
        column = Chain(slices=(SLICE,) * count)
        states = column.reset()
        found: list[Words] = []
        for cycle in range(sets + SLICE.latency + count - 1):
            now = []
            for term in range(count):
                at = cycle - term  # the set whose operands this slice gets now
                a, b, d = (np.asarray(word)[at, term] if 0 <= at < sets else 0 for word in (given.a, given.b, given.d))
                opmode = MULTIPLY | (Z_PCIN if term else Z_ZERO)
                now.append(Inputs(a=a, b=b, d=d, inmode=A_PLUS_D, opmode=opmode))
            outs, states = column.step(states, now)
            found.append(outs[-1].p)
        p = np.array(found[SLICE.latency + count - 1 :], np.int64)
        return extract(self.packing, p, wide[:, -1], narrow[:, -1], terms=count)

    @property
    def name(self) -> str:
        """Of the Verilog module."""
        return f"chain_{self.packing.name.replace('-', '_')}_{self.terms}terms"

    def verilog(self) -> str:
        """One module: clk; wide and narrow, all terms' lanes, the first lowest, each term at its entry cycle; result,
        the sums, lowest offset first, latency_cycles after the first. Needs nothing but the vendor's DSP48E2."""
        scheme = self.packing
        wide_bits, narrow_bits = (sum(lane.bits for lane in lanes) for lanes in (scheme.wide, scheme.narrow))
        lines = [
            f"module {self.name} (",
            "  input wire clk,",
            f"  input wire [{self.terms * wide_bits - 1}:0] wide,",
            f"  input wire [{self.terms * narrow_bits - 1}:0] narrow,",
            f"  output wire [{sum(self.result_bits) - 1}:0] result",
            ");",
        ]
        term = 0
        for segment, count in enumerate(self.segments):
            for place in range(count):
                lines += _slice(scheme, term, place, wide_bits, narrow_bits)
                term += 1
            lines += self._corrections(segment, count, term - 1)
        lines += self._joins()
        ends = [f"s{self._tree_ranks}_0_{k}" for k in range(len(scheme.products))]
        lines.append(f"  assign result = {{{', '.join(reversed(ends))}}};")
        return "\n".join([*lines, "endmodule", ""])

    def _corrections(self, segment: int, count: int, last: int) -> list[str]:
        """The sums of a segment out of its last slice's P, registered."""
        lines = []
        for k, (product, width) in enumerate(zip(self.packing.products, self._widths((count,))[0], strict=True)):
            name = f"s0_{segment}_{k}"
            field = f"p{last}[{product.offset + width - 1}:{product.offset}]"
            if k in self._corrected:
                field += f" + p{last}[{product.offset - 1}]"
            lines += _register(name, width, product.signed, field)
        return lines

    def _joins(self) -> list[str]:
        """The tree of adders, a register behind each."""
        lines: list[str] = []
        counts = self.segments
        for level in range(self._tree_ranks):
            after = _joined(counts)
            for place, row in enumerate(self._widths(after)):
                for k, (product, width) in enumerate(zip(self.packing.products, row, strict=True)):
                    terms = [f"s{level}_{at}_{k}" for at in (2 * place, 2 * place + 1) if at < len(counts)]
                    lines += _register(f"s{level + 1}_{place}_{k}", width, product.signed, " + ".join(terms))
            counts = after
        return lines


def _joined(counts: tuple[int, ...]) -> tuple[int, ...]:
    """Terms of each sum after one more level of adders."""
    return tuple(sum(counts[at : at + 2]) for at in range(0, len(counts), 2))


def _register(name: str, width: int, signed: bool, value: str) -> list[str]:
    kind = "reg signed" if signed else "reg"
    return [f"  {kind} [{width - 1}:0] {name};", f"  always @(posedge clk) {name} <= {value};"]


def _slice(scheme: Packing, term: int, place: int, wide_bits: int, narrow_bits: int) -> list[str]:
    """A slice and the words at its pins."""
    words = []
    for port, lanes, bits in (("wide", scheme.wide, wide_bits), ("narrow", scheme.narrow, narrow_bits)):
        low, terms = term * bits, []
        for lane in lanes:
            terms.append(_placed(f"{port}[{low + lane.bits - 1}:{low}]", f"{port}[{low + lane.bits - 1}]", lane))
            low += lane.bits
        words.append(terms)
    low_lanes, narrow = words[0][:-1] or ["48'd0"], words[1]
    joint = " + " if any(lane.signed for lane in scheme.narrow) else " | "
    wired = {
        "A": f"a{term}[29:0]", "B": f"b{term}[17:0]", "C": "48'd0", "D": f"d{term}[26:0]", "P": f"p{term}",
        "PCOUT": f"up{term}", "PCIN": f"up{term - 1}" if place else "48'd0",
        "OPMODE": f"9'd{MULTIPLY | (Z_PCIN if place else Z_ZERO)}", "INMODE": f"5'd{A_PLUS_D}", "ALUMODE": "4'd0",
        "CARRYINSEL": "3'd0", "CARRYIN": "1'b0", "CLK": "clk",
        **{f"CE{name}": "1'b1" for name in _ENABLES}, **{f"RST{name}": "1'b0" for name in _RESETS},
    }  # fmt: skip
    pins_ = ", ".join(f".{pin}({wire})" for pin, wire in wired.items())
    return [
        f"  wire [47:0] a{term} = {' + '.join(low_lanes)};",
        f"  wire [47:0] d{term} = {words[0][-1]};",
        f"  wire [47:0] b{term} = {joint.join(narrow)};",
        f"  wire [47:0] p{term}, up{term};",
        f"  DSP48E2 #({parameters(SLICE)}) slice{term} ({pins_});",
    ]


def _placed(bits: str, top: str, lane: Lane) -> str:
    rest = 48 - lane.bits - lane.offset
    parts = [f"{{{rest}{{{top}}}}}" if lane.signed else f"{rest}'d0", bits]
    return "{" + ", ".join([*parts, *([f"{lane.offset}'d0"] if lane.offset else [])]) + "}"
