"""MacPE: a multiply-accumulate unit for a pair of formats; the datapath follows from them."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Literal, cast

import formats as nf
from formats.arithmetic.multipliers.base import Multiplier
from hwsim import price
from hwsim.circuit import Module
from hwsim.circuit.counts import counted
from hwsim.circuit.network import leaf_paths
from hwsim.cost import Cost
from hwsim.pe import arguments
from hwsim.pe.circuit import Mac, mac
from hwsim.pe.edge import Edge, block_edge, result_edge
from hwsim.pe.embeds import embeds
from hwsim.pe.names import multiplier_name, register_name, table_name
from hwsim.pe.pipelining import pipelined
from hwsim.pe.row_sum import RowSum
from hwsim.pe.scales import Scales, edge_every, scales_of
from hwsim.pe.series import Matrices, Series, series
from hwsim.pe.stimulus import Operands
from hwsim.technology import Technology, technology

if TYPE_CHECKING:
    from hwsim.rtl.proof import Proof


@dataclass(frozen=True, slots=True)
class MacPE:
    """accumulator += a * b, `lanes` products a cycle, one clock cycle from operands to register.

    a, b: names or formats; a is the left operand of a product (m x k), b the right (k x n). A Scaled operand is its
        element here; its scales are units at the array's edge (`block_edge`, once per `edge_every` terms, and
        `result_edge`, once per result). A Codebook is looked up in a constant table of operand_format.
        Elements are integers, minifloats and codebooks; scales, of one level or two, integers and minifloats. Others
        (posits, elements of several formats, sums, scales that are codebooks) are refused by name.
    multiplier: exact, shift-only, L-Mul or rounded, a name or a description of formats' multipliers.
    accumulator: of the elements' products, inside the PE: nf.Exact, nf.Integer, nf.FloatChain, nf.Aligned, or a name of
        one ("hopper_fp8"). None: for block-scaled operands Exact(max_terms=block); for two integers Integer(32), wider
        if 16384 terms need it; else Exact(max_terms=16384). But FloatChain("float32") where a float operand has 16 bits
        or more (bfloat16, float16), or the exact register would take more than 80.
    lanes: products per cycle into one register: an adder tree before a fixed-point register, a chain of float adders in
        ascending k before a float one. An aligned register takes its own number where lanes is 1.
    stages: pipeline registers before the accumulation, whose own loop is never cut: 0..3, behind the product, the
        decoders and the shifters. Array cycle counts do not include their latency. `pipelined` picks them for a clock.
    operand_format: of a looked-up Codebook; bfloat16. Entries are rounded to it and may become one: e2m3fn keeps 14 of
        nf4's 16 apart, int4 three. `name` says how many, and the largest error.
    edge_accumulator: float register that block sums are added into; FloatChain("float32") where there are block scales.
    specials: "finite": infinities and NaN do not occur; "full": they are as the formats have them (float registers).
    """

    a: nf.Format | str
    b: nf.Format | str
    _: KW_ONLY
    multiplier: Multiplier | str = "exact"
    accumulator: nf.Accumulator | str | None = None
    lanes: int = 1
    stages: int = 0
    operand_format: nf.Scalar | str = "bfloat16"
    edge_accumulator: nf.FloatChain | None = None
    specials: Literal["finite", "full"] = "finite"

    def __post_init__(self) -> None:
        for side in ("a", "b"):
            self._set(side, nf.get(getattr(self, side)))
        self._set("operand_format", arguments.read_operand_format(self.operand_format))
        self._set("multiplier", arguments.read_multiplier(self.multiplier))
        for count in ("lanes", "stages"):
            self._set(count, arguments.read_count(count, getattr(self, count)))
        self._set("accumulator", arguments.read_accumulator(self.accumulator))
        arguments.check_edge_accumulator(self.edge_accumulator)
        arguments.check_counts(self.lanes, self.stages)
        for side in ("a", "b"):
            arguments.check_operand(side, getattr(self, side), cast(nf.Scalar, self.operand_format))
        if self.accumulator is None:
            self._set("accumulator", arguments.default_accumulator(self._wired, self.edge_every, self.specials))
        if isinstance(self.accumulator, nf.Aligned) and self.lanes == 1:
            self._set("lanes", self.accumulator.terms)
        arguments.check_row_sums(self.a_format, self.b_format)
        arguments.check_terms(self.a_format, self.b_format, self.edge_every, self.lanes, self._accumulator)
        if self.edge_every is not None and self.edge_accumulator is None:
            self._set("edge_accumulator", nf.FloatChain("float32"))
        _ = self.wiring.register_bits  # refuses what there are no wires for, Exact() without max_terms too

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    @property
    def name(self) -> str:
        """For tables: "e4m3fn x e2m1fn, fixed 46". PEs of other wires or edge units have other names; what is usual
        (rounding to nearest even, a table's bfloat16, blocks summed in float32) is left out."""
        usual_blocks = self.edge_accumulator in (None, nf.FloatChain("float32"))
        books = tuple(fmt for fmt in (self.wiring.a, self.wiring.b) if isinstance(fmt, nf.Codebook))
        parts = [
            f"{self.a_format.name} x {self.b_format.name}",
            table_name(books, cast(nf.Scalar, self.operand_format)),
            "" if self.wiring.exact_products else multiplier_name(self._multiplier),
            register_name(self._accumulator, self.accumulator_bits),
            f"{self.lanes} lanes" if self.lanes > 1 else "",
            f"{self.stages} stages" if self.stages else "",
            "specials" if self.specials == "full" else "",
            "" if usual_blocks else f"blocks in {self._total.name}",
        ]
        return ", ".join(part for part in parts if part)

    @property
    def a_format(self) -> nf.Format:
        """`a` as a description."""
        return cast(nf.Format, self.a)  # __post_init__ replaced the name

    @property
    def b_format(self) -> nf.Format:
        """`b` as a description."""
        return cast(nf.Format, self.b)

    @property
    def macs_per_cycle(self) -> int:
        """Multiply-accumulates a cycle."""
        return self.lanes

    @property
    def accumulator_bits(self) -> int:
        """Width of the register in the PE."""
        return self.wiring.register_bits

    @property
    def float_register(self) -> nf.Minifloat | None:
        """The register's format; None where it is in fixed point."""
        how = self._accumulator
        return how.format if isinstance(how, nf.FloatChain | nf.Aligned) else None

    @property
    def edge_every(self) -> int | None:
        """Terms of k per use of a block-scale unit; None where no scale changes along k."""
        return edge_every(*self._scales())

    @property
    def wiring(self) -> Mac:
        """What decides the cell's wires."""
        return self._wired(self._accumulator)

    def module(self) -> Module:
        """The cell as wires: ports a and b (codes of all lanes, the first lowest), clear, and sum, the register.

        A one at clear starts a new sum with the products of that cycle. With specials="finite" codes of infinity and
        NaN are read as the numbers their fields spell, and a float register's overflow is not treated. Raises
        ValueError for more stages than the wires can be cut by.
        """
        return mac(self.wiring)

    def verilog(self) -> str:
        """The cell as Verilog-2005: leaves, then modules, then the cell, every signal by its name."""
        from hwsim.rtl.writer import verilog

        return verilog(self.module())

    def prove(self) -> Proof:
        """The cell's gates, as yosys makes them without a library, against the formats' own arithmetic.

        Needs pyosys (pip install bitcost[rtl]). The proof says whether it is one, or so many vectors (hwsim.pe.prove).
        """
        from hwsim.pe.prove import prove

        return prove(self.wiring)

    @property
    def block_edge(self) -> Edge | None:
        """The block-scale unit, used once per `edge_every` terms; None without block scales. Wires: hwsim.pe.edge."""
        return block_edge(*self._scales(), *self._sum, self._total, self.lanes)

    @property
    def result_edge(self) -> Edge | None:
        """What scales a result once (per-token, channel and tensor scales); None where nothing does.

        The vector unit does this, for every pair of formats alike: its energy is counted once per result, its area is
        the vector unit's.
        """
        return result_edge(*self._scales(), *self._sum, self._total, self.lanes)

    @property
    def row_sums(self) -> dict[str, RowSum]:
        """What sums the elements of side "a" or "b" along k, because of the other side's zero point or shift. One
        serves a whole row or column of an array."""
        edges = (self.block_edge, self.result_edge)
        return {side: one for what in edges if what is not None for side, one in what.row_sums.items()}

    @property
    def flip_flops(self) -> int:
        """Flip-flops of the cell: the register's, and those of ranks."""
        return counted(self.module()).flip_flops

    def gate_equivalents(self) -> Cost:
        """Combinational gates of the cell in GE (areas of a NAND2), without a library; flip-flops are counted apart."""
        return price.gate_equivalents(self.module())

    def area_um2(self, tech: str | Technology) -> Cost:
        """Area of the cell, without edge units: as synthesised where the technology's table has it, else estimated."""
        return price.area_um2(self.module(), tech)

    def delay_ns(self, tech: str | Technology) -> Cost:
        """Shortest clock period, without wires and set-up time."""
        return price.delay_ns(self.module(), tech)

    def energy_pj(self, tech: str | Technology, operands: Operands | Matrices = "normal") -> Cost:
        """Energy of one cycle in which all lanes work, glitches included; without edge units.

        operands: "uniform", "normal", "student_t" or "weight_held" (hwsim.pe.stimulus says what they are), or a pair of
        matrices (a, b) of shapes (m, k) and (k, n), a model's own tensors say, that are quantised to the PE's formats,
        scales included, and read as an output-stationary PE reads them.
        """
        what, node = self.wiring, technology(tech).name
        if isinstance(operands, str):
            return _energy(what, node, operands)
        return price.energy_pj(self.module(), node, self._series(operands), normal=series(what, "normal"))

    def leakage_mw(self, tech: str | Technology) -> Cost:
        """Static power of the cell."""
        return price.leakage_mw(self.module(), tech)

    def breakdown(
        self,
        tech: str | Technology,
        quantity: Literal["area", "energy"] = "area",
        operands: Operands | Matrices = "normal",
    ) -> dict[str, Cost]:
        """Area (um2) or energy (pJ) of every leaf of the module by path; they sum to the whole.

        A whole that was synthesised is shared out as the estimate would.
        """
        if quantity not in ("area", "energy"):
            raise ValueError(f"breakdown: asks for 'area' or 'energy', got {quantity!r}; delays do not add over leaves")
        node, module = technology(tech).name, self.module()
        if quantity == "area":
            whole, parts = self.area_um2(tech), price.estimated_um2(module, node)
        else:
            whole, parts = (
                self.energy_pj(tech, operands),
                price.estimated_fj(module, node, self._series(operands)),
            )
        shares = parts / parts.sum()
        return {
            path: replace(whole * float(share), status="estimated", source=f"share of: {whole.source}")
            for path, share in zip(leaf_paths(module), shares, strict=True)
        }

    def pipelined(self, tech: str | Technology, period_ns: float) -> MacPE:
        """This PE with the fewest stages whose delay is within the period. Raises ValueError where none is, saying what
        the fastest takes: the accumulation's loop is never cut."""
        return pipelined(self, tech, period_ns)

    def takes(self, a: nf.Format | str, b: nf.Format | str) -> bool:
        """Whether a feeds the PE's left and b its right operand unchanged: every value is a value of the PE's format,
        with the same scales."""
        return embeds(nf.get(a), self.a_format) and embeds(nf.get(b), self.b_format)

    def supports(self, a: nf.Format | str, b: nf.Format | str) -> bool:
        """Whether operands of these formats can be fed to this PE, as they are or with sides swapped."""
        return self.takes(a, b) or self.takes(b, a)

    @property
    def _accumulator(self) -> nf.Accumulator:
        return cast(nf.Accumulator, self.accumulator)  # __post_init__ set it

    @property
    def _multiplier(self) -> Multiplier:
        return cast(Multiplier, self.multiplier)

    @property
    def _sum(self) -> tuple[nf.Minifloat | int, int]:
        """What leaves the register: a float format, or bits and the exponent of their unit."""
        return (self.accumulator_bits, self.wiring.unit) if self.float_register is None else (self.float_register, 0)

    @property
    def _total(self) -> nf.Minifloat:
        return (self.edge_accumulator or nf.FloatChain("float32")).format

    def _wired(self, accumulator: nf.Accumulator) -> Mac:
        a, b = (nf.element_of(fmt) for fmt in (self.a_format, self.b_format))
        tables = isinstance(a, nf.Codebook) or isinstance(b, nf.Codebook)
        return Mac(
            a=a, b=b, accumulator=accumulator, lanes=self.lanes, stages=self.stages, specials=self.specials,
            operand_format=cast(nf.Scalar, self.operand_format) if tables else None, multiplier=self._multiplier,
        )  # fmt: skip

    def _series(self, operands: Operands | Matrices) -> Series:
        return series(self.wiring, operands, (self.a_format, self.b_format))

    def _scales(self) -> tuple[Scales, Scales]:
        return scales_of(self.a_format), scales_of(self.b_format)


@cache
def _energy(what: Mac, node: str, operands: Operands) -> Cost:
    return price.energy_pj(mac(what), node, series(what, operands), operands)
