"""PEs as they are listed: wires, what they must do by the formats' own definitions, operands as they come.

Nothing here says how a PE is wired; that is in hwsim.pe and hwsim.pe.papers, and is checked against what is said here.
"""
