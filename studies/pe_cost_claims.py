"""What papers say a PE costs beside what the same flow makes of both sides: ratio, interval, verdict, what flips it.

    for row in claim_rows(): print(row["claim"], row["case"], row["ours"], row["verdict"])

Published figures are constants with their place; ours are computed from the tables of hwsim/technology each time. A
claim holds where our whole interval lies within the published range, does not where none of it does, and is undecided
otherwise. A figure without a range of its own is given SLACK: flows and libraries of papers are not ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache, partial
from math import ceil
from pathlib import Path
from typing import Literal

import formats as nf
from hwsim.pe.catalogue import catalogue
from hwsim.pe.mac import MacPE
from hwsim.pe.papers.lookup import LookupDot
from hwsim.pe.units.lookups import LookupCell, LookupEdge, LookupRow, SignTree
from hwsim.pe.units.unit import MultiplyAccumulate, Unit
from hwsim.published.lmul import CLAIMS
from hwsim.published.student_float import ROWS
from hwsim.technology import technologies
from hwsim.technology.coefficients import between_libraries
from studies.common import Row, read_csv
from studies.pe_cost_curves import PES, at_equal_delay, curves
from studies.pe_cost_designs import Design, Quantity, Ratio, ratio, ratio_of_leaves

Verdict = Literal["holds", "does not hold", "undecided"]
# Blocks of BitMoD's public RTL in TSMC's 28 nm and in sky130 by yosys: areas relative to the whole agree within 14 %.
SLACK = 1.15
PERIODS = Path(__file__).with_name("results") / "pe_cost_periods.csv"
TERMS = 256  # of exact registers, as table 10 of Learning from Students has it
INT8 = "mac_int8_int8_fixed32"
FP8 = "FP8 versus INT8 (arXiv 2303.17951), abstract"
LMUL = "Addition is All You Need (arXiv 2410.00907), abstract"
LUT = "LUT Tensor Core (arXiv 2408.06003)"
STUDENT = "Learning from Students (ICML 2024), table 10"
BITMOD = "BitMoD (HPCA 2025), PE_Area_Power.xlsx of github.com/yc2367/BitMoD"


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """A published figure beside one reading of it.

    published: as printed.  low, high: the ratios it stands for; None: open.  ours: the ratio, computed when called.
    assumption: what the reading assumes; the claim's other readings that come out otherwise are what flips it.
    """

    claim: str
    source: str
    published: str
    low: float | None
    high: float | None
    case: str
    quantity: Quantity
    assumption: str
    ours: Callable[[], Ratio]


def verdict(low: float, high: float, published_low: float | None, published_high: float | None) -> Verdict:
    """Of an interval against a published range, either end of which may be open."""
    least = 0.0 if published_low is None else published_low
    most = float("inf") if published_high is None else published_high
    if least <= low and high <= most:
        return "holds"
    return "does not hold" if high < least or low > most else "undecided"


def mac(a: str, b: str, accumulator: nf.Accumulator, **how: object) -> MacPE:
    """A MacPE."""
    return MacPE(a, b, accumulator=accumulator, **how)  # type: ignore[arg-type]


EXACT, HALF, SINGLE = nf.Exact(max_terms=TERMS), nf.FloatChain("float16"), nf.FloatChain("float32")
REGISTERS: dict[str, nf.Accumulator] = {"exact register": EXACT, "float16 register": HALF, "float32 register": SINGLE}


def _fp8() -> Iterator[Claim]:
    """Twice eight bits: a floating-point MAC against the integer one with a register of 32 bits."""
    cases = [
        (f"{fmt}, {name}", Design.of(mac(fmt, fmt, how)), Design.of(INT8), "one product a cycle")
        for fmt in ("e4m3fn", "e5m2")
        for name, how in REGISTERS.items()
    ]
    unit = mac("e4m3fn", "e4m3fn", nf.Aligned(4, 13), lanes=4)
    dot = Design.of("mac_int8_int8_fixed32_4lanes")
    cases.append(("e4m3fn, four aligned products", Design.of(unit), dot, "four products a cycle, as matrix units"))
    for case, ours, theirs, how in cases:
        for quantity in _quantities(case):
            yield Claim(
                claim="FP8 MACs are 50 % to 180 % less efficient than INT8 MACs", source=FP8, published="+50..180 %",
                low=1.5, high=2.8, case=case, quantity=quantity,
                assumption=f"the register: {case}; {how}; {_clock(quantity)}",
                ours=partial(ratio, ours, theirs, quantity),
            )  # fmt: skip


def _at_equal_delay() -> Iterator[Claim]:
    """Two of these at the fastest that both can be, by the committed curves of one library."""
    for name in ("mac_e4m3fn_e4m3fn_fixed45", "mac_e4m3fn_e4m3fn_float32"):
        yield Claim(
            claim="FP8 MACs are 50 % to 180 % less efficient than INT8 MACs", source=FP8, published="+50..180 %",
            low=1.5, high=2.8, case=f"{PES[name]}, as fast as it can be, int8 no slower", quantity="area",
            assumption="equal delay, ranks of registers allowed; one library, widened to what others would say",
            ours=partial(_curves_ratio, name),
        )  # fmt: skip


def _curves_ratio(name: str) -> Ratio:
    rows = read_csv(PERIODS).rows
    found, node = curves(rows), str(rows[0]["technology"])
    value, spread = at_equal_delay(found[name], found[INT8]), between_libraries("area")
    return Ratio(value=value, low=value / spread, high=value * spread, status="tested", by_library={node: value})


def _quantities(case: str) -> tuple[Quantity, ...]:
    """Normal operands reach their format's largest value, so that sums leave float16: such energies mean nothing."""
    return ("area", "area x delay") if "float16 register" in case else ("area", "area x delay", "energy")


