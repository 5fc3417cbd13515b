"""FPGA: the DSP slice bit for bit, small products packed into it, accumulator widths, synthesis and place and route.

dsp48e2.py and alu.py model one slice, chain.py a column; unisim.py replays them in the vendor's simulation model.
packing.py says what packed products are, schemes.py which there are, packing_errors.py how wrong they come out,
packed_verilog.py writes them round a slice.
accumulator.py has published register widths beside the exact one; synthesis.py counts LUTs, place.py finds clocks.
"""

from hwsim.fpga.accumulator import WidthComparison, compare_width, excess_range
from hwsim.fpga.chain import Chain
from hwsim.fpga.dsp48e2 import Dsp48e2, Inputs, Outputs, State
from hwsim.fpga.packing import Lane, Packing, failing_operands, grid, multiply, safe_terms
from hwsim.fpga.packing_errors import PackingErrors, packing_errors, sum_of_products
from hwsim.fpga.place import Placed, place_and_route
from hwsim.fpga.schemes import PACKINGS
from hwsim.fpga.synthesis import FpgaCounts, synth_xilinx

__all__ = [
    "PACKINGS",
    "Chain",
    "Dsp48e2",
    "FpgaCounts",
    "Inputs",
    "Lane",
    "Outputs",
    "Packing",
    "PackingErrors",
    "Placed",
    "State",
    "WidthComparison",
    "compare_width",
    "excess_range",
    "failing_operands",
    "grid",
    "multiply",
    "packing_errors",
    "place_and_route",
    "safe_terms",
    "sum_of_products",
    "synth_xilinx",
]
