"""FPGA: a PE's LUTs, flip-flops and DSPs, the DSP slice bit for bit, dot products packed into columns of it, clocks.

    fpga.resources(hw.MacPE(a="int8", b="int8")).luts                   # 166 (166..166, proved)
    fpga.DspChain(packing=fpga.PACKINGS["int8x2"], terms=16).dsps       # 16 slices for twice 16 products a cycle

resources.py reads amd.json (characterise.py) or estimates (fit.py); synthesis.py has yosys count, cells.py proves it;
dsp48e2.py, alu.py and chain.py are the slice and its column, slice_mac.py a PE in one; packing*.py what small products
share, dot.py their chains; accumulator.py FPL'24's widths; clock_table.py what was placed and routed, clocks.py how.
"""

from hwsim.fpga.accumulator import WidthComparison, compare_width, excess_range
from hwsim.fpga.chain import Chain
from hwsim.fpga.clock_table import clock
from hwsim.fpga.dot import DspChain
from hwsim.fpga.dsp48e2 import Dsp48e2, Inputs, Outputs, State
from hwsim.fpga.packing import Lane, Packing, failing_operands, grid, multiply, safe_terms
from hwsim.fpga.packing_errors import PackingErrors, packing_errors, sum_of_products
from hwsim.fpga.place import Placed, place_and_route
from hwsim.fpga.resources import Count, FpgaResources, resources
from hwsim.fpga.schemes import PACKINGS
from hwsim.fpga.slice_mac import SliceMac
from hwsim.fpga.synthesis import FpgaCounts, synth_xilinx

__all__ = [
    "PACKINGS",
    "Chain",
    "Count",
    "Dsp48e2",
    "DspChain",
    "FpgaCounts",
    "FpgaResources",
    "Inputs",
    "Lane",
    "Outputs",
    "Packing",
    "PackingErrors",
    "Placed",
    "SliceMac",
    "State",
    "WidthComparison",
    "clock",
    "compare_width",
    "excess_range",
    "failing_operands",
    "grid",
    "multiply",
    "packing_errors",
    "place_and_route",
    "resources",
    "safe_terms",
    "sum_of_products",
    "synth_xilinx",
]
