"""Processing elements: from formats to a datapath to a price.

    pe = MacPE("e4m3fn", "e2m1fn", accumulator=nf.Exact(max_terms=256))
    pe.area_um2("ihp130"), pe.energy_pj("ihp130"), pe.delay_ns("ihp130"), pe.breakdown("ihp130")

operand.py and datapath.py say what gates follow from formats, scales.py what block scales add, measured.py which
designs were synthesised, pricing.py how a design finds its price. No Verilog and no area figure lives here.
"""

from hwsim.pe.mac import MacPE

__all__ = ["MacPE"]