ADD = nf.LMul("integer_add", policy="flush_and_saturate")


def _product(path: str) -> bool:
    """Leaves of a multiplier whose product is a code again; reading that code is the adder's."""
    return path.startswith(("decode", "product")) and not path.startswith(("product_read", "product_decode"))


def _lmul() -> Iterator[Claim]:
    """Multipliers alone, then whole MACs."""
    for fmt in ("e4m3fn", "bfloat16", "float16", "float32"):
        pair = [
            MultiplyAccumulate(what=mac(fmt, fmt, SINGLE, multiplier=how).wiring)
            for how in (ADD, nf.RoundedProduct(fmt))
        ]
        yield Claim(
            claim="L-Mul saves 95 % of the energy of element-wise products", source=LMUL, published="-95 %",
            low=None, high=0.055, case=f"{fmt} multiplier", quantity="energy",
            assumption="synthesised multipliers, rounded to their format, instead of an operation table",
            ours=partial(ratio_of_leaves, (pair[0], _product), (pair[1], _product), "energy"),
        )  # fmt: skip
    forms: tuple[tuple[str, nf.Accumulator, Literal["formula", "integer_add"]], ...] = (
        ("e4m3fn", EXACT, "integer_add"),
        ("e4m3fn", EXACT, "formula"),
        ("e4m3fn", SINGLE, "integer_add"),
        ("bfloat16", SINGLE, "integer_add"),
        ("float16", SINGLE, "integer_add"),
        ("float32", SINGLE, "integer_add"),
    )
    for fmt, how, form in forms:
        ours, theirs = mac(fmt, fmt, how, multiplier=nf.LMul(form)), mac(fmt, fmt, how)
        held = "float32 registers" if how is SINGLE else "exact registers"
        widths = f"{ours.accumulator_bits} and {theirs.accumulator_bits} bits"
        yield Claim(
            claim="L-Mul saves 80 % of the energy of dot products", source=LMUL, published="-80 %",
            low=None, high=0.25, case=f"{fmt}, {form}, {held}", quantity="energy",
            assumption=f"whole MACs, {held} of {widths}",
            ours=partial(ratio, Design.of(ours), Design.of(theirs), "energy"),
        )  # fmt: skip
    for published in CLAIMS:
        if published.published_percent is not None:
            limit = 0.055 if published.published_percent == 95 else 0.25
            left = float(1 - published.saved)
            yield Claim(
                claim=f"L-Mul saves {published.published_percent} % of the energy of "
                f"{'element-wise' if limit < 0.1 else 'dot'} products",
                source=LMUL, published=f"-{published.published_percent} %", low=None, high=limit,
                case=f"operation table, {published.what}", quantity="energy",
                assumption="Horowitz's energies of whole operations: " + " + ".join(published.new) + " for "
                + " + ".join(published.old),
                ours=partial(_exactly, left),
            )  # fmt: skip


