"""PEs by name: what is synthesised, proved and tabled, each in its family.

    catalogue()["mac_e4m3fn_e4m3fn_fixed45"].family         # "minifloat-exact"

A family is what is left out together when the estimate is judged: designs of one family are alike.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Literal

import formats as nf
from hwsim.circuit import Module
from hwsim.pe.circuit import Mac, mac

Family = Literal["int", "minifloat-exact", "minifloat-float", "pot", "codebook"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Listed:
    """A PE of the catalogue."""

    family: Family
    what: Mac

    def module(self) -> Module:
        """Its wires."""
        return mac(self.what)


def _mac(pair: str, accumulator: nf.Accumulator, lanes: int = 1, operand_format: str | None = None) -> Mac:
    first, second = (nf.element_of(nf.get(name)) for name in pair.split())
    looked_up = None if operand_format is None else nf.get(operand_format)
    return Mac(a=first, b=second, accumulator=accumulator, lanes=lanes, operand_format=looked_up)  # type: ignore[arg-type]


def _integers() -> Iterator[Mac]:
    narrow = ("int8 int8", "int4 int8", "int4 int4", "int2 int8", "uint8 int8", "int6 int6", "int3 int5", "int12 int8")
    for pair in narrow:
        for bits in (16, 24, 32):
            yield _mac(pair, nf.Integer(bits))
    yield _mac("int16 int16", nf.Integer(40))
    for pair in ("int8 int8", "int8 int4", "int8 int2", "int4 int4"):
        yield _mac(pair, nf.Integer(32), lanes=4)


def _minifloats_exact() -> Iterator[Mac]:
    pairs = [f"{name} {name}" for name in ("e4m3fn", "e5m2", "e3m4", "e3m2fn", "e2m3fn", "e2m1fn")]
    pairs += ["e4m3fn e5m2", "e4m3fn e2m1fn", "e4m3fn int4", "e2m3fn e3m2fn", "int8 e2m1fn", "e3m3:none int5"]
    pairs += ["e4m3fn int8", "e2m1fn int4", "e3m2fn e2m1fn"]
    for pair in pairs:
        yield _mac(pair, nf.Exact(max_terms=256))
    for pair in ("e2m1fn e2m1fn", "e4m3fn e4m3fn", "e4m3fn e2m1fn", "int8 e2m1fn"):
        yield _mac(pair, nf.Exact(max_terms=256), lanes=4)


def _minifloats_float() -> Iterator[Mac]:
    pairs = ("e4m3fn e4m3fn", "e5m2 e5m2", "e2m1fn e2m1fn", "bfloat16 bfloat16", "float16 float16", "int8 int8")
    for pair in (*pairs, "float16 int4", "e3m2fn e3m2fn", "bfloat16 e2m1fn"):
        for fmt in ("float32", "float16", "bfloat16", "e8m13:ieee"):
            yield _mac(pair, nf.FloatChain(fmt))


def _powers_of_two() -> Iterator[Mac]:
    yield _mac("int8 e3m0fn", nf.Integer(32))
    yield _mac("int4 e2m0:none", nf.Integer(24))
    yield _mac("e3m0fn e3m0fn", nf.Integer(32))
    yield _mac("e4m3fn e3m0fn", nf.Exact(max_terms=256))
    yield _mac("bfloat16 e3m0fn", nf.FloatChain("float32"))


def _codebooks() -> Iterator[Mac]:
    for a in ("int8", "bfloat16", "float16"):
        yield _mac(f"{a} nf4", nf.FloatChain("float32"), operand_format="bfloat16")
    yield _mac("int8 nf4", nf.Exact(max_terms=256), operand_format="e2m3fn")
    yield _mac("e4m3fn nf4", nf.Exact(max_terms=256), operand_format="e4m3fn")


@cache
def catalogue() -> MappingProxyType[str, Listed]:
    """Every listed PE, by its module's name."""
    families: tuple[tuple[Family, Iterator[Mac]], ...] = (
        ("int", _integers()),
        ("minifloat-exact", _minifloats_exact()),
        ("minifloat-float", _minifloats_float()),
        ("pot", _powers_of_two()),
        ("codebook", _codebooks()),
    )
    found = {what.name: Listed(family=family, what=what) for family, whats in families for what in whats}
    return MappingProxyType(found)
