"""Processing elements: from formats to a datapath, its Verilog, its proof and its price.

    pe = MacPE("e4m3fn", "e2m1fn", accumulator=nf.Exact(max_terms=256))
    pe.verilog(), pe.prove(), pe.gate_equivalents()
    pe.area_um2("ihp130"), pe.energy_pj("ihp130"), pe.delay_ns("ihp130"), pe.breakdown("ihp130")

Wired: number.py (decoders), multiply.py, fixed.py and floating.py (registers) compose circuit.py's multiply-accumulate;
meaning.py says by the formats' references what it must do, prove.py shows that its gates do it, catalogue.py lists what
is synthesised; papers/ has the PEs of papers. Priced: operand.py, datapath.py and scales.py count textbook gates,
measured.py names synthesised designs, pricing.py finds a design's price. No Verilog and no area figure lives here.
"""

from hwsim.pe.mac import MacPE

__all__ = ["MacPE"]