def _exactly(value: float) -> Ratio:
    """An arithmetic ratio, the same in every library."""
    return Ratio(
        value=value, low=value, high=value, status="proved", by_library={node: value for node in technologies()}
    )


def _half_tables() -> LookupDot:
    int8 = nf.get("int8")
    assert isinstance(int8, nf.FixedPoint)
    return LookupDot(activation=int8, planes=2)


def lookup(columns: int | None) -> Design:
    """A W2A8 product by lookup: two planes of four weights; a table's edge shared by so many columns, None: not ours.

    A cell is half of what a row of two columns takes beyond its edge.
    """
    what = _half_tables()
    row, edge = LookupRow(what=what, columns=2), LookupEdge(what=replace(what, planes=1))
    products = Fraction(what.group, what.planes)  # a cycle and column
    cells = Design.of(row, 2 * products) + Design.of(edge, 2 * products) * -1
    return cells if columns is None else cells + Design.of(edge, columns * products)


def break_even(baseline: Design) -> str:
    """Columns from which on the lookup is smaller than a baseline, per library."""
    found = []
    for node in technologies():
        cells, whole = (lookup(columns).figure(node, "area").value for columns in (None, 1))
        gap = baseline.figure(node, "area").value - cells
        found.append(f"{ceil((whole - cells) / gap)}" if gap > 0 else "never")
    return ", ".join(f"{node} {columns}" for node, columns in zip(technologies(), found, strict=True))


SHARING: tuple[tuple[int | None, str], ...] = (
    (None, "table and generator elsewhere, as published"),
    (64, "edge shared by 64 columns"),
    (16, "edge shared by 16 columns"),
)


def _clock(quantity: Quantity) -> str:
    return "each at its own clock" if quantity == "area x delay" else "one clock for both"


def _lut() -> Iterator[Claim]:
    """Density of W2A8: area a product of the baseline over the lookup's."""
    tree = SignTree(what=_half_tables())
    baselines = {
        "weights as int8, one product a cycle": Design.of(INT8),
        "weights as int8, dot product of 4": Design.of("mac_int8_int8_fixed32_4lanes"),
        "native 8 x 2 multipliers, dot product of 4": Design.of("mac_int8_int2_fixed32_4lanes"),
        "add/subtract tree, bit-serial": Design.of(tree),
    }
    for name, baseline in baselines.items():
        readings: tuple[tuple[int | None, str, Quantity], ...] = tuple(
            (columns, where, quantity) for columns, where in SHARING for quantity in ("area", "area x delay")
        )
        for columns, where, quantity in readings:
            yield Claim(
                claim="W2A8 by lookup has 3.49 times the density of an INT8 tensor core",
                source=f"{LUT}, table 1", published="61.84 / 17.73 TOPs/mm2", low=3.49 / SLACK, high=3.49 * SLACK,
                case=f"against {name}; {where}", quantity=quantity,
                assumption=f"the baseline: {name}; {where}; {_clock(quantity)}; columns from which the lookup is "
                f"smaller: {break_even(baseline)}",
                ours=partial(ratio, baseline, lookup(columns), quantity),
            )  # fmt: skip
    short = Design.of(LookupCell(what=replace(_half_tables(), entry_bits=8)))
    for name, baseline in baselines.items():
        yield Claim(
            claim="W2A8 by lookup has 3.49 times the density of an INT8 tensor core",
            source=f"{LUT}, table 1", published="61.84 / 17.73 TOPs/mm2", low=3.49 / SLACK, high=3.49 * SLACK,
            case=f"against {name}; entries of 8 bits, made elsewhere", quantity="area",
            assumption=f"the baseline: {name}; tables are rounded to 8 bits",
            ours=partial(ratio, baseline, short, "area"),
        )  # fmt: skip
    whole, half = "int8_group4_16entries11b", "int8_group4_8entries10b"
    for columns, where in SHARING:
        sides = []
        for table in (whole, half):
            cell, edge = Design.of(f"lookup_{table}_acc32"), Design.of(f"edge_{table}")
            sides.append(cell if columns is None else cell + edge * Fraction(1, columns))
        yield Claim(
            claim="halving the tables makes the tensor core 1.317 times smaller", source=f"{LUT}, table 2",
            published="17,271.71 / 13,116.60", low=1.317 / SLACK, high=1.317 * SLACK,
            case=f"16 entries against 8; {where}", quantity="area", assumption=f"exact entries; {where}",
            ours=partial(ratio, sides[0], sides[1], "area"),
        )  # fmt: skip


