"""Arrays of PEs: descriptions, and the closed forms that follow from them.

    array = SystolicArray(pe, rows=32, columns=32, dataflow="weight_stationary")
    array.cycles(Gemm(m=256, k=4096, n=4096)), array.order(Gemm(m=256, k=4096, n=4096))

The simulator that steps the same array register by register is hwsim/simulator.py.
"""

from hwsim.array.gemm import Gemm
from hwsim.array.systolic import ProcessingElement, SystolicArray

__all__ = ["Gemm", "ProcessingElement", "SystolicArray"]
