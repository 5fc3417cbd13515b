"""Which synthesised rows are which designs, so that a PE finds its row and the fit finds its trees. No figure in here.

Rows of multipliers alone and of the adder alone serve the fit only. Rows left out: L-Mul, power-of-two, lookup and
add/sub PEs and rounded multipliers of 8 and 16 bits, for which no datapath is described yet, and ws_pe_*, a MAC with
its operand registers, which an array adds itself.
"""

from __future__ import annotations

from functools import cache

import formats as nf
from hwsim.component import Component, leaf, tree
from hwsim.pe.datapath import Design, FixedRegister, FloatRegister, float_multiplier
from hwsim.pe.operand import Operand, operand_of

_E8M13 = FloatRegister(significand_bits=14, exponent_bits=8)
_FP16 = FloatRegister(significand_bits=11, exponent_bits=5)
_FP32 = FloatRegister(significand_bits=24, exponent_bits=8)

# row: (family, a, b, register, lanes)
_ROWS: dict[str, tuple[str, str, str, FixedRegister | FloatRegister, int]] = {
    "mac_i8i8": ("integer", "int8", "int8", FixedRegister(bits=32), 1),
    "mac_i8i8a24": ("integer", "int8", "int8", FixedRegister(bits=24), 1),
    "mac_i4i8": ("integer", "int4", "int8", FixedRegister(bits=32), 1),
    "mac_i2i8": ("integer", "int2", "int8", FixedRegister(bits=32), 1),
    "mac_i4i4": ("integer", "int4", "int4", FixedRegister(bits=32), 1),
    "mac_i4i4a16": ("integer", "int4", "int4", FixedRegister(bits=16), 1),
    "dot4_i8i8": ("dot", "int8", "int8", FixedRegister(bits=32), 4),
    "dot4_i8i4": ("dot", "int8", "int4", FixedRegister(bits=32), 4),
    "dot4_i8i2": ("dot", "int8", "int2", FixedRegister(bits=32), 4),
    "dot4_i4i4": ("dot", "int4", "int4", FixedRegister(bits=32), 4),
    "dot4_e2m1": ("dot", "e2m1fn", "e2m1fn", FixedRegister(bits=32), 4),
    "mac_e4m3_kul": ("fixed", "e4m3fn", "e4m3fn", FixedRegister(bits=46), 1),
    "mac_e5m2_kul": ("fixed", "e5m2", "e5m2", FixedRegister(bits=76), 1),
    "mac_e3m4_kul": ("fixed", "e3m4", "e3m4", FixedRegister(bits=32), 1),
    "mac_e3m2_kul": ("fixed", "e3m2fn", "e3m2fn", FixedRegister(bits=32), 1),
    "mac_e2m3_kul": ("fixed", "e2m3fn", "e2m3fn", FixedRegister(bits=32), 1),
    "mac_e2m1_kul": ("fixed", "e2m1fn", "e2m1fn", FixedRegister(bits=32), 1),
    "mac_e4m3_fp32": ("float", "e4m3fn", "e4m3fn", _FP32, 1),
    "mac_e5m2_fp32": ("float", "e5m2", "e5m2", _FP32, 1),
    "mac_e2m1_fp32": ("float", "e2m1fn", "e2m1fn", _FP32, 1),
    "mac_bf16_fp32": ("float", "bfloat16", "bfloat16", _FP32, 1),
    "mac_fp16_fp32": ("float", "float16", "float16", _FP32, 1),
    "mac_e4m3_fp16": ("float", "e4m3fn", "e4m3fn", _FP16, 1),
    "mac_e4m3_e8m13": ("float", "e4m3fn", "e4m3fn", _E8M13, 1),
}


@cache
def designs() -> dict[str, Design]:
    """The synthesised multiply-accumulates, by row."""
    return {row: Design(a=_scalar(a), b=_scalar(b), register=r, lanes=n) for row, (_, a, b, r, n) in _ROWS.items()}


def families() -> dict[str, str]:
    """The family of every row of the fit; leave-one-family-out leaves these out together."""
    parts = dict.fromkeys(("mul_i8i8", "mul_i4i4", "mulr_fp32"), "multiplier") | {"acc32": "adder"}
    return {row: family for row, (family, *_) in _ROWS.items()} | parts


def trees() -> dict[str, Component]:
    """The tree of every row of the fit."""
    float32 = _scalar("float32")
    parts = {
        "mul_i8i8": tree("mul", leaf("multiply", "multiplier", m=8, n=8)),
        "mul_i4i4": tree("mul", leaf("multiply", "multiplier", m=4, n=4)),
        "mulr_fp32": float_multiplier("mul", float32, float32, 24),
        "acc32": tree("acc", leaf("add", "adder", width=32), leaf("hold", "register", width=32)),
    }
    return {row: design.core() for row, design in designs().items()} | parts


def _scalar(name: str) -> Operand:
    fmt = nf.get(name)
    if isinstance(fmt, nf.Scaled | nf.Sum):
        raise TypeError(f"measured rows have scalar operands, got {name}")
    return operand_of(fmt)