FOUR_BITS = {"INT5": "int5", "E2M1": "e2m1fn", "E3M0": "e3m0fn"}


def _students() -> Iterator[Claim]:
    """MACs with lossless registers over INT4's."""
    base = ROWS["INT4"]
    four = Design.of(mac("int4", "int4", EXACT))
    for name, fmt in FOUR_BITS.items():
        pe, row = mac(fmt, fmt, EXACT), ROWS[name]
        assert pe.accumulator_bits == row.accumulator_bits
        figures: dict[Quantity, tuple[str, str]] = {
            "area": (row.mac_um2, base.mac_um2),
            "energy": (row.power_uw, base.power_uw),
        }
        for quantity, printed in figures.items():
            figure = float(printed[0]) / float(printed[1])
            unit = "um2" if quantity == "area" else "uW"
            for what, low, high in (
                (f"{figure:.2f} times INT4's", figure / SLACK, figure * SLACK),
                ("more than INT4's", 1.0, None),
            ):
                yield Claim(
                    claim=f"{name}'s MAC takes {what}{' power' if quantity == 'energy' else ''}", source=STUDENT,
                    published=f"{printed[0]} / {printed[1]} {unit}", low=low, high=high,
                    case=f"{fmt}, register of {pe.accumulator_bits} bits", quantity=quantity,
                    assumption="a flow for area; two's complement against sign and magnitude",
                    ours=partial(ratio, Design.of(pe), four, quantity),
                )  # fmt: skip


PE_UM2 = {"exponent match": 119.2, "bit-serial multiply": 498.4, "group sum": 475.9, "dequantise": 128.1}
PE_STAGES = {"exponent match": "match/", "bit-serial multiply": "multiply/", "group sum": "accumulate/",
             "dequantise": "scale/"}  # fmt: skip
FLOAT16_PE = {
    "one rounding, float16 register": mac("float16", "float16", HALF),
    "product rounded, then added, float16 register, a rank between": mac(
        "float16", "float16", HALF, multiplier=nf.RoundedProduct("float16"), stages=1
    ),
    "one rounding, float32 register": mac("float16", "float16", SINGLE),
    "product rounded, infinities and NaN, float16 register, two ranks": mac(
        "float16", "float16", HALF, multiplier=nf.RoundedProduct("float16"), stages=2, specials="full"
    ),
}


