"""Cell libraries in the Liberty format: what a gate netlist costs in area, delay, energy and leakage by one of them.

`read_library(path)` -> Library; `static_timing(netlist, library, ...)`; `energy_per_cycle(netlist, library, ...)`.
A library is taken by path; the package contains none.
"""
