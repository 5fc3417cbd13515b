"""FPGA: the DSP slice bit for bit, small products packed into it, accumulator widths, synthesis and place and route.

dsp48e2.py and alu.py model one slice, chain.py a column; unisim.py replays them in the vendor's simulation model.
"""

from hwsim.fpga.chain import Chain
from hwsim.fpga.dsp48e2 import Dsp48e2, Inputs, Outputs, State

__all__ = ["Chain", "Dsp48e2", "Inputs", "Outputs", "State"]
