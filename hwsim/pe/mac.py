"""MacPE: a multiply-accumulate unit for a pair of formats; the datapath follows from them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, replace
from fractions import Fraction
from functools import cache
from operator import index
from typing import TYPE_CHECKING, SupportsIndex, cast

import formats as nf
from formats.called import called
from formats.elements import Element
from hwsim.circuit import Module
from hwsim.component import Component, estimated, exact, leaf, leaf_exact, tree
from hwsim.cost import Cost
from hwsim.pe.circuit import Mac, mac
from hwsim.pe.datapath import Design, FixedRegister, FloatRegister
from hwsim.pe.operand import operand_of
from hwsim.pe.pricing import core_price
from hwsim.pe.scales import MAX_TERMS, Scales, block_unit, edge_every, result_unit, scales_of
from hwsim.technology import Technology, technology
from hwsim.technology.coefficients import Quantity

if TYPE_CHECKING:
    from hwsim.rtl.proof import Proof

WIDEST_FIXED_REGISTER = 80  # bits; the exact one of e5m2 x e5m2 takes 79, and less energy than float32


@dataclass(frozen=True, slots=True)
class MacPE:
    """accumulator += a * b, `lanes` products a cycle, one clock cycle from operands to register.

    a, b: names or formats; a is the left operand of a product (m x k), b the right (k x n). A Scaled operand is its
        element here; its scales are units at the array's edge (`edge_components`, once per `edge_every` terms, and
        `output_components`, once per result). A Codebook is looked up in a constant table of operand_format.
        Elements are integers, minifloats and codebooks; scales, of one level or two, integers and minifloats. Others
        (posits, elements of several formats, sums, scales that are codebooks) are refused by name.
    multiplier: "exact".
    accumulator: of the elements' products, inside the PE. None: for block-scaled operands Exact(max_terms=block); for
        two integers Integer(32), wider if 16384 terms need it; else Exact(max_terms=16384). But FloatChain("float32")
        where a float operand has 16 bits or more (bfloat16, float16), or the exact register would take more than 80.
    lanes: products per cycle into one register: an adder tree before a fixed-point register, a chain of float adders in
        ascending k before a float one.
    stages: pipeline registers before the accumulation, whose own loop is never cut. They change area, energy and delay;
        array cycle counts do not include their latency.
    operand_format: of a looked-up Codebook; bfloat16.
    edge_accumulator: float register that block sums are added into; FloatChain("float32") where there are block scales.
    """

    a: nf.Format | str
    b: nf.Format | str
    _: KW_ONLY
    multiplier: str = "exact"
    accumulator: nf.Accumulator | None = None
    lanes: int = 1
    stages: int = 0
    operand_format: nf.Scalar | str = "bfloat16"
    edge_accumulator: nf.FloatChain | None = None

    def __post_init__(self) -> None:
        for side in ("a", "b"):
            object.__setattr__(self, side, nf.get(getattr(self, side)))
        looked_up = nf.get(self.operand_format)
        if isinstance(looked_up, nf.Scaled | nf.Codebook):
            raise ValueError(f"MacPE: operand_format must be an integer or a minifloat, got {self.operand_format!r}")
        object.__setattr__(self, "operand_format", looked_up)
        if self.multiplier != "exact":
            raise ValueError(f"MacPE: multiplier must be 'exact', got {self.multiplier!r}")
        for count in ("lanes", "stages"):
            object.__setattr__(self, count, _whole(count, getattr(self, count)))
        _check_accumulators(self.accumulator, self.edge_accumulator)
        if self.lanes < 1 or self.stages < 0:
            raise ValueError(f"MacPE: needs lanes >= 1 and stages >= 0, got lanes={self.lanes}, stages={self.stages}")
        for side in ("a", "b"):
            self._check_operand(side, getattr(self, side))
        if self.accumulator is None:
            object.__setattr__(self, "accumulator", self._default_accumulator())
        if self.edge_every is not None and self.edge_accumulator is None:
            object.__setattr__(self, "edge_accumulator", nf.FloatChain("float32"))
        nf.accumulator_bits(*self._factors(), self._accumulator)  # refuses Exact() without max_terms

    @property
    def name(self) -> str:
        """Short, for tables: "e4m3fn x e2m1fn, fixed 46"."""
        kind = "fixed" if isinstance(self.register, FixedRegister) else "float"
        lanes = f", {self.lanes} lanes" if self.lanes > 1 else ""
        stages = f", {self.stages} stages" if self.stages else ""
        return f"{self.a_format.name} x {self.b_format.name}, {kind} {self.register.bits}{lanes}{stages}"

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
        return self.register.bits

    @property
    def register(self) -> FixedRegister | FloatRegister:
        """The accumulator as hardware."""
        return _register(*self._factors(), self._accumulator)

    @property
    def design(self) -> Design:
        """The part that a synthesised row may equal."""
        a, b = (operand_of(fmt) for fmt in self._factors())
        return Design(a=a, b=b, register=self.register, lanes=self.lanes)

    @property
    def edge_every(self) -> int | None:
        """Terms of k per use of a block-scale unit; None where no scale changes along k."""
        return edge_every(*self._scales())

    def components(self) -> Component:
        """The cell: the core, lookup tables and pipeline registers. Its edge units are not in it."""
        return tree("pe", self.design.core(), *self._extras())

    @property
    def wiring(self) -> Mac:
        """What decides the cell's wires."""
        a, b = (nf.element_of(fmt) for fmt in (self.a_format, self.b_format))
        tables = isinstance(a, nf.Codebook) or isinstance(b, nf.Codebook)
        return Mac(
            a=a, b=b, accumulator=self._accumulator, lanes=self.lanes, stages=self.stages,
            operand_format=nf.get(self.operand_format) if tables else None,  # type: ignore[arg-type]
        )  # fmt: skip

    def module(self) -> Module:
        """The cell as wires: ports a and b (codes of all lanes, the first lowest), clear, and sum, the register.

        A one at clear starts a new sum with the products of that cycle. Exact for finite operands whose sums the
        register holds: codes of infinity and NaN are read as the numbers their fields spell, and a float register's
        overflow is not treated. Raises ValueError for more stages than the wires can be cut by, and for roundings of
        a float register that are not built.
        """
        return mac(self.wiring)

    def verilog(self) -> str:
        """The cell as Verilog-2005: leaves, then modules, then the cell, every signal by its name."""
        from hwsim.rtl.writer import verilog

        return verilog(self.module())

    def gate_equivalents(self) -> Cost:
        """Combinational gates of the cell in GE (areas of a NAND2), without a library; flip-flops are counted apart.

        As yosys makes them where the cell is in the table (its netlist proved or tested), else estimated with an
        interval in which nine of ten PEs lay whose whole family was kept from the fit.
        """
        from hwsim.technology.gate_model import gates

        return gates(self.module())

    @property
    def flip_flops(self) -> int:
        """Flip-flops of the cell: the register's, and those of ranks."""
        leaves = self.module().leaves()
        return sum(leaf.parameters["width"] * count for leaf, count in leaves.items() if leaf.kind == "register")

    def prove(self) -> Proof:
        """The cell's gates, as yosys makes them without a library, against the formats' own arithmetic.

        Needs pyosys (pip install bitcost[rtl]). The proof says whether it is one, or so many vectors (hwsim.pe.prove).
        """
        from hwsim.pe.prove import prove

        return prove(self.wiring)

    def edge_components(self) -> Component | None:
        """The block-scale unit, used once per `edge_every` terms; None without block scales."""
        return self._unit(block_unit)

    def output_components(self) -> Component | None:
        """What scales a result once (per-token, channel and tensor scales); None where nothing does.

        The vector unit does this, for every pair of formats alike: its energy is counted once per result, its area is
        the vector unit's.
        """
        return self._unit(result_unit)

    def area_um2(self, tech: str | Technology) -> Cost:
        """Area of the cell, without edge units."""
        return self._cost("area", technology(tech))

    def energy_pj(self, tech: str | Technology) -> Cost:
        """Energy of one cycle in which all lanes work, both operands new. Without edge units.

        Raises ValueError naming the technologies with energy figures where this one has none.
        """
        technology(tech).check_energy()
        return self._cost("energy", technology(tech))

    def delay_ns(self, tech: str | Technology) -> Cost:
        """Shortest clock period, from abc's delays: no wires, no set-up time.

        With stages = s > 0 the part before the accumulation is cut into s equal pieces.
        """
        model = technology(tech)
        price = core_price(self.design, "delay", model)
        terms, accumulate = self.design.core().children
        before = exact(terms, "delay", model) * price.factor + exact(self._lookups(), "delay", model)
        loop = exact(accumulate, "delay", model) * price.factor
        total = max(before / self.stages, loop) if self.stages else before + loop
        cost = price.cost
        if not self.stages and not self._lookups().children:
            return cost
        cost = cost.widened(
            1.0, f"{cost.source}; cut by {self.stages} pipeline registers" if self.stages else cost.source
        )
        value = float(total)
        return replace(cost, value=value, low=value * cost.low / cost.value, high=value * cost.high / cost.value)

    def breakdown(self, tech: str | Technology, quantity: Quantity = "area") -> dict[str, Cost]:
        """Area (um2) or energy (pJ) of every leaf of `components()` by path; as rationals they sum to the whole.

        Where the whole was synthesised or corrected, every leaf of the core is multiplied by the same factor.
        """
        model = technology(tech)
        whole = self._cost(quantity, model)
        parts = self.exact_parts(model, quantity)
        total = sum(parts.values())
        # A leaf is never better known than the whole it was divided from, and not by itself synthesised.
        return {
            path: replace(
                estimated(part, quantity, model),
                low=min(float(part), whole.low * float(part / total)),
                high=max(float(part), whole.high * float(part / total)),
                source=f"share of: {whole.source}",
            )
            for path, part in parts.items()
        }

    def exact_parts(self, tech: Technology, quantity: Quantity) -> dict[str, Fraction]:
        """Area or energy of every leaf by path, as rational numbers."""
        if quantity == "delay":
            raise ValueError("breakdown: delays do not add over leaves; ask for 'area' or 'energy'")
        factor = core_price(self.design, quantity, tech).factor
        parts: dict[str, Fraction] = {}
        for place, child in enumerate(self.components().children):
            for part in child.leaves():
                value = leaf_exact(part, quantity, tech) * (factor if place == 0 else 1)
                parts[part.path] = parts.get(part.path, Fraction(0)) + value
        return parts

    def takes(self, a: nf.Format | str, b: nf.Format | str) -> bool:
        """Whether a feeds the PE's left and b its right operand unchanged: every value is a value of the PE's format,
        with the same scales."""
        return _embeds(nf.get(a), self.a_format) and _embeds(nf.get(b), self.b_format)

    def supports(self, a: nf.Format | str, b: nf.Format | str) -> bool:
        """Whether operands of these formats can be fed to this PE, as they are or with sides swapped."""
        return self.takes(a, b) or self.takes(b, a)

    @property
    def _accumulator(self) -> nf.Accumulator:
        if self.accumulator is None:
            raise TypeError("MacPE: accumulator is None")  # cannot happen: __post_init__ set it
        return self.accumulator

    def _scales(self) -> tuple[Scales, Scales]:
        return scales_of(self.a_format), scales_of(self.b_format)

    def _factors(self) -> tuple[nf.Scalar, nf.Scalar]:
        """The scalar formats that meet at the multiplier: elements, codebooks looked up."""
        return self._factor(self.a_format), self._factor(self.b_format)

    def _check_operand(self, side: str, fmt: nf.Format) -> None:
        """Raise what keeps a format from being an operand, under its name."""
        try:
            scales_of(fmt)
            operand_of(self._factor(fmt))
        except (TypeError, ValueError) as error:
            why = str(error).partition(": ")[2]
            raise type(error)(f"MacPE: {called(fmt)} cannot be operand {side}: {why}") from None

    def _factor(self, fmt: nf.Format) -> nf.Scalar:
        element = nf.element_of(fmt)
        return cast(nf.Scalar, self.operand_format) if isinstance(element, nf.Codebook) else element

    def _default_accumulator(self) -> nf.Accumulator:
        a, b = self._factors()
        terms = self.edge_every or MAX_TERMS
        bits = nf.accumulator_bits(a, b, nf.Exact(max_terms=terms))
        integers = isinstance(a, nf.FixedPoint) and isinstance(b, nf.FixedPoint)
        wide = any(isinstance(fmt, nf.Minifloat) and fmt.bits >= 16 for fmt in (a, b))
        if integers and self.edge_every is None:
            return nf.Integer(max(32, bits))
        if integers or (bits <= WIDEST_FIXED_REGISTER and not wide):
            return nf.Exact(max_terms=terms)
        return nf.FloatChain("float32")

    def _lookups(self) -> Component:
        """A table a lane for each codebook side."""
        width = cast(nf.Scalar, self.operand_format).bits
        sides = (("a", nf.element_of(self.a_format)), ("b", nf.element_of(self.b_format)))
        tables = [
            leaf(
                f"lookup_{side}",
                "lookup",
                address=fmt.bits,
                width=width,
                count=self.lanes,
                critical=side == "a" or not first,
            )
            for (side, fmt), first in zip(sides, (False, isinstance(sides[0][1], nf.Codebook)), strict=True)
            if isinstance(fmt, nf.Codebook)
        ]
        return tree("lookup", *tables)

    def _extras(self) -> list[Component]:
        """What is beside the core: tables, and a rank of registers per stage as wide as the products with exponents."""
        lookups = self._lookups()
        design = self.design
        wide = design.product_bits + design.sign_magnitude + max(design.a.exponent_bits, design.b.exponent_bits) + 1
        parts = [lookups] if lookups.children else []
        if self.stages:
            parts.append(tree("pipeline", leaf("rank", "register", width=wide * self.lanes, count=self.stages)))
        return parts

    def _unit(self, build: Callable[..., Component | None]) -> Component | None:
        chain = self.edge_accumulator or nf.FloatChain("float32")
        return build(*self._scales(), self.register, float_register(chain.format))

    def _cost(self, quantity: Quantity, tech: Technology) -> Cost:
        core = core_price(self.design, quantity, tech).cost
        extras = self._extras()
        if not extras:
            return core
        cost = core + estimated(exact(tree("extras", *extras), quantity, tech), quantity, tech)
        return replace(cost, value=float(sum(self.exact_parts(tech, quantity).values())))


