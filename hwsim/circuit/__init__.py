"""Circuits: leaves of `primitives` wired by name into modules.

m = Build("add4"); m.output("sum", m.leaf("add", "adder", width=4, a=m.input("a", 4), b=m.input("b", 4)))
evaluate(m.done(), {"a": 9, "b": 8})["sum"]             # 1
"""

from hwsim.circuit.bits import Bits, Wire, cat, constant
from hwsim.circuit.module import Build, Instance, Module
from hwsim.circuit.simulate import evaluate, flat, reset, step

__all__ = ["Bits", "Build", "Instance", "Module", "Wire", "cat", "constant", "evaluate", "flat", "reset", "step"]
