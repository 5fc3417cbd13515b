"""The multiply-accumulate as a wired module: operands decoded, multiplied, accumulated, held."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cache
from typing import Literal

import numpy as np

import formats as nf
from formats.arithmetic.accumulators import product_ulp_exponent
from formats.arithmetic.exact_values import dyadic
from formats.arithmetic.multipliers.base import Multiplier
from formats.called import called
from formats.exact import Dyadic
from hwsim.circuit import Bits, Build, Module
from hwsim.pe import fixed, floating
from hwsim.pe.aligned import aligned_step, check_aligned
from hwsim.pe.float_rounding import style_of
from hwsim.pe.lmul import lmul
from hwsim.pe.multiply import product
from hwsim.pe.number import Number, decoded, slug
from hwsim.pe.rounded import rounded
from hwsim.pe.specials import marked

CUTS = ("product", "decode", "place")  # the longest paths first


@dataclass(frozen=True, kw_only=True, slots=True)
class Mac:
    """What decides a multiply-accumulate's wires: formats of the operands, the register, products a cycle.

    operand_format: what a Codebook's values are looked up in, rounded to it.
    specials: "finite": infinities and NaN, of operands and register, and sums beyond the register's range do not occur
        (a register that saturates is clamped); "full": all are as the formats have them. For float registers.
    multiplier: ExactProduct, ShiftOnly of all bits (the same wires), LMul, RoundedProduct.
    stages: ranks of registers before the register's own loop, 0..3: behind the product, the decoders, the shifters.
    """

    a: nf.Scalar
    b: nf.Scalar
    accumulator: nf.Accumulator
    lanes: int = 1
    operand_format: nf.Scalar | None = None
    stages: int = 0
    specials: Literal["finite", "full"] = "finite"
    multiplier: Multiplier = field(default_factory=nf.ExactProduct)

    def __post_init__(self) -> None:
        if self.specials not in ("finite", "full"):
            raise ValueError(f"MacPE: specials must be finite or full, got {self.specials!r}")
        _check_multiplier(self.multiplier)
        if not isinstance(self.accumulator, nf.Integer | nf.Exact | nf.FloatChain | nf.Aligned):
            raise ValueError(
                f"MacPE: there are wires for Integer, Exact, FloatChain and Aligned registers, got {self.accumulator}"
            )
        if isinstance(self.accumulator, nf.Aligned):
            check_aligned(self.accumulator, self.factors, self.lanes)
            if not _exact(self.multiplier):
                raise ValueError(f"MacPE: a matrix unit's products are exact, got {self.multiplier!r}")
        self.multiplier.check(*self.factors)
        if isinstance(self.multiplier, nf.LMul) and (self.a, self.b) != self.factors:
            raise ValueError("MacPE: there are no wires for L-Mul of looked-up codebooks; take formats of its own")
        if self.specials == "full" and not isinstance(self.accumulator, nf.FloatChain):
            raise ValueError(
                f"MacPE: {self.accumulator} holds no infinity and no NaN; use specials='finite' or a FloatChain"
            )
        if not 0 <= self.stages <= len(CUTS):
            raise ValueError(f"MacPE: wires can be cut by 0..{len(CUTS)} ranks of registers, got stages={self.stages}")
        how = self.accumulator
        if isinstance(how, nf.Integer) and how.overflow == "saturate" and how.every != self.lanes:
            raise ValueError(
                f"MacPE: {self.lanes} lanes are added before the register is clamped, got {how}; say every={self.lanes}"
            )

    @property
    def cuts(self) -> tuple[str, ...]:
        """Behind what the ranks are."""
        return CUTS[: self.stages]

    @property
    def factors(self) -> tuple[nf.Scalar, nf.Scalar]:
        """The formats that meet at the multiplier."""
        return self._factor(self.a), self._factor(self.b)

    def _factor(self, fmt: nf.Scalar) -> nf.Scalar:
        if not isinstance(fmt, nf.Codebook):
            return fmt
        if self.operand_format is None:
            raise ValueError(f"MacPE: {called(fmt)} is looked up in a table; say operand_format")
        return self.operand_format

    @property
    def exact_products(self) -> bool:
        """Whether products are exact: shifting by a power of two is one way to make them."""
        return _exact(self.multiplier)

    @property
    def register_bits(self) -> int:
        """Flip-flops of the register."""
        how = self.accumulator
        if not isinstance(how, nf.Exact) or _exact(self.multiplier):
            return nf.accumulator_bits(*self.factors, how)
        if how.max_terms is None:
            raise ValueError("MacPE: Exact() has no width; pass Exact(max_terms=...)")
        return 1 + (how.max_terms * int(self._largest_product() / Fraction(2) ** self.unit)).bit_length()

    @property
    def unit(self) -> int:
        """The exponent of a fixed register's last place. An exact one holds all that the multiplier makes."""
        unit = product_ulp_exponent(*self.factors)
        if isinstance(self.accumulator, nf.Exact) and not _exact(self.multiplier):
            return min(unit, self.multiplier.output(*self.factors)[1])
        return unit

    def _largest_product(self) -> Fraction:
        """Magnitudes of approximate products grow with both operands', or end at a format's largest value."""
        how, (a, b) = self.multiplier, self.factors
        if isinstance(how, nf.RoundedProduct):
            return Fraction(how.format.max_finite)
        assert isinstance(how, nf.LMul)
        if how.form == "integer_add":
            return Fraction(a.max_finite)
        product = how.product(dyadic(Fraction(a.max_finite)), dyadic(Fraction(b.max_finite)), a, b)
        assert isinstance(product, Dyadic)
        return Fraction(product.fraction)

    @property
    def name(self) -> str:
        """A module's name: operands, register, lanes."""
        sides = [
            slug(fmt.name) + (f"_in_{slug(factor.name)}" if fmt != factor else "")
            for fmt, factor in zip((self.a, self.b), self.factors, strict=True)
        ]
        lanes = [f"{self.lanes}lanes"] if self.lanes > 1 else []
        stages = [f"{self.stages}stages"] if self.stages else []
        how = [] if _exact(self.multiplier) else [_named(self.multiplier)]
        return "_".join(["mac", *sides, *how, self._register, *lanes, *stages])

    @property
    def _register(self) -> str:
        if isinstance(self.accumulator, nf.FloatChain):
            style = style_of(self.accumulator, self.specials).name
            return slug(self.accumulator.format.name) + ("" if style == "ties_to_even" else f"_{style}")
        if isinstance(self.accumulator, nf.Aligned):
            return slug(repr(self.accumulator))
        saturate = isinstance(self.accumulator, nf.Integer) and self.accumulator.overflow == "saturate"
        return f"fixed{self.register_bits}{'_saturate' if saturate else ''}"


