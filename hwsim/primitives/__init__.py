"""The leaves every PE, array edge and unit is made of: ports, Verilog, integer meaning and gates of each.

    primitive("multiplier", {"m": 8, "n": 8}).verilog()

`gates` builds a leaf's network of two-input gates, multiplexers and full adders from what stands at its inputs
(circuit/gates.py): that is what prices are read off.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields

from hwsim.primitives.add import (
    Adder,
    AddSubtract,
    Comparator,
    Compressor,
    Incrementer,
    Multiplier,
    PopulationCount,
    Subtractor,
)
from hwsim.primitives.leaf import Leaf, log2_ceil
from hwsim.primitives.logic import (
    AndGate,
    AnyBit,
    EveryBit,
    ExclusiveOr,
    FloatDecoder,
    Inverter,
    LeadingZeroCounter,
    OrGate,
    Register,
)
from hwsim.primitives.shift import ArithmeticShifter, ExpandingShifter, Lookup, Multiplexer, Shifter, StickyShifter

PRIMITIVES: dict[str, type[Leaf]] = {
    leaf.kind: leaf
    for leaf in (
        Multiplier, Adder, Subtractor, AddSubtract, Compressor, Incrementer, Comparator, PopulationCount,
        Shifter, ArithmeticShifter, StickyShifter, ExpandingShifter, Multiplexer, Lookup,
        AndGate, OrGate, ExclusiveOr, Inverter, AnyBit, EveryBit, LeadingZeroCounter, FloatDecoder, Register,
    )
}  # fmt: skip

__all__ = ["PRIMITIVES", "Leaf", "log2_ceil", "primitive"]


def primitive(kind: str, parameters: Mapping[str, int]) -> Leaf:
    """The leaf. Raises ValueError for an unknown one or wrong parameters, naming the right ones."""
    if kind not in PRIMITIVES:
        raise ValueError(f"primitive: unknown primitive {kind!r}; use one of {', '.join(PRIMITIVES)}")
    build = PRIMITIVES[kind]
    known = {field.name: field.default is MISSING for field in fields(build)}  # type: ignore[arg-type]
    missing = [name for name, needed in known.items() if needed and name not in parameters]
    if missing or not set(parameters) <= set(known) or min(parameters.values(), default=0) < 0:
        got = ", ".join(f"{name}={value}" for name, value in parameters.items())
        raise ValueError(f"primitive {kind!r} takes {', '.join(known)} (integers >= 0), got {got or 'none'}")
    return build(**parameters)