def _whole(name: str, value: object) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"MacPE: {name} must be an integer, got {value!r} of type {type(value).__name__}")
    return index(cast(SupportsIndex, value))


def _check_accumulators(accumulator: object, edge: object) -> None:
    """Raise TypeError saying how a bare format name or width is written as an accumulator."""
    if not isinstance(accumulator, nf.Exact | nf.Integer | nf.FloatChain | None):
        meant = f"nf.Integer({accumulator})" if isinstance(accumulator, int) else f"nf.FloatChain({accumulator!r})"
        raise TypeError(
            f"MacPE: accumulator must be nf.Exact, nf.Integer or nf.FloatChain, got {accumulator!r}; say {meant}"
        )
    if not isinstance(edge, nf.FloatChain | None):
        raise TypeError(f"MacPE: edge_accumulator must be an nf.FloatChain, got {edge!r}; say nf.FloatChain('float32')")


@cache
def _register(a: nf.Scalar, b: nf.Scalar, accumulator: nf.Accumulator) -> FixedRegister | FloatRegister:
    if isinstance(accumulator, nf.FloatChain):
        return float_register(accumulator.format)
    return FixedRegister(bits=nf.accumulator_bits(a, b, accumulator))


def float_register(fmt: nf.Minifloat) -> FloatRegister:
    """A float format as a register."""
    return FloatRegister(significand_bits=fmt.trailing_significand_bits + 1, exponent_bits=fmt.exponent_bits)


def _embeds(inner: nf.Format | Element, outer: nf.Format | Element) -> bool:
    """Whether every finite value of inner is one of outer, scales being the same."""
    if inner == outer:
        return True
    if isinstance(inner, nf.Scaled) or isinstance(outer, nf.Scaled):
        if not (isinstance(inner, nf.Scaled) and isinstance(outer, nf.Scaled)):
            return False
        parts = [(fmt.scale, fmt.block, fmt.offset, fmt.shift, fmt.negative) for fmt in (inner, outer)]
        same = parts[0] == parts[1]
        return same and _embeds(inner.element, outer.element)
    if isinstance(inner, nf.FixedPoint) and isinstance(outer, nf.FixedPoint):
        fits = outer.min_finite <= inner.min_finite and inner.max_finite <= outer.max_finite
        return fits and inner.ulp_exponent >= outer.ulp_exponent
    if isinstance(inner, nf.Minifloat) and isinstance(outer, nf.Minifloat):
        return (
            inner.trailing_significand_bits <= outer.trailing_significand_bits
            and outer.min_finite <= inner.min_finite
            and inner.max_finite <= outer.max_finite
            and inner.ulp_exponent >= outer.ulp_exponent
        )
    return False
