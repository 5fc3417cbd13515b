"""Synthesise every listed PE for a target, prove it, and write what it costs as a table.

    python -m hwsim.characterise                    # gates without a library: technology/cmos_gates.json
    python -m hwsim.characterise --check --pe mac_int8_int8_fixed32
    python -m hwsim.characterise --liberty sg13g2_stdcell_typ_1p20V_25C.lib      # technology/ihp130.json

A PE enters a table only when its netlist is proved or tested. Tables are never edited by hand.
"""