def _exact(how: Multiplier) -> bool:
    """Whether products are exact: shifting by a power of two is one way to make them."""
    return isinstance(how, nf.ExactProduct) or (isinstance(how, nf.ShiftOnly) and how.fraction_bits is None)


def _check_multiplier(how: Multiplier) -> None:
    if not (_exact(how) or isinstance(how, nf.LMul | nf.RoundedProduct)):
        raise ValueError(f"MacPE: there are wires for ExactProduct, ShiftOnly(), LMul and RoundedProduct, got {how!r}")
    if isinstance(how, nf.RoundedProduct) and not (how.format.signed and how.format.subnormals):
        raise ValueError(f"MacPE: products are rounded to a signed format with subnormals, got {how.format.name}")


def _named(how: Multiplier) -> str:
    """A multiplier that is not exact as part of a name."""
    if isinstance(how, nf.RoundedProduct):
        return slug(f"rounded {how.format.name} {how.rounding} {how.overflow}")
    assert isinstance(how, nf.LMul)
    offset = "" if how.offset is None else f" l{how.offset}"
    return slug(f"lmul {how.form} {how.policy}{offset}" if how.form == "integer_add" else f"lmul formula{offset}")


@cache
def mac(what: Mac) -> Module:
    """Ports: a and b, `lanes` codes each, the first lowest; clear: 1 starts a new sum; sum: the register.

    random: of a stochastic register, the integers R of the lanes' additions, random_bits each, the first lowest.
    """
    if isinstance(what.accumulator, nf.FloatChain):
        return _floating(what, what.accumulator)
    if isinstance(what.accumulator, nf.Aligned):
        return _aligned(what, what.accumulator)
    return _fixed(what)


def _fixed(what: Mac) -> Module:
    width = what.register_bits
    saturate = isinstance(what.accumulator, nf.Integer) and what.accumulator.overflow == "saturate"
    m = Build(what.name)
    numbers = products(m, what)
    clear = m.input("clear", 1)
    # Where sums wrap, only the bits that the register keeps count.
    most = None if saturate else width
    terms = [
        fixed.placed(m, f"place{_lane(what, lane)}", number, most, what.unit) for lane, number in enumerate(numbers)
    ]
    term = fixed.summed(m, "lanes", terms, most)
    if "place" in what.cuts:
        term = fixed.Placed(held(m, "placed", term.row), term.signed, held_sign(m, "placed_sign", term.sign))
    total = m.register("total", width)
    m.drive("total", fixed.accumulate(m, "accumulate", total, term, late(m, what, clear), saturate))
    m.output("sum", total)
    return m.done()


def _floating(what: Mac, chain: nf.FloatChain) -> Module:
    fmt = chain.format
    m = Build(what.name)
    numbers = products(m, what)
    clear = m.input("clear", 1)
    style = style_of(chain, what.specials)
    draw = style.random_bits
    random = late(m, what, m.input("random", draw * what.lanes), "random") if draw else None
    total = m.register("total", fmt.bits)
    addends = [floating.magnitude(m, f"magnitude{_lane(what, lane)}", x) for lane, x in enumerate(numbers)]
    if "place" in what.cuts:
        addends = [held_number(m, f"addend{_lane(what, lane)}", x) for lane, x in enumerate(addends)]
    keep = m.leaf("keep", "inverter", width=1, a=late(m, what, clear))
    value = m.leaf("cleared", "and_gate", width=fmt.bits, a=total, b=keep.repeat(fmt.bits))
    for lane, addend in enumerate(addends):
        drawn = None if random is None else random[draw * lane : draw * (lane + 1)]
        value = floating.float_add(m, f"add{_lane(what, lane)}", fmt, style, value, addend, drawn)
    m.drive("total", value)
    m.output("sum", total)
    return m.done()


