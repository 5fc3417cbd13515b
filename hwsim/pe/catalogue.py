"""PEs by name: what is synthesised, proved or tested, and tabled, each in its family.

    catalogue()["mac_e4m3fn_e4m3fn_fixed45"].family         # "minifloat-exact"
    catalogue()["serial_int8_by8_16lanes_acc32"].terms      # Fraction(2, 1): products a cycle

A family is what is left out together when the estimate is judged: designs of one family are alike.
- "int": MACs of integers, BitFusion's bricks (partial products of 2 bits), MixPE's cell (partial products of 1 bit).
- "pot": a factor is a power of two or a sum of some, so that shifters stand for multipliers; ANT's and OliVe's cells
  are of these, since exponents are added and their sum shifts a product of two integers of 4 bits.
- "codebook": tables make codes into another format; decoders that are nothing but a table are of these.
- "block": sums under scales, MixPE's epilogue among them.
- "converter": no products of k: casts, requantisers, pre-alignment.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from types import MappingProxyType
from typing import Any, Literal

import formats as nf
from hwsim.circuit import Module
from hwsim.pe.circuit import Mac
from hwsim.pe.papers.bitfusion import BitFusion
from hwsim.pe.papers.bitmod import BitMod
from hwsim.pe.papers.block_dot import block_dot_of
from hwsim.pe.papers.convert import Converter
from hwsim.pe.papers.exponent_integer import ExponentInteger
from hwsim.pe.papers.lookup import LookupDot
from hwsim.pe.papers.lookup_float import LookupFloat
from hwsim.pe.papers.mixpe import MixPe
from hwsim.pe.papers.power_sum import PowerSum
from hwsim.pe.papers.prealign import PreAlign
from hwsim.pe.papers.requantise import Requantiser
from hwsim.pe.papers.serial import SerialDot
from hwsim.pe.stimulus import Operands
from hwsim.pe.units.bit_mod import BitSerial, TermDecoder
from hwsim.pe.units.blocks import Block, Epilogue
from hwsim.pe.units.converters import Alignment, Conversion, Requantisation
from hwsim.pe.units.lookup_floats import FloatLookup
from hwsim.pe.units.lookups import LookupCell, LookupEdge, LookupRow, SignTree
from hwsim.pe.units.mixed import ActivationSum, Fusion, MixedCell
from hwsim.pe.units.powers import AntDecoder, AntPe, OliveDecoder, OlivePe, PairMac, Powers
from hwsim.pe.units.serial import Serial
from hwsim.pe.units.unit import Columns, Models, MultiplyAccumulate, Unit
from hwsim.rtl.proof import Proof
from hwsim.rtl.yosys import Synthesis

Family = Literal[
    "int", "minifloat-exact", "minifloat-float", "lmul", "pot", "codebook", "bit-serial", "lut", "block", "converter"
]


@dataclass(frozen=True, kw_only=True, slots=True)
class Listed:
    """A PE of the catalogue."""

    family: Family
    what: Unit

    @property
    def name(self) -> str:
        """By which the catalogue has it."""
        return self.what.name

    @property
    def terms(self) -> Fraction:
        """Products of k a cycle; see hwsim.pe.units.unit.Unit."""
        return self.what.terms

    def module(self) -> Module:
        """Its wires."""
        return self.what.module()

    def check(self, made: Synthesis | None = None, models: Models | None = None) -> Proof:
        """Proof, or so many vectors, of a synthesised netlist: gates without a library where none is given."""
        return self.what.check(made, models)

    def stimulus(self, operands: Operands, cycles: int, seed: int = 0) -> Columns:
        """Patterns of every input port for cycles + 1 cycles, the first of which only settles the gates."""
        return self.what.stimulus(operands, cycles, seed)


def _of(name: str) -> Any:
    return nf.element_of(nf.get(name))


def _mac(pair: str, accumulator: nf.Accumulator, operand_format: str | None = None, **other: Any) -> MultiplyAccumulate:
    first, second = (_of(name) for name in pair.split())
    looked_up = None if operand_format is None else _of(operand_format)
    return MultiplyAccumulate(what=Mac(a=first, b=second, accumulator=accumulator, operand_format=looked_up, **other))


def _integers() -> Iterator[Unit]:
    narrow = ("int8 int8", "int4 int8", "int4 int4", "int2 int8", "uint8 int8", "int6 int6", "int3 int5", "int12 int8")
    for pair in narrow:
        for bits in (16, 24, 32):
            yield _mac(pair, nf.Integer(bits))
    yield _mac("int16 int16", nf.Integer(40))
    for pair in ("int8 int8", "int8 int4", "int8 int2", "int4 int4"):
        yield _mac(pair, nf.Integer(32), lanes=4)
    yield _mac("int8 int8", nf.Integer(24, overflow="saturate"))
    yield _mac("int8 int8", nf.Integer(32), stages=1)
    yield _mac("int8 int8", nf.Integer(32), stages=2)
    yield _mac("int8 int2", nf.Integer(32), lanes=8)
    yield _mac("int16 int4", nf.Integer(32))
    for pair in ("int8 int4", "int8 int2"):  # weights as b, as users name them
        yield _mac(pair, nf.Integer(32))
    yield _mac("int8:token int8:channel", nf.Integer(32))
    yield _mac("int8:token int6:channel", nf.Integer(32))
    yield _mac("int8:token int4:g128", nf.Exact(max_terms=128))
    yield _mac("int8:token int3:g32", nf.Exact(max_terms=32))
    mixed = MixPe(activation=_of("int8"))
    yield MixedCell(what=mixed)
    yield ActivationSum(what=mixed)
    for bits in (8, 2):
        yield Fusion(what=BitFusion(), a_bits=bits, b_bits=bits)


def _minifloats_exact() -> Iterator[Unit]:
    pairs = [f"{name} {name}" for name in ("e4m3fn", "e5m2", "e3m4", "e3m2fn", "e2m3fn", "e2m1fn")]
    pairs += ["e4m3fn e5m2", "e4m3fn e2m1fn", "e4m3fn int4", "e2m3fn e3m2fn", "int8 e2m1fn", "e3m3:none int5"]
    pairs += ["e4m3fn int8", "e2m1fn int4", "e3m2fn e2m1fn"]
    for pair in pairs:
        yield _mac(pair, nf.Exact(max_terms=256))
    for pair in pairs[:6]:
        yield _mac(pair, nf.Exact(max_terms=16384))
    for name in ("mxfp8_e4m3", "mxfp6_e3m2", "mxfp6_e2m3", "mxfp4"):
        yield _mac(f"{name} {name}", nf.Exact(max_terms=32))
    yield _mac("nvfp4 nvfp4", nf.Exact(max_terms=16))
    for pair in ("e2m1fn e2m1fn", "e4m3fn e4m3fn", "e4m3fn e2m1fn", "int8 e2m1fn"):
        yield _mac(pair, nf.Exact(max_terms=256), lanes=4)
    yield _mac("e4m3fn e4m3fn", nf.Exact(max_terms=256), stages=1)
    yield _mac("e4m3fn e4m3fn", nf.Exact(max_terms=256), stages=3)


def _minifloats_float() -> Iterator[Unit]:
    pairs = ("e4m3fn e4m3fn", "e5m2 e5m2", "e2m1fn e2m1fn", "bfloat16 bfloat16", "float16 float16", "int8 int8")
    for pair in (*pairs, "float16 int4", "e3m2fn e3m2fn", "bfloat16 e2m1fn"):
        for fmt in ("float32", "float16", "bfloat16", "e8m13:ieee"):
            yield _mac(pair, nf.FloatChain(fmt))
    yield _mac("e4m3fn e4m3fn", nf.FloatChain("float32"), specials="full")
    yield _mac("bfloat16 bfloat16", nf.FloatChain("float32"), specials="full")
    yield _mac("bfloat16 bfloat16", nf.FloatChain("float32"), stages=2)
    yield _mac("e4m3fn e4m3fn", nf.FloatChain("float16", "toward_zero"))
    for pair in ("e4m3fn e4m3fn", "bfloat16 bfloat16"):
        yield _mac(pair, nf.FloatChain("float32"), lanes=2)
    # Matrix units: fp8 with 13 fraction bits (Hopper's), 16-bit floats with 24.
    yield _mac("e4m3fn e4m3fn", nf.Aligned(1, 13))
    yield _mac("e4m3fn e4m3fn", nf.Aligned(4, 13), lanes=4)
    yield _mac("e5m2 e5m2", nf.Aligned(4, 13), lanes=4)
    yield _mac("float16 float16", nf.Aligned(4, 24), lanes=4)


def _lmul() -> Iterator[Unit]:
    add, formula = nf.LMul("integer_add"), nf.LMul("formula")
    kept = nf.LMul("integer_add", policy="flush_and_saturate")
    for pair in ("e4m3fn e4m3fn", "e5m2 e5m2"):
        yield _mac(pair, nf.Exact(max_terms=256), multiplier=add)
        yield _mac(pair, nf.FloatChain("float32"), multiplier=add)
    yield _mac("e4m3fn e4m3fn", nf.Exact(max_terms=256), multiplier=formula)
    yield _mac("e4m3fn e4m3fn", nf.Exact(max_terms=256), multiplier=kept)
    yield _mac("e3m2fn e3m2fn", nf.Exact(max_terms=256), multiplier=add)
    yield _mac("e4m3fn e4m3fn", nf.FloatChain("float16"), multiplier=formula)
    for pair in ("bfloat16 bfloat16", "float16 float16"):
        yield _mac(pair, nf.FloatChain("float32"), multiplier=add)
        yield _mac(pair, nf.FloatChain("float32"), multiplier=formula)
    yield _mac("bfloat16 bfloat16", nf.FloatChain("bfloat16"), multiplier=kept)


def _powers_of_two() -> Iterator[Unit]:
    yield _mac("int8 e3m0fn", nf.Integer(32))
    yield _mac("int4 e2m0:none", nf.Integer(24))
    yield _mac("e3m0fn e3m0fn", nf.Integer(32))
    yield _mac("e4m3fn e3m0fn", nf.Exact(max_terms=256))
    yield _mac("bfloat16 e3m0fn", nf.FloatChain("float32"))
    for activation in ("int8", "int4"):
        for weight, terms in (("pot4", 1), ("apot4", 2)):
            yield Powers(what=PowerSum(activation=_of(activation), weight=_of(weight), terms=terms))
    yield Powers(what=PowerSum(activation=_of("int8"), weight=_of("apot5"), terms=2))
    pairs = ExponentInteger()
    yield PairMac(what=pairs, fmt=_of("flint4"))
    yield AntPe(what=pairs, a=_of("flint4"), b=_of("flint4"))
    yield AntPe(what=pairs, a=_of("int4"), b=_of("ant_float4"))
    for normal in ("int4", "flint4"):
        yield OlivePe(what=pairs, normal=_of(normal), outlier=_of(f"olive_{normal}_outlier"))


def _codebooks() -> Iterator[Unit]:
    for a in ("int8", "bfloat16", "float16"):
        yield _mac(f"{a} nf4", nf.FloatChain("float32"), operand_format="bfloat16")
    yield _mac("int8 nf4", nf.Exact(max_terms=256), operand_format="e2m3fn")
    yield _mac("e4m3fn nf4", nf.Exact(max_terms=256), operand_format="e4m3fn")
    yield _mac("int8 sf4", nf.Exact(max_terms=256), operand_format="e2m3fn")
    yield _mac("bfloat16 sf4", nf.FloatChain("float32"), operand_format="bfloat16")
    yield AntDecoder(what=ExponentInteger(), fmt=_of("flint4"))
    yield OliveDecoder(what=ExponentInteger(), normal=_of("flint4"), outlier=_of("olive_flint4_outlier"))
    yield TermDecoder(weight=_of("bitmod_fp4_er_pos"))
    yield TermDecoder(weight=_of("int6"))


def _bit_serial() -> Iterator[Unit]:
    for whole, bits, lanes, register in (
        ("int8", 8, 1, 32),
        ("int8", 8, 4, 32),
        ("int8", 8, 8, 32),
        ("int8", 8, 16, 32),
        ("int8", 4, 4, 24),
        ("uint8", 4, 8, 24),
        ("int4", 4, 16, 24),
        ("int16", 16, 4, 48),
    ):
        yield Serial(what=SerialDot(whole=_of(whole), serial_bits=bits, lanes=lanes, register_bits=register))
    yield BitSerial(what=BitMod(variant="as_published"), weight=_of("bitmod_fp4_er_pos"))
    yield BitSerial(what=BitMod(variant="as_intended"), weight=_of("bitmod_fp4_er_pos"))


def _lookups() -> Iterator[Unit]:
    int8, int4 = _of("int8"), _of("int4")
    for group in (2, 3, 4, 5):
        yield LookupCell(what=LookupDot(activation=int8, group=group))
    whole = LookupDot(activation=int8, half=False)
    yield LookupCell(what=whole)
    yield LookupCell(what=LookupDot(activation=int8, entry_bits=8))
    yield LookupCell(what=LookupDot(activation=int8, entry_bits=8, half=False))
    yield LookupCell(what=LookupDot(activation=int8, planes=4))
    yield LookupCell(what=LookupDot(activation=int4, register_bits=24))
    for what in (LookupDot(activation=int8), whole, LookupDot(activation=int8, group=3), LookupDot(activation=int4)):
        yield LookupEdge(what=what)
    yield LookupRow(what=LookupDot(activation=int8, planes=2), columns=2)
    yield SignTree(what=LookupDot(activation=int8))
    yield SignTree(what=LookupDot(activation=int8, planes=4))
    yield SignTree(what=LookupDot(activation=int4, register_bits=24))
    yield FloatLookup(what=LookupFloat(planes=1))
    yield FloatLookup(what=LookupFloat(planes=4))
    yield FloatLookup(what=LookupFloat(planes=4, variant="corrected"))


def _blocks() -> Iterator[Unit]:
    for a, b, lanes in (
        ("mxfp8_e4m3", "mxfp8_e4m3", 4),
        ("mxfp6_e3m2", "mxfp6_e3m2", 8),
        ("mxfp6_e2m3", "mxfp6_e2m3", 8),
        ("mxfp4", "mxfp4", 8),
        ("mxint8", "mxint8", 8),
        ("mxfp4", "mxfp8_e4m3", 8),
        ("nvfp4", "nvfp4", 4),
        ("nvfp4", "nvfp4", 16),
        ("msfp12", "msfp12", 16),
    ):
        yield Block(what=block_dot_of(nf.get(a), nf.get(b), lanes))
    yield Epilogue(what=MixPe(activation=_of("int8")))


def _converters() -> Iterator[Unit]:
    quantise = ["float32 e4m3fn", "float32 e5m2", "float32 int8", "float32 bfloat16", "bfloat16 e4m3fn"]
    quantise += ["bfloat16 int8", "bfloat16 e2m1fn", "float16 e3m2fn", "float16 int4", "e5m2 e4m3fn"]
    dequantise = ["e4m3fn bfloat16", "e2m1fn bfloat16", "int8 bfloat16", "float16 float32"]
    for pair in quantise + dequantise:
        source, target = pair.split()
        yield Conversion(what=Converter(source=_of(source), target=_of(target)))
    for triple in (
        "int4 bfloat16 bfloat16",
        "int8 float16 float16",
        "bfloat16 int8 bfloat16",
        "e4m3fn bfloat16 e4m3fn",
    ):
        source, target, scale = triple.split()
        yield Conversion(what=Converter(source=_of(source), target=_of(target), scale=_of(scale)))
    for name in ("float32", "bfloat16"):
        yield Conversion(what=Converter(source=nf.Integer(32), target=_of(name)))
    yield Requantisation(what=Requantiser(multiplier_bits=8, most_shift=32))
    yield Requantisation(what=Requantiser(sum_bits=24, multiplier_bits=8, most_shift=24, signed=False))
    for source, lanes, kept in (("float16", 4, 0), ("bfloat16", 4, 4), ("e4m3fn", 2, 0)):
        yield Alignment(what=PreAlign(source=_of(source), lanes=lanes, kept=kept))


@cache
def catalogue() -> MappingProxyType[str, Listed]:
    """Every listed PE, by its name."""
    families: tuple[tuple[Family, Iterator[Unit]], ...] = (
        ("int", _integers()),
        ("minifloat-exact", _minifloats_exact()),
        ("minifloat-float", _minifloats_float()),
        ("pot", _powers_of_two()),
        ("codebook", _codebooks()),
        ("lmul", _lmul()),
        ("bit-serial", _bit_serial()),
        ("lut", _lookups()),
        ("block", _blocks()),
        ("converter", _converters()),
    )
    found = [Listed(family=family, what=what) for family, whats in families for what in whats]
    assert len({listed.name for listed in found}) == len(found)
    return MappingProxyType({listed.name: listed for listed in found})
