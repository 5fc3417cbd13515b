"""The checker of gates sees a gate that is wrong."""

from __future__ import annotations

import numpy as np
import pytest

from hwsim.circuit import Build, Module
from tests.hwsim.pe.papers import cycles
from tests.hwsim.rtl.designs import needs_yosys


def counter() -> Module:
    m = Build("counter")
    total = m.register("total", 8)
    m.drive("total", m.leaf("add", "adder", width=8, a=total, b=m.input("a", 8)))
    m.output("sum", total)
    return m.done()


@needs_yosys
def test_wrong_gates_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = {"a": np.arange(1, 101).reshape(2, 50)}
    cycles.check_gates(counter(), inputs)
    right = cycles.verilog
    monkeypatch.setattr(cycles, "verilog", lambda module: right(module).replace("a + b", "a - b"))
    with pytest.raises(AssertionError, match=r"counter: sum differs first at \[1 0\] of 50"):
        cycles.check_gates(counter(), inputs)