def _aligned(what: Mac, how: nf.Aligned) -> Module:
    m = Build(what.name)
    numbers = products(m, what)
    clear = late(m, what, m.input("clear", 1))
    if "place" in what.cuts:
        raise ValueError(f"MacPE: a step of {how} is cut by at most 2 ranks of registers, got stages={what.stages}")
    total = m.register("total", how.format.bits)
    keep = m.leaf("keep", "inverter", width=1, a=clear)
    held_ = m.leaf("cleared", "and_gate", width=total.width, a=total, b=keep.repeat(total.width))
    m.drive("total", aligned_step(m, how, numbers, held_))
    m.output("sum", total)
    return m.done()


def products(m: Build, what: Mac) -> list[Number]:
    """Every lane's exact product."""
    rows = [m.input(side, fmt.bits * what.lanes) for side, fmt in (("a", what.a), ("b", what.b))]
    found = []
    for lane in range(what.lanes):
        full = what.specials == "full"
        if isinstance(what.multiplier, nf.LMul):
            codes = [
                row[width * lane : width * (lane + 1)]
                for row, width in zip(rows, (what.a.bits, what.b.bits), strict=True)
            ]
            names = [f"decoded_{side}{_lane(what, lane)}" for side in "ab"]
            if "decode" in what.cuts:
                codes = [held(m, name, code) for name, code in zip(names, codes, strict=True)]
            fmt = what.factors[0]
            assert isinstance(fmt, nf.Minifloat)
            made = lmul(m, f"product{_lane(what, lane)}", what.multiplier, fmt, (codes[0], codes[1]), full)
            found.append(held_number(m, f"multiplied{_lane(what, lane)}", made) if "product" in what.cuts else made)
            continue
        pair = []
        for side, fmt, factor, row in zip("ab", (what.a, what.b), what.factors, rows, strict=True):
            code = row[fmt.bits * lane : fmt.bits * (lane + 1)]
            pair.append(_operand(m, side + _lane(what, lane), what, fmt, factor, code))
        if "decode" in what.cuts:
            pair = [held_number(m, f"decoded_{side}{_lane(what, lane)}", x) for side, x in zip("ab", pair, strict=True)]
        made = product(m, f"product{_lane(what, lane)}", *pair)
        if isinstance(what.multiplier, nf.RoundedProduct):
            made = floating.magnitude(m, f"product_size{_lane(what, lane)}", made)
            made = rounded(m, f"product{_lane(what, lane)}", what.multiplier, made, full)
        found.append(held_number(m, f"multiplied{_lane(what, lane)}", made) if "product" in what.cuts else made)
    return found


def held(m: Build, name: str, row: Bits) -> Bits:
    """The row a clock cycle later."""
    found = m.register(name, row.width)
    m.drive(name, row)
    return found


def held_sign(m: Build, name: str, row: Bits | None) -> Bits | None:
    """As `held`, where there is a row."""
    return None if row is None else held(m, name, row)


def held_number(m: Build, name: str, x: Number) -> Number:
    """The number a clock cycle later; its factors are not held."""
    parts = {"significand": x.significand, "sign": x.sign, "exponent": x.exponent, "below_zero": x.below_zero}
    parts |= {"nan": x.nan, "infinite": x.infinite}
    held_parts = {part: held_sign(m, f"{name}_{part}", row) for part, row in parts.items()}
    return replace(x, factors=None, **held_parts)  # type: ignore[arg-type]


def late(m: Build, what: Mac, row: Bits, name: str = "clear") -> Bits:
    """The row as late as the products."""
    for rank in range(what.stages):
        row = held(m, f"{name}_late{rank}", row)
    return row


def _operand(m: Build, name: str, what: Mac, fmt: nf.Scalar, factor: nf.Scalar, code: Bits) -> Number:
    """A lane's operand, looked up first where it is a Codebook."""
    if isinstance(fmt, nf.Codebook):
        code = m.leaf(
            f"lookup_{name}",
            "lookup",
            address=fmt.bits,
            width=factor.bits,
            contents=table(fmt, factor),
            index=code,
        )
    x = decoded(m, f"decode_{name}", factor, code)
    return marked(m, f"special_{name}", factor, code, x) if what.specials == "full" else x


@cache
def table(fmt: nf.Codebook, factor: nf.Scalar) -> int:
    """The codes of a Codebook's values in another format, rounded to nearest, side by side, the first lowest.

    Codes beyond the last entry do not exist; their words are 0.
    """
    values = nf.decode_codes(fmt, np.arange(len(fmt.entries)), np.float64)
    codes = nf.encode_codes(factor, np.nan_to_num(values), nf.Cast(overflow="saturate"))
    return sum(int(code) << (factor.bits * place) for place, code in enumerate(np.asarray(codes).tolist()))


def _lane(what: Mac, lane: int) -> str:
    return str(lane) if what.lanes > 1 else ""
