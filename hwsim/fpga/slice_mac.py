"""An exact integer multiply-accumulate that is one DSP48E2: product, sum and register inside it.

    mac = SliceMac(a_bits=8, b_bits=8, register_bits=32)
    mac.run(a, b, clear)           # the register before each clock edge, as the PE of the same ports has it
    mac.resources.dsps             # 1; LUTs: the inverter of clear, which a device has at the slice's pin

yosys takes an UltraScale+ slice for the product alone and adds in LUTs (hwsim.fpga.resources with dsp=True); this is
what instantiating the slice saves. Not modelled: products wider than 18 x 27 signed bits, which take several slices,
rounding, saturation, and registers of more than 48 bits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hwsim.fpga.alu import signed
from hwsim.fpga.dsp48e2 import MULTIPLY, Z_P, Z_ZERO, Dsp48e2, Inputs
from hwsim.fpga.packed_verilog import parameters
from hwsim.fpga.resources import SLICE_BITS, Count, FpgaResources

Words = NDArray[np.int64]
WORD = 48

SLICE = Dsp48e2(
    areg=0, breg=0, creg=0, dreg=0, adreg=0, mreg=0, preg=1,
    opmodereg=0, carryinselreg=0, alumodereg=0, inmodereg=0, carryinreg=0,
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class SliceMac:
    """sum += a * b, modulo 2**register_bits; clear starts a new sum. Raises ValueError for what a slice cannot hold."""

    a_bits: int
    b_bits: int
    register_bits: int
    a_signed: bool = True
    b_signed: bool = True

    def __post_init__(self) -> None:
        widths = sorted((self.a_bits + (not self.a_signed), self.b_bits + (not self.b_signed)))
        if min(self.a_bits, self.b_bits) < 1 or any(w > room for w, room in zip(widths, SLICE_BITS, strict=True)):
            raise ValueError(
                f"SliceMac: a slice multiplies {SLICE_BITS[0]} x {SLICE_BITS[1]} signed bits (an unsigned operand "
                f"takes one more), got {widths[0]} x {widths[1]}; use narrower operands, or resources(pe, dsp=False)"
            )
        if not 1 <= self.register_bits <= WORD:
            raise ValueError(f"SliceMac: register_bits must be 1 to {WORD}, got {self.register_bits}")

    @property
    def resources(self) -> FpgaResources:
        """One slice, and one LUT for clear's inverter."""
        source = "one DSP48E2, hwsim.fpga.slice_mac"
        one, none = (Count(value=value, low=value, high=value, status="tested", source=source) for value in (1, 0))
        return FpgaResources(family="xcup", luts=one, carries=none, flip_flops=0, dsps=1)

    def run(self, a: Words, b: Words, clear: Words) -> Words:
        """The register (cycles, n), two's complement, before each clock edge; from bit patterns (cycles, n)."""
        left, right = (np.asarray(word, np.int64) for word in (a, b))
        left = signed(left, self.a_bits) if self.a_signed else left
        right = signed(right, self.b_bits) if self.b_signed else right
        wide, narrow = (left, right) if self._a_is_wide else (right, left)
        state = SLICE.reset(wide.shape[1:])
        found = []
        for cycle in range(len(wide)):
            opmode = MULTIPLY | np.where(np.asarray(clear)[cycle] == 1, Z_ZERO, Z_P)
            out, state = SLICE.step(state, Inputs(a=wide[cycle], b=narrow[cycle], opmode=opmode))
            found.append(signed(out.p, self.register_bits))
        return np.array(found, np.int64)

    @property
    def name(self) -> str:
        """Of the Verilog module."""
        sides = [f"{'' if two else 'u'}int{bits}" for bits, two in self._sides]
        return f"slice_mac_{'_'.join(sides)}_fixed{self.register_bits}"

    def verilog(self) -> str:
        """One module with the ports of the PE: clk, a, b, clear, sum. Needs nothing but the vendor's DSP48E2."""
        left, right = (
            f"{{{{{room - bits}{{{f'{port}[{bits - 1}]' if two else _ZERO}}}}}, {port}}}" if room > bits else port
            for port, (bits, two), room in zip(
                "ab", self._sides, (30, 18) if self._a_is_wide else (18, 30), strict=True
            )
        )
        wide, narrow = (left, right) if self._a_is_wide else (right, left)
        pins = {
            "A": wide, "B": narrow, "C": "48'd0", "D": "27'd0", "P": "p", "CLK": "clk", "CEP": "1'b1", "RSTP": "1'b0",
            "OPMODE": "{3'b000, ~clear, 5'b00101}", "INMODE": "5'd0", "ALUMODE": "4'd0", "CARRYINSEL": "3'd0",
            "CARRYIN": "1'b0",
        }  # fmt: skip
        wired = ", ".join(f".{pin}({wire})" for pin, wire in pins.items())
        return f"""module {self.name} (
  input wire clk, input wire clear, input wire [{self.a_bits - 1}:0] a, input wire [{self.b_bits - 1}:0] b,
  output wire [{self.register_bits - 1}:0] sum
);
  wire [47:0] p;
  assign sum = p[{self.register_bits - 1}:0];
  DSP48E2 #({parameters(SLICE)}) slice ({wired});
endmodule
"""

    @property
    def _sides(self) -> tuple[tuple[int, bool], tuple[int, bool]]:
        return (self.a_bits, self.a_signed), (self.b_bits, self.b_signed)

    @property
    def _a_is_wide(self) -> bool:
        return self.a_bits + (not self.a_signed) >= self.b_bits + (not self.b_signed)


_ZERO = "1'b0"
