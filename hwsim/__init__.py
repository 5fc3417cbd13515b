"""Hardware that computes with a number format: what it costs in area, energy, delay and cycles, and how sure that is.

    import hwsim as hw
    pe = hw.MacPE("e4m3fn", "e2m1fn")
    array = hw.SystolicArray(pe, rows=32, columns=32)
    print(hw.estimate(hw.Gemm(m=256, k=4096, n=4096), hw.Accelerator(array=array, technology="ihp130")))

Figures carry an interval, a source, a status (proved, tested, estimated) and the node they hold for.
"""

from hwsim.accelerator import Accelerator, VectorUnit, assumed_vector_unit
from hwsim.array import Gemm, SystolicArray
from hwsim.compare import energy_ratio
from hwsim.cost import Cost, Scaling
from hwsim.estimates import estimate, estimate_many, gemm_report
from hwsim.memory import Memory, lpddr5, sram
from hwsim.pe import MacPE
from hwsim.pe.compare import Comparison, compare_pes
from hwsim.report import Report, Unpriced
from hwsim.report_join import parallel
from hwsim.settings import setting
from hwsim.simulator import SimulationResult, simulate
from hwsim.sweep import gemm_columns
from hwsim.technology import Technology, add_technology, technologies
from hwsim.technology import technology as get_technology
from hwsim.traffic import stored_bits
from hwsim.vector import vector_report

__all__ = [
    "Accelerator",
    "Comparison",
    "Cost",
    "Gemm",
    "MacPE",
    "Memory",
    "Report",
    "Scaling",
    "SimulationResult",
    "SystolicArray",
    "Technology",
    "Unpriced",
    "VectorUnit",
    "add_technology",
    "assumed_vector_unit",
    "compare_pes",
    "energy_ratio",
    "estimate",
    "estimate_many",
    "gemm_columns",
    "gemm_report",
    "get_technology",
    "lpddr5",
    "parallel",
    "setting",
    "simulate",
    "sram",
    "stored_bits",
    "technologies",
    "vector_report",
]
