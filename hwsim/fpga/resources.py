"""What a PE takes of an AMD device: as synthesised and proved where the table has it, else estimated.

    resources(hw.MacPE(a="int8", b="int8")).luts             # 166 (166..166, proved)
    resources(hw.MacPE(a="e4m3fn", b="e4m3fn")).luts         # 189.4 (156.6..222.2, estimated)
    resources(pe, dsp=True).dsps                             # multipliers of 9 product bits or more are in slices

Gates of a PE never synthesised are covered by LUTs here (hwsim.fpga.mapping), three coefficients put that right by
what yosys makes of the table's PEs (python -m hwsim.fpga.fit), and the interval is the error within which nine of ten
lay with their whole family left out. Carry blocks are counted adder by adder, flip-flops exactly. With DSPs only an
integer product and its sum are estimated: a slice, and a LUT a bit of the adder.
Not modelled: what place and route packs together or copies, block memories, logic other than an adder beside slices,
and which adders and registers yosys moves into the DSP48E1 of 7 series. SliceMac is a whole product and sum in a slice.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from math import ceil
from pathlib import Path
from typing import Any, Protocol

from hwsim.circuit import Module
from hwsim.circuit.network import network
from hwsim.cost import Status
from hwsim.fpga.mapping import covered
from hwsim.fpga.synthesis import FAMILIES, Family
from hwsim.primitives import Leaf
from hwsim.rtl.writer import verilog

TABLE = Path(__file__).with_name("amd.json")
COEFFICIENTS = Path(__file__).with_name("amd_coefficients.json")
TERMS = ("luts", "chain", "tree")
SLICE_PRODUCT_BITS = 9  # yosys puts products of so many bits or more into a slice
SLICE_BITS = (18, 27)  # of the multiplier's signed inputs
_CARRY_BITS = 4
_ADDERS, _BEFORE_ADDERS = ("adder", "add_subtract"), ("and_gate", "inverter", "exclusive_or", "register")
_CHAINS = ("adder", "subtractor", "add_subtract", "compressor", "incrementer", "comparator", "multiplier")


class HasModule(Protocol):
    """A PE."""

    def module(self) -> Module:
        """Its wires."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Count:
    """A number of cells, and the interval low..high it is believed to lie in; status as in hwsim.cost."""

    value: float
    low: float
    high: float
    status: Status
    source: str

    def __str__(self) -> str:
        return f"{self.value:.4g} ({self.low:.4g}..{self.high:.4g}, {self.status})"


@dataclass(frozen=True, kw_only=True, slots=True)
class FpgaResources:
    """luts: LUT1 to LUT6, one each.  carries: CARRY4 blocks.  flip_flops, dsps: exact."""

    family: Family
    luts: Count
    carries: Count
    flip_flops: int
    dsps: int

    def __str__(self) -> str:
        return (
            f"{self.family}: {self.luts} LUTs, {self.carries} carries, {self.flip_flops} flip-flops, {self.dsps} DSPs"
        )


def resources(pe: Module | HasModule, family: Family = "xcup", *, dsp: bool = False) -> FpgaResources:
    """Of a module or a PE; dsp: multipliers of 9 product bits or more in slices, as yosys does it.

    Raises ValueError for another family and for what the module's docstring says is not modelled; TypeError for what
    has no module.
    """
    if family not in FAMILIES:
        raise ValueError(f"resources: family must be one of {', '.join(FAMILIES)}; got {family!r}")
    module = pe if isinstance(pe, Module) else _module(pe)
    build = family if dsp and slice_multipliers(module) else "logic"
    held = _tabled().get(hashlib.sha256(verilog(module).encode()).hexdigest(), {}).get(build)
    if held is None:
        return estimate(module, family, dsp=dsp)
    source = f"{TABLE.name}: synthesised as {build}, its netlist {held['status']}"
    luts, carries = (_exactly(held[key], held["status"], source) for key in ("luts", "carries"))
    return FpgaResources(family=family, luts=luts, carries=carries, flip_flops=held["flip_flops"], dsps=held["dsps"])


def estimate(module: Module, family: Family = "xcup", *, dsp: bool = False) -> FpgaResources:
    """The estimate, whether the module is in the table or not. Raises what `resources` does."""
    inside = slice_multipliers(module) if dsp else {}
    if inside:
        _check_beside(module, inside, family)
        luts = _exactly(adder_bits(module), "estimated", "a LUT a bit of the adders beside the slices")
    else:
        model = json_of(COEFFICIENTS)
        value = sum(model["coefficients"][term] * n for term, n in zip(TERMS, lut_terms(module), strict=True))
        luts = _about(value, model["interval"], "gates covered by LUTs")
    return FpgaResources(
        family=family,
        luts=luts,
        carries=_about(
            carry_blocks(module, dsp=dsp), json_of(COEFFICIENTS)["carries"]["interval"], "carries by adders' widths"
        ),
        flip_flops=len(network(module).states),
        dsps=sum(inside.values()),
    )