def _bitmod() -> Iterator[Claim]:
    """The PE of four lanes, whole, over a float16 MAC; its stages' logic over the whole."""
    pe = catalogue()["bitmod_pe_as_published"].what
    for name, base in FLOAT16_PE.items():
        figures: dict[Quantity, tuple[float, float]] = {"area": (1793.7, 1968.7), "energy": (0.586, 0.77)}
        for quantity, printed in figures.items():
            if quantity not in _quantities(name):
                continue
            figure = printed[0] / printed[1]
            unit = "um2" if quantity == "area" else "mW at 1 GHz"
            for per, what in ((1, "a PE"), (pe.terms, "a multiply-accumulate of 4-bit weights")):
                share = figure / float(per)
                yield Claim(
                    claim=f"BitMoD's takes {share:.2f} of the {'power' if quantity == 'energy' else 'area'} "
                    f"of a float16 PE, {what}",
                    source=BITMOD, published=f"{printed[0]} / {printed[1]} {unit}", low=share / SLACK,
                    high=share * SLACK, case=f"float16 PE: {name}", quantity=quantity,
                    assumption=f"the baseline's register: {name}",
                    ours=partial(ratio, Design.of(pe, per), Design.of(base), quantity),
                )  # fmt: skip
    whole = sum(PE_UM2.values())
    for stage, published in PE_UM2.items():
        yield Claim(
            claim=f"{stage} is {published / whole:.0%} of the PE's logic", source=BITMOD,
            published=f"{published} / {whole:g} um2", low=published / whole / SLACK, high=published / whole * SLACK,
            case="bitmod_pe_as_published, registers and control apart", quantity="area",
            assumption="stages as the modules of the RTL are cut",
            ours=partial(_stage, pe, stage),
        )  # fmt: skip


def _stage(pe: Unit, stage: str) -> Ratio:
    own, every = PE_STAGES[stage], tuple(PE_STAGES.values())
    return ratio_of_leaves((pe, lambda path: path.startswith(own)), (pe, lambda path: path.startswith(every)), "area")


GROUPS = {
    "fp8": _fp8,
    "fp8_delay": _at_equal_delay,
    "lmul": _lmul,
    "lut": _lut,
    "student_float": _students,
    "bitmod": _bitmod,
}


@cache
def claims() -> tuple[Claim, ...]:
    """Every reading of every claim."""
    return tuple(claim for group in GROUPS.values() for claim in group())


def claim_row(claim: Claim) -> Row:
    """One reading, computed; without what flips it."""
    ours = claim.ours()
    return {
        "claim": claim.claim,
        "source": claim.source,
        "published": claim.published,
        "published_low": _short(claim.low),
        "published_high": _short(claim.high),
        "quantity": claim.quantity,
        "case": claim.case,
        "ours": _short(ours.value),
        "low": _short(ours.low),
        "high": _short(ours.high),
        **{node: _short(ours.by_library.get(node)) for node in technologies()},
        "status": ours.status,
        "verdict": verdict(ours.low, ours.high, claim.low, claim.high),
        "assumption": claim.assumption,
    }


def claim_rows() -> list[Row]:
    """Every reading, and those of the same claim, one thing changed, that come out otherwise."""
    rows = [claim_row(claim) for claim in claims()]
    for row in rows:
        others = [
            f"{other['case']}, {other['quantity']} ({other['verdict']})"
            for other in rows
            if other["claim"] == row["claim"]
            and (other["case"] == row["case"] or other["quantity"] == row["quantity"])
            and other["verdict"] != row["verdict"]
        ]
        row["flipped_by"] = " | ".join(others) or None
    return rows


def _short(x: float | None) -> float | None:
    return None if x is None else float(f"{x:.4g}")


def claims_text(rows: list[Row]) -> str:
    """The table for a terminal, a claim's readings under it."""
    lines: list[str] = []
    for row in rows:
        head = f"{row['claim']} [{row['source']}: {row['published']}]"
        if head not in lines:
            lines.append(head)
        lines.append(
            f"    {row['verdict']:<14}{row['ours']:>8.3f} ({row['low']:.3f}..{row['high']:.3f})  {row['quantity']:<13}"
            f"{row['case']}{' (estimated)' if row['status'] == 'estimated' else ''}"
        )
    return "\n".join(lines)