def _check_beside(module: Module, inside: Mapping[Leaf, int], family: Family) -> None:
    """Raise ValueError for what is not modelled with slices."""
    other = sorted({leaf.kind for leaf in module.leaves()} - {"multiplier", *_ADDERS, *_BEFORE_ADDERS})
    what = "which of its adders and registers yosys moves into a DSP48E1" if family == "xc7" else ""
    what = what or (f"its {', '.join(other)} beside a slice" if other else "")
    if what:
        raise ValueError(
            f"resources: {module.name!r} is not in the table for {family} with DSPs, and {what} is not modelled; ask "
            "for dsp=False, look at SliceMac, or add it: python -m hwsim.fpga.characterise --pe NAME"
        )
    for leaf in inside:
        widths = sorted(_signed_widths(leaf))
        if any(width > room for width, room in zip(widths, SLICE_BITS, strict=True)):
            raise ValueError(
                f"resources: a product of {widths[0]} x {widths[1]} signed bits takes more than the "
                f"{SLICE_BITS[0]} x {SLICE_BITS[1]} of a slice, and how yosys joins several is not modelled; "
                "ask for dsp=False"
            )


def adder_bits(module: Module) -> int:
    """Bits of the adders beside slices: a LUT each, which the gates before it share."""
    leaves = module.leaves().items()
    return sum(count * max(leaf.outputs().values()) for leaf, count in leaves if leaf.kind in _ADDERS)


def lut_terms(module: Module) -> list[int]:
    """Tables of logic and of carry chains, and full adders of trees, as hwsim.fpga.mapping covers the gates."""
    found = covered(module)
    return [found.luts, found.chain, found.tree]


def carry_blocks(module: Module, *, dsp: bool = False) -> int:
    """CARRY4 blocks: every adder, comparator and product of two bits or more has a chain of its own."""
    blocks = 0
    for leaf, count in module.leaves().items():
        outside = leaf.kind in _CHAINS and min(leaf.inputs().values()) > (leaf.kind == "multiplier")
        if outside and not (dsp and in_slice(leaf)):
            widths = leaf.inputs() if leaf.kind == "comparator" else leaf.outputs()
            # Which of the two an add_subtract does comes in as a carry, through a position of the chain.
            blocks += count * ceil((max(widths.values()) + (leaf.kind == "add_subtract")) / _CARRY_BITS)
    return blocks


def slice_multipliers(module: Module) -> dict[Leaf, int]:
    """Multipliers that yosys puts into slices, and how many of each."""
    return {leaf: count for leaf, count in module.leaves().items() if in_slice(leaf)}


def in_slice(leaf: Leaf) -> bool:
    """Whether yosys takes a slice for this leaf."""
    return (
        leaf.kind == "multiplier"
        and min(leaf.inputs().values()) > 1
        and max(leaf.outputs().values()) >= SLICE_PRODUCT_BITS
    )


def _signed_widths(leaf: Leaf) -> list[int]:
    """Of the operands; an unsigned one takes a bit more."""
    return [width + (not leaf.parameters[f"signed_{port}"]) for port, width in leaf.inputs().items()]


def json_of(path: Path) -> dict[str, Any]:
    """A table of this folder."""
    return _json_of(path)


@cache
def _json_of(path: Path) -> dict[str, Any]:
    held: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return held


@cache
def _tabled() -> Mapping[str, Mapping[str, Any]]:
    return {row["source"]: row["builds"] for row in json_of(TABLE)["rows"].values()}


def _module(pe: Any) -> Module:
    made = getattr(pe, "module", None)
    found = made() if callable(made) else None
    if not isinstance(found, Module):
        raise TypeError(f"resources: takes a Module or a PE that has one (pe.module()), got {pe!r}")
    return found


def _exactly(value: int, status: Status, source: str) -> Count:
    return Count(value=value, low=value, high=value, status=status, source=source)


def _about(value: float, band: float, source: str) -> Count:
    return Count(
        value=value,
        low=value * (1 - band),
        high=value * (1 + band),
        status="estimated",
        source=f"{source}, 90 % of PEs within {band:.1%} with their family left out",
    )
